"""The command line as a user sees it: what it prints, where, with which exit code, and what it leaves in the folder."""

from __future__ import annotations

import json
import shutil
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from modules.sandbox.metabase import Fault, Operation
from modules.sandbox.robot import RobotFault
from modules.sandbox.sample_contracts import SHANGHAI, SampleMonth
from modules.settings import ROOT
from tests.program import (
    MAY_20,
    PASSWORD,
    RECIPIENTS,
    Ended,
    World,
    await_that,
    contract,
    contracts,
    csv_rows,
    open_world,
    robot_key,
    unlimited_robot,
)

RUN_KEYS = [
    "job", "outcome", "fetched", "registered", "awards", "rejected", "skipped", "tasks", "seconds", "error",
]  # fmt: skip
TASK_COLUMNS = [
    "id", "task_type", "recipient", "message", "status", "created_at", "updated_at", "dedup_key", "group_key",
    "attempts", "max_attempts", "run_at", "locked_by", "locked_until", "sending_at", "on_uncertain", "expires_at",
    "last_error",
]  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


def one_line(ended: Ended) -> str:
    """What a command that failed had to say: one line on stderr, in Chinese."""
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert any("\u4e00" <= sign <= "\u9fff" for sign in lines[0]), lines[0]
    assert "Traceback" not in ended.out
    return lines[0]


def refused(ended: Ended, code: int = 2) -> str:
    assert ended.code == code, ended
    assert ended.out == ""
    return one_line(ended)


def refused_run(ended: Ended) -> str:
    """The same of `run`, which ends with its JSON line however it ends."""
    assert ended.code == 2, ended
    words = one_line(ended)
    assert len(ended.out.splitlines()) == 1
    assert (ended.json["outcome"], ended.json["registered"], ended.json["error"]) == ("failed", 0, words)
    return words


# -- how it is called ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["", "demo", "check", "jobs", "run", "drain", "tasks", "tasks list", "tasks retry", "tasks cancel", "status"],
)
def test_every_command_has_help_and_help_touches_nothing(world: World, command: str) -> None:
    ended = world.run(*command.split(), "--help")
    assert ended.code == 0
    assert f"main.py {command}".strip() in ended.out
    assert "--help" in ended.out
    assert ended.err == ""
    assert not world.data_dir.exists()


@pytest.mark.parametrize(
    "line", ["nonsense", "run", "run BJ-2025-05 --nonsense", "tasks", "tasks retry", "tasks retry one", "status now"]
)
def test_wrong_use_is_one_line_and_exit_code_2(world: World, line: str) -> None:
    assert "--help" in refused(world.run(*line.split()))


# -- run, from a fresh folder to a second run ------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a morning's commands said, one after another."""

    world: World
    month: SampleMonth
    rehearsal: Ended
    rehearsal_left: list[str]
    first: Ended
    second: Ended


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    month = SampleMonth("BJ", 2025, 5, seed=7, contracts=60, faulty=True)
    with open_world(tmp_path_factory.mktemp("told"), unlimited_robot) as world:
        world.show(month.pull(datetime(2025, 5, 20, 12, tzinfo=SHANGHAI)))
        rehearsal = world.run("run", "BJ-2025-05", *MAY_20, "--dry-run")
        left = sorted(path.name for path in world.data_dir.glob("*.*"))
        assert world.query("SELECT count(*) AS n FROM performance") == [{"n": 0}]
        first = world.run_cold("run", "BJ-2025-05", *MAY_20, "--json")
        yield Told(world, month, rehearsal, left, first, world.run_may())


def test_run_registers_what_the_card_shows_and_says_so_in_one_json_object(told: Told) -> None:
    shown = told.month.pull(datetime(2025, 5, 20, 12, tzinfo=SHANGHAI))
    assert told.first.code == 0
    assert told.first.err == ""
    assert list(told.first.json) == RUN_KEYS
    assert told.first.json == told.first.json | {
        "job": "BJ-2025-05",
        "outcome": "ok",
        "fetched": len(shown),
        "registered": len(shown) - 2,
        "rejected": 2,
        "skipped": 0,
        "error": None,
    }
    awards = told.world.query("SELECT count(*) AS n, count(DISTINCT contract_id) AS contracts FROM awards")[0]
    assert told.first.json["awards"] == awards["n"] > 0
    assert told.first.json["tasks"] == len(shown) - 2 + awards["contracts"] == len(told.world.tasks())
    assert 0 < told.first.json["seconds"] < 60


def test_run_again_registers_nothing(told: Told) -> None:
    assert told.second.code == 0
    nothing = {"registered": 0, "awards": 0, "tasks": 0, "outcome": "ok", "fetched": told.first.json["fetched"]}
    assert told.second.json == told.second.json | nothing
    assert told.world.numbers() == list(range(1, told.first.json["registered"] + 1))


def test_the_ledger_holds_the_contracts_of_the_card_by_signing_time(told: Told) -> None:
    shown = told.month.pull(datetime(2025, 5, 20, 12, tzinfo=SHANGHAI))
    usable = [row for row in shown if row[4] and row[6] != "待定"]
    in_order = [str(row[0]) for row in sorted(usable, key=lambda row: str(row[12]))]
    rows = told.world.query("SELECT contract_id FROM performance ORDER BY sequence")
    assert [row["contract_id"] for row in rows] == in_order


def test_the_performance_file_shows_the_ledger(told: Told) -> None:
    assert told.world.files()["PerformanceData-BJ-2025-05.csv"].startswith(b"\xef\xbb\xbf")
    rows = told.world.performance()
    assert [int(row["活动期内第几个合同"]) for row in rows] == told.world.numbers()
    assert sum(bool(row["奖励名称"]) for row in rows) == sum(row["激活奖励状态"] == "1" for row in rows) > 0
    assert {row["是否发送通知"] for row in rows} == {"N"}


def test_the_last_pull_and_the_send_states_lie_beside_it(told: Told) -> None:
    pulled = (told.world.data_dir / "ContractData-BJ-2025-05.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(pulled) == told.first.json["fetched"] + 1
    sends = json.loads((told.world.data_dir / "send_status_BJ-2025-05.json").read_text(encoding="utf-8"))
    assert len(sends) == told.first.json["registered"]
    assert set(sends.values()) == {"待发送"}


def test_a_dry_run_says_the_same_and_writes_nothing(told: Told) -> None:
    assert told.rehearsal.code == 0
    assert told.rehearsal.json == told.first.json | {"outcome": "dry-run", "seconds": told.rehearsal.json["seconds"]}
    assert "试运行，什么也没有写入" in told.rehearsal.out  # after a preview for people
    assert not [name for name in told.rehearsal_left if name.endswith((".csv", ".json"))]


def test_a_dry_run_leaves_no_mark_among_the_runs(told: Told) -> None:
    runs = told.world.query("SELECT job, outcome FROM job_runs")
    assert runs == [{"job": "BJ-2025-05", "outcome": "ok"}] * 2


# -- run, refused ----------------------------------------------------------------------------------------------------


def test_outside_its_time_a_campaign_runs_only_by_force(world: World) -> None:
    world.show(contracts(1, 3))
    late = ("run", "BJ-2025-05", "--at", "2025-06-04T08:00")
    words = refused_run(world.run(*late))
    assert "2025-05-01 至 2025-06-03" in words
    assert "--force" in words
    assert world.metabase.requests == []
    forced = world.run(*late, "--force")
    assert (forced.code, forced.json["registered"]) == (0, 3)
    settling = world.run("run", "BJ-2025-05", "--at", "2025-06-03T23:59")
    assert (settling.code, settling.json["outcome"]) == (0, "ok")
    assert refused_run(world.run("run", "BJ-2025-05", "--at", "2025-04-30T23:59"))


def test_a_job_that_is_not_there_is_refused_with_those_that_are(world: World) -> None:
    words = refused_run(world.run("run", "BJ-2025-99"))
    assert "BJ-2025-99" in words
    assert "BJ-2025-05" in words


def test_a_moment_that_cannot_be_read_is_refused_with_one_that_can(world: World) -> None:
    words = refused_run(world.run("run", "BJ-2025-05", "--at", "20 May"))
    assert "20 May" in words
    assert "2025-05-20T12:00" in words


def test_settings_that_cannot_be_used_stop_every_command_with_code_2(world: World) -> None:
    for command in ["status", "drain", "jobs", "tasks list", "run BJ-2025-05", ""]:
        judge = refused_run if command.startswith("run") else refused
        words = judge(world.run(*command.split(), TASK_CHECK_INTERVAL="often"))
        assert "TASK_CHECK_INTERVAL" in words
        assert "often" in words


def test_a_database_that_cannot_be_opened_is_one_line_and_code_1(world: World) -> None:
    world.data_dir.mkdir()
    world.database.write_bytes(b"no database at all, and long enough to be read as one: " * 20)
    assert "数据库" in refused(world.run("status", "--json"), code=1)


def test_a_run_that_fails_says_why_on_stderr_and_in_its_json(world: World) -> None:
    ended = world.run_may()  # the card is not there
    assert ended.code == 1
    assert list(ended.json) == RUN_KEYS
    assert ended.json["outcome"] == "failed"
    assert ended.json["error"] == one_line(ended)
    assert "问题卡 1693" in ended.json["error"]
    assert len(ended.out.splitlines()) == 1


# -- the queue -------------------------------------------------------------------------------------------------------


def test_drain_sends_what_is_due_and_counts_what_came_of_it(world: World) -> None:
    assert world.run("drain", "--json").json == {
        "completed": 0, "failed": 0, "uncertain": 0, "retried": 0, "pending": 0,
    }  # fmt: skip
    world.show(contracts(1, 6))  # 6 messages to the group; the sixth is lucky: one to the contact
    assert world.run_may().json["tasks"] == 7
    world.robot.inject(45009, key=robot_key("bj_group"))
    first = world.run("drain", "--json")
    assert first.code == 0
    assert first.err == ""
    counts = {"completed": 1, "failed": 0, "uncertain": 0, "retried": 1, "pending": 6}
    assert first.json == counts  # a waiting retry holds back the group, and not the contact
    assert list(first.json) == list(counts)
    assert [message.key for message in world.robot.messages] == [robot_key("bj_contact")]
    assert world.run("drain", "--json").json["pending"] == 6  # not before a minute has passed


def test_messages_go_out_in_order_and_the_files_show_them_sent(world: World) -> None:
    world.show([contract(6), contract(1), contract(3, adjustRefundMoney="12000.50")])
    world.run_may()
    drained = world.run("drain")
    assert drained.json == {"completed": 3, "failed": 0, "uncertain": 0, "retried": 0, "pending": 0}
    told = [message.content for message in world.robot.messages if message.key == robot_key("bj_group")]
    assert [number for text in told for number in ("00001", "00003", "00006") if f"YHWX-{number}" in text] == [
        "00001", "00003", "00006",
    ]  # fmt: skip
    assert "12,000.50" in told[1]
    rows = world.performance()
    assert [row["是否发送通知"] for row in rows] == ["Y", "Y", "Y"]
    sends = json.loads((world.data_dir / "send_status_BJ-2025-05.json").read_text(encoding="utf-8"))
    assert sends == {str(1_920_000_000_000_000_000 + number): "发送成功" for number in (1, 3, 6)}


def test_tasks_are_listed_sent_again_and_cancelled(world: World) -> None:
    world.show(contracts(1, 4))
    world.run_may()
    world.robot.inject(93000, times=1)
    world.robot.inject(RobotFault.CLOSED_AFTER_RECORDING, times=1)
    counts = world.run("drain", "--json").json
    # the broken-off broadcast waits to be sent again, and the two after it wait for their turn
    assert counts == {"completed": 0, "failed": 1, "uncertain": 0, "retried": 1, "pending": 3}
    rows = world.run("tasks", "list", "--json").json
    assert [list(row) for row in rows] == [TASK_COLUMNS] * 4
    assert [row["status"] for row in rows] == ["failed", "pending", "pending", "pending"]
    assert [row["message"] for row in rows] == [task["message"] for task in world.tasks()]
    failed, retried, waiting, last = rows
    assert "93000" in failed["last_error"]
    assert world.run("tasks", "list", "--status", "failed", "--json").json == [failed]
    assert world.run("tasks", "list", "--status", "completed", "--json").json == []
    table = world.run("tasks", "list", "--status", "failed").out
    assert "失败" in table
    assert "待发送" not in table

    ended = world.run("tasks", "retry", str(failed["id"]))
    assert (ended.code, ended.err) == (0, "")
    assert str(failed["id"]) in ended.out
    ended = world.run("tasks", "cancel", str(waiting["id"]))
    assert (ended.code, ended.err) == (0, "")
    assert [task["status"] for task in world.tasks()] == ["pending", "pending", "cancelled", "pending"]
    assert len(world.query("SELECT * FROM audit_log")) == 2

    assert world.run("tasks", "cancel", str(retried["id"])).code == 0
    assert world.run("drain", "--json").json["completed"] == 2
    sent = [message.content for message in world.robot.messages]
    assert [sum(text == row["message"] for text in sent) for row in rows] == [1, 1, 0, 1]

    done = str(last["id"])
    for command in ("retry", "cancel"):
        words = refused(world.run("tasks", command, done))
        assert "completed" in words
    assert "tasks list" in refused(world.run("tasks", "retry", "999"))
    assert "pending" in refused(world.run("tasks", "list", "--status", "lost"))


def test_a_task_that_is_being_sent_is_left_alone(world: World) -> None:
    world.show(contracts(1, 1))
    world.run_may()
    world.robot.inject(RobotFault.NEVER_ANSWERED)
    draining = world.start("drain", "--json")
    await_that(lambda: world.robot.messages)
    for command in ("retry", "cancel"):
        assert "正在发送" in refused(world.run("tasks", command, "1"))
    draining.send(signal.SIGKILL)
    assert draining.ended().code == -signal.SIGKILL


def test_a_drain_that_is_asked_to_end_finishes_the_message_in_hand(world: World) -> None:
    world.settings(robot_timeout=2)
    world.show(contracts(1, 4))
    world.run_may()
    world.robot.inject(RobotFault.NEVER_ANSWERED)
    draining = world.start("drain")
    await_that(lambda: world.robot.messages)
    draining.send(signal.SIGINT)
    ended = draining.ended()
    assert ended.json == {"completed": 0, "failed": 0, "uncertain": 0, "retried": 1, "pending": 4}
    assert (ended.code, len(world.robot.messages)) == (0, 1)
    assert [task["locked_by"] for task in world.tasks()] == [None] * 4


def test_status_says_why_the_oldest_message_waits(world: World) -> None:
    world.show(contracts(1, 1))
    world.run_may()
    assert world.run("status", "--json").json["oldest_pending_reason"] is None
    world.robot.stop()
    world.run("drain")
    assert "连不上企业微信" in world.run("status", "--json").json["oldest_pending_reason"]
    assert "，因为：连不上企业微信" in world.run("status").out
    world.robot.start()


def test_the_log_lines_of_a_run_name_it_also_where_it_fails(world: World) -> None:
    world.show(contracts(1, 1))
    world.run_may()
    world.metabase.inject(Fault.FORBIDDEN)
    world.run_may()
    lines = (world.data_dir / "logs" / "app.log").read_text(encoding="utf-8").splitlines()
    assert any("[BJ-2025-05#1] BJ-2025-05：" in line for line in lines)
    assert any("ERROR" in line and "[BJ-2025-05#2] BJ-2025-05 运行失败" in line for line in lines)


# -- how it is doing -------------------------------------------------------------------------------------------------


def test_status_and_jobs_tell_how_the_last_runs_ended(world: World) -> None:
    world.show(contracts(1, 2))
    world.run_may()
    world.metabase.inject(Fault.FORBIDDEN)
    assert world.run("run", "SH-2025-05", *MAY_20).code == 1
    found = world.run("status", "--json").json
    assert found["daemon_running"] is False
    assert found["data_dir"] == str(world.data_dir)
    assert found["queue"] == {
        "pending": 2, "running": 0, "completed": 0, "failed": 0, "uncertain": 0, "cancelled": 0,
    }  # fmt: skip
    assert found["oldest_pending"] is not None
    assert (found["unwritten_files"], found["config_faults"]) == ([], [])
    jobs = {job["job"]: job for job in found["jobs"]}
    assert list(jobs) == [
        "BJ-2025-04", "BJ-2025-05", "SH-2025-04", "SH-2025-05",
        "generate_daily_service_report", "settle_report", "housekeeping",
        "check_technician_status", "contact_timeout_digest", "pending_orders_reminder",
    ]  # fmt: skip
    assert (jobs["BJ-2025-05"]["last_outcome"], jobs["BJ-2025-05"]["contracts_pulled"]) == ("ok", 2)
    assert jobs["BJ-2025-05"]["last_success"] is not None
    assert (jobs["SH-2025-05"]["last_outcome"], jobs["SH-2025-05"]["last_success"]) == ("failed", None)
    assert jobs["BJ-2025-04"]["last_outcome"] is None
    report = jobs["settle_report"]
    assert (report["period"], report["active"], report["next_run"]) == ("每天 18:00", False, None)
    assert world.run("jobs", "--json").json == found["jobs"]
    for command, code in (("status", 3), ("jobs", 0)):  # 3: no daemon runs
        ended = world.run(command, COLUMNS="200")
        assert (ended.code, ended.err) == (code, "")
        assert "BJ-2025-05" in ended.out
        assert "问题卡" in ended.out


# -- check -----------------------------------------------------------------------------------------------------------


def test_check_is_content_with_a_good_installation(world: World) -> None:
    ended = world.run("check", "--json")
    assert ended.code == 0
    # campaigns that have ended are history: only the months that nobody has planned may be pointed out
    assert ended.json == {"ok": True, "faults": [], "warnings": ended.json["warnings"]}
    assert not [warning for warning in ended.json["warnings"] if "REWARD_CONFIGS" not in warning["path"]]
    for_people = world.run("check")
    assert for_people.code == 0
    assert "检查通过" in for_people.out
    assert not world.data_dir.exists()


def test_check_tells_every_fault_of_the_settings_at_once(world: World) -> None:
    world.write(
        "settings.yaml",
        "metabase: {read_timeout: soon}\nqueue: {lease_secs: 9}\nrecipients: {bj_group: {name: 群, sender: pigeon}}\n",
    )
    ended = world.run("check", "--json", RUN_JOBS_SERIALLY_SCHEDULE="-1")
    assert ended.code == 2
    assert ended.json["ok"] is False
    faults = {fault["path"].rpartition(": ")[2]: fault["text"] for fault in ended.json["faults"]}
    assert set(faults) == {
        "metabase.read_timeout",
        "queue.lease_secs",
        "recipients.bj_group.sender",
        "环境变量 RUN_JOBS_SERIALLY_SCHEDULE",
    }  # fmt: skip
    assert "lease_seconds" in faults["queue.lease_secs"]
    for_people = world.run("check", RUN_JOBS_SERIALLY_SCHEDULE="-1")
    assert for_people.code == 2
    assert "4 处错误" in for_people.out


def test_check_tells_every_fault_of_the_campaigns_at_once(world: World) -> None:
    world.campaigns(
        """
import copy
first, second = copy.deepcopy(SHIPPED["BJ-2025-04"]), copy.deepcopy(SHIPPED["BJ-2025-05"])
first["lucky_numbr"] = first.pop("lucky_number")
second["tiered_rewards"]["tiers"][1]["threshold"] = "lots"
second["awards_mapping"].pop("达标奖")
second["notification"] = {"template": "nowhere"}
REWARD_CONFIGS = {"BJ-2025-04": first, "BJ-2025-05": second, "SH-2025-05": SHIPPED["SH-2025-05"]}
"""
    )
    ended = world.run("check", "--json")
    assert ended.code == 2
    paths = [fault["path"] for fault in ended.json["faults"]]
    assert 'REWARD_CONFIGS["BJ-2025-04"].lucky_numbr' in paths
    assert 'REWARD_CONFIGS["BJ-2025-05"].tiered_rewards.tiers[1].threshold' in paths
    assert not [path for path in paths if "SH-2025-05" in path]
    refusal = world.run("run", "BJ-2025-05", *MAY_20)
    assert refusal.code == 2
    assert "tiers[1].threshold" in refusal.err
    assert world.metabase.requests == []
    world.show(contracts(1, 2), card=1694)
    assert world.run("run", "SH-2025-05", *MAY_20).json["registered"] == 2  # the faults of others are not its own


def test_check_tells_of_a_template_that_is_not_there(world: World) -> None:
    world.campaigns('REWARD_CONFIGS = {"BJ-2025-05": {**SHIPPED["BJ-2025-05"], "notification": {"template": "gone"}}}')
    ended = world.run("check", "--json")
    assert ended.code == 2
    assert [fault["path"] for fault in ended.json["faults"]] == ['REWARD_CONFIGS["BJ-2025-05"].notification.template']


def test_a_robot_without_its_key_is_a_warning_and_its_messages_say_so(world: World) -> None:
    ended = world.run("check", "--json", WECOM_KEY_BJ_GROUP="")
    assert ended.code == 0
    assert ["WECOM_KEY_BJ_GROUP" in warning["text"] for warning in ended.json["warnings"]].count(True) == 1
    world.show(contracts(1, 1))
    world.run_may()
    drained = world.run("drain", "--json", WECOM_KEY_BJ_GROUP="")
    assert (drained.code, drained.json["failed"]) == (0, 1)
    assert "密钥未设置" in world.tasks("failed")[0]["last_error"]


def test_check_online_signs_in_and_sends_nothing(world: World) -> None:
    ended = world.run("check", "--online")
    assert ended.code == 0
    assert "Metabase 已连接" in ended.out
    assert "企业微信可以连接" in ended.out
    assert world.metabase.calls == ["POST /api/session", "GET /api/user/current"]
    assert world.robot.messages == []


def test_check_online_names_what_it_cannot_reach(world: World) -> None:
    world.robot.stop()
    ended = world.run("check", "--online", "--json", METABASE_PASSWORD="wrong")
    assert ended.code == 2
    assert [fault["path"] for fault in ended.json["faults"]] == ["METABASE_URL", "WECOM_BASE_URL"]
    assert "METABASE_PASSWORD" in ended.json["faults"][0]["text"]
    assert world.metabase.logins == 1


# -- demo ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    """In a copy of the program, as the demo's data folder lies below it."""
    copy = tmp_path / "program"
    for name in ("modules", "config", "streamlit_app"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("main.py", "jobs.py", "task_scheduler.py", "task_manager.py"):
        shutil.copy(ROOT / name, copy / name)
    with open_world(tmp_path / "world") as world:
        ended = world.run_cold("demo", "--json", root=copy)
        assert world.metabase.requests == world.robot.requests == []  # it has stand-ins of its own
    assert ended.code == 0, ended.err
    result = ended.json
    data_dir = Path(result["data_dir"])
    assert data_dir.is_relative_to(copy)
    assert result["queue"] == dict.fromkeys(result["queue"], 0) | {"completed": result["delivered"]}
    expected = 0
    for campaign in result["campaigns"]:
        seen = usable_contracts(campaign["key"])
        rows = csv_rows(Path(campaign["csv"]))
        assert {row["合同ID(_id)"] for row in rows} == seen
        assert (campaign["contracts"], campaign["rejected"]) == (len(seen), 2)
        assert [int(row["活动期内第几个合同"]) for row in rows] == list(range(1, len(seen) + 1))
        assert {row["是否发送通知"] for row in rows} == {"Y"}
        names = [name for row in rows for name in row["奖励名称"].split(", ") if name]
        assert len(names) == campaign["awards"] > 0
        assert float(campaign["payout"]) > 0
        expected += len(seen) + sum(row["激活奖励状态"] == "1" for row in rows)
    assert result["delivered"] == expected


def usable_contracts(key: str) -> set[str]:
    """What the generator has ever shown of a campaign at the moments when the demo pulls."""
    city, year, month = key.split("-")
    sample = SampleMonth(city, int(year), int(month), 2025, faulty=True)
    last = 30 if month == "04" else 31
    moments = [datetime(int(year), int(month), day, 23, 59, tzinfo=SHANGHAI) for day in (6, 12, 18, 24, last)]
    return {str(row[0]) for moment in moments for row in sample.pull(moment) if row[4] and row[6] != "待定"}


# -- beside a live daemon --------------------------------------------------------------------------------------------


def test_every_one_shot_command_runs_beside_a_live_daemon(world: World) -> None:
    world.show(contracts(1, 6))
    daemon = world.start(TASK_CHECK_INTERVAL="3600")
    await_that(lambda: "后台程序已启动" in world.log())
    assert world.run("status", "--json").json["daemon_running"] is True
    assert world.run_may().json["registered"] == 6
    assert not list(world.data_dir.glob("Performance*.csv"))  # the daemon's to write
    assert list(world.data_dir.glob("Contract*.csv"))  # this one can't be made again from the database
    assert world.run("drain", "--json").json["completed"] == 7
    assert world.run("tasks", "list", "--status", "completed", "--json").json != []
    assert "completed" in refused(world.run("tasks", "retry", "1"))
    for command in ("jobs", "check", "tasks list"):
        assert world.run(*command.split()).code == 0
    assert not daemon.has_ended()
    daemon.send(signal.SIGTERM)
    assert daemon.ended().code == 0
    assert world.run("status", "--json").json["daemon_running"] is False


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_written_or_said(world: World) -> None:
    wrong = "Falsches#Passwort/78"
    world.environ["ENVIRONMENT"] = "development"  # the talkative logs
    world.settings(time_budget=0.5, robot_timeout=0.3)
    world.show(contracts(1, 6))
    ended: list[Ended] = [world.run("run", "BJ-2025-05", *MAY_20, METABASE_PASSWORD=wrong)]
    ended.append(world.run_may())
    for fault in (Fault.ERROR_503, Fault.NO_ANSWER, Fault.HTML, Fault.FORBIDDEN):
        world.metabase.inject(fault, on=Operation.QUERY)
        ended.append(world.run_may())
    world.metabase.expire_sessions()
    ended.append(world.run_may())
    for robot_fault in (93000, 99999, RobotFault.HTTP_500, RobotFault.NEVER_ANSWERED, 45009):
        world.robot.inject(robot_fault)
    ended.append(world.run("drain"))
    assert [task["status"] for task in world.tasks("failed", "uncertain")] == ["failed", "failed", "uncertain"]
    ended += [world.run("tasks", "retry", str(task["id"])) for task in world.tasks("failed", "uncertain")]
    ended.append(world.run("drain"))
    assert world.robot.unused_faults == 0
    world.robot.stop()
    ended += [world.run("check", "--online"), world.run("drain"), world.run("status"), world.run("tasks", "list")]
    world.metabase.stop()
    ended.append(world.run("check", "--online", "--json"))
    daemon = world.start(RUN_JOBS_SERIALLY_SCHEDULE="0.02")
    await_that(lambda: "后台程序已启动" in world.log())
    daemon.send(signal.SIGINT)
    ended.append(daemon.ended())
    assert {process.code for process in ended} == {0, 1, 2, 3}  # 3: no daemon runs, says `status`

    cache = world.data_dir / "state" / "metabase_session.json"
    session: Any = json.loads(cache.read_text(encoding="utf-8"))["session"]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    assert len(session) > 20
    assert "outcome=unknown" in world.log("send_messages.log")
    assert "POST /api/card/1693/query" in world.log()
    texts = {str(path): path.read_bytes() for path in world.data_dir.rglob("*") if path.is_file() and path != cache}
    texts |= {f"{number} {stream}": getattr(process, stream).encode()
              for number, process in enumerate(ended) for stream in ("out", "err")}  # fmt: skip
    assert len(texts) > 40
    for secret in (PASSWORD, wrong, session, *map(robot_key, RECIPIENTS)):
        for spelling in {secret, secret.replace("#", "%23"), secret.replace("#", "%23").replace("/", "%2F")}:
            assert [name for name, text in texts.items() if spelling.encode() in text] == []
