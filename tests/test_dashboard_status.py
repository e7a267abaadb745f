"""运行状况: jobs as `main.py jobs` has them, what is wrong, what check finds; and looking changes nothing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

import jobs
from modules import health
from modules.clock import SHANGHAI, format_moment
from modules.figures import runs
from modules.heartbeat import Pulse
from modules.process_lock import daemon_lock
from modules.tables import job_runs, troubles
from streamlit_app import data, reading
from tests.dashboard_stage import cards, figure_of, open_page, table, words
from tests.desk import BEIJING, NOON, Desk, SetClock, contract, contracts

pytestmark = pytest.mark.usefixtures("nothing_kept")

JOBS, FAILURES, REJECTED = 0, 1, 2


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """The dashboard's clock, which the test sets."""
    clock = SetClock()
    monkeypatch.setattr(reading, "shanghai_now", clock)
    return clock


@pytest.fixture
def busy(doors: Desk) -> Desk:
    """Beijing ran well, then failed; a row of it can't be used."""
    doors.show([*contracts(1, 2, 3), contract(4, amount="viel")])
    doors.cycle()
    doors.show([], columns=("nothing",))
    doors.clock.advance(minutes=10)
    doors.cycle()
    return doors


def moment_of(cell: object) -> str | None:
    """A moment as it is shown, as text."""
    return None if pd.isna(cell) else format_moment(pd.Timestamp(str(cell)).to_pydatetime().replace(tzinfo=SHANGHAI))


class TestJobs:
    def test_they_are_those_of_the_command_with_last_and_next_run(self, busy: Desk) -> None:
        page = open_page("status")
        states = health.job_states(busy.app, NOON, jobs.fixed_jobs(busy.app))
        rows = table(page, JOBS)
        assert [row["编号"] for row in rows] == [one.job for one in states]
        for row, one in zip(rows, states, strict=True):
            for title, moment in (
                ("下次运行", one.next_run),
                ("上次开始", one.last_started),
                ("上次成功", one.last_success),
            ):
                assert moment_of(row[title]) == moment
        (beijing,) = [row for row in rows if row["编号"] == BEIJING]
        assert (beijing["状态"], beijing["上次结果"], beijing["拉到的合同"]) == ("活动期内", "失败", 4)
        assert beijing["上次的错误"]

    def test_a_job_that_never_ran_says_so(self, doors: Desk) -> None:
        assert {row["上次结果"] for row in table(open_page("status"))} == {"没跑过"}

    def test_runs_are_counted_by_how_they_ended(self, busy: Desk) -> None:
        with busy.app.database.reading() as connection:
            found = runs.tallies(connection, NOON)
        assert sum(one.number for one in found) == figure_of(busy, "SELECT COUNT(*) FROM job_runs")
        assert {(one.outcome, one.number) for one in found if one.job == BEIJING} == {("ok", 1), ("failed", 1)}
        number = figure_of(busy, "SELECT COUNT(*) FROM job_runs WHERE outcome = 'failed'")
        assert f"失败 {number} 次" in words(open_page("status"))

    def test_runs_of_long_ago_do_not_count(self, busy: Desk, noon: SetClock) -> None:
        noon.advance(days=8)
        assert "最近 7 天没有任务运行过" in words(open_page("status"))

    def test_the_last_errors_are_told_newest_first(self, busy: Desk) -> None:
        rows = table(open_page("status"), FAILURES)
        expected = [row for row in reversed(busy.table(job_runs)) if row["error"]]
        assert [row["错误"] for row in rows] == [row["error"] for row in expected]
        assert {row["任务"] for row in rows} >= {"北京 5月签约激励"}


class TestTroubles:
    def test_rows_that_can_not_be_used_stand_there_with_the_reason(self, busy: Desk) -> None:
        page = open_page("status")
        number = figure_of(busy, "SELECT COUNT(*) FROM rejected_rows WHERE resolved_at IS NULL")
        assert cards(page)["用不了的数据行"] == f"🔴 {number}"
        (row,) = table(page, REJECTED)
        assert row["活动或任务"] == BEIJING
        assert "viel" in str(row["原因"])
        assert len(str(row["合同ID"])) == 19

    def test_what_the_watch_has_found_is_told_in_red_until_it_is_over(self, busy: Desk) -> None:
        values = {"key": "job:x", "seen_by": "house", "what": "消息积压 30 分钟", "since": NOON, "told_at": NOON}
        with busy.app.database.writing() as connection:
            connection.execute(sa.insert(troubles).values(values))
            connection.execute(
                sa.insert(troubles).values(values | {"key": "old", "what": "早就好了", "ended_at": NOON})
            )
        page = open_page("status")
        assert cards(page)["没解决的问题"] == "🔴 1"
        assert "消息积压 30 分钟" in "".join(error.value for error in page.error)
        assert "早就好了" not in words(page)


class TestDaemon:
    def test_one_that_runs_is_seen_by_its_heartbeat(self, busy: Desk, noon: SetClock) -> None:
        settings = busy.app.settings
        with daemon_lock(settings.state_dir):
            Pulse(settings).beat(noon.now, "abc", worker_alive=True)
            noon.advance(seconds=20)
            page = open_page("status")
            assert cards(page)["后台程序"] == "🟢 正在运行"
            assert cards(page)["最近的心跳"] == "刚刚"
            noon.advance(minutes=5)
            data.close()
            page = open_page("status")
        assert cards(page)["后台程序"] == "🔴 没有反应"
        assert "没有反应" in page.error[-1].value

    def test_one_that_crashed_is_an_error_and_one_that_was_stopped_is_none(self, busy: Desk, noon: SetClock) -> None:
        pulse = Pulse(busy.app.settings)
        pulse.start(noon.now)
        assert "异常中断" in words(open_page("status"))
        pulse.stop(noon.now)
        data.close()
        page = open_page("status")
        assert cards(page)["后台程序"] == "⚪ 没有运行"
        assert "被正常停止" in "".join(warning.value for warning in page.warning)

    def test_where_its_lock_can_not_be_tried_nobody_knows_and_the_rest_is_shown(self, busy: Desk) -> None:
        state = busy.app.settings.state_dir
        state.rename(state.with_name("elsewhere"))
        state.write_text("no folder")  # root may write everywhere
        page = open_page("status")
        state.unlink()
        state.with_name("elsewhere").rename(state)
        assert cards(page)["后台程序"] == "❔ 不知道"
        (error,) = page.error
        assert f"后台程序在不在运行，不知道：读写不了 {state}" in error.value
        assert len(table(page, JOBS)) > 1
        assert "数据表的版本" in {row["项目"] for row in table(page, 3)}


class TestConfiguration:
    def test_a_typo_in_the_file_of_campaigns_leaves_the_other_sections(
        self, busy: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        file = tmp_path / "campaigns.py"
        file.write_text("REWARD_CONFIGS = {,}", encoding="utf-8")
        monkeypatch.setenv("CAMPAIGNS_FILE", str(file))
        page = open_page("status")
        assert not page.exception
        assert "要改正（1 处）" in words(page)
        assert cards(page)["上次失败的任务"] == "🔴 1"
        failures, rejected, versions = (table(page, number) for number in range(3))
        assert failures[0]["错误"]
        assert rejected[0]["原因"]
        assert versions[0]["项目"] == "看板"

    def test_a_fault_is_told_with_its_path(self, busy: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        file = tmp_path / "campaigns.py"
        own = busy.app.settings.campaigns_file.read_text(encoding="utf-8")
        file.write_text(own.replace('"threshold": 120000', '"threshold": "viel"'), encoding="utf-8")
        monkeypatch.setenv("CAMPAIGNS_FILE", str(file))
        page = open_page("status")
        assert f'REWARD_CONFIGS["{BEIJING}"].tiered_rewards.tiers[1].threshold' in words(page)
        assert not page.exception

    def test_versions_and_places_are_told(self, busy: Desk) -> None:
        page = open_page("status")
        rows = {row["项目"]: str(row["现在"]) for row in table(page, 3)}
        assert rows["数据库"] == busy.app.database.place
        with busy.app.database.reading() as connection:
            assert rows["数据表的版本"] == runs.tables_version(connection)
        assert rows["上次备份"] == "还没有备份过"


def test_looking_changes_nothing(busy: Desk) -> None:
    before = busy.everything()
    open_page("status")
    assert busy.everything() == before
