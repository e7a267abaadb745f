"""Days in Asia/Shanghai, as SQL counts by them and as people read them."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.clock import SHANGHAI

WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")


def day_of(connection: Connection, moment: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """The day of a moment as `2025-05-01`. To group by it, label it and name the label."""
    if connection.dialect.name == "postgresql":
        return sa.func.to_char(sa.func.timezone("Asia/Shanghai", moment), "YYYY-MM-DD", type_=sa.String)
    return sa.func.substr(moment, 1, 10, type_=sa.String)


def midnight(day: date) -> datetime:
    """The first moment of a day."""
    return datetime.combine(day, time(), SHANGHAI)


def days_between(first: date, last: date) -> Iterator[date]:
    """From the first to the last day, both inclusive."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def day_words(day: date | datetime) -> str:
    """`5 月 1 日`."""
    return f"{day.month} 月 {day.day} 日"


def axis_words(days: Sequence[date]) -> dict[date, str]:
    """What an axis calls days in order: `05-01`, across years `2025-12-31`, so that no two are alike."""
    form = "%m-%d" if not days or days[0].year == days[-1].year else "%Y-%m-%d"
    return {day: day.strftime(form) for day in days}


def weekday_words(day: date) -> str:
    """`周四`."""
    return WEEKDAYS[day.weekday()]
