"""Asia/Shanghai time. Only main.py and task_scheduler.py ask what time it is; everyone else is told."""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")

Clock = Callable[[], datetime]
"""Answers with the moment, in Asia/Shanghai."""


def shanghai_now() -> datetime:
    """The real clock."""
    return datetime.now(SHANGHAI)


def in_shanghai(moment: datetime) -> datetime:
    """The moment in Asia/Shanghai; one without a zone is taken as Shanghai time."""
    return moment.replace(tzinfo=SHANGHAI) if moment.tzinfo is None else moment.astimezone(SHANGHAI)


def parse_moment(text: str) -> datetime:
    """ISO 8601 text (`2025-05-20T12:00`, `2025-05-20`, with or without a zone) → Shanghai time.

    Slashes in the date are taken as well. Raises ValueError.
    """
    return in_shanghai(datetime.fromisoformat(text.strip().replace("/", "-")))


@lru_cache(maxsize=1024)
def format_moment(moment: datetime) -> str:
    """`2025-05-20 12:00:00` in Asia/Shanghai, for people."""
    return in_shanghai(moment).strftime("%Y-%m-%d %H:%M:%S")


def readable_moment(text: str) -> str:
    """ISO 8601 text as `format_moment` writes it; any other text as it is."""
    try:
        return format_moment(parse_moment(text))
    except (ValueError, OverflowError):
        return text
