"""What awards came to day by day, and apart from it what was granted before and after the campaign: pure; fen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from modules.figures.composition import DayPart
from modules.figures.days import days_between
from modules.figures.months import Period
from modules.figures.sums import summed


@dataclass(frozen=True)
class AwardDays:
    """Every one of `days` in order, of the campaign; `within` came together on them, `before` and `after` by kind.

    What was granted outside the campaign has no contract: `settle` granted it, or a person.
    """

    days: tuple[date, ...]
    within: tuple[DayPart, ...]
    before: Mapping[str, int]
    after: Mapping[str, int]

    @property
    def sums(self) -> dict[date, int]:
        """What came together on each day with an award."""
        return summed((part.day, part.amount) for part in self.within)

    @property
    def average(self) -> int:
        """Of all days, also those without an award."""
        return round(sum(part.amount for part in self.within) / len(self.days))


def award_days(parts: Iterable[DayPart], period: Period, first: date, last: date) -> AwardDays:
    """From the first to the last day, or to that of the last award within the campaign."""
    known = list(parts)
    within = tuple(part for part in known if period.start <= part.day <= period.end)
    days = days_between(first, max([last, *(part.day for part in within)]))
    before = summed((part.kind, part.amount) for part in known if part.day < period.start)
    after = summed((part.kind, part.amount) for part in known if part.day > period.end)
    return AwardDays(tuple(days), within, before, after)
