"""Whose fault it was that a run failed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of runs noted before nobody knows."""
    op.add_column("job_runs", sa.Column("fault", sa.Text))
