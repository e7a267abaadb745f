"""How the program is doing: jobs, queue, files, configuration. What `main.py status` and `jobs` show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import heartbeat, rereading
from modules.application import Application
from modules.campaigns import Campaigns
from modules.clock import format_moment
from modules.due_slots import Every, Timing, next_slot
from modules.job_runs import OK, last_run
from modules.process_lock import daemon_is_alive
from modules.rewards.campaign import Campaign
from modules.scheduled_job import Job
from modules.settings import Settings
from modules.soundness import read_report
from modules.tables import campaigns, job_runs, rejected_rows
from modules.task_states import PENDING
from modules.troubles import open_troubles
from modules.version import version


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
    with app.database.reading() as connection:
        return states_of(connection, app.settings, app.campaigns, now, fixed)


def states_of(
    connection: Connection, settings: Settings, configured: Campaigns, now: datetime, fixed: Sequence[Job]
) -> list[JobState]:
    """The same for who only reads: by a connection, and the campaigns as the files have them."""
    running = _running(settings, configured)
    timings: dict[str, Timing] = dict.fromkeys(running, Every(settings.schedule.campaign_interval))
    timings |= {job.key: job.timing for job in fixed}
    last = {key: connection.execute(_newest_run(key)).mappings().one_or_none() for key in timings}
    succeeded = _last_successes(connection, timings)
    pulled = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.last_pull_rows)).all())
    closed = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.closed_at)).all())
    following = {
        key: max(next_slot(timing, now, last_run(connection, key, timing, now)), now) for key, timing in timings.items()
    }

    def state(key: str, title: str, period: str, *, active: bool, campaign: Campaign | None = None) -> JobState:
        run, success, closed_at = last[key], succeeded.get(key), closed.get(key)
        return JobState(
            job=key,
            title=title,
            period=period,
            last_settle_day=str(campaign.last_settle_day) if campaign else None,
            card_id=campaign.card_id if campaign else None,
            active=active,
            closed_at=_text(closed_at),
            last_started=format_moment(run["started_at"]) if run else None,
            last_outcome=(run["outcome"] or "unfinished") if run else None,
            last_success=_text(success),
            last_error=run["error"] if run else None,
            contracts_pulled=pulled.get(key),
            next_run=format_moment(following[key]) if active else None,
        )

    states = []
    for campaign in running.values():
        is_active = campaign.is_pulled(now.date()) and not closed.get(campaign.key)
        end = campaign.end.strftime("%m-%d" if campaign.end.year == campaign.start.year else "%Y-%m-%d")
        period = f"{campaign.start}～{end}"
        states.append(state(campaign.key, campaign.title, period, active=is_active, campaign=campaign))
    return states + [state(job.key, job.title, job.timing_words, active=job.enabled) for job in fixed]


def status(app: Application, now: datetime, fixed: Sequence[Job]) -> dict[str, Any]:
    """Everything at a glance, as `status --json` prints it and `/healthz` answers.

    `version` and `config_hash` are those of the daemon, as it last said, or else of this program.
    """
    daemon = heartbeat.daemon_state(app.settings, now)
    beat = daemon.heartbeat
    waiting = app.board.oldest(PENDING)
    with app.database.reading() as connection:
        troubles = open_troubles(connection)
        succeeded = _last_successes(connection, [*app.campaigns.valid, *(job.key for job in fixed)])
        last_error = connection.execute(_LAST_ERROR).mappings().one_or_none()
    return {
        "at": format_moment(now),
        "daemon_running": daemon.state != "dead",
        "daemon": {
            "state": daemon.state,
            "words": daemon.words,
            "asked_to_end": daemon.was_asked_to_end,
            "heartbeat": beat.model_dump(mode="json") if beat else None,
        },
        "exit_code": daemon.exit_code,
        "version": beat.version if beat else version(),
        "config_hash": (beat.config_hash if beat else "") or app.configuration.hash,
        "database": app.database.place,
        "data_dir": str(app.settings.data_dir),
        "backed_up_at": _text(read_report(app.settings.state_dir).backed_up_at),
        "jobs": [state.__dict__ for state in job_states(app, now, fixed)],
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
        "config_faults": [str(fault) for fault in app.configuration.faults],
        "configuration": _shown_configuration(app),
    }


def _shown_configuration(app: Application) -> dict[str, object] | None:
    """What the daemon runs by: hash, since when, what of it is older than the files, and settings that changed since it
    started; None where none is running."""
    state = daemon_configuration(app.settings)
    return state and {name: state[name] for name in ("hash", "loaded_at", "kept", "settings_changed")}


def daemon_configuration(settings: Settings) -> dict[str, Any] | None:
    """What the daemon of this data folder runs by; None where none is running, or it has not said, or nobody knows."""
    try:
        is_alive = daemon_is_alive(settings.state_dir)
    except OSError:  # who looks may lack the right to try its lock
        return None
    return rereading.daemon_configuration(settings) if is_alive else None


def _running(settings: Settings, configured: Campaigns) -> dict[str, Campaign]:
    """The campaigns that can run; where a daemon runs, those that it has taken, in the version that it has."""
    state = daemon_configuration(settings)
    if state is None:
        return dict(configured.valid)
    kept = [Campaign.from_json(text) for text in state["kept_campaigns"]]
    versions = {**configured.valid, **{campaign.key: campaign for campaign in kept}}
    return {key: versions[key] for key in state["campaigns"] if key in versions}


_LAST_ERROR = (
    sa.select(job_runs.c.job, job_runs.c.ended_at, job_runs.c.error)
    .where(job_runs.c.error.is_not(None))
    .order_by(job_runs.c.id.desc())
    .limit(1)
)


def _newest_run(job: str) -> sa.Select[Any]:
    """By job, along the index: in three months each has some 40,000 runs."""
    of_job = sa.select(job_runs).where(job_runs.c.job == job)
    return of_job.order_by(job_runs.c.started_at.desc(), job_runs.c.id.desc()).limit(1)


def _last_successes(connection: Connection, jobs: Iterable[str]) -> dict[str, datetime]:
    runs = {job: connection.execute(_newest_run(job).where(job_runs.c.outcome == OK)).one_or_none() for job in jobs}
    return {job: run.ended_at for job, run in runs.items() if run is not None}


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
