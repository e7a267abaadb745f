"""A run that a person asked for: noted, but as no slot, so that the daemon's own run comes all the same."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

import sqlalchemy as sa

from modules import job_runs
from modules.application import Application
from modules.job_outcome import outcome_of
from modules.job_runs import Ended
from modules.log_context import logged_as

log = logging.getLogger(__name__)


def run_noted(app: Application, job: str, as_of: datetime, run: Callable[[], Mapping[str, int]]) -> Ended:
    """Run with this moment as the slot, and tell how it ended. What can't be noted is logged, and no reason to fail."""
    run_id = _start(app, job, as_of)
    with logged_as(f"{job}#{run_id}" if run_id else job):
        try:
            ended = outcome_of(job, run)
        except BaseException:  # the program is being closed: note it and go
            _end(app, job, run_id, job_runs.interrupted())
            raise
        _end(app, job, run_id, ended)
    return ended


def _start(app: Application, job: str, slot: datetime) -> int | None:
    """Note that a run began; None where even that can't be written: the run itself will then say why."""
    try:
        return job_runs.note_start(app.database, job, slot, app.clock())
    except sa.exc.DBAPIError:
        log.exception("无法记录运行 %s", job)
        return None


def _end(app: Application, job: str, run_id: int | None, ended: Ended) -> None:
    if run_id is None:
        return
    try:
        job_runs.note_end(app.database, run_id, ended, app.clock())
    except sa.exc.DBAPIError:
        log.exception("无法记录运行 %s 的结果", job)
