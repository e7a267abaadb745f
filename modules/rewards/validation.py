"""REWARD_CONFIGS, plain dict literals → campaigns, and all faults and warnings at once, each with its path."""

import calendar
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pydantic import ValidationError

from modules.rewards.campaign import Campaign, City
from modules.rewards.faults import Fault, PathPart, faults_of, join_path, model_at
from modules.rewards.readable import NOTHING, Unreadable, as_far_as_readable
from modules.rewards.section_faults import section_faults, section_warnings

_KEY = re.compile(r"([A-Z]{2,4})-(20[0-9]{2})-(0[1-9]|1[0-2])")

_MAY_BE_EMPTY = frozenset(
    {
        "lucky_number",
        "awards_mapping",
        "source_types",
        *(name for name in Campaign.model_fields if model_at(Campaign, [name])),
    }
)
"""What is off where nothing stands in it: all that are no plain value."""


@dataclass(frozen=True)
class ParsedCampaigns:
    """What became of REWARD_CONFIGS: the campaigns that can run, and everything there is to say about the rest."""

    campaigns: Mapping[str, Campaign]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def entry_path(key: object, location: Sequence[PathPart] = ()) -> str:
    """`REWARD_CONFIGS["BJ-2025-05"].tiered_rewards.tiers[2].threshold`."""
    return join_path(f'REWARD_CONFIGS["{key}"]', location)


@dataclass(frozen=True)
class _Entry:
    """One entry: its faults, and what can be read of it (all of it where there are none; None: nothing)."""

    key: str
    faults: Sequence[Fault]
    campaign: Campaign | None = None
    unreadable: Unreadable = NOTHING


def parse_campaigns(
    entries: Mapping[Any, Any],
    cities: Mapping[str, City],
    badge_lists: Mapping[str, frozenset[str]],
    today: date,
) -> ParsedCampaigns:
    """All campaigns of REWARD_CONFIGS; those with a fault are left out and their faults told, all at once."""
    parsed = [_parse_one(str(key), entry, cities, badge_lists) for key, entry in entries.items()]
    faults = [fault for entry in parsed for fault in entry.faults]
    decisive = ("card_id", "start", "end")
    readable = (
        entry.campaign for entry in parsed if entry.campaign and not any(map(entry.unreadable.touches, decisive))
    )
    overlapping = list(overlaps(readable))
    faults += [fault for _, fault in overlapping]
    spoilt = {key for key, _ in overlapping} | {entry.key for entry in parsed if entry.faults}
    valid = {entry.key: entry.campaign for entry in parsed if entry.campaign and entry.key not in spoilt}
    warnings = [
        Fault(entry_path(key, location), text)
        for key, campaign in valid.items()
        for location, text in section_warnings(campaign)
    ]
    warnings += _uncovered_months(valid.values(), today)
    return ParsedCampaigns(valid, tuple(faults), tuple(warnings))


def _parse_one(
    key: str, entry: object, cities: Mapping[str, City], badge_lists: Mapping[str, frozenset[str]]
) -> _Entry:
    match = _KEY.fullmatch(key)
    if match is None:
        return _Entry(key, [Fault(entry_path(key), "活动编号应写成 城市代码-年-月，例如 BJ-2025-05")])
    if not isinstance(entry, Mapping):
        return _Entry(key, [Fault(entry_path(key), "应是一组键和值")])
    code, year, month = match.group(1), int(match.group(2)), int(match.group(3))
    written = _switched_on(entry)
    faults = []
    if written.pop("key", None) is not None:
        faults.append(Fault(entry_path(key, ("key",)), "未知的键，活动编号已写在外面，请删去"))
    if code not in cities and _leans_on_table(written):
        faults.append(Fault(entry_path(key), _unknown_city(code, cities)))
    city = cities.get(code) or City(name=code, group="-", contact="-", template="_")
    document = _with_defaults(key, written, city, year, month)
    campaign: Campaign | None
    unreadable = NOTHING
    try:
        campaign = Campaign.model_validate(document, context={"badge_lists": badge_lists})
    except ValidationError as error:
        faults += faults_of(error, Campaign, lambda location: entry_path(key, location))
        campaign, unreadable = as_far_as_readable(document, error, badge_lists)
    if campaign is not None:
        faults += [Fault(entry_path(key, location), text) for location, text in section_faults(campaign, unreadable)]
    return _Entry(key, faults, campaign, unreadable)


def _switched_on(entry: Mapping[Any, Any]) -> dict[str, Any]:
    """What is written and not switched off: by None, or by nothing in it where that is no plain value.

    A lucky number that is switched off takes `lucky_rewards` with it.
    """
    written = {str(name): value for name, value in entry.items()}
    off = {name for name, value in written.items() if value is None or (name in _MAY_BE_EMPTY and _is_empty(value))}
    if "lucky_number" in off:
        off.add("lucky_rewards")
    return {name: value for name, value in written.items() if name not in off}


def _is_empty(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | tuple | Mapping) and not value


def _leans_on_table(written: Mapping[str, Any]) -> bool:
    """Whether an entry leaves anything to the table of cities."""
    own = written.get("notification", {})
    return "city" not in written or (isinstance(own, Mapping) and not {"group", "contact", "template"} <= own.keys())


def _with_defaults(key: str, written: Mapping[str, Any], city: City, year: int, month: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "city": city.name,
        "start": date(year, month, 1),
        "end": date(year, month, calendar.monthrange(year, month)[1]),
        **written,
        "key": key,
    }
    document.setdefault("title", f"{document['city']} {month}月签约激励")
    own = document.get("notification", {})
    routes = {"group": city.group, "contact": city.contact, "template": city.template}
    document["notification"] = {**routes, **own} if isinstance(own, Mapping) else own
    return document


def _unknown_city(code: str, cities: Mapping[str, City]) -> str:
    known = "、".join(f"{known} {city.name}" for known, city in cities.items())
    return f"城市代码 {code} 不在 CITIES 表里（现有：{known}）；请在表里加一行，或写全 city 和 notification"


def overlaps(campaigns: Iterable[Campaign]) -> Iterator[tuple[str, Fault]]:
    """Campaigns of one city whose periods overlap on one card: each with its fault, whatever else is wrong with it."""
    listed = [campaign for campaign in campaigns if campaign.card_id]
    for one in listed:
        for other in listed:
            same_source = one.card_id == other.card_id and one.city_code == other.city_code and one.key != other.key
            if same_source and one.start <= other.end and other.start <= one.end:
                text = f"{one.start} 至 {one.end} 与 {other.key} 的活动期重叠，且同用问题卡 {one.card_id}，请改其一"
                yield one.key, Fault(entry_path(one.key, ("start",)), text)


def _uncovered_months(campaigns: Iterable[Campaign], today: date) -> Iterator[Fault]:
    """Cities that have had campaigns, but none that covers a day of next month."""
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    cities: dict[str, list[Campaign]] = {}
    for campaign in campaigns:
        cities.setdefault(campaign.city_code, []).append(campaign)
    for of_city in cities.values():
        if not any(campaign.start <= last and first <= campaign.end for campaign in of_city):
            yield Fault("REWARD_CONFIGS", f"{of_city[-1].city}还没有覆盖下个月（{first:%Y-%m}）的活动")
