"""The runs of jobs for people who watch the program: how they ended, the last errors, rows that can't be used."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.due_slots import FAILED
from modules.figures.newest import Newest, newest_of
from modules.tables import job_runs, rejected_rows


@dataclass(frozen=True)
class Tally:
    """How many runs of a job ended so; `outcome` is empty where they have not ended."""

    job: str
    outcome: str
    number: int


@dataclass(frozen=True)
class Failure:
    """A run with an error, in words for people. A daily job's run that failed several times counts them."""

    job: str
    at: datetime
    outcome: str
    error: str
    failures: int


@dataclass(frozen=True)
class RejectedRow:
    """A source row that can't be used; `job` is a campaign or the report on violations."""

    job: str
    contract_id: str
    reason: str
    first_seen_at: datetime


def tallies(connection: Connection, since: datetime) -> list[Tally]:
    """The runs that began since a moment, by job and outcome."""
    outcome = sa.func.coalesce(job_runs.c.outcome, "")
    grouped = sa.select(job_runs.c.job, outcome, sa.func.count()).where(job_runs.c.started_at >= since)
    found = connection.execute(grouped.group_by(job_runs.c.job, outcome).order_by(job_runs.c.job, outcome))
    return [Tally(*row) for row in found]


def failures(connection: Connection, number: int | None) -> Newest[Failure]:
    """The last so many runs with an error, or all, the newest first."""
    at = sa.func.coalesce(job_runs.c.ended_at, job_runs.c.started_at, type_=job_runs.c.started_at.type)
    outcome = sa.func.coalesce(job_runs.c.outcome, "")
    columns = (job_runs.c.job, at, outcome, job_runs.c.error, job_runs.c.failures)
    chosen = sa.select(*columns).where(job_runs.c.error.is_not(None)).order_by(at.desc(), job_runs.c.id.desc())
    return newest_of(connection, chosen, Failure, number)


def rejected(connection: Connection, number: int | None) -> Newest[RejectedRow]:
    """So many, or all, of the rows that the source still shows and that can't be used, the newest first."""
    columns = [rejected_rows.c[name] for name in ("campaign", "contract_id", "reason", "first_seen_at")]
    still = sa.select(*columns).where(rejected_rows.c.resolved_at.is_(None)).order_by(rejected_rows.c.id.desc())
    return newest_of(connection, still, RejectedRow, number)


def tables_version(connection: Connection) -> str:
    """Which migration the tables are at."""
    return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def failed_share(found: list[Tally]) -> float | None:
    """Of the runs that ended, the share that failed; None where none ended."""
    ended = sum(one.number for one in found if one.outcome)
    return sum(one.number for one in found if one.outcome == FAILED) / ended if ended else None
