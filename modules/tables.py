"""The tables, and what each column means. Migrations: modules/migrations (Alembic)."""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from modules.clock import SHANGHAI, in_shanghai, parse_moment


@lru_cache(maxsize=1024)
def _moment_of(text: str) -> datetime:
    """Rows of one run share their times."""
    return parse_moment(text)


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in time: `timestamptz` on PostgreSQL, sortable ISO text in Asia/Shanghai on SQLite."""

    impl = sa.String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.String(32))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return in_shanghai(value).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(SHANGHAI) if isinstance(value, datetime) else _moment_of(str(value))


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("task_type", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="pending"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("dedup_key", sa.Text),
    sa.Column("group_key", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("max_attempts", sa.Integer, nullable=False, server_default="8"),
    sa.Column("run_at", Moment),
    sa.Column("locked_by", sa.Text),
    sa.Column("locked_until", Moment),
    sa.Column("sending_at", Moment),
    sa.Column("on_uncertain", sa.Text, nullable=False, server_default="hold"),
    sa.Column("expires_at", Moment),
    sa.Column("last_error", sa.Text),
    sqlite_autoincrement=True,
)
"""The queue. The first seven columns are those of the present system. `dedup_key` names a message once and for
all; `group_key` is the same for all parts of a split message; `run_at` NULL means at once."""


def _partial(
    name: str, condition: str | sa.ColumnElement[bool], *columns: sa.Column[Any], unique: bool = False
) -> None:
    where = sa.text(condition) if isinstance(condition, str) else condition
    sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


sa.Index("uq_tasks_dedup_key", tasks.c.dedup_key, unique=True)
_partial("ix_tasks_part", "dedup_key <> group_key", tasks.c.group_key)
"""What a message is found by: whole ones carry their key in `dedup_key`."""

_partial("ix_tasks_pending", "status = 'pending'", tasks.c.recipient, tasks.c.id)
_partial("ix_tasks_waiting", "status = 'pending' AND run_at IS NOT NULL", tasks.c.recipient, tasks.c.id)
_partial("ix_tasks_expiring", "status = 'pending' AND expires_at IS NOT NULL", tasks.c.expires_at)
_partial("ix_tasks_running", "status = 'running'", tasks.c.recipient)
_partial("ix_tasks_given_up", "status IN ('failed', 'uncertain')", tasks.c.status, tasks.c.recipient)
_partial("ix_tasks_cancelled", "status = 'cancelled'", tasks.c.recipient, tasks.c.id)
"""What a claim, the watch and whoever counts look at; however many completed tasks there are, these stay small."""

GIVEN_UP = sa.text("tasks.status IN ('failed', 'uncertain')")
"""Word for word as the partial index has it, so that the planner sees that it serves."""


def is_part(task: Any = tasks) -> sa.ColumnElement[bool]:
    """Whether the task is one of several parts of a message; as the index of parts has it."""
    return cast(sa.ColumnElement[bool], task.c.dedup_key != task.c.group_key)


def of_message(is_asked: Callable[[sa.Column[Any]], sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
    """The tasks, one or several, of each message whose key is asked for; found by the indexes of keys and parts."""
    return sa.or_(is_asked(tasks.c.dedup_key), sa.and_(is_asked(tasks.c.group_key), is_part()))


robot_sends = sa.Table(
    "robot_sends",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("task_id", sa.Integer, nullable=False),
    sa.Column("sent_at", Moment, nullable=False),
    sa.Index(None, "bucket", "sent_at"),
    sa.Index(None, "task_id"),
)
"""Messages handed to each robot lately: what the limit per minute is counted on."""

robot_pauses = sa.Table(
    "robot_pauses",
    metadata,
    sa.Column("bucket", sa.Text, primary_key=True),
    sa.Column("until", Moment, nullable=False),
)
"""Robots that asked to be left alone until a moment."""

spent_keys = sa.Table(
    "spent_keys",
    metadata,
    sa.Column("group_key", sa.Text, primary_key=True),
    sa.Column("purged_at", Moment, nullable=False),
)
"""The keys of messages that were sent whole and whose tasks have been purged: none is ever queued again."""

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_pull_at", Moment),
    sa.Column("last_pull_rows", sa.Integer),
    sa.Column("config_hash", sa.Text),
    sa.Column("accepted_hash", sa.Text),
    sa.Column("closed_at", Moment),
    sa.Column("closed_by", sa.Text),
)
"""One row per campaign that has run. `revision` counts the commits that changed what its ledger says;
`config_hash` names the configuration that its last run worked by, or that it was closed by; `accepted_hash` the one
whose changes a person has accepted."""

config_snapshots = sa.Table(
    "config_snapshots",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

performance = sa.Table(
    "performance",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("contract_id", sa.Text, nullable=False),
    sa.Column("sequence", sa.Integer),
    sa.Column("personal_sequence", sa.Integer),
    sa.Column("payee", sa.Text, nullable=False),
    sa.Column("housekeeper", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("contract_number", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("self_referral", sa.Boolean, nullable=False),
    sa.Column("historical", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("signed_at", Moment, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("performance", sa.BigInteger, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("performance_total", sa.BigInteger, nullable=False),
    sa.Column("platform_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("platform_total", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("platform_performance_total", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bonus_pool", sa.BigInteger, nullable=False),
    sa.Column("remark", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("registered_at", Moment, nullable=False),
    sa.Column("config_hash", sa.Text),
    sa.Column("source_amount", sa.BigInteger, nullable=False),
    sa.Column("loss_accepted_at", Moment),
    sa.Column("broadcast_key", sa.Text),
    sa.Column("notified_at", Moment),
    sa.Index("uq_performance_contract", "campaign", "contract_id", unique=True),
    sa.Index("uq_performance_sequence", "campaign", "sequence", unique=True),
    sa.Index("uq_performance_broadcast_key", "broadcast_key", unique=True),
)
"""Registered contracts, as they were announced; money in fen. Only `source_amount` (the last good amount that the
source showed), `loss_accepted_at` (since when a person has accepted that it is gone; NULL again once the source shows
it again) and `notified_at` ever change. A historical contract has no `sequence` and no `personal_sequence`.
`config_hash` names the configuration that it was registered under; NULL where an earlier version registered it."""

awards = sa.Table(
    "awards",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("contract_id", sa.Text),
    sa.Column("payee", sa.Text, nullable=False),
    sa.Column("housekeeper", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("base_amount", sa.BigInteger, nullable=False),
    sa.Column("badge", sa.Text, nullable=False),
    sa.Column("multiplier", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("config_hash", sa.Text, nullable=False),
    sa.Column("granted_at", Moment, nullable=False),
    sa.Index(None, "campaign", "contract_id"),
)
"""Granted awards, append-only; money in fen, `reason` a JSON object of the values that decided. Without a
`contract_id`: corrections (tiers granted by `settle`) and adjustments by a person, which name no configuration."""

_partial("uq_awards_tier", awards.c.kind == "节节高", awards.c.campaign, awards.c.payee, awards.c.name, unique=True)

rejected_rows = sa.Table(
    "rejected_rows",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("contract_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("first_seen_at", Moment, nullable=False),
    sa.Column("resolved_at", Moment),
    sa.Index("uq_rejected_rows_fingerprint", "campaign", "fingerprint", unique=True),
)
"""Source rows that could not be used; `resolved_at` is set while the source no longer shows them. `source` is the row
as it was first seen, `fingerprint` tells it from others (`contracts.Rejected`)."""

job_runs = sa.Table(
    "job_runs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("slot", Moment, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("outcome", sa.Text),
    sa.Column("counts", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("fault", sa.Text),
    sa.Column("scheduled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("locked_by", sa.Text),
    sa.Column("locked_until", Moment),
    sa.Index(None, "job", "started_at"),
)
"""What ran when and how it ended; `slot` is the moment that the run stands for, `counts` a JSON object.

`outcome`: ok, failed, interrupted (the program was closed) or missed; NULL: not ended. `fault`: metabase, where a run
failed as Metabase itself was out of use. The daemon's runs are `scheduled`, one row a slot, which is run again where it
was interrupted, lost or has failed; `failures` counts how often it has failed. `locked_by` holds the slot until
`locked_until`. What a person ran is not scheduled."""

SCHEDULED = sa.text("scheduled")
"""Spelt like this in a question too, so that the planner sees that the index serves."""

_partial("uq_job_runs_slot", SCHEDULED.text, job_runs.c.job, job_runs.c.slot, unique=True)

announced = sa.Table(
    "announced",
    metadata,
    sa.Column("alert", sa.Text, primary_key=True),
    sa.Column("row_key", sa.Text, primary_key=True),
    sa.Column("announced_at", Moment, nullable=False),
)
"""What an alert has told once, or was there at its first pull: the values of the row's key columns as a JSON list, or
the hash of a long one. One more row per alert, `source:…`, says that a first pull was, and from which columns the keys
come. Never pruned: a row that comes back, be it after years, would be told anew."""

sla_violations = sa.Table(
    "sla_violations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("order_number", sa.Text, nullable=False),
    sa.Column("appointment_id", sa.Text, nullable=False),
    sa.Column("appointed_at", sa.Text, nullable=False),
    sa.Column("province", sa.Text, nullable=False),
    sa.Column("supervisor", sa.Text, nullable=False),
    sa.Column("source_type", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("memo", sa.Text, nullable=False),
    sa.Column("work_type", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("stored_at", Moment, nullable=False),
    sa.Index("uq_sla_violations_identity", "identity", unique=True),
    sa.Index(None, "day", "provider"),
)
"""Violations of service levels, each under the day before the report that first showed it; append-only. `provider` is
normalised, the other texts are the source's, on one line each, its two times among them."""

sla_days = sa.Table(
    "sla_days",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("pulled_at", Moment),
)
"""What is known of each day since the first one: `data` with the rows of its last pull, or `no-data` where the pull
was missed."""

sla_weeks = sa.Table(
    "sla_weeks",
    metadata,
    sa.Column("monday", sa.Date, primary_key=True),
    sa.Column("days_with_data", sa.Integer, nullable=False),
    sa.Column("reported_at", Moment, nullable=False),
)
"""Weeks that are done with: what there was to report has been put into the queue."""

troubles = sa.Table(
    "troubles",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("seen_by", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("told_at", Moment),
    sa.Column("reminded_at", Moment),
    sa.Column("ended_at", Moment),
    sqlite_autoincrement=True,
)
"""What is or was wrong, once from its beginning to its end. `key` names the trouble and `seen_by` who saw it: the house
as a whole, one machine of it, or the check from outside. Nobody was told yet where `told_at` is NULL."""

_partial("uq_troubles_open", troubles.c.ended_at.is_(None), troubles.c.seen_by, troubles.c.key, unique=True)

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
"""What a person did to the ledger or the queue, and that they held a ledger against its source."""
