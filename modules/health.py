"""How the program is doing: jobs, queue, files, configuration. What `main.py status` and `jobs` show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from modules.application import Application
from modules.clock import format_moment
from modules.due_slots import Every, Timing, next_slot
from modules.job_runs import last_run
from modules.process_lock import daemon_is_alive
from modules.rereading import daemon_state
from modules.rewards.campaign import Campaign
from modules.scheduled_job import Job
from modules.tables import campaigns, job_runs, rejected_rows
from modules.task_states import PENDING


@dataclass(frozen=True)
class JobState:
    """A job and its last run; times as text in Asia/Shanghai, None where there is none.

    Of a fixed job `period` says when it runs, and `active` whether it is switched on; it has no `last_settle_day`.
    `next_run` is when a daemon runs it next, if it is running.
    """

    job: str
    title: str
    period: str
    last_settle_day: str | None
    card_id: int | None
    active: bool
    closed_at: str | None
    last_started: str | None
    last_outcome: str | None
    last_success: str | None
    last_error: str | None
    contracts_pulled: int | None
    next_run: str | None


def job_states(app: Application, now: datetime, fixed: Sequence[Job]) -> list[JobState]:
    """Every campaign that can run, in the order of the config, and the `fixed` jobs."""
    running = _running(app)
    timings: dict[str, Timing] = dict.fromkeys(running, Every(app.settings.schedule.campaign_interval))
    timings |= {job.key: job.timing for job in fixed}
    with app.database.reading() as connection:
        newest = sa.select(sa.func.max(job_runs.c.id)).group_by(job_runs.c.job)
        last = {row["job"]: row for row in connection.execute(_runs(newest)).mappings()}
        successes = sa.select(job_runs.c.job, sa.func.max(job_runs.c.ended_at)).where(job_runs.c.outcome == "ok")
        succeeded = dict(connection.execute(successes.group_by(job_runs.c.job)).all())
        pulled = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.last_pull_rows)).all())
        closed = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.closed_at)).all())
        following = {
            key: max(next_slot(timing, now, last_run(connection, key, timing, now)), now)
            for key, timing in timings.items()
        }

    def state(key: str, title: str, period: str, *, active: bool, campaign: Campaign | None = None) -> JobState:
        run, success, closed_at = last.get(key), succeeded.get(key), closed.get(key)
        return JobState(
            job=key,
            title=title,
            period=period,
            last_settle_day=str(campaign.last_settle_day) if campaign else None,
            card_id=campaign.card_id if campaign else None,
            active=active,
            closed_at=format_moment(closed_at) if closed_at else None,
            last_started=format_moment(run["started_at"]) if run else None,
            last_outcome=(run["outcome"] or "unfinished") if run else None,
            last_success=format_moment(success) if success else None,
            last_error=run["error"] if run else None,
            contracts_pulled=pulled.get(key),
            next_run=format_moment(following[key]) if active else None,
        )

    states = []
    for campaign in running.values():
        is_active = campaign.card_id is not None and campaign.is_active(now.date()) and not closed.get(campaign.key)
        period = f"{campaign.start}～{campaign.end:%m-%d}"
        states.append(state(campaign.key, campaign.title, period, active=is_active, campaign=campaign))
    return states + [state(job.key, job.title, job.timing_words, active=job.enabled) for job in fixed]


def status(app: Application, now: datetime, fixed: Sequence[Job]) -> dict[str, object]:
    """Everything at a glance, as `status --json` prints it."""
    waiting = app.board.oldest(PENDING)
    return {
        "at": format_moment(now),
        "daemon_running": daemon_is_alive(app.settings.state_dir),
        "database": app.database.place,
        "data_dir": str(app.settings.data_dir),
        "jobs": [state.__dict__ for state in job_states(app, now, fixed)],
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
