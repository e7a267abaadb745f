"""Filters, kept in the address of the page: a view can be shared, reloaded, and goes along to the other pages.

Each filter has one name everywhere, in the address and in the session: `month`, `campaign`, `housekeeper`, `person`,
`award`, `track`, `days`, `state`, `recipient`, `set`, `provider`, `dates`, `week`. The `person` who is looked at is not
the `housekeeper` that a table is cut down to: a look at somebody must not leave the table with one row. For a `city`,
which a link may name, a campaign stands. A filter that always has a value stands in the address even where it is the
default, as that may be another tomorrow. Streamlit's own `bind="query-params"` leaves defaults out.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import NoReturn

import streamlit as st
from streamlit.elements.lib.grid_container import GridContainer

from modules.figures.cut import Track
from modules.figures.months import Period, campaigns_of, city_code, month_of, months_of
from streamlit_app import address, data, reading
from streamlit_app.frame import NOTHING_PULLED, show_nothing

TRACKS: dict[str, Track] = {"平台单": "platform", "自引单": "self_referral"}


def bar() -> GridContainer:
    """Where filters stand: beside each other, on a phone two in a row."""
    return st.grid(min_column_width=165)


def choose_month() -> str | None:
    """A month with a ledger; None where there is none. An address with a campaign or a city alone means one of its."""
    periods = data.periods()
    found = months_of(periods.values())
    if not found:
        return None
    campaign, city = periods.get(address.asked("campaign") or ""), address.asked("city")
    of_city = months_of(one for one in periods.values() if _is_in(one, city))
    default = campaign.month if campaign else (of_city or found)[0]
    return choose("month", "月份", found, default)


def require_campaign(nothing: str = NOTHING_PULLED) -> tuple[Period, GridContainer]:
    """A month and one of its campaigns, and the bar they stand in, where a page may put more filters.

    Where there is no campaign with data, the page says `nothing` and ends here.
    """
    filters = bar()
    with filters:
        month = choose_month()
        if month is not None:
            periods = data.periods()
            found = campaigns_of(periods.values(), month)
            city = address.asked("city") or city_code(_settle("campaign") or "")
            default = next((key for key in found if _is_in(periods[key], city)), found[0])
            period = periods[choose("campaign", "活动", found, default, shown=campaign_words)]
            _refuse("city", "城市", not _is_in(period, city), period.city)
            address.write("city", "")  # the campaign stands for it
            return period, filters
    show_nothing(nothing)
    st.stop()


def choose_track() -> Track:
    """Platform contracts, self-referrals, or both."""
    return TRACKS.get(choose_or_all("track", "渠道", list(TRACKS)) or "", "")


def choose_days(period: Period) -> tuple[date, date] | None:
    """The first and the last day that contracts were signed on; None for the whole campaign."""
    whole = (period.start, period.end)
    picked = choose_dates("days", "签约日期", whole, whole, of=period.campaign, leaves_default_out=True)
    return None if picked == whole else picked


def choose_dates(
    name: str,
    label: str,
    within: tuple[date, date],
    default: tuple[date, date],
    of: str = "",
    *,
    leaves_default_out: bool = False,
) -> tuple[date, date]:
    """A first and a last day of those `within`; while only the first is picked, the default. `of`: whose they are."""
    key, asked = f"{name}_{of}", address.asked(name)
    if asked is not None or key not in st.session_state:
        days = _days_of(address.kept(name) if asked is None else asked)
        is_within = days is not None and within[0] <= days[0] <= days[1] <= within[1]
        st.session_state[key] = days if is_within else default
        _refuse(name, label, not is_within, _days_words(default))
    picked = st.date_input(label, default, *within, key=key)
    if len(picked) != 2:
        return default
    address.write(name, "" if leaves_default_out and picked == default else _days_words(picked))
    return picked


def choose(name: str, label: str, options: Sequence[str], default: str, shown: Callable[[str], str] = str) -> str:
    """One of the options."""
    kept = _settle(name)
    st.session_state[name] = kept if kept in options else default
    picked = st.selectbox(label, options, format_func=shown, key=name)
    _refuse(name, label, kept not in options, shown(picked))
    address.write(name, picked)
    return picked


def choose_or_all(name: str, label: str, options: Sequence[str], shown: Callable[[str], str] = str) -> str | None:
    """One of the options, or None for all of them."""
    kept = _settle(name)
    st.session_state[name] = kept if kept in options else None
    picked = st.selectbox(label, options, None, format_func=shown, placeholder="全部", key=name)
    _refuse(name, label, kept not in options, shown(picked) if picked else "全部")
    address.write(name, picked or "")
    return picked


def open_housekeeper(campaign: str, housekeeper: str) -> NoReturn:
    """The page of a housekeeper in a campaign, in place of the one that is being drawn.

    Streamlit gives this address to the page that is left, too: with its other filters in it, the way back finds them.
    """
    asked = st.query_params.to_dict() | {"month": month_of(campaign), "campaign": campaign, "person": housekeeper}
    st.switch_page("pages/housekeeper.py", query_params=asked)


def campaign_words(key: str) -> str:
    """`北京 BJ-2025-05`."""
    campaign = reading.configured().valid.get(key)
    return f"{campaign.city} {key}" if campaign else key


def _refuse(name: str, label: str, is_refused: bool, shown: str) -> None:
    asked = address.asked(name)
    if asked and is_refused:
        address.refuse(name, f"链接里的{label}“{asked}”在这里没有，显示的是 {shown}")


def _is_in(period: Period, city: str | None) -> bool:
    """Whether the city, by code or by name, is the campaign's."""
    return city in (city_code(period.campaign), period.city)


def _settle(name: str) -> str | None:
    """What a filter is to show, before its widget is drawn.

    The address counts where it asks for anything. Else what the person before it chose, on this page or on the one
    before. Whoever asks sets it in the session in any case: of itself a widget of another page does not keep its value.
    """
    asked = address.asked(name)
    if asked is not None:
        return asked or None
    chosen: str | None = st.session_state[name] if name in st.session_state else address.kept(name) or None
    return chosen


def _days_words(days: tuple[date, date]) -> str:
    return f"{days[0]}~{days[1]}"


def _days_of(text: str) -> tuple[date, date] | None:
    """`2025-05-01~2025-05-15`; None where it is nothing of the kind."""
    first, _, last = text.partition("~")
    try:
        return date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        return None
