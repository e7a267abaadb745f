"""Source rows that can't be used, as the database keeps them."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.contracts import Rejected
from modules.tables import rejected_rows


def store_rejected(connection: Connection, key: str, rejected: Sequence[Rejected], now: datetime) -> None:
    """Each once; those that the source no longer shows are marked as resolved.

    So are those of earlier versions, whose fingerprints were made otherwise: what still stands of them is stored anew.
    """
    known = sa.select(rejected_rows.c.fingerprint, rejected_rows.c.resolved_at)
    standing = dict(connection.execute(known.where(rejected_rows.c.campaign == key)).all())
    now_shown = {row.fingerprint: row for row in rejected}
    new = [
        {
            "campaign": key,
            "fingerprint": fingerprint,
            "contract_id": row.contract_id,
            "reason": row.reason,
            "source": row.source,
            "first_seen_at": now,
        }
        for fingerprint, row in now_shown.items()
        if fingerprint not in standing
    ]
    if new:
        connection.execute(sa.insert(rejected_rows), new)
    for fingerprint, resolved_at in standing.items():
        is_shown = fingerprint in now_shown
        if is_shown == (resolved_at is not None):
            row_of = (rejected_rows.c.campaign == key, rejected_rows.c.fingerprint == fingerprint)
            values = {"resolved_at": None if is_shown else now}
            connection.execute(sa.update(rejected_rows).where(*row_of).values(values))
