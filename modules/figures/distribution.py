"""How payouts are spread over payees: pure; money in fen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median_low

MOST_STEPS = 10
TOP_SHARE = 0.2


@dataclass(frozen=True)
class Step:
    """So many payees get from `low` to below `high`."""

    low: int
    high: int
    number: int


@dataclass(frozen=True)
class Distribution:
    """`paid` payees get something, `none` nothing, `negative` less than that.

    `median` is of those who get something, `top_amount` what the `top` best paid of them get together: a fifth of them,
    at least one.
    """

    paid: int
    none: int
    negative: int
    median: int
    top: int
    top_amount: int
    steps: tuple[Step, ...]


def distribution_of(payouts: Sequence[int]) -> Distribution:
    """Of what each payee gets. Steps are as wide as makes at most ten of them."""
    paid = sorted((one for one in payouts if one > 0), reverse=True)
    top = max(round(TOP_SHARE * len(paid)), 1) if paid else 0
    return Distribution(
        paid=len(paid),
        none=sum(1 for one in payouts if one == 0),
        negative=sum(1 for one in payouts if one < 0),
        median=median_low(paid) if paid else 0,
        top=top,
        top_amount=sum(paid[:top]),
        steps=tuple(_steps(paid)),
    )


def _steps(paid: Sequence[int]) -> Iterator[Step]:
    if not paid:
        return
    width = next(one for one in _widths() if paid[0] < one * MOST_STEPS)
    for low in range(0, paid[0] + 1, width):
        yield Step(low, low + width, sum(1 for one in paid if low <= one < low + width))


def _widths() -> Iterator[int]:
    """50, 100, 200, 500, 1,000 yuan and so on."""
    yield 5_000
    for power in count():
        for digit in (1, 2, 5):
            yield digit * 10_000 * 10**power
