"""What is known of the differences between a campaign's ledger and its source without asking the source."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.campaign_ledger import CampaignLedger
from modules.ledger_records import AwardRecord
from modules.reconciliation import (
    BookedContract,
    ChangedAmount,
    Reconciliation,
    RejectedRow,
    Vanished,
    with_payments,
)
from modules.tables import campaigns, performance, rejected_rows


def known_differences(
    connection: Connection, ledger: CampaignLedger, awards: Sequence[AwardRecord]
) -> Reconciliation | None:
    """As `reconcile` would have found it at the last good pull; None where there was none.

    Of contracts that vanished only those that a person accepted to be gone are known, of tiers what follows from the
    ledger, and nothing of contracts that wait to be registered. `awards` are all that the campaign has.
    """
    pulled = connection.execute(sa.select(campaigns).where(campaigns.c.key == ledger.key)).one_or_none()
    if pulled is None or pulled.last_pull_at is None:
        return None
    standing = ledger.standing
    return Reconciliation(
        campaign=ledger.key,
        at=pulled.last_pull_at,
        closed_at=ledger.opened.closed_at,
        fetched=pulled.last_pull_rows or 0,
        registered=len(ledger.opened.state.registered),
        is_shrunken=False,
        changed=tuple(_changed(connection, ledger.key)),
        vanished=tuple(_accepted(connection, ledger.key)),
        unregistered=0,
        owed=standing.owed if standing else (),
        unearned=tuple(with_payments(standing.unearned, awards)) if standing else (),
        rejected=tuple(_rejected(connection, ledger.key)),
    )


_BOOKED = [performance.c[name] for name in BookedContract.__dataclass_fields__]


def _changed(connection: Connection, key: str) -> Iterator[ChangedAmount]:
    has_changed = (performance.c.source_amount != performance.c.amount, performance.c.loss_accepted_at.is_(None))
    chosen = sa.select(*_BOOKED, performance.c.source_amount).where(performance.c.campaign == key, *has_changed)
    for *booked, now in connection.execute(chosen.order_by(performance.c.id)):
        yield ChangedAmount(BookedContract(*booked), now)


def _accepted(connection: Connection, key: str) -> Iterator[Vanished]:
    is_gone = performance.c.loss_accepted_at.is_not(None)
    chosen = sa.select(*_BOOKED).where(performance.c.campaign == key, is_gone).order_by(performance.c.id)
    for booked in connection.execute(chosen):
        yield Vanished(BookedContract(*booked), accepted=True)


def _rejected(connection: Connection, key: str) -> Iterator[RejectedRow]:
    """The rows that the source still showed."""
    same = sa.and_(
        performance.c.campaign == rejected_rows.c.campaign, performance.c.contract_id == rejected_rows.c.contract_id
    )
    columns = (rejected_rows.c.contract_id, rejected_rows.c.reason, performance.c.id.is_not(None))
    chosen = sa.select(*columns).select_from(sa.outerjoin(rejected_rows, performance, same))
    chosen = chosen.where(rejected_rows.c.campaign == key, rejected_rows.c.resolved_at.is_(None))
    for contract_id, reason, registered in connection.execute(chosen.order_by(rejected_rows.c.id)):
        yield RejectedRow(contract_id, reason, bool(registered))
