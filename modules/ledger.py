"""The ledger: registered contracts and awards in the database.

A run reads the ledger with its revision, computes outside any transaction, and commits only if no other run has
changed the ledger in between (`RevisionConflictError`), so that no number is ever given twice.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.clock import in_shanghai
from modules.contracts import Rejected
from modules.database import awards, campaigns, config_snapshots, insert_missing, performance, rejected_rows
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award, LedgerState, Outcome
from modules.rewards.explain import remark

_STATE_TYPES = {
    "contract_id": "object",
    "payee": "object",
    "project": "object",
    "self_referral": "bool",
    "sequence": "int64",
    "personal_sequence": "int64",
    "amount": "int64",
}
_COPIED = (
    "contract_id",
    "sequence",
    "personal_sequence",
    "payee",
    "housekeeper",
    "provider",
    "contract_number",
    "project",
    "address",
    "self_referral",
    "amount",
    "performance",
    "count",
    "total",
    "performance_total",
    "bonus_pool",
    "source",
)


class RevisionConflictError(Exception):
    """Another run has changed this campaign's ledger since it was read: read, fetch and compute again."""


@dataclass(frozen=True)
class Opened:
    """A campaign's ledger as it was read: its revision, its state, and the ids whose loss a person accepted."""

    revision: int
    state: LedgerState
    accepted_losses: frozenset[str]


@dataclass(frozen=True)
class Commit:
    """What a run writes in one go. `source_amounts` are registered contracts whose amount in the source changed;
    `accept_losses` are registered contracts that a person accepts to be gone."""

    campaign: Campaign
    revision: int
    outcome: Outcome
    broadcast_keys: Sequence[str]
    source_amounts: dict[str, int]
    rejected: Sequence[Rejected]
    accept_losses: Collection[str]
    fetched: int


def read(connection: Connection, campaign_key: str) -> Opened:
    """The campaign's ledger as it stands."""
    revision = connection.execute(sa.select(campaigns.c.revision).where(campaigns.c.key == campaign_key)).scalar()
    columns = [performance.c[name] for name in _STATE_TYPES if name != "amount"]
    registered = sa.select(*columns, performance.c.source_amount.label("amount"), performance.c.loss_accepted_at)
    rows = connection.execute(registered.where(performance.c.campaign == campaign_key).order_by(performance.c.id)).all()
    state = pd.DataFrame(rows, columns=[*_STATE_TYPES, "loss_accepted_at"])
    granted = sa.select(awards.c.payee, awards.c.kind, awards.c.name).where(awards.c.campaign == campaign_key)
    granted_rows = connection.execute(granted.order_by(awards.c.id)).all()
    return Opened(
        revision or 0,
        LedgerState(
            state[list(_STATE_TYPES)].astype(_STATE_TYPES),
            pd.DataFrame(granted_rows, columns=["payee", "kind", "name"], dtype="object"),
        ),
        frozenset(state.loc[state["loss_accepted_at"].notna(), "contract_id"]),
    )


def commit(connection: Connection, commit: Commit, now: datetime) -> None:
    """Write a run's rows and awards inside the caller's transaction. Raises RevisionConflictError."""
    key = commit.campaign.key
    _take_revision(connection, key, commit.revision, changed=len(commit.outcome.rows) > 0)
    pull = {"last_pull_at": now, "last_pull_rows": commit.fetched}
    connection.execute(sa.update(campaigns).where(campaigns.c.key == key).values(pull))
    _store_config(connection, commit.campaign, now)
    if len(commit.outcome.rows):
        _insert_rows(connection, commit, now)
        _insert_awards(connection, commit.campaign, commit.outcome.awards, now)
    for contract_id, amount in commit.source_amounts.items():
        _update_row(connection, key, contract_id, {"source_amount": amount})
    for contract_id in commit.accept_losses:
        _update_row(connection, key, contract_id, {"loss_accepted_at": now})
    _store_rejected(connection, key, commit.rejected, now)


def mark_notified(connection: Connection, broadcast_key: str, now: datetime) -> None:
    """The broadcast with this key has been sent whole: its contract is announced."""
    unmarked = (performance.c.broadcast_key == broadcast_key, performance.c.notified_at.is_(None))
    connection.execute(sa.update(performance).where(*unmarked).values(notified_at=now))


def _take_revision(connection: Connection, key: str, revision: int, *, changed: bool) -> None:
    connection.execute(insert_missing(connection, campaigns, ["key"]).values(key=key, revision=0))
    taken = (
        sa.update(campaigns)
        .where(campaigns.c.key == key, campaigns.c.revision == revision)
        .values(revision=revision + int(changed))
    )
    if connection.execute(taken).rowcount != 1:
        raise RevisionConflictError(key)


def _insert_rows(connection: Connection, commit: Commit, now: datetime) -> None:
    outcome, key = commit.outcome, commit.campaign.key
    rows = [
        {name: _plain(record[name]) for name in _COPIED}
        | {
            "campaign": key,
            "signed_at": in_shanghai(record["signed_at"].to_pydatetime()),
            "remark": remark(outcome.missing, position),
            "registered_at": now,
            "source_amount": int(record["amount"]),
            "broadcast_key": broadcast_key,
        }
        for position, (record, broadcast_key) in enumerate(
            zip(outcome.rows.to_dict("records"), commit.broadcast_keys, strict=True)
        )
    ]
    connection.execute(sa.insert(performance), rows)


def _store_config(connection: Connection, campaign: Campaign, now: datetime) -> None:
    """The configuration of every run, once per hash."""
    snapshot = {"hash": campaign.config_hash(), "campaign": campaign.key, "config": campaign.config_json()}
    insert = insert_missing(connection, config_snapshots, ["hash"])
    connection.execute(insert.values(**snapshot, created_at=now))


def _insert_awards(connection: Connection, campaign: Campaign, granted: Iterable[Award], now: datetime) -> None:
    rows = [
        asdict(award)
        | {
            "campaign": campaign.key,
            "reason": json.dumps(award.reason, ensure_ascii=False),
            "config_hash": campaign.config_hash(),
            "granted_at": now,
        }
        for award in granted
    ]
    if rows:
        connection.execute(sa.insert(awards), rows)


def _update_row(connection: Connection, key: str, contract_id: str, values: dict[str, Any]) -> None:
    row = (performance.c.campaign == key, performance.c.contract_id == contract_id)
    connection.execute(sa.update(performance).where(*row).values(values))


def _store_rejected(connection: Connection, key: str, rejected: Sequence[Rejected], now: datetime) -> None:
    """Each once; those that the source no longer shows are marked as resolved."""
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


def _plain(value: Any) -> Any:
    """A Python value for the driver, out of a NumPy one."""
    return value.item() if hasattr(value, "item") else value
