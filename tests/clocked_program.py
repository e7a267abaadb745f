"""The program by a clock that a test sets: a file with the moment. Each of these is called in a process of its own."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import jobs
import main
from modules import health
from modules.application import open_application
from modules.clock import Clock


def clock_of(file: str) -> Clock:
    """Answers with what the file says, which may change at any time."""
    return lambda: datetime.fromisoformat(Path(file).read_text(encoding="utf-8"))


def set_clock(file: Path, moment: datetime) -> None:
    """Let it say another moment; whoever reads it meanwhile finds the old one or the new one."""
    new = file.with_suffix(".new")
    new.write_text(moment.isoformat(), encoding="utf-8")
    new.replace(file)


def daemon(clock_file: str) -> None:
    """The daemon, on a machine in the zone that TZ names."""
    if hasattr(time, "tzset"):
        time.tzset()
    main.run_daemon(clock=clock_of(clock_file))


def status(clock_file: str) -> None:
    """`status --json`, with its exit code."""
    clock = clock_of(clock_file)
    with open_application(clock=clock, tolerant=True) as app:
        found = health.status(app, clock(), jobs.fixed_jobs(app))
    print(json.dumps(found))
    raise SystemExit(found["exit_code"])
