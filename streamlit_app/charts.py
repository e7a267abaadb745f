"""Charts, each under a sentence that says what it shows. Colours come from the theme (.streamlit/config.toml).

Every channel is given as an object, `alt.Text("words:N")`: where it is given as text alone, Altair goes through all its
classes to find which one it means, which takes as long as the rest of the chart.
"""

from collections.abc import Iterable, Sequence

import altair as alt
import pandas as pd
import streamlit as st

from modules.rewards.money import format_yuan
from streamlit_app.words import pixels_of, plain

ROOM_FOR_WORDS = 1.25
"""How much longer than its longest bar a chart is that writes the amount behind each."""


MOST_TICKS = 5
"""On an axis of numbers."""


def yuan(fen: int) -> str:
    """For figures that are read at a glance: `8,686 元`, from a hundred thousand on `133.78 万元`."""
    if abs(fen) < 10_000_000:
        return f"{format_yuan(fen if abs(fen) < 1_000_000 else round(fen / 100) * 100)} 元"
    return f"{fen / 1_000_000:,.2f} 万元"


def unit_of(fen: Iterable[int]) -> tuple[str, int]:
    """In what an axis counts such amounts, and how many fen that is: 元, from a hundred thousand on 万元."""
    return ("万元", 1_000_000) if max(map(abs, fen), default=0) >= 10_000_000 else ("元", 100)


def show_chart(says: str, chart: alt.Chart | alt.LayerChart | alt.FacetChart) -> None:
    """Any chart, with its sentence above it."""
    st.caption(plain(says))
    near = alt.AxisConfig(labelPadding=8, titlePadding=10)
    st.altair_chart(chart.configure(axis=near, axisQuantitative=alt.AxisConfig(tickCount=MOST_TICKS)), alt=says)


def legend_of(names: Iterable[str]) -> alt.Legend:
    """Above the chart, in as many columns as there is room for; `names` are what is told apart."""
    known = set(names)
    column = max(map(pixels_of, known), default=0) + 24
    columns = alt.ExprRef(f"max(1, min({len(known)}, floor(width / {column})))")
    return alt.Legend(orient="top", columns=columns, titleOrient="left", titlePadding=0, padding=0, offset=10)


def show_bars(says: str, rows: Sequence[tuple[str, float, float]], *, what: str, colour: str) -> None:
    """Horizontal bars in the given order: name, length, and what colours the bar."""
    frame = pd.DataFrame(rows, columns=["name", what, colour])
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X(what, type="quantitative", title=what),
            y=alt.Y("name:N", sort=None, title=None),
            color=alt.Color(colour, type="quantitative", title=colour),
            tooltip=[
                alt.Tooltip("name:N", title="名称"),
                alt.Tooltip(what, type="quantitative", format=",.2f"),
                alt.Tooltip(colour, type="quantitative", format=",.2f"),
            ],
        )
        .properties(height=26 * len(rows) + 60)
    )
    show_chart(says, chart)


def show_pairs(says: str, rows: Sequence[tuple[str, str, float]], *, what: str, of: str) -> None:
    """Bars in pairs: for each name the values of several, told apart by colour in the order in which they come."""
    frame = pd.DataFrame(rows, columns=["name", of, what])
    order = list(dict.fromkeys(row[1] for row in rows))
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y("name:N", sort=None, title=None),
            yOffset=alt.YOffset(of, type="nominal", sort=order),
            x=alt.X(what, type="quantitative", title=what),
            color=alt.Color(of, type="nominal", sort=order, title=None, legend=legend_of(order)),
            tooltip=[
                alt.Tooltip("name:N", title="名称"),
                alt.Tooltip(of, type="nominal"),
                alt.Tooltip(what, type="quantitative", format=",.2f"),
            ],
        )
        .properties(height=34 * len(rows) + 70)
    )
    show_chart(says, chart)


def show_amounts(says: str, rows: Sequence[tuple[str, str, int]], *, of: str, order: Sequence[str]) -> None:
    """Horizontal bars in the given order, each with its amount: name, what colours it, fen."""
    unit, size = unit_of(fen for _, _, fen in rows)
    title = f"金额（{unit}）"
    frame = pd.DataFrame([(name, group, fen / size, yuan(fen)) for name, group, fen in rows])
    frame.columns = pd.Index(["name", of, title, "words"])
    longest, shortest = frame[title].max(), frame[title].min()
    base = alt.Chart().encode(
        x=alt.X(
            title,
            type="quantitative",
            scale=alt.Scale(domain=[min(shortest, 0), max(longest, 0) * ROOM_FOR_WORDS]),
        ),
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=160)),
        tooltip=[
            alt.Tooltip("name:N", title="名称"),
            alt.Tooltip(of, type="nominal"),
            alt.Tooltip("words", title="金额"),
        ],
    )
    has_legend = len({group for _, group, _ in rows}) > 1 and any(name != group for name, group, _ in rows)
    legend = legend_of(order) if has_legend else None
    colour = alt.Color(of, type="nominal", scale=alt.Scale(domain=list(order)), title=None, legend=legend)
    bars = base.mark_bar(cornerRadiusEnd=3).encode(color=colour)
    words = base.mark_text(align="left", dx=5).encode(text=alt.Text("words:N"), color=colour)  # one for both themes
    show_chart(says, alt.layer(bars, words, data=frame).properties(height=32 * len(rows) + (130 if has_legend else 80)))


def show_stacks(
    says: str, rows: Sequence[tuple[str, str, int]], *, of: str, order: Sequence[str], names: Sequence[str], flat: bool
) -> None:
    """Bars of several colours on top of each other: name, what colours it, fen.

    `names` is every name in order, also those without a bar; `flat` lays the bars down.
    """
    unit, size = unit_of(fen for _, _, fen in rows)
    title = f"金额（{unit}）"
    frame = pd.DataFrame([(name, group, fen / size) for name, group, fen in rows], columns=["name", of, title])
    bars = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            color=alt.Color(
                of,
                type="nominal",
                scale=alt.Scale(domain=list(order)),
                title=None,
                legend=legend_of(order),
            ),
            tooltip=[
                alt.Tooltip("name:N", title="名称"),
                alt.Tooltip(of, type="nominal"),
                alt.Tooltip(title, type="quantitative", format=",.2f"),
            ],
        )
    )
    scale = alt.Scale(domain=list(names))
    label = alt.Axis(labelLimit=160, labelOverlap=not flat, labelAngle=0)
    if flat:
        across = alt.X(title, type="quantitative", title=title, stack="zero")
        down = alt.Y("name:N", sort=list(names), scale=scale, title=None, axis=label)
        show_chart(says, bars.encode(x=across, y=down).properties(height=30 * len(names) + 130))
    else:
        across = alt.X("name:N", sort=list(names), scale=scale, title=None, axis=label)
        down = alt.Y(title, type="quantitative", title=title, stack="zero")
        show_chart(says, bars.encode(x=across, y=down).properties(height=300))


def show_columns(says: str, rows: Sequence[tuple[str, float]], *, what: str, by: str) -> None:
    """Upright bars in the given order: name and height."""
    frame = pd.DataFrame(rows, columns=[by, what])
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X(by, type="nominal", sort=None, title=by, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y(what, type="quantitative", title=what, axis=alt.Axis(tickMinStep=1)),
            tooltip=[alt.Tooltip(by, type="nominal"), alt.Tooltip(what, type="quantitative", format=",.2~f")],
        )
        .properties(height=270)
    )
    show_chart(says, chart)


def show_lines(says: str, rows: Sequence[tuple[int, str, float]], *, what: str, by: str, of: str) -> None:
    """A line for each of several: whole number on the axis `by`, whose line, and height."""
    frame = pd.DataFrame(rows, columns=[by, of, what])
    order = list(dict.fromkeys(row[1] for row in rows))
    last = max(row[0] for row in rows)
    chart = (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=2.5)
        .encode(
            x=alt.X(
                by,
                type="quantitative",
                title=by,
                axis=alt.Axis(format="d", tickMinStep=1),
                scale=alt.Scale(domain=[1, last]),
            ),
            y=alt.Y(what, type="quantitative", title=what),
            color=alt.Color(of, type="nominal", sort=order, title=None, legend=legend_of(order)),
            tooltip=[
                alt.Tooltip(of, type="nominal"),
                alt.Tooltip(by, type="quantitative", format="d"),
                alt.Tooltip(what, type="quantitative", format=",.2~f"),
            ],
        )
        .properties(height=330)
    )
    show_chart(says, chart)
