"""Streamlit's own command line, as `python -m streamlit`, but for one thing.

Until a run of a page has called `st.navigation`, Streamlit takes a folder `pages/` beside app.py for the whole
navigation: the first one to come after a start would see pages by file name, without app.py around them.
"""

import sys

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.cli import main

if __name__ == "__main__":
    PagesManager.uses_pages_directory = False
    sys.exit(main(prog_name="streamlit"))
