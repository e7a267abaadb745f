"""Files: written whole or not at all, safe to open in Excel, archived and pruned."""

import csv
import io
import itertools
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from modules.system_words import reason_of

log = logging.getLogger(__name__)

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_MAYBE_FORMULA = re.compile(r"""(?s)[=+\-@\t](?<![^,\n"].)|[\r\n](?<=".)(?<![^,\n]..)""")
"""Finds every cell of CSV text that begins with a formula sign, and some that don't: a sign at the start, or after a
comma, a line's end or a quote. A cell that begins with a line break is quoted, and so told from the end of a line."""

_ROWS_AT_ONCE = 100
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_ARCHIVE_STAMP = "%Y%m%d-%H%M%S"


def excel_safe(cell: object) -> str:
    """Text that Excel would take for a formula gets an apostrophe before it; numbers are left alone."""
    text = "" if cell is None else str(cell)
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A whole CSV file as text, every cell safe for Excel."""
    return "".join(csv_parts(header, rows))


def csv_parts(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The same piece by piece, for one that is long."""
    yield _encodable(_csv_lines([[excel_safe(title) for title in header]]))
    numbered = iter(rows)
    while some := list(itertools.islice(numbered, _ROWS_AT_ONCE)):
        lines = _csv_lines(some)
        # one search of many rows is quicker than a look at each cell
        is_safe = _MAYBE_FORMULA.search(lines) is None
        yield _encodable(lines if is_safe else _csv_lines([[excel_safe(cell) for cell in row] for row in some]))


def _encodable(text: str) -> str:
    """Half a surrogate pair becomes ?"""
    return text.encode("utf-8", "replace").decode()


def _csv_lines(rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()


def write_csv(path: Path, text: str) -> None:
    """UTF-8 with a byte order mark, which Excel needs. Raises OSError (PermissionError: Excel holds it open)."""
    write_atomically(path, text, encoding="utf-8-sig")


def write_json(path: Path, value: Any) -> None:
    """Readable JSON in UTF-8. Raises OSError."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_atomically(path: Path, text: str, encoding: str) -> None:
    """Text as `write_bytes_atomically` writes it."""
    write_bytes_atomically(path, text.encode(encoding))


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """A temporary file beside `path`, flushed to disk, then put in its place: readers see the old or the new.

    One writer of a file at a time (`process_lock.views_lock`): the temporary file has one name, so that a killed
    writer leaves none behind that the next one would not use.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of one of our CSV files, by column; the apostrophe before a formula sign is taken off again.

    Raises OSError, and ValueError where it is no UTF-8 or a row has more cells than there are columns.
    """
    rows = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if reader.restkey in row:
                raise ValueError(f"第 {reader.line_num} 行的格数多于列数")
            rows.append({name: _as_written(cell) for name, cell in row.items()})
    return rows


def copy_to_archive(path: Path, archive_dir: Path, now: datetime) -> Path:
    """Copy a file into the archive under its name and the time. Raises OSError."""
    archive_dir.mkdir(parents=True, exist_ok=True)
    stamp = now.strftime(_ARCHIVE_STAMP)
    target = archive_dir / f"{path.stem}-{stamp}{path.suffix}"
    number = 1
    while target.exists():
        number += 1
        target = archive_dir / f"{path.stem}-{stamp}-{number}{path.suffix}"
    shutil.copyfile(path, target)
    return target


def prune_archive(archive_dir: Path, prefix: str, now: datetime, days: int) -> None:
    """Delete archived files whose name begins with `prefix` and whose time stamp is older than `days`."""
    for file in archive_dir.glob(f"{prefix}*"):
        match = re.search(r"-(\d{8}-\d{6})(-\d+)?$", file.stem)
        try:
            archived = datetime.strptime(match.group(1) if match else "", _ARCHIVE_STAMP).replace(tzinfo=now.tzinfo)
        except ValueError:
            continue  # somebody else's file
        if now - archived > timedelta(days=days):
            _delete(file)


def _delete(file: Path) -> None:
    """One that Excel holds open stays until next time."""
    try:
        file.unlink(missing_ok=True)
        log.info("已删除过期的归档文件 %s", file.name)
    except OSError as error:
        log.warning("删不掉过期的归档文件 %s：%s", file.name, reason_of(error))


def _as_written(cell: str | None) -> str:
    text = cell or ""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_STARTS) else text
