"""The figures of 服务商SLA and 运行状况 on either kind of database: one code for both."""

from __future__ import annotations

import json
from datetime import date, timedelta

import sqlalchemy as sa

from modules.database import Database
from modules.figures import paid, runs, sla, sla_texts
from modules.sla_messages import week_key
from modules.sla_rows import Violation
from modules.sla_settings import SlaSettings
from modules.sla_store import finish_week, mark_missed_days, store_day
from modules.tables import job_runs, rejected_rows, spent_keys, tasks
from modules.templates import Templates
from tests.desk import NOON
from tests.ledger_rows import put_award, put_campaign

MONDAY = date(2025, 5, 5)
EIGHTH = date(2025, 5, 8)
WRITER = sla_texts.Writer(SlaSettings(), Templates.read(), ("丙装饰",))


def violations(*described: tuple[str, str]) -> list[Violation]:
    """By provider and description."""
    blank = dict.fromkeys(Violation.__dataclass_fields__, "")
    return [
        Violation(**blank | {"identity": f"{provider}{kind}{number}", "provider": provider, "description": kind})
        for number, (provider, kind) in enumerate(described)
    ]


def fill(database: Database) -> None:
    """Monday and Thursday are known, the two days between were missed."""
    with database.writing() as connection:
        first = violations(("甲装饰", "超时"), ("甲装饰", "超时"), ("甲装饰", ""), ("乙装饰", "超时"))
        store_day(connection, MONDAY, first, 4, NOON)
        store_day(connection, EIGHTH, violations(("乙装饰", "未回访")), 1, NOON)
        mark_missed_days(connection)


def test_violations_are_counted_by_provider_kind_and_day(any_database: Database) -> None:
    fill(any_database)
    with any_database.reading() as connection:
        assert sla.known_span(connection) == (MONDAY, EIGHTH)
        assert sla.providers_of(connection) == sorted(["甲装饰", "乙装饰"])
        found = sla.counts(connection, MONDAY, EIGHTH)
        assert {(one.provider, one.kind): (one.number, one.last) for one in found} == {
            ("甲装饰", "超时"): (2, MONDAY),
            ("甲装饰", sla.UNNAMED): (1, MONDAY),
            ("乙装饰", "超时"): (1, MONDAY),
            ("乙装饰", "未回访"): (1, EIGHTH),
        }
        assert sla.by_provider(found) == {"甲装饰": 3, "乙装饰": 2}
        assert sla.by_kind(found) == {"超时": 3, "未回访": 1, sla.UNNAMED: 1}
        days = sla.days(connection, MONDAY, EIGHTH, "乙装饰")
        assert [(one.number, one.is_known) for one in days] == [(1, True), (0, False), (0, False), (1, True)]
        newest, *_ = sla.lines(connection, MONDAY, EIGHTH, "", 2).rows
        assert (newest.day, newest.provider, newest.kind) == (EIGHTH, "乙装饰", "未回访")
        assert sla.counts(connection, EIGHTH + timedelta(days=1), EIGHTH + timedelta(days=9)) == []


def test_a_week_is_a_preview_until_it_is_done_and_then_what_was_sent(any_database: Database) -> None:
    fill(any_database)
    key = week_key(MONDAY, "甲装饰")
    row = {"task_type": "x", "recipient": "ops", "message": "原文", "status": "completed", "created_at": NOON}
    with any_database.writing() as connection:
        previews = sla_texts.week_texts(connection, MONDAY, EIGHTH, WRITER, is_done=False)
        finish_week(connection, MONDAY, 2, NOON)
        connection.execute(sa.insert(tasks).values(row | {"dedup_key": key, "group_key": key, "updated_at": NOON}))
        connection.execute(sa.insert(spent_keys).values(group_key=week_key(MONDAY, "乙装饰"), purged_at=NOON))
        sent = sla_texts.week_texts(connection, MONDAY, EIGHTH, WRITER, is_done=True)
        (week,) = sla.weeks(connection)
    assert {(one.provider, one.origin, one.is_praise) for one in previews} == {
        ("甲装饰", "preview", False),
        ("乙装饰", "preview", False),
    }  # nobody is praised for a week of which days are missing
    assert {one.provider: (one.origin, one.text) for one in sent} == {
        "甲装饰": ("task", "原文"),
        "乙装饰": ("purged", next(one.text for one in previews if one.provider == "乙装饰")),
    }
    assert (week.monday, week.reported_at) == (MONDAY, NOON)


def test_runs_are_counted_and_errors_told_newest_first(any_database: Database) -> None:
    rows = [("a", 30, "ok", None), ("a", 20, "failed", "坏了"), ("b", 10, None, None), ("b", 50 * 60, "failed", "旧的")]
    with any_database.writing() as connection:
        for job, minutes, outcome, error in rows:
            at = NOON - timedelta(minutes=minutes)
            values = {"job": job, "slot": at, "started_at": at, "outcome": outcome, "error": error}
            ended = at if outcome else None
            connection.execute(sa.insert(job_runs).values(values | {"ended_at": ended, "counts": json.dumps({})}))
        found = runs.tallies(connection, NOON - timedelta(hours=1))
        assert [(one.job, one.outcome, one.number) for one in found] == [
            ("a", "failed", 1),
            ("a", "ok", 1),
            ("b", "", 1),
        ]
        assert runs.failed_share(found) == 0.5
        assert runs.failed_share([]) is None
        failures = runs.failures(connection, 10).rows
    assert [(one.job, one.error, one.at) for one in failures] == [
        ("a", "坏了", NOON - timedelta(minutes=20)),
        ("b", "旧的", NOON - timedelta(hours=50)),
    ]


def test_rows_that_are_mended_are_told_no_more(any_database: Database) -> None:
    values = {"campaign": "BJ-2025-05", "contract_id": "1", "reason": "没有金额", "source": "{}", "first_seen_at": NOON}
    with any_database.writing() as connection:
        connection.execute(sa.insert(rejected_rows).values(values | {"fingerprint": "a"}))
        connection.execute(sa.insert(rejected_rows).values(values | {"fingerprint": "b", "resolved_at": NOON}))
        assert [(one.job, one.reason) for one in runs.rejected(connection, 10).rows] == [("BJ-2025-05", "没有金额")]
        assert runs.tables_version(connection)


def test_what_was_paid_is_summed_by_payee(any_database: Database) -> None:
    for payee, amount in (("甲", 20_000), ("甲", -5_000), ("乙", 100)):
        put_award(any_database, amount, campaign="BJ-2025-05", payee=payee)
    put_award(any_database, 7, campaign="SH-2025-05", payee="甲")
    put_campaign(any_database, "BJ-2025-05", revision=3)
    with any_database.reading() as connection:
        assert paid.paid_by_payee(connection, "BJ-2025-05") == {"甲": 15_000, "乙": 100}
        assert (paid.revision_of(connection, "BJ-2025-05"), paid.revision_of(connection, "XX-2025-05")) == (3, 0)
