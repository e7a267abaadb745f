"""What a kind of reward is: the one interface through which the engine asks them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from modules.rewards.campaign import Campaign
from modules.rewards.totals import BoolArray, IntArray


@dataclass(frozen=True)
class NewRows:
    """What rules look at: the rows that can win something (historical ones can't), in frame order, one element each.

    `payee` numbers the payees from 0 to `payees` - 1; the totals run over the whole frame; money in fen.
    `is_first_at_address`: a self-referral row with an address that its payee has not registered before.
    """

    payees: int
    payee: IntArray
    sequence: IntArray
    personal_sequence: IntArray
    platform_sequence: IntArray
    amount: IntArray
    self_referral: BoolArray
    is_first_at_address: BoolArray
    count: IntArray
    performance_total: IntArray
    platform_count: IntArray
    platform_performance_total: IntArray


_NO_NUMBERS, _NO_TRUTHS = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
NO_ROWS = NewRows(
    payees=0,
    payee=_NO_NUMBERS,
    sequence=_NO_NUMBERS,
    personal_sequence=_NO_NUMBERS,
    platform_sequence=_NO_NUMBERS,
    amount=_NO_NUMBERS,
    self_referral=_NO_TRUTHS,
    is_first_at_address=_NO_TRUTHS,
    count=_NO_NUMBERS,
    performance_total=_NO_NUMBERS,
    platform_count=_NO_NUMBERS,
    platform_performance_total=_NO_NUMBERS,
)
"""Nothing to judge: what a rule grants on it tells all that it can grant."""

Granted = Mapping[tuple[str, str], IntArray]
"""(Kind, name) of an award → who has been granted it by earlier runs (numbers as in `NewRows.payee`), once a time."""


@dataclass(frozen=True)
class Grant:
    """One award for the rows at these positions.

    `path` names the entry of the config and `threshold` (fen) what decided; `why` says it in Chinese, with the
    figures of the row in braces (`{sequence}`, `{performance_total}` …).
    """

    kind: str
    name: str
    path: str
    threshold: int
    why: str
    rows: IntArray


@dataclass(frozen=True)
class Missing:
    """For each of the rows, what its payee still lacks for the next step of a ladder.

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

    grants: Sequence[Grant]
    missing: Missing | None = None


@dataclass(frozen=True)
class Position:
    """Where a payee and its campaign stand now. Money in fen.

    `standing` and `platform_standing` are its standing rows, historical ones included, which the counts leave out.
    `sequence` is the last number given in the campaign; `granted` the (kind, name) of the payee's awards, `used` how
    often each award was granted in the campaign.
    """

    sequence: int
    personal_sequence: int
    platform_sequence: int
    standing: int
    platform_standing: int
    count: int
    total: int
    performance_total: int
    platform_count: int
    platform_performance_total: int
    granted: frozenset[tuple[str, str]]
    used: Mapping[tuple[str, str], int]


class Rule(Protocol):
    """A kind of reward, set up as a campaign wants it."""

    kind: ClassVar[str]
    """Its name in the record, 奖励类型; badges name it in `applies_to`."""

    @classmethod
    def of(cls, campaign: Campaign) -> Self | None:
        """The rule of this campaign; None where it is switched off."""
        ...

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        """Which of the rows win what, and why. Pure.

        There is a grant for every award that the rule knows, also where no row wins it.
        """
        ...

    def outlook(self, position: Position) -> Sequence[str]:
        """What is missing for the next award of this kind, with numbers, in Chinese sentences."""
        ...


@runtime_checkable
class Ladder(Protocol):
    """A rule whose awards are earned by what a payee has in all, and may be owed without a new contract."""

    kind: ClassVar[str]

    def earned(self, position: Position) -> Sequence[Grant]:
        """The awards that the totals of a payee earn, granted or not, highest first; their `rows` are empty."""
        ...

    def lacks(self, name: str, position: Position) -> str:
        """What the totals of a payee lack for the award of this name, with numbers; in Chinese."""
        ...
