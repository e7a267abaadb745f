"""The stand-ins behave as the facts page says of Metabase and WeCom, and the sample contracts keep their promises."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from modules.sandbox.__main__ import main
from modules.sandbox.metabase import API_KEY, PASSWORD, USERNAME, Fault, MetabaseStandIn, Operation
from modules.sandbox.robot import UPLOAD_PATH, RobotFault, RobotStandIn
from modules.sandbox.sample_contracts import CITIES, SHANGHAI, SampleMonth, sample_cards
from modules.sandbox.sample_violations import VIOLATION_COLUMNS

ROOT = Path(__file__).parents[1]
CARD = 1693
LONG_ID = 1_920_000_000_000_000_123
KEY = "sandbox-key"


# --- Metabase -------------------------------------------------------------------------------------------------------


@pytest.fixture
def metabase() -> Iterator[MetabaseStandIn]:
    with MetabaseStandIn() as stand_in:
        stand_in.set_card(CARD, [("_id", "合同ID"), ("amount", "金额")], [[LONG_ID, 1234.56], [7, "1,000.00"]])
        yield stand_in


def post(url: str, **options: Any) -> requests.Response:
    return requests.post(url, timeout=2, **options)


def log_in(stand_in: MetabaseStandIn, password: str = PASSWORD) -> requests.Response:
    return post(f"{stand_in.url}/api/session", json={"username": USERNAME, "password": password})


def session_header(stand_in: MetabaseStandIn) -> dict[str, str]:
    return {"X-Metabase-Session": log_in(stand_in).json()["id"]}


def query(stand_in: MetabaseStandIn, card: int = CARD, headers: dict[str, str] | None = None) -> requests.Response:
    return post(f"{stand_in.url}/api/card/{card}/query", headers=headers or {"x-api-key": API_KEY})


def export(stand_in: MetabaseStandIn, **options: Any) -> requests.Response:
    options = options or {"data": {"format_rows": "false"}}
    return post(f"{stand_in.url}/api/card/{CARD}/query/json", headers={"x-api-key": API_KEY}, **options)


def test_login_gives_a_session_that_opens_cards_and_a_cookie(metabase: MetabaseStandIn) -> None:
    answer = log_in(metabase)
    session = answer.json()["id"]
    assert answer.status_code == 200
    assert answer.cookies["metabase.SESSION"] == session
    assert query(metabase, headers={"X-Metabase-Session": session}).status_code == 202
    assert metabase.calls == ["POST /api/session", f"POST /api/card/{CARD}/query"]
    assert metabase.logins == 1


def test_wrong_password_is_401_with_json(metabase: MetabaseStandIn) -> None:
    answer = log_in(metabase, "guess")
    assert (answer.status_code, list(answer.json()["errors"])) == (401, ["password"])


def test_login_without_a_password_is_400(metabase: MetabaseStandIn) -> None:
    assert post(f"{metabase.url}/api/session", data=b"{").status_code == 400


def test_throttled_login_is_401_that_names_the_seconds(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.THROTTLED_LOGIN, seconds=42)
    answer = log_in(metabase)
    assert answer.status_code == 401
    assert "Too many attempts! You must wait 42 seconds" in answer.json()["errors"]["username"]
    assert log_in(metabase).status_code == 200


@pytest.mark.parametrize("headers", [{"X-Metabase-Session": "made-up"}, {"x-api-key": "malformed"}, {"X-Other": "1"}])
def test_bad_credentials_are_401_in_plain_text(metabase: MetabaseStandIn, headers: dict[str, str]) -> None:
    answer = query(metabase, headers=headers)
    assert (answer.status_code, answer.text) == (401, "Unauthenticated")


def test_the_cookie_is_read_before_the_header(metabase: MetabaseStandIn) -> None:
    good = session_header(metabase)
    assert query(metabase, headers=good | {"Cookie": "metabase.SESSION=stale"}).status_code == 401
    assert query(metabase, headers=good).status_code == 202


def test_current_user_needs_a_session(metabase: MetabaseStandIn) -> None:
    url = f"{metabase.url}/api/user/current"
    assert requests.get(url, timeout=2).status_code == 401
    assert requests.get(url, headers=session_header(metabase), timeout=2).json()["email"] == USERNAME


def test_unknown_card_is_404_in_plain_text(metabase: MetabaseStandIn) -> None:
    answer = query(metabase, card=1)
    assert (answer.status_code, answer.text) == (404, "Not found.")


def test_query_answer_has_the_shape_of_the_real_one(metabase: MetabaseStandIn) -> None:
    answer = query(metabase)
    body = answer.json()
    assert answer.status_code == 202
    assert next(iter(body)) == "data"
    assert list(body)[-1] == "status"
    assert (body["status"], body["row_count"]) == ("completed", 2)
    assert body["data"]["rows"] == [[str(LONG_ID), 1234.56], [7, "1,000.00"]]
    assert body["data"]["cols"] == [
        {"name": "_id", "display_name": "合同ID", "base_type": "type/BigInteger"},
        {"name": "amount", "display_name": "金额", "base_type": "type/Text"},
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(2**53 - 1, 2**53 - 1), (2**53, str(2**53)), (-(2**53), str(-(2**53))), (True, True)]
)
def test_integers_beyond_the_safe_ones_are_text(metabase: MetabaseStandIn, value: int, shown: object) -> None:
    metabase.set_card(CARD, ["n"], [[value]])
    assert query(metabase).json()["data"]["rows"] == [[shown]]
    assert export(metabase).json() == [{"n": value}]


@pytest.mark.parametrize(("rows", "shown", "mark"), [(1999, 1999, None), (2000, 2000, 2000), (2001, 2000, 2000)])
def test_query_stops_at_2000_rows_and_export_does_not(
    metabase: MetabaseStandIn, rows: int, shown: int, mark: int | None
) -> None:
    metabase.set_card(CARD, ["n"], [[n] for n in range(rows)])
    body = query(metabase).json()
    assert (len(body["data"]["rows"]), body["row_count"], body["data"].get("rows_truncated")) == (shown, shown, mark)
    assert len(export(metabase).json()) == rows


@pytest.mark.parametrize("asked", [{"data": {"format_rows": "false"}}, {"json": {"format_rows": False}}])
def test_export_is_a_bare_array_keyed_by_title(metabase: MetabaseStandIn, asked: dict[str, Any]) -> None:
    answer = export(metabase, **asked)
    assert answer.status_code == 200
    assert answer.json() == [{"合同ID": LONG_ID, "金额": 1234.56}, {"合同ID": 7, "金额": "1,000.00"}]


def test_export_formats_numbers_unless_asked_not_to(metabase: MetabaseStandIn) -> None:
    assert export(metabase, data={"format_rows": "true"}).json()[0]["金额"] == "1,234.56"


def test_a_card_may_grow(metabase: MetabaseStandIn) -> None:
    rows: list[list[object]] = []
    metabase.set_card(CARD, ["n"], lambda: rows)
    assert query(metabase).json()["row_count"] == 0
    rows.append([1])
    assert query(metabase).json()["data"]["rows"] == [[1]]


def test_expired_session_stays_expired_and_a_new_login_helps(metabase: MetabaseStandIn) -> None:
    old = session_header(metabase)
    metabase.inject(Fault.EXPIRED_SESSION, card=CARD)
    assert query(metabase, headers=old).text == "Unauthenticated"
    assert query(metabase, headers=old).status_code == 401
    assert query(metabase, headers=session_header(metabase)).status_code == 202
    assert metabase.logins == 2


def test_all_sessions_may_expire(metabase: MetabaseStandIn) -> None:
    old = session_header(metabase)
    metabase.expire_sessions()
    assert query(metabase, headers=old).status_code == 401


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (Fault.FORBIDDEN, 403, "You don't have permissions to do that."),
        (Fault.NOT_FOUND, 404, "Not found."),
        (Fault.ERROR_500, 500, "Internal Server Error"),
        (Fault.ERROR_503, 503, "Service Unavailable"),
        (Fault.HTML, 200, "<!DOCTYPE html>"),
    ],
)
def test_faults_in_plain_text(metabase: MetabaseStandIn, fault: Fault, status: int, text: str) -> None:
    metabase.inject(fault)
    answer = query(metabase)
    assert answer.status_code == status
    assert answer.text.startswith(text)
    assert query(metabase).status_code == 202


@pytest.mark.parametrize(("fault", "status"), [(Fault.FAILED_202, 202), (Fault.FAILED_500, 500)])
def test_a_failed_query_says_so_in_json(metabase: MetabaseStandIn, fault: Fault, status: int) -> None:
    metabase.inject(fault)
    answer = query(metabase)
    body = answer.json()
    assert (answer.status_code, body["status"], body["data"]) == (status, "failed", {"rows": [], "cols": []})
    assert body["error"]


def test_a_failed_export_is_200_with_error_json(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.EXPORT_FAILED)
    assert query(metabase).status_code == 202
    answer = export(metabase)
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")


def test_cut_bodies_raise_chunked_encoding_error(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.TRUNCATED_BODY)
    metabase.inject(Fault.EXPORT_CUT)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        query(metabase)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        export(metabase)
    assert metabase.unused_faults == 0


def test_appended_error_breaks_the_json_behind_a_good_status(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.ERROR_APPENDED, times=2)
    for answer, status in ((query(metabase), 202), (export(metabase), 200)):
        assert answer.status_code == status
        assert "1,000.00" in answer.text
        assert '"status": "failed"' in answer.text
        with pytest.raises(requests.exceptions.JSONDecodeError):
            answer.json()


def test_row_count_may_disagree(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.WRONG_ROW_COUNT)
    body = query(metabase).json()
    assert (len(body["data"]["rows"]), body["row_count"], list(body)[-1]) == (2, 3, "status")


def test_no_answer_at_all(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.NO_ANSWER)
    with pytest.raises(requests.exceptions.ConnectionError):
        query(metabase)
    assert len(metabase.requests) == 1


def test_a_slow_answer_runs_into_the_read_timeout(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.SLOW)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{metabase.url}/api/card/{CARD}/query", headers={"x-api-key": API_KEY}, timeout=0.05)


def test_a_slow_answer_may_come_after_all(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.SLOW, seconds=0.02)
    answer = query(metabase)
    assert answer.json()["row_count"] == 2
    assert answer.elapsed >= timedelta(seconds=0.02)


def test_faults_hit_their_card_only_and_as_often_as_said(metabase: MetabaseStandIn) -> None:
    metabase.set_card(1694, ["n"], [[1]])
    metabase.inject(Fault.ERROR_503, times=2, card=CARD)
    assert [query(metabase, card).status_code for card in (1694, CARD, CARD, CARD)] == [202, 503, 503, 202]


def test_a_standing_fault_lasts_until_cleared_and_counted_ones_go_first(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.ERROR_503, times=None)
    metabase.inject(Fault.FORBIDDEN)
    assert [query(metabase).status_code for _ in range(3)] == [403, 503, 503]
    metabase.clear_faults()
    assert query(metabase).status_code == 202


def test_a_general_fault_hits_the_login_only_when_told(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.ERROR_500)
    assert log_in(metabase).status_code == 200
    metabase.inject(Fault.ERROR_503, on=Operation.LOGIN)
    assert log_in(metabase).status_code == 503
    assert query(metabase).status_code == 500


def test_requests_that_are_not_let_in_use_no_fault_up(metabase: MetabaseStandIn) -> None:
    metabase.inject(Fault.FORBIDDEN)
    assert query(metabase, headers={"x-api-key": "wrong"}).status_code == 401
    assert metabase.unused_faults == 1


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        (Fault.EXPORT_CUT, {"on": Operation.QUERY}, "cannot hit"),
        (Fault.WRONG_PASSWORD, {"card": CARD}, "knows no card"),
        (Fault.HTML, {"seconds": 3}, "takes no time"),
        (Fault.HTML, {"times": 0}, "times must be"),
    ],
)
def test_a_fault_that_could_never_strike_is_refused(
    metabase: MetabaseStandIn, fault: Fault, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        metabase.inject(fault, **options)


# --- Robot ----------------------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass only when told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def robot() -> Iterator[RobotStandIn]:
    with RobotStandIn([KEY, "other"]) as stand_in:
        yield stand_in


def text(content: object, **mentions: object) -> dict[str, object]:
    return {"msgtype": "text", "text": {"content": content, **mentions}}


def send(robot: RobotStandIn, message: object, key: str = KEY, timeout: float = 2) -> requests.Response:
    return requests.post(f"{robot.url}/cgi-bin/webhook/send", params={"key": key}, json=message, timeout=timeout)


def errcode(robot: RobotStandIn, message: object, key: str = KEY) -> int:
    answer = send(robot, message, key)
    assert answer.status_code == 200
    return int(answer.json()["errcode"])


def test_a_message_is_accepted_and_recorded(robot: RobotStandIn) -> None:
    assert errcode(robot, text("签约喜报🎉", mentioned_list=["@all"], mentioned_mobile_list=["13800000000"])) == 0
    [message] = robot.messages
    assert (message.key, message.msgtype, message.content) == (KEY, "text", "签约喜报🎉")
    assert (message.mentioned_list, message.mentioned_mobile_list) == (("@all",), ("13800000000",))
    assert abs(datetime.now(UTC) - datetime.fromisoformat(message.wall)) < timedelta(minutes=1)


def test_mentions_count_in_text_only(robot: RobotStandIn) -> None:
    assert errcode(robot, {"msgtype": "markdown", "markdown": {"content": "x", "mentioned_list": ["@all"]}}) == 0
    assert robot.messages[0].mentioned_list == ()


@pytest.mark.parametrize(
    ("message", "key", "code"),
    [
        (text("你好"), "unknown", 93000),
        (text(""), KEY, 44004),
        ({"msgtype": "text"}, KEY, 44004),
        ({"msgtype": "poem", "poem": {"content": "x"}}, KEY, 40008),
        ({"msgtype": "file", "file": {"media_id": "media-1"}}, KEY, 40007),
        ("not an object", KEY, 47001),
        (text("好" * 682 + "ab"), KEY, 0),
        (text("好" * 683), KEY, 40058),
        ({"msgtype": "markdown", "markdown": {"content": "a" * 4096}}, KEY, 0),
        ({"msgtype": "markdown_v2", "markdown_v2": {"content": "a" * 4097}}, KEY, 40058),
    ],
)
def test_messages_are_judged_by_errcode(robot: RobotStandIn, message: object, key: str, code: int) -> None:
    assert errcode(robot, message, key) == code
    assert len(robot.messages) == (code == 0)
    assert len(robot.requests) == 1


def upload(
    robot: RobotStandIn, content: bytes = b"12345", key: str = KEY, kind: str = "file", field: str = "media"
) -> dict[str, object]:
    address, files = f"{robot.url}/cgi-bin/webhook/upload_media", {field: ("榜单.csv", content)}
    answer = requests.post(address, params={"key": key, "type": kind}, files=files, timeout=10)
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_file_is_uploaded_and_then_sent_by_its_robot_only(robot: RobotStandIn) -> None:
    content = b"a\r\n--x\r\n\r\nb\r\n"
    answer = upload(robot, content)
    message = {"msgtype": "file", "file": {"media_id": answer["media_id"]}}
    assert [errcode(robot, message, key) for key in (KEY, "other")] == [0, 40007]
    assert [(file.key, file.name, file.content) for file in robot.files] == [(KEY, "榜单.csv", content)]
    assert [(sent.msgtype, sent.content) for sent in robot.messages] == [("file", "榜单.csv")]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"key": "unknown"}, 93000),
        ({"kind": "voice"}, 40005),
        ({"field": "file"}, 44001),
        ({"content": b""}, 44001),
        ({"content": b"1234"}, 40006),
        ({"content": bytes(20 * 1024 * 1024)}, 0),
        ({"content": bytes(20 * 1024 * 1024 + 1)}, 45001),
    ],
)
def test_uploads_are_judged_by_errcode(robot: RobotStandIn, options: dict[str, Any], code: int) -> None:
    assert upload(robot, **options)["errcode"] == code
    assert len(robot.files) == (code == 0)


def test_faults_of_uploads_and_of_messages_are_apart(robot: RobotStandIn) -> None:
    robot.inject(-1, path=UPLOAD_PATH)
    assert errcode(robot, text("x")) == 0
    assert [upload(robot)["errcode"] for _ in range(2)] == [-1, 0]


def test_the_21st_message_within_a_minute_is_refused_for_its_key() -> None:
    clock = Clock()
    with RobotStandIn([KEY, "other"], clock=clock) as robot:
        assert [errcode(robot, text(f"{n}")) for n in range(21)] == [0] * 20 + [45009]
        assert errcode(robot, text("x"), "other") == 0
        clock.now += 59.9
        assert errcode(robot, text("x")) == 45009
        clock.now += 0.1
        assert errcode(robot, text("x")) == 0


def test_the_rate_limit_can_be_off() -> None:
    with RobotStandIn([KEY], rate_limit=False) as robot:
        assert {errcode(robot, text(f"{n}")) for n in range(25)} == {0}


def test_accepted_messages_are_in_the_file_when_the_answer_is_there(tmp_path: Path) -> None:
    record = tmp_path / "messages.jsonl"
    with RobotStandIn([KEY], record_to=record) as robot:
        for number, content in enumerate(["一", "二\n三"], start=1):
            send(robot, text(content))
            lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
            assert (len(lines), lines[-1]["content"], lines[-1]["key"]) == (number, content, KEY)
        send(robot, text(""))
    assert len(record.read_text(encoding="utf-8").splitlines()) == 2


def test_any_errcode_can_be_injected_for_a_key(robot: RobotStandIn) -> None:
    robot.inject(-1, times=2, key=KEY)
    assert errcode(robot, text("x"), "other") == 0
    assert [errcode(robot, text("x")) for _ in range(3)] == [-1, -1, 0]
    assert [message.key for message in robot.messages] == ["other", KEY]


def test_http_500_accepts_nothing(robot: RobotStandIn) -> None:
    robot.inject(RobotFault.HTTP_500)
    assert send(robot, text("x")).status_code == 500
    assert robot.messages == []


def test_an_accepted_message_may_never_be_answered(robot: RobotStandIn) -> None:
    robot.inject(RobotFault.NEVER_ANSWERED)
    with pytest.raises(requests.exceptions.ReadTimeout):
        send(robot, text("x"), timeout=0.05)
    assert [message.content for message in robot.messages] == ["x"]


@pytest.mark.parametrize(
    ("fault", "accepted", "body_read"),
    [(RobotFault.CLOSED_AFTER_RECORDING, 1, True), (RobotFault.CLOSED_BEFORE_READING, 0, False)],
)
def test_the_connection_may_close(robot: RobotStandIn, fault: RobotFault, accepted: int, body_read: bool) -> None:
    robot.inject(fault)
    with pytest.raises(requests.exceptions.ConnectionError):
        send(robot, text("x"))
    assert len(robot.messages) == accepted
    assert [bool(request.body) for request in robot.requests] == [body_read]
    assert robot.unused_faults == 0
    assert errcode(robot, text("x")) == 0


def test_cleared_faults_hit_nobody(robot: RobotStandIn) -> None:
    robot.inject(RobotFault.CLOSED_BEFORE_READING, times=None)
    robot.inject(45009, times=None)
    robot.clear_faults()
    assert errcode(robot, text("x")) == 0


# --- Server ---------------------------------------------------------------------------------------------------------


def test_stop_leaves_no_thread_and_no_open_connection() -> None:
    before = set(threading.enumerate())
    robot = RobotStandIn([KEY]).start()
    robot.inject(RobotFault.NEVER_ANSWERED)
    with requests.Session() as kept, socket.create_connection(("127.0.0.1", int(robot.url.rpartition(":")[2]))) as idle:
        with pytest.raises(requests.exceptions.ReadTimeout):
            send(robot, text("held back"), timeout=0.05)
        assert kept.post(f"{robot.url}/cgi-bin/webhook/send", params={"key": KEY}, json=text("x"), timeout=2).ok
        assert set(threading.enumerate()) > before
        robot.stop()
        assert set(threading.enumerate()) == before
        idle.settimeout(2)
        assert idle.recv(1) == b""
    with pytest.raises(requests.exceptions.ConnectionError):
        send(robot, text("x"))
    robot.stop()


def test_a_stopped_stand_in_comes_back_on_its_port_with_its_record() -> None:
    robot = RobotStandIn([KEY])
    with pytest.raises(RuntimeError, match="start"):
        _ = robot.url
    with robot:
        url = robot.url
        send(robot, text("一"))
        with pytest.raises(RuntimeError, match="already"):
            robot.start()
    with robot:
        assert robot.url == url
        send(robot, text("二"))
    assert [message.content for message in robot.messages] == ["一", "二"]


def test_many_clients_at_once() -> None:
    with RobotStandIn([KEY], rate_limit=False) as robot:
        clients = [threading.Thread(target=send, args=(robot, text(f"{n}"))) for n in range(30)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert sorted(int(message.content) for message in robot.messages) == list(range(30))


def test_the_module_serves_sample_months_and_prints_the_environment() -> None:
    command = [sys.executable, "-u", "-m", "modules.sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            environment: dict[str, str] = {}
            while len(environment) < 7:
                line = process.stdout.readline()
                assert line, "ended before it printed the environment"
                if "=" in line:
                    name, _, value = line.split(maxsplit=1)[1].strip().partition("=")
                    environment[name] = value
            base = environment["METABASE_URL"]
            account = {"username": environment["METABASE_USERNAME"], "password": environment["METABASE_PASSWORD"]}
            headers = {"X-Metabase-Session": post(f"{base}/api/session", json=account).json()["id"]}
            for card in (1616, 1693, 1617, 1694):
                assert post(f"{base}/api/card/{card}/query", headers=headers).json()["row_count"] > 100
            violations = post(f"{base}/api/card/1514/query", headers=headers).json()
            assert [column["name"] for column in violations["data"]["cols"]] == list(VIOLATION_COLUMNS)
            for name in ("WECOM_KEY_BJ_GROUP", "WECOM_KEY_SH_GROUP", "WECOM_KEY_OPS"):
                url = f"{environment['WECOM_BASE_URL']}/cgi-bin/webhook/send?key={environment[name]}"
                assert post(url, json=text("你好")).json()["errcode"] == 0
        finally:
            process.kill()


def test_the_module_says_in_words_that_a_port_is_taken(
    metabase: MetabaseStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--port-robot", metabase.url.rpartition(":")[2]])
    assert left.value.code == 2
    assert "端口无法使用" in capsys.readouterr().err


# --- Sample contracts -----------------------------------------------------------------------------------------------

AFTERWARDS = datetime(2025, 7, 1, tzinfo=SHANGHAI)
COLUMN_NAMES = [
    "_id", "province", "serviceAppointmentNum", "Status", "serviceHousekeeper", "contractdocNum",
    "adjustRefundMoney", "paidAmount", "difference", "State", "createTime", "orgName", "signedDate", "Doorsill",
    "tradeIn", "conversion", "average", "sourceType", "projectAddress", "pcContractdocNum",
]  # fmt: skip


def records(month: SampleMonth, as_of: datetime = AFTERWARDS) -> dict[Any, dict[str, Any]]:
    rows = [dict(zip(month.columns, row, strict=True)) for row in month.pull(as_of)]
    return {row["_id"]: row for row in rows}


def yuan(value: object) -> Decimal:
    return Decimal(str(value).replace(",", ""))


def days(month: SampleMonth) -> list[dict[Any, dict[str, Any]]]:
    return [records(month, datetime(2025, 5, day, 23, tzinfo=SHANGHAI)) for day in range(1, 32)]


def test_columns_are_those_of_the_real_question() -> None:
    assert SampleMonth("BJ", 2025, 5, seed=1).columns == COLUMN_NAMES


def test_a_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, second, other = (SampleMonth("BJ", 2025, 5, seed).pull(AFTERWARDS) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_rows_come_in_shuffled_order() -> None:
    month = SampleMonth("BJ", 2025, 5, seed=1)
    may_20, may_31 = (list(records(month, datetime(2025, 5, day, tzinfo=SHANGHAI))) for day in (20, 31))
    known = set(may_20) & set(may_31)
    assert [i for i in may_20 if i in known] != [i for i in may_31 if i in known]
    signed = [row["signedDate"] for row in records(month).values()]
    assert signed != sorted(signed)


def test_ids_are_distinct_19_digit_integers_that_floats_would_merge() -> None:
    pulls = [month.pull(AFTERWARDS) for month in sample_cards().values()]
    ids = [row[0] for pull in pulls for row in pull]
    assert all(isinstance(one, int) and len(str(one)) == 19 for one in ids)
    assert len(set(ids)) == len(ids)
    assert len({float(str(one)) for one in ids}) < len(ids) / 10


def test_pulls_grow_with_refunds_and_a_cancellation_between_them() -> None:
    pulls = days(SampleMonth("BJ", 2025, 5, seed=1))
    assert len(pulls[9]) < len(pulls[19]) < len(pulls[30])
    gone, lowered = set(), set()
    for earlier, later in pairwise(pulls):
        gone |= earlier.keys() - later.keys()
        for contract in earlier.keys() & later.keys():
            before, after = (yuan(pull[contract]["adjustRefundMoney"]) for pull in (earlier, later))
            assert after <= before
            if after < before:
                lowered.add(contract)
    assert len(gone) == 2
    assert len(lowered) >= 3
    assert not gone & pulls[30].keys()


def test_everything_is_signed_within_the_month_and_by_the_moment_asked_for() -> None:
    for year, month, last in ((2025, 4, 30), (2024, 2, 29), (2025, 12, 31)):
        rows = SampleMonth("SH", year, month, seed=1).pull(datetime(year + 1, 3, 1, tzinfo=SHANGHAI))
        signed = [str(row[12]) for row in rows]
        assert all(text.startswith(f"{year}-{month:02d}-") and text.endswith("+08:00") for text in signed)
        assert len({text[:10] for text in signed}) > last * 0.7
    moment = datetime(2025, 5, 12, 15, tzinfo=SHANGHAI)
    rows = SampleMonth("SH", 2025, 5, seed=1).pull(moment)
    assert max(datetime.fromisoformat(str(row[12])) for row in rows) <= moment


def test_a_moment_means_the_same_with_and_without_a_zone() -> None:
    month = SampleMonth("BJ", 2025, 5, seed=1)
    naive = month.pull(datetime(2025, 5, 12, 18))  # noqa: DTZ001 - no zone is the point
    assert naive == month.pull(datetime(2025, 5, 12, 10, tzinfo=UTC))
    assert naive != month.pull(datetime(2025, 5, 12, 18, tzinfo=UTC))


@pytest.mark.parametrize("city", ["BJ", "SH"])
@pytest.mark.parametrize("seed", range(10))
def test_several_housekeepers_reach_several_tiers(city: str, seed: int) -> None:
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for row in records(SampleMonth(city, 2025, 5, seed)).values():
        counts[row["serviceHousekeeper"]] += 1
        totals[row["serviceHousekeeper"]] += int(min(yuan(row["adjustRefundMoney"]), Decimal(100_000)))
    reached = sorted(total for name, total in totals.items() if counts[name] >= 6)
    assert len([total for total in reached if total >= 40_000]) >= 4
    assert len([total for total in reached if total >= 80_000]) >= 3
    assert reached[-1] >= 120_000
    assert min(counts.values()) < 6


def test_the_month_has_every_kind_of_row() -> None:
    rows = list(records(SampleMonth("BJ", 2025, 5, seed=1)).values())
    projects = Counter(row["serviceAppointmentNum"] for row in rows)
    amounts = [row["adjustRefundMoney"] for row in rows]
    assert max(projects.values()) >= 2
    assert {row["sourceType"] for row in rows} == {1, 2, 3, 4}
    assert {type(amount) for amount in amounts} == {int, float, str}
    assert any("," in str(amount) for amount in amounts)
    assert all(yuan(amount) == round(yuan(amount), 2) > 0 for amount in amounts)
    assert {bool(row["pcContractdocNum"]) for row in rows} == {True, False}
    for row in rows:
        assert yuan(row["paidAmount"]) + yuan(row["difference"]) == yuan(row["adjustRefundMoney"])


def test_one_project_has_one_housekeeper_address_and_track() -> None:
    shared = ("serviceHousekeeper", "projectAddress", "sourceType", "orgName")
    seen: dict[str, tuple[Any, ...]] = {}
    for row in records(SampleMonth("SH", 2025, 5, seed=1)).values():
        facts = tuple(row[name] for name in shared)
        assert seen.setdefault(row["serviceAppointmentNum"], facts) == facts


def test_cities_share_no_people_and_no_firms() -> None:
    beijing, shanghai = CITIES["BJ"], CITIES["SH"]
    assert not set(beijing.housekeepers) & set(shanghai.housekeepers)
    assert not set(beijing.providers) & set(shanghai.providers)


def test_faulty_months_add_two_rows_that_nobody_can_use() -> None:
    clean = records(SampleMonth("BJ", 2025, 5, seed=1))
    faulty = records(SampleMonth("BJ", 2025, 5, seed=1, faulty=True))
    added = [faulty[contract] for contract in faulty.keys() - clean.keys()]
    assert {contract: faulty[contract] for contract in clean} == clean
    assert len(added) == 2
    [bad_amount] = [row for row in added if row["serviceHousekeeper"]]
    with pytest.raises(InvalidOperation):
        yuan(bad_amount["adjustRefundMoney"])


@pytest.mark.parametrize("count", [1, 5, 60, 2001])
def test_as_many_contracts_as_asked_for(count: int) -> None:
    month = SampleMonth("BJ", 2025, 5, seed=1, contracts=count)
    ever = {contract for pull in days(month) for contract in pull} | records(month).keys()
    assert len(ever) == count


@pytest.mark.parametrize(("city", "contracts"), [("XX", 10), ("BJ", 0)])
def test_a_month_that_cannot_be_is_refused(city: str, contracts: int) -> None:
    with pytest.raises(ValueError, match=r"city|contracts"):
        SampleMonth(city, 2025, 5, seed=1, contracts=contracts)
