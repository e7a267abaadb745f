"""Only parts of split messages are looked up by their group: whole ones carry their key in `dedup_key`."""

from alembic import op
from sqlalchemy import text

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

IS_PART = text("dedup_key <> group_key")


def upgrade() -> None:
    """Each index is a page more to write for every message."""
    op.drop_index("ix_tasks_group_key", "tasks")
    op.create_index("ix_tasks_part", "tasks", ["group_key"], sqlite_where=IS_PART, postgresql_where=IS_PART)
