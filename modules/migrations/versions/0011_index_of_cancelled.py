"""Cancelled tasks are counted by an index as all others that are not completed: the queue is counted without a scan."""

from alembic import op
from sqlalchemy import text

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

IS_CANCELLED = text("status = 'cancelled'")


def upgrade() -> None:
    """Only a task that is cancelled has an entry in it."""
    op.create_index(
        "ix_tasks_cancelled",
        "tasks",
        ["recipient", "id"],
        sqlite_where=IS_CANCELLED,
        postgresql_where=IS_CANCELLED,
    )
