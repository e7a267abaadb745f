"""The address of a page: what it asks of the filters, and what a run of the page leaves in it.

An address that says anything says everything, be it a link, a reload or the way back: what it leaves out is at its
default, whatever was chosen before. A bare one, as the links of the sidebar are, says nothing, and what this session
itself has left there says nothing new: then filters stay as they are.

What a run chooses goes into the address at its end, all at once: each change of it is a step of the browser's way back.
"""

from dataclasses import dataclass, field

import streamlit as st

_RUN = "address"


@dataclass
class _Run:
    """A run of a page, with those before it that were cut short: filters that were drawn there count as chosen."""

    page: str
    stood: dict[str, str]
    asks: dict[str, str] | None = None
    chosen: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def read(page: str) -> None:
    """At the start of a run of this page: see whether the address asks for anything."""
    stands, before = st.query_params.to_dict(), st.session_state.get(_RUN)
    if isinstance(before, _Run) and (before.page, before.stood) == (page, stands):
        return
    is_new = bool(stands) and not (isinstance(before, _Run) and before.stood == stands)
    st.session_state[_RUN] = _Run(page, stands, stands if is_new else None)


def asked(name: str) -> str | None:
    """What the address asks of a filter, empty where it leaves it out; None: nothing, the filter stays as it is."""
    run = _run()
    return None if run.asks is None or name in run.chosen else run.asks.get(name, "")


def write(name: str, value: str) -> None:
    """What a filter stands at; nothing for the empty value. It stays so for the session."""
    _run().chosen[name] = value
    st.session_state[_kept(name)] = value


def kept(name: str) -> str:
    """What the filter stood at when it was last drawn, on whatever page."""
    value: str = st.session_state.get(_kept(name), "")
    return value


def refuse(name: str, words: str) -> None:
    """What a filter, or the page itself, could not take of the address is told on top of the page, once."""
    _run().refused[name] = words


def refused() -> list[str]:
    """All that this run could not take."""
    return [*_run().refused.values()]


def keep() -> None:
    """At the end of a run: what it chose, into the address."""
    run, stands = _run(), st.query_params.to_dict()
    wanted = {name: value for name, value in {**stands, **run.chosen}.items() if value}
    if wanted != stands:
        st.query_params.from_dict(wanted)
    st.session_state[_RUN] = _Run(run.page, wanted)


def _run() -> _Run:
    run: _Run = st.session_state[_RUN]
    return run


def _kept(name: str) -> str:
    return f"kept_{name}"
