"""What the views show: the rows of a performance file and the send statuses, read from the database."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.clock import format_moment
from modules.contracts import SOURCE_COLUMNS
from modules.explanation_words import provider_of
from modules.rewards.explain import why
from modules.rewards.money import plain_yuan
from modules.tables import awards, campaigns, of_message, performance, tasks
from modules.task_states import COMPLETED, PENDING, RUNNING, UNCERTAIN

_SOURCE_TITLES: Mapping[str, str] = {
    "_id": "合同ID(_id)",
    "province": "活动城市(province)",
    "serviceAppointmentNum": "工单编号(serviceAppointmentNum)",
    "Status": "Status",
    "serviceHousekeeper": "管家(serviceHousekeeper)",
    "contractdocNum": "合同编号(contractdocNum)",
    "adjustRefundMoney": "合同金额(adjustRefundMoney)",
    "paidAmount": "支付金额(paidAmount)",
    "difference": "差额(difference)",
    "State": "State",
    "createTime": "创建时间(createTime)",
    "orgName": "服务商(orgName)",
    "signedDate": "签约时间(signedDate)",
    "Doorsill": "Doorsill",
    "tradeIn": "款项来源类型(tradeIn)",
    "conversion": "转化率(conversion)",
    "average": "平均客单价(average)",
    "sourceType": "工单类型(sourceType)",
    "projectAddress": "项目地址(projectAddress)",
}
_COMPUTED_TITLES = (
    "活动期内第几个合同",
    "管家累计单数",
    "管家累计金额",
    "奖金池",
    "计入业绩金额",
    "管家累计业绩金额",
    "激活奖励状态",
    "奖励类型",
    "奖励名称",
    "是否发送通知",
    "备注",
    "登记时间",
)
PERFORMANCE_TITLES = ("活动编号", *(_SOURCE_TITLES[name] for name in SOURCE_COLUMNS), *_COMPUTED_TITLES)
"""The columns of PerformanceData-<KEY>.csv, in order."""

CORRECTION_TITLES = ("活动编号", "时间", "管家", "服务商", "类型", "名称", "金额(元)", "说明", "操作人")
"""The columns of Corrections-<KEY>.csv, in order."""

SHOWN = (
    "contract_id",
    "campaign",
    "source",
    "amount",
    "sequence",
    "count",
    "total",
    "bonus_pool",
    "performance",
    "performance_total",
    "notified_at",
    "remark",
    "registered_at",
)
"""The columns of the table that `performance_lines` needs."""

_MONEY = ("amount", "total", "bonus_pool", "performance", "performance_total")
_BLANK_SOURCE = dict.fromkeys(SOURCE_COLUMNS, "")
_in_order = itemgetter(*SOURCE_COLUMNS)

_ROWS_AT_ONCE = 1000

SENT, WAITING, NOT_SENT, TO_VERIFY = "发送成功", "待发送", "失败", "待核实"


def performance_rows(connection: Connection, key: str) -> Iterator[tuple[object, ...]]:
    """The rows of PerformanceData-<KEY>.csv, in ledger order, as they are read; money in yuan."""
    granted: dict[str, list[tuple[str, str]]] = {}
    chosen = sa.select(awards.c.contract_id, awards.c.kind, awards.c.name).where(
        awards.c.campaign == key, awards.c.contract_id.is_not(None)
    )
    for contract_id, kind, name in connection.execute(chosen.order_by(awards.c.id)).all():
        granted.setdefault(contract_id, []).append((kind, name))
    columns = [performance.c[name] for name in SHOWN]
    found = connection.execute(sa.select(*columns).where(performance.c.campaign == key).order_by(performance.c.id))
    for some in found.partitions(_ROWS_AT_ONCE):
        yield from performance_lines(some, granted)


def performance_lines(
    records: Iterable[Sequence[Any]], granted: Mapping[str, Sequence[tuple[str, str]]]
) -> Iterator[tuple[object, ...]]:
    """Rows of the performance file, made column by column.

    `records` have the columns `SHOWN`; `granted` are the (kind, name) of a contract's awards, by contract id.
    """
    rows = list(records)
    if not rows:
        return iter(())
    shown = dict(zip(SHOWN, zip(*rows, strict=True), strict=True))
    sources = json.loads(f"[{','.join(shown['source'])}]")
    money = {name: list(map(plain_yuan, shown[name])) for name in _MONEY}
    of_contracts = [granted.get(contract_id, ()) for contract_id in shown["contract_id"]]
    moments = {moment: format_moment(moment) for moment in set(shown["registered_at"])}
    columns = (
        shown["campaign"],
        *zip(
            *(
                _in_order({**_BLANK_SOURCE, **source, "adjustRefundMoney": amount})
                for source, amount in zip(sources, money["amount"], strict=True)
            ),
            strict=True,
        ),
        shown["sequence"],
        shown["count"],
        money["total"],
        money["bonus_pool"],
        money["performance"],
        money["performance_total"],
        [1 if awarded else 0 for awarded in of_contracts],
        [", ".join([kind for kind, _ in awarded]) for awarded in of_contracts],
        [", ".join([name for _, name in awarded]) for awarded in of_contracts],
        ["N" if moment is None else "Y" for moment in shown["notified_at"]],
        shown["remark"],
        [moments[moment] for moment in shown["registered_at"]],
    )
    return zip(*columns, strict=True)


def correction_rows(connection: Connection, key: str) -> list[list[object]]:
    """The rows of Corrections-<KEY>.csv: what was granted or adjusted without a contract, in order; money in yuan."""
    columns = (awards.c.granted_at, awards.c.payee, awards.c.housekeeper, awards.c.kind, awards.c.name)
    chosen = sa.select(*columns, awards.c.amount, awards.c.reason).where(*_corrections(key)).order_by(awards.c.id)
    rows: list[list[object]] = []
    for granted_at, payee, housekeeper, kind, name, amount, text in connection.execute(chosen):
        reason = json.loads(text)
        what = (kind, name, plain_yuan(amount), why(reason), reason.get("who", ""))
        rows.append([key, format_moment(granted_at), housekeeper, provider_of(payee) or "", *what])
    return rows


def corrections_stamp(connection: Connection, key: str) -> str | None:
    """What Corrections-<KEY>.csv would show: rows are only ever added; None: there are none."""
    shown = sa.select(sa.func.count(), sa.func.max(awards.c.id)).where(*_corrections(key))
    number, last = connection.execute(shown).one()
    return f"{number} {last}" if number else None


def _corrections(key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return awards.c.campaign == key, awards.c.contract_id.is_(None)


_is_broadcast = of_message(lambda key: key == performance.c.broadcast_key)
"""Which tasks are the broadcast of a contract."""


def send_statuses(connection: Connection, key: str) -> dict[str, str]:
    """Contract id → what has become of its broadcast."""
    chosen = (
        sa.select(performance.c.contract_id, performance.c.notified_at, tasks.c.status)
        .outerjoin(tasks, _is_broadcast)
        .where(performance.c.campaign == key, performance.c.broadcast_key.is_not(None))
        .order_by(performance.c.id)
    )
    parts: dict[str, set[str]] = {}
    for contract_id, notified_at, status in connection.execute(chosen):
        parts.setdefault(contract_id, set()).add(COMPLETED if notified_at else str(status))
    return {contract_id: _send_status(statuses) for contract_id, statuses in parts.items()}


def _send_status(statuses: set[str]) -> str:
    """Of the parts of one message, the worst counts."""
    if statuses == {COMPLETED}:
        return SENT
    if UNCERTAIN in statuses:
        return TO_VERIFY
    return WAITING if statuses & {PENDING, RUNNING} and statuses <= {PENDING, RUNNING, COMPLETED} else NOT_SENT


def contents_stamp(connection: Connection, key: str) -> str | None:
    """What the files of a campaign would show: its revision and the state of its broadcasts; None: nothing yet.

    With the time of the last registration: a database put back from a copy may come to a revision once more.
    """
    revision = connection.execute(sa.select(campaigns.c.revision).where(campaigns.c.key == key)).scalar()
    if revision is None:
        return None
    joined = sa.join(performance, tasks, _is_broadcast)
    sends = connection.execute(
        sa.select(tasks.c.status, sa.func.count(), sa.func.max(tasks.c.updated_at))
        .select_from(joined)
        .where(performance.c.campaign == key)
        .group_by(tasks.c.status)
        .order_by(tasks.c.status)
    ).all()
    rows = sa.select(sa.func.count(performance.c.notified_at), sa.func.max(performance.c.registered_at))
    notified, last = connection.execute(rows.where(performance.c.campaign == key)).one()
    text = f"{revision} {notified} {last} {[tuple(map(str, row)) for row in sends]}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
