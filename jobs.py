"""What runs: campaigns → jobs. This file owns the transaction of a run.

A run reads the ledger with its revision, fetches, computes and renders outside any transaction, then commits rows,
awards and messages in one. Where another run came first, it starts over.
"""

import getpass
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Literal

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import ledger
from modules.announcer import Announcements
from modules.application import Application, open_application
from modules.contracts import ColumnsError, Contracts, parse_contracts, signed_within
from modules.database import in_words, job_runs, record_act
from modules.errors import JobRefusedError
from modules.outbox import count_tasks, enqueue, known_keys
from modules.request_module import MetabaseError, Table
from modules.rewards.campaign import Campaign
from modules.rewards.engine import LedgerState, Outcome, calculate

log = logging.getLogger(__name__)

MAX_TRIES = 5
SHRINK_SHARE = 0.2
SHRINK_ROWS = 5


class PullShrankError(Exception):
    """A whole pull that lacks too many registered contracts to be believed."""


@dataclass(frozen=True)
class RunOptions:
    """How a run was asked for: nothing is written with `dry_run`; `accept_shrink` takes a pull that shrank."""

    dry_run: bool = False
    force: bool = False
    accept_shrink: bool = False


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
    """The campaign to run. Raises JobRefusedError where there is none, it has faults, or its time is not now."""
    faults = app.campaigns.faults_with(key)
    if faults:
        raise JobRefusedError("活动配置有错，未运行：\n" + "\n".join(map(str, faults)))
    campaign = app.campaigns.valid.get(key)
    if campaign is None:
        raise JobRefusedError(f"没有名为 {key} 的任务；现有：{'、'.join(app.campaigns.valid) or '无'}")
    if campaign.card_id is None:
        raise JobRefusedError(f"{key} 没有写问题卡编号 card_id，请在活动配置里补上")
    if not campaign.is_active(as_of.date()) and not options.force:
        raise JobRefusedError(
            f"{as_of:%Y-%m-%d} 不在 {key} 的运行期（{campaign.start} 至 {campaign.last_settle_day}）内；"
            "确要运行请加 --force，或用 --at 指定时间"
        )
    return campaign


def run_campaign(app: Application, campaign: Campaign, as_of: datetime, options: RunOptions) -> JobReport:
    """One run of a campaign as of a moment. Never raises for what Metabase, its data or the database do."""
    started = time.monotonic()
    run_id = None if options.dry_run else _start_run(app, campaign.key, as_of)
    try:
        report = _run(app, campaign, as_of, options)
    except (MetabaseError, ColumnsError, PullShrankError, ledger.RevisionConflictError) as error:
        log.error("%s 运行失败：%s", campaign.key, error)  # noqa: TRY400 - the words say it all
        report = JobReport(campaign.key, "failed", error=str(error))
        if isinstance(error, PullShrankError) and not options.dry_run:
            _alert(app, f"shrink:{campaign.key}", f"{campaign.key} 运行失败：{error}")
    except sa.exc.DBAPIError as error:
        log.exception("%s 运行失败", campaign.key)
        report = JobReport(campaign.key, "failed", error=in_words(error))
    except Exception as error:  # a job is the isolation boundary
        log.exception("%s 运行失败", campaign.key)
        report = JobReport(campaign.key, "failed", error=f"{type(error).__name__}: {error}")
    except BaseException:  # the program is being closed: note it and go
        if run_id is not None:
            _end_run(app, run_id, JobReport(campaign.key, "failed", error="程序被关闭，运行中断"))
        raise
    report = replace(report, seconds=round(time.monotonic() - started, 3))
    if run_id is not None:
        _end_run(app, run_id, report)
    log.info("%s：%s", campaign.key, json.dumps(report.summary(), ensure_ascii=False))
    return report


def _run(app: Application, campaign: Campaign, as_of: datetime, options: RunOptions) -> JobReport:
    for _ in range(MAX_TRIES):
        with app.database.reading() as connection:
            opened = ledger.read(connection, campaign.key)
        table = _fetch(app, campaign)
        prepared = _prepare(app, campaign, as_of, options, opened, table)
        if options.dry_run:
            preview = (prepared.commit.outcome, prepared.announcements)
            return _report(prepared, "dry-run", count_tasks(prepared.announcements.messages), preview)
        try:
            with app.database.writing() as connection:
                ledger.commit(connection, prepared.commit, app.clock())
                _record_acceptance(connection, prepared.commit, app.clock())
                _mark_announced(connection, prepared.announcements.broadcast_keys, app.clock())
                tasks = enqueue(connection, prepared.announcements.messages, app.clock())
        except ledger.RevisionConflictError:
            log.info("%s 的台账刚被另一个运行更新，重新计算", campaign.key)
            continue
        app.views.store_pull(campaign.key, table.columns, table.rows, app.clock())
        app.views.refresh([campaign.key])
        return _report(prepared, "ok", tasks, None)
    raise ledger.RevisionConflictError(f"{campaign.key} 的台账一直在被别的运行更新，已试 {MAX_TRIES} 次，请稍后再试")


def _fetch(app: Application, campaign: Campaign) -> Table:
    if campaign.card_id is None:
        raise JobRefusedError(f"{campaign.key} 没有写问题卡编号 card_id")
    return app.metabase.fetch_card(campaign.card_id)


def _prepare(
    app: Application, campaign: Campaign, as_of: datetime, options: RunOptions, opened: ledger.Opened, table: Table
) -> _Prepared:
    needed = ["sourceType"] if campaign.performance_limits.distinguishes_tracks() else []

    def in_time(frame: pd.DataFrame) -> "pd.Series[bool]":
        within = signed_within(frame, campaign.start, campaign.end)
        return within & (frame["signed_at"] <= as_of.replace(tzinfo=None))

    contracts = parse_contracts(table.columns, table.rows, needed, preferred=in_time)
    if contracts.differing:
        log.warning("%s 的源数据里有内容不同的重复合同：%s", campaign.key, "、".join(contracts.differing))
    registered = opened.state.registered
    lost = _lost(campaign, opened, contracts, options)
    is_new = ~contracts.frame["contract_id"].isin(registered["contract_id"])
    is_in_time = in_time(contracts.frame)
    new = contracts.frame[is_new & is_in_time]
    current = contracts.frame.set_index("contract_id")["amount"]
    amounts = registered["contract_id"].map(current).fillna(registered["amount"]).astype("int64")
    changed = registered.assign(now=amounts)[amounts != registered["amount"]]
    state = LedgerState(registered.assign(amount=amounts), opened.state.granted)
    outcome = calculate(campaign, state, contracts.shown_ids(), new)
    announcements = app.announcer.announce(campaign, outcome, app.clock())
    commit = ledger.Commit(
        campaign=campaign,
        revision=opened.revision,
        outcome=outcome,
        broadcast_keys=announcements.broadcast_keys,
        source_amounts=dict(zip(changed["contract_id"], changed["now"].tolist(), strict=True)),
        rejected=contracts.rejected,
        accept_losses=lost,
        fetched=len(table.rows),
    )
    return _Prepared(commit, announcements, contracts.duplicates + int((is_new & ~is_in_time).sum()))


def _lost(campaign: Campaign, opened: ledger.Opened, contracts: Contracts, options: RunOptions) -> frozenset[str]:
    """Registered contracts that this run accepts to be gone. Raises PullShrankError."""
    known = frozenset(opened.state.registered["contract_id"])
    lost = known - contracts.shown_ids() - opened.accepted_losses
    if len(lost) <= SHRINK_ROWS or len(lost) <= SHRINK_SHARE * len(known):
        return frozenset()
    if options.accept_shrink:
        return lost
    raise PullShrankError(
        f"源数据比已登记的少了 {len(lost)} 个合同（已登记 {len(known)} 个），不予采信，什么也没有登记；"
        f"请检查问题卡 {campaign.card_id}，若确实如此，运行 run {campaign.key} --accept-shrink"
    )


def _record_acceptance(connection: Connection, commit: ledger.Commit, now: datetime) -> None:
    """To accept a shrunken pull is a person's act."""
    if commit.accept_losses:
        detail = f"{commit.campaign.key}：承认源数据少了 {len(commit.accept_losses)} 个已登记的合同"
        record_act(connection, now, getpass.getuser(), "accept-shrink", detail)


def _mark_announced(connection: Connection, broadcast_keys: Sequence[str], now: datetime) -> None:
    """New rows whose broadcast was sent before they were registered, by `notify_awards_*` on a file."""
    for key, is_sent in known_keys(connection, broadcast_keys).items():
        if is_sent:
            ledger.mark_notified(connection, key, now)


def _alert(app: Application, fault: str, text: str) -> None:
    """Queue word to operations; where that can't be written, the log and the report have it."""
    try:
        with app.database.writing() as connection:
            enqueue(connection, app.announcer.alert(fault, text, app.clock()), app.clock())
    except sa.exc.OperationalError:
        log.exception("无法把告警放进队列：%s", text)


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


def _start_run(app: Application, job: str, slot: datetime) -> int | None:
    """Note that a run began; None where even that can't be written: the run itself will then say why."""
    values = {"job": job, "slot": slot, "started_at": app.clock()}
    try:
        with app.database.writing() as connection:
            run_id: int = connection.execute(sa.insert(job_runs).values(values).returning(job_runs.c.id)).scalar_one()
    except sa.exc.OperationalError:
        log.exception("无法记录运行 %s", job)
        return None
    return run_id


def _end_run(app: Application, run_id: int, report: JobReport) -> None:
    counts = {name: value for name, value in report.summary().items() if isinstance(value, int)}
    values = {
        "ended_at": app.clock(),
        "outcome": report.outcome,
        "counts": json.dumps(counts),
        "error": report.error,
    }
    try:
        with app.database.writing() as connection:
            connection.execute(sa.update(job_runs).where(job_runs.c.id == run_id).values(values))
    except sa.exc.OperationalError:
        log.exception("无法记录运行 %s 的结果", report.job)


def run_active_campaigns(app: Application, as_of: datetime, should_stop: Callable[[], bool]) -> list[JobReport]:
    """All campaigns whose time it is, one after another, each isolated from the others' failures."""
    reports = []
    for campaign in app.campaigns.valid.values():
        if should_stop():
            break
        if campaign.card_id is not None and campaign.is_active(as_of.date()):
            reports.append(run_campaign(app, campaign, as_of, RunOptions()))
        elif as_of.date() > campaign.last_settle_day:
            app.views.archive_settled(campaign.key, as_of)
    app.views.prune(app.clock())
    return reports


def run_now(key: str) -> JobReport:
    """Run a campaign now, with the settings of this installation: what the doors below do."""
    with open_application() as app:
        as_of = app.clock()
        return run_campaign(app, find_campaign(app, key, as_of, RunOptions(force=True)), as_of, RunOptions())


def signing_and_sales_incentive_apr_beijing() -> JobReport:
    """BJ-2025-04, now."""
    return run_now("BJ-2025-04")


def signing_and_sales_incentive_may_beijing() -> JobReport:
    """BJ-2025-05, now."""
    return run_now("BJ-2025-05")


def signing_and_sales_incentive_apr_shanghai() -> JobReport:
    """SH-2025-04, now."""
    return run_now("SH-2025-04")


def signing_and_sales_incentive_may_shanghai() -> JobReport:
    """SH-2025-05, now."""
    return run_now("SH-2025-05")
