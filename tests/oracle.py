"""The specification again, row by row, for tests to hold the engine against. It shares no code with the engine.

Covers what docs/reward-rules.md says on: the frame, performance limits, sequence numbers, lucky number by contract
number, tiers on totals, remark, badges, bonus pool and announcement_only. Plain dicts, Decimals and integer fen;
slow and obvious on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Row = dict[str, Any]
Entry = dict[str, Any]


@dataclass
class Clerk:
    """A payroll clerk with one campaign's entry, the badge lists, and a ledger that only grows."""

    entry: Entry
    badge_lists: dict[str, list[str]] = field(default_factory=dict)
    ledger: list[Row] = field(default_factory=list)
    granted: set[tuple[Any, str]] = field(default_factory=set)
    numbers_given: int = 0
    personal_numbers_given: dict[Any, int] = field(default_factory=lambda: defaultdict(int))

    def pull(self, source: list[Row]) -> list[Row]:
        """Take the whole source as it is now; register what is new; return the new rows with all their figures."""
        readable = kept_of_each_id(source)
        shown = {text(row["_id"]) for row in source} - {""}
        for registered in self.ledger:
            if registered["id"] in readable:
                registered["amount"] = fen_of(readable[registered["id"]]["adjustRefundMoney"])
        frame = [registered for registered in self.ledger if registered["id"] in shown]

        known = {registered["id"] for registered in self.ledger}
        arrivals = sorted(
            (row for contract_id, row in readable.items() if contract_id not in known),
            key=lambda row: (datetime.fromisoformat(row["signedDate"]), text(row["_id"])),
        )
        new_rows = []
        for source_row in arrivals:
            row = self._register(source_row)
            frame.append(row)
            self._figures(row, frame)
            row["awards"] = self._awards(row)
            row["remark"] = self._remark(row)
            new_rows.append(row)
        return new_rows

    # -- one row -----------------------------------------------------------------------------------------------------

    def _register(self, source_row: Row) -> Row:
        housekeeper = text(source_row["serviceHousekeeper"])
        payee: Any = housekeeper
        if self.entry.get("housekeeper_key", "housekeeper") == "housekeeper+provider":
            payee = (housekeeper, text(source_row["orgName"]))
        self.numbers_given += 1
        self.personal_numbers_given[payee] += 1
        row = {
            "id": text(source_row["_id"]),
            "housekeeper": housekeeper,
            "payee": payee,
            "project": text(source_row["serviceAppointmentNum"]),
            "self_referral": text(source_row.get("sourceType")) == "1",
            "amount": fen_of(source_row["adjustRefundMoney"]),
            "sequence": self.numbers_given,
            "personal_sequence": self.personal_numbers_given[payee],
        }
        self.ledger.append(row)
        return row

    def _figures(self, row: Row, frame: list[Row]) -> None:
        """`frame` ends with this row."""
        counted: dict[tuple[str, bool], int] = defaultdict(int)  # (project, track) → fen
        performance = []
        for each in frame:
            cap = self._limit("single_contract_cap", "self_referral_contract_cap", each)
            base = each["amount"]
            if self._limits().get("enable_cap", False) and cap is not None:
                base = min(base, cap)
            limit = self._limit("single_project_limit", "self_referral_project_limit", each)
            project = (each["project"] or f"alone: {each['id']}", each["self_referral"])
            if limit is not None:
                base = max(0, min(base, limit - counted[project]))
            counted[project] += base
            performance.append(base)
        mine = [index for index, each in enumerate(frame) if each["payee"] == row["payee"]]
        row["performance"] = performance[-1]
        row["count"] = len(mine)
        row["total"] = sum(frame[index]["amount"] for index in mine)
        row["performance_total"] = sum(performance[index] for index in mine)
        row["bonus_pool"] = half_up(row["amount"] * Decimal(str(self.entry.get("bonus_pool_ratio", "0.002"))))

    def _awards(self, row: Row) -> list[tuple[str, str, int]]:
        if self.entry.get("announcement_only"):
            return []
        return self._lucky(row) + self._tiers(row)

    def _lucky(self, row: Row) -> list[tuple[str, str, int]]:
        number = self.entry.get("lucky_number")
        if number is None or str(row["sequence"])[-1] != str(number):
            return []
        rewards = self.entry["lucky_rewards"]
        high = rewards.get("high")
        name = rewards["base"]["name"]
        if high is not None and row["amount"] >= fen_of(high["threshold"]):
            name = high["name"]
        return [("幸运数字", name, self._amount(row, "幸运数字", name))]

    def _tiers(self, row: Row) -> list[tuple[str, str, int]]:
        section = self.entry.get("tiered_rewards")
        if not section or row["count"] < section.get("min_contracts", 0):
            return []
        awards = []
        for tier in reversed(section["tiers"]):
            key = (row["payee"], tier["name"])
            if row["performance_total"] >= fen_of(tier["threshold"]) and key not in self.granted:
                self.granted.add(key)
                awards.append(("节节高", tier["name"], self._amount(row, "节节高", tier["name"])))
        return awards

    def _amount(self, row: Row, kind: str, name: str) -> int:
        multipliers = [
            Decimal(str(badge.get("multiplier", 1)))
            for badge in self.entry.get("badges", {}).values()
            if kind in badge.get("applies_to", []) and row["housekeeper"] in self._members(badge)
        ]
        return half_up(fen_of(self.entry["awards_mapping"][name]) * max(multipliers, default=Decimal(1)))

    def _members(self, badge: Entry) -> list[str]:
        members = badge["members"]
        return self.badge_lists[members] if isinstance(members, str) else members

    def _remark(self, row: Row) -> str:
        section = self.entry.get("tiered_rewards")
        if not section or self.entry.get("announcement_only"):
            return "无"
        for tier in section["tiers"]:
            if (row["payee"], tier["name"]) not in self.granted:
                short = section.get("min_contracts", 0) - row["count"]
                if short > 0:
                    return f"距离达成节节高奖励条件还需 {short} 单"
                return (
                    f"距离 {tier['name']} 还需 {yuan(max(0, fen_of(tier['threshold']) - row['performance_total']))} 元"
                )
        return "无"

    def _limits(self) -> Entry:
        return self.entry.get("performance_limits") or {}

    def _limit(self, general: str, own: str, row: Row) -> int | None:
        limits = self._limits()
        value = limits[own] if row["self_referral"] and own in limits else limits.get(general)
        return None if value is None else fen_of(value)


def kept_of_each_id(source: list[Row]) -> dict[str, Row]:
    """Of the usable rows with one id the first by (signed time, amount, contract number)."""
    usable = [row for row in source if is_usable(row)]
    usable.sort(
        key=lambda row: (
            datetime.fromisoformat(row["signedDate"]),
            fen_of(row["adjustRefundMoney"]),
            text(row["contractdocNum"]),
        )
    )
    kept: dict[str, Row] = {}
    for row in usable:
        kept.setdefault(text(row["_id"]), row)
    return kept


def is_usable(row: Row) -> bool:
    try:
        return bool(text(row["_id"]) and text(row["serviceHousekeeper"])) and fen_of(row["adjustRefundMoney"]) >= 0
    except (InvalidOperation, ValueError):
        return False


def text(value: object) -> str:
    return "" if value is None else str(value).strip()


def fen_of(yuan_value: object) -> int:
    """Yuan as a number or as text with or without thousands separators → fen, half-up."""
    return half_up(Decimal(str(yuan_value).replace(",", "")) * 100)


def half_up(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def yuan(fen: int) -> str:
    return f"{fen // 100:,}" if fen % 100 == 0 else f"{fen // 100:,}.{fen % 100:02d}"
