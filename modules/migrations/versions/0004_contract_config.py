"""The configuration that a contract was registered under."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of contracts registered before, nobody has written it down."""
    op.add_column("performance", sa.Column("config_hash", sa.Text))
