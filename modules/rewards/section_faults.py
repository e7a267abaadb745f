"""What the sections of a campaign, each right by itself, get wrong together; and what only looks like a mistake.

Everything is told with its place in the entry.
"""

from collections.abc import Iterator, Sequence

from modules.rewards.campaign import Campaign
from modules.rewards.faults import Location
from modules.rewards.money import plain_yuan
from modules.rewards.readable import NOTHING, Unreadable
from modules.rewards.rules import kinds
from modules.rewards.sections import ContractBand, Tier

Found = tuple[Location, str]
"""Where something is wrong, and what."""


def section_faults(campaign: Campaign, unreadable: Unreadable = NOTHING) -> Iterator[Found]:
    """All faults of sections together; none at, and none that hangs on, what can't be read."""
    for location, text in _all_faults(campaign, unreadable):
        if not unreadable.touches(*location):
            yield location, text


def section_warnings(campaign: Campaign) -> Iterator[Found]:
    """What does no harm and has no effect either.

    Sections that `announcement_only` switches off are left in place on purpose, and silent; their amounts are pointed
    out like all that are never granted, in words that name the switch, as nobody should wait for that money.
    """
    if campaign.card_id is None:
        yield ("card_id",), "未写问题卡编号，这个活动不会自动运行"
    placeless = [
        ("contract_rewards", index, "name") for index, band in enumerate(campaign.contract_rewards) if band.quota == 0
    ]
    granted = {name for at, name in campaign.grantable() if at not in placeless}
    for name in campaign.awards_mapping:
        if name not in granted:
            yield ("awards_mapping", name), f"有金额，但{_why_never(campaign, name)}"
    if "lucky_number_sequence_type" in campaign.model_fields_set and campaign.lucky_number_mode == "contract_number":
        yield ("lucky_number_sequence_type",), "只在 lucky_number_mode 为 personal_sequence 时起作用，现在不起作用"
    yield from _idle_caps(campaign)


def _why_never(campaign: Campaign, name: str) -> str:
    if campaign.announcement_only:
        return "活动只报喜（announcement_only），不会发这个奖"
    if any(name == other for _, other in campaign.grantable()):
        return "名额 quota 是 0，不会发这个奖"
    return "没有任何规则会发这个奖"


def _all_faults(campaign: Campaign, unreadable: Unreadable) -> Iterator[Found]:
    if campaign.lucky_number is not None and campaign.lucky_rewards is None:
        yield ("lucky_rewards",), "设置了 lucky_number，缺少这一项，请补上奖励名称"
    if campaign.lucky_rewards is not None and campaign.lucky_number is None:
        number = "正整数" if campaign.lucky_number_mode == "personal_sequence" else " 0 到 9 的数字"
        yield ("lucky_number",), f"设置了 lucky_rewards，缺少这一项，请补上{number}"
    if campaign.tiered_rewards is not None:
        yield from _tier_faults(campaign.tiered_rewards.tiers, unreadable)
    yield from _band_faults(campaign.contract_rewards, unreadable)
    referral = campaign.self_referral_rewards
    is_enabled = referral is not None and referral.enable and not unreadable.touches("self_referral_rewards", "enable")
    if referral and is_enabled and not referral.reward_name:
        yield ("self_referral_rewards", "reward_name"), "启用了自引单奖励，缺少这一项，请补上奖励名称"
    if not unreadable.touches("announcement_only"):
        for location, name in campaign.grantable():
            if name not in campaign.awards_mapping and not unreadable.touches("awards_mapping", name):
                yield location, f"“{name}”在 awards_mapping 里没有金额，请补上"
    yield from _badge_faults(campaign)


def _tier_faults(tiers: Sequence[Tier], unreadable: Unreadable) -> Iterator[Found]:
    below: Tier | None = None
    names: set[str] = set()
    for index, tier in enumerate(tiers):
        at = ("tiered_rewards", "tiers", index)
        if below is not None and tier.threshold <= below.threshold:
            here, before = plain_yuan(tier.threshold), plain_yuan(below.threshold)
            yield (*at, "threshold"), f"{here} 不高于上一档 {before}，应逐档升高"
        if tier.name in names:
            yield (*at, "name"), f"“{tier.name}”与前面一档重名，每档应有自己的名称"
        if not unreadable.touches(*at, "threshold"):
            below = tier
        names.add(tier.name)


def _band_faults(bands: Sequence[ContractBand], unreadable: Unreadable) -> Iterator[Found]:
    names: set[str] = set()
    known: list[ContractBand] = []
    for index, band in enumerate(bands):
        at = ("contract_rewards", index)
        if band.name in names:
            yield (*at, "name"), f"“{band.name}”与前面一段重名，每段应有自己的名称"
        names.add(band.name)
        if unreadable.touches(*at, "min_amount") or unreadable.touches(*at, "below_amount"):
            continue
        if band.below_amount is not None and band.below_amount <= band.min_amount:
            below, least = plain_yuan(band.below_amount), plain_yuan(band.min_amount)
            yield (*at, "below_amount"), f"{below} 不高于 min_amount {least}，应高于它"
            continue
        for earlier in known:
            if _overlap(band, earlier):
                text = f"{_range(band)} 与“{earlier.name}”的 {_range(earlier)} 重叠，各段金额应互不重叠"
                yield (*at, "min_amount"), text
        known.append(band)


def _overlap(one: ContractBand, other: ContractBand) -> bool:
    return (other.below_amount is None or one.min_amount < other.below_amount) and (
        one.below_amount is None or other.min_amount < one.below_amount
    )


def _range(band: ContractBand) -> str:
    if band.below_amount is None:
        return f"{plain_yuan(band.min_amount)} 及以上"
    return f"{plain_yuan(band.min_amount)} 至 {plain_yuan(band.below_amount)}"


def _badge_faults(campaign: Campaign) -> Iterator[Found]:
    *others, last = (repr(kind) for kind in kinds())
    for name, badge in campaign.badges.items():
        for index, kind in enumerate(badge.applies_to):
            if kind not in kinds():
                text = f"{kind!r} 不在可选之列，应为 {', '.join(others)} 或 {last}"
                yield ("badges", name, "applies_to", index), text


def _idle_caps(campaign: Campaign) -> Iterator[Found]:
    """Project limits below the contract cap of their track, which then never matters."""
    limits = campaign.performance_limits
    own = [
        name
        for name in ("self_referral_project_limit", "self_referral_contract_cap")
        if name in limits.model_fields_set
    ]
    for self_referral, place in ((False, "single_project_limit"), *((True, name) for name in own[:1])):
        cap = limits.contract_cap(self_referral=self_referral)
        limit = limits.project_limit(self_referral=self_referral)
        if cap is not None and limit is not None and limit < cap:
            text = f"工单上限 {plain_yuan(limit)} 低于单个合同上限 {plain_yuan(cap)}，合同上限不起作用"
            yield ("performance_limits", place), text
