"""The payout of a campaign as an Excel workbook: the table, and for each payee why it is paid what it is paid.

What stands on the sheets is put together first (`sheets_of`, pure), then written. Text stays text, whatever it begins
with, so that ids keep all their digits and nothing is taken for a formula; money is a number with two decimals.
"""

import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from modules.clock import in_shanghai
from modules.errors import JobRefusedError
from modules.explanation_words import AwardExplanation
from modules.file_utils import write_bytes_atomically
from modules.payout import COUNTED, Payout, PayoutLine
from modules.rewards.money import format_yuan

SUMMARY = "汇总"
REASONS_HEADER = (
    *("合同ID", "合同编号", "签约时间", "合同金额", "计入业绩金额"),
    *("奖励类型", "奖励名称", "奖励金额", "说明"),
)
Value = str | int | Decimal | float | datetime | None
"""Text, a whole number, money in yuan, a share (0.25 for 25 %), a time without zone, or nothing."""

_FORMATS = {str: "@", int: "0", Decimal: "#,##0.00", float: "0.00%", datetime: "yyyy-mm-dd hh:mm:ss"}
_NARROWEST, _WIDEST = 8, 60
_LONGEST_NAME = 31
_LONGEST_AS_TEXT = 255
"""Some versions of Excel show ##### for longer ones in cells that are formatted as text."""
_RESERVED = ("History", SUMMARY)
_NOT_IN_NAMES = re.compile(r"[\\/*?:\[\]]")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BOLD = Font(bold=True)
_WRAPPED = Alignment(wrap_text=True, vertical="top")


@dataclass(frozen=True)
class Sheet:
    """What one sheet holds: lines above the table, its head, its rows, and the row of totals below them."""

    name: str
    preface: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    total: tuple[Value, ...]


def check_target(path: Path) -> None:
    """Raises JobRefusedError where no workbook can be written there."""
    if path.is_dir():
        raise JobRefusedError(f"{path} 是文件夹，不能写成 Excel 文件；请写上文件名，如 {path / '应发.xlsx'}")
    if path.suffix.lower() != ".xlsx":
        raise JobRefusedError(f"{path} 应以 .xlsx 结尾")
    if not path.parent.is_dir():
        raise JobRefusedError(f"没有文件夹 {path.parent}；请先建好，或换一个位置")


def write_workbook(path: Path, sheets: Iterable[Sheet]) -> None:
    """The whole file or nothing: one that is there stays until the new one is complete. Raises OSError."""
    write_bytes_atomically(path, workbook_bytes(sheets))


def workbook_bytes(sheets: Iterable[Sheet]) -> bytes:
    """The content of an .xlsx file."""
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    for sheet in sheets:
        _write(workbook.create_sheet(sheet.name), sheet)
    content = io.BytesIO()
    workbook.save(content)
    return content.getvalue()


def sheets_of(payout: Payout, explained: Iterable[AwardExplanation]) -> list[Sheet]:
    """The summary, and a sheet for every payee with an award or an adjustment. `explained`: all of the campaign."""
    by_payee: dict[str, list[AwardExplanation]] = {}
    for one in explained:
        by_payee.setdefault(one.award.payee, []).append(one)
    lines = [line for line in payout.lines if line.payee in by_payee]
    names = sheet_names([" ".join(filter(None, (line.housekeeper, line.provider))) for line in lines])
    sheets = [_of_payee(payout, line, name, by_payee[line.payee]) for line, name in zip(lines, names, strict=True)]
    return [_summary(payout), *sheets]


def sheet_names(wanted: Iterable[str]) -> list[str]:
    """Names that Excel takes: at most 31 characters, none of `\\ / * ? : [ ]`, no two alike, also but for case."""
    taken = {_folded(name) for name in _RESERVED}
    names = []
    for text in wanted:
        stem = _NOT_IN_NAMES.sub(" ", _clean(text)).strip(" '") or "管家"
        name, number = _cut(stem, _LONGEST_NAME), 1
        while _folded(name) in taken:
            number += 1
            ending = f" ({number})"
            name = _cut(stem, _LONGEST_NAME - len(ending)) + ending
        taken.add(_folded(name))
        names.append(name)
    return names


def _summary(payout: Payout) -> Sheet:
    head = f"{payout.campaign} {payout.title} 应发表（活动期 {payout.period}）"
    return Sheet(
        name=SUMMARY,
        preface=(head, *payout.notes, *COUNTED),
        header=tuple(payout.titles()),
        rows=tuple(_line(payout, line, payout.who(line)) for line in payout.lines),
        total=_line(payout, payout.total, ["合计", ""] if payout.shows_provider else ["合计"]),
    )


def _line(payout: Payout, line: PayoutLine, who: Sequence[str]) -> tuple[Value, ...]:
    return (*who, line.contracts, *map(_yuan, line.figures(payout.names)))


def _of_payee(payout: Payout, line: PayoutLine, name: str, explained: Sequence[AwardExplanation]) -> Sheet:
    who = f"{line.housekeeper}（{line.provider}）" if line.provider is not None else line.housekeeper
    head = f"{payout.campaign} {payout.title}　{who}　应发 {format_yuan(line.to_pay)} 元"
    return Sheet(
        name=name,
        preface=(head, payout.finality),
        header=REASONS_HEADER,
        rows=tuple(_reason(one) for one in explained),
        total=("合计", *[None] * 6, _yuan(line.to_pay), None),
    )


def _reason(one: AwardExplanation) -> tuple[Value, ...]:
    award = one.award
    signed_at = award.signed_at and in_shanghai(award.signed_at).replace(tzinfo=None, microsecond=0)
    amounts = (award.contract_amount, award.contract_performance)
    return (
        award.contract_id or "",
        award.contract_number or "",
        signed_at,
        *(None if amount is None else _yuan(amount) for amount in amounts),
        award.kind,
        award.name,
        _yuan(award.amount),
        f"{one.sentence}；{one.amount}" if one.is_multiplied else one.sentence,
    )


def _write(sheet: Worksheet, content: Sheet) -> None:
    head = len(content.preface) + 1
    for row, words in enumerate(content.preface, 1):
        _put(sheet, row, 1, words)
    sheet.cell(1, 1).font = _BOLD
    table = [content.header, *content.rows, content.total]
    for row, values in enumerate(table, head):
        for column, value in enumerate(values, 1):
            _put(sheet, row, column, value)
    for row in (head, head + len(table) - 1):
        for cell in sheet[row]:
            cell.font = _BOLD
    for column, values in enumerate(zip(*table, strict=True), 1):
        width = max(_width(value) for value in values) + 2
        sheet.column_dimensions[get_column_letter(column)].width = min(max(width, _NARROWEST), _WIDEST)
        if width > _WIDEST:
            for row in range(head + 1, head + len(table)):
                sheet.cell(row, column).alignment = _WRAPPED
    sheet.freeze_panes = f"A{head + 1}"


def _put(sheet: Worksheet, row: int, column: int, value: Value) -> None:
    if value is None or value == "":
        return
    cell = cast(Cell, sheet.cell(row, column))  # nothing is merged here
    cell.value = _clean(value) if isinstance(value, str) else value
    if not isinstance(value, str) or len(value) <= _LONGEST_AS_TEXT:
        cell.number_format = _FORMATS[type(value)]
    if isinstance(value, str):
        cell.data_type = "s"  # also where it begins like a formula, or is the name of an error
        cell.quotePrefix = True  # and stays so when a person edits it


def _yuan(fen: int) -> Decimal:
    return Decimal(fen).scaleb(-2)


def _clean(text: str) -> str:
    """Without what a workbook can't hold."""
    return _NOT_IN_XML.sub("�", text)


def _width(value: Value) -> int:
    """How much room a value takes, in Latin letters: a Chinese character takes two."""
    if isinstance(value, str):
        return max((sum(_letters(char) for char in line) for line in value.splitlines()), default=0)
    if isinstance(value, datetime):
        return len("2025-05-01 09:00:00")
    if isinstance(value, float):
        return len(f"{value:.2%}")
    return 0 if value is None else len(f"{value:,.2f}" if isinstance(value, Decimal) else str(value))


def _letters(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text: str, longest: int) -> str:
    """At most so many characters as Excel counts them: one beyond 16 bits is two. No apostrophe at the end."""
    length = 0
    for position, char in enumerate(text):
        length += 1 + (ord(char) > 0xFFFF)
        if length > longest:
            return text[:position].rstrip(" '")
    return text


def _folded(name: str) -> str:
    """The same for names that Excel may take for the same."""
    return unicodedata.normalize("NFKC", name).casefold()
