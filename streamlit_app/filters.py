"""Filters, kept in the address of the page: a view can be shared, reloaded, and goes along to the other pages.

Each filter has one name everywhere: `month`, `city`, `campaign`, `housekeeper`, `award`, `track`, `days`.
"""

from collections.abc import Callable, Sequence
from datetime import date

import streamlit as st
from streamlit.elements.lib.grid_container import GridContainer

from modules.figures.months import Period
from modules.figures.ranking import Track
from streamlit_app import data

TRACKS: dict[str, Track] = {"全部": "", "平台单": "platform", "自引单": "self_referral"}


def bar() -> GridContainer:
    """Where filters stand: beside each other, on a phone two in a row."""
    return st.grid(min_column_width=150)


def choose_month() -> str | None:
    """A month with a ledger, the newest one unless another is asked for; None where there is none."""
    found = data.known_months()
    return choose("month", "月份", found, default=found[0]) if found else None


def choose_campaign(month: str) -> str | None:
    """A campaign of the month."""
    found = data.known_campaigns(month)
    names = {key: f"{_city_of(key)}（{key}）" for key in found}
    return choose("campaign", "活动", found, default=found[0], shown=names.__getitem__) if found else None


def choose(name: str, label: str, options: Sequence[str], default: str, shown: Callable[[str], str] = str) -> str:
    """One of the options; it stands in the address even where it is the default, as that may be another tomorrow."""
    if st.session_state.get(name, st.query_params.get(name)) not in options:
        st.session_state[name] = default
    picked = st.selectbox(label, options, index=None, format_func=shown, key=name, bind="query-params")
    return picked if picked is not None else default


def choose_or_all(name: str, label: str, options: Sequence[str], shown: Callable[[str], str] = str) -> str | None:
    """One of the options, or None for all of them."""
    if st.session_state.get(name) not in (None, *options):
        st.session_state[name] = None
    return st.selectbox(
        label, options, index=None, format_func=shown, placeholder="全部", key=name, bind="query-params"
    )


def choose_track() -> Track:
    """Platform contracts, self-referrals, or both."""
    picked = st.segmented_control("渠道", list(TRACKS), default="全部", key="track", bind="query-params", required=True)
    return TRACKS[picked or "全部"]


def choose_days(period: Period) -> tuple[date, date] | None:
    """The first and the last day; None for the whole campaign."""
    whole = (period.start, period.end)
    picked = st.date_input("签约日期", whole, period.start, period.end, key="days", bind="query-params")
    return (picked[0], picked[1]) if len(picked) == 2 and picked != whole else None


def _city_of(key: str) -> str:
    campaign = data.configured().valid.get(key)
    return campaign.city if campaign else key.partition("-")[0]
