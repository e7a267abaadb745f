"""A performance file as it would stand in the ledger: rows, awards, and what speaks against it. Pure.

What was decided where the file leaves a choice:

* Rows are registered in the order of the file, whose numbers must rise; gaps are only pointed out.
* Count, total, performance total and bonus pool are those of the file; where it has no such column they are worked out
  over the file by the rules of the campaign. The figures of the platform track are worked out over the file, and are
  those of the file as long as the payee has platform rows only.
* What a contract counts (`performance`): from our own files as it stands there; from a file of the present system,
  whose 计入业绩金额 is a running total, by difference within the payee. It must lie between 0 and the amount.
* Awards get the amounts that the campaign and its badges give them today; the time of registration is 登记时间 of the
  row, or now where that can't be read.
* A file that this program wrote is taken, with a warning: it may be all that is left. It holds no corrections and no
  adjustments, so that a tier that `settle` granted would be granted again.
* Nothing imported is ever announced: there is no broadcast key and no task. 是否发送通知 decides only what our file
  shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from modules.clock import in_shanghai
from modules.import_checks import Book, bad_rows_of, warnings_of
from modules.performance_file import BadRow, FileRow, PerformanceFile
from modules.rewards import totals
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award, award_by_name
from modules.rewards.frame import Frame, replayed
from modules.rewards.totals import IntArray

REASON_PATH = "import-ledger"
"""The path in the reason of an imported award: no entry of the config granted it."""

_COPIED = (
    *("contract_id", "payee", "housekeeper", "provider", "contract_number", "project", "address", "self_referral"),
    *("historical", "amount", "source"),
)


@dataclass(frozen=True)
class ImportPlan:
    """What a file would become: `rows` with the columns of the table, `granted` the awards and when.

    With any of `bad_rows` nothing may be registered, and both are empty. `is_cumulative`: 计入业绩金额 was read as a
    running total.
    """

    campaign: Campaign
    file: str
    rows: tuple[dict[str, Any], ...]
    granted: tuple[tuple[Award, datetime], ...]
    bad_rows: tuple[BadRow, ...]
    warnings: tuple[str, ...]
    is_cumulative: bool

    @property
    def highest(self) -> int:
        """The last number given; the next contract gets the one after it."""
        return max((row["sequence"] or 0 for row in self.rows), default=0)

    @property
    def payees(self) -> int:
        """How many people (at how many firms) there are."""
        return len({row["payee"] for row in self.rows})

    @property
    def historical(self) -> int:
        """How many of the rows are historical contracts."""
        return sum(row["historical"] for row in self.rows)

    @property
    def payout(self) -> dict[str, tuple[int, int]]:
        """Award name → how many, and how much in all (fen); in the order of the config."""
        payout: dict[str, tuple[int, int]] = {}
        for award, _ in self.granted:
            count, fen = payout.get(award.name, (0, 0))
            payout[award.name] = (count + 1, fen + award.amount)
        return {name: payout[name] for name in self.campaign.awards_mapping if name in payout}


def plan_import(campaign: Campaign, file: PerformanceFile, campaign_keys: frozenset[str], now: datetime) -> ImportPlan:
    """What the file would become. Pure. `campaign_keys` are all campaigns: a file of another one is told by its key."""
    frame = replayed(campaign, file.contracts.assign(historical=[row.sequence is None for row in file.rows]))
    contracts = file.contracts.assign(payee=frame.payees[frame.payee], historical=frame.historical)
    figures = _figures(campaign, frame, file.rows)
    book = Book(campaign, file, contracts, figures["performance"].tolist(), campaign_keys)
    bad_rows = (*file.bad_rows, *bad_rows_of(book))
    if bad_rows:
        in_order = tuple(sorted(bad_rows, key=lambda bad: bad.line))
        return ImportPlan(campaign, file.name, (), (), in_order, (), file.is_cumulative)
    rows = _records(contracts, figures, file.rows, now)
    granted = [
        (_award(campaign, file.name, row, record["payee"], position), record["registered_at"])
        for row, record in zip(file.rows, rows, strict=True)
        for position in range(len(row.awards))
    ]
    warnings = tuple(warnings_of(book))
    return ImportPlan(campaign, file.name, tuple(rows), tuple(granted), (), warnings, file.is_cumulative)


def _figures(campaign: Campaign, frame: Frame, rows: Sequence[FileRow]) -> dict[str, IntArray]:
    """The figures of each row: of the file where it has them."""
    computed = {**frame.figures, **frame.performance_figures(campaign)}
    running_sum = frame.payee_groups.running_sum

    def of_file(name: str) -> IntArray | None:
        values = [getattr(row, name) for row in rows]
        return None if None in values else np.array(values, dtype=np.int64)

    def first(*choices: IntArray | None) -> IntArray:
        return next(choice for choice in choices if choice is not None)

    given_total = of_file("performance_total")
    by_difference = None if given_total is None else _differences(given_total, frame.payee)
    own = first(of_file("performance"), by_difference, computed["performance"])
    figures = {
        "personal_sequence": computed["personal_sequence"],
        "performance": own,
        "count": first(of_file("count"), computed["count"]),
        "total": first(of_file("total"), computed["total"]),
        "performance_total": first(given_total, running_sum(own)),
        "bonus_pool": first(
            of_file("bonus_pool"), totals.bonus_pool(frame.amount, int(campaign.bonus_pool_ratio * 1_000_000))
        ),
    }
    only_platform = running_sum(frame.self_referral) == 0
    platform_performance = running_sum(own * frame.is_platform)
    for name, on_platform in (
        ("count", computed["platform_count"]),
        ("total", computed["platform_total"]),
        ("performance_total", platform_performance),
    ):
        whole = figures[name]
        figures[f"platform_{name}"] = np.where(only_platform, whole, np.minimum(on_platform, whole))
    return figures


def _differences(running: IntArray, payee: IntArray) -> IntArray:
    """Running totals → what each row has added to its payee's."""
    before = pd.Series(running).groupby(payee).shift(fill_value=0)
    added: IntArray = running - before.to_numpy(np.int64)
    return added


def _records(
    contracts: pd.DataFrame, figures: Mapping[str, IntArray], rows: Sequence[FileRow], now: datetime
) -> list[dict[str, Any]]:
    kept = contracts[[*_COPIED, "signed_at"]].assign(**figures)
    return [
        {str(name): value for name, value in record.items()}
        | {
            "sequence": row.sequence,
            "personal_sequence": record["personal_sequence"] or None,
            "signed_at": in_shanghai(record["signed_at"].to_pydatetime()),
            "remark": row.remark,
            "source_amount": record["amount"],
            "registered_at": row.registered_at or now,
            "notified_at": (row.registered_at or now) if row.is_notified else None,
            "broadcast_key": None,
        }
        for record, row in zip(kept.to_dict("records"), rows, strict=True)
    ]


def _award(campaign: Campaign, file: str, row: FileRow, payee: str, position: int) -> Award:
    kind, name = row.awards[position]
    why = f"从旧系统导入：{file} 第 {row.line} 行"
    reason: dict[str, str | int] = {"path": REASON_PATH, "threshold": 0, "why": why}
    return award_by_name(campaign, payee, kind, name, reason, row.contract_id, position)
