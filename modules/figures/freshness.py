"""How old what the ledger says is: pure, from the last good pulls."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from modules.figures.months import Period

PATIENCE = timedelta(minutes=15)
"""A campaign that is on is stale when nothing was pulled for so long, or for three times the interval."""


@dataclass(frozen=True)
class Freshness:
    """`at`: the last good pull of any campaign. Of those that are on (`active`), `stale` were not pulled for too long,
    and `missing` never, though they began so long ago."""

    at: datetime | None
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    active: tuple[str, ...]


def freshness_of(periods: Iterable[Period], now: datetime, interval: timedelta) -> Freshness:
    """`interval`: how often the daemon pulls."""
    known = list(periods)
    active = [one for one in known if one.closed_at is None and one.start <= now.date() <= one.last_settle_day]
    limit = max(PATIENCE, 3 * interval)
    late = [one for one in active if now - (one.last_pull_at or one.begins) > limit]
    pulls = [one.last_pull_at for one in known if one.last_pull_at is not None]
    return Freshness(
        at=max(pulls, default=None),
        stale=tuple(one.campaign for one in late if one.last_pull_at is not None),
        missing=tuple(one.campaign for one in late if one.last_pull_at is None),
        active=tuple(one.campaign for one in active),
    )


def age_words(age: timedelta) -> str:
    """`刚刚`, `5 分钟前`, `3 小时前`, `2 天前`."""
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:
        return "刚刚"
    if minutes < 60:
        return f"{minutes} 分钟前"
    hours = minutes // 60
    return f"{hours} 小时前" if hours < 48 else f"{hours // 24} 天前"
