"""What a person waits for: the dashboard's own server, and Debian's Chromium before it.

A page counts as drawn with its last change: after it nothing in it moves for a second, and the browser is idle.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from modules.settings import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, ViewportSize

REPEATS = 3
PATIENCE_SECONDS = 60
QUIET_MS = 1000
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server", "--disable-background-networking")
SIZE: ViewportSize = {"width": 1280, "height": 720}

PAGES: Mapping[str, str] = {
    "": "月份",
    "ranking": "活动",
    "housekeeper": "管家",
    "rewards": "渠道",
    "trends": "渠道",
    "simulation": "",
    "payout": "活动",
    "queue": "状态",
    "sla": "服务商",
    "status": "",
}
"""Address → the filter that is changed. 方案模拟 has its levers instead; 运行状况 has nothing to choose."""

WATCH = """
window.seen = {from: 0, last: 0}
const isShown = ({target, type}) => {
    const element = target.closest ? target : target.parentElement
    const canvas = element?.closest('canvas')  // below it is a copy of the table for screen readers, which comes later
    return element?.closest('[data-testid=stMain]') && !(canvas && (canvas !== element || type === 'childList'))
}
new MutationObserver(changes => { if (changes.some(isShown)) seen.last = performance.now() })
    .observe(document, {subtree: true, childList: true, attributes: true, characterData: true})
new PerformanceObserver(tasks => tasks.getEntries().forEach(one =>
    seen.last = Math.max(seen.last, one.startTime + one.duration))).observe({type: 'longtask'})
for (const kind of ['pointerdown', 'keydown'])
    addEventListener(kind, event => { seen.from = seen.last = event.timeStamp }, true)
"""
"""When the page last changed, and since when it is waited for: the visit's begin, or the last press of a key."""

DRAWN = """([before, quiet]) =>
    location.search !== before
    && document.querySelector('[data-testid=stApp][data-test-script-state=notRunning] :is(h1, h2)')
    && !document.querySelector('[data-testid=stSkeleton], [data-stale=true]')
    && performance.now() - seen.last > quiet
    && (seen.last - seen.from)
"""

Row = dict[str, object]


def find_chromium() -> str | None:
    """Where it is; None, and what is missing in a line on stderr, where there is none or no Playwright to lead it."""
    path = shutil.which("chromium")
    if path and find_spec("playwright"):
        return path
    missing = "apt-get install chromium fonts-noto-cjk" if not path else "pip install -r requirements-dev.txt"
    print(f"the pages are not timed in a browser, as there is none: {missing}", file=sys.stderr)
    return None


def measure(chromium: str, environment: Mapping[str, str]) -> Iterator[Row]:
    """Seconds until each page is drawn, medians."""
    from playwright.sync_api import sync_playwright  # late: it is for who develops

    with sync_playwright() as playwright:
        yield from _rows(playwright, chromium, environment)


def _rows(playwright: Playwright, chromium: str, environment: Mapping[str, str]) -> Iterator[Row]:
    browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
    started = [_right_after_start(browser, environment) for _ in range(REPEATS)]
    yield {"page": "the first of all", "empty_cache": _median(started), "warm_cache": "", "another_filter": ""}
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PAGES}
    with serving(environment) as url, tempfile.TemporaryDirectory() as profile:
        known = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=list(FLAGS), viewport=SIZE
        )
        for name in [*PAGES, *PAGES]:  # what a script has compiled to is kept from the second time on
            with _tab(known.new_page) as tab:
                _visit(tab, f"{url}/{name}")
        for _ in range(REPEATS):
            for name in PAGES:  # page by page, so that no figure is still kept when its page comes round again
                taken[name].append(_times_of(name, browser, known.new_page, url))
        known.close()
    browser.close()
    for name, times in taken.items():
        first, filtered, again = zip(*times, strict=True)
        yield {
            "page": name or "overview",
            "empty_cache": _median(first),
            "warm_cache": _median(again),
            "another_filter": _median(filtered) if name != "status" else "",
        }


def _right_after_start(browser: Browser, environment: Mapping[str, str]) -> float:
    with serving(environment) as url, _tab(lambda: browser.new_page(viewport=SIZE)) as tab:
        return _visit(tab, url)


def _times_of(name: str, browser: Browser, in_known: Callable[[], Page], url: str) -> tuple[float, float, float]:
    """Of a page: for a stranger, after another filter was chosen, and for somebody who comes every day."""
    with _tab(lambda: browser.new_page(viewport=SIZE)) as tab:
        first = _visit(tab, f"{url}/{name}")
        filtered = _filter(tab, name) if name != "status" else 0.0
    with _tab(in_known) as tab:
        again = _visit(tab, f"{url}/{name}")
    return first, filtered, again


@contextmanager
def _tab(new_page: Callable[[], Page]) -> Iterator[Page]:
    tab = new_page()
    tab.set_default_timeout(PATIENCE_SECONDS * 1000)
    tab.add_init_script(WATCH)
    yield tab
    tab.close()


def _visit(tab: Page, url: str) -> float:
    tab.goto(url, wait_until="commit")
    return _drawn(tab)


def _filter(tab: Page, name: str) -> float:
    """Choose what comes next."""
    before = str(tab.evaluate("location.search"))
    if name == "simulation":
        tab.locator("[data-testid=stNumberInput] input").first.press("ArrowUp")
    else:
        tab.get_by_role("combobox", name=PAGES[name]).click()
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
    return _drawn(tab, before)


def _drawn(tab: Page, before: str | None = None) -> float:
    """Seconds until the page stands, with another address than `before`."""
    found = tab.wait_for_function(DRAWN, arg=[before, QUIET_MS], polling=100)
    return float(found.json_value()) / 1000


def _median(times: Sequence[float]) -> float:
    return round(statistics.median(times), 2)


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[str]:
    """`main.py dashboard` with this environment, from when it answers on; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "main.py", "dashboard", "--port", str(port)]
    surroundings = {**os.environ, **environment}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=log, stderr=subprocess.STDOUT)
        try:
            if not _answers(server, url):
                log.seek(0)
                raise RuntimeError(log.read().decode())
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait for it; whether it does."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    limit = time.monotonic() + PATIENCE_SECONDS
    while server.poll() is None and time.monotonic() < limit:
        try:
            direct.open(f"{url}/_stcore/health", timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False
