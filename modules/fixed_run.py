"""A fixed job that a person runs, and what is said of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from modules.application import Application
from modules.campaign_run import RunOptions
from modules.errors import JobRefusedError
from modules.noted_run import run_noted
from modules.scheduled_job import Job


@dataclass(frozen=True)
class FixedJobReport:
    """What became of it: the JSON line of `main.py run`."""

    job: str
    outcome: str
    counts: Mapping[str, int]
    seconds: float
    error: str | None

    def summary(self) -> dict[str, object]:
        """The report as one flat JSON object."""
        return {"job": self.job, "outcome": self.outcome, **self.counts, "seconds": self.seconds, "error": self.error}


def run_fixed_job(app: Application, job: Job, as_of: datetime, options: RunOptions) -> FixedJobReport:
    """Run it with this moment as its slot. Raises JobRefusedError where options don't fit."""
    if options != RunOptions():
        raise JobRefusedError(
            f"{job.key} 不是活动，只能加 --at；--dry-run、--force、--accept-shrink、--silent 用于活动"
        )
    started = time.monotonic()
    ended = run_noted(app, job.key, as_of, lambda: job.run(app, as_of, app.database.writing))
    return FixedJobReport(job.key, ended.outcome, ended.counts, round(time.monotonic() - started, 3), ended.error)
