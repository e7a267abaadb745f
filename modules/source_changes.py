"""What a pull says anew of registered contracts, and how the ledger takes it in."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.tables import performance


@dataclass(frozen=True)
class SourceChanges:
    """By contract id. `amounts` (fen) are those that differ from the last ones known.

    `returned` are contracts that a person had accepted to be gone and that the source shows again; `lost` those that
    a person accepts to be gone now.
    """

    amounts: Mapping[str, int]
    returned: Collection[str] = ()
    lost: Collection[str] = ()


def store_source_changes(connection: Connection, key: str, changes: SourceChanges, now: datetime) -> None:
    """Write them into the campaign's ledger."""
    _set(connection, key, performance.c.source_amount, changes.amounts.items())
    _set(connection, key, performance.c.loss_accepted_at, ((one, None) for one in changes.returned))
    _set(connection, key, performance.c.loss_accepted_at, ((one, now) for one in changes.lost))


def _set(connection: Connection, key: str, column: sa.Column[Any], values: Iterable[tuple[str, Any]]) -> None:
    """Set one column of registered contracts."""
    pairs = [{"of_contract": contract_id, "new_value": value} for contract_id, value in values]
    if pairs:
        row = (performance.c.campaign == key, performance.c.contract_id == sa.bindparam("of_contract"))
        connection.execute(sa.update(performance).where(*row).values({column: sa.bindparam("new_value")}), pairs)
