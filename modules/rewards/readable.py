"""What can be read of an entry that can't be read whole, so that the rest of it can be judged too.

Nobody should mend one fault to be told of the next: what is unreadable is left out or filled in, and remembered.
"""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from pydantic import ValidationError

from modules.rewards.campaign import FIRST_YEAR, LAST_YEAR, Campaign
from modules.rewards.faults import Location, PathPart, known_keys, nearest

_STAND_INS: Mapping[PathPart, Any] = {
    "title": "-",
    "city": "-",
    "start": date(FIRST_YEAR, 1, 1),
    "end": date(LAST_YEAR, 12, 31),
    "notification": {"group": "-", "contact": "-", "template": "_"},
    "group": "-",
    "contact": "-",
    "template": "_",
    "base": {"name": "-"},
    "name": "-",
    "first": 1,
    "threshold": 0,
    "label": "-",
    "members": "",
}
"""What `as_far_as_readable` puts where something that is needed can't be read. A section that needs something else
beside is left out as a whole."""

_ROUNDS = 5
"""How often it fills in gently, before it leaves out whole sections."""


class Unreadable:
    """The places of an entry that can't be read and were filled in: nothing is known of what stands there."""

    def __init__(self, places: Collection[Location] = ()) -> None:
        self._places = frozenset(places)

    def touches(self, *location: str | int) -> bool:
        """Whether what stands here, around it or in it can't be read."""
        return any(all(one == other for one, other in zip(place, location, strict=False)) for place in self._places)


NOTHING = Unreadable()


def as_far_as_readable(
    document: Mapping[str, Any], error: ValidationError, badge_lists: Mapping[str, frozenset[str]]
) -> tuple[Campaign | None, Unreadable]:
    """The entry that was refused with this error, without everything that can't be read, and where that is."""
    rest = _copied(document)
    unreadable: set[Location] = set()
    for round_ in range(_ROUNDS + 2):
        for item in error.errors(include_url=False):
            location = tuple(part for part in item["loc"] if part != "[key]")
            is_gentle = round_ < _ROUNDS
            if item["type"] == "extra_forbidden":
                unreadable |= _meant(document, location)
            else:
                unreadable.add(location)
            if not _fill_in(rest, location if is_gentle else location[:1], is_missing=item["type"] == "missing"):
                rest.pop(location[0], None)
                unreadable.add(location[:1])
        try:
            campaign = Campaign.model_validate(rest, context={"badge_lists": {**badge_lists, "": frozenset()}})
        except ValidationError as next_error:
            error = next_error
        else:
            return campaign, Unreadable(unreadable)
    return None, Unreadable(unreadable)


def _meant(document: Mapping[str, Any], unknown: Location) -> set[Location]:
    """The key that was probably meant by an unknown one, where it is not written too."""
    meant = nearest(str(unknown[-1]), known_keys(Campaign, unknown[:-1]))
    return {(*unknown[:-1], meant)} if meant and meant not in _at(document, unknown[:-1]) else set()


def _fill_in(rest: Any, location: Location, *, is_missing: bool) -> bool:
    """Take out what can't be read, or put a stand-in where something is missing; False where that can't be done."""
    last = location[-1]
    try:
        place = _at(rest, location[:-1])
        if is_missing:
            place[last] = _copied(_STAND_INS[last])
        elif isinstance(place, list) and isinstance(last, int):
            place[last] = "-" if place[last] == {} else {}  # first as a section, then as a name; nothing may move up
        else:
            place.pop(last, None)
    except (LookupError, TypeError, AttributeError):
        return False
    return True


def _at(value: Any, location: Location) -> Any:
    for part in location:
        value = value[part]
    return value


def _copied(value: Any) -> Any:
    """Dicts and lists that can be changed without changing the config; what stands in them is shared."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value
