"""Money as integer fen (1 yuan = 100 fen): read from decimal text, written back as text. No float on the way."""

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from numbers import Integral

MAX_FEN = 10**12
"""Ten billion yuan. Nothing real is larger, and a million such amounts still add up within 64 bits."""

_MAX_YUAN = MAX_FEN // 100
_CENT = Decimal("0.01")

_PLAIN = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")
_TO_THE_FEN = re.compile(r"(?:[0-9]{1,10}|[0-9]{1,3}(?:,[0-9]{3}){1,2})(?:\.[0-9]{1,2})?")
"""What most amounts look like: not negative, not too large, nothing to round."""


def round_half_up(value: Decimal) -> int:
    """To the nearest whole number, halves away from zero."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def parse_decimal(value: object) -> Decimal:
    """A number, or decimal text with or without thousands separators, exactly as written.

    A float counts as the shortest decimal that reads back as it. Raises ValueError in Chinese.
    """
    if isinstance(value, bool) or not isinstance(value, Integral | float | str | Decimal):
        raise ValueError(f"{value!r} 不是数字" if value is not None else "为空")  # noqa: TRY004 - one kind of fault
    text = str(value).strip()
    if not text:
        raise ValueError("为空")
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    elif not _PLAIN.fullmatch(text):
        raise ValueError(f"{text!r} 不是数字")
    return Decimal(text)


def parse_fen(value: object) -> int:
    """Yuan, as a number or as text, → fen; more than two decimals are rounded half-up.

    Raises ValueError in Chinese where it is no number or beyond `MAX_FEN`.
    """
    number = parse_decimal(value)
    fen = int(number.quantize(_CENT, rounding=ROUND_HALF_UP) * 100) if number.adjusted() < 15 else MAX_FEN + 1
    if abs(fen) > MAX_FEN:
        raise ValueError(f"{value} 太大，超过一百亿元")
    return fen


def parse_amount(value: object) -> int:
    """`parse_fen` of what can't be negative, not even by a fraction of a fen. Raises ValueError in Chinese."""
    fen = parse_fen(value)
    if parse_decimal(value) < 0:
        raise ValueError(f"{value} 是负数，应不小于 0")
    return fen


def parse_amounts(values: Iterable[object]) -> tuple[list[int], dict[int, str]]:
    """`parse_amount` of a whole column: fen, and the faults in Chinese by position; a faulty value counts as 0 fen."""
    amounts: list[int] = []
    faults: dict[int, str] = {}
    for position, value in enumerate(values):
        fen = _fen_at_sight(value)
        if fen is None:
            try:
                fen = parse_amount(value)
            except ValueError as error:
                fen = 0
                faults[position] = str(error)
        amounts.append(fen)
    return amounts, faults


def _fen_at_sight(value: object) -> int | None:
    """The fen of a plain number or text with at most two decimals; None where `parse_amount` has to look closer."""
    if type(value) is int:
        return value * 100 if 0 <= value <= _MAX_YUAN else None
    if type(value) is float:
        fen = round(value * 100) if 0 <= value <= _MAX_YUAN else 0
        # of all amounts in whole fen one at most has `value` as its nearest float, and so as its shortest decimal
        return fen if fen / 100 == value else None
    if type(value) is not str or not _TO_THE_FEN.fullmatch(value):
        return None
    if value[-3:-2] == ".":
        return int(value.replace(",", "").replace(".", ""))
    whole, _, cents = value.partition(".")
    return int(whole.replace(",", "") + cents.ljust(2, "0"))


def plain_yuan(fen: int) -> str:
    """Fen → `1234` or `1234.50`, for programs."""
    whole, cents = divmod(abs(fen), 100)
    text = f"{whole}.{cents:02d}" if cents else str(whole)
    return text if fen >= 0 else f"-{text}"


def format_yuan(fen: int) -> str:
    """Fen → `1,234` or `1,234.50`, for people."""
    whole, point, cents = plain_yuan(fen).partition(".")
    return f"{int(whole):,}{point}{cents}" if abs(fen) >= 100 else f"{whole}{point}{cents}"


def multiply(fen: int, factor: Decimal) -> int:
    """Fen times a factor, rounded half-up to fen."""
    return round_half_up(Decimal(fen) * factor)
