"""Sequences, caps and running totals over the calculation frame. Whole columns at a time, integer fen."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modules.rewards.sections import PerformanceLimits

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
TextArray = npt.NDArray[np.object_]

NO_LIMIT = np.iinfo(np.int64).max


def codes(values: Any) -> tuple[IntArray, TextArray]:
    """Each text as a small number, in order of first appearance; and the texts by number. None is no text."""
    numbers, texts = pd.factorize(np.asarray(values, dtype=object))
    return numbers.astype(np.int64, copy=False), np.asarray(texts, dtype=object)


class Groups:
    """Rows by group (codes not below 0), sorted once: every running figure is then one pass over the values."""

    def __init__(self, group: IntArray) -> None:
        self._order = stable_order(group)
        in_order = group[self._order]
        self._starts = np.flatnonzero(np.diff(in_order, prepend=-1))
        self._lengths = np.diff(self._starts, append=len(group))

    def running_sum(self, values: "IntArray | BoolArray") -> IntArray:
        """Per group, the sum of all values up to and with each row."""
        in_order = values[self._order].astype(np.int64, copy=False)
        summed = np.cumsum(in_order)
        before = summed[self._starts] - in_order[self._starts]
        summed -= np.repeat(before, self._lengths)
        result = np.empty_like(summed)
        result[self._order] = summed
        return result


def stable_order(group: IntArray) -> IntArray:
    """Positions in order of the codes (not below 0), rows of one code as they stood.

    16 bits at a time: NumPy sorts those by counting, several times faster than whole numbers.
    """
    order: IntArray = np.argsort((group & 0xFFFF).astype(np.uint16), kind="stable")
    rest = group >> 16
    while rest.any():
        order = order[np.argsort((rest[order] & 0xFFFF).astype(np.uint16), kind="stable")]
        rest = rest >> 16
    return order


def base_performance(amount: IntArray, self_referral: BoolArray, limits: PerformanceLimits) -> IntArray:
    """The amount of each row as far as the cap of one contract lets it count, in fen."""
    platform, own = limits.contract_cap(self_referral=False), limits.contract_cap(self_referral=True)
    return np.asarray(np.minimum(amount, _by_track(self_referral, platform, own)))


def performance(
    amount: IntArray, project_and_track: Groups, self_referral: BoolArray, limits: PerformanceLimits
) -> IntArray:
    """计入业绩金额 of each row of the frame, in fen.

    The base is the amount, capped per contract; of one project and track never more than the project limit counts
    in all, in frame order. As a running minimum: what a project has counted after a row is
    min(sum of its bases so far, limit). A row without a project is a group of its own.
    """
    base = base_performance(amount, self_referral, limits)
    limit = _by_track(
        self_referral, limits.project_limit(self_referral=False), limits.project_limit(self_referral=True)
    )
    counted = project_and_track.running_sum(base)
    return np.asarray(np.minimum(counted, limit) - np.minimum(counted - base, limit))


def has_project_limit(limits: PerformanceLimits) -> bool:
    return any(limits.project_limit(self_referral=own) is not None for own in (False, True))


def _by_track(self_referral: BoolArray, platform: int | None, own: int | None) -> IntArray | np.int64:
    platform_fen, own_fen = (np.int64(NO_LIMIT if limit is None else limit) for limit in (platform, own))
    return platform_fen if platform == own else np.where(self_referral, own_fen, platform_fen)


def bonus_pool(amount: IntArray, ratio_millionths: int) -> IntArray:
    """奖金池 = amount x ratio, rounded half-up to fen; the ratio in millionths keeps it integer."""
    return (amount * ratio_millionths * 2 + 1_000_000) // 2_000_000


def signing_order(signed_at: npt.NDArray[Any], contract_ids: TextArray) -> IntArray:
    """Positions in order of (signed time, contract id as text). Ids are compared only where times tie."""
    moments = signed_at.astype("datetime64[us]").astype(np.int64)
    order = stable_order(moments - moments.min(initial=np.iinfo(np.int64).max))
    in_order = signed_at[order]
    is_tied = in_order[1:] == in_order[:-1]
    starts = np.flatnonzero(np.diff(is_tied.astype(np.int8), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(is_tied.astype(np.int8), append=0) == -1) + 2
    for start, end in zip(starts, ends, strict=True):
        tied = order[start:end]
        order[start:end] = sorted(tied, key=lambda position: str(contract_ids[position]))
    return order
