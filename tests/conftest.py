"""What all tests share: the rule about skipped tests in CI, and a desk — the program on a fresh machine of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from modules.database import Database
from tests.desk import (
    CARDS,
    Desk,
    SetClock,
    Surroundings,
    be_in,
    desk_in,
    go_straight,
    lasting_desk,
    run_two_months,
    surroundings_in,
)
from tests.postgres import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Generator

settings.register_profile("untimed", deadline=None)  # the machine may be busy
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: it has checked nothing. An expected failure (xfail) is none."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_if_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself."""
    report = yield
    _fail_if_skipped_in_ci(report)
    return report


def _fail_if_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true" and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"


@pytest.fixture(scope="session", autouse=True)
def own_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In its folder for temporary files a machine has one lock of the desktop: each worker is a machine of its own.

    The folder stands high up, as sockets in it may not have long paths. Those of the tests stay where they were.
    """
    tmp_path_factory.getbasetemp()
    with (
        tempfile.TemporaryDirectory(prefix="tests-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sends goes straight to its stand-ins."""
    go_straight(monkeypatch)


@pytest.fixture
def surroundings(tmp_path: Path, no_proxy: None) -> Iterator[Surroundings]:
    """Surroundings of a test's own."""
    with surroundings_in(tmp_path / "installation") as made:
        yield made


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and no rows, to copy: quicker than to make each anew."""
    path = tmp_path_factory.mktemp("template") / "tasks.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, whose database `template_tasks` has all tables and no rows."""
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database_url(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> Iterator[str]:
    """The address of a database with all tables and no rows: each test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        shutil.copy(empty_database, tmp_path / "any.db")
        yield f"sqlite:///{tmp_path / 'any.db'}"
        return
    server: Server = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex}"
    yield server.create(name, "template_tasks")
    server.drop(name)


@pytest.fixture
def postgres_database(postgres: Server) -> Iterator[Database]:
    """A PostgreSQL database with all tables and no rows, opened."""
    name = f"test_{uuid.uuid4().hex}"
    opened = Database(postgres.create(name, "template_tasks"))
    yield opened
    opened.close()
    postgres.drop(name)


@pytest.fixture
def any_database(any_database_url: str) -> Iterator[Database]:
    """The same, opened."""
    opened = Database(any_database_url)
    yield opened
    opened.close()


@pytest.fixture
def set_zone() -> Iterator[Callable[[str], None]]:
    """Sets the zone of the machine, as far as this process sees it."""
    with pytest.MonkeyPatch.context() as patch:

        def setting(zone: str) -> None:
            patch.setenv("TZ", zone)
            time.tzset()

        yield setting
    time.tzset()


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands at noon of 20 May 2025."""
    return SetClock()


@pytest.fixture
def open_desk(
    surroundings: Surroundings, clock: SetClock, empty_database: Path
) -> Callable[..., AbstractContextManager[Desk]]:
    """Opens a desk with further environment variables; `is_daemon=True` as the daemon does."""

    def opening(*, is_daemon: bool = False, **more: str) -> AbstractContextManager[Desk]:
        return desk_in(surroundings, clock, empty_database, is_daemon=is_daemon, **more)

    return opening


@pytest.fixture
def desk(open_desk: Callable[..., AbstractContextManager[Desk]]) -> Iterator[Desk]:
    """The program, opened, with empty tables; its cards show nothing yet."""
    with open_desk() as opened:
        for key in CARDS:
            opened.show([], key)
        yield opened


@pytest.fixture
def doors(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose environment is this process's: for the doors that open the application by themselves."""
    be_in(desk.environ, monkeypatch)
    return desk


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    """For the dashboard's pages: no figure of another test, and no database open after this one."""
    from streamlit_app import data  # Streamlit takes a while to import, and most tests do without

    data.close()
    yield
    data.close()


@pytest.fixture
def open_doors(
    surroundings: Surroundings, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], AbstractContextManager[Desk]]:
    """Opens a desk on a copy of a database, whose environment is this process's; its cards show nothing yet."""

    def opening(database: Path) -> AbstractContextManager[Desk]:
        be_in(surroundings.environ, monkeypatch)
        return desk_in(surroundings, clock, database)

    return opening


@pytest.fixture(scope="session")
def month_database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """April and May of Beijing, whole, with the messages sent: to copy."""
    root = tmp_path_factory.mktemp("month") / "installation"
    with lasting_desk(root, empty_database) as opened:
        run_two_months(opened)
        opened.drain()
    return root / "data" / "tasks.db"


@pytest.fixture
def month(open_doors: Callable[[Path], AbstractContextManager[Desk]], month_database: Path) -> Iterator[Desk]:
    """A desk with these months."""
    with open_doors(month_database) as opened:
        yield opened
