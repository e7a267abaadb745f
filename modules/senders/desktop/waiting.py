"""Waiting for conditions, never for a while."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.02


def until(met: Callable[[], bool], seconds: float) -> bool:
    """Whether `met` answered True within `seconds`; it is asked at least once, and once more at the end."""
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
