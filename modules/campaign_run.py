"""One run of a campaign; this file owns its transaction.

A run reads the ledger with its revision, fetches, computes and renders outside any transaction, then commits rows,
awards and messages in one. Where another run came first, it starts over.
"""

import getpass
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import config_guard, ledger
from modules.announcer import Announcements, nothing_to_say
from modules.application import Application
from modules.campaign_pull import (
    campaign_named,
    fetch,
    hold_against_ledger,
    lost_beyond_belief,
    require_belief,
    retry_when_overtaken,
)
from modules.collector import paused_collector
from modules.database import in_words, record_act
from modules.errors import JobRefusedError
from modules.job_outcome import outcome_of
from modules.job_runs import Writing
from modules.log_context import logged_as
from modules.noted_run import run_noted
from modules.outbox import count_tasks, enqueue, known_keys
from modules.request_module import Table
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Outcome, calculate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """How a run was asked for: nothing is written with `dry_run`; `accept_shrink` takes a pull that shrank.

    `silent` registers and awards without a word to anybody.
    """

    dry_run: bool = False
    force: bool = False
    accept_shrink: bool = False
    silent: bool = False


@dataclass(frozen=True)
class JobReport:
    """What became of a run: the JSON line of `main.py run`, and with a dry run what it would have done."""

    job: str
    outcome: Literal["ok", "failed", "dry-run"]
    fetched: int = 0
    registered: int = 0
    awards: int = 0
    rejected: int = 0
    skipped: int = 0
    tasks: int = 0
    seconds: float = 0.0
    error: str | None = None
    preview: tuple[Outcome, Announcements] | None = field(default=None, compare=False)

    def counts(self) -> dict[str, int]:
        """What was counted, by name."""
        return {name: value for name, value in self.summary().items() if isinstance(value, int)}

    def summary(self) -> dict[str, object]:
        """The report as one flat JSON object."""
        values = asdict(replace(self, preview=None))
        del values["preview"]
        return values


@dataclass(frozen=True)
class _Prepared:
    """A run, computed and rendered, not yet written."""

    commit: ledger.Commit
    announcements: Announcements
    skipped: int


def find_campaign(app: Application, key: str, as_of: datetime, options: RunOptions) -> Campaign:
    """The campaign to run.

    Raises JobRefusedError where there is none, it has faults, its time is not now, or a person must accept changes,
    CampaignClosedError where it is closed.
    """
    campaign = campaign_named(app, key)
    if campaign.card_id is None:
        raise JobRefusedError(f"{key} 没有写问题卡编号 card_id，请在活动配置里补上")
    if key in closed_campaigns(app):
        raise ledger.CampaignClosedError(key)
    if not campaign.is_active(as_of.date()) and not options.force:
        raise JobRefusedError(
            f"{as_of:%Y-%m-%d} 不在 {key} 的运行期（{campaign.start} 至 {campaign.last_settle_day}）内；"
            "确要运行请加 --force，或用 --at 指定时间"
        )
    with app.database.reading() as connection:
        config_guard.require_accepted(connection, campaign)
    return campaign


def run_campaign(app: Application, campaign: Campaign, as_of: datetime, options: RunOptions) -> JobReport:
    """A run that somebody asked for, noted. Never raises for what Metabase, its data or the database do."""
    started = time.monotonic()
    reports: list[JobReport] = []

    def act() -> Mapping[str, int]:
        reports.append(_attempt(app, campaign, as_of, options, app.database.writing))
        return reports[0].counts()

    if options.dry_run:
        with logged_as(campaign.key):
            ended = outcome_of(campaign.key, act)
    else:
        ended = run_noted(app, campaign.key, as_of, act)
    report = reports[0] if reports else JobReport(campaign.key, "failed", error=ended.error)
    return replace(report, seconds=round(time.monotonic() - started, 3))


def run_slot(app: Application, campaign: Campaign, as_of: datetime, writing: Writing) -> Mapping[str, int]:
    """The daemon's run, noted by who asks for it. Raises what comes of it (`job_outcome.RUN_ERRORS` and others)."""
    return _attempt(app, campaign, as_of, RunOptions(), writing).counts()


def _attempt(app: Application, campaign: Campaign, as_of: datetime, options: RunOptions, writing: Writing) -> JobReport:
    with paused_collector():
        return retry_when_overtaken(campaign.key, lambda: _run(app, campaign, as_of, options, writing))


def _run(app: Application, campaign: Campaign, as_of: datetime, options: RunOptions, writing: Writing) -> JobReport:
    with app.database.reading() as connection:
        opened = ledger.read(connection, campaign.key)
        changes = config_guard.require_accepted(connection, campaign).warnings
    table = fetch(app, campaign)
    prepared = _prepare(app, campaign, as_of, options, opened, table)
    if options.dry_run:
        preview = (prepared.commit.outcome, prepared.announcements)
        return _report(prepared, "dry-run", count_tasks(prepared.announcements.messages), preview)
    with writing() as connection:
        ledger.commit(connection, prepared.commit, app.clock())
        _record_acceptance(connection, prepared.commit, app.clock())
        _mark_announced(connection, prepared.announcements.broadcast_keys, app.clock())
        tasks = enqueue(connection, prepared.announcements.messages, app.clock())
    for change in changes:
        log.warning("活动配置有改动，已照此运行：%s", change)
    app.views.store_pull(campaign.key, table.columns, table.rows, app.clock())
    app.views.refresh([campaign.key])
    return _report(prepared, "ok", tasks, None)


def _prepare(
    app: Application, campaign: Campaign, as_of: datetime, options: RunOptions, opened: ledger.Opened, table: Table
) -> _Prepared:
    if opened.closed_at is not None:
        raise ledger.CampaignClosedError(campaign.key)
    pull = hold_against_ledger(campaign, as_of, opened, table)
    if not options.accept_shrink:
        require_belief(campaign, opened, pull.shown, as_of)
    outcome = calculate(campaign, pull.state, pull.shown, pull.new)
    said = nothing_to_say(outcome) if options.silent else app.announcer.announce(campaign, outcome, app.clock())
    commit = ledger.Commit(
        campaign=campaign,
        revision=opened.revision,
        outcome=outcome,
        broadcast_keys=said.broadcast_keys,
        source_changes=replace(pull.changes, lost=lost_beyond_belief(opened, pull.shown)),
        rejected=pull.contracts.rejected,
        fetched=len(table.rows),
    )
    return _Prepared(commit, said, pull.skipped)


def _record_acceptance(connection: Connection, commit: ledger.Commit, now: datetime) -> None:
    """To accept a shrunken pull is a person's act."""
    lost = len(commit.source_changes.lost)
    if lost:
        detail = f"{commit.campaign.key}：承认源数据少了 {lost} 个已登记的合同"
        record_act(connection, now, getpass.getuser(), "accept-shrink", detail)


def _mark_announced(connection: Connection, broadcast_keys: Sequence[str | None], now: datetime) -> None:
    """New rows whose broadcast was sent before they were registered, by `notify_awards_*` on a file."""
    keys = [key for key in broadcast_keys if key is not None]
    for key, is_sent in known_keys(connection, keys).items():
        if is_sent:
            ledger.mark_notified(connection, key, now)


def _report(
    prepared: _Prepared, outcome: Literal["ok", "dry-run"], tasks: int, preview: tuple[Outcome, Announcements] | None
) -> JobReport:
    commit = prepared.commit
    return JobReport(
        job=commit.campaign.key,
        outcome=outcome,
        fetched=commit.fetched,
        registered=len(commit.outcome.rows),
        awards=len(commit.outcome.awards),
        rejected=len(commit.rejected),
        skipped=prepared.skipped,
        tasks=tasks,
        preview=preview,
    )


def closed_campaigns(app: Application) -> frozenset[str]:
    """What a person has closed; nothing where even that can't be read: the run itself will then say why."""
    try:
        with app.database.reading() as connection:
            return ledger.closed(connection)
    except sa.exc.DBAPIError as error:
        log.error("读不到哪些活动已经结账：%s", in_words(error))  # noqa: TRY400 - asked again and again
        return frozenset()
