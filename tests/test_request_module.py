"""The Metabase client against every fault that Metabase is known for, over real HTTP on loopback."""

from __future__ import annotations

import errno
import json
import logging
import os
import socketserver
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from modules import request_module
from modules.clock import SHANGHAI
from modules.request_module import (
    MetabaseClient,
    MetabaseDownError,
    MetabaseError,
    Table,
    send_request_with_managed_session,
)
from modules.sandbox.http_stand_in import Answer, HttpStandIn, Request
from modules.sandbox.metabase import API_KEY, PASSWORD, USERNAME, Fault, MetabaseStandIn, Operation
from modules.settings import MetabaseSettings, Settings

CARD = 1693
COLUMNS = (("_id", "合同ID"), ("serviceHousekeeper", "管家"), ("adjustRefundMoney", "合同金额"))
NAMES = ("_id", "serviceHousekeeper", "adjustRefundMoney")
ROWS: list[list[object]] = [[1, "张三", 12000.5], [2, None, 8000]]
WHOLE = Table(NAMES, [[1, "张三", "12000.5"], [2, None, 8000]])
LONG_ID = 3_141_592_653_589_793_238


class FakeTime:
    """Time that passes only when the client sleeps, or when a test says so."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.pauses: list[float] = []

    def now(self) -> datetime:
        return datetime(2025, 5, 20, 12, tzinfo=SHANGHAI) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.elapsed += seconds


MakeClient = Callable[..., MetabaseClient]


@pytest.fixture
def metabase() -> Iterator[MetabaseStandIn]:
    with MetabaseStandIn() as stand_in:
        stand_in.set_card(CARD, COLUMNS, ROWS)
        yield stand_in


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def state_file(state_dir: Path) -> Path:
    return state_dir / "metabase_session.json"


@pytest.fixture
def new_client(metabase: MetabaseStandIn, clock: FakeTime, state_dir: Path) -> Iterator[MakeClient]:
    """Makes clients of the stand-in (or of `url`), as processes started one after another would."""
    with ExitStack() as stack:

        def make(
            *,
            sleep: Callable[[float], None] = clock.sleep,
            monotonic: Callable[[], float] = clock.monotonic,
            **changed: Any,
        ) -> MetabaseClient:
            account = {"url": metabase.url, "username": USERNAME, "password": PASSWORD}
            settings = MetabaseSettings.model_validate(account | changed)
            client = MetabaseClient(settings, state_dir, clock.now, sleep, monotonic)
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(new_client: MakeClient) -> MetabaseClient:
    return new_client()


def failure(of: MetabaseClient, card: int = CARD) -> MetabaseError:
    """The error that a fetch ends with; it always names the card, on one line, without a secret."""
    with pytest.raises(MetabaseError) as caught:
        of.fetch_card(card)
    error = caught.value
    text = str(error)
    assert error.card == card
    assert text == f"问题卡 {card}：{error.what}；请{error.remedy}"
    assert "\n" not in text
    assert PASSWORD not in text
    assert API_KEY not in text
    return error


def many_rows(count: int) -> list[list[object]]:
    return [[LONG_ID + number, "张三", 1000.5] for number in range(count)]


def queries(metabase: MetabaseStandIn) -> int:
    return metabase.calls.count(f"POST /api/card/{CARD}/query")


# ── the table ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_table_comes_whole_with_exact_numbers(client: MetabaseClient) -> None:
    assert client.fetch_card(CARD) == WHOLE


def test_an_empty_table_is_a_table(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    metabase.set_card(CARD, COLUMNS, [])
    assert client.fetch_card(CARD) == Table(NAMES, [])


@pytest.mark.parametrize(("count", "exported"), [(1_999, False), (2_000, True), (2_001, True), (4_500, True)])
def test_from_the_row_limit_on_the_export_gives_the_whole_table(
    metabase: MetabaseStandIn, client: MetabaseClient, count: int, exported: bool
) -> None:
    metabase.set_card(CARD, COLUMNS, many_rows(count))
    table = client.fetch_card(CARD)
    assert table.columns == NAMES
    assert [str(row[0]) for row in table.rows] == [str(LONG_ID + number) for number in range(count)]
    assert table.rows[-1][1:] == ["张三", "1000.5"]
    assert (f"POST /api/card/{CARD}/query/json" in metabase.calls) is exported


def test_a_long_id_reads_the_same_from_query_and_export(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    metabase.set_card(CARD, COLUMNS, many_rows(1))
    from_query = client.fetch_card(CARD).rows[0][0]
    metabase.set_card(CARD, COLUMNS, many_rows(2_000))
    from_export = client.fetch_card(CARD).rows[0][0]
    assert (from_query, from_export) == (str(LONG_ID), LONG_ID)
    assert str(from_query) == str(from_export)


def test_ids_as_numbers_and_as_text_read_the_same(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    metabase.set_card(CARD, ["_id"], [[20250501], ["20250501"]])
    assert {str(row[0]) for row in client.fetch_card(CARD).rows} == {"20250501"}


# ── the door people know ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address", [CARD, str(CARD), "{url}/api/card/1693/query", "{url}/api/card/1693/query/json", "/api/card/1693/query"]
)
def test_the_known_door_gives_the_shape_of_metabase(
    metabase: MetabaseStandIn, client: MetabaseClient, address: str | int
) -> None:
    api_url = address.format(url=metabase.url) if isinstance(address, str) else address
    assert send_request_with_managed_session(api_url, client) == {
        "data": {"rows": WHOLE.rows, "cols": [{"name": name} for name in NAMES]},
        "row_count": 2,
        "status": "completed",
    }


def test_without_a_client_the_settings_make_one(
    metabase: MetabaseStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = MetabaseSettings(url=f"{metabase.url}/", api_key=SecretStr(API_KEY))
    settings = Settings(metabase=account, data_dir=tmp_path)
    monkeypatch.setattr(request_module, "load_settings", lambda: settings)
    answer = send_request_with_managed_session(f"{metabase.url}/api/card/{CARD}/query")
    assert answer["row_count"] == 2


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("http://elsewhere.example/api/card/1693/query", "不在 METABASE_URL 之下"),
        ("{url}/question/1693", "看不懂问题卡的地址"),
        ("", "看不懂问题卡的地址"),
    ],
)
def test_an_address_that_is_no_question_of_ours_is_refused(
    metabase: MetabaseStandIn, client: MetabaseClient, address: str, what: str
) -> None:
    with pytest.raises(MetabaseError, match=what):
        send_request_with_managed_session(address.format(url=metabase.url), client)
    assert metabase.calls == []


# ── signing in ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_login_serves_every_client_until_it_expires(metabase: MetabaseStandIn, new_client: MakeClient) -> None:
    for _ in range(3):
        assert new_client().fetch_card(CARD) == WHOLE
    assert metabase.logins == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such mode bits")
def test_the_cached_session_is_readable_by_its_owner_only(
    client: MetabaseClient, state_dir: Path, state_file: Path
) -> None:
    before = os.umask(0)
    try:
        client.fetch_card(CARD)
    finally:
        os.umask(before)
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    assert list(state_dir.iterdir()) == [state_file]
    assert PASSWORD not in state_file.read_text()


def test_a_cookie_is_never_sent(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    client.fetch_card(CARD)
    metabase.expire_sessions()
    client.fetch_card(CARD)
    assert len(metabase.requests) > 4
    assert not any("cookie" in request.headers for request in metabase.requests)


def test_an_expired_session_is_renewed_once_and_the_request_repeated(
    metabase: MetabaseStandIn, client: MetabaseClient
) -> None:
    client.fetch_card(CARD)
    metabase.expire_sessions()
    assert client.fetch_card(CARD) == WHOLE
    assert (metabase.logins, queries(metabase)) == (2, 3)


def test_a_session_that_ends_at_the_export_is_renewed_too(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    client.fetch_card(CARD)
    metabase.set_card(CARD, COLUMNS, many_rows(2_001))
    metabase.inject(Fault.EXPIRED_SESSION, on=Operation.EXPORT)
    assert len(client.fetch_card(CARD).rows) == 2_001
    assert metabase.logins == 2


def test_a_fetch_logs_in_once_at_most(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    client.fetch_card(CARD)
    metabase.inject(Fault.EXPIRED_SESSION, times=None)
    assert "刚登录的会话也不被接受" in failure(client).what
    assert (metabase.logins, queries(metabase)) == (2, 3)


def test_a_first_login_counts_as_the_one_of_its_fetch(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    metabase.inject(Fault.EXPIRED_SESSION)
    assert "刚登录的会话也不被接受" in failure(client).what
    assert metabase.logins == 1


def test_threads_that_need_a_session_at_once_share_one_login(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    """As the lanes of the daemon do; each wrong password counts, and too many lock the account."""
    start = threading.Barrier(6)

    def fetch(_number: int) -> Table:
        start.wait(20)
        return client.fetch_card(CARD)

    with ThreadPoolExecutor(6) as pool:
        tables = list(pool.map(fetch, range(6)))
    assert tables == [WHOLE] * 6
    assert metabase.logins == 1


def test_changed_settings_discard_the_session(metabase: MetabaseStandIn, new_client: MakeClient) -> None:
    new_client().fetch_card(CARD)
    metabase.username = "other@example.com"
    assert new_client(username="other@example.com").fetch_card(CARD) == WHOLE
    assert metabase.logins == 2


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b'{"account": 1}'])
def test_a_broken_session_file_is_replaced(
    client: MetabaseClient, state_file: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    state_file.parent.mkdir()
    state_file.write_bytes(content)
    assert client.fetch_card(CARD) == WHOLE
    assert "读不懂" in caplog.text
    assert json.loads(state_file.read_bytes())["session"]


def test_no_login_where_its_outcome_could_not_be_kept(
    metabase: MetabaseStandIn, client: MetabaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a wrong password would be tried again by every run, for as long as the disk is full."""

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert "不能读写（No space left on device）" in failure(client).what
    assert metabase.logins == 0


def test_a_session_file_that_cannot_be_read_is_said(
    metabase: MetabaseStandIn, client: MetabaseClient, state_file: Path
) -> None:
    state_file.mkdir(parents=True)
    assert "会话文件" in failure(client).what
    assert metabase.logins == 0


# ── the brake ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_password_is_tried_once_an_hour(
    metabase: MetabaseStandIn, new_client: MakeClient, clock: FakeTime, state_file: Path
) -> None:
    for _ in range(20):
        error = failure(new_client(password="wrong-password"))
        assert "用户名或密码不对" in error.what
        assert "2025-05-20 13:00:00 之前不再用它们登录" in error.what
        assert ".env" in error.remedy
        clock.elapsed += 179
    assert metabase.logins == 1
    assert "wrong-password" not in state_file.read_text()
    clock.elapsed = 3_600
    failure(new_client(password="wrong-password"))
    assert metabase.logins == 2


@pytest.mark.parametrize("corrected", ["password", "username"])
def test_corrected_credentials_are_tried_at_once(
    metabase: MetabaseStandIn, new_client: MakeClient, corrected: str
) -> None:
    failure(new_client(**{corrected: "wrong"}))
    assert new_client().fetch_card(CARD) == WHOLE
    assert metabase.logins == 2


def test_after_a_good_login_the_same_password_may_fail_anew(metabase: MetabaseStandIn, new_client: MakeClient) -> None:
    metabase.inject(Fault.WRONG_PASSWORD)
    failure(new_client())
    metabase.password = "changed"
    new_client(password="changed").fetch_card(CARD)
    metabase.password = PASSWORD
    metabase.expire_sessions()
    assert new_client().fetch_card(CARD) == WHOLE


def test_a_throttled_login_waits_as_long_as_it_was_told(
    metabase: MetabaseStandIn, new_client: MakeClient, clock: FakeTime
) -> None:
    metabase.inject(Fault.THROTTLED_LOGIN, seconds=90)
    for seconds in (0, 45, 89):
        clock.elapsed = seconds
        error = failure(new_client())
        assert "登录尝试过多" in error.what
        assert "2025-05-20 12:01:30" in error.what
    assert metabase.logins == 1
    clock.elapsed = 90
    assert new_client().fetch_card(CARD) == WHOLE


def test_a_new_password_does_not_shorten_the_wait(metabase: MetabaseStandIn, new_client: MakeClient) -> None:
    metabase.inject(Fault.THROTTLED_LOGIN, seconds=90)
    failure(new_client(password="old"))
    assert "登录尝试过多" in failure(new_client()).what
    assert metabase.logins == 1


def test_a_wait_is_understood_in_any_language(new_client: MakeClient, clock: FakeTime) -> None:
    throttled = Answer.of_json(401, {"errors": {"username": "尝试次数过多！您必须等待 1,200 秒后再试。"}})
    with Canned({"/api/session": throttled}) as server:
        assert "2025-05-20 12:20:00 之前不再登录" in failure(new_client(url=server.url)).what
        clock.elapsed = 1_199
        failure(new_client(url=server.url))
        assert len(server.requests) == 1


def test_a_login_whose_outcome_is_unknown_is_not_repeated(
    metabase: MetabaseStandIn, client: MetabaseClient, clock: FakeTime
) -> None:
    metabase.inject(Fault.NO_ANSWER, on=Operation.LOGIN)
    assert "连接中断" in failure(client).what
    assert (metabase.logins, clock.pauses) == (1, [])


# ── the API key ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_needs_no_login_and_no_file(metabase: MetabaseStandIn, new_client: MakeClient, state_dir: Path) -> None:
    assert new_client(api_key=API_KEY).fetch_card(CARD) == WHOLE
    assert metabase.logins == 0
    assert not state_dir.exists()
    assert metabase.requests[0].headers["x-api-key"] == API_KEY


def test_a_refused_key_is_said_and_nothing_else_tried(metabase: MetabaseStandIn, new_client: MakeClient) -> None:
    error = failure(new_client(api_key="mb_wrong"))
    assert "API key 不被接受" in error.what
    assert "mb_wrong" not in str(error)
    assert metabase.calls == [f"POST /api/card/{CARD}/query"]


@pytest.mark.parametrize("key", ["mb_密钥", "mb_a\nb"])
def test_a_key_that_cannot_be_a_header_is_said(metabase: MetabaseStandIn, new_client: MakeClient, key: str) -> None:
    error = failure(new_client(api_key=key))
    assert "METABASE_API_KEY" in error.what
    assert key not in str(error)
    assert metabase.calls == []


@pytest.mark.parametrize(
    ("missing", "what"), [({"url": ""}, "METABASE_URL 未设置"), ({"password": ""}, "没有登录方式")]
)
def test_missing_settings_are_named(new_client: MakeClient, missing: dict[str, str], what: str) -> None:
    assert what in failure(new_client(**missing)).what


# ── check --online ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("credentials", [{}, {"api_key": API_KEY}])
def test_check_says_who_is_signed_in(new_client: MakeClient, credentials: dict[str, str]) -> None:
    assert new_client(**credentials).check() == f"沙箱用户（{USERNAME}）"


def test_check_renews_an_expired_session(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    client.check()
    metabase.expire_sessions()
    client.check()
    assert metabase.logins == 2


def test_check_fails_in_words(new_client: MakeClient) -> None:
    with pytest.raises(MetabaseError, match=r"^Metabase：API key 不被接受（HTTP 401）；请检查"):
        new_client(api_key="mb_wrong").check()


# ── refusals and failed queries: certain, so said at once ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault.FORBIDDEN, "没有权限（HTTP 403）"),
        (Fault.NOT_FOUND, "不存在或已归档（HTTP 404）"),
        (Fault.FAILED_202, "查询失败：ERROR: canceling statement due to statement timeout"),
        (Fault.FAILED_500, "查询失败：ERROR: canceling statement due to statement timeout"),
        (Fault.HTML, "网页而不是数据"),
        (Fault.WRONG_ROW_COUNT, "行数不符：row_count 是 3，收到 2 行"),
    ],
)
def test_what_is_certain_is_not_tried_again(
    metabase: MetabaseStandIn, client: MetabaseClient, clock: FakeTime, fault: Fault, what: str
) -> None:
    metabase.inject(fault)
    assert what in failure(client).what
    assert (queries(metabase), clock.pauses) == (1, [])


def test_an_unknown_card_is_named(client: MetabaseClient) -> None:
    assert str(failure(client, card=7)).startswith("问题卡 7：不存在或已归档")


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer(302, b"", headers=(("Location", "https://sso.example/"),)), "被转到别处（HTTP 302）"),
        (Answer.of_text(400, "bad\nrequest"), "请求没有被接受（HTTP 400：bad request）"),
        (Answer.of_json(202, {"status": "failed", "error": "x\n" * 500}), "查询失败：x x x"),
        (Answer.of_json(202, {"status": "failed"}), "查询失败：没有说明原因"),
        (Answer.of_json(202, {"data": {"rows": [], "cols": []}, "row_count": 0}), "没有完成标记"),
        (Answer.of_json(202, {"status": "completed", "row_count": 0}), "没有数据"),
        (Answer.of_json(202, [1]), "没有完成标记"),
    ],
)
def test_odd_answers_are_errors(new_client: MakeClient, clock: FakeTime, answer: Answer, what: str) -> None:
    with Canned({f"/api/card/{CARD}/query": answer}) as server:
        error = failure(new_client(url=server.url, api_key=API_KEY))
        assert len(server.requests) == 1
    assert what in error.what
    assert len(error.what) < 260
    assert clock.pauses == []


def test_a_row_of_another_length_is_an_error(new_client: MakeClient) -> None:
    with Canned({f"/api/card/{CARD}/query": query_answer([[1, "张三", 2], [2, "李四"]])}) as server:
        error = failure(new_client(url=server.url, api_key=API_KEY))
    assert "第 2 行有 2 个值，应有 3 个" in error.what


@pytest.mark.parametrize(
    ("fault", "is_down"),
    [
        (Fault.FORBIDDEN, False),
        (Fault.NOT_FOUND, False),
        (Fault.FAILED_500, False),
        (Fault.WRONG_ROW_COUNT, False),
        (Fault.HTML, True),
        (Fault.ERROR_503, True),
        (Fault.NO_ANSWER, True),
        (Fault.EXPIRED_SESSION, True),
        (Fault.WRONG_PASSWORD, True),
        (Fault.THROTTLED_LOGIN, True),
    ],
)
def test_a_metabase_that_is_down_is_told_from_a_card_that_can_not_be_used(
    metabase: MetabaseStandIn, client: MetabaseClient, fault: Fault, is_down: bool
) -> None:
    metabase.inject(fault, times=None)
    assert isinstance(failure(client), MetabaseDownError) == is_down


@pytest.mark.parametrize("options", [{"url": ""}, {"password": ""}, {"api_key": "不对"}])
def test_without_an_address_or_a_login_no_card_can_be_asked(new_client: MakeClient, options: dict[str, str]) -> None:
    assert isinstance(failure(new_client(**options)), MetabaseDownError)


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    """A column title may hold a line break."""
    assert str(MetabaseError("有同名的列：合同\n编号", "改名", card=7)) == "问题卡 7：有同名的列：合同 编号；请改名"


# ── failures that pass ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "fault",
    [Fault.ERROR_500, Fault.ERROR_503, Fault.NO_ANSWER, Fault.TRUNCATED_BODY, Fault.ERROR_APPENDED],
)
def test_what_may_pass_is_tried_again_with_growing_pauses(
    metabase: MetabaseStandIn, client: MetabaseClient, clock: FakeTime, fault: Fault
) -> None:
    metabase.inject(fault, times=2)
    assert client.fetch_card(CARD) == WHOLE
    assert clock.pauses == [1, 2]
    assert metabase.logins == 1


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault.ERROR_500, "服务器出错（HTTP 500：Internal Server Error）"),
        (Fault.NO_ANSWER, "连接中断，答复没有收完"),
        (Fault.TRUNCATED_BODY, "连接中断，答复没有收完"),
        (Fault.ERROR_APPENDED, "答复不完整或不是 JSON"),
    ],
)
def test_what_does_not_pass_ends_after_five_tries(
    metabase: MetabaseStandIn, new_client: MakeClient, clock: FakeTime, fault: Fault, what: str
) -> None:
    metabase.inject(fault, times=None)
    error = failure(new_client(time_budget=1_000))
    assert f"{what}（试了 5 次）" in error.what
    assert clock.pauses == [1, 2, 4, 8]


def test_or_when_the_budget_is_used_up(metabase: MetabaseStandIn, new_client: MakeClient, clock: FakeTime) -> None:
    metabase.inject(Fault.ERROR_500, times=None)
    assert "（试了 3 次）" in failure(new_client(time_budget=6)).what
    assert clock.pauses == [1, 2]


def test_a_body_shorter_than_its_length_is_tried_again(new_client: MakeClient, clock: FakeTime) -> None:
    cut = Answer(202, query_answer([[1, "张三", 2]]).body, cut=True)
    with Canned({f"/api/card/{CARD}/query": cut}) as server:
        failure(new_client(url=server.url, api_key=API_KEY, time_budget=4))
    assert clock.pauses == [1, 2]


def test_a_server_that_comes_up_meanwhile_is_reached(
    metabase: MetabaseStandIn, new_client: MakeClient, clock: FakeTime
) -> None:
    metabase.stop()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.pauses) == 2:
            metabase.start()

    assert new_client(sleep=sleep).fetch_card(CARD) == WHOLE
    assert (clock.pauses, metabase.logins) == ([1, 2], 1)


def test_a_server_that_stays_away_is_said(metabase: MetabaseStandIn, new_client: MakeClient) -> None:
    metabase.stop()
    error = failure(new_client(time_budget=5))
    assert "连不上服务器" in error.what
    assert "METABASE_URL" in error.remedy


def test_a_slow_answer_runs_into_the_read_timeout_and_is_tried_again(
    metabase: MetabaseStandIn, new_client: MakeClient, clock: FakeTime
) -> None:
    client = new_client(read_timeout=0.1)
    metabase.inject(Fault.SLOW)
    assert client.fetch_card(CARD) == WHOLE
    assert clock.pauses == [1]
    metabase.inject(Fault.SLOW)
    assert "等不到答复（读取超时）" in failure(new_client(read_timeout=0.1, time_budget=0.9)).what


def test_what_sleep_raises_ends_the_fetch(metabase: MetabaseStandIn, new_client: MakeClient) -> None:
    """So that a daemon which is told to stop does not sit out the pauses."""

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    metabase.inject(Fault.ERROR_500, times=None)
    with pytest.raises(KeyboardInterrupt):
        new_client(sleep=stop).fetch_card(CARD)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_server_that_drips_does_not_outlast_the_budget(new_client: MakeClient, chunked: bool) -> None:
    with dripping(chunked) as url:
        client = new_client(url=url, api_key=API_KEY, time_budget=0.3, monotonic=time.monotonic)
        began = time.monotonic()
        assert "时间预算内没有收完答复" in failure(client).what
        assert time.monotonic() - began < 2


def test_the_log_tells_of_retries_and_keeps_secrets(
    metabase: MetabaseStandIn, client: MetabaseClient, state_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    metabase.inject(Fault.ERROR_500)
    client.fetch_card(CARD)
    assert "服务器出错（HTTP 500：Internal Server Error），1 秒后再试" in caplog.text
    assert PASSWORD not in caplog.text
    assert json.loads(state_file.read_bytes())["session"] not in caplog.text


# ── the export ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault.EXPORT_FAILED, "查询失败：ERROR: canceling statement"),
        (Fault.EXPORT_CUT, "连接中断，答复没有收完（试了 5 次）"),
        (Fault.ERROR_APPENDED, "答复不完整或不是 JSON（试了 5 次）"),
    ],
)
def test_a_broken_export_is_never_half_a_table(
    metabase: MetabaseStandIn, new_client: MakeClient, fault: Fault, what: str
) -> None:
    metabase.set_card(CARD, COLUMNS, many_rows(2_500))
    metabase.inject(fault, times=None, on=Operation.EXPORT)
    assert what in failure(new_client(time_budget=20)).what


def test_a_cut_export_is_tried_again(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    metabase.set_card(CARD, COLUMNS, many_rows(2_500))
    metabase.inject(Fault.EXPORT_CUT)
    assert len(client.fetch_card(CARD).rows) == 2_500


def test_equal_titles_cannot_be_told_apart(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    metabase.set_card(CARD, [("_id", "编号"), ("no", "编号"), ("x", "其他")], many_rows(2_000))
    assert "有同名的列：编号" in failure(client).what


def test_equal_titles_do_not_matter_below_the_row_limit(metabase: MetabaseStandIn, client: MetabaseClient) -> None:
    metabase.set_card(CARD, [("_id", "编号"), ("no", "编号")], [[1, 2]])
    assert client.fetch_card(CARD) == Table(("_id", "no"), [[1, 2]])


GOOD_RECORD = {"合同ID": 1, "管家": "张三", "合同金额": 2}


@pytest.mark.parametrize(
    ("export", "what"),
    [
        ([{"合同ID": 1, "管家": "张三"}] * 2_000, "导出第 1 行的列对不上，缺少：合同金额，多出：无"),
        ([GOOD_RECORD | {"新列": 1}] * 2_000, "导出第 1 行的列对不上，缺少：无，多出：新列"),
        ([GOOD_RECORD] * 1_999 + [{"合同ID": 1}], "导出第 2000 行的列对不上，缺少：合同金额、管家"),
        ([GOOD_RECORD] * 1_999, "导出只有 1999 行，查询已有 2000 行"),
        ([[1, "张三", 2]] * 2_000, "导出的结果不是表格"),
        ({"error": "out of memory"}, "导出的结果不是表格"),
        ([], "导出只有 0 行"),
    ],
)
def test_an_export_that_does_not_fit_the_query_is_an_error(new_client: MakeClient, export: object, what: str) -> None:
    answers = {
        f"/api/card/{CARD}/query": query_answer([[1, "张三", 2]] * 2_000),
        f"/api/card/{CARD}/query/json": Answer.of_json(200, export),
    }
    with Canned(answers) as server:
        assert what in failure(new_client(url=server.url, api_key=API_KEY)).what


def test_rows_truncated_alone_asks_for_the_export(new_client: MakeClient) -> None:
    """A server may be set to a lower limit than 2,000."""
    answers = {
        f"/api/card/{CARD}/query": query_answer([[1, "张三", 2]], rows_truncated=1),
        f"/api/card/{CARD}/query/json": Answer.of_json(200, [GOOD_RECORD] * 3),
    }
    with Canned(answers) as server:
        table = new_client(url=server.url, api_key=API_KEY).fetch_card(CARD)
    assert table == Table(NAMES, [[1, "张三", 2]] * 3)


# ── servers that the stand-in is too well-behaved for ──────────────────────────────────────────────────────────────


class Canned(HttpStandIn):
    """Gives each path the answer it was told, whoever asks."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        super().__init__()
        self._answers = answers

    def answer(self, request: Request) -> Answer:
        return self._answers.get(request.path, Answer.of_text(404, "Not found."))


def query_answer(rows: list[list[object]], **data: object) -> Answer:
    cols = [{"name": name, "display_name": title, "base_type": "type/Text"} for name, title in COLUMNS]
    body = {"data": {"rows": rows, "cols": cols, **data}, "row_count": len(rows), "status": "completed"}
    return Answer.of_json(202, body)


def dripping(chunked: bool) -> AbstractContextManager[str]:
    """A server that answers every request with one space after another, for ever; gives its URL."""
    stopping = threading.Event()
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 999999"
    drop = b"1\r\n \r\n" if chunked else b" "

    class Drip(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = f"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
            self.request.recv(65_536)
            try:
                self.wfile.write(head.encode())
                while not stopping.wait(0.02):
                    self.wfile.write(drop)
            except ConnectionError:
                return  # the client has had enough, as it should

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    @contextmanager
    def running() -> Iterator[str]:
        with Server(("127.0.0.1", 0), Drip) as server:
            accepting = threading.Thread(target=server.serve_forever, args=(0.02,))
            accepting.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                stopping.set()
                server.shutdown()
                accepting.join()

    return running()
