"""What all tests share: the rule about skipped tests in CI, and a desk — the program on a fresh machine of its own."""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import yaml
from hypothesis import settings
from sqlalchemy.engine import Connection

import jobs
import task_scheduler
from modules.application import Application, open_application
from modules.campaign_run import JobReport, RunOptions, find_campaign, run_campaign
from modules.clock import SHANGHAI, parse_moment
from modules.database import Database
from modules.sandbox.metabase import API_KEY, MetabaseStandIn
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_contracts import COLUMNS, SampleMonth
from modules.settings import ENVIRONMENT_VARIABLES, ROOT, Settings, load_settings
from modules.tables import job_runs, metadata
from tests.postgres import Server, running_server
from tests.program import ALL_OFF

if TYPE_CHECKING:
    from collections.abc import Generator

settings.register_profile("untimed", deadline=None)  # the machine may be busy
settings.load_profile("untimed")

BEIJING, SHANGHAI_MAY = "BJ-2025-05", "SH-2025-05"
CARDS = {BEIJING: 1693, SHANGHAI_MAY: 1694, "BJ-2025-04": 1616, "SH-2025-04": 1617}
NOON = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)
FIRST_ID = 1_920_000_000_000_000_000
RECIPIENTS = ("bj_group", "sh_group", "ops", "bj_contact", "sh_contact")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

Row = list[object]


def wait_until(met: Callable[[], bool], seconds: float = 20) -> None:
    """Until the condition comes true; one that never does fails the test."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def already_left() -> None:
    """For a sender that is asked outside the queue: there is nothing to mark."""


class KilledError(Exception):
    """Stands for the end of the process."""


def dying(database: Database, *, committed: bool = False) -> Callable[[], AbstractContextManager[Connection]]:
    """Transactions of a process that dies just before the commit, or just after it: KilledError."""

    @contextmanager
    def writing() -> Iterator[Connection]:
        with database.writing() as connection:
            yield connection
            if not committed:
                raise KilledError
        raise KilledError

    return writing


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


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        """`advance(seconds=15)`; returns the new moment."""
        self.now += timedelta(**by)
        return self.now


def contract(number: int, amount: object = 5000, **values: object) -> Row:
    """Contract `number` as Metabase shows it: signed one minute after number - 1, by 沈若川, on a project of its own.

    `values` are other values by source column.
    """
    signed = datetime(2025, 5, 1, 9, 0) + timedelta(minutes=number)  # noqa: DTZ001 - the source writes no zone
    record: dict[str, object] = {
        "_id": FIRST_ID + number,
        "province": "110000",
        "serviceAppointmentNum": f"GD{number:05d}",
        "Status": "已签约",
        "serviceHousekeeper": "沈若川",
        "contractdocNum": f"YHWX-{number:05d}",
        "adjustRefundMoney": amount,
        "paidAmount": amount,
        "difference": 0,
        "State": "正常",
        "createTime": signed.isoformat(),
        "orgName": "北京瓦蓝防水工程",
        "signedDate": signed.isoformat(),
        "Doorsill": 500,
        "tradeIn": 0,
        "conversion": "0.667",
        "average": "8,888.00",
        "sourceType": 2,
        "projectAddress": "朝阳区望枫路1号院",
        "pcContractdocNum": "",
    }
    assert values.keys() <= record.keys()
    return list((record | values).values())


def contracts(*numbers: int, amount: object = 5000, **values: object) -> list[Row]:
    """Several at once."""
    return [contract(number, amount, **values) for number in numbers]


@dataclass
class Desk:
    """The program in a data folder of its own, with both stand-ins beside it."""

    root: Path
    environ: dict[str, str]
    app: Application
    source: MetabaseStandIn
    robot: RobotStandIn
    clock: SetClock
    opener: Callable[[], AbstractContextManager[Application]] = field(repr=False)

    @property
    def data_dir(self) -> Path:
        return self.app.settings.data_dir

    def show(
        self,
        rows: Sequence[Row] | Callable[[], Sequence[Row]],
        key: str = BEIJING,
        columns: Sequence[str | tuple[str, str]] = COLUMNS,
    ) -> None:
        """Set what the campaign's card shows."""
        self.source.set_card(CARDS[key], columns, rows)

    def show_sample(self, key: str, at: str) -> None:
        """Let the campaign's card show the sample month as it is at this moment."""
        sample = SampleMonth(key[:2], int(key[3:7]), int(key[-2:]), 2025)
        self.show(sample.pull(parse_moment(at)), key, sample.columns)

    def run_sample(self, key: str, at: str) -> None:
        """The campaign runs on its sample month, as of this moment."""
        self.show_sample(key, at)
        assert self.run(key, at).outcome == "ok"

    def run(
        self, key: str = BEIJING, at: str = "2025-05-20T12:00", app: Application | None = None, **options: bool
    ) -> JobReport:
        """`main.py run KEY --at …`, with options such as `dry_run=True`."""
        app, chosen, as_of = app or self.app, RunOptions(**options), parse_moment(at)
        return run_campaign(app, find_campaign(app, key, as_of, chosen), as_of, chosen)

    def cycle(self, at: datetime | None = None) -> list[dict[str, Any]]:
        """A daemon that was just started runs the campaigns that are due, `at` a moment; the runs that it noted."""
        self.clock.now = at or self.clock.now
        before = len(self.table(job_runs))
        jobs.campaigns_lane(self.app).run_due()
        jobs.bring_files_up_to_date(self.app)
        return self.table(job_runs)[before:]

    def drain(self) -> task_scheduler.Drained:
        """`main.py drain`."""
        return task_scheduler.check_tasks(self.app)

    def table(self, table: sa.Table, *order_by: str) -> list[dict[str, Any]]:
        """All rows of a table, by column."""
        order = [table.c[name] for name in order_by or [next(iter(table.primary_key)).name]]
        with self.app.database.reading() as connection:
            return [dict(row) for row in connection.execute(sa.select(table).order_by(*order)).mappings()]

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of all tables."""
        return {name: self.table(table) for name, table in metadata.tables.items()}

    def reopened(self) -> AbstractContextManager[Application]:
        """The same installation opened once more, as by a second process."""
        return self.opener()


@dataclass(frozen=True)
class Surroundings:
    """What a desk stands in: stand-ins, a root folder, and the environment that leads there."""

    root: Path
    environ: dict[str, str]
    source: MetabaseStandIn
    robot: RobotStandIn

    def settings(self, **more: str) -> Settings:
        """The settings, with further environment variables."""
        return load_settings(environ=self.environ | more, root=self.root)

    def settings_file(self, **sections: dict[str, Any]) -> str:
        """Another settings.yaml, with these values in its sections: for `open_desk(SETTINGS_FILE=…)`."""
        path = self.root / f"settings-{len(list(self.root.glob('*.yaml')))}.yaml"
        merged = sections | {name: values | sections.get(name, {}) for name, values in _settings_sections().items()}
        path.write_text(yaml.safe_dump(merged, allow_unicode=True), encoding="utf-8")
        return str(path)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sends goes straight to its stand-ins."""
    go_straight(monkeypatch)


def go_straight(patch: pytest.MonkeyPatch) -> None:
    """Without any proxy."""
    for name in PROXY_VARIABLES:
        patch.delenv(name, raising=False)


@pytest.fixture
def surroundings(tmp_path: Path, no_proxy: None) -> Iterator[Surroundings]:
    """Surroundings of a test's own."""
    with surroundings_in(tmp_path / "installation") as made:
        yield made


@contextmanager
def surroundings_in(root: Path) -> Iterator[Surroundings]:
    """Both stand-ins running, and the environment of an installation that uses them; contacts are on robots too."""
    root.mkdir()
    with MetabaseStandIn() as source, RobotStandIn([f"key-{name}" for name in RECIPIENTS], rate_limit=False) as robot:
        environ = {
            "METABASE_URL": source.url,
            "METABASE_API_KEY": API_KEY,
            "WECOM_BASE_URL": robot.url,
            "DATA_DIR": str(root / "data"),
            "CAMPAIGNS_FILE": str(ROOT / "modules" / "config.py"),
        }
        made = Surroundings(root, environ, source, robot)
        environ["SETTINGS_FILE"] = made.settings_file()
        yield made


def _settings_sections() -> dict[str, Any]:
    return {
        "metabase": {"connect_timeout": 5, "read_timeout": 10, "time_budget": 10},
        "wecom": {"messages_per_minute": 0, "connect_timeout": 5, "read_timeout": 10},
        "schedule": {"task_check_seconds": 0.05, "jobs": dict(ALL_OFF)},
        "recipients": {
            name: {"name": f"测试 {name}", "sender": "wecom_robot", "key": f"key-{name}"} for name in RECIPIENTS
        },
    }


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


@contextmanager
def desk_in(
    surroundings: Surroundings, clock: SetClock, database: Path, *, is_daemon: bool = False, **more: str
) -> Iterator[Desk]:
    """A desk in these surroundings, on a copy of this database."""
    settings = surroundings.settings(**more)
    if not (settings.data_dir / "tasks.db").exists():
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(database, settings.data_dir / "tasks.db")

    def opener() -> AbstractContextManager[Application]:
        return open_application(settings, clock=clock, is_daemon=is_daemon)

    with opener() as app:
        environ = surroundings.environ | more
        yield Desk(surroundings.root, environ, app, surroundings.source, surroundings.robot, clock, opener)


@contextmanager
def lasting_desk(root: Path, empty_database: Path, **more: str) -> Iterator[Desk]:
    """A desk that outlives a test, for what is made once: a database to copy, or a program that is only looked at."""
    with pytest.MonkeyPatch.context() as patch:
        go_straight(patch)
        with surroundings_in(root) as around, desk_in(around, SetClock(), empty_database, **more) as opened:
            yield opened


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


def be_in(environ: Mapping[str, str], patch: pytest.MonkeyPatch) -> None:
    """Let this process have the environment of an installation, and nothing of another one."""
    for name in ENVIRONMENT_VARIABLES:
        patch.delenv(name, raising=False)
    for name, value in environ.items():
        patch.setenv(name, value)


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


def run_two_months(desk: Desk) -> None:
    """April and May of Beijing, whole, with the messages still to be sent."""
    desk.run_sample("BJ-2025-04", "2025-04-30T23:59")
    desk.run_sample(BEIJING, "2025-05-31T23:59")


@pytest.fixture
def month(open_doors: Callable[[Path], AbstractContextManager[Desk]], month_database: Path) -> Iterator[Desk]:
    """A desk with these months."""
    with open_doors(month_database) as opened:
        yield opened
