"""Changes to an entry of REWARD_CONFIGS as a person writes them, and many variants of it at once. Pure.

`tiered_rewards.tiers[0].threshold=90000` changes one value; a path is written as in a fault, and the value as in the
config file (what is no Python literal there is text). A sweep gives one value several times: `…=5..10`, in steps
`…=5..10..2`, or as a list `…=5,6,8`, where `80,000` is refused: nobody knows whether that is one value or two.
"""

import ast
import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from modules.rewards.campaign import Campaign
from modules.rewards.faults import PathPart, join_path, known_keys, suggest

MAX_VARIANTS = 200

_PART = re.compile(r"""\.?(?P<name>[^.\[\]="']+)|\[(?P<index>[0-9]{1,6})\]|\[(?P<quote>["'])(?P<key>.*?)(?P=quote)\]""")
_NUMBER = r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?")


_NUMBERS = re.compile(r"[0-9.,\s-]+")
_THOUSANDS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")
"""Looks like a thousands separator; values of a list that may be three digits long are written with spaces between."""


class ChangeError(Exception):
    """A change that can't be read or that leads nowhere; the message says so in Chinese, and what would be right."""


@dataclass(frozen=True)
class Change:
    """One value of an entry, put in the place of what stands there."""

    path: tuple[PathPart, ...]
    value: Any

    @property
    def name(self) -> str:
        return join_path("", self.path)

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


Variant = tuple[Change, ...]


def parse_change(text: str, key: str) -> Change:
    """`PATH=VALUE` for the campaign `key`. Raises ChangeError."""
    path, value = _split(text, key, "tiered_rewards.min_contracts=5")
    return Change(path, _value(value))


def parse_sweep(text: str, key: str) -> Variant:
    """`PATH=FIRST..LAST`, `PATH=FIRST..LAST..STEP` or `PATH=VALUE,VALUE…` → a change for each value.

    Raises ChangeError.
    """
    path, listed = _split(text, key, "tiered_rewards.min_contracts=5..10")
    if _THOUSANDS.search(listed) and _NUMBERS.fullmatch(listed):
        raise ChangeError(_ambiguous(text, join_path("", path), listed))
    match = _RANGE.fullmatch(listed.strip())
    values = _range(text, *match.groups()) if match else _list(listed)
    if not values:
        raise ChangeError(f"{text} 没有写任何值，应像 {join_path('', path)}=5..10 或 =5,6,8")
    return tuple(Change(path, value) for value in values)


def product(changes: Sequence[Change], sweeps: Sequence[Variant]) -> list[Variant]:
    """Every combination of the sweeps' values, the last sweep changing fastest; without sweeps one empty one.

    Raises ChangeError where a path is given twice or there are more than `MAX_VARIANTS`.
    """
    seen: set[tuple[PathPart, ...]] = set()
    for change in (*changes, *(sweep[0] for sweep in sweeps)):
        if change.path in seen:
            raise ChangeError(f"{change.name} 写了两次，请只留一处")
        seen.add(change.path)
    count = 1
    for sweep in sweeps:
        count *= len(sweep)
    if count > MAX_VARIANTS:
        raise ChangeError(_too_many(count))
    return list(itertools.product(*sweeps))


def changed(entry: Mapping[str, Any], changes: Sequence[Change]) -> Mapping[str, Any]:
    """The entry with these changes, one after another; the given one stays as it is. Raises ChangeError."""
    for change in changes:
        entry = _put(entry, change.path, change.value, ())
    return entry


def value_at(entry: Mapping[str, Any], path: Sequence[PathPart]) -> Any:
    """What is written there; None for nothing."""
    node: Any = entry
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _split(text: str, key: str, example: str) -> tuple[tuple[PathPart, ...], str]:
    """The path before the first `=` outside of quotes, without `REWARD_CONFIGS["KEY"]`; and what comes after it."""
    parts: list[PathPart] = []
    place = 0
    while (match := _PART.match(text, place)) is not None:
        name, index = match["name"], match["index"]
        parts.append(name.strip() if name else int(index) if index else match["key"])
        place = match.end()
    rest = text[place:].lstrip()
    if parts[:1] == ["REWARD_CONFIGS"]:
        if parts[1:2] != [key]:
            raise ChangeError(f"{text} 说的不是活动 {key}")
        parts = parts[2:]
    if not parts or not rest.startswith("=") or text.startswith("."):
        raise ChangeError(f"{text} 读不懂，应写成 路径=值，例如 {example}")
    return tuple(parts), rest[1:]


def _value(text: str) -> Any:
    """A Python literal; anything else is text."""
    try:
        return _literal(text)
    except _NO_LITERAL:
        return text.strip()


_NO_LITERAL = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes in a text
        return ast.literal_eval(text.strip())


def _list(text: str) -> list[Any]:
    try:
        values: list[Any] = _literal(f"[{text}]")
    except _NO_LITERAL:
        return [_value(item) for item in text.split(",") if item.strip()]
    return values


def _ambiguous(text: str, name: str, listed: str) -> str:
    plain = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), listed)
    several = "若是要分别试几个值，请在逗号后加空格，并用英文双引号括起来"
    return f"{text} 里的逗号像是千分位，请写成 {name}={plain}；{several}"


def _range(text: str, first: str, last: str, step: str | None) -> list[Any]:
    start, stop, by = Decimal(first), Decimal(last), Decimal(step or 1)
    if by <= 0 or stop < start:
        raise ChangeError(f"{text} 一个值也没有：应从小到大，步长大于 0，例如 5..10 或 5..10..2")
    count = int((stop - start) // by) + 1
    if count > MAX_VARIANTS:
        raise ChangeError(_too_many(count))
    values = [start + number * by for number in range(count)]
    is_whole = "." not in first and "." not in (step or "")
    return [int(value) if is_whole else f"{value:f}" for value in values]


def _too_many(count: int) -> str:
    return f"一共 {count} 种组合，超过 {MAX_VARIANTS} 种；请缩小范围或加大步长"


def _put(node: Any, path: tuple[PathPart, ...], value: Any, above: tuple[PathPart, ...]) -> Any:
    """A copy of `node`, which stands at `above`, with the value at `path` below it."""
    here, rest = path[0], path[1:]
    where = f"{join_path('', above)} " if above else "这个活动"
    if isinstance(node, Mapping):
        if isinstance(here, int) or (here not in node and rest and isinstance(rest[0], int)):
            raise ChangeError(f"{where}里没有 {_shown(here)}{_instead(node, here, above)}")
        return {**node, here: _put(node.get(here, {}), rest, value, (*above, here)) if rest else value}
    if isinstance(node, list | tuple):
        if not isinstance(here, int) or here >= len(node):
            words = f"{where}是有 {len(node)} 项的列表，没有 {_shown(here)}"
            raise ChangeError(f"{words}；{_places(where.strip(), len(node))}")
        new = _put(node[here], rest, value, (*above, here)) if rest else value
        return [*node[:here], new, *node[here + 1 :]]
    raise ChangeError(f"{where}是 {node!r}，下面没有 {_shown(here)}")


def _instead(node: Mapping[Any, Any], missing: PathPart, above: tuple[PathPart, ...]) -> str:
    """What to write in place of a key that is not there: the nearest one, or a whole list for one that could be."""
    known = known_keys(Campaign, above)
    if missing in known:
        return f"；要新加，请写整个列表：{join_path('', (*above, missing))}=[…]"
    return suggest(str(missing), {*map(str, node), *known})


def _shown(part: PathPart) -> str:
    return f"[{part}]" if isinstance(part, int) else part


def _places(where: str, items: int) -> str:
    if items == 0:
        return f"可以写整个列表：{where}=[…]"
    return f"应写 {where}[0]" + (f" 到 {where}[{items - 1}]" if items > 1 else "")
