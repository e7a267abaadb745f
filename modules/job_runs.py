"""What ran when and how it ended, and who may run a slot: each slot of a job is a leased row of `job_runs`.

A claim is fenced: `locked_by` names the worker and the claim, and `writing` opens a transaction only for the holder of
the current claim. So a run that was given up, or taken for dead, can go on as long as it likes: it writes nothing.

Slots are judged by the moment that is given, leases on PostgreSQL by the server's clock, as those of the queue are.
"""

import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.clock import format_moment
from modules.database import Database, wait_for_turn
from modules.due_slots import (
    FAILED,
    INTERRUPTED,
    Daily,
    LastRun,
    Timing,
    current_slot,
    due_slot,
    is_overtaken_by_clock,
    missed_slot,
)
from modules.tables import SCHEDULED, job_runs
from modules.task_queue import moment_of

log = logging.getLogger(__name__)

SLOTS_LOCK = 0x7A55
"""Names the advisory lock under which daemons take slots in turns on PostgreSQL."""

LEASE = timedelta(seconds=60)
"""How long a slot stays with a holder that says nothing."""

CLOCKS_AGREE = timedelta(days=1)
"""A daily slot that lies ahead by more was run by a clock that was wrong; one by less may be of a clock put right."""

OK, MISSED = "ok", "missed"

OUTCOME_WORDS: Mapping[str, str] = {OK: "成功", FAILED: "失败", INTERRUPTED: "中断", MISSED: "错过"}
"""What people call the outcomes of a run."""

METABASE = "metabase"
"""The fault of a run that failed as Metabase itself is out of use."""

MISSED_WORDS = "错过了：到点时程序没有运行，过了补跑时限；要补跑请用 run 加 --at"
BROKEN_OFF_WORDS = "没有跑完：运行中程序中断，过了补跑时限；要补跑请用 run 加 --at"
LOST_WORDS = "没有跑完：运行中程序异常中断"

_NEWEST = (
    sa.select(*(job_runs.c[name] for name in ("slot", "outcome", "locked_until", "failures", "ended_at")))
    .where(SCHEDULED, job_runs.c.job == sa.bindparam("key"))
    .order_by(job_runs.c.slot.desc())
    .limit(1)
)
_NEWEST_UNTIL = _NEWEST.where(job_runs.c.slot <= sa.bindparam("until"))

Writing = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction that writes: a job's only way to the database. Raises SlotLostError."""


class SlotLostError(Exception):
    """This run no longer holds its slot: it was given up, or somebody else has taken over. It must write nothing."""

    def __init__(self, job: str) -> None:
        super().__init__(f"{job} 的这次运行已作废（超时、关闭或由别的程序接手），没有写入任何东西")


@dataclass(frozen=True)
class Claim:
    """A slot that its holder may run."""

    run_id: int
    job: str
    slot: datetime
    holder: str


@dataclass(frozen=True)
class Ended:
    """How a run ended; `error` in words for people. `fault`: whose, where it is not the job's own."""

    outcome: str
    counts: Mapping[str, int]
    error: str | None = None
    fault: str | None = None


def last_run(connection: Connection, job: str, timing: Timing, now: datetime) -> LastRun | None:
    """What `due_slot` and the like want to know of a job."""
    if isinstance(timing, Daily):
        found = connection.execute(_NEWEST_UNTIL, {"key": job, "until": current_slot(timing, now)})
    else:
        found = connection.execute(_NEWEST, {"key": job})
    row = found.one_or_none()
    if row is None:
        return None
    moment = _lease_moment(connection, now)
    held = row.outcome is None and _is_held(row.locked_until, moment)
    return LastRun(row.slot, row.outcome, held, row.failures, row.ended_at)


def take(database: Database, job: str, timing: Timing, worker: str, now: datetime) -> Claim | None:
    """The slot that is due, for this worker to run; None where none is, or somebody else holds it."""
    with database.reading() as connection:  # takes no lock: most looks find nothing
        last = last_run(connection, job, timing, now)
        if due_slot(timing, now, last) is None and missed_slot(timing, now, last) is None:
            return None
    with database.writing() as connection:
        wait_for_turn(connection, SLOTS_LOCK)
        last = last_run(connection, job, timing, now)
        slot = due_slot(timing, now, last)
        if slot is None:
            _note_missed(connection, job, missed_slot(timing, now, last), now)
            return None
        if isinstance(timing, Daily):
            _retire_from(connection, job, now + CLOCKS_AGREE)
        elif is_overtaken_by_clock(slot, last):
            _retire_from(connection, job, slot)
        _note_lost(connection, job, slot, now)
        holder = f"{worker}/{uuid.uuid4().hex[:12]}"
        until = _lease_moment(connection, now) + LEASE
        return Claim(_hold(connection, job, slot, holder, until, now), job, slot, holder)


def renew(database: Database, claim: Claim, now: datetime) -> bool:
    """Keep the slot for another lease; whether it was still held."""
    with database.writing() as connection:
        until = _lease_moment(connection, now) + LEASE
        return connection.execute(sa.update(job_runs).where(*_held(claim)).values(locked_until=until)).rowcount == 1


def end(database: Database, claim: Claim, ended: Ended, now: datetime) -> bool:
    """Note how the run ended and let go of the slot; whether it was still held."""
    values = _ending(ended, now) | {"locked_by": None, "locked_until": None}
    if ended.outcome == FAILED:
        values["failures"] = job_runs.c.failures + 1
    with database.writing() as connection:
        return connection.execute(sa.update(job_runs).where(*_held(claim)).values(values)).rowcount == 1


@contextmanager
def writing(database: Database, claim: Claim) -> Iterator[Connection]:
    """A transaction for the holder of this claim alone; nobody can take the slot before its end.

    Raises SlotLostError.
    """
    with database.writing() as connection:
        held = sa.select(job_runs.c.id).where(*_held(claim)).with_for_update()
        if connection.execute(held).one_or_none() is None:
            raise SlotLostError(claim.job)
        yield connection


def release_dead(database: Database, workers: Collection[str]) -> int:
    """The slots held by workers that are known to be dead can be taken at once; returns how many there were."""
    if not workers:
        return 0
    theirs = sa.or_(*(job_runs.c.locked_by.startswith(f"{name}/", autoescape=True) for name in sorted(workers)))
    with database.writing() as connection:
        open_runs = sa.update(job_runs).where(SCHEDULED, job_runs.c.outcome.is_(None), theirs)
        return connection.execute(open_runs.values(locked_by=None, locked_until=None)).rowcount


def note_start(database: Database, job: str, slot: datetime, now: datetime) -> int:
    """Note that a run which a person asked for began; returns its id."""
    values = {"job": job, "slot": slot, "started_at": now}
    with database.writing() as connection:
        run_id: int = connection.execute(sa.insert(job_runs).values(values).returning(job_runs.c.id)).scalar_one()
    return run_id


def note_end(database: Database, run_id: int, ended: Ended, now: datetime) -> None:
    """How it ended."""
    with database.writing() as connection:
        connection.execute(sa.update(job_runs).where(job_runs.c.id == run_id).values(_ending(ended, now)))


def prune(connection: Connection, before: datetime) -> int:
    """Forget the runs that began before a moment, but not a job's newest; returns how many."""
    newest = sa.select(sa.func.max(job_runs.c.id)).group_by(job_runs.c.job)
    old = sa.delete(job_runs).where(job_runs.c.started_at < before, job_runs.c.id.not_in(newest))
    return connection.execute(old).rowcount


def interrupted() -> Ended:
    """The program was closed in the middle of a run."""
    return Ended(INTERRUPTED, {}, "程序被关闭，运行中断")


def _lease_moment(connection: Connection, now: datetime) -> datetime:
    return moment_of(connection, now, server_clock=connection.dialect.name != "sqlite")


def _is_held(until: datetime | None, moment: datetime) -> bool:
    """Whether a lease stands; one that ends later than any can was given before the clock was set back."""
    return until is not None and moment < until <= moment + LEASE


def _of_slot(job: str, slot: datetime) -> tuple[sa.ColumnExpressionArgument[bool], ...]:
    return SCHEDULED, job_runs.c.job == job, job_runs.c.slot == slot


def _held(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return job_runs.c.id == claim.run_id, job_runs.c.locked_by == claim.holder, job_runs.c.outcome.is_(None)


def _ending(ended: Ended, now: datetime) -> dict[str, Any]:
    counts = json.dumps(dict(ended.counts))
    return {"ended_at": now, "outcome": ended.outcome, "counts": counts, "error": ended.error, "fault": ended.fault}


def _note_missed(connection: Connection, job: str, slot: datetime | None, now: datetime) -> None:
    if slot is None:
        return
    begun = sa.update(job_runs).where(*_of_slot(job, slot))
    words = BROKEN_OFF_WORDS
    if not connection.execute(begun.values(_ending(Ended(MISSED, {}, words), now))).rowcount:
        words = MISSED_WORDS
        missed = {"job": job, "slot": slot, "started_at": now, "scheduled": True}
        connection.execute(sa.insert(job_runs).values(missed | _ending(Ended(MISSED, {}, words), now)))
    log.warning("%s 的时段 %s %s", job, format_moment(slot), words)


def _note_lost(connection: Connection, job: str, slot: datetime, now: datetime) -> None:
    """Earlier runs that nobody holds any more will not end by themselves, now that a later slot is run."""
    moment = _lease_moment(connection, now)
    unfinished = sa.select(job_runs.c.id, job_runs.c.locked_until).where(
        SCHEDULED, job_runs.c.job == job, job_runs.c.slot < slot, job_runs.c.outcome.is_(None)
    )
    lost = [run.id for run in connection.execute(unfinished) if not _is_held(run.locked_until, moment)]
    if lost:
        ended = _ending(Ended(INTERRUPTED, {}, LOST_WORDS), now)
        connection.execute(sa.update(job_runs).where(job_runs.c.id.in_(lost)).values(ended))


def _retire_from(connection: Connection, job: str, slot: datetime) -> None:
    """The clock was set back: slots that were run by the wrong clock stay on record, and stand for nothing any more."""
    ahead = sa.update(job_runs).where(SCHEDULED, job_runs.c.job == job, job_runs.c.slot >= slot)
    connection.execute(ahead.values(scheduled=False))


def _hold(connection: Connection, job: str, slot: datetime, holder: str, until: datetime, now: datetime) -> int:
    begun = {"started_at": now, "locked_by": holder, "locked_until": until}
    emptied = dict.fromkeys(("ended_at", "outcome", "counts", "error", "fault"))
    again = sa.update(job_runs).where(*_of_slot(job, slot))
    run_id: int | None = connection.execute(again.values(begun | emptied).returning(job_runs.c.id)).scalar()
    if run_id is None:
        first = sa.insert(job_runs).values(job=job, slot=slot, scheduled=True, **begun)
        run_id = connection.execute(first.returning(job_runs.c.id)).scalar_one()
    return run_id
