"""What the watch looks at, read from the database and from the files of this machine."""

import socket
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import due_slots, ledger, soundness
from modules.application import Application
from modules.configuration_news import kept_words
from modules.heartbeat import read_heartbeat
from modules.job_runs import OK
from modules.recipients import OPERATIONS
from modules.settings import Settings
from modules.tables import GIVEN_UP, Moment, campaigns, job_runs, rejected_rows, tasks
from modules.task_states import COMPLETED, FAILED, UNCERTAIN
from modules.troubles import KEYS_START
from modules.watch import GivenUp, House, Machine, RejectedRows, Run, Waiting

RUNS_LOOKED_AT = 50
"""Of each job: to count failures in a row as far as anybody wants to know."""

TELLING = (OK, due_slots.FAILED)
"""The outcomes that tell how a job does."""

ALERT_KEYS = (KEYS_START, "alert:")

_is_alert = sa.or_(*(sa.func.coalesce(tasks.c.dedup_key, "").startswith(start) for start in ALERT_KEYS))


def read_house(connection: Connection, app: Application, now: datetime) -> House:
    """What the database says now."""
    return House(
        runs={job: last_runs(connection, job) for job in _jobs(connection)},
        retired=_retired(connection, app, now),
        waiting=read_waiting(connection, now, ~_is_alert),
        given_up=_read_given_up(connection),
        rejected=_read_rejected(connection),
    )


def read_machine(app: Application) -> Machine:
    """What only this machine knows."""
    state_dir, configuration = app.settings.state_dir, app.configuration
    heartbeat, report = read_heartbeat(state_dir), soundness.read_report(state_dir)
    return Machine(
        unwritten=app.views.faults(),
        damage=report.damage,
        backup_fault=report.backup_fault,
        health_fault=heartbeat.health_fault if heartbeat else "",
        config_faults=[str(fault) for fault in configuration.faults],
        kept_config=kept_words(configuration),
    )


def machine_name(settings: Settings) -> str:
    """Names this installation among those that share a database."""
    return f"{socket.gethostname()}:{settings.data_dir}"


def last_runs(connection: Connection, job: str) -> list[Run]:
    """The last runs of a job that have succeeded or failed, newest first; those that were broken off say nothing.

    A slot that was tried again is as many runs as have failed.
    """
    columns = (job_runs.c.outcome, job_runs.c.error, job_runs.c.ended_at, job_runs.c.fault, job_runs.c.failures)
    of_job = sa.select(*columns).where(job_runs.c.job == job, job_runs.c.outcome.in_(TELLING))
    newest_first = of_job.order_by(job_runs.c.started_at.desc(), job_runs.c.id.desc()).limit(RUNS_LOOKED_AT)
    return [
        Run(row.outcome, row.error, row.ended_at, row.fault)
        for row in connection.execute(newest_first)
        for _try in range(max(row.failures, 1) if row.outcome == due_slots.FAILED else 1)
    ]


def read_waiting(connection: Connection, now: datetime, meant: sa.ColumnElement[bool]) -> list[Waiting]:
    """By recipient, the messages meant that could have gone by now. One that waits for another try could have gone when
    it was made; one that was planned for later, then."""
    planned = tasks.c.attempts == 0
    ready = sa.case((planned & (tasks.c.run_at > tasks.c.created_at), tasks.c.run_at), else_=tasks.c.created_at)
    is_ready = ~planned | tasks.c.run_at.is_(None) | (tasks.c.run_at <= now)
    columns = (tasks.c.recipient, sa.func.count(), sa.func.min(ready, type_=Moment), sa.func.max(tasks.c.last_error))
    pending = sa.and_(sa.text("tasks.status = 'pending'"), is_ready, meant)
    return [Waiting(*row) for row in connection.execute(sa.select(*columns).where(pending).group_by(tasks.c.recipient))]


def operations_fail(connection: Connection) -> str | None:
    """Why messages to operations don't arrive: the reason of the newest that was given up, unless one has got through
    since; None where all is well."""
    of_operations = to_operations()
    newest = sa.select(tasks.c.updated_at, tasks.c.last_error).where(GIVEN_UP, of_operations)
    failed = connection.execute(newest.order_by(tasks.c.updated_at.desc(), tasks.c.id.desc()).limit(1)).one_or_none()
    if failed is None:
        return None
    later = sa.select(tasks.c.id).where(
        of_operations, tasks.c.status == COMPLETED, tasks.c.updated_at > failed.updated_at
    )
    return None if connection.execute(later.limit(1)).first() else failed.last_error or "原因不明"


def to_operations() -> sa.ColumnElement[bool]:
    """The messages to operations, alerts among them."""
    return tasks.c.recipient == OPERATIONS


def _jobs(connection: Connection) -> Sequence[str]:
    return connection.execute(sa.select(job_runs.c.job).distinct().order_by(job_runs.c.job)).scalars().all()


def _retired(connection: Connection, app: Application, now: datetime) -> frozenset[str]:
    """Campaigns that have run and whose time is over, that were closed or taken out of the configuration."""
    closed = ledger.closed(connection)
    active = {
        campaign.key
        for campaign in app.campaigns.valid.values()
        if campaign.is_pulled(now.date()) and campaign.key not in closed
    }
    known = {*connection.execute(sa.select(campaigns.c.key)).scalars(), *app.campaigns.valid}
    return frozenset(known - active)


def _read_given_up(connection: Connection) -> list[GivenUp]:
    found = []
    for status in (FAILED, UNCERTAIN):
        meant = (GIVEN_UP, tasks.c.status == status, ~_is_alert)
        count = connection.execute(sa.select(sa.func.count()).where(*meant)).scalar_one()
        if count:
            newest = sa.select(tasks.c.last_error).where(*meant).order_by(tasks.c.updated_at.desc()).limit(1)
            found.append(GivenUp(status, count, connection.execute(newest).scalar_one()))
    return found


def _read_rejected(connection: Connection) -> list[RejectedRows]:
    """Of campaigns that nobody has closed."""
    closed = sa.select(campaigns.c.key).where(campaigns.c.closed_at.is_not(None))
    columns = (
        rejected_rows.c.campaign,
        sa.func.count(),
        sa.func.max(rejected_rows.c.first_seen_at, type_=Moment),
    )
    standing = sa.select(*columns).where(rejected_rows.c.resolved_at.is_(None), rejected_rows.c.campaign.not_in(closed))
    rows = connection.execute(standing.group_by(rejected_rows.c.campaign).order_by(rejected_rows.c.campaign))
    return [RejectedRows(*row) for row in rows]
