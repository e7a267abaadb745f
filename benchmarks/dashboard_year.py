"""A year of four cities as a daemon would have left it: what the dashboard is measured on.

Every month each city has a campaign, and every day its violations; the queue holds what was sent, and some that was
not; the runs are those of the last months, which is how long they are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from benchmarks.seeded_contracts import ENTRY, frame
from modules import ledger, sla_store
from modules.campaigns import Campaigns, load_campaigns
from modules.clock import SHANGHAI
from modules.database import Database, insert_columns
from modules.figures.days import days_between
from modules.outbox import Message, enqueue
from modules.rewards.campaign import Campaign
from modules.rewards.engine import calculate
from modules.rewards.frame import EMPTY_LEDGER
from modules.sandbox.sample_violations import VIOLATION_COLUMNS, sample_violations
from modules.sla_messages import week_key
from modules.sla_rows import parse_violations
from modules.source_changes import SourceChanges
from modules.tables import job_runs, tasks
from modules.task_states import COMPLETED, FAILED, PENDING, UNCERTAIN

CITIES = ("BJ", "SH", "GZ", "SZ")
MONTHS = tuple(f"2025-{number:02d}" for number in range(1, 13))
KEY = "BJ-2025-12"
FIRST_DAY, LAST_DAY = date(2025, 1, 1), date(2025, 12, 31)
MONDAY = date(2025, 12, 22)
MAY = np.datetime64("2025-05-01", "us")

RUNS_KEPT, RUN_EVERY = timedelta(days=90), timedelta(minutes=3)
DAILY_JOBS = ("generate_daily_service_report", "housekeeping")
ONE_OF_SO_MANY_FAILS, FAILURE = 500, "连不上 Metabase（ConnectTimeout），下次再试"
TEXT = "恭喜 管家 签约合同 YHWX-{number:06d}，本单为活动期内第 {number} 单，个人累计第 6 单，累计签约 54,321 元。" * 2
REPORT = "上周的服务违规：\n" + "12-23 GD20251223001 超时未联系客户（管家 沈砚秋），客户要求改期\n" * 6


@dataclass(frozen=True)
class Size:
    """How many contracts each campaign has, and how many messages were sent."""

    title: str
    contracts: int
    messages: int


SIZES = (
    Size("2,000 contracts a campaign", 2_000, 10_000),
    Size("a million rows", 1_000_000 // (len(CITIES) * len(MONTHS)), 100_000),
)


@dataclass(frozen=True)
class Year:
    """An installation that has had its year."""

    folder: Path
    campaigns: Campaigns

    @property
    def environment(self) -> dict[str, str]:
        """What leads a program to it."""
        return {
            "DATA_DIR": str(self.folder),
            "DATABASE_URL": f"sqlite:///{self.folder / 'tasks.db'}",
            "CAMPAIGNS_FILE": str(self.folder / "campaigns.py"),
        }

    def open(self) -> Database:
        """Its database."""
        return Database(self.environment["DATABASE_URL"])


def make_year(folder: Path, size: Size, now: datetime) -> Year:
    """The runs end `now`."""
    folder.mkdir()
    year = Year(folder, _configure(folder))
    database = year.open()
    database.upgrade()
    base = frame(size.contracts).assign(source="{}")
    for campaign in year.campaigns.valid.values():
        _fill_ledger(database, campaign, base)
    with database.writing() as connection:
        _fill_violations(connection)
        _fill_queue(connection, size.messages)
        _fill_runs(connection, now)
    database.close()
    return year


def _configure(folder: Path) -> Campaigns:
    """Four cities, each with a campaign every month."""
    row = {"group": "bj_group", "contact": "bj_contact", "template": "broadcast_beijing"}
    cities = {code: {"name": code, **row} for code in CITIES}
    entries = {f"{city}-{month}": ENTRY for city in CITIES for month in MONTHS}
    file = folder / "campaigns.py"
    file.write_text(f"CITIES = {cities!r}\nREWARD_CONFIGS = {entries!r}\n", encoding="utf-8")
    return load_campaigns(file, LAST_DAY)


def _fill_ledger(database: Database, campaign: Campaign, base: pd.DataFrame) -> None:
    """As a run would write it."""
    outcome = calculate(campaign, EMPTY_LEDGER, (), _moved(base, campaign))
    commit = ledger.Commit(campaign, 0, outcome, [None] * len(outcome.rows), SourceChanges({}), (), len(base))
    with database.writing() as connection:
        ledger.commit(connection, commit, datetime.combine(campaign.end, time.max, SHANGHAI))


def _moved(base: pd.DataFrame, campaign: Campaign) -> pd.DataFrame:
    """The same contracts in the campaign's month."""
    days = (campaign.end - campaign.start).days + 1
    within = (base["signed_at"].to_numpy() - MAY) % np.timedelta64(days, "D").astype("timedelta64[us]")
    return base.assign(signed_at=np.datetime64(campaign.start, "us") + within)


def _fill_violations(connection: Connection) -> None:
    """Every day but the 13th of each month; each week its providers have been told."""
    for day in days_between(FIRST_DAY, LAST_DAY):
        reported_at = datetime.combine(day + timedelta(days=1), time(11), SHANGHAI)
        if day.day != 13:
            pull = parse_violations(VIOLATION_COLUMNS, sample_violations(day))
            sla_store.store_day(connection, day, pull.violations, len(pull.violations), reported_at)
        if day.weekday() == 6 and day - timedelta(days=6) >= FIRST_DAY:
            week = sla_store.read_period(connection, day - timedelta(days=6), day)
            enqueue(connection, [_report(week.first, provider) for provider in week.providers], reported_at)
            sla_store.finish_week(connection, week.first, len(week.days_with_data), reported_at)
    sla_store.mark_missed_days(connection)
    connection.execute(sa.update(tasks).values(status=COMPLETED))


def _report(monday: date, provider: str) -> Message:
    return Message(week_key(monday, provider), "send_wecom_message", "bj_group", REPORT, 2048, "hold", 8)


def _fill_queue(connection: Connection, messages: int) -> None:
    """All are sent but the last: of these some wait, and some need a person."""
    states = [COMPLETED] * (messages - 300) + [PENDING] * 200 + [FAILED] * 60 + [UNCERTAIN] * 40
    begin, step = datetime.combine(FIRST_DAY, time(), SHANGHAI), timedelta(days=365) / messages
    moments = [begin + step * number for number in range(messages)]
    columns: dict[str, Sequence[Any]] = {
        "task_type": ["send_wecom_message"] * messages,
        "recipient": [("bj_group", "sh_group", "bj_contact", "sh_contact")[number % 4] for number in range(messages)],
        "message": [TEXT.format(number=number) for number in range(messages)],
        "status": states,
        "created_at": moments,
        "updated_at": moments,
        "dedup_key": [f"broadcast:{KEY}:{number}" for number in range(messages)],
        "group_key": [f"broadcast:{KEY}:{number}" for number in range(messages)],
        "last_error": [None if state in (COMPLETED, PENDING) else "机器人密钥不对或已被移除" for state in states],
    }
    insert_columns(connection, tasks, columns)


def _fill_runs(connection: Connection, now: datetime) -> None:
    """Of four campaigns every few minutes, of the daily jobs every day; few failed."""
    runs = list(_runs(now))
    errors = [FAILURE if number % ONE_OF_SO_MANY_FAILS == 0 else None for number in range(len(runs))]
    columns: dict[str, Sequence[Any]] = {
        "job": [job for job, _ in runs],
        "slot": [moment for _, moment in runs],
        "started_at": [moment for _, moment in runs],
        "ended_at": [moment + timedelta(seconds=2) for _, moment in runs],
        "outcome": ["failed" if error else "ok" for error in errors],
        "counts": ["{}"] * len(runs),
        "error": errors,
        "scheduled": [True] * len(runs),
        "failures": [int(error is not None) for error in errors],
    }
    insert_columns(connection, job_runs, columns)


def _runs(now: datetime) -> Iterator[tuple[str, datetime]]:
    keys = [f"{city}-{MONTHS[-1]}" for city in CITIES]
    for back in range(RUNS_KEPT // RUN_EVERY, 0, -1):
        for key in keys:
            yield key, now - back * RUN_EVERY
    for back in range(RUNS_KEPT.days, 0, -1):
        for job in DAILY_JOBS:
            yield job, now - timedelta(days=back)
