"""Front door of the notifications, under the names that people know: queue what a performance file has not announced.

What is said and how is in `announcer.py`; the keys are the same as those of a run, so nothing is said twice.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.announcer import award_key, broadcast_key, broadcast_values
from modules.application import Application, open_application
from modules.campaigns import normalise_name
from modules.contracts import find_columns
from modules.file_utils import read_csv_rows, write_json
from modules.outbox import Message, enqueue, known_keys
from modules.process_lock import views_lock
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award, award_by_name
from modules.rewards.frame import payee_of
from modules.rewards.money import parse_fen
from modules.view_contents import SENT, WAITING
from modules.views import LOCK_SECONDS


class PerformanceFileError(Exception):
    """A performance file can't be used; the message says where and why, in Chinese."""


def notify_awards_apr_beijing(performance_data_filename: str, status_filename: str) -> int:
    """Queue the broadcasts and award notices of the rows still marked N; returns how many tasks are new.

    Rows that the status file (contract id → 发送成功 …) knows as sent are left out; queued ones are noted there.
    Raises PerformanceFileError; nothing is queued then.
    """
    return _notify(Path(performance_data_filename), Path(status_filename), {})


def notify_awards_shanghai_generate_message_march(
    performance_data_filename: str, status_filename: str, contract_data: Sequence[Mapping[str, Any]]
) -> int:
    """The same; conversion rates are taken from `contract_data`, the rows of the source, where it has them."""
    conversions: dict[str, str] = {}
    for row in contract_data:
        found = find_columns(list(row), ["_id"])
        values = list(row.values())
        if "conversion" in found:
            conversions[str(values[found["_id"]]).strip()] = str(values[found["conversion"]])
    return _notify(Path(performance_data_filename), Path(status_filename), conversions)


def _notify(performance_path: Path, status_path: Path, conversions: Mapping[str, str]) -> int:
    sent = _read_statuses(status_path)
    with open_application() as app:
        messages: list[Message] = []
        waiting: dict[str, str] = {}
        for line, row in enumerate(_read_rows(performance_path), start=2):
            contract_id = row["合同ID(_id)"]
            is_historical = not row["活动期内第几个合同"]
            if row["是否发送通知"] == "N" and sent.get(contract_id) != SENT and not is_historical:
                messages += _messages(app, row, line, conversions)
                waiting[broadcast_key(row["活动编号"], contract_id)] = contract_id
        with app.database.writing() as connection:
            known = known_keys(connection, list(waiting))
            queued = enqueue(connection, messages, app.clock())
        new = {contract_id: WAITING for key, contract_id in waiting.items() if key not in known}
        if new:
            with views_lock(app.settings.state_dir, LOCK_SECONDS):
                write_json(status_path, sent | new)
    return queued


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        rows = read_csv_rows(path)
    except (OSError, ValueError) as error:
        raise PerformanceFileError(f"读不到业绩文件 {path}：{error}") from error
    needed = ("活动编号", "合同ID(_id)", "活动期内第几个合同", "是否发送通知")
    missing = [name for name in needed if rows and name not in rows[0]]
    if missing:
        raise PerformanceFileError(f"业绩文件 {path} 缺少列：{'、'.join(missing)}")
    return rows


def _read_statuses(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise PerformanceFileError(f"读不懂发送状态文件 {path}：{error}；请改正，或删去它重来") from error


def _messages(app: Application, row: Mapping[str, str], line: int, conversions: Mapping[str, str]) -> list[Message]:
    campaign = app.campaigns.valid.get(row["活动编号"])
    if campaign is None:
        raise PerformanceFileError(f"第 {line} 行的活动 {row['活动编号']} 不在可以运行的活动配置里")
    try:
        record = _record(row, conversions)
        awards = _awards(campaign, row, record)
        values = broadcast_values(campaign, record, row["备注"])
    except (KeyError, ValueError) as error:
        raise PerformanceFileError(f"第 {line} 行读不懂：{error}") from error
    contract_id, now = row["合同ID(_id)"], app.clock()
    messages = app.announcer.broadcast(campaign, broadcast_key(campaign.key, contract_id), values, now)
    if awards:
        key = award_key(campaign.key, contract_id)
        messages += app.announcer.award_notice(campaign, key, values, awards, now)
    return messages


def _record(row: Mapping[str, str], conversions: Mapping[str, str]) -> dict[str, Any]:
    """What a template shows, out of a row of the file; money in fen."""
    conversion = conversions.get(row["合同ID(_id)"], row["转化率(conversion)"])
    return {
        "housekeeper": normalise_name(row["管家(serviceHousekeeper)"]),
        "provider": normalise_name(row["服务商(orgName)"]),
        "contract_number": row["合同编号(contractdocNum)"],
        "amount": parse_fen(row["合同金额(adjustRefundMoney)"]),
        "sequence": int(row["活动期内第几个合同"]),
        "count": int(row["管家累计单数"]),
        "total": parse_fen(row["管家累计金额"]),
        "performance_total": parse_fen(row["管家累计业绩金额"]),
        "source": json.dumps({"conversion": conversion}),
    }


def _awards(campaign: Campaign, row: Mapping[str, str], record: Mapping[str, Any]) -> list[Award]:
    """The awards named in a row, with the amounts that the config gives them. Raises ValueError."""
    kinds, names = (_listed(row[column]) for column in ("奖励类型", "奖励名称"))
    unknown = [name for name in names if name not in campaign.awards_mapping]
    if unknown or len(kinds) != len(names):
        raise ValueError(f"奖励 {'、'.join(unknown or names)} 与活动配置对不上")
    payee = payee_of(campaign, record["housekeeper"], record["provider"])
    return [
        award_by_name(campaign, payee, kind, name, {}, row["合同ID(_id)"], position)
        for position, (kind, name) in enumerate(zip(kinds, names, strict=True))
    ]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
