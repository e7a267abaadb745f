"""The terms of the field, in Chinese on screen."""

from collections.abc import Mapping

from modules.task_states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, UNCERTAIN
from streamlit_app import data

STATUSES: Mapping[str, str] = {
    PENDING: "待发送",
    RUNNING: "发送中",
    COMPLETED: "已发送",
    FAILED: "失败",
    UNCERTAIN: "待核实",
    CANCELLED: "已取消",
}


def recipient_name(key: str) -> str:
    """The chat's name, where settings know it."""
    known = data.settings().recipients.get(key)
    return f"{known.name}（{key}）" if known else key


def month_words(month: str) -> str:
    """`2025-05` → `2025 年 5 月`."""
    year, _, number = month.partition("-")
    return f"{year} 年 {int(number)} 月"
