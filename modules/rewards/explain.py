"""Why an award was granted, or not yet: in Chinese, with numbers."""

from modules.rewards.money import format_yuan
from modules.rewards.rules import Missing

NOTHING_MISSING = "无"


def remark(missing: Missing | None, row: int) -> str:
    """备注 of a new row: what its payee still lacks for the lowest tier not yet granted."""
    if missing is None or missing.step[row] < 0:
        return NOTHING_MISSING
    if missing.contracts[row] > 0:
        return f"距离达成节节高奖励条件还需 {missing.contracts[row]} 单"
    return f"距离 {missing.names[missing.step[row]]} 还需 {format_yuan(int(missing.fen[row]))} 元"
