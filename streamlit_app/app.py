"""What Streamlit runs: the door, the pages, and errors in words. Start it with `main.py dashboard`."""

from pathlib import Path

import streamlit as st

from modules.log_config import configure_logging
from streamlit_app import reading
from streamlit_app.frame import guard
from streamlit_app.sign_in import is_known, require_viewer

ICON = Path(__file__).parent / "icon.png"
"""A file of our own: an emoji or a symbol would be fetched from outside."""

STYLE = Path(__file__).parent / "style.css"

FOLDER = Path(__file__).parent / "pages"

PAGES = {
    "业绩": [
        st.Page(FOLDER / "overview.py", title="总览", icon=":material/monitoring:", default=True),
        st.Page(FOLDER / "ranking.py", title="排行榜", icon=":material/leaderboard:", url_path="ranking"),
        st.Page(FOLDER / "housekeeper.py", title="管家详情", icon=":material/badge:", url_path="housekeeper"),
        st.Page(FOLDER / "rewards.py", title="奖励构成", icon=":material/donut_small:", url_path="rewards"),
        st.Page(FOLDER / "trends.py", title="趋势", icon=":material/trending_up:", url_path="trends"),
        st.Page(FOLDER / "simulation.py", title="方案模拟", icon=":material/tune:", url_path="simulation"),
        st.Page(FOLDER / "payout.py", title="发放", icon=":material/payments:", url_path="payout"),
    ],
    "运行": [
        st.Page(FOLDER / "queue.py", title="通知队列", icon=":material/outgoing_mail:", url_path="queue"),
        st.Page(FOLDER / "sla.py", title="服务商SLA", icon=":material/handyman:", url_path="sla"),
        st.Page(FOLDER / "status.py", title="运行状况", icon=":material/vital_signs:", url_path="status"),
    ],
}
"""A new page is a file in pages/ and a line here."""

SIDEBAR_PIXELS = 216
"""As much as the names of the pages need."""


@st.cache_resource(max_entries=1, show_spinner=False)
def _log_to_files() -> bool:
    """Once for the process."""
    configure_logging(reading.settings(), console=False)
    return True


def main() -> None:
    """One run: for whoever may, the chosen page."""
    st.set_page_config("签约激励看板", str(ICON), layout="wide", initial_sidebar_state=SIDEBAR_PIXELS)
    st.html(STYLE)
    with guard():
        page = st.navigation(PAGES, position="sidebar" if is_known() else "hidden")
        _log_to_files()
        require_viewer()
        page.run()


main()
