"""What has changed between two configurations of one campaign, in words: money in yuan, lists as who came and went."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modules.rewards.campaign import Campaign
from modules.rewards.faults import Location
from modules.rewards.sections import IN_YUAN

_ABSENT = object()
"""Nothing stands here, not even None."""


@dataclass(frozen=True)
class ConfigChange:
    """One place that has changed, and how: `80000 → 90000`."""

    location: Location
    text: str


def config_changes(old: Campaign, new: Campaign) -> tuple[ConfigChange, ...]:
    """Everything that differs, in the order of the config; what an earlier version did not know counts as its default.

    Items of a list are told apart by their names where some came or went, else by their places.
    """
    return tuple(_changes((), _readable(old), _readable(new)))


def _readable(campaign: Campaign) -> dict[str, Any]:
    return campaign.model_dump(mode="json", context=dict(IN_YUAN))


def _changes(at: Location, old: Any, new: Any) -> Iterator[ConfigChange]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**new, **old}:
            yield from _changes((*at, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif _are_named(old) and _are_named(new):
        yield from _changed_items(at, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        came, went = [item for item in new if item not in old], [item for item in old if item not in new]
        words = [f"{what} {'、'.join(map(str, items))}" for what, items in (("增加", came), ("减少", went)) if items]
        if words:
            yield ConfigChange(at, "，".join(words))
    else:
        yield ConfigChange(at, f"{_shown(old)} → {_shown(new)}")


def _are_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)


def _changed_items(
    at: Location, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> Iterator[ConfigChange]:
    before, after = {item["name"]: item for item in old}, {item["name"]: item for item in new}
    if len(old) == len(new) and before.keys() != after.keys():  # renamed, it seems
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changes((*at, index), one, other)
        return
    for index, (name, item) in enumerate(after.items()):
        yield from _changes((*at, index), before.get(name, _ABSENT), item)
    went = [item for name, item in before.items() if name not in after]
    if went:
        yield ConfigChange(at, f"减少 {_shown(went)}")


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "未写"
    if isinstance(value, dict):
        return "（" + "，".join(f"{key} {_shown(item)}" for key, item in value.items() if item is not None) + "）"
    if isinstance(value, list):
        return "、".join(map(_shown, value)) or "无"
    return "无" if value is None else str(value)
