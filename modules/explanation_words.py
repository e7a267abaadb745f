"""What stands in the ledger, in sentences: pure, records in, words out. Money in fen comes out in yuan."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from modules.clock import format_moment
from modules.ledger_records import AwardRecord, ContractRecord
from modules.rewards.campaign import Campaign
from modules.rewards.explain import why
from modules.rewards.frame import PAYEE_SEPARATOR, housekeeper_of
from modules.rewards.money import format_yuan, plain_yuan
from modules.rewards.rule import Position
from modules.rewards.rules import rules_of
from modules.rewards.sections import PerformanceLimits
from modules.rewards.validation import entry_path

ADJUSTMENT = "人工调整"
"""The kind of an award that a person wrote into the ledger; it may be negative."""


@dataclass(frozen=True)
class AwardExplanation:
    """An award, where it comes from (`path` in the configuration of `config_hash`), and its sentence."""

    award: AwardRecord
    amount: str
    sentence: str
    path: str

    @property
    def is_multiplied(self) -> bool:
        """Whether a badge made it more than the configuration says."""
        return _factor(self.award.multiplier) != "1"

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        award = self.award
        return {
            "contract_id": award.contract_id,
            "contract_number": award.contract_number,
            "kind": award.kind,
            "name": award.name,
            "amount": plain_yuan(award.amount),
            "base_amount": plain_yuan(award.base_amount),
            "multiplier": _factor(award.multiplier),
            "badge": award.badge or None,
            "why": self.sentence,
            "path": self.path or None,
            "config_hash": award.config_hash or None,
            "granted_at": format_moment(award.granted_at),
        }


def explain_award(key: str, campaign: Campaign | None, award: AwardRecord) -> AwardExplanation:
    """`campaign` is asked for the labels of badges only."""
    reason: dict[str, Any] = json.loads(award.reason)
    path = _whole_path(key, str(reason.get("path", "")))
    sentence = why(reason) or "台账里没有写明原因"
    if reason.get("who"):
        sentence += f"（{reason['who']} 操作）"
    if award.contract_id is None and award.kind != ADJUSTMENT:
        sentence = f"补发，没有对应的新合同：{sentence}"
    return AwardExplanation(award, amount_words(campaign, award), sentence, path)


def _whole_path(key: str, path: str) -> str:
    """From the root of the configuration, where it is a path in there at all."""
    section = re.match(r"\w+(?=[.\[]|$)", path)
    return f"{entry_path(key)}.{path}" if section and section[0] in Campaign.model_fields else path


def amount_words(campaign: Campaign | None, award: AwardRecord) -> str:
    """`200 元`, or with a badge `200 元 × 2（【🎖精英管家】）= 400 元`."""
    factor = _factor(award.multiplier)
    if factor == "1":
        return f"{format_yuan(award.amount)} 元"
    badge = campaign.badges.get(award.badge) if campaign else None
    label = badge.label if badge else award.badge
    return f"{format_yuan(award.base_amount)} 元 × {factor}（{label}）= {format_yuan(award.amount)} 元"


def counted_words(contract: ContractRecord, limits: PerformanceLimits | None, mates: Mapping[str, int]) -> str:
    """How much of the amount counted as performance, and what held the rest back.

    `limits` are those that the contract was registered under, `mates` what each contract of its project counted when
    it was registered before this one. Where that does not add up, some had vanished or changed: which, nobody knows.
    """
    amount, counted = contract.amount, contract.performance
    words = f"合同金额 {format_yuan(amount)} 元，计入业绩 {format_yuan(counted)} 元"
    if counted == amount:
        return f"{words}：全额计入"
    cap = limits.contract_cap(self_referral=contract.self_referral) if limits else None
    base = amount if cap is None else min(amount, cap)
    limit = limits.project_limit(self_referral=contract.self_referral) if limits else None
    reasons = [f"单个合同最多计 {format_yuan(cap)} 元"] if cap is not None and base < amount else []
    if counted < base and limit is not None and counted <= limit:
        used = limit - counted
        basis = "" if used == sum(mates.values()) else "；当时已从源数据里消失的不计，其余按当时的金额"
        named = f"（{'、'.join(mates)}{basis}）" if mates else ""
        reasons.append(
            f"工单 {contract.project} 的合同合计最多计 {format_yuan(limit)} 元，"
            f"此前的合同{named}已计 {format_yuan(used)} 元"
        )
    elif counted != base:
        reasons = ["登记时的配置里找不到原因，请核对"]
    return f"{words}：{'；'.join(reasons)}"


@dataclass(frozen=True)
class PayeeExplanation:
    """Where a payee stands by the ledger, what it was granted, and what is missing for the next.

    `position` is None where no configuration is known to count by. `owed` are tiers that are reached and not granted.
    """

    payee: str
    position: Position | None
    shows_tracks: bool
    awards: tuple[AwardExplanation, ...]
    outlook: tuple[str, ...]
    owed: tuple[str, ...]

    @property
    def housekeeper(self) -> str:
        return housekeeper_of(self.payee)

    @property
    def provider(self) -> str | None:
        """The service provider, where the campaign keeps payees by it."""
        return provider_of(self.payee)

    @property
    def amount(self) -> int:
        """All awards, corrections and adjustments, in fen."""
        return sum(one.award.amount for one in self.awards)

    @property
    def figures(self) -> str:
        """`累计 6 单，37,000 元，计入业绩 37,000 元（…）`."""
        if self.position is None:
            return "没有能读的配置，无法累计"
        position = self.position
        words = f"累计 {position.count} 单，{format_yuan(position.total)} 元"
        words += f"，计入业绩 {format_yuan(position.performance_total)} 元"
        if self.shows_tracks:
            own = position.performance_total - position.platform_performance_total
            words += (
                f"（平台单 {position.platform_count} 单、业绩 {format_yuan(position.platform_performance_total)} 元；"
                f"自引单 {position.count - position.platform_count} 单、业绩 {format_yuan(own)} 元）"
            )
        return words

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        position = self.position
        counted = position and {
            "count": position.count,
            "total": plain_yuan(position.total),
            "performance_total": plain_yuan(position.performance_total),
            "platform_count": position.platform_count,
            "platform_performance_total": plain_yuan(position.platform_performance_total),
        }
        return {
            "housekeeper": self.housekeeper,
            "provider": self.provider,
            "standing": counted,
            "awards": [one.summary() for one in self.awards],
            "amount": plain_yuan(self.amount),
            "outlook": list(self.outlook),
        }


def provider_of(payee: str) -> str | None:
    """The service provider of a payee that is housekeeper and provider."""
    _, separator, provider = payee.partition(PAYEE_SEPARATOR)
    return provider if separator else None


def payee_words(payee: str) -> str:
    """`许听澜`, or with a provider `许听澜（上海浦江春装饰）`: different for every payee of a campaign."""
    provider = provider_of(payee)
    return housekeeper_of(payee) if provider is None else f"{housekeeper_of(payee)}（{provider}）"


def outlook_of(campaign: Campaign | None, position: Position | None) -> tuple[str, ...]:
    """What is missing for the next award of every kind that is switched on."""
    if campaign is None or position is None:
        return ()
    if campaign.announcement_only:
        return ("本活动只播报，不发奖",)
    return tuple(sentence for rule in rules_of(campaign) for sentence in rule.outlook(position))


def _factor(multiplier: str) -> str:
    """`2` also for `2.0`."""
    return f"{Decimal(multiplier).normalize():f}"
