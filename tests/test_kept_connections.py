"""Connections to a SQLite file stay open between transactions: how many, how clean, and until when."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.clock import SHANGHAI
from modules.database import Database
from modules.prepared import on_driver
from modules.tables import robot_sends

PATIENCE = 30
"""Seconds that something may take on a busy machine."""

NOW = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)


@pytest.fixture
def path(tmp_path: Path, empty_database: Path) -> Path:
    return shutil.copy(empty_database, tmp_path / "tasks.db")


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


def times_open(path: Path) -> int:
    """How often this process holds the file open, as Linux tells."""
    return sum(handle.exists() and handle.samefile(path) for handle in Path("/proc/self/fd").iterdir())


def note(connection: Connection, number: int) -> None:
    connection.execute(sa.insert(robot_sends).values(bucket="a", task_id=number, sent_at=NOW))


def noted(connection: Connection) -> list[int]:
    return list(connection.execute(sa.select(robot_sends.c.task_id).order_by(robot_sends.c.task_id)).scalars())


def driver_of(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def fail_within(database: Database, error: BaseException) -> None:
    with database.writing() as connection:
        note(connection, 666)
        raise error


# How many are open


def test_transactions_one_after_another_share_a_connection(database: Database, path: Path) -> None:
    with database.writing() as connection:
        first = driver_of(connection)
        note(connection, 1)
    with database.reading() as connection:
        assert driver_of(connection) is first
        assert noted(connection) == [1]
    assert times_open(path) == 1


def test_reading_within_writing_has_a_connection_of_its_own(database: Database, path: Path) -> None:
    """It sees what was committed, not what is being written."""
    with database.writing() as writer:
        note(writer, 1)
        with database.reading() as reader:
            assert noted(reader) == []
            assert driver_of(reader) is not driver_of(writer)
        note(writer, 2)
    with database.reading() as reader:
        assert noted(reader) == [1, 2]
    assert times_open(path) == 2


def test_threads_that_end_leave_no_file_open(database: Database, path: Path) -> None:
    """Every job runs in a thread of its own, some hundreds a day."""

    def run(number: int) -> None:
        with database.writing() as connection:
            note(connection, number)

    for number in range(100):
        thread = threading.Thread(target=run, args=(number,))
        thread.start()
        thread.join()
    with database.reading() as connection:
        assert len(noted(connection)) == 100
    assert times_open(path) == 1


def test_as_many_are_open_as_were_needed_at_once(database: Database, path: Path) -> None:
    everybody_reads = threading.Barrier(4)

    def run() -> None:
        with database.reading() as connection:
            noted(connection)
            everybody_reads.wait(PATIENCE)

    for _ in range(5):
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not everybody_reads.broken
    assert times_open(path) == 4


def test_errors_leave_no_files_open(database: Database, path: Path) -> None:
    """SQLite may close a file only later, while others are open: their locks would go with it."""
    with database.reading():
        for _ in range(100):
            with pytest.raises(LookupError):
                fail_within(database, LookupError())
    assert times_open(path) <= 2


# How clean they are


@pytest.mark.parametrize("error", [LookupError("出错"), KeyboardInterrupt()])
def test_after_an_error_the_next_transaction_is_clean(database: Database, path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail_within(database, error)
    assert times_open(path) == 0, "its connection is not used again"
    with database.writing() as connection:
        assert noted(connection) == []
        note(connection, 1)
    with database.reading() as connection:
        assert noted(connection) == [1]


def test_after_a_statement_that_fails_nobody_waits_for_its_lock(database: Database, path: Path) -> None:

    def write_and_fail() -> None:
        with database.writing() as connection:
            note(connection, 1)
            on_driver(connection, "SELECT nothing FROM nowhere")

    with pytest.raises(sa.exc.OperationalError, match="nowhere"):
        write_and_fail()
    rival = sqlite3.connect(path, timeout=0, isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")
    rival.close()


@pytest.mark.parametrize("ask", [on_driver, Connection.exec_driver_sql])
def test_a_broken_connection_is_thrown_away(database: Database, ask: Callable[[Connection, str], object]) -> None:
    def break_and_ask() -> None:
        with database.writing() as connection:
            driver_of(connection).close()
            ask(connection, "SELECT 1")

    with pytest.raises(sa.exc.ProgrammingError, match="closed"):
        break_and_ask()
    with database.writing() as connection:
        note(connection, 1)
        assert noted(connection) == [1]


def test_one_that_broke_while_it_was_idle_fails_once(database: Database) -> None:
    with database.reading() as connection:
        idle = driver_of(connection)
    idle.close()
    with pytest.raises(sa.exc.ProgrammingError, match="closed"), database.reading():
        pass
    with database.reading() as connection:
        assert noted(connection) == []


def test_what_its_user_rolled_back_stays_so_and_the_next_one_is_clean(database: Database) -> None:
    with database.writing() as connection:
        note(connection, 1)
        connection.rollback()
    with database.writing() as connection:
        note(connection, 2)
    with database.reading() as connection:
        assert noted(connection) == [2]


def test_a_commit_that_fails_leaves_nothing_behind(database: Database, path: Path) -> None:
    """A foreign key that is looked at only at the end: the commit is refused, and the transaction is undone."""
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE b (a_id INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sa.exc.IntegrityError), database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO b VALUES (7)")
    assert times_open(path) == 0
    with database.writing() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM b").scalar() == 0


def test_errors_past_sqlalchemy_are_its_own(any_database: Database) -> None:
    """What catches the database's errors need not know by which way a statement went."""
    with pytest.raises(sa.exc.IntegrityError, match="until"), any_database.writing() as connection:
        on_driver(connection, "INSERT INTO robot_pauses VALUES ('a', NULL)")


# Until when


def test_closing_lets_go_of_the_file(database: Database, path: Path) -> None:
    with database.reading(), database.reading():
        pass
    assert times_open(path) == 2
    database.close()
    assert times_open(path) == 0
    path.unlink()  # as a person could on Windows now, too


def test_what_is_under_way_while_it_is_closed_ends_well_and_lets_go_then(database: Database, path: Path) -> None:
    opened, closed = threading.Event(), threading.Event()

    def run() -> None:
        with database.writing() as connection:
            note(connection, 1)
            opened.set()
            assert closed.wait(PATIENCE)

    thread = threading.Thread(target=run)
    thread.start()
    assert opened.wait(PATIENCE)
    database.close()
    assert times_open(path) == 1
    closed.set()
    thread.join()
    assert times_open(path) == 0


def test_a_database_that_was_closed_still_serves_and_keeps_nothing_open(database: Database, path: Path) -> None:
    database.close()
    with database.writing() as connection:
        note(connection, 1)
    with database.reading() as connection:
        assert noted(connection) == [1]
    assert times_open(path) == 0
    database.close()
