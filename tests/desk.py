"""A desk: the program on a fresh machine of its own, with stand-ins for Metabase and WeCom beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

import jobs
import task_scheduler
from modules.application import Application, open_application
from modules.campaign_run import JobReport, RunOptions, find_campaign, run_campaign
from modules.clock import SHANGHAI, parse_moment
from modules.sandbox.metabase import API_KEY, MetabaseStandIn
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_contracts import COLUMNS, SampleMonth
from modules.settings import ENVIRONMENT_VARIABLES, ROOT, Settings, load_settings
from modules.tables import job_runs, metadata
from tests.program import ALL_OFF

BEIJING, SHANGHAI_MAY = "BJ-2025-05", "SH-2025-05"
CARDS = {BEIJING: 1693, SHANGHAI_MAY: 1694, "BJ-2025-04": 1616, "SH-2025-04": 1617}
NOON = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)
FIRST_ID = 1_920_000_000_000_000_000
RECIPIENTS = ("bj_group", "sh_group", "ops", "bj_contact", "sh_contact")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

Row = list[object]


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


def go_straight(patch: pytest.MonkeyPatch) -> None:
    """Without any proxy."""
    for name in PROXY_VARIABLES:
        patch.delenv(name, raising=False)


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


def be_in(environ: Mapping[str, str], patch: pytest.MonkeyPatch) -> None:
    """Let this process have the environment of an installation, and nothing of another one."""
    for name in ENVIRONMENT_VARIABLES:
        patch.delenv(name, raising=False)
    for name, value in environ.items():
        patch.setenv(name, value)


def run_two_months(desk: Desk) -> None:
    """April and May of Beijing, whole, with the messages still to be sent."""
    desk.run_sample("BJ-2025-04", "2025-04-30T23:59")
    desk.run_sample(BEIJING, "2025-05-31T23:59")
