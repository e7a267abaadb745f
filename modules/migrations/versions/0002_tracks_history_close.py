"""Figures of the platform track, historical contracts (without a number), and what a person has closed or accepted."""

import sqlalchemy as sa
from alembic import op

from modules.tables import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RUNNING_PLATFORM_FIGURES = """
UPDATE performance SET
    platform_count = figures.contracts,
    platform_total = figures.amounts,
    platform_performance_total = figures.performances
FROM (
    SELECT
        id,
        SUM(CASE WHEN self_referral THEN 0 ELSE 1 END) OVER so_far AS contracts,
        SUM(CASE WHEN self_referral THEN 0 ELSE amount END) OVER so_far AS amounts,
        SUM(CASE WHEN self_referral THEN 0 ELSE performance END) OVER so_far AS performances
    FROM performance
    WINDOW so_far AS (PARTITION BY campaign, payee ORDER BY id)
) AS figures
WHERE figures.id = performance.id
"""
"""Contracts registered before have the figures that they were registered with."""

_LAST_CONFIG = """
UPDATE campaigns SET config_hash = (
    SELECT hash FROM config_snapshots WHERE campaign = campaigns.key ORDER BY created_at DESC, hash LIMIT 1
)
"""
"""The newest configuration is the best guess at which one the last run worked by."""


def upgrade() -> None:
    """Add the columns; numbers may be absent from now on."""
    with op.batch_alter_table("performance") as table:
        table.alter_column("sequence", existing_type=sa.Integer, nullable=True)
        table.alter_column("personal_sequence", existing_type=sa.Integer, nullable=True)
        table.add_column(sa.Column("historical", sa.Boolean, nullable=False, server_default=sa.false()))
        for name, kind in (
            ("platform_count", sa.Integer),
            ("platform_total", sa.BigInteger),
            ("platform_performance_total", sa.BigInteger),
        ):
            table.add_column(sa.Column(name, kind, nullable=False, server_default="0"))
    op.execute(_RUNNING_PLATFORM_FIGURES)
    op.add_column("campaigns", sa.Column("config_hash", sa.Text))
    op.execute(_LAST_CONFIG)
    op.add_column("campaigns", sa.Column("accepted_hash", sa.Text))
    op.add_column("campaigns", sa.Column("closed_at", Moment))
    op.add_column("campaigns", sa.Column("closed_by", sa.Text))
