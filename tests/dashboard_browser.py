"""The dashboard in a real browser: the server as a user starts it, and Debian's Chromium before it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from modules.settings import ROOT
from tests.tools import free_port, wait_until

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
SHOTS = ROOT / "test-output" / "dashboard"
WIDE, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 844}
LONGEST_SHOT = 3000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROBES = re.compile(r"/\w+/_stcore/(health|host-config)$")
"""Below a page's address Streamlit's script looks for the server first where it isn't, and finds it one step up."""


@contextmanager
def serving(environ: Mapping[str, str], home: Path, *arguments: str, port: int | None = None) -> Iterator[str]:
    """`main.py dashboard` with this environment; the address that it serves."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "main.py", "dashboard", "--port", str(port), *arguments]
    log = home / f"dashboard-{port}.log"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def is_up() -> bool:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            return bool(direct.open(f"{url}/_stcore/health", timeout=5).status == 200)
        except OSError:
            return False

    with log.open("wb") as out:
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environ, "HOME": str(home)}, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            wait_until(is_up, 90)
            yield url
        finally:
            server.terminate()
            server.wait(30)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's; tests/checks.py installs it."""
    path = shutil.which("chromium")
    assert path, "chromium is missing: apt-get install chromium fonts-noto-cjk fonts-noto-color-emoji"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Window:
    """A browser window, and what it did that it should not: errors in the console, requests that leave the machine."""

    url: str
    page: Page
    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, path: str = "", **asked: str) -> None:
        """Go to a page with these filters, and wait until it is drawn."""
        self.page.goto(f"{self.url}/{path}{f'?{urlencode(asked)}' if asked else ''}")
        self.settle()

    def settle(self) -> None:
        """Until the page is drawn and nothing runs any more."""
        self.page.wait_for_selector("h1, h2, [data-testid=stForm]")
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        self.page.wait_for_function("!document.querySelector('[data-testid=stSkeleton], [data-stale=true]')")

    def arrive(self, heading: str) -> None:
        """Until the page with this heading is drawn, after something that leads there."""
        expect(self.page.locator("h1")).to_have_text(heading)
        self.settle()

    def shoot(self, name: str, height: int | None = None) -> None:
        """A picture of the whole page, however long it is, or of its top."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        size = self.page.viewport_size
        assert size is not None
        whole = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        pictured = height or min(max(whole, size["height"]), LONGEST_SHOT)
        self.page.set_viewport_size({"width": size["width"], "height": pictured})
        self.page.wait_for_timeout(600)  # charts grow into their place
        self.page.screenshot(path=SHOTS / f"{name}.png")
        self.page.set_viewport_size(size)

    def text(self) -> str:
        """What stands on the page, but for tables and charts, which are drawn."""
        return self.page.inner_text("[data-testid=stMain]")

    def alert(self, *words: str) -> None:
        """Wait until one of these is said in a box; tables hold hidden copies of their cells for screen readers."""
        boxes = self.page.locator("[data-testid=stAlert]")
        boxes.filter(has_text=re.compile("|".join(map(re.escape, words)))).first.wait_for()

    def pick_row(self, number: int = 0, table: int = 0) -> None:
        """Select a row of a table by its box: tables are drawn, so it is found by its place."""
        drawn = self.page.locator("[data-testid=stDataFrame]").nth(table)
        drawn.scroll_into_view_if_needed()
        place = drawn.bounding_box()
        assert place is not None
        self.page.mouse.click(place["x"] + 16, place["y"] + 36 + 35 * number + 17)
        self.settle()

    def touch_row(self, row: int) -> None:
        """Click into a row, or tap on a phone, right of its box."""
        drawn = self.page.locator("[data-testid=stDataFrame]").first
        drawn.scroll_into_view_if_needed()
        place = drawn.bounding_box()
        assert place is not None
        x, y = place["x"] + 120, place["y"] + 36 + 35 * row + 17
        if self.page.evaluate("navigator.maxTouchPoints"):
            self.page.touchscreen.tap(x, y)
        else:
            self.page.mouse.click(x, y)

    def download(self, button: str, folder: Path) -> Path:
        """Press a button that downloads; the file, by the name that it comes with."""
        with self.page.expect_download() as started:
            self.page.get_by_role("button", name=button).first.click()
        file = folder / started.value.suggested_filename
        started.value.save_as(file)
        return file

    def select(self, label: str, option: str) -> None:
        """Choose something else in a select box, and wait until the page has answered: it says so in the address."""
        before = self.page.url
        self.page.get_by_role("combobox", name=label).click()
        self.page.get_by_role("option", name=option).click()
        self.page.wait_for_url(lambda url: url != before)
        self.settle()


@contextmanager
def window(browser: Browser, url: str, *, dark: bool = False, phone: bool = False) -> Iterator[Window]:
    """A window with nothing remembered."""
    context = browser.new_context(
        color_scheme="dark" if dark else "light",
        viewport=PHONE if phone else WIDE,
        has_touch=phone,
        locale="zh-CN",
        accept_downloads=True,
    )
    context.set_default_timeout(PATIENCE_MS)
    opened = Window(url, context.new_page())

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not PROBES.search(urlsplit(message.location["url"]).path):
            opened.console.append(message.text)

    def on_request(request: Request) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", None):
            opened.outside.append(request.url)

    opened.page.on("console", on_console)
    opened.page.on("pageerror", lambda error: opened.console.append(str(error)))
    opened.page.on("request", on_request)
    yield opened
    context.close()
