"""Is the SQLite file whole? Looked at before the daemon writes anything, and once a day before it is backed up.

What came of it is kept in a file for the watch: a damaged database is the last place to write that down. A server's
database is looked after by its own means.
"""

import logging
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError

from modules import backups
from modules.backups import BackupError
from modules.database import SQLITE_WAIT_SECONDS, DatabaseError, damage_in_words, reason_in_words
from modules.file_utils import write_atomically
from modules.settings import Settings
from modules.system_words import reason_of

log = logging.getLogger(__name__)

FAULTS_NAMED = 3


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


def require_sound(settings: Settings) -> None:
    """Before anything is written at start: look the SQLite file over.

    Raises DatabaseError where it is damaged or can't be looked at.
    """
    file = database_file(settings)
    if file is None or not file.exists():
        return
    try:
        damage = damage_of(file)
    except sqlite3.Error as error:
        raise DatabaseError(reason_in_words(str(error))) from error
    if damage:
        raise DatabaseError(damage)
    report = read_report(settings.state_dir)
    if report.damage:
        write_report(settings.state_dir, report.model_copy(update={"damage": ""}))


def back_up(settings: Settings, now: datetime) -> int:
    """Look the database over and make the back-up of this day; returns how many back-ups there are now.

    Raises BackupError where it is damaged, locked or can't be copied; the back-ups that are there then stay.
    """
    file = database_file(settings)
    if file is None:
        return 0
    damage, fault = "", ""
    try:
        damage = damage_of(file, "integrity_check")
        if not damage:
            backups.back_up(file, settings.backup_dir, now.date())
    except sqlite3.Error as error:
        fault = f"数据库没有备份成：{reason_in_words(str(error))}"
    except BackupError as error:
        fault = str(error)
    if damage or fault:
        found = {"damage": damage} if damage else {"backup_fault": fault}
        write_report(settings.state_dir, read_report(settings.state_dir).model_copy(update=found))
        raise BackupError(damage or fault)
    write_report(settings.state_dir, Report(backed_up_at=now))
    return len(backups.kept(settings.backup_dir))


def damage_of(file: Path, check: str = "quick_check") -> str:
    """What is wrong with a SQLite file, in words; empty where it holds together. Raises sqlite3.Error."""
    try:
        with closing(sqlite3.connect(file, timeout=SQLITE_WAIT_SECONDS, isolation_level=None)) as connection:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({FAULTS_NAMED})")]
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        return damage_in_words(str(error))
    return "" if found == ["ok"] else damage_in_words("；".join(" ".join(fault.split()) for fault in found))


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
        log.warning("写不了备份记录：%s", reason_of(error))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _report_file(state_dir: Path) -> Path:
    return state_dir / "backup.json"
