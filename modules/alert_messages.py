"""An alert's new rows → letters: who is told of which rows, and why it is them. And what a template can show. Pure."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from modules.alert_config import Alert
from modules.alert_rows import AlertRow
from modules.campaigns import normalise_name
from modules.clock import in_shanghai
from modules.recipients import OPERATIONS

RecipientOf = Callable[[str], str | None]
"""The recipient for a value of the column that decides; None where nobody is named for it."""


@dataclass
class Letter:
    """What one recipient is told at once. `reasons`: why some of it came to operations in place of its recipient."""

    recipient: str
    rows: list[AlertRow] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, row: AlertRow, reason: str | None) -> None:
        self.rows.append(row)
        if reason is not None and reason not in self.reasons:
            self.reasons.append(reason)


def recipient_finder(alert: Alert, provider_recipient: RecipientOf) -> RecipientOf:
    """By the alert's own map, or else by that of service providers."""
    if alert.recipient_map is None:
        return provider_recipient
    own = {normalise_name(value): recipient for value, recipient in alert.recipient_map.items()}
    return lambda value: own.get(normalise_name(value))


def letters(alert: Alert, rows: Sequence[AlertRow], recipient_of: RecipientOf) -> list[Letter]:
    """One letter per row and recipient, or one per recipient for the whole table; in the order of the rows.

    Nobody gets the same row twice. A row for which no recipient is known goes to operations.
    """
    if alert.per == "row":
        return [letter for row in rows for letter in _addressed(alert, [row], recipient_of)]
    return _addressed(alert, rows, recipient_of)


def letter_key(alert: Alert, letter: Letter, slot: datetime) -> str:
    """Names a letter for all time: by the rows that are told once, or by the moment that the run stands for."""
    about = "\n".join(row.key for row in letter.rows) if alert.key else in_shanghai(slot).isoformat()
    digest = hashlib.sha256(about.encode()).hexdigest()[:32]
    return f"question:{alert.name}:{digest}:{letter.recipient}"


def letter_values(alert: Alert, rows: Sequence[AlertRow], slot: datetime) -> dict[str, Any]:
    """What a template can show: `title`, `slot` (`2025-05-20 09:00`), `rows`, `count`; with `per: row` also `row`."""
    shown = [SimpleNamespace(**row.values) for row in rows]  # no dict: `row.items` is to be a column
    values = {
        "title": alert.title,
        "slot": f"{in_shanghai(slot):%Y-%m-%d %H:%M}",
        "rows": shown,
        "count": len(shown),
    }
    return values | {"row": shown[0]} if alert.per == "row" else values


def sample_values(alert: Alert, slot: datetime) -> dict[str, Any]:
    """Invented rows, to try a template on."""
    sample = AlertRow("", {name: f"示例{name}" for name in alert.columns})
    return letter_values(alert, [sample] if alert.per == "row" else [sample, sample], slot)


def plain_text(alert: Alert, letter: Letter) -> str:
    """A letter without a template: every value with its name."""
    listed = [_listed(row.values) for row in letter.rows]
    return "\n".join([f"{alert.title}（{len(listed)} 条）：", *listed])


def with_reasons(text: str, letter: Letter) -> str:
    """The text as operations get it in place of somebody who is not known."""
    if not letter.reasons:
        return text
    return f"⚠️ {'；'.join(letter.reasons)}，所以发到这里，请转告：\n\n{text}"


def _addressed(alert: Alert, rows: Sequence[AlertRow], recipient_of: RecipientOf) -> list[Letter]:
    by_recipient: dict[str, Letter] = {}
    for row in rows:
        first, reason = _recipient(alert, row, recipient_of)
        for recipient in dict.fromkeys([first, *alert.also]):
            letter = by_recipient.setdefault(recipient, Letter(recipient))
            letter.add(row, reason if recipient == first else None)
    return list(by_recipient.values())


def _recipient(alert: Alert, row: AlertRow, recipient_of: RecipientOf) -> tuple[str, str | None]:
    """Who is told of a row first of all, and why where it is operations for want of anybody else."""
    if alert.recipient_column is None:
        return alert.recipient or OPERATIONS, None
    value = row.values[alert.recipient_column]
    recipient = recipient_of(value) if value else None
    if recipient is not None:
        return recipient, None
    if not value:
        return OPERATIONS, f"{alert.recipient_column} 是空的，不知道发给谁"
    place = "recipient_map" if alert.recipient_map is not None else "config/service_providers.yaml"
    return OPERATIONS, f"{place} 里没有“{value}”的收件人"


def _listed(values: Mapping[str, str]) -> str:
    return "，".join(f"{name}：{value}" for name, value in values.items() if value)
