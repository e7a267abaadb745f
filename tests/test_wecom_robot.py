"""Every way in which a POST to the robot can end, over real HTTP: certain, or openly unknown."""

import contextlib
import json
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from modules.message_text import message_limit, split_message
from modules.recipients import RecipientSettings
from modules.sandbox.robot import RobotFault, RobotStandIn
from modules.senders.outcome import Failed, Outcome, Retry, Sent, Unknown
from modules.senders.wecom_robot import WecomRobot
from modules.settings import WecomSettings
from tests.raw_server import RawServer, http

KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
GROUP = RecipientSettings(name="北京运营群", sender="wecom_robot", key=SecretStr(KEY))


pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def robot() -> Iterator[RobotStandIn]:
    with RobotStandIn([KEY]) as stand_in:
        yield stand_in


def send(base_url: str, message: str = "喜报 🎉", *, read_timeout: float = 5, to: RecipientSettings = GROUP) -> Outcome:
    """Send to a group. Whatever comes of it, its reason is one line without the key."""
    settings = WecomSettings(base_url=base_url, connect_timeout=0.3, read_timeout=read_timeout)
    outcome = WecomRobot(settings).send(to, message)
    reason = getattr(outcome, "reason", "")
    assert KEY not in reason
    assert "\n" not in reason
    return outcome


def test_a_message_arrives_as_text(robot: RobotStandIn) -> None:
    assert send(robot.url, "喜报 👨‍👩‍👧\n第 8 单") == Sent()
    assert [(message.key, message.msgtype, message.content) for message in robot.messages] == [
        (KEY, "text", "喜报 👨‍👩‍👧\n第 8 单")
    ]
    assert robot.messages[0].mentioned_mobile_list == ()


MARKDOWN = GROUP.model_copy(update={"format": "markdown"})
MENTIONING = GROUP.model_copy(update={"mentioned_mobiles": ("13800000000", "@all")})


def test_a_recipient_may_want_markdown(robot: RobotStandIn) -> None:
    text = '**喜报** <font color="info">👨‍👩‍👧</font>' + "约" * 1340
    assert 4000 < len(text.encode()) <= 4096
    assert send(robot.url, text, to=MARKDOWN) == Sent()
    assert [(message.msgtype, message.content) for message in robot.messages] == [("markdown", text)]


def test_a_long_markdown_arrives_in_parts_as_long_as_wecom_takes(robot: RobotStandIn) -> None:
    text = "👨‍👩‍👧‍👦喜报🎉" * 300
    parts = split_message(text, message_limit("wecom_robot", "markdown"))
    assert [send(robot.url, part, to=MARKDOWN) for part in parts] == [Sent()] * len(parts)
    received = [message.content for message in robot.messages]
    assert "".join(part.partition("\n")[2] for part in received) == text
    assert len(received) == 3
    assert all(part.partition("\n")[2].startswith(("👨‍👩‍👧‍👦", "喜", "报", "🎉")) for part in received)


def test_the_first_part_mentions_and_the_others_do_not(robot: RobotStandIn) -> None:
    parts = split_message("奖励通知\n" * 400, 2048)
    for message in ["奖励通知", *parts]:
        assert send(robot.url, message, to=MENTIONING) == Sent()
    mentioned = [message.mentioned_mobile_list for message in robot.messages]
    assert mentioned == [("13800000000", "@all")] * 2 + [()] * (len(parts) - 1)
    assert len(parts) == 3


def test_the_body_holds_plain_utf8_and_no_escapes(robot: RobotStandIn) -> None:
    send(robot.url, "喜报")
    assert "喜报".encode() in robot.requests[0].body
    assert robot.requests[0].headers["content-type"] == "application/json; charset=utf-8"


def test_a_base_url_may_have_a_path_and_end_in_a_slash() -> None:
    with RawServer(http("200 OK", '{"errcode": 0}')) as server:
        assert send(f"{server.url}/wecom/") == Sent()
    assert server.requests[0].startswith(f"POST /wecom/cgi-bin/webhook/send?key={KEY} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("errcode", "after", "max_attempts"),
    [(-1, None, 3), (45009, timedelta(seconds=60), None), (45033, None, None)],
)
def test_passing_trouble_is_tried_again(
    robot: RobotStandIn, errcode: int, after: timedelta | None, max_attempts: int | None
) -> None:
    robot.inject(errcode)
    outcome = send(robot.url)
    assert isinstance(outcome, Retry)
    assert (outcome.after, outcome.max_attempts) == (after, max_attempts)
    assert str(errcode) in outcome.reason
    assert len(robot.requests) == 1  # the adapter itself never tries twice


@pytest.mark.parametrize(
    ("errcode", "meaning"),
    [
        (93000, "密钥无效"),
        (93004, "停用"),
        (93008, "不在群里"),
        (40008, "消息类型"),
        (40033, "字符"),
        (40058, "过长"),
        (44004, "为空"),
        (45002, "长度"),
    ],
)
def test_permanent_trouble_fails_at_once_and_says_what_to_do(robot: RobotStandIn, errcode: int, meaning: str) -> None:
    robot.inject(errcode)
    outcome = send(robot.url)
    assert isinstance(outcome, Failed)
    assert f"errcode {errcode}）；请" in outcome.reason
    assert meaning in outcome.reason


def test_an_unknown_errcode_fails_and_is_quoted_on_one_line_without_the_key() -> None:
    answer = json.dumps({"errcode": 60020, "errmsg": f"not allow\nfrom ip, key={KEY}"})
    with RawServer(http("200 OK", answer)) as server:
        outcome = send(server.url)
    assert isinstance(outcome, Failed)
    assert "errcode 60020，not allow from ip, key=***" in outcome.reason


def test_errcode_decides_whatever_the_http_status() -> None:
    with RawServer(http("500 Internal Server Error", '{"errcode": -1, "errmsg": "system busy"}')) as server:
        assert isinstance(send(server.url), Retry)


def test_a_message_refused_for_its_length_fails(robot: RobotStandIn) -> None:
    outcome = send(robot.url, "约" * 683)
    assert isinstance(outcome, Failed)
    assert "40058" in outcome.reason


def test_without_a_key_nothing_is_sent(robot: RobotStandIn) -> None:
    nobody = RecipientSettings(name="上海运营群", sender="wecom_robot")
    outcome = WecomRobot(WecomSettings(base_url=robot.url)).send(nobody, "喜报")
    assert isinstance(outcome, Failed)
    assert "机器人密钥未设置：上海运营群" in outcome.reason
    assert ".env" in outcome.reason
    assert robot.requests == []


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "503 No", "504 Gateway Timeout"])
def test_a_server_error_without_errcode_leaves_the_outcome_unknown(status: str) -> None:
    with RawServer(http(status, "<html>oops</html>")) as server:
        outcome = send(server.url)
    assert isinstance(outcome, Unknown)
    assert f"HTTP {status[:3]}" in outcome.reason


@pytest.mark.parametrize(
    "body", ["", "<html>login</html>", "[]", "{}", '{"errcode": null}', '{"errcode": true}', '{"errcode": "0"}']
)
def test_a_200_that_is_not_wecoms_is_no_proof(body: str) -> None:
    with RawServer(http("200 OK", body)) as server:
        assert isinstance(send(server.url), Unknown)


@pytest.mark.parametrize("status", ["408 Request Timeout", "429 Too Many Requests"])
def test_a_busy_gateway_is_tried_again_later(status: str) -> None:
    with RawServer(http(status)) as server:
        outcome = send(server.url)
    assert isinstance(outcome, Retry)
    assert outcome.after == timedelta(seconds=60)


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found", "413 Too Large"])
def test_a_refused_request_fails(status: str) -> None:
    with RawServer(http(status, "no")) as server:
        outcome = send(server.url)
    assert isinstance(outcome, Failed)
    assert "WECOM_BASE_URL" in outcome.reason


def test_a_redirect_is_not_followed(robot: RobotStandIn) -> None:
    with RawServer(
        http("307 Temporary Redirect", "", f"Location: {robot.url}/cgi-bin/webhook/send?key={KEY}")
    ) as server:
        assert isinstance(send(server.url), Failed)
    assert robot.requests == []


def test_a_refused_connection_is_tried_again(robot: RobotStandIn) -> None:
    robot.stop()
    outcome = send(robot.url)
    assert isinstance(outcome, Retry)
    assert "ConnectionRefusedError" in outcome.reason


def test_a_host_without_address_is_tried_again() -> None:
    outcome = send("http://robot.invalid")
    assert isinstance(outcome, Retry)
    assert "gaierror" in outcome.reason


def test_a_host_name_that_can_not_be_one_is_tried_again() -> None:
    assert isinstance(send(f"http://{'a' * 64}.invalid"), Retry)


def test_a_connect_time_out_is_tried_again() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # nobody accepts: with its queue full, the listener answers no more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        outcome = send(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert isinstance(outcome, Retry)
    assert "连不上" in outcome.reason


def test_a_failed_tls_handshake_is_tried_again() -> None:
    with RawServer(b"this is no TLS", read=False) as server:
        outcome = send(server.url.replace("http:", "https:"))
    assert isinstance(outcome, Retry)
    assert "SSL" in outcome.reason


def test_a_proxy_that_refuses_the_tunnel_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(http("403 Forbidden"), read=False) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert isinstance(send("https://qyapi.invalid"), Retry)


def test_a_missing_certificate_file_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    assert isinstance(send("https://127.0.0.1:9"), Retry)


def test_a_read_time_out_leaves_the_outcome_unknown(robot: RobotStandIn) -> None:
    robot.inject(RobotFault.NEVER_ANSWERED)
    outcome = send(robot.url, read_timeout=0.2)
    assert isinstance(outcome, Unknown)
    assert "TimeoutError" in outcome.reason
    assert len(robot.messages) == 1


def test_a_connection_closed_without_an_answer_leaves_the_outcome_unknown(robot: RobotStandIn) -> None:
    robot.inject(RobotFault.CLOSED_AFTER_RECORDING)
    outcome = send(robot.url)
    assert isinstance(outcome, Unknown)
    assert "RemoteDisconnected" in outcome.reason
    assert len(robot.messages) == len(robot.requests) == 1


def test_a_connection_reset_while_sending_is_not_guessed_about(robot: RobotStandIn) -> None:
    robot.inject(RobotFault.CLOSED_BEFORE_READING)
    assert isinstance(send(robot.url), Unknown)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b'{"errcode": 0',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n" + b'{"errcode": 0',
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
)
def test_an_answer_that_is_cut_or_garbled_leaves_the_outcome_unknown(answer: bytes) -> None:
    with RawServer(answer) as server:
        assert isinstance(send(server.url), Unknown)
        assert len(server.requests) == 1


def test_each_message_has_a_connection_of_its_own() -> None:
    answer = http("200 OK", '{"errcode": 0, "errmsg": "ok"}')
    with RawServer(answer, keep_open=True) as server:  # it reads one request per connection
        settings = WecomSettings(base_url=server.url, read_timeout=2)
        robot = WecomRobot(settings)
        assert [robot.send(GROUP, "一"), robot.send(GROUP, "二")] == [Sent(), Sent()]
