"""The dashboard on a year of four cities: the queries of its pages, the pages as the server draws them, and how long a
person waits for them in a browser.

`2,000 contracts a campaign` is the size that the aims are for: queries under 100 ms, a first page under 2 s, another
filter under 0.5 s; `a million rows` in all: a page under 3 s.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import jobs
from benchmarks import dashboard_browser
from benchmarks.dashboard_year import FIRST_DAY, KEY, LAST_DAY, MONDAY, SIZES, Year, make_year
from benchmarks.timing import REPEATS, seconds, timed
from modules import health
from modules.alert_config import load_alerts
from modules.campaign_ledger import open_ledger
from modules.clock import shanghai_now
from modules.database import Database
from modules.explanations import explain_housekeeper
from modules.figures import months, queue, ranking, runs, sla, troubles
from modules.figures.composition import composition_of
from modules.figures.course import course_of
from modules.figures.cut import Cut
from modules.figures.sla_texts import Writer, week_texts
from modules.ledger_records import read_awards
from modules.settings import ROOT, load_settings
from modules.templates import Templates

Row = dict[str, object]

PAGES = (
    *("overview", "ranking", "housekeeper", "rewards", "trends", "simulation", "payout"),
    *("queue", "sla", "status"),
)


def measure_all() -> Iterator[tuple[str, list[Row]]]:
    """Three tables for each size, with their titles; the last one only where there is a browser."""
    chromium = dashboard_browser.find_chromium()
    with tempfile.TemporaryDirectory() as name:
        for number, size in enumerate(SIZES):
            year = make_year(Path(name) / str(number), size, shanghai_now())
            database = year.open()
            yield f"queries of the pages, {size.title}", list(_queries(database, year))
            database.close()
            yield f"pages as the server draws them, {size.title}", list(_pages(year))
            if chromium is not None:
                rows = list(dashboard_browser.measure(chromium, year.environment))
                yield f"seconds until a page is drawn in Chromium, {size.title}", rows


def _queries(database: Database, year: Year) -> Iterator[Row]:
    """Each question that a page asks, without what is kept."""
    campaigns, now = year.campaigns, shanghai_now()
    settings = load_settings(environ=year.environment)
    told_on, writer = MONDAY + timedelta(days=7), Writer(settings.sla, Templates.read(), ())
    fixed = jobs.fixed_jobs_of(settings, load_alerts(settings.campaigns_file, settings.recipients))
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
            "服务商SLA: a year by provider and kind": lambda: sla.counts(connection, FIRST_DAY, LAST_DAY),
            "服务商SLA: a year by day": lambda: sla.days(connection, FIRST_DAY, LAST_DAY),
            "服务商SLA: weeks": lambda: sla.weeks(connection),
            "服务商SLA: what was told of a week": lambda: week_texts(connection, MONDAY, told_on, writer, is_done=True),
            "运行状况: jobs": lambda: health.states_of(connection, settings, campaigns, now, fixed),
            "运行状况: runs of a week": lambda: runs.tallies(connection, now - timedelta(days=7)),
            "运行状况: last errors": lambda: runs.failures(connection, 100),
        }
        for question, ask in asked.items():
            yield {"question": question, "ms": round(timed(ask)[0] * 1000, 1)}


def _pages(year: Year) -> Iterator[Row]:
    """Each page the first time, with nothing kept, and after another filter was chosen."""
    _silence_streamlit()
    from streamlit.testing.v1 import AppTest  # late: it is slow to import

    from streamlit_app import data, reading

    os.environ |= year.environment
    for name in PAGES:
        first, again = [], []
        for _ in range(REPEATS):
            data.close()
            page = AppTest.from_file(ROOT / "streamlit_app" / "app.py", default_timeout=120)
            page.run()
            page.switch_page(f"pages/{name}.py")
            reading.forget()
            first.append(seconds(page.run))
            if page.exception or not page.metric:
                raise RuntimeError(f"{name} shows no figures: {[fault.value for fault in page.error]}")
            if page.selectbox:  # 运行状况 has nothing to choose
                box = page.selectbox[0]
                box.select(box.options[-1] if name != "queue" else "pending")
                again.append(seconds(page.run))
        yield {
            "page": name,
            "first_seconds": round(statistics.median(first), 2),
            "filter_seconds": round(statistics.median(again), 2) if again else "",
        }
    data.close()


def _silence_streamlit() -> None:
    """Where no server runs, it warns at every look at what is kept.

    Only `streamlit run` heeds its environment variables; and the level is set when the options are read, whatever it
    was before. So they are read here, as `run` would.
    """
    from streamlit.web.bootstrap import load_config_options

    load_config_options({"logger_level": "error"})
