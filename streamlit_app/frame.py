"""The frame of every page: who may see it, title, how fresh the data is, and errors in words instead of tracebacks."""

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from modules.clock import format_moment
from modules.errors import EXPECTED_ERRORS, words_of
from modules.figures.freshness import age_words
from streamlit_app import address, data, lost, reading
from streamlit_app.access import AccessError, Viewer
from streamlit_app.sign_in import require_viewer, show_viewer
from streamlit_app.words import plain

log = logging.getLogger(__name__)

NOTHING_PULLED = "还没有任何活动的数据；后台程序第一次拉取之后，这里就有了"
"""What a page says that has no campaign to show."""

P = ParamSpec("P")

LOOK_EVERY_SECONDS = 30
"""How often the line about freshness is drawn anew by itself."""


def page(title: str, says: str, *, waits: bool = False) -> Callable[[Callable[[Viewer], None]], Callable[[], None]]:
    """Makes what draws a page for a viewer into the page. `says` tells in a sentence what it shows.

    Once the ledgers have moved on, the page is drawn anew by itself: what is chosen and typed stays, as widgets keep
    it. Only an open dialog would be closed, and selected rows are lost where others stand there now: a page with
    such things `waits` until it is told to.

    Nobody gets past the head without signing in, where that is needed: also not where Streamlit runs the page's file by
    itself, without app.py around it (see server.py).
    """

    def framed(draw: Callable[[Viewer], None]) -> Callable[[], None]:
        @guarded
        def drawing() -> None:
            viewer = require_viewer()
            show_viewer(viewer)
            st.title(title, anchor=False)
            st.caption(says)
            _show_freshness(reading.stamp(), waits)
            address.read(title)
            if lost.is_lost():
                address.refuse("page", f"没有这个网址的页面，显示的是{title}")
            on_top = st.container()
            with guard():
                draw(viewer)
            for words in address.refused():
                on_top.warning(plain(words), icon=":material/link_off:")
            address.keep()

        return drawing

    return framed


@contextmanager
def guard() -> Iterator[None]:
    """What goes wrong inside is said in a line; the traceback goes to the log."""
    try:
        yield
    except (*EXPECTED_ERRORS, AccessError) as error:
        log.error("看板：%s", words_of(error))  # noqa: TRY400 - the words say it all
        show_fault(plain(words_of(error)))
    except Exception:
        log.exception("看板的页面出错")
        show_fault("这个页面出错了，原因已写进数据文件夹下的 logs/app.log；请稍后刷新，仍不行请联系维护人员")


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """The same for a fragment or a dialog, which Streamlit draws on its own."""

    @wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> None:
        with guard():
            draw(*args, **kwargs)

    return drawing


def show_fault(words: str) -> None:
    """Something is wrong: what, and what to do. Markdown: `plain` for what comes from outside."""
    st.error(words, icon=":material/error:")


def show_nothing(words: str) -> None:
    """There is nothing to show yet, and why."""
    st.info(words, icon=":material/inbox:")


def fold(name: str, label: str) -> DeltaGenerator | None:
    """A part of the page that is drawn when somebody opens it, so that nobody else waits for it; None while closed.

    `name` tells folds of a page apart; `label` is Markdown.
    """
    folded = st.expander(label, key=f"fold_{name}", on_change="rerun")
    return folded if folded.open else None


@st.fragment(run_every=LOOK_EVERY_SECONDS)
@guarded
def _show_freshness(drawn: Hashable, waits: bool) -> None:
    """`drawn`: the state of the ledgers that the page was drawn with."""
    if reading.stamp() != drawn and (not waits or st.button("有新数据，点此刷新", icon=":material/refresh:")):
        st.rerun(scope="app")
    fresh = data.freshness()
    words = "还没有成功拉取过数据"
    if fresh.at is not None:
        words = f"数据更新于 {format_moment(fresh.at)[:16]}（{age_words(reading.now() - fresh.at)}）"
    late = []
    if fresh.stale:
        late.append(f"{plain('、'.join(fresh.stale))} 正在活动期内，却很久没有成功拉取，下面的数字已经过时")
    if fresh.missing:
        late.append(f"{plain('、'.join(fresh.missing))} 正在活动期内，却还没有成功拉取过")
    if late:
        st.error(f"{'；'.join([words, *late])}：请看后台程序是否在运行", icon=":material/sync_problem:")
    elif data.campaign_faults():
        st.caption(
            f":material/schedule: {words}；活动配置有错，有的活动可能没有运行，或仍照改错之前的配置；请看“运行状况”"
        )
    elif not fresh.active:
        st.caption(f":material/schedule: {words}；现在没有进行中的活动")
    else:
        st.caption(f":material/schedule: {words}，每 {LOOK_EVERY_SECONDS} 秒自动检查")
