"""A file of the present system, written by hand: what import-ledger and shadow are handed in the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modules.file_utils import csv_text
from modules.performance_file import (
    BONUS_POOL,
    CAMPAIGN,
    COUNT,
    KINDS,
    NAMES,
    NOTIFIED,
    NUMBER,
    PERFORMANCE,
    REGISTERED,
    REMARK,
    TOTAL,
)
from tests.desk import BEIJING, contract

ID, HOUSEKEEPER, AMOUNT = "合同ID(_id)", "管家(serviceHousekeeper)", "合同金额(adjustRefundMoney)"
SIGNED, PROJECT, PROVIDER = "签约时间(signedDate)", "工单编号(serviceAppointmentNum)", "服务商(orgName)"
CONTRACT_NUMBER, SOURCE_TYPE = "合同编号(contractdocNum)", "工单类型(sourceType)"

PRESENT_COLUMNS = (
    CAMPAIGN, ID, "活动城市(province)", PROJECT, "Status", HOUSEKEEPER, CONTRACT_NUMBER, AMOUNT, "支付金额(paidAmount)",
    "差额(difference)", "State", "创建时间(createTime)", PROVIDER, SIGNED, "Doorsill", "款项来源类型(tradeIn)",
    "转化率(conversion)", "平均客单价(average)", NUMBER, TOTAL, COUNT, BONUS_POOL, PERFORMANCE, "激活奖励状态", KINDS,
    NAMES, NOTIFIED, REMARK, REGISTERED,
)  # fmt: skip
"""The columns of the present system's file. 计入业绩金额 is the running total there; it has no 管家累计业绩金额."""

FileRow = dict[str, str]


def present_row(
    number: int,
    housekeeper: str,
    amount: str,
    count: int,
    total: str,
    cumulative: str,
    awarded: tuple[str, str] = ("", ""),
    **more: str,
) -> FileRow:
    """A row as the present system writes it, of contract `number`, signed a minute after number - 1."""
    row = dict.fromkeys(PRESENT_COLUMNS, "")
    source = contract(number, amount, serviceHousekeeper=housekeeper)
    shown = {title: str(value) for title, value in zip(PRESENT_COLUMNS[1:18], source, strict=False)}
    return row | shown | {
        CAMPAIGN: BEIJING,
        NUMBER: str(number),
        COUNT: str(count),
        TOTAL: total,
        BONUS_POOL: "10.0",
        PERFORMANCE: cumulative,
        "激活奖励状态": str(int(awarded != ("", ""))),
        KINDS: awarded[0],
        NAMES: awarded[1],
        NOTIFIED: "Y",
        REMARK: "无",
        REGISTERED: f"2025-05-02 08:{number:02}:00",
    } | more  # fmt: skip


SHEN, GU = "沈砚秋", "顾北辰"  # both are elite: their tiers count double
PRESENT = [
    present_row(1, SHEN, "20000", 1, "20000.0", "20000.0"),
    present_row(2, SHEN, "120000", 2, "140000.0", "120000.0"),
    present_row(3, GU, "5000.5", 1, "5000.5", "5000.5"),
    present_row(4, SHEN, "10000", 3, "150000.0", "130000.0"),
    present_row(5, SHEN, "0", 4, "150000.0", "130000.0"),
    present_row(6, SHEN, "12000", 5, "162000.0", "142000.0", ("幸运数字", "接好运万元以上")),
    present_row(7, SHEN, "1000", 6, "163000.0", "143000.0", ("节节高, 节节高", "优秀奖, 达标奖"), **{NOTIFIED: "N"}),
]
"""Seven contracts of two housekeepers as the present system has them; the second one is above the cap of 100,000."""

SOURCE = [
    contract(number, amount, serviceHousekeeper=housekeeper)
    for number, housekeeper, amount in (
        (1, SHEN, "20000"), (2, SHEN, "120000"), (3, GU, "5000.5"), (4, SHEN, "10000"), (5, SHEN, "0"),
        (6, SHEN, "12000"), (7, SHEN, "1000"),
    )
]  # fmt: skip
"""What Metabase shows of them."""


def write(folder: Path, rows: Sequence[FileRow], columns: Sequence[str] = PRESENT_COLUMNS, encoding: str = "utf-8-sig",
          name: str = "PerformanceData.csv") -> Path:  # fmt: skip
    path = folder / name
    path.write_bytes(csv_text(columns, [[row[title] for title in columns] for row in rows]).encode(encoding))
    return path


def with_change(line: int, **values: str) -> list[FileRow]:
    """The hand-written file with other cells in one line (2 is the first contract)."""
    rows = [dict(row) for row in PRESENT]
    rows[line - 2] |= values
    return rows
