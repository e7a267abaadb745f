"""Where every payee stands now: totals over the standing contracts, tiers owed, and tiers no longer earned."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award, award_by_name
from modules.rewards.frame import Frame, LedgerState, frame_of
from modules.rewards.rule import Grant, Ladder, Position
from modules.rewards.rules import rules_of
from modules.rewards.totals import IntArray

NO_CONTRACTS = pd.DataFrame(
    {
        **{name: pd.Series([], dtype="object") for name in ("contract_id", "housekeeper", "provider", "project")},
        "address": pd.Series([], dtype="object"),
        "signed_at": pd.Series([], dtype="datetime64[us]"),
        **{name: pd.Series([], dtype="bool") for name in ("self_referral", "historical")},
        "amount": pd.Series([], dtype="int64"),
    }
)


@dataclass(frozen=True)
class Unearned:
    """A tier that a payee was granted and, after refunds or cancellations, no longer earns; and what it lacks now."""

    payee: str
    kind: str
    name: str
    missing: str


@dataclass(frozen=True)
class Standing:
    """`positions` by payee, in order of first registration; `owed` are awards without a contract, to be granted."""

    positions: dict[str, Position]
    owed: tuple[Award, ...]
    unearned: tuple[Unearned, ...]


def standing_of(campaign: Campaign, ledger: LedgerState, shown: Collection[str]) -> Standing:
    """Totals follow the ledger's amounts; contracts that the source no longer shows (`shown`: ids) count nothing."""
    positions = _positions(campaign, frame_of(campaign, ledger, shown, NO_CONTRACTS))
    ladders: list[Ladder] = [rule for rule in rules_of(campaign) if isinstance(rule, Ladder)]
    owed: list[Award] = []
    unearned: list[Unearned] = []
    for payee, position in positions.items():
        for ladder in ladders:
            earned = ladder.earned(position)
            names = {(grant.kind, grant.name) for grant in earned}
            owed += [
                _correction(campaign, payee, position, grant)
                for grant in earned
                if (grant.kind, grant.name) not in position.granted
            ]
            unearned += [
                Unearned(payee, kind, name, ladder.lacks(name, position))
                for kind, name in sorted(position.granted - names)
                if kind == ladder.kind
            ]
    return Standing(positions, tuple(owed), tuple(unearned))


def _positions(campaign: Campaign, frame: Frame) -> dict[str, Position]:
    performance = frame.performance(campaign)
    standing, numbered, platform = frame.standing, frame.is_numbered, frame.is_platform

    def sums(values: "IntArray | np.ndarray[tuple[int], np.dtype[np.bool_]]") -> list[int]:
        result = np.zeros(len(frame.payees), dtype=np.int64)
        np.add.at(result, frame.payee, values.astype(np.int64))
        return result.tolist()

    granted: list[set[tuple[str, str]]] = [set() for _ in frame.payees]
    names = list(zip(frame.granted["kind"], frame.granted["name"], strict=True))
    for payee, award in zip(frame.granted_payee.tolist(), names, strict=True):
        granted[payee].add(award)
    used = Counter(names)
    figures = {
        "personal_sequence": sums(numbered),
        "platform_sequence": sums(numbered & platform),
        "standing": sums(standing),
        "platform_standing": sums(standing & platform),
        "count": sums(numbered & standing),
        "total": sums(frame.amount * (numbered & standing)),
        "performance_total": sums(performance),
        "platform_count": sums(numbered & platform & standing),
        "platform_performance_total": sums(performance * platform),
    }
    return {
        str(payee): Position(
            sequence=frame.last_sequence,
            granted=frozenset(granted[code]),
            used=used,
            **{name: values[code] for name, values in figures.items()},
        )
        for code, payee in enumerate(frame.payees)
    }


def _correction(campaign: Campaign, payee: str, position: Position, grant: Grant) -> Award:
    reason: dict[str, str | int] = {
        "path": grant.path,
        "threshold": grant.threshold,
        "why": grant.why,
        "count": position.count,
        "performance_total": position.performance_total,
        "platform_count": position.platform_count,
        "platform_performance_total": position.platform_performance_total,
    }
    return award_by_name(campaign, payee, grant.kind, grant.name, reason)
