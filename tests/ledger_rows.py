"""A ledger that is written by hand: rows with all that the tables want, of which a test says what matters to it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from modules.clock import parse_moment
from modules.database import Database
from modules.tables import awards, campaigns, performance
from tests.desk import BEIJING

PULLED = parse_moment("2025-05-16T00:00")


def put_contract(database: Database, number: int, **values: Any) -> str:
    """A contract of 100 yuan, of which 90 count and 0.20 go into the pool, unless said otherwise; its id."""
    row: dict[str, Any] = {
        "campaign": BEIJING,
        "contract_id": f"19200000000000{number:05d}",
        "sequence": number,
        "personal_sequence": 1,
        "payee": "甲",
        "housekeeper": "甲",
        "provider": "",
        "contract_number": f"N{number}",
        "project": "",
        "address": "",
        "self_referral": False,
        "historical": False,
        "signed_at": parse_moment("2025-05-10T12:00"),
        "amount": 10_000,
        "performance": 9_000,
        "count": 1,
        "total": 0,
        "performance_total": 0,
        "bonus_pool": 20,
        "remark": "",
        "source": "{}",
        "registered_at": PULLED,
        "source_amount": 10_000,
    } | values
    with database.writing() as connection:
        connection.execute(sa.insert(performance).values(row))
    return str(row["contract_id"])


def put_award(database: Database, amount: int, **values: Any) -> None:
    """An adjustment unless said otherwise; `amount` in fen."""
    row: dict[str, Any] = {
        "campaign": BEIJING,
        "contract_id": None,
        "payee": "甲",
        "housekeeper": "甲",
        "kind": "人工调整",
        "name": "调整",
        "amount": amount,
        "base_amount": amount,
        "badge": "",
        "multiplier": "1",
        "position": 0,
        "reason": "{}",
        "config_hash": "",
        "granted_at": PULLED,
    }
    with database.writing() as connection:
        connection.execute(sa.insert(awards).values(row | values))


def put_campaign(database: Database, key: str = BEIJING, **values: Any) -> None:
    """One that has run once, and was pulled in the middle of May."""
    with database.writing() as connection:
        connection.execute(sa.insert(campaigns).values({"key": key, "revision": 1, "last_pull_at": PULLED} | values))
