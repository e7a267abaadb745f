"""Source rows → a typed contract frame, and the rows that can't be used with their reasons.

Columns are found by name, never by position. See docs/reward-rules.md, "From source rows to contracts".
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

import pandas as pd

from modules.campaigns import normalise_name
from modules.clock import parse_moment
from modules.rewards.money import parse_amount

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
"""The source columns that the ledger keeps, in the order of the performance file."""

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
        """The same for the same row and reason, so that it is stored once and not once a run."""
        return hashlib.sha256(f"{self.reason}\n{self.source}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Contracts:
    """`frame`: one row per usable contract id, sorted by nothing in particular, with the columns

    contract_id, housekeeper, provider, contract_number, project, address (text), signed_at (datetime64, Shanghai
    time without zone), amount (int64, fen), self_referral (bool), source (JSON text of the row's source columns).

    `differing` are ids that came more than once with different content; `duplicates` counts the rows left out.
    """

    frame: pd.DataFrame
    rejected: tuple[Rejected, ...]
    duplicates: int
    differing: tuple[str, ...]

    def shown_ids(self) -> frozenset[str]:
        """Every id that the source still shows, be its row usable or not."""
        unusable = {row.contract_id for row in self.rejected if row.contract_id}
        return frozenset(self.frame["contract_id"]) | unusable


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
    "source": "object",
}


def parse_contracts(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    also_required: Sequence[str] = (),
    preferred: Callable[[pd.DataFrame], "pd.Series[bool]"] | None = None,
) -> Contracts:
    """Every row becomes a contract or a `Rejected` with its reason.

    Of rows with one id the `preferred` ones (those that may be registered) come before all others. Raises
    ColumnsError where a required column (or one that an enabled section needs) is missing.
    """
    positions = find_columns(columns, (*REQUIRED_COLUMNS, *also_required))
    usable: list[tuple[object, ...]] = []
    rejected: list[Rejected] = []
    for row in rows:
        record = {name: _text(row[position]) for name, position in positions.items()}
        source = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        try:
            usable.append((*_typed(record, row[positions["adjustRefundMoney"]]), source))
        except ValueError as error:
            rejected.append(Rejected(record["_id"], str(error), source))
    frame = pd.DataFrame(usable, columns=list(_FRAME_TYPES)).astype(_FRAME_TYPES)
    first = frame.assign(later=~preferred(frame)) if preferred else frame.assign(later=False)
    return _deduplicated(first, rejected)


def find_columns(columns: Sequence[str], required: Sequence[str]) -> dict[str, int]:
    """Source column name → position, for `_id` as well as `合同ID(_id)`. Raises ColumnsError."""
    found: dict[str, int] = {}
    for position, title in enumerate(columns):
        bare = title.strip()
        inner = re.search(r"[(（]([^()（）]+)[)）]\s*$", bare)
        for name in {bare, inner.group(1).strip() if inner else bare}:
            if name in SOURCE_COLUMNS:
                found.setdefault(name, position)
    missing = [name for name in required if name not in found]
    if missing:
        raise ColumnsError(
            f"源数据缺少列：{'、'.join(missing)}；现有的列：{'、'.join(columns) or '无'}。请检查 Metabase 问题卡的列名"
        )
    return {name: found[name] for name in SOURCE_COLUMNS if name in found}


def signed_within(frame: pd.DataFrame, first: date, last: date) -> "pd.Series[bool]":
    """Which rows were signed from the first moment of `first` to the last moment of `last`."""
    signed = frame["signed_at"]
    return (signed >= pd.Timestamp(first)) & (signed < pd.Timestamp(last + timedelta(days=1)))


def _typed(record: Mapping[str, str], amount: object) -> tuple[object, ...]:
    """The typed fields of one row, in the order of the frame. Raises ValueError with the reason in Chinese."""
    if not record["_id"]:
        raise ValueError("没有合同ID（_id 为空）")
    housekeeper = normalise_name(record["serviceHousekeeper"])
    if not housekeeper:
        raise ValueError("没有管家（serviceHousekeeper 为空）")
    try:
        fen = parse_amount(amount)
    except ValueError as error:
        raise ValueError(f"合同金额 adjustRefundMoney {error}") from error
    return (
        record["_id"],
        housekeeper,
        normalise_name(record["orgName"]),
        record["contractdocNum"],
        record["serviceAppointmentNum"],
        record.get("projectAddress", ""),
        _signed_at(record["signedDate"]),
        fen,
        is_self_referral(record.get("sourceType", "")),
    )


def is_self_referral(source_type: str) -> bool:
    """`sourceType` 1 (or `1.0`, as some exports write it) is self-referral."""
    return source_type.removesuffix(".0") == SELF_REFERRAL


@lru_cache(maxsize=4096)
def _signed_at(text: str) -> datetime:
    try:
        return parse_moment(text).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"签约时间 signedDate {text!r} 读不懂，应像 2025-05-20T12:00:00") from error


def _text(value: object) -> str:
    """As the source shows it; nothing for null and NaN. Ids of any length keep all digits."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).strip()
    return text if text.isascii() else text.encode("utf-8", "replace").decode()  # half a surrogate pair becomes ?


def _deduplicated(frame: pd.DataFrame, rejected: list[Rejected]) -> Contracts:
    """Of rows with one id the first by (signed time, amount, contract number) is kept."""
    if frame["contract_id"].is_unique:
        return Contracts(frame.drop(columns="later"), tuple(rejected), 0, ())
    ordered = frame.sort_values(["later", "signed_at", "amount", "contract_number", "source"], kind="stable")
    kept = ordered.drop_duplicates("contract_id").drop(columns="later")
    variants = ordered.drop_duplicates(["contract_id", "source"])["contract_id"]
    differing = sorted(set(variants[variants.duplicated()]))
    return Contracts(kept.reset_index(drop=True), tuple(rejected), len(frame) - len(kept), tuple(differing))
