"""The pages of the dashboard: what they show, their filters, and their states without data and with faults."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import streamlit.config
from openpyxl import load_workbook
from streamlit.proto.Metric_pb2 import Metric as MetricProto
from streamlit.runtime.state.query_params import QueryParams
from streamlit.testing.v1 import AppTest

from modules import task_acts
from modules.clock import parse_moment
from modules.heartbeat import Pulse
from modules.tables import audit_log, awards, campaigns, job_runs, rejected_rows, tasks, troubles
from modules.task_board import TaskError
from streamlit_app import access, data, reading, sign_in
from streamlit_app.access import Viewer
from streamlit_app.acts import act
from streamlit_app.charts import yuan
from streamlit_app.tables import WIDE_PIXELS, Column, csv_bytes, distinct, pixels, xlsx_bytes
from streamlit_app.words import plain
from tests.dashboard_stage import (
    PAGES,
    PASSWORD,
    QUICK,
    asked,
    cards,
    figure_of,
    keep_downloads,
    look_at,
    open_page,
    renew_parts,
    table,
    words,
)
from tests.desk import BEIJING, SHANGHAI_MAY, Desk, contracts

pytestmark = pytest.mark.usefixtures("nothing_kept")

PERSON = "沈若川"

COMPANY_SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1/oauth2callback"
cookie_secret = "GeheimnisGeheimnisGeheimnisGeheimnis"
[auth.east]
client_id = "dashboard"
client_secret = "Geheim"
server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"
[auth.west]
client_id = "dashboard"
client_secret = "Geheim"
server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"
"""
"""Two providers, of which none can be reached."""


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Writes the secrets.toml that the pages go by."""
    file, before = tmp_path / "secrets.toml", streamlit.config.get_option("secrets.files")
    streamlit.config.set_option("secrets.files", [str(file)])
    yield lambda text: file.write_text(text, encoding="utf-8") and None
    streamlit.config.set_option("secrets.files", before)


@pytest.fixture
def own_campaigns(month: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Puts something else in place of some words of the campaigns file."""

    def changed(old: str, new: str) -> None:
        file, text = tmp_path / "campaigns.py", month.app.settings.campaigns_file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
        monkeypatch.setenv("CAMPAIGNS_FILE", str(file))

    return changed


def links(page: AppTest) -> list[str]:
    """The links to other pages."""
    return [link.proto.label for link in page.get("page_link")]


def key_of(widget: str) -> str:
    """The key of a widget, which its id ends with."""
    return widget.split("-", 2)[2]


def plain_again(markdown: str) -> str:
    """Without the marks that keep it from being read as Markdown."""
    return markdown.replace("\\", "")


class TestBrokenConfiguration:
    """Somebody is editing the campaigns file while others look."""

    @pytest.mark.parametrize("name", PAGES)
    @pytest.mark.parametrize(
        ("old", "new"),
        [("\nREWARD_CONFIGS", "\n,REWARD_CONFIGS"), ('"threshold": 120000', '"threshold": "viel"')],
        ids=["file", "campaign"],
    )
    def test_what_could_be_read_before_is_shown_and_what_is_wrong_is_told(
        self, month: Desk, own_campaigns: Callable[[str, str], None], name: str, old: str, new: str
    ) -> None:
        own_campaigns(old, old)
        whole = open_page(name)
        own_campaigns(old, new)
        page = open_page(name)
        assert not page.exception
        assert any("活动配置有错" in caption.value for caption in page.caption)
        if name == "simulation":  # it starts from what is written
            assert page.error
            return
        assert ("活动配置" in "".join(one.value for one in page.error)) == (name == "overview")
        assert cards(page) == cards(whole)
        assert [one.value.to_csv() for one in page.dataframe] == [one.value.to_csv() for one in whole.dataframe]

    def test_who_comes_after_a_restart_is_told_what_is_wrong(
        self, month: Desk, own_campaigns: Callable[[str, str], None]
    ) -> None:
        own_campaigns("\nREWARD_CONFIGS", "\n,REWARD_CONFIGS")
        page = open_page("ranking")
        assert not page.exception
        assert "语法错误" in page.error[0].value


class TestStates:
    @pytest.mark.parametrize("name", PAGES)
    def test_an_empty_database_is_no_fault(self, doors: Desk, name: str) -> None:
        page = open_page(name)
        assert not page.exception
        assert not page.error
        assert page.info

    @pytest.mark.parametrize("name", PAGES)
    def test_a_whole_month_is_shown_without_a_fault(self, month: Desk, name: str) -> None:
        page = open_page(name)
        assert not page.exception
        assert not page.error

    @pytest.mark.parametrize("name", PAGES)
    def test_without_a_database_it_says_what_to_do(
        self, doors: Desk, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("DATA_DIR", str(tmp_path / "elsewhere"))
        page = open_page(name)
        assert not page.exception
        assert "请先启动一次主程序" in page.error[0].value
        assert not (tmp_path / "elsewhere" / "tasks.db").exists()

    def test_a_database_of_another_version_is_refused(self, doors: Desk) -> None:
        with doors.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
        assert "请重启主程序" in open_page("overview").error[0].value

    def test_a_database_that_becomes_another_version_while_it_is_open_is_refused(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not open_page("overview").error
        with month.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
        reading._require_newest.clear()  # as after a minute
        assert "请重启主程序" in open_page("overview").error[0].value

    def test_a_file_that_is_put_in_the_place_of_the_database_is_shown_at_once(
        self, month: Desk, empty_database: Path
    ) -> None:
        assert open_page("overview").metric
        first = reading.database_at(reading.source())
        file = month.data_dir / "tasks.db"
        for old in (file, *month.data_dir.glob("tasks.db-*")):
            old.rename(old.with_name(f"old-{old.name}"))
        assert "请先启动一次主程序" in open_page("overview").error[0].value
        shutil.copy(empty_database, file)
        page = open_page("overview")
        assert not page.error
        assert not page.metric
        assert first._kept is not None
        assert first._kept._is_closed

    def test_what_nobody_expected_is_one_line_and_no_traceback(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> None:
            raise RuntimeError("Geheimnis")

        monkeypatch.setattr(data, "what_is_wrong", broken)
        page = open_page("overview")
        assert not page.exception
        assert "这个页面出错了" in page.error[0].value
        assert "Geheimnis" not in words(page)

    @pytest.mark.parametrize("name", PAGES)
    def test_a_page_asks_who_is_there_before_anything_else(self, name: str) -> None:
        source = (Path(data.__file__).parent / "pages" / f"{name}.py").read_text(encoding="utf-8")
        assert re.search(r"^@page\(.*\)\ndef main\(viewer: Viewer\) -> None:$", source, re.MULTILINE)
        assert source.endswith("\n\nmain()\n")


class TestFreshness:
    def test_a_campaign_that_is_on_and_was_not_pulled_is_told_in_red(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_at(monkeypatch, "2025-05-20T12:00")
        with month.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE campaigns SET last_pull_at = '2025-05-20T11:00:00.000000+08:00'"))
        assert f"{BEIJING} 正在活动期内，却很久没有成功拉取" in words(open_page("ranking"))

    def test_one_that_was_pulled_lately_is_fresh(self, month: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        look_at(monkeypatch, "2025-05-20T12:00")
        with month.app.database.writing() as connection:
            connection.execute(sa.insert(campaigns).values(key=SHANGHAI_MAY))
            connection.execute(sa.text("UPDATE campaigns SET last_pull_at = '2025-05-20T11:58:00.000000+08:00'"))
        page = open_page("ranking")
        assert not page.error
        assert "2 分钟前" in words(page)

    @pytest.mark.parametrize("name", ["overview", "ranking"])
    def test_one_that_is_on_and_was_never_pulled_is_told_in_red(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        look_at(monkeypatch, "2025-05-01T00:16")
        page = open_page(name)
        assert f"{SHANGHAI_MAY} 正在活动期内，却还没有成功拉取过" in page.error[0].value
        assert "没有进行中的活动" not in words(page)

    def test_where_the_configuration_has_a_fault_nobody_says_that_no_campaign_is_on(
        self, month: Desk, own_campaigns: Callable[[str, str], None]
    ) -> None:
        own_campaigns('"threshold": 120000', '"threshold": "viel"')
        assert "没有进行中的活动" not in words(open_page("ranking"))


class TestRenewal:
    """What an open page does once there is something new."""

    def pull(self, month: Desk) -> None:
        """A contract more, and time enough for what is kept."""
        month.run_sample(BEIJING, "2025-05-31T23:59")
        with month.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE campaigns SET last_pull_at = '2025-06-01T00:05:00.000000+08:00'"))
            connection.execute(sa.text("UPDATE performance SET amount = amount + 100"))
        reading.forget()

    def test_a_page_is_drawn_anew_after_a_pull(self, month: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        page = open_page("overview", month="2025-05")
        before = table(page)[0]["合同金额（元）"]
        self.pull(month)
        renew_parts(page, monkeypatch)
        assert table(page)[0]["合同金额（元）"] != before
        assert asked(page) == {"month": "2025-05"}

    def test_where_nothing_was_pulled_it_stands_as_it_is(self, month: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        page = open_page("overview")
        reading.forget()
        assert not renew_parts(page, monkeypatch).dataframe  # nothing but those parts was drawn

    def test_a_figure_that_was_kept_from_before_a_pull_is_not_shown_after_it(self, month: Desk) -> None:
        before = data.city_months("2025-05")
        self.pull_beside(month)
        reading._stamp.clear()  # as after its time
        assert data.city_months("2025-05") != before

    def pull_beside(self, month: Desk) -> None:
        """Nothing of it is forgotten."""
        with month.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE campaigns SET revision = revision + 1"))
            connection.execute(sa.text("UPDATE performance SET amount = amount + 100"))

    def test_the_queue_asks_first(self, month: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        page = open_page("queue")
        labels = [button.label for button in page.button]
        self.pull(month)
        renew_parts(page, monkeypatch)
        assert [button.label for button in page.button] == ["有新数据，点此刷新", *labels]
        page.button[0].click().run()
        assert [button.label for button in page.button] == labels

    def test_red_messages_come_and_go_by_themselves(self, month: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        page = open_page("overview")
        assert not page.error
        with month.app.database.writing() as connection:
            connection.execute(sa.update(tasks).where(tasks.c.id == 1).values(status="failed"))
        reading.forget()
        assert "有 1 条消息发送失败" in renew_parts(page, monkeypatch).error[0].value


class TestOverview:
    def test_the_newest_month_is_shown_and_its_figures_are_those_of_the_ledger(self, month: Desk) -> None:
        page = open_page("overview")
        assert asked(page) == {"month": "2025-05"}
        (row, *_) = table(page)
        of_may = f"FROM performance WHERE campaign = '{BEIJING}'"
        assert row["合同数"] == figure_of(month, f"SELECT COUNT(*) {of_may}")
        assert row["合同金额（元）"] == figure_of(month, f"SELECT SUM(amount) {of_may}") / 100
        assert row["计入业绩（元）"] == figure_of(month, f"SELECT SUM(performance) {of_may}") / 100
        assert row["奖金池（元）"] == figure_of(month, f"SELECT SUM(bonus_pool) {of_may}") / 100
        paid = figure_of(month, f"SELECT SUM(amount) FROM awards WHERE campaign = '{BEIJING}'")  # noqa: S608
        assert row["奖金（元）"] == paid / 100

    @pytest.mark.parametrize(
        ("month_shown", "says"), [("2025-05", "（万元），和上月同期比。"), ("2025-04", "（万元）。")]
    )
    def test_the_chart_speaks_of_the_month_before_where_there_is_one(
        self, month: Desk, month_shown: str, says: str
    ) -> None:
        page = open_page("overview", month=month_shown)
        assert any(caption.value.endswith(f"合同金额{says}") for caption in page.caption)

    def test_how_far_the_bonuses_are_from_their_pool_is_said_in_yuan(self, month: Desk) -> None:
        (card,) = (one for one in open_page("overview").metric if one.label == "奖金 / 奖金池")
        pool = figure_of(month, f"SELECT SUM(bonus_pool) FROM performance WHERE campaign = '{BEIJING}'")  # noqa: S608
        paid = figure_of(month, f"SELECT SUM(amount) FROM awards WHERE campaign = '{BEIJING}'")  # noqa: S608
        assert card.delta == f"比奖金池多 {round((paid - pool) / 100):,} 元"
        assert "（0.2%）" in card.help
        assert f"{pool / 100:,.2f} 元" in card.help

    def test_only_a_month_that_runs_has_a_forecast(self, month: Desk) -> None:
        page = open_page("overview")
        assert "预计到月底奖金" in cards(page)
        assert float(str(table(page)[0]["预计奖金（元）"])) >= float(str(table(page)[0]["奖金（元）"]))
        data.close()
        with month.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE campaigns SET last_pull_at = '2025-06-01T00:05:00.000000+08:00'"))
        page = open_page("overview")
        assert "签约管家" in cards(page)
        assert "预计奖金（元）" not in table(page)[0]

    def test_another_month_can_be_chosen(self, month: Desk) -> None:
        page = open_page("overview")
        page.selectbox[0].select("2025-04").run()
        assert table(page)[0]["活动"] == "BJ-2025-04"
        assert asked(page) == {"month": "2025-04"}

    def test_what_is_wrong_is_said_in_red(self, month: Desk) -> None:
        with month.app.database.writing() as connection:
            connection.execute(sa.update(tasks).where(tasks.c.id == 1).values(status="failed"))
            connection.execute(sa.update(tasks).where(tasks.c.id == 2).values(status="uncertain"))
        page = open_page("overview")
        assert "有 1 条消息发送失败、1 条待核实" in page.error[0].value
        assert links(page) == ["去通知队列处理"]

    @pytest.mark.parametrize(
        ("moment", "closed_at"),
        [("2025-06-04T00:00", None), ("2025-05-31T23:59", "2025-05-31T23:00:00.000000+08:00")],
    )
    def test_what_failed_of_a_campaign_that_is_over_or_closed_is_not_told_for_ever(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch, moment: str, closed_at: str | None
    ) -> None:
        look_at(monkeypatch, moment)
        now = month.clock.now
        row = {"contract_id": "", "reason": "r", "source": "{}", "fingerprint": "1", "first_seen_at": now}
        run = {"slot": now, "started_at": now, "outcome": "failed", "error": "连不上 Metabase"}
        with month.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE campaigns SET closed_at = :at"), {"at": closed_at})
            connection.execute(sa.insert(campaigns).values(key=SHANGHAI_MAY, last_pull_at=parse_moment(moment)))
            connection.execute(sa.insert(rejected_rows).values(row | {"campaign": BEIJING}))
            for job in (BEIJING, "removed_alert"):
                connection.execute(sa.insert(job_runs).values(run | {"job": job}))
        page = open_page("overview")
        assert not page.error
        assert not page.warning
        assert cards(open_page("status"))["上次失败的任务"] == "🔴 2"

    def test_what_the_watch_has_found_a_failed_run_and_unusable_rows_lead_to_the_reasons(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_at(monkeypatch, "2025-05-31T23:59")
        now = month.clock.now
        found = {"key": "job:x", "seen_by": "house", "what": "消息积压 30 分钟", "since": now}
        run = {"job": BEIJING, "slot": now, "started_at": now, "outcome": "failed", "error": "连不上 Metabase"}
        row = {"campaign": BEIJING, "contract_id": "", "reason": "r", "source": "{}", "fingerprint": "1"}
        with month.app.database.writing() as connection:
            connection.execute(sa.insert(troubles).values(found))
            connection.execute(sa.insert(troubles).values(found | {"key": "old", "what": "早就好了", "ended_at": now}))
            connection.execute(sa.insert(job_runs).values(run))
            connection.execute(sa.insert(rejected_rows).values(row | {"first_seen_at": now}))
            connection.execute(sa.insert(campaigns).values(key=SHANGHAI_MAY))
            connection.execute(sa.update(campaigns).values(last_pull_at=parse_moment("2025-05-31T23:59")))
        page = open_page("overview")
        assert "消息积压 30 分钟" in page.error[0].value
        assert f"{BEIJING} 上次运行失败：连不上 Metabase" in page.error[1].value
        assert f"{BEIJING} 1 行" in page.warning[0].value
        assert "早就好了" not in words(page)
        assert links(page) == ["去运行状况看原因"]

    def test_faults_of_the_configuration_are_said_in_red(
        self, month: Desk, own_campaigns: Callable[[str, str], None]
    ) -> None:
        own_campaigns('"threshold": 120000', '"threshold": "viel"')
        page = open_page("overview")
        assert f'REWARD_CONFIGS["{BEIJING}"].tiered_rewards.tiers[1].threshold' in page.error[0].value
        assert links(page) == ["去运行状况看原因"]
        assert page.metric

    def test_a_file_of_campaigns_that_cannot_be_read_leads_to_the_reasons_too(
        self, month: Desk, own_campaigns: Callable[[str, str], None]
    ) -> None:
        own_campaigns("REWARD_CONFIGS", "REWARD_CONFIGS (")
        page = open_page("overview")
        assert links(page) == ["去运行状况看原因"]
        assert not page.exception

    def test_a_daemon_that_crashed_is_said_in_red_and_one_that_never_ran_here_is_not(self, month: Desk) -> None:
        pulse = Pulse(month.app.settings)
        pulse.start(month.clock.now)
        page = open_page("overview")
        assert "后台程序没有在运行：异常中断" in page.error[0].value
        assert links(page) == ["去运行状况看原因"]
        pulse.stop(month.clock.now)  # and no campaign is on
        assert not open_page("overview").error

    def test_a_daemon_that_was_stopped_is_missed_while_a_campaign_is_on(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_at(monkeypatch, "2025-05-20T12:00")
        Pulse(month.app.settings).stop(month.clock.now)
        assert "被正常停止" in "".join(error.value for error in open_page("overview").error)

    def test_where_nothing_is_wrong_nothing_is_said(self, month: Desk) -> None:
        page = open_page("overview")
        assert not page.error
        assert links(page) == []


class TestRanking:
    def test_everybody_is_there_best_first_with_the_figures_of_the_ledger(self, month: Desk) -> None:
        rows = table(open_page("ranking", campaign=BEIJING))
        assert [row["名次"] for row in rows] == list(range(1, len(rows) + 1))
        assert rows == sorted(rows, key=lambda row: -float(str(row["累计业绩（元）"])))
        everybody = f"SELECT COUNT(DISTINCT payee) FROM performance WHERE campaign = '{BEIJING}'"  # noqa: S608
        assert len(rows) == figure_of(month, everybody)
        for row in rows:
            own = f"WHERE campaign = '{BEIJING}' AND housekeeper = '{row['管家']}'"
            assert row["合同数"] == figure_of(month, f"SELECT COUNT(*) FROM performance {own}")  # noqa: S608
            assert row["应发（元）"] == figure_of(month, f"SELECT COALESCE(SUM(amount), 0) FROM awards {own}") / 100  # noqa: S608

    def test_progress_tells_what_is_missing_for_the_next_tier(self, doors: Desk) -> None:
        doors.show(contracts(*range(1, 7), amount=12_000))  # 72,000 of 80,000 yuan, six of six contracts
        doors.run()
        (row,) = table(open_page("ranking"))
        assert (row["下一档"], row["进度"]) == ("达标奖", 90)
        assert "8,000 元" in str(row["还差"])
        assert cards(open_page("ranking"))["离下一档不远"] == "1 人"

    def test_filters_stand_in_the_address_and_come_from_there(self, month: Desk) -> None:
        page = open_page("ranking", month="2025-04", award="精英奖")
        assert asked(page) == {"month": "2025-04", "campaign": "BJ-2025-04", "award": "精英奖"}
        assert table(page)
        assert all("精英奖" in str(row["已得奖励"]) for row in table(page))
        page.selectbox[2].select(None).run()
        assert asked(page) == {"month": "2025-04", "campaign": "BJ-2025-04"}

    def test_days_and_track_show_what_was_signed_within(self, month: Desk) -> None:
        page = open_page("ranking", campaign=BEIJING, days="2025-05-01~2025-05-10", track="平台单")
        assert asked(page)["days"] == "2025-05-01~2025-05-10"
        within = f"campaign = '{BEIJING}' AND signed_at < '2025-05-11' AND NOT self_referral"
        shown = sum(int(str(row["筛选内合同"])) for row in table(page))
        assert shown == figure_of(month, f"SELECT COUNT(*) FROM performance WHERE {within}")  # noqa: S608
        assert 0 < shown < figure_of(month, f"SELECT COUNT(*) FROM performance WHERE campaign = '{BEIJING}'")  # noqa: S608
        assert cards(page)["筛选内合同"] == f"{shown} 单"
        counted = figure_of(month, f"SELECT SUM(performance) FROM performance WHERE {within}")  # noqa: S608
        assert cards(page)["筛选内业绩"] == yuan(counted)
        of_them = "', '".join(str(row["管家"]) for row in table(page))
        whole = f"SELECT SUM(amount) FROM awards WHERE campaign = '{BEIJING}' AND payee IN ('{of_them}')"  # noqa: S608
        assert cards(page)["应发（整个活动）"] == yuan(figure_of(month, whole))
        assert "合同" not in cards(page)

    @pytest.mark.parametrize("days", ["2025-04-01~2025-04-02", "2025-05-09~2025-05-01", "gestern", "~"])
    def test_days_outside_the_campaign_are_left_alone(self, month: Desk, days: str) -> None:
        page = open_page("ranking", campaign=BEIJING, days=days)
        assert not page.error
        assert "days" not in asked(page)

    def test_filters_that_do_not_exist_are_left_alone(self, month: Desk) -> None:
        page = open_page("ranking", month="1999-01", campaign="XX-1999-01", award="<script>")
        assert not page.exception
        assert asked(page) == {"month": "2025-05", "campaign": BEIJING}


class TestAddress:
    def test_an_address_that_says_anything_says_everything(self, month: Desk) -> None:
        page = open_page("ranking", month="2025-05", campaign=BEIJING, award="精英奖", days="2025-05-01~2025-05-10")
        whole = len(table(open_page("ranking", campaign=BEIJING)))
        assert len(table(page)) < whole
        del page.query_params["award"]  # as the way back does
        del page.query_params["days"]
        page.run()
        assert len(table(page)) == whole
        assert asked(page) == {"month": "2025-05", "campaign": BEIJING}
        assert [*page.date_input[0].value] == [date(2025, 5, 1), date(2025, 5, 31)]

    def test_a_link_of_the_sidebar_takes_filters_along_and_a_link_that_names_some_takes_no_others(
        self, month: Desk
    ) -> None:
        with month.app.database.writing() as connection:
            connection.execute(sa.update(tasks).where(tasks.c.id == 3).values(status="failed"))
        (recipient, *_) = data.recipients_of("completed")
        page = open_page("queue", state="completed", recipient=recipient)
        for name in ("overview", "queue"):
            page.switch_page(f"pages/{name}.py")
            page.query_params.clear()
            page.run()
        assert asked(page) == {"state": "completed", "recipient": recipient}
        page.switch_page("pages/overview.py").run()
        page.switch_page("pages/queue.py")
        page.query_params.clear()
        page.query_params["state"] = "completed"
        page.run()
        assert asked(page) == {"state": "completed"}

    @pytest.mark.parametrize(
        ("name", "link", "told"),
        [
            ("housekeeper", {"person": "没有此人"}, "链接里的管家“没有此人”在这里没有，显示的是 "),
            ("payout", {"campaign": "XX-1999-01"}, f"链接里的活动“XX-1999-01”在这里没有，显示的是 北京 {BEIJING}"),
            ("payout", {"city": "XX"}, "链接里的城市“XX”在这里没有，显示的是 北京"),
            ("overview", {"month": "1999-01"}, "链接里的月份“1999-01”在这里没有，显示的是 2025-05"),
            ("ranking", {"award": "没有此奖"}, "链接里的得过的奖励“没有此奖”在这里没有，显示的是 全部"),
            ("ranking", {"days": "gestern"}, "链接里的签约日期“gestern”在这里没有，显示的是 2025-05-01\\~2025-05-31"),
            ("queue", {"state": "lost"}, "链接里的状态“lost”在这里没有，显示的是 已发送"),
        ],
    )
    def test_what_a_link_asks_for_and_is_not_there_is_told_once(
        self, month: Desk, name: str, link: dict[str, str], told: str
    ) -> None:
        page = open_page(name, **link)
        assert any(one.value.startswith(told) for one in page.warning), words(page)
        assert "链接里的" not in words(page.run())

    def test_a_choice_is_one_step_of_the_way_back(self, month: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        page = open_page("ranking", campaign=BEIJING)
        written: list[dict[str, str]] = []
        monkeypatch.setattr(QueryParams, "_send_query_param_msg", lambda self: written.append(self.to_dict()))
        page.selectbox[0].select("2025-04").run()
        assert written == [{"month": "2025-04", "campaign": "BJ-2025-04"}]

    def test_the_city_stays_where_the_month_changes(self, month: Desk) -> None:
        show_shanghai(month, "SH-2025-04", "SH-2025-05")
        page = open_page("payout", campaign="SH-2025-05")
        page.selectbox[0].select("2025-04").run()
        assert asked(page) == {"month": "2025-04", "campaign": "SH-2025-04"}
        page.switch_page("pages/overview.py").run()
        page.selectbox[0].select("2025-05").run()
        page.switch_page("pages/payout.py")
        page.query_params.clear()
        page.run()
        assert asked(page) == {"month": "2025-05", "campaign": "SH-2025-05"}

    @pytest.mark.parametrize(
        ("link", "month_shown", "campaign"),
        [
            ({"city": "SH"}, "2025-04", "SH-2025-04"),
            ({"city": "上海"}, "2025-04", "SH-2025-04"),
            ({"city": "SH", "month": "2025-04"}, "2025-04", "SH-2025-04"),
            ({"city": "BJ"}, "2025-05", BEIJING),
            ({"campaign": "BJ-2025-04"}, "2025-04", "BJ-2025-04"),
            ({"campaign": "BJ-2025-05", "month": "2025-04"}, "2025-04", "BJ-2025-04"),
            ({"month": "2025-04"}, "2025-04", "BJ-2025-04"),
        ],
    )
    def test_a_city_or_a_campaign_alone_is_enough_and_a_month_counts_before_a_campaign_of_another(
        self, month: Desk, link: dict[str, str], month_shown: str, campaign: str
    ) -> None:
        show_shanghai(month, "SH-2025-04")
        page = open_page("payout", **link)
        assert asked(page) == {"month": month_shown, "campaign": campaign}


def show_shanghai(desk: Desk, *keys: str) -> None:
    """The city has campaigns with a ledger."""
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(campaigns), [{"key": key, "revision": 1} for key in keys])
    reading.forget()


class TestHousekeeper:
    def test_every_contract_and_every_award_with_its_reason(self, month: Desk) -> None:
        page = open_page("housekeeper", campaign=BEIJING, person=PERSON)
        own = f"WHERE campaign = '{BEIJING}' AND housekeeper = '{PERSON}'"
        contracts_shown, awards_shown = table(page, 0), table(page, 1)
        assert len(contracts_shown) == figure_of(month, f"SELECT COUNT(*) FROM performance {own}")  # noqa: S608
        assert len(awards_shown) == figure_of(month, f"SELECT COUNT(*) FROM awards {own}")  # noqa: S608
        assert all(len(str(row["合同ID"])) == 19 for row in contracts_shown)
        assert all(row["为什么"] for row in awards_shown)

    def test_what_the_next_contract_may_win_is_told_only_while_the_campaign_is_on(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for moment, is_on in (("2025-05-31T23:59", True), ("2025-06-01T00:00", False)):
            look_at(monkeypatch, moment)
            shown = words(open_page("housekeeper", campaign=BEIJING, person=PERSON))
            assert ("接下来" in shown) is ("下一个中奖的是" in shown) is is_on

    def test_a_tier_that_is_still_to_be_paid_is_told_after_the_campaign(
        self, doors: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_at(monkeypatch, "2025-06-02T12:00")
        for amount in (12_000, 15_000):  # raised after the registration: 90,000 of 80,000 yuan
            doors.show(contracts(*range(1, 7), amount=amount))
            doors.run()
        shown = words(open_page("housekeeper"))
        assert "达标奖：条件已达到，由 settle 补发" in shown
        assert "下一个中奖的是" not in shown

    def test_a_look_at_somebody_leaves_the_ranking_whole(self, month: Desk) -> None:
        page = open_page("housekeeper", campaign=BEIJING, person=PERSON)
        page.switch_page("pages/ranking.py")
        page.query_params.clear()  # as a link of the sidebar does
        page.run()
        assert len(table(page)) > 1
        assert asked(page) == {"month": "2025-05", "campaign": BEIJING}

    def test_whoever_has_but_an_adjustment_has_a_statement_and_the_best_is_shown_first(self, month: Desk) -> None:
        alone = {"payee": "孤身", "housekeeper": "孤身", "campaign": BEIJING, "kind": "人工调整", "name": "人工调整"}
        money = {"amount": 100, "base_amount": 100, "badge": "", "multiplier": "1", "position": 0}
        said = {"reason": '{"why": "补贴", "who": "王"}', "config_hash": "", "granted_at": month.clock.now}
        with month.app.database.writing() as connection:
            connection.execute(sa.insert(awards).values(alone | money | said))
        best, *_, last = data.housekeepers_of(BEIJING)
        page = open_page("housekeeper", campaign=BEIJING)
        assert asked(page)["person"] == best == table(open_page("ranking", campaign=BEIJING))[0]["管家"]
        assert last == "孤身"
        page = open_page("housekeeper", campaign=BEIJING, person=last)
        assert not page.exception
        assert [row["为什么"] for row in table(page, 1)] == ["补贴（王 操作）"]


class TestQueue:
    def test_failed_messages_come_first_with_the_reason(self, month: Desk) -> None:
        with month.app.database.writing() as connection:
            failed = {"status": "failed", "last_error": "机器人密钥不对"}
            connection.execute(sa.update(tasks).where(tasks.c.id == 3).values(failed))
        page = open_page("queue")
        assert asked(page)["state"] == "failed"
        assert [(row["编号"], row["原因"]) for row in table(page)] == [(3, "机器人密钥不对")]
        assert cards(page)["失败"] == "🔴 1"

    def test_a_reason_that_nobody_gave_takes_no_room_and_the_file_has_its_column_all_the_same(
        self, month: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        offered = keep_downloads(monkeypatch)
        with month.app.database.writing() as connection:
            connection.execute(sa.update(tasks).where(tasks.c.id == 3).values(status="failed", last_error="密钥不对"))
        assert [*table(open_page("queue", state="completed"))[0]][:3] == ["编号", "内容", "收件人"]
        assert [*table(open_page("queue", state="failed"))[0]][:4] == ["编号", "原因", "内容", "收件人"]
        heads = [offered[f"消息-{state}.csv"]().splitlines()[0] for state in ("已发送", "失败")]
        assert heads == ["\ufeff编号,原因,内容,收件人,已试,更新时间,创建时间,类型,消息编号".encode()] * 2


class TestWords:
    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("![图](http://203.0.113.9/x.png)", r"\!\[图\](http://203.0.113.9/x.png)"),
            (r"C:\数据\bj_group", r"C:\\数据\\bj_group"),
            ("*a* _b_ ~c~ $d$ `e` <i> :red[f]", r"\*a\* \_b\_ \~c\~ \$d\$ \`e\` \<i\> \:red\[f\]"),
            ("连不上 Metabase（502），10:30 再试", "连不上 Metabase（502），10:30 再试"),
        ],
    )
    def test_what_comes_from_outside_is_no_markdown(self, text: str, written: str) -> None:
        assert plain(text) == written


class TestCards:
    @pytest.mark.parametrize(
        ("change", "shown", "arrow"),
        [(0.25, "+25.0%", "up"), (-0.004, "-0.4%", "down"), (0.0004, "持平", "none")],
    )
    def test_a_change_is_told_with_its_direction_and_one_too_small_to_tell_is_none(
        self, change: float, shown: str, arrow: str
    ) -> None:
        def draw(change: float) -> None:
            from streamlit_app.cards import Card, show_cards

            show_cards([Card("合同", "119 单", change=change, against="比上月")])

        (card,) = AppTest.from_function(draw, args=(change,)).run().metric
        assert card.delta == shown
        assert MetricProto.MetricDirection.Name(card.proto.direction).lower() == arrow


class TestTables:
    @pytest.mark.parametrize(
        ("column", "longest"),
        [
            (Column("额", "yuan"), -123_456_789),  # -1,234,567.89
            (Column("时", "moment"), parse_moment("2025-05-01T09:30")),
            (Column("单", "count"), 1_234_567_890_123),  # 1,234,567,890,123
            (Column("比", "percent"), -12_345.678),  # -1,234,567.80%
            (Column("号"), "1920000000000000001"),
        ],
    )
    def test_a_column_has_room_for_its_longest_cell_though_most_are_empty(
        self, column: Column, longest: str | int | float | datetime
    ) -> None:
        assert pixels(column, [None, longest, *[None] * 20]) > 13 * 8
        assert pixels(column, [None]) < 13 * 8 or column.kind == "moment"

    def test_a_column_has_room_for_its_head(self) -> None:
        assert pixels(Column("计入业绩（元）", "yuan"), [0]) > 7 * 14

    def test_a_sentence_may_be_cut_and_gives_back_what_it_does_not_need(self) -> None:
        wide = Column("原因", wide=True)
        assert pixels(wide, ["没有管家"]) < 150 < pixels(wide, ["条件已达到" * 50]) == WIDE_PIXELS

    def test_titles_that_repeat_are_told_apart(self) -> None:
        assert distinct(["合计", "日期", "合计", "合计 (2)", "合计"]) == [
            "合计",
            "日期",
            "合计 (3)",
            "合计 (2)",
            "合计 (4)",
        ]

    def test_a_column_with_the_title_of_another_is_shown_beside_it(self) -> None:
        def draw() -> None:
            from streamlit_app.tables import Column, show_table

            show_table("t", [Column("合计", "count"), Column("合计", "text")], [[1, "a"], [2, "b"]], file_name="t")

        page = AppTest.from_function(draw).run()
        assert not page.exception
        assert table(page) == [{"合计": 1, "合计 (2)": "a"}, {"合计": 2, "合计 (2)": "b"}]

    def test_heads_from_the_source_are_text_in_downloads(self) -> None:
        columns = [Column("服务商"), Column("=1+1|cmd", "count")]
        assert csv_bytes(columns, [["A", 1]]).decode("utf-8-sig").splitlines() == ["服务商,'=1+1|cmd", "A,1"]
        head = load_workbook(io.BytesIO(xlsx_bytes("t", columns, [["A", 1]]))).worksheets[0]["B1"]
        assert (head.value, head.data_type, head.quotePrefix) == ("=1+1|cmd", "s", True)

    def test_shares_are_numbers_in_excel_and_text_in_csv(self) -> None:
        columns = [Column("占比", "percent"), Column("进度", "share")]
        sheet = load_workbook(io.BytesIO(xlsx_bytes("t", columns, [[-0.125, 0.996]]))).worksheets[0]
        assert [(cell.value, cell.number_format) for cell in sheet[2]] == [(-0.125, "0.00%"), (0.996, "0.00%")]
        assert csv_bytes(columns, [[-0.125, 0.996]]).decode("utf-8-sig").splitlines()[1] == "-12.50%,99.6%"

    def test_what_names_a_task_has_no_thousands_separators(self, month: Desk) -> None:
        heads = json.loads(open_page("queue").dataframe[0].proto.columns)
        assert heads["编号"]["type_config"]["format"] == "%d"
        assert heads["已试"]["type_config"]["format"] == "localized"

    def test_money_below_zero_has_its_sign(self, month: Desk) -> None:
        heads = json.loads(open_page("payout", campaign=BEIJING).dataframe[0].proto.columns)
        assert heads["应发（元）"]["type_config"]["format"] == "%,.2f"


class TestSelection:
    def fail(self, desk: Desk, task: int) -> None:
        """As it stands in the queue, and on the page with the next look."""
        with desk.app.database.writing() as connection:
            connection.execute(sa.update(tasks).where(tasks.c.id == task).values(status="failed", last_error="x"))
        reading.forget()

    def choose_first(self, page: AppTest) -> AppTest:
        chosen = {"selection": {"rows": [0], "columns": [], "cells": []}}
        page.session_state[key_of(page.dataframe[0].proto.id)] = chosen
        return page.run()

    def test_a_task_that_fails_between_choosing_and_acting_takes_nobodys_place(self, month: Desk) -> None:
        self.fail(month, 3)
        page = self.choose_first(open_page("queue", state="failed"))
        assert "**任务 3**" in words(page)
        assert [button.label for button in page.button if "所选" in button.label]
        self.fail(month, 4)
        page.button(key="act_重发").click().run()
        assert [row["编号"] for row in table(page)] == [4, 3]
        assert "任务 4" not in words(page)
        assert "条消息" not in words(page)
        assert "选中一行或几行" in words(page)


class TestDoor:
    def test_a_file_of_secrets_that_cannot_be_read_shuts_the_door(
        self, month: Desk, tmp_path: Path, secrets: Callable[[str], None]
    ) -> None:
        secrets("[dashboard.users")
        page = open_page("queue")
        assert "secrets.toml" in page.error[0].value
        assert not page.dataframe

    def test_with_users_a_page_shows_the_form_and_nothing_else_also_once_the_password_changed(
        self, month: Desk, secrets: Callable[[str], None]
    ) -> None:
        secrets(f'[dashboard.users.wang]\npassword = "{QUICK.hash(PASSWORD)}"')
        page = open_page("overview")
        assert [field.label for field in page.text_input] == ["用户名", "密码"]
        assert not page.metric
        page.text_input[0].input("wang")
        page.text_input[1].input(PASSWORD)
        page.button[0].click().run()
        assert page.metric
        assert "已登录：wang（只能查看）" in words(page)
        secrets(f'[dashboard.users.wang]\npassword = "{QUICK.hash("anderes-Passwort")}"')
        page.run()
        assert not page.metric
        assert [field.label for field in page.text_input] == ["用户名", "密码"]

    def test_faults_of_the_company_sign_in_stand_at_the_door(self, month: Desk, secrets: Callable[[str], None]) -> None:
        secrets('[auth]\ncookie_secret = "Geheimnis"')
        page = open_page("overview")
        assert "auth.cookie_secret: 太短" in plain_again(page.error[0].value)
        assert "auth.client_id: 缺少这一项" in plain_again(page.error[0].value)
        assert "Geheimnis" not in page.error[0].value
        assert not page.button
        assert not page.metric

    def test_each_company_account_has_a_button_and_an_unreachable_provider_is_told_on_the_page(
        self, month: Desk, secrets: Callable[[str], None]
    ) -> None:
        secrets(COMPANY_SECRETS)
        page = open_page("overview")
        assert [button.label for button in page.button] == ["用公司账号登录（east）", "用公司账号登录（west）"]
        page.button[1].click().run()
        assert not page.exception
        assert page.error[0].value.startswith("公司的登录系统用不了（连不上")
        assert not page.metric

    @pytest.mark.parametrize(
        ("claims", "allowed", "said"),
        [
            ({"email": "boss@example.com", "email_verified": True}, "", "已登录：boss@example.com（只能查看）"),
            ({"email": "boss@example.com"}, "allow_missing_email_verified = true", "已登录：boss@example.com"),
            ({"email": "boss@example.com"}, "", "没有说明 boss@example.com 这个邮箱是否验证过"),
            (
                {"email": "boss@example.com", "email_verified": False},
                "allow_missing_email_verified = true",
                "说 boss@example.com 这个邮箱没有验证过",
            ),
            ({"email": "li@example.com", "email_verified": True}, "", "账号 li@example.com 没有看板的权限"),
            ({}, "allow_missing_email_verified = true", "没有给出这个账号的邮箱"),
        ],
    )
    def test_a_company_account_gets_in_only_where_it_is_listed_and_vouched_for(
        self,
        month: Desk,
        secrets: Callable[[str], None],
        monkeypatch: pytest.MonkeyPatch,
        claims: dict[str, object],
        allowed: str,
        said: str,
    ) -> None:
        secrets(f'{COMPANY_SECRETS}[dashboard]\n{allowed}\n[dashboard.emails]\n"boss@example.com" = "viewer"')
        monkeypatch.setattr(sign_in.st, "user", {"is_logged_in": True} | claims)
        page = open_page("overview")
        assert said in plain_again(words(page))
        assert bool(page.metric) == said.startswith("已登录")

    def test_where_too_many_sign_in_at_once_it_is_said_and_the_next_try_comes_in(
        self, month: Desk, secrets: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secrets(f'[dashboard.users.wang]\npassword = "{QUICK.hash(PASSWORD)}"')
        page = open_page("overview")
        page.text_input[0].input("wang")
        page.text_input[1].input(PASSWORD)
        with monkeypatch.context() as crowded:
            crowded.setattr(access, "LONGEST_QUEUE", -access.CHECKED_AT_ONCE)
            crowded.setattr(sign_in, "_FAILED_TRY_SECONDS", 0)
            page.button[0].click().run()
        assert [error.value for error in page.error] == ["正在登录的人太多，请过几秒再试"]
        assert not page.metric
        page.button[0].click().run()
        assert page.metric

    def test_an_act_of_a_viewer_is_refused_whatever_the_page_shows(self, month: Desk) -> None:
        viewer = Viewer("王", "看板 wang", "viewer")
        with pytest.raises(TaskError, match="只能查看"):
            act(viewer, task_acts.cancel, [1])

    def test_of_several_tasks_each_is_told_what_became_of_it(self, month: Desk) -> None:
        with month.app.database.writing() as connection:
            connection.execute(sa.update(tasks).where(tasks.c.id == 3).values(status="failed"))
        done = act(Viewer("李华", "看板 lihua", "operator"), task_acts.retry, [3, 4, 999_999])
        assert done[0] == "任务 3 已放回队列，下次检查时发送"
        assert "不能改为" in done[1]
        assert "没有编号为 999999 的任务" in done[2]
        assert [(row["who"], row["detail"]) for row in month.table(audit_log)] == [
            ("看板 lihua", "任务 3：failed → pending")
        ]
