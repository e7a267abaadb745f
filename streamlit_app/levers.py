"""The levers of a campaign as widgets: what was moved, in the address too, so that a plan can be shared.

A plan stays with its campaign while somebody looks at other pages or other campaigns.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import streamlit as st

from modules.rewards.changes import Change, ChangeError, parse_change, value_at
from modules.rewards.levers import Lever, Value, levers_of, turned_levers
from modules.rewards.money import parse_amount
from modules.simulation_bench import Bench
from streamlit_app import address

SET = "set"
"""The filter that holds what was moved, as for `simulate --set`, with commas between."""

NUMBER = "%.12g"
"""Amounts and factors have their decimals where they have any."""


def turn_levers(bench: Bench) -> list[Change]:
    """A widget for each; what was moved."""
    levers = levers_of(bench.campaign)
    _prepare(bench, levers)
    values: dict[Any, Value] = {}
    groups = list(dict.fromkeys(lever.group for lever in levers))
    for group, tab in zip(groups, st.tabs(groups), strict=True):
        with tab, st.grid(4, min_column_width=150):
            for lever in levers:
                if lever.group == group:
                    values[lever.path] = _turn(bench, lever)
    changes = turned_levers(levers, values)
    st.session_state[_kept(bench)] = changes
    address.write(SET, ",".join(f"{one.name}={one.value}" for one in changes))
    if changes:
        _show_changes(bench, levers, changes)
    return changes


def _show_changes(bench: Bench, levers: Sequence[Lever], changes: Sequence[Change]) -> None:
    """What is moved, in words and with its path; and the way back."""
    labels = {lever.path: f"{lever.group}：{lever.label}" for lever in levers}
    with st.container(border=True):
        lines = [
            f"- {labels[one.path]}　{_words(value_at(bench.entry, one.path), '未写')} → **{_words(one.value, '不限')}**"
            f"　:gray[`{one.name}`]"
            for one in changes
        ]
        st.markdown("\n".join(lines))
        st.button("恢复原配置", on_click=_put_in_place, args=(bench, levers, ()), icon=":material/restart_alt:")


def _words(value: Any, nothing: str) -> str:
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "开" if value else "关"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _prepare(bench: Bench, levers: Sequence[Lever]) -> None:
    """What the widgets are to show: an address's values, else what was moved before, here or on an earlier visit."""
    asked = address.asked(SET)
    if asked is not None:
        _put_in_place(bench, levers, _changes_of(asked, bench.campaign.key, levers))
    elif any(_key(bench, lever) not in st.session_state for lever in levers):
        _put_in_place(bench, levers, st.session_state.get(_kept(bench), ()))


def _put_in_place(bench: Bench, levers: Iterable[Lever], changes: Iterable[Change]) -> None:
    moved = {change.path: change.value for change in changes}
    for lever in levers:
        value = _read(lever, moved[lever.path]) if lever.path in moved else lever.value
        st.session_state[_key(bench, lever)] = _on_widget(lever, value)


def _changes_of(text: str, key: str, levers: Iterable[Lever]) -> list[Change]:
    """Those of an address; what no lever can take is told."""
    found, refused, by_path = [], [], {lever.path: lever for lever in levers}
    for part in filter(None, text.split(",")):
        try:
            change = parse_change(part, key)
            _read(by_path[change.path], change.value)
        except (ChangeError, LookupError, ValueError, TypeError, ArithmeticError):
            refused.append(f"“{part}”")
        else:
            found.append(change)
    if refused:
        address.refuse(SET, f"链接里的改动{'、'.join(refused)}没有采用：这一页没有这一项，或者值不能用")
    return found


def _read(lever: Lever, written: Any) -> Value:
    """As it would be read from the file. Raises ValueError, TypeError or ArithmeticError for what it can't be."""
    if written is None and lever.may_be_none:
        return None
    if lever.kind == "switch":
        if not isinstance(written, bool):
            raise ValueError(written)
        return written
    fen = parse_amount(written)  # no count and no factor is negative or larger either
    match lever.kind:
        case "yuan":
            return fen
        case "count" if fen % 100:
            raise ValueError(written)
        case "count":
            return fen // 100
        case _:
            return Decimal(str(written))


def _turn(bench: Bench, lever: Lever) -> Value:
    key = _key(bench, lever)
    if lever.kind == "switch":
        return bool(st.toggle(lever.label, key=key))
    limits: dict[str, Any] = {"min_value": 0, "step": _step(lever)}
    if lever.kind != "count":
        step = 0.5 if lever.kind == "factor" else float(_step(lever))
        limits = {"min_value": 0.0, "step": step, "format": NUMBER}
    unlimited = "不限" if lever.may_be_none else f"原来是 {NUMBER % _on_widget(lever, lever.value)}"
    number = st.number_input(lever.label, value=None, key=key, placeholder=unlimited, **limits)
    if number is None:
        return None if lever.may_be_none else lever.value
    if lever.kind == "yuan":
        fen: int = round(number * 100)
        return fen
    return Decimal(str(number)) if lever.kind == "factor" else int(number)


def _on_widget(lever: Lever, value: Value) -> int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    return int(value) if lever.kind == "count" else float(value / 100 if lever.kind == "yuan" else value)


def _step(lever: Lever) -> int:
    """80,000 moves by 1,000, 200 by 10."""
    if lever.kind == "count" or lever.value is None:
        return 1 if lever.kind == "count" else 1000
    return int(max(10 ** (len(str(int(lever.value) // 100)) - 2), 1))


def _key(bench: Bench, lever: Lever) -> str:
    return f"lever_{bench.campaign.key}_{'/'.join(map(str, lever.path))}"


def _kept(bench: Bench) -> str:
    return f"moved_{bench.campaign.key}"
