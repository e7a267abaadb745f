"""What counts as a trouble: the state of the house or of a machine in, troubles out."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from modules.recipients import RecipientSettings
from modules.sandbox.metabase import Fault
from modules.tables import campaigns, job_runs, rejected_rows, tasks
from modules.views import ViewFault
from modules.watch import (
    GivenUp,
    House,
    Machine,
    RejectedRows,
    Run,
    Trouble,
    Waiting,
    house_troubles,
    machine_troubles,
)
from modules.watch_facts import operations_fail, read_house, read_waiting, to_operations
from tests.desk import BEIJING, NOON, Desk, contracts

GROUP = {"bj_group": RecipientSettings(name="群", sender="console")}
SLEEPER = {"bj_group": RecipientSettings(name="群", sender="console", quiet_hours="22:00-08:00")}


def at(text: str) -> datetime:
    hour, minute = text.split(":")
    return NOON.replace(hour=int(hour), minute=int(minute))


def house(
    runs: dict[str, list[Run]] | None = None,
    retired: tuple[str, ...] = (),
    waiting: tuple[Waiting, ...] = (),
    given_up: tuple[GivenUp, ...] = (),
    rejected: tuple[RejectedRows, ...] = (),
) -> House:
    return House(runs or {}, retired, waiting, given_up, rejected)


def runs(*outcomes: str, last: datetime = NOON) -> list[Run]:
    """Newest first; what is neither `ok` nor `failed` is a failed run with this error; `down`: Metabase did."""
    return [
        Run(
            "ok" if outcome == "ok" else "failed",
            None if outcome == "ok" else outcome,
            last - number * timedelta(minutes=3),
            "metabase" if outcome == "down" else None,
        )
        for number, outcome in enumerate(outcomes)
    ]


def keys(
    state: House, recipients: dict[str, RecipientSettings] | None = None, now: datetime = NOON
) -> dict[str, Trouble]:
    return {trouble.key: trouble for trouble in house_troubles(state, recipients or GROUP, now)}


# -- jobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], []),
        (["ok"], []),
        (["failed"], []),
        (["failed", "failed"], []),
        (["failed", "failed", "ok", "failed"], []),
        (["failed", "failed", "failed"], ["job:sla"]),
        (["failed", "failed", "failed", "ok"], ["job:sla"]),
        (["ok", "failed", "failed", "failed"], []),
        (["少了 9 个；运行 run sla --accept-shrink"], ["shrink:sla"]),
        (["改动了；请运行 check --accept sla"], ["config:sla"]),
        (["Metabase 没有回答", "少了 9 个；运行 run sla --accept-shrink", "ok"], ["shrink:sla"]),
        (["ok", "少了 9 个；运行 run sla --accept-shrink"], []),
    ],
)
def test_a_job_is_a_trouble_at_the_third_failure_and_at_once_where_a_person_must_decide(
    outcomes: list[str], expected: list[str]
) -> None:
    assert list(keys(house(runs={"sla": runs(*outcomes)}))) == expected


def test_the_words_of_a_failing_job_count_and_give_the_last_reason() -> None:
    found = keys(house(runs={"sla": runs("连不上", "旧的", "旧的", "旧的", "ok")}))
    assert found["job:sla"].words == "任务 sla 连续失败 4 次，最近一次的原因：连不上"
    assert found["job:sla"].reminds


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ({"a": ["down"] * 2, "b": ["down"] * 2}, []),
        ({"a": ["down"] * 3, "b": ["down"] * 2}, ["metabase"]),
        ({"a": ["down"] * 3, "b": ["down"] * 4, "c": ["ok"]}, ["metabase"]),
        ({"a": ["down", "404", "404"]}, ["metabase"]),
        ({"a": ["404", "down", "down"]}, ["job:a"]),
        ({"a": ["404"] * 3, "b": ["down"] * 3}, ["job:a", "metabase"]),
        ({"a": ["down", "down", "运行 run a --accept-shrink"]}, ["shrink:a"]),
        ({"a": ["ok", *["down"] * 3], "b": ["ok", *["down"] * 3]}, []),
        ({"a": ["ok", *["down"] * 3], "b": ["down"] * 3}, ["metabase"]),
    ],
)
def test_what_metabase_keeps_from_running_is_one_trouble_and_the_fault_of_a_card_is_its_jobs(
    jobs: dict[str, list[str]], expected: list[str]
) -> None:
    assert list(keys(house(runs={job: runs(*outcomes) for job, outcomes in jobs.items()}))) == expected


def test_the_words_about_metabase_name_a_few_jobs_their_number_and_the_last_reason() -> None:
    down = {f"job{number}": runs("down", "down", "down") for number in "12"}
    found = keys(house(runs=down))["metabase"]
    assert found.words == "从 Metabase 取不到数据：job1、job2 连续失败 3 次以上，最近的原因：down"
    many = keys(house(runs={f"job{number:02}": runs("down", "down", "down") for number in range(12)}))["metabase"]
    assert "job04 等 12 个任务连续失败" in many.words
    assert "job05" not in many.words


def test_campaigns_that_no_longer_run_and_jobs_that_were_switched_off_are_nobodys_trouble() -> None:
    failing = {"sla": runs(*["failed"] * 3)}
    assert keys(house(runs=failing, retired=("sla",))) == {}
    assert list(keys(house(runs=failing), now=NOON + timedelta(days=8))) == ["job:sla"]
    assert keys(house(runs=failing), now=NOON + timedelta(days=8, seconds=1)) == {}


# -- the queue -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipients", "since", "now", "is_late"),
    [
        (GROUP, at("12:00"), at("12:15"), False),
        (GROUP, at("12:00"), at("12:16"), True),
        (SLEEPER, at("12:00"), at("12:16"), True),
        (SLEEPER, at("21:00"), at("21:16"), True),
        (SLEEPER, at("21:00"), at("22:00"), False),
        (SLEEPER, at("07:00"), at("07:59"), False),
        (SLEEPER, at("07:00"), at("08:15"), False),
        (SLEEPER, at("07:00"), at("08:16"), True),
        (SLEEPER, at("22:30") - timedelta(days=1), at("08:10"), False),
        ({}, at("12:00"), at("12:16"), True),
    ],
)
def test_messages_are_late_where_they_could_have_gone_a_quarter_of_an_hour_ago(
    recipients: dict[str, RecipientSettings], since: datetime, now: datetime, is_late: bool
) -> None:
    late = house_troubles(house(waiting=(Waiting("bj_group", 2, since, "连不上"),)), recipients, now)
    assert [trouble.key for trouble in late] == (["queue"] if is_late else [])


def test_a_late_queue_says_who_waits_how_many_and_why_and_is_given_time_to_drain() -> None:
    waiting = (Waiting("sh_group", 1, at("11:40")), Waiting("bj_group", 3, at("11:30"), "连不上企业微信"))
    found = keys(house(waiting=waiting))["queue"]
    assert "bj_group、sh_group 的 4 条" in found.words
    assert "2025-05-20 11:30:00" in found.words
    assert "连不上企业微信" in found.words
    assert found.patience == timedelta(minutes=2)


def test_given_up_messages_and_rejected_rows_are_one_trouble_each_with_their_number() -> None:
    state = house(
        given_up=(GivenUp("failed", 2, "密钥无效"), GivenUp("uncertain", 1)),
        rejected=(RejectedRows("BJ", 3, NOON),),
    )
    found = keys(state)
    assert list(found) == ["tasks:failed", "tasks:uncertain", "rejected:BJ"]
    assert found["tasks:failed"].words.startswith("有 2 条消息发送失败，最近一条的原因：密钥无效")
    assert "3 行" in found["rejected:BJ"].words
    assert (found["rejected:BJ"].reminds, found["rejected:BJ"].newest) == (False, NOON)


# -- one machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (Machine(), []),
        (Machine(unwritten=[ViewFault("a.csv", "占用"), ViewFault("b.csv", "占用")]), ["files"]),
        (Machine(damage="坏了"), ["damage"]),
        (Machine(backup_fault="磁盘满"), ["backup"]),
        (Machine(health_fault="端口"), ["health-server"]),
        (Machine(config_faults=["一", "二"]), ["configuration"]),
    ],
)
def test_what_is_wrong_with_a_machine(machine: Machine, expected: list[str]) -> None:
    assert [trouble.key for trouble in machine_troubles(machine)] == expected


def test_many_files_are_one_trouble() -> None:
    many = [ViewFault(f"{number}.csv", "在 Excel 中打开") for number in range(9)]
    [found] = machine_troubles(Machine(unwritten=many))
    assert found.words.startswith("有 9 个文件写不了：0.csv（在 Excel 中打开）；")
    assert "5.csv" not in found.words


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("", "配置文件有 6 处错误：0；1；2；3；4；有错的部分没有运行；请修改，不用重启"),
        (
            "活动 A 仍按 昨天 的配置运行",
            "配置文件有 6 处错误：0；1；2；3；4；活动 A 仍按 昨天 的配置运行；请修改，不用重启",
        ),
    ],
)
def test_faults_of_the_configuration_are_one_trouble_that_says_what_runs_instead(kept: str, expected: str) -> None:
    [found] = machine_troubles(Machine(config_faults=[str(number) for number in range(6)], kept_config=kept))
    assert (found.words, found.reminds) == (expected, True)


# -- read from a real database ---------------------------------------------------------------------------------------


def add_task(desk: Desk, **values: object) -> None:
    row = {"task_type": "send_wecom_message", "recipient": "bj_group", "message": "m", "status": "pending"}
    row |= {"created_at": NOON - timedelta(hours=1), "updated_at": NOON, **values}
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(tasks).values(row))


def read(desk: Desk) -> House:
    with desk.app.database.reading() as connection:
        return read_house(connection, desk.app, NOON)


@pytest.mark.parametrize(
    ("task", "since"),
    [
        ({}, NOON - timedelta(hours=1)),
        ({"run_at": NOON + timedelta(minutes=1)}, None),
        ({"run_at": NOON - timedelta(minutes=1)}, NOON - timedelta(minutes=1)),
        ({"run_at": NOON + timedelta(minutes=1), "attempts": 2}, NOON - timedelta(hours=1)),
        ({"status": "running"}, None),
        ({"status": "completed"}, None),
        ({"dedup_key": "trouble:7:begin", "recipient": "ops"}, None),
        ({"dedup_key": "alert:template:2025-05-20#1/2", "recipient": "ops"}, None),
        ({"dedup_key": "broadcast:trouble:1"}, NOON - timedelta(hours=1)),
    ],
)
def test_a_message_could_have_gone_when_it_was_made_or_when_it_was_planned_for(
    desk: Desk, task: dict[str, object], since: datetime | None
) -> None:
    add_task(desk, **task)
    assert [waiting.since for waiting in read(desk).waiting] == ([since] if since else [])


def test_alerts_that_fail_are_no_trouble_and_other_messages_to_operations_are(desk: Desk) -> None:
    add_task(desk, status="failed", recipient="ops", dedup_key="trouble:1:begin", last_error="坏")
    add_task(desk, status="uncertain", recipient="ops", dedup_key="alert:x:2025-05-20", last_error="坏")
    assert read(desk).given_up == []
    add_task(desk, status="failed", recipient="ops", last_error="旧", updated_at=NOON - timedelta(hours=1))
    add_task(desk, status="failed", recipient="bj_group", dedup_key="award:1", last_error="新")
    assert read(desk).given_up == [GivenUp("failed", 2, "新")]


def test_real_failures_are_read_with_what_a_person_must_decide(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    assert keys(read(desk)) == {}
    desk.show([])
    desk.run()
    assert list(keys(read(desk))) == [f"shrink:{BEIJING}"]
    desk.source.inject(Fault.FORBIDDEN, times=None)
    for _ in range(3):
        desk.run()
    assert list(keys(read(desk))) == [f"shrink:{BEIJING}"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.HTML, "metabase"),
        (Fault.EXPIRED_SESSION, "metabase"),
        (Fault.FORBIDDEN, f"job:{BEIJING}"),
        (Fault.NOT_FOUND, f"job:{BEIJING}"),
    ],
)
def test_metabase_down_is_told_from_a_card_that_can_not_be_used(desk: Desk, fault: Fault, expected: str) -> None:
    desk.show(contracts(1))
    desk.source.inject(fault, times=None)
    for _ in range(3):
        desk.run()
    assert list(keys(read(desk))) == [expected]


def test_a_campaign_is_retired_when_it_is_over_closed_or_gone(desk: Desk) -> None:
    assert BEIJING not in read(desk).retired
    with desk.app.database.reading() as connection:
        assert BEIJING in read_house(connection, desk.app, NOON + timedelta(days=90)).retired
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(campaigns).values(key=BEIJING, closed_at=NOON))
        connection.execute(sa.insert(campaigns).values(key="GONE-2024"))
    assert {BEIJING, "GONE-2024"} <= set(read(desk).retired)


def test_rejected_rows_count_until_they_are_mended_or_the_campaign_is_closed(desk: Desk) -> None:
    row = {"campaign": BEIJING, "contract_id": "1", "reason": "金额", "source": "{}"}
    with desk.app.database.writing() as connection:
        for number, resolved in enumerate([None, None, NOON]):
            seen = NOON - timedelta(days=number)
            connection.execute(
                sa.insert(rejected_rows).values(
                    **row, fingerprint=str(number), first_seen_at=seen, resolved_at=resolved
                )
            )
    assert read(desk).rejected == [RejectedRows(BEIJING, 2, NOON)]
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(campaigns).values(key=BEIJING, closed_at=NOON))
    assert read(desk).rejected == []


def test_only_runs_that_succeeded_or_failed_count_and_the_newest_comes_first(desk: Desk) -> None:
    with desk.app.database.writing() as connection:
        for minute, outcome in enumerate(["ok", "failed", "interrupted", "missed", None]):
            started = NOON + timedelta(minutes=minute)
            ended = started if outcome else None
            connection.execute(
                sa.insert(job_runs).values(
                    job="sla", slot=started, started_at=started, ended_at=ended, outcome=outcome, error=outcome
                )
            )
    assert [run.outcome for run in read(desk).runs["sla"]] == ["failed", "ok"]


# -- the robot of operations, as seen from outside -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ([], None),
        ([("completed", 5)], None),
        ([("failed", 5)], "坏 5"),
        ([("failed", 5), ("completed", 3)], None),
        ([("failed", 5), ("completed", 3), ("uncertain", 1)], "坏 1"),
        ([("completed", 3), ("pending", 60)], None),
    ],
)
def test_operations_hear_nothing_where_the_last_message_was_given_up(
    desk: Desk, history: list[tuple[str, int]], reason: str | None
) -> None:
    for status, minutes_ago in history:
        add_task(
            desk,
            status=status,
            recipient="ops",
            updated_at=NOON - timedelta(minutes=minutes_ago),
            last_error=f"坏 {minutes_ago}",
        )
    with desk.app.database.reading() as connection:
        assert operations_fail(connection) == reason
        assert len(read_waiting(connection, NOON, to_operations())) == sum(s == "pending" for s, _ in history)
