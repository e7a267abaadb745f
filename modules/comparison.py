"""What two systems say of the same contracts, and where they disagree. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from modules.clock import format_moment
from modules.performance_file import BadRow, FileRow, PerformanceFile
from modules.rewards.money import plain_yuan

Kind = Literal["different", "only_here", "only_there"]


@dataclass(frozen=True)
class Entry:
    """What one of the systems says of a contract; money in fen, None where it says nothing.

    `awards`: (kind, name) of each, sorted, as their order in the record pays nobody more or less.
    """

    sequence: int | None
    awards: tuple[tuple[str, str], ...]
    count: int | None
    total: int | None
    performance_total: int | None


COLUMNS = tuple(field.name for field in fields(Entry))
"""What is compared."""

FIGURES = ("count", "total", "performance_total")
MONEY = ("total", "performance_total")


@dataclass(frozen=True)
class Judged:
    """A contract as this system has or would have registered it, and why: each award's reason, and the remark."""

    contract_id: str
    contract_number: str
    housekeeper: str
    entry: Entry
    reasons: tuple[str, ...]
    remark: str


@dataclass(frozen=True)
class Difference:
    """A contract on which the systems disagree. `columns` are those that differ; `line` is its line in the file.

    `reasons`: why this system granted its awards, or why it has no such contract. `here` and `there` are None where
    that system has no such contract.
    """

    kind: Kind
    contract_id: str
    contract_number: str
    housekeeper: str
    line: int | None
    columns: tuple[str, ...]
    here: Entry | None
    there: Entry | None
    reasons: tuple[str, ...]
    remark: str


@dataclass(frozen=True)
class Comparison:
    """`compared` contracts are in both systems; `not_compared` are the columns that the file has not got."""

    campaign: str
    file: str
    at: datetime
    compared: int
    differences: tuple[Difference, ...]
    bad_rows: tuple[BadRow, ...]
    not_compared: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.differences and not self.bad_rows

    def count(self, kind: Kind) -> int:
        """How many differences are of this kind."""
        return sum(difference.kind == kind for difference in self.differences)

    def by_column(self) -> dict[str, int]:
        """In how many contracts each column differs."""
        return {name: sum(name in difference.columns for difference in self.differences) for name in COLUMNS}

    def summary(self) -> dict[str, Any]:
        """For programs, with every difference; money in yuan."""
        different = self.count("different")
        return {
            "campaign": self.campaign,
            "file": self.file,
            "at": format_moment(self.at),
            "compared": self.compared,
            "equal": self.compared - different,
            "different": different,
            "only_here": self.count("only_here"),
            "only_there": self.count("only_there"),
            "by_column": self.by_column(),
            "not_compared": list(self.not_compared),
            "bad_rows": [asdict(bad) for bad in self.bad_rows],
            "differences": [_difference_json(difference) for difference in self.differences],
        }


def compare(here: Mapping[str, Judged], file: PerformanceFile, absence: Mapping[str, str]) -> list[Difference]:
    """Every contract on which the two disagree, the lowest number first. Pure.

    `absence`: why this system would not register contracts that the source shows, by id.
    """
    differences = []
    for row, contract in zip(file.rows, file.contracts.to_dict("records"), strict=True):
        judged, there = here.get(row.contract_id), _entry_of(row)
        if judged is None:
            reason = absence.get(row.contract_id, "源数据里没有这个合同（可能已取消）")
            names = (row.contract_id, contract["contract_number"], contract["housekeeper"], row.line)
            differences.append(Difference("only_there", *names, (), None, there, (reason,), ""))
        elif columns := _differing(judged.entry, there):
            differences.append(_difference("different", judged, row.line, columns, there))
    told = {row.contract_id for row in file.rows} | {bad.contract_id for bad in file.bad_rows}
    differences += [
        _difference("only_here", judged, None, (), None) for judged in here.values() if judged.contract_id not in told
    ]
    return sorted(differences, key=_place)


def _differing(here: Entry, there: Entry) -> tuple[str, ...]:
    """The columns that differ. A figure that the file has no column for does not."""
    return tuple(
        name
        for name in COLUMNS
        if getattr(here, name) != getattr(there, name) and not (name in FIGURES and getattr(there, name) is None)
    )


def _difference(
    kind: Kind, judged: Judged, line: int | None, columns: tuple[str, ...], there: Entry | None
) -> Difference:
    names = (judged.contract_id, judged.contract_number, judged.housekeeper, line)
    return Difference(kind, *names, columns, judged.entry, there, judged.reasons, judged.remark)


def _place(difference: Difference) -> tuple[int, str]:
    """By number, of whichever system has one: what differs later often follows from the first."""
    numbers = [entry.sequence for entry in (difference.there, difference.here) if entry and entry.sequence]
    return min(numbers, default=0), difference.contract_id


def _entry_of(row: FileRow) -> Entry:
    return Entry(row.sequence, tuple(sorted(row.awards)), row.count, row.total, row.performance_total)


def _difference_json(difference: Difference) -> dict[str, Any]:
    shown = {"here": _entry_json(difference.here), "there": _entry_json(difference.there)}
    return asdict(difference) | shown


def _entry_json(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    money = {name: None if (fen := getattr(entry, name)) is None else plain_yuan(fen) for name in MONEY}
    return asdict(entry) | {"awards": [{"kind": kind, "name": name} for kind, name in entry.awards]} | money
