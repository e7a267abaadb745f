"""The note of when somebody was told directly, past the queue, as the database could not be opened.

It is an empty file, for which a full disk has room. A data folder that can't be written at all is itself a reason to
tell, so there is a second place for it, in the system's folder for temporary files: else each check would tell anew.
"""

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from modules.clock import SHANGHAI
from modules.settings import Settings
from modules.system_words import reason_of

log = logging.getLogger(__name__)


class DirectNote:
    """The note of one installation."""

    def __init__(self, settings: Settings) -> None:
        name = hashlib.sha256(str(settings.data_dir).encode()).hexdigest()[:12]
        self._places = (settings.state_dir / "told-directly", Path(tempfile.gettempdir()) / f"told-directly-{name}")

    @property
    def told_at(self) -> datetime | None:
        """When somebody was told last; None where there is no note."""
        return max(filter(None, map(_moment_of, self._places)), default=None)

    def leave(self, now: datetime) -> None:
        """Write it down at the first place that can be written."""
        for place in self._places:
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
                os.utime(place, (now.timestamp(), now.timestamp()))
            except OSError as error:
                log.warning("%s 里记不下已经告知的时间：%s", place.parent, reason_of(error))
            else:
                return

    def remove(self) -> None:
        """All is well again, or nobody was told after all."""
        for place in self._places:
            with suppress(OSError):  # what can't be removed grows old
                place.unlink(missing_ok=True)


def _moment_of(place: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(place.stat().st_mtime, SHANGHAI)
    except OSError:
        return None
