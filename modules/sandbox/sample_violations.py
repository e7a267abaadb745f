"""Believable violations of service levels of a day, the same for the same seed: all people and firms are invented."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from random import Random

from modules.sandbox.sample_contracts import CITIES, SHANGHAI

SLA_CARD = 1514
VIOLATION_COLUMNS = (
    "_id", "sid", "saCreateTime", "orderNum", "province", "orgName", "supervisorName", "sourceType", "status", "msg",
    "memo", "workType", "createTime",
)  # fmt: skip
KINDS = ("超时未联系客户", "超时未上门", "超时未上传报价", "超时未回访", "工单超期未完工")
WORK_TYPES = ("防水", "墙面", "水电", "拆改")
MEMOS = ("", "", "", "客户要求改期", "已电话沟通，客户不满 😟")
BUSIEST = 4
FIRST_ID = 1_930_000_000_000_000_000  # 19 digits, as the real ones
IDS_A_DAY = 100


def sample_violations(day: date, seed: int = 2025) -> list[list[object]]:
    """What the question shows on the morning after `day`: of each firm none to four violations, most often none."""
    rng = Random(f"{seed} {day}")
    rows: list[list[object]] = []
    for city in CITIES.values():
        for provider in city.providers:
            for _ in range(rng.choice((0, 0, 0, 1, 2, BUSIEST))):
                number = len(rows) + 1
                happened = datetime.combine(day, time(9), SHANGHAI) + timedelta(seconds=rng.randrange(12 * 3600))
                rows.append(
                    [
                        FIRST_ID + day.toordinal() * IDS_A_DAY + number,
                        f"SA{day:%Y%m%d}{number:03d}",
                        (happened - timedelta(hours=rng.randint(2, 72))).isoformat(timespec="milliseconds"),
                        f"GD{day:%Y%m%d}{number:03d}",
                        city.province,
                        provider,
                        rng.choice(city.housekeepers),
                        rng.choice((1, 2, 3, 4)),
                        rng.choice((0, 1)),
                        rng.choice(KINDS),
                        rng.choice(MEMOS) or None,
                        rng.choice(WORK_TYPES),
                        happened.isoformat(timespec="milliseconds"),
                    ]
                )
    return rows
