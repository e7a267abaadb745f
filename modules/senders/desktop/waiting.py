"""Waiting for conditions, never for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Waiting:
    """The time that passes, in seconds. Tests hand in their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def until(self, met: Callable[[], bool], seconds: float) -> bool:
        """Whether `met` answered True within `seconds`; it is asked at least once, and once more at the end."""
        deadline = self.now() + seconds
        while not met():
            if self.now() >= deadline:
                return False
            self.sleep(POLL_SECONDS)
        return True
