"""A whole run over loopback HTTP against the floor: what reading, storing and writing the same rows must cost."""

import csv
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import pandas as pd

import jobs
from benchmarks.metabase_bytes import bodies, serving
from benchmarks.rewards import peak_megabytes
from benchmarks.seeded_contracts import COLUMNS, ENTRY, frame, source_rows
from modules.application import Application, open_application
from modules.clock import SHANGHAI
from modules.settings import load_settings

CONTRACTS = 100_000
AS_OF = datetime(2025, 6, 1, 12, 0, tzinfo=SHANGHAI)
KEY = "BJ-2025-05"

Row = dict[str, object]


def measure_all() -> Iterator[tuple[str, list[Row]]]:
    """The tables, with their titles."""
    rows = source_rows(frame(CONTRACTS))
    answers = bodies(COLUMNS, rows)
    with tempfile.TemporaryDirectory() as folder, serving(answers) as url:
        floors = _floors(answers["json"], Path(folder))
        yield f"floor, {CONTRACTS:,} contracts", [{name: round(seconds, 2) for name, seconds in floors.items()}]
        full = floors["json_parse"] + floors["sqlite_insert"] + floors["csv_write"]
        idle = floors["json_parse"] + floors["frame"]
        measured = []
        for title, silent in (("all new, without messages", True), ("all new, with their messages", False)):
            with _installation(Path(folder) / title, url) as app:
                measured.append(_against(title, _run(app, silent=silent), full))
                measured.append(_against("none new", _run(app, silent=silent), idle))
        yield "a whole run: fetch, compute, commit, CSV", measured


def _against(title: str, seconds: float, floor: float) -> Row:
    return {
        "run": title,
        "seconds": round(seconds, 2),
        "floor_seconds": round(floor, 2),
        "times_floor": round(seconds / floor, 1),
        "peak_mb": peak_megabytes(),
    }


def _run(app: Application, *, silent: bool) -> float:
    options = jobs.RunOptions(force=True, silent=silent)
    campaign = jobs.find_campaign(app, KEY, AS_OF, options)
    return _seconds(lambda: _succeeded(jobs.run_campaign(app, campaign, AS_OF, options)))


def _succeeded(report: jobs.JobReport) -> None:
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


def _floors(export: bytes, folder: Path) -> dict[str, float]:
    """Seconds of the bare work: the bytes parsed, the rows inserted, the file written, a frame built."""
    records: list[Row] = []
    parse = _seconds(lambda: records.extend(json.loads(export)))
    rows = [tuple(str(value) for value in record.values()) for record in records]
    return {
        "json_parse": parse,
        "frame": _seconds(lambda: pd.DataFrame(records)),
        "sqlite_insert": _seconds(lambda: _insert(folder / "floor.db", rows)),
        "csv_write": _seconds(lambda: _write(folder / "floor.csv", rows)),
    }


def _insert(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE rows ({', '.join(COLUMNS)})")
    connection.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * len(COLUMNS))})", rows)  # noqa: S608
    connection.commit()
    connection.close()


def _write(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
