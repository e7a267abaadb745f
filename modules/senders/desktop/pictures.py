"""What the screen looked like when a message was refused: `data/logs/screens`, the newest of them.

They show whatever is on the screen, chats included, and stay on this machine.
"""

import logging
from pathlib import Path

from modules.clock import Clock
from modules.senders.desktop.screen import Screen

log = logging.getLogger(__name__)


class Pictures:
    """PNG files below `folder`, at most `kept`, named after the moment."""

    def __init__(self, folder: Path, kept: int, clock: Clock) -> None:
        self._folder = folder
        self._kept = kept
        self._clock = clock

    def take(self, screen: Screen) -> str:
        """Take one and delete the oldest over the limit; its file name, empty where none was taken. Never raises for
        what screen and disk do: a picture is a help, not a condition."""
        if not self._kept:
            return ""
        name = f"{self._clock():%Y%m%d-%H%M%S-%f}.png"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            screen.save_picture(self._folder / name)
            for old in sorted(self._folder.glob("*.png"))[: -self._kept]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("没有留下屏幕截图：%s", error)
            return ""
        return name
