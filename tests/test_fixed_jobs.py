"""The fixed jobs of the core: settle report and housekeeping; by the daemon's clock and by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

import jobs
from modules import closing as campaign_closing
from modules import health
from modules.application import Application
from modules.backups import BACKUPS_KEPT, BackupError, back_up, kept
from modules.campaign_run import RunOptions
from modules.clock import SHANGHAI
from modules.due_slots import Every
from modules.errors import JobRefusedError
from modules.fixed_run import FixedJobReport, run_fixed_job
from modules.job_lane import JobLane
from modules.job_runs import Writing
from modules.sandbox.metabase import Fault
from modules.scheduled_job import Job
from modules.settle_report import LINES_SHOWN
from modules.soundness import read_report
from modules.tables import job_runs, tasks
from tests.desk import BEIJING, NOON, SHANGHAI_MAY, Desk, Surroundings, contract, contracts
from tests.program import ALL_OFF
from tests.sqlite_files import count, spoil

LAST_DAY = datetime(2025, 6, 3, 18, 0, tzinfo=SHANGHAI)  # of both campaigns of May


def run(desk: Desk, key: str, at: datetime) -> FixedJobReport:
    """`main.py run KEY --at …`."""
    desk.clock.now = at
    job = jobs.fixed_job(desk.app, key)
    assert job is not None
    return run_fixed_job(desk.app, job, at, RunOptions())


def reports(desk: Desk) -> list[str]:
    return [row["message"] for row in desk.table(tasks) if row["recipient"] == "ops"]


# -- settle_report ---------------------------------------------------------------------------------------------------


def test_on_the_last_settle_day_operations_are_told_what_ledger_and_source_owe_each_other(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    desk.show([contract(1, 6000), contract(3), contract(4, "待定")])
    assert run(desk, "settle_report", LAST_DAY).counts == {"reports": 2, "differences": 4}
    beijing, shanghai = reports(desk)
    assert beijing.startswith("📋 BJ-2025-05 今天是结算期最后一天，对账结果（截至 2025-06-03 18:00")
    for words in (
        "源数据 3 行，台账 2 个合同，4 处不一致。",
        "金额有变 1 项：\n  YHWX-00001 沈若川：5,000 → 6,000 元",
        "源数据里消失 1 项：\n  YHWX-00002 沈若川：5,000 元",
        "还有 1 个合同没有登记",
        "拒收的行 1 项：",
        "运行 reconcile BJ-2025-05 看全部",
    ):
        assert words in beijing
    assert "0 处不一致" in shanghai


def test_it_is_told_once_whoever_asks_again(desk: Desk) -> None:
    for hours in (0, 1, 30):
        run(desk, "settle_report", LAST_DAY + timedelta(hours=hours))
    assert len(reports(desk)) == 2


@pytest.mark.parametrize(("days", "told"), [(-1, 0), (0, 2), (1, 2), (7, 2), (8, 0)])
def test_a_day_that_was_missed_is_made_up_for_within_a_week(desk: Desk, days: int, told: int) -> None:
    assert run(desk, "settle_report", LAST_DAY + timedelta(days=days)).counts["reports"] == told
    assert len(reports(desk)) == told
    said = "今天是结算期最后一天" if days == 0 else "的结算期已于 2025-06-03 结束"
    assert all(said in text for text in reports(desk))


def test_of_many_differences_the_first_are_shown(desk: Desk) -> None:
    desk.show(contracts(*range(1, 13)))
    desk.run()
    desk.show(contracts(*range(1, 13), amount=6000))
    run(desk, "settle_report", LAST_DAY)
    beijing = reports(desk)[0]
    assert "金额有变 12 项：" in beijing
    assert beijing.count("5,000 → 6,000 元") == LINES_SHOWN
    assert f"…另有 {12 - LINES_SHOWN} 项" in beijing


def test_a_pull_that_is_not_to_be_believed_is_said_to_be_none(desk: Desk) -> None:
    desk.show(contracts(*range(1, 13)))
    desk.run()
    desk.show([])
    run(desk, "settle_report", LAST_DAY)
    assert "不可采信" in reports(desk)[0]


def test_a_campaign_that_cannot_be_compared_fails_the_job_and_the_others_are_reported(desk: Desk) -> None:
    desk.source.inject(Fault.NOT_FOUND, card=1693)
    report = run(desk, "settle_report", LAST_DAY)
    assert report.outcome == "failed"
    assert "BJ-2025-05 对账没有做成" in (report.error or "")
    assert [SHANGHAI_MAY in text for text in reports(desk)] == [True]
    assert run(desk, "settle_report", LAST_DAY).counts["reports"] == 1, "the one that is left"
    assert len(reports(desk)) == 2


def test_a_closed_campaign_is_not_reported(desk: Desk) -> None:
    campaign = desk.app.campaigns.valid[BEIJING]
    campaign_closing.close(desk.app, campaign, desk.clock(), "王", dry_run=False, force=True)
    run(desk, "settle_report", LAST_DAY)
    assert [SHANGHAI_MAY in text for text in reports(desk)] == [True]


# -- housekeeping ----------------------------------------------------------------------------------------------------


def test_the_database_is_backed_up_each_day_and_the_newest_are_kept(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    for days in range(BACKUPS_KEPT + 2):
        assert run(desk, "housekeeping", NOON + timedelta(days=days)).counts["backups"] == min(days + 1, BACKUPS_KEPT)
    copies = kept(desk.app.settings.backup_dir)
    first = date(2025, 5, 22)
    assert [path.name for path in copies] == [f"tasks-{first + timedelta(days=n)}.db" for n in range(BACKUPS_KEPT)]
    assert sorted(path.name for path in desk.app.settings.backup_dir.iterdir()) == [path.name for path in copies]
    assert count(copies[0], "performance") == 1


def test_a_second_backup_of_a_day_takes_the_place_of_the_first(desk: Desk) -> None:
    for number in (1, 2):
        desk.show(contracts(*range(1, number + 1)))
        desk.run()
        run(desk, "housekeeping", NOON)
    [copy] = kept(desk.app.settings.backup_dir)
    assert count(copy, "performance") == 2


def test_a_damaged_database_is_told_and_the_good_copies_stay(tmp_path: Path, empty_database: Path) -> None:
    file, folder = tmp_path / "tasks.db", tmp_path / "backups"
    file.write_bytes(empty_database.read_bytes())
    good = back_up(file, folder, date(2025, 5, 20))
    before = good.read_bytes()
    spoil(file)
    for day in (20, 21):
        with pytest.raises(BackupError, match="数据库"):
            back_up(file, folder, date(2025, 5, day))
    assert [path.read_bytes() for path in folder.iterdir()] == [before]


def test_a_folder_that_cannot_be_made_is_told(desk: Desk) -> None:
    desk.app.settings.backup_dir.write_text("in the way", encoding="utf-8")
    report = run(desk, "housekeeping", NOON)
    assert report.outcome == "failed"
    assert "数据库没有备份成" in (report.error or "")
    assert desk.table(job_runs)[-1]["error"] == report.error


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path, empty_database: Path) -> None:
    (tmp_path / "tasks-before-upgrade.db").touch()
    for day in range(1, 12):
        back_up(empty_database, tmp_path, date(2025, 5, day))
    assert len(list(tmp_path.iterdir())) == BACKUPS_KEPT + 1


def test_runs_older_than_90_days_are_forgotten(desk: Desk) -> None:
    desk.show([])
    desk.run()
    desk.run()
    assert run(desk, "housekeeping", NOON + timedelta(days=90)).counts["pruned_runs"] == 0
    assert run(desk, "housekeeping", NOON + timedelta(days=91)).counts["pruned_runs"] == 1


# -- by the clock and by hand ----------------------------------------------------------------------------------------


@pytest.fixture
def open_with(
    open_desk: Callable[..., AbstractContextManager[Desk]], surroundings: Surroundings
) -> Callable[..., AbstractContextManager[Desk]]:
    """A desk whose fixed jobs are these."""

    def opening(**told: dict[str, object]) -> AbstractContextManager[Desk]:
        return open_desk(SETTINGS_FILE=surroundings.settings_file(schedule={"jobs": {**ALL_OFF, **told}}))

    return opening


def tick(desk: Desk) -> None:
    for job in jobs.fixed_jobs(desk.app):
        JobLane(job.key, desk.app, partial(list, (job,))).run_due()


def test_restarted_after_its_time_the_daemon_catches_up_within_the_grace(
    open_with: Callable[..., AbstractContextManager[Desk]],
) -> None:
    with open_with(housekeeping={"at": "11:00", "grace_minutes": 60}) as desk:
        for at, count in (("10:59", 0), ("11:01", 1), ("11:30", 1), ("12:30", 1)):
            desk.clock.now = datetime.fromisoformat(f"2025-05-20T{at}").replace(tzinfo=SHANGHAI)
            tick(desk)
            assert len(desk.table(job_runs)) == count, at
        desk.clock.advance(days=1)  # 12:30: over its grace
        tick(desk)
        assert [row["outcome"] for row in desk.table(job_runs)] == ["ok", "missed"]


def test_a_back_up_is_of_the_moment_when_it_was_made(desk: Desk) -> None:
    """Not of the slot: one that was caught up would be told as older than it is."""
    job = jobs.fixed_job(desk.app, "housekeeping")
    assert job is not None
    run_fixed_job(desk.app, job, NOON - timedelta(hours=9), RunOptions())
    assert read_report(desk.app.settings.state_dir).backed_up_at == NOON


def test_a_name_that_nothing_has_is_answered_with_all_that_can_be_run(desk: Desk) -> None:
    with pytest.raises(JobRefusedError, match=r"没有名为 nope 的活动或任务；现有：BJ-2025-04、.*housekeeping"):
        jobs.fixed_job(desk.app, "nope")


def test_a_run_by_hand_takes_no_slot_and_options_of_campaigns_are_refused(
    open_with: Callable[..., AbstractContextManager[Desk]],
) -> None:
    with open_with(housekeeping={"at": "11:00"}) as desk:
        assert run(desk, "housekeeping", NOON).outcome == "ok"
        tick(desk)
        assert [row["scheduled"] for row in desk.table(job_runs)] == [False, True]
        job = jobs.fixed_job(desk.app, "housekeeping")
        assert job is not None
        with pytest.raises(JobRefusedError, match="--dry-run"):
            run_fixed_job(desk.app, job, NOON, RunOptions(dry_run=True))


def test_a_run_by_hand_that_cannot_be_noted_is_no_failure(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def run_last(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        with writing() as connection:
            connection.execute(sa.text("ALTER TABLE job_runs RENAME TO moved_away"))
        return {"rows": 1}

    odd = Job("odd", "测试", Every(timedelta(minutes=3)), timedelta(minutes=1), run_last)
    report = run_fixed_job(desk.app, odd, NOON, RunOptions())
    assert (report.outcome, report.counts, report.error) == ("ok", {"rows": 1}, None)
    assert "无法记录运行 odd 的结果" in caplog.text


def test_the_list_of_jobs_says_when_each_runs_next(open_with: Callable[..., AbstractContextManager[Desk]]) -> None:
    with open_with(housekeeping={"at": "11:00"}) as desk:
        desk.run(at="2025-05-20T12:00")
        tick(desk)
        states = {state.job: state for state in health.job_states(desk.app, desk.clock(), jobs.fixed_jobs(desk.app))}
    report, housekeeping = states["settle_report"], states["housekeeping"]
    assert (report.active, report.next_run, report.period) == (False, None, "每天 18:00")
    assert (housekeeping.active, housekeeping.last_outcome) == (True, "ok")
    assert (housekeeping.next_run or "").startswith("2025-05-21 11:00")
    assert (states[BEIJING].next_run or "").startswith("2025-05-20 12:00")
    assert states["BJ-2025-04"].next_run is None
