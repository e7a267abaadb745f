"""The statements of the queue, built once: to build one anew takes longer than to run it.

Statuses stand in them as words, not as parameters, so that the planner sees that the partial indexes serve.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam as value
from sqlalchemy.sql.dml import ReturningUpdate

from modules.tables import Moment, is_part, tasks
from modules.task_states import CANCELLED, COMPLETED, PENDING, RUNNING, Task

COLUMNS = [tasks.c[name] for name in Task._fields]
UNLOCKED: dict[str, Any] = dict.fromkeys(("locked_by", "locked_until", "sending_at"), sa.null())

EXPIRED = "已过有效期，不再发送"
_NOW = value("now", type_=Moment)


def _says(table: Any, status: str) -> sa.ColumnElement[bool]:
    said: sa.ColumnElement[bool] = table.c.status == sa.literal_column(f"'{status}'")
    return said


def _due(reach: Callable[[Any], sa.ColumnElement[bool]] = lambda _table: sa.true()) -> sa.Select[tuple[int]]:
    """The tasks to take: of a few recipients, those whose turn came first, the oldest that are due.

    All due tasks of a recipient can be taken together: in order of creation, up to the first that waits. Few
    recipients at a time leave some for other workers.
    """
    first, other = tasks.alias("first"), tasks.alias("other")
    in_hands = sa.select(other.c.recipient).where(_says(other, RUNNING))
    chosen = (
        sa.select(first.c.recipient)
        .where(first.c.id.in_(_heads()), _is_due(first), first.c.recipient.not_in(in_hands), reach(first))
        .order_by(first.c.id)
        .limit(value("recipients", type_=sa.Integer))
    )
    waits = sa.exists().where(
        other.c.recipient == tasks.c.recipient, _says(other, PENDING), other.c.run_at > _NOW, other.c.id < tasks.c.id
    )
    return (
        sa.select(tasks.c.id)
        .where(_says(tasks, PENDING), tasks.c.recipient.in_(chosen), _is_due(tasks), ~waits, reach(tasks))
        .order_by(tasks.c.id)
        .limit(value("at_most", type_=sa.Integer))
    )


def _heads() -> sa.Select[tuple[int]]:
    """The oldest waiting task of each recipient. Steps from name to name: GROUP BY would look at all that wait."""
    waiting = tasks.alias("waiting")
    first = sa.select(sa.func.min(waiting.c.recipient).label("name")).where(_says(waiting, PENDING))
    names = first.cte("names", recursive=True)
    following = first.where(waiting.c.recipient > names.c.name).scalar_subquery()
    names = names.union_all(sa.select(following).where(names.c.name.is_not(None)))
    oldest = sa.select(sa.func.min(waiting.c.id)).where(_says(waiting, PENDING), waiting.c.recipient == names.c.name)
    return sa.select(oldest.correlate(names).scalar_subquery()).select_from(names)


def _is_due(table: Any) -> sa.ColumnElement[bool]:
    due: sa.ColumnElement[bool] = table.c.run_at.is_(None) | (table.c.run_at <= _NOW)
    return due


def _claim(due: sa.Select[tuple[int]]) -> ReturningUpdate[Any]:
    return (
        sa.update(tasks)
        .where(tasks.c.id.in_(due), _says(tasks, PENDING))
        .values(status=RUNNING, locked_by=value("claim"), locked_until=value("until"), sending_at=None, updated_at=_NOW)
        .returning(*COLUMNS)
    )


def _is_served(table: Any) -> sa.ColumnElement[bool]:
    served: sa.ColumnElement[bool] = table.c.recipient.in_(value("served", expanding=True))
    return served


def _is_served_or_a_plain_chat(table: Any) -> sa.ColumnElement[bool]:
    is_unknown = table.c.recipient.not_in(value("known", expanding=True))
    is_plain_chat = is_unknown & table.c.task_type.not_in(value("unserved", expanding=True))
    return sa.or_(_is_served(table), is_plain_chat)


CLAIM = _claim(_due())
CLAIM_OF = _claim(_due(_is_served))
CLAIM_WITHIN = _claim(_due(_is_served_or_a_plain_chat))
"""Take tasks: of all; of the recipients served; of those and of names that are not known, but for some task types."""

_is_held = (
    tasks.c.id == value("task"),
    _says(tasks, RUNNING),
    tasks.c.locked_by.is_not_distinct_from(value("claim", type_=sa.Text)),
)

MARK = sa.update(tasks).where(*_is_held).values(sending_at=_NOW, attempts=value("tries"), locked_until=value("until"))
"""The message is about to leave: only the holder of the current claim can say so."""

KEEP = sa.update(tasks).where(*_is_held).values(locked_until=value("until"))
"""The holder of the current claim begins with a message that leaves later."""

MOVE = (
    sa.update(tasks)
    .where(*_is_held)
    .values(
        status=value("new_status"),
        attempts=value("tries"),
        run_at=value("not_before"),
        last_error=value("error"),
        updated_at=_NOW,
        **UNLOCKED,
    )
)
"""Out of the hands of the holder of the current claim."""

RENEW = (
    sa.update(tasks)
    .where(_says(tasks, RUNNING), tasks.c.locked_by == value("claim"))
    .values(locked_until=value("until"))
)
"""The tasks of a claim keep their lease."""

EXPIRE = (
    sa.update(tasks)
    .where(_says(tasks, PENDING), tasks.c.expires_at <= _NOW)
    .values(status=CANCELLED, updated_at=_NOW, last_error=EXPIRED)
)

RUNNING_TASKS = sa.select(*COLUMNS).where(_says(tasks, RUNNING)).order_by(tasks.c.id)
OPEN_TASK: sa.Select[Any] = sa.select(sa.literal_column("1", sa.Integer)).where(
    sa.or_(*(sa.exists(sa.select(tasks.c.id).where(_says(tasks, status))) for status in (PENDING, RUNNING)))
)
LOCKED_RUNNING_TASKS = RUNNING_TASKS.with_for_update(skip_locked=True)
"""Without those that somebody is about to move (PostgreSQL; on SQLite whoever writes is alone)."""

UNFINISHED_PART = (
    sa.select(tasks.c.id).where(tasks.c.group_key == value("key"), is_part(), tasks.c.status != COMPLETED).limit(1)
)
"""A part of a message that is not through yet."""
