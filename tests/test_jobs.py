"""Runs against the Metabase stand-in, over real HTTP into a real SQLite file: what is registered, once and for all."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modules import campaign_run, ledger
from modules.campaign_run import JobReport
from modules.clock import SHANGHAI
from modules.errors import JobRefusedError
from modules.request_module import Table
from modules.sandbox.metabase import Fault
from modules.tables import (
    audit_log,
    awards,
    campaigns,
    config_snapshots,
    job_runs,
    performance,
    rejected_rows,
    tasks,
)
from modules.templates import Templates
from modules.watch_round import watch_once
from tests.desk import (
    BEIJING,
    CARDS,
    COLUMNS,
    FIRST_ID,
    NOON,
    SHANGHAI_MAY,
    Desk,
    Row,
    contract,
    contracts,
)

Opening = Callable[..., AbstractContextManager[Desk]]

STORED = ("contract_id", "sequence", "personal_sequence", "payee", "amount", "performance")
RUNNING_TOTALS = ("count", "total", "performance_total", "bonus_pool", "remark")
FIGURES = (*STORED, *RUNNING_TOTALS)


def registered(desk: Desk, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in columns) for row in desk.table(performance)]


def granted(desk: Desk) -> list[tuple[str, str, str, int]]:
    return [(row["contract_id"], row["kind"], row["name"], row["amount"]) for row in desk.table(awards)]


def keys_of_tasks(desk: Desk) -> list[str]:
    return [row["dedup_key"] for row in desk.table(tasks)]


def contract_id(number: int) -> str:
    return str(FIRST_ID + number)


# A run, and another one


def test_a_run_registers_awards_and_queues_in_one_go(desk: Desk) -> None:
    desk.show([*contracts(*range(1, 6)), contract(6, 12000)])
    report = desk.run()
    assert report.summary() | {"seconds": 0} == {
        "job": BEIJING,
        "outcome": "ok",
        "fetched": 6,
        "registered": 6,
        "awards": 1,
        "rejected": 0,
        "skipped": 0,
        "tasks": 7,
        "seconds": 0,
        "error": None,
    }
    last = desk.table(performance)[-1]
    assert {name: last[name] for name in FIGURES} == {
        "contract_id": contract_id(6),
        "sequence": 6,
        "personal_sequence": 6,
        "payee": "沈若川",
        "amount": 1_200_000,
        "performance": 1_200_000,
        "count": 6,
        "total": 3_700_000,
        "performance_total": 3_700_000,
        "bonus_pool": 2400,
        "remark": "距离 达标奖 还需 43,000 元",
    }
    assert granted(desk) == [(contract_id(6), "幸运数字", "接好运万元以上", 5800)]
    assert keys_of_tasks(desk) == [
        *(f"broadcast:{BEIJING}:{contract_id(number)}" for number in range(1, 7)),
        f"award:{BEIJING}:{contract_id(6)}",
    ]


def test_tasks_go_to_the_right_chats_with_the_right_rules(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7)))
    desk.run()
    found = [
        tuple(row[name] for name in ("task_type", "recipient", "on_uncertain", "max_attempts", "expires_at"))
        for row in desk.table(tasks)
    ]
    assert found[0] == ("send_wecom_message", "bj_group", "retry", 5, NOON + timedelta(hours=24))
    assert found[-1] == ("send_wechat_message", "bj_contact", "hold", 8, None)


def test_a_second_run_registers_nothing_and_queues_nothing(desk: Desk) -> None:
    desk.show([*contracts(*range(1, 12)), contract(12, "待定")])
    desk.run()
    desk.drain()
    before = desk.everything()
    desk.clock.advance(minutes=3)
    report = desk.run()
    assert (report.outcome, report.registered, report.awards, report.tasks) == ("ok", 0, 0, 0)
    assert report.rejected == 1
    after = desk.everything()
    for name in before.keys() - {"job_runs", "campaigns"}:
        assert after[name] == before[name]
    assert [row["revision"] for row in after["campaigns"]] == [row["revision"] for row in before["campaigns"]]
    assert after["campaigns"][0]["last_pull_at"] == NOON + timedelta(minutes=3)


def test_growth_goes_on_where_the_last_run_ended(desk: Desk) -> None:
    desk.show(contracts(1, 2, 3))
    desk.run()
    desk.show(contracts(3, 5, 1, 4, 2))
    report = desk.run()
    assert (report.registered, report.tasks) == (2, 2)
    assert registered(desk, "contract_id", "sequence", "count", "total") == [
        (contract_id(number), number, number, number * 500_000) for number in range(1, 6)
    ]


@pytest.mark.parametrize("cuts", [[3, 10], [1, 2, 9], [8]])
def test_k_runs_are_as_one(open_desk: Opening, tmp_path: Path, cuts: list[int]) -> None:
    housekeepers = ["沈若川", "沈砚秋", "沈若川"]
    rows = [
        contract(number, 15_000, serviceHousekeeper=housekeepers[number % 3], serviceAppointmentNum=f"GD{number // 8}")
        for number in range(1, 21)
    ]
    with open_desk(DATA_DIR=str(tmp_path / "one")) as one, open_desk(DATA_DIR=str(tmp_path / "many")) as many:
        one.show(rows)
        one.run()
        for cut in [*cuts, 20]:
            many.show(rows[:cut])
            many.run()
        assert registered(many, *FIGURES) == registered(one, *FIGURES)
        assert granted(many) == granted(one)
        assert len(granted(one)) > 4
        texts = [[(row["dedup_key"], row["message"]) for row in desk.table(tasks)] for desk in (one, many)]
        assert texts[0] == texts[1]


def test_a_contract_that_arrives_late_is_numbered_last(desk: Desk) -> None:
    desk.show(contracts(5, 6))
    desk.run()
    desk.show(contracts(1, 5, 6))
    desk.run()
    assert registered(desk, "contract_id", "sequence") == [
        (contract_id(5), 1),
        (contract_id(6), 2),
        (contract_id(1), 3),
    ]


# The source changes what it showed


def test_a_refund_leaves_registered_rows_alone_and_lowers_later_totals(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    before = registered(desk, *FIGURES)
    desk.show([contract(1, 2000), contract(2), contract(3)])
    desk.run()
    assert registered(desk, *FIGURES)[:2] == before
    assert registered(desk, "sequence", "count", "total")[2] == (3, 3, 1_200_000)
    assert registered(desk, "source_amount") == [(200_000,), (500_000,), (500_000,)]


def test_a_raise_earns_the_tier_with_the_next_row_and_once(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=1000))
    desk.run()
    assert [name for _, kind, name, _ in granted(desk) if kind == "节节高"] == []
    desk.show([contract(1, 90_000), *contracts(*range(2, 8), amount=1000)])
    desk.run()
    desk.show([contract(1, 90_000), *contracts(*range(2, 9), amount=1000)])
    desk.run()
    tiers = [award for award in granted(desk) if award[1] == "节节高"]
    assert tiers == [(contract_id(7), "节节高", "达标奖", 20_000)]


def test_a_contract_that_vanished_drops_out_of_totals_and_keeps_its_number(desk: Desk) -> None:
    desk.show(contracts(1, 2, 3))
    desk.run()
    desk.show(contracts(1, 3, 4))
    desk.run()
    assert registered(desk, "contract_id", "sequence", "personal_sequence", "count", "total") == [
        (contract_id(1), 1, 1, 1, 500_000),
        (contract_id(2), 2, 2, 2, 1_000_000),
        (contract_id(3), 3, 3, 3, 1_500_000),
        (contract_id(4), 4, 4, 3, 1_500_000),
    ]


def test_a_vanished_contract_that_comes_back_is_not_new(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    desk.show(contracts(1))
    desk.run()
    desk.show(contracts(1, 2, 3))
    assert desk.run().registered == 1
    assert registered(desk, "sequence", "total")[-1] == (3, 1_500_000)


def test_only_the_amount_of_a_registered_contract_is_live(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    desk.show([contract(1, serviceHousekeeper="顾北辰", signedDate="2024-01-01T00:00:00"), contract(2), contract(3)])
    report = desk.run()
    assert (report.registered, report.skipped) == (1, 0)
    assert registered(desk, "payee", "total")[-1] == ("沈若川", 1_500_000)


# What is not taken


@pytest.mark.parametrize(
    "signed",
    ["2025-04-30T23:59:59", "2025-06-01T00:00:00", "2025-05-20T12:00:01", "2025-05-20T04:00:01Z"],
    ids=["before the period", "after it", "after --at", "after --at in another zone"],
)
def test_rows_out_of_time_are_skipped_and_counted(desk: Desk, signed: str) -> None:
    desk.show([contract(1), contract(2, signedDate=signed)])
    report = desk.run()
    assert (report.outcome, report.fetched, report.registered, report.skipped) == ("ok", 2, 1, 1)


@pytest.mark.parametrize("signed", ["2025-05-01T00:00:00", "2025-05-20T12:00:00", "2025-05-01", "2025/05/02 10:00:00"])
def test_rows_on_the_edge_of_time_are_taken(desk: Desk, signed: str) -> None:
    desk.show([contract(1, signedDate=signed)])
    assert desk.run().registered == 1


def test_what_was_skipped_as_too_late_is_taken_when_its_time_has_come(desk: Desk) -> None:
    desk.show([contract(1, signedDate="2025-05-31T23:59:59.999")])
    assert desk.run(at="2025-05-31T12:00").registered == 0
    assert desk.run(at="2025-06-02T12:00").registered == 1


def test_a_row_that_comes_twice_is_taken_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.show([contract(1, 6000), contract(1, 5000), contract(2), contract(2)])
    report = desk.run()
    assert (report.registered, report.skipped) == (2, 2)
    assert registered(desk, "amount") == [(500_000,), (500_000,)]
    assert contract_id(1) in caplog.text
    assert contract_id(2) not in caplog.text


def test_of_a_row_that_comes_twice_the_one_in_time_is_taken(desk: Desk) -> None:
    desk.show([contract(1, 5000, signedDate="2025-04-30T09:00:00"), contract(1, 7000)])
    report = desk.run()
    assert (report.registered, report.skipped) == (1, 1)
    assert registered(desk, "amount") == [(700_000,)]


def test_rejected_rows_are_stored_once_with_their_reason(desk: Desk) -> None:
    desk.show([contract(1), contract(2, "待定"), contract(3, serviceHousekeeper=" "), contract(4, -1)])
    for _ in range(2):
        report = desk.run()
        assert (report.outcome, report.rejected) == ("ok", 3)
    found = [(row["contract_id"], row["reason"], row["resolved_at"]) for row in desk.table(rejected_rows)]
    assert found == [
        (contract_id(2), "合同金额 adjustRefundMoney '待定' 不是数字", None),
        (contract_id(3), "没有管家（serviceHousekeeper 为空）", None),
        (contract_id(4), "合同金额 adjustRefundMoney -1 是负数，应不小于 0", None),
    ]
    assert json.loads(desk.table(rejected_rows)[0]["source"])["contractdocNum"] == "YHWX-00002"


def test_a_rejected_row_is_resolved_when_it_is_mended_and_open_again_when_it_is_back(desk: Desk) -> None:
    desk.show([contract(1, "待定")])
    desk.run()
    desk.clock.advance(minutes=3)
    desk.show([contract(1)])
    assert desk.run().registered == 1
    assert [row["resolved_at"] for row in desk.table(rejected_rows)] == [desk.clock()]
    desk.show([contract(1, "待定")])
    desk.run()
    assert [row["resolved_at"] for row in desk.table(rejected_rows)] == [None]


def test_a_rejected_row_is_stored_once_however_its_other_columns_move(desk: Desk) -> None:
    """With an id it is known by that, without by what is required of it."""
    for hour in range(3):
        moving = {"average": f"{hour},000.00", "conversion": f"0.{hour}", "State": str(hour)}
        desk.show([contract(1, "待定", **moving), contract(2, _id="", **moving), contract(3, _id="", **moving)])
        assert desk.run().rejected == 3
    found = [(row["contract_id"], row["resolved_at"]) for row in desk.table(rejected_rows)]
    assert found == [(contract_id(1), None), ("", None), ("", None)]


def test_a_registered_row_that_becomes_unusable_keeps_its_last_good_amount(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    desk.show([contract(1, 3000), contract(2)])
    desk.run()
    desk.show([contract(1, "待定"), contract(2), contract(3)])
    report = desk.run()
    assert (report.registered, report.rejected) == (1, 1)
    assert registered(desk, "count", "total")[-1] == (3, 1_300_000)
    assert [row["contract_id"] for row in desk.table(rejected_rows)] == [contract_id(1)]


# A pull that shrank


def test_a_shrunken_pull_is_not_believed(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    before = desk.everything()
    desk.show(contracts(*range(1, 15), 30))
    report = desk.run()
    assert (report.outcome, report.registered, report.tasks) == ("failed", 0, 0)
    assert "少了 6 个合同（已登记 20 个）" in (report.error or "")
    assert f"run {BEIJING} --accept-shrink" in (report.error or "")
    after = desk.everything()
    for name in before.keys() - {"job_runs", "tasks"}:
        assert after[name] == before[name]


def test_a_shrunken_pull_alerts_operations_once_a_day_until_it_is_mended(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    desk.show([])
    for _ in range(4):
        desk.run()
        watch_once(desk.app, desk.clock())
        desk.clock.advance(minutes=3)
    alerts = [row for row in desk.table(tasks) if row["recipient"] == "ops"]
    assert len(alerts) == 1
    assert "少了 20 个合同" in alerts[0]["message"]
    assert alerts[0]["on_uncertain"] == "retry"
    desk.clock.advance(days=1)
    desk.run()
    watch_once(desk.app, desk.clock())
    desk.show(contracts(*range(1, 21)))
    desk.run()
    watch_once(desk.app, desk.clock())
    assert [row["message"][0] for row in desk.table(tasks) if row["recipient"] == "ops"] == ["⚠", "⏰", "✅"]


@pytest.mark.parametrize(
    ("before", "after", "believed"),
    [(20, 15, True), (24, 18, False), (30, 24, True), (31, 24, False), (5, 0, True), (6, 0, False)],
)
def test_how_much_may_be_missing(desk: Desk, before: int, after: int, believed: bool) -> None:
    desk.show(contracts(*range(1, before + 1)))
    desk.run()
    desk.show(contracts(*range(1, after + 1)))
    assert (desk.run().outcome == "ok") == believed


def test_unusable_rows_are_not_missing(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    desk.show([*contracts(*range(1, 11)), *contracts(*range(11, 21), amount="待定")])
    assert desk.run().outcome == "ok"


def test_a_person_accepts_that_the_pull_shrank_once_and_for_all(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    desk.show(contracts(*range(1, 11), 30))
    assert desk.run(accept_shrink=True).registered == 1
    assert registered(desk, "sequence", "count", "total")[-1] == (21, 11, 5_500_000)
    desk.show(contracts(*range(1, 11), 30, 31))
    report = desk.run()
    assert (report.outcome, report.registered) == ("ok", 1)
    acts = [(row["action"], row["detail"]) for row in desk.table(audit_log)]
    assert acts == [("accept-shrink", f"{BEIJING}：承认源数据少了 10 个已登记的合同")]


def test_after_an_accepted_shrink_the_rest_may_not_vanish_unseen(desk: Desk) -> None:
    """What is missing is measured on the contracts that are still expected, not on all that there ever were."""
    desk.show(contracts(*range(1, 101)))
    desk.run()
    desk.show(contracts(*range(1, 21)))
    assert desk.run(accept_shrink=True).outcome == "ok"
    desk.show([])
    report = desk.run()
    assert report.outcome == "failed"
    assert "少了 20 个合同（已登记 100 个，其中 80 个已确认消失）" in (report.error or "")


def test_a_contract_accepted_as_gone_that_is_back_is_missed_again(desk: Desk) -> None:
    desk.show(contracts(*range(1, 11)))
    desk.run()
    desk.show(contracts(*range(1, 4)))
    desk.run(accept_shrink=True)
    assert [row["loss_accepted_at"] is None for row in desk.table(performance)] == [True] * 3 + [False] * 7
    desk.show(contracts(*range(1, 11)))
    desk.run()
    assert {row["loss_accepted_at"] for row in desk.table(performance)} == {None}
    desk.show(contracts(*range(1, 4)))
    assert desk.run().outcome == "failed"


def test_accept_shrink_on_a_whole_pull_accepts_nothing(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run(accept_shrink=True)
    desk.show([])
    assert desk.run().outcome == "failed"
    assert desk.table(audit_log) == []


# Dry runs, and runs that are refused


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(desk: Desk) -> None:
    desk.show([*contracts(*range(1, 7)), contract(7, "待定")])
    before = desk.everything()
    files = sorted(desk.data_dir.rglob("*"))
    report = desk.run(dry_run=True)
    counts = (report.outcome, report.fetched, report.registered, report.awards, report.rejected, report.tasks)
    assert counts == ("dry-run", 7, 6, 1, 1, 7)
    assert report.preview is not None
    assert len(report.preview[0].rows) == 6
    assert desk.everything() == before
    assert sorted(desk.data_dir.rglob("*")) == files


def test_a_dry_run_that_fails_writes_nothing_either(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    before = desk.everything()
    desk.show([])
    assert desk.run(dry_run=True).outcome == "failed"
    assert desk.everything() == before


@pytest.mark.parametrize("at", ["2025-04-30T23:59", "2025-06-04T00:00"])
def test_outside_its_time_a_campaign_is_refused_unless_forced(desk: Desk, at: str) -> None:
    desk.show(contracts(1))
    with pytest.raises(JobRefusedError, match=r"不在 BJ-2025-05 的运行期（2025-05-01 至 2025-06-03）内.*--force"):
        desk.run(at=at)
    assert desk.run(at=at, force=True).outcome == "ok"


@pytest.mark.parametrize("at", ["2025-05-01T00:00", "2025-06-03T23:59"])
def test_on_its_first_and_last_day_a_campaign_runs(desk: Desk, at: str) -> None:
    desk.show([])
    assert desk.run(at=at).outcome == "ok"


def test_an_unknown_job_is_refused_with_the_known_ones(desk: Desk) -> None:
    with pytest.raises(JobRefusedError, match="没有名为 BJ-2099-01 的活动；现有：BJ-2025-04、BJ-2025-05、"):
        desk.run("BJ-2099-01")


CITY_FILE = """
REWARD_CONFIGS = {
    "BJ-2025-05": {"card_id": 1693, "lucky_number": "66"},
    "BJ-2025-04": {},
    "SH-2025-05": {"card_id": 1694, "housekeeper_key": "housekeeper+provider"},
}
"""


@pytest.fixture
def desk_with_faults(open_desk: Opening, tmp_path: Path) -> Desk:
    file = tmp_path / "campaigns.py"
    file.write_text(CITY_FILE, encoding="utf-8")
    with open_desk(CAMPAIGNS_FILE=str(file)) as opened:
        yield opened  # type: ignore[misc]


def test_a_campaign_with_a_fault_is_refused_with_the_fault(desk_with_faults: Desk) -> None:
    with pytest.raises(JobRefusedError, match=r'REWARD_CONFIGS\["BJ-2025-05"\].lucky_number.*一位数字'):
        desk_with_faults.run()


def test_a_campaign_without_a_card_is_refused(desk_with_faults: Desk) -> None:
    with pytest.raises(JobRefusedError, match="card_id"):
        desk_with_faults.run("BJ-2025-04", at="2025-04-20")


def test_the_others_run_beside_a_campaign_with_a_fault(desk_with_faults: Desk) -> None:
    desk_with_faults.show(contracts(1), SHANGHAI_MAY)
    assert [(run["job"], run["outcome"]) for run in desk_with_faults.cycle()] == [(SHANGHAI_MAY, "ok")]


# What Metabase does


def without(name: str, rows: list[Row]) -> tuple[list[str], list[Row]]:
    position = COLUMNS.index(name)
    return [c for c in COLUMNS if c != name], [[*row[:position], *row[position + 1 :]] for row in rows]


@pytest.mark.parametrize("name", ["_id", "adjustRefundMoney", "orgName", "signedDate", "serviceAppointmentNum"])
def test_a_missing_column_fails_with_its_name_and_what_is_there(desk: Desk, name: str) -> None:
    columns, rows = without(name, contracts(1))
    desk.show(rows, columns=columns)
    report = desk.run()
    assert report.outcome == "failed"
    assert f"缺少列：{name}；现有的列：" in (report.error or "")
    assert "serviceHousekeeper" in (report.error or "")
    assert desk.table(performance) == []


def test_columns_are_found_by_name_wherever_they_stand_and_however_they_are_titled(desk: Desk) -> None:
    titled = [(f"合同ID({name})" if name == "_id" else name, name) for name in reversed(COLUMNS)]
    desk.show([row[::-1] for row in contracts(1, 2)], columns=titled)
    assert desk.run().registered == 2
    assert registered(desk, "contract_id", "amount") == [(contract_id(n), 500_000) for n in (1, 2)]


def test_more_rows_than_a_query_gives_are_fetched_whole(desk: Desk) -> None:
    desk.show([contract(1 + n, 5000, signedDate="2025-05-02T10:00:00") for n in range(2001)])
    report = desk.run()
    assert (report.fetched, report.registered) == (2001, 2001)
    assert registered(desk, "contract_id")[-1] == (contract_id(2001),)


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.NOT_FOUND, Fault.FAILED_202, Fault.WRONG_ROW_COUNT])
def test_a_fault_of_one_card_fails_its_campaign_and_the_others_go_on(desk: Desk, fault: Fault) -> None:
    desk.show(contracts(1))
    desk.show(contracts(1), SHANGHAI_MAY)
    desk.source.inject(fault, card=CARDS[BEIJING], times=None)
    runs = {run["job"]: run for run in desk.cycle()}
    assert runs.keys() == {BEIJING, SHANGHAI_MAY}
    assert runs[BEIJING]["outcome"] == "failed"
    assert str(CARDS[BEIJING]) in runs[BEIJING]["error"]
    assert runs[SHANGHAI_MAY]["outcome"] == "ok"
    assert {row["campaign"] for row in desk.table(performance)} == {SHANGHAI_MAY}
    desk.source.clear_faults()
    assert desk.run().registered == 1


def test_campaigns_whose_time_it_is_not_are_left_out(desk: Desk) -> None:
    runs = desk.cycle(datetime(2025, 5, 3, 12, 0, tzinfo=SHANGHAI))
    assert [run["job"] for run in runs] == ["BJ-2025-04", BEIJING, "SH-2025-04", SHANGHAI_MAY]
    assert [run["job"] for run in desk.cycle(NOON)] == [BEIJING, SHANGHAI_MAY]


def test_an_error_that_nobody_thought_of_is_a_failed_run_and_not_a_crash(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.show(contracts(1))
    monkeypatch.setattr(campaign_run, "calculate", lambda *_: 1 // 0)
    report = desk.run()
    assert (report.outcome, report.error) == ("failed", "ZeroDivisionError: integer division or modulo by zero")
    assert desk.table(job_runs)[-1]["outcome"] == "failed"


# Two runs at once


def overtaken(desk: Desk, overtaking: Callable[[], object], rows: list[Row]) -> Callable[[], list[Row]]:
    """A card that, the first time it is read, lets another run come and go before it answers."""
    waiting = [overtaking]

    def pulled() -> list[Row]:
        if waiting:
            waiting.pop()()
        return rows

    return pulled


def test_where_another_run_came_first_it_is_computed_again(desk: Desk) -> None:
    with desk.reopened() as other:
        reports: list[JobReport] = []
        rows = contracts(*range(1, 9))
        desk.show(overtaken(desk, lambda: reports.append(desk.run(app=other)), rows))
        report = desk.run()
    assert [(r.outcome, r.registered, r.tasks) for r in reports] == [("ok", 8, 9)]
    assert (report.outcome, report.registered, report.tasks) == ("ok", 0, 0)
    assert [row["sequence"] for row in desk.table(performance)] == list(range(1, 9))


def test_two_runs_that_saw_different_sources_give_no_number_twice(desk: Desk) -> None:
    def other_run() -> None:
        desk.show(contracts(1, 2, 3))
        desk.run(app=other)
        desk.show(contracts(1, 2, 3, 4))

    with desk.reopened() as other:
        desk.show(overtaken(desk, other_run, contracts(2, 4)))
        assert desk.run().registered == 1
    assert registered(desk, "contract_id", "sequence") == [(contract_id(n), n) for n in (1, 2, 3, 4)]
    assert len(set(keys_of_tasks(desk))) == 4


def test_a_run_that_is_always_overtaken_gives_up_in_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(*_: object) -> None:
        raise ledger.RevisionConflictError(BEIJING)

    desk.show(contracts(1))
    monkeypatch.setattr(ledger, "commit", conflict)
    report = desk.run()
    assert report.outcome == "failed"
    assert "一直在被别的运行更新，已试 5 次，请稍后再试" in (report.error or "")
    assert desk.source.calls.count("POST /api/card/1693/query") == 5


# One transaction


@pytest.mark.parametrize("broken", ["enqueue", "awards"])
def test_a_run_that_breaks_half_way_has_written_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: object) -> int:
        raise RuntimeError("half-way")

    desk.show([*contracts(*range(1, 7)), contract(7, "待定")])
    before = desk.everything()
    with monkeypatch.context() as patched:
        if broken == "enqueue":
            patched.setattr(campaign_run, "enqueue", fails)
        else:
            patched.setattr(ledger, "_insert_awards", fails)
        assert desk.run().outcome == "failed"
    after = desk.everything()
    assert {name for name in before if after[name] != before[name]} == {"job_runs"}
    assert not list(desk.data_dir.glob("*.csv"))
    assert desk.run().registered == 6
    assert len(desk.table(tasks)) == 7


# Templates that break

BREAKING = ["{{ 没有这个值 }}", "{{ sequence / 0 }}", "{% for %}", "{{ remark|dictsort }}", "{% include 'b.j2' %}", " "]


@pytest.mark.parametrize("template", BREAKING)
def test_a_broken_template_gives_plain_words_and_one_alert(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, template: str
) -> None:
    for name in ("broadcast_beijing", "b"):
        (tmp_path / f"{name}.j2").write_text(template, encoding="utf-8")
    (tmp_path / "award_notice.j2").write_text("奖励 {{ award_total }}", encoding="utf-8")
    monkeypatch.setattr(desk.app.maker, "_templates", Templates.read(tmp_path))
    desk.show(contracts(*range(1, 7)))
    report = desk.run()
    assert (report.outcome, report.registered) == ("ok", 6)
    to_group = [row["message"] for row in desk.table(tasks) if row["recipient"] == "bj_group"]
    assert len(to_group) == 6
    assert to_group[5] == (
        "恭喜 沈若川 签约合同 YHWX-00006，本单为活动期内第 6 单，个人累计第 6 单，累计签约 30,000 元，"
        "累计计入业绩 30,000 元。距离 达标奖 还需 50,000 元。"
    )
    alerts = [row["message"] for row in desk.table(tasks) if row["recipient"] == "ops"]
    assert len(alerts) == 1
    assert "config/templates/broadcast_beijing.j2" in alerts[0]
    desk.show(contracts(*range(1, 8)))
    desk.run()
    assert len([row for row in desk.table(tasks) if row["recipient"] == "ops"]) == 1


def test_a_broken_award_template_gives_plain_words_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broadcast_beijing.j2").write_text("喜报", encoding="utf-8")
    monkeypatch.setattr(desk.app.maker, "_templates", Templates.read(tmp_path))
    desk.show(contracts(*range(1, 7), amount=20_000, serviceHousekeeper="沈砚秋"))
    assert desk.run().outcome == "ok"
    notices = [row["message"] for row in desk.table(tasks) if row["recipient"] == "bj_contact"]
    assert notices == [
        "沈砚秋 合同 YHWX-00006 获得奖励：接好运万元以上 58 元；优秀奖 400 元 → 800 元；达标奖 200 元 → 400 元；"
        "合计 1,258 元。"
    ]


# Files that can't be written


def test_a_csv_that_cannot_be_written_does_not_stop_the_run(desk: Desk) -> None:
    blocked = desk.data_dir / f"PerformanceData-{BEIJING}.csv"
    blocked.mkdir()
    desk.show(contracts(1))
    report = desk.run()
    assert (report.outcome, report.registered) == ("ok", 1)
    assert [fault.file for fault in desk.app.views.faults()] == [blocked.name]
    assert (desk.data_dir / f"send_status_{BEIJING}.json").exists()
    blocked.rmdir()
    assert desk.run().registered == 0
    assert desk.app.views.faults() == []
    assert contract_id(1) in blocked.read_text(encoding="utf-8-sig")


def test_a_csv_that_excel_holds_open_is_written_next_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows does it: what is open can't be replaced."""
    held_open = desk.data_dir / f"PerformanceData-{BEIJING}.csv"
    real_replace = Path.replace

    def replace(source: Path, target: Path) -> Path:
        if target == held_open:
            raise PermissionError(13, "Permission denied", str(target))
        return real_replace(source, target)

    desk.show(contracts(1))
    desk.run()
    shown = held_open.read_bytes()
    desk.show(contracts(1, 2))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        assert desk.run().registered == 1
        assert held_open.read_bytes() == shown
        assert "请关闭" in desk.app.views.faults()[0].reason
        assert not list(desk.data_dir.glob(".*.tmp")), "no litter beside it"
    desk.drain()
    assert desk.app.views.faults() == []
    assert contract_id(2) in held_open.read_text(encoding="utf-8-sig")


# What is on record


def test_every_run_is_on_record(desk: Desk) -> None:
    desk.show([*contracts(*range(1, 7)), contract(7, "待定"), contract(8, signedDate="2025-07-01")])
    desk.run(at="2025-05-20T08:00")
    desk.source.inject(Fault.NOT_FOUND, times=None)
    desk.clock.advance(minutes=3)
    desk.run(at="2025-05-20T09:00")
    good, bad = desk.table(job_runs)
    assert (good["job"], good["outcome"], good["error"]) == (BEIJING, "ok", None)
    assert good["slot"] == datetime(2025, 5, 20, 8, 0, tzinfo=SHANGHAI)
    assert (good["started_at"], good["ended_at"]) == (NOON, NOON)
    counts = {"fetched": 8, "registered": 6, "awards": 1, "rejected": 1, "skipped": 1, "tasks": 7}
    assert json.loads(good["counts"]) == counts
    assert (bad["outcome"], bad["started_at"]) == ("failed", NOON + timedelta(minutes=3))
    assert "1693" in bad["error"]
    assert json.loads(bad["counts"]) == {}


def test_a_run_that_is_shut_down_is_on_record(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign_run, "hold_against_ledger", interrupted)
    with pytest.raises(KeyboardInterrupt):
        desk.run()
    run = desk.table(job_runs)[-1]
    assert (run["outcome"], run["error"]) == ("interrupted", "程序被关闭，运行中断")


def test_awards_remember_the_config_and_the_values_that_decided(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000, serviceHousekeeper="沈砚秋"))
    desk.run()
    found = {row["name"]: row for row in desk.table(awards)}
    assert list(found) == ["接好运万元以上", "优秀奖", "达标奖"]
    tier = found["达标奖"]
    kept = (tier["amount"], tier["base_amount"], tier["badge"], tier["multiplier"], tier["position"])
    assert kept == (40_000, 20_000, "elite", "2", 2)
    reason = json.loads(tier["reason"])
    assert (reason["path"], reason["threshold"], reason["performance_total"]) == (
        "tiered_rewards.tiers[0]",
        8_000_000,
        12_000_000,
    )
    (snapshot,) = desk.table(config_snapshots)
    assert {row["config_hash"] for row in desk.table(awards)} == {snapshot["hash"]}
    assert json.loads(snapshot["config"])["key"] == BEIJING


def test_the_revision_counts_the_commits_that_changed_the_ledger(desk: Desk) -> None:
    for rows in (contracts(1), contracts(1), contracts(1, 2)):
        desk.show(rows)
        desk.run()
    (campaign,) = desk.table(campaigns)
    assert (campaign["key"], campaign["revision"], campaign["last_pull_rows"]) == (BEIJING, 2, 2)


def test_the_run_says_so_when_somebody_else_holds_the_database(desk: Desk) -> None:
    desk.show(contracts(1))
    with desk.reopened() as other, other.database.writing():

        def soon_locked(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA busy_timeout = 50").close()

        desk.app.database.close()
        sa.event.listen(desk.app.database.engine, "connect", soon_locked)
        report = desk.run()
    assert report.outcome == "failed"
    assert "数据库被别的程序占用" in (report.error or "")
    assert desk.run().registered == 1


def test_half_a_character_in_the_source_stops_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [list(contract(1, serviceHousekeeper="沈\ud83d川")), list(contract(2))]
    pulled = Table(tuple(name if isinstance(name, str) else name[0] for name in COLUMNS), rows)
    monkeypatch.setattr(desk.app.metabase, "fetch_card", lambda _card: pulled)
    assert desk.run().outcome == "ok"
    assert registered(desk, "contract_id") == [(contract_id(1),), (contract_id(2),)]
    assert (desk.data_dir / f"PerformanceData-{BEIJING}.csv").exists()
    assert (desk.data_dir / f"ContractData-{BEIJING}.csv").exists()


def test_of_rows_with_one_id_the_one_in_the_period_is_registered(desk: Desk) -> None:
    desk.show([contract(1, 7000, signedDate="2025-04-30T10:00:00"), contract(1, 8000)])
    assert desk.run().registered == 1
    assert registered(desk, "amount") == [(800_000,)]
