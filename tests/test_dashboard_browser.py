"""The dashboard in Chromium, against a month of the sandbox: what a person sees, does and downloads."""

from __future__ import annotations

import contextlib
import csv
import functools
import http.client
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import psutil
import pytest
import sqlalchemy as sa
from openpyxl import load_workbook
from playwright.sync_api import Browser, expect

from modules import corrections
from modules.clock import parse_moment, shanghai_now
from modules.ledger_records import read_contracts
from modules.sandbox.sample_contracts import SampleMonth
from modules.settings import ROOT
from modules.tables import audit_log, job_runs, performance, tasks, troubles
from streamlit_app.served import HEADERS
from tests.dashboard_browser import SHOTS, Window, chromium, serving, window
from tests.dashboard_stage import PASSWORD, QUICK, run_violations
from tests.desk import BEIJING, SHANGHAI_MAY, Desk, lasting_desk
from tests.oidc_stand_in import CLIENT_ID, CLIENT_SECRET, IdentityProvider, identity_provider
from tests.tools import free_port, wait_until

pytestmark = pytest.mark.slow

PAGES = {
    "": "总览",
    "ranking": "排行榜",
    "housekeeper": "管家详情",
    "rewards": "奖励构成",
    "trends": "趋势",
    "simulation": "方案模拟",
    "payout": "发放",
    "queue": "通知队列",
    "sla": "服务商SLA",
    "status": "运行状况",
}
"""Address → heading. A new page is added here, and is then opened and pictured."""

CUT_WORDS = """() => [
    ...[...document.querySelectorAll('[data-testid=stMetric] :not(svg, svg *)')].filter(
        word => word.scrollWidth > word.clientWidth),
    ...[...document.querySelectorAll('.role-legend text')].filter(
        word => word.getBoundingClientRect().right > word.ownerSVGElement.getBoundingClientRect().right),
].map(word => word.textContent)"""
"""The words of cards and legends that are cut."""

README_HEIGHT = 1000

PERSON = "沈砚秋"

FAILED, UNCERTAIN = 7, 9
"""The messages that need a person."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Desk]:
    """Two months of both cities, pulled just now, and their violations; all messages are sent, but one that failed and
    one uncertain."""
    with lasting_desk(tmp_path_factory.mktemp("dashboard") / "installation", empty_database) as opened:
        opened.clock.now = now = shanghai_now()
        for moment, keys in (
            ("2025-04-30T23:59", ("BJ-2025-04", "SH-2025-04")),
            ("2025-05-31T23:59", (BEIJING, SHANGHAI_MAY)),
        ):
            for key in keys:
                opened.run_sample(key, moment)
        opened.drain()
        run_violations(opened, date(2025, 4, 1), date(2025, 5, 30), [date(2025, 4, 20), date(2025, 5, 14)])
        opened.drain()
        opened.clock.now = now
        put_messages_in_trouble(opened)
        with opened.app.database.writing() as connection:
            connection.execute(sa.insert(job_runs), list(runs_until(now)))
        yield opened


def put_messages_in_trouble(desk: Desk) -> None:
    """Message 7 has failed, and of message 9 nobody knows."""
    with desk.app.database.writing() as connection:
        for status, reason, number in (
            ("failed", "企业微信说：机器人密钥不对或机器人已被移除（93000）；请检查设置", FAILED),
            ("uncertain", "发送途中超时，不知是否已送达；请人工核实后处理", UNCERTAIN),
        ):
            values = {"status": status, "last_error": reason}
            connection.execute(sa.update(tasks).where(tasks.c.id == number).values(values))


@pytest.fixture
def to_act_on(desk: Desk) -> Iterator[None]:
    """For a test that acts on messages: other tests find them as they were."""
    yield
    put_messages_in_trouble(desk)


def runs_until(now: datetime) -> Iterator[dict[str, object]]:
    """A week of runs: most went well, some failed, and the last of each job went well."""
    for job, hours in ((BEIJING, 1), (SHANGHAI_MAY, 1), ("housekeeping", 24), ("generate_daily_service_report", 24)):
        for back in range(150, 0, -hours):
            started = now - timedelta(hours=back)
            failed = back % 40 == 0 or (hours == 24 and back > 120)
            error = "连不上 Metabase（ConnectTimeout），下次再试" if failed else None
            outcome = {"outcome": "failed" if failed else "ok", "error": error, "failures": int(failed)}
            yield {"job": job, "slot": started, "started_at": started, "ended_at": started, "counts": "{}", **outcome}


@pytest.fixture(scope="module")
def url(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard, running."""
    with serving(desk.environ, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@contextmanager
def quiet_window(browser: Browser, url: str, look: str = "light") -> Iterator[Window]:
    """A window, which must have kept quiet to the end: no error in the console, no request that leaves the machine."""
    with window(browser, url, dark=look == "dark", phone=look == "phone") as shown:
        yield shown
        assert shown.console == []
        assert shown.outside == []


@pytest.fixture
def opened(browser: Browser, url: str) -> Iterator[Window]:
    with quiet_window(browser, url) as shown:
        yield shown


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
@pytest.mark.parametrize(("path", "heading"), PAGES.items())
def test_every_page_opens_in_both_themes_and_on_a_phone(
    browser: Browser, url: str, path: str, heading: str, look: str
) -> None:
    with quiet_window(browser, url, look) as shown:
        shown.open(path)
        assert shown.page.inner_text("h1") == heading
        assert "这个页面出错了" not in shown.text()
        overflow = shown.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0
        shown.shoot(f"{path or 'overview'}-{look}")
        assert shown.page.evaluate(CUT_WORDS) == []


def test_the_pictures_of_the_readme(opened: Window) -> None:
    """To be looked at and copied to docs/images when the pages have changed."""
    opened.open(month="2025-05")
    opened.shoot("dashboard-overview", README_HEIGHT)
    opened.open("ranking", month="2025-05", campaign=BEIJING)
    opened.shoot("dashboard-ranking", README_HEIGHT)
    opened.open("queue", state="failed")
    opened.pick_row(0)
    opened.alert("机器人密钥不对")
    opened.shoot("dashboard-queue", README_HEIGHT)
    shown = {file.name for file in SHOTS.glob("dashboard-*.png")}
    assert shown == set(re.findall(r"docs/images/(\S+\.png)", (ROOT / "README.md").read_text(encoding="utf-8")))


def test_an_image_in_an_error_is_told_and_not_fetched(opened: Window, desk: Desk) -> None:
    error = "Metabase 说：![图](http://203.0.113.9/x.png) $x$ <b>502</b>"
    found = {"key": "check:image", "seen_by": "house", "what": error, "since": shanghai_now()}
    with desk.app.database.writing() as connection:
        (number,) = connection.execute(sa.insert(troubles).values(found)).inserted_primary_key
    try:
        opened.open()
        opened.alert("![图](http://203.0.113.9/x.png) $x$ <b>502</b>")
    finally:
        with desk.app.database.writing() as connection:
            connection.execute(sa.delete(troubles).where(troubles.c.id == number))


def test_the_first_to_come_sees_the_navigation_and_not_file_names(browser: Browser, desk: Desk, tmp_path: Path) -> None:
    with serving(desk.environ, tmp_path) as just_started, window(browser, just_started) as shown:
        shown.open("ranking")
        links = shown.page.locator("[data-testid=stSidebarNav] a")
        expect(links).to_have_count(len(PAGES))
        assert [link.splitlines()[-1] for link in links.all_inner_texts()] == [*PAGES.values()]


def test_an_address_without_a_page_leads_to_the_first_one_which_says_so(opened: Window) -> None:
    opened.open("rankings", month="2025-04")
    opened.alert("没有这个网址的页面，显示的是总览")
    assert opened.page.get_by_role("dialog").count() == 0
    opened.shoot("lost")
    assert "BJ-2025-04" in opened.text()
    opened.page.get_by_role("link", name="排行榜").click()
    opened.arrive("排行榜")
    assert "没有这个网址" not in opened.text()
    assert "/ranking?" in opened.page.url


def test_filters_stand_in_the_address_survive_a_reload_and_go_along(opened: Window) -> None:
    opened.open("ranking")
    opened.select("月份", "2025-04")
    opened.select("活动", "上海 SH-2025-04")
    opened.select("得过的奖励", "精英奖")
    wait_until(lambda: "campaign=SH-2025-04" in opened.page.url and "award=" in opened.page.url)
    opened.page.reload()
    opened.settle()
    assert {"month=2025-04", "campaign=SH-2025-04"} <= set(opened.page.url.partition("?")[2].split("&"))
    assert opened.page.get_by_role("combobox", name="活动").input_value() == "上海 SH-2025-04"
    wait_until(lambda: opened.page.get_by_role("combobox", name="得过的奖励").input_value() == "精英奖")
    opened.page.get_by_role("link", name="总览").click()
    opened.arrive("总览")
    assert "month=2025-04" in opened.page.url
    assert "BJ-2025-04" in opened.text()


def test_the_way_back_undoes_what_was_chosen_one_choice_at_a_time(opened: Window) -> None:
    page = opened.page
    campaign, award = (page.get_by_role("combobox", name=label) for label in ("活动", "得过的奖励"))
    opened.open("ranking", month="2025-05", campaign=SHANGHAI_MAY)
    opened.select("得过的奖励", "精英奖")
    page.wait_for_url("**award=**")
    opened.select("月份", "2025-04")
    page.wait_for_url("**campaign=SH-2025-04**")
    page.go_back()
    expect(campaign).to_have_value(f"上海 {SHANGHAI_MAY}")
    expect(award).to_have_value("精英奖")
    opened.settle()
    page.go_back()
    expect(award).to_have_value("")
    opened.settle()
    assert page.url.endswith(f"/ranking?month=2025-05&campaign={SHANGHAI_MAY}")
    page.go_forward()
    expect(award).to_have_value("精英奖")


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_a_plan_is_shown_at_once_and_can_be_shared(browser: Browser, url: str, look: str) -> None:
    with quiet_window(browser, url, look) as shown:
        shown.open("simulation", campaign=BEIJING, month="2025-05", set="tiered_rewards.min_contracts=8")
        threshold = shown.page.get_by_label("达标奖 门槛（元）")
        expect(threshold).to_have_value("80000")
        threshold.fill("60000")
        expect(shown.page.get_by_text("Press Enter")).to_be_hidden()
        threshold.press("Enter")
        shown.page.get_by_text("80,000 → 60,000").wait_for()
        shown.page.wait_for_url("**threshold**")
        shown.settle()
        shown.shoot(f"simulation-plan-{look}")
        shown.page.reload()
        shown.settle()
        expect(threshold).to_have_value("60000")
        shown.page.get_by_text("配置里的这一项").click()
        shown.page.get_by_text('{"name": "达标奖", "threshold": 60000},').wait_for()


def test_a_row_of_the_ranking_leads_to_the_housekeeper(opened: Window) -> None:
    opened.open("ranking", month="2025-05", campaign=BEIJING)
    opened.pick_row(0)
    opened.arrive("管家详情")
    assert opened.page.get_attribute("html", "lang") == "zh"
    assert f"campaign={BEIJING}" in opened.page.url
    opened.pick_row(0)
    opened.page.get_by_text("全额计入").first.wait_for()


@pytest.mark.parametrize("look", ["light", "phone"])
def test_a_touch_of_a_row_anywhere_counts_and_the_last_one_is_shown(
    browser: Browser, url: str, desk: Desk, look: str
) -> None:
    with desk.app.database.reading() as connection:
        ids = [one.contract_id for one in read_contracts(connection, BEIJING, [PERSON])]
    with quiet_window(browser, url, look) as shown:
        shown.open("ranking", month="2025-05", campaign=BEIJING, award="精英奖")
        shown.touch_row(2)
        shown.arrive("管家详情")
        assert "person=" in shown.page.url
        shown.page.go_back()
        shown.arrive("排行榜")
        expect(shown.page.get_by_role("combobox", name="得过的奖励")).to_have_value("精英奖")
        shown.open("housekeeper", month="2025-05", campaign=BEIJING, person=PERSON)
        told = shown.page.locator("[data-testid=stMarkdown]").filter(has_text=re.compile(r"^合同 .+（\d{19}）"))
        for touch, row in ((shown.touch_row, 1), (shown.pick_row, 0), (shown.touch_row, 2), (shown.touch_row, 3)):
            touch(row)
            expect(told).to_contain_text(ids[row])
            shown.settle()


def test_downloads_keep_all_digits_of_ids(opened: Window, desk: Desk, tmp_path: Path) -> None:
    opened.open("housekeeper", month="2025-05", campaign=BEIJING, person=PERSON)
    ids = {
        row["contract_id"] for row in desk.table(performance) if (row["campaign"], row["payee"]) == (BEIJING, PERSON)
    }
    assert all(len(one) == 19 for one in ids)
    for label in ("CSV", "Excel"):
        file = opened.download(label, tmp_path)
        assert file.name == f"合同-{BEIJING}-{PERSON}.{'csv' if label == 'CSV' else 'xlsx'}"
        assert ids == (ids_in_csv(file) if label == "CSV" else ids_in_workbook(file))
    assert load_workbook(opened.download("下载对账单", tmp_path)).sheetnames == ["对账单", "合同"]


def test_the_download_of_the_queue_has_more_than_the_page_shows(opened: Window, desk: Desk, tmp_path: Path) -> None:
    sent = [row for row in desk.table(tasks) if row["status"] == "completed"]
    assert len(sent) > 500
    opened.open("queue", state="completed")
    opened.page.get_by_text(f"只列出最近 500 条；下载的文件里是全部 {len(sent):,} 条").wait_for()
    with opened.download("CSV", tmp_path).open(encoding="utf-8-sig", newline="") as file:
        assert [row["内容"] for row in csv.DictReader(file)] == [row["message"] for row in reversed(sent)]
    workbook = load_workbook(opened.download("Excel", tmp_path))
    assert len([row for row in workbook.worksheets[0].iter_rows(min_row=2) if row[0].value]) == len(sent)


def test_below_a_button_whose_file_cannot_be_made_stands_why(opened: Window, desk: Desk) -> None:
    opened.open("payout", month="2025-05", campaign=BEIJING)
    settings = Path(desk.environ["SETTINGS_FILE"])
    as_before = settings.read_text(encoding="utf-8")
    settings.write_text("dashboard: {", encoding="utf-8")
    try:
        opened.page.get_by_role("button", name="下载应发表").click()
        opened.page.get_by_text(re.compile(f"文件没有生成：.*{re.escape(settings.name)}")).wait_for()
    finally:
        settings.write_text(as_before, encoding="utf-8")


def test_the_payout_sheet_is_downloaded_and_the_source_is_asked_anew(
    opened: Window, desk: Desk, tmp_path: Path
) -> None:
    opened.open("payout", month="2025-05", campaign=BEIJING)
    file = opened.download("下载应发表", tmp_path)
    assert file.name == f"应发表-{BEIJING}.xlsx"
    workbook = load_workbook(file)
    assert workbook.sheetnames[0] == "汇总"
    assert PERSON in workbook.sheetnames
    sample = SampleMonth("BJ", 2025, 5, 2025)
    shown = sample.pull(parse_moment("2025-05-31T23:59"))
    desk.show(shown[2:], BEIJING, sample.columns)
    campaign = desk.app.campaigns.valid[BEIJING]
    found = corrections.look(desk.app, campaign, parse_moment("2025-06-05T09:00"), to_change=False).found
    assert len(found.lost) == 2
    opened.page.get_by_role("button", name="现在从 Metabase 重新对账").click()
    opened.alert(f"共 {found.differences} 处出入")
    opened.settle()
    opened.shoot("payout-reconciled")
    desk.show(shown, BEIJING, sample.columns)


def ids_in_csv(file: Path) -> set[str]:
    text = file.read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    return {row["合同ID"] for row in csv.DictReader(io.StringIO(text.decode("utf-8-sig")))}


def ids_in_workbook(file: Path) -> set[str]:
    rows = list(load_workbook(file).worksheets[0].iter_rows())
    column = [cell.value for cell in rows[0]].index("合同ID")
    cells = [row[column] for row in rows[1:] if row[column].value]
    assert {cell.data_type for cell in cells} == {"s"}
    return {str(cell.value) for cell in cells}


def test_what_was_chosen_in_the_queue_is_not_taken_for_what_stands_in_its_place_later(opened: Window) -> None:
    opened.open("queue", state="failed")
    opened.pick_row(0)
    opened.page.get_by_text(f"任务 {FAILED}", exact=True).wait_for()
    opened.select("状态", "待核实")
    opened.page.get_by_text("选中一行或几行").wait_for()
    assert "所选" not in opened.text()
    opened.pick_row(0)
    opened.page.get_by_text(f"任务 {UNCERTAIN}", exact=True).wait_for()


@pytest.mark.usefixtures("to_act_on")
def test_a_failed_message_is_sent_again_and_it_is_on_record_who_did_it(opened: Window, desk: Desk) -> None:
    sent = len(desk.robot.messages)
    opened.open("queue", state="failed")
    assert "机器人密钥不对" not in opened.text()  # the table is drawn; the reason is told once a row is chosen
    opened.pick_row(0)
    opened.alert("机器人密钥不对")
    opened.shoot("queue-chosen")
    opened.page.get_by_role("button", name="重发所选 1 条").click()
    opened.page.get_by_role("dialog").wait_for()
    opened.shoot("queue-asking")
    assert desk.app.board.get(FAILED).status == "failed"
    opened.page.get_by_role("button", name="确认重发").click()
    opened.page.get_by_text(f"任务 {FAILED} 已放回队列").first.wait_for()
    assert desk.app.board.get(FAILED).status == "pending"
    desk.drain()
    assert desk.app.board.get(FAILED).status == "completed"
    assert len(desk.robot.messages) == sent + 1
    act = desk.table(audit_log)[-1]
    assert act["detail"] == f"任务 {FAILED}：failed → pending"
    assert act["who"]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets of an office: two users."""
    home = tmp_path_factory.mktemp("office")
    (home / ".streamlit").mkdir()
    hashed = QUICK.hash(PASSWORD)
    secrets = home / ".streamlit" / "secrets.toml"
    secrets.write_text(
        f'[dashboard.users.lihua]\nname = "李华"\npassword = "{hashed}"\nrole = "operator"\n'
        f'[dashboard.users.wang]\npassword = "{hashed}"\n',
        encoding="utf-8",
    )
    return secrets


@pytest.fixture(scope="module")
def guarded_url(desk: Desk, office: Path) -> Iterator[str]:
    """The dashboard for this office, on every address."""
    home = office.parent.parent
    settings = home / "settings.yaml"
    own = Path(desk.environ["SETTINGS_FILE"]).read_text(encoding="utf-8")
    settings.write_text(f"{own}\ndashboard: {{address: 0.0.0.0}}\n", encoding="utf-8")
    with serving({**desk.environ, "SETTINGS_FILE": str(settings)}, home) as address:
        yield address


def sign_in(shown: Window, login: str, password: str) -> None:
    shown.page.get_by_label("用户名").fill(login)
    shown.page.get_by_label("密码").fill(password)
    shown.page.get_by_role("button", name="登录").click()


def choose_the_uncertain(shown: Window, login: str, greeting: str) -> None:
    """Somebody signs in at the queue, and the message is chosen of which nobody knows."""
    shown.open("queue", state="uncertain")
    sign_in(shown, login, PASSWORD)
    shown.page.get_by_text(greeting).wait_for()
    shown.settle()
    shown.pick_row(0)


def test_a_stranger_sees_the_door_and_nothing_else(browser: Browser, guarded_url: str) -> None:
    for path in ("ranking", "", "queue"):
        with window(browser, guarded_url) as shown:
            shown.open(path)
            assert shown.page.get_by_label("密码").is_visible()
            assert "管家" not in shown.text()
            assert shown.outside == []
    with window(browser, guarded_url) as shown:
        shown.open("queue")
        sign_in(shown, "stranger", PASSWORD)
        shown.alert("用户名或密码不对")
        assert "待发送" not in shown.text()
        shown.shoot("sign-in")


def test_a_web_page_from_elsewhere_is_refused_and_nobody_outside_is_asked_who_we_are(
    guarded_url: str, office: Path
) -> None:
    port = urlsplit(guarded_url).port
    asking = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    answers = {}
    for origin in (guarded_url, "http://elsewhere.example.com"):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        key = {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Origin": origin}
        link.request("GET", "/_stcore/stream", headers=asking | key)
        answers[origin] = link.getresponse().status
        link.close()
    assert list(answers.values()) == [101, 403]
    log = (office.parent.parent / f"dashboard-{port}.log").read_text(encoding="utf-8")
    assert "elsewhere.example.com" in log
    assert "external IP" not in log


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/ranking", 200),
        ("GET", "/_stcore/health", 200),
        ("GET", "/_stcore/host-config", 200),
        ("GET", "/static/absent.js", 200),
        ("GET", "/media/absent.csv", 404),
        ("GET", "/..%2f..%2fetc", 400),
        ("DELETE", "/", 405),
        ("PUT", "/_stcore/upload_file/a/b", 403),
    ],
)
def test_every_answer_keeps_browsers_from_misuse(guarded_url: str, method: str, path: str, status: int) -> None:
    assert http_answer(guarded_url, path, method)[0] == status


def test_the_files_of_the_page_keep_browsers_from_misuse(guarded_url: str) -> None:
    names = set(re.findall(r"static/[\w/.-]+", http_answer(guarded_url, "/")[1].decode()))
    assert {Path(name).suffix for name in names} >= {".js", ".css"}
    assert {http_answer(guarded_url, f"/{name}")[0] for name in names} == {200}


def http_answer(url: str, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body of a path as it stands, which libraries for the web would tidy up; each header is there once."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=20)) as link:
        link.request(method, path)
        answer = link.getresponse()
        assert {name: answer.headers.get_all(name) for name in HEADERS} == {name: [HEADERS[name]] for name in HEADERS}
        return answer.status, answer.read()


def test_a_web_page_from_elsewhere_cannot_show_it_in_a_frame(
    browser: Browser, guarded_url: str, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(f"<iframe src='{guarded_url}'></iframe>", encoding="utf-8")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as elsewhere, window(browser, guarded_url) as shown:
        thread = Thread(target=elsewhere.serve_forever)
        thread.start()
        try:
            with shown.page.expect_console_message(lambda message: "frame-ancestors 'self'" in message.text):
                shown.page.goto(f"http://127.0.0.1:{elsewhere.server_port}")
        finally:
            elsewhere.shutdown()
            thread.join()
        assert shown.page.frame_locator("iframe").locator("[data-testid=stApp]").count() == 0


def test_who_tries_too_often_has_to_wait(browser: Browser, guarded_url: str) -> None:
    with window(browser, guarded_url) as shown:
        shown.open("queue")
        sign_in(shown, "guesser", "falsch")
        shown.alert("用户名或密码不对")

        def has_to_wait() -> bool:
            """After another try; a busy server takes several quick ones for one."""
            sign_in(shown, "guesser", "falsch")
            shown.settle()
            return "试错太多" in shown.text()

        wait_until(has_to_wait)


def test_a_viewer_sees_the_queue_and_cannot_act_on_it(browser: Browser, guarded_url: str) -> None:
    with window(browser, guarded_url) as shown:
        choose_the_uncertain(shown, "wang", "已登录：wang（只能查看）")
        shown.alert("发送途中超时")
        assert shown.page.get_by_role("button", name="重发所选").count() == 0


def test_a_question_that_stands_open_is_not_answered_by_who_is_no_operator_any_more(
    browser: Browser, guarded_url: str, desk: Desk, office: Path
) -> None:
    as_before = office.read_text(encoding="utf-8")
    with window(browser, guarded_url) as shown:
        choose_the_uncertain(shown, "lihua", "已登录：李华（可操作）")
        shown.page.get_by_role("button", name="取消所选 1 条").click()
        confirm = shown.page.get_by_role("button", name="确认取消")
        confirm.wait_for()
        office.write_text(as_before.replace("operator", "viewer"), encoding="utf-8")
        try:
            confirm.click()
            shown.page.get_by_label("密码").first.wait_for()
        finally:
            office.write_text(as_before, encoding="utf-8")
    assert desk.app.board.get(UNCERTAIN).status == "uncertain"


@pytest.mark.usefixtures("to_act_on")
def test_an_operator_who_signed_in_gives_a_verdict_in_their_own_name(
    browser: Browser, guarded_url: str, desk: Desk
) -> None:
    with window(browser, guarded_url) as shown:
        choose_the_uncertain(shown, "lihua", "已登录：李华（可操作）")
        shown.page.get_by_role("button", name="已送达所选 1 条").click()
        shown.page.get_by_role("button", name="确认已送达").click()
        shown.page.get_by_text(f"任务 {UNCERTAIN} 已记为已送达").first.wait_for()
    assert desk.app.board.get(UNCERTAIN).status == "completed"
    assert desk.table(audit_log)[-1]["who"] == "看板 lihua"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
def company_url(desk: Desk, provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard for a company: by its accounts, of which one may look and one may act."""
    home, port = tmp_path_factory.mktemp("company"), free_port()
    (home / ".streamlit").mkdir()
    (home / ".streamlit" / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
        f'cookie_secret = "{"Geheimnis" * 8}"\nclient_id = "{CLIENT_ID}"\nclient_secret = "{CLIENT_SECRET}"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
        '[dashboard.emails]\n"Boss@example.com" = "viewer"\n"lihua@example.com" = "operator"\n',
        encoding="utf-8",
    )
    with serving(desk.environ, home, port=port) as address:
        yield address


@pytest.mark.parametrize(
    ("email", "verified", "seen"),
    [
        ("boss@example.com", True, "已登录：boss@example.com（只能查看）"),
        ("lihua@example.com", True, "已登录：lihua@example.com（可操作）"),
        ("stranger@example.com", True, "账号 stranger@example.com 没有看板的权限"),
        ("boss@example.com", False, "公司的登录系统说 boss@example.com 这个邮箱没有验证过"),
        ("boss@example.com", None, "公司的登录系统没有说明 boss@example.com 这个邮箱是否验证过"),
    ],
)
def test_a_company_account_gets_in_only_where_it_is_listed_and_vouched_for(
    browser: Browser, company_url: str, provider: IdentityProvider, email: str, verified: bool | None, seen: str
) -> None:
    provider.email, provider.verified = email, verified
    with window(browser, company_url) as shown:
        shown.open("queue")
        assert "待发送" not in shown.text()
        shown.page.get_by_role("button", name="用公司账号登录").click()
        shown.page.get_by_text(seen).wait_for()
        expect(shown.page.locator("h1")).to_have_count(int(seen.startswith("已登录")))  # drawn after the sidebar
        if seen.startswith("已登录"):  # unlike a named user, who has to sign in anew
            shown.page.reload()
            shown.page.get_by_text(seen).wait_for()


def test_an_open_address_without_sign_in_does_not_start(desk: Desk, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("dashboard: {address: 0.0.0.0}\n", encoding="utf-8")
    refused = subprocess.run(
        [sys.executable, "main.py", "dashboard"],
        cwd=ROOT,
        env={**desk.environ, "SETTINGS_FILE": str(settings), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert "没有设置登录，拒绝启动" in refused.stderr


def test_it_is_told_when_the_dashboard_listens_and_when_it_does_no_more(desk: Desk, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "main.py", "dashboard", "--port", str(port)]
    surroundings = {**os.environ, **desk.environ, "HOME": str(tmp_path), "PYTHONIOENCODING": "gbk"}  # as on Windows
    with subprocess.Popen(command, cwd=ROOT, env=surroundings, stderr=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stderr is not None
        try:
            told = [server.stderr.readline(), server.stderr.readline()]
            assert http_answer(f"http://127.0.0.1:{port}", "/_stcore/health") == (200, b"ok")
            loaded = {Path(one.path).name.partition(".")[0] for one in psutil.Process(server.pid).memory_maps()}
            assert {"libarrow_python", "pandas_parser", "_sqlite3"} <= loaded  # the first page need not wait for them
        finally:
            server.send_signal(signal.SIGINT)
        told += server.stderr.readlines()
    assert told == [
        "看板正在启动，要几秒钟…\n",
        f"看板已启动：http://127.0.0.1:{port}（按 Ctrl-C 停止）\n",
        "看板已停止\n",
    ]
    assert server.returncode == 0
