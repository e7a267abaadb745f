"""The last rows of a list that may be long, with how many rows the whole has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

T = TypeVar("T")


@dataclass(frozen=True)
class Newest(Generic[T]):
    """`rows`, the newest first, of `number` that there are."""

    rows: list[T]
    number: int


def newest_of(
    connection: Connection,
    chosen: sa.Select[Any],
    make: Callable[..., T],
    limit: int | None,
    count: Callable[[Connection, sa.Select[Any]], int] | None = None,
) -> Newest[T]:
    """The first `limit` rows of an ordered question, or all; they are counted where there are more.

    `count` is a quicker way to do so than to look at them all.
    """
    rows = [make(*row) for row in connection.execute(chosen.limit(limit))]
    is_whole = limit is None or len(rows) < limit
    return Newest(rows, len(rows) if is_whole else (count or count_rows)(connection, chosen))


def count_rows(connection: Connection, chosen: sa.Select[Any]) -> int:
    """How many rows a question has."""
    counted = chosen.with_only_columns(sa.func.count(), maintain_column_froms=True).order_by(None)
    return int(connection.execute(counted).scalar_one())
