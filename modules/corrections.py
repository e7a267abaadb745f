"""reconcile: what ledger and source owe each other. settle: tiers that are owed without a new contract are granted as
corrections.

settle goes as a run does: the ledger is read with its revision, the source fetched and compared outside any
transaction, then awards, notices and the audit log are written in one. Where another run came first, it starts over.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import config_guard, ledger
from modules.campaign_ledger import worked_by
from modules.campaign_pull import CampaignPull, fetch, hold_against_ledger, require_belief, retry_when_overtaken
from modules.database import in_words, record_act
from modules.errors import PULL_ERRORS, JobRefusedError
from modules.explanation_words import payee_words
from modules.ledger_records import AwardRecord, read_awards
from modules.outbox import count_tasks, enqueue
from modules.reconciliation import BookedContract, Reconciliation, award_json, reconcile
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award
from modules.rewards.money import format_yuan, plain_yuan
from modules.tables import performance

if TYPE_CHECKING:
    from modules.application import Application

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """A campaign's ledger and a pull of its source, held against each other."""

    opened: ledger.Opened
    awards: Sequence[AwardRecord]
    pull: CampaignPull
    found: Reconciliation


def look(app: "Application", campaign: Campaign, as_of: datetime, *, to_change: bool) -> Look:
    """Fetch and compare; writes nothing. A closed campaign is judged by the configuration that it was closed by.

    Raises JobRefusedError and what comes of a pull; where something is to be changed after it, also
    CampaignClosedError, and PullShrankError where the pull is not to be believed.
    """
    with app.database.reading() as connection:
        opened = ledger.read(connection, campaign.key)
        config_guard.require_accepted(connection, campaign)
        if opened.closed_at is not None:
            campaign = worked_by(connection, campaign.key) or campaign
        contracts = _booked(connection, campaign.key)
        awards = read_awards(connection, campaign.key)
    if to_change and opened.closed_at is not None:
        raise ledger.CampaignClosedError(campaign.key)
    pull = hold_against_ledger(campaign, as_of, opened, fetch(app, campaign))
    if to_change:
        require_belief(campaign, opened, pull.shown, as_of)
    return Look(opened, awards, pull, reconcile(campaign, as_of, opened, contracts, awards, pull))


def compare(app: "Application", campaign: Campaign, as_of: datetime, who: str) -> Reconciliation:
    """What a person asks for: `look`, with the answer, or why there was none, on record in their name.

    A record that can't be written costs nobody the answer, which changes nothing: it then stands in the log alone.
    """
    try:
        found = look(app, campaign, as_of, to_change=False).found
    except (JobRefusedError, *PULL_ERRORS) as error:
        _record(app, who, f"{campaign.key}：对账没有成功：{error}")
        raise
    _record(app, who, _found_words(found))
    return found


def _record(app: "Application", who: str, detail: str) -> None:
    try:
        with app.database.writing() as connection:
            record_act(connection, app.clock(), who, "reconcile", detail)
    except sa.exc.DBAPIError as error:
        log.warning("操作记录没有写进数据库：%s，%s（%s）", who, detail, in_words(error))


def _found_words(found: Reconciliation) -> str:
    differing = f"{found.differences} 处出入" if found.differences else "一致"
    unbelieved = "，源数据少了太多合同，不可采信" if found.is_shrunken else ""
    compared = f"源数据 {found.fetched} 行，台账 {found.registered} 个合同"
    return f"{found.campaign}：对账（截至 {found.at:%Y-%m-%d %H:%M}，{compared}），{differing}{unbelieved}"


def _booked(connection: Connection, key: str) -> dict[str, BookedContract]:
    columns = [performance.c[name] for name in BookedContract.__dataclass_fields__]
    rows = connection.execute(sa.select(*columns).where(performance.c.campaign == key).order_by(performance.c.id))
    return {row.contract_id: BookedContract(*row) for row in rows}


@dataclass(frozen=True)
class Settlement:
    """What was granted, or with a dry run would be; `tasks` new messages; `unregistered` contracts wait for a run."""

    campaign: str
    granted: tuple[Award, ...]
    tasks: int
    unregistered: int
    is_dry_run: bool

    @property
    def total(self) -> int:
        """In fen."""
        return sum(award.amount for award in self.granted)

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        return {
            "campaign": self.campaign,
            "outcome": "dry-run" if self.is_dry_run else "ok",
            "granted": [award_json(award) for award in self.granted],
            "total": plain_yuan(self.total),
            "tasks": self.tasks,
            "unregistered": self.unregistered,
        }


def settle(app: "Application", campaign: Campaign, as_of: datetime, who: str, *, dry_run: bool) -> Settlement:
    """Grant the tiers that are owed; a second time there is nothing left to grant. Raises as `look` does."""
    return retry_when_overtaken(campaign.key, lambda: _settle(app, campaign, as_of, who, dry_run=dry_run))


def _settle(app: "Application", campaign: Campaign, as_of: datetime, who: str, *, dry_run: bool) -> Settlement:
    looked = look(app, campaign, as_of, to_change=True)
    granted = [_signed(award, who) for award in looked.found.owed]
    messages = app.announcer.correction_notices(campaign, granted, app.clock())
    tasks = count_tasks(messages)
    if not dry_run:
        with app.database.writing() as connection:
            now, changes = app.clock(), looked.pull.changes
            ledger.grant(connection, campaign, looked.opened.revision, granted, changes, now)
            if granted:
                record_act(connection, now, who, "settle", f"{campaign.key}：补发 {_listed(granted)}")
            tasks = enqueue(connection, messages, now)
        app.views.refresh([campaign.key])
    return Settlement(campaign.key, tuple(granted), tasks, looked.found.unregistered, dry_run)


def _signed(award: Award, who: str) -> Award:
    """The award with the person who had it granted in its reason."""
    return replace(award, reason={**award.reason, "who": who})


def _listed(granted: Sequence[Award]) -> str:
    total = sum(award.amount for award in granted)
    return f"{len(granted)} 项奖励，共 {yuan_words(total)}：{'；'.join(map(award_words, granted))}"


def award_words(award: Award) -> str:
    """`许听澜 达标奖 200 元`."""
    return f"{payee_words(award.payee)} {award.name} {yuan_words(award.amount)}"


def yuan_words(fen: int) -> str:
    """`1,234.50 元`."""
    return f"{format_yuan(fen)} 元"
