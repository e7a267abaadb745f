"""totals + rules → registered rows and awards. Pure: ledger state and contracts in, new rows and awards out.

See docs/reward-rules.md, "The frame that is calculated on".
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from modules.rewards import totals
from modules.rewards.campaign import Campaign
from modules.rewards.money import multiply
from modules.rewards.rules import Grant, Missing, NewRows, rules_of

PAYEE_SEPARATOR = "␟"
"""Between housekeeper and provider in a payee; a character that names don't have, so that no two payees meet."""


@dataclass(frozen=True)
class LedgerState:
    """What the campaign's ledger holds.

    `registered`: one row per registered contract in ledger order: contract_id, payee, project (text),
    self_referral (bool), sequence, personal_sequence, amount (int64; amount is the source's current or last good
    one, fen). `granted`: one row per award: payee, kind, name.
    """

    registered: pd.DataFrame
    granted: pd.DataFrame


@dataclass(frozen=True)
class Award:
    """One award of one new row. Money in fen; `base_amount` is before the badge's multiplier.

    `reason` holds the path in the config and the values that decided.
    """

    contract_id: str
    payee: str
    housekeeper: str
    kind: str
    name: str
    amount: int
    base_amount: int
    badge: str
    multiplier: str
    position: int
    reason: dict[str, str | int]


@dataclass(frozen=True)
class Outcome:
    """`rows`: the contract columns of each new row, in frame order, and

    payee (text), sequence, personal_sequence, performance, count, total, performance_total, bonus_pool (int64,
    money in fen). `awards` in order of rows and of the record. `missing` tells what each row lacks for the next tier.
    """

    rows: pd.DataFrame
    awards: tuple[Award, ...]
    missing: Missing | None


def payee_of(campaign: Campaign, housekeeper: str, provider: str) -> str:
    """Whom totals and awards are kept for."""
    if campaign.housekeeper_key == "housekeeper":
        return housekeeper
    return f"{housekeeper}{PAYEE_SEPARATOR}{provider}"


def calculate(campaign: Campaign, ledger: LedgerState, shown: frozenset[str], contracts: pd.DataFrame) -> Outcome:
    """Number, total and award the contracts that are new to the ledger.

    `contracts` are new contracts to register, in any order, with the columns of `contracts.Contracts.frame`;
    `shown` are the ids that the source still shows: registered contracts not among them drop out of the totals.
    """
    new = contracts.iloc[totals.signing_order(contracts["signed_at"].to_numpy(), contracts["contract_id"].to_numpy())]
    rows = new.reset_index(drop=True)
    rows["payee"] = [
        payee_of(campaign, housekeeper, provider)
        for housekeeper, provider in zip(rows["housekeeper"], rows["provider"], strict=True)
    ]
    _add_sequences(rows, ledger.registered)
    standing = ledger.registered[ledger.registered["contract_id"].isin(shown)]
    _add_totals(rows, standing, campaign)
    payees, names = pd.factorize(pd.concat([rows["payee"], ledger.granted["payee"]], ignore_index=True))
    new_rows = NewRows(
        payees=len(names),
        sequence=_ints(rows["sequence"]),
        payee=payees[: len(rows)].astype(np.int64),
        amount=_ints(rows["amount"]),
        count=_ints(rows["count"]),
        performance_total=_ints(rows["performance_total"]),
    )
    granted: dict[tuple[str, str], set[int]] = defaultdict(set)
    for kind, name, payee in zip(ledger.granted["kind"], ledger.granted["name"], payees[len(rows) :], strict=True):
        granted[kind, name].add(int(payee))
    verdicts = [rule.judge(new_rows, granted) for rule in rules_of(campaign)]
    grants = [grant for verdict in verdicts for grant in verdict.grants]
    missing = next((verdict.missing for verdict in verdicts if verdict.missing is not None), None)
    return Outcome(rows, _awards(campaign, rows, grants), missing)


def _ints(column: "pd.Series[int]") -> totals.IntArray:
    return np.asarray(column, dtype=np.int64)


def _add_sequences(rows: pd.DataFrame, registered: pd.DataFrame) -> None:
    """Numbers go on after the highest ever given, whether its contract still stands or not."""
    last = int(registered["sequence"].max()) if len(registered) else 0
    rows["sequence"] = np.arange(last + 1, last + 1 + len(rows), dtype=np.int64)
    before = registered.groupby("payee")["personal_sequence"].max()
    own = rows["payee"].map(before).fillna(0).to_numpy(dtype=np.int64)
    rows["personal_sequence"] = own + totals.running_count(totals.codes(rows["payee"]))


def _add_totals(rows: pd.DataFrame, standing: pd.DataFrame, campaign: Campaign) -> None:
    """Performance, the running totals and the bonus pool of the new rows, over standing and new rows together."""
    used = ["payee", "project", "self_referral", "amount"]
    frame = pd.concat([standing[used], rows[used]], ignore_index=True)
    amount = _ints(frame["amount"])
    performance = totals.performance(
        amount,
        frame["project"].to_numpy(),
        frame["self_referral"].to_numpy(dtype=np.bool_),
        campaign.performance_limits,
    )
    payees = totals.codes(frame["payee"])
    is_new = slice(len(standing), None)
    rows["performance"] = performance[is_new]
    rows["count"] = totals.running_count(payees)[is_new]
    rows["total"] = totals.running_sum(payees, amount)[is_new]
    rows["performance_total"] = totals.running_sum(payees, performance)[is_new]
    rows["bonus_pool"] = totals.bonus_pool(amount[is_new], int(campaign.bonus_pool_ratio * 1_000_000))


def _awards(campaign: Campaign, rows: pd.DataFrame, grants: Sequence[Grant]) -> tuple[Award, ...]:
    """The grants of all rules, row by row; within a row in the order of the rules."""
    hits = [(int(row), order, grant) for order, grant in enumerate(grants) for row in grant.rows]
    hits.sort(key=lambda hit: hit[:2])
    awards: list[Award] = []
    winners = sorted({row for row, _, _ in hits})
    records = dict(zip(winners, rows.iloc[winners].to_dict("records"), strict=True))
    for row, _, grant in hits:
        record = records[row]
        position = awards[-1].position + 1 if awards and awards[-1].contract_id == record["contract_id"] else 0
        awards.append(_award(campaign, record, grant, position))
    return tuple(awards)


def _award(campaign: Campaign, record: Mapping[Any, Any], grant: Grant, position: int) -> Award:
    housekeeper = str(record["housekeeper"])
    badge, multiplier = best_badge(campaign, housekeeper, grant.kind)
    base = campaign.awards_mapping[grant.name]
    decided = ("sequence", "personal_sequence", "amount", "count", "performance", "performance_total")
    reason: dict[str, str | int] = {"path": grant.path, "threshold": grant.threshold}
    reason |= {name: int(record[name]) for name in decided}
    return Award(
        contract_id=str(record["contract_id"]),
        payee=str(record["payee"]),
        housekeeper=housekeeper,
        kind=grant.kind,
        name=grant.name,
        amount=multiply(base, multiplier),
        base_amount=base,
        badge=badge,
        multiplier=str(multiplier),
        position=position,
        reason=reason,
    )


def best_badge(campaign: Campaign, housekeeper: str, kind: str) -> tuple[str, Decimal]:
    """The name and multiplier of the badge that multiplies this kind of award most; `("", 1)` where none does."""
    worn = [
        (badge.multiplier, name)
        for name, badge in campaign.badges.items()
        if housekeeper in badge.members and kind in badge.applies_to
    ]
    multiplier, name = max(worn, default=(Decimal(1), ""))
    return name, multiplier
