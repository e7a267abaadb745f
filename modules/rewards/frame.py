"""The frame that is calculated on: standing contracts in ledger order, then the new ones in signing order; as numbers.

See docs/reward-rules.md, "Numbers are frozen, money is live". Texts become numbers once, here; a frame knows nothing
of rules or amounts of awards, so that many variants of a campaign (`simulate`) can share one.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from modules.rewards import totals
from modules.rewards.campaign import Campaign
from modules.rewards.totals import BoolArray, Groups, IntArray, TextArray

PAYEE_SEPARATOR = "␟"
"""Between housekeeper and provider in a payee; a character that names don't have, so that no two payees meet."""


@dataclass(frozen=True)
class LedgerState:
    """What the campaign's ledger holds.

    `registered`: one row per registered contract in ledger order: contract_id, payee, project, address (text),
    self_referral, historical (bool), sequence, amount (int64; amount is the source's current or last good one, fen;
    sequence 0 for historical rows). `granted`: one row per award: payee, kind, name.
    """

    registered: pd.DataFrame
    granted: pd.DataFrame


@dataclass(frozen=True)
class Frame:
    """Arrays over all registered rows (`registered`), the standing ones among them, and the new rows.

    `contracts`: the new rows as they came, `order`: their positions in frame order. All other arrays run over
    registered + new rows in frame order, but for `project` and `address`, whose new part is as it came: texts are
    read where they lie in memory and only their numbers are put in order. `payee` numbers the texts in `payees`;
    `standing` says which rows count: registered ones that the source still shows, and all new ones.
    """

    contracts: pd.DataFrame
    order: IntArray
    registered: int
    last_sequence: int
    payees: TextArray
    payee: IntArray
    project: TextArray
    address: TextArray
    self_referral: BoolArray
    historical: BoolArray
    amount: IntArray
    standing: BoolArray
    granted_payee: IntArray
    granted: pd.DataFrame

    @cached_property
    def payee_groups(self) -> Groups:
        return Groups(self.payee)

    @cached_property
    def project_groups(self) -> Groups:
        """Rows of one project and track; a row without a project is alone."""
        came, names = totals.codes(self.project)
        project = np.empty_like(came)
        project[self._place] = came
        nameless = np.flatnonzero(names == "")
        if len(nameless):
            alone = np.flatnonzero(project == nameless[0])
            project[alone] = len(names) + np.arange(len(alone))
        return Groups(project * 2 + self.self_referral)

    @cached_property
    def is_platform(self) -> BoolArray:
        return ~self.self_referral

    @cached_property
    def is_numbered(self) -> BoolArray:
        return ~self.historical

    @cached_property
    def sequence(self) -> IntArray:
        """活动期内第几个合同 of the new rows: on from the highest ever given; 0 on historical rows."""
        numbered = self.is_numbered[self.registered :]
        return np.where(numbered, self.last_sequence + np.cumsum(numbered), 0)

    @cached_property
    def figures(self) -> dict[str, IntArray]:
        """What does not depend on how much of an amount counts; of the new rows, per payee, money in fen.

        personal_sequence and platform_sequence: 1, 2, 3 … over all that the payee ever registered, 0 on rows without
        one. count, total, platform_count and platform_total: over its standing rows; historical ones don't count.
        """
        numbered, on_platform = self.is_numbered, self.is_numbered & self.is_platform
        counted, counted_on_platform = numbered & self.standing, on_platform & self.standing
        running_sum = self.payee_groups.running_sum
        figures = {
            "personal_sequence": running_sum(numbered) * numbered,
            "platform_sequence": running_sum(on_platform) * on_platform,
            "count": running_sum(counted),
            "total": running_sum(self.amount * counted),
            "platform_count": running_sum(counted_on_platform),
            "platform_total": running_sum(self.amount * counted_on_platform),
        }
        return {name: values[self.registered :] for name, values in figures.items()}

    @cached_property
    def is_first_at_address(self) -> BoolArray:
        """New self-referral rows with an address that their payee has never registered on such a row."""
        came = np.flatnonzero(self.self_referral[self._place] & (self.address != ""))
        address, names = totals.codes(self.address[came])
        pair = np.full(len(self.payee), -1, dtype=np.int64)
        rows = self._place[came]
        pair[rows] = self.payee[rows] * len(names) + address
        rows = np.flatnonzero(pair >= 0)
        first = np.zeros(len(pair), dtype=np.bool_)
        first[rows[~pd.Series(pair[rows]).duplicated().to_numpy()]] = True
        return first[self.registered :]

    def performance(self, campaign: Campaign) -> IntArray:
        """计入业绩金额 over all rows, in fen; 0 where a row does not stand."""
        limits = campaign.performance_limits
        amount = self.amount * self.standing
        if not totals.has_project_limit(limits):
            return totals.base_performance(amount, self.self_referral, limits)
        return totals.performance(amount, self.project_groups, self.self_referral, limits)

    def performance_figures(self, campaign: Campaign) -> dict[str, IntArray]:
        """performance, performance_total and platform_performance_total of the new rows, in fen.

        Those of the limits that were asked for last are kept, for the next variant with the same limits.
        """
        limits = limits_in_force(campaign)
        if limits not in self._latest:
            self._latest.clear()
            self._latest[limits] = self._performance_figures(campaign)
        return self._latest[limits]

    def _performance_figures(self, campaign: Campaign) -> dict[str, IntArray]:
        performance = self.performance(campaign)
        figures = {
            "performance": performance,
            "performance_total": self.payee_groups.running_sum(performance),
            "platform_performance_total": self.payee_groups.running_sum(performance * self.is_platform),
        }
        return {name: values[self.registered :] for name, values in figures.items()}

    @cached_property
    def new(self) -> pd.DataFrame:
        """The contract columns of the new rows, in frame order."""
        if (self.order[1:] > self.order[:-1]).all():
            return self.contracts
        return self.contracts.iloc[self.order].reset_index(drop=True)

    @cached_property
    def _latest(self) -> "dict[LimitsInForce, dict[str, IntArray]]":
        """The performance figures asked for last, by their limits."""
        return {}

    @cached_property
    def _place(self) -> IntArray:
        """Of each row as it came, where it stands in the frame."""
        place = np.arange(len(self.payee))
        place[self.registered + self.order] = place[self.registered :].copy()
        return place


LimitsInForce = tuple[int | None, ...]


def limits_in_force(campaign: Campaign) -> LimitsInForce:
    """All that the performance depends on beside the frame: caps and project limits of both tracks, in fen."""
    limits = campaign.performance_limits
    kinds = (limits.contract_cap, limits.project_limit)
    return tuple(limit(self_referral=own) for limit in kinds for own in (False, True))


def payee_of(campaign: Campaign, housekeeper: str, provider: str) -> str:
    """Whom totals and awards are kept for."""
    if campaign.housekeeper_key == "housekeeper":
        return housekeeper
    return f"{housekeeper}{PAYEE_SEPARATOR}{provider}"


def housekeeper_of(payee: str) -> str:
    """The person behind a payee."""
    return payee.split(PAYEE_SEPARATOR, 1)[0]


def number_of_people(payees: Iterable[str]) -> int:
    """How many persons payees are."""
    return len(set(map(housekeeper_of, payees)))


def frame_of(campaign: Campaign, ledger: LedgerState, shown: Collection[str], contracts: pd.DataFrame) -> Frame:
    """Lay the frame out. `contracts`: the new rows in any order; `shown`: the ids that the source still shows."""
    order = totals.signing_order(contracts["signed_at"].to_numpy(), contracts["contract_id"].to_numpy(dtype=object))
    return _laid_out(campaign, ledger, shown, contracts, order)


def replayed(campaign: Campaign, contracts: pd.DataFrame) -> Frame:
    """A frame on an empty ledger, of contracts in the order in which they stand: what `simulate` works on."""
    return _laid_out(campaign, EMPTY_LEDGER, (), contracts, np.arange(len(contracts)))


def _laid_out(
    campaign: Campaign, ledger: LedgerState, shown: Collection[str], new: pd.DataFrame, order: IntArray
) -> Frame:
    registered = ledger.registered
    count = len(registered)
    new_payee, new_names = _payees(campaign, new)
    named = np.concatenate([registered["payee"].to_numpy(object), new_names, ledger.granted["payee"].to_numpy(object)])
    code, payees = totals.codes(named)
    code_of_new = code[count : count + len(new_names)]
    standing = registered["contract_id"].isin(shown).to_numpy(np.bool_) if count else np.zeros(0, dtype=np.bool_)

    historical = new["historical"].to_numpy(np.bool_)[order] & campaign.historical_contracts

    def both(name: str, kind: type) -> Any:
        return np.concatenate([registered[name].to_numpy(kind), new[name].to_numpy(kind)[order]])

    return Frame(
        contracts=new,
        order=order,
        registered=count,
        last_sequence=int(registered["sequence"].max()) if count else 0,
        payees=payees,
        payee=np.concatenate([code[:count], code_of_new[new_payee[order]]]),
        project=np.concatenate([registered["project"].to_numpy(object), new["project"].to_numpy(object)]),
        address=np.concatenate([registered["address"].to_numpy(object), new["address"].to_numpy(object)]),
        self_referral=both("self_referral", np.bool_),
        historical=np.concatenate([registered["historical"].to_numpy(np.bool_), historical]),
        amount=both("amount", np.int64),
        standing=np.concatenate([standing, np.ones(len(new), dtype=np.bool_)]),
        granted_payee=code[count + len(new_names) :],
        granted=ledger.granted,
    )


def _payees(campaign: Campaign, new: pd.DataFrame) -> tuple[IntArray, TextArray]:
    """The payee of each new row as a number, and the payees by number."""
    person, people = totals.codes(new["housekeeper"])
    if campaign.housekeeper_key == "housekeeper":
        return person, people
    firm, firms = totals.codes(new["provider"])
    pair, pairs = pd.factorize(person * max(len(firms), 1) + firm)
    names = [payee_of(campaign, people[code // len(firms)], firms[code % len(firms)]) for code in pairs]
    return pair.astype(np.int64, copy=False), np.array(names, dtype=object)


EMPTY_LEDGER = LedgerState(
    registered=pd.DataFrame(
        {
            **{name: pd.Series([], dtype="object") for name in ("contract_id", "payee", "project", "address")},
            **{name: pd.Series([], dtype="bool") for name in ("self_referral", "historical")},
            **{name: pd.Series([], dtype="int64") for name in ("sequence", "amount")},
        }
    ),
    granted=pd.DataFrame({name: pd.Series([], dtype="object") for name in ("payee", "kind", "name")}),
)
