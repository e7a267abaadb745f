"""What of a campaign's ledger is looked at: some days, one track; and awards beside the contracts that won them."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from modules.figures.days import midnight
from modules.ledger_records import CONTRACT_OF_AWARD
from modules.tables import awards, performance

Track = Literal["", "platform", "self_referral"]
"""Empty: both."""

WITH_CONTRACT = sa.outerjoin(awards, performance, CONTRACT_OF_AWARD)
moment_of_award = sa.func.coalesce(performance.c.signed_at, awards.c.granted_at)
"""When an award's contract was signed, or when it was granted where it has none; of awards `WITH_CONTRACT`."""


@dataclass(frozen=True)
class Cut:
    """From the first to the last day, on a track; None and empty for all of it.

    What was granted without a contract is on no track.
    """

    campaign: str
    first: date | None = None
    last: date | None = None
    track: Track = ""

    def contracts(self) -> list[sa.ColumnElement[bool]]:
        """Of the registered contracts."""
        return [performance.c.campaign == self.campaign, *self._within(performance.c.signed_at), *self._on_track()]

    def numbered(self) -> list[sa.ColumnElement[bool]]:
        """The same without historical contracts."""
        return [*self.contracts(), ~performance.c.historical]

    def awards(self) -> list[sa.ColumnElement[bool]]:
        """Of the awards, joined with their contracts."""
        return [awards.c.campaign == self.campaign, *self._within(moment_of_award), *self._on_track()]

    def _within(self, moment: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
        from_first = [] if self.first is None else [moment >= midnight(self.first)]
        to_last = [] if self.last is None else [moment < midnight(self.last + timedelta(days=1))]
        return [*from_first, *to_last]

    def _on_track(self) -> list[sa.ColumnElement[bool]]:
        return [performance.c.self_referral == (self.track == "self_referral")] if self.track else []
