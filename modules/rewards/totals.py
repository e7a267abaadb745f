"""Sequences, caps and running totals over the calculation frame. Whole columns at a time, integer fen."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modules.rewards.campaign import PerformanceLimits

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NO_LIMIT = np.iinfo(np.int64).max


def codes(values: Any) -> IntArray:
    """Each value as a small number, the same for the same value, in order of first appearance."""
    return pd.factorize(np.asarray(values, dtype=object), use_na_sentinel=False)[0].astype(np.int64)


def running_sum(groups: IntArray, values: IntArray) -> IntArray:
    """Per group, the sum of all values up to and with each row."""
    summed = pd.Series(values).groupby(groups, sort=False).cumsum()
    return summed.to_numpy(dtype=np.int64)


def running_count(groups: IntArray) -> IntArray:
    """Per group, how many rows there are up to and with each row: 1, 2, 3 …"""
    return running_sum(groups, np.ones(len(groups), dtype=np.int64))


def performance(amount: IntArray, projects: Any, self_referral: BoolArray, limits: PerformanceLimits) -> IntArray:
    """计入业绩金额 of each row of the frame, in fen.

    `base` is the amount, capped per contract; of one project and track never more than the project limit counts
    in all, in frame order. As a running minimum: what a project has counted after a row is
    min(sum of its bases so far, limit). A row without a project stands alone.
    """
    cap = _by_track(self_referral, limits.contract_cap(self_referral=False), limits.contract_cap(self_referral=True))
    limit = _by_track(
        self_referral, limits.project_limit(self_referral=False), limits.project_limit(self_referral=True)
    )
    base = np.minimum(amount, cap)
    if (limit == NO_LIMIT).all():
        return base
    project_codes = codes(projects)
    nameless = np.fromiter((not project for project in projects), dtype=np.bool_, count=len(amount))
    groups = np.where(nameless, -1 - np.arange(len(amount)), project_codes * 2 + self_referral)
    counted = running_sum(groups.astype(np.int64), base)
    return np.minimum(counted, limit) - np.minimum(counted - base, limit)


def _by_track(self_referral: BoolArray, platform: int | None, own: int | None) -> IntArray:
    def of(limit: int | None) -> int:
        return NO_LIMIT if limit is None else limit

    return np.where(self_referral, of(own), of(platform)).astype(np.int64)


def bonus_pool(amount: IntArray, ratio_millionths: int) -> IntArray:
    """奖金池 = amount x ratio, rounded half-up to fen; the ratio in millionths keeps it integer."""
    return (amount * ratio_millionths * 2 + 1_000_000) // 2_000_000


def signing_order(signed_at: npt.NDArray[Any], contract_ids: npt.NDArray[Any]) -> IntArray:
    """Positions in order of (signed time, contract id as text). Ids are compared only where times tie."""
    tied = pd.Series(signed_at).duplicated(keep=False).to_numpy()
    rank = np.zeros(len(signed_at), dtype=np.int64)
    positions = np.flatnonzero(tied)
    by_id = sorted(positions.tolist(), key=lambda position: str(contract_ids[position]))
    rank[by_id] = np.arange(len(by_id))
    return np.lexsort((rank, signed_at)).astype(np.int64)
