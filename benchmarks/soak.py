"""The daemon at work for a long time, in a process of its own, against the sandbox: does it grow, and what does it cost
when it has nothing to do?

Its clock leaps from one pull to the next, so that a day of shipped intervals goes by in about ten minutes, daily jobs
and alerts included, while contracts go on appearing. In the end the clock runs as usual, and the daemon idles.
"""

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.seeded_contracts import COLUMNS, ENTRY, frame, source_rows
from launcher import child_environment
from modules.clock import SHANGHAI, shanghai_now
from modules.sandbox import sample_alerts
from modules.sandbox.metabase import API_KEY, MetabaseStandIn
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_violations import SLA_CARD, VIOLATION_COLUMNS, sample_violations
from modules.settings import ROOT

KEY, CARD = "BJ-2025-05", 1693
ONE_DAY = timedelta(days=1)
START = datetime(2025, 5, 10, tzinfo=SHANGHAI)
CONTRACTS = 2_000
LEAP = timedelta(minutes=3)
"""The interval of pulls as shipped."""
LEAPS_A_CONTRACT = 4
LOOK_SECONDS = 10.0
WARM_UP_SHARE = 0.25
IDLE_SECONDS = 60.0
PATIENCE_SECONDS = 120.0

GROWN_MEGABYTES, GROWN_COUNT = 5.0, 2
"""From the first third of the figures after warm-up to the last one, by their medians: more is growth."""
IDLE_PER_CENT, IDLE_MEGABYTES = 1.0, 200.0

ROWS_SHOWN = 12
RECIPIENTS = ("bj_group", "sh_group", "ops", "bj_contact", "sh_contact")
SETTINGS = """
wecom: {messages_per_minute: 0}
recipients:
"""

Row = dict[str, object]


@dataclass(frozen=True)
class Figures:
    """Of the daemon's process at one moment; `cycles` are the pulls that succeeded so far.

    `private_mb` is the memory that would be free again without this process: what the Task Manager shows. `resident_mb`
    counts the libraries too that it has mapped from files.
    """

    seconds: int
    cycles: int
    private_mb: float
    resident_mb: float
    threads: int
    handles: int


class Soak:
    """A daemon and what it talks to. `leap` moves its clock to the next pull and waits until that is done."""

    def __init__(self, folder: Path, metabase: MetabaseStandIn, robot: RobotStandIn) -> None:
        self._folder = folder
        self._moment = START
        self._leaps = 0
        rows = source_rows(_contracts())
        metabase.set_card(CARD, COLUMNS, lambda: rows[: CONTRACTS + self._leaps // LEAPS_A_CONTRACT])
        metabase.set_card(SLA_CARD, VIOLATION_COLUMNS, lambda: sample_violations(self._moment.date() - ONE_DAY))
        for card, columns, rows_at in sample_alerts.CARDS:
            metabase.set_card(card, columns, partial(self._as_of_now, rows_at))
        environ = _installation(folder, metabase, robot)
        self._set_clock()
        command = [sys.executable, "-m", "benchmarks.soak_daemon", str(folder / "lead")]
        self._daemon = psutil.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
        self._started = time.monotonic()

    def leap(self) -> None:
        """Three minutes go by at once."""
        before = self.cycles()
        self._moment += LEAP
        self._leaps += 1
        self._set_clock()
        self.wait(lambda: self.cycles() > before)

    def wait(self, is_done: Callable[[], bool]) -> None:
        """Raises RuntimeError where it takes too long, or the daemon has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_done():
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the daemon does not go on; see {self._folder}/data/logs/app.log")
            time.sleep(0.05)

    def cycles(self) -> int:
        """How many pulls have succeeded."""
        return self._count("SELECT count(*) FROM job_runs WHERE job = ? AND outcome = 'ok'", KEY)

    def unsent(self) -> int:
        """How many messages are still to be sent."""
        return self._count("SELECT count(*) FROM tasks WHERE status IN ('pending', 'running')")

    def figures(self) -> Figures:
        """What the daemon's process takes now."""
        handles = self._daemon.num_handles() if os.name == "nt" else self._daemon.num_fds()
        memory = self._daemon.memory_full_info()
        private, resident = (round(number / 1024 / 1024, 1) for number in (memory.uss, memory.rss))
        seconds = round(time.monotonic() - self._started)
        return Figures(seconds, self.cycles(), private, resident, self._daemon.num_threads(), handles)

    def idle_per_cent(self) -> float:
        """Of a core, while its clock runs as usual."""
        before, started = sum(self._daemon.cpu_times()[:2]), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return 100 * (sum(self._daemon.cpu_times()[:2]) - before) / (time.monotonic() - started)

    def end(self) -> None:
        """As a user ends it."""
        self._daemon.terminate()
        self._daemon.wait(PATIENCE_SECONDS)

    def _as_of_now(self, rows_at: Callable[[datetime], sample_alerts.Rows]) -> sample_alerts.Rows:
        return rows_at(self._moment)

    def _set_clock(self) -> None:
        lead = self._folder / "lead"
        new = lead.with_suffix(".new")
        new.write_text(str((self._moment - shanghai_now()).total_seconds()), encoding="utf-8")
        new.replace(lead)

    def _count(self, question: str, *values: str) -> int:
        database = self._folder / "data" / "tasks.db"
        if not database.exists():
            return 0
        with closing(sqlite3.connect(database, timeout=PATIENCE_SECONDS)) as connection:
            try:
                [count] = connection.execute(question, values).fetchone()
            except sqlite3.OperationalError:  # the tables are not made yet
                return 0
        return int(count)


def measure_all(minutes: float, cycles: int | None) -> Iterator[tuple[str, list[Row]]]:
    """So many minutes, or so many pulls where they are named: the figures on the way, then the verdict."""
    with tempfile.TemporaryDirectory() as name, _soak(Path(name)) as soak:
        soak.wait(lambda: soak.cycles() > 0 and soak.unsent() == 0)
        started, looked, figures = time.monotonic(), 0.0, [soak.figures()]
        while time.monotonic() - started < minutes * 60 if cycles is None else soak.cycles() < cycles:
            soak.leap()
            if time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                figures.append(soak.figures())
        soak.wait(lambda: soak.unsent() == 0)
        idle, at_rest = soak.idle_per_cent(), soak.figures()
    shown = figures[:: max(len(figures) // ROWS_SHOWN, 1)]
    yield f"the daemon's process, {CONTRACTS:,} contracts and more", [asdict(one) for one in [*shown, at_rest]]
    yield "verdict", verdict(figures, idle, at_rest)


def verdict(figures: Sequence[Figures], idle_per_cent: float, at_rest: Figures) -> list[Row]:
    """Each thing that was to be shown, with its figure and its limit."""
    warm = figures[int(len(figures) * WARM_UP_SHARE) :]
    third = max(len(warm) // 3, 1)
    limits = {"private_mb": GROWN_MEGABYTES, "threads": GROWN_COUNT, "handles": GROWN_COUNT}
    grown = {
        name: statistics.median(getattr(one, name) for one in warm[-third:])
        - statistics.median(getattr(one, name) for one in warm[:third])
        for name in limits
    }
    rows = [_judged(f"growth of {name}", grown[name], limit) for name, limit in limits.items()]
    rows.append(_judged("per cent of a core while idle", idle_per_cent, IDLE_PER_CENT))
    rows.append(_judged("resident_mb while idle", at_rest.resident_mb, IDLE_MEGABYTES))
    return rows


def _judged(what: str, value: float, limit: float) -> Row:
    return {"what": what, "value": round(value, 2), "below": limit, "holds": "yes" if value < limit else "NO"}


@contextmanager
def _soak(folder: Path) -> Iterator[Soak]:
    keys = [f"soak-{name}" for name in RECIPIENTS]
    with MetabaseStandIn() as metabase, RobotStandIn(keys, rate_limit=False) as robot:
        soak = Soak(folder, metabase, robot)
        try:
            yield soak
        finally:
            soak.end()


def _contracts() -> pd.DataFrame:
    """Those that are there from the beginning, and one more every few leaps."""
    contracts = frame(2 * CONTRACTS)
    later = [START + number * LEAPS_A_CONTRACT * LEAP for number in range(1, CONTRACTS + 1)]
    earlier = [START - timedelta(minutes=number) for number in range(CONTRACTS, 0, -1)]
    moments = pd.Series([moment.replace(tzinfo=None) for moment in (*earlier, *later)])
    return contracts.assign(signed_at=moments, historical=False)


def _installation(folder: Path, metabase: MetabaseStandIn, robot: RobotStandIn) -> dict[str, str]:
    """Settings and campaigns, all else as shipped; returns the environment of the daemon."""
    recipients = [f"  {to}: {{name: {to}, sender: wecom_robot, key: soak-{to}}}\n" for to in RECIPIENTS]
    (folder / "settings.yaml").write_text(SETTINGS + "".join(recipients), encoding="utf-8")
    (folder / "campaigns.py").write_text(f"REWARD_CONFIGS = {{{KEY!r}: {ENTRY!r}}}\n", encoding="utf-8")
    return child_environment() | {
        "SETTINGS_FILE": str(folder / "settings.yaml"),
        "CAMPAIGNS_FILE": str(folder / "campaigns.py"),
        "DATA_DIR": str(folder / "data"),
        "METABASE_URL": metabase.url,
        "METABASE_API_KEY": API_KEY,
        "WECOM_BASE_URL": robot.url,
        "NO_PROXY": "127.0.0.1",
    }
