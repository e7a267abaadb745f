"""Jobs run here, off the main thread: a lane runs its due jobs one after another, each in a thread of its own.

The lane's own thread looks what is due, takes the slot, waits for the run, keeps its lease, and gives it up when it
takes too long. A thread can't be ended from outside: one that was given up is left alone (its claim is void, so that
it writes nothing) and ends with the program at the latest. Its job is not begun again while it hangs, so there are
never more such threads than jobs.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa

from modules import job_runs
from modules.application import Application
from modules.clock import Clock
from modules.collector import resume_collector
from modules.database import in_words
from modules.due_slots import FAILED, Every, current_slot
from modules.job_runs import Claim, Ended
from modules.scheduled_job import Job
from modules.slot_run import SlotRun

log = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(seconds=30)
"""How often the database is asked about a slot that could not be run when it was looked at."""

RENEW_SECONDS = 20.0
PATIENCE_SECONDS = 5.0
"""How long a transaction in progress is waited for, when its run is to end."""

_POLL_SECONDS = 0.1


class LaneThread:
    """A thread that looks whenever it is woken, one look at a time, until it is asked to stop. `is_due` says whether it
    is worth waking: it is asked at every tick, by another thread."""

    def __init__(self, name: str, is_due: Callable[[], bool], look: Callable[[], None]) -> None:
        self._is_due = is_due
        self._look = look
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"lane-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look what is due, where anything can be; while the lane is at work it looks after it."""
        if self._is_due():
            self._woken.set()

    def ask_to_stop(self) -> None:
        """Begin nothing more, and break off what runs between two transactions."""
        self._stopping.set()
        self._woken.set()

    def join(self, timeout: float) -> bool:
        """Whether the lane has come to its end within so many seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._stopping.is_set():
                return
            try:
                self._look()
            except Exception:  # the lane outlives whatever one look meets
                log.exception("运行任务时出错，下次到点再试")


class ChoreLane(LaneThread):
    """What every process does for itself once in each interval, and notes nowhere. It has no time limit, and so a lane
    of its own: one that hangs stops nothing else."""

    def __init__(self, name: str, clock: Clock, timing: Every, act: Callable[[], None]) -> None:
        super().__init__(name, lambda: self._slot() != self._done, self._act_if_due)
        self._clock = clock
        self._timing = timing
        self._act = act
        self._done: datetime | None = None

    def _slot(self) -> datetime:
        return current_slot(self._timing, self._clock())

    def _act_if_due(self) -> None:
        slot = self._slot()
        if slot != self._done:
            self._done = slot
            self._act()


class JobLane(LaneThread):
    """Runs jobs; `jobs_of` says which it has at the moment, and costs little. `without` names those of them that are
    not to be run after all: it may ask the database, and is asked where a job may be due."""

    def __init__(
        self,
        name: str,
        app: Application,
        jobs_of: Callable[[], Sequence[Job]],
        without: Callable[[Application], Collection[str]] = lambda _app: (),
    ) -> None:
        super().__init__(name, lambda: bool(self._jobs_worth_a_look()), self.run_due)
        self._app = app
        self._jobs_of = jobs_of
        self._without = without
        self._looked: dict[str, tuple[datetime, datetime]] = {}
        self._hanging: dict[str, SlotRun] = {}

    def run_due(self) -> None:
        """One look: run what is due, one job after another. A job's failure is its own."""
        jobs = self._jobs_worth_a_look()
        unwanted = self._without(self._app) if jobs else ()
        for job in jobs:
            if self._stopping.is_set():
                return
            now = self._app.clock()
            self._looked[job.key] = (current_slot(job.timing, now), now)
            if job.key in unwanted:
                continue
            try:
                self._run_if_due(job)
            except sa.exc.DBAPIError as error:
                log.error("看不了 %s 是否到点：%s；稍后再看", job.key, in_words(error))  # noqa: TRY400 - says it all

    def _jobs_worth_a_look(self) -> list[Job]:
        """A new slot is looked at once, then every few seconds: the database need not be asked at every tick."""
        now = self._app.clock()
        return [job for job in self._jobs_of() if job.enabled and self._is_worth_a_look(job, now)]

    def _is_worth_a_look(self, job: Job, now: datetime) -> bool:
        slot, looked_at = self._looked.get(job.key, (None, now))
        return slot != current_slot(job.timing, now) or abs(now - looked_at) >= LOOK_AGAIN

    def _run_if_due(self, job: Job) -> None:
        app = self._app.with_one_configuration()
        claim = job_runs.take(app.database, job.key, job.timing, app.worker, app.clock())
        if claim is None:
            return
        earlier = self._hanging.get(job.key)
        if earlier is not None and earlier.hangs:
            words = f"上一次运行（{earlier.claim.slot:%m-%d %H:%M}）卡住了还没有结束，这次没有启动；请重启后台程序"
            log.error("%s：%s", job.key, words)
            self._end(claim, Ended(FAILED, {}, words))
            return
        run = SlotRun(app, job, claim)
        run.start()
        ended = self._watched(run)
        if ended is not None:
            self._end(claim, ended)

    def _watched(self, run: SlotRun) -> Ended | None:
        """How the run ended; None where somebody else has taken over its slot."""
        limit = run.job.limit.total_seconds()
        while not run.done.wait(_POLL_SECONDS):
            if self._stopping.is_set():
                run.break_off(PATIENCE_SECONDS)
                break
            if time.monotonic() - run.started >= limit:
                self._let_go(run)
                return self._given_up(run, limit)
            if not self._keeps(run):
                self._let_go(run)
                log.error("%s 的时段 %s 已由别的程序接手，这里的运行作废", run.job.key, run.claim.slot)
                return None
        if self._stopping.is_set():
            return self._ended_in_time(run)
        return run.ended or Ended(FAILED, {}, "运行的线程意外结束，请看 logs/app.log")

    def _ended_in_time(self, run: SlotRun) -> Ended:
        """What a run came to that was broken off: its own end counts where it got there."""
        run.done.wait(_POLL_SECONDS)
        return run.ended if run.ended is not None and run.ended.outcome == job_runs.OK else job_runs.interrupted()

    def _let_go(self, run: SlotRun) -> None:
        """It is void and goes on alone, be it for ever."""
        run.break_off(0)
        self._hanging[run.job.key] = run
        resume_collector()

    def _given_up(self, run: SlotRun, limit: float) -> Ended:
        words = f"超过 {limit:g} 秒还没有结束，已放弃，没有结束的部分不会写入"
        hanging = sorted(key for key, earlier in self._hanging.items() if earlier.hangs)
        log.error("%s：%s；卡住的任务：%s", run.job.key, words, "、".join(hanging) or "无")
        return Ended(FAILED, {}, words)

    def _keeps(self, run: SlotRun) -> bool:
        """Renew the lease when it is time; whether the slot is still ours, as far as can be known."""
        if time.monotonic() - run.renewed < RENEW_SECONDS:
            return True
        run.renewed = time.monotonic()
        try:
            return job_runs.renew(self._app.database, run.claim, self._app.clock())
        except sa.exc.DBAPIError:
            log.exception("无法延长 %s 的占用，稍后再试", run.job.key)
            return True

    def _end(self, claim: Claim, ended: Ended) -> None:
        try:
            held = job_runs.end(self._app.database, claim, ended, self._app.clock())
        except sa.exc.DBAPIError:
            log.exception("无法记录运行 %s 的结果", claim.job)
            return
        if not held:
            log.warning("%s 的时段 %s 已由别的程序接手，结果由它来记", claim.job, claim.slot)


class JobLanes:
    """All lanes of the daemon: the campaigns share one, each fixed job has its own, also one that is added later.

    `chores` are the lanes of what looks after the house. `fixed_jobs` says which fixed jobs there are at the moment.
    """

    def __init__(
        self,
        app: Application,
        campaigns: JobLane,
        chores: Sequence[ChoreLane],
        fixed_jobs: Callable[[], Sequence[Job]],
    ) -> None:
        self.campaigns = campaigns
        self._app = app
        self._chores = chores
        self._fixed_jobs = fixed_jobs
        self._jobs: dict[str, Job] = {}
        self._fixed: dict[str, JobLane] = {}

    def wake_fixed(self) -> None:
        """Look what is due of the fixed jobs and the chores."""
        for lane in self._chores:
            lane.wake()
        self._jobs = {job.key: job for job in self._fixed_jobs()}
        for key in self._jobs:
            if key not in self._fixed:
                self._fixed[key] = JobLane(key, self._app, partial(self._fixed_job, key))
                self._fixed[key].start()
            self._fixed[key].wake()

    def _fixed_job(self, key: str) -> list[Job]:
        job = self._jobs.get(key)
        return [] if job is None else [job]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Lanes are at work inside the block; at its end what runs has a few seconds to get out of its transaction."""
        for lane in (self.campaigns, *self._chores):
            lane.start()
        try:
            yield
        finally:
            lanes = (self.campaigns, *self._chores, *self._fixed.values())
            for lane in lanes:
                lane.ask_to_stop()
            deadline = time.monotonic() + PATIENCE_SECONDS + 2
            late = [lane for lane in lanes if not lane.join(max(deadline - time.monotonic(), 0))]
            if late:
                log.warning("有 %d 个任务没有及时停下，随程序一起结束", len(late))
