"""settle_report: on the last settle day of a campaign, operations are told what its ledger and its source owe each
other. Once for each campaign; one whose day was missed is made up for within a few days."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from modules.application import Application
from modules.clock import format_moment, in_shanghai
from modules.config_guard import ConfigNotAcceptedError
from modules.corrections import award_words, look, yuan_words
from modules.database import in_words
from modules.errors import PULL_ERRORS, JobFailedError, JobRefusedError
from modules.explanation_words import payee_words
from modules.job_runs import Writing
from modules.ledger import closed
from modules.outbox import enqueue, known_keys
from modules.reconciliation import BookedContract, Reconciliation
from modules.rewards.campaign import Campaign
from modules.rewards.money import format_yuan

log = logging.getLogger(__name__)

MADE_UP_WITHIN = timedelta(days=7)
LINES_SHOWN = 5
"""Of each kind of difference; `reconcile` shows all."""


def run(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
    """Report each campaign whose last settle day has come by this slot. Raises JobFailedError where one can't be."""
    failed, told, differences = [], 0, 0
    for campaign in _to_report(app, slot):
        try:
            found = look(app, campaign, app.clock(), to_change=False).found
        except (*PULL_ERRORS, JobRefusedError, ConfigNotAcceptedError) as error:
            failed.append(f"{campaign.key} 对账没有做成：{error}")
        except sa.exc.DBAPIError as error:
            log.exception("%s 对账没有做成", campaign.key)
            failed.append(f"{campaign.key} 对账没有做成：{in_words(error)}")
        else:
            with writing() as connection:
                enqueue(
                    connection, app.maker.report(report_key(campaign.key), report_text(campaign, found)), app.clock()
                )
            told, differences = told + 1, differences + found.differences
    if failed:
        raise JobFailedError("；".join(failed))
    return {"reports": told, "differences": differences}


def report_key(campaign_key: str) -> str:
    """Names the one report of a campaign."""
    return f"settle-report:{campaign_key}"


def _to_report(app: Application, slot: datetime) -> list[Campaign]:
    day = in_shanghai(slot).date()
    ended = [
        campaign
        for campaign in app.campaigns.valid.values()
        if campaign.card_id is not None and day - MADE_UP_WITHIN <= campaign.last_settle_day <= day
    ]
    with app.database.reading() as connection:
        told = known_keys(connection, [report_key(campaign.key) for campaign in ended])
        is_closed = closed(connection)
    return [one for one in ended if report_key(one.key) not in told and one.key not in is_closed]


def report_text(campaign: Campaign, found: Reconciliation) -> str:
    """The report: counts, the first differences of each kind, and what to do next."""
    last_day = campaign.last_settle_day
    is_today = in_shanghai(found.at).date() == last_day
    occasion = "今天是结算期最后一天" if is_today else f"的结算期已于 {last_day} 结束"
    lines = [
        f"📋 {found.campaign} {occasion}，对账结果（截至 {format_moment(found.at)}）",
        f"源数据 {found.fetched} 行，台账 {found.registered} 个合同，{found.differences} 处不一致。",
    ]
    if found.is_shrunken:
        lines.append("⚠️ 源数据比台账少了太多合同，不可采信，请先检查问题卡。")
    for title, details in _kinds(found):
        if details:
            lines.append(f"{title} {len(details)} 项：")
            lines += [f"  {line}" for line in details[:LINES_SHOWN]]
            if len(details) > LINES_SHOWN:
                lines.append(f"  …另有 {len(details) - LINES_SHOWN} 项")
    if found.unregistered:
        lines.append(f"源数据里还有 {found.unregistered} 个合同没有登记，下次运行时登记。")
    lines.append(f"下一步：运行 reconcile {found.campaign} 看全部；补发用 settle，核对无误后用 close 结账。")
    return "\n".join(lines)


def _kinds(found: Reconciliation) -> Iterator[tuple[str, Sequence[str]]]:
    yield "金额有变", [f"{_contract_words(one.contract)} → {yuan_words(one.now)}" for one in found.changed]
    yield "源数据里消失", [f"{_contract_words(one.contract)} 元" for one in found.lost]
    yield "应补发", [award_words(award) for award in found.owed]
    yield (
        "已发但不再达标",
        [f"{payee_words(tier.payee)} {tier.name} {yuan_words(tier.paid)}：{tier.missing}" for tier in found.unearned],
    )
    yield "拒收的行", [f"{row.contract_id or '（没有编号）'}：{row.reason}" for row in found.rejected]


def _contract_words(contract: BookedContract) -> str:
    return f"{contract.contract_number} {contract.housekeeper}：{format_yuan(contract.amount)}"
