"""How the program is doing: jobs, queue, files, configuration. What `main.py status` and `jobs` show."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from modules.application import Application
from modules.clock import format_moment
from modules.process_lock import daemon_is_alive
from modules.rereading import daemon_state
from modules.rewards.campaign import Campaign
from modules.tables import campaigns, job_runs, rejected_rows
from modules.task_states import PENDING


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
        successes = sa.select(job_runs.c.job, sa.func.max(job_runs.c.ended_at)).where(job_runs.c.outcome == "ok")
        succeeded = dict(connection.execute(successes.group_by(job_runs.c.job)).all())
        pulled = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.last_pull_rows)).all())
        closed = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.closed_at)).all())
    states = []
    for campaign in _running(app).values():
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


def status(app: Application, now: datetime) -> dict[str, object]:
    """Everything at a glance, as `status --json` prints it."""
    waiting = app.board.oldest(PENDING)
    return {
        "at": format_moment(now),
        "daemon_running": daemon_is_alive(app.settings.state_dir),
        "database": app.database.place,
        "data_dir": str(app.settings.data_dir),
        "jobs": [state.__dict__ for state in job_states(app, now)],
        "queue": app.board.counts(),
        "oldest_pending": format_moment(waiting.created_at) if waiting else None,
        "oldest_pending_reason": waiting.last_error if waiting else None,
        "rejected_rows": rejected(app),
        "unwritten_files": [fault.__dict__ for fault in app.views.faults()],
        "config_faults": [str(fault) for fault in app.configuration.faults],
        "configuration": _daemon_configuration(app),
    }


def _daemon_configuration(app: Application) -> dict[str, object] | None:
    """What the daemon runs by: hash, since when, what of it is older than the files, and settings that changed since it
    started; None where none is running."""
    state = _daemon_state(app)
    return state and {name: state[name] for name in ("hash", "loaded_at", "kept", "settings_changed")}


def _daemon_state(app: Application) -> dict[str, Any] | None:
    return daemon_state(app.settings) if daemon_is_alive(app.settings.state_dir) else None


def _running(app: Application) -> dict[str, Campaign]:
    """The campaigns that can run; where a daemon runs, those that it has taken, in the version that it has."""
    state = _daemon_state(app)
    if state is None:
        return dict(app.campaigns.valid)
    kept = [Campaign.from_json(text) for text in state["kept_campaigns"]]
    versions = {**app.campaigns.valid, **{campaign.key: campaign for campaign in kept}}
    return {key: versions[key] for key in state["campaigns"] if key in versions}


def rejected(app: Application) -> list[dict[str, str]]:
    """The source rows that can't be used as of the last pull: campaign, contract_id (may be empty), reason."""
    columns = (rejected_rows.c.campaign, rejected_rows.c.contract_id, rejected_rows.c.reason)
    standing = sa.select(*columns).where(rejected_rows.c.resolved_at.is_(None)).order_by(rejected_rows.c.id)
    with app.database.reading() as connection:
        return [dict(row) for row in connection.execute(standing).mappings()]


def _runs(ids: sa.Select[tuple[int]]) -> sa.Select[tuple[object, ...]]:
    return sa.select(job_runs).where(job_runs.c.id.in_(ids))
