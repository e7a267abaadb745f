"""What is wrong at this moment: messages that need a person, rows that can't be used, runs that failed."""

from collections.abc import Container
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.due_slots import FAILED as RUN_FAILED
from modules.tables import GIVEN_UP, job_runs, rejected_rows, tasks
from modules.task_states import FAILED, UNCERTAIN


@dataclass(frozen=True)
class FailedRun:
    """The last run of a job, where it failed."""

    job: str
    error: str


@dataclass(frozen=True)
class Troubles:
    """`rejected`: rows that the source still shows, by campaign."""

    failed: int
    uncertain: int
    rejected: dict[str, int]
    failed_runs: tuple[FailedRun, ...]


def still_due(found: Troubles, jobs: Container[str]) -> Troubles:
    """Without what nobody waits for any more: rows and failed runs of other jobs (campaigns too) than these."""
    return replace(
        found,
        rejected={job: number for job, number in found.rejected.items() if job in jobs},
        failed_runs=tuple(run for run in found.failed_runs if run.job in jobs),
    )


def troubles_of(connection: Connection) -> Troubles:
    """Everything at once."""
    counted = sa.select(tasks.c.status, sa.func.count()).where(GIVEN_UP)
    of_status: dict[str, int] = dict(connection.execute(counted.group_by(tasks.c.status)).all())
    still = rejected_rows.c.resolved_at.is_(None)
    by_campaign = sa.select(rejected_rows.c.campaign, sa.func.count()).where(still).group_by(rejected_rows.c.campaign)
    return Troubles(
        failed=of_status.get(FAILED, 0),
        uncertain=of_status.get(UNCERTAIN, 0),
        rejected=dict(connection.execute(by_campaign.order_by(rejected_rows.c.campaign)).all()),
        failed_runs=tuple(FailedRun(job, error or "") for job, error in connection.execute(_failed_runs())),
    )


def _failed_runs() -> sa.Select[str, str | None]:
    """Along the index, job by job: in three months each has some 40,000 runs."""
    jobs = sa.select(sa.func.min(job_runs.c.job).label("job")).cte("jobs", recursive=True)
    following = sa.select(sa.func.min(job_runs.c.job)).where(job_runs.c.job > jobs.c.job).scalar_subquery()
    jobs = jobs.union_all(sa.select(following).where(jobs.c.job.is_not(None)))
    run = job_runs.alias()
    newest = (
        sa.select(run.c.id)
        .where(run.c.job == jobs.c.job, run.c.outcome.is_not(None))
        .order_by(run.c.started_at.desc(), run.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    ended = sa.select(job_runs.c.job, job_runs.c.error).join(jobs, job_runs.c.id == newest)
    return ended.where(job_runs.c.outcome == RUN_FAILED).order_by(job_runs.c.job)
