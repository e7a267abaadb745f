"""What explain and payout show to people."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Column, Table

from modules.clock import format_moment
from modules.explanation_words import AwardExplanation, PayeeExplanation
from modules.explanations import BY_THE_LEDGER, ContractAnswer, ContractExplanation, HousekeeperAnswer
from modules.ledger_records import RejectedRecord
from modules.payout import COUNTED, NOT_CLOSED, Payout, PayoutLine
from modules.rewards.money import format_yuan
from modules.terminal import out


def show_contract(answer: ContractAnswer) -> None:
    """`explain CONTRACT` for people."""
    for one in answer.explanations:
        _show_explanation(one)
    for row in answer.rejected:
        _show_rejected(row, is_registered=bool(answer.explanations))
    if answer.explanations:
        _line(BY_THE_LEDGER, style="dim")


def show_housekeeper(answer: HousekeeperAnswer) -> None:
    """`explain --housekeeper` for people."""
    for payee in answer.payees:
        who = f"{payee.housekeeper}（{payee.provider}）" if payee.provider is not None else payee.housekeeper
        _line(f"{who}　{_campaign_words(answer.campaign, answer.title, answer.period)}", style="bold")
        _line(f"  {payee.figures}")
        _show_awards(payee.awards, names_contracts=True)
        _line(f"奖励合计 {format_yuan(payee.amount)} 元")
        _show_outlook(payee)
    _show_notes(answer.notes)
    _line(BY_THE_LEDGER, style="dim")


def show_payout(payout: Payout) -> None:
    """`payout` for people."""
    _line(f"{payout.campaign} {payout.title} 应发表（活动期 {payout.period}）", style="bold")
    _show_notes(payout.notes)
    for words in COUNTED:
        _line(words, style="dim")
    if payout.lines:
        _show_table(payout)


def _show_table(payout: Payout) -> None:
    """As wide as it needs to be: a number must not be cut or broken because the window is narrow."""
    named = 2 if payout.shows_provider else 1
    titles, total = payout.titles(), ["合计", *[""] * (named - 1), *_figures(payout, payout.total)]
    rows = [[*payout.who(line), *_figures(payout, line)] for line in payout.lines]
    widths = [max(map(cell_len, column)) for column in zip(titles, total, *rows, strict=True)]
    columns = [
        Column(escape(title), justify="left" if place < named else "right", width=width, no_wrap=True)
        for place, (title, width) in enumerate(zip(titles, widths, strict=True))
    ]
    table = Table(*columns, width=sum(widths) + 3 * len(widths) + 1)
    for row in rows:
        table.add_row(*map(escape, row))
    table.add_section()
    table.add_row(*total, style="bold")
    out.print(table, crop=False)


def _figures(payout: Payout, line: PayoutLine) -> list[str]:
    return [str(line.contracts), *map(format_yuan, line.figures(payout.names))]


def _show_explanation(one: ContractExplanation) -> None:
    contract = one.contract
    _line(f"合同 {contract.contract_id}（{contract.contract_number}）", style="bold")
    _line(f"  活动 {_campaign_words(contract.campaign, one.title, one.period)}")
    who = f"{contract.housekeeper}（{contract.provider}）"
    track = "自引单" if contract.self_referral else "平台单"
    _line(f"  管家 {who}；{track}；工单 {contract.project or '无'}；项目地址 {contract.address or '无'}")
    _line(f"  签约 {format_moment(contract.signed_at)}；登记 {format_moment(contract.registered_at)}")
    if not contract.historical:
        _line(
            f"  活动期内第 {contract.sequence} 单，个人第 {contract.personal_sequence} 单；"
            f"登记时累计 {contract.count} 单，{format_yuan(contract.total)} 元，"
            f"计入业绩 {format_yuan(contract.performance_total)} 元"
        )
    _line(f"  {one.counted}")
    _line(f"  备注：{contract.remark}")
    _show_awards(one.awards, names_contracts=False)
    if one.not_won:
        _line("没有得到的：" if one.awards else "没有得到奖励：")
        for words in one.not_won:
            _line(f"  {words}")
    _line(f"{one.payee.housekeeper} 现在：{one.payee.figures}")
    _show_outlook(one.payee)
    _show_notes(one.notes)


def _campaign_words(key: str, title: str, period: str) -> str:
    return f"{key} {title}（活动期 {period}）" if title else key


def _show_awards(awards: Sequence[AwardExplanation], *, names_contracts: bool) -> None:
    if awards:
        _line("得到的奖励：")
    for one in awards:
        award = one.award
        head = f"  [green]{escape(award.kind)}[/] [bold]{escape(award.name)}[/]　{escape(one.amount)}"
        _line(head, is_markup=True)
        _line(f"    {one.sentence}")
        if names_contracts and award.contract_id is not None:
            _line(f"    合同 {award.contract_id}（{award.contract_number or '不在台账里'}）")
        source = f"依据 {one.path}；" if one.path else ""
        _line(f"    {source}配置 {award.config_hash or '无'}；{format_moment(award.granted_at)} 发放", style="dim")


def _show_outlook(payee: PayeeExplanation) -> None:
    if payee.outlook:
        _line("接下来：")
        for words in payee.outlook:
            _line(f"  {words}")


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        style = "bold yellow" if note == NOT_CLOSED else "yellow"
        _line(f"注意：{note}", style=style)


def _show_rejected(row: RejectedRecord, *, is_registered: bool) -> None:
    _line(f"{row.campaign} 拒收了合同 {row.contract_id} 的一行：{row.reason}", style="yellow")
    first_seen = format_moment(row.first_seen_at)
    if row.resolved_at is not None:
        gone = format_moment(row.resolved_at)
        _line(f"  {first_seen} 第一次见到；{gone} 起源数据已不再是这样，若已改对，下次运行时就会登记")
    elif is_registered:
        _line(f"  {first_seen} 第一次见到；已登记的合同先按最后一次可用的金额计，请在源数据里改正")
    else:
        _line(f"  {first_seen} 第一次见到；请在源数据里改正，下次运行时就会登记")


def _line(text: str, *, style: str = "", is_markup: bool = False) -> None:
    """One line, however long: nothing of it is cut, and ids can be copied."""
    out.print(text, style=style or None, soft_wrap=True, highlight=False, markup=is_markup)
