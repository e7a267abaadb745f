"""A whole run over loopback HTTP against the floor: what parsing, storing and writing the same rows
without any thought must cost."""

import csv
import json
import sqlite3
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.metabase_bytes import bodies, serving
from benchmarks.rewards import peak_megabytes
from benchmarks.seeded_contracts import COLUMNS, ENTRY, frame, source_rows
from benchmarks.timing import seconds
from modules.application import Application, open_application
from modules.campaign_run import JobReport, RunOptions, find_campaign, run_campaign
from modules.clock import SHANGHAI
from modules.settings import load_settings

CONTRACTS = 100_000
REPEATS = 5
AS_OF = datetime(2025, 6, 1, 12, 0, tzinfo=SHANGHAI)
KEY = "BJ-2025-05"
STORED = ("performance", "awards", "tasks")
SCHEMA = f"SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name IN {STORED}"  # noqa: S608
PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")

Row = dict[str, object]


def measure_all() -> Iterator[tuple[str, list[Row]]]:
    """The table, with its title."""
    rows = source_rows(frame(CONTRACTS))
    answers = bodies(COLUMNS, rows)
    with tempfile.TemporaryDirectory() as name, serving(answers) as url:
        measured = []
        for title, silent in (("all new, without messages", True), ("all new, with their messages", False)):
            folder = Path(name) / title
            with _installation(folder, url) as app:
                taken = _run(app, silent=silent)
                floor = _parse(answers["json"]) + _store_again(folder) + _write_again(folder)
                measured.append(_against(title, taken, floor))
                floor = _parse(answers["json"]) + _frame(answers["json"])
                again = statistics.median(_run(app, silent=silent) for _ in range(REPEATS))
                measured.append(_against(f"none new, median of {REPEATS}", again, floor))
        yield f"a whole run of {CONTRACTS:,} contracts: fetch, compute, commit, CSV", measured


def _against(title: str, taken: float, floor: float) -> Row:
    return {
        "run": title,
        "seconds": round(taken, 2),
        "floor_seconds": round(floor, 2),
        "times_floor": round(taken / floor, 1),
        "peak_mb": peak_megabytes(),
    }


def _run(app: Application, *, silent: bool) -> float:
    options = RunOptions(force=True, silent=silent)
    campaign = find_campaign(app, KEY, AS_OF, options)
    return seconds(lambda: _succeeded(run_campaign(app, campaign, AS_OF, options)))


def _succeeded(report: JobReport) -> None:
    if report.outcome != "ok":
        raise RuntimeError(report.error)


def _installation(folder: Path, url: str) -> AbstractContextManager[Application]:
    """An installation of its own, with one campaign."""
    folder.mkdir()
    campaigns = folder / "campaigns.py"
    campaigns.write_text(f"REWARD_CONFIGS = {{{KEY!r}: {ENTRY!r}}}\n", encoding="utf-8")
    environ = {
        "METABASE_URL": url,
        "METABASE_API_KEY": "mb_bench",
        "DATA_DIR": str(folder / "data"),
        "CAMPAIGNS_FILE": str(campaigns),
    }
    return open_application(load_settings(environ=environ, root=folder))


def _parse(export: bytes) -> float:
    return seconds(lambda: json.loads(export))


def _frame(export: bytes) -> float:
    records = json.loads(export)
    return seconds(lambda: pd.DataFrame(records))


def _store_again(folder: Path) -> float:
    """Seconds to insert the rows that the run has stored into the same tables of another database, bare of all else."""
    stored = sqlite3.connect(folder / "data" / "tasks.db")
    schema = [sql for (sql,) in stored.execute(SCHEMA)]
    rows = {table: stored.execute(f"SELECT * FROM {table}").fetchall() for table in STORED}  # noqa: S608
    stored.close()
    bare = sqlite3.connect(folder / "bare.db")
    for sql in (*PRAGMAS, *schema):
        bare.execute(sql)

    def insert() -> None:
        for table, its_rows in rows.items():
            if its_rows:
                marks = ", ".join("?" * len(its_rows[0]))
                bare.executemany(f"INSERT INTO {table} VALUES ({marks})", its_rows)  # noqa: S608
        bare.commit()

    taken = seconds(insert)
    bare.close()
    return taken


def _write_again(folder: Path) -> float:
    """Seconds to write the rows of the files that the run has written, with csv.writer alone."""
    taken = 0.0
    for path in sorted((folder / "data").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
        taken += seconds(partial(_write, folder / path.name, rows))
    return taken


def _write(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
