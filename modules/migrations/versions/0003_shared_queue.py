"""A queue for many workers: indexes that stay small, pauses of robots, the keys of purged messages."""

import sqlalchemy as sa
from alembic import op

from modules.tables import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_tasks_pending": ("status = 'pending'", ["recipient", "id"]),
    "ix_tasks_waiting": ("status = 'pending' AND run_at IS NOT NULL", ["recipient", "id"]),
    "ix_tasks_expiring": ("status = 'pending' AND expires_at IS NOT NULL", ["expires_at"]),
    "ix_tasks_running": ("status = 'running'", ["recipient"]),
}


def upgrade() -> None:
    """Exchange the index of open tasks for one per question; add the tables."""
    op.drop_index("ix_tasks_open", "tasks")
    for name, (condition, columns) in _INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "tasks", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "robot_pauses",
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("until", Moment, nullable=False),
        sa.PrimaryKeyConstraint("bucket", name="pk_robot_pauses"),
    )
    op.create_table(
        "spent_keys",
        sa.Column("group_key", sa.Text, nullable=False),
        sa.Column("purged_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("group_key", name="pk_spent_keys"),
    )
