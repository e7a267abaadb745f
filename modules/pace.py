"""Something that is done every so often, by whoever is told the time and comes by more often than that."""

from datetime import datetime, timedelta


class Pace:
    """Due at the first look, then whenever `every` has gone by; also where the clock was set back by so much."""

    def __init__(self, every: timedelta) -> None:
        self._every = every
        self._last: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it is time; the next time counts from here."""
        if self._last is not None and abs(now - self._last) < self._every:
            return False
        self._last = now
        return True
