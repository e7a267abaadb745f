"""A person at the mouse goes first."""

import time

from modules.desktop_settings import DesktopSettings
from modules.senders.desktop.errors import BlockedError
from modules.senders.desktop.screen import Point, Screen
from modules.senders.desktop.waiting import until

WORDS = "有人在用鼠标；请等消息发完再用这台电脑"


class PersonWatch:
    """Watches the pointer, where the settings want it watched."""

    def __init__(self, screen: Screen, settings: DesktopSettings) -> None:
        self._screen = screen
        self._quiet = settings.person_quiet_seconds
        self._patience = settings.person_wait_seconds
        self._seen: Point = screen.pointer()

    def wait_for_quiet(self) -> None:
        """Until the pointer has lain still for long enough. Raises BlockedError."""
        still_since = time.monotonic()

        def is_quiet() -> bool:
            nonlocal still_since
            if self._moved():
                still_since = time.monotonic()
            return time.monotonic() - still_since >= self._quiet

        if self._quiet and not until(is_quiet, self._quiet + self._patience):
            raise BlockedError(f"{WORDS}，已等了 {self._patience:g} 秒")

    def require_quiet(self) -> None:
        """Raises BlockedError where the pointer has moved since the last look."""
        if self._quiet and self._moved():
            raise BlockedError(WORDS)

    def _moved(self) -> bool:
        before, self._seen = self._seen, self._screen.pointer()
        return before != self._seen
