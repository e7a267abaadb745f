"""The daily job of service levels: pull yesterday's violations, store them once, tell each provider once.

What a run has to say follows from what is stored, and every message has a key of its own. So a run that is repeated,
by a second daemon too, says only what has not been said.
"""

import logging
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection

from modules.clock import in_shanghai
from modules.errors import JobFailedError, JobRefusedError
from modules.job_runs import Writing
from modules.outbox import Message, enqueue, known_keys
from modules.rejections import store_rejected
from modules.sla_messages import SlaMessages, day_key
from modules.sla_report import week_of, weeks_due
from modules.sla_rows import SlaPull, Violation, parse_violations
from modules.sla_store import (
    finish_week,
    first_known_day,
    mark_missed_days,
    overview,
    read_period,
    reported_weeks,
    store_day,
)

if TYPE_CHECKING:
    from modules.application import Application

log = logging.getLogger(__name__)

JOB = "generate_daily_service_report"
STATE_FILE = "sla_violations.json"


def run(app: "Application", slot: datetime, writing: Writing) -> Mapping[str, int]:
    """The run of this slot; its violations are those of the day before. Raises MetabaseError, ColumnsError,
    JobFailedError, JobRefusedError.

    A day whose pull fails stays unknown: a later run writes down that it has no data. The question shows the day
    before it is asked, so a slot belongs to its day; only a person may want another one, with `--at`.
    """
    today = in_shanghai(slot).date()
    asked_on = in_shanghai(app.clock()).date()
    if asked_on < today:
        raise JobRefusedError(f"{today} 还没有到，问题卡也还没有它前一天的违规；请改正 --at")
    if asked_on != today:
        log.warning("问题卡只显示昨天的违规，这次却要记在 %s 的前一天名下；请确认这是有意的", today)
    table = app.metabase.fetch_card(app.settings.sla.card_id)
    if in_shanghai(app.clock()).date() != asked_on:  # a slow pull, or the machine was asleep in it
        raise JobFailedError(f"取数过了半夜 24 点，分不清取到的是哪一天的违规，没有记在 {today} 的前一天名下")
    pull = parse_violations(table.columns, table.rows)
    with writing() as connection:
        counts = _store_and_tell(app, connection, today, pull, len(table.rows))
    refresh_file(app)
    return counts


def refresh_file(app: "Application") -> None:
    """The JSON file of what is stored, where anything is."""
    with app.database.reading() as connection:
        is_used = first_known_day(connection) is not None
    if is_used:
        app.views.refresh_state(STATE_FILE, overview)


def _store_and_tell(
    app: "Application", connection: Connection, today: date, pull: SlaPull, fetched: int
) -> dict[str, int]:
    day, now = today - timedelta(days=1), app.clock()
    messages = SlaMessages(app.settings, app.maker, app.providers, today, now)
    new = store_day(connection, day, pull.violations, fetched, now)
    store_rejected(connection, JOB, pull.rejected, now)
    missed = mark_missed_days(connection)
    late = _told_already(connection, day, new)
    period = read_period(connection, day, day)
    said = [*messages.of_day(period), *messages.of_late_ones(day, late)]
    due = weeks_due(today, first_known_day(connection) or day, reported_weeks(connection))
    for monday in due:
        said += _report_week(app, connection, messages, monday, now)
    return {
        "fetched": fetched,
        "registered": len(new),
        "rejected": len(pull.rejected),
        "skipped": fetched - len(new) - len(pull.rejected),
        "providers": len(period.providers),
        "late": sum(map(len, late.values())),
        "missed_days": len(missed),
        "weeks": len(due),
        "tasks": enqueue(connection, said, now),
    }


def _told_already(connection: Connection, day: date, new: list[Violation]) -> dict[str, list[Violation]]:
    """New violations, by provider, of a day of which their provider has been told."""
    by_provider: dict[str, list[Violation]] = {}
    for violation in new:
        by_provider.setdefault(violation.provider, []).append(violation)
    told = known_keys(connection, [day_key(day, provider) for provider in by_provider])
    late = {provider: some for provider, some in by_provider.items() if day_key(day, provider) in told}
    for provider, some in late.items():
        log.warning("%s %s 的违规消息发出以后又取到 %d 条，只记录，不再发送", provider, day, len(some))
    return late


def _report_week(
    app: "Application", connection: Connection, messages: SlaMessages, monday: date, now: datetime
) -> list[Message]:
    """The week is done with, also where reports are switched off: nobody wants them later."""
    week = read_period(connection, *week_of(monday))
    finish_week(connection, monday, len(week.days_with_data), now)
    return messages.of_week(week) if app.settings.sla.weekly_reports else []
