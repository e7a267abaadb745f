"""How the program is doing: jobs, queue, files, configuration. What `main.py status` and `jobs` show."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.application import Application
from modules.clock import format_moment
from modules.heartbeat import daemon_state
from modules.process_lock import daemon_is_alive
from modules.soundness import read_report
from modules.tables import campaigns, job_runs, rejected_rows
from modules.task_states import PENDING
from modules.troubles import open_troubles
from modules.version import config_hash, version


@dataclass(frozen=True)
class JobState:
    """A job and its last run; times as text in Asia/Shanghai, None where there is none."""

    job: str
    title: str
    period: str
    last_settle_day: str
    card_id: int | None
    active: bool
    closed_at: str | None
    last_started: str | None
    last_outcome: str | None
    last_success: str | None
    last_error: str | None
    contracts_pulled: int | None


def job_states(app: Application, now: datetime) -> list[JobState]:
    """Every campaign that can run, in the order of the config."""
    with app.database.reading() as connection:
        newest = sa.select(sa.func.max(job_runs.c.id)).group_by(job_runs.c.job)
        last = {row["job"]: row for row in connection.execute(_runs(newest)).mappings()}
        succeeded = _last_successes(connection)
        pulled = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.last_pull_rows)).all())
        closed = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.closed_at)).all())
    states = []
    for campaign in app.campaigns.valid.values():
        run = last.get(campaign.key)
        success, closed_at = succeeded.get(campaign.key), closed.get(campaign.key)
        states.append(
            JobState(
                job=campaign.key,
                title=campaign.title,
                period=f"{campaign.start}～{campaign.end:%m-%d}",
                last_settle_day=str(campaign.last_settle_day),
                card_id=campaign.card_id,
                active=campaign.card_id is not None and campaign.is_active(now.date()) and closed_at is None,
                closed_at=format_moment(closed_at) if closed_at else None,
                last_started=format_moment(run["started_at"]) if run else None,
                last_outcome=(run["outcome"] or "unfinished") if run else None,
                last_success=format_moment(success) if success else None,
                last_error=run["error"] if run else None,
                contracts_pulled=pulled.get(campaign.key),
            )
        )
    return states


def status(app: Application, now: datetime) -> dict[str, Any]:
    """Everything at a glance, as `status --json` prints it and `/healthz` answers.

    `version` and `config_hash` are those of the daemon, as it last said, or else of this program.
    """
    daemon = daemon_state(app.settings, now)
    beat = daemon.heartbeat
    waiting = app.board.oldest(PENDING)
    with app.database.reading() as connection:
        troubles = open_troubles(connection)
        succeeded = _last_successes(connection)
        last_error = connection.execute(_LAST_ERROR).mappings().one_or_none()
    return {
        "at": format_moment(now),
        "daemon_running": daemon_is_alive(app.settings.state_dir),
        "daemon": {
            "state": daemon.state,
            "words": daemon.words,
            "asked_to_end": daemon.was_asked_to_end,
            "heartbeat": beat.model_dump(mode="json") if beat else None,
        },
        "exit_code": daemon.exit_code,
        "version": beat.version if beat else version(),
        "config_hash": (beat.config_hash if beat else "") or config_hash(app.settings, app.campaigns.valid.values()),
        "database": app.database.place,
        "data_dir": str(app.settings.data_dir),
        "backed_up_at": _text(read_report(app.settings.state_dir).backed_up_at),
        "jobs": [state.__dict__ for state in job_states(app, now)],
        "data_age_seconds": {job: _seconds(at, now) for job, at in sorted(succeeded.items())},
        "last_error": None
        if last_error is None
        else {"job": last_error["job"], "at": _text(last_error["ended_at"]), "error": last_error["error"]},
        "queue": app.board.counts(),
        "oldest_pending": _text(waiting.created_at) if waiting else None,
        "oldest_pending_seconds": _seconds(waiting.created_at, now) if waiting else None,
        "oldest_pending_reason": waiting.last_error if waiting else None,
        "troubles": [
            trouble | {"since": _text(trouble["since"]), "told_at": _text(trouble["told_at"])} for trouble in troubles
        ],
        "rejected_rows": rejected(app),
        "unwritten_files": [fault.__dict__ for fault in app.views.faults()],
        "config_faults": [str(fault) for fault in app.campaigns.faults],
    }


_LAST_ERROR = (
    sa.select(job_runs.c.job, job_runs.c.ended_at, job_runs.c.error)
    .where(job_runs.c.error.is_not(None))
    .order_by(job_runs.c.id.desc())
    .limit(1)
)


def _last_successes(connection: Connection) -> dict[str, datetime]:
    successes = sa.select(job_runs.c.job, sa.func.max(job_runs.c.ended_at)).where(job_runs.c.outcome == "ok")
    return dict(connection.execute(successes.group_by(job_runs.c.job)).all())


def _text(moment: datetime | None) -> str | None:
    return format_moment(moment) if moment else None


def _seconds(since: datetime | None, now: datetime) -> int | None:
    return int((now - since).total_seconds()) if since else None


def rejected(app: Application) -> list[dict[str, str]]:
    """The source rows that can't be used as of the last pull: campaign, contract_id (may be empty), reason."""
    columns = (rejected_rows.c.campaign, rejected_rows.c.contract_id, rejected_rows.c.reason)
    standing = sa.select(*columns).where(rejected_rows.c.resolved_at.is_(None)).order_by(rejected_rows.c.id)
    with app.database.reading() as connection:
        return [dict(row) for row in connection.execute(standing).mappings()]


def _runs(ids: sa.Select[tuple[int]]) -> sa.Select[tuple[object, ...]]:
    return sa.select(job_runs).where(job_runs.c.id.in_(ids))
