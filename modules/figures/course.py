"""How a campaign goes day by day, beside the same city's campaign of the month before; money in fen.

Contracts are counted on the day they were signed, with the amount of their registration; historical ones are left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import accumulate

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.figures.cut import Cut, Track
from modules.figures.days import day_of, days_between
from modules.figures.months import Period, period_before, periods_of
from modules.rewards.campaign import Campaign
from modules.tables import performance


@dataclass(frozen=True)
class Day:
    """What was signed on a day, or up to it."""

    day: date
    contracts: int
    amount: int


@dataclass(frozen=True)
class Course:
    """Every day up to the last good pull, in order, also those without a contract; a campaign's first day is day 1.

    `before` are all days of the campaign before, and none where there was none; `before_so_far` is what that one had
    come to at the same day and hour (contracts, amount).
    """

    period: Period
    days: tuple[Day, ...]
    before_key: str
    before: tuple[Day, ...]
    before_so_far: tuple[int, int]

    @property
    def total(self) -> tuple[int, int]:
        """Contracts and amount so far."""
        return sums_of(self.days)

    @property
    def whole_days(self) -> tuple[Day, ...]:
        """Those that were over at the last good pull."""
        if self.period.is_over:
            return self.days
        return tuple(one for one in self.days if one.day < self.period.as_of.date())


def course_of(connection: Connection, configured: Mapping[str, Campaign], key: str, track: Track) -> Course | None:
    """None where the campaign has no ledger."""
    periods = periods_of(connection, configured)
    period = periods.get(key)
    if period is None:
        return None
    signed = _signed(connection, key, track)
    days = _every_day(period, signed, max([_last_day(period), *signed]))
    earlier = period_before(periods, period)
    if earlier is None:
        return Course(period, days, "", (), (0, 0))
    before = _signed(connection, earlier.campaign, track)
    so_far = before
    if not period.is_over:
        so_far = _signed(connection, earlier.campaign, track, period.same_moment_in(earlier))
    every_day = _every_day(earlier, before, max([earlier.end, *before]))
    return Course(period, days, earlier.campaign, every_day, sums_of(so_far.values()))


def running(days: Iterable[Day]) -> list[Day]:
    """What had come together by each day."""
    return list(
        accumulate(days, lambda sofar, one: Day(one.day, sofar.contracts + one.contracts, sofar.amount + one.amount))
    )


def sums_of(days: Iterable[Day]) -> tuple[int, int]:
    """Contracts and amount of some days together."""
    found = list(days)
    return sum(one.contracts for one in found), sum(one.amount for one in found)


def _signed(connection: Connection, key: str, track: Track, until: datetime | None = None) -> dict[date, Day]:
    where = Cut(key, track=track).numbered()
    where += [] if until is None else [performance.c.signed_at < until]
    day = day_of(connection, performance.c.signed_at).label("day")
    chosen = sa.select(day, sa.func.count(), sa.func.sum(performance.c.amount)).where(*where).group_by("day")
    rows = connection.execute(chosen.order_by("day"))
    found = (Day(date.fromisoformat(text), number, int(amount)) for text, number, amount in rows)
    return {one.day: one for one in found}


def _every_day(period: Period, signed: Mapping[date, Day], last: date) -> tuple[Day, ...]:
    return tuple(signed.get(day, Day(day, 0, 0)) for day in days_between(period.start, last))


def _last_day(period: Period) -> date:
    return period.end if period.is_over else period.as_of.date()
