"""The engine with a ledger in memory: takes pulls of source rows, gives back new rows in the form of `oracle.Clerk`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from modules.config import CITIES
from modules.contracts import Contracts, parse_contracts
from modules.rewards.campaign import Campaign, City
from modules.rewards.engine import LedgerState, calculate
from modules.rewards.explain import remarks
from modules.rewards.frame import PAYEE_SEPARATOR
from modules.rewards.standing import Standing, standing_of
from modules.rewards.validation import parse_campaigns
from tests.oracle import BAND, LUCKY, RED_PACKET, TIER

REGISTERED_TYPES = {
    "contract_id": "object",
    "payee": "object",
    "project": "object",
    "address": "object",
    "self_referral": "bool",
    "historical": "bool",
    "sequence": "int64",
    "personal_sequence": "int64",
    "platform_sequence": "int64",
    "amount": "int64",
}
REGISTERED = list(REGISTERED_TYPES)
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
    "projectAddress": "",
    "pcContractdocNum": "",
}
TOTALS = ("count", "total", "performance_total")
FIGURES = (
    *("sequence", "personal_sequence", "platform_sequence", "performance", "bonus_pool"),
    *(prefix + name for prefix in ("", "platform_") for name in TOTALS),
)
KINDS = [LUCKY, BAND, RED_PACKET, TIER]

Row = dict[str, Any]


class Desk:
    """One campaign's entry, and a ledger that only grows."""

    def __init__(self, entry: dict[str, Any], badge_lists: dict[str, list[str]], key: str = "BJ-2025-05") -> None:
        self.campaign = campaign_of(entry, badge_lists, key)
        self.registered: dict[str, Row] = {}
        self.granted: list[dict[str, str]] = []
        self._seen: tuple[list[list[Any]], Contracts] | None = None

    def pull(self, source: list[Row]) -> list[Row]:
        """Take the whole source as it is now; register what is new; return the new rows with all their figures."""
        contracts = self._read(source)
        frame = contracts.frame
        new = frame[self.campaign.takes(frame) & ~frame["contract_id"].isin(list(self.registered))]
        outcome = calculate(self.campaign, self._ledger(), contracts.shown_ids(), new)

        awards: dict[str, list[tuple[str, str, int]]] = {}
        for award in outcome.award_list:
            won = awards.setdefault(award.contract_id, [])
            assert award.position == len(won)
            won.append((award.kind, award.name, award.amount))
            self.granted.append({name: getattr(award, name) for name in GRANTED})
        rows = records(outcome.rows)
        for row in rows:
            self.registered[row["contract_id"]] = {name: row[name] for name in REGISTERED}
        return [
            {"id": row["contract_id"], "payee": self._payee(row["payee"]), "historical": row["historical"]}
            | {name: row[name] for name in FIGURES}
            | {f"self_referral_{name}": row[name] - row[f"platform_{name}"] for name in TOTALS}
            | {"awards": awards.get(row["contract_id"], []), "remark": said}
            for row, said in zip(rows, remarks(outcome), strict=True)
        ]

    def settle(self, source: list[Row]) -> list[tuple[Any, str, int]]:
        """Grant the tiers that are owed without a new row: payee, tier, fen."""
        owed = self._standing(source).owed
        self.granted += [{"payee": award.payee, "kind": TIER, "name": award.name} for award in owed]
        return [(self._payee(award.payee), award.name, award.amount) for award in owed]

    def unearned(self, source: list[Row]) -> list[tuple[Any, str]]:
        """The granted tiers that are no longer earned: payee, tier."""
        return [(self._payee(grant.payee), grant.name) for grant in self._standing(source).unearned]

    def skip_numbers(self, by: int) -> None:
        """As in a ledger that was taken over with numbers missing: the last one given is higher by so many."""
        for row in [each for each in self.registered.values() if each["sequence"]][-1:]:
            row["sequence"] += by

    def _standing(self, source: list[Row]) -> Standing:
        shown = self._read(source).shown_ids()
        return standing_of(self.campaign, self._ledger(), shown)

    def _read(self, source: list[Row]) -> Contracts:
        """The source's contracts; the ledger takes their current amounts. The same rows are not parsed again."""
        columns = list(SOURCE_DEFAULTS)
        rows = [[row.get(name) for name in columns] for row in source]
        if self._seen is None or self._seen[0] != rows:
            self._seen = rows, parse_contracts(columns, rows)
        contracts = self._seen[1]
        amounts = contracts.frame["amount"].tolist()
        for contract_id, amount in zip(contracts.frame["contract_id"].tolist(), amounts, strict=True):
            if contract_id in self.registered:
                self.registered[contract_id]["amount"] = amount
        return contracts

    def _ledger(self) -> LedgerState:
        return ledger_of(list(self.registered.values()), self.granted)

    def _payee(self, payee: str) -> Any:
        """As the clerk writes it."""
        return tuple(payee.split(PAYEE_SEPARATOR)) if self.campaign.housekeeper_key != "housekeeper" else payee


def ledger_of(registered: Sequence[Mapping[str, Any]], granted: Sequence[Mapping[str, str]]) -> LedgerState:
    """A ledger state with its columns in their types, also where it is empty."""
    columns = {name: np.array([row[name] for row in registered], kind) for name, kind in REGISTERED_TYPES.items()}
    grants = {name: np.array([grant[name] for grant in granted], "object") for name in GRANTED}
    return LedgerState(pd.DataFrame(columns), pd.DataFrame(grants))


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows as dicts of Python values."""
    values = [frame[name].tolist() for name in frame.columns]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*values, strict=True)]


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
