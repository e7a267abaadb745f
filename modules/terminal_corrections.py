"""What reconcile, settle, adjust and close show to people."""

import json
from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Column, Table

from modules.adjustments import Adjustment
from modules.clock import format_moment
from modules.closing import Closing
from modules.corrections import Settlement
from modules.explanation_words import payee_words
from modules.reconciliation import BookedContract, Reconciliation
from modules.rewards.engine import Award
from modules.rewards.explain import why
from modules.rewards.money import format_yuan
from modules.terminal import out

_NOTHING_WRITTEN = "试运行，什么也没有写入。"


def show_reconciliation(found: Reconciliation) -> None:
    """A table for each kind of difference; that all agrees where there is none."""
    closed = f"（已于 {format_moment(found.closed_at)} 结账）" if found.closed_at else ""
    _say(
        f"[bold]{found.campaign} 对账{closed}[/]　截至 {format_moment(found.at)}："
        f"源数据 {found.fetched} 行，台账 {found.registered} 个合同"
    )
    if found.is_shrunken:
        _say("[red]源数据比台账少了太多合同，不可采信：下面由此得出的不要当真，请先检查问题卡[/]")
    _show_contracts(found)
    _show_tiers(found)
    _show_rejected(found)
    if found.differences:
        _say(f"[yellow]共 {found.differences} 处不一致。[/]")
    else:
        _say("[green]台账与源数据一致：没有变动，没有应发未发或发了不该发的奖励，没有拒收的行。[/]")


def show_settlement(settlement: Settlement) -> None:
    """What was granted, to whom and why."""
    verb = "应补发" if settlement.is_dry_run else "已补发"
    if settlement.granted:
        _say(f"[bold]{settlement.campaign} {verb} {len(settlement.granted)} 项奖励[/]")
        _show_awards(settlement.granted)
        messages = f"{settlement.tasks} 条通知{'会' if settlement.is_dry_run else '已'}放进队列"
        _say(f"共 {format_yuan(settlement.total)} 元；{messages}。")
    else:
        _say(f"{settlement.campaign} 没有应补发的奖励。")
    if settlement.unregistered:
        _say(f"[yellow]注意[/] 源数据里还有 {settlement.unregistered} 个合同没有登记，登记时会另行发奖。")
    if settlement.is_dry_run:
        _say(_NOTHING_WRITTEN)


def show_adjustment(adjustment: Adjustment) -> None:
    """What was adjusted, and what before it."""
    who = escape(payee_words(adjustment.award.payee))
    if adjustment.earlier:
        _say(f"{who} 在 {adjustment.campaign} 此前的调整：")
        for award in adjustment.earlier:
            reason = json.loads(award.reason)
            by = escape(str(reason.get("who", "")))
            _say(f"  {format_moment(award.granted_at)} {format_yuan(award.amount)} 元，{escape(why(reason))}（{by}）")
    else:
        _say(f"{who} 在 {adjustment.campaign} 此前没有调整。")
    amount, reason_words = format_yuan(adjustment.award.amount), escape(why(adjustment.award.reason))
    verb = "会记入" if adjustment.is_dry_run else "[green]已记入[/]"
    _say(f"{verb}：{who} {amount} 元，{reason_words}；调整合计 {format_yuan(adjustment.total)} 元。")
    _say(_NOTHING_WRITTEN if adjustment.is_dry_run else "人工调整不发消息，请自行告诉管家和付款的人。")


def show_closing(closing: Closing) -> None:
    """The comparison, what to look at, and whether the campaign is closed now."""
    show_reconciliation(closing.found)
    for words in closing.warnings:
        _say(f"[yellow]注意[/] {escape(words)}")
    for words in closing.refusals:
        _say(f"[red]不能结账[/] {escape(words)}")
    key = closing.found.campaign
    if closing.outcome == "ok":
        _say(f"[green]{key} 已结账[/]：不再运行，不再登记合同或发奖；之后的出入请用 adjust {key} 人工调整。")
    elif closing.outcome == "dry-run":
        _say(f"可以结账。{_NOTHING_WRITTEN}")
    else:
        _say("没有结账，什么也没有写入。")


def _show_contracts(found: Reconciliation) -> None:
    _table(
        "金额变了的合同",
        (*_contract_columns(), _money("登记金额"), _money("现在金额")),
        ((*_contract(one.contract), format_yuan(one.contract.amount), format_yuan(one.now)) for one in found.changed),
    )
    _table(
        "源数据里消失的合同",
        (*_contract_columns(), _money("登记金额"), Column("已确认")),
        (
            (*_contract(one.contract), format_yuan(one.contract.amount), "是" if one.accepted else "否")
            for one in found.vanished
        ),
    )
    if found.unregistered:
        on_run = f"运行 run {found.campaign} 时登记（运行期之外要加 --force）"
        then = "已结账，不会再登记" if found.closed_at else on_run
        _say(f"源数据里有 {found.unregistered} 个合同还没有登记；{then}")


def _show_tiers(found: Reconciliation) -> None:
    if found.owed:
        _say("[bold]条件已达到、还没有发放的奖励[/]")
        _show_awards(found.owed)
        act = (
            f"已结账，要补发请用 adjust {found.campaign}"
            if found.closed_at
            else f"要补发请运行 settle {found.campaign}"
        )
        _say(act)
    _table(
        "发放之后已达不到条件的奖励",
        (Column("管家"), Column("奖励"), _money("已发"), _money("已调整"), Column("现在")),
        (
            (payee_words(one.payee), one.name, format_yuan(one.paid), format_yuan(one.adjusted), one.missing)
            for one in found.unearned
        ),
    )
    if found.unearned:
        _say(f"不会自动收回；要追回请运行 adjust {found.campaign} --housekeeper 姓名 --amount=-金额 --reason 原因")


def _show_rejected(found: Reconciliation) -> None:
    _table(
        "拒收的行",
        (Column("合同ID", no_wrap=True), Column("原因"), Column("已登记")),
        ((row.contract_id or "（无）", row.reason, "是" if row.registered else "否") for row in found.rejected),
    )


def _show_awards(awards: Sequence[Award]) -> None:
    _table("", (Column("管家"), Column("奖励"), _money("金额")), (_award(award) for award in awards))
    for award in awards:
        _say(f"  {escape(payee_words(award.payee))} {escape(award.name)}：{escape(why(award.reason))}")


def _award(award: Award) -> tuple[str, str, str]:
    return payee_words(award.payee), award.name, format_yuan(award.amount)


def _contract_columns() -> tuple[Column, ...]:
    """New ones each time: a column keeps the cells of its table."""
    return Column("合同ID", no_wrap=True), Column("合同编号"), Column("管家")


def _contract(contract: BookedContract) -> tuple[str, str, str]:
    return contract.contract_id, contract.contract_number, contract.housekeeper


def _money(title: str) -> Column:
    return Column(f"{title}（元）", justify="right")


def _table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Nothing at all where there are no rows."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(escape, row))
    if table.row_count:
        if title:
            _say(f"[bold]{title}[/]")
        out.print(table)


def _say(words: str) -> None:
    """One line, however long: nothing of it is cut."""
    out.print(words, soft_wrap=True, highlight=False)
