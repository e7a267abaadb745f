"""Whole pages on PostgreSQL: each shows there what it shows on SQLite."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from modules.clock import parse_moment
from modules.tables import tasks
from streamlit_app import data
from tests.dashboard_stage import PAGES, cards, look_at, open_page, run_violations, table
from tests.desk import be_in, lasting_desk, run_two_months
from tests.postgres import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environments(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, postgres: Server
) -> Iterator[dict[str, Mapping[str, str]]]:
    """By kind of database the environment of an installation with two months, violations and a message that failed."""
    name = f"test_{uuid.uuid4().hex}"
    urls: dict[str, dict[str, str]] = {
        "sqlite": {},
        "postgresql": {"DATABASE_URL": postgres.create(name, "template_tasks")},
    }
    made: dict[str, Mapping[str, str]] = {}
    for kind, url in urls.items():
        with lasting_desk(tmp_path_factory.mktemp(kind) / "installation", empty_database, **url) as desk:
            run_two_months(desk)
            run_violations(desk, date(2025, 5, 1), date(2025, 5, 30), [date(2025, 5, 14)])
            desk.clock.now = parse_moment("2025-06-02T12:00")
            desk.drain()
            with desk.app.database.writing() as connection:
                connection.execute(sa.update(tasks).values(updated_at=desk.clock.now))  # the sender's is the wall's
                failed = {"status": "failed", "last_error": "机器人密钥不对"}
                connection.execute(sa.update(tasks).where(tasks.c.id == 3).values(failed))
            made[kind] = desk.environ
    yield made
    data.close()
    postgres.drop(name)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_shows_the_same_on_either_database(
    environments: dict[str, Mapping[str, str]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at(monkeypatch, "2025-06-02T12:00")
    shown = {}
    for kind, environ in environments.items():
        data.close()
        be_in(environ, monkeypatch)
        page = open_page(name)
        assert not page.exception
        assert "这个页面出错了" not in "\n".join(str(error.value) for error in page.error)
        shown[kind] = (cards(page), tables(page))
    assert shown["postgresql"] == shown["sqlite"]
    assert any(shown["sqlite"])


def tables(page: AppTest) -> list[list[dict[str, object]]]:
    """All tables as text (a missing figure equals another), but for what says where the database is."""
    found = [table(page, number) for number in range(len(page.dataframe))]
    rows = [[{title: str(cell) for title, cell in row.items()} for row in one] for one in found]
    return [one for one in rows if not any("数据库" in row.values() for row in one)]
