"""Believable answers of the questions that the shipped alerts ask, growing with time: all people are invented.

The same moment gives the same rows, and what was shown at one moment is shown for 30 days after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from modules.sandbox.sample_contracts import CITIES, SHANGHAI

SEED = 2025
TECHNICIANS, CONTACT_TIMEOUTS, PENDING_ORDERS = 719, 1901, 1902
DAYS_SHOWN = 30
CHANGES_A_DAY = 12
ORDERS_A_DAY = 4
FIRST_CHANGE = 5_000_000

TECHNICIAN_COLUMNS = ("_id", "updateTime", "technician", "company", "creator", "updateContent")
TIMEOUT_COLUMNS = ("orderNum", "orgName", "createTime", "hours")
PENDING_COLUMNS = ("orderNum", "orgName", "createTime", "status")
_NAMES = ("罗远山", "卫长风", "蒋一鸣", "谢云开", "邹平川", "石青岩", "尤见微", "常守拙")
_COMPANIES = tuple(name for city in CITIES.values() for name in city.providers)
_CONTENTS = ("申请上线", "恢复接单，上线", "请假，下线", "下线：车辆检修", "由下线改为上线", "变更服务区域")
_STATUSES = ("待派单", "待联系客户", "待上门")

Rows = list[list[object]]


@dataclass(frozen=True)
class _Order:
    number: str
    company: str
    created: datetime
    done: datetime
    status: str


def technician_changes(as_of: datetime) -> Rows:
    """Card 719: the changes of the last 30 days up to a moment, newest first; some without a company."""
    rows: Rows = []
    for day in _days(as_of):
        rng = Random(f"{SEED} technicians {day}")
        seconds = sorted(rng.sample(range(86_400), CHANGES_A_DAY))
        for number, second in enumerate(seconds):
            at = _midnight(day) + timedelta(seconds=second)
            change = FIRST_CHANGE + day.toordinal() * 100 + number
            company = rng.choice((*_COMPANIES, None))
            row: list[object] = [change, at.isoformat(), rng.choice(_NAMES), company, "调度台", rng.choice(_CONTENTS)]
            if at <= as_of:
                rows.insert(0, row)
    return rows


def contact_timeouts(as_of: datetime) -> Rows:
    """The orders that are more than a day old and not dealt with, with their age in hours."""
    open_orders = [order for order in _open_orders(as_of) if as_of - order.created > timedelta(days=1)]
    return [
        [order.number, order.company, order.created.isoformat(), (as_of - order.created) // timedelta(hours=1)]
        for order in open_orders
    ]


def pending_orders(as_of: datetime) -> Rows:
    """All orders that are not dealt with."""
    return [[order.number, order.company, order.created.isoformat(), order.status] for order in _open_orders(as_of)]


CARDS = (
    (TECHNICIANS, TECHNICIAN_COLUMNS, technician_changes),
    (CONTACT_TIMEOUTS, TIMEOUT_COLUMNS, contact_timeouts),
    (PENDING_ORDERS, PENDING_COLUMNS, pending_orders),
)
"""Each card with its columns, and its rows as of a moment."""


def _open_orders(as_of: datetime) -> Iterator[_Order]:
    for day in _days(as_of):
        rng = Random(f"{SEED} orders {day}")
        for number in range(ORDERS_A_DAY):
            created = _midnight(day) + timedelta(seconds=rng.randrange(8 * 3600, 20 * 3600))
            done = created + timedelta(hours=rng.uniform(2, 72))
            order = _Order(f"GD{day:%Y%m%d}{number:03d}", rng.choice(_COMPANIES), created, done, rng.choice(_STATUSES))
            if order.created <= as_of < order.done:
                yield order


def _days(as_of: datetime) -> list[date]:
    today = as_of.astimezone(SHANGHAI).date()
    return [today - timedelta(days=age) for age in range(DAYS_SHOWN, -1, -1)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
