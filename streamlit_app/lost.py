"""An address that no page has: the first page is shown, and says so. Streamlit says it in English, in a box over it."""

import streamlit as st
from streamlit.commands import navigation
from streamlit.runtime.scriptrunner import ScriptRunContext

_LOST = "lost"


def say_so() -> None:
    """From now on, in this process."""
    navigation.send_page_not_found = note


def note(ctx: ScriptRunContext) -> None:
    """In place of the box."""
    st.session_state[_LOST] = True


def is_lost() -> bool:
    """Whether somebody came to this page by such an address; asked again, not any more."""
    return bool(st.session_state.pop(_LOST, False))
