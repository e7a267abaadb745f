"""服务商SLA: violations by provider, kind and day, days of which nothing is known, and what providers were told."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

import altair as alt
import pandas as pd
import streamlit as st

from modules.clock import format_moment, in_shanghai
from modules.figures import sla
from modules.figures.days import WEEKDAYS, weekday_words
from modules.figures.months import change
from modules.figures.sla import Count, Day, Line, Week, by_kind, by_provider
from modules.figures.sla_texts import WeekText
from modules.task_states import STATUS_WORDS
from streamlit_app import charts, data, filters
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.frame import fold, page, show_nothing
from streamlit_app.tables import Cell, Column, show_newest, show_table
from streamlit_app.words import headed, recipient_name

WEEKS_SHOWN = 8
"""How far back the page looks unless it is asked."""
MOST_PROVIDERS = 15
LINES_SHOWN = 1000

LINES = (
    Column("日期"),
    Column("服务商"),
    Column("违规"),
    Column("工单号"),
    Column("预约号"),
    Column("管家"),
    Column("工种"),
    Column("备注", wide=True),
    Column("记录时间"),
)


@page("服务商SLA", "服务商的服务违规：谁多、什么事、哪几天；哪天没有取到数据；每周发给服务商的是什么。")
def main(viewer: Viewer) -> None:
    span = data.sla_span()
    if span is None:
        show_nothing("还没有服务违规的数据；后台程序的“服务商违规日报”第一次运行之后，这里就有了")
        return
    bar = filters.bar()
    with bar.cell(column_span=2):  # two days need the room
        default = (max(span[0], sla.monday_of(span[1]) - timedelta(weeks=WEEKS_SHOWN - 1)), span[1])
        first, last = filters.choose_dates("dates", "日期", span, default)
    with bar:
        provider = filters.choose_or_all("provider", "服务商", data.sla_providers()) or ""
    found, days = data.sla_counts(first, last, provider), data.sla_days(first, last, provider)
    before = _before(span, first, last, provider)
    _show_cards(found, days, before)
    _show_calendar(days)
    if found:
        _show_providers(found)
        _show_table(found, before, first, last)
        _show_lines(_total(found), first, last, provider)
    elif any(one.is_known for one in days):
        show_nothing(f"{first:%m-%d} 到 {last:%m-%d} 没有服务违规")
    _show_weeks(provider)


def _before(span: tuple[date, date], first: date, last: date, provider: str) -> list[Count] | None:
    """The same number of days just before; None where they are not all kept."""
    length = last - first + timedelta(days=1)
    return data.sla_counts(first - length, last - length, provider) if first - length >= span[0] else None


def _show_cards(found: Sequence[Count], days: Sequence[Day], before: Sequence[Count] | None) -> None:
    total, earlier = _total(found), None if before is None else _total(before)
    growth = None if earlier is None else change(total, earlier)
    unknown = sum(not one.is_known for one in days)
    kinds, known = by_kind(found), len(days) - unknown
    mean = f"有数据的 {known} 天里，平均每天 {total / known:.1f} 条" if known else None
    (kind, number) = next(iter(kinds.items()), ("—", 0))
    show_cards(
        [
            Card("违规", f"{total:,} 条", mean, growth, f"比前 {len(days)} 天", "off"),
            Card("有违规的服务商", f"{len(by_provider(found))} 家"),
            Card("最常见的违规", kind, f"{number} 条" if number else None),
            Card("没有数据", f"{'🔴 ' if unknown else ''}{unknown} 天", "没有取到数据的日子，不代表没有违规"),
        ]
    )


def _show_calendar(days: Sequence[Day]) -> None:
    """A column a week, a row a weekday; a day without data is crossed."""
    rows = [(sla.monday_of(one.day), one.day, weekday_words(one.day), one.number, one.is_known) for one in days]
    frame = pd.DataFrame(
        {
            "周": [f"{monday:%m-%d}" for monday, *_ in rows],
            "顺序": [monday.toordinal() for monday, *_ in rows],
            "日期": [str(day) for _, day, *_ in rows],
            "星期": [weekday for _, _, weekday, *_ in rows],
            "违规（条）": [number for *_, number, _ in rows],
            "说明": [f"{number} 条" if is_known else "没有数据" for *_, number, is_known in rows],
            "有数据": [is_known for *_, is_known in rows],
        }
    )
    gap = alt.Scale(paddingInner=0.08)
    base = alt.Chart().encode(
        x=alt.X("周:O", sort=alt.SortField("顺序"), title="一周的开始（周一）", axis=alt.Axis(labelAngle=0), scale=gap),
        y=alt.Y("星期:O", sort=list(WEEKDAYS), title=None, scale=gap),
        tooltip=[alt.Tooltip("日期:N"), alt.Tooltip("星期:N"), alt.Tooltip("说明:N")],
    )
    counted = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("违规（条）:Q", title="违规（条）", legend=alt.Legend(orient="top", padding=0, offset=10))
    )
    crossed = base.mark_text(
        text="✕", fontSize=14, color="gray"
    )  # the theme has no colour for text: this is seen on both
    known, unknown = (alt.FieldEqualPredicate(field="有数据", equal=is_known) for is_known in (True, False))
    calendar = alt.layer(counted.transform_filter(known), crossed.transform_filter(unknown), data=frame)
    charts.show_chart(_calendar_words(days), calendar.properties(height=330))


def _calendar_words(days: Sequence[Day]) -> str:
    known = [one for one in days if one.is_known]
    unknown = len(days) - len(known)
    tail = f"；打 ✕ 的 {unknown} 天没有取到数据，不代表没有违规" if unknown else ""
    most = max(known, key=lambda one: one.number, default=None)
    words = f"{days[0].day:%m-%d} 到 {days[-1].day:%m-%d} 每天的违规"
    if most is None or most.number == 0:
        return f"{words}：有数据的 {len(known)} 天里一条也没有{tail}。"
    total = sum(one.number for one in known)
    busiest = f"最多的一天是 {most.day:%m-%d}（{weekday_words(most.day)}，{most.number} 条）"
    return f"{words}：共 {total:,} 条，平均每天 {total / len(known):.1f} 条，{busiest}{tail}。"


def _show_providers(found: Sequence[Count]) -> None:
    sums, kinds = by_provider(found), by_kind(found)
    shown = list(sums)[:MOST_PROVIDERS]
    place = {kind: number for number, kind in enumerate(kinds)}
    rows = [(one.provider, one.kind, one.number, place[one.kind]) for one in found if one.provider in shown]
    chart = (
        alt.Chart(pd.DataFrame(rows, columns=["服务商", "违规", "条数", "顺序"]))
        .mark_bar()
        .encode(
            y=alt.Y("服务商:N", sort=shown, title=None, axis=alt.Axis(labelLimit=160)),
            x=alt.X("条数:Q", title="违规（条）", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("违规:N", sort=list(kinds), title=None, legend=charts.legend_of(kinds)),
            order=alt.Order("顺序:Q"),
            tooltip=[alt.Tooltip("服务商:N"), alt.Tooltip("违规:N"), alt.Tooltip("条数:Q")],
        )
        .properties(height=26 * len(shown) + 170)
    )
    total, (worst, number), (kind, often) = sum(sums.values()), next(iter(sums.items())), next(iter(kinds.items()))
    cut = f"画出最多的 {len(shown)} 家；" if len(sums) > len(shown) else ""
    words = f"违规最多的是{worst}（{number} 条，占 {number / total:.0%}）"
    charts.show_chart(f"{cut}{words}；最常见的是{kind}（{often} 条，占 {often / total:.0%}）。", chart)


def _show_table(found: Sequence[Count], before: Sequence[Count] | None, first: date, last: date) -> None:
    kinds, sums = list(by_kind(found)), by_provider(found)
    earlier = by_provider(before) if before is not None else {}
    recipients = data.providers()
    length = (last - first).days + 1
    columns = [
        Column("服务商"),
        Column("合计", "count"),
        *([Column(f"前 {length} 天", "count"), Column("变化", "percent")] if before is not None else []),
        *(Column(kind, "count") for kind in kinds),
        Column("最近一次"),
        Column("谁收消息", help="config/service_providers.yaml 里的收件人；没有写的发给 ops"),
    ]
    rows: list[list[Cell]] = []
    for provider, number in sums.items():
        own = {one.kind: one for one in found if one.provider == provider}
        compared: list[Cell] = [earlier.get(provider, 0), change(number, earlier.get(provider, 0))]
        recipient = recipients.recipient(provider)
        rows.append(
            [
                provider,
                number,
                *(compared if before is not None else []),
                *(own[kind].number if kind in own else 0 for kind in kinds),
                str(max(one.last for one in own.values())),
                recipient_name(recipient) if recipient else "ops（没有写收件人）",
            ]
        )
    st.subheader("按服务商", anchor=False)
    show_table("按服务商", columns, rows, file_name=f"服务商违规-{first}-{last}")


def _show_lines(number: int, first: date, last: date, provider: str) -> None:
    folded = fold("lines", f"逐条查看（{number:,} 条）")
    if folded is None:
        return
    found = data.sla_lines(first, last, provider, LINES_SHOWN)
    with folded:
        every = partial(data.every_sla_line, first, last, provider)
        show_newest("违规明细", LINES, found, _line_row, every, file_name=f"违规明细-{first}-{last}")


def _line_row(one: Line) -> list[Cell]:
    return [
        str(one.day),
        one.provider,
        one.kind or sla.UNNAMED,
        one.order_number,
        one.appointment_id,
        one.supervisor,
        one.work_type,
        one.memo,
        one.created_at,
    ]


# -- what providers were told ----------------------------------------------------------------------------------------


def _show_weeks(provider: str) -> None:
    st.subheader("每周发给服务商的消息", anchor=False)
    weeks = {str(one.monday): one for one in data.sla_weeks()}
    done = [name for name, one in weeks.items() if one.reported_at]
    default = done[0] if done else next(iter(weeks))
    with filters.bar():
        chosen = weeks[
            filters.choose("week", "哪一周", list(weeks), default, shown=lambda name: _week_words(weeks[name]))
        ]
    told_on = in_shanghai(chosen.reported_at).date() if chosen.reported_at else chosen.last + timedelta(days=1)
    texts = data.sla_week_texts(chosen.monday, told_on, chosen.reported_at is not None)
    texts = [one for one in texts if provider in ("", one.provider)]
    st.caption(_told_words(chosen, texts))
    if not texts:
        show_nothing("这一周没有要发给服务商的消息")
    for one in texts:
        _show_text(chosen, one)


def _week_words(week: Week) -> str:
    return f"{week.monday:%m-%d} 到 {week.last:%m-%d}{'' if week.reported_at else '（未发）'}"


def _told_words(week: Week, texts: Sequence[WeekText]) -> str:
    reports = sum(not one.is_praise for one in texts)
    numbers = f"周报 {reports} 份、表扬 {len(texts) - reports} 份"
    if week.reported_at is None:
        return f"还没有发：照现在的数据会发{numbers}；下面是到时候的样子。"
    return f"{format_moment(week.reported_at)[:16]} 放进队列：{numbers}。"


def _show_text(week: Week, one: WeekText) -> None:
    title = f"{'🌟 表扬' if one.is_praise else '📊 周报'}　{one.provider}"
    folded = fold(f"{week.monday}_{title}", headed(title, *_state_words(one)))
    if folded is not None:
        folded.code(one.text, language=None, wrap_lines=True)


def _state_words(one: WeekText) -> tuple[str, ...]:
    if one.origin == "preview":
        return ("预览",)
    if one.origin == "purged" or one.recipient is None or one.at is None:
        return ("已发送；原文已清理，下面按现有的数据重写",)
    return STATUS_WORDS[one.status or ""], recipient_name(one.recipient), format_moment(one.at)[:16]


def _total(found: Sequence[Count]) -> int:
    return sum(one.number for one in found)


main()
