"""What alerts have told once, in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.alert_rows import SOURCE_MARK, Told
from modules.database import insert_columns, portions
from modules.ledger import RevisionConflictError
from modules.tables import announced


def read(connection: Connection, alert: str, keys: Sequence[str]) -> Told:
    """Which of these keys an alert has told, and where its keys come from."""
    own = sa.select(announced.c.row_key).where(announced.c.alert == alert)
    told: set[str] = set()
    for some in portions(keys):
        told.update(connection.scalars(own.where(announced.c.row_key.in_(some))))
    source = connection.scalars(own.where(announced.c.row_key.startswith(SOURCE_MARK, autoescape=True))).first()
    return Told(frozenset(told), source)


def record(connection: Connection, alert: str, keys: Sequence[str], source: str | None, now: datetime) -> None:
    """Remember these keys as told, and with a new `source` where they come from.

    Raises RevisionConflictError where another run was first with any of it: the transaction must not commit then.
    """
    added = sorted(keys)  # in one order: two runs at once wait for each other, and not both
    if source is not None:
        own_mark = (announced.c.alert == alert) & announced.c.row_key.startswith(SOURCE_MARK, autoescape=True)
        connection.execute(sa.delete(announced).where(own_mark))
        added.append(source)
    columns: dict[str, Sequence[Any]] = {
        "alert": [alert] * len(added),
        "row_key": added,
        "announced_at": [now] * len(added),
    }
    if insert_columns(connection, announced, columns, missing_by=["alert", "row_key"]) != len(added):
        raise RevisionConflictError(f"提醒 {alert} 刚被另一个运行发送")
