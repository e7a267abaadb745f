"""Statements that run for every message, prepared for the driver once.

SQLAlchemy's `execute` takes ten times what SQLite does for such a statement, most of it to find out anew how its values
are bound. Only what runs that often belongs here; the driver's rows are not turned into types of ours.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

Bind = Callable[[Any], Any] | None
"""How a value becomes one of the driver's; None: as it is."""


class Rows(Protocol):
    """What came of a statement: the rows it gives, or how many it changed."""

    @property
    def rowcount(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Prepared:
    """A statement as its driver takes it: the text, and how each value is bound, in the order of the text; whether
    values go by name; and the values that stand in the statement."""

    text: str
    binds: tuple[tuple[str, Bind], ...]
    by_name: bool
    fixed: Mapping[str, Any]

    def row(self, bound: Sequence[Any]) -> Any:
        """Bound values as the driver takes them."""
        return {name: value for (name, _bind), value in zip(self.binds, bound, strict=True)} if self.by_name else bound


def prepare(dialect: Dialect, statement: ClauseElement, columns: Sequence[str] | None = None) -> Prepared:
    """`columns`: those that an INSERT fills."""
    compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
    names = compiled.positiontup if compiled.positional else compiled.bind_names.values()
    binds = [(name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in names]
    return Prepared(str(compiled), tuple(binds), not compiled.positional, compiled.params)


_prepared = lru_cache(maxsize=64)(prepare)


def execute_prepared(connection: Connection, statement: ClauseElement, values: Mapping[str, Any]) -> Rows:
    """As `connection.execute(statement, values)`, for a statement that is built once and takes no lists."""
    prepared = _prepared(connection.dialect, statement)
    given = {**prepared.fixed, **values}
    bound = tuple([bind(given[name]) if bind else given[name] for name, bind in prepared.binds])
    return on_driver(connection, prepared.text, prepared.row(bound))


def on_driver(connection: Connection, text: str, row: Any = ()) -> Rows:
    """As `connection.exec_driver_sql(text, row)`; on SQLite past SQLAlchemy, with the same errors."""
    if connection.dialect.name != "sqlite":
        return connection.exec_driver_sql(text, row)
    driver: Any = connection.connection.dbapi_connection
    try:
        rows: Rows = driver.execute(text, row)
    except sqlite3.Error as error:
        raise DBAPIError.instance(text, row, error, sqlite3.Error) from error
    return rows
