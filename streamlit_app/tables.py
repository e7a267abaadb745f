"""Tables with their downloads: as CSV and as .xlsx, whole, with ids as text."""

import codecs
import io
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeVar

import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from modules.clock import in_shanghai
from modules.figures.newest import Newest
from modules.file_utils import csv_parts
from modules.payout_workbook import Sheet, Value, sheet_names, workbook_bytes
from streamlit_app.words import pixels_of

Kind = Literal["text", "count", "number", "yuan", "moment", "share", "percent"]
Cell = str | int | float | datetime | None

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ROW_PIXELS, TABLE_PIXELS = 35, 560
"""How high a row is, and a table at most."""
BAR_PIXELS, EDGES_PIXELS, WIDE_PIXELS, MOST_PIXELS = 130, 22, 400, 600
"""How wide: a bar, what is left and right of a cell's words, a `wide` column and any other at most."""
MOST_IN_WORKBOOK = 100_000
"""Rows of an .xlsx file: it is made whole in memory, and nobody waits minutes for it. A CSV file has no limit."""

Row = Sequence[Cell]
T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """A column. Cells by kind: `text` str, `count` int, `number` int that names and does not count, `yuan` fen,
    `moment` datetime, `share` 0 to 1 as a bar, `percent` 0.25 for 25 %. `wide` is for sentences, which may be cut, at
    so many pixels where that is said; `help` explains the head. One that is `sparse` is not shown where it is empty in
    all rows, so that the others are in sight; downloads have it."""

    title: str
    kind: Kind = "text"
    help: str | None = None
    wide: bool | int = False
    sparse: bool = False


@dataclass(frozen=True)
class Whole:
    """What a table is the newest part of: how many rows it has, and what reads them once a download is asked for."""

    number: int
    read: Callable[[], Iterable[Row]]


def show_table(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    file_name: str,
    select: Literal["none", "one", "many"] = "none",
    whole: Whole | None = None,
) -> list[int]:
    """Draw the table with its downloads; the positions of the selected rows, where any can be.

    Many are selected by the boxes on the left, one by a touch of its row anywhere: a box would stay ticked beside it.
    Rows are selected by their places: where others stand there, be it but by one more, nothing is selected any more.
    `name` tells tables of a page apart and says what it holds; `file_name` goes without an ending. Where the rows are
    only the newest of a `whole`, that is said, and the downloads have all of it.
    """
    titles = distinct([column.title for column in columns])
    frame = pd.DataFrame(
        {
            title: [_shown(column.kind, row[index]) for row in rows]
            for index, (title, column) in enumerate(zip(titles, columns, strict=True))
            if not column.sparse or any(row[index] not in (None, "") for row in rows)
        }
    )
    height = min(ROW_PIXELS * (len(rows) + 1) + 3, TABLE_PIXELS)
    config = {
        title: _config(replace(column, title=title), [row[index] for row in rows])
        for index, (title, column) in enumerate(zip(titles, columns, strict=True))
    }
    selected: list[int] = []
    if whole is None or whole.number <= len(rows):
        whole = Whole(len(rows), lambda: rows)
    else:
        st.caption(_part_words(len(rows), whole.number))
    if select == "none":
        st.dataframe(
            frame, hide_index=True, height=height, column_config=config, key=f"table_{name}", placeholder="", alt=name
        )
    else:
        state = st.dataframe(
            frame,
            hide_index=True,
            height=height,
            column_config=config,
            key=f"table_{name}_{_fingerprint(rows)}",
            on_select="rerun",
            selection_mode="single-cell" if select == "one" else "multi-row",
            placeholder="",
            alt=name,
        )
        touched = [*state.selection.rows, *(row for row, _ in state.selection.cells)]
        selected = [index for index in touched if index < len(rows)]
    _show_downloads(name, columns, whole, file_name=file_name)
    return selected


def show_newest(
    name: str,
    columns: Sequence[Column],
    found: Newest[T],
    row_of: Callable[[T], Row],
    every: Callable[[], Iterable[T]],
    *,
    file_name: str,
    select: Literal["none", "one", "many"] = "none",
) -> list[int]:
    """The same for the newest of a list, each of which makes a row; `every` reads the whole list for a download."""
    whole = Whole(found.number, lambda: map(row_of, every()))
    rows = [*map(row_of, found.rows)]
    return show_table(name, columns, rows, file_name=file_name, select=select, whole=whole)


def distinct(titles: Sequence[str]) -> list[str]:
    """A repeated one gets a number: the screen tells columns apart by their titles, and some come from the source."""
    found: list[str] = []
    for title in titles:
        name, number = title, 1
        while name in found or (number > 1 and name in titles):
            number += 1
            name = f"{title} ({number})"
        found.append(name)
    return found


def _fingerprint(rows: Sequence[Row]) -> str:
    """Of which rows they are, by the first two cells of each."""
    return f"{zlib.crc32(repr([row[:2] for row in rows]).encode()):08x}"


def _part_words(shown: int, number: int) -> str:
    words = f"只列出最近 {shown:,} 条；下载的文件里是全部 {number:,} 条"
    return (
        words if number <= MOST_IN_WORKBOOK else f"{words}（超过 {MOST_IN_WORKBOOK:,} 条，没有 Excel 文件，请下载 CSV）"
    )


def _show_downloads(name: str, columns: Sequence[Column], whole: Whole, *, file_name: str) -> None:
    """What a button gives is made when it is pressed."""
    with st.container(horizontal=True, gap="small"):
        _button("CSV", f"{name}_csv", f"{file_name}.csv", "text/csv", lambda: csv_bytes(columns, whole.read()))
        if whole.number <= MOST_IN_WORKBOOK:
            _button("Excel", f"{name}_xlsx", f"{file_name}.xlsx", XLSX, lambda: xlsx_bytes(name, columns, whole.read()))


def csv_bytes(columns: Sequence[Column], rows: Iterable[Row]) -> bytes:
    """UTF-8 with a byte order mark; money in yuan with two decimals. Only the file itself is held in memory."""
    cells = ([_csv_value(column.kind, cell) for column, cell in zip(columns, row, strict=True)] for row in rows)
    file = io.BytesIO()
    file.write(codecs.BOM_UTF8)
    for part in csv_parts([column.title for column in columns], cells):
        file.write(part.encode("utf-8"))
    return file.getvalue()


def xlsx_bytes(name: str, columns: Sequence[Column], rows: Iterable[Row]) -> bytes:
    """One sheet; text stays text, so that ids keep all their digits."""
    return workbook_of((name, (), columns, rows))


def workbook_of(*sheets: tuple[str, Sequence[str], Sequence[Column], Iterable[Row]]) -> bytes:
    """Several sheets: name, lines above the table, columns and rows of each."""
    names = sheet_names([sheet[0] for sheet in sheets])
    return workbook_bytes(
        Sheet(
            name=name,
            preface=tuple(preface),
            header=tuple(column.title for column in columns),
            rows=tuple(tuple(_value(one.kind, cell) for one, cell in zip(columns, row, strict=True)) for row in rows),
            total=(None,) * len(columns),
        )
        for name, (_, preface, columns, rows) in zip(names, sheets, strict=True)
    )


def _button(label: str, key: str, file_name: str, mime: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        label,
        make,
        file_name,
        mime,
        key=f"download_{key}",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
    )


def _config(column: Column, cells: Sequence[Cell]) -> ColumnConfig:
    title, about = column.title, column.help
    width = pixels(column, cells)
    match column.kind:
        case "share":
            return st.column_config.ProgressColumn(
                title, help=about, min_value=0, max_value=100, format="%d%%", width=width
            )
        case "yuan":
            return st.column_config.NumberColumn(title, help=about, format="%,.2f", width=width)
        case "percent":
            return st.column_config.NumberColumn(title, help=about, format="%,.2f%%", width=width)
        case "count":
            return st.column_config.NumberColumn(title, help=about, format="localized", width=width)
        case "number":
            return st.column_config.NumberColumn(title, help=about, format="%d", width=width)
        case "moment":
            return st.column_config.DatetimeColumn(title, help=about, format="YYYY-MM-DD HH:mm", width=width)
        case "text":
            return st.column_config.TextColumn(title, help=about, width=width)


def pixels(column: Column, cells: Sequence[Cell]) -> int:
    """How wide the column has to be for its head and every cell to be whole; text of a `wide` one may go on.

    The browser would look at the first rows, and there take the few filled cells of a sparse column for exceptions.
    """
    known = [cell for cell in cells if cell is not None]
    match column.kind:
        case "share":
            longest = BAR_PIXELS
        case "moment":
            longest = pixels_of("2025-05-31 23:59")
        case "text":
            longest = max((pixels_of(str(cell)) for cell in known), default=0)
        case _:
            numbers = [cell for cell in known if isinstance(cell, int | float)]
            extremes = (min(numbers), max(numbers)) if numbers else ()
            longest = max((pixels_of(_written(column.kind, number)) for number in extremes), default=0)
    most = WIDE_PIXELS if column.wide is True else column.wide or MOST_PIXELS
    return min(max(longest, pixels_of(column.title)) + EDGES_PIXELS, most)


def _written(kind: Kind, number: float) -> str:
    """As the table shows it."""
    match kind:
        case "yuan":
            return f"{number / 100:,.2f}"
        case "percent":
            return f"{number:,.2%}"
        case "number":
            return str(number)
        case _:
            return f"{number:,}"


def _shown(kind: Kind, cell: Cell) -> object:
    if kind == "yuan" and isinstance(cell, int):
        return cell / 100  # for the eye only: downloads are exact
    if kind == "share" and isinstance(cell, float):
        return int(cell * 100)  # 99.6 % is not there yet
    if kind == "percent" and isinstance(cell, float):
        return cell * 100
    if isinstance(cell, datetime):
        return in_shanghai(cell).replace(tzinfo=None)
    return cell


def _value(kind: Kind, cell: Cell) -> Value:
    if kind == "yuan" and isinstance(cell, int):
        return Decimal(cell).scaleb(-2)
    if isinstance(cell, datetime):
        return in_shanghai(cell).replace(tzinfo=None, microsecond=0)
    return cell


def _csv_value(kind: Kind, cell: Cell) -> Value:
    """A CSV file knows no formats."""
    if isinstance(cell, float):
        return f"{cell:.2%}" if kind == "percent" else f"{cell:.1%}"
    return _value(kind, cell)
