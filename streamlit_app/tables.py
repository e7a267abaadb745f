"""Tables with their downloads: as CSV and as .xlsx, whole, with ids as text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from modules.clock import in_shanghai
from modules.file_utils import csv_text
from modules.payout_workbook import Sheet, Value, sheet_names, workbook_bytes
from streamlit_app.words import pixels_of

Kind = Literal["text", "count", "yuan", "moment", "share", "percent"]
Cell = str | int | float | datetime | None

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ROW_PIXELS, TABLE_PIXELS = 35, 560
"""How high a row is, and a table at most."""
BAR_PIXELS, EDGES_PIXELS, WIDE_PIXELS, MOST_PIXELS = 130, 22, 400, 600
"""How wide: a bar, what is left and right of a cell's words, a `wide` column and any other at most."""


@dataclass(frozen=True)
class Column:
    """A column. Cells by kind: `text` str, `count` int, `yuan` fen, `moment` datetime, `share` 0 to 1 as a bar,
    `percent` 0.25 for 25 %. `wide` is for sentences, which may be cut; `help` explains the head."""

    title: str
    kind: Kind = "text"
    help: str | None = None
    wide: bool = False


def show_table(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    file_name: str,
    select: Literal["none", "one", "many"] = "none",
) -> list[int]:
    """Draw the table with its downloads; the positions of the selected rows, where any can be.

    `name` tells tables of a page apart and says what it holds; `file_name` goes without an ending.
    """
    frame = pd.DataFrame(
        {column.title: [_shown(column.kind, row[index]) for row in rows] for index, column in enumerate(columns)}
    )
    height = min(ROW_PIXELS * (len(rows) + 1) + 3, TABLE_PIXELS)
    config = {column.title: _config(column, [row[index] for row in rows]) for index, column in enumerate(columns)}
    selected: list[int] = []
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
            key=f"table_{name}",
            on_select="rerun",
            selection_mode="single-row" if select == "one" else "multi-row",
            placeholder="",
            alt=name,
        )
        selected = [index for index in state.selection.rows if index < len(rows)]
    show_downloads(name, columns, rows, file_name=file_name)
    return selected


def show_downloads(name: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, file_name: str) -> None:
    """The buttons that download the rows; what a button gives is made when it is pressed."""
    with st.container(horizontal=True, gap="small"):
        _button("CSV", f"{name}_csv", f"{file_name}.csv", "text/csv", lambda: csv_bytes(columns, rows))
        _button("Excel", f"{name}_xlsx", f"{file_name}.xlsx", XLSX, lambda: xlsx_bytes(name, columns, rows))


def csv_bytes(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> bytes:
    """UTF-8 with a byte order mark; money in yuan with two decimals."""
    cells = [[_value(column.kind, cell) for column, cell in zip(columns, row, strict=True)] for row in rows]
    return csv_text([column.title for column in columns], cells).encode("utf-8-sig")


def xlsx_bytes(name: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> bytes:
    """One sheet; text stays text, so that ids keep all their digits."""
    return workbook_of((name, (), columns, rows))


def workbook_of(*sheets: tuple[str, Sequence[str], Sequence[Column], Sequence[Sequence[Cell]]]) -> bytes:
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
    return min(max(longest, pixels_of(column.title)) + EDGES_PIXELS, WIDE_PIXELS if column.wide else MOST_PIXELS)


def _written(kind: Kind, number: float) -> str:
    """As the table shows it."""
    match kind:
        case "yuan":
            return f"{number / 100:,.2f}"
        case "percent":
            return f"{number:,.2%}"
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
    if isinstance(cell, float):
        return f"{cell:.2%}" if kind == "percent" else f"{cell:.1%}"
    return cell
