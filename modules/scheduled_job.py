"""What a job is: a key, a title, when it runs, how long it may take, and what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from modules.application import Application
from modules.due_slots import Daily, Timing
from modules.job_runs import Writing

RunJob = Callable[[Application, datetime, Writing], Mapping[str, int]]
"""Runs for a slot, writes to the database through `Writing` alone, returns what it counted, and raises its failures."""


@dataclass(frozen=True)
class Job:
    """Something that the daemon does by itself. `title` is for people; one that is not `enabled` runs by hand only."""

    key: str
    title: str
    timing: Timing
    limit: timedelta
    run: RunJob
    enabled: bool = True

    @property
    def timing_words(self) -> str:
        """`每天 11:00`, `每 10 分钟`."""
        if isinstance(self.timing, Daily):
            return f"每天 {'、'.join(f'{at:%H:%M}' for at in self.timing.at)}"
        return f"每 {self.timing.interval.total_seconds() / 60:g} 分钟"
