"""Downloads of tables: exact, with ids as text, and whole also where the page shows only the newest rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from openpyxl import load_workbook

from modules.clock import SHANGHAI, parse_moment
from modules.database import Database
from modules.figures import queue
from modules.figures.newest import Newest, newest_of
from modules.tables import audit_log, job_runs, rejected_rows, sla_days, sla_violations, tasks
from streamlit_app import data, tables
from streamlit_app.tables import Column, csv_bytes, xlsx_bytes
from tests.dashboard_stage import keep_downloads, open_page, table, unfold, words
from tests.desk import BEIJING, NOON, Desk

pytestmark = pytest.mark.usefixtures("nothing_kept")

Fill = Callable[[Desk, int], None]
FIRST_ID = 1_920_000_000_000_000_000


def in_csv(content: bytes, title: str) -> list[str]:
    return [row[title] for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))]


def in_workbook(content: bytes, title: str) -> list[object]:
    head, *rows = load_workbook(io.BytesIO(content)).worksheets[0].iter_rows(values_only=True)
    column = head.index(title)
    return [row[column] for row in rows if any(cell is not None for cell in row)]


class TestDownloads:
    COLUMNS = (Column("合同ID"), Column("金额（元）", "yuan"), Column("时间", "moment"), Column("进度", "share"))
    ROWS = (("1920000000000000001", 123_456, parse_moment("2025-05-01T09:30").astimezone(SHANGHAI), 0.5),)

    def test_csv_has_the_mark_for_excel_and_exact_figures(self) -> None:
        assert csv_bytes(self.COLUMNS, self.ROWS).decode("utf-8").splitlines() == [
            "\ufeff合同ID,金额（元）,时间,进度",
            "1920000000000000001,1234.56,2025-05-01 09:30:00,50.0%",
        ]

    def test_a_cell_that_looks_like_a_formula_is_disarmed_in_csv(self) -> None:
        assert "'=1+1" in csv_bytes((Column("备注"),), (("=1+1",),)).decode("utf-8")

    def test_xlsx_keeps_all_digits_of_an_id_as_text(self) -> None:
        sheet = load_workbook(io.BytesIO(xlsx_bytes("合同", self.COLUMNS, self.ROWS))).worksheets[0]
        assert [cell.value for cell in sheet[1]] == ["合同ID", "金额（元）", "时间", "进度"]
        assert (sheet["A2"].value, sheet["A2"].data_type) == ("1920000000000000001", "s")
        assert sheet["B2"].value == 1234.56


def put(desk: Desk, into: sa.Table, number: int, **values: object) -> None:
    """So many rows, of which texts with `{}` carry the number."""
    rows = [
        {name: value.format(FIRST_ID + one) if isinstance(value, str) else value for name, value in values.items()}
        for one in range(number)
    ]
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(into), rows)


def put_tasks(desk: Desk, number: int) -> None:
    times = {"created_at": NOON, "updated_at": NOON}
    put(desk, tasks, number, task_type="t", recipient="ops", message="m{}", status="failed", last_error="x", **times)


def put_acts(desk: Desk, number: int) -> None:
    put(desk, audit_log, number, at=NOON, who="甲", action="tasks", detail="任务 {}")


def put_failures(desk: Desk, number: int) -> None:
    times = {"slot": NOON, "started_at": NOON, "ended_at": NOON}
    put(desk, job_runs, number, job="check", outcome="failed", error="坏了 {}", **times)


def put_rejected(desk: Desk, number: int) -> None:
    row = {"campaign": BEIJING, "reason": "没有金额", "source": "", "first_seen_at": NOON}
    put(desk, rejected_rows, number, contract_id="{}", fingerprint="{}", **row)


def put_violations(desk: Desk, number: int) -> None:
    blank = {column.name: "" for column in sla_violations.columns if isinstance(column.type, sa.Text)}
    day = NOON.date() - timedelta(days=1)
    row = blank | {"order_number": "{}", "identity": "{}", "provider": "甲装饰", "day": day, "stored_at": NOON}
    put(desk, sla_violations, number, **row)
    put(desk, sla_days, 1, day=day, state="data", rows=number)


class TestWhole:
    @pytest.mark.parametrize(
        ("name", "fill", "limit", "title", "file"),
        [
            ("queue", put_tasks, 500, "内容", "消息-失败"),
            ("queue", put_acts, 100, "做了什么", "操作记录"),
            ("status", put_failures, 100, "错误", "最近的错误"),
            ("status", put_rejected, 1000, "合同ID", "用不了的数据行"),
            ("sla", put_violations, 1000, "工单号", "违规明细-2025-05-19-2025-05-19"),
        ],
    )
    def test_the_page_shows_the_newest_and_says_so_and_the_files_have_all(
        self, doors: Desk, monkeypatch: pytest.MonkeyPatch, name: str, fill: Fill, limit: int, title: str, file: str
    ) -> None:
        offered = keep_downloads(monkeypatch)
        fill(doors, limit + 7)
        page = unfold(open_page(name))
        assert not page.exception
        (shown,) = [
            rows for rows in (table(page, one) for one in range(len(page.dataframe))) if rows and title in rows[0]
        ]
        assert len(shown) == limit
        assert f"只列出最近 {limit:,} 条；下载的文件里是全部 {limit + 7:,} 条" in words(page)
        whole = in_csv(offered[f"{file}.csv"](), title)
        assert len(set(whole)) == limit + 7
        assert [str(row[title]) for row in shown] == whole[:limit]
        assert in_workbook(offered[f"{file}.xlsx"](), title) == whole
        assert all(str(FIRST_ID + one) in whole[-1 - one] for one in (0, 1, limit + 6))

    def test_where_all_is_shown_nothing_is_said(self, doors: Desk) -> None:
        put_tasks(doors, 500)
        assert "只列出" not in words(open_page("queue"))

    def test_the_file_has_what_is_chosen_and_nothing_else(self, doors: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Read a few at a time, each once, whatever becomes of the tasks meanwhile."""
        monkeypatch.setattr(data, "TASKS_AT_ONCE", 200)
        offered = keep_downloads(monkeypatch)
        put_tasks(doors, 503)
        others = {"recipient": "bj_group"}
        with doors.app.database.writing() as connection:
            connection.execute(sa.update(tasks).where(tasks.c.id <= 2).values(others))
            connection.execute(sa.update(tasks).where(tasks.c.id == 3).values(status="completed"))
        open_page("queue", state="failed", recipient="ops")
        assert in_csv(offered["消息-失败.csv"](), "编号") == [str(number) for number in range(503, 3, -1)]
        reading = data.every_task_of("failed", "")
        assert next(reading).id == 503
        put_tasks(doors, 2)
        assert [task.id for task in reading] == [*range(502, 3, -1), 2, 1]

    def test_too_much_for_a_workbook_is_said_and_offered_as_csv(
        self, doors: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "MOST_IN_WORKBOOK", 506)
        offered = keep_downloads(monkeypatch)
        put_tasks(doors, 507)
        assert "全部 507 条（超过 506 条，没有 Excel 文件，请下载 CSV）" in words(open_page("queue"))
        assert set(offered) == {"消息-失败.csv"}

    @pytest.mark.parametrize("recipient", ["", "ops"])
    def test_what_is_not_shown_is_counted(self, any_database: Database, recipient: str) -> None:
        row = {"task_type": "t", "message": "m", "status": "completed", "created_at": NOON, "updated_at": NOON}
        with any_database.writing() as connection:
            connection.execute(sa.insert(tasks), [row | {"recipient": who} for who in ("ops", "x", "ops", "ops")])
            asked = [queue.newest(connection, "completed", recipient, number) for number in (2, 9)]
            assert [one.number for one in asked] == ([3, 3] if recipient else [4, 4])
            assert [task.id for task in asked[0].rows] == [4, 3]
            chosen = sa.select(tasks.c.id).order_by(tasks.c.id)
            assert newest_of(connection, chosen, int, None) == Newest([1, 2, 3, 4], 4)
