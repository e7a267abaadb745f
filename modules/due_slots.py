"""Which slot of a job is due: pure decisions on the moment, the job's timing, and what `job_runs` says of it.

A slot is the moment that a run stands for. Slots follow from the timing alone, so that several daemons, or one that was
restarted, mean the same slot by the same moment, and a row of the database is enough to run each once:

* A daily job has a slot at one or several fixed times of every day in Asia/Shanghai, whatever zone the machine is in.
* An interval job has slots on a fixed grid, counted from 1970. However many were slept through, the present one runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from modules.clock import SHANGHAI, in_shanghai

_GRID_START = datetime(1970, 1, 1, tzinfo=UTC)

FAILED, INTERRUPTED = "failed", "interrupted"


@dataclass(frozen=True)
class Daily:
    """Every day `at` these times in Asia/Shanghai; caught up within `grace` (less than a day) and until the next one's
    time has come, skipped after it.

    A run that failed is tried again after `retry`, within the grace, until it has failed `most_failures` times.
    """

    at: tuple[time, ...]
    grace: timedelta
    retry: timedelta = timedelta(minutes=10)
    most_failures: int = 3


@dataclass(frozen=True)
class Every:
    """Once in each interval of this length. A run that failed has its next slot anyway."""

    interval: timedelta


Timing = Daily | Every


@dataclass(frozen=True)
class LastRun:
    """What is known of a job's last slot. `outcome` is None where the run has not ended, `is_held` while somebody runs
    it; one that is neither ended nor held was lost. `failures` counts the runs of this slot that failed."""

    slot: datetime
    outcome: str | None
    is_held: bool
    failures: int
    ended_at: datetime | None


def current_slot(timing: Timing, now: datetime) -> datetime:
    """The newest slot that is not in the future."""
    match timing:
        case Daily(at=at):
            local = in_shanghai(now)
            return max(slot for slot in _slots_around(local, at) if slot <= local)
        case Every(interval=interval):
            return in_shanghai(now - (now - _GRID_START) % interval)


def due_slot(timing: Timing, now: datetime, last: LastRun | None) -> datetime | None:
    """The slot to run now; None where there is none.

    `last` is the job's newest slot that was ever taken; of a daily job, the newest that is not in the future.
    """
    slot = current_slot(timing, now)
    match timing:
        case Daily():
            return slot if now - slot <= timing.grace and _may_run_daily(timing, slot, now, last) else None
        case Every():
            return slot if last is None or _may_run_again(timing, slot, last) else None


def missed_slot(timing: Timing, now: datetime, last: LastRun | None) -> datetime | None:
    """The daily slot that nobody ran to its end within its grace. A job that never ran before has missed nothing."""
    if not isinstance(timing, Daily) or last is None:
        return None
    slot = current_slot(timing, now)
    if now - slot <= timing.grace:
        return None
    was_broken_off = last.slot == slot and last.outcome in (None, INTERRUPTED) and not last.is_held
    return slot if last.slot < slot or was_broken_off else None


def next_slot(timing: Timing, now: datetime, last: LastRun | None) -> datetime:
    """When the job runs next, as things stand; a moment that has passed means: as soon as the daemon looks."""
    due = due_slot(timing, now, last)
    if due is not None:
        return due
    slot = current_slot(timing, now)
    match timing:
        case Daily(at=at, grace=grace, retry=retry):
            if _is_to_be_retried(timing, slot, last) and last is not None and last.ended_at is not None:
                again = last.ended_at + retry
                if again - slot <= grace:
                    return again
            local = in_shanghai(now)
            return min(slot for slot in _slots_around(local, at) if slot > local)
        case Every(interval=interval):
            return slot + interval


def _slots_around(local: datetime, at: Sequence[time]) -> list[datetime]:
    """Those of yesterday, today and tomorrow."""
    days = [local.date() + timedelta(days=shift) for shift in (-1, 0, 1)]
    return [datetime.combine(day, moment, SHANGHAI) for day in days for moment in at]


def is_overtaken_by_clock(slot: datetime, last: LastRun | None) -> bool:
    """Whether a job's last slot lies after the one to be run: the clock has been set back in between."""
    return last is not None and last.slot > slot


def _may_run_daily(timing: Daily, slot: datetime, now: datetime, last: LastRun | None) -> bool:
    if last is None or last.slot != slot:
        return True
    if last.outcome in (None, INTERRUPTED):
        return not last.is_held
    if not _is_to_be_retried(timing, slot, last):
        return False
    return last.ended_at is None or abs(now - last.ended_at) >= timing.retry  # before it: the clock was set back


def _is_to_be_retried(timing: Daily, slot: datetime, last: LastRun | None) -> bool:
    return last is not None and last.slot == slot and last.outcome == FAILED and last.failures < timing.most_failures


def _may_run_again(timing: Every, slot: datetime, last: LastRun) -> bool:
    if last.is_held:
        return False
    if last.slot == slot:
        return last.outcome in (None, INTERRUPTED)
    return last.slot < slot or last.slot - slot > timing.interval  # far ahead: the clock was set back
