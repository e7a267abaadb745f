"""One small class per kind of reward. Each looks at the new rows and says which it grants, why, and what is missing.

The engine and `determine_rewards_generic` ask them all in the same way and never ask which kind they have.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from modules.rewards.campaign import LUCKY_NUMBER, TIER, Campaign, LuckyRewards, TieredRewards
from modules.rewards.totals import BoolArray, IntArray


@dataclass(frozen=True)
class NewRows:
    """What rules look at: the rows to be registered, in frame order, one array element each.

    `payee` numbers the payees from 0 to `payees` - 1; the totals run over the whole frame; money in fen.
    """

    payees: int
    sequence: IntArray
    payee: IntArray
    amount: IntArray
    count: IntArray
    performance_total: IntArray


Granted = Mapping[tuple[str, str], Collection[int]]
"""(Kind, name) of an award → the payees (numbers as in `NewRows.payee`) that have been granted it by earlier runs."""


@dataclass(frozen=True)
class Grant:
    """One award for the rows at these positions; `path` names the entry of the config, `threshold` (fen) decided."""

    kind: str
    name: str
    path: str
    threshold: int
    rows: IntArray


@dataclass(frozen=True)
class Missing:
    """For each new row, what its payee still lacks for the next step of a ladder.

    `step` is the index of the lowest step not yet granted (-1: none is left), `contracts` how many contracts are
    missing, `fen` how much performance once the contracts are there.
    """

    names: tuple[str, ...]
    step: IntArray
    contracts: IntArray
    fen: IntArray


@dataclass(frozen=True)
class Verdict:
    """What one rule says of the new rows."""

    grants: tuple[Grant, ...]
    missing: Missing | None = None


class Rule(Protocol):
    """A kind of reward."""

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        """Which of the rows win what. Pure."""
        ...


class LuckyNumber:
    """幸运数字: the last digit of the activity sequence is the lucky number."""

    def __init__(self, digit: int, rewards: LuckyRewards) -> None:
        self._digit = digit
        self._rewards = rewards

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        lucky: BoolArray = rows.sequence % 10 == self._digit
        base, high = self._rewards.base, self._rewards.high
        is_high = lucky & (rows.amount >= high.threshold) if high else np.zeros_like(lucky)
        grants = [Grant(LUCKY_NUMBER, base.name, "lucky_rewards.base", 0, np.flatnonzero(lucky & ~is_high))]
        if high:
            rows_high = np.flatnonzero(is_high)
            grants.append(Grant(LUCKY_NUMBER, high.name, "lucky_rewards.high", high.threshold, rows_high))
        return Verdict(tuple(grants))


class Tiers:
    """节节高: every step that the performance total has reached, once per payee and campaign."""

    def __init__(self, section: TieredRewards) -> None:
        self._section = section

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        first = [self._first_rows(rows, granted, index) for index in range(len(self._section.tiers))]
        grants = [self._grant(index, rows, first[index]) for index in reversed(range(len(first)))]
        return Verdict(tuple(grants), self._missing(rows, first))

    def _first_rows(self, rows: NewRows, granted: Granted, index: int) -> IntArray:
        """Per payee the position of the row that is granted the step: -1 granted before, past the end not yet."""
        tier = self._section.tiers[index]
        first = np.full(rows.payees, len(rows.payee), dtype=np.int64)
        earned = (rows.count >= self._section.min_contracts) & (rows.performance_total >= tier.threshold)
        positions = np.flatnonzero(earned)
        np.minimum.at(first, rows.payee[positions], positions)
        first[np.fromiter(granted.get((TIER, tier.name), ()), dtype=np.int64)] = -1
        return first

    def _grant(self, index: int, rows: NewRows, first: IntArray) -> Grant:
        tier = self._section.tiers[index]
        at = np.sort(first[(first >= 0) & (first < len(rows.payee))])
        return Grant(TIER, tier.name, f"tiered_rewards.tiers[{index}]", tier.threshold, at)

    def _missing(self, rows: NewRows, first: Sequence[IntArray]) -> Missing:
        position = np.arange(len(rows.payee))
        step = np.full(len(position), -1, dtype=np.int64)
        for index in reversed(range(len(first))):
            step[first[index][rows.payee] > position] = index
        thresholds = np.array([tier.threshold for tier in self._section.tiers], dtype=np.int64)
        open_step = step >= 0
        contracts = np.where(open_step, np.maximum(self._section.min_contracts - rows.count, 0), 0)
        fen = np.where(open_step, np.maximum(thresholds[step] - rows.performance_total, 0), 0)
        return Missing(tuple(tier.name for tier in self._section.tiers), step, contracts, fen)


def rules_of(campaign: Campaign) -> tuple[Rule, ...]:
    """The rules that are switched on, in the order in which a row's awards are recorded."""
    if campaign.announcement_only:
        return ()
    rules: list[Rule] = []
    if campaign.lucky_number is not None and campaign.lucky_rewards is not None:
        rules.append(LuckyNumber(campaign.lucky_number, campaign.lucky_rewards))
    if campaign.tiered_rewards is not None:
        rules.append(Tiers(campaign.tiered_rewards))
    return tuple(rules)
