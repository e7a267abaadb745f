"""What of a campaign a person may turn to see what comes of it: thresholds, amounts, minimum contracts, caps. Pure.

Each lever knows its place in the entry of REWARD_CONFIGS, so that turning it is a `Change`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from modules.rewards.campaign import Campaign
from modules.rewards.changes import Change
from modules.rewards.faults import PathPart
from modules.rewards.money import plain_yuan
from modules.rewards.sections import SELF_REFERRAL_LIMITS

Kind = Literal["yuan", "count", "factor", "switch"]
Value = int | Decimal | bool | None
"""By kind: fen, a number, a factor, on or off; None: no limit."""

_LIMITS = {
    "single_contract_cap": "单个合同上限（元）",
    "single_project_limit": "单个工单上限（元）",
    "self_referral_contract_cap": "自引单合同上限（元）",
    "self_referral_project_limit": "自引单工单上限（元）",
}


@dataclass(frozen=True)
class Lever:
    """One value of an entry. `group` and `label` are for people; `may_be_none`: nothing written means no limit."""

    path: tuple[PathPart, ...]
    group: str
    label: str
    kind: Kind
    value: Value
    may_be_none: bool = False

    def turned(self, value: Value) -> Change:
        """The change that writes this value, as a person would write it: whole yuan as a number, else as text."""
        if value is None or self.kind in ("switch", "count"):
            return Change(self.path, value)
        text = plain_yuan(int(value)) if self.kind == "yuan" else f"{Decimal(value).normalize():f}"
        return Change(self.path, int(text) if text.isdigit() else text)


def levers_of(campaign: Campaign) -> tuple[Lever, ...]:
    """All of them, by group, in the order of the rules; an award's amount stands once, where it is first granted."""
    found = [*_tiers(campaign), *_lucky(campaign), *_bands(campaign), *_self_referral(campaign)]
    found += [*_limits(campaign), *_badges(campaign)]
    return tuple({lever.path: lever for lever in found}.values())


def _amount(campaign: Campaign, group: str, name: str) -> Iterator[Lever]:
    if name in campaign.awards_mapping:
        path = ("awards_mapping", name)
        yield Lever(path, group, f"{name} 奖金（元）", "yuan", campaign.awards_mapping[name])


def _tiers(campaign: Campaign) -> Iterator[Lever]:
    section, group = campaign.tiered_rewards, "节节高"
    if section is None or not campaign.has_tiers:
        return
    yield Lever(("tiered_rewards", "min_contracts"), group, "最低单数", "count", section.min_contracts)
    for index, tier in enumerate(section.tiers):
        path = ("tiered_rewards", "tiers", index, "threshold")
        yield Lever(path, group, f"{tier.name} 门槛（元）", "yuan", tier.threshold)
        yield from _amount(campaign, group, tier.name)


def _lucky(campaign: Campaign) -> Iterator[Lever]:
    group = "幸运数字"
    if campaign.announcement_only:
        return
    opening, lucky = campaign.opening_reward, campaign.lucky_rewards
    if opening is not None:
        yield Lever(("opening_reward", "first"), group, f"{opening.name} 前几单", "count", opening.first)
        yield from _amount(campaign, group, opening.name)
    if campaign.lucky_number is None or lucky is None:
        return
    yield Lever(("lucky_number",), group, "幸运数字", "count", campaign.lucky_number)
    yield from _amount(campaign, group, lucky.base.name)
    if lucky.high is not None:
        path = ("lucky_rewards", "high", "threshold")
        yield Lever(path, group, f"{lucky.high.name} 合同金额从（元）", "yuan", lucky.high.threshold)
        yield from _amount(campaign, group, lucky.high.name)


def _bands(campaign: Campaign) -> Iterator[Lever]:
    group = "签约奖励"
    for index, band in enumerate(() if campaign.announcement_only else campaign.contract_rewards):
        at, name = ("contract_rewards", index), band.name
        yield Lever((*at, "min_amount"), group, f"{name} 合同金额从（元）", "yuan", band.min_amount)
        yield Lever((*at, "below_amount"), group, f"{name} 到（元，不含）", "yuan", band.below_amount, True)
        yield Lever((*at, "first_contracts"), group, f"{name} 只限前几单", "count", band.first_contracts, True)
        yield Lever((*at, "quota"), group, f"{name} 名额", "count", band.quota, True)
        yield from _amount(campaign, group, name)


def _self_referral(campaign: Campaign) -> Iterator[Lever]:
    section = campaign.self_referral_rewards
    if section is not None and section.reward_name is not None and campaign.pays_self_referrals:
        yield from _amount(campaign, "自引单", section.reward_name)


def _limits(campaign: Campaign) -> Iterator[Lever]:
    group, limits = "业绩上限", campaign.performance_limits
    yield Lever(("performance_limits", "enable_cap"), group, "启用合同上限", "switch", limits.enable_cap)
    for name, label in _LIMITS.items():
        if name not in SELF_REFERRAL_LIMITS or name in limits.model_fields_set:
            yield Lever(("performance_limits", name), group, label, "yuan", getattr(limits, name), True)


def _badges(campaign: Campaign) -> Iterator[Lever]:
    for name, badge in campaign.badges.items():
        if badge.applies_to:
            path = ("badges", name, "multiplier")
            yield Lever(path, "徽章", f"{badge.label} 倍数", "factor", badge.multiplier)


def turned_levers(levers: tuple[Lever, ...], values: Mapping[tuple[PathPart, ...], Value]) -> list[Change]:
    """The changes by the levers whose value is not the one that stands there."""
    return [lever.turned(values[lever.path]) for lever in levers if values.get(lever.path, lever.value) != lever.value]
