"""Money: decimal text in, integer fen inside, text out; no float decides, halves go up."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.rewards.money import (
    MAX_FEN,
    format_yuan,
    multiply,
    parse_amount,
    parse_amounts,
    parse_decimal,
    parse_fen,
    plain_yuan,
    round_half_up,
)


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [
        ("1234", 123400),
        ("1,234.00", 123400),
        ("12,345,678.9", 1234567890),
        (" 12.30 ", 1230),
        ("+5", 500),
        (".5", 50),
        ("7.", 700),
        ("0", 0),
        ("-3.21", -321),
        ("1.2E3", 120000),
        (1234, 123400),
        (10000.01, 1000001),
        (0.1, 10),
        (1e-7, 0),
        (Decimal("99.99"), 9999),
        ("10000000000", MAX_FEN),
    ],
)
def test_yuan_are_read_as_fen(yuan: object, fen: int) -> None:
    assert parse_fen(yuan) == fen


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [
        ("0.004", 0),
        ("0.005", 1),
        ("0.015", 2),
        ("0.025", 3),
        (1.005, 101),
        (2.675, 268),
        ("9999.995", 1000000),
        ("9999.994999", 999999),
        ("-0.005", -1),
        # more digits than Decimal's own 28: rounded once, never first to 28 digits and then to fen
        ("0.00499999999999999999999999999999999", 0),
        ("79999.99499999999999999999999999999999", 7999999),
    ],
)
def test_more_than_two_decimals_are_rounded_half_up(yuan: object, fen: int) -> None:
    assert parse_fen(yuan) == fen


@pytest.mark.parametrize(
    "not_money",
    [
        None,
        "",
        "  ",
        "待定",
        "12元",
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "1,23",
        "1234,567",
        "1,234,5",
        "1 000",
        "--1",
        "0x10",
        "1_000",
        "１２",
        "1.2.3",
        "1e",
        float("nan"),
        float("inf"),
        True,
        [],
        {},
        b"1",
    ],
)
def test_what_is_no_number_is_refused(not_money: object) -> None:
    with pytest.raises(ValueError, match=r"不是数字|为空"):
        parse_fen(not_money)


@pytest.mark.parametrize("yuan", ["10000000000.01", "-10000000000.01", "1e15", "1e999", 10**30, 1e300, "9" * 60])
def test_amounts_that_nobody_pays_are_refused(yuan: object) -> None:
    with pytest.raises(ValueError, match="太大"):
        parse_fen(yuan)


def test_a_decimal_keeps_every_digit() -> None:
    assert parse_decimal("0.1234567890123456789012345678901") == Decimal("0.1234567890123456789012345678901")


@pytest.mark.parametrize(
    ("fen", "for_people", "for_programs"),
    [
        (0, "0", "0"),
        (1, "0.01", "0.01"),
        (10, "0.10", "0.10"),
        (100, "1", "1"),
        (123456, "1,234.56", "1234.56"),
        (100000000, "1,000,000", "1000000"),
        (-123450, "-1,234.50", "-1234.50"),
        (-5, "-0.05", "-0.05"),
    ],
)
def test_fen_are_written_as_yuan(fen: int, for_people: str, for_programs: str) -> None:
    assert (format_yuan(fen), plain_yuan(fen)) == (for_people, for_programs)


@given(st.integers(-MAX_FEN, MAX_FEN))
def test_what_is_written_is_read_back(fen: int) -> None:
    assert parse_fen(plain_yuan(fen)) == fen
    assert parse_fen(format_yuan(fen)) == fen


@given(st.integers(-(10**9), 10**9))
def test_a_float_with_cents_is_the_amount_that_it_shows(fen: int) -> None:
    assert parse_fen(fen / 100) == fen


@pytest.mark.parametrize(
    ("fen", "factor", "product"),
    [
        (20000, "2", 40000),
        (33, "1.5", 50),
        (1, "0.5", 1),
        (1, "0.49", 0),
        (58, "1", 58),
        (5800, "0", 0),
    ],
)
def test_multiplied_half_up(fen: int, factor: str, product: int) -> None:
    assert multiply(fen, Decimal(factor)) == product


@pytest.mark.parametrize(("value", "whole"), [("2.5", 3), ("3.5", 4), ("-2.5", -3), ("2.4999", 2)])
def test_halves_go_away_from_zero(value: str, whole: int) -> None:
    assert round_half_up(Decimal(value)) == whole


@pytest.mark.parametrize("value", ["-0.001", -0.004, "-1", -5])
def test_an_amount_is_not_negative_not_even_by_a_fraction_of_a_fen(value: object) -> None:
    with pytest.raises(ValueError, match="是负数"):
        parse_amount(value)


@pytest.mark.parametrize("value", [np.int64(15000), np.float64(15000), 15000, "15,000"])
def test_numbers_out_of_a_data_frame_are_numbers(value: object) -> None:
    assert parse_amount(value) == 1_500_000


NEAR_CENTS = st.builds(
    lambda fen, towards: math.nextafter(fen / 100, towards),
    st.integers(0, MAX_FEN + 100),
    st.sampled_from([0.0, 1e15]),
)
ODD_AMOUNTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-10, MAX_FEN),
    st.floats(),
    st.floats(0, 1e11),
    st.integers(0, MAX_FEN).map(lambda fen: fen / 100),
    st.integers(0, MAX_FEN).map(lambda tenths: tenths / 1000),
    NEAR_CENTS,
    st.decimals(),
    st.integers(0, 10**14).map(lambda fen: f"{fen // 100:,}.{fen % 100:02d}"),
    st.decimals(-10, 10**11, places=3).map(str),
    st.from_regex(r"[+-]?[0-9]{0,4}(,[0-9]{2,3}){0,4}(\.[0-9]{0,3})?(e[0-9])?\n?", fullmatch=True),
    st.text("0123456789,.", max_size=14),
    st.sampled_from(
        [-0.0, 1e10, 10**10, 10**10 + 1, "10000000000", "10,000,000,000", "１２", " 5 ", "5.", ".5", "007.50", "1,23",
         np.int64(5), np.float64(1.1), np.str_("7.25"), b"1", []]
    ),
)  # fmt: skip


@given(st.lists(ODD_AMOUNTS))
def test_a_column_is_read_like_its_values_one_by_one(values: list[object]) -> None:
    fen: list[int] = []
    faults: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            fen.append(parse_amount(value))
        except ValueError as error:
            fen.append(0)
            faults[position] = str(error)
    amounts, told = parse_amounts(values)
    assert (amounts, told) == (fen, faults)
    assert {type(amount) for amount in amounts} <= {int}


@given(st.integers(0, MAX_FEN))
def test_a_column_reads_plain_amounts_exactly(fen: int) -> None:
    assert parse_amounts([fen / 100, f"{fen / 100!r}", plain_yuan(fen), format_yuan(fen)]) == ([fen] * 4, {})


@pytest.mark.parametrize(
    ("yuan", "fen"), [(0.29, 29), (1.005, 101), (4.35, 435), (9999.995, 1000000), (9999999999.99, 999999999999)]
)
def test_a_float_in_a_column_counts_as_its_shortest_decimal(yuan: float, fen: int) -> None:
    assert parse_amounts([yuan]) == ([fen], {})
