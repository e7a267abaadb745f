"""totals + rules → registered rows and awards. Pure: ledger state and contracts in, new rows and awards out.

See docs/reward-rules.md, "Numbers are frozen, money is live".
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from modules.rewards import totals
from modules.rewards.campaign import Campaign
from modules.rewards.frame import EMPTY_LEDGER, Frame, LedgerState, frame_of, housekeeper_of
from modules.rewards.money import multiply
from modules.rewards.rule import Grant, Granted, Missing, NewRows
from modules.rewards.rules import rules_of
from modules.rewards.totals import BoolArray, IntArray

FIGURES = (
    "sequence",
    "personal_sequence",
    "platform_sequence",
    "performance",
    "count",
    "total",
    "performance_total",
    "platform_count",
    "platform_total",
    "platform_performance_total",
    "bonus_pool",
)
"""What is worked out for each new row; int64, money in fen. Self-referral figures are all less platform."""


@dataclass(frozen=True)
class Award:
    """One award. Money in fen; `base_amount` is before the badge's multiplier.

    `reason` holds the path in the config, why it was granted, and the values that decided. `contract_id` is None
    for one that came without a contract: a correction or an adjustment.
    """

    contract_id: str | None
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
    """`rows`: the contract columns of each new row, in frame order, and payee (text), historical (bool), `FIGURES`.

    `awards`: one row per award, in order of rows and of the record: row, position, grant, badge (indices into
    `rows`, the row's awards, `grants` and `badges`), amount and base_amount (fen). `missing` tells what each row lacks
    for the next tier, -1 and 0 on historical rows.
    """

    rows: pd.DataFrame
    awards: pd.DataFrame
    grants: Sequence[Grant]
    badges: Sequence[tuple[str, Decimal]]
    missing: Missing | None

    @cached_property
    def award_list(self) -> tuple[Award, ...]:
        """The awards as records, each with its reason: made when they are to be written or told."""
        if self.awards.empty:
            return ()
        winners = self.rows.iloc[self.awards["row"].to_numpy()]
        records = winners[["contract_id", "payee", "amount", "address", *FIGURES]].to_dict("records")
        awards = zip(records, *(self.awards[name].tolist() for name in _AWARD_COLUMNS), strict=True)
        return tuple(self._award(record, *values) for record, _, *values in awards)

    def _award(
        self, record: "dict[str, object]", position: int, grant: int, badge: int, amount: int, base: int
    ) -> Award:
        granted, (worn, multiplier) = self.grants[grant], self.badges[badge]
        reason = {"path": granted.path, "threshold": granted.threshold, "why": granted.why}
        figures = {name: value for name, value in record.items() if name not in ("contract_id", "payee")}
        return Award(
            contract_id=str(record["contract_id"]),
            payee=str(record["payee"]),
            housekeeper=housekeeper_of(str(record["payee"])),
            kind=granted.kind,
            name=granted.name,
            amount=amount,
            base_amount=base,
            badge=worn,
            multiplier=str(multiplier),
            position=position,
            reason=reason | figures,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Decision:
    """`FIGURES` of each new row by name, in frame order; the rest as in `Outcome`."""

    figures: dict[str, IntArray]
    awards: pd.DataFrame
    grants: Sequence[Grant]
    badges: Sequence[tuple[str, Decimal]]
    missing: Missing | None


_AWARD_COLUMNS = ("row", "position", "grant", "badge", "amount", "base_amount")


def calculate(campaign: Campaign, ledger: LedgerState, shown: Collection[str], contracts: pd.DataFrame) -> Outcome:
    """Number, total and award the contracts that are new to the ledger.

    `contracts` are new contracts to register, in any order, with the columns of `contracts.Contracts.frame`;
    `shown` are the ids that the source still shows: registered contracts not among them drop out of the totals.
    """
    known = EMPTY_LEDGER if contracts.empty else ledger  # nothing new, nothing to hold against it
    return judge(campaign, frame_of(campaign, known, shown, contracts))


def judge(campaign: Campaign, frame: Frame) -> Outcome:
    """The same on a frame that is laid out already; a variant of the campaign may be judged on the same frame."""
    decided = decide(campaign, frame)
    payee = frame.payees[frame.payee[frame.registered :]]
    historical = frame.historical[frame.registered :]
    rows = frame.new.assign(payee=payee, historical=historical, **decided.figures)
    return Outcome(rows, decided.awards, decided.grants, decided.badges, decided.missing)


def decide(campaign: Campaign, frame: Frame) -> Decision:
    """What the rules make of a frame: all of an outcome but its table of rows, which takes most of the time."""
    figures = _figures(campaign, frame)
    can_win = ~frame.historical[frame.registered :]
    new_rows = _new_rows(frame, figures, can_win)
    verdicts = [rule.judge(new_rows, _granted(frame)) for rule in rules_of(campaign)]
    places = np.flatnonzero(can_win)
    grants = [grant for verdict in verdicts for grant in verdict.grants]
    awards, badges = _awards(campaign, frame, grants, [places[grant.rows] for grant in grants])
    missing = next((verdict.missing for verdict in verdicts if verdict.missing is not None), None)
    return Decision(figures, awards, grants, badges, missing and _spread(missing, places, len(can_win)))


def _figures(campaign: Campaign, frame: Frame) -> dict[str, IntArray]:
    amount = frame.amount[frame.registered :]
    figures = {
        "sequence": frame.sequence,
        "bonus_pool": totals.bonus_pool(amount, int(campaign.bonus_pool_ratio * 1_000_000)),
        **frame.figures,
        **frame.performance_figures(campaign),
    }
    return {name: figures[name] for name in FIGURES}


def _new_rows(frame: Frame, figures: dict[str, IntArray], can_win: BoolArray) -> NewRows:
    new, everyone = slice(frame.registered, None), bool(can_win.all())

    def of(values: Any) -> Any:
        return values if everyone else values[can_win]

    return NewRows(
        payees=len(frame.payees),
        payee=of(frame.payee[new]),
        sequence=of(figures["sequence"]),
        personal_sequence=of(figures["personal_sequence"]),
        platform_sequence=of(figures["platform_sequence"]),
        amount=of(frame.amount[new]),
        self_referral=of(frame.self_referral[new]),
        is_first_at_address=of(frame.is_first_at_address),
        count=of(figures["count"]),
        performance_total=of(figures["performance_total"]),
        platform_count=of(figures["platform_count"]),
        platform_performance_total=of(figures["platform_performance_total"]),
    )


def _granted(frame: Frame) -> Granted:
    granted: dict[tuple[str, str], list[int]] = defaultdict(list)
    columns = (frame.granted["kind"], frame.granted["name"], frame.granted_payee.tolist())
    for kind, name, payee in zip(*columns, strict=True):
        granted[kind, name].append(payee)
    return {award: np.array(payees, dtype=np.int64) for award, payees in granted.items()}


def _spread(missing: Missing, places: IntArray, rows: int) -> Missing:
    """From the rows that can win to all rows."""
    if len(places) == rows:
        return missing
    step, contracts, fen = np.full(rows, -1), np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    step[places], contracts[places], fen[places] = missing.step, missing.contracts, missing.fen
    return Missing(missing.names, step, contracts, fen)


def _awards(
    campaign: Campaign, frame: Frame, grants: Sequence[Grant], rows: Sequence[IntArray]
) -> tuple[pd.DataFrame, Sequence[tuple[str, Decimal]]]:
    """The grants of all rules, row by row; within a row in the order of the rules. With the badges that multiply."""
    badges: list[tuple[str, Decimal]] = [("", Decimal(1))]
    parts = []
    for number, (grant, places) in enumerate(zip(grants, rows, strict=True)):
        base = campaign.awards_mapping[grant.name]
        worn = _worn(campaign, frame, grant.kind, badges)[frame.payee[frame.registered :][places]]
        amounts = np.array([multiply(base, multiplier) for _, multiplier in badges], dtype=np.int64)
        parts.append((places, np.full(len(places), number), worn, amounts[worn], np.full(len(places), base)))
    row, grant_number, badge, amount, base_amount = (
        np.concatenate(column) if parts else np.zeros(0, dtype=np.int64)
        for column in (zip(*parts, strict=True) if parts else [()] * 5)
    )
    order = totals.stable_order(row)
    row = row[order]
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    position = np.arange(len(row)) - np.repeat(starts, np.diff(starts, append=len(row)))
    columns = (row, position, grant_number[order], badge[order], amount[order], base_amount[order])
    return pd.DataFrame(dict(zip(_AWARD_COLUMNS, columns, strict=True))), badges


def _worn(campaign: Campaign, frame: Frame, kind: str, badges: list[tuple[str, Decimal]]) -> IntArray:
    """Per payee the badge that multiplies this kind, as an index into `badges`, to which new ones are added."""
    worn = np.zeros(len(frame.payees), dtype=np.int64)
    members = {who for badge in campaign.badges.values() if kind in badge.applies_to for who in badge.members}
    if not members:
        return worn
    for payee, name in enumerate(frame.payees):
        if housekeeper_of(name) in members:
            best = best_badge(campaign, housekeeper_of(name), kind)
            if best not in badges:
                badges.append(best)
            worn[payee] = badges.index(best)
    return worn


def award_by_name(
    campaign: Campaign,
    payee: str,
    kind: str,
    name: str,
    reason: dict[str, str | int],
    contract_id: str | None = None,
    position: int = 0,
) -> Award:
    """An award that was not granted by `judge`, with the amount that the campaign gives it and the payee's badge."""
    badge, multiplier = best_badge(campaign, housekeeper_of(payee), kind)
    base = campaign.awards_mapping[name]
    return Award(
        contract_id=contract_id,
        payee=payee,
        housekeeper=housekeeper_of(payee),
        kind=kind,
        name=name,
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
