"""Engine, transactions and inserts. SQLite by default, PostgreSQL by `DATABASE_URL`; one code for both.

Writers on SQLite take the write lock at once (BEGIN IMMEDIATE), so that nobody reads, waits and then finds that
somebody else has written in between. Migrations: modules/migrations (Alembic).
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Dialect, Engine

from modules.kept_connections import KeptConnections
from modules.network_share import network_share
from modules.prepared import Prepared, on_driver, prepare
from modules.system_words import reason_of
from modules.tables import audit_log

log = logging.getLogger(__name__)

SQLITE_WAIT_SECONDS = 30
"""How long a writer waits for another one before it says that the database is locked."""

_CHECKPOINT = "wal_autocheckpoint=4000"
"""Write back after 16 MB of log, not 4: each transaction of the queue touches the same few pages again."""

MIGRATIONS_LOCK = 0x7A50
"""Names the advisory lock under which a PostgreSQL database is upgraded."""

_NO_SERVER = ("connection failed", "connection timeout", "failed to resolve host", "connection is bad")
"""How psycopg begins when it gets no connection."""

KEYS_AT_ONCE = 500
"""Databases take only so many values in one question."""

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


class DatabaseError(Exception):
    """The database can't be opened or upgraded; the message says what and what to do, in Chinese."""


class Database:
    """One database, opened: `reading()` and `writing()` hand out transactions."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """Raises DatabaseError where the address is wrong or the folder of the file can't be made.

        `read_only`: the database itself refuses to write, and a file that is not there is not made.
        """
        try:
            is_file = url.startswith("sqlite")
            self.engine = _sqlite_engine(url, read_only) if is_file else _server_engine(url, read_only)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise DatabaseError("DATABASE_URL 不是可用的数据库地址；请照 .env.example 改正，或留空用 SQLite") from error
        except OSError as error:
            words = f"数据库文件夹建不了（{error.filename}：{reason_of(error)}）；请检查 DATA_DIR 和 DATABASE_URL"
            raise DatabaseError(words) from error
        self._kept = None if self.is_server else KeptConnections(self.engine)

    @property
    def is_server(self) -> bool:
        """Whether it is a server that several machines may share; else a file of this machine."""
        return self.engine.dialect.name != "sqlite"

    @property
    def place(self) -> str:
        """The file on SQLite, else the address without its password: for people."""
        url = self.engine.url
        return url.database or "" if url.drivername.startswith("sqlite") else url.render_as_string(hide_password=True)

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state of the database and writes nothing."""
        if self._kept is not None:
            return self._kept.transaction("BEGIN")
        return self._pooled(isolation_level="REPEATABLE READ")

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that writes all or nothing; on SQLite it is the only writer from its first moment on."""
        if self._kept is not None:
            return self._kept.transaction("BEGIN IMMEDIATE")
        return self._pooled()

    def require_newest(self) -> None:
        """For who reads only. Raises DatabaseError where the tables are not there, or of another version."""
        try:
            with self.reading() as connection:
                found = MigrationContext.configure(connection).get_current_revision()
        except sa.exc.DBAPIError as error:
            raise DatabaseError(in_words(error)) from error
        if found is None:
            raise DatabaseError(f"数据库 {self.place} 里还没有数据表；请先启动一次主程序，它会建好")
        newest = ScriptDirectory.from_config(_migrations()).get_current_head()
        if found != newest:
            raise DatabaseError(f"数据库的版本是 {found}，这个程序要 {newest}；请重启主程序（它会升级数据库）和看板")

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables up to date; an old tasks.db of the present system keeps its rows. Raises DatabaseError."""
        config = _migrations()
        newest = ScriptDirectory.from_config(config).as_revision_number(revision)
        try:
            with self.reading() as connection:
                if MigrationContext.configure(connection).get_current_revision() == newest:
                    return
            with self.writing() as connection:
                wait_for_turn(connection, MIGRATIONS_LOCK)  # of programs that start at once the first does it
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
            log.info("数据库的表已升级到第 %s 版", newest)
        except sa.exc.DBAPIError as error:
            raise DatabaseError(in_words(error)) from error
        except CommandError as error:
            raise DatabaseError(f"数据库是更新的版本写的（{error}）；请升级本程序，没有写入任何东西") from error

    def close(self) -> None:
        """Let go of the files, or of the server. What is still under way, or begins later, opens one for itself."""
        if self._kept is not None:
            self._kept.close()
        self.engine.dispose()

    @contextmanager
    def _pooled(self, **options: Any) -> Iterator[Connection]:
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def wait_for_turn(connection: Connection, lock: int) -> None:
    """On PostgreSQL, hold the advisory lock of this number to the end of the transaction; on SQLite who writes is
    alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def record_act(connection: Connection, now: datetime, who: str, action: str, detail: str) -> None:
    """What a person did goes into the audit log, in the transaction that does it."""
    connection.execute(sa.insert(audit_log).values(at=now, who=who, action=action, detail=detail))


def in_words(error: sa.exc.DBAPIError) -> str:
    """What the database complains of, on one line, without the statement and its data; and what to do."""
    return reason_in_words(str(error.orig))


def reason_in_words(said: str) -> str:
    """The same from the driver's own words."""
    reason = " ".join(said.split())
    if "locked" in reason:
        return f"数据库被别的程序占用（{reason}）；请关闭打开它的程序后再试，没有写入任何东西"
    if "malformed" in reason or "not a database" in reason:
        return damage_in_words(reason)
    if "full" in reason:
        return f"磁盘已满（{reason}）；请清理磁盘后再试，没有写入任何东西"
    if "disk I/O" in reason:
        return f"磁盘读写出错（{reason}），可能已满或已坏；请清理并检查磁盘后再试，没有写入任何东西"
    if "readonly" in reason:
        return f"数据库文件不能写（{reason}）；请检查数据文件夹和 tasks.db 的权限，没有写入任何东西"
    if any(sign in reason for sign in _NO_SERVER):
        return (
            f"连不上数据库服务器（{reason}）；请检查 PostgreSQL 是否在运行，"
            "以及 DATABASE_URL 里的主机、端口、库名、用户和密码，没有写入任何东西"
        )
    return f"数据库出错（{reason}）；请检查 DATABASE_URL 和数据文件夹，没有写入任何东西"


def damage_in_words(reason: str) -> str:
    """What to do about a SQLite file that is damaged, on one line."""
    return (
        f"数据库文件 tasks.db 已损坏（{reason}）；请停止后台程序，不要删除任何文件，"
        "按操作手册“备份与恢复”用 data/backups 里最近的备份恢复，没有写入任何东西"
    )


def portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys, as many at a time as can stand in one question."""
    for start in range(0, len(keys), KEYS_AT_ONCE):
        yield keys[start : start + KEYS_AT_ONCE]


def insert_missing(connection: Connection, table: sa.Table, index: list[str]) -> Any:
    """An INSERT for `table` that leaves rows alone whose `index` columns are there already."""
    return _insert_missing(connection.dialect.name, table, index)


def _insert_missing(dialect: str, table: sa.Table, index: list[str]) -> Any:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table).on_conflict_do_nothing(index_elements=index)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table).on_conflict_do_nothing(index_elements=index)


def insert_columns(
    connection: Connection,
    table: sa.Table,
    columns: Mapping[str, Sequence[Any]],
    *,
    missing_by: list[str] | None = None,
) -> int:
    """Insert many rows given by column, and return how many: as `execute(insert, rows)` would in three times the time.

    All columns have the same length; values are bound as their types say. With `missing_by`, rows are left alone
    whose columns of this index are there already.
    """
    prepared = _insert_of(connection.dialect, table, tuple(columns), tuple(missing_by or ()))
    bound = [columns[name] if bind is None else _each(bind, columns[name]) for name, bind in prepared.binds]
    rows = [prepared.row(row) for row in zip(*bound, strict=True)]
    if len(rows) == 1:
        return on_driver(connection, prepared.text, rows[0]).rowcount
    return connection.exec_driver_sql(prepared.text, rows).rowcount if rows else 0


@lru_cache(maxsize=64)
def _insert_of(dialect: Dialect, table: sa.Table, columns: tuple[str, ...], missing_by: tuple[str, ...]) -> Prepared:
    insert = _insert_missing(dialect.name, table, list(missing_by)) if missing_by else sa.insert(table)
    return prepare(dialect, insert, columns)


def _each(bind: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """Each value processed; one that is the same in all rows, as the time of a run, only once."""
    if len(values) > 1 and all(value is values[0] for value in values):
        return [bind(values[0])] * len(values)
    return [bind(value) for value in values]


def _server_engine(url: str, read_only: bool) -> Engine:
    """A worker that froze or lost its cable must not hold a lock that all others wait for.

    The server ends a transaction in which nothing is asked for two minutes, and a wait for a lock after half a minute;
    both sides notice within a minute that the other is gone.
    """
    limits = {"idle_in_transaction_session_timeout": "120s", "lock_timeout": "30s", "tcp_keepalives_idle": "30"}
    limits |= {"tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
    if read_only:
        limits["default_transaction_read_only"] = "on"
    arguments = {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        "options": " ".join(f"-c {name}={limit}" for name, limit in limits.items()),
    }
    return sa.create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=arguments)


def _sqlite_engine(url: str, read_only: bool) -> Engine:
    file = sa.make_url(url).database
    if read_only and file and not Path(file).exists():
        raise DatabaseError(f"没有数据库文件 {file}；请先启动一次主程序，它会建好")
    if file and file != ":memory:":
        folder = Path(file).parent
        folder.mkdir(parents=True, exist_ok=True)
        share = network_share(folder)
        if share is not None:
            raise DatabaseError(
                f"数据库文件 {file} 在网络共享 {share} 上：SQLite 的锁在那里不可靠，几个程序同时写会损坏数据；"
                "请把 DATA_DIR 改到本机磁盘，几台机器共用请用 PostgreSQL（DATABASE_URL）"
            )
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_WAIT_SECONDS}, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # pysqlite then leaves BEGIN to us
        reading = ("query_only=ON",) if read_only else ()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", _CHECKPOINT, *reading):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine
