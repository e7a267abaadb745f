"""The demo: two months of two cities against the stand-ins, in pulls that grow, and the violations of May, into a data
folder of its own."""

import calendar
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Connection

from modules import service_provider_sla_monitor as monitor
from modules.application import Application, open_application
from modules.clock import SHANGHAI
from modules.rewards.campaign import Campaign
from modules.rewards.money import plain_yuan
from modules.sandbox import metabase
from modules.sandbox.metabase import MetabaseStandIn
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_contracts import SampleMonth
from modules.sandbox.sample_violations import SLA_CARD, VIOLATION_COLUMNS, sample_violations
from modules.settings import ROOT, Settings, load_settings
from modules.tables import awards, performance, rejected_rows
from modules.views import performance_file

DEMO_SEED = 2025
PULL_DAYS = (6, 12, 18, 24, 31)
VIOLATION_DAYS = [date(2025, 5, day) for day in range(1, 31) if day != 15]
"""One day is missed, so that it is seen how a day without data looks."""
CARDS = {"BJ-2025-04": 1616, "BJ-2025-05": 1693, "SH-2025-04": 1617, "SH-2025-05": 1694}

RunCampaign = Callable[[Application, Campaign, datetime], object]
Drain = Callable[[Application], object]
OnStep = Callable[[str, int, int], None]
"""Told what goes on, how many steps are done, and of how many."""


@dataclass(frozen=True)
class CampaignResult:
    """One campaign after the demo; `payout` in fen."""

    key: str
    contracts: int
    rejected: int
    awards: int
    payout: int
    csv: Path


@dataclass(frozen=True)
class DemoResult:
    """What the demo did. `delivered` counts what the stand-in robot received."""

    campaigns: tuple[CampaignResult, ...]
    delivered: int
    queue: dict[str, int]
    data_dir: Path
    seconds: float

    def summary(self) -> dict[str, object]:
        """As one flat JSON object; payouts in yuan."""
        rows = [asdict(row) | {"payout": plain_yuan(row.payout)} for row in self.campaigns]
        return asdict(self) | {"campaigns": rows}


def run_demo(run_campaign: RunCampaign, drain: Drain, on_step: OnStep) -> DemoResult:
    """Run all four shipped campaigns and the reports on violations, and drain the queue."""
    started = time.monotonic()
    os.environ["NO_PROXY"] = "127.0.0.1"  # the stand-ins are on this machine, whatever proxy it uses
    data_dir = ROOT / "data" / "demo"
    shutil.rmtree(data_dir, ignore_errors=True)
    with _stand_ins(data_dir) as (source, robot), open_application(_settings(source, robot, data_dir)) as app:
        moments = [(key, moment) for key in CARDS for moment in _moments(key)]
        for done, (key, moment) in enumerate(sorted(moments, key=lambda pull: pull[1])):
            on_step(f"{key} {moment:%m-%d}", done, len(moments))
            _show_contracts(source, key, moment)
            run_campaign(app, app.campaigns.valid[key], moment)
            drain(app)
        on_step("服务违规", len(moments), len(moments))
        for day in VIOLATION_DAYS:
            _report_violations(app, source, day)
        drain(app)
        return DemoResult(
            campaigns=tuple(_result(app, key) for key in CARDS),
            delivered=len(robot.messages),
            queue=app.board.counts(),
            data_dir=data_dir,
            seconds=round(time.monotonic() - started, 2),
        )


@contextmanager
def _stand_ins(data_dir: Path) -> Iterator[tuple[MetabaseStandIn, RobotStandIn]]:
    keys = [_robot_key(name) for name in load_settings(environ={}, root=data_dir).recipients]
    with MetabaseStandIn() as source, RobotStandIn(keys, rate_limit=False) as robot:
        yield source, robot


def _settings(source: MetabaseStandIn, robot: RobotStandIn, data_dir: Path) -> Settings:
    """The shipped settings, with everything that leads outside bent to the stand-ins."""
    environ = {
        "METABASE_URL": source.url,
        "METABASE_USERNAME": metabase.USERNAME,
        "METABASE_PASSWORD": metabase.PASSWORD,
        "WECOM_BASE_URL": robot.url,
        "DATA_DIR": str(data_dir),
        "CAMPAIGNS_FILE": str(ROOT / "modules" / "config.py"),
    }
    shipped = load_settings(environ=environ, root=data_dir)
    recipients = {
        name: recipient.model_copy(update={"sender": "wecom_robot", "key": _secret(name)})
        for name, recipient in shipped.recipients.items()
    }
    unlimited = shipped.wecom.model_copy(update={"messages_per_minute": 0})
    return shipped.model_copy(update={"recipients": recipients, "wecom": unlimited})


def _robot_key(recipient: str) -> str:
    return f"demo-{recipient}"


def _secret(recipient: str) -> SecretStr:
    return SecretStr(_robot_key(recipient))


def _moments(key: str) -> list[datetime]:
    """When the demo pulls a campaign: the last time late on the last day of its month."""
    year, month = (int(part) for part in key.split("-")[1:])
    last_day = calendar.monthrange(year, month)[1]
    return [datetime(year, month, min(day, last_day), 23, 59, tzinfo=SHANGHAI) for day in PULL_DAYS]


def _show_contracts(source: MetabaseStandIn, key: str, moment: datetime) -> None:
    """The card shows what the city has signed by then, two unusable rows among it."""
    city, year, month = key.split("-")
    sample = SampleMonth(city, int(year), int(month), DEMO_SEED, faulty=True)
    source.set_card(CARDS[key], sample.columns, sample.pull(moment))


def _report_violations(app: Application, source: MetabaseStandIn, day: date) -> None:
    """The daily report, on the morning after the day."""
    source.set_card(SLA_CARD, VIOLATION_COLUMNS, sample_violations(day, DEMO_SEED))
    slot = datetime(day.year, day.month, day.day, 11, tzinfo=SHANGHAI) + timedelta(days=1)
    monitor.run(replace(app, clock=lambda: slot), slot, app.database.writing)


def _result(app: Application, key: str) -> CampaignResult:
    def total(connection: Connection, value: sa.ColumnElement[int], table: sa.Table) -> int:
        return connection.execute(sa.select(value).select_from(table).where(table.c.campaign == key)).scalar() or 0

    with app.database.reading() as connection:
        return CampaignResult(
            key=key,
            contracts=total(connection, sa.func.count(), performance),
            rejected=total(connection, sa.func.count(), rejected_rows),
            awards=total(connection, sa.func.count(), awards),
            payout=int(total(connection, sa.func.sum(awards.c.amount), awards)),
            csv=performance_file(app.settings.data_dir, key),
        )
