"""Charts, each under a sentence that says what it shows. Colours come from the theme (.streamlit/config.toml)."""

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from modules.rewards.money import format_yuan


def yuan(fen: int) -> str:
    """For figures that are read at a glance: `8,686 元`, from a hundred thousand on `133.78 万元`."""
    if abs(fen) < 10_000_000:
        return f"{format_yuan(fen if abs(fen) < 1_000_000 else round(fen / 100) * 100)} 元"
    return f"{fen / 1_000_000:,.2f} 万元"


def show_chart(says: str, chart: alt.Chart | alt.LayerChart) -> None:
    """Any chart, with its sentence above it."""
    st.caption(says)
    st.altair_chart(chart, alt=says)


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
            color=alt.Color(of, type="nominal", sort=order, title=None, legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("name:N", title="名称"),
                alt.Tooltip(of, type="nominal"),
                alt.Tooltip(what, type="quantitative", format=",.2f"),
            ],
        )
        .properties(height=34 * len(rows) + 70)
    )
    show_chart(says, chart)
