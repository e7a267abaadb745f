"""Slots as leased rows, on SQLite and PostgreSQL alike: one slot once, and no late commit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from modules import job_runs as runs
from modules.clock import SHANGHAI
from modules.database import Database
from modules.due_slots import Daily, Every, Timing
from modules.job_runs import Claim, Ended, SlotLostError
from modules.tables import audit_log, job_runs
from tests.tools import wait_until

DAILY = Daily((time(11, 0),), grace=timedelta(hours=12))
EVERY = Every(timedelta(minutes=3))
ELEVEN = datetime(2025, 5, 20, 11, 0, tzinfo=SHANGHAI)
NOW = ELEVEN + timedelta(seconds=10)
OK, FAILED = Ended("ok", {"rows": 2}), Ended("failed", {}, "没有做成")


def take(database: Database, now: datetime = NOW, *, timing: Timing = DAILY, worker: str = "one") -> Claim | None:
    return runs.take(database, "report", timing, worker, now)


def taken(database: Database, now: datetime = NOW, *, timing: Timing = DAILY, worker: str = "one") -> Claim:
    claim = take(database, now, timing=timing, worker=worker)
    assert claim is not None
    return claim


def rows(database: Database) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(job_runs).order_by(job_runs.c.id)).mappings()]


def let_the_lease_run_out(database: Database, claim: Claim) -> None:
    with database.writing() as connection:
        past = datetime(2000, 1, 1, tzinfo=SHANGHAI)
        connection.execute(sa.update(job_runs).where(job_runs.c.id == claim.run_id).values(locked_until=past))


def write(connection: sa.Connection, detail: str) -> None:
    connection.execute(sa.insert(audit_log).values(at=NOW, who="job", action="test", detail=detail))


def written(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.scalars(sa.select(audit_log.c.detail)))


# -- one slot once ---------------------------------------------------------------------------------------------------


def test_a_slot_is_taken_run_and_over(any_database: Database) -> None:
    claim = taken(any_database)
    assert claim.slot == ELEVEN
    [row] = rows(any_database)
    assert (row["job"], row["slot"], row["started_at"], row["outcome"]) == ("report", ELEVEN, NOW, None)
    assert row["locked_by"] == claim.holder
    assert claim.holder.startswith("one/")
    assert runs.end(any_database, claim, OK, NOW + timedelta(seconds=5))
    [row] = rows(any_database)
    assert (row["outcome"], row["counts"], row["error"], row["failures"]) == ("ok", '{"rows": 2}', None, 0)
    assert (row["ended_at"], row["locked_by"], row["locked_until"]) == (NOW + timedelta(seconds=5), None, None)
    assert take(any_database, NOW + timedelta(hours=1)) is None
    assert taken(any_database, NOW + timedelta(days=1)).slot == ELEVEN + timedelta(days=1)


def test_what_somebody_runs_nobody_else_takes(any_database: Database) -> None:
    taken(any_database)
    assert take(any_database, worker="two") is None
    assert take(any_database, worker="one") is None


@pytest.mark.parametrize(("timing", "slots"), [(DAILY, 1), (EVERY, 10)], ids=["daily", "interval"])
def test_of_many_daemons_that_look_at_once_one_runs_the_slot(any_database_url: str, timing: Timing, slots: int) -> None:
    databases = [Database(any_database_url) for _ in range(8)]
    start = threading.Barrier(len(databases))

    def look(number: int) -> list[datetime]:
        found = []
        for minutes in range(0, 30, 3):
            start.wait(20)
            claim = take(databases[number], NOW + timedelta(minutes=minutes), timing=timing)
            if claim is not None:
                found.append(claim.slot)
                assert runs.end(databases[number], claim, OK, NOW)
        return found

    with ThreadPoolExecutor(len(databases)) as pool:
        found = [slot for slots in pool.map(look, range(len(databases))) for slot in slots]
    assert len(found) == len(set(found)) == slots
    assert len(rows(databases[0])) == slots
    for database in databases:
        database.close()


def test_jobs_do_not_get_into_each_others_way(any_database: Database) -> None:
    first, second = (runs.take(any_database, job, DAILY, "one", NOW) for job in ("report", "back-up"))
    assert first is not None
    assert second is not None
    assert runs.end(any_database, first, OK, NOW)
    assert [row["outcome"] for row in rows(any_database)] == ["ok", None]


def test_a_failed_slot_is_taken_again_and_its_failures_are_counted(any_database: Database) -> None:
    now = NOW
    for failures in (1, 2, 3):
        runs.end(any_database, taken(any_database, now), FAILED, now)
        assert [(row["outcome"], row["failures"], row["error"]) for row in rows(any_database)] == [
            ("failed", failures, "没有做成")
        ]
        assert take(any_database, now + timedelta(minutes=9)) is None
        now += timedelta(minutes=10)
    assert take(any_database, now) is None


def test_an_interrupted_slot_is_taken_again_at_once_and_is_no_failure(any_database: Database) -> None:
    runs.end(any_database, taken(any_database), runs.interrupted(), NOW)
    again = taken(any_database, worker="two")
    runs.end(any_database, again, OK, NOW)
    assert [(row["outcome"], row["failures"]) for row in rows(any_database)] == [("ok", 0)]


def test_a_missed_slot_is_noted_once(any_database: Database) -> None:
    runs.end(any_database, taken(any_database), OK, NOW)
    late = NOW + timedelta(days=7, hours=13)
    for _ in range(2):
        assert take(any_database, late) is None
    _, missed = rows(any_database)
    assert (missed["outcome"], missed["slot"]) == ("missed", ELEVEN + timedelta(days=7))
    assert "错过" in missed["error"]


def test_a_run_that_was_lost_and_not_made_up_for_in_time_is_noted_as_missed(any_database: Database) -> None:
    let_the_lease_run_out(any_database, taken(any_database))
    late = NOW + timedelta(hours=13)
    assert take(any_database, late) is None
    assert take(any_database, late) is None
    [row] = rows(any_database)
    assert (row["outcome"], row["started_at"], row["ended_at"]) == ("missed", NOW, late)
    assert "没有跑完" in row["error"]


@pytest.mark.parametrize("timing", [DAILY, EVERY])
def test_a_run_that_was_lost_is_noted_when_a_later_slot_is_run(any_database: Database, timing: Timing) -> None:
    """None stays open for ever: people would take it for one that goes on."""
    lost = taken(any_database, timing=timing)
    let_the_lease_run_out(any_database, lost)
    later = taken(any_database, NOW + timedelta(days=1), timing=timing)
    first, second = rows(any_database)
    assert (first["outcome"], first["error"]) == ("interrupted", "没有跑完：运行中程序异常中断")
    assert (second["outcome"], second["locked_by"]) == (None, later.holder)
    assert not runs.end(any_database, lost, OK, NOW + timedelta(days=1))


def test_a_run_that_goes_on_into_the_next_slot_is_not_lost(any_database: Database) -> None:
    first = taken(any_database)
    tomorrow = NOW + timedelta(days=1)
    assert runs.renew(any_database, first, tomorrow)
    taken(any_database, tomorrow, worker="two")
    assert [row["outcome"] for row in rows(any_database)] == [None, None]
    assert runs.end(any_database, first, OK, tomorrow)


def test_after_the_clock_was_set_back_an_interval_job_runs_by_the_new_clock(any_database: Database) -> None:
    for minutes in (0, 3, 6):
        claim = taken(any_database, NOW + timedelta(hours=1, minutes=minutes), timing=EVERY)
        runs.end(any_database, claim, OK, NOW)
    for minutes in (0, 3, 6, 60, 63, 66, 69):
        now = NOW + timedelta(minutes=minutes)
        runs.end(any_database, taken(any_database, now, timing=EVERY), OK, now)
        assert take(any_database, now, timing=EVERY) is None
    assert [row["scheduled"] for row in rows(any_database)] == [False] * 3 + [True] * 7


def test_a_daily_slot_that_a_clock_far_ahead_took_runs_when_its_day_comes(any_database: Database) -> None:
    days = [8, 0, 1, 7, 8]
    for day in days:
        now = NOW + timedelta(days=day)
        runs.end(any_database, taken(any_database, now), OK, now)
    assert [row["scheduled"] for row in rows(any_database)] == [False, True, True, True, True]


def test_a_daily_slot_is_not_run_again_where_the_clock_was_put_right_by_less_than_a_day(any_database: Database) -> None:
    tomorrow = NOW + timedelta(days=1)
    for now in (NOW, tomorrow):
        runs.end(any_database, taken(any_database, now), OK, now)
    for hours in range(-23, 4):
        assert take(any_database, tomorrow + timedelta(hours=hours)) is None
    assert [row["scheduled"] for row in rows(any_database)] == [True, True]


def test_what_a_person_ran_takes_no_slot(any_database: Database) -> None:
    run_id = runs.note_start(any_database, "report", ELEVEN, NOW)
    runs.note_end(any_database, run_id, OK, NOW)
    assert taken(any_database).slot == ELEVEN
    assert [(row["scheduled"], row["outcome"]) for row in rows(any_database)] == [(False, "ok"), (True, None)]


# -- leases ----------------------------------------------------------------------------------------------------------


def test_a_slot_whose_lease_ran_out_is_taken_by_another_and_the_first_can_do_nothing(any_database: Database) -> None:
    first = taken(any_database)
    let_the_lease_run_out(any_database, first)
    second = taken(any_database, worker="two")
    assert second.run_id == first.run_id
    assert not runs.renew(any_database, first, NOW)
    assert not runs.end(any_database, first, FAILED, NOW)
    with pytest.raises(SlotLostError, match="report"), runs.writing(any_database, first) as connection:
        write(connection, "too late")
    with runs.writing(any_database, second) as connection:
        write(connection, "in time")
    assert runs.end(any_database, second, OK, NOW)
    assert written(any_database) == ["in time"]


def test_a_renewed_lease_stands(any_database: Database) -> None:
    claim = taken(any_database)
    let_the_lease_run_out(any_database, claim)
    assert runs.renew(any_database, claim, NOW)
    assert take(any_database, worker="two") is None


def test_a_lease_far_ahead_is_none(any_database: Database) -> None:
    """As a clock that was set back leaves it."""
    claim = taken(any_database)
    with any_database.writing() as connection:
        connection.execute(sa.update(job_runs).values(locked_until=datetime(2100, 1, 1, tzinfo=SHANGHAI)))
    assert taken(any_database, worker="two").run_id == claim.run_id


def test_the_slots_of_dead_workers_are_free_at_once(any_database: Database) -> None:
    taken(any_database, worker="dead-1")
    assert runs.release_dead(any_database, {"dead", "other"}) == 0
    assert take(any_database) is None
    assert runs.release_dead(any_database, {"dead-1"}) == 1
    assert runs.release_dead(any_database, set()) == 0
    assert taken(any_database).slot == ELEVEN


# -- the fence -------------------------------------------------------------------------------------------------------


def test_a_run_that_has_ended_writes_no_more(any_database: Database) -> None:
    claim = taken(any_database)
    runs.end(any_database, claim, FAILED, NOW)
    with pytest.raises(SlotLostError), runs.writing(any_database, claim) as connection:
        write(connection, "too late")
    assert written(any_database) == []


def test_while_a_holder_writes_nobody_takes_its_slot(any_database: Database) -> None:
    """The lease is over, but the transaction that looked at it is not."""
    claim = taken(any_database)
    let_the_lease_run_out(any_database, claim)
    found: list[Claim | None] = []
    other = threading.Thread(target=lambda: found.append(take(any_database, worker="two")))
    with runs.writing(any_database, claim) as connection:
        write(connection, "mine")
        other.start()
        other.join(0.3)
        assert other.is_alive()
        assert found == []
    wait_until(lambda: len(found) == 1)
    other.join()
    assert written(any_database) == ["mine"]
    with pytest.raises(SlotLostError), runs.writing(any_database, claim):
        raise AssertionError("the slot belongs to the other now")


def test_a_transaction_that_fails_leaves_the_slot_with_its_holder(any_database: Database) -> None:
    claim = taken(any_database)

    def half(connection: sa.Connection) -> None:
        write(connection, "half")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError), runs.writing(any_database, claim) as connection:
        half(connection)
    with runs.writing(any_database, claim) as connection:
        write(connection, "whole")
    assert written(any_database) == ["whole"]


# -- what is old -----------------------------------------------------------------------------------------------------


def test_old_runs_are_forgotten_but_not_the_newest_of_a_job(any_database: Database) -> None:
    for day in range(4):
        now = NOW + timedelta(days=day)
        runs.end(any_database, taken(any_database, now), OK, now)
    with any_database.writing() as connection:
        assert runs.prune(connection, NOW + timedelta(days=2)) == 2
    assert [row["slot"] - ELEVEN for row in rows(any_database)] == [timedelta(days=2), timedelta(days=3)]
    with any_database.writing() as connection:
        assert runs.prune(connection, NOW + timedelta(days=100)) == 1
    assert len(rows(any_database)) == 1
