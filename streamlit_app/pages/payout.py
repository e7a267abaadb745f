"""发放: what each payee of a campaign is paid, how far the campaign is, and whether ledger and source agree."""

from collections.abc import Iterator
from operator import attrgetter

import streamlit as st

from modules.clock import format_moment
from modules.errors import EXPECTED_ERRORS, words_of
from modules.explanation_words import ADJUSTMENT, AwardExplanation, payee_words
from modules.figures.months import Period
from modules.figures.stages import STAGES, Stage, stage_of
from modules.payout import COUNTED, Payout
from modules.reconciliation import Reconciliation
from modules.rewards.frame import housekeeper_of, number_of_people
from streamlit_app import acts, charts, data, filters, reading
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.differences import show_differences
from streamlit_app.frame import page, show_fault, show_nothing
from streamlit_app.payees import counted, people_card
from streamlit_app.tables import XLSX, Cell, Column, show_table
from streamlit_app.words import plain

STAGE_WORDS: dict[Stage, str] = {"open": "进行中", "settling": "结算期", "settled": "待结账", "closed": "已结账"}
STAGE_ICONS: dict[Stage, str] = {
    "open": "edit_calendar",
    "settling": "hourglass_top",
    "settled": "rule",
    "closed": "lock",
}
TOP = 15
RECONCILED = "reconciled"
"""The last comparison that was asked for here."""

BESIDE = (
    Column("管家"),
    Column("类型"),
    Column("名称"),
    Column("金额（元）", "yuan"),
    Column("原因", wide=True),
    Column("时间", "moment"),
)


@page("发放", "一个活动要给每个管家发多少、走到哪一步了，台账和源数据对不对得上。")
def main(viewer: Viewer) -> None:
    period, _bar = filters.require_campaign()
    _show_stage(period)
    found = data.settlement(period.campaign)
    _show_payout(found.payout)
    _show_beside(period, found.beside)
    _show_known(found.known)
    _show_reconciling(viewer, period.campaign)


def _show_stage(period: Period) -> None:
    stage = stage_of(period, reading.today())
    steps = [
        f":{'primary' if one == stage else 'gray'}-badge[:material/{STAGE_ICONS[one]}: {STAGE_WORDS[one]}]"
        for one in STAGES
    ]
    st.markdown(" → ".join(steps))
    st.markdown(_stage_words(period, stage))


def _stage_words(period: Period, stage: Stage) -> str:
    key, settles = period.campaign, f"{period.last_settle_day:%m-%d}"
    match stage:
        case "open":
            return f"活动期到 {period.end:%m-%d} 为止，之后到 {settles} 是结算期；下面的数字每天都会变。"
        case "settling":
            left = (period.last_settle_day - reading.today()).days
            return f"活动期已过，结算期到 {settles} 为止，还有 {left} 天：退款和补录的合同还会改变数字。"
        case "settled":
            return f"结算期已于 {settles} 结束。核对无误后请运行 close {key} 结账，数字就定下来了。"
        case "closed":
            closed = format_moment(period.closed_at)[:16] if period.closed_at else ""
            return f"已于 {closed} 结账，数字已定；之后的出入只能用 adjust {key} 人工调整。"


def _show_payout(payout: Payout) -> None:
    total, paid = payout.total, [line for line in payout.lines if line.to_pay]
    everybody = f"{number_of_people(line.payee for line in payout.lines):,}"
    show_cards(
        [
            Card("应发合计", charts.yuan(total.to_pay), "各奖励 + 补发 + 人工调整"),
            people_card("有应发的管家", (line.payee for line in paid), f"共 {everybody} 人登记过合同或有过奖励、调整"),
            Card("签约得到的奖励", charts.yuan(sum(total.awards.values()))),
            Card("补发", charts.yuan(total.corrections), "settle 补发的节节高，没有对应的新合同"),
            Card("人工调整", charts.yuan(total.adjustments), "adjust 记下的多发和少发"),
        ]
    )
    for warning in payout.warnings:
        st.warning(plain(warning), icon=":material/info:")
    if not payout.lines:
        show_nothing("这个活动还没有登记合同，也没有奖励")
        return
    st.subheader("应发表", anchor=False, help="；".join(COUNTED))
    st.download_button(
        "下载应发表（.xlsx，含每人的逐项说明）",
        lambda: data.payout_workbook(payout.campaign),
        f"应发表-{payout.campaign}.xlsx",
        XLSX,
        key="download_payout",
        on_click="ignore",
        type="primary",
        icon=":material/download:",
    )
    _show_lines(payout)
    _show_best(payout)


def _show_lines(payout: Payout) -> None:
    """Corrections and adjustments have columns where there are any."""
    corrected, adjusted = (any(map(attrgetter(name), payout.lines)) for name in ("corrections", "adjustments"))
    columns = [
        *(Column(title) for title in payout.titles()[: 2 if payout.shows_provider else 1]),
        Column("应发（元）", "yuan"),
        *([Column("其中补发（元）", "yuan")] if corrected else []),
        *([Column("其中调整（元）", "yuan")] if adjusted else []),
        *(Column(f"{name}（元）", "yuan") for name in payout.names),
        Column("合同数", "count"),
        Column("累计业绩（元）", "yuan"),
    ]
    lines = sorted(payout.lines, key=lambda line: -line.to_pay)
    rows: list[list[Cell]] = [
        [
            *payout.who(line),
            line.to_pay,
            *([line.corrections] if corrected else []),
            *([line.adjustments] if adjusted else []),
            *(line.awards[name] for name in payout.names),
            line.contracts,
            line.performance_total,
        ]
        for line in lines
    ]
    st.caption("点一行看这位管家的对账单")
    for picked in show_table("应发", columns, rows, file_name=f"应发-{payout.campaign}", select="one"):
        filters.open_housekeeper(payout.campaign, lines[picked].housekeeper)


def _show_best(payout: Payout) -> None:
    lines = sorted((line for line in payout.lines if line.to_pay > 0), key=lambda line: -line.to_pay)[:TOP]
    if not lines:
        return
    amount = sum(line.to_pay for line in lines)
    names, who = [payee_words(line.payee) for line in lines], counted(line.payee for line in lines)
    parts = [
        (name, kind, fen)
        for name, line in zip(names, lines, strict=True)
        for kind, fen in (
            *line.awards.items(),
            ("补发", line.corrections),
            ("人工调整", line.adjustments),
        )
        if fen
    ]
    others = sum(line.to_pay for line in payout.lines if line.to_pay > 0) - amount
    of_all = f"，占全部的 {amount / (amount + others):.0%}" if others else ""
    charts.show_stacks(
        f"{'应发最多' if others else '有应发'}的 {who}共 {charts.yuan(amount)}{of_all}；"
        f"最多的是{names[0]}，{charts.yuan(lines[0].to_pay)}。",
        parts,
        of="奖励",
        order=[name for name in (*payout.names, "补发", "人工调整") if name in {kind for _, kind, _ in parts}],
        names=names,
        flat=True,
    )


def _show_beside(period: Period, beside: tuple[AwardExplanation, ...]) -> None:
    st.subheader("补发和人工调整", anchor=False)
    if beside:
        show_table("补发和调整", BESIDE, list(_beside_rows(beside)), file_name=f"补发和调整-{period.campaign}")
    else:
        show_nothing("没有补发，也没有人工调整")


def _beside_rows(beside: tuple[AwardExplanation, ...]) -> Iterator[list[Cell]]:
    for one in beside:
        award = one.award
        kind = ADJUSTMENT if award.kind == ADJUSTMENT else f"补发（{award.kind}）"
        yield [housekeeper_of(award.payee), kind, award.name, award.amount, one.sentence, award.granted_at]


def _show_known(known: Reconciliation | None) -> None:
    st.subheader("对账", anchor=False, help="台账和源数据相比有哪些出入；对账不改台账")
    if known is None:
        show_nothing("还没有成功拉取过源数据，不知道有没有出入")
        return
    at = format_moment(known.at)[:16]
    count = f"源数据 {known.fetched:,} 行，台账 {known.registered:,} 个合同"
    if known.differences:
        st.warning(
            f"按最近一次拉取（{at}，{count}）有 {known.differences:,} 处出入，见下", icon=":material/difference:"
        )
    else:
        st.success(f"按最近一次拉取（{at}，{count}）没有已知的出入", icon=":material/check_circle:")
    st.caption("拉取之后新消失的、还没有登记的合同，要重新对账才看得到")
    show_differences(known, "已知")


def _show_reconciling(viewer: Viewer, key: str) -> None:
    if not viewer.may_act:
        st.caption(":material/lock: 重新对账要从 Metabase 拉取一次，由操作员来做")
        return
    if st.button(
        "现在从 Metabase 重新对账",
        key="reconcile",
        icon=":material/sync:",
        help="拉取一次源数据，和台账比一比；什么也不登记，只记下是谁对的账。和 reconcile 命令一样",
    ):
        st.session_state.pop(RECONCILED, None)
        try:
            with st.spinner("正在从 Metabase 拉取并核对，通常要几秒到一分钟…"):
                st.session_state[RECONCILED] = acts.reconcile(viewer, key)
        except EXPECTED_ERRORS as error:
            show_fault(f"这次没有对成账：{plain(words_of(error))}。上面的数字不受影响")
    found = st.session_state.get(RECONCILED)
    if isinstance(found, Reconciliation) and found.campaign == key:
        _show_found(found)


def _show_found(found: Reconciliation) -> None:
    count = f"源数据 {found.fetched:,} 行，台账 {found.registered:,} 个合同"
    head = f"重新对账（{format_moment(found.at)[:16]}，{count}）"
    if found.is_shrunken:
        show_fault("源数据比台账少了太多合同，不可采信：下面由此得出的不要当真，请先检查问题卡")
    if found.differences:
        st.warning(f"{head}：共 {found.differences:,} 处出入", icon=":material/difference:")
    else:
        st.success(f"{head}：台账与源数据一致", icon=":material/check_circle:")
    show_differences(found, "对账")


main()
