"""How the daemon is asked to end: SIGTERM, Ctrl-C, Ctrl-Break.

A request is noted, and looked for by the main thread, which does nothing but tick. Only in starting up, where it may
wait for long and holds nothing, and in its sleep does it break in. Jobs and messages have threads of their own, which
are asked to end.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NAP_SECONDS = 0.5 if os.name == "nt" else 60.0
"""Nothing but Ctrl-C breaks into a sleep on Windows, which ends a program five seconds after its window was closed."""


class StopRequestedError(BaseException):
    """Somebody asked the daemon to end; raised out of what it may leave unfinished."""


class StopSwitch:
    """Is thrown once, by the first signal; further ones change nothing. For the main thread."""

    def __init__(self) -> None:
        self.is_thrown = False
        self._breaks_in = False

    def listen(self) -> None:
        """From now on signals throw the switch."""
        for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._throw)

    @contextmanager
    def breaking_in(self) -> Iterator[None]:
        """Within, a request to end raises StopRequestedError: at once, also one that came before."""
        self._breaks_in = True
        try:
            if self.is_thrown:
                raise StopRequestedError
            yield
        finally:
            self._breaks_in = False

    def sleep(self, seconds: float) -> None:
        """Until the switch is thrown, at most so long."""
        with suppress(StopRequestedError), self.breaking_in():
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, NAP_SECONDS))

    def _throw(self, _number: int, _frame: FrameType | None) -> None:
        if not self.is_thrown:
            self.is_thrown = True
            if self._breaks_in:
                raise StopRequestedError
