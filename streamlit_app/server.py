"""Serves the dashboard until it is stopped: `python -m streamlit_app.server ADDRESS PORT`, started by launch.py.

Two habits of Streamlit are put off:

Until a run of a page has called `st.navigation`, it takes a folder `pages/` beside app.py for the whole navigation: the
first one to come after a start would see pages by file name, without app.py around them.

When a web page from elsewhere knocks, it asks a server outside for this machine's address, to see whether the page is
its own. Here nobody outside is asked: it is not.
"""

import signal
import sys
from contextlib import suppress

from streamlit import net_util
from streamlit.runtime.pages_manager import PagesManager

from streamlit_app.served import APP, Dashboard


def no_external_ip() -> None:
    """In place of the question to a server outside."""


def main(address: str, port: int) -> None:
    """Listen there; asked to end by Ctrl-C or SIGTERM, answer what was asked before, and return."""
    PagesManager.uses_pages_directory = False
    net_util.get_external_ip = no_external_ip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        Dashboard(APP).run(config={"server.address": address, "server.port": port})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
