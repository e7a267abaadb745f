"""Service-level violations for people who watch them: by provider and kind, by day, and what is known of each day.

A day without data is not a day without violations: it is told apart everywhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.figures.days import days_between
from modules.figures.newest import Newest, newest_of
from modules.figures.sums import summed
from modules.sla_store import DATA
from modules.tables import sla_days, sla_violations, sla_weeks

UNNAMED = "（无说明）"
"""The kind of a violation whose description is empty."""


@dataclass(frozen=True)
class Count:
    """How many violations of a kind a provider has, and the last day with one. The kind is the source's description."""

    provider: str
    kind: str
    number: int
    last: date


@dataclass(frozen=True)
class Day:
    """A day's violations. Where it has no data (`is_known` is false) nobody knows how many there were."""

    day: date
    number: int
    is_known: bool


@dataclass(frozen=True)
class Line:
    """One violation, for a list."""

    day: date
    provider: str
    kind: str
    order_number: str
    appointment_id: str
    supervisor: str
    work_type: str
    memo: str
    created_at: str


@dataclass(frozen=True)
class Week:
    """A week of which anything is known; `reported_at` is None until it is done with."""

    monday: date
    reported_at: datetime | None

    @property
    def last(self) -> date:
        return self.monday + timedelta(days=6)


def known_span(connection: Connection) -> tuple[date, date] | None:
    """The first and the last day that are kept; None before the first pull."""
    first, last = connection.execute(sa.select(sa.func.min(sla_days.c.day), sa.func.max(sla_days.c.day))).one()
    return None if first is None else (first, last)


def providers_of(connection: Connection) -> list[str]:
    """Whoever ever had a violation, by name."""
    return list(connection.scalars(sa.select(sla_violations.c.provider).distinct().order_by(sla_violations.c.provider)))


def counts(connection: Connection, first: date, last: date, provider: str = "") -> list[Count]:
    """By provider and kind, most first; of one provider, or of all where it is empty."""
    kind, number = sla_violations.c.description, sa.func.count()
    columns = (sla_violations.c.provider, kind, number, sa.func.max(sla_violations.c.day))
    grouped = sa.select(*columns).where(*_within(first, last, provider)).group_by(sla_violations.c.provider, kind)
    found = connection.execute(grouped.order_by(number.desc(), sla_violations.c.provider, kind))
    return [Count(name, text or UNNAMED, count, day) for name, text, count, day in found]


def days(connection: Connection, first: date, last: date, provider: str = "") -> list[Day]:
    """Every day from the first to the last."""
    grouped = sa.select(sla_violations.c.day, sa.func.count()).where(*_within(first, last, provider))
    numbers: dict[date, int] = dict(connection.execute(grouped.group_by(sla_violations.c.day)).all())
    has_data = sa.select(sla_days.c.day).where(sla_days.c.day.between(first, last), sla_days.c.state == DATA)
    known = set(connection.scalars(has_data))
    return [Day(day, numbers.get(day, 0), day in known) for day in days_between(first, last)]


def lines(connection: Connection, first: date, last: date, provider: str, number: int | None) -> Newest[Line]:
    """The last so many violations, or all, the newest first."""
    names = ("day", "provider", "description", "order_number", "appointment_id", "supervisor", "work_type", "memo")
    columns = [sla_violations.c[name] for name in (*names, "created_at")]
    chosen = sa.select(*columns).where(*_within(first, last, provider))
    ordered = chosen.order_by(sla_violations.c.day.desc(), sla_violations.c.id.desc())
    return newest_of(connection, ordered, Line, number)


def weeks(connection: Connection) -> list[Week]:
    """Every week with a day that is kept, the newest first."""
    span = known_span(connection)
    if span is None:
        return []
    reported: dict[date, datetime] = dict(
        connection.execute(sa.select(sla_weeks.c.monday, sla_weeks.c.reported_at)).all()
    )
    first, last = monday_of(span[0]), monday_of(span[1])
    mondays = [last - timedelta(weeks=back) for back in range((last - first).days // 7 + 1)]
    return [Week(monday, reported.get(monday)) for monday in mondays]


def monday_of(day: date) -> date:
    """The first day of its week."""
    return day - timedelta(days=day.weekday())


def by_provider(found: Sequence[Count]) -> dict[str, int]:
    """All kinds together, most first, of equal ones by name."""
    return _most_first((one.provider, one.number) for one in found)


def by_kind(found: Sequence[Count]) -> dict[str, int]:
    """All providers together, most first, of equal ones by name."""
    return _most_first((one.kind, one.number) for one in found)


def _most_first(numbers: Iterable[tuple[str, int]]) -> dict[str, int]:
    return dict(sorted(summed(numbers).items(), key=lambda item: (-item[1], item[0])))


def _within(first: date, last: date, provider: str) -> list[sa.ColumnElement[bool]]:
    own = [sla_violations.c.provider == provider] if provider else []
    return [sla_violations.c.day.between(first, last), *own]
