"""import-ledger: the present system's file becomes the ledger, whole or not at all, and the numbers go on from it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules import ledger, ledger_import
from modules.campaign_pull import campaign_named
from modules.clock import SHANGHAI, parse_moment
from modules.errors import JobRefusedError
from modules.file_utils import read_csv_rows
from modules.ledger import CampaignClosedError
from modules.ledger_import import ImportReport, import_ledger
from modules.performance_file import (
    BONUS_POOL,
    CAMPAIGN,
    COUNT,
    KINDS,
    NAMES,
    NOTIFIED,
    NUMBER,
    PERFORMANCE,
    PERFORMANCE_TOTAL,
    REMARK,
    TOTAL,
)
from modules.rewards.explain import why
from modules.sandbox.sample_contracts import SampleMonth
from modules.tables import audit_log, awards, campaigns, config_snapshots, metadata, performance, tasks
from modules.view_contents import PERFORMANCE_TITLES
from tests.desk import BEIJING, FIRST_ID, NOON, SHANGHAI_MAY, Desk, contract
from tests.present_file import (
    AMOUNT,
    CONTRACT_NUMBER,
    GU,
    HOUSEKEEPER,
    ID,
    PRESENT,
    PRESENT_COLUMNS,
    PROJECT,
    PROVIDER,
    SHEN,
    SIGNED,
    SOURCE,
    SOURCE_TYPE,
    FileRow,
    with_change,
    write,
)
from tests.program import World, open_world, unlimited_robot
from tests.program import contract as program_contract


def taken_over(desk: Desk, path: Path, key: str = BEIJING, *, dry_run: bool = False) -> ImportReport:
    """`main.py import-ledger PATH --campaign KEY`."""
    return import_ledger(desk.app, campaign_named(desk.app, key), path, dry_run=dry_run)


def is_empty(desk: Desk) -> bool:
    return not any(desk.table(table) for table in (performance, awards, campaigns, config_snapshots, audit_log, tasks))


def performance_file(desk: Desk, key: str = BEIJING) -> Path:
    return desk.data_dir / f"PerformanceData-{key}.csv"


# -- what becomes of the rows ----------------------------------------------------------------------------------------


def test_the_file_becomes_the_ledger(desk: Desk, tmp_path: Path) -> None:
    report = taken_over(desk, write(tmp_path, PRESENT))
    assert (report.outcome, len(report.plan.rows), report.plan.highest, report.plan.warnings) == ("ok", 7, 7, ())
    rows = desk.table(performance)
    figures = ("sequence", "personal_sequence", "payee", "count", "total", "performance", "performance_total")
    assert [tuple(row[name] for name in figures) for row in rows] == [
        (1, 1, SHEN, 1, 2_000_000, 2_000_000, 2_000_000),
        (2, 2, SHEN, 2, 14_000_000, 10_000_000, 12_000_000),
        (3, 1, GU, 1, 500_050, 500_050, 500_050),
        (4, 3, SHEN, 3, 15_000_000, 1_000_000, 13_000_000),
        (5, 4, SHEN, 4, 15_000_000, 0, 13_000_000),
        (6, 5, SHEN, 5, 16_200_000, 1_200_000, 14_200_000),
        (7, 6, SHEN, 6, 16_300_000, 100_000, 14_300_000),
    ]
    third = rows[2]
    assert third == third | {
        "campaign": BEIJING,
        "contract_id": str(FIRST_ID + 3),
        "housekeeper": GU,
        "provider": "北京瓦蓝防水工程",
        "contract_number": "YHWX-00003",
        "project": "GD00003",
        "self_referral": False,
        "historical": False,
        "signed_at": parse_moment("2025-05-01T09:03:00"),
        "amount": 500_050,
        "source_amount": 500_050,
        "bonus_pool": 1000,
        "platform_count": 1,
        "platform_total": 500_050,
        "platform_performance_total": 500_050,
        "remark": "无",
        "registered_at": parse_moment("2025-05-02T08:03:00"),
        "broadcast_key": None,
        "loss_accepted_at": None,
    }
    source = json.loads(third["source"])
    assert (source["_id"], source["conversion"], source["adjustRefundMoney"]) == (str(FIRST_ID + 3), "0.667", "5000.5")


def test_awards_have_the_amounts_of_the_config_and_the_badge(desk: Desk, tmp_path: Path) -> None:
    taken_over(desk, write(tmp_path, PRESENT))
    columns = ("contract_id", "payee", "kind", "name", "amount", "base_amount", "badge", "multiplier", "position")
    assert [tuple(row[name] for name in columns) for row in desk.table(awards)] == [
        (str(FIRST_ID + 6), SHEN, "幸运数字", "接好运万元以上", 5800, 5800, "", "1", 0),
        (str(FIRST_ID + 7), SHEN, "节节高", "优秀奖", 80_000, 40_000, "elite", "2", 0),
        (str(FIRST_ID + 7), SHEN, "节节高", "达标奖", 40_000, 20_000, "elite", "2", 1),
    ]
    granted = desk.table(awards)[0]
    assert granted["granted_at"] == parse_moment("2025-05-02T08:06:00")
    assert granted["config_hash"] == desk.table(config_snapshots)[0]["hash"]
    assert json.loads(granted["reason"]) | {"why": ""} == {"path": "import-ledger", "threshold": 0, "why": ""}
    assert why(json.loads(granted["reason"])) == "从旧系统导入：PerformanceData.csv 第 7 行"


def test_a_file_name_with_braces_is_shown_as_it_is(desk: Desk, tmp_path: Path) -> None:
    taken_over(desk, write(tmp_path, PRESENT, name="五月{终}.csv"))
    assert why(json.loads(desk.table(awards)[0]["reason"])) == "从旧系统导入：五月{终}.csv 第 7 行"


def test_nothing_imported_is_announced_and_y_is_shown_as_y(desk: Desk, tmp_path: Path) -> None:
    taken_over(desk, write(tmp_path, PRESENT))
    assert desk.table(tasks) == []
    assert {row["broadcast_key"] for row in desk.table(performance)} == {None}
    shown = read_csv_rows(performance_file(desk))
    assert [row[NOTIFIED] for row in shown] == ["Y"] * 6 + ["N"]
    assert json.loads((desk.data_dir / f"send_status_{BEIJING}.json").read_text(encoding="utf-8")) == {}


def test_the_file_is_written_anew_where_a_restored_backup_has_undone_an_import(desk: Desk, tmp_path: Path) -> None:
    taken_over(desk, write(tmp_path, with_change(8, **{REMARK: "错的"})))
    empty_tables(desk)  # files and what is remembered of them stay
    taken_over(desk, write(tmp_path, PRESENT))
    assert [row[REMARK] for row in read_csv_rows(performance_file(desk))] == ["无"] * 7


def test_the_act_is_on_record(desk: Desk, tmp_path: Path) -> None:
    taken_over(desk, write(tmp_path, PRESENT))
    acts = [(row["action"], row["detail"], row["at"]) for row in desk.table(audit_log)]
    detail = f"{BEIJING}：从 PerformanceData.csv 导入 7 个合同、3 个奖励，最大序号 7"
    assert acts == [("import-ledger", detail, NOON)]


def test_a_dry_run_writes_nothing(desk: Desk, tmp_path: Path) -> None:
    report = taken_over(desk, write(tmp_path, PRESENT), dry_run=True)
    assert (report.outcome, len(report.plan.rows), len(report.plan.granted)) == ("dry-run", 7, 3)
    assert is_empty(desk)
    assert not performance_file(desk).exists()


# -- a run goes on from there ----------------------------------------------------------------------------------------


def test_the_next_run_numbers_on_grants_no_tier_again_and_announces_only_what_is_new(
    desk: Desk, tmp_path: Path
) -> None:
    taken_over(desk, write(tmp_path, PRESENT))
    desk.show(SOURCE)
    assert (desk.run().registered, desk.table(tasks)) == (0, [])
    desk.show([*SOURCE, contract(8, 20_000, serviceHousekeeper=SHEN), contract(9, 1, serviceHousekeeper=GU)])
    report = desk.run()
    assert (report.registered, report.awards) == (2, 1)
    new = desk.table(performance)[7:]
    assert [(row["sequence"], row["personal_sequence"], row["count"], row["performance_total"]) for row in new] == [
        (8, 7, 7, 16_300_000),
        (9, 2, 2, 500_150),
    ]
    assert [(row["contract_id"], row["name"]) for row in desk.table(awards)[3:]] == [(str(FIRST_ID + 8), "精英奖")]
    assert {row["group_key"].rpartition(":")[2] for row in desk.table(tasks)} == {str(FIRST_ID + n) for n in (8, 9)}
    desk.drain()
    assert [row[NOTIFIED] for row in read_csv_rows(performance_file(desk))] == [*"YYYYYYNYY"]


def test_numbers_go_on_after_a_gap(desk: Desk, tmp_path: Path) -> None:
    report = taken_over(desk, write(tmp_path, with_change(8, **{NUMBER: "12"})))
    assert report.plan.warnings == ("活动期内第几个合同有空缺：7、8、9、10、11；空缺不补，新合同从 13 起",)
    desk.show([*SOURCE, contract(8)])
    desk.run()
    assert [row["sequence"] for row in desk.table(performance)] == [1, 2, 3, 4, 5, 6, 12, 13]


# -- columns ---------------------------------------------------------------------------------------------------------


def test_columns_are_found_by_name_in_any_order_with_or_without_chinese(desk: Desk, tmp_path: Path) -> None:
    def bare(title: str) -> str:
        return title.partition("(")[2].rstrip(")") or title

    rows = [{bare(title): cell for title, cell in row.items()} for row in PRESENT]
    taken_over(desk, write(tmp_path, rows, sorted(map(bare, PRESENT_COLUMNS))))
    strange = desk.table(performance), desk.table(awards)
    wipe(desk)
    taken_over(desk, write(tmp_path, PRESENT))
    ids = {"id": None}
    assert [[row | ids for row in table] for table in strange] == [
        [row | ids for row in desk.table(table)] for table in (performance, awards)
    ]


def test_every_title_is_one_of_our_own_file() -> None:
    assert set(PRESENT_COLUMNS) | {PERFORMANCE_TOTAL} <= set(PERFORMANCE_TITLES)


def test_what_has_no_column_is_worked_out_over_the_file(desk: Desk, tmp_path: Path) -> None:
    needed = [ID, HOUSEKEEPER, CONTRACT_NUMBER, AMOUNT, PROVIDER, SIGNED, PROJECT, NUMBER, KINDS, NAMES, NOTIFIED]
    report = taken_over(desk, write(tmp_path, PRESENT, needed))
    rows = desk.table(performance)
    assert [row["count"] for row in rows] == [1, 2, 1, 3, 4, 5, 6]
    assert [row["total"] for row in rows][-1] == 16_300_000
    assert [row["performance"] for row in rows][1] == 10_000_000  # capped by the config
    assert [row["performance_total"] for row in rows][-1] == 14_300_000
    assert [row["bonus_pool"] for row in rows][:3] == [4000, 24_000, 1000]
    assert {row["registered_at"] for row in rows} == {NOON}
    assert report.plan.warnings == (
        "第 2、3、4、5、6、7、8 行没有读得懂的登记时间，按现在的时间登记",
        "文件里没有 管家累计单数、管家累计金额、计入业绩金额，按活动规则从文件里的合同算出",
    )


@pytest.mark.parametrize(
    "title", [ID, HOUSEKEEPER, CONTRACT_NUMBER, AMOUNT, PROVIDER, SIGNED, PROJECT, NUMBER, KINDS, NAMES, NOTIFIED]
)
def test_a_missing_required_column_is_named(desk: Desk, tmp_path: Path, title: str) -> None:
    columns = [name for name in PRESENT_COLUMNS if name != title]
    with pytest.raises(JobRefusedError, match="缺少列") as raised:
        taken_over(desk, write(tmp_path, PRESENT, columns))
    assert str(raised.value).partition("缺少列：")[2].partition("；")[0] == title
    assert is_empty(desk)


def test_all_missing_columns_are_named_at_once(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(JobRefusedError) as raised:
        taken_over(desk, write(tmp_path, PRESENT, [CAMPAIGN, ID, NOTIFIED, SIGNED]))
    missing = str(raised.value).partition("缺少列：")[2].partition("；")[0].split("、")
    assert missing == [HOUSEKEEPER, CONTRACT_NUMBER, AMOUNT, PROVIDER, PROJECT, NUMBER, KINDS, NAMES]


# -- bad rows --------------------------------------------------------------------------------------------------------

A_TIER = {KINDS: "节节高", NAMES: "达标奖"}


@pytest.mark.parametrize(
    ("line", "values", "words"),
    [
        (4, {ID: ""}, "没有合同ID"),
        (4, {ID: str(FIRST_ID + 1)}, "合同ID 与第 2 行重复"),
        (4, {ID: "1.92E+18"}, "科学计数法"),
        (4, {HOUSEKEEPER: ""}, "没有管家"),
        (4, {AMOUNT: "待定"}, "合同金额 adjustRefundMoney '待定' 不是数字"),
        (4, {AMOUNT: "-1"}, "负数"),
        (4, {SIGNED: "5月2日"}, "签约时间 signedDate '5月2日' 读不懂"),
        (4, {NUMBER: ""}, "没有活动期内第几个合同"),
        (4, {NUMBER: "0"}, "没有活动期内第几个合同"),
        (4, {NUMBER: "三"}, "活动期内第几个合同 '三' 不是数字"),
        (4, {NUMBER: "3.5"}, "活动期内第几个合同 3.5 不是从 0 起的整数"),
        (4, {NUMBER: "-3"}, "活动期内第几个合同 -3 不是从 0 起的整数"),
        (4, {NUMBER: "1e400"}, "不是从 0 起的整数"),
        (4, {NUMBER: "2"}, "活动期内第几个合同 2 与第 3 行重复"),
        (4, {COUNT: ""}, "管家累计单数 为空"),
        (4, {TOTAL: "很多"}, "管家累计金额 '很多' 不是数字"),
        (4, {BONUS_POOL: "x"}, "奖金池 'x' 不是数字"),
        (4, {PERFORMANCE: ""}, "计入业绩金额 为空"),
        (4, {PERFORMANCE: "5000.51"}, "计入业绩金额（与同一人上一行的累计数之差）为 5,000.51 元，应在 0 和合同金额"),
        (6, {PERFORMANCE: "129999.99"}, "为 -0.01 元，应在 0 和合同金额 0 元之间"),
        (4, {NOTIFIED: ""}, "是否发送通知 '' 应为 Y 或 N"),
        (4, {NOTIFIED: "是"}, "是否发送通知 '是' 应为 Y 或 N"),
        (4, {KINDS: "幸运数字", NAMES: "大奖"}, "奖励名称 大奖 不在活动配置的 awards_mapping 里，现有：接好运、"),
        (4, {KINDS: "抽奖", NAMES: "接好运"}, "奖励类型 抽奖 不认识，应为：幸运数字、"),
        (4, {KINDS: "幸运数字", NAMES: "达标奖"}, "奖励 达标奖 是节节高的一档，而奖励类型写的是 幸运数字"),
        (4, {KINDS: "幸运数字"}, "奖励类型有 1 个而奖励名称有 0 个"),
        (4, {KINDS: "节节高", NAMES: "优秀奖, 达标奖"}, "奖励类型有 1 个而奖励名称有 2 个"),
        (8, {KINDS: "节节高, 节节高", NAMES: "达标奖, 达标奖"}, "节节高 达标奖 已在第 8 行发过"),
        (4, {CAMPAIGN: SHANGHAI_MAY}, f"活动编号是 {SHANGHAI_MAY}，不是 {BEIJING}"),
    ],
)
def test_a_bad_row_is_told_and_nothing_is_imported(
    desk: Desk, tmp_path: Path, line: int, values: FileRow, words: str
) -> None:
    report = taken_over(desk, write(tmp_path, with_change(line, **values)))
    assert report.outcome == "refused"
    assert [bad.line for bad in report.plan.bad_rows if words in bad.why] == [line], report.plan.bad_rows
    assert {bad.line for bad in report.plan.bad_rows} <= {line, line + 1}  # a running total is missed by the next row
    assert is_empty(desk)


def test_a_tier_granted_twice_to_a_payee_is_told_with_both_lines(desk: Desk, tmp_path: Path) -> None:
    report = taken_over(desk, write(tmp_path, with_change(7, **A_TIER)))
    assert [(bad.line, bad.why) for bad in report.plan.bad_rows] == [
        (8, "节节高 达标奖 已在第 7 行发过，同一人不能得两次")
    ]
    assert taken_over(desk, write(tmp_path, with_change(4, **A_TIER))).outcome == "ok"  # another payee


def test_all_bad_rows_are_told_at_once(desk: Desk, tmp_path: Path) -> None:
    rows = with_change(4, **{AMOUNT: "待定", NOTIFIED: "?", KINDS: "幸运数字"})
    rows[4] |= {KINDS: "抽奖", NAMES: "大奖"}
    rows[5] |= {NUMBER: "4"}
    bad = taken_over(desk, write(tmp_path, rows)).plan.bad_rows
    assert [(row.line, row.contract_id) for row in bad] == [
        (line, str(FIRST_ID + line - 1)) for line in (4, 4, 4, 6, 6, 7)
    ]
    assert is_empty(desk)


def test_a_row_that_cannot_be_read_is_not_blamed_on_the_next_one(desk: Desk, tmp_path: Path) -> None:
    bad = taken_over(desk, write(tmp_path, with_change(3, **{AMOUNT: "待定"}))).plan.bad_rows
    assert [row.line for row in bad] == [3]


def test_rows_that_were_sorted_anew_are_told_once(desk: Desk, tmp_path: Path) -> None:
    rows = [row | {PERFORMANCE: "0"} for row in reversed(PRESENT)]
    bad = taken_over(desk, write(tmp_path, rows)).plan.bad_rows
    assert [(row.line, row.why.partition("；")[0]) for row in bad] == [(3, "活动期内第几个合同 6 排在 7 之后")]


def test_a_file_of_another_month_is_refused_and_one_late_contract_is_not(desk: Desk, tmp_path: Path) -> None:
    rows = [row | {SIGNED: row[SIGNED].replace("2025-05", "2025-04"), CAMPAIGN: "旧"} for row in PRESENT]
    bad = taken_over(desk, write(tmp_path, rows)).plan.bad_rows
    assert [(row.line, "整个文件没有一个合同在内" in row.why) for row in bad] == [(2, True)]
    report = taken_over(desk, write(tmp_path, [*rows[:1], *PRESENT[1:]]))
    assert report.outcome == "ok"
    assert report.plan.warnings == (
        "文件里的活动编号是 旧，按 BJ-2025-05 导入",
        "第 2 行的签约时间不在活动期 2025-05-01 至 2025-05-31 内，照样导入",
    )


def test_rows_that_excel_left_empty_are_no_rows(desk: Desk, tmp_path: Path) -> None:
    empty = dict.fromkeys(PRESENT_COLUMNS, "")
    assert len(taken_over(desk, write(tmp_path, [*PRESENT, empty, empty])).plan.rows) == 7


# -- the file itself -------------------------------------------------------------------------------------------------


def test_utf_8_is_taken_with_and_without_its_mark(desk: Desk, tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        assert taken_over(desk, write(tmp_path, PRESENT, encoding=encoding), dry_run=True).outcome == "dry-run"


def test_what_is_written_for_excel_is_read_back(desk: Desk, tmp_path: Path) -> None:
    path = write(tmp_path, with_change(4, **{PROJECT: "=GD3", REMARK: "@无"}))
    assert "'=GD3" in path.read_text(encoding="utf-8-sig")
    taken_over(desk, path)
    third = desk.table(performance)[2]
    assert (third["project"], third["remark"]) == ("=GD3", "@无")


def gbk(folder: Path) -> Path:
    return write(folder, PRESENT, encoding="gbk")


def too_many_cells(folder: Path) -> Path:
    path = write(folder, PRESENT)
    path.write_text(path.read_text(encoding="utf-8-sig") + "多" * 9 + ",出" * 40, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("made_by", "words"),
    [
        (gbk, "不是 UTF-8 编码.*另存为“CSV UTF-8（逗号分隔）”"),
        (too_many_cells, "第 9 行的格数多于列数"),
        (lambda folder: folder / "gone.csv", "读不到文件 .*gone.csv"),
        (lambda folder: folder, "读不到文件"),
        (lambda folder: write(folder, []), "没有一行数据"),
        (lambda folder: write(folder, [dict.fromkeys(PRESENT_COLUMNS, "")]), "没有一行数据"),
        (lambda folder: write(folder, [with_change(4, **{REMARK: "x" * 200_000})[2]]), "不是完好的 CSV"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_words(
    desk: Desk, tmp_path: Path, made_by: Callable[[Path], Path], words: str
) -> None:
    with pytest.raises(JobRefusedError, match=words):
        taken_over(desk, made_by(tmp_path))
    assert is_empty(desk)


# -- only once, and all or nothing -----------------------------------------------------------------------------------


def test_a_ledger_that_has_contracts_is_refused(desk: Desk, tmp_path: Path) -> None:
    desk.show(SOURCE[:2])
    desk.run()
    with pytest.raises(JobRefusedError, match="已有 2 个合同、0 个奖励，不能再导入"):
        taken_over(desk, write(tmp_path, PRESENT))
    assert len(desk.table(performance)) == 2


def test_the_same_file_again_changes_nothing_and_says_so(desk: Desk, tmp_path: Path) -> None:
    path = write(tmp_path, PRESENT)
    taken_over(desk, path)
    before = desk.table(performance), desk.table(awards), desk.table(audit_log)
    assert taken_over(desk, path).outcome == "unchanged"
    assert (desk.table(performance), desk.table(awards), desk.table(audit_log)) == before
    desk.show([*SOURCE, contract(8)])
    desk.run()
    assert taken_over(desk, path).outcome == "unchanged"
    assert taken_over(desk, write(tmp_path, PRESENT[:-1])).outcome == "unchanged"  # a part of what is there
    for other in (with_change(8, **{NUMBER: "8"}), with_change(8, **A_TIER)):
        with pytest.raises(JobRefusedError, match="不能再导入"):
            taken_over(desk, write(tmp_path, other))


def test_a_closed_campaign_is_refused(desk: Desk, tmp_path: Path) -> None:
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(campaigns).values(key=BEIJING, revision=1, closed_at=NOON))
    for dry_run in (True, False):
        with pytest.raises(CampaignClosedError, match="已结账"):
            taken_over(desk, write(tmp_path, PRESENT), dry_run=dry_run)
    assert desk.table(performance) == []


def test_a_run_that_comes_in_between_is_not_written_over(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.show(SOURCE[:2])
    checked = ledger_import._refuse_unless_empty

    def then_somebody_runs(*arguments: Any) -> None:
        checked(*arguments)
        desk.run()

    monkeypatch.setattr(ledger_import, "_refuse_unless_empty", then_somebody_runs)
    with pytest.raises(JobRefusedError, match="什么也没有导入"):
        taken_over(desk, write(tmp_path, PRESENT))
    assert [row["sequence"] for row in desk.table(performance)] == [1, 2]
    assert desk.table(audit_log) == []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path / "world", unlimited_robot) as opened:
        yield opened


@pytest.mark.parametrize("place", ["_insert_awards", "_store_config"])
def test_a_crash_in_the_middle_imports_nothing(world: World, tmp_path: Path, place: str) -> None:
    path = str(write(tmp_path, PRESENT))
    killed = f"import os, signal, modules.ledger as l\nl.{place} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    assert world.run("import-ledger", path, "--campaign", BEIJING, prelude=killed).code == -signal.SIGKILL
    assert not any(world.ledger().values())
    assert world.query("SELECT * FROM campaigns") == world.query("SELECT * FROM audit_log") == []
    assert world.run("import-ledger", path, "--campaign", BEIJING).code == 0
    assert world.numbers() == [1, 2, 3, 4, 5, 6, 7]


# -- our own files: round trip, and import then run is having run all along ------------------------------------------

OwnFile = Callable[..., AbstractContextManager[Desk]]


def empty_tables(desk: Desk) -> None:
    with desk.app.database.writing() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.delete(table))


def wipe(desk: Desk) -> None:
    """A fresh installation."""
    empty_tables(desk)
    for path in (performance_file(desk), desk.data_dir / f"send_status_{BEIJING}.json"):
        path.unlink(missing_ok=True)


def ledger_rows(desk: Desk, *but: str) -> list[list[dict[str, Any]]]:
    """Contracts and awards, without what only tells when and how they were written, and without these columns."""
    passing = {"id", "registered_at", "granted_at", "notified_at", "broadcast_key", "source", "reason", *but}
    return [
        [{name: value for name, value in row.items() if name not in passing} for row in desk.table(table)]
        for table in (performance, awards)
    ]


@pytest.mark.parametrize("key", [BEIJING, SHANGHAI_MAY])
def test_our_own_file_in_a_fresh_installation_gives_the_same_ledger(
    open_desk: OwnFile, tmp_path: Path, key: str
) -> None:
    month = SampleMonth(key[:2], 2025, 5, seed=11, contracts=90, faulty=True)
    with ExitStack() as stack:
        old, new = (stack.enter_context(open_desk(DATA_DIR=str(tmp_path / name))) for name in ("old", "new"))
        old.show(month.pull(NOON), key)
        old.run(key)
        old.robot.inject(93000, times=3)
        old.drain()
        report = taken_over(new, performance_file(old, key), key)
        (warning,) = report.plan.warnings
        assert (report.outcome, report.plan.is_cumulative) == ("ok", False)
        assert warning.startswith(
            f"这是本系统自己写的文件：settle 补发的奖励和人工调整不在里面（在 Corrections-{key}.csv 里）"
        )
        assert warning.endswith("要搬到别处请复制 tasks.db")
        assert ledger_rows(new) == ledger_rows(old)
        assert performance_file(new, key).read_bytes() == performance_file(old, key).read_bytes()
        assert {row["是否发送通知"] for row in read_csv_rows(performance_file(new, key))} == {"N", "Y"}
        again = new.run(key)
        assert (again.registered, again.awards, again.tasks) == (0, 0, 0)
        assert ledger_rows(new) == ledger_rows(old)
        later = month.pull(NOON.replace(day=28))
        for one in (old, new):
            one.show(later, key)
            assert one.run(key, at="2025-05-28T12:00").registered > 10
        assert ledger_rows(new) == ledger_rows(old)


OWN_CAMPAIGN = """
REWARD_CONFIGS = {"BJ-2025-05": {
    "card_id": 1693, "housekeeper_key": "housekeeper+provider", "historical_contracts": True,
    "performance_limits": {"enable_cap": True, "single_contract_cap": 30000, "single_project_limit": 50000,
                           "self_referral_project_limit": 20000},
    "opening_reward": {"first": 2, "name": "开门红"},
    "lucky_number": "3", "lucky_number_mode": "personal_sequence",
    "lucky_rewards": {"base": {"name": "接好运"}},
    "contract_rewards": [{"name": "大单", "min_amount": 20000, "quota": 2}],
    "self_referral_rewards": {"enable": True, "reward_name": "红包"},
    "tiered_rewards": {"min_contracts": 2, "stats": "platform_only",
                       "tiers": [{"name": "达标奖", "threshold": 20000}, {"name": "优秀奖", "threshold": 40000}]},
    "awards_mapping": {"开门红": 10, "接好运": "18.88", "大单": 100, "红包": 50, "达标奖": 200, "优秀奖": 400},
    "badges": {"elite": {"label": "精", "members": "elite", "multiplier": "1.5", "applies_to": ["节节高", "自引单"]}},
}}
"""
"""Everything at once: tracks, historical contracts, a quota, badges."""

SERIES = st.lists(
    st.fixed_dictionaries(
        {
            "serviceHousekeeper": st.sampled_from([SHEN, GU]),
            "orgName": st.sampled_from(["瓦蓝", "广厦"]),
            "serviceAppointmentNum": st.sampled_from(["GD1", "GD2", "GD3", ""]),
            "adjustRefundMoney": st.sampled_from(["0", "9000.01", "20000", "35,000.50"]),
            "sourceType": st.sampled_from([1, 2]),
            "projectAddress": st.sampled_from(["", "望枫路1号", "=望枫路2号"]),
            "pcContractdocNum": st.sampled_from(["", "", "", "OLD-1"]),
        }
    ),
    min_size=2,
    max_size=12,
)


@pytest.fixture
def own(open_desk: OwnFile, tmp_path: Path) -> Iterator[Desk]:
    file = tmp_path / "own.py"
    file.write_text(OWN_CAMPAIGN, encoding="utf-8")
    with open_desk(CAMPAIGNS_FILE=str(file)) as opened:
        yield opened


def test_import_then_run_is_having_run_all_along(own: Desk, tmp_path: Path) -> None:
    seen: list[int] = []

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(series=SERIES, until=st.integers(1, 11), cancelled=st.integers(0, 20))
    def same(series: list[dict[str, Any]], until: int, cancelled: int) -> None:
        source = [contract(number, **row) for number, row in enumerate(series, start=1)]
        wipe(own)
        own.show(source[:until])
        own.run()
        file = tmp_path / "PerformanceData.csv"
        file.write_bytes(performance_file(own).read_bytes())
        before = {row["group_key"] for row in own.table(tasks)}
        own.show([row for position, row in enumerate(source) if position != cancelled])
        own.run()
        all_along = ledger_rows(own)
        new = {row["group_key"] for row in own.table(tasks)} - before
        wipe(own)
        report = taken_over(own, file)
        assert report.outcome == "ok", report.plan.bad_rows
        own.run()
        assert ledger_rows(own) == all_along
        assert {row["group_key"] for row in own.table(tasks)} == new
        seen.append(len(all_along[1]))

    same()
    assert sum(seen) > 25, "awards have been compared too"


def test_after_changes_in_the_source_the_run_still_goes_on_the_same(own: Desk, tmp_path: Path) -> None:
    """The file shows figures as they were announced; what comes after is judged by what the source shows now."""
    first = [contract(n, 15_000, sourceType=n % 2 + 1, projectAddress="") for n in range(1, 6)]
    own.show(first)
    own.run()
    changed = [contract(1, 1000, sourceType=2, projectAddress=""), *first[2:]]
    own.show([*changed, contract(6, 15_000, projectAddress="")])
    own.run()
    file = tmp_path / "PerformanceData.csv"
    file.write_bytes(performance_file(own).read_bytes())
    last = [contract(n, 25_000, projectAddress="") for n in (7, 8)]
    own.show([*changed, contract(6, 15_000, projectAddress=""), *last])
    own.run()
    platform = ("platform_count", "platform_total", "platform_performance_total", "source_amount")
    expected, whole = ledger_rows(own, *platform), ledger_rows(own)[0][6:]
    wipe(own)
    assert taken_over(own, file).outcome == "ok"
    own.run()
    assert ledger_rows(own, *platform) == expected
    assert ledger_rows(own)[0][6:] == whole


def test_a_historical_contract_has_no_number_and_no_award(own: Desk, tmp_path: Path) -> None:
    rows = [row | {KINDS: "", NAMES: "", SOURCE_TYPE: "2", "项目地址(projectAddress)": ""} for row in PRESENT]
    rows[1] |= {NUMBER: "", COUNT: "1", TOTAL: "20000"}
    columns = [*PRESENT_COLUMNS, SOURCE_TYPE, "项目地址(projectAddress)"]
    report = taken_over(own, write(tmp_path, rows, columns))
    assert report.plan.warnings == ("活动期内第几个合同有空缺：2；空缺不补，新合同从 8 起",)
    shown = [(row["sequence"], row["personal_sequence"], row["historical"]) for row in own.table(performance)][:4]
    assert shown == [(1, 1, False), (None, None, True), (3, 1, False), (4, 2, False)]
    wipe(own)
    rows[1] |= {KINDS: "签约奖励", NAMES: "大单"}
    bad = taken_over(own, write(tmp_path, rows, columns)).plan.bad_rows
    assert [(row.line, row.why) for row in bad] == [(3, "没有活动期内第几个合同的历史合同不能有奖励")]


def test_a_campaign_that_tells_tracks_apart_needs_their_columns(own: Desk, tmp_path: Path) -> None:
    with pytest.raises(JobRefusedError, match=r"缺少列：工单类型\(sourceType\)、项目地址\(projectAddress\)；"):
        taken_over(own, write(tmp_path, PRESENT))


# -- the command -----------------------------------------------------------------------------------------------------


def imported(world: World, path: Path, *options: str) -> Any:
    return world.run("import-ledger", str(path), "--campaign", BEIJING, *options, COLUMNS="200")


def test_the_command_says_what_it_would_do_and_what_it_did(world: World, tmp_path: Path) -> None:
    path = write(tmp_path, PRESENT)
    rehearsal = imported(world, path, "--dry-run")
    assert (rehearsal.code, rehearsal.err) == (0, "")
    for words in ("有 7 个合同、2 位管家，最大序号 7，奖励 3 个", "累计数（旧系统的写法）", "什么也没有写入"):
        assert words in rehearsal.out
    lines = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]]
             for line in rehearsal.out.splitlines() if line.startswith("│")}  # fmt: skip
    assert lines == {"接好运万元以上": ["1", "58"], "达标奖": ["1", "400"], "优秀奖": ["1", "800"],
                     "合计": ["3", "1,258"]}  # fmt: skip
    assert world.query("SELECT * FROM performance") == []
    done = imported(world, path)
    assert (done.code, done.err) == (0, "")
    assert "已导入。下一个合同是第 8 个；导入的合同一律不再播报" in done.out
    again = imported(world, path)
    assert (again.code, again.err) == (0, "")
    assert "不必再导入" in again.out
    assert (world.data_dir / f"PerformanceData-{BEIJING}.csv").exists()


def test_the_commands_json(world: World, tmp_path: Path) -> None:
    expected = {
        "campaign": BEIJING,
        "file": "PerformanceData.csv",
        "outcome": "ok",
        "rows": 7,
        "historical": 0,
        "payees": 2,
        "highest": 7,
        "awards": 3,
        "payout": {
            "接好运万元以上": {"count": 1, "amount": "58"},
            "达标奖": {"count": 1, "amount": "400"},
            "优秀奖": {"count": 1, "amount": "800"},
        },
        "payout_total": "1258",
        "cumulative": True,
        "warnings": [],
        "bad_rows": [],
    }
    rehearsal = imported(world, write(tmp_path, PRESENT), "--dry-run", "--json")
    assert (rehearsal.code, rehearsal.json) == (0, expected | {"outcome": "dry-run"})
    done = imported(world, write(tmp_path, PRESENT), "--json")
    assert (done.code, done.json) == (0, expected)
    assert len(done.out.splitlines()) == 1


def test_our_own_file_is_taken_with_a_warning_that_it_is_not_the_whole_ledger(world: World, tmp_path: Path) -> None:
    """A tier that settle granted stands in no performance file: it would be granted twice."""
    rows = [row | {PERFORMANCE_TOTAL: row[PERFORMANCE], PERFORMANCE: "0"} for row in PRESENT]
    path = write(tmp_path, rows, [*PRESENT_COLUMNS, PERFORMANCE_TOTAL])
    warned = "settle 补发的奖励和人工调整不在里面"
    assert f"注意 这是本系统自己写的文件：{warned}" in imported(world, path, "--dry-run").out
    assert warned in imported(world, path, "--json").json["warnings"][0]


def test_bad_rows_are_listed_with_exit_code_2(world: World, tmp_path: Path) -> None:
    rows = with_change(4, **{AMOUNT: "待定"})
    rows[5] |= {NAMES: "大奖"}
    ended = imported(world, write(tmp_path, rows))
    assert ended.code == 2
    assert ended.out.splitlines()[0].startswith(f"第 4 行 {FIRST_ID + 3}：合同金额")
    assert ended.out.splitlines()[1].startswith(f"第 7 行 {FIRST_ID + 6}：奖励名称 大奖")
    assert "有 2 处问题，什么也没有导入" in ended.out
    as_json = imported(world, write(tmp_path, rows), "--json")
    assert as_json.code == 2
    assert as_json.json["outcome"] == "refused"
    assert [(bad["line"], bad["contract_id"]) for bad in as_json.json["bad_rows"]] == [
        (4, str(FIRST_ID + 3)), (7, str(FIRST_ID + 6)),
    ]  # fmt: skip
    assert world.query("SELECT * FROM performance") == []


def test_what_cannot_be_used_is_one_line_with_exit_code_2(world: World, tmp_path: Path) -> None:
    world.show([program_contract(1)])
    for ended, words in (
        (imported(world, tmp_path / "gone.csv"), "读不到文件"),
        (imported(world, gbk(tmp_path)), "UTF-8"),
        (imported(world, write(tmp_path, PRESENT, [ID])), "缺少列"),
        (world.run("import-ledger", str(write(tmp_path, PRESENT)), "--campaign", "BJ-2099-01"), "BJ-2099-01"),
        (world.run("import-ledger", str(write(tmp_path, PRESENT))), "--help"),
    ):
        assert (ended.code, ended.out) == (2, ""), ended
        assert len(ended.err.splitlines()) == 1
        assert words in ended.err
    assert world.run_may().code == 0
    refused = imported(world, write(tmp_path, PRESENT))
    assert (refused.code, refused.out) == (2, "")
    assert "台账里已有 1 个合同" in refused.err


def test_moments_are_shanghai_time(desk: Desk, tmp_path: Path) -> None:
    taken_over(desk, write(tmp_path, with_change(2, **{SIGNED: "2025-05-01T02:00:00Z"})))
    assert desk.table(performance)[0]["signed_at"].astimezone(SHANGHAI).hour == 10


def test_the_revision_moves_on(desk: Desk, tmp_path: Path) -> None:
    taken_over(desk, write(tmp_path, PRESENT))
    with desk.app.database.reading() as connection:
        assert ledger.read(connection, BEIJING).revision == 1
