"""A real PostgreSQL server of a test run's own: no port, a socket in a temporary folder, gone when the run ends."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from modules.database import Database

SUPERUSER = "postgres"


@dataclass(frozen=True)
class Server:
    """A running server; `folder` holds its data and its socket."""

    folder: Path

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases, as DATABASE_URL takes it."""
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self.folder}"

    def create(self, database: str, template: str = "template1") -> str:
        """A new database, a copy of `template`; returns its address."""
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        engine.dispose()
        return self.url(database)

    def drop(self, database: str) -> None:
        """Away with it, whoever is still connected."""
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{database}" WITH (FORCE)')
        engine.dispose()

    def start(self) -> None:
        """Returns once it takes connections."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off -c max_connections=60"
        self._control("start", "-w", "-l", str(self.folder / "server.log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends sessions in order, `immediate` is a crash."""
        self._control("stop", "-w", "-m", mode)

    def _control(self, *arguments: str) -> None:
        _as_superuser([_binary("pg_ctl"), "-D", str(self.folder / "data"), *arguments])


@contextmanager
def running_server() -> Iterator[Server]:
    """A new server with empty tables of the program in the database `template_tasks`."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = Server(folder)
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam(SUPERUSER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        command = [_binary("initdb"), "--no-sync", "-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8"]
        _as_superuser([*command, "-D", str(folder / "data")])
        server.start()
        database = Database(server.create("template_tasks"))
        database.upgrade()
        database.close()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binary(name: str) -> str:
    found = shutil.which(name) or next(
        iter(sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), reverse=True)), None
    )
    assert found, f"{name} is not installed: apt-get install postgresql"
    return found


def _as_superuser(command: Sequence[str]) -> None:
    """The server refuses to run as root."""
    as_user = ["runuser", "-u", SUPERUSER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_user, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", check=False, text=True
    )
    assert done.returncode == 0, done.stderr
