"""趋势: a campaign day by day and added up, contracts and amounts, beside the month before."""

from collections.abc import Iterator

import streamlit as st

from modules.figures.course import Course, Day, running, sums_of
from modules.figures.days import axis_words, day_words, weekday_words
from modules.figures.months import change, month_of
from streamlit_app import charts, data, filters
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.frame import page, show_nothing
from streamlit_app.tables import Cell, Column, show_table
from streamlit_app.words import month_words

WEEK = 7
DAY_OF_CAMPAIGN = "活动第几天"


@page("趋势", "一个活动按天签了多少合同、多少金额，累计到哪里，和同一城市上个月的同一天相比怎样。")
def main(viewer: Viewer) -> None:
    period, bar = filters.require_campaign()
    with bar:
        track = filters.choose_track()
    course = data.course_of(period.campaign, track)
    if course is None or not any(course.total):
        show_nothing("这个渠道还没有登记合同" if track else "这个活动还没有登记合同")
        return
    _show_cards(course)
    _show_sums(course)
    _show_days(course)
    st.subheader("逐日数字", anchor=False)
    show_table("逐日", _columns(course), list(_rows(course)), file_name=f"趋势-{period.campaign}")


def _show_cards(course: Course) -> None:
    (contracts, amount), (contracts_before, amount_before) = course.total, course.before_so_far
    against = "比上月" if course.period.is_over else "比上月同期"
    whole = course.whole_days
    week, week_before = sums_of(whole[-WEEK:]), sums_of(whole[-2 * WEEK : -WEEK])
    has_weeks, about = len(whole) >= 2 * WEEK, _until(course)

    def weekly(title: str, value: str, figure: int) -> Card:
        grown = change(week[figure], week_before[figure]) if has_weeks else None
        return Card(title, value if whole else "—", about, grown, "比前 7 天")

    show_cards(
        [
            Card("合同", f"{contracts:,} 单", None, change(contracts, contracts_before), against),
            weekly("最近 7 天合同", f"{week[0]:,} 单", 0),
            Card("平均每天", f"{sums_of(whole)[0] / len(whole):.1f} 单" if whole else "—", about),
            Card("合同金额", charts.yuan(amount), None, change(amount, amount_before), against),
            weekly("最近 7 天金额", charts.yuan(week[1]), 1),
            Card("平均每单", charts.yuan(round(amount / contracts)) if contracts else "—"),
        ]
    )
    if len(whole) < len(course.days):
        st.caption(f":material/today: 最近 7 天和平均每天：{about}")


def _show_sums(course: Course) -> None:
    st.subheader("累计", anchor=False)
    unit, size = charts.unit_of([one.amount for days in (course.days, course.before) for one in running(days)])
    left, right = st.columns(2)
    with left:
        charts.show_lines(
            f"{_to_day(course)}累计 {charts.yuan(course.total[1])}{_compared(course, 1)}。",
            [(number, whose, one.amount / size) for number, whose, one in _lines(course)],
            what=f"累计金额（{unit}）",
            by=DAY_OF_CAMPAIGN,
            of="月份",
        )
    with right:
        charts.show_lines(
            f"{_to_day(course)}累计 {course.total[0]:,} 单{_compared(course, 0)}。",
            [(number, whose, one.contracts) for number, whose, one in _lines(course)],
            what="累计合同（单）",
            by=DAY_OF_CAMPAIGN,
            of="月份",
        )


def _show_days(course: Course) -> None:
    st.subheader("按天", anchor=False)
    unit, size = charts.unit_of(one.amount for one in course.days)
    most, largest = max(course.days, key=lambda one: one.contracts), max(course.days, key=lambda one: one.amount)
    whole = course.whole_days
    empty = sum(1 for one in whole if not one.contracts)
    names = axis_words([one.day for one in course.days])
    left, right = st.columns(2)
    with left:
        average = f"，平均每天 {charts.yuan(round(sums_of(whole)[1] / len(whole)))}" if whole else ""
        charts.show_columns(
            f"金额最多的是 {day_words(largest.day)}（{weekday_words(largest.day)}）："
            f"{charts.yuan(largest.amount)}{average}。",
            [(names[one.day], one.amount / size) for one in course.days],
            what=f"金额（{unit}）",
            by="签约日期",
        )
    with right:
        none = f"，有 {empty} 天没有签约" if empty else "，每天都有签约" if whole else ""
        charts.show_columns(
            f"合同最多的是 {day_words(most.day)}（{weekday_words(most.day)}）：{most.contracts:,} 单{none}。",
            [(names[one.day], one.contracts) for one in course.days],
            what="合同（单）",
            by="签约日期",
        )


def _lines(course: Course) -> Iterator[tuple[int, str, Day]]:
    """What had come together by each day of the campaign, this month's first."""
    for key, days in ((course.period.campaign, course.days), (course.before_key, course.before)):
        for number, one in enumerate(running(days), 1):
            yield number, month_words(month_of(key)), one


def _to_day(course: Course) -> str:
    return f"{month_words(course.period.month)}到 {day_words(course.days[-1].day)}"


def _compared(course: Course, figure: int) -> str:
    """`，比 2025 年 4 月同期（120 单）多 5.0%`; of contracts (0) or amounts (1)."""
    if not course.before_key:
        return "；上个月没有活动，没有可比的"
    before = course.before_so_far[figure]
    grown = change(course.total[figure], before)
    when = "全月" if course.period.is_over else "同期"
    words = charts.yuan(before) if figure else f"{before:,} 单"
    last = f"{month_words(month_of(course.before_key))}{when}（{words}）"
    if grown is None:
        return f"；{last}没有签约"
    return f"，和 {last}一样" if grown == 0 else f"，比 {last}{'多' if grown > 0 else '少'} {abs(grown):.1%}"


def _until(course: Course) -> str:
    """Up to which day the figures of whole days go."""
    if course.period.is_over:
        return "整个活动期"
    partly = f"{day_words(course.days[-1].day)}的数据还不全，不算在内"
    if not course.whole_days:
        return f"只算整天；{partly}"
    return f"只算整天，到 {day_words(course.whole_days[-1].day)}为止；{partly}"


def _columns(course: Course) -> list[Column]:
    columns = [
        Column("日期"),
        Column("星期"),
        Column("合同数", "count", help="登记过的合同，后来取消的也在内；不含历史合同"),
        Column("金额（元）", "yuan", help="登记时的合同金额"),
        Column("累计合同数", "count"),
        Column("累计金额（元）", "yuan"),
    ]
    if course.before_key:
        columns += [
            Column("上月累计合同数", "count", help="上个月的活动到第几天为止，当天算全天"),
            Column("上月累计金额（元）", "yuan"),
            Column("累计金额比上月", "percent"),
        ]
    return columns


def _rows(course: Course) -> Iterator[list[Cell]]:
    before = running(course.before)
    for number, (one, sofar) in enumerate(zip(course.days, running(course.days), strict=True)):
        row: list[Cell] = [one.day.isoformat(), weekday_words(one.day), one.contracts, one.amount]
        row += [sofar.contracts, sofar.amount]
        if course.before_key:
            then = before[min(number, len(before) - 1)]
            row += [then.contracts, then.amount, change(sofar.amount, then.amount)]
        yield row


main()
