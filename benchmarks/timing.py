"""How long something takes."""

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

REPEATS = 5


def seconds(act: Callable[[], object]) -> float:
    """Of one call."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def timed(act: Callable[[], T], repeats: int = REPEATS) -> tuple[float, T]:
    """The median of several runs after one that does not count, and the last result."""
    result = act()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = act()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken), result
