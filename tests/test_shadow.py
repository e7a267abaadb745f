"""shadow: this system and the present one side by side, until nothing differs. Nothing is registered or sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from modules.campaign_pull import campaign_named
from modules.clock import parse_moment
from modules.comparison import Comparison, Difference, Entry
from modules.errors import JobRefusedError
from modules.performance_file import (
    COUNT,
    KINDS,
    NAMES,
    NOTIFIED,
    NUMBER,
    PERFORMANCE,
    PERFORMANCE_TOTAL,
    REGISTERED,
    REMARK,
    TOTAL,
)
from modules.shadow import shadow
from modules.tables import awards, campaigns, metadata
from tests.desk import BEIJING, FIRST_ID, NOON, Desk, contract
from tests.present_file import (
    AMOUNT,
    GU,
    PRESENT,
    PRESENT_COLUMNS,
    SHEN,
    SOURCE,
    FileRow,
    present_row,
    with_change,
    write,
)
from tests.program import World, open_world, unlimited_robot


def held_against(desk: Desk, path: Path, at: str = "2025-05-20T12:00") -> Comparison:
    """`main.py shadow BJ-2025-05 --against PATH --at …`."""
    return shadow(desk.app, campaign_named(desk.app, BEIJING), path, parse_moment(at))


def contents(desk: Desk) -> Any:
    """All that a run could change."""
    files = {path: path.read_bytes() for path in desk.data_dir.glob("*.*") if path.suffix in (".csv", ".json")}
    return {table.name: desk.table(table) for table in metadata.sorted_tables}, files


def only(comparison: Comparison) -> Difference:
    assert len(comparison.differences) == 1, comparison.differences
    return comparison.differences[0]


def contract_id(number: int) -> str:
    return str(FIRST_ID + number)


# -- where they agree ------------------------------------------------------------------------------------------------


def test_two_systems_that_agree(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE)
    comparison = held_against(desk, write(tmp_path, PRESENT))
    assert comparison.agrees
    assert (comparison.compared, comparison.differences, comparison.not_compared) == (7, (), ())
    assert set(comparison.by_column().values()) == {0}


def test_nothing_is_registered_written_or_sent(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE)
    before = contents(desk)
    held_against(desk, write(tmp_path, with_change(7, **{COUNT: "9"})))
    assert contents(desk) == before
    desk.run()
    before = contents(desk)
    desk.show([*SOURCE, contract(8), contract(9, "待定")])
    held_against(desk, write(tmp_path, PRESENT))
    assert contents(desk) == before


def test_a_file_of_ours_is_compared_by_its_running_total(desk: Desk, tmp_path: Path) -> None:
    own = [row | {PERFORMANCE_TOTAL: row[PERFORMANCE], PERFORMANCE: "0"} for row in PRESENT]
    desk.show(SOURCE)
    assert held_against(desk, write(tmp_path, own, [*PRESENT_COLUMNS, PERFORMANCE_TOTAL])).agrees


def test_what_the_file_has_no_column_for_is_not_compared(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE)
    columns = [name for name in PRESENT_COLUMNS if name not in (TOTAL, PERFORMANCE, REGISTERED, REMARK)]
    comparison = held_against(desk, write(tmp_path, PRESENT, columns))
    assert (comparison.agrees, comparison.not_compared) == (True, ("total", "performance_total"))


# -- where they differ -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("sequence", {NUMBER: "16"}),
        ("sequence", {NUMBER: ""}),
        ("awards", {KINDS: "", NAMES: ""}),
        ("awards", {NAMES: "接好运"}),
        ("awards", {NAMES: "小红包"}),  # which our config doesn't know
        ("awards", {KINDS: "签约奖励"}),
        ("count", {COUNT: "6"}),
        ("total", {TOTAL: "162000.01"}),
        ("performance_total", {PERFORMANCE: "142000.01"}),
    ],
)
def test_each_column_is_compared(desk: Desk, tmp_path: Path, column: str, values: FileRow) -> None:
    desk.show(SOURCE)
    comparison = held_against(desk, write(tmp_path, with_change(7, **values)))
    difference = only(comparison)
    assert (difference.kind, difference.contract_id, difference.line) == ("different", contract_id(6), 7)
    assert difference.columns == (column,)
    assert not comparison.agrees
    assert {name: number for name, number in comparison.by_column().items() if number} == {column: 1}


def test_a_difference_shows_both_sides_and_why(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE)
    rows = with_change(8, **{KINDS: "节节高", NAMES: "达标奖", COUNT: "7"})
    difference = only(held_against(desk, write(tmp_path, rows)))
    assert difference == Difference(
        kind="different",
        contract_id=contract_id(7),
        contract_number="YHWX-00007",
        housekeeper=SHEN,
        line=8,
        columns=("awards", "count"),
        here=Entry(7, (("节节高", "优秀奖"), ("节节高", "达标奖")), 6, 16_300_000, 14_300_000),
        there=Entry(7, (("节节高", "达标奖"),), 7, 16_300_000, 14_300_000),
        reasons=(
            "优秀奖：累计 6 单，不少于 6 单；累计计入业绩 143,000 元，不低于 120,000 元",
            "达标奖：累计 6 单，不少于 6 单；累计计入业绩 143,000 元，不低于 80,000 元",
        ),
        remark="距离 精英奖 还需 17,000 元",
    )


def test_an_award_that_we_do_not_grant_has_what_is_missing(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE)
    difference = only(held_against(desk, write(tmp_path, with_change(6, **{KINDS: "节节高", NAMES: "达标奖"}))))
    assert (difference.reasons, difference.remark) == ((), "距离达成节节高奖励条件还需 2 单")


def test_the_order_of_the_awards_of_a_contract_is_no_difference(desk: Desk, tmp_path: Path) -> None:
    """Here the highest tier comes first, there perhaps the lowest."""
    desk.show([contract(number, 30_000, serviceHousekeeper=GU) for number in range(1, 7)])
    rows = [present_row(n, GU, "30000", n, f"{30_000 * n}", f"{30_000 * n}") for n in range(1, 7)]
    rows[5] |= {KINDS: "节节高, 节节高, 节节高, 幸运数字", NAMES: "达标奖, 优秀奖, 精英奖, 接好运万元以上"}
    assert held_against(desk, write(tmp_path, rows)).agrees


def test_the_list_begins_with_the_lowest_number(desk: Desk, tmp_path: Path) -> None:
    desk.show([contract(0, 1, serviceHousekeeper=GU), *SOURCE])
    comparison = held_against(desk, write(tmp_path, PRESENT))
    assert [row.contract_id for row in comparison.differences] == [contract_id(number) for number in range(8)]
    assert comparison.differences[0].kind == "only_here"


def test_how_many_there_are_is_counted(desk: Desk, tmp_path: Path) -> None:
    desk.show([SOURCE[0], *SOURCE[2:], contract(8, serviceHousekeeper=GU)])
    comparison = held_against(desk, write(tmp_path, PRESENT))
    numbers = [(row.contract_id, row.there and row.there.sequence) for row in comparison.differences]
    assert numbers == [
        *((contract_id(number), number) for number in (2, 3, 4, 5, 6)),
        (contract_id(7), 7),
        (contract_id(8), None),
    ]
    assert (comparison.compared, comparison.count("different")) == (6, 5)
    assert (comparison.count("only_here"), comparison.count("only_there")) == (1, 1)


# -- contracts in one of the two -------------------------------------------------------------------------------------


def test_a_contract_that_only_we_have(desk: Desk, tmp_path: Path) -> None:
    desk.show([*SOURCE, contract(8, 30_000, serviceHousekeeper=GU)])
    difference = only(held_against(desk, write(tmp_path, PRESENT)))
    assert (difference.kind, difference.contract_id, difference.line) == ("only_here", contract_id(8), None)
    assert difference.here == Entry(8, (), 2, 3_500_050, 3_500_050)
    assert (difference.there, difference.columns) == (None, ())
    assert difference.remark == "距离达成节节高奖励条件还需 4 单"


LAST = present_row(8, GU, "1", 2, "5001.5", "5001.5")


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ([], "源数据里没有这个合同（可能已取消）"),
        ([contract(8, "待定")], "源数据里这一行用不了：合同金额 adjustRefundMoney '待定' 不是数字"),
        (
            [contract(8, signedDate="2025-04-30T23:59:59")],
            "不属于本活动：签约于 2025-04-30 23:59:59（活动期 2025-05-01 至 2025-05-31），sourceType 2",
        ),
        (
            [contract(8, signedDate="2025-05-21T08:00:00")],
            "签约于 2025-05-21 08:00:00，晚于比较的时间 2025-05-20 12:00:00",
        ),
    ],
)
def test_a_contract_that_only_the_present_system_has(desk: Desk, tmp_path: Path, shown: list[Any], reason: str) -> None:
    desk.show([*SOURCE, *shown])
    difference = only(held_against(desk, write(tmp_path, [*PRESENT, LAST])))
    assert (difference.kind, difference.contract_id, difference.line) == ("only_there", contract_id(8), 9)
    assert (difference.housekeeper, difference.contract_number) == (GU, "YHWX-00008")
    assert difference.reasons == (reason,)
    assert difference.here is None
    assert difference.there == Entry(8, (), 2, 500_150, 500_150)


def test_a_row_that_cannot_be_read_is_told_and_is_no_agreement(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE)
    comparison = held_against(desk, write(tmp_path, with_change(4, **{AMOUNT: "待定"})))
    assert comparison.differences == ()  # it is not called one that only we have
    assert [(bad.line, bad.contract_id) for bad in comparison.bad_rows] == [(4, contract_id(3))]
    assert not comparison.agrees


# -- on a ledger that is filled --------------------------------------------------------------------------------------


def test_registered_contracts_count_as_they_stand_and_new_ones_go_on(desk: Desk, tmp_path: Path) -> None:
    """The seventh contract was registered before the sixth came: here it has the lower number, and keeps it."""
    desk.show([*SOURCE[:5], SOURCE[6]])
    desk.run()
    desk.show(SOURCE)
    comparison = held_against(desk, write(tmp_path, PRESENT))
    assert [(row.contract_id, row.columns) for row in comparison.differences] == [
        (contract_id(6), ("sequence", "awards", "count", "total", "performance_total")),
        (contract_id(7), ("sequence", "awards", "count", "total", "performance_total")),
    ]
    sixth, seventh = comparison.differences
    assert (sixth.here, seventh.here) == (
        Entry(7, (("节节高", "优秀奖"), ("节节高", "达标奖")), 6, 16_300_000, 14_300_000),
        Entry(6, (("幸运数字", "接好运"),), 5, 15_100_000, 13_100_000),
    )
    assert seventh.reasons == ("接好运：活动期内第 6 单，尾数是幸运数字 6；合同金额 1,000 元，低于 10,000 元",)


def test_corrections_and_closed_campaigns_are_no_hindrance(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE)
    desk.run()
    correction = {
        "campaign": BEIJING, "contract_id": None, "payee": GU, "housekeeper": GU, "kind": "节节高", "name": "达标奖",
        "amount": 1, "base_amount": 1, "badge": "", "multiplier": "1", "position": 0, "reason": "{}",
        "config_hash": "", "granted_at": NOON,
    }  # fmt: skip
    with desk.app.database.writing() as connection:
        connection.execute(insert(awards).values(correction))
        connection.execute(campaigns.update().values(closed_at=NOON))
    assert held_against(desk, write(tmp_path, PRESENT)).agrees


def test_a_file_that_cannot_be_used_is_refused_before_anything_is_fetched(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(JobRefusedError, match="缺少列"):
        held_against(desk, write(tmp_path, PRESENT, [NUMBER, NOTIFIED]))
    assert desk.source.calls == []


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path / "world", unlimited_robot) as opened:
        opened.show(SOURCE)
        yield opened


def compared(world: World, path: Path, *options: str) -> Any:
    return world.run("shadow", BEIJING, "--against", str(path), "--at", "2025-05-20T12:00", *options)


def test_the_command_ends_with_0_once_nothing_differs(world: World, tmp_path: Path) -> None:
    ended = compared(world, write(tmp_path, PRESENT))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "BJ-2025-05 与 PerformanceData.csv（截至 2025-05-20 12:00:00）：两边都有 7 个合同，相同 7 个，不同 0 个；"
        "只有本系统有 0 个，只有旧系统有 0 个。",
        "没有差异。",
    ]
    assert world.tasks() == []
    assert not any(world.ledger().values())


def test_the_command_lists_every_difference_and_ends_with_1(world: World, tmp_path: Path) -> None:
    world.show([*SOURCE[:6], contract(8, 3, serviceHousekeeper=GU)])
    rows = with_change(7, **{KINDS: "", NAMES: "", TOTAL: "162000.5"})
    rows[1] |= {AMOUNT: "待定"}
    columns = [name for name in PRESENT_COLUMNS if name != PERFORMANCE]
    ended = compared(world, write(tmp_path, rows, columns))
    assert (ended.code, ended.err) == (1, "")
    sixth, seventh, eighth, second = (contract_id(number) for number in (6, 7, 8, 2))
    assert ended.out.splitlines() == [
        f"第 6 个 {sixth} YHWX-00006 沈砚秋（文件第 7 行）：奖励 旧 无，新 接好运万元以上；"
        "管家累计金额 旧 162,000.50，新 162,000",
        "    接好运万元以上：活动期内第 6 单，尾数是幸运数字 6；合同金额 12,000 元，不低于 10,000 元",
        "    备注：距离达成节节高奖励条件还需 1 单",
        f"第 7 个 {seventh} YHWX-00007 沈砚秋（文件第 8 行）：只有旧系统有，奖励 优秀奖、达标奖",
        "    源数据里没有这个合同（可能已取消）",
        f"第 7 个 {eighth} YHWX-00008 顾北辰：只有本系统有，奖励 无",
        "    备注：距离达成节节高奖励条件还需 4 单",
        f"第 3 行 {second}：合同金额 adjustRefundMoney '待定' 不是数字",
        "BJ-2025-05 与 PerformanceData.csv（截至 2025-05-20 12:00:00）：两边都有 5 个合同，相同 4 个，不同 1 个；"
        "只有本系统有 1 个，只有旧系统有 1 个。",
        "不同之处：奖励 1 个，管家累计金额 1 个。",
        "旧系统的文件里没有 管家累计业绩金额，没有对比。",
        "有差异。请从第一个看起：后面的往往由它引起。",
    ]


def test_the_commands_json_has_all_differences(world: World, tmp_path: Path) -> None:
    path = write(tmp_path, [*with_change(7, **{NAMES: "接好运"}), LAST])
    ended = compared(world, path, "--json")
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 1
    entry = {"sequence": 6, "count": 5, "total": "162000", "performance_total": "142000"}
    lucky, high = [{"kind": "幸运数字", "name": "接好运"}], [{"kind": "幸运数字", "name": "接好运万元以上"}]
    last = {"sequence": 8, "awards": [], "count": 2, "total": "5001.50", "performance_total": "5001.50"}
    assert ended.json == {
        "campaign": BEIJING,
        "file": "PerformanceData.csv",
        "at": "2025-05-20 12:00:00",
        "compared": 7,
        "equal": 6,
        "different": 1,
        "only_here": 0,
        "only_there": 1,
        "by_column": {"sequence": 0, "awards": 1, "count": 0, "total": 0, "performance_total": 0},
        "not_compared": [],
        "bad_rows": [],
        "differences": [
            {
                "kind": "different",
                "contract_id": contract_id(6),
                "contract_number": "YHWX-00006",
                "housekeeper": SHEN,
                "line": 7,
                "columns": ["awards"],
                "here": entry | {"awards": high},
                "there": entry | {"awards": lucky},
                "reasons": ["接好运万元以上：活动期内第 6 单，尾数是幸运数字 6；合同金额 12,000 元，不低于 10,000 元"],
                "remark": "距离达成节节高奖励条件还需 1 单",
            },
            {
                "kind": "only_there",
                "contract_id": contract_id(8),
                "contract_number": "YHWX-00008",
                "housekeeper": GU,
                "line": 9,
                "columns": [],
                "here": None,
                "there": last,
                "reasons": ["源数据里没有这个合同（可能已取消）"],
                "remark": "",
            },
        ],
    }
    agreeing = compared(world, write(tmp_path, PRESENT), "--json")
    assert (agreeing.code, agreeing.json["differences"]) == (0, [])


def test_what_goes_wrong_is_one_line(world: World, tmp_path: Path) -> None:
    path = write(tmp_path, PRESENT)
    at = ("--at", "2025-05-20T12:00")
    for ended, code, words in (
        (compared(world, tmp_path / "gone.csv"), 2, "读不到文件"),
        (world.run("shadow", "BJ-2099-01", "--against", str(path), *at), 2, "BJ-2099-01"),
        (world.run("shadow", BEIJING, *at), 2, "--help"),
        (world.run("shadow", BEIJING, "--against", str(path), "--at", "昨天"), 2, "昨天"),
        (world.run("shadow", "SH-2025-05", "--against", str(path), *at), 1, "问题卡 1694"),
    ):
        assert (ended.code, ended.out) == (code, ""), ended
        assert len(ended.err.splitlines()) == 1
        assert words in ended.err
