"""服务商SLA: the figures are those of the stored violations, days without data are told apart, and the texts are those
that were sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from modules.figures import sla, sla_texts
from modules.message_text import joined, split_message
from modules.sla_settings import SlaSettings
from modules.tables import sla_violations, spent_keys, tasks
from modules.templates import Templates
from streamlit_app import data, reading
from tests.dashboard_stage import asked, cards, figure_of, open_page, run_violations, slot_after, table, unfold, words
from tests.desk import Desk, lasting_desk

pytestmark = pytest.mark.usefixtures("nothing_kept")

FIRST, LAST = date(2025, 5, 1), date(2025, 5, 22)
MISSED = (date(2025, 5, 14), date(2025, 5, 15))
MONDAY, NEXT_MONDAY = date(2025, 5, 5), date(2025, 5, 19)


@pytest.fixture(scope="module")
def may_database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Three weeks of May, two days of which were missed, with the messages still to be sent: to copy."""
    root = tmp_path_factory.mktemp("may") / "installation"
    with lasting_desk(root, empty_database) as desk:
        run_violations(desk, FIRST, LAST, MISSED)
    return root / "data" / "tasks.db"


@pytest.fixture
def may(open_doors: Callable[[Path], AbstractContextManager[Desk]], may_database: Path) -> Iterator[Desk]:
    """A desk with these, on the morning after."""
    with open_doors(may_database) as desk:
        desk.clock.now = slot_after(LAST)
        yield desk


def texts(page: AppTest) -> list[str]:
    return [block.value for block in page.code]


class TestFigures:
    def test_every_figure_is_that_of_the_table(self, may: Desk) -> None:
        page = open_page("sla")
        total = figure_of(may, "SELECT COUNT(*) FROM sla_violations")
        assert total > 100
        assert cards(page)["违规"] == f"{total:,} 条"
        providers = figure_of(may, "SELECT COUNT(DISTINCT provider) FROM sla_violations")
        assert cards(page)["有违规的服务商"] == f"{providers} 家"
        for row in table(page):
            own = f"SELECT COUNT(*) FROM sla_violations WHERE provider = '{row['服务商']}'"  # noqa: S608
            assert row["合计"] == figure_of(may, own)
            assert row["超时未上门"] == figure_of(may, f"{own} AND description = '超时未上门'")
        assert sum(int(str(row["合计"])) for row in table(page)) == total

    def test_days_and_provider_can_be_chosen(self, may: Desk) -> None:
        (provider, *_) = data.sla_providers()
        page = open_page("sla", dates="2025-05-05~2025-05-11", provider=provider)
        chosen = f"SELECT COUNT(*) FROM sla_violations WHERE provider = '{provider}' AND day BETWEEN"  # noqa: S608
        number = figure_of(may, f"{chosen} '2025-05-05' AND '2025-05-11'")
        assert cards(page)["违规"] == f"{number} 条"
        assert [row["服务商"] for row in table(page)] == [provider]
        assert asked(page)["dates"] == "2025-05-05~2025-05-11"

    def test_the_days_that_are_shown_at_first_stand_in_the_address(self, may: Desk) -> None:
        page = open_page("sla")
        assert asked(page)["dates"] == f"{FIRST}~{LAST}"
        assert not page.warning

    def test_the_days_before_are_compared_where_all_of_them_are_kept(self, may: Desk) -> None:
        before = "SELECT COUNT(*) FROM sla_violations WHERE day BETWEEN '2025-05-05' AND '2025-05-11'"
        rows = table(open_page("sla", dates="2025-05-12~2025-05-18"))
        assert 0 < sum(int(str(row["前 7 天"])) for row in rows) <= figure_of(may, before)
        for row in rows:
            assert row["前 7 天"] == figure_of(may, f"{before} AND provider = '{row['服务商']}'")
        assert "前 22 天" not in table(open_page("sla"))[0]

    def test_every_day_is_there_and_its_number_is_that_of_the_table(self, may: Desk) -> None:
        with may.app.database.reading() as connection:
            days = sla.days(connection, FIRST, LAST)
        assert [one.day for one in days] == [FIRST + timedelta(days=shift) for shift in range(22)]
        assert {one.day for one in days if not one.is_known} == set(MISSED)
        for one in days:
            assert one.number == figure_of(may, f"SELECT COUNT(*) FROM sla_violations WHERE day = '{one.day}'")  # noqa: S608


class TestDaysWithoutData:
    def test_they_are_told_and_are_no_days_without_violations(self, may: Desk) -> None:
        page = open_page("sla")
        assert cards(page)["没有数据"] == "🔴 2 天"
        assert "打 ✕ 的 2 天没有取到数据，不代表没有违规" in words(page)
        total = figure_of(may, "SELECT COUNT(*) FROM sla_violations")
        assert f"平均每天 {total / 20:.1f} 条" in words(page)

    def test_days_that_are_all_unknown_show_no_zero(self, may: Desk) -> None:
        page = open_page("sla", dates="2025-05-14~2025-05-15")
        assert not page.exception
        assert "没有服务违规" not in words(page)

    def test_days_without_a_violation_are_good_news(self, may: Desk) -> None:
        with may.app.database.writing() as connection:
            connection.execute(sa.delete(sla_violations))
        page = open_page("sla")
        assert "有数据的 20 天里一条也没有" in words(page)
        assert "没有服务违规" in words(page)


class TestFolds:
    def test_violations_one_by_one_are_read_once_somebody_opens_them(
        self, may: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[object] = []
        read = data.sla_lines
        monkeypatch.setattr(data, "sla_lines", lambda *asked: (looks.append(asked), read(*asked))[1])
        page = open_page("sla")
        total = figure_of(may, "SELECT COUNT(*) FROM sla_violations")
        assert page.expander[0].label == f"逐条查看（{total:,} 条）"
        assert not looks
        assert len(table(unfold(page), 1)) == total
        assert looks


class TestTexts:
    def test_what_was_sent_stands_there_word_by_word_with_its_state(self, may: Desk) -> None:
        may.drain()
        page = unfold(open_page("sla", week=str(MONDAY)))
        sent = may.table(tasks)
        keys = {
            row["group_key"]
            for row in sent
            if str(row["group_key"]).startswith((f"sla-week:{MONDAY}:", f"sla-praise:{MONDAY}:"))
        }
        expected = [joined([row["message"] for row in sent if row["group_key"] == key]) for key in keys]
        assert len(expected) > 2
        assert sorted(texts(page)) == sorted(expected)
        assert any("已发送" in one.label for one in page.expander)

    def test_a_week_that_is_not_over_is_shown_as_it_would_be_told(self, may: Desk) -> None:
        page = unfold(open_page("sla", week=str(NEXT_MONDAY)))
        assert "还没有发" in words(page)
        assert all(f"{NEXT_MONDAY} 至 2025-05-25" in text for text in texts(page))
        assert any("2025-05-28 18:00" in text for text in texts(page))  # appeals count from the day it will be told

    def test_a_message_that_was_purged_is_written_anew_and_said_to_be(self, may: Desk) -> None:
        before = texts(unfold(open_page("sla", week=str(MONDAY))))
        with may.app.database.writing() as connection:
            keys = connection.scalars(
                sa.select(tasks.c.group_key).where(tasks.c.group_key.startswith("sla-")).distinct()
            )
            gone = [{"group_key": key, "purged_at": may.clock.now} for key in keys]
            connection.execute(sa.insert(spent_keys), gone)
            connection.execute(sa.delete(tasks))
        reading.forget()
        page = unfold(open_page("sla", week=str(MONDAY)))
        assert "原文已清理" in "".join(one.label for one in page.expander)
        reports = [text for text in before if not text.startswith("⚠️")]
        assert reports
        assert set(reports) <= set(texts(page))

    def test_a_failed_part_makes_the_whole_a_failed_one(self, may: Desk) -> None:
        writer = sla_texts.Writer(SlaSettings(), Templates.read(), ())
        with may.app.database.writing() as connection:
            provider = "示例装饰"
            for number, text in enumerate(split_message("一行\n" * 30, 100), 1):
                key = f"sla-week:{MONDAY}:{provider}"
                values = {"dedup_key": f"{key}#{number}", "group_key": key, "message": text, "recipient": "ops"}
                values |= {"task_type": "send_wecom_message", "status": "failed" if number == 2 else "completed"}
                values |= {"created_at": may.clock.now, "updated_at": may.clock.now}
                connection.execute(sa.insert(tasks).values(values))
            found = sla_texts.week_texts(connection, MONDAY, NEXT_MONDAY, writer, is_done=True)
        (own,) = [one for one in found if one.provider == provider]
        assert (own.status, own.text) == ("failed", "一行\n" * 30)


def test_an_installation_without_reports_says_so(doors: Desk) -> None:
    page = open_page("sla")
    assert "还没有服务违规的数据" in page.info[0].value
