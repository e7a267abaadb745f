"""The ledger: registered contracts and awards in the database.

A run reads the ledger with its revision, computes outside any transaction, and commits only if no other run has
changed the ledger in between (`RevisionConflictError`), so that no number is ever given twice.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.clock import in_shanghai
from modules.contracts import Rejected
from modules.database import insert_columns, insert_missing
from modules.rejections import store_rejected
from modules.rewards.campaign import Campaign
from modules.rewards.engine import FIGURES, Award, Outcome
from modules.rewards.explain import remarks
from modules.rewards.frame import LedgerState
from modules.source_changes import SourceChanges, store_source_changes
from modules.tables import awards, campaigns, config_snapshots, performance

_STATE_TYPES = {
    "contract_id": "object",
    "payee": "object",
    "project": "object",
    "address": "object",
    "self_referral": "bool",
    "historical": "bool",
    "sequence": "int64",
    "amount": "int64",
}
_COPIED = (
    "contract_id",
    "payee",
    "housekeeper",
    "provider",
    "contract_number",
    "project",
    "address",
    "self_referral",
    "historical",
    "amount",
    "source",
    *(name for name in FIGURES if name != "platform_sequence"),  # which is counted anew
)
_JSON = json.JSONEncoder(ensure_ascii=False)
_NUMBERS = ("sequence", "personal_sequence")
"""NULL in the table where a historical contract has none; 0 in frames."""


_MARK_NOTIFIED = (
    sa.update(performance)
    .where(performance.c.broadcast_key == sa.bindparam("of_broadcast"), performance.c.notified_at.is_(None))
    .values(notified_at=sa.bindparam("moment"))
)


class RevisionConflictError(Exception):
    """Another run has changed this campaign's ledger since it was read: read, fetch and compute again."""


class CampaignClosedError(Exception):
    """The campaign is closed: nothing is registered or granted any more, what comes later is an adjustment."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} 已结账，不再登记合同或发奖；之后的出入请用 adjust {key} 人工调整")


@dataclass(frozen=True)
class Opened:
    """A campaign's ledger as it was read: its revision, its state, and the ids whose loss a person accepted.

    `closed_at` is set once a person has closed the campaign.
    """

    revision: int
    state: LedgerState
    accepted_losses: frozenset[str]
    closed_at: datetime | None


@dataclass(frozen=True)
class Commit:
    """What a run writes in one go. `broadcast_keys`: for each new row the key of its broadcast, None where it has
    none."""

    campaign: Campaign
    revision: int
    outcome: Outcome
    broadcast_keys: Sequence[str | None]
    source_changes: SourceChanges
    rejected: Sequence[Rejected]
    fetched: int


def read(connection: Connection, campaign_key: str) -> Opened:
    """The campaign's ledger as it stands."""
    known = sa.select(campaigns.c.revision, campaigns.c.closed_at).where(campaigns.c.key == campaign_key)
    revision, closed_at = connection.execute(known).one_or_none() or (0, None)
    own = performance.c.campaign == campaign_key
    columns: dict[str, sa.ColumnElement[Any]] = {name: performance.c[name] for name in _STATE_TYPES}
    columns |= {
        "sequence": sa.func.coalesce(performance.c.sequence, 0),
        "amount": performance.c.source_amount,
    }
    registered = sa.select(*columns.values()).where(own).order_by(performance.c.id)
    granted = sa.select(awards.c.payee, awards.c.kind, awards.c.name).where(awards.c.campaign == campaign_key)
    lost = sa.select(performance.c.contract_id).where(own, performance.c.loss_accepted_at.is_not(None))
    return Opened(
        revision,
        LedgerState(
            _frame(connection, registered, _STATE_TYPES),
            _frame(connection, granted.order_by(awards.c.id), dict.fromkeys(("payee", "kind", "name"), "object")),
        ),
        frozenset(connection.scalars(lost)),
        closed_at,
    )


def _frame(connection: Connection, query: sa.Select[Any], types: Mapping[str, str]) -> pd.DataFrame:
    """The rows of a query as a frame, column by column from the driver: several times quicker than row by row.

    For columns of text, whole numbers and truth values, which need no conversion.
    """
    fetched = connection.execute(query).cursor.fetchall()
    values = list(zip(*fetched, strict=True)) or [()] * len(types)
    return pd.DataFrame(
        {name: pd.Series(column, dtype=types[name]) for name, column in zip(types, values, strict=True)}
    )


def commit(connection: Connection, commit: Commit, now: datetime) -> None:
    """Write a run's rows and awards inside the caller's transaction.

    Raises RevisionConflictError, CampaignClosedError.
    """
    key = commit.campaign.key
    _take_revision(connection, key, commit.revision, changed=len(commit.outcome.rows) > 0)
    pull = {"last_pull_at": now, "last_pull_rows": commit.fetched}
    connection.execute(sa.update(campaigns).where(campaigns.c.key == key).values(pull))
    _store_config(connection, commit.campaign, now)
    if len(commit.outcome.rows):
        _insert_rows(connection, commit, now)
        _insert_awards(connection, key, commit.campaign.config_hash(), commit.outcome.award_list, now)
    store_source_changes(connection, key, commit.source_changes, now)
    store_rejected(connection, key, commit.rejected, now)


def commit_import(
    connection: Connection,
    campaign: Campaign,
    revision: int,
    rows: Sequence[dict[str, Any]],
    granted: Iterable[tuple[Award, datetime]],
    now: datetime,
) -> None:
    """Write a ledger that was kept elsewhere inside the caller's transaction.

    `rows` have the columns of `performance` beside campaign and config_hash; each award comes with the time when it
    was granted.
    Raises RevisionConflictError, CampaignClosedError.
    """
    _take_revision(connection, campaign.key, revision, changed=True)
    _store_config(connection, campaign, now)
    whose = {"campaign": campaign.key, "config_hash": campaign.config_hash()}
    connection.execute(sa.insert(performance), [row | whose for row in rows])
    for award, granted_at in granted:
        _insert_awards(connection, campaign.key, campaign.config_hash(), [award], granted_at)


def grant(
    connection: Connection,
    campaign: Campaign,
    revision: int,
    granted: Sequence[Award],
    source_changes: SourceChanges,
    now: datetime,
) -> None:
    """Write awards without a contract, and what the source says that they follow from, in the caller's transaction.

    Raises RevisionConflictError, CampaignClosedError.
    """
    _take_revision(connection, campaign.key, revision, changed=len(granted) > 0)
    store_source_changes(connection, campaign.key, source_changes, now)
    if granted:
        _store_config(connection, campaign, now)
        _insert_awards(connection, campaign.key, campaign.config_hash(), granted, now)


def adjust(connection: Connection, campaign_key: str, award: Award, now: datetime) -> None:
    """Write what a person adjusts inside the caller's transaction: also where the campaign is closed.

    No configuration grants it, so it names none. Runs that read the ledger before compute again.
    """
    connection.execute(insert_missing(connection, campaigns, ["key"]).values(key=campaign_key, revision=0))
    moved_on = {"revision": campaigns.c.revision + 1}
    connection.execute(sa.update(campaigns).where(campaigns.c.key == campaign_key).values(moved_on))
    _insert_awards(connection, campaign_key, "", [award], now)


def close(
    connection: Connection,
    campaign: Campaign,
    revision: int,
    source_changes: SourceChanges,
    now: datetime,
    who: str,
) -> None:
    """Nothing is registered or granted from now on; what the source shows at this moment stays, and the configuration.

    Raises RevisionConflictError, CampaignClosedError.
    """
    _take_revision(connection, campaign.key, revision, changed=False)
    _store_config(connection, campaign, now)
    store_source_changes(connection, campaign.key, source_changes, now)
    values = {"closed_at": now, "closed_by": who}
    connection.execute(sa.update(campaigns).where(campaigns.c.key == campaign.key).values(values))


def closed(connection: Connection) -> frozenset[str]:
    """The campaigns that a person has closed."""
    return frozenset(connection.scalars(sa.select(campaigns.c.key).where(campaigns.c.closed_at.is_not(None))))


def mark_notified(connection: Connection, broadcast_key: str, now: datetime) -> None:
    """The broadcast with this key has been sent whole: its contract is announced."""
    connection.execute(_MARK_NOTIFIED, {"of_broadcast": broadcast_key, "moment": now})


def _take_revision(connection: Connection, key: str, revision: int, *, changed: bool) -> None:
    connection.execute(insert_missing(connection, campaigns, ["key"]).values(key=key, revision=0))
    taken = (
        sa.update(campaigns)
        .where(campaigns.c.key == key, campaigns.c.revision == revision)
        .values(revision=revision + int(changed))
    )
    if connection.execute(taken).rowcount != 1:
        raise RevisionConflictError(key)
    if connection.execute(sa.select(campaigns.c.closed_at).where(campaigns.c.key == key)).scalar() is not None:
        raise CampaignClosedError(key)


def _insert_rows(connection: Connection, commit: Commit, now: datetime) -> None:
    outcome, key = commit.outcome, commit.campaign.key
    columns: dict[str, Sequence[Any]] = {name: outcome.rows[name].tolist() for name in _COPIED}
    columns |= {name: [number or None for number in columns[name]] for name in _NUMBERS}
    columns |= {
        "campaign": [key] * len(outcome.rows),
        "config_hash": [commit.campaign.config_hash()] * len(outcome.rows),
        "signed_at": [in_shanghai(moment) for moment in outcome.rows["signed_at"].dt.to_pydatetime()],
        "remark": remarks(outcome),
        "registered_at": [now] * len(outcome.rows),
        "source_amount": columns["amount"],
        "broadcast_key": commit.broadcast_keys,
    }
    insert_columns(connection, performance, columns)


def _store_config(connection: Connection, campaign: Campaign, now: datetime) -> None:
    """The configuration of every run, once per hash, and which one was the last."""
    snapshot = {"hash": campaign.config_hash(), "campaign": campaign.key, "config": campaign.config_json()}
    insert = insert_missing(connection, config_snapshots, ["hash"])
    connection.execute(insert.values(**snapshot, created_at=now))
    connection.execute(sa.update(campaigns).where(campaigns.c.key == campaign.key).values(config_hash=snapshot["hash"]))


def _insert_awards(
    connection: Connection, campaign_key: str, config_hash: str, granted: Iterable[Award], now: datetime
) -> None:
    rows = list(granted)
    columns: dict[str, Sequence[Any]] = {
        field.name: [getattr(award, field.name) for award in rows] for field in fields(Award)
    }
    columns |= {
        "campaign": [campaign_key] * len(rows),
        "reason": [_JSON.encode(award.reason) for award in rows],
        "config_hash": [config_hash] * len(rows),
        "granted_at": [now] * len(rows),
    }
    insert_columns(connection, awards, columns)
