"""What was paid, by payee: the sums of the ledger's awards, in fen."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.tables import awards, campaigns


def paid_by_payee(connection: Connection, key: str) -> dict[str, int]:
    """Everybody who was granted anything in a campaign, corrections and adjustments included."""
    summed = sa.select(awards.c.payee, sa.func.sum(awards.c.amount)).where(awards.c.campaign == key)
    return {payee: int(fen) for payee, fen in connection.execute(summed.group_by(awards.c.payee))}


def revision_of(connection: Connection, key: str) -> int:
    """Names the state of a campaign's ledger; 0 where it has none."""
    return connection.execute(sa.select(campaigns.c.revision).where(campaigns.c.key == key)).scalar() or 0
