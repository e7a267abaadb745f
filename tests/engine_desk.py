"""The engine with a ledger in memory: takes pulls of source rows, gives back new rows in the form of `oracle.Clerk`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pandas as pd

from modules.config import CITIES
from modules.contracts import parse_contracts
from modules.rewards.campaign import Campaign, City
from modules.rewards.engine import LedgerState, calculate
from modules.rewards.explain import remark
from modules.rewards.validation import parse_campaigns

REGISTERED = ["contract_id", "payee", "project", "self_referral", "sequence", "personal_sequence", "amount"]
GRANTED = ["payee", "kind", "name"]
SOURCE_DEFAULTS = {
    "_id": "",
    "serviceHousekeeper": "",
    "contractdocNum": "",
    "adjustRefundMoney": "",
    "orgName": "",
    "signedDate": "",
    "serviceAppointmentNum": "",
    "sourceType": "2",
}


class Desk:
    """One campaign's entry, and a ledger that only grows."""

    def __init__(self, entry: dict[str, Any], badge_lists: dict[str, list[str]], key: str = "BJ-2025-05") -> None:
        self.campaign = campaign_of(entry, badge_lists, key)
        self.registered: dict[str, dict[str, Any]] = {}
        self.granted: list[dict[str, str]] = []

    def pull(self, source: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Take the whole source as it is now; register what is new; return the new rows with all their figures."""
        columns = list(SOURCE_DEFAULTS)
        contracts = parse_contracts(columns, [[row.get(name) for name in columns] for row in source])
        frame = contracts.frame
        for contract_id, amount in zip(frame["contract_id"], frame["amount"], strict=True):
            if contract_id in self.registered:
                self.registered[contract_id]["amount"] = int(amount)
        new = frame[~frame["contract_id"].isin(list(self.registered))]
        outcome = calculate(self.campaign, self._state(), contracts.shown_ids(), new)

        awards: dict[str, list[tuple[str, str, int]]] = {}
        for award in outcome.awards:
            won = awards.setdefault(award.contract_id, [])
            assert award.position == len(won)
            won.append((award.kind, award.name, award.amount))
            self.granted.append({name: getattr(award, name) for name in GRANTED})
        rows = outcome.rows.to_dict("records")
        for row in rows:
            self.registered[row["contract_id"]] = {name: row[name] for name in REGISTERED}
        figures = ("sequence", "personal_sequence", "performance", "count", "total", "performance_total", "bonus_pool")
        return [
            {"id": row["contract_id"], "payee": row["payee"]}
            | {name: int(row[name]) for name in figures}
            | {"awards": awards.get(row["contract_id"], []), "remark": remark(outcome.missing, position)}
            for position, row in enumerate(rows)
        ]

    def _state(self) -> LedgerState:
        registered = pd.DataFrame(list(self.registered.values()), columns=REGISTERED)
        kinds = {"self_referral": "bool", "sequence": "int64", "personal_sequence": "int64", "amount": "int64"}
        return LedgerState(registered.astype(kinds), pd.DataFrame(self.granted, columns=GRANTED))


def campaign_of(entry: dict[str, Any], badge_lists: dict[str, list[str]], key: str = "BJ-2025-05") -> Campaign:
    """The validated campaign of an entry that must be free of faults."""
    cities = {code: City.model_validate(row) for code, row in CITIES.items()}
    lists = {name: frozenset(people) for name, people in badge_lists.items()}
    parsed = parse_campaigns({key: entry}, cities, lists, date(2025, 5, 1))
    assert parsed.faults == ()
    return parsed.campaigns[key]


def taken(source: list[dict[str, Any]], campaign: Campaign, at: datetime) -> list[dict[str, Any]]:
    """The rows that a run standing for the moment `at` looks at: signed in the period, and not after it."""

    def in_time(row: dict[str, Any]) -> bool:
        signed = datetime.fromisoformat(row["signedDate"])
        return signed <= at and campaign.start <= signed.date() <= campaign.end

    return [row for row in source if in_time(row)]
