"""Why a contract did not win: for each rule that is switched on, what was not met, in Chinese, with numbers.

The counterpart of the rules' `why`. It looks at what was registered, not at the whole ledger, so it explains one
contract at a time, by the configuration that it was registered under.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from modules.rewards.campaign import Campaign
from modules.rewards.explain import amount_range
from modules.rewards.money import format_yuan
from modules.rewards.rule import Rule
from modules.rewards.rules import (
    SEQUENCES,
    ContractRewards,
    LuckyNumber,
    Opening,
    SelfReferral,
    Tiers,
    rules_of,
)
from modules.rewards.sections import ContractBand


@dataclass(frozen=True)
class Seen:
    """A registered contract as the rules saw it; money in fen, figures running up to and with it.

    `earlier_at_address` is the payee's first self-referral contract at the address before this one (empty: none),
    `used` how often each (kind, name) had been granted before, `remark` what was then missing for the next tier.
    """

    sequence: int
    personal_sequence: int
    platform_sequence: int
    amount: int
    self_referral: bool
    historical: bool
    address: str
    earlier_at_address: str
    count: int
    performance_total: int
    platform_count: int
    platform_performance_total: int
    remark: str
    used: Mapping[tuple[str, str], int]


def unmet(campaign: Campaign, seen: Seen, won: Collection[str]) -> list[str]:
    """One sentence for each rule; those whose kind is among the kinds `won` are left out."""
    if seen.historical:
        return ["历史合同，仅计入业绩：不编号，不发奖"]
    if campaign.announcement_only:
        return ["本活动只播报，不发奖"]
    rules = rules_of(campaign)
    if not rules:
        return ["本活动没有设置任何奖励"]
    return [_unmet_words(rule, campaign, seen) for rule in rules if rule.kind not in won]


def _unmet_words(rule: Rule, campaign: Campaign, seen: Seen) -> str:
    own = WORDS.get(type(rule))
    if own is None:
        return f"{rule.kind}：没有达到条件"
    return f"{rule.kind}：{own(campaign, seen) or '条件已达到，但台账里没有发放，请核对'}"


def _opening(campaign: Campaign, seen: Seen) -> str | None:
    section = campaign.opening_reward
    if section is None or seen.sequence <= section.first:
        return None
    return f"活动期内第 {seen.sequence} 单，不在前 {section.first} 单之内（{section.name}）"


def _lucky(campaign: Campaign, seen: Seen) -> str | None:
    number, is_digit = campaign.lucky_number, campaign.lucky_number_mode == "contract_number"
    figure, what = SEQUENCES["global" if is_digit else campaign.lucky_number_sequence_type]
    at: int = getattr(seen, figure)
    if number is None:
        return None
    opening = campaign.opening_reward
    if opening is not None and seen.sequence <= opening.first:
        return f"活动期内第 {seen.sequence} 单，前 {opening.first} 单只给{opening.name}"
    if at == 0:
        return "这是自引单，只有平台单能中幸运数字"
    if (at % 10 == number) if is_digit else (at % number == 0):
        return None
    return f"{what}第 {at} 单，" + (f"尾数不是幸运数字 {number}" if is_digit else f"不是 {number} 的倍数")


def _bands(campaign: Campaign, seen: Seen) -> str | None:
    amount = f"合同金额 {format_yuan(seen.amount)} 元"
    fitting = [band for band in campaign.contract_rewards if _is_for(band, seen.amount)]
    in_time = [band for band in fitting if band.first_contracts is None or seen.sequence <= band.first_contracts]
    if in_time:
        band = in_time[0]
        is_used_up = band.quota is not None and seen.used.get((ContractRewards.kind, band.name), 0) >= band.quota
        return f"{amount}，符合{band.name}，但 {band.quota} 个名额在此之前已用完" if is_used_up else None
    if fitting:
        late = "、".join(f"{band.name}只给前 {band.first_contracts} 单" for band in fitting)
        return f"{amount}，但已是活动期内第 {seen.sequence} 单，{late}"
    listed = "；".join(f"{band.name} {amount_range(band)}" for band in campaign.contract_rewards)
    return f"{amount}，不在任何一档之内（{listed}）"


def _is_for(band: ContractBand, amount: int) -> bool:
    return band.min_amount <= amount and (band.below_amount is None or amount < band.below_amount)


def _red_packet(campaign: Campaign, seen: Seen) -> str | None:
    if not seen.self_referral:
        return "这是平台单，只有自引单有红包"
    if not seen.address:
        return "没有项目地址，无法确认是不是新地址"
    if seen.earlier_at_address:
        return f"该管家已在同一地址登记过自引单（合同 {seen.earlier_at_address}）：{seen.address}"
    return None


def _tiers(campaign: Campaign, seen: Seen) -> str | None:
    section = campaign.tiered_rewards
    if section is not None and section.stats == "platform_only":
        if seen.self_referral:
            return "这是自引单，只有平台单计入节节高"
        return _progress("平台单", seen.platform_count, seen.platform_performance_total, seen.remark)
    return _progress("", seen.count, seen.performance_total, seen.remark)


def _progress(what: str, count: int, total: int, remark: str) -> str:
    missing = "各档在此之前都已获得" if remark in ("", "无") else remark
    return f"{what}累计 {count} 单，{what}累计计入业绩 {format_yuan(total)} 元；{missing}"


WORDS: Mapping[type[Rule], Callable[[Campaign, Seen], str | None]] = {
    Opening: _opening,
    LuckyNumber: _lucky,
    ContractRewards: _bands,
    SelfReferral: _red_packet,
    Tiers: _tiers,
}
"""What was not met, for each kind of rule; None where nothing seems to be missing."""
