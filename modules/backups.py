"""A copy of the SQLite database for each day, the newest few kept: what to go back to when the file is damaged."""

import re
import sqlite3
from contextlib import closing, suppress
from datetime import date
from pathlib import Path

from modules.system_words import reason_of

BACKUPS_KEPT = 7
_NAME = re.compile(r"tasks-\d{4}-\d{2}-\d{2}\.db")


class BackupError(Exception):
    """The copy could not be made or is damaged; the message says what and what to do, in Chinese."""


def back_up(database_file: Path, folder: Path, day: date) -> Path:
    """Copy the database as it stands, while others write to it, and prove that the copy is whole. Raises BackupError.

    An earlier copy of the same day is replaced; a copy that failed leaves all others as they were.
    """
    target = folder / f"tasks-{day}.db"
    temporary = folder / f".{target.name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        _copy(database_file, temporary)
        temporary.replace(target)
        for old in kept(folder)[:-BACKUPS_KEPT]:
            old.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        reason = reason_of(error) if isinstance(error, OSError) else " ".join(str(error).split())
        raise BackupError(f"数据库没有备份成（{reason}）；请检查 {folder} 的磁盘空间和权限") from error
    finally:
        with suppress(OSError):  # what is left there is overwritten next time
            temporary.unlink(missing_ok=True)
    return target


def kept(folder: Path) -> list[Path]:
    """The copies that are there, oldest first."""
    return sorted(path for path in folder.glob("tasks-*.db") if _NAME.fullmatch(path.name))


def _copy(source: Path, target: Path) -> None:
    address = f"{source.resolve().as_uri()}?mode=rw"  # which makes no file where there is none
    with closing(sqlite3.connect(address, uri=True)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file that can be carried about
        [found] = copy.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise BackupError(f"数据库可能已损坏（{found}），没有备份，旧的备份还在；请停下程序，从旧的备份恢复")
