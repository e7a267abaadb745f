"""CSV and JSON files as views of the database: rewritten whole when what they show has moved on.

Deleting one loses nothing. One that Excel holds open is no reason to fail: it is written next time, and `status`
says so. What each file shows is remembered in `data/state/views.json`.
"""

import hashlib
import json
import logging
import marshal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from filelock import Timeout
from sqlalchemy.engine import Connection

from modules.database import Database
from modules.file_utils import copy_to_archive, csv_text, prune_archive, write_atomically, write_csv, write_json
from modules.process_lock import daemon_is_alive, views_lock
from modules.settings import Settings
from modules.system_words import reason_of
from modules.view_contents import (
    CORRECTION_TITLES,
    PERFORMANCE_TITLES,
    contents_stamp,
    correction_rows,
    corrections_stamp,
    performance_rows,
    send_statuses,
)

log = logging.getLogger(__name__)

LOCK_SECONDS = 30.0
ARCHIVED_PULLS = "ContractData-"

_PLAIN_MARSHAL = 2
"""The last version that writes every value out: the same rows give the same bytes, and quicker than as text."""

Rows = Sequence[Sequence[object]]


@dataclass(frozen=True)
class ViewFault:
    """A file that could not be written, and why."""

    file: str
    reason: str


def performance_file(data_dir: Path, campaign_key: str) -> Path:
    return data_dir / f"PerformanceData-{campaign_key}.csv"


def contract_file(data_dir: Path, campaign_key: str) -> Path:
    return data_dir / f"ContractData-{campaign_key}.csv"


def send_status_file(data_dir: Path, campaign_key: str) -> Path:
    return data_dir / f"send_status_{campaign_key}.json"


def corrections_file(data_dir: Path, campaign_key: str) -> Path:
    return data_dir / f"Corrections-{campaign_key}.csv"


class Views:
    """Keeps the files of one data folder true. `owns_folder`: this process is the daemon of the folder."""

    def __init__(self, settings: Settings, database: Database, *, owns_folder: bool = False) -> None:
        self._settings = settings
        self._database = database
        self._owns_folder = owns_folder

    def refresh(self, keys: Iterable[str]) -> list[ViewFault]:
        """Rewrite the performance, corrections and send status files that are behind.

        A live daemon elsewhere does it itself.
        """
        return self._as_owner(lambda: [fault for key in keys for fault in self._refresh_campaign(key)])

    def store_pull(self, key: str, columns: Sequence[str], rows: Rows, now: datetime) -> list[ViewFault]:
        """ContractData-<KEY>.csv: the last raw pull; one that differs is archived too, old ones are pruned.

        Unlike the other files it can't be made again from the database, so whoever has pulled writes it.
        """
        path = contract_file(self._settings.data_dir, key)
        return self._locked(lambda: self._store_pull(path, columns, rows, now))

    def refresh_state(self, name: str, contents: Callable[[Connection], Any]) -> list[ViewFault]:
        """The JSON file of this name below data/state, rewritten where it no longer shows these contents."""
        path = self._settings.state_dir / name

        def act() -> list[ViewFault]:
            with self._database.reading() as connection:
                value = contents(connection)
            stamp = hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
            return [] if self._is_current(path, stamp) else self._try(path, partial(write_json, path, value), stamp)

        return self._as_owner(act)

    def archive_settled(self, key: str, now: datetime) -> list[ViewFault]:
        """A copy of a settled campaign's performance file goes into the archive, one for each state that it had."""
        path = performance_file(self._settings.data_dir, key)

        def act() -> list[ViewFault]:
            faults = self._refresh_campaign(key)
            entry = self._memory().get(path.name, {})
            if faults or not path.exists() or entry.get("archived") == entry.get("stamp"):
                return faults
            copy_to_archive(path, self._settings.archive_dir, now)
            self._remember(path, {**entry, "archived": entry["stamp"]})
            return []

        return self._as_owner(act)

    def prune(self, now: datetime) -> None:
        """Delete the archived pulls that are too old."""
        prune_archive(self._settings.archive_dir, ARCHIVED_PULLS, now, self._settings.files.archive_days)

    def faults(self) -> list[ViewFault]:
        """Files that could not be written when it was last tried."""
        return [ViewFault(name, entry["error"]) for name, entry in self._memory().items() if entry.get("error")]

    def _as_owner(self, act: Callable[[], list[ViewFault]]) -> list[ViewFault]:
        if not self._owns_folder and daemon_is_alive(self._settings.state_dir):
            log.debug("后台程序正在运行，文件由它更新")
            return []
        return self._locked(act)

    def _locked(self, act: Callable[[], list[ViewFault]]) -> list[ViewFault]:
        try:
            with views_lock(self._settings.state_dir, LOCK_SECONDS):
                return act()
        except Timeout:
            log.warning("另一个命令正在写文件，本次跳过，下次再写")
            return []
        except OSError as error:
            log.warning("写不了数据文件夹 %s：%s", self._settings.data_dir, error)
            return [ViewFault(str(self._settings.data_dir), reason_of(error))]

    def _refresh_campaign(self, key: str) -> list[ViewFault]:
        folder = self._settings.data_dir
        with self._database.reading() as connection:
            stamp = contents_stamp(connection, key)
            files = (
                (performance_file(folder, key), stamp, _performance),
                (send_status_file(folder, key), stamp, _sends),
                (corrections_file(folder, key), corrections_stamp(connection, key), _corrections),
            )
            behind = [
                (path, shown, contents(connection, key))
                for path, shown, contents in files
                if shown is not None and not self._is_current(path, shown)
            ]
        return [fault for path, shown, write in behind for fault in self._try(path, partial(write, path), shown)]

    def _store_pull(self, path: Path, columns: Sequence[str], rows: Rows, now: datetime) -> list[ViewFault]:
        shown: Any = (tuple(columns), rows)
        stamp = hashlib.sha256(marshal.dumps(shown, _PLAIN_MARSHAL)).hexdigest()[:16]
        if self._is_current(path, stamp):
            return []

        def write() -> None:
            write_csv(path, csv_text(columns, rows))
            copy_to_archive(path, self._settings.archive_dir, now)
            self.prune(now)

        return self._try(path, write, stamp)

    def _try(self, path: Path, act: Callable[[], object], stamp: str) -> list[ViewFault]:
        """Do it and remember what the file shows now, or why it could not be written."""
        try:
            act()
        except OSError as error:
            reason = f"{reason_of(error)}；若正在 Excel 中打开，请关闭，下次运行会补写"
            log.warning("写不了文件 %s：%s", path.name, reason)
            self._remember(path, {**self._memory().get(path.name, {}), "error": reason})
            return [ViewFault(path.name, reason)]
        archived = self._memory().get(path.name, {}).get("archived", "")
        self._remember(path, {"stamp": stamp, "mark": _file_mark(path), "archived": archived})
        return []

    def _is_current(self, path: Path, stamp: str | None) -> bool:
        entry = self._memory().get(path.name, {})
        shown = (entry.get("stamp"), entry.get("mark"), entry.get("error"))
        return path.exists() and shown == (stamp, _file_mark(path), None)

    @property
    def _memory_file(self) -> Path:
        return self._settings.state_dir / "views.json"

    def _memory(self) -> dict[str, dict[str, str]]:
        try:
            memory: dict[str, dict[str, str]] = json.loads(self._memory_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # nothing remembered: every file is written anew
        return memory

    def _remember(self, path: Path, entry: dict[str, str]) -> None:
        memory = self._memory()
        memory[path.name] = entry
        write_atomically(self._memory_file, json.dumps(memory), encoding="utf-8")


def _performance(connection: Connection, key: str) -> Callable[[Path], None]:
    text = csv_text(PERFORMANCE_TITLES, performance_rows(connection, key))
    return lambda path: write_csv(path, text)


def _sends(connection: Connection, key: str) -> Callable[[Path], None]:
    statuses = send_statuses(connection, key)
    return lambda path: write_json(path, statuses)


def _corrections(connection: Connection, key: str) -> Callable[[Path], None]:
    rows = correction_rows(connection, key)
    return lambda path: write_csv(path, csv_text(CORRECTION_TITLES, rows))


def _file_mark(path: Path) -> str:
    """Changes when somebody else has written the file."""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"
