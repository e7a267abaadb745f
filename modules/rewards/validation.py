"""REWARD_CONFIGS, plain dict literals → campaigns, and all faults and warnings at once, each with its path."""

import calendar
import copy
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pydantic import ValidationError

from modules.rewards.campaign import Campaign, City, Tier
from modules.rewards.faults import Fault, PathPart, faults_of, join_path
from modules.rewards.money import plain_yuan

_KEY = re.compile(r"([A-Z]{2,4})-(20[0-9]{2})-(0[1-9]|1[0-2])")

_NOWHERE = City(name="__unknown__", group="__unknown__", contact="__unknown__", template="__unknown__")
"""Stands in for a city that the table lacks, so that the rest of its entry can be judged."""

_JUDGED_TOGETHER = frozenset({"announcement_only", "lucky_number", "lucky_rewards", "tiered_rewards", "awards_mapping"})
"""The sections that `_section_faults` looks at."""

_ANY_FRAME: Mapping[str, Any] = {
    "title": "-",
    "city": "-",
    "start": date.min,
    "end": date.max,
    "notification": {"group": "-", "contact": "-", "template": "_"},
}
"""What a campaign needs beside them."""


@dataclass(frozen=True)
class ParsedCampaigns:
    """What became of REWARD_CONFIGS: the campaigns that can run, and everything there is to say about the rest."""

    campaigns: Mapping[str, Campaign]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def entry_path(key: object, location: Sequence[PathPart] = ()) -> str:
    """`REWARD_CONFIGS["BJ-2025-05"].tiered_rewards.tiers[2].threshold`."""
    return join_path(f'REWARD_CONFIGS["{key}"]', location)


def parse_campaigns(
    entries: Mapping[Any, Any],
    cities: Mapping[str, City],
    badge_lists: Mapping[str, frozenset[str]],
    today: date,
) -> ParsedCampaigns:
    """All campaigns of REWARD_CONFIGS; those with a fault are left out and their faults told, all at once."""
    parsed: dict[str, Campaign] = {}
    faults: list[Fault] = []
    for key, entry in entries.items():
        outcome = _parse_one(str(key), entry, cities, badge_lists)
        if isinstance(outcome, Campaign):
            parsed[str(key)] = outcome
        else:
            faults += outcome
    overlapping = list(_overlaps(parsed.values()))
    faults += [fault for _, fault in overlapping]
    valid = {key: campaign for key, campaign in parsed.items() if key not in {bad for bad, _ in overlapping}}
    warnings = [warning for campaign in valid.values() for warning in _warnings(campaign)]
    warnings += _uncovered_months(valid.values(), today)
    return ParsedCampaigns(valid, tuple(faults), tuple(warnings))


def _parse_one(
    key: str, entry: object, cities: Mapping[str, City], badge_lists: Mapping[str, frozenset[str]]
) -> Campaign | list[Fault]:
    match = _KEY.fullmatch(key)
    if match is None:
        return [Fault(entry_path(key), "活动编号应写成 城市代码-年-月，例如 BJ-2025-05")]
    if not isinstance(entry, Mapping):
        return [Fault(entry_path(key), "应是一组键和值")]
    if "key" in entry:
        return [Fault(entry_path(key, ("key",)), "未知的键，活动编号已写在外面，请删去")]
    code, year, month = match.group(1), int(match.group(2)), int(match.group(3))
    document = _with_defaults(key, entry, cities.get(code, _NOWHERE), year, month)
    lost = [Fault(entry_path(key), _unknown_city(code, cities))] if _leans_on_nowhere(document) else []
    try:
        campaign = Campaign.model_validate(document, context={"badge_lists": badge_lists})
    except ValidationError as error:
        faults = faults_of(error, Campaign, lambda location: entry_path(key, location))
        return lost + faults + _faults_beside(error, document)
    return [*lost, *_section_faults(campaign)] or campaign


def _leans_on_nowhere(document: Mapping[str, Any]) -> bool:
    """Whether an entry of an unknown city leaves anything to the table of cities."""
    routes = document["notification"]
    return document["city"] == _NOWHERE.name or (isinstance(routes, Mapping) and _NOWHERE.name in routes.values())


def _faults_beside(error: ValidationError, document: Mapping[str, Any]) -> list[Fault]:
    """What else is wrong with an entry that can't be read whole: unknown keys and unreadable sections taken out,

    the rest is held together as usual, so that nobody mends one fault to be told of the next.
    """
    rest: dict[str, Any] = copy.deepcopy(dict(document))
    unreadable = set()
    for item in error.errors(include_url=False):
        if item["type"] == "extra_forbidden":
            parent: Any = rest
            for part in item["loc"][:-1]:
                parent = parent[part]
            parent.pop(item["loc"][-1], None)
        else:
            unreadable.add(str(item["loc"][0]))
    sections = {name: value for name, value in rest.items() if name in _JUDGED_TOGETHER - unreadable}
    if "lucky_number" in unreadable:
        sections["lucky_number"] = 0
    campaign = Campaign.model_validate({**_ANY_FRAME, **sections, "key": rest["key"]})
    return list(_section_faults(campaign, unreadable))


def _with_defaults(key: str, entry: Mapping[str, Any], city: City, year: int, month: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "city": city.name,
        "start": date(year, month, 1),
        "end": date(year, month, calendar.monthrange(year, month)[1]),
    }
    routes = {"group": city.group, "contact": city.contact, "template": city.template}
    document |= {str(name): value for name, value in entry.items() if value is not None}
    document.setdefault("title", f"{document['city']}{month}月签约激励")
    own = document.get("notification", {})
    document["notification"] = {**routes, **own} if isinstance(own, Mapping) else own
    document["key"] = key
    return document


def _unknown_city(code: str, cities: Mapping[str, City]) -> str:
    known = "、".join(f"{known} {city.name}" for known, city in cities.items())
    return f"城市代码 {code} 不在 CITIES 表里（现有：{known}）；请在表里加一行，或写全 city 和 notification"


def _section_faults(campaign: Campaign, unreadable: Collection[str] = ()) -> Iterator[Fault]:
    """What the sections, each right by itself, get wrong together; nothing that hangs on an unreadable one."""
    key = campaign.key
    if campaign.lucky_number is not None and campaign.lucky_rewards is None and "lucky_rewards" not in unreadable:
        yield Fault(entry_path(key, ("lucky_rewards",)), "设置了 lucky_number，缺少这一项，请补上奖励名称")
    if campaign.lucky_rewards is not None and campaign.lucky_number is None:
        yield Fault(entry_path(key, ("lucky_number",)), "设置了 lucky_rewards，缺少这一项，请补上 0 到 9 的数字")
    if campaign.tiered_rewards is not None:
        yield from _tier_faults(key, campaign.tiered_rewards.tiers)
    amounts_known = not {"awards_mapping", "announcement_only"} & set(unreadable)
    for path, name in campaign.grantable():
        if amounts_known and name not in campaign.awards_mapping:
            yield Fault(entry_path(key, path), f"“{name}”在 awards_mapping 里没有金额，请补上")


def _tier_faults(key: str, tiers: Sequence[Tier]) -> Iterator[Fault]:
    for index, tier in enumerate(tiers):
        path = ("tiered_rewards", "tiers", index)
        if index and tier.threshold <= tiers[index - 1].threshold:
            here, before = plain_yuan(tier.threshold), plain_yuan(tiers[index - 1].threshold)
            yield Fault(entry_path(key, (*path, "threshold")), f"{here} 不高于上一档 {before}，应逐档升高")
        if tier.name in {earlier.name for earlier in tiers[:index]}:
            yield Fault(entry_path(key, (*path, "name")), f"“{tier.name}”与前面一档重名，每档应有自己的名称")


def _overlaps(campaigns: Iterable[Campaign]) -> Iterator[tuple[str, Fault]]:
    """Campaigns of one city whose periods overlap on one card: each with its fault."""
    listed = [campaign for campaign in campaigns if campaign.card_id is not None]
    for one in listed:
        for other in listed:
            same_source = one.card_id == other.card_id and one.city == other.city and one.key != other.key
            if same_source and one.start <= other.end and other.start <= one.end:
                text = f"{one.start} 至 {one.end} 与 {other.key} 的活动期重叠，且同用问题卡 {one.card_id}，请改其一"
                yield one.key, Fault(entry_path(one.key, ("start",)), text)


def _warnings(campaign: Campaign) -> Iterator[Fault]:
    key, limits = campaign.key, campaign.performance_limits
    if campaign.card_id is None:
        yield Fault(entry_path(key, ("card_id",)), "未写问题卡编号，这个活动不会自动运行")
    granted = {name for _, name in campaign.grantable()}
    for name in campaign.awards_mapping:
        if name not in granted:
            yield Fault(entry_path(key, ("awards_mapping", name)), "有金额，但没有任何规则会发这个奖")
    for self_referral in (False, True):
        cap, limit = (
            limits.contract_cap(self_referral=self_referral),
            limits.project_limit(self_referral=self_referral),
        )
        if cap is not None and limit is not None and limit < cap:
            name = "self_referral_project_limit" if self_referral else "single_project_limit"
            if not self_referral or limits.distinguishes_tracks():
                text = f"工单上限 {plain_yuan(limit)} 低于单个合同上限 {plain_yuan(cap)}，合同上限不起作用"
                yield Fault(entry_path(key, ("performance_limits", name)), text)


def _uncovered_months(campaigns: Iterable[Campaign], today: date) -> Iterator[Fault]:
    """Cities that have had campaigns, but none that covers a day of next month."""
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    covered: dict[str, bool] = {}
    for campaign in campaigns:
        covers = campaign.start <= last and first <= campaign.end
        covered[campaign.city] = covered.get(campaign.city, False) or covers
    for city, is_covered in covered.items():
        if not is_covered:
            yield Fault("REWARD_CONFIGS", f"{city}还没有覆盖下个月（{first:%Y-%m}）的活动")
