"""Messages go into the queue here, inside the transaction of the run that has something to say."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.database import insert_columns, portions
from modules.message_text import split_message
from modules.prepared import execute_prepared
from modules.tables import of_message, spent_keys, tasks
from modules.task_states import CANCELLED, COMPLETED, PENDING, OnUncertain


def _known(is_asked: Callable[[sa.Column[Any]], sa.ColumnElement[bool]]) -> sa.CompoundSelect[Any]:
    """Key → how many of its tasks are not completed; 0 where they were purged."""
    unsent = sa.func.sum(sa.case((tasks.c.status == COMPLETED, 0), else_=1))
    queued = sa.select(tasks.c.group_key, unsent).where(of_message(is_asked)).group_by(tasks.c.group_key)
    spent = sa.select(spent_keys.c.group_key, sa.literal_column("0")).where(is_asked(spent_keys.c.group_key))
    return queued.union_all(spent)


_KNOWN_OF_ONE = _known(lambda column: column == sa.bindparam("key"))
_KNOWN_OF_SEVERAL = _known(lambda column: column.in_(sa.bindparam("keys", expanding=True)))

_COLUMNS = (
    *("task_type", "recipient", "message", "dedup_key", "status", "created_at", "updated_at", "group_key"),
    *("max_attempts", "on_uncertain", "expires_at"),
)


@dataclass(frozen=True)
class Message:
    """Something to be said once. `dedup_key` names it for all time; `limit` is the most bytes one task may carry."""

    dedup_key: str
    task_type: str
    recipient: str
    text: str
    limit: int
    on_uncertain: OnUncertain
    max_attempts: int
    expires_at: datetime | None = None


def enqueue(connection: Connection, messages: Sequence[Message], now: datetime) -> int:
    """Put each message into the queue unless it was ever there; returns the number of new tasks.

    A message over its limit becomes several tasks, in order, with the keys `key#1/3` and so on.
    """
    known = known_keys(connection, [message.dedup_key for message in messages])
    rows = [row for message in messages if message.dedup_key not in known for row in _rows(message, now)]
    if not rows:
        return 0
    columns = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))
    return insert_columns(connection, tasks, columns, missing_by=["dedup_key"])


def known_keys(connection: Connection, keys: Sequence[str]) -> dict[str, bool]:
    """Which of these messages were ever queued, and whether they have been sent whole."""
    known: dict[str, bool] = {}
    for some in portions(keys):
        for key, unsent in _ask(connection, some):
            known[key] = known.get(key, True) and unsent == 0
    return known


def _ask(connection: Connection, keys: Sequence[str]) -> Iterable[Any]:
    if len(keys) == 1:
        return execute_prepared(connection, _KNOWN_OF_ONE, {"key": keys[0]})
    return connection.execute(_KNOWN_OF_SEVERAL, {"keys": keys})


def count_tasks(messages: Sequence[Message]) -> int:
    """How many tasks these messages would be."""
    return sum(len(split_message(message.text, message.limit)) for message in messages)


def not_sent(connection: Connection, keys_start: Sequence[str]) -> dict[str, int]:
    """Status → how many tasks whose message's key starts so have not been sent; cancelled ones are nobody's worry."""
    named = sa.or_(*(tasks.c.group_key.startswith(start, autoescape=True) for start in keys_start))
    counted = sa.select(tasks.c.status, sa.func.count()).where(named, tasks.c.status.not_in([COMPLETED, CANCELLED]))
    return dict(connection.execute(counted.group_by(tasks.c.status).order_by(tasks.c.status)).all())


def _rows(message: Message, now: datetime) -> list[tuple[Any, ...]]:
    """The values of `_COLUMNS` for each part."""
    parts = split_message(message.text, message.limit)
    key = message.dedup_key
    keys = [key] if len(parts) == 1 else [f"{key}#{number}/{len(parts)}" for number in range(1, len(parts) + 1)]
    before = (message.task_type, message.recipient)
    after = (PENDING, now, now, key, message.max_attempts, message.on_uncertain, message.expires_at)
    return [(*before, part, part_key, *after) for part, part_key in zip(parts, keys, strict=True)]
