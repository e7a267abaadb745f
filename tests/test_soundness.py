"""The SQLite file: looked over, copied, kept for a week; and what a damaged, locked or full one says."""

from __future__ import annotations

import resource
import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from modules import backups, soundness
from modules.backups import BackupError
from modules.database import DatabaseError
from modules.settings import Settings
from modules.tables import tasks, troubles
from modules.watch_round import watch_once
from tests.desk import NOON, Desk, contracts
from tests.sqlite_files import count, spoil


def database_of(desk: Desk) -> Path:
    file = soundness.database_file(desk.app.settings)
    assert file is not None
    return file


def newest(desk: Desk) -> Path:
    return backups.kept(desk.app.settings.backup_dir)[-1]


def test_a_backup_is_one_file_that_holds_what_the_database_holds(desk: Desk) -> None:
    desk.show(contracts(*range(1, 8)))
    desk.run()
    assert soundness.back_up(desk.app.settings, NOON) == 1
    [copy] = backups.kept(desk.app.settings.backup_dir)
    assert copy.name == "tasks-2025-05-20.db"
    assert count(copy, "performance") == 7
    with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as anywhere:
        assert anywhere.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]
    assert soundness.read_report(desk.app.settings.state_dir).backed_up_at == NOON


def test_a_copy_put_in_place_is_the_database_again(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    soundness.back_up(desk.app.settings, NOON)
    file = database_of(desk)
    desk.app.database.close()
    for path in file.parent.glob("tasks.db*"):
        path.unlink()
    file.write_bytes(newest(desk).read_bytes())
    with desk.reopened() as again:
        assert again.board.counts()["pending"] == 2


def test_seven_are_kept_and_a_second_one_of_a_day_replaces_the_first(desk: Desk) -> None:
    stranger = desk.app.settings.backup_dir / "tasks-of-mine.db"
    for day in range(10):
        soundness.back_up(desk.app.settings, NOON + timedelta(days=day))
        if day == 0:
            stranger.touch()
    assert soundness.back_up(desk.app.settings, NOON + timedelta(days=9, hours=1)) == 7
    names = [file.name for file in backups.kept(desk.app.settings.backup_dir)]
    assert names == [f"tasks-2025-05-{day}.db" for day in range(23, 30)]
    assert stranger.exists()


def test_writers_go_on_while_a_backup_is_made(desk: Desk) -> None:
    with desk.app.database.writing() as connection:
        row = {"task_type": "t", "recipient": "r", "message": "m", "created_at": NOON, "updated_at": NOON}
        connection.execute(sa.insert(tasks).values(row))
        soundness.back_up(desk.app.settings, NOON)
    assert count(newest(desk), "tasks") == 0
    assert count(database_of(desk), "tasks") == 1


def test_a_damaged_file_replaces_no_good_copy_and_is_a_trouble_until_it_is_mended(desk: Desk) -> None:
    desk.show(contracts(*range(1, 40)))
    desk.run()
    soundness.back_up(desk.app.settings, NOON)
    good = newest(desk).read_bytes()
    desk.app.database.close()
    content = spoil(database_of(desk))
    with pytest.raises(BackupError, match="已损坏") as raised:
        soundness.back_up(desk.app.settings, NOON)
    assert "\n" not in str(raised.value)
    assert newest(desk).read_bytes() == good
    assert [file.name for file in desk.app.settings.backup_dir.iterdir()] == ["tasks-2025-05-20.db"]
    with pytest.raises(DatabaseError, match=r"已损坏.*备份与恢复"):
        soundness.require_sound(desk.app.settings)
    assert database_of(desk).read_bytes() == content
    database_of(desk).write_bytes(good)
    watch_once(desk.app, desk.clock())
    soundness.require_sound(desk.app.settings)
    watch_once(desk.app, desk.clock())
    assert [(row["key"], row["ended_at"]) for row in desk.table(troubles)] == [("damage", NOON)]


def test_a_disk_that_is_full_leaves_the_copies_that_are_there_and_is_a_trouble(desk: Desk) -> None:
    desk.show(contracts(*range(1, 200)))
    desk.run()
    soundness.back_up(desk.app.settings, NOON)
    before = newest(desk).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        with pytest.raises(BackupError, match="没有备份成"):
            soundness.back_up(desk.app.settings, NOON)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert newest(desk).read_bytes() == before
    assert [file.name for file in desk.app.settings.backup_dir.iterdir()] == ["tasks-2025-05-20.db"]
    watch_once(desk.app, desk.clock())
    soundness.back_up(desk.app.settings, NOON)
    watch_once(desk.app, desk.clock())
    assert [(row["key"], row["ended_at"]) for row in desk.table(troubles)] == [("backup", NOON)]


def test_a_locked_file_is_said_to_be_locked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "SQLITE_WAIT_SECONDS", 0.1)
    desk.app.database.close()
    with closing(sqlite3.connect(database_of(desk), isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseError, match="被别的程序占用"):
            soundness.require_sound(desk.app.settings)
        with pytest.raises(BackupError, match="没有备份成"):
            soundness.back_up(desk.app.settings, NOON)
    soundness.require_sound(desk.app.settings)


def test_a_database_that_is_not_there_yet_or_a_servers_is_none_of_our_business(desk: Desk, tmp_path: Path) -> None:
    fresh = Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path / 'none.db'}")
    soundness.require_sound(fresh)
    assert not (tmp_path / "none.db").exists()
    server = Settings(data_dir=tmp_path, database_url="postgresql+psycopg://user@db/tasks")
    soundness.require_sound(server)
    assert soundness.back_up(server, NOON) == 0
    assert not server.backup_dir.exists()
