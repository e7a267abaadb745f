"""The first tables. A `tasks` table of the present system is kept with its rows and gets the columns it lacks."""

import sqlalchemy as sa
from alembic import op

from modules.tables import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what is not there."""
    tiers = sa.text("kind = '节节高'")
    still_open = sa.text("status IN ('pending', 'running')")
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_table(
        "awards",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_awards"),
    )
    op.create_index("ix_awards_campaign_contract_id", "awards", ["campaign", "contract_id"])
    op.create_index(
        "uq_awards_tier",
        "awards",
        ["campaign", "payee", "name"],
        unique=True,
        sqlite_where=tiers,
        postgresql_where=tiers,
    )
    op.create_table(
        "campaigns",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, server_default="0", nullable=False),
        sa.Column("last_pull_at", Moment),
        sa.Column("last_pull_rows", sa.Integer),
        sa.PrimaryKeyConstraint("key", name="pk_campaigns"),
    )
    op.create_table(
        "config_snapshots",
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("campaign", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_config_snapshots"),
    )
    op.create_table(
        "job_runs",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("slot", Moment, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("ended_at", Moment),
        sa.Column("outcome", sa.Text),
        sa.Column("counts", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_job_runs"),
    )
    op.create_index("ix_job_runs_job_started_at", "job_runs", ["job", "started_at"])
    op.create_table(
        "performance",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("campaign", sa.Text, nullable=False),
        sa.Column("contract_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("personal_sequence", sa.Integer, nullable=False),
        sa.Column("payee", sa.Text, nullable=False),
        sa.Column("housekeeper", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("contract_number", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("self_referral", sa.Boolean, nullable=False),
        sa.Column("signed_at", Moment, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("performance", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("performance_total", sa.BigInteger, nullable=False),
        sa.Column("bonus_pool", sa.BigInteger, nullable=False),
        sa.Column("remark", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("registered_at", Moment, nullable=False),
        sa.Column("source_amount", sa.BigInteger, nullable=False),
        sa.Column("loss_accepted_at", Moment),
        sa.Column("broadcast_key", sa.Text),
        sa.Column("notified_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_performance"),
    )
    op.create_index("uq_performance_broadcast_key", "performance", ["broadcast_key"], unique=True)
    op.create_index("uq_performance_contract", "performance", ["campaign", "contract_id"], unique=True)
    op.create_index("uq_performance_sequence", "performance", ["campaign", "sequence"], unique=True)
    op.create_table(
        "rejected_rows",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("campaign", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("contract_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("first_seen_at", Moment, nullable=False),
        sa.Column("resolved_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_rejected_rows"),
    )
    op.create_index("uq_rejected_rows_fingerprint", "rejected_rows", ["campaign", "fingerprint"], unique=True)
    op.create_table(
        "robot_sends",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("task_id", sa.Integer, nullable=False),
        sa.Column("sent_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_robot_sends"),
    )
    op.create_index("ix_robot_sends_task_id", "robot_sends", ["task_id"])
    op.create_index("ix_robot_sends_bucket_sent_at", "robot_sends", ["bucket", "sent_at"])
    _tasks()
    op.create_index("ix_tasks_group_key", "tasks", ["group_key"])
    op.create_index(
        "ix_tasks_open",
        "tasks",
        ["recipient", "id"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("uq_tasks_dedup_key", "tasks", ["dedup_key"], unique=True)


def _tasks() -> None:
    """The queue: its seven known columns, and what it needs beside them."""
    is_old = sa.inspect(op.get_bind()).has_table("tasks")
    if not is_old:
        op.create_table(
            "tasks",
            sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
            sa.Column("task_type", sa.Text, nullable=False),
            sa.Column("recipient", sa.Text, nullable=False),
            sa.Column("message", sa.Text, nullable=False),
            sa.Column("status", sa.Text, server_default="pending", nullable=False),
            sa.Column("created_at", Moment, nullable=False),
            sa.Column("updated_at", Moment, nullable=False),
            sa.PrimaryKeyConstraint("id", name="pk_tasks"),
            sqlite_autoincrement=True,
        )
    for column in (
        sa.Column("dedup_key", sa.Text),
        sa.Column("group_key", sa.Text),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer, server_default="8", nullable=False),
        sa.Column("run_at", Moment),
        sa.Column("locked_by", sa.Text),
        sa.Column("locked_until", Moment),
        sa.Column("sending_at", Moment),
        sa.Column("on_uncertain", sa.Text, server_default="hold", nullable=False),
        sa.Column("expires_at", Moment),
        sa.Column("last_error", sa.Text),
    ):
        op.add_column("tasks", column)
    if is_old:
        _mend_old_tasks()


def _mend_old_tasks() -> None:
    """What the present system allowed and ours doesn't: other statuses, and nothing where something must stand.

    One that was being sent when that system ended may or may not have arrived.
    """
    for statement in (
        "UPDATE tasks SET last_error = '升级前的状态：' || COALESCE(status, '空') "
        "WHERE status IS NULL OR status NOT IN ('pending', 'completed', 'failed', 'uncertain', 'cancelled')",
        "UPDATE tasks SET status = CASE status WHEN 'running' THEN 'uncertain' ELSE 'failed' END "
        "WHERE last_error IS NOT NULL",
        "UPDATE tasks SET task_type = COALESCE(task_type, ''), recipient = COALESCE(recipient, ''), "
        "message = COALESCE(message, '')",
        "UPDATE tasks SET created_at = COALESCE(created_at, updated_at, '2000-01-01T00:00:00.000000+08:00')",
        "UPDATE tasks SET updated_at = COALESCE(updated_at, created_at)",
    ):
        op.execute(statement)
