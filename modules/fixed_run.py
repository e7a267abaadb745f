"""A fixed job that a person runs: now, and noted as no slot, so that the daemon's own run comes all the same."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from modules import job_runs
from modules.campaign_run import RunOptions
from modules.errors import JobRefusedError
from modules.job_outcome import outcome_of
from modules.log_context import logged_as
from modules.scheduled_job import Job

if TYPE_CHECKING:
    from modules.application import Application


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


def run_fixed_job(app: "Application", job: Job, as_of: datetime, options: RunOptions) -> FixedJobReport:
    """Run it with this moment as its slot. Raises JobRefusedError where options don't fit."""
    if options != RunOptions():
        raise JobRefusedError(
            f"{job.key} 不是活动，只能加 --at；--dry-run、--force、--accept-shrink、--silent 用于活动"
        )
    started = time.monotonic()
    run_id = job_runs.note_start(app.database, job.key, as_of, app.clock())
    with logged_as(f"{job.key}#{run_id}"):
        try:
            ended = outcome_of(job.key, lambda: job.run(app, as_of, app.database.writing))
        except BaseException:
            job_runs.note_end(app.database, run_id, job_runs.interrupted(), app.clock())
            raise
    job_runs.note_end(app.database, run_id, ended, app.clock())
    return FixedJobReport(job.key, ended.outcome, ended.counts, round(time.monotonic() - started, 3), ended.error)
