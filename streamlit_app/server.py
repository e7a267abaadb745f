"""Streamlit's own command line, as `python -m streamlit`, but for two things.

Until a run of a page has called `st.navigation`, Streamlit takes a folder `pages/` beside app.py for the whole
navigation: the first one to come after a start would see pages by file name, without app.py around them.

When a web page from elsewhere knocks, Streamlit asks a server outside for this machine's address, to see whether the
page is its own. Here nobody outside is asked: it is not.
"""

import sys

from streamlit import net_util
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.cli import main


def no_external_ip() -> None:
    """In place of the question to a server outside."""


if __name__ == "__main__":
    PagesManager.uses_pages_directory = False
    net_util.get_external_ip = no_external_ip
    sys.exit(main(prog_name="streamlit"))
