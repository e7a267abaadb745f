"""One desktop, one pair of hands: a lock for all processes of this user on this machine, whatever their data folder.

Two programs at one keyboard would paste into each other's windows. The operating system lets go of the lock when its
process dies, however it dies.
"""

import getpass
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class DesktopLock:
    """The right to use keyboard, clipboard and windows. Re-entrant: each `try_acquire` that answered True needs its
    own `release`."""

    def __init__(self, path: Path | None = None) -> None:
        path = path or Path(tempfile.gettempdir()) / f"sales-incentive-desktop-{getpass.getuser()}.lock"
        self._lock = FileLock(path, thread_local=False)
        self._paused_until = 0.0

    def try_acquire(self) -> bool:
        """Whether the desktop is ours now; never waits."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give it back, as often as it was acquired."""
        self._lock.release()

    def pause(self, seconds: float) -> None:
        """The desktop can't be used at the moment; for so long `free` answers False."""
        self._paused_until = time.monotonic() + seconds

    @contextmanager
    def free(self) -> Iterator[bool]:
        """As `held`, but for the pauses: for those who would take on work for it."""
        if time.monotonic() < self._paused_until:
            yield False
            return
        with self.held() as ours:
            yield ours

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Whether the desktop is ours for the length of the block; where it is not, nobody waits."""
        ours = self.try_acquire()
        try:
            yield ours
        finally:
            if ours:
                self.release()
