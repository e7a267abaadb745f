"""What a changed campaign would have paid on contracts that are known already. Pure: frames in, results out.

A variant numbers and judges the contracts anew, all in one go and on an empty ledger, in the order in which they are
given. Text is turned into numbers once for all variants that look at the same contracts in the same way; see `Frame`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property

import numpy as np
import pandas as pd

from modules.rewards.campaign import Campaign
from modules.rewards.engine import Decision, decide
from modules.rewards.frame import Frame, housekeeper_of, limits_in_force, number_of_people, replayed
from modules.rewards.totals import IntArray, TextArray

ContractsOf = Callable[[Campaign], pd.DataFrame]
"""The contracts that a campaign takes, in the order in which they are numbered, with the columns of `replayed`."""

SourceKey = tuple[str, bool, date, date, frozenset[str] | None]

MOVERS = 10
"""How many of those who gain or lose most are told."""


@dataclass(frozen=True)
class AwardSum:
    """How often an award was granted, and its money in fen."""

    kind: str
    name: str
    count: int
    amount: int


@dataclass(frozen=True)
class Payout:
    """What a campaign pays. Money in fen.

    `contracts`, `payees`, `amount` and `bonus_pool` are of the contracts with a number; `historical` counts the
    others. `rewarded`: the payees with an award. `awards`: in the order of the record.
    """

    contracts: int
    historical: int
    payees: int
    rewarded: int
    amount: int
    bonus_pool: int
    awards: tuple[AwardSum, ...]

    @property
    def payout(self) -> int:
        return sum(award.amount for award in self.awards)

    @property
    def per_cent(self) -> Decimal | None:
        """The payout in per cent of the amount, two decimals; None where there is no amount."""
        if self.amount == 0:
            return None
        return (Decimal(self.payout) * 100 / Decimal(self.amount)).quantize(Decimal("0.01"), ROUND_HALF_UP)


@dataclass(frozen=True)
class Simulated(Payout):
    """What one campaign would have paid. `payout_of` runs over `names`, the payees; fen.

    `people` and `rewarded_people` count the persons among the payees that `payees` and `rewarded` count.
    """

    campaign: Campaign
    names: TextArray
    payout_of: IntArray
    people: int
    rewarded_people: int

    @cached_property
    def by_payee(self) -> dict[str, int]:
        """Everybody who is paid something."""
        return self._sums(self.names)

    @cached_property
    def by_housekeeper(self) -> dict[str, int]:
        """The same by person, whatever payees the campaign distinguishes."""
        return self._sums([housekeeper_of(name) for name in self.names])

    def _sums(self, names: Iterable[str]) -> dict[str, int]:
        sums: dict[str, int] = {}
        for name, fen in zip(names, self.payout_of.tolist(), strict=True):
            if fen:
                sums[name] = sums.get(name, 0) + fen
        return sums


@dataclass(frozen=True)
class Mover:
    """A payee (a person, where the two campaigns have different payees) who gains or loses. Money in fen."""

    payee: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        return self.after - self.before


def movers(before: Simulated, after: Simulated, most: int = MOVERS) -> tuple[Mover, ...]:
    """Who gains or loses most, the largest difference first, of equal ones by name."""
    same_payees = before.campaign.housekeeper_key == after.campaign.housekeeper_key
    was, will_be = (before.by_payee, after.by_payee) if same_payees else (before.by_housekeeper, after.by_housekeeper)
    changed = [
        Mover(payee, was.get(payee, 0), will_be.get(payee, 0))
        for payee in {**was, **will_be}
        if was.get(payee, 0) != will_be.get(payee, 0)
    ]
    return tuple(sorted(changed, key=lambda mover: (-abs(mover.difference), mover.payee))[:most])


def taken_from(contracts: pd.DataFrame) -> ContractsOf:
    """Of contracts that stand in order, those of a campaign's period and source types."""
    return lambda campaign: contracts[campaign.takes(contracts)]


def simulate(
    campaigns: Sequence[Campaign], contracts_of: ContractsOf, on_each: Callable[[], object] = lambda: None
) -> list[Simulated]:
    """What each of the campaigns would have paid; `on_each` is called after every one."""
    simulator = Simulator(contracts_of)
    results: dict[int, Simulated] = {}
    for position in in_sharing_order(campaigns):
        results[position] = simulator.run(campaigns[position])
        on_each()
    return [results[position] for position in range(len(campaigns))]


def in_sharing_order(campaigns: Sequence[Campaign]) -> list[int]:
    """Positions, so ordered that those that can share a frame, and its performance, follow one another."""
    first: dict[object, int] = {}
    keys: list[tuple[object, object]] = []
    for campaign in campaigns:
        source = source_key(campaign)
        keys.append((source, (source, limits_in_force(campaign))))
    for position, key in enumerate(keys):
        for part in key:
            first.setdefault(part, position)
    return sorted(range(len(campaigns)), key=lambda position: [first[part] for part in keys[position]])


def source_key(campaign: Campaign) -> SourceKey:
    """What of a campaign decides how its frame is laid out: campaigns that agree in it share one."""
    return (
        campaign.housekeeper_key,
        campaign.historical_contracts,
        campaign.start,
        campaign.end,
        campaign.source_types,
    )


class Simulator:
    """Runs one campaign after another on the same contracts. Keeps the latest frame, and no more: frames are large."""

    def __init__(self, contracts_of: ContractsOf) -> None:
        self._contracts_of = contracts_of
        self._latest: tuple[SourceKey, Frame] | None = None

    def run(self, campaign: Campaign) -> Simulated:
        """What this campaign would have paid."""
        frame = self._frame(campaign)
        return _summed(campaign, frame, decide(campaign, frame))

    def _frame(self, campaign: Campaign) -> Frame:
        key = source_key(campaign)
        if self._latest is None or self._latest[0] != key:
            self._latest = None
            self._latest = key, replayed(campaign, self._contracts_of(campaign))
        return self._latest[1]


def _summed(campaign: Campaign, frame: Frame, decided: Decision) -> Simulated:
    grant = decided.awards["grant"].to_numpy()
    amount = decided.awards["amount"].to_numpy()
    payee = frame.payee[decided.awards["row"].to_numpy()]
    payout_of = _sums(payee, amount, len(frame.payees))
    numbered = frame.is_numbered
    signed, rewarded = pd.unique(frame.payee[numbered]), pd.unique(payee)
    return Simulated(
        contracts=int(np.count_nonzero(numbered)),
        historical=int(np.count_nonzero(frame.historical)),
        payees=len(signed),
        rewarded=len(rewarded),
        amount=int(frame.amount[numbered].sum()),
        bonus_pool=int(decided.figures["bonus_pool"][numbered].sum()),
        awards=_award_sums(decided, grant, amount),
        campaign=campaign,
        names=frame.payees,
        payout_of=payout_of,
        people=number_of_people(frame.payees[signed]),
        rewarded_people=number_of_people(frame.payees[rewarded]),
    )


def _award_sums(decided: Decision, grant: IntArray, amount: IntArray) -> tuple[AwardSum, ...]:
    """By kind and name: an award may be granted by several bands."""
    counts = np.bincount(grant, minlength=len(decided.grants)).tolist()
    amounts = _sums(grant, amount, len(decided.grants)).tolist()
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for one, count, fen in zip(decided.grants, counts, amounts, strict=True):
        before = sums.get((one.kind, one.name), (0, 0))
        sums[one.kind, one.name] = before[0] + count, before[1] + fen
    return tuple(AwardSum(*award, *both) for award, both in sums.items())


def _sums(group: IntArray, values: IntArray, groups: int) -> IntArray:
    """Per group, in whole fen: `bincount` would add floats."""
    sums = np.zeros(groups, dtype=np.int64)
    np.add.at(sums, group, values)
    return sums
