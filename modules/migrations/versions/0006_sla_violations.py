"""Violations of service levels, what is known of each day, and which weeks have been reported."""

import sqlalchemy as sa
from alembic import op

from modules.tables import Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TEXTS = (
    "provider",
    "order_number",
    "appointment_id",
    "appointed_at",
    "province",
    "supervisor",
    "source_type",
    "status",
    "description",
    "memo",
    "work_type",
    "created_at",
)


def upgrade() -> None:
    """Add the three tables."""
    op.create_table(
        "sla_violations",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.Column("stored_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sla_violations"),
    )
    op.create_index("uq_sla_violations_identity", "sla_violations", ["identity"], unique=True)
    op.create_index("ix_sla_violations_day_provider", "sla_violations", ["day", "provider"])
    op.create_table(
        "sla_days",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("pulled_at", Moment),
        sa.PrimaryKeyConstraint("day", name="pk_sla_days"),
    )
    op.create_table(
        "sla_weeks",
        sa.Column("monday", sa.Date, nullable=False),
        sa.Column("days_with_data", sa.Integer, nullable=False),
        sa.Column("reported_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("monday", name="pk_sla_weeks"),
    )
