"""What is wrong and who was told of it; an index of the tasks that wait for a person."""

import sqlalchemy as sa
from alembic import op

from modules.tables import Moment

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the indexes."""
    op.create_table(
        "troubles",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("seen_by", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.Column("told_at", Moment),
        sa.Column("reminded_at", Moment),
        sa.Column("ended_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_troubles"),
        sqlite_autoincrement=True,
    )
    is_open = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_troubles_open",
        "troubles",
        ["seen_by", "key"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    given_up = sa.text("status IN ('failed', 'uncertain')")
    op.create_index(
        "ix_tasks_given_up", "tasks", ["status", "recipient"], sqlite_where=given_up, postgresql_where=given_up
    )
