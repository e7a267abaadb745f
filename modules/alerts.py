"""A run of an alert: a question's table, what of it is new, and who is told. One transaction tells and remembers it."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from modules import announced
from modules.alert_config import Alert
from modules.alert_messages import (
    Letter,
    letter_key,
    letter_values,
    letters,
    plain_text,
    recipient_finder,
    with_reasons,
)
from modules.alert_rows import News, Shown, news, shown_rows
from modules.campaign_pull import retry_when_overtaken
from modules.job_runs import Writing
from modules.message_maker import BROADCAST
from modules.outbox import Message, enqueue

if TYPE_CHECKING:
    from modules.application import Application


def run(app: "Application", alert: Alert, slot: datetime, writing: Writing) -> Mapping[str, int]:
    """One run of an alert for the moment `slot`; returns what it found, as counts.

    Raises MetabaseError, ColumnsError, RevisionConflictError.
    """
    table = app.metabase.fetch_card(alert.card_id)
    shown = shown_rows(alert, table.columns, table.rows)
    tasks, found = retry_when_overtaken(alert.name, lambda: _tell(app, alert, shown, slot, writing))
    return {
        "fetched": len(table.rows),
        "new": len(found.rows),
        "baseline": len(found.keys) if found.is_baseline else 0,
        "keyless": shown.keyless,
        "tasks": tasks,
    }


def _tell(app: "Application", alert: Alert, shown: Shown, slot: datetime, writing: Writing) -> tuple[int, News]:
    now = app.clock()
    keys = [row.key for row in shown.rows if row.key]
    with app.database.reading() as connection:
        told = announced.read(connection, alert.name, keys)
    found = news(alert, shown, told)
    messages = _warnings(app, alert, shown, found, now)
    for letter in letters(alert, found.rows, recipient_finder(alert, app.providers.recipient)):
        messages += _messages(app, alert, letter, slot, now)
    is_new_source = bool(alert.key) and shown.source != told.source and (bool(shown.rows) or told.source is None)
    source = shown.source if is_new_source else None
    if not messages and not found.keys and source is None:
        return 0, found
    with writing() as connection:
        announced.record(connection, alert.name, found.keys, source, now)
        return enqueue(connection, messages, now), found


def _messages(app: "Application", alert: Alert, letter: Letter, slot: datetime, now: datetime) -> list[Message]:
    values = letter_values(alert, letter.rows, slot)
    text, faults = app.maker.render(alert.template, values, lambda _values: plain_text(alert, letter), now)
    key, said = letter_key(alert, letter, slot), with_reasons(text, letter)
    attempts = app.settings.queue.notice_max_attempts
    return [app.maker.message(key, BROADCAST, letter.recipient, said, "retry", attempts), *faults]


def _warnings(app: "Application", alert: Alert, shown: Shown, found: News, now: datetime) -> list[Message]:
    """What operations should know of the question itself."""
    messages: list[Message] = []
    if shown.keyless:
        text = f"{alert.title}：问题卡 {alert.card_id} 有 {shown.keyless} 行的 {'、'.join(alert.key)} 是空的，没有发送"
        messages += app.maker.alert(f"keyless:{alert.name}", text, now)
    if found.is_strange:
        text = (
            f"{alert.title}：问题卡 {alert.card_id} 或它的 {'、'.join(alert.key)} 列换了，"
            f"现有的 {len(found.keys)} 行都没见过，只记下，没有发送；以后新出现的照常发送。请核对这张问题卡"
        )
        messages += app.maker.alert(f"source:{alert.name}", text, now)
    return messages
