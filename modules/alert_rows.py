"""A question's table → the rows that an alert has not told yet. Pure."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modules.alert_config import Alert, Column, alert_path
from modules.clock import parse_moment, readable_moment
from modules.contract_columns import column_texts
from modules.contracts import ColumnsError

KEY_BYTES = 200
"""A longer key is held as its hash: indexes take only so much."""

SOURCE_MARK = "source:"
"""How a `source` begins, and no key: they are held side by side."""

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}\S*")


@dataclass(frozen=True)
class AlertRow:
    """A row by the alert's own column names, as text for people; `key` tells it from others ("" where it has none)."""

    key: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Shown:
    """What a pull shows: its rows in the order of telling, each once; how many have nothing in the columns of the key.

    `source` names question and columns that the keys are made of: where it changes, old and new keys may not compare.
    """

    rows: tuple[AlertRow, ...]
    keyless: int
    source: str


@dataclass(frozen=True)
class Told:
    """What an alert has told, as far as it concerns a pull: keys, and the `source` that they come from (None: there was
    never a pull)."""

    keys: frozenset[str] = frozenset()
    source: str | None = None


@dataclass(frozen=True)
class News:
    """The rows to tell now, and the keys to remember with them. `is_baseline`: they are remembered and not told.

    `is_strange`: this is not the first baseline; the question's keys are others than before, every single one.
    """

    rows: tuple[AlertRow, ...]
    keys: tuple[str, ...]
    is_baseline: bool = False
    is_strange: bool = False


def shown_rows(alert: Alert, titles: Sequence[str], rows: Sequence[Sequence[object]]) -> Shown:
    """The rows of a table for this alert. Raises ColumnsError, which names the columns that are missing."""
    positions = find_alert_columns(alert, titles)
    keyed_by = json.dumps([alert.card_id, *([name, titles[positions[name]]] for name in alert.key)])
    found: dict[str, AlertRow] = {}
    keyless = 0
    texts = [{name: _cell(row[place]) for name, place in positions.items()} for row in rows]
    if alert.order_by is not None:
        order_by = alert.order_by
        texts.sort(key=lambda values: _rank(values[order_by]))
    for number, values in enumerate(texts):
        identity = [values[name] for name in alert.key]
        if alert.key and not any(identity):
            keyless += 1
            continue
        key = _key_of(identity) if alert.key else ""
        readable = {name: _readable(text) for name, text in values.items()}
        found.setdefault(key or str(number), AlertRow(key, readable))
    return Shown(tuple(found.values()), keyless, SOURCE_MARK + hashlib.sha256(keyed_by.encode()).hexdigest())


def news(alert: Alert, shown: Shown, told: Told) -> News:
    """What of a pull is to be told. Without a key that is all of it.

    The first pull of an alert with a baseline, be it empty, tells nothing. Nor does one whose keys come from another
    question or other columns than before and are all unknown: they are no news, somebody has changed the question.
    """
    if not alert.key:
        return News(shown.rows, ())
    new = tuple(row for row in shown.rows if row.key not in told.keys)
    keys = tuple(row.key for row in new)
    if not alert.has_baseline:
        return News(new, keys)
    if told.source is None:
        return News((), keys, is_baseline=True)
    if told.source != shown.source and new and len(new) == len(shown.rows):
        return News((), keys, is_baseline=True, is_strange=True)
    return News(new, keys)


def find_alert_columns(alert: Alert, titles: Sequence[str]) -> dict[str, int]:
    """Each column of the alert → its position: by name, else where it always was, unless that is another column's.

    Raises ColumnsError.
    """
    names = [_names_of(title) for title in titles]
    by_name = {name: place for name, column in alert.columns.items() if (place := _named(column, names)) is not None}
    taken = set(by_name.values())
    found = {}
    for name, column in alert.columns.items():
        usual = column.position - 1 if column.position is not None else None
        if name in by_name:
            found[name] = by_name[name]
        elif usual is not None and usual < len(titles) and usual not in taken:
            found[name] = usual
    missing = [_described(name, column) for name, column in alert.columns.items() if name not in found]
    if missing:
        raise ColumnsError(
            f"{alert.title}的源数据缺少列：{'、'.join(missing)}；现有的列：{'、'.join(titles) or '无'}。"
            f"请检查 Metabase 问题卡 {alert.card_id} 的列名，或改正 {alert_path(alert.name, ('columns',))}"
        )
    return found


def _named(column: Column, names: Sequence[set[str]]) -> int | None:
    """The place of the first of its names that the question has; of several columns of this name the usual one."""
    for name in column.name:
        places = [place for place, known in enumerate(names) if name.casefold() in known]
        if places:
            usual = (column.position or 0) - 1
            return usual if usual in places else places[0]
    return None


def _names_of(title: str) -> set[str]:
    """A title as it stands, and the name in its brackets: `技师(technician)`."""
    bare = title.strip()
    inner = re.search(r"[(（]([^()（）]+)[)）]$", bare)
    return {bare.casefold(), inner[1].strip().casefold()} if inner else {bare.casefold()}


def _described(name: str, column: Column) -> str:
    places = list(column.name) + ([f"第 {column.position} 列"] if column.position is not None else [])
    return f"{name}（{' 或 '.join(places)}）"


def _cell(value: object) -> str:
    """A value as text without control characters but line ends; the items of a list one after the other."""
    if isinstance(value, list | tuple):
        return "；".join(filter(None, map(_cell, value)))
    text = column_texts([json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value])[0]
    visible = "".join(" " if unicodedata.category(char) == "Cc" and char != "\n" else char for char in text)
    return unicodedata.normalize("NFC", visible).strip()


def _key_of(identity: Sequence[str]) -> str:
    text = json.dumps(identity, ensure_ascii=False)
    return text if len(text.encode()) <= KEY_BYTES else hashlib.sha256(text.encode()).hexdigest()


def _readable(text: str) -> str:
    """A moment as people write it, in Asia/Shanghai; any other text as it is, a date without a time too."""
    return readable_moment(text) if _MOMENT.fullmatch(text) else text


def _rank(text: str) -> tuple[int, str]:
    """Moments in the order of time, whatever their zones; numbers by size; then all other text."""
    try:
        return 0, f"{int(text):040}" if text.isdecimal() else parse_moment(text).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        return 1, text
