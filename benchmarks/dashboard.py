"""The dashboard on a year of four cities: the queries of its pages, and whole pages as the server draws them.

`2,000 contracts a campaign` is the size that the aims are for: queries under 100 ms, a first page under 2 s, another
filter under 0.5 s; `a million rows` in all: a page under 3 s. Pages are drawn by Streamlit's AppTest: no browser.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.seeded_contracts import ENTRY, frame
from benchmarks.timing import REPEATS, seconds, timed
from modules import ledger
from modules.campaign_ledger import open_ledger
from modules.campaigns import Campaigns, load_campaigns
from modules.clock import SHANGHAI
from modules.database import Database
from modules.explanations import explain_housekeeper
from modules.figures import months, queue, ranking, troubles
from modules.figures.composition import composition_of
from modules.figures.course import course_of
from modules.figures.cut import Cut
from modules.ledger_records import read_awards
from modules.rewards.campaign import Campaign
from modules.rewards.engine import calculate
from modules.rewards.frame import EMPTY_LEDGER
from modules.settings import ROOT
from modules.source_changes import SourceChanges

CITIES = ("BJ", "SH", "GZ", "SZ")
MONTHS = tuple(f"2025-{number:02d}" for number in range(1, 13))
SIZES = {"2,000 contracts a campaign": 2_000, "a million rows": 1_000_000 // (len(CITIES) * len(MONTHS))}
KEY = "BJ-2025-12"
MAY = np.datetime64("2025-05-01", "us")

Row = dict[str, object]


def measure_all() -> Iterator[tuple[str, list[Row]]]:
    """Two tables for each size, with their titles."""
    for title, contracts in SIZES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            campaigns = _configure(folder)
            database = Database(f"sqlite:///{folder / 'tasks.db'}")
            database.upgrade()
            _fill(database, campaigns, contracts)
            yield f"queries of the pages, {title}", list(_queries(database, campaigns))
            database.close()
            yield f"pages as the server draws them, {title}", list(_pages(folder))


def _configure(folder: Path) -> Campaigns:
    """Four cities, each with a campaign every month."""
    row = {"group": "bj_group", "contact": "bj_contact", "template": "broadcast_beijing"}
    cities = {code: {"name": code, **row} for code in CITIES}
    entries = {f"{city}-{month}": ENTRY for city in CITIES for month in MONTHS}
    file = folder / "campaigns.py"
    file.write_text(f"CITIES = {cities!r}\nREWARD_CONFIGS = {entries!r}\n", encoding="utf-8")
    return load_campaigns(file, datetime(2025, 12, 31, tzinfo=SHANGHAI).date())


def _fill(database: Database, campaigns: Campaigns, contracts: int) -> None:
    """Every campaign's ledger, as a run would write it."""
    base = frame(contracts).assign(source="{}")
    for campaign in campaigns.valid.values():
        outcome = calculate(campaign, EMPTY_LEDGER, (), _moved(base, campaign))
        commit = ledger.Commit(campaign, 0, outcome, [None] * len(outcome.rows), SourceChanges({}), (), contracts)
        with database.writing() as connection:
            ledger.commit(connection, commit, datetime.combine(campaign.end, datetime.max.time(), SHANGHAI))


def _moved(base: pd.DataFrame, campaign: Campaign) -> pd.DataFrame:
    """The same contracts in the campaign's month."""
    days = (campaign.end - campaign.start).days + 1
    within = (base["signed_at"].to_numpy() - MAY) % np.timedelta64(days, "D").astype("timedelta64[us]")
    return base.assign(signed_at=np.datetime64(campaign.start, "us") + within)


def _queries(database: Database, campaigns: Campaigns) -> Iterator[Row]:
    """Each question that a page asks, without what is kept."""
    with database.reading() as connection:
        someone = ranking.ranking_of(open_ledger(connection, campaigns, KEY), read_awards(connection, KEY)).ranks[0]
        asked: dict[str, Callable[[], object]] = {
            "every page: campaigns": lambda: months.periods_of(connection, campaigns.valid),
            "总览: by city, with the month before": lambda: months.city_months(connection, campaigns.valid, "2025-12"),
            "总览: what is wrong": lambda: troubles.troubles_of(connection),
            "排行榜": lambda: ranking.ranking_of(open_ledger(connection, campaigns, KEY), read_awards(connection, KEY)),
            "管家详情": lambda: explain_housekeeper(connection, campaigns, someone.housekeeper, KEY),
            "奖励构成": lambda: composition_of(connection, Cut(KEY)),
            "趋势": lambda: course_of(connection, campaigns.valid, KEY, ""),
            "通知队列: by state": lambda: queue.by_status(connection),
        }
        for question, ask in asked.items():
            yield {"question": question, "ms": round(timed(ask)[0] * 1000, 1)}


def _pages(folder: Path) -> Iterator[Row]:
    """Each page the first time, with nothing kept, and after another filter was chosen."""
    from streamlit.testing.v1 import AppTest  # late: it is slow to import, and talks about missing its server

    from streamlit_app import data, reading

    os.environ |= {"DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder / 'tasks.db'}"}
    os.environ["CAMPAIGNS_FILE"] = str(folder / "campaigns.py")
    for name in ("overview", "ranking", "housekeeper", "rewards", "trends", "simulation", "payout", "queue"):
        first, again = [], []
        for _ in range(REPEATS):
            data.close()
            page = AppTest.from_file(ROOT / "streamlit_app" / "app.py", default_timeout=120)
            page.run()
            page.switch_page(f"pages/{name}.py")
            reading.forget()
            first.append(seconds(page.run))
            if page.error or page.exception:
                raise RuntimeError(f"{name}: {page.error} {page.exception}")
            box = page.selectbox[0]
            box.select(box.options[-1] if name != "queue" else "pending")
            again.append(seconds(page.run))
        yield {
            "page": name,
            "first_seconds": round(statistics.median(first), 2),
            "filter_seconds": round(statistics.median(again), 2),
        }
    data.close()
