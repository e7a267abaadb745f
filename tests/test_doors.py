"""The names that people know: they open the program from the environment and do what a run does."""

import csv
import getpass
import io
import json
import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import jobs
from modules.clock import shanghai_now
from modules.config import REWARD_CONFIGS
from modules.data_processing_module import (
    determine_rewards_generic,
    process_data,
    process_data_apr_beijing,
    process_data_shanghai_apr,
)
from modules.errors import JobRefusedError
from modules.file_utils import csv_text, read_csv_rows
from modules.notification_module import (
    PerformanceFileError,
    notify_awards_apr_beijing,
    notify_awards_shanghai_generate_message_march,
)
from modules.rewards.money import plain_yuan
from modules.sandbox.metabase import Fault
from modules.sandbox.sample_alerts import TECHNICIANS
from modules.sandbox.sample_contracts import COLUMNS, SampleMonth
from modules.sandbox.sample_violations import SLA_CARD, VIOLATION_COLUMNS
from modules.tables import audit_log, job_runs, sla_violations, tasks
from modules.task_board import TaskError
from modules.task_states import CANCELLED, COMPLETED, PENDING, UNCERTAIN
from modules.view_contents import PERFORMANCE_TITLES
from task_manager import TaskRow, create_task, get_pending_tasks, update_task
from tests.desk import BEIJING, CARDS, FIRST_ID, Desk, contract, contracts
from tests.engine_desk import SOURCE_DEFAULTS
from tests.engine_desk import Desk as EngineDesk

SHANGHAI_APRIL, BEIJING_APRIL = "SH-2025-04", "BJ-2025-04"
TITLES = {title.partition("(")[2].rstrip(")") or title: title for title in PERFORMANCE_TITLES[1:20]}
"""Source column → its title in the performance file."""


def contract_id(number: int) -> str:
    return str(FIRST_ID + number)


# task_manager


def test_a_task_is_created_seen_and_sent(doors: Desk) -> None:
    before = shanghai_now()
    first = create_task("send_wecom_message", "bj_group", "手写的喜报 🎉")
    second = create_task("send_wechat_message", "bj_contact", "手写的通知")
    assert (first, second) == (1, 2)
    row = get_pending_tasks()[0]
    assert row[:5] == (1, "send_wecom_message", "bj_group", "手写的喜报 🎉", PENDING)
    assert row == TaskRow(*row)
    assert before.isoformat() <= row.created_at == row.updated_at <= shanghai_now().isoformat()
    doors.clock.now = shanghai_now()
    assert doors.drain().completed == 2
    assert get_pending_tasks() == []
    assert [message.content for message in doors.robot.messages] == ["手写的喜报 🎉", "手写的通知"]


def test_a_long_message_becomes_several_tasks_in_order(doors: Desk) -> None:
    text = "喜报 🎉\n" * 400
    assert create_task("send_wecom_message", "bj_group", text) == 1
    doors.clock.now = shanghai_now()
    assert doors.drain().completed == 3
    sent = [message.content.partition("\n") for message in doors.robot.messages]
    assert [number for number, _, _ in sent] == ["(1/3)", "(2/3)", "(3/3)"]
    assert "".join(part for _, _, part in sent) == text


def test_a_task_by_hand_is_never_sent_twice_on_a_guess(doors: Desk) -> None:
    create_task("send_wecom_message", "bj_group", "手写")
    assert doors.app.board.list()[0].on_uncertain == "hold"


def test_update_task_sets_a_status_and_is_on_record(doors: Desk) -> None:
    create_task("send_wecom_message", "bj_group", "手写")
    update_task(1, CANCELLED)
    assert get_pending_tasks() == []
    update_task(1, PENDING)
    assert [row.id for row in get_pending_tasks()] == [1]
    update_task(1, COMPLETED)
    assert [(row["who"], row["detail"]) for row in doors.table(audit_log)] == [
        (getpass.getuser(), "任务 1：pending → cancelled"),
        (getpass.getuser(), "任务 1：cancelled → pending"),
        (getpass.getuser(), "任务 1：pending → completed"),
    ]


@pytest.mark.parametrize(("task_id", "status"), [(2, PENDING), (1, "done"), (1, "running"), (1, "")])
def test_update_task_refuses_what_is_not_there(doors: Desk, task_id: int, status: str) -> None:
    create_task("send_wecom_message", "bj_group", "手写")
    with pytest.raises(TaskError):
        update_task(task_id, status)
    assert [row.status for row in get_pending_tasks()] == [PENDING]


def test_update_task_is_refused_while_the_task_is_being_sent(doors: Desk) -> None:
    create_task("send_wecom_message", "bj_group", "手写")
    claimed = doors.app.queue.claim(shanghai_now())
    with pytest.raises(TaskError, match="正在发送"):
        update_task(1, COMPLETED)
    assert doors.app.board.list() == list(claimed.waiting)


def test_an_uncertain_task_stays_until_a_person_decides(doors: Desk) -> None:
    create_task("send_wecom_message", "bj_group", "手写")
    an_hour_ago = shanghai_now() - timedelta(hours=1)
    doors.app.queue.advance(doors.app.queue.claim(an_hour_ago), None, an_hour_ago)
    assert get_pending_tasks() == []
    assert [task.status for task in doors.app.board.list()] == [UNCERTAIN]


# determine_rewards_generic


def data(count: int, performance: object = 0, *awarded: str, total: object = 0) -> dict[str, Any]:
    return {"count": count, "total_amount": total, "performance_amount": performance, "awarded": list(awarded)}


@pytest.mark.parametrize(
    ("number", "housekeeper", "amount", "key", "expected"),
    [
        pytest.param(
            6, data(1, 9999), 9999, BEIJING, ("幸运数字", "接好运", "距离达成节节高奖励条件还需 5 单"), id="lucky"
        ),
        pytest.param(
            26,
            data(1, 10_000),
            10_000,
            BEIJING,
            ("幸运数字", "接好运万元以上", "距离达成节节高奖励条件还需 5 单"),
            id="lucky and high",
        ),
        pytest.param(5, data(6, 80_000), 1, BEIJING, ("节节高", "达标奖", "距离 优秀奖 还需 40,000 元"), id="a tier"),
        pytest.param(
            5, data(5, 500_000), 1, BEIJING, ("", "", "距离达成节节高奖励条件还需 1 单"), id="a contract is missing"
        ),
        pytest.param(5, data(6, "79999.99"), 1, BEIJING, ("", "", "距离 达标奖 还需 0.01 元"), id="a fen is missing"),
        pytest.param(
            6,
            data(6, 160_000),
            1,
            BEIJING,
            ("幸运数字, 节节高, 节节高, 节节高", "接好运, 精英奖, 优秀奖, 达标奖", ""),
            id="all, highest tier first, and nothing left",
        ),
        pytest.param(
            5, data(6, 120_000, "达标奖"), 1, BEIJING, ("节节高", "优秀奖", "距离 精英奖 还需 40,000 元"), id="once"
        ),
        pytest.param(
            5, data(9, 999_999, "达标奖", "优秀奖", "精英奖"), 1, BEIJING, ("", "", ""), id="nothing missing is empty"
        ),
        pytest.param(
            8, data(1), 1, BEIJING_APRIL, ("幸运数字", "接好运", "距离达成节节高奖励条件还需 5 单"), id="april"
        ),
        pytest.param(
            1, data(5, 40_000), 1, SHANGHAI_APRIL, ("节节高", "基础奖", "距离 达标奖 还需 20,000 元"), id="shanghai"
        ),
        pytest.param(
            16,
            data(1),
            "10,000.00",
            SHANGHAI_APRIL,
            ("幸运数字", "接好运万元以上", "距离达成节节高奖励条件还需 4 单"),
            id="text",
        ),
    ],
)
def test_what_one_contract_wins(
    doors: Desk, number: int, housekeeper: dict[str, Any], amount: object, key: str, expected: tuple[str, str, str]
) -> None:
    assert determine_rewards_generic(number, housekeeper, amount, key) == expected


def test_granted_tiers_are_appended_and_not_granted_again(doors: Desk) -> None:
    housekeeper = data(6, 120_000)
    assert determine_rewards_generic(6, housekeeper, 1, BEIJING)[1] == "接好运, 优秀奖, 达标奖"
    assert housekeeper["awarded"] == ["优秀奖", "达标奖"]
    assert determine_rewards_generic(7, housekeeper, 1, BEIJING)[:2] == ("", "")
    assert housekeeper["awarded"] == ["优秀奖", "达标奖"]


@pytest.mark.parametrize(
    ("number", "housekeeper", "amount"),
    [
        (-1, data(1), 1),
        (1, data(-1), 1),
        (1, data(1), -0.01),
        (1, data(1, -1), 1),
        (1, data(1, total=-1), 1),
        (1, data(1), "待定"),
        (1, data(1), None),
    ],
)
def test_negative_numbers_and_no_numbers_raise(
    doors: Desk, number: int, housekeeper: dict[str, Any], amount: object
) -> None:
    with pytest.raises(ValueError, match=r"负数|不是数字|为空"):
        determine_rewards_generic(number, housekeeper, amount, BEIJING)
    assert housekeeper["awarded"] == []


def test_an_unknown_key_is_logged_and_wins_nothing(doors: Desk, caplog: pytest.LogCaptureFixture) -> None:
    housekeeper = data(6, 999_999)
    with caplog.at_level(logging.ERROR):
        assert determine_rewards_generic(6, housekeeper, 1, "BJ-2099-01") == ("", "", "")
    assert "BJ-2099-01" in caplog.text
    assert housekeeper["awarded"] == []


def test_a_campaigns_file_that_was_edited_is_read_again(
    doors: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.py"
    monkeypatch.setenv("CAMPAIGNS_FILE", str(file))
    text = 'REWARD_CONFIGS = {"BJ-2025-05": {"lucky_number": "1", "lucky_rewards": {"base": {"name": "甲"}}, %s}}'
    file.write_text(text % '"awards_mapping": {"甲": 1}', encoding="utf-8")
    assert determine_rewards_generic(1, data(1), 1, BEIJING)[1] == "甲"
    file.write_text(text.replace('"1"', '"2"') % '"awards_mapping": {"甲": 1, "乙": 2}', encoding="utf-8")
    assert determine_rewards_generic(1, data(1), 1, BEIJING)[1] == ""


SERIES = st.lists(
    st.tuples(
        st.sampled_from(["沈若川", "沈砚秋"]),
        st.sampled_from(["瓦蓝", "广厦"]),
        st.sampled_from(["GD1", "GD2", "GD3"]),
        st.integers(0, 6_000_000) | st.sampled_from([999_999, 1_000_000, 4_000_000, 8_000_000, 12_000_000]),
    ),
    min_size=4,
    max_size=14,
)


@pytest.mark.parametrize("key", [BEIJING, SHANGHAI_APRIL])
def test_one_contract_and_the_frame_agree(doors: Desk, key: str) -> None:
    """Invariant 7 of the reward rules."""
    checked: list[int] = []

    @example([("沈若川", "瓦蓝", "GD1", 2_000_000), ("沈砚秋", "瓦蓝", "GD2", 2_000_000)] * 9)
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(series=SERIES)
    def agree(series: list[tuple[str, str, str, int]]) -> None:
        engine = EngineDesk(REWARD_CONFIGS[key], {"elite": ["沈砚秋"]}, key)
        source = [
            SOURCE_DEFAULTS
            | {
                "_id": contract_id(number),
                "serviceHousekeeper": housekeeper,
                "orgName": provider,
                "serviceAppointmentNum": project,
                "contractdocNum": f"YHWX-{number}",
                "adjustRefundMoney": plain_yuan(fen),
                "signedDate": f"{key[3:]}-05T09:{number:02}:00",
            }
            for number, (housekeeper, provider, project, fen) in enumerate(series)
        ]
        awarded: dict[str, list[str]] = {}
        for row, (_, _, _, fen) in zip(engine.pull(source), series, strict=True):
            housekeeper_data = {
                "count": row["count"],
                "total_amount": plain_yuan(row["total"]),
                "performance_amount": plain_yuan(row["performance_total"]),
                "awarded": awarded.setdefault(row["payee"], []),
            }
            said = determine_rewards_generic(row["sequence"], housekeeper_data, plain_yuan(fen), key)
            gap = "" if row["remark"] == "无" else row["remark"]
            types, names = (", ".join(award[part] for award in row["awards"]) for part in (0, 1))
            assert said == (types, names, gap)
            checked.append(len(row["awards"]))

    agree()
    assert sum(checked) > 5, "not only empty texts have been compared"


# process_data


def as_dicts(rows: Iterable[list[object]]) -> list[dict[str, object]]:
    """Source rows as process_data takes them: dicts with the column names of the file."""
    return [{TITLES.get(name, name): value for name, value in zip(COLUMNS, row, strict=True)} for row in rows]


def as_shown(rows: list[dict[str, object]]) -> list[dict[str, str]]:
    """Rows as a performance file would show them, without the time of registration."""
    text = csv_text(PERFORMANCE_TITLES, [list(row.values()) for row in rows])
    return [{k: v for k, v in row.items() if k != "登记时间"} for row in csv.DictReader(io.StringIO(text, newline=""))]


def in_file(desk: Desk, key: str) -> list[dict[str, str]]:
    with (desk.data_dir / f"PerformanceData-{key}.csv").open(encoding="utf-8-sig", newline="") as file:
        return [{k: v for k, v in row.items() if k != "登记时间"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("key", [BEIJING_APRIL, SHANGHAI_APRIL, BEIJING])
def test_process_data_gives_what_a_run_registers(doors: Desk, key: str) -> None:
    city, year, month = key.split("-")
    sample = SampleMonth(city, int(year), int(month), 7, 90, faulty=True)
    source = sample.pull(shanghai_now())
    doors.show(source, key)
    doors.run(key, at=f"{year}-{month}-28T12:00", force=True)
    by_then = {row["合同ID(_id)"] for row in in_file(doors, key)}
    seen = [row for row in as_dicts(source) if str(row["合同ID(_id)"]) in by_then]
    lists: dict[str, list[str]] = {}
    rows = process_data(key, seen, [], lists)
    assert [list(row) for row in rows[:1]] == [list(PERFORMANCE_TITLES)]
    assert as_shown(rows) == in_file(doors, key)
    assert len(rows) > 60
    tiers = [
        name
        for row in rows
        for name in str(row["奖励名称"]).split(", ")
        if name not in ("", "接好运", "接好运万元以上")
    ]
    assert sorted(name for names in lists.values() for name in names) == sorted(tiers)
    assert tiers


@pytest.mark.parametrize("kind", [list, tuple, lambda ids: [int(one) for one in ids], lambda ids: (i for i in ids)])
@pytest.mark.parametrize("key", [BEIJING_APRIL, SHANGHAI_APRIL])
def test_process_data_goes_on_from_existing_ids(
    doors: Desk, key: str, kind: Callable[[list[str]], Iterable[object]]
) -> None:
    city = key.partition("-")[0]
    source = SampleMonth(city, 2025, 4, 7, 60).pull(shanghai_now())
    ordered = sorted(as_dicts(source), key=lambda row: (str(row["签约时间(signedDate)"]), str(row["合同ID(_id)"])))
    whole = as_shown(process_data(key, ordered, [], {}))
    lists: dict[str, list[str]] = {}
    first = process_data(key, ordered[:40], [], lists)
    ids = [str(row["合同ID(_id)"]) for row in first]
    rest = as_shown(process_data(key, ordered, kind(ids), lists))
    assert as_shown(first) + rest == whole
    assert rest[0]["活动期内第几个合同"] == "41"


def test_a_set_of_ids_is_taken_in_signing_order(doors: Desk) -> None:
    """Two housekeepers share a project: who counted first decides what is left of its limit for the other."""
    source = [
        contract(number, 90_000, serviceAppointmentNum="GD1", serviceHousekeeper=housekeeper)
        for number, housekeeper in enumerate(["沈若川", "顾北辰"] * 4, start=1)
    ] + [
        contract(20, 1000, serviceHousekeeper=name, _id=FIRST_ID + 20 + n)
        for n, name in enumerate(["沈若川", "顾北辰"])
    ]
    ids = [contract_id(number) for number in range(1, 9)]
    expected = as_shown(process_data(BEIJING, as_dicts(source), ids, {}))
    assert [row["管家累计业绩金额"] for row in expected] == ["91000", "11000"]
    for made_by in (set, frozenset):
        assert as_shown(process_data(BEIJING, as_dicts(source), made_by(ids), {})) == expected


def test_awards_of_a_housekeeper_at_two_firms_are_kept_apart(doors: Desk) -> None:
    source = [
        contract(number, 20_000, signedDate=f"2025-04-02T09:{number:02}:00", orgName=provider)
        for number, provider in enumerate(["甲_装饰"] * 5 + ["乙装饰"] * 5, start=1)
    ]
    lists: dict[str, list[str]] = {}
    process_data_shanghai_apr(as_dicts(source), [], lists)
    tiers = ["优秀奖", "达标奖", "基础奖"]
    assert lists == {"沈若川_甲_装饰": tiers, "沈若川_乙装饰": tiers}
    extra = [contract(11, 1, signedDate="2025-04-03T09:00:00", orgName=name, _id=FIRST_ID + 11 + n)
             for n, name in enumerate(["甲_装饰", "乙装饰"])]  # fmt: skip
    ids = [contract_id(number) for number in range(1, 11)]
    rows = process_data_shanghai_apr(as_dicts(source + extra), ids, lists)
    assert [row["奖励名称"] for row in rows] == ["", ""]


def test_a_quota_is_not_exceeded_over_several_calls(
    doors: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bands = [
        {"name": "大单", "min_amount": 3000, "quota": 2},
        {"name": "小单", "below_amount": 3000, "first_contracts": 4},
    ]
    entry = {"contract_rewards": bands, "awards_mapping": {"大单": 88, "小单": 8}, "historical_contracts": True}
    file = tmp_path / "campaigns.py"
    file.write_text(f"REWARD_CONFIGS = {{{BEIJING!r}: {entry!r}}}", encoding="utf-8")
    monkeypatch.setenv("CAMPAIGNS_FILE", str(file))
    rows = [
        contract(1, pcContractdocNum="旧"),
        contract(2),
        contract(3, 100),
        contract(4),
        contract(5),
        contract(6, 100),
    ]
    source = as_dicts(rows)
    whole = as_shown(process_data(BEIJING, source, [], {}))
    ids, one_by_one = [], []
    for count in range(1, 7):
        one_by_one += as_shown(process_data(BEIJING, source[:count], ids, {}))
        ids = [contract_id(number) for number in range(1, count + 1)]
    assert [row["奖励名称"] for row in one_by_one] == ["", "大单", "小单", "大单", "", ""]
    assert one_by_one == whole


def test_a_row_of_another_month_does_not_hide_the_contract(doors: Desk) -> None:
    source = as_dicts([contract(1, signedDate="2025-04-30T10:00:00"), contract(1)])
    assert [row["合同ID(_id)"] for row in process_data(BEIJING, source, [], {})] == [contract_id(1)]


def test_the_one_line_doors_are_for_their_campaigns(doors: Desk) -> None:
    source = as_dicts([contract(1, signedDate="2025-04-02T09:00:00")])
    assert [row["活动编号"] for row in process_data_apr_beijing(source, set(), {})] == [BEIJING_APRIL]
    assert [row["活动编号"] for row in process_data_shanghai_apr(source, set(), {})] == [SHANGHAI_APRIL]


def test_process_data_of_nothing_or_of_an_unknown_campaign_is_nothing(
    doors: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert process_data(BEIJING, [], [], {}) == []
    assert process_data("BJ-2099-01", as_dicts(contracts(1)), [], {}) == []
    assert "BJ-2099-01" in caplog.text


def test_rows_that_process_data_cannot_use_are_logged_and_left_out(
    doors: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    source = as_dicts([contract(1, "待定"), contract(2), contract(3, signedDate="2025-06-01")])
    rows = process_data(BEIJING, source, [], {})
    assert [row["合同ID(_id)"] for row in rows] == [contract_id(2)]
    assert contract_id(1) in caplog.text


def test_a_cancelled_contract_keeps_its_number_here_too(doors: Desk) -> None:
    rows = process_data(BEIJING, as_dicts([contract(2), contract(3)]), [contract_id(1), contract_id(2)], {})
    assert [(row["活动期内第几个合同"], row["管家累计单数"]) for row in rows] == [(3, 2)]


# notify_awards


@pytest.fixture
def announced(doors: Desk) -> list[dict[str, Any]]:
    """Six contracts are registered; the tasks that the run made are given and gone from the queue."""
    doors.show(contracts(*range(1, 7), amount=20_000, serviceHousekeeper="沈砚秋"))
    doors.run()
    made = doors.table(tasks)
    with doors.app.database.writing() as connection:
        connection.execute(sa.delete(tasks))
    return made


def performance_csv(desk: Desk) -> Path:
    return desk.data_dir / f"PerformanceData-{BEIJING}.csv"


def rewrite(path: Path, change: Callable[[list[dict[str, str]]], object], columns: Iterable[str] = ()) -> None:
    """Let somebody edit the file."""
    rows = read_csv_rows(path)
    change(rows)
    header = list(columns) or list(PERFORMANCE_TITLES)
    path.write_text(csv_text(header, [[row.get(name, "") for name in header] for row in rows]), encoding="utf-8-sig")


def notify(desk: Desk) -> int:
    return notify_awards_apr_beijing(str(performance_csv(desk)), str(desk.data_dir / "status.json"))


def test_notify_says_what_a_run_says_under_the_same_keys_and_once(doors: Desk, announced: list[dict[str, Any]]) -> None:
    same = ("dedup_key", "group_key", "task_type", "recipient", "message", "on_uncertain", "max_attempts")
    assert notify(doors) == 7
    made = doors.table(tasks)
    assert [[row[name] for name in same] for row in made] == [[row[name] for name in same] for row in announced]
    assert notify(doors) == 0
    assert len(doors.table(tasks)) == 7


def test_what_a_run_has_queued_is_not_queued_by_notify(doors: Desk) -> None:
    doors.show(contracts(1, 2))
    doors.run()
    assert notify(doors) == 0


def test_a_broadcast_that_was_sent_before_its_contract_was_registered_is_marked(doors: Desk, tmp_path: Path) -> None:
    """Somebody announces a file that was made elsewhere; only then does this installation run."""
    file = tmp_path / "elsewhere.csv"
    source = contracts(1, 2)
    rows = [list(row.values()) for row in process_data(BEIJING, as_dicts(source), [], {})]
    file.write_text(csv_text(PERFORMANCE_TITLES, rows), encoding="utf-8-sig")
    assert notify_awards_apr_beijing(str(file), str(tmp_path / "status.json")) == 2
    doors.clock.now = shanghai_now()
    doors.robot.inject(93000)
    assert doors.drain().completed == 1
    doors.show(source)
    assert doors.run().tasks == 0
    assert [row["是否发送通知"] for row in in_file(doors, BEIJING)] == ["N", "Y"]


def test_rows_marked_y_are_left_out(doors: Desk, announced: list[dict[str, Any]]) -> None:
    rewrite(performance_csv(doors), lambda rows: [row.update({"是否发送通知": "Y"}) for row in rows[:5]])
    assert notify(doors) == 2
    assert {row["group_key"].rpartition(":")[2] for row in doors.table(tasks)} == {contract_id(6)}


def test_the_status_file_is_honoured_and_kept(doors: Desk, announced: list[dict[str, Any]]) -> None:
    status = doors.data_dir / "status.json"
    before = {contract_id(1): "发送成功", contract_id(2): "失败", "别的合同": "发送成功"}
    status.write_text(json.dumps(before), encoding="utf-8")
    assert notify(doors) == 6
    assert f"broadcast:{BEIJING}:{contract_id(1)}" not in {row["dedup_key"] for row in doors.table(tasks)}
    after = json.loads(status.read_text(encoding="utf-8"))
    waiting = {contract_id(number): "待发送" for number in range(2, 7)}
    assert after == before | waiting


def test_the_conversion_comes_from_the_source_where_it_has_one(doors: Desk) -> None:
    doors.show(contracts(1, 2, conversion=""), SHANGHAI_APRIL)
    doors.show([contract(n, conversion="", signedDate="2025-04-02T09:00:00") for n in (1, 2)], SHANGHAI_APRIL)
    doors.run(SHANGHAI_APRIL, at="2025-04-20")
    with doors.app.database.writing() as connection:
        connection.execute(sa.delete(tasks))
    file = str(doors.data_dir / f"PerformanceData-{SHANGHAI_APRIL}.csv")
    source = [
        {"合同ID(_id)": FIRST_ID + 1, "转化率(conversion)": 0.667},
        {"合同ID(_id)": "别的", "转化率(conversion)": 1},
    ]
    status = str(doors.data_dir / "status.json")
    assert notify_awards_shanghai_generate_message_march(file, status, source) == 2
    messages = [row["message"] for row in doors.table(tasks)]
    assert "转化率 66%" in messages[0]
    assert "转化率 -" in messages[1]


Edit = Callable[[list[dict[str, str]]], object]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda rows: rows[1].update({"合同金额(adjustRefundMoney)": "待定"}), "第 3 行读不懂.*待定"),
        (lambda rows: rows[1].update({"活动期内第几个合同": "六"}), "第 3 行读不懂"),
        (lambda rows: rows[2].update({"活动编号": "BJ-2099-01"}), "第 4 行的活动 BJ-2099-01"),
        (lambda rows: rows[5].update({"奖励名称": "接好运万元以上"}), "第 7 行读不懂：奖励 接好运万元以上"),
        (lambda rows: rows[5].update({"奖励名称": "甲, 乙, 丙"}), "第 7 行读不懂：奖励 甲、乙、丙"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_queued(
    doors: Desk, announced: list[dict[str, Any]], edit: Edit, words: str
) -> None:
    rewrite(performance_csv(doors), edit)
    with pytest.raises(PerformanceFileError, match=words):
        notify(doors)
    assert doors.table(tasks) == []
    assert not (doors.data_dir / "status.json").exists()


@pytest.mark.parametrize(
    "missing", ["活动编号", "是否发送通知", "备注", "管家累计金额", "奖励类型", "转化率(conversion)"]
)
def test_a_missing_column_is_named_and_nothing_is_queued(
    doors: Desk, announced: list[dict[str, Any]], missing: str
) -> None:
    columns = [name for name in PERFORMANCE_TITLES if name != missing]
    rewrite(performance_csv(doors), lambda rows: None, columns)
    with pytest.raises(PerformanceFileError, match=missing.replace("(", r"\(").replace(")", r"\)")):
        notify(doors)
    assert doors.table(tasks) == []


def test_a_row_with_too_many_cells_is_named(doors: Desk, announced: list[dict[str, Any]]) -> None:
    path = performance_csv(doors)
    path.write_text(
        path.read_text(encoding="utf-8-sig").replace("接好运万元以上, ", '"接好运,万元以上, '), encoding="utf-8-sig"
    )
    first, second, *rest = performance_csv(doors).read_text(encoding="utf-8-sig").splitlines()
    path.write_text("\r\n".join([first, f"{second},多,出", *rest]), encoding="utf-8-sig")
    with pytest.raises(PerformanceFileError, match="第 2 行"):
        notify(doors)
    assert doors.table(tasks) == []


@pytest.mark.parametrize("content", [b"{ torn", b"[1, 2]", "发送".encode("gbk")])
def test_a_status_file_that_makes_no_sense_is_refused(
    doors: Desk, announced: list[dict[str, Any]], content: bytes
) -> None:
    (doors.data_dir / "status.json").write_bytes(content)
    with pytest.raises(PerformanceFileError, match="读不懂发送状态文件"):
        notify(doors)
    assert doors.table(tasks) == []


@pytest.mark.parametrize("content", [None, "活动编号,合同".encode("gbk")])
def test_a_performance_file_that_cannot_be_read_is_refused(doors: Desk, content: bytes | None) -> None:
    if content is not None:
        performance_csv(doors).write_bytes(content)
    with pytest.raises(PerformanceFileError, match="读不到业绩文件"):
        notify(doors)


# jobs


@pytest.mark.parametrize(
    ("door", "key"),
    [
        (jobs.signing_and_sales_incentive_apr_beijing, BEIJING_APRIL),
        (jobs.signing_and_sales_incentive_may_beijing, BEIJING),
        (jobs.signing_and_sales_incentive_apr_shanghai, SHANGHAI_APRIL),
        (jobs.signing_and_sales_incentive_may_shanghai, "SH-2025-05"),
    ],
)
def test_the_doors_of_the_four_campaigns(doors: Desk, door: Callable[[], jobs.JobReport], key: str) -> None:
    doors.show(contracts(1, 2, signedDate=f"{key[3:]}-10T10:00:00"), key)
    report = door()
    assert (report.job, report.outcome, report.registered, report.tasks) == (key, "ok", 2, 2)
    assert f"POST /api/card/{CARDS[key]}/query" in doors.source.calls
    assert (doors.data_dir / f"PerformanceData-{key}.csv").exists()
    assert door().registered == 0


def told(doors: Desk) -> list[tuple[str, str]]:
    """Recipient and first line of each message in the queue."""
    return [(row["recipient"], row["message"].partition("\n")[0]) for row in doors.table(tasks)]


def test_the_door_of_the_technicians(doors: Desk) -> None:
    columns = ["_id", "updateTime", "technician", "company", "phone", "updateContent"]
    earlier, later = (
        [number, f"{shanghai_now():%Y-%m-%d} 09:0{number}", "沈若川", "北京广厦同心装饰", None, "上线"]
        for number in (1, 2)
    )
    doors.source.set_card(TECHNICIANS, columns, [earlier])
    assert jobs.check_technician_status().summary() | {"seconds": 0} == {
        "job": "check_technician_status",
        "outcome": "ok",
        "fetched": 1,
        "new": 0,
        "baseline": 1,
        "keyless": 0,
        "tasks": 0,
        "seconds": 0,
        "error": None,
    }
    doors.source.set_card(TECHNICIANS, columns, [earlier, later])
    assert jobs.check_technician_status().counts["tasks"] == 2
    assert told(doors) == [("bj_group", "🟢 上线：沈若川"), ("ops", "🟢 上线：沈若川")]
    assert jobs.check_technician_status().counts["tasks"] == 0
    assert [run["scheduled"] for run in doors.table(job_runs)] == [False] * 3, "the daemon's own runs come all the same"


def test_the_door_of_the_technicians_without_their_alert(doors: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = doors.root / "config.py"
    file.write_text("REWARD_CONFIGS = {}\nALERT_CONFIGS = {}\n", encoding="utf-8")
    monkeypatch.setenv("CAMPAIGNS_FILE", str(file))
    with pytest.raises(JobRefusedError, match="没有名为 check_technician_status 的活动或任务"):
        jobs.check_technician_status()


def test_the_door_of_the_service_levels(doors: Desk) -> None:
    yesterday = shanghai_now().date() - timedelta(days=1)
    values = {"_id": 1, "orderNum": "GD000001", "orgName": "北京广厦同心装饰", "msg": "超时未上门"}
    row = [values.get(name) for name in VIOLATION_COLUMNS]
    doors.source.set_card(SLA_CARD, VIOLATION_COLUMNS, [row])
    report = jobs.generate_daily_service_report()
    assert (report.job, report.outcome, report.counts["registered"]) == ("generate_daily_service_report", "ok", 1)
    assert [stored["day"] for stored in doors.table(sla_violations)] == [yesterday]
    assert told(doors)[0] == ("bj_group", f"📋 北京广厦同心装饰：{yesterday} 有 1 条服务违规")
    assert jobs.generate_daily_service_report().counts["tasks"] == 0


def test_a_door_tells_what_failed(doors: Desk) -> None:
    doors.source.inject(Fault.FORBIDDEN, card=SLA_CARD)
    report = jobs.generate_daily_service_report()
    assert report.outcome == "failed"
    assert str(SLA_CARD) in (report.error or "")
