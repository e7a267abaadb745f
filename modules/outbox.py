"""Messages go into the queue here, inside the transaction of the run that has something to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.database import insert_missing, tasks
from modules.message_text import split_message
from modules.task_states import PENDING, OnUncertain


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
    known = _known_keys(connection, [message.dedup_key for message in messages])
    rows = [row for message in messages if message.dedup_key not in known for row in _rows(message, now)]
    if not rows:
        return 0
    statement = insert_missing(connection, tasks, ["dedup_key"])
    return sum(connection.execute(statement.values(row)).rowcount for row in rows)


def _known_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(keys), 500):
        chosen = sa.select(tasks.c.group_key).where(tasks.c.group_key.in_(keys[start : start + 500]))
        known.update(connection.execute(chosen).scalars())
    return known


def _rows(message: Message, now: datetime) -> list[dict[str, Any]]:
    parts = split_message(message.text, message.limit)
    numbered = [f"{message.dedup_key}#{number}/{len(parts)}" for number in range(1, len(parts) + 1)]
    return [
        {
            "task_type": message.task_type,
            "recipient": message.recipient,
            "message": part,
            "status": PENDING,
            "created_at": now,
            "updated_at": now,
            "dedup_key": message.dedup_key if len(parts) == 1 else key,
            "group_key": message.dedup_key,
            "max_attempts": message.max_attempts,
            "on_uncertain": message.on_uncertain,
            "expires_at": message.expires_at,
        }
        for part, key in zip(parts, numbered, strict=True)
    ]
