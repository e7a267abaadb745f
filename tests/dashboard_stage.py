"""Pages of the dashboard as a test sees them: run by Streamlit's AppTest through app.py, as a browser would."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from streamlit.runtime.scriptrunner import RerunData
from streamlit.testing.v1 import AppTest, local_script_runner

from modules import service_provider_sla_monitor as monitor
from modules.clock import SHANGHAI, parse_moment
from modules.sandbox.sample_violations import SLA_CARD, VIOLATION_COLUMNS, sample_violations
from modules.settings import ROOT
from streamlit_app import reading, tables
from tests.desk import Desk

APP = ROOT / "streamlit_app" / "app.py"
PAGES = sorted(file.stem for file in (APP.parent / "pages").glob("*.py"))
PASSWORD = "Geheim-und-lang"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes that are checked at once, which those of `hash-password` are not."""


def look_at(patch: pytest.MonkeyPatch, moment: str) -> None:
    """The dashboard's clock stands there."""
    patch.setattr(reading, "shanghai_now", lambda: parse_moment(moment))


def open_page(name: str, **asked: str) -> AppTest:
    """`pages/<name>.py` as it is first drawn, with these filters in its address."""
    page = AppTest.from_file(APP, default_timeout=60)
    page.run()
    page.switch_page(f"pages/{name}.py")
    page.query_params.clear()  # of the first page
    for key, value in asked.items():
        page.query_params[key] = value
    return page.run()


def run_violations(desk: Desk, first: date, last: date, missed: Collection[date] = ()) -> None:
    """The daily reports on violations of these days, but for those that were missed; the messages are in the queue."""
    for shift in range((last - first).days + 1):
        day = first + timedelta(days=shift)
        if day not in missed:
            desk.source.set_card(SLA_CARD, VIOLATION_COLUMNS, sample_violations(day))
            desk.clock.now = slot_after(day)
            monitor.run(desk.app, desk.clock.now, desk.app.database.writing)


def slot_after(day: date) -> datetime:
    """When the violations of a day are reported."""
    return datetime.combine(day + timedelta(days=1), time(11), SHANGHAI)


def figure_of(desk: Desk, query: str) -> int:
    """One figure by SQL of the test's own; a sum of nothing is no figure."""
    with desk.app.database.reading() as connection:
        return int(connection.execute(sa.text(query)).scalar_one())


def unfold(page: AppTest) -> AppTest:
    """With all its folds opened."""
    for folded in page.expander:
        page.session_state[folded.proto.id.split("-", 2)[2]] = True  # $$ID-hash-key
    return page.run()


def renew_parts(page: AppTest, patch: pytest.MonkeyPatch) -> AppTest:
    """The parts of the page that are drawn anew by themselves, as the browser asks for them after a while."""
    parts = list(page._fragment_storage._fragments)  # AppTest has no way to ask for them
    with patch.context() as asking:
        asking.setattr(local_script_runner, "RerunData", partial(RerunData, fragment_id_queue=parts))
        return page.run()


def cards(page: AppTest) -> dict[str, str]:
    """The figures at the top, by title."""
    return {card.label: card.value for card in page.metric}


def words(page: AppTest) -> str:
    """All that is said on the page: errors, warnings, hints, captions and texts."""
    kinds = (page.error, page.warning, page.info, page.success, page.caption, page.markdown, page.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def table(page: AppTest, number: int = 0) -> list[dict[str, object]]:
    """The rows of a table by column, as they are shown."""
    rows: list[dict[str, object]] = page.dataframe[number].value.to_dict("records")
    return rows


def keep_downloads(patch: pytest.MonkeyPatch) -> dict[str, Callable[[], bytes]]:
    """By file name what the buttons of pages that are drawn from now on would give: AppTest presses none of them."""
    offered: dict[str, Callable[[], bytes]] = {}
    real = tables.st.download_button

    def kept(label: str, make: Callable[[], bytes], file_name: str, *args: Any, **kwargs: Any) -> bool:
        offered[file_name] = make
        return real(label, make, file_name, *args, **kwargs)

    patch.setattr(tables.st, "download_button", kept)
    return offered


def asked(page: AppTest) -> dict[str, str]:
    """The filters that stand in the address."""
    return {name: value[0] if isinstance(value, list) else value for name, value in page.query_params.items()}
