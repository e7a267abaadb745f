"""A performance file, as the present system or this one writes it, read into typed rows and bad rows.

Columns are found by name, in any order. In the present system's file 计入业绩金额 is cumulative: the payee's running
performance total. Ours has 管家累计业绩金额 for that, and 计入业绩金额 is what the one contract counts. Whether a file
has the column 管家累计业绩金额 tells which of the two it is.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pandas as pd

from modules.clock import parse_moment
from modules.contract_columns import column_texts
from modules.contracts import REQUIRED_COLUMNS, Contracts, find_columns, parse_contracts
from modules.errors import JobRefusedError
from modules.file_utils import read_csv_rows
from modules.rewards.money import parse_amount, parse_decimal
from modules.system_words import reason_of
from modules.view_contents import PERFORMANCE_TITLES

T = TypeVar("T")

CAMPAIGN, REMARK, REGISTERED = "活动编号", "备注", "登记时间"
NUMBER, KINDS, NAMES, NOTIFIED = "活动期内第几个合同", "奖励类型", "奖励名称", "是否发送通知"
COUNT, TOTAL, BONUS_POOL = "管家累计单数", "管家累计金额", "奖金池"
PERFORMANCE, PERFORMANCE_TOTAL = "计入业绩金额", "管家累计业绩金额"

_REQUIRED = (NUMBER, KINDS, NAMES, NOTIFIED)
_MOST_DIGITS = 9
_SCIENTIFIC = re.compile(r"[0-9](\.[0-9]+)?[eE]\+?[0-9]+")


@dataclass(frozen=True)
class BadRow:
    """A row that can't be used: its line in the file (1 is the header), its contract id where it has one, and why."""

    line: int
    contract_id: str
    why: str


@dataclass(frozen=True)
class FileRow:
    """What the file says of one contract beside the contract itself. Money in fen.

    A figure is None where the file has no column for it. `performance` is what this contract counts,
    `performance_total` the running total of its payee; a file of the present system has the latter only. `sequence`
    is None where the cell is blank or 0, `registered_at` where it can't be read. `awards`: (kind, name) of each.
    """

    line: int
    contract_id: str
    campaign: str
    sequence: int | None
    count: int | None
    total: int | None
    bonus_pool: int | None
    performance: int | None
    performance_total: int | None
    awards: tuple[tuple[str, str], ...]
    is_notified: bool
    remark: str
    registered_at: datetime | None


@dataclass(frozen=True)
class PerformanceFile:
    """`rows` are the readable ones, in the order of the file; `contracts` has a row for each, with the columns of
    `contracts.Contracts.frame` and source (JSON text of the source columns). `columns`: the titles found."""

    name: str
    columns: frozenset[str]
    contracts: pd.DataFrame
    rows: tuple[FileRow, ...]
    bad_rows: tuple[BadRow, ...]

    @property
    def is_ours(self) -> bool:
        """Whether this program wrote it."""
        return PERFORMANCE_TOTAL in self.columns

    @property
    def is_cumulative(self) -> bool:
        """Whether 计入业绩金额 is the payee's running total, as in the present system's files."""
        return PERFORMANCE in self.columns and not self.is_ours


def read_performance_file(path: Path, also_required: Sequence[str] = ()) -> PerformanceFile:
    """Read a file; every faulty cell is told. `also_required`: further source columns that it must have.

    Raises JobRefusedError where the file can't be read at all, is empty, or lacks a required column.
    """
    records = [{title.strip(): cell.strip() for title, cell in row.items()} for row in _read(path)]
    lines = {line: record for line, record in enumerate(records, start=2) if any(record.values())}
    if not lines:
        raise JobRefusedError(f"文件 {path} 里没有一行数据；请给出旧系统写的 PerformanceData.csv")
    titles = list(records[0])
    positions = find_columns(titles, ())
    _require(path, titles, [name for name in (*REQUIRED_COLUMNS, *also_required) if name not in positions])
    id_title = titles[positions["_id"]]
    ids = dict(zip(lines, column_texts([record[id_title] for record in lines.values()]), strict=True))
    bad_rows = [BadRow(line, ids[line], why) for line, why in _faulty_ids(ids)]
    distinct = _distinct_lines(ids)
    contracts = parse_contracts(titles, [list(lines[line].values()) for line in distinct])
    frame, unusable = _by_line(contracts, distinct)
    bad_rows += [BadRow(line, ids[line], why) for line, why in unusable.items()]
    rows: dict[int, FileRow] = {}
    for line, cells in lines.items():
        rows[line], faults = _row(line, ids[line], cells)
        bad_rows += [BadRow(line, ids[line], why) for why in faults]
    spoilt = {bad.line for bad in bad_rows}
    readable = frame[~frame["line"].isin(spoilt)].reset_index(drop=True)
    return PerformanceFile(
        name=path.name,
        columns=frozenset((*titles, *positions)),
        contracts=readable,
        rows=tuple(rows[line] for line in readable["line"].tolist()),
        bad_rows=tuple(sorted(bad_rows, key=lambda bad: bad.line)),
    )


def _read(path: Path) -> list[dict[str, str]]:
    try:
        return read_csv_rows(path)
    except UnicodeDecodeError as error:
        raise JobRefusedError(
            f"文件 {path} 不是 UTF-8 编码（可能是 Excel 另存出的 GBK）；"
            "请用旧系统写的原文件，或在 Excel 里另存为“CSV UTF-8（逗号分隔）”再试"
        ) from error
    except OSError as error:
        raise JobRefusedError(f"读不到文件 {path}（{reason_of(error)}）；请检查路径和文件名") from error
    except (ValueError, csv.Error) as error:
        raise JobRefusedError(f"文件 {path} 不是完好的 CSV：{error}；请用旧系统写的原文件再试") from error


def _require(path: Path, titles: Sequence[str], missing_sources: Sequence[str]) -> None:
    missing = [_title_of(name) for name in missing_sources] + [name for name in _REQUIRED if name not in titles]
    if missing:
        raise JobRefusedError(
            f"文件 {path} 缺少列：{'、'.join(missing)}；现有的列：{'、'.join(titles)}。"
            "请用旧系统写的原文件，列名不要改动"
        )


def _title_of(source_column: str) -> str:
    """As our own files call it: `合同ID(_id)`."""
    return next((title for title in PERFORMANCE_TITLES if title.endswith(f"({source_column})")), source_column)


def _distinct_lines(ids: Mapping[int, str]) -> list[int]:
    """All lines but those whose contract an earlier one has named."""
    first = {contract_id: line for line, contract_id in reversed(list(ids.items()))}
    return [line for line, contract_id in ids.items() if not contract_id or first[contract_id] == line]


def _faulty_ids(ids: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for line, contract_id in ids.items():
        if _SCIENTIFIC.fullmatch(contract_id):
            yield line, "合同ID 被 Excel 改成了科学计数法，位数已经丢失；请用没有被 Excel 保存过的原文件"
        elif contract_id and first.setdefault(contract_id, line) != line:
            yield line, f"合同ID 与第 {first[contract_id]} 行重复"


def _by_line(contracts: Contracts, lines: Sequence[int]) -> tuple[pd.DataFrame, dict[int, str]]:
    """The contracts in the order of the file with their lines, and why those of other lines can't be used.

    Each id was given once, so the rows that are not in the frame are the rejected ones, in the same order.
    """
    frame = contracts.with_sources(contracts.frame).sort_values("row", ignore_index=True)
    frame["line"] = [lines[row] for row in frame["row"].tolist()]
    left_out = sorted(set(lines) - set(frame["line"].tolist()))
    reasons = [rejected.reason for rejected in contracts.rejected]
    return frame, dict(zip(left_out, reasons, strict=True))


def _row(line: int, contract_id: str, cells: Mapping[str, str]) -> tuple[FileRow, list[str]]:
    """The row, and what can't be read in it."""
    faults: list[str] = []

    def read(title: str, reader: Callable[[str], T]) -> T | None:
        if title not in cells:
            return None
        try:
            return reader(cells[title])
        except ValueError as error:
            faults.append(f"{title} {error}")
            return None

    is_ours = PERFORMANCE_TOTAL in cells
    awards, fault = _awards(cells)
    row = FileRow(
        line=line,
        contract_id=contract_id,
        campaign=cells.get(CAMPAIGN, ""),
        sequence=(read(NUMBER, _whole_number) or None) if cells[NUMBER] else None,
        count=read(COUNT, _whole_number),
        total=read(TOTAL, parse_amount),
        bonus_pool=read(BONUS_POOL, parse_amount),
        performance=read(PERFORMANCE, parse_amount) if is_ours else None,
        performance_total=read(PERFORMANCE_TOTAL if is_ours else PERFORMANCE, parse_amount),
        awards=awards,
        is_notified=bool(read(NOTIFIED, _yes_or_no)),
        remark=cells.get(REMARK, ""),
        registered_at=_moment(cells.get(REGISTERED, "")),
    )
    return row, faults + fault


def _awards(cells: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    kinds, names = ([part.strip() for part in cells[title].split(",") if part.strip()] for title in (KINDS, NAMES))
    if len(kinds) != len(names):
        return (), [f"{KINDS}有 {len(kinds)} 个而{NAMES}有 {len(names)} 个，应一一对应"]
    return tuple(zip(kinds, names, strict=True)), []


def _whole_number(text: str) -> int:
    """`12`, also as `12.0`. Raises ValueError in Chinese."""
    number = parse_decimal(text)
    if number < 0 or number.adjusted() >= _MOST_DIGITS or number != int(number):
        raise ValueError(f"{text} 不是从 0 起的整数")
    return int(number)


def _yes_or_no(text: str) -> bool:
    if text not in ("Y", "N"):
        raise ValueError(f"{text!r} 应为 Y 或 N")
    return text == "Y"


def _moment(text: str) -> datetime | None:
    try:
        return parse_moment(text)
    except (ValueError, OverflowError):
        return None
