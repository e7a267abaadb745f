"""Service-level violations in the database: stored once, each day with what is known of it, each week done once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.database import insert_columns, insert_missing, portions
from modules.figures.days import days_between
from modules.sla_rows import Violation
from modules.tables import sla_days, sla_violations, sla_weeks

DATA, NO_DATA = "data", "no-data"
OVERVIEW_DAYS = 35

_VALUES = [field.name for field in fields(Violation)]


@dataclass(frozen=True)
class Period:
    """What is stored of the days from `first` to `last`: violations by day and provider, and the days with data."""

    first: date
    last: date
    violations: dict[date, dict[str, list[Violation]]]
    days_with_data: frozenset[date]

    @property
    def days(self) -> list[date]:
        return list(days_between(self.first, self.last))

    @property
    def missing_days(self) -> list[date]:
        """The days of which nothing is known."""
        return [day for day in self.days if day not in self.days_with_data]

    @property
    def providers(self) -> list[str]:
        """Who has violations, in order of name."""
        return sorted({provider for by_provider in self.violations.values() for provider in by_provider})

    def of(self, provider: str) -> dict[date, list[Violation]]:
        """A provider's violations of each day that has any."""
        found = {day: by_provider.get(provider, []) for day, by_provider in sorted(self.violations.items())}
        return {day: violations for day, violations in found.items() if violations}


def store_day(
    connection: Connection, day: date, violations: Sequence[Violation], rows: int, now: datetime
) -> list[Violation]:
    """Store a pull for `day` and return what was new in it. Another run for the same day waits until this one ends."""
    values = {"state": DATA, "rows": rows, "pulled_at": now}
    connection.execute(insert_missing(connection, sla_days, ["day"]).values(day=day, **values))
    connection.execute(sa.update(sla_days).where(sla_days.c.day == day).values(values))
    known = _known(connection, [violation.identity for violation in violations])
    new = [violation for violation in violations if violation.identity not in known]
    columns: dict[str, Sequence[Any]] = {name: [getattr(one, name) for one in new] for name in _VALUES}
    columns |= {"day": [day] * len(new), "stored_at": [now] * len(new)}
    insert_columns(connection, sla_violations, columns, missing_by=["identity"])
    return new


def mark_missed_days(connection: Connection) -> list[date]:
    """Every day between the first and the last known one that nobody has pulled becomes one without data."""
    known = set(connection.scalars(sa.select(sla_days.c.day)))
    missed = [day for day in days_between(min(known), max(known)) if day not in known] if known else []
    if missed:
        rows = [{"day": day, "state": NO_DATA, "rows": 0} for day in missed]
        connection.execute(insert_missing(connection, sla_days, ["day"]), rows)
    return missed


def read_period(connection: Connection, first: date, last: date) -> Period:
    """What is stored of the days from `first` to `last`, in the order in which it was stored."""
    within = sla_violations.c.day.between(first, last)
    found: dict[date, dict[str, list[Violation]]] = {}
    asked = sa.select(sla_violations).where(within).order_by(sla_violations.c.id)
    for row in connection.execute(asked).mappings():
        violation = Violation(**{name: row[name] for name in _VALUES})
        found.setdefault(row["day"], {}).setdefault(violation.provider, []).append(violation)
    has_data = sa.select(sla_days.c.day).where(sla_days.c.day.between(first, last), sla_days.c.state == DATA)
    return Period(first, last, found, frozenset(connection.scalars(has_data)))


def first_known_day(connection: Connection) -> date | None:
    """Since when days are kept."""
    return connection.execute(sa.select(sa.func.min(sla_days.c.day))).scalar()


def reported_weeks(connection: Connection) -> frozenset[date]:
    """The Mondays of the weeks that are done with."""
    return frozenset(connection.scalars(sa.select(sla_weeks.c.monday)))


def finish_week(connection: Connection, monday: date, days_with_data: int, now: datetime) -> None:
    """This week is done with: a later run leaves it alone."""
    values = {"monday": monday, "days_with_data": days_with_data, "reported_at": now}
    connection.execute(insert_missing(connection, sla_weeks, ["monday"]).values(values))


def overview(connection: Connection) -> dict[str, object]:
    """The last days, their violations and reported weeks, for the JSON file."""
    newest = connection.execute(sa.select(sa.func.max(sla_days.c.day))).scalar() or date.max
    since = newest - timedelta(days=OVERVIEW_DAYS - 1)
    days = sa.select(sla_days).where(sla_days.c.day >= since).order_by(sla_days.c.day)
    violations = sa.select(sla_violations).where(sla_violations.c.day >= since).order_by(sla_violations.c.id)
    weeks = sa.select(sla_weeks.c.monday).where(sla_weeks.c.monday >= since).order_by(sla_weeks.c.monday)
    return {
        "days": {
            str(row["day"]): {"state": row["state"], "rows": row["rows"], "pulled_at": _text(row["pulled_at"])}
            for row in connection.execute(days).mappings()
        },
        "reported_weeks": [str(monday) for monday in connection.scalars(weeks)],
        "violations": [
            {"day": str(row["day"])} | {name: row[name] for name in _VALUES}
            for row in connection.execute(violations).mappings()
        ],
    }


def _known(connection: Connection, identities: Sequence[str]) -> Collection[str]:
    known: set[str] = set()
    for some in portions(identities):
        is_asked = sla_violations.c.identity.in_(some)
        known |= set(connection.scalars(sa.select(sla_violations.c.identity).where(is_asked)))
    return known


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
