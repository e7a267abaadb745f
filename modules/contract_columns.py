"""Source rows read by column: text as the source shows it, signing moments, and a row's JSON text.

The readers of a column give the same values as reading one by one; they only take shortcuts for what is common.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from json.encoder import encode_basestring

import pandas as pd

from modules.clock import parse_moment

_SHANGHAI_SUFFIX = "+08:00"
_FIXED_OFFSET_SINCE = "1992"
"""Shanghai has kept UTC+8 without daylight saving time since 1992; before, the time zone table decides."""

_UNREADABLE = datetime(1970, 1, 1)  # noqa: DTZ001 - Shanghai time without zone, as in the frame


class SourceTable:
    """The rows of a pull with the columns that were found in them: name → position in a row."""

    def __init__(self, positions: Mapping[str, int], rows: Sequence[Sequence[object]]) -> None:
        self._positions = positions
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def part(self, start: int, stop: int) -> "SourceTable":
        """The rows from `start` up to, not with, `stop`."""
        return SourceTable(self._positions, self._rows[start:stop])

    def values(self, name: str) -> list[object]:
        """A column as it came. KeyError where it was not found."""
        return _column(self._rows, self._positions[name])

    def texts(self, name: str) -> list[str]:
        """A column as text; all blank where it was not found."""
        return column_texts(self.values(name)) if name in self._positions else [""] * len(self._rows)

    def json_texts(self, picked: Iterable[int]) -> list[str]:
        """JSON text of all columns found, `{name: text}` without blanks, of the rows at these positions."""
        rows = [self._rows[position] for position in picked]
        columns = [map(encode_basestring, column_texts(_column(rows, place))) for place in self._positions.values()]
        template = "{" + ",".join(f'"{name}":%s' for name in self._positions) + "}"
        return [template % texts for texts in zip(*columns, strict=True)]


def column_texts(values: Sequence[object]) -> list[str]:
    """Each value as the source shows it, stripped; nothing for null and NaN. Ids of any length keep all digits."""
    texts = [
        value.strip() if type(value) is str else str(value) if type(value) is int else _text(value) for value in values
    ]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return [text.encode("utf-8", "replace").decode() for text in texts]  # half a surrogate pair becomes ?
    return texts


def per_distinct(function: Callable[[str], str], texts: Sequence[str]) -> list[str]:
    """The function of each text, asked once per distinct text."""
    answers = {text: function(text) for text in set(texts)}
    return [answers[text] for text in texts]


def column_moments(texts: Iterable[str]) -> tuple[list[datetime], dict[int, str]]:
    """Stripped texts → Shanghai times without zone as `parse_moment` reads them, and those it can't: position → text.

    An unreadable one has a stand-in moment.
    """
    moments: list[datetime] = []
    unreadable: dict[int, str] = {}
    for position, text in enumerate(texts):
        try:
            moments.append(_plain_moment(text) or parse_moment(text).replace(tzinfo=None))
        except (ValueError, OverflowError):
            moments.append(_UNREADABLE)
            unreadable[position] = text
    return moments, unreadable


def _plain_moment(text: str) -> datetime | None:
    """The time of text that says Shanghai time or no zone; None where that isn't plain to see."""
    if "/" in text:
        return None
    is_shanghai = text[-6:] == _SHANGHAI_SUFFIX and text[10:11] == "T" and text > _FIXED_OFFSET_SINCE
    try:
        moment = datetime.fromisoformat(text[:-6] if is_shanghai else text)
    except ValueError:
        return None
    return moment if moment.tzinfo is None else None


def _column(rows: Sequence[Sequence[object]], position: int) -> list[object]:
    return [row[position] for row in rows]


def _text(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()
