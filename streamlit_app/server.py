"""Serves the dashboard until it is stopped: `python -m streamlit_app.server ADDRESS PORT`, started by launch.py.

Four habits of Streamlit are put off:

Until a run of a page has called `st.navigation`, it takes a folder `pages/` beside app.py for the whole navigation: the
first one to come after a start would see pages by file name, without app.py around them.

When a web page from elsewhere knocks, it asks a server outside for this machine's address, to see whether the page is
its own. Here nobody outside is asked: it is not.

Where a file for download can't be made, it does not say why (downloads.py).

At an address that no page has it puts a box in English over the first page (lost.py).
"""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from pkgutil import iter_modules

import streamlit as st
from streamlit import net_util
from streamlit.runtime.pages_manager import PagesManager

from streamlit_app.place import address_words
from streamlit_app.served import APP, Dashboard

RUN = ("app", "server")
"""What is run and not imported."""


def main(address: str, port: int) -> None:
    """Listen there; asked to end by Ctrl-C or SIGTERM, answer what was asked before, and return."""
    PagesManager.uses_pages_directory = False
    net_util.get_external_ip = no_external_ip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        app = Dashboard(APP, lifespan=partial(open_to_all, place=address_words(address, port)))
        app.run(config={"server.address": address, "server.port": port})


def no_external_ip() -> None:
    """In place of the question to a server outside."""


@asynccontextmanager
async def open_to_all(app: st.App, place: str) -> AsyncIterator[None]:
    """From the first answer to the last; both are told. Who comes before it waits."""
    import_parts()
    import_module("streamlit_app.downloads").say_why()
    import_module("streamlit_app.lost").say_so()
    print(f"看板已启动：{place}（按 Ctrl-C 停止）", file=sys.stderr, flush=True)
    yield
    print("看板已停止", file=sys.stderr, flush=True)


def import_parts() -> None:
    """All that pages are made of, and with it pandas, Altair and the like: no page has to wait for it."""
    for part in iter_modules([str(APP.parent)]):
        if part.name not in RUN:
            import_module(f"streamlit_app.{part.name}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
