"""Adding up by key."""

from collections.abc import Iterable
from typing import TypeVar

K = TypeVar("K")


def summed(parts: Iterable[tuple[K, int]]) -> dict[K, int]:
    """What comes together for each key, in the order in which keys first come."""
    sums: dict[K, int] = {}
    for key, number in parts:
        sums[key] = sums.get(key, 0) + number
    return sums
