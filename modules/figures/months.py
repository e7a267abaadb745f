"""A month by city: what each campaign's ledger adds up to, against the month before at the same day, and to its end.

Amounts are those of the registration, as they were announced; `changed` counts the contracts that have changed since.
"""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.campaign_ledger import worked_by
from modules.figures.cut import WITH_CONTRACT, moment_of_award
from modules.figures.days import midnight
from modules.figures.live import live_performance
from modules.rewards.campaign import Campaign
from modules.tables import awards, campaigns, performance

FORECAST_FROM = timedelta(days=3)
"""Before so much of a campaign has passed, its course says nothing of its end."""


@dataclass(frozen=True)
class Totals:
    """What a ledger adds up to; historical contracts count as performance only, as everywhere.

    `people` are the housekeepers, each once, for how many providers they sign.
    """

    contracts: int = 0
    amount: int = 0
    performance: int = 0
    bonus_pool: int = 0
    payout: int = 0
    people: int = 0
    changed: int = 0


@dataclass(frozen=True)
class Period:
    """A campaign's place, days (both inclusive) and state. `city` is for people, `month` is `2025-05`."""

    campaign: str
    city: str
    month: str
    start: date
    end: date
    last_settle_day: date
    last_pull_at: datetime | None
    closed_at: datetime | None

    @property
    def begins(self) -> datetime:
        return midnight(self.start)

    @property
    def ends(self) -> datetime:
        """The first moment after it."""
        return midnight(self.end + timedelta(days=1))

    @property
    def as_of(self) -> datetime:
        """Up to when the ledger tells of the campaign: the last good pull, at most the end.

        The end also where nothing was ever pulled: such a ledger was taken over as a whole.
        """
        return max(min(self.last_pull_at or self.ends, self.ends), self.begins)

    @property
    def is_over(self) -> bool:
        """Whether the last pull came after its last day, or the ledger was taken over and never pulled."""
        return self.as_of == self.ends

    def same_moment_in(self, earlier: Self) -> datetime:
        """As far into another campaign as this one has been pulled, at most its end."""
        return min(earlier.begins + (self.as_of - self.begins), earlier.ends)


@dataclass(frozen=True)
class CityMonth:
    """A campaign's month. `before`: the month before up to the same day and hour, None where there was none.

    `forecast`: contracts, amount, performance, bonus pool and payout at the end if it goes on as so far; None early on.
    `live_performance`: what counts by the amounts of now, where contracts have changed; None where none has, or no
    configuration says how to count.
    """

    period: Period
    totals: Totals
    before: Totals | None
    before_key: str
    forecast: Totals | None
    live_performance: int | None


def months_of(periods: Iterable[Period]) -> list[str]:
    """Newest first, as `2025-05`."""
    return sorted({period.month for period in periods}, reverse=True)


def campaigns_of(periods: Iterable[Period], month: str) -> list[str]:
    """The campaigns of a month."""
    return sorted(period.campaign for period in periods if period.month == month)


def month_of(key: str) -> str:
    """`BJ-2025-05` → `2025-05`."""
    return key.partition("-")[2]


def city_code(key: str) -> str:
    """`BJ-2025-05` → `BJ`."""
    return key.partition("-")[0]


def month_before(month: str) -> str:
    """`2025-01` → `2024-12`."""
    first = date.fromisoformat(f"{month}-01")
    return (first - timedelta(days=1)).isoformat()[:7]


def city_months(connection: Connection, configured: Mapping[str, Campaign], month: str) -> list[CityMonth]:
    """Every campaign of a month that has a ledger, by city."""
    periods = periods_of(connection, configured)
    return [
        _city_month(connection, period, period_before(periods, period), configured.get(period.campaign))
        for period in periods.values()
        if period.month == month
    ]


def periods_of(connection: Connection, configured: Mapping[str, Campaign]) -> dict[str, Period]:
    """Every campaign with a ledger, by key in order; one that the configuration lacks gets its calendar month."""
    rows = connection.execute(sa.select(campaigns).where(campaigns.c.revision > 0).order_by(campaigns.c.key)).all()
    return {row.key: _period(row.key, configured.get(row.key), row.last_pull_at, row.closed_at) for row in rows}


def periods_due(connection: Connection, configured: Mapping[str, Campaign], day: date) -> list[Period]:
    """Those with a ledger, and every campaign that is to be pulled on this day, also where nothing ever came of it."""
    found = periods_of(connection, configured)
    due = {key: campaign for key, campaign in configured.items() if key not in found and campaign.is_pulled(day)}
    rows = connection.execute(sa.select(campaigns).where(campaigns.c.key.in_(due))).all()
    noted = {row.key: (row.last_pull_at, row.closed_at) for row in rows}
    return [*found.values(), *(_period(key, due[key], *noted.get(key, (None, None))) for key in sorted(due))]


def stamp_of(connection: Connection) -> tuple[tuple[str, int, datetime | None, datetime | None], ...]:
    """Names the state of all ledgers: another one after each pull, correction and closing."""
    chosen = sa.select(campaigns.c.key, campaigns.c.revision, campaigns.c.last_pull_at, campaigns.c.closed_at)
    return tuple(tuple(row) for row in connection.execute(chosen.order_by(campaigns.c.key)))


def period_before(periods: Mapping[str, Period], period: Period) -> Period | None:
    """The same city's campaign of the month before, where it has a ledger."""
    return periods.get(f"{city_code(period.campaign)}-{month_before(period.month)}")


def totals_of(connection: Connection, key: str, until: datetime | None = None) -> Totals:
    """The whole ledger, or what was signed before a moment (awards without a contract: granted before it)."""
    own, granted = [performance.c.campaign == key], [awards.c.campaign == key]
    source: sa.FromClause = awards
    if until is not None:
        own.append(performance.c.signed_at < until)
        source = WITH_CONTRACT
        granted.append(moment_of_award < until)
    numbered = ~performance.c.historical
    has_changed = sa.or_(
        performance.c.source_amount != performance.c.amount, performance.c.loss_accepted_at.is_not(None)
    )
    registered = connection.execute(
        sa.select(
            sa.func.count().filter(numbered).label("contracts"),
            _sum(performance.c.amount, numbered).label("amount"),
            _sum(performance.c.performance, sa.true()).label("performance"),
            _sum(performance.c.bonus_pool, numbered).label("bonus_pool"),
            sa.func.count(sa.distinct(performance.c.housekeeper)).label("people"),
            sa.func.count().filter(has_changed).label("changed"),
        ).where(*own)
    ).one()
    paid = sa.select(sa.func.coalesce(sa.func.sum(awards.c.amount), 0)).select_from(source).where(*granted)
    payout = connection.execute(paid).scalar_one()
    return Totals(payout=int(payout), **{name: int(value) for name, value in registered._mapping.items()})


def forecast_of(totals: Totals, period: Period) -> Totals | None:
    """As much more as the part of the campaign that is still to come; the totals themselves once it is over."""
    if period.is_over:
        return totals
    passed, whole = period.as_of - period.begins, period.ends - period.begins
    if passed < min(FORECAST_FROM, whole / 2):
        return None
    growing = ("contracts", "amount", "performance", "bonus_pool", "payout")
    return Totals(people=totals.people, **{name: round(getattr(totals, name) * (whole / passed)) for name in growing})


def change(now: int, before: int) -> float | None:
    """`0.25` for a quarter more; None where there was nothing."""
    return None if before == 0 else now / before - 1


def total_of(parts: Iterable[Totals]) -> Totals:
    """All of them together. People who are in several count in each."""
    found = list(parts)
    return Totals(**{name: sum(getattr(one, name) for one in found) for name in Totals.__dataclass_fields__})


def _city_month(connection: Connection, period: Period, before: Period | None, campaign: Campaign | None) -> CityMonth:
    totals = totals_of(connection, period.campaign)
    earlier = None
    if before is not None:
        until = None if period.is_over else period.same_moment_in(before)
        earlier = totals_of(connection, before.campaign, until)
    live = _live_performance(connection, period, campaign) if totals.changed else None
    return CityMonth(period, totals, earlier, before.campaign if before else "", forecast_of(totals, period), live)


def _live_performance(connection: Connection, period: Period, present: Campaign | None) -> int | None:
    """By the configuration that the ranking goes by."""
    campaign = present
    if campaign is None or period.closed_at is not None:
        campaign = worked_by(connection, period.campaign) or present
    return live_performance(connection, period.campaign, campaign.performance_limits) if campaign else None


def _period(key: str, campaign: Campaign | None, last_pull_at: datetime | None, closed_at: datetime | None) -> Period:
    month = month_of(key)
    first = date.fromisoformat(f"{month}-01")
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    return Period(
        campaign=key,
        city=campaign.city if campaign else city_code(key),
        month=month,
        start=campaign.start if campaign else first,
        end=campaign.end if campaign else last,
        last_settle_day=campaign.last_settle_day if campaign else last,
        last_pull_at=last_pull_at,
        closed_at=closed_at,
    )


def _sum(column: sa.ColumnElement[int], where: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(column).filter(where), 0)
