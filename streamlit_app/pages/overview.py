"""总览: the chosen month by city, against the month before, to its end; and what is wrong, in red."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from modules.clock import format_moment
from modules.figures.months import CityMonth, Period, Totals, change, total_of
from modules.rewards.faults import Fault
from modules.rewards.money import format_yuan
from streamlit_app import charts, data, filters, reading
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, Colour, show_cards
from streamlit_app.frame import LOOK_EVERY_SECONDS, NOTHING_PULLED, guarded, page, show_fault, show_nothing
from streamlit_app.payees import PER_PROVIDER
from streamlit_app.tables import Cell, Column, show_table
from streamlit_app.words import headed, month_words, plain

FORECAST = (
    Column("预计合同数", "count", help="到月底，照目前的速度"),
    Column("预计奖金（元）", "yuan", help="到月底，照目前的速度"),
)
COLUMNS = (
    Column("城市"),
    Column("活动"),
    Column("合同数", "count", help="登记过的合同，后来取消的也在内；不含历史合同"),
    Column("比上月同期", "percent"),
    Column("合同金额（元）", "yuan"),
    Column("计入业绩（元）", "yuan"),
    Column("奖金（元）", "yuan", help="已发放的全部奖励、补发和人工调整"),
    *FORECAST,
    Column("奖金池（元）", "yuan", help="合同金额 × 活动的奖金池比例"),
    Column("奖金/奖金池", "percent"),
    Column("登记后有变动", "count", help="登记后源数据改了金额、或经确认已消失的合同数；上面的数字是登记时的"),
)
FAULTS_NAMED = 3
"""Of the configuration; the others stand on 运行状况."""


@page("总览", "一个月里各城市签了多少、要发多少奖金、和上月同期相比怎样、照此到月底会怎样。")
def main(viewer: Viewer) -> None:
    _show_troubles()
    with filters.bar():
        month = filters.choose_month()
    if month is None:
        show_nothing(NOTHING_PULLED)
        return
    found = data.city_months(month)
    if not found:
        show_nothing(f"{month_words(month)}没有活动的数据，请换一个月份")
        return
    for one in found:
        _show_city(one)
    _show_comparison(month, found)
    st.subheader("各城市合计", anchor=False)
    is_over = all(one.period.is_over for one in found)
    shown = [place for place, column in enumerate(COLUMNS) if not (is_over and column in FORECAST)]
    rows = [[row[place] for place in shown] for row in _rows(found)]
    show_table("总览", [COLUMNS[place] for place in shown], rows, file_name=f"总览-{month}")


@st.fragment(run_every=LOOK_EVERY_SECONDS)
@guarded
def _show_troubles() -> None:
    wrong, found, faults = data.what_is_wrong_now(), data.open_troubles(), data.campaign_faults()
    daemon = data.missed_daemon()
    if wrong.failed or wrong.uncertain:
        with _beside("queue", "去通知队列处理", state="failed" if wrong.failed else "uncertain"):
            st.error(f"有 {wrong.failed} 条消息发送失败、{wrong.uncertain} 条待核实", icon=":material/outgoing_mail:")
    if not (daemon or faults or found or wrong.failed_runs or wrong.rejected):
        return
    with _beside("status", "去运行状况看原因"):
        if daemon is not None:
            show_fault(f"后台程序{plain(daemon.words)}")
        if faults:
            show_fault(_faults_words(faults))
        for one in found:
            show_fault(f"{format_moment(one['since'])[:16]} 起：{plain(one['what'])}")
        for run in wrong.failed_runs:
            st.error(f"{plain(run.job)} 上次运行失败：{plain(run.error)}", icon=":material/sync_problem:")
        if wrong.rejected:
            parts = "，".join(f"{key} {number} 行" for key, number in wrong.rejected.items())
            st.warning(f"源数据里有不能用的行：{parts}", icon=":material/rule:")


def _faults_words(faults: Sequence[Fault]) -> str:
    listed = "\n".join(f"- `{fault.path}`　{plain(fault.text)}" for fault in faults[:FAULTS_NAMED])
    return f"活动配置有 {len(faults)} 处要改正，有的活动可能没有运行：\n\n{listed}"


@contextmanager
def _beside(page_name: str, label: str, **asked: str) -> Iterator[None]:
    """What is wrong, and beside it the way to where something is done about it."""
    wrong, way = st.columns([3, 1], vertical_alignment="center")
    with wrong:
        yield
    with way:
        st.page_link(f"pages/{page_name}.py", label=label, icon=":material/arrow_forward:", query_params=asked)


def _show_city(one: CityMonth) -> None:
    period, now, before = one.period, one.totals, one.before or Totals()
    about = (period.campaign, f"{period.start:%m-%d} 至 {period.end:%m-%d}", _state(period))
    st.subheader(headed(period.city, *about), anchor=False)

    def compared(title: str, value: str, name: str, colour: Colour = "normal") -> Card:
        against = "比上月" if period.is_over else "比上月同期"
        return Card(title, value, None, change(getattr(now, name), getattr(before, name)), against, colour)

    show_cards(
        [
            compared("合同", f"{now.contracts:,} 单", "contracts"),
            compared("合同金额", charts.yuan(now.amount), "amount"),
            compared("计入业绩", charts.yuan(now.performance), "performance"),
            compared("奖金", charts.yuan(now.payout), "payout", "off"),
            _pool_card(one),
            _forecast_card(one),
        ]
    )
    if now.changed:
        words = f"登记之后有 {now.changed:,} 个合同改了金额或已消失；上面是登记时的数字"
        st.caption(f":material/edit_note: {words}{_live_words(now.performance, one.live_performance)}")


def _live_words(registered: int, live: int | None) -> str:
    """What they come to now, exactly: people hold it against the ranking."""
    if live is None:
        return ""
    if live == registered:
        return "；按现在的金额，计入业绩合计不变"
    moved = f"{'多' if live > registered else '少'} {format_yuan(abs(live - registered))} 元"
    return f"；按现在的金额计入业绩是 {format_yuan(live)} 元，{moved}，排行榜和发放都按这个算"


def _state(period: Period) -> str:
    if period.closed_at:
        return "已结账"
    if reading.today() <= period.end:
        return "进行中"
    return "活动期已过" if period.is_over else f"活动期已过，数据只到 {period.as_of:%m-%d %H:%M}"


def _pool_card(one: CityMonth) -> Card:
    payout, pool = one.totals.payout, one.totals.bonus_pool
    campaign = reading.configured().valid.get(one.period.campaign)
    ratio = f"（{(campaign.bonus_pool_ratio * 100).normalize():f}%）" if campaign else ""
    words = f"奖金池 = 合同金额 × 活动的奖金池比例{ratio}，现在是 {charts.yuan(pool)}；奖金按档位发，可以比它多"
    rest = charts.yuan(round(abs(pool - payout), -2))
    left = f"还剩 {rest}" if payout <= pool else f"比奖金池多 {rest}"
    return Card("奖金 / 奖金池", f"{payout / pool:.0%}" if pool else "—", words, note=left)


def _forecast_card(one: CityMonth) -> Card:
    if one.period.is_over:
        return Card("签约管家", f"{one.totals.people:,} 人", f"登记过合同的管家；{PER_PROVIDER}")
    if one.forecast is None:
        return Card("预计到月底", "尚早", "活动开始满 3 天后才估计")
    words = f"照目前的速度，到月底合同金额 {charts.yuan(round(one.forecast.amount, -2))}"
    contracts = f"合同 {one.forecast.contracts:,} 单"
    return Card("预计到月底奖金", charts.yuan(round(one.forecast.payout, -2)), words, note=contracts)


def _show_comparison(month: str, found: list[CityMonth]) -> None:
    is_over = all(one.period.is_over for one in found)
    earlier = "上月" if is_over else "上月同期"
    rows = [
        (one.period.city, when, totals.amount / 1_000_000)
        for one in found
        for when, totals in ((month_words(month), one.totals), (earlier, one.before))
        if totals is not None
    ]
    against = f"，和{earlier}比" if any(one.before is not None for one in found) else ""
    charts.show_pairs(
        f"各城市 {month_words(month)}的合同金额（万元）{against}。", rows, what="合同金额（万元）", of="时间"
    )


def _rows(found: list[CityMonth]) -> Iterator[list[Cell]]:
    for one in found:
        yield _row(one.period.city, one.period.campaign, one.totals, one.before, one.forecast)
    if len(found) > 1:
        known = [one.forecast for one in found if one.forecast is not None]
        forecast = total_of(known) if len(known) == len(found) else None
        earlier = [one.before for one in found if one.before is not None]
        before = total_of(earlier) if len(earlier) == len(found) else None  # else unlike cities would be compared
        yield _row("合计", "", total_of(one.totals for one in found), before, forecast)


def _row(city: str, key: str, now: Totals, before: Totals | None, forecast: Totals | None) -> list[Cell]:
    return [
        city,
        key,
        now.contracts,
        change(now.contracts, before.contracts) if before else None,
        now.amount,
        now.performance,
        now.payout,
        forecast.contracts if forecast else None,
        forecast.payout if forecast else None,
        now.bonus_pool,
        now.payout / now.bonus_pool if now.bonus_pool else None,
        now.changed,
    ]


main()
