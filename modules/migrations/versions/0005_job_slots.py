"""Slots of jobs: who runs one and until when, so that each runs once."""

import sqlalchemy as sa
from alembic import op

from modules.tables import Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; runs noted before stand for no slot."""
    op.add_column("job_runs", sa.Column("scheduled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("job_runs", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("job_runs", sa.Column("locked_by", sa.Text))
    op.add_column("job_runs", sa.Column("locked_until", Moment))
    where = sa.text("scheduled")
    op.create_index(
        "uq_job_runs_slot", "job_runs", ["job", "slot"], unique=True, sqlite_where=where, postgresql_where=where
    )
