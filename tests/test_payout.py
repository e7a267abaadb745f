"""payout: the table of what each payee is to be paid, and the workbook that explains it, checked cell by cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

from modules import closing, corrections
from modules.campaign_ledger import open_ledger
from modules.clock import SHANGHAI
from modules.configuration_parts import CAMPAIGNS, Found
from modules.errors import JobRefusedError
from modules.explanation_words import ADJUSTMENT, explain_award
from modules.ledger_records import AwardRecord, read_awards
from modules.payout import COUNTED, NOBODY, NOT_CLOSED, Payout, lines_of, payout_of
from modules.payout_workbook import Sheet, check_target, sheet_names, sheets_of, write_workbook
from modules.rewards.frame import PAYEE_SEPARATOR
from modules.sandbox.sample_contracts import SampleMonth
from modules.tables import awards, campaigns, config_snapshots, performance
from tests.desk import BEIJING, CARDS, FIRST_ID, NOON, SHANGHAI_MAY, Desk, contract, contracts
from tests.program import MAY_20, World, open_world, unlimited_robot
from tests.program import contract as card_row

Opening = Callable[..., AbstractContextManager[Desk]]

NAMES = ("接好运", "接好运万元以上", "达标奖", "优秀奖", "精英奖")
"""The awards of BJ-2025-05 in the order of its entry."""
UNEARNED = f"有 1 项节节高发放之后，累计业绩已达不到条件；请用 reconcile {BEIJING} 核对"
HOSTILE = ["=1+1", "+86 138", "-50", "@SUM(A1)", "#N/A", "'quoted", "=", "\t=2", "0012", "1E5", " 空格 ", "多\n行"]
"""Texts that a spreadsheet would like to make something else of."""


def payout(desk: Desk, key: str = BEIJING, app: Any = None) -> Payout:
    app = app or desk.app
    with app.database.reading() as connection:
        return payout_of(open_ledger(connection, app.campaigns, key), read_awards(connection, key))


def sheets(desk: Desk, key: str = BEIJING) -> list[Sheet]:
    with desk.app.database.reading() as connection:
        ledger, granted = open_ledger(connection, desk.app.campaigns, key), read_awards(connection, key)
    explained = [explain_award(key, ledger.campaign, award) for award in granted]
    return sheets_of(payout_of(ledger, granted), explained)


def table(found: Payout) -> list[list[Any]]:
    """The lines and the totals, money in fen."""
    lines = [[*found.who(line), line.contracts, *line.figures(found.names)] for line in found.lines]
    return [*lines, ["合计", found.total.contracts, *found.total.figures(found.names)]]


def insert_award(desk: Desk, key: str = BEIJING, **values: Any) -> None:
    row = {
        "campaign": key, "contract_id": None, "payee": "沈若川", "housekeeper": "沈若川", "kind": ADJUSTMENT,
        "name": ADJUSTMENT, "amount": 0, "base_amount": 0, "badge": "", "multiplier": "1", "position": 0,
        "reason": "{}", "config_hash": "", "granted_at": NOON,
    }  # fmt: skip
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(awards).values(**row | values))


def set_closed(desk: Desk) -> None:
    with desk.app.database.writing() as connection:
        connection.execute(sa.update(campaigns).values(closed_at=NOON, closed_by="li"))


# -- the table -------------------------------------------------------------------------------------------------------


def test_a_line_for_each_payee_and_one_for_all(desk: Desk) -> None:
    rows = [
        *contracts(1, 2, 3, 4, 5, amount=18000),
        contract(6, 12000),
        contract(7, "0.01", serviceHousekeeper="顾北辰"),
    ]
    desk.show(rows)
    desk.run()
    insert_award(desk, kind="节节高", name="优秀奖", amount=40000)
    insert_award(desk, amount=-5050)
    insert_award(desk, amount=100)
    insert_award(desk, contract_id=str(FIRST_ID + 1), kind="签约奖励", name="早先的奖", amount=1200)
    found = payout(desk)
    assert found.titles() == ["管家", "合同数", "累计业绩", *NAMES, "早先的奖", "修正", "调整", "应发"]
    assert table(found) == [
        ["沈若川", 6, 10_200_000, 0, 5800, 20000, 0, 0, 1200, 40000, -4950, 62050],
        ["顾北辰", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ["合计", 7, 10_200_001, 0, 5800, 20000, 0, 0, 1200, 40000, -4950, 62050],
    ]
    assert found.summary() == {
        "campaign": BEIJING,
        "title": "北京 5月签约激励",
        "period": "2025-05-01 至 2025-05-31",
        "closed_at": None,
        "counted": list(COUNTED),
        "notes": [NOT_CLOSED, UNEARNED],
        "award_names": [*NAMES, "早先的奖"],
        "payees": [
            {
                "housekeeper": "沈若川",
                "provider": None,
                "contracts": 6,
                "performance_total": "102000",
                "awards": dict(zip([*NAMES, "早先的奖"], ["0", "58", "200", "0", "0", "12"], strict=True)),
                "corrections": "400",
                "adjustments": "-49.50",
                "to_pay": "620.50",
            },
            {
                "housekeeper": "顾北辰",
                "provider": None,
                "contracts": 1,
                "performance_total": "0.01",
                "awards": dict.fromkeys([*NAMES, "早先的奖"], "0"),
                "corrections": "0",
                "adjustments": "0",
                "to_pay": "0",
            },
        ],
        "totals": {
            "contracts": 7,
            "performance_total": "102000.01",
            "awards": dict(zip([*NAMES, "早先的奖"], ["0", "58", "200", "0", "0", "12"], strict=True)),
            "corrections": "400",
            "adjustments": "-49.50",
            "to_pay": "620.50",
        },
    }


def test_cancelled_contracts_count_as_contracts_and_not_as_performance(desk: Desk) -> None:
    desk.show(contracts(*range(1, 13)))
    desk.run()
    desk.show(contracts(*range(1, 5)))
    desk.run(accept_shrink=True)
    assert table(payout(desk))[0][1:3] == [12, 4 * 500_000]


def test_historical_contracts_count_as_performance_and_not_as_contracts(open_desk: Opening, tmp_path: Path) -> None:
    file = tmp_path / "campaigns.py"
    file.write_text(f'REWARD_CONFIGS = {{"{BEIJING}": {{"card_id": 1693, "historical_contracts": True}}}}')
    with open_desk(CAMPAIGNS_FILE=str(file)) as desk:
        desk.show([contract(1), contract(2, pcContractdocNum="PC-1")])
        desk.run()
        assert table(payout(desk)) == [["沈若川", 1, 1_000_000, 0, 0, 0], ["合计", 1, 1_000_000, 0, 0, 0]]


def test_payees_are_kept_apart_by_provider_where_the_campaign_does(desk: Desk) -> None:
    desk.show([contract(1, orgName="甲"), contract(2, orgName="乙"), contract(3, orgName="甲")], SHANGHAI_MAY)
    desk.run(SHANGHAI_MAY)
    found = payout(desk, SHANGHAI_MAY)
    assert found.titles()[:3] == ["管家", "服务商", "合同数"]
    assert [row[:3] for row in table(found)[:2]] == [["沈若川", "甲", 2], ["沈若川", "乙", 1]]
    assert [one["provider"] for one in found.summary()["payees"]] == ["甲", "乙"]


@pytest.mark.parametrize("key", [BEIJING, SHANGHAI_MAY])
def test_all_lines_together_are_the_awards_in_the_database(desk: Desk, key: str) -> None:
    city, _, _ = key.partition("-")
    month = SampleMonth(city, 2025, 5, seed=5, contracts=150, faulty=True)
    for day in (8, 15, 20):
        desk.show(month.pull(datetime(2025, 5, day, 12, tzinfo=SHANGHAI)), key)
        assert desk.run(key, at=f"2025-05-{day:02d}T12:00").outcome == "ok"
    insert_award(desk, key, payee=desk.table(performance)[0]["payee"], amount=-333)
    with desk.app.database.reading() as connection:
        granted = connection.execute(sa.select(sa.func.sum(awards.c.amount))).scalar()
        registered = connection.execute(sa.select(sa.func.count()).where(~performance.c.historical)).scalar()
        payees = connection.execute(sa.select(sa.func.count(performance.c.payee.distinct()))).scalar()
    found = payout(desk, key)
    assert granted
    assert sum(line.to_pay for line in found.lines) == found.total.to_pay == granted
    assert sum(line.contracts for line in found.lines) == registered
    assert len(found.lines) == payees


granted_amounts = st.builds(
    AwardRecord,
    contract_id=st.none() | st.just("1"),
    contract_number=st.none(),
    signed_at=st.none(),
    contract_amount=st.none(),
    contract_performance=st.none(),
    payee=st.sampled_from(["甲", "乙", f"甲{PAYEE_SEPARATOR}丙"]),
    kind=st.sampled_from(["节节高", "幸运数字", ADJUSTMENT]),
    name=st.sampled_from(["达标奖", "修正", ADJUSTMENT]),
    amount=st.integers(-(10**14), 10**14),
    base_amount=st.just(0),
    badge=st.just(""),
    multiplier=st.just("1"),
    reason=st.just("{}"),
    config_hash=st.just(""),
    granted_at=st.just(NOON),
)


@given(st.lists(granted_amounts, max_size=12))
@settings(max_examples=150, deadline=None)
def test_no_fen_is_lost_or_paid_twice(granted: list[AwardRecord]) -> None:
    names = ("达标奖", "修正", ADJUSTMENT)
    lines = lines_of(names, {}, granted)
    assert {line.payee: line.to_pay for line in lines} == {
        payee: sum(award.amount for award in granted if award.payee == payee)
        for payee in {award.payee for award in granted}
    }
    assert sum(line.adjustments for line in lines) == sum(one.amount for one in granted if one.kind == ADJUSTMENT)
    without = [one.amount for one in granted if one.kind != ADJUSTMENT and one.contract_id is None]
    assert sum(line.corrections for line in lines) == sum(without)


def test_twenty_times_the_payees_take_no_more_statements(desk: Desk) -> None:
    statements: list[str] = []
    sa.event.listen(desk.app.database.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    desk.show([contract(number, serviceHousekeeper=f"管家{number}") for number in range(1, 11)])
    desk.run()
    asked = []
    for last in (10, 210):
        desk.show([contract(number, serviceHousekeeper=f"管家{number}") for number in range(1, last + 1)])
        desk.run()
        statements.clear()
        assert len(payout(desk).lines) == last
        asked.append(len(statements))
    assert asked[0] == asked[1] < 10


# -- what must be known of it ----------------------------------------------------------------------------------------


def test_an_empty_campaign_says_that_nobody_has_earned_anything(desk: Desk) -> None:
    found = payout(desk)
    assert (found.lines, found.notes, found.total.to_pay) == ((), (NOT_CLOSED, NOBODY), 0)
    desk.show(contracts(1))
    desk.run()
    assert (len(payout(desk).lines), payout(desk).notes) == (1, (NOT_CLOSED, NOBODY))


def test_a_closed_campaign_says_when(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    set_closed(desk)
    assert payout(desk).notes == ("活动已于 2025-05-20 12:00:00 结账", NOBODY)
    assert payout(desk).summary()["closed_at"] == "2025-05-20 12:00:00"


def test_a_closed_campaign_is_paid_by_the_configuration_that_it_was_closed_by(
    open_desk: Opening, tmp_path: Path
) -> None:
    def entry(threshold: int) -> str:
        tiers = {"tiers": [{"name": "达标奖", "threshold": threshold}]}
        written = {"card_id": 1693, "tiered_rewards": tiers, "awards_mapping": {"达标奖": 200}}
        file = tmp_path / "campaigns.py"
        file.write_text(f"REWARD_CONFIGS = {{{BEIJING!r}: {written!r}}}", encoding="utf-8")
        return str(file)

    with open_desk(CAMPAIGNS_FILE=entry(90_000)) as desk:
        desk.show(contracts(1, 2, amount=20_000))
        desk.run()
    with open_desk(CAMPAIGNS_FILE=entry(50_000)) as desk:  # and no run has worked by it yet
        closing.close(desk.app, desk.app.campaigns.valid[BEIJING], NOON, "王", dry_run=False, force=True)
        closed = payout(desk)
    with open_desk(CAMPAIGNS_FILE=entry(40_000)) as desk:
        after = payout(desk)
        found = corrections.look(desk.app, desk.app.campaigns.valid[BEIJING], NOON, to_change=False).found
    assert closed.notes == ("活动已于 2025-05-20 12:00:00 结账", NOBODY)
    assert after.notes == (closed.notes[0], "按结账时的活动配置说明，后来的改动不算", NOBODY)
    assert after.total == closed.total
    assert found.owed == ()


def test_what_is_owed_and_what_is_no_longer_earned_is_pointed_out(desk: Desk) -> None:
    desk.show([*contracts(*range(1, 7), amount=15000), *contracts(11, 12, 13, 14, 15, 17, serviceHousekeeper="乙")])
    desk.run()
    desk.show(
        [
            *contracts(*range(1, 7), amount=13000),
            *contracts(11, 12, 13, 14, 15, 17, serviceHousekeeper="乙", amount=20000),
        ]
    )
    desk.run()
    assert payout(desk).notes[1:] == (
        f"按台账有 2 项节节高（共 600 元）条件已达到、还没有发放，不在本表内；"
        f"请用 reconcile {BEIJING} 核对，属实的用 settle {BEIJING} 补发",
        UNEARNED,
    )
    set_closed(desk)
    assert f"adjust {BEIJING} 处理" in payout(desk).notes[1]


def test_who_would_have_to_pay_back_is_named(desk: Desk) -> None:
    desk.show([contract(1), contract(2, serviceHousekeeper="乙")])
    desk.run()
    insert_award(desk, payee="乙", amount=-1)
    assert payout(desk).notes[1:] == ("应发为负数，请核对：乙",)


def test_a_campaign_that_left_the_configuration_is_paid_out_by_its_last_run(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7)))
    desk.run()
    before = payout(desk)
    nothing = {**desk.app.configuration.found, CAMPAIGNS.title: Found({})}
    app = replace(desk.app, pinned=replace(desk.app.configuration, found=nothing))
    found = payout(desk, app=app)
    assert (found.lines, found.names) == (before.lines, before.names)
    assert found.notes == (NOT_CLOSED, "现行配置里没有这个活动，按台账里最后一次运行的配置说明")
    with desk.app.database.writing() as connection:
        connection.execute(sa.update(config_snapshots).values(config="{}"))
    with pytest.raises(JobRefusedError, match="请把这个活动放回活动配置"):
        payout(desk, app=app)


def test_a_campaign_that_nobody_knows_is_refused(desk: Desk) -> None:
    with pytest.raises(JobRefusedError, match="没有名为 BJ-2099-01 的活动；现有：BJ-2025-04"):
        payout(desk, "BJ-2099-01")


# -- the workbook ----------------------------------------------------------------------------------------------------


def written(folder: Path, content: list[Sheet]) -> openpyxl.Workbook:
    path = folder / "应发.xlsx"
    write_workbook(path, content)
    return openpyxl.load_workbook(path)


def rows_of(sheet: Worksheet) -> list[tuple[Any, ...]]:
    return list(sheet.iter_rows(values_only=True))


def cells_of(book: openpyxl.Workbook) -> Iterator[Cell]:
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            yield from (cell for cell in row if isinstance(cell, Cell) and cell.value is not None)


def test_the_workbook_holds_the_table_and_a_sheet_that_explains_for_each_payee(desk: Desk, tmp_path: Path) -> None:
    rows = [*contracts(1, 2, 3, 4, 5, amount=18000), contract(6, "12000.10"), contract(7, serviceHousekeeper="陆知远")]
    rows += [*contracts(*range(8, 12), amount=15000, serviceHousekeeper="顾北辰")]
    desk.show(rows)
    desk.run()
    doubled = {"kind": "节节高", "name": "达标奖", "amount": 40000, "base_amount": 20000, "badge": "elite"}
    reason = {"path": "tiered_rewards.tiers[0]", "why": "累计 {count} 单", "count": 6}
    insert_award(desk, payee="顾北辰", multiplier="2", reason=json.dumps(reason), **doubled)
    insert_award(desk, amount=-5050, reason=json.dumps({"why": "=退款", "who": "li"}))
    book = written(tmp_path, sheets(desk))
    assert book.sheetnames == ["汇总", "沈若川", "顾北辰"]  # 陆知远 has nothing that could be explained

    nothing = (None,) * 10
    assert rows_of(book["汇总"]) == [
        (f"{BEIJING} 北京 5月签约激励 应发表（活动期 2025-05-01 至 2025-05-31）", *nothing),
        (NOT_CLOSED, *nothing),
        (UNEARNED, *nothing),
        *((words, *nothing) for words in COUNTED),
        ("管家", "合同数", "累计业绩", *NAMES, "修正", "调整", "应发"),
        ("沈若川", 6, 102000.10, 0, 58, 200, 0, 0, 0, -50.50, 207.50),
        ("陆知远", 1, 5000, 0, 0, 0, 0, 0, 0, 0, 0),
        ("顾北辰", 4, 60000, 0, 0, 0, 0, 0, 400, 0, 400),
        ("合计", 11, 167000.10, 0, 58, 200, 0, 0, 400, -50.50, 607.50),
    ]

    header = ("合同ID", "合同编号", "签约时间", "合同金额", "计入业绩金额", "奖励类型", "奖励名称", "奖励金额", "说明")
    nothing = (None,) * 8
    signed, sixth = datetime(2025, 5, 1, 9, 6), (str(FIRST_ID + 6), "YHWX-00006")  # noqa: DTZ001 - cells have no zone
    assert rows_of(book["沈若川"]) == [
        (f"{BEIJING} 北京 5月签约激励　沈若川　应发 207.50 元", *nothing),
        (NOT_CLOSED, *nothing),
        header,
        (*sixth, signed, 12000.10, 12000.10, "幸运数字", "接好运万元以上", 58,
         "活动期内第 6 单，尾数是幸运数字 6；合同金额 12,000.10 元，不低于 10,000 元"),
        (*sixth, signed, 12000.10, 12000.10, "节节高", "达标奖", 200,
         "累计 6 单，不少于 6 单；累计计入业绩 102,000.10 元，不低于 80,000 元"),
        (None, None, None, None, None, "人工调整", "人工调整", -50.50, "=退款（li 操作）"),
        ("合计", None, None, None, None, None, None, 207.50, None),
    ]  # fmt: skip
    assert rows_of(book["顾北辰"])[3:] == [
        (None, None, None, None, None, "节节高", "达标奖", 400,
         "补发，没有对应的新合同：累计 6 单；200 元 × 2（【🎖精英管家】）= 400 元"),
        ("合计", None, None, None, None, None, None, 400, None),
    ]  # fmt: skip


def test_every_cell_is_what_it_looks_like(desk: Desk, tmp_path: Path) -> None:
    desk.show([*contracts(1, 2, 3, 4, 5, amount=18000), contract(6, "12000.10")])
    desk.run()
    book = written(tmp_path, sheets(desk))
    kinds = {str: ("s", "@"), int: ("n", "0"), float: ("n", "#,##0.00"), datetime: ("d", "yyyy-mm-dd hh:mm:ss")}
    for cell in cells_of(book):
        kind, style = kinds[type(cell.value)]
        if isinstance(cell.value, int) and cell.column_letter != "B":
            style = "#,##0.00"  # money in whole yuan
        assert (cell.data_type, cell.number_format) == (kind, style), cell.coordinate
        assert cell.quotePrefix == isinstance(cell.value, str)
    summary, person = book.worksheets
    assert (summary.freeze_panes, person.freeze_panes) == ("A7", "A4")
    for sheet, head in ((summary, 6), (person, 3)):
        assert {row for row in range(1, sheet.max_row + 1) if sheet.cell(row, 1).font.bold} == {1, head, sheet.max_row}
        for column in sheet.iter_cols(min_row=head):
            width = sheet.column_dimensions[column[0].column_letter].width
            longest = max(sum(2 if "⺀" <= char <= "￯" else 1 for char in shown(cell)) for cell in column)
            assert min(longest + 2, 60) <= width <= 60, column[0].coordinate
    assert person.cell(4, 9).alignment.wrap_text
    assert not person.cell(4, 8).alignment.wrap_text


def shown(cell: Any) -> str:
    if isinstance(cell.value, datetime):
        return "2025-05-01 09:00:00"
    is_money = isinstance(cell.value, int | float) and cell.number_format != "0"
    return "" if cell.value is None else f"{cell.value:,.2f}" if is_money else str(cell.value)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    book = written(tmp_path, [Sheet("汇总", (text,), (text,), ((text,),), (text,))])
    cells = list(cells_of(book))
    assert [(cell.value, cell.data_type, cell.quotePrefix) for cell in cells] == [(text, "s", True)] * 4


def test_names_and_numbers_of_contracts_stay_text_from_the_source_to_the_cell(desk: Desk, tmp_path: Path) -> None:
    rows = [contract(6, orgName="@甲", serviceHousekeeper="=1+1", contractdocNum="-12")]
    desk.show([*contracts(1, 2, 3, 4, 5), *rows], SHANGHAI_MAY)
    desk.run(SHANGHAI_MAY)
    book = written(tmp_path, sheets(desk, SHANGHAI_MAY))
    summary, person = book.worksheets
    assert [(cell.value, cell.data_type) for cell in summary[8][:2]] == [("=1+1", "s"), ("@甲", "s")]
    assert person.title == "=1+1 @甲"
    assert [(cell.value, cell.data_type) for cell in person[4][:2]] == [(str(FIRST_ID + 6), "s"), ("-12", "s")]


def test_what_no_workbook_can_hold_is_replaced(tmp_path: Path) -> None:
    text = "a\x00b\x0bc\ud800d\ufffee\x1ff\tg"
    book = written(tmp_path, [Sheet("汇总", (text,), ("甲",), (), ("乙",))])
    assert book.worksheets[0].cell(1, 1).value == "a�b�c�d�e�f\tg"


def test_a_long_text_is_shown_by_every_excel(tmp_path: Path) -> None:
    """Some show only ##### for text of more than 255 characters in a cell that is formatted as text."""
    short, long = "长" * 255, "长" * 256
    book = written(tmp_path, [Sheet("汇总", (), ("甲",), ((short,), (long,)), ("乙",))])
    assert [(cell.number_format, cell.value) for cell in cells_of(book)][1:3] == [("@", short), ("General", long)]


def test_money_is_exact_to_the_fen(desk: Desk, tmp_path: Path) -> None:
    """As far as Excel goes: 15 digits."""
    amounts = [*range(-250, 250), 10**14 - 1, 123_456_789_012_345, -(10**14) + 1, 29, 1_005, 4_035, 999_999_999_999_999]
    desk.show([contract(number, serviceHousekeeper=f"管家{number}") for number, _ in enumerate(amounts)])
    desk.run()
    payees = [row["payee"] for row in desk.table(performance)]
    for payee, amount in zip(payees, amounts, strict=True):
        insert_award(desk, payee=payee, amount=amount)
    book = written(tmp_path, sheets(desk)[:1])
    (column,) = book.worksheets[0].iter_cols(min_col=10, max_col=10, min_row=len(payout(desk).notes) + 6)
    cents = [int(Decimal(repr(cell.value)) * 100) for cell in column[:-1]]
    assert cents == amounts


def test_sheets_have_names_that_excel_takes_and_no_two_the_same() -> None:
    long = "很长的名字" * 8
    wanted = [
        "沈若川", "沈若川", "a/b\\c*d?e:f[g]h", "''引号''", "", "***", "History", "history", "汇总",
        "ABC", "abc", "ＡＢＣ",
        long, long + "甲", long + "乙", "😀" * 40, "x" * 30 + "'y", "a\x00b", *["同名"] * 12,
    ]  # fmt: skip
    names = sheet_names(wanted)
    assert len(names) == len(wanted)
    for name in names:
        assert 1 <= len(name.encode("utf-16-le")) // 2 <= 31, name
        assert not set(name) & set("\\/*?:[]\x00")
        assert not name.startswith("'")
        assert not name.endswith("'")
    lowered = [name.casefold() for name in [*names, "汇总", "History"]]
    assert len(set(lowered)) == len(lowered)
    assert names[:3] == ["沈若川", "沈若川 (2)", "a b c d e f g h"]
    assert names[12] == long[:31]
    assert names[13:15] == [f"{long[:27]} (2)", f"{long[:27]} (3)"]
    assert names[-1] == "同名 (12)"


def test_two_payees_whose_sheets_would_be_named_alike_have_one_each(tmp_path: Path, desk: Desk) -> None:
    long = "欧阳" * 20
    rows = [contract(number, serviceHousekeeper=long + str(number)) for number in (6, 16)]
    desk.show([*contracts(1, 2, 3, 4, 5), rows[0], *contracts(*range(7, 16)), rows[1]])
    desk.run()
    book = written(tmp_path, sheets(desk))
    assert book.sheetnames[1:] == [long[:31], f"{long[:27]} (2)"]
    assert [book[name].cell(4, 1).value for name in book.sheetnames[1:]] == [str(FIRST_ID + 6), str(FIRST_ID + 16)]


def test_the_workbook_of_an_empty_campaign_is_a_workbook(desk: Desk, tmp_path: Path) -> None:
    book = written(tmp_path, sheets(desk))
    assert book.sheetnames == ["汇总"]
    rows = rows_of(book["汇总"])
    assert [row[0] for row in rows[1:3]] == [NOT_CLOSED, NOBODY]
    assert rows[-1] == ("合计", 0, *[0] * 9)


# -- where it is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "words"),
    [("folder.xlsx", "是文件夹"), ("nowhere/a.xlsx", "没有文件夹"), ("a.csv", "以 .xlsx 结尾"), ("a", "以 .xlsx 结尾")],
)
def test_a_target_that_can_not_be_is_refused(tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "folder.xlsx").mkdir()
    with pytest.raises(JobRefusedError, match=words):
        check_target(tmp_path / target)


def test_a_target_may_exist_and_be_spelt_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "A.XLSX"
    check_target(path)
    path.write_text("old")
    check_target(path)


def test_a_file_that_can_not_be_replaced_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xlsx"
    path.write_text("the one before")

    def held_open(self: Path, _target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "replace", held_open)
    with pytest.raises(PermissionError):
        write_workbook(path, [Sheet("汇总", (), ("甲",), (), ("乙",))])
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("payout"), unlimited_robot) as opened:
        opened.show([card_row(number, serviceHousekeeper=f"管家[{number % 2}]") for number in range(1, 13)])
        assert opened.run("run", BEIJING, *MAY_20).code == 0
        opened.show([card_row(number) for number in range(1, 7)], card=CARDS[SHANGHAI_MAY])
        assert opened.run("run", SHANGHAI_MAY, *MAY_20).code == 0
        yield opened


def test_the_command_shows_the_whole_table_however_narrow_the_window(world: World) -> None:
    ended = world.run("payout", BEIJING)  # without a window it is taken to be 80 wide
    assert (ended.code, ended.err) == (0, "")
    assert f"{BEIJING} 北京 5月签约激励 应发表" in ended.out
    assert f"注意：{NOT_CLOSED}" in ended.out
    for words in COUNTED:
        assert words in ended.out
    cells = [
        [cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in ended.out.splitlines()
    ]
    assert ["管家", "合同数", "累计业绩", *NAMES, "修正", "调整", "应发"] in cells
    assert ["管家[0]", "6", "54,000", "28", "0", "0", "0", "0", "0", "0", "28"] in cells
    assert ["合计", "12", "108,000", "28", "0", "0", "0", "0", "0", "0", "28"] in cells


def test_the_command_tells_programs_and_writes_the_workbook(world: World) -> None:
    target = world.folder / "发 放.xlsx"
    ended = world.run("payout", BEIJING, "--xlsx", str(target), "--json")
    assert (ended.code, ended.err, len(ended.out.splitlines())) == (0, "", 1)
    assert list(ended.json) == [
        "campaign", "title", "period", "closed_at", "counted", "notes", "award_names", "payees", "totals", "xlsx",
    ]  # fmt: skip
    assert ended.json["xlsx"] == str(target)
    assert ended.json["totals"]["to_pay"] == "28"
    assert openpyxl.load_workbook(target).sheetnames == ["汇总", "管家 0"]
    assert world.run("payout", SHANGHAI_MAY, "--json").json["xlsx"] is None

    ended = world.run("payout", SHANGHAI_MAY, "--xlsx", str(target))  # in the place of the other
    assert ended.code == 0
    assert f"已写入 {target}" in ended.out
    assert [row[:3] for row in rows_of(openpyxl.load_workbook(target)["汇总"])][5] == ("管家", "服务商", "合同数")
    assert [path.name for path in world.folder.glob("*.tmp")] == []


def test_a_campaign_without_contracts_is_no_fault(world: World) -> None:
    ended = world.run("payout", "BJ-2025-04")
    assert (ended.code, ended.err) == (0, "")
    assert NOBODY in ended.out
    assert "合计" not in ended.out


@pytest.mark.parametrize("arguments", ["BJ-2099-01", f"{BEIJING} --xlsx nowhere/a.xlsx", f"{BEIJING} --xlsx ."])
def test_what_the_command_can_not_do_is_one_line_and_exit_code_2(world: World, arguments: str) -> None:
    ended = world.run("payout", *arguments.split())
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    ("error", "words"),
    [('PermissionError(13, "denied")', "可能正在 Excel 里打开"), ('OSError(28, "No space left")', "No space left")],
)
def test_a_file_that_excel_holds_open_is_said_so(world: World, error: str, words: str) -> None:
    target = world.folder / "held.xlsx"
    target.write_text("the one before")
    prelude = f"""
import pathlib
real = pathlib.Path.replace
def replace(self, target):
    if str(target).endswith("held.xlsx"):
        raise {error}
    return real(self, target)
pathlib.Path.replace = replace
"""
    ended = world.run("payout", BEIJING, "--xlsx", str(target), "--json", prelude=prelude)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1)
    assert words in ended.err
    assert "没有改动" in ended.err
    assert target.read_text() == "the one before"
    assert not list(world.folder.glob(".held*"))


def test_settled_adjusted_and_closed_it_is_what_is_paid(tmp_path: Path) -> None:
    with open_world(tmp_path, unlimited_robot) as world:
        world.show([card_row(number, serviceHousekeeper="沈若川") for number in range(1, 7)])
        assert world.run("run", BEIJING, *MAY_20).code == 0
        dear = [card_row(number, serviceHousekeeper="沈若川", adjustRefundMoney=15000) for number in range(1, 7)]
        world.show(dear)
        assert world.run("run", BEIJING, *MAY_20).code == 0
        assert any("settle" in note for note in world.run("payout", BEIJING, "--json").json["notes"])
        assert world.run("settle", BEIJING).code == 0
        assert world.run(
            "adjust", BEIJING, "--housekeeper", "沈若川", "--amount=-28.50", "--reason", "={重复}"
        ).code == 0  # fmt: skip
        assert world.run("close", BEIJING, "--force").code == 0
        target = tmp_path / "a.xlsx"
        ended = world.run("payout", BEIJING, "--json", "--xlsx", str(target))
        totals = ended.json["totals"]
        assert (totals["awards"]["接好运"], totals["corrections"], totals["adjustments"]) == ("28", "200", "-28.50")
        assert totals["to_pay"] == "199.50"
        assert ended.json["closed_at"] is not None
        assert NOT_CLOSED not in ended.json["notes"]
        rows = rows_of(openpyxl.load_workbook(target)["沈若川"])
        assert [row[7] for row in rows[3:]] == [28, 200, -28.50, 199.50]
        assert rows[4][8].startswith("补发，没有对应的新合同：累计 6 单，不少于 6 单；累计计入业绩 90,000 元")
        assert rows[5][8].startswith("={重复}（")
        told_of = world.run("explain", "--housekeeper", "沈若川", "--campaign", BEIJING, "--json").json
        assert told_of["amount"] == "199.50"
        assert told_of["payees"][0]["outlook"] == []
