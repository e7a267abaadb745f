"""Tables and transactions on real files: upgrades that keep what was there, and writers that wait for each other."""

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from modules import database as database_module
from modules.clock import SHANGHAI
from modules.database import Database, DatabaseError, insert_missing
from modules.senders.outcome import Sent
from modules.tables import Moment, metadata, performance, robot_sends, tasks
from modules.task_states import COMPLETED, PENDING
from tests.one_by_one import OneByOne
from tests.sqlite_files import dump

NOW = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)
OLD_TASKS = """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_type TEXT NOT NULL,
    recipient TEXT NOT NULL,
    message TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
)
"""
OLD_ROWS = [
    (3, "send_wecom_message", "bj_group", "旧喜报", "pending", "2025-04-30 09:00:00", "2025-04-30 09:00:00"),
    (5, "send_wechat_message", "张三", "旧通知 🎁", "completed", "2025-04-30T09:00:01.5", "2025-04-30T10:00:00.25"),
    (8, "send_wecom_message", "bj_group", "旧喜报二", "pending", "2025-05-01T08:00:00.123456", "2025-05-01 08:00:00"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tasks.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{path}")
    opened.upgrade()
    yield opened
    opened.close()


def upgraded(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    try:
        database.upgrade()
    finally:
        database.close()


def old_database(path: Path, *more: str) -> None:
    """A tasks.db of the present system, with three rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(OLD_TASKS)
        connection.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?)", OLD_ROWS)
        for statement in more:
            connection.execute(statement)
    connection.close()


# Upgrades


def test_a_fresh_database_has_the_tables_that_the_code_speaks_of(database: Database) -> None:
    with database.reading() as connection:
        found = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
        assert found == set(metadata.tables)
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_have_their_condition(database: Database) -> None:
    """`compare_metadata` does not look at it."""
    with database.reading() as connection:
        made = dict(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index'").all())
    assert "WHERE kind = '节节高'" in made["uq_awards_tier"]
    assert "WHERE status = 'pending'" in made["ix_tasks_pending"]
    assert "WHERE status = 'pending' AND run_at IS NOT NULL" in made["ix_tasks_waiting"]
    assert "WHERE status = 'pending' AND expires_at IS NOT NULL" in made["ix_tasks_expiring"]
    assert "WHERE status = 'running'" in made["ix_tasks_running"]
    assert "WHERE status IN ('failed', 'uncertain')" in made["ix_tasks_given_up"]
    assert "WHERE status = 'cancelled'" in made["ix_tasks_cancelled"]


def test_an_upgrade_of_an_up_to_date_database_changes_nothing(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sa.insert(robot_sends).values(bucket="a", task_id=1, sent_at=NOW))
    database.upgrade()
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(robot_sends)).scalar() == 1


def test_an_old_tasks_db_keeps_its_rows(path: Path) -> None:
    old_database(path)
    upgraded(path)
    connection = sqlite3.connect(path)
    first_seven = "SELECT id, task_type, recipient, message, status, created_at, updated_at FROM tasks ORDER BY id"
    assert connection.execute(first_seven).fetchall() == OLD_ROWS
    connection.close()


def test_an_old_tasks_db_becomes_like_a_fresh_one(path: Path) -> None:
    old_database(path)
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.reading() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    changes = [change for entry in found for change in (entry if isinstance(entry, list) else [entry])]
    what_the_old_columns_may_keep = {"modify_type", "modify_nullable"}
    assert {change[0] for change in changes} <= what_the_old_columns_may_keep
    assert {change[3] for change in changes} <= {"id", "created_at", "updated_at"}


def test_old_rows_are_read_with_their_times_and_sent_in_order(path: Path) -> None:
    old_database(path)
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    queue = OneByOne(database, "me", timedelta(seconds=120), lambda *_: None)
    assert [task.created_at for task in queue.list()] == [
        datetime(2025, 4, 30, 9, 0, tzinfo=SHANGHAI),
        datetime(2025, 4, 30, 9, 0, 1, 500000, tzinfo=SHANGHAI),
        datetime(2025, 5, 1, 8, 0, 0, 123456, tzinfo=SHANGHAI),
    ]
    sent = []
    while (task := queue.claim(NOW)) is not None:
        marked = queue.mark_sending(task, NOW, None, 0)
        assert marked is not None
        queue.finish(marked, Sent(), NOW)
        sent.append((task.id, task.message, task.on_uncertain))
    assert sent == [(3, "旧喜报", "hold"), (8, "旧喜报二", "hold")]
    assert {task.status for task in queue.list()} == {COMPLETED}
    assert queue.create("send_wecom_message", "bj_group", "新", NOW, 8, 2048) == 9, "ids go on where they were"
    database.close()


def test_odd_rows_of_an_old_tasks_db_are_mended_and_nothing_is_sent_by_chance(path: Path) -> None:
    """The present system's table holds nothing back: empty dates, its own words for a status, nulls."""
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(OLD_TASKS.replace(" NOT NULL", ""))
        connection.executemany(
            "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (1, "send_wecom_message", "bj_group", "发送途中断电", "running", "2025-04-30 09:00:00", None),
                (2, "send_wecom_message", "bj_group", "出过错", "error", None, None),
                (3, "send_wechat_message", "张三", "没有状态", None, None, "2025-04-30 10:00:00"),
                (4, None, None, None, "pending", "2025-04-30 11:00:00", "2025-04-30 11:00:00"),
            ],
        )
    connection.close()
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    found = {task.id: task for task in OneByOne(database, "me", timedelta(seconds=120), lambda *_: None).list()}
    database.close()
    assert {number: task.status for number, task in found.items()} == {
        1: "uncertain", 2: "failed", 3: "failed", 4: "pending"
    }  # fmt: skip
    assert [found[number].last_error for number in (1, 2, 3, 4)] == [
        "升级前的状态：running", "升级前的状态：error", "升级前的状态：空", None
    ]  # fmt: skip
    assert found[1].updated_at == found[1].created_at == datetime(2025, 4, 30, 9, 0, tzinfo=SHANGHAI)
    assert found[3].created_at == found[3].updated_at == datetime(2025, 4, 30, 10, 0, tzinfo=SHANGHAI)
    assert (found[4].task_type, found[4].recipient, found[4].message) == ("", "", "")


def test_a_ledger_of_the_first_version_gets_the_figures_of_the_platform_track(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    database.upgrade("0001")
    with database.writing() as connection:
        old = sa.Table("performance", sa.MetaData(), autoload_with=connection)
        told = ("payee", "self_referral", "amount", "performance")
        rows = [("甲", 0, 100, 60), ("乙", 0, 7, 7), ("甲", 1, 1000, 900), ("甲", 0, 20, 20)]
        for number, values in enumerate(rows, start=1):
            record = {column.name: "" if isinstance(column.type, sa.Text) else 0 for column in old.columns}
            record |= {"campaign": "K", "contract_id": str(number), "sequence": number, "personal_sequence": 1}
            record |= {"id": number, "broadcast_key": str(number), "signed_at": "2025-05-01", "registered_at": "x"}
            connection.execute(sa.insert(old).values(record | dict(zip(told, values, strict=True))))
    database.upgrade()
    figures = ("platform_count", "platform_total", "platform_performance_total", "historical", "sequence")
    with database.reading() as connection:
        columns = [performance.c[name] for name in figures]
        found = connection.execute(sa.select(*columns).order_by(performance.c.id)).all()
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    database.close()
    assert [tuple(row) for row in found] == [
        (1, 100, 60, False, 1),
        (1, 7, 7, False, 2),
        (1, 100, 60, False, 3),
        (2, 120, 80, False, 4),
    ]


def test_an_upgrade_that_fails_half_way_leaves_the_data_as_it_was(path: Path) -> None:
    old_database(path, "ALTER TABLE tasks ADD COLUMN attempts INTEGER")
    before = dump(path)
    with pytest.raises(DatabaseError, match="数据库出错"):
        upgraded(path)
    assert dump(path) == before


# What can't be opened


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    content = "这不是数据库\n".encode() * 1000
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"已损坏（file is not a database）.*data/backups") as raised:
        upgraded(path)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_damaged_database_is_refused_and_left_alone(path: Path) -> None:
    old_database(path)
    spoilt = bytearray(path.read_bytes())
    spoilt[100:4096] = b"\xff" * 3996
    path.write_bytes(spoilt)
    with pytest.raises(DatabaseError, match="已损坏"):
        upgraded(path)
    assert path.read_bytes()[100:] == spoilt[100:]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    upgraded(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = dump(path)
    with pytest.raises(DatabaseError, match="更新的版本"):
        upgraded(path)
    assert dump(path) == before


def test_a_folder_where_the_file_should_be(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "keep.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DatabaseError, match="数据库出错"):
        upgraded(path)
    assert (path / "keep.txt").exists()


def test_a_file_where_its_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("一个文件", encoding="utf-8")
    with pytest.raises(DatabaseError, match="数据库文件夹建不了"):
        upgraded(tmp_path / "data" / "tasks.db")
    assert (tmp_path / "data").read_text(encoding="utf-8") == "一个文件"


def test_a_folder_that_nobody_may_write_to() -> None:
    """/proc takes no files, not even from root."""
    with pytest.raises(DatabaseError, match="数据库文件夹建不了"):
        upgraded(Path("/proc/no-such-folder/tasks.db"))


@pytest.mark.parametrize("url", ["nonsense", "mysql+nothing://host/db", "oracle9://host/db"])
def test_a_database_url_that_names_no_database_we_know(url: str) -> None:
    with pytest.raises(DatabaseError, match="DATABASE_URL"):
        Database(url)


def test_a_folder_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "tasks.db"
    upgraded(path)
    assert path.is_file()


# Moments

SECONDS_NEAR_2025 = st.datetimes(
    datetime(1992, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2099, 12, 31),  # noqa: DTZ001
    timezones=st.sampled_from([SHANGHAI, UTC, timezone(timedelta(hours=-5))]),
)


@given(moment=SECONDS_NEAR_2025)
def test_a_moment_comes_back_as_it_went(moment: datetime) -> None:
    kept = Moment().process_bind_param(moment, sqlite_dialect())
    back = Moment().process_result_value(kept, sqlite_dialect())
    assert back == moment
    assert back is not None
    assert back.tzinfo is SHANGHAI


@given(one=SECONDS_NEAR_2025, other=SECONDS_NEAR_2025)
def test_moments_sort_as_text_as_they_do_in_time(one: datetime, other: datetime) -> None:
    texts = [Moment().process_bind_param(moment, sqlite_dialect()) for moment in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)
    assert (texts[0] == texts[1]) == (one == other)


def test_a_moment_in_a_real_table(database: Database) -> None:
    moments = [NOW, NOW + timedelta(microseconds=1), datetime(2025, 5, 20, 3, 59, 59, tzinfo=UTC)]
    with database.writing() as connection:
        for number, moment in enumerate(moments):
            connection.execute(sa.insert(robot_sends).values(bucket="a", task_id=number, sent_at=moment))
    with database.reading() as connection:
        by_time = sa.select(robot_sends.c.task_id, robot_sends.c.sent_at).order_by(robot_sends.c.sent_at)
        rows = connection.execute(by_time).all()
        late = sa.select(robot_sends.c.task_id).where(robot_sends.c.sent_at > NOW)
        assert connection.execute(late).scalars().all() == [1]
    assert [tuple(row) for row in rows] == [(2, moments[2]), (0, moments[0]), (1, moments[1])]


def test_a_moment_without_a_zone_is_shanghai_time_and_none_is_none() -> None:
    naive = datetime(2025, 5, 20, 12, 0)  # noqa: DTZ001 - the case
    assert Moment().process_bind_param(naive, sqlite_dialect()) == "2025-05-20T12:00:00.000000+08:00"
    assert Moment().process_bind_param(None, sqlite_dialect()) is None
    assert Moment().process_result_value(None, sqlite_dialect()) is None


# Transactions


def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    def write_and_fail() -> None:
        with database.writing() as connection:
            connection.execute(sa.insert(robot_sends).values(bucket="a", task_id=1, sent_at=NOW))
            raise LookupError

    with pytest.raises(LookupError):
        write_and_fail()
    with database.reading() as connection:
        assert connection.execute(sa.select(robot_sends)).all() == []


def test_a_writer_holds_the_write_lock_from_its_first_moment(database: Database, path: Path) -> None:
    """Before it has written anything: BEGIN IMMEDIATE."""
    rival = sqlite3.connect(path, timeout=0, isolation_level=None)
    with database.writing() as connection:
        connection.execute(sa.select(tasks.c.id))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("BEGIN IMMEDIATE")
    rival.execute("BEGIN IMMEDIATE")
    rival.close()


def test_a_reader_holds_nobody_up_and_sees_one_state(database: Database, path: Path) -> None:
    counting = sa.select(sa.func.count()).select_from(robot_sends)
    rival = sqlite3.connect(path, timeout=0, isolation_level=None)
    with database.reading() as connection:
        assert connection.execute(counting).scalar() == 0
        rival.execute("INSERT INTO robot_sends (bucket, task_id, sent_at) VALUES ('a', 1, '2025-05-20')")
        assert connection.execute(counting).scalar() == 0
    with database.reading() as connection:
        assert connection.execute(counting).scalar() == 1
    rival.close()


def test_a_reader_sees_one_state_on_every_kind_of_database(any_database: Database, any_database_url: str) -> None:
    """What another connection commits between two questions is seen by the next reader."""
    counting = sa.select(sa.func.count()).select_from(robot_sends)
    rival = Database(any_database_url)
    with any_database.reading() as connection:
        assert connection.execute(counting).scalar() == 0
        with rival.writing() as other:
            other.execute(sa.insert(robot_sends).values(bucket="a", task_id=1, sent_at=NOW))
        assert connection.execute(counting).scalar() == 0
    with any_database.reading() as connection:
        assert connection.execute(counting).scalar() == 1
    if any_database.is_server:  # the connection goes back to the pool as it was
        with any_database.writing() as connection:
            assert connection.get_isolation_level() == "READ COMMITTED"
    rival.close()


def test_a_writer_waits_for_another_one(database: Database, path: Path) -> None:
    rival = sqlite3.connect(path, isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")
    starting, written = threading.Event(), threading.Event()

    def write() -> None:
        starting.set()
        with database.writing() as connection:
            connection.execute(sa.insert(robot_sends).values(bucket="a", task_id=1, sent_at=NOW))
        written.set()

    thread = threading.Thread(target=write)
    thread.start()
    starting.wait()
    assert not written.wait(0.3), "the lock is held: nothing can be written"
    rival.execute("COMMIT")
    assert written.wait(10)
    thread.join()
    rival.close()


def test_a_writer_that_waits_too_long_says_that_the_database_is_locked(
    path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "SQLITE_WAIT_SECONDS", 0.05)
    hasty = Database(f"sqlite:///{path}")
    with database.writing(), pytest.raises(sa.exc.OperationalError, match="locked"), hasty.writing():
        pass
    hasty.close()


def test_many_writers_lose_no_update(database: Database, path: Path) -> None:
    """Each reads, adds one and writes: with a lock that came only at the write, updates would be lost or refused."""
    with database.writing() as connection:
        connection.execute(sa.insert(robot_sends).values(bucket="0", task_id=1, sent_at=NOW))

    def add_up() -> None:
        own = Database(f"sqlite:///{path}")
        for _ in range(25):
            with own.writing() as connection:
                count = int(connection.execute(sa.select(robot_sends.c.bucket)).scalar_one())
                connection.execute(sa.update(robot_sends).values(bucket=str(count + 1)))
        own.close()

    threads = [threading.Thread(target=add_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        assert connection.execute(sa.select(robot_sends.c.bucket)).scalar_one() == "100"


def test_what_is_committed_is_on_the_disk(database: Database) -> None:
    with database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_insert_missing_leaves_rows_alone_that_are_there(database: Database) -> None:
    def row(text: str) -> dict[str, object]:
        return {"task_type": "a", "recipient": "b", "message": text, "created_at": NOW, "updated_at": NOW}

    with database.writing() as connection:
        statement = insert_missing(connection, tasks, ["dedup_key"])
        assert connection.execute(statement.values(row("一") | {"dedup_key": "key"})).rowcount == 1
        assert connection.execute(statement.values(row("二") | {"dedup_key": "key"})).rowcount == 0
        assert connection.execute(statement.values(row("三"))).rowcount == 1
        assert connection.execute(statement.values(row("四"))).rowcount == 1, "no key, no twin"
        found = connection.execute(sa.select(tasks.c.message, tasks.c.status).order_by(tasks.c.id)).all()
    assert [tuple(row) for row in found] == [("一", PENDING), ("三", PENDING), ("四", PENDING)]
