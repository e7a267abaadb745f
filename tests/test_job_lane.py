"""Lanes: a job that hangs or fails stops nobody else, and writes nothing once its time is over."""

from __future__ import annotations

import errno
import gc
import os
import random
import threading
import time as system_time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from datetime import time as clock_time

import pytest
import sqlalchemy as sa

from modules.application import Application
from modules.clock import SHANGHAI
from modules.collector import paused_collector
from modules.due_slots import Daily, Every, current_slot
from modules.job_lane import LOOK_AGAIN, PATIENCE_SECONDS, ChoreLane, JobLane, JobLanes
from modules.job_runs import SlotLostError, Writing, take
from modules.scheduled_job import Job, RunJob
from modules.slot_run import SlotRun
from modules.tables import audit_log, job_runs
from tests.desk import NOON, Desk
from tests.tools import wait_until

EVERY = Every(timedelta(minutes=3))
SHORT, LONG = timedelta(seconds=0.3), timedelta(seconds=60)


def job(key: str, run: RunJob, limit: timedelta = LONG, *, enabled: bool = True) -> Job:
    return Job(key, f"测试 {key}", EVERY, limit, run, enabled)


def succeeds(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
    note(writing, app.clock(), "done")
    return {"rows": 3}


def fails(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
    raise ZeroDivisionError("no")


def note(writing: Writing, now: datetime, detail: str) -> None:
    with writing() as connection:
        connection.execute(sa.insert(audit_log).values(at=now, who="job", action="test", detail=detail))


def outcomes(desk: Desk) -> list[tuple[str, str | None]]:
    return [(run["job"], run["outcome"]) for run in desk.table(job_runs)]


def written(desk: Desk) -> list[str]:
    return [row["detail"] for row in desk.table(audit_log)]


class Hanging:
    """A job that hangs until it is let go, then tries to write."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.begun = 0
        self.ended: list[str] = []

    def __call__(self, app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        self.begun += 1
        self.let_go.wait(60)
        try:
            note(writing, app.clock(), "too late")
        except SlotLostError:
            self.ended.append("refused")
            raise
        self.ended.append("written")
        return {}


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.let_go.set()
    wait_until(lambda: len(made.ended) == made.begun)


def lane(desk: Desk, *jobs: Job) -> JobLane:
    return JobLane("test", desk.app, lambda: jobs)


@pytest.fixture
def working(desk: Desk) -> Iterator[Callable[..., JobLane]]:
    """Starts a lane with these jobs; it stops at the end of the test."""
    started: list[JobLane] = []

    def start(*jobs: Job) -> JobLane:
        made = lane(desk, *jobs)
        made.start()
        started.append(made)
        return made

    yield start
    for made in started:
        made.ask_to_stop()
        assert made.join(10)


# -- one look --------------------------------------------------------------------------------------------------------


def test_what_is_due_runs_once_a_slot_with_its_counts_on_record(desk: Desk) -> None:
    made = lane(desk, job("report", succeeds))
    for _ in range(3):
        made.run_due()
    [run] = desk.table(job_runs)
    assert (run["slot"], run["outcome"], run["counts"], run["scheduled"]) == (NOON, "ok", '{"rows": 3}', True)
    desk.clock.advance(minutes=3)
    made.run_due()
    assert outcomes(desk) == [("report", "ok")] * 2
    assert written(desk) == ["done"] * 2


def test_a_new_slot_is_looked_at_at_once_however_short_the_interval(desk: Desk) -> None:
    made = lane(desk, Job("often", "常", Every(timedelta(seconds=1)), LONG, succeeds))
    for _ in range(4):
        made.run_due()
        desk.clock.advance(seconds=0.5)
    assert outcomes(desk) == [("often", "ok")] * 2


def test_a_failure_is_on_record_and_the_next_job_runs(desk: Desk) -> None:
    lane(desk, job("bad", fails), job("good", succeeds)).run_due()
    bad, good = desk.table(job_runs)
    assert (bad["outcome"], bad["error"], bad["failures"]) == ("failed", "ZeroDivisionError: no", 1)
    assert good["outcome"] == "ok"


def test_a_full_disk_is_on_record_in_words(desk: Desk) -> None:
    def fills(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/state/session.json")

    lane(desk, job("fills", fills)).run_due()
    [run] = desk.table(job_runs)
    assert run["error"] == (
        "读写不了 /data/state/session.json（No space left on device）；请检查 DATA_DIR、磁盘空间和权限"
    )


def test_a_job_that_is_switched_off_does_not_run(desk: Desk) -> None:
    lane(desk, job("off", succeeds, enabled=False)).run_due()
    assert outcomes(desk) == []


def test_what_is_not_to_be_run_after_all_is_asked_for_only_where_a_job_may_be_due(desk: Desk) -> None:
    asked: list[datetime] = []

    def without(app: Application) -> set[str]:
        asked.append(app.clock())
        return {"closed"}

    made = JobLane("test", desk.app, lambda: [job("closed", succeeds), job("open", succeeds)], without)
    for _ in range(3):
        made.run_due()
    assert outcomes(desk) == [("open", "ok")]
    assert asked == [NOON]


def test_a_lane_is_woken_where_something_may_be_due_and_not_else(
    desk: Desk, working: Callable[..., JobLane], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()
    run_due = JobLane.run_due

    def told(lane: JobLane) -> None:
        looked.set()
        run_due(lane)

    monkeypatch.setattr(JobLane, "run_due", told)
    made = working(job("report", succeeds), job("off", succeeds, enabled=False))
    made.wake()
    wait_until(lambda: outcomes(desk) == [("report", "ok")])
    looked.clear()
    made.wake()
    assert not looked.wait(0.3)
    desk.clock.advance(minutes=3)
    made.wake()
    assert looked.wait(20)


def test_two_programs_on_one_database_run_a_slot_once(desk: Desk) -> None:
    with desk.reopened() as other:
        for app in (desk.app, other):
            JobLane("test", app, lambda: [job("report", succeeds)]).run_due()
    assert written(desk) == ["done"]


def test_a_daily_job_that_failed_is_tried_again_after_its_pause_three_times_in_all(desk: Desk) -> None:
    daily = Job("report", "报告", Daily((NOON.time(),), timedelta(hours=12)), LONG, fails)
    made, failures = lane(desk, daily), []
    for _ in range(60):
        made.run_due()
        failures.append(desk.table(job_runs)[0]["failures"])
        desk.clock.advance(minutes=1)
    assert [failures.index(number) for number in (1, 2, 3)] == [0, 10, 20]
    assert max(failures) == 3


def test_a_locked_database_is_told_in_a_line_and_looked_at_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from modules import job_runs as runs

    def locked(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("database is locked"))

    made = lane(desk, job("report", succeeds))
    with monkeypatch.context() as patched:
        patched.setattr(runs, "take", locked)
        made.run_due()
    assert "看不了 report 是否到点：数据库被别的程序占用" in caplog.text
    desk.clock.advance(seconds=LOOK_AGAIN.total_seconds())
    made.run_due()
    assert outcomes(desk) == [("report", "ok")]


# -- what hangs ------------------------------------------------------------------------------------------------------


def test_a_job_that_hangs_is_given_up_and_writes_nothing_and_the_others_run(desk: Desk, hanging: Hanging) -> None:
    lane(desk, job("hangs", hanging, SHORT), job("good", succeeds)).run_due()
    assert outcomes(desk) == [("hangs", "failed"), ("good", "ok")]
    assert "超过 0.3 秒还没有结束，已放弃" in desk.table(job_runs)[0]["error"]
    hanging.let_go.set()
    wait_until(lambda: hanging.ended == ["refused"])
    assert written(desk) == ["done"]
    assert outcomes(desk) == [("hangs", "failed"), ("good", "ok")]


def test_while_a_job_still_hangs_it_is_not_begun_again(desk: Desk, hanging: Hanging) -> None:
    made = lane(desk, job("hangs", hanging, SHORT))
    for _ in range(4):
        made.run_due()
        desk.clock.advance(minutes=3)
    assert hanging.begun == 1
    assert outcomes(desk) == [("hangs", "failed")] * 4
    assert "上一次运行" in desk.table(job_runs)[-1]["error"]
    hanging.let_go.set()
    wait_until(lambda: not any(thread.name == "hangs" for thread in threading.enumerate()))
    made.run_due()
    assert outcomes(desk)[-1] == ("hangs", "ok")
    assert written(desk) == ["too late"]


def test_a_transaction_that_outlasts_the_time_limit_does_not_commit(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    inside, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        try:
            with writing() as connection:
                connection.execute(sa.insert(audit_log).values(at=NOON, who="job", action="test", detail="late"))
                inside.set()
                let_go.wait(60)
        finally:
            ended.set()
        return {}

    looking = threading.Thread(target=lane(desk, job("slow", slow, SHORT)).run_due)
    looking.start()
    assert inside.wait(20)
    wait_until(lambda: "已放弃" in caplog.text)  # now the lane waits for the database, which the job holds
    let_go.set()
    looking.join(20)
    assert ended.is_set()
    assert written(desk) == []
    assert outcomes(desk) == [("slow", "failed")]


def pausing(run: RunJob) -> RunJob:
    """The same, with the garbage collector paused."""

    def act(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        with paused_collector():
            return run(app, slot, writing)

    return act


def test_a_job_that_hangs_with_the_collector_paused_leaves_it_running(desk: Desk, hanging: Hanging) -> None:
    lane(desk, job("hangs", pausing(hanging), SHORT)).run_due()
    assert gc.isenabled()


def test_a_lane_that_waits_for_its_job_does_not_hold_up_another(
    desk: Desk, hanging: Hanging, working: Callable[..., JobLane]
) -> None:
    working(job("hangs", hanging)).wake()
    wait_until(lambda: hanging.begun == 1)
    working(job("good", succeeds)).wake()
    wait_until(lambda: ("good", "ok") in outcomes(desk))
    assert ("hangs", None) in outcomes(desk)


def test_a_slot_that_another_program_took_over_is_lost_to_the_first(
    desk: Desk, hanging: Hanging, working: Callable[..., JobLane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.job_lane.RENEW_SECONDS", 0.05)
    working(job("report", pausing(hanging))).wake()
    wait_until(lambda: hanging.begun == 1)
    with desk.app.database.writing() as connection:  # as `take` of another program leaves it
        connection.execute(sa.update(job_runs).values(locked_by="another/1"))
    wait_until(gc.isenabled)
    hanging.let_go.set()
    wait_until(lambda: hanging.ended == ["refused"])
    assert written(desk) == []
    assert [run["locked_by"] for run in desk.table(job_runs)] == ["another/1"]


def test_a_run_that_is_broken_off_begins_no_transaction_though_its_slot_is_still_its_own(desk: Desk) -> None:
    claim = take(desk.app.database, "report", EVERY, "one", desk.clock())
    assert claim is not None
    run = SlotRun(desk.app, job("report", succeeds), claim)
    run.break_off(0)
    with pytest.raises(SlotLostError):
        note(run.writing, NOON, "too late")
    assert written(desk) == []


@pytest.mark.slow
def test_a_chore_that_hangs_holds_up_neither_the_jobs_nor_the_end(desk: Desk) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def hangs() -> None:
        begun.set()
        let_go.wait(60)

    files = ChoreLane("files", desk.app.clock, EVERY, hangs)
    lanes = alone(desk, lane(desk, job("report", succeeds)), files)
    with lanes.running():
        lanes.wake_fixed()
        assert begun.wait(20)
        lanes.campaigns.wake()
        wait_until(lambda: outcomes(desk) == [("report", "ok")])
        asked = system_time.monotonic()
    assert system_time.monotonic() - asked < PATIENCE_SECONDS + 5
    let_go.set()
    assert files.join(20)


# -- the end ---------------------------------------------------------------------------------------------------------


def alone(desk: Desk, campaigns: JobLane, *chores: ChoreLane) -> JobLanes:
    """Lanes without fixed jobs."""
    return JobLanes(desk.app, campaigns, chores, fixed_jobs=list)


def test_at_the_end_what_is_between_transactions_is_broken_off(desk: Desk, hanging: Hanging) -> None:
    made = lane(desk, job("hangs", hanging))
    with alone(desk, made).running():
        made.wake()
        wait_until(lambda: hanging.begun == 1)
        asked = system_time.monotonic()
    assert system_time.monotonic() - asked < 5
    [run] = desk.table(job_runs)
    assert (run["outcome"], run["error"], run["failures"]) == ("interrupted", "程序被关闭，运行中断", 0)
    hanging.let_go.set()
    wait_until(lambda: hanging.ended == ["refused"])
    assert written(desk) == []


def test_at_the_end_a_transaction_in_progress_is_finished(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, is_broken_off, break_off = threading.Event(), threading.Event(), SlotRun.break_off

    def told(run: SlotRun, patience: float) -> None:
        is_broken_off.set()
        break_off(run, patience)

    monkeypatch.setattr(SlotRun, "break_off", told)

    def writes(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        with writing() as connection:
            connection.execute(sa.insert(audit_log).values(at=NOON, who="job", action="test", detail="in time"))
            inside.set()
            assert is_broken_off.wait(20)
        return {"rows": 1}

    made = lane(desk, job("writes", writes))
    with alone(desk, made).running():
        made.wake()
        assert inside.wait(20)
    assert written(desk) == ["in time"]
    assert outcomes(desk) == [("writes", "ok")]


def test_a_slot_that_was_broken_off_runs_again_after_the_restart(desk: Desk, hanging: Hanging) -> None:
    made = lane(desk, job("report", hanging))
    with alone(desk, made).running():
        made.wake()
        wait_until(lambda: hanging.begun == 1)
    lane(desk, job("report", succeeds)).run_due()
    assert outcomes(desk) == [("report", "ok")]
    assert desk.table(job_runs)[0]["slot"] == datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)


def test_between_two_jobs_a_stop_is_heard(desk: Desk) -> None:
    made: list[JobLane] = []

    def stops(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        made[0].ask_to_stop()
        return {}

    made.append(lane(desk, job("first", stops), job("second", succeeds)))
    made[0].run_due()
    assert [key for key, _ in outcomes(desk)] == ["first"]


# -- a month ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_in_a_month_of_outages_kills_and_failures_each_daily_slot_is_done_once(desk: Desk, seed: int) -> None:
    """Two programs on one database, restarted, killed, asleep. Real rows, a clock of ours."""
    rng = random.Random(seed)
    done: Counter[datetime] = Counter()
    awake: list[datetime] = []

    def report(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        if rng.random() < 0.2:
            raise OSError("no")
        with writing() as connection:
            connection.execute(sa.insert(audit_log).values(at=slot, who="job", action="report", detail=f"{slot}"))
        done[slot] += 1
        return {}

    timing = Daily((clock_time(11, 0),), timedelta(hours=12), most_failures=1000)
    daily = Job("report", "报告", timing, LONG, report)
    with desk.reopened() as other:
        lanes = {}
        while desk.clock() < NOON + timedelta(days=31):
            app = rng.choice([desk.app, other])
            if app.worker not in lanes or rng.random() < 0.05:
                lanes[app.worker] = JobLane("test", app, lambda: [daily])  # a restart remembers nothing
            if rng.random() < 0.02:
                take(app.database, "report", timing, app.worker, desk.clock())  # killed as soon as it has begun
            else:
                lanes[app.worker].run_due()
                awake.append(desk.clock())
            asleep = rng.random() < 0.03
            minutes = rng.uniform(60, 2500) if asleep else rng.uniform(1, 30)
            desk.clock.advance(minutes=-minutes if not asleep and rng.random() < 0.05 else minutes)
    assert set(done.values()) == {1}
    assert sorted(written(desk)) == sorted(str(slot) for slot in done)
    for slot, looks in _looks_within(awake, timing).items():
        assert slot in done or looks < 12, f"{slot} was looked at {looks} times and not done"


def _looks_within(moments: Sequence[datetime], timing: Daily) -> Counter[datetime]:
    """How often somebody looked at each slot within its grace."""
    slots = ((moment, current_slot(timing, moment)) for moment in moments)
    return Counter(slot for moment, slot in slots if moment - slot <= timing.grace)
