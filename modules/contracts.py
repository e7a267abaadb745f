"""Source rows → a typed contract frame, and the rows that can't be used with their reasons.

Columns are found by name, never by position. See docs/reward-rules.md, "From source rows to contracts".
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pandas as pd

from modules.campaigns import normalise_name
from modules.contract_columns import SourceTable, column_moments, per_distinct
from modules.rewards.money import parse_amounts

SOURCE_COLUMNS = (
    "_id",
    "province",
    "serviceAppointmentNum",
    "Status",
    "serviceHousekeeper",
    "contractdocNum",
    "adjustRefundMoney",
    "paidAmount",
    "difference",
    "State",
    "createTime",
    "orgName",
    "signedDate",
    "Doorsill",
    "tradeIn",
    "conversion",
    "average",
    "sourceType",
    "projectAddress",
)
"""The source columns of the performance file, in its order."""

PARENT_COLUMN = "pcContractdocNum"
"""Not blank on a historical contract 历史合同. The ledger keeps it; the performance file has no such column."""

_KEPT_COLUMNS = (*SOURCE_COLUMNS, PARENT_COLUMN)
"""The source columns that are found and kept as JSON text, in this order."""

REQUIRED_COLUMNS = (
    "_id",
    "serviceHousekeeper",
    "contractdocNum",
    "adjustRefundMoney",
    "orgName",
    "signedDate",
    "serviceAppointmentNum",
)

SELF_REFERRAL = "1"
"""The `sourceType` of a self-referral row 自引单; all else is platform 平台单."""


_BATCH = 10_000
"""Rows read at once: few enough that they stay in the processor's cache while column after column is read."""

_UNREADABLE = "签约时间 signedDate {!r} 读不懂，应像 2025-05-20T12:00:00"


class ColumnsError(Exception):
    """A required column is missing; the message names it and lists what is there."""


@dataclass(frozen=True)
class Rejected:
    """A row that can't be used: its id where it has one, why, and the row itself as JSON text."""

    contract_id: str
    reason: str
    source: str

    @property
    def fingerprint(self) -> str:
        """The same for the same row and reason, so that it is stored once and not once a run.

        A row is known by its id, and one without by what is required of it: other columns move all the time.
        """
        known_by = self.contract_id or json.dumps([json.loads(self.source).get(name) for name in REQUIRED_COLUMNS])
        return hashlib.sha256(f"{self.reason}\n{known_by}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Contracts:
    """`frame`: one row per usable contract id, sorted by nothing in particular, with the columns

    contract_id, housekeeper, provider, contract_number, project, address (text), signed_at (datetime64, Shanghai
    time without zone), amount (int64, fen), self_referral (bool), source_type (text, `1` also for `1.0`),
    historical (bool: has a `pcContractdocNum`), row (int64, position in the rows given).

    `differing` are ids that came more than once with different content; `duplicates` counts the rows left out.
    """

    frame: pd.DataFrame
    rejected: tuple[Rejected, ...]
    duplicates: int
    differing: tuple[str, ...]
    sources: SourceTable = field(repr=False)

    def shown_ids(self) -> frozenset[str]:
        """Every id that the source still shows, be its row usable or not."""
        unusable = {row.contract_id for row in self.rejected if row.contract_id}
        return frozenset(self.frame["contract_id"]) | unusable

    def with_sources(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The given part of the frame with the column source: JSON text of the row's source columns."""
        return _with_sources(frame, self.sources)


_FRAME_TYPES = {
    "contract_id": "object",
    "housekeeper": "object",
    "provider": "object",
    "contract_number": "object",
    "project": "object",
    "address": "object",
    "signed_at": "datetime64[us]",
    "amount": "int64",
    "self_referral": "bool",
    "source_type": "object",
    "historical": "bool",
    "row": "int64",
}


def parse_contracts(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    also_required: Sequence[str] = (),
    preferred: Callable[[pd.DataFrame], "pd.Series[bool]"] | None = None,
) -> Contracts:
    """Every row becomes a contract or a `Rejected` with its reason.

    Of rows with one id the `preferred` ones (those that may be registered) come before all others; it is asked once,
    about all usable rows. Raises ColumnsError where a required column (or one that an enabled section needs) is
    missing.
    """
    sources = SourceTable(find_columns(columns, (*REQUIRED_COLUMNS, *also_required)), rows)
    whole, faults = _typed(sources)
    unusable = sorted(faults)
    ids, texts = whole["contract_id"].iloc[unusable], sources.json_texts(unusable)
    rejected = [Rejected(one, faults[row], text) for row, one, text in zip(unusable, ids, texts, strict=True)]
    frame = whole.drop(index=unusable).reset_index(drop=True) if unusable else whole
    later = ~preferred(frame) if preferred else pd.Series(False, index=frame.index)
    dropped, differing = _duplicates(frame, later, sources)
    kept = frame.drop(index=dropped).reset_index(drop=True) if len(dropped) else frame
    return Contracts(kept, tuple(rejected), len(dropped), differing, sources)


def find_columns(
    columns: Sequence[str], required: Sequence[str], kept: Sequence[str] = _KEPT_COLUMNS
) -> dict[str, int]:
    """Source column name → position, for `_id` as well as `合同ID(_id)`, of those `kept`. Raises ColumnsError."""
    found: dict[str, int] = {}
    for position, title in enumerate(columns):
        bare = title.strip()
        inner = re.search(r"[(（]([^()（）]+)[)）]\s*$", bare)
        for name in {bare, inner.group(1).strip() if inner else bare}:
            if name in kept:
                found.setdefault(name, position)
    missing = [name for name in required if name not in found]
    if missing:
        raise ColumnsError(
            f"源数据缺少列：{'、'.join(missing)}；现有的列：{'、'.join(columns) or '无'}。请检查 Metabase 问题卡的列名"
        )
    return {name: found[name] for name in kept if name in found}


def signed_within(frame: pd.DataFrame, first: date, last: date) -> "pd.Series[bool]":
    """Which rows were signed from the first moment of `first` to the last moment of `last`."""
    signed = frame["signed_at"]
    return (signed >= pd.Timestamp(first)) & (signed < pd.Timestamp(last + timedelta(days=1)))


def _typed(sources: SourceTable) -> tuple[pd.DataFrame, dict[int, str]]:
    """All rows as a frame, and why a row can't be used: position → reason in Chinese."""
    parts = []
    faults: dict[int, str] = {}
    for start in range(0, max(len(sources), 1), _BATCH):
        part, its_faults = _typed_batch(sources.part(start, start + _BATCH))
        parts.append(part.assign(row=part["row"] + start))
        faults |= {start + row: reason for row, reason in its_faults.items()}
    return pd.concat(parts, ignore_index=True), faults


def _typed_batch(sources: SourceTable) -> tuple[pd.DataFrame, dict[int, str]]:
    ids = sources.texts("_id")
    housekeepers = per_distinct(normalise_name, sources.texts("serviceHousekeeper"))
    amounts, amount_faults = parse_amounts(sources.values("adjustRefundMoney"))
    moments, unreadable = column_moments(sources.texts("signedDate"))
    source_types = per_distinct(_plain_source_type, sources.texts("sourceType"))
    values: dict[str, Sequence[Any]] = {
        "contract_id": ids,
        "housekeeper": housekeepers,
        "provider": per_distinct(normalise_name, sources.texts("orgName")),
        "contract_number": sources.texts("contractdocNum"),
        "project": sources.texts("serviceAppointmentNum"),
        "address": sources.texts("projectAddress"),
        "signed_at": moments,
        "amount": amounts,
        "self_referral": [source_type == SELF_REFERRAL for source_type in source_types],
        "source_type": source_types,
        "historical": [parent != "" for parent in sources.texts(PARENT_COLUMN)],
        "row": range(len(sources)),
    }
    frame = pd.DataFrame({name: pd.Series(values[name], dtype=kind) for name, kind in _FRAME_TYPES.items()})
    # of several faults in a row the one further down here is told
    faults = {row: _UNREADABLE.format(text) for row, text in unreadable.items()}
    faults |= {row: f"合同金额 adjustRefundMoney {fault}" for row, fault in amount_faults.items()}
    faults |= {row: "没有管家（serviceHousekeeper 为空）" for row, name in enumerate(housekeepers) if not name}
    faults |= {row: "没有合同ID（_id 为空）" for row, contract_id in enumerate(ids) if not contract_id}
    return frame, faults


def _plain_source_type(text: str) -> str:
    """`1` also for `1.0`, as some exports write it."""
    return text.removesuffix(".0")


def _with_sources(frame: pd.DataFrame, sources: SourceTable) -> pd.DataFrame:
    texts = sources.json_texts(frame["row"].tolist())
    return frame.assign(source=pd.Series(texts, index=frame.index, dtype="object"))


def _duplicates(
    frame: pd.DataFrame, later: "pd.Series[bool]", sources: SourceTable
) -> tuple["pd.Index[int]", tuple[str, ...]]:
    """The rows to leave out, and the ids whose rows differ.

    Of rows with one id the first by (not `later`, signed time, amount, contract number) is kept.
    """
    is_repeated = frame["contract_id"].duplicated(keep=False)
    if not is_repeated.any():
        return frame.index[:0], ()
    repeated = _with_sources(frame[is_repeated], sources).assign(later=later)
    ordered = repeated.sort_values(["later", "signed_at", "amount", "contract_number", "source"], kind="stable")
    variants = ordered.drop_duplicates(["contract_id", "source"])["contract_id"]
    return ordered.index[ordered["contract_id"].duplicated()], tuple(sorted(set(variants[variants.duplicated()])))
