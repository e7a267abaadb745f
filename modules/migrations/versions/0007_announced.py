"""What alerts have told once."""

import sqlalchemy as sa
from alembic import op

from modules.tables import Moment

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "announced",
        sa.Column("alert", sa.Text, nullable=False),
        sa.Column("row_key", sa.Text, nullable=False),
        sa.Column("announced_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("alert", "row_key", name="pk_announced"),
    )
