"""How far a campaign is on its way to the payout: pure."""

from datetime import date
from typing import Literal

from modules.figures.months import Period

Stage = Literal["open", "settling", "settled", "closed"]

STAGES: tuple[Stage, ...] = ("open", "settling", "settled", "closed")
"""In the order in which a campaign goes through them: contracts are signed; its settle days run, in which refunds and
late rows come in; these are over, and it can be closed; it is closed, and only a person adjusts."""


def stage_of(period: Period, today: date) -> Stage:
    """Where it is on a day."""
    if period.closed_at is not None:
        return "closed"
    if today <= period.end:
        return "open"
    return "settling" if today <= period.last_settle_day else "settled"
