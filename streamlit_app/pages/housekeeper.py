"""管家详情: a housekeeper's statement in one campaign, with every contract and award and why."""

import streamlit as st

from modules.explanation_words import PayeeExplanation
from modules.explanations import BY_THE_LEDGER, ContractExplanation
from modules.figures.stages import stage_of
from modules.ledger_records import ContractRecord
from modules.rewards.money import format_yuan
from streamlit_app import charts, data, filters, reading
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.data import Statement
from streamlit_app.frame import page, show_nothing
from streamlit_app.tables import XLSX, Cell, Column, show_table, workbook_of
from streamlit_app.words import plain

CONTRACTS = (
    Column("序号", "number", help="活动期内第几单；历史合同没有"),
    Column("合同ID"),
    Column("合同编号"),
    Column("签约时间", "moment"),
    Column("渠道"),
    Column("合同金额（元）", "yuan"),
    Column("计入业绩（元）", "yuan"),
    Column("奖励"),
    Column("备注", wide=True),
)
AWARDS = (
    Column("合同编号"),
    Column("奖励类型"),
    Column("奖励"),
    Column("金额（元）", "yuan"),
    Column("为什么", wide=True),
    Column("发放时间", "moment"),
    Column("合同ID"),
)


@page("管家详情", "一个管家在一个活动里的每个合同、每项奖励和原因，以及离下一项奖励还差什么。")
def main(viewer: Viewer) -> None:
    period, bar = filters.require_campaign()
    key = period.campaign
    known = data.housekeepers_of(key)
    if not known:
        show_nothing("这个活动还没有登记合同")
        return
    with bar:
        housekeeper = filters.choose("person", "管家", known, default=known[0])
    statement = data.statement(key, housekeeper)
    is_on = stage_of(period, reading.today()) == "open"
    for note in statement.answer.notes:
        st.caption(f":material/info: {plain(note)}")
    for payee in statement.answer.payees:
        _show_payee(payee, is_on=is_on)
    st.download_button(
        "下载对账单（.xlsx）",
        lambda: _workbook(statement, is_on=is_on),
        f"对账单-{key}-{housekeeper}.xlsx",
        XLSX,
        key="download_statement",
        on_click="ignore",
        type="primary",
        icon=":material/download:",
    )
    _show_contracts(key, statement)
    _show_awards(key, statement)
    st.caption(BY_THE_LEDGER)


def _show_payee(payee: PayeeExplanation, *, is_on: bool) -> None:
    if payee.provider is not None:
        st.subheader(plain(payee.provider), anchor=False)
    position = payee.position
    cards = [Card("应发", charts.yuan(payee.amount)), Card("奖励", f"{len(payee.awards)} 项")]
    if position is not None:
        cards = [
            Card("累计合同", f"{position.count:,} 单"),
            Card("累计金额", charts.yuan(position.total)),
            Card("计入业绩", charts.yuan(position.performance_total)),
            *cards,
        ]
    show_cards(cards)
    st.markdown(plain(payee.figures))
    ahead = _ahead(payee, is_on=is_on)
    if ahead:
        st.markdown("**接下来**\n" + "\n".join(f"- {plain(sentence)}" for sentence in ahead))


def _ahead(payee: PayeeExplanation, *, is_on: bool) -> tuple[str, ...]:
    """What the next contracts may win; once the campaign's days are over only what is still to be paid."""
    return payee.outlook if is_on else tuple(f"{name}：条件已达到，由 settle 补发" for name in payee.owed)


def _show_contracts(key: str, statement: Statement) -> None:
    st.subheader("合同", anchor=False, help="点一行，看这个合同为什么得奖、为什么没有得别的奖")
    rows = _contract_rows(statement)
    name = f"{key}-{statement.answer.housekeeper}"
    for picked in show_table("合同", CONTRACTS, rows, file_name=f"合同-{name}", select="one"):
        _show_contract(key, statement.contracts[picked])


def _show_contract(key: str, contract: ContractRecord) -> None:
    for one in data.contract_explained(key, contract.contract_id).explanations:
        with st.container(border=True):
            st.markdown(f"**合同 {plain(contract.contract_number)}**（{plain(contract.contract_id)}）")
            st.markdown("\n".join(f"- {plain(sentence)}" for sentence in _sentences(one)))


def _sentences(one: ContractExplanation) -> list[str]:
    won = [f"得到 {award.award.name} {award.amount}：{award.sentence}" for award in one.awards]
    missed = [f"没有得到 {sentence}" for sentence in one.not_won]
    return [one.counted, *won, *missed, *one.notes]


def _show_awards(key: str, statement: Statement) -> None:
    st.subheader("奖励和原因", anchor=False)
    rows = _award_rows(statement)
    if not rows:
        show_nothing("还没有得到奖励")
        return
    show_table("奖励", AWARDS, rows, file_name=f"奖励-{key}-{statement.answer.housekeeper}")


def _contract_rows(statement: Statement) -> list[list[Cell]]:
    names: dict[str, list[str]] = {}
    for payee in statement.answer.payees:
        for one in payee.awards:
            names.setdefault(one.award.contract_id or "", []).append(one.award.name)
    return [
        [
            contract.sequence or None,
            contract.contract_id,
            contract.contract_number,
            contract.signed_at,
            "历史" if contract.historical else "自引单" if contract.self_referral else "平台单",
            contract.amount,
            contract.performance,
            "、".join(names.get(contract.contract_id, [])),
            _remark(contract),
        ]
        for contract in statement.contracts
    ]


def _remark(contract: ContractRecord) -> str:
    words = [contract.remark] if contract.remark else []
    if contract.source_amount != contract.amount:
        words.append(f"源数据里已改为 {format_yuan(contract.source_amount)} 元")
    if contract.loss_accepted_at:
        words.append("已从源数据里消失")
    return "；".join(words)


def _award_rows(statement: Statement) -> list[list[Cell]]:
    return [
        [
            one.award.contract_number or "",
            one.award.kind,
            one.award.name,
            one.award.amount,
            f"{one.sentence}；{one.amount}" if one.is_multiplied else one.sentence,
            one.award.granted_at,
            one.award.contract_id or "",
        ]
        for payee in statement.answer.payees
        for one in payee.awards
    ]


def _workbook(statement: Statement, *, is_on: bool) -> bytes:
    answer = statement.answer
    amount = format_yuan(sum(payee.amount for payee in answer.payees))
    head = f"{answer.campaign} {answer.title}　{answer.housekeeper}　应发 {amount} 元"
    figures = [payee.figures for payee in answer.payees]
    notes = [sentence for payee in answer.payees for sentence in _ahead(payee, is_on=is_on)]
    return workbook_of(
        ("对账单", (head, *figures, *notes, *answer.notes), AWARDS, _award_rows(statement)),
        ("合同", (head,), CONTRACTS, _contract_rows(statement)),
    )


main()
