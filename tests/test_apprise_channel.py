"""Other channels through Apprise: what counts as accepted, what nobody knows, and that no address gets out."""

from __future__ import annotations

import email.policy
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pydantic import SecretStr

from modules.campaigns import load_campaigns
from modules.check import check_campaigns
from modules.clock import shanghai_now
from modules.log_config import configure_logging
from modules.message_sender import MessageSender
from modules.recipients import RecipientSettings
from modules.senders import apprise_channel
from modules.senders.apprise_channel import ACCEPTED, AppriseChannel, trouble
from modules.senders.outcome import Failed, Outcome, Unknown
from modules.settings import ROOT, Settings
from modules.tables import tasks
from modules.task_states import COMPLETED
from tests.desk import Desk, Surroundings
from tests.raw_server import RawServer, http
from tests.tools import already_left

TOKEN = "6f1e0c52tokentoken"
PASSWORD = "geheim-42"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    loggers = [logging.root, logging.getLogger("send_messages"), logging.getLogger("filelock")]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)


def channel(url: str) -> RecipientSettings:
    return RecipientSettings(name="财务邮箱", sender="apprise", url=SecretStr(url))


def address(base_url: str, options: str = "cto=0.3&rto=0.3") -> str:
    """A channel that posts JSON to a server of ours, with a password and a token in it."""
    return base_url.replace("http://", f"json://ops:{PASSWORD}@") + f"/{TOKEN}?{options}"


def send(url: str, message: str = "喜报 👨‍👩‍👧\n第 8 单") -> Outcome:
    """Whatever comes of it, its words are one line without anything secret."""
    outcome = AppriseChannel().send(channel(url), message)
    words = repr(outcome)
    assert not [secret for secret in (TOKEN, PASSWORD, "127.0.0.1") if secret in words]
    assert "\n" not in getattr(outcome, "reason", "")
    return outcome


def test_what_the_service_took_is_marked_as_accepted_only() -> None:
    with RawServer(http("200 OK", "ok")) as server:
        assert send(address(server.url)) == ACCEPTED
    assert ACCEPTED.note == "已受理，未确认送达"
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2])["message"] == "喜报 👨‍👩‍👧\n第 8 单"


@pytest.mark.parametrize(
    "answer", [http("500 Internal Server Error"), http("403 Forbidden"), b"no HTTP at all\r\n\r\n"]
)
def test_a_no_may_mean_anything(answer: bytes) -> None:
    with RawServer(answer) as server:
        outcome = send(address(server.url))
    assert isinstance(outcome, Unknown)
    assert "财务邮箱" in outcome.reason
    assert len(server.requests) == 1


def test_nobody_listening_may_mean_anything_too() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        assert isinstance(send(address(f"http://127.0.0.1:{closed.getsockname()[1]}")), Unknown)


def test_a_read_time_out_of_the_address_is_kept() -> None:
    with RawServer(b"HTTP/1.1 200 OK\r\nContent-Le", keep_open=True) as server:
        assert isinstance(send(address(server.url)), Unknown)


def test_a_service_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_channel, "SECONDS", 0.2)
    release = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hold() -> None:
            connection, _ = listener.accept()
            with connection:
                release.wait(20)

        holding = threading.Thread(target=hold)
        holding.start()
        began = time.monotonic()
        outcome = send(address(f"http://127.0.0.1:{listener.getsockname()[1]}", "cto=15&rto=15"))
        assert time.monotonic() - began < 10  # not the 15 seconds of the address
        release.set()
        holding.join()
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "url 未设置"),
        ("nonsense", "不是 Apprise 认识的地址"),
        (f"https://127.0.0.1:9/{TOKEN}", "不是 Apprise 认识的地址"),
        (f"json://127.0.0.1:9/{TOKEN}?optional=yes", "去掉 optional"),
        (f"json://127.0.0.1:9/{TOKEN}?retry=2", "去掉 optional 和 retry"),
    ],
)
def test_an_address_that_can_not_serve_fails_in_words(url: str, words: str) -> None:
    outcome = send(url)
    assert isinstance(outcome, Failed)
    assert words in outcome.reason
    assert "请" in outcome.reason
    assert words in (trouble(channel(url)) or "")


def test_an_empty_message_fails() -> None:
    assert isinstance(send("json://127.0.0.1:9/", " \n"), Failed)


def test_without_the_package_it_fails_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    outcome = send("json://127.0.0.1:9/")
    assert isinstance(outcome, Failed)
    assert "pip install -r requirements-extra.txt" in outcome.reason
    assert (ROOT / "requirements-extra.txt").read_text(encoding="utf-8").splitlines()[-1].startswith("apprise==")


def test_a_usable_address_has_no_trouble() -> None:
    assert trouble(channel(f"json://127.0.0.1:9/{TOKEN}")) is None


class MailServer:
    """Takes one e-mail on 127.0.0.1."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.port = self._listener.getsockname()[1]
        self.mail = b""

    def __enter__(self) -> MailServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 ready\r\n")
            for line in lines:
                command = line[:4].upper()
                connection.sendall(b"354 go on\r\n" if command == b"DATA" else b"250 ok\r\n")
                if command == b"DATA":
                    self.mail = b"".join(iter(lines.readline, b".\r\n"))
                    connection.sendall(b"250 taken\r\n")
                if command == b"QUIT":
                    return


def test_an_e_mail_has_the_first_line_as_its_subject_and_keeps_its_lines() -> None:
    with MailServer() as server:
        url = f"mailto://127.0.0.1:{server.port}?from=robot@example.com&to=finance@example.com&mode=insecure"
        assert send(url, "奖励通知 🎉\n沈若川 <接好运> 28 元\n合计 28 元") == ACCEPTED
    mail = email.message_from_bytes(server.mail, policy=email.policy.default)
    assert (mail["Subject"], mail.get_content_type()) == ("奖励通知 🎉", "text/plain")
    assert mail.get_content().splitlines() == ["奖励通知 🎉", "沈若川 <接好运> 28 元", "合计 28 元"]


def test_no_address_gets_into_the_logs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RawServer(http("500 Internal Server Error", TOKEN)) as server:
        settings = Settings(
            environment="development", data_dir=tmp_path, recipients={"mail": channel(address(server.url))}
        )
        configure_logging(settings, console=True)
        outcome = MessageSender(settings).send(1, "mail", "send_wecom_message", "喜报", already_left)
        MessageSender(settings).send(2, "mail", "send_wecom_message", "喜报", already_left)
    assert isinstance(outcome, Unknown)
    logs = "".join(path.read_text(encoding="utf-8") for path in settings.log_dir.glob("*.log"))
    told = logs + "".join(capfd.readouterr())
    assert "task=1 recipient=mail" in logs
    assert "urllib3" in logs  # it tells the path of each request in development
    assert not [secret for secret in (TOKEN, PASSWORD) if secret in told]
    assert " apprise " not in told


def test_nor_onto_the_screen_where_no_log_is_set_up(capfd: pytest.CaptureFixture[str]) -> None:
    send(f"json://127.0.0.1:9/{TOKEN}?retry=two&cto=0.1")
    send(f"unknown://{TOKEN}")
    assert capfd.readouterr() == ("", "")


def test_a_task_ends_as_completed_with_the_mark_in_list_and_log(
    open_desk: Callable[..., AbstractContextManager[Desk]], surroundings: Surroundings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "send_messages")
    with RawServer(http("200 OK", "ok")) as server:
        mail = {"mail": {"name": "财务邮箱", "sender": "apprise", "url": "${APPRISE_URL_MAIL}"}}
        file = surroundings.settings_file(recipients=mail)
        with open_desk(SETTINGS_FILE=file, APPRISE_URL_MAIL=address(server.url)) as desk:
            desk.app.board.create("send_wecom_message", "mail", "喜报", desk.clock(), 8, 2048)
            assert desk.drain().completed == 1
            (task,) = desk.table(tasks)
    assert (task["status"], task["last_error"]) == (COMPLETED, "已受理，未确认送达")
    assert caplog.records[-1].getMessage().endswith("outcome=sent note=已受理，未确认送达")


@pytest.mark.parametrize(
    ("url", "package", "warned"),
    [
        ("json://127.0.0.1:9/", True, []),
        ("", True, ["url 未设置"]),
        ("json://127.0.0.1:9/", False, ["没有安装 Apprise"]),
    ],
)
def test_check_warns_of_a_channel_that_can_not_serve(
    monkeypatch: pytest.MonkeyPatch, url: str, package: bool, warned: list[str]
) -> None:
    if not package:
        monkeypatch.setitem(sys.modules, "apprise", None)
    campaigns = load_campaigns(ROOT / "modules" / "config.py", shanghai_now().date())
    found = check_campaigns(campaigns, Settings(recipients={"mail": channel(url)}))
    told = [str(warning) for warning in found.warnings if warning.path.startswith("recipients.mail")]
    assert len(told) == len(warned)
    assert all(text.startswith("recipients.mail.url: 发给它的消息会失败：") for text in told)
    assert all(words in text for words, text in zip(warned, told, strict=True))
