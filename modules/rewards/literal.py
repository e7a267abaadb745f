"""An entry as text to paste into modules/config.py, laid out as the formatter would. Pure."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

WIDTH = 120
_STEP = 4


def entry_text(key: str, entry: Mapping[str, Any]) -> str:
    """`"BJ-2025-05": {…},` as it stands in REWARD_CONFIGS."""
    return f"{' ' * _STEP}{_text(key)}: {_laid_out(entry, _STEP, _width(_text(key)) + 2)},"


def _laid_out(value: object, indent: int, taken: int) -> str:
    """On one line where it has room after what is `taken`, else an item a line."""
    line = _text(value)
    if not isinstance(value, Mapping | list | tuple) or not value:
        return line
    if indent + taken + _width(line) < WIDTH and indent > _STEP and not _is_deep(value):
        return line
    inner = " " * (indent + _STEP)
    if isinstance(value, Mapping):
        items = [
            f"{_text(name)}: {_laid_out(one, indent + _STEP, _width(_text(name)) + 2)}" for name, one in value.items()
        ]
        return "{\n" + "".join(f"{inner}{item},\n" for item in items) + " " * indent + "}"
    listed = "".join(f"{inner}{_laid_out(one, indent + _STEP, 0)},\n" for one in value)
    return f"[\n{listed}{' ' * indent}]"


def _is_deep(value: object) -> bool:
    """Whether sections stand in it: such a one is easier to read line by line."""
    inside: Iterable[object] = value.values() if isinstance(value, Mapping) else value  # type: ignore[assignment]
    return any(isinstance(one, Mapping) for one in inside)


def _width(line: str) -> int:
    """As the formatter counts it: Chinese characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def _text(value: object) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case date() | Decimal():
            return _text(str(value))
        case Mapping():
            return "{" + ", ".join(f"{_text(name)}: {_text(one)}" for name, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_text, value)) + "]"
        case set() | frozenset():
            return _text(sorted(value, key=str))
        case _:
            return repr(value)
