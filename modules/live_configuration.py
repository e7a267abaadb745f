"""The configuration that runs now, and the looks at its files that renew it.

Editors save in several steps: a file is empty for a moment, or half there, or locked. So files that have changed are
believed once they look the same for SETTLE_SECONDS, and did not change while they were read.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from modules.campaigns import CampaignsFileError
from modules.configuration import Configuration, first_configuration, next_configuration, read_files
from modules.configuration_parts import CAMPAIGNS, PARTS, Places
from modules.file_looks import LOCKED, FileLooks, Look
from modules.settings import Settings
from modules.templates import template_files

SETTLE_SECONDS = 1.0
LOCKED_SECONDS = 60.0
"""A file that can't be read is waited for as long as an editor may have it; after that it is a fault."""


@dataclass(frozen=True)
class Reread:
    """The files were read anew: what ran before, and what runs from now on."""

    before: Configuration
    after: Configuration


class LiveConfiguration:
    """Holds the configuration that runs. Any thread may read `current`, which is replaced as a whole."""

    def __init__(
        self,
        settings: Settings,
        now: datetime,
        places: Places | None = None,
        *,
        tolerant: bool,
        tries_templates: bool = True,
    ) -> None:
        """Read the files. Raises CampaignsFileError where campaigns can't be read at all; if `tolerant`, none run."""
        self._settings = settings
        self._places = places or Places.of(settings)
        self._looks = FileLooks(self._files)
        self._lock = threading.Lock()
        self._judged: tuple[Look, date] = (self._looks.look(), now.date())
        self._changing: tuple[Look, datetime] | None = None
        read = read_files(self._places, settings, now.date())
        campaigns = read.found[CAMPAIGNS.title]
        if campaigns.spoilt is None and not tolerant:
            raise CampaignsFileError(campaigns.faults)
        self._current = first_configuration(read, settings, now, tries_templates=tries_templates)

    @property
    def current(self) -> Configuration:
        return self._current

    def refresh(self, now: datetime, *, thorough: bool = False) -> Reread | None:
        """Look whether files have changed, and take what validates; None where nothing was read. Cheap where nothing
        has changed. `thorough` looks at all contents, and judges anew what had a fault. Never raises for the files."""
        with self._lock:
            look = self._looks.look(thorough=thorough)
            retry = thorough and bool(self._current.faults)
            if (look, now.date()) == self._judged and not retry:
                self._changing = None
                return None
            return self._take(look, now) if self._has_settled(look, now) else None

    def _has_settled(self, look: Look, now: datetime) -> bool:
        if look == self._judged[0]:  # only the day has changed
            return True
        if self._changing is None or self._changing[0] != look or now < self._changing[1]:
            self._changing = (look, now)
        wait = LOCKED_SECONDS if LOCKED in look.values() else SETTLE_SECONDS
        return now - self._changing[1] >= timedelta(seconds=wait)

    def _take(self, look: Look, now: datetime) -> Reread | None:
        read = read_files(self._places, self._settings, now.date())
        if self._looks.look(thorough=True) != look:
            self._changing = None
            return None
        before = self._current
        self._current = next_configuration(before, read, self._settings, now)
        self._judged, self._changing = (look, now.date()), None
        return Reread(before, self._current)

    def _files(self) -> Iterable[Path]:
        yield from dict.fromkeys(path for part in PARTS for path in part.files(self._places))
        yield from template_files(self._places.templates_dir)
