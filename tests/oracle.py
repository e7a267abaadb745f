"""The specification again, row by row, for tests to hold the engine against. It shares no code with the engine.

Written from docs/reward-rules.md alone: the frame, performance limits, the figures of each row in all and by track,
sequence numbers, every kind of award, remarks, badges, and the corrections that `settle` owes. Plain dicts, Decimals
and integer fen; slow and obvious on purpose: every figure is counted afresh from the whole frame.

Where the specification is silent, the clerk does this:

* A historical self-referral row uses its address up: its payee has registered it there, though it wins nothing.
* A historical row says that it is one also where the campaign is announcement-only.
* A historical row has a bonus pool: the pool goes by the amount, and is no award.
* Where a tier asks for no contracts, a payee with historical rows alone can be owed it; a payee with no standing row of
  the track that the ladder goes by can't, not even a tier that asks for no money.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Row = dict[str, Any]
Entry = dict[str, Any]
Payee = Any
"""The housekeeper's name; with `housekeeper+provider` the pair of both."""
Award = tuple[str, str, int]
"""Kind, name, amount in fen."""

LUCKY, BAND, RED_PACKET, TIER = "幸运数字", "签约奖励", "自引单", "节节高"
TRACKS = {"": (True, False), "platform_": (False,), "self_referral_": (True,)}
"""Prefix of a figure's name → the values of `self_referral` that it takes in."""
NUMBERS = ("sequence", "personal_sequence", "platform_sequence")
TOTALS = tuple(f"{prefix}{name}" for prefix in TRACKS for name in ("count", "total", "performance_total"))
FIGURES = ("historical", *NUMBERS, "performance", *TOTALS, "bonus_pool")


@dataclass
class Clerk:
    """A payroll clerk with one campaign's entry, the badge lists, and a ledger that only grows."""

    entry: Entry
    badge_lists: dict[str, list[str]] = field(default_factory=dict)
    ledger: list[Row] = field(default_factory=list)
    granted: list[tuple[Payee, str, str]] = field(default_factory=list)
    """Payee, kind and name of every award ever granted."""

    def pull(self, source: list[Row]) -> list[Row]:
        """Take the whole source as it is now; register what is new; return the new rows with all their figures."""
        frame = self._standing_frame(source)
        known = {registered["id"] for registered in self.ledger}
        arrivals = sorted(
            (row for contract_id, row in kept_of_each_id(source).items() if contract_id not in known),
            key=lambda row: (signed_at(row), text(row["_id"])),
        )
        new_rows = []
        for source_row in arrivals:
            if not self._takes(source_row):
                continue
            row = self._register(source_row)
            frame.append(row)
            row["performance"] = self._performances(frame)[-1]
            row.update(self._totals(frame, row["payee"]))
            row["bonus_pool"] = half_up(row["amount"] * decimal(self.entry.get("bonus_pool_ratio", "0.002")))
            row["awards"] = self._awards(row)
            row["remark"] = self._remark(row)
            new_rows.append({name: row[name] for name in ("id", "payee", *FIGURES, "awards", "remark")})
        return new_rows

    def settle(self, source: list[Row]) -> list[tuple[Payee, str, int]]:
        """Grant the tiers that standing rows earn and that were not granted: payee, tier, fen; highest tier first."""
        owed = []
        for payee, earned in self._earned_by_standing_rows(source).items():
            for name in reversed(earned):
                if not self._has(payee, name):
                    self.granted.append((payee, TIER, name))
                    owed.append((payee, name, self._amount(payee, TIER, name)))
        return owed

    def unearned(self, source: list[Row]) -> list[tuple[Payee, str]]:
        """The granted tiers that the standing rows no longer earn."""
        earned = self._earned_by_standing_rows(source)
        tiers = [(payee, name) for payee, kind, name in self.granted if kind == TIER]
        return [(payee, name) for payee, name in tiers if name not in earned.get(payee, [])]

    def skip_numbers(self, by: int) -> None:
        """As in a ledger that was taken over with numbers missing: the last one given is higher by so many."""
        for row in [each for each in self.ledger if not each["historical"]][-1:]:
            row["sequence"] += by

    # -- registering -------------------------------------------------------------------------------------------------

    def _standing_frame(self, source: list[Row]) -> list[Row]:
        """The registered rows that the source still shows, with its current amounts where they can be read."""
        readable = kept_of_each_id(source)
        for registered in self.ledger:
            if registered["id"] in readable:
                registered["amount"] = fen_of(readable[registered["id"]]["adjustRefundMoney"])
        shown = {text(row["_id"]) for row in source}
        return [registered for registered in self.ledger if registered["id"] in shown]

    def _takes(self, source_row: Row) -> bool:
        wanted = self.entry.get("source_types")
        return wanted is None or source_type(source_row.get("sourceType")) in [source_type(value) for value in wanted]

    def _register(self, source_row: Row) -> Row:
        housekeeper = name_of(source_row["serviceHousekeeper"])
        payee: Payee = housekeeper
        if self.entry.get("housekeeper_key", "housekeeper") == "housekeeper+provider":
            payee = (housekeeper, name_of(source_row["orgName"]))
        says_historical = text(source_row.get("pcContractdocNum")) != ""
        row = {
            "id": text(source_row["_id"]),
            "payee": payee,
            "project": text(source_row["serviceAppointmentNum"]),
            "address": text(source_row.get("projectAddress")),
            "self_referral": source_type(source_row.get("sourceType")) == "1",
            "historical": self.entry.get("historical_contracts", False) and says_historical,
            "amount": fen_of(source_row["adjustRefundMoney"]),
        }
        self.ledger.append(row)
        numbered = [each for each in self.ledger if not each["historical"]]
        own = [each for each in numbered if each["payee"] == payee]
        row["sequence"] = 0 if row["historical"] else max((each["sequence"] for each in numbered[:-1]), default=0) + 1
        row["personal_sequence"] = 0 if row["historical"] else len(own)
        on_platform = [each for each in own if not each["self_referral"]]
        row["platform_sequence"] = 0 if row["historical"] or row["self_referral"] else len(on_platform)
        return row

    # -- figures -----------------------------------------------------------------------------------------------------

    def _performances(self, frame: list[Row]) -> list[int]:
        """What each row of the frame counts for, in fen."""
        counted: dict[tuple[str, bool], int] = defaultdict(int)  # (project, track) → fen
        performances = []
        for each in frame:
            performance = each["amount"]
            cap = self._limit("single_contract_cap", "self_referral_contract_cap", each)
            if self._limits().get("enable_cap", False) and cap is not None:
                performance = min(performance, cap)
            limit = self._limit("single_project_limit", "self_referral_project_limit", each)
            project = (each["project"] or f"alone: {each['id']}", each["self_referral"])
            if limit is not None:
                performance = max(0, min(performance, limit - counted[project]))
            counted[project] += performance
            performances.append(performance)
        return performances

    def _totals(self, frame: list[Row], payee: Payee) -> dict[str, int]:
        """The payee's figures over the whole frame, in all and by track."""
        pairs = list(zip(frame, self._performances(frame), strict=True))
        totals = {}
        for prefix, tracks in TRACKS.items():
            mine = [pair for pair in pairs if pair[0]["payee"] == payee and pair[0]["self_referral"] in tracks]
            current = [row for row, _ in mine if not row["historical"]]
            totals[f"{prefix}count"] = len(current)
            totals[f"{prefix}total"] = sum(row["amount"] for row in current)
            totals[f"{prefix}performance_total"] = sum(performance for _, performance in mine)
        return totals

    def _limits(self) -> Entry:
        return self.entry.get("performance_limits") or {}

    def _limit(self, general: str, own: str, row: Row) -> int | None:
        limits = self._limits()
        value = limits[own] if row["self_referral"] and own in limits else limits.get(general)
        return None if value is None else fen_of(value)

    # -- awards ------------------------------------------------------------------------------------------------------

    def _awards(self, row: Row) -> list[Award]:
        if self.entry.get("announcement_only") or row["historical"]:
            return []
        awards = []
        won = [(LUCKY, self._opening_or_lucky(row)), (BAND, self._band(row)), (RED_PACKET, self._red_packet(row))]
        for kind, name in [*won, *((TIER, name) for name in self._new_tiers(row))]:
            if name is not None:
                self.granted.append((row["payee"], kind, name))
                awards.append((kind, name, self._amount(row["payee"], kind, name)))
        return awards

    def _opening_or_lucky(self, row: Row) -> str | None:
        opening = self.entry.get("opening_reward")
        if opening and row["sequence"] <= opening["first"]:
            return str(opening["name"])
        if not self._is_lucky(row):
            return None
        base, high = self.entry["lucky_rewards"]["base"], self.entry["lucky_rewards"].get("high")
        is_high = high is not None and row["amount"] >= fen_of(high.get("threshold", 0))
        return str(high["name"] if is_high else base["name"])

    def _is_lucky(self, row: Row) -> bool:
        if self.entry.get("lucky_number") is None:
            return False
        number = int(self.entry["lucky_number"])
        if self.entry.get("lucky_number_mode", "contract_number") == "contract_number":
            return int(row["sequence"]) % 10 == number
        which = self.entry.get("lucky_number_sequence_type", "personal")
        if which == "platform_only" and row["self_referral"]:
            return False
        name = {"personal": "personal_sequence", "global": "sequence", "platform_only": "platform_sequence"}[which]
        return int(row[name]) % number == 0

    def _band(self, row: Row) -> str | None:
        """The first band that this amount and number fall in; nothing where its quota is used up."""
        for band in self.entry.get("contract_rewards") or []:
            below, first_contracts = band.get("below_amount"), band.get("first_contracts")
            if row["amount"] < fen_of(band.get("min_amount") or 0):
                continue
            if below is not None and row["amount"] >= fen_of(below):
                continue
            if first_contracts is not None and row["sequence"] > first_contracts:
                continue
            name, quota = str(band["name"]), band.get("quota")
            given = sum(kind == BAND and other == name for _, kind, other in self.granted)
            return name if quota is None or given < quota else None
        return None

    def _red_packet(self, row: Row) -> str | None:
        section = self.entry.get("self_referral_rewards")
        if not section or not section.get("enable", True) or not row["self_referral"] or not row["address"]:
            return None
        same = [
            each
            for each in self.ledger
            if (each["payee"], each["self_referral"], each["address"]) == (row["payee"], True, row["address"])
        ]
        return str(section["reward_name"]) if same == [row] else None

    def _amount(self, payee: Payee, kind: str, name: str) -> int:
        housekeeper = payee[0] if isinstance(payee, tuple) else payee
        multipliers = [
            decimal(badge.get("multiplier", 1))
            for badge in (self.entry.get("badges") or {}).values()
            if kind in badge.get("applies_to", []) and housekeeper in self.badge_lists[badge["members"]]
        ]
        return half_up(fen_of(self.entry["awards_mapping"][name]) * max(multipliers, default=Decimal(1)))

    # -- tiers -------------------------------------------------------------------------------------------------------

    def _new_tiers(self, row: Row) -> list[str]:
        """What this row wins of the ladder, highest first."""
        if self._counts_platform_only() and row["self_referral"]:
            return []
        return [name for name in reversed(self._earned(row)) if not self._has(row["payee"], name)]

    def _earned(self, totals: Row) -> list[str]:
        """The tiers that these totals reach, lowest first."""
        count, performance_total = self._ladder_figures(totals)
        if count < self._ladder().get("min_contracts", 0):
            return []
        return [tier["name"] for tier in self._tiers() if performance_total >= fen_of(tier["threshold"])]

    def _earned_by_standing_rows(self, source: list[Row]) -> dict[Payee, list[str]]:
        """Payee → tiers, for every payee with a row of the ladder's track that the source still shows."""
        frame = self._standing_frame(source)
        if self.entry.get("announcement_only"):
            return {}
        counted = [row for row in frame if not (self._counts_platform_only() and row["self_referral"])]
        payees = list(dict.fromkeys(row["payee"] for row in counted))
        return {payee: self._earned(self._totals(frame, payee)) for payee in payees}

    def _remark(self, row: Row) -> str:
        if row["historical"]:
            return "历史合同，仅计入业绩"
        if self.entry.get("announcement_only"):
            return "无"
        count, performance_total = self._ladder_figures(row)
        for tier in self._tiers():
            if not self._has(row["payee"], tier["name"]):
                short = self._ladder().get("min_contracts", 0) - count
                if short > 0:
                    return f"距离达成节节高奖励条件还需 {short} 单"
                return f"距离 {tier['name']} 还需 {yuan(max(0, fen_of(tier['threshold']) - performance_total))} 元"
        return "无"

    def _has(self, payee: Payee, tier: str) -> bool:
        return (payee, TIER, tier) in self.granted

    def _ladder(self) -> Entry:
        return self.entry.get("tiered_rewards") or {}

    def _tiers(self) -> list[Entry]:
        return list(self._ladder().get("tiers", []))

    def _counts_platform_only(self) -> bool:
        return str(self._ladder().get("stats", "total")) == "platform_only"

    def _ladder_figures(self, totals: Row) -> tuple[int, int]:
        """Count and performance total that the ladder goes by."""
        prefix = "platform_" if self._counts_platform_only() else ""
        return totals[f"{prefix}count"], totals[f"{prefix}performance_total"]


# -- reading source rows ---------------------------------------------------------------------------------------------


def kept_of_each_id(source: list[Row]) -> dict[str, Row]:
    """Of the usable rows with one id the first by (signed time, amount, contract number)."""
    usable = [row for row in source if is_usable(row)]
    usable.sort(key=lambda row: (signed_at(row), fen_of(row["adjustRefundMoney"]), text(row["contractdocNum"])))
    kept: dict[str, Row] = {}
    for row in usable:
        kept.setdefault(text(row["_id"]), row)
    return kept


def is_usable(row: Row) -> bool:
    try:
        signed_at(row)
        fen_of(row["adjustRefundMoney"])
        return bool(text(row["_id"]) and name_of(row["serviceHousekeeper"])) and decimal(row["adjustRefundMoney"]) >= 0
    except (InvalidOperation, ValueError):
        return False


def signed_at(row: Row) -> datetime:
    return datetime.fromisoformat(text(row["signedDate"]))


def source_type(value: object) -> str:
    """`1`, `"1"` and `1.0` are one."""
    written = text(value)
    return written[:-2] if written.endswith(".0") else written


def name_of(value: object) -> str:
    return unicodedata.normalize("NFC", text(value))


def text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def decimal(value: object) -> Decimal:
    """A number as written, with or without thousands separators."""
    return Decimal(str(value).replace(",", ""))


def fen_of(yuan_value: object) -> int:
    """Yuan → fen, half-up."""
    return half_up(decimal(yuan_value) * 100)


def half_up(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def yuan(fen: int) -> str:
    return f"{fen // 100:,}" if fen % 100 == 0 else f"{fen // 100:,}.{fen % 100:02d}"
