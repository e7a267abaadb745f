"""What providers were told of a week: the messages as they were sent; where those are gone, or not written yet, as the
stored violations give them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.message_maker import Plain
from modules.message_text import joined
from modules.sla_messages import praise_key, week_key
from modules.sla_report import (
    PRAISE_TEMPLATE,
    WEEKLY_TEMPLATE,
    plain_praise,
    plain_weekly,
    praise_values,
    praised,
    week_of,
    weekly_values,
)
from modules.sla_settings import SlaSettings
from modules.sla_store import Period, read_period
from modules.tables import spent_keys, tasks
from modules.task_states import COMPLETED
from modules.templates import MessageTemplateError, Templates

Origin = Literal["task", "purged", "preview"]
"""`task`: as it stands in the queue; `purged`: it was sent, and is written anew from what is stored; `preview`: nobody
was told, and this is how it would read."""


LAST = "\U0010ffff"
"""Comes after all that is written."""


@dataclass(frozen=True)
class WeekText:
    """One text to one provider; status, recipient and time are those of the task."""

    provider: str
    is_praise: bool
    text: str
    origin: Origin
    status: str | None = None
    recipient: str | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Writer:
    """What texts are written with: settings, templates, and who hears of their weeks at all (`mapped`)."""

    settings: SlaSettings
    templates: Templates
    mapped: Collection[str]

    def weekly(self, provider: str, week: Period, told_on: date) -> str:
        return self._written(WEEKLY_TEMPLATE, weekly_values(provider, week, told_on, self.settings), plain_weekly)

    def praise(self, provider: str, week: Period) -> str:
        return self._written(PRAISE_TEMPLATE, praise_values(provider, week), plain_praise)

    def _written(self, template: str, values: Mapping[str, Any], plain: Plain) -> str:
        try:
            return self.templates.render(template, values)
        except MessageTemplateError:
            return plain(values)


def week_texts(connection: Connection, monday: date, told_on: date, writer: Writer, *, is_done: bool) -> list[WeekText]:
    """All texts of a week, reports before praise, by provider. `told_on`: from when the time for appeals counts.

    Of a week that `is_done` those that were sent, of another all that would be.
    """
    week = read_period(connection, *week_of(monday))
    if not is_done:
        return _previews(week, told_on, writer)
    found = [
        *_of_kind(connection, week_key(monday, ""), is_praise=False),
        *_of_kind(connection, praise_key(monday, ""), is_praise=True),
    ]
    return [_with_text(one, week, told_on, writer) if one.origin == "purged" else one for one in found]


def _previews(week: Period, told_on: date, writer: Writer) -> list[WeekText]:
    reports = [
        WeekText(provider, False, writer.weekly(provider, week, told_on), "preview") for provider in week.providers
    ]
    named = praised(week, writer.mapped) if writer.settings.praise else []
    return reports + [WeekText(provider, True, writer.praise(provider, week), "preview") for provider in named]


def _of_kind(connection: Connection, start: str, *, is_praise: bool) -> list[WeekText]:
    columns = (tasks.c.group_key, tasks.c.message, tasks.c.status, tasks.c.recipient, tasks.c.updated_at)
    of_queue = _begins(connection, tasks.c.group_key, tasks.c.dedup_key, start)  # all parts of a message begin alike
    queued = sa.select(*columns).where(of_queue).order_by(tasks.c.id)
    parts: dict[str, list[Any]] = {}
    for row in connection.execute(queued):
        parts.setdefault(row.group_key, []).append(row)
    found = [_of_task(key.removeprefix(start), rows, is_praise=is_praise) for key, rows in parts.items()]
    of_gone = _begins(connection, spent_keys.c.group_key, spent_keys.c.group_key, start)
    gone = sa.select(spent_keys.c.group_key).where(of_gone)
    found += [WeekText(key.removeprefix(start), is_praise, "", "purged", COMPLETED) for key in connection.scalars(gone)]
    return sorted(found, key=lambda one: one.provider)


def _begins(connection: Connection, key: sa.Column[Any], indexed: sa.Column[Any], start: str) -> sa.ColumnElement[bool]:
    """Whether a key begins so; `indexed` begins as it does.

    SQLite orders text byte by byte, so that an index finds it, which LIKE does not use; PostgreSQL as its locale says.
    """
    begins = key.startswith(start, autoescape=True)
    return begins & indexed.between(start, start + LAST) if connection.dialect.name == "sqlite" else begins


def _of_task(provider: str, rows: Sequence[Any], *, is_praise: bool) -> WeekText:
    """Of several parts, the one that is not sent tells how the whole is."""
    shown = next((row for row in rows if row.status != COMPLETED), rows[-1])
    text = joined([row.message for row in rows])
    return WeekText(provider, is_praise, text, "task", shown.status, shown.recipient, shown.updated_at)


def _with_text(one: WeekText, week: Period, told_on: date, writer: Writer) -> WeekText:
    is_report = not one.is_praise
    text = writer.weekly(one.provider, week, told_on) if is_report else writer.praise(one.provider, week)
    return WeekText(one.provider, one.is_praise, text, "purged", one.status)
