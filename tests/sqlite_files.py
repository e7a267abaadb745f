"""SQLite files as a test looks at them and harms them, past the program."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def count(file: Path, table: str) -> int:
    """How many rows a table has."""
    with closing(sqlite3.connect(file)) as connection:
        number: int = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608
    return number


def dump(file: Path) -> list[str]:
    """All that it holds, as SQL."""
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def spoil(file: Path) -> bytes:
    """Overwrite its middle; returns what it holds now."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spoilt = bytearray(file.read_bytes())
    middle = len(spoilt) // 2
    spoilt[middle : middle + 8192] = b"\xff" * 8192
    file.write_bytes(spoilt)
    return bytes(spoilt)
