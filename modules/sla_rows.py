"""Rows of the question on service levels → typed violations, and the rows that can't be used with their reasons. Pure.

Columns are found by name, never by position.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from modules.campaigns import normalise_name
from modules.clock import readable_moment
from modules.contract_columns import SourceTable
from modules.contracts import Rejected, find_columns

COLUMNS = (
    "_id",
    "sid",
    "saCreateTime",
    "orderNum",
    "province",
    "orgName",
    "supervisorName",
    "sourceType",
    "status",
    "msg",
    "memo",
    "workType",
    "createTime",
)
REQUIRED_COLUMNS = ("_id", "sid", "orderNum", "orgName", "msg", "createTime")
"""Without these nobody could be told what happened; the others are blank where the question lacks them."""


@dataclass(frozen=True)
class Violation:
    """One violation, every value as text on one line. `identity` tells it from all others.

    `provider` is normalised. `appointed_at` and `created_at` are Shanghai times where they can be read, else as the
    source shows them.
    """

    identity: str
    provider: str
    order_number: str
    appointment_id: str
    appointed_at: str
    province: str
    supervisor: str
    source_type: str
    status: str
    description: str
    memo: str
    work_type: str
    created_at: str


@dataclass(frozen=True)
class SlaPull:
    """The violations of a pull, each once, in its order; `duplicates` counts the rows left out for it."""

    violations: tuple[Violation, ...]
    rejected: tuple[Rejected, ...]
    duplicates: int


def parse_violations(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> SlaPull:
    """Every row becomes a violation, a `Rejected` with its reason, or a duplicate. Raises ColumnsError."""
    sources = SourceTable(find_columns(columns, REQUIRED_COLUMNS, COLUMNS), rows)
    texts = {name: [_on_one_line(text) for text in sources.texts(name)] for name in COLUMNS}
    violations: dict[str, Violation] = {}
    faults: dict[int, str] = {}
    for place, values in enumerate(zip(*texts.values(), strict=True)):
        row = dict(zip(COLUMNS, values, strict=True))
        violation, fault = _violation(row), _fault(row)
        if fault:
            faults[place] = fault
        else:
            violations.setdefault(violation.identity, violation)
    sources_of_faults = sources.json_texts(faults)
    rejected = [
        Rejected(texts["_id"][place], fault, source)
        for (place, fault), source in zip(faults.items(), sources_of_faults, strict=True)
    ]
    return SlaPull(tuple(violations.values()), tuple(rejected), len(rows) - len(violations) - len(rejected))


def _violation(row: dict[str, str]) -> Violation:
    return Violation(
        identity=_identity(row),
        provider=normalise_name(row["orgName"]),
        order_number=row["orderNum"],
        appointment_id=row["sid"],
        appointed_at=readable_moment(row["saCreateTime"]),
        province=row["province"],
        supervisor=normalise_name(row["supervisorName"]),
        source_type=row["sourceType"],
        status=row["status"],
        description=row["msg"],
        memo=row["memo"],
        work_type=row["workType"],
        created_at=readable_moment(row["createTime"]),
    )


def _identity(row: dict[str, str]) -> str:
    """The row's id; without one the appointment, the order and when it happened."""
    return row["_id"] or "|".join([row["sid"], row["orderNum"], row["createTime"]])


def _fault(row: dict[str, str]) -> str | None:
    if not normalise_name(row["orgName"]):
        return "没有服务商（orgName 为空）"
    if not row["_id"] and not (row["createTime"] and (row["sid"] or row["orderNum"])):
        return "没有违规ID（_id 为空），也没有 createTime 和 sid、orderNum，分不清是哪一条"
    return None


def _on_one_line(text: str) -> str:
    """Control characters as blanks, blanks in a row as one."""
    return " ".join("".join(" " if unicodedata.category(char) == "Cc" else char for char in text).split())
