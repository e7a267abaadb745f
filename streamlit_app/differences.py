"""How a ledger and its source differ, as the page 发放 shows it: a table for each kind of difference."""

from collections.abc import Sequence

import streamlit as st

from modules.explanation_words import payee_words
from modules.reconciliation import BookedContract, Reconciliation
from modules.rewards.explain import why
from streamlit_app.tables import Cell, Column, show_table

CONTRACT = (Column("合同ID"), Column("合同编号"), Column("管家"), Column("登记金额（元）", "yuan"))
CHANGED = (*CONTRACT, Column("现在金额（元）", "yuan"), Column("相差（元）", "yuan"))
VANISHED = (*CONTRACT, Column("已确认"))
OWED = (Column("管家"), Column("奖励"), Column("金额（元）", "yuan"), Column("为什么", wide=True))
UNEARNED = (
    Column("管家"),
    Column("奖励"),
    Column("已发（元）", "yuan"),
    Column("已调整（元）", "yuan"),
    Column("现在", wide=True),
)
REJECTED = (Column("合同ID"), Column("原因", wide=True), Column("已登记", help="已登记的合同按最后一次可用的金额计"))


def show_differences(found: Reconciliation, name: str) -> None:
    """Nothing at all for a kind of which there is none. `name` tells reports on one page apart."""
    key = found.campaign
    if found.unregistered:
        then = (
            "已结账，不会再登记"
            if found.closed_at
            else f"后台下一次运行时登记，或运行 run {key}（结算期之后要加 --force）"
        )
        st.warning(f"源数据里有 {found.unregistered:,} 个合同还没有登记；{then}", icon=":material/playlist_add:")
    then = f"已结账，要补发请用 adjust {key}" if found.closed_at else f"要补发请运行 settle {key}"
    owed: list[list[Cell]] = [[payee_words(one.payee), one.name, one.amount, why(one.reason)] for one in found.owed]
    _show(f"{name}-应发未发", f"条件已达到、还没有发放的奖励；{then}", OWED, owed, key)
    unearned: list[list[Cell]] = [
        [payee_words(one.payee), one.name, one.paid, one.adjusted, one.missing] for one in found.unearned
    ]
    then = f"不会自动收回；要追回请运行 adjust {key} --housekeeper 姓名 --amount=-金额 --reason 原因"
    _show(f"{name}-已达不到条件", f"发放之后已达不到条件的奖励；{then}", UNEARNED, unearned, key)
    changed: list[list[Cell]] = [
        [*_contract(one.contract), one.now, one.now - one.contract.amount] for one in found.changed
    ]
    _show(f"{name}-金额变了", "登记之后金额变了的合同；累计按现在的金额算，登记的数字不变", CHANGED, changed, key)
    vanished: list[list[Cell]] = [[*_contract(one.contract), "是" if one.accepted else "否"] for one in found.vanished]
    _show(f"{name}-消失", "源数据里消失的合同；确认消失的不再计入累计，编号和奖励不变", VANISHED, vanished, key)
    rejected: list[list[Cell]] = [
        [one.contract_id or "（无）", one.reason, "是" if one.registered else "否"] for one in found.rejected
    ]
    _show(f"{name}-拒收", "不能用的行；请在源数据里改正，下一次拉取就会用上", REJECTED, rejected, key)


def _show(name: str, says: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], key: str) -> None:
    if rows:
        st.markdown(f"**{len(rows):,} 项**　{says}")
        show_table(name, columns, rows, file_name=f"{name}-{key}")


def _contract(contract: BookedContract) -> list[Cell]:
    return [contract.contract_id, contract.contract_number, contract.housekeeper, contract.amount]
