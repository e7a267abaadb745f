"""The SQLite file: looked over at start and once a day, and backed up into data/backups, of which seven are kept.

A back-up is a copy that was itself looked over before it takes its name, so that a damaged file never pushes a good
copy out. A server's database is backed up by its own means (pg_dump).
"""

import contextlib
import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError

from modules.database import SQLITE_WAIT_SECONDS, DatabaseError, damage_in_words, reason_in_words
from modules.file_utils import write_atomically
from modules.settings import Settings

log = logging.getLogger(__name__)

KEPT = 7
FAULTS_NAMED = 3

_NAME = re.compile(r"tasks-\d{8}\.db")


class Report(BaseModel):
    """What came of the last look, in words; empty where all was well. `backed_up_at` is that of the last back-up."""

    model_config = ConfigDict(frozen=True)

    damage: str = ""
    backup_fault: str = ""
    backed_up_at: datetime | None = None


def database_file(settings: Settings) -> Path | None:
    """The SQLite file of this installation; None where a server holds the data."""
    url = sa.make_url(settings.database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database)


def backup_dir(settings: Settings) -> Path:
    return settings.data_dir / "backups"


def require_sound(settings: Settings) -> None:
    """Before anything is written at start: look the SQLite file over.

    Raises DatabaseError where it is damaged or can't be looked at.
    """
    file = database_file(settings)
    if file is None or not file.exists():
        return
    report = read_report(settings.state_dir)
    try:
        damage = _damage_of(file, "quick_check")
    except sqlite3.Error as error:
        raise DatabaseError(reason_in_words(str(error))) from error
    if damage:
        raise DatabaseError(damage)
    if report.damage:
        write_report(settings.state_dir, report.model_copy(update={"damage": ""}))


def back_up(settings: Settings, now: datetime) -> int:
    """Look the database over and copy it, as the back-up of this day; returns how many back-ups there are now.

    Raises DatabaseError where it is damaged, locked or can't be copied; the back-ups that are there then stay. What
    came of it is kept for the watch.
    """
    file = database_file(settings)
    if file is None:
        return 0
    report = read_report(settings.state_dir)
    try:
        _copy(file, backup_dir(settings) / f"tasks-{now:%Y%m%d}.db")
    except _DamagedError as error:
        write_report(settings.state_dir, report.model_copy(update={"damage": str(error)}))
        raise
    except (sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        words = f"数据库备份没有成功（{reason}）；请检查磁盘空间和 {backup_dir(settings)} 的权限，原有备份还在"
        write_report(settings.state_dir, report.model_copy(update={"backup_fault": words}))
        raise DatabaseError(words) from error
    write_report(settings.state_dir, Report(backed_up_at=now))
    return _prune(backups(settings))


def backups(settings: Settings) -> list[Path]:
    """The back-ups, the newest first."""
    folder = backup_dir(settings)
    found = [file for file in folder.glob("tasks-*.db") if _NAME.fullmatch(file.name)]
    return sorted(found, reverse=True)


def read_report(state_dir: Path) -> Report:
    """What came of the last look."""
    try:
        return Report.model_validate_json(_report_file(state_dir).read_bytes())
    except (OSError, ValidationError):
        return Report()


def write_report(state_dir: Path, report: Report) -> None:
    """Keep it for the watch; where the disk is full, the log has it."""
    try:
        write_atomically(_report_file(state_dir), report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        log.warning("写不了备份记录：%s", error.strerror or error)


class _DamagedError(DatabaseError):
    """The file, or a copy of it just made, does not hold together."""


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    _delete(temporary)
    try:
        with _connected(file) as source, _connected(temporary) as copy:
            source.execute("BEGIN")
            source.execute("SELECT COUNT(*) FROM sqlite_master")  # gives up where it is locked; `backup` never would
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, that can be put in place as it is
        damage = _damage_of(temporary, "integrity_check")
        if damage:
            raise _DamagedError(damage)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            raise _DamagedError(damage_in_words(str(error))) from error
        raise
    finally:
        _delete(temporary)


def _delete(temporary: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


def _damage_of(file: Path, check: str) -> str:
    """What is wrong with a SQLite file, in words; empty where it holds together."""
    try:
        with _connected(file) as connection:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({FAULTS_NAMED})")]
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        return damage_in_words(str(error))
    return "" if found == ["ok"] else damage_in_words("；".join(" ".join(fault.split()) for fault in found))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextlib.contextmanager
def _connected(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(file, timeout=SQLITE_WAIT_SECONDS, isolation_level=None)) as connection:
        yield connection


def _prune(found: Sequence[Path]) -> int:
    """Delete all but the first; returns how many are left."""
    for file in found[KEPT:]:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("删不掉过期的备份 %s：%s", file.name, error.strerror or error)
    return min(len(found), KEPT)


def _report_file(state_dir: Path) -> Path:
    return state_dir / "backup.json"
