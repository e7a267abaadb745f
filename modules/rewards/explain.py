"""Why an award was granted, or not yet: in Chinese, with numbers."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modules.rewards.money import format_yuan
from modules.rewards.sections import ContractBand

if TYPE_CHECKING:
    from modules.rewards.engine import Outcome

NOTHING_MISSING = "无"
ONLY_PERFORMANCE = "历史合同，仅计入业绩"
MONEY = frozenset(
    {"amount", "performance", "total", "performance_total", "platform_total", "platform_performance_total", "threshold"}
)
"""The figures of a reason that are in fen."""


def gap(name: str, contracts: int, fen: int) -> str:
    """What is missing for the next step of the ladder: contracts first, then performance."""
    if contracts > 0:
        return f"距离达成节节高奖励条件还需 {contracts} 单"
    return f"距离 {name} 还需 {format_yuan(fen)} 元"


def amount_range(band: ContractBand) -> str:
    """Which contract amounts a band is for."""
    if band.below_amount is None:
        return f"{format_yuan(band.min_amount)} 元及以上" if band.min_amount else "不限金额"
    return f"{format_yuan(band.min_amount)} 元（含）至 {format_yuan(band.below_amount)} 元（不含）"


def remarks(outcome: "Outcome") -> list[str]:
    """备注 of each new row: what its payee still lacks for the lowest tier not yet granted."""
    historical, missing = outcome.rows["historical"].tolist(), outcome.missing
    if missing is None:
        return [ONLY_PERFORMANCE if is_historical else NOTHING_MISSING for is_historical in historical]
    lacking = zip(historical, missing.step.tolist(), missing.contracts.tolist(), missing.fen.tolist(), strict=True)
    return [
        ONLY_PERFORMANCE if is_historical else NOTHING_MISSING if step < 0 else gap(missing.names[step], contracts, fen)
        for is_historical, step, contracts, fen in lacking
    ]


def why(reason: Mapping[str, str | int]) -> str:
    """The sentence of an award's reason with its figures filled in; empty where it has none.

    What a person wrote may have braces of its own: those that name no figure stay.
    """

    def figure(match: re.Match[str]) -> str:
        value = reason.get(match[1])
        if value is None:
            return match[0]
        return format_yuan(int(value)) if match[1] in MONEY else str(value)

    return re.sub(r"\{(\w+)\}", figure, str(reason.get("why", "")))
