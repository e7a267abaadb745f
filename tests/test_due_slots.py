"""When a job is due: cases one by one, and a month of clocks, outages and failures at random."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.clock import SHANGHAI, shanghai_now
from modules.due_slots import Daily, Every, LastRun, current_slot, due_slot, missed_slot, next_slot

ELEVEN = Daily((time(11, 0),), grace=timedelta(hours=12))
EVERY_THREE = Every(timedelta(minutes=3))
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    """`20 10:59` → 20 May 2025, 10:59 in Shanghai."""
    day, clock = text.split()
    hour, minute, *second = map(int, clock.split(":"))
    return datetime(2025, 5, int(day), hour, minute, *second, tzinfo=SHANGHAI)


def ran(slot: str, outcome: str | None = "ok", *, held: bool = False, failures: int = 0, ended: str = "") -> LastRun:
    return LastRun(at(slot), outcome, held, failures, at(ended) if ended else None)


# -- cases -----------------------------------------------------------------------------------------------------------

DAILY_CASES = {
    # now, the last run, the slot that is due
    "before its time, never run: yesterday's is over its grace": ("20 10:59", None, None),
    "on the dot": ("20 11:00", None, "20 11:00"),
    "a restart at 11:01 catches up": ("20 11:01", ran("19 11:00"), "20 11:00"),
    "it ran": ("20 11:01", ran("20 11:00"), None),
    "off until the evening": ("20 22:59", ran("19 11:00"), "20 11:00"),
    "the last moment of its grace": ("20 23:00", ran("19 11:00"), "20 11:00"),
    "beyond its grace": ("20 23:01", ran("19 11:00"), None),
    "a week off: only today's": ("20 12:00", ran("12 11:00"), "20 11:00"),
    "somebody runs it": ("20 11:05", ran("20 11:00", None, held=True), None),
    "whoever ran it is gone": ("20 11:05", ran("20 11:00", None), "20 11:00"),
    "the program was closed in the middle": ("20 11:05", ran("20 11:00", "interrupted", ended="20 11:04"), "20 11:00"),
    "failed a moment ago": ("20 11:09", ran("20 11:00", "failed", failures=1, ended="20 11:00"), None),
    "failed ten minutes ago": ("20 11:10", ran("20 11:00", "failed", failures=1, ended="20 11:00"), "20 11:00"),
    "failed for the third time": ("20 12:00", ran("20 11:00", "failed", failures=3, ended="20 11:20"), None),
    "failed, beyond its grace": ("20 23:01", ran("20 11:00", "failed", failures=1, ended="20 22:55"), None),
    "noted as missed": ("20 23:30", ran("20 11:00", "missed"), None),
    "set back by an hour after it ran": ("20 10:30", ran("19 11:00"), None),
    "set back by an hour after it failed": (
        "20 11:00", ran("20 11:00", "failed", failures=1, ended="20 12:00"), "20 11:00",
    ),
    "a second's correction of the clock after it failed": (
        "20 11:30", ran("20 11:00", "failed", failures=1, ended="20 11:30:01"), None,
    ),
}  # fmt: skip

TWICE_A_DAY = Daily((time(9, 0), time(15, 30)), grace=timedelta(hours=12))

SEVERAL_TIMES_CASES = {
    # now, the last run, the slot that is due, the next one
    "the morning's": ("20 09:00", ran("19 15:30"), "20 09:00", "20 09:00"),
    "the morning's was run": ("20 09:01", ran("20 09:00"), None, "20 15:30"),
    "the morning's was missed, the afternoon's time has come": ("20 15:30", ran("19 15:30"), "20 15:30", "20 15:30"),
    "in the evening": ("20 16:00", ran("20 15:30"), None, "21 09:00"),
    "in the night, beyond the grace of the afternoon's": ("21 04:00", ran("20 09:00"), None, "21 09:00"),
}

INTERVAL_CASES = {
    "never run": ("20 12:01", None, "20 12:00"),
    "ran in this interval": ("20 12:02", ran("20 12:00"), None),
    "the next interval": ("20 12:03", ran("20 12:00"), "20 12:03"),
    "slept through a hundred": ("20 17:01", ran("20 12:00"), "20 17:00"),
    "failed: its next slot comes anyway": ("20 12:02", ran("20 12:00", "failed", failures=1), None),
    "interrupted": ("20 12:02", ran("20 12:00", "interrupted"), "20 12:00"),
    "somebody runs it": ("20 12:02", ran("20 12:00", None, held=True), None),
    "a run that outlasts its interval": ("20 12:04", ran("20 12:00", None, held=True), None),
    "whoever ran it is gone": ("20 12:02", ran("20 12:00", None), "20 12:00"),
    "whoever ran an earlier one is gone": ("20 12:05", ran("20 12:00", None), "20 12:03"),
    "set back by less than an interval": ("20 12:02", ran("20 12:03"), None),
    "set back by an hour": ("20 11:02", ran("20 12:00"), "20 11:00"),
}


@pytest.mark.parametrize(("now", "last", "due", "following"), SEVERAL_TIMES_CASES.values(), ids=SEVERAL_TIMES_CASES)
def test_a_job_with_several_times_a_day(now: str, last: LastRun, due: str | None, following: str) -> None:
    assert due_slot(TWICE_A_DAY, at(now), last) == (at(due) if due else None)
    assert next_slot(TWICE_A_DAY, at(now), last) == at(following)


@pytest.mark.parametrize(("now", "last", "due"), DAILY_CASES.values(), ids=DAILY_CASES)
def test_a_daily_job(now: str, last: LastRun | None, due: str | None) -> None:
    assert due_slot(ELEVEN, at(now), last) == (at(due) if due else None)


@pytest.mark.parametrize(("now", "last", "due"), INTERVAL_CASES.values(), ids=INTERVAL_CASES)
def test_an_interval_job(now: str, last: LastRun | None, due: str | None) -> None:
    assert due_slot(EVERY_THREE, at(now), last) == (at(due) if due else None)


def test_a_slot_that_nobody_ran_is_missed_once_its_grace_is_over() -> None:
    assert missed_slot(ELEVEN, at("20 23:00"), ran("19 11:00")) is None
    assert missed_slot(ELEVEN, at("20 23:01"), ran("19 11:00")) == at("20 11:00")
    assert missed_slot(ELEVEN, at("21 10:59"), ran("12 11:00")) == at("20 11:00")
    assert missed_slot(ELEVEN, at("20 23:01"), ran("20 11:00", "failed")) is None
    assert missed_slot(EVERY_THREE, at("20 23:01"), ran("20 11:00")) is None


@pytest.mark.parametrize("outcome", [None, "interrupted"])
def test_a_slot_whose_run_was_broken_off_is_missed_too_once_its_grace_is_over(outcome: str | None) -> None:
    assert missed_slot(ELEVEN, at("20 23:00"), ran("20 11:00", outcome)) is None
    assert missed_slot(ELEVEN, at("20 23:01"), ran("20 11:00", outcome)) == at("20 11:00")
    assert missed_slot(ELEVEN, at("20 23:01"), ran("20 11:00", None, held=True)) is None


def test_a_job_that_never_ran_has_missed_nothing() -> None:
    assert missed_slot(ELEVEN, at("20 10:00"), None) is None


@pytest.mark.parametrize(
    ("timing", "now", "last", "following"),
    [
        (ELEVEN, "20 10:00", None, "20 11:00"),
        (ELEVEN, "20 12:00", ran("20 11:00"), "21 11:00"),
        (ELEVEN, "20 12:00", ran("19 11:00"), "20 11:00"),
        (ELEVEN, "20 11:05", ran("20 11:00", "failed", failures=1, ended="20 11:01"), "20 11:11"),
        (ELEVEN, "20 22:59", ran("20 11:00", "failed", failures=1, ended="20 22:58"), "21 11:00"),
        (ELEVEN, "20 11:05", ran("20 11:00", "failed", failures=3, ended="20 11:01"), "21 11:00"),
        (EVERY_THREE, "20 12:01", ran("20 12:00"), "20 12:03"),
        (EVERY_THREE, "20 12:01", None, "20 12:00"),
    ],
)
def test_when_a_job_runs_next(timing: Daily | Every, now: str, last: LastRun | None, following: str) -> None:
    assert next_slot(timing, at(now), last) == at(following)


# -- zones -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"])
def host_zone(request: pytest.FixtureRequest, set_zone: Callable[[str], None]) -> str:
    """The zone that the machine believes to be in."""
    set_zone(request.param)
    return str(request.param)


def test_the_zone_of_the_machine_changes_nothing(host_zone: str) -> None:
    assert os.environ["TZ"] == host_zone
    now = shanghai_now()
    assert current_slot(ELEVEN, now).time() == time(11, 0)
    assert current_slot(ELEVEN, now).utcoffset() == timedelta(hours=8)
    assert timedelta(0) <= now - current_slot(ELEVEN, now) < timedelta(days=1)
    assert timedelta(0) <= now - current_slot(EVERY_THREE, now) < timedelta(minutes=3)


def test_where_summer_time_ends_or_begins_each_day_has_one_slot(host_zone: str) -> None:
    zone = ZoneInfo(host_zone)
    for first in (datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 10, 1, tzinfo=UTC)):
        moments = [(first + timedelta(minutes=30 * half)).astimezone(zone) for half in range(48 * 40)]
        days = Counter(current_slot(ELEVEN, moment).date() for moment in moments)
        assert set(list(days.values())[1:-1]) == {48}


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_current_slot_is_the_newest_that_has_come(now: datetime) -> None:
    for timing, length in ((ELEVEN, timedelta(days=1)), (EVERY_THREE, timedelta(minutes=3))):
        slot = current_slot(timing, now)
        assert slot <= now < slot + length
        assert current_slot(timing, slot) == slot


def test_the_grid_of_an_interval_holds_the_full_hours_of_shanghai() -> None:
    for minutes in (1, 3, 10, 60):
        assert current_slot(Every(timedelta(minutes=minutes)), at("20 12:00")) == at("20 12:00")


# -- a month ---------------------------------------------------------------------------------------------------------


class Month:
    """Daemons that come and go for a month, each with one daily and one interval job; their rows as in `job_runs`."""

    def __init__(self) -> None:
        self.now = datetime(2025, 5, 1, tzinfo=SHANGHAI)
        self.rows: dict[tuple[str, datetime], LastRun] = {}
        self.succeeded: Counter[tuple[str, datetime]] = Counter()
        self.looks: list[datetime] = []
        self.interval_ran_at: list[datetime] = []

    def look(self, ending: str | None) -> None:
        """The daemon is awake and looks; what it runs ends like this (None: it is killed in the middle)."""
        self.looks.append(self.now)
        for job, timing in (("daily", ELEVEN), ("interval", EVERY_THREE)):
            slot = due_slot(timing, self.now, self.last(job))
            if slot is None:
                continue
            if job == "interval":
                self.interval_ran_at.append(self.now)
                for key in [key for key in self.rows if key[0] == job and key[1] >= slot]:
                    del self.rows[key]  # as `job_runs.take` retires what a wrong clock has run
            before = self.rows.get((job, slot))
            failures = (before.failures if before else 0) + (ending == "failed")
            self.rows[job, slot] = LastRun(slot, ending, False, failures, self.now if ending else None)
            self.succeeded[job, slot] += ending == "ok"

    def last(self, job: str) -> LastRun | None:
        until = current_slot(ELEVEN, self.now) if job == "daily" else None
        slots = [slot for name, slot in self.rows if name == job and (until is None or slot <= until)]
        return self.rows[job, max(slots)] if slots else None


EVENTS = st.lists(
    st.tuples(
        st.one_of(
            st.just(MINUTE),
            st.integers(1, 90).map(lambda minutes: minutes * MINUTE),
            st.integers(2, 40).map(lambda hours: timedelta(hours=hours)),  # sleep, or switched off
            st.integers(1, 180).map(lambda minutes: -minutes * MINUTE),  # the clock is set back
        ),
        st.sampled_from(["ok", "ok", "ok", "failed", "interrupted", None]),
    ),
    min_size=20,
    max_size=200,
)


@given(EVENTS)
def test_in_a_month_of_trouble_a_daily_slot_succeeds_at_most_once_and_is_never_passed_over(
    events: list[tuple[timedelta, str | None]],
) -> None:
    month = Month()
    for passed, ending in events:
        month.now += passed
        month.look(ending)
    for (job, slot), times in month.succeeded.items():
        assert times <= 1 or job == "interval", slot
    for look in month.looks:
        slot = current_slot(ELEVEN, look)
        if look - slot <= ELEVEN.grace:
            assert ("daily", slot) in month.rows, f"nobody ran {slot} though somebody looked at {look}"


@given(EVENTS)
def test_a_daemon_that_is_awake_again_runs_every_daily_slot_to_success(
    events: list[tuple[timedelta, str | None]],
) -> None:
    """Whatever happened before: once runs succeed, today's slot is done within the pause between two tries (twice that,
    where the clock was set back over a failed one), unless it has failed as often as it may."""
    month = Month()
    for passed, ending in events:
        month.now += passed
        month.look(ending)
    month.now = current_slot(ELEVEN, month.now) + timedelta(days=1)
    for _ in range(22):
        month.look("ok")
        month.now += MINUTE
    assert month.succeeded["daily", current_slot(ELEVEN, month.now)] == 1


@given(EVENTS, st.integers(1, 180))
def test_an_interval_job_is_never_starved(events: list[tuple[timedelta, str | None]], back: int) -> None:
    """Wherever the clock was set: it runs within an interval and a minute of being awake."""
    month = Month()
    for passed, ending in events:
        month.now += passed
        month.look(ending)
    month.now -= back * MINUTE
    month.interval_ran_at.clear()
    for _ in range(60):
        month.look("ok")
        month.now += MINUTE
    moments = [month.now - 60 * MINUTE, *month.interval_ran_at, month.now]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert max(gaps) <= 2 * EVERY_THREE.interval
    assert len(month.interval_ran_at) <= 60 / 3 + 1


def test_a_month_without_trouble_has_each_slot_once() -> None:
    month = Month()
    for _ in range(31 * 24 * 60 // 3):
        month.look("ok")
        month.now += 3 * MINUTE
    assert Counter(job for job, _ in month.succeeded.elements()) == {"daily": 31, "interval": 31 * 24 * 20}


def test_a_held_slot_is_not_taken_whoever_asks() -> None:
    held = ran("20 11:00", None, held=True)
    assert due_slot(ELEVEN, at("20 11:30"), held) is None
    assert due_slot(ELEVEN, at("20 11:30"), replace(held, is_held=False)) == at("20 11:00")
