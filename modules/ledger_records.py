"""Contracts, awards and rejected rows of the ledger as records: what is known of each when people ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.rewards.unmet import Seen
from modules.tables import awards, performance, rejected_rows

CONTRACT_OF_AWARD = sa.and_(
    performance.c.campaign == awards.c.campaign, performance.c.contract_id == awards.c.contract_id
)
"""Joins an award with the contract that won it."""


@dataclass(frozen=True)
class ContractRecord:
    """A registered contract with the figures that it was registered with; money in fen, numbers 0 where historical.

    `config_hash` names the configuration of its registration; None where an earlier version of the program wrote it.
    """

    id: int
    campaign: str
    contract_id: str
    contract_number: str
    payee: str
    housekeeper: str
    provider: str
    project: str
    address: str
    self_referral: bool
    historical: bool
    signed_at: datetime
    registered_at: datetime
    config_hash: str | None
    sequence: int
    personal_sequence: int
    amount: int
    performance: int
    count: int
    total: int
    performance_total: int
    platform_count: int
    platform_total: int
    platform_performance_total: int
    remark: str
    source_amount: int
    loss_accepted_at: datetime | None


@dataclass(frozen=True)
class AwardRecord:
    """An award, correction or adjustment; money in fen, `reason` as the JSON text that is stored.

    What it says of the contract is empty where it came without one.
    """

    contract_id: str | None
    contract_number: str | None
    signed_at: datetime | None
    contract_amount: int | None
    contract_performance: int | None
    payee: str
    kind: str
    name: str
    amount: int
    base_amount: int
    badge: str
    multiplier: str
    reason: str
    config_hash: str
    granted_at: datetime


@dataclass(frozen=True)
class RejectedRecord:
    """A source row that could not be used; `resolved_at` is set once the source no longer shows it so."""

    campaign: str
    contract_id: str
    reason: str
    first_seen_at: datetime
    resolved_at: datetime | None


def find_contracts(connection: Connection, text: str, key: str | None) -> list[ContractRecord]:
    """The registered contracts with this id or contract number, in one campaign or in all."""
    is_named = sa.or_(performance.c.contract_id == text, performance.c.contract_number == text)
    of_campaign = () if key is None else (performance.c.campaign == key,)
    return _contracts(connection, is_named, *of_campaign)


def read_contracts(connection: Connection, key: str, payees: Sequence[str]) -> list[ContractRecord]:
    """The registered contracts of some payees of a campaign, in the order of registration."""
    return _contracts(connection, performance.c.campaign == key, performance.c.payee.in_(payees))


def find_rejected(connection: Connection, contract_id: str, key: str | None) -> list[RejectedRecord]:
    """Why rows with this id could not be used, the first time first."""
    chosen = sa.select(*(rejected_rows.c[name] for name in RejectedRecord.__dataclass_fields__))
    chosen = chosen.where(rejected_rows.c.contract_id == contract_id)
    if key is not None:
        chosen = chosen.where(rejected_rows.c.campaign == key)
    return [RejectedRecord(**row) for row in connection.execute(chosen.order_by(rejected_rows.c.id)).mappings()]


def read_awards(
    connection: Connection, key: str, contract_id: str | None = None, payees: Sequence[str] | None = None
) -> list[AwardRecord]:
    """Awards in the order in which they were granted: all of a campaign, of one contract, or of some payees."""
    of_contract = (
        performance.c.contract_number,
        performance.c.signed_at,
        performance.c.amount.label("contract_amount"),
        performance.c.performance.label("contract_performance"),
    )
    known = {column.name: column for column in (*awards.c, *of_contract)}
    chosen = sa.select(*(known[name] for name in AwardRecord.__dataclass_fields__))
    chosen = chosen.select_from(sa.outerjoin(awards, performance, CONTRACT_OF_AWARD)).where(awards.c.campaign == key)
    if contract_id is not None:
        chosen = chosen.where(awards.c.contract_id == contract_id)
    if payees is not None:
        chosen = chosen.where(awards.c.payee.in_(payees))
    return [AwardRecord(*row) for row in connection.execute(chosen.order_by(awards.c.id))]


def project_mates(connection: Connection, contract: ContractRecord) -> dict[str, int]:
    """The contracts of the same project and track that were registered before: what each counted then, by id.

    Those that a person had accepted to be gone by then are left out.
    """
    if not contract.project:
        return {}
    lost_at = performance.c.loss_accepted_at
    before = (performance.c.campaign == contract.campaign, performance.c.id < contract.id)
    same = (performance.c.project == contract.project, performance.c.self_referral == contract.self_referral)
    standing = sa.or_(lost_at.is_(None), lost_at > contract.registered_at)
    chosen = sa.select(performance.c.contract_id, performance.c.performance).where(*before, *same, standing)
    return dict(connection.execute(chosen.order_by(performance.c.id)).all())


def seen_by_the_rules(connection: Connection, contract: ContractRecord) -> Seen:
    """A contract as the rules saw it when it was registered."""
    earlier = []
    if contract.self_referral and contract.address:
        is_there = (performance.c.address == contract.address, performance.c.payee == contract.payee)
        earlier = _ids_before(connection, contract, *is_there, performance.c.self_referral)
    platform_sequence = 0
    if not contract.self_referral and not contract.historical:
        is_numbered = (~performance.c.self_referral, ~performance.c.historical, performance.c.payee == contract.payee)
        platform_sequence = len(_ids_before(connection, contract, *is_numbered)) + 1
    own = set(Seen.__dataclass_fields__) & set(ContractRecord.__dataclass_fields__)
    return Seen(
        **{name: getattr(contract, name) for name in own},
        platform_sequence=platform_sequence,
        earlier_at_address=earlier[0] if earlier else "",
        used=_granted_before(connection, contract),
    )


def _contracts(connection: Connection, *where: sa.ColumnElement[bool]) -> list[ContractRecord]:
    chosen = sa.select(*(performance.c[name] for name in ContractRecord.__dataclass_fields__)).where(*where)
    rows = connection.execute(chosen.order_by(performance.c.campaign, performance.c.id)).mappings()
    numbers = ("sequence", "personal_sequence")
    return [ContractRecord(**{**row, **{name: row[name] or 0 for name in numbers}}) for row in rows]


def _ids_before(connection: Connection, contract: ContractRecord, *where: sa.ColumnElement[bool]) -> list[str]:
    before = (performance.c.campaign == contract.campaign, performance.c.id < contract.id)
    chosen = sa.select(performance.c.contract_id).where(*before, *where).order_by(performance.c.id)
    return list(connection.execute(chosen).scalars())


def _granted_before(connection: Connection, contract: ContractRecord) -> dict[tuple[str, str], int]:
    """How often each award was granted for contracts that stand before this one."""
    chosen = (
        sa.select(awards.c.kind, awards.c.name, sa.func.count())
        .select_from(sa.join(awards, performance, CONTRACT_OF_AWARD))
        .where(awards.c.campaign == contract.campaign, performance.c.id < contract.id)
        .group_by(awards.c.kind, awards.c.name)
    )
    return {(kind, name): number for kind, name, number in connection.execute(chosen)}
