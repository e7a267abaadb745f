"""Who gets a message by which way, and what the log says of it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from pydantic import SecretStr

from modules.message_sender import DESKTOP_SENDERS, MessageSender, message_limit_of
from modules.message_text import split_message
from modules.recipients import RecipientSettings
from modules.robot_limits import RobotLimit
from modules.sandbox.robot import RobotFault, RobotStandIn
from modules.senders.desktop.lock import DesktopLock
from modules.senders.desktop_chat import DesktopChat
from modules.senders.outcome import Failed, Leave, Outcome, Retry, Sent, Unknown
from modules.settings import Settings, WecomSettings
from modules.task_states import PENDING
from task_scheduler import Drained
from tests.desk import NOON, Desk, Surroundings, contracts
from tests.tools import already_left

KEY = "sandbox-key-1"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def robot() -> Iterator[RobotStandIn]:
    with RobotStandIn([KEY]) as stand_in:
        yield stand_in


def sender_for(base_url: str = "http://127.0.0.1:9") -> MessageSender:
    def on_robot(name: str, key: str) -> RecipientSettings:
        return RecipientSettings(name=name, sender="wecom_robot", key=SecretStr(key))

    return MessageSender(
        Settings(
            wecom=WecomSettings(base_url=base_url),
            recipients={
                "bj_group": on_robot("北京运营群", KEY),
                "ops": on_robot("系统运维群", KEY),
                "sh_group": on_robot("上海运营群", "sandbox-key-2"),
                "no_key": on_robot("没有密钥的群", ""),
                "bj_contact": RecipientSettings(name="北京奖励对接人", sender="desktop_wechat"),
                "dev": RecipientSettings(name="开发", sender="console", key=SecretStr(KEY)),
                "mail": RecipientSettings(name="财务邮箱", sender="apprise"),
            },
        )
    )


def test_the_recipients_settings_decide_and_the_task_type_does_not(robot: RobotStandIn) -> None:
    sender = sender_for(robot.url)
    assert sender.send(1, "bj_group", "send_wechat_message", "喜报", already_left) == Sent()
    assert sender.send(2, "bj_group", "whatever", "喜报", already_left) == Sent()
    assert [message.key for message in robot.messages] == [KEY, KEY]


def test_console_prints_the_message_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    message = "[bold]喜报[/bold] :smile: " + "长" * 200
    assert sender_for().send(3, "dev", "send_wecom_message", message, already_left) == Sent()
    out, err = capsys.readouterr()
    assert "开发" in out
    assert message in out.splitlines()
    assert err == ""


@pytest.mark.parametrize(
    ("recipient", "task_type", "process"),
    [
        ("bj_contact", "send_wecom_message", "WeChat.exe"),
        ("张三", "send_wecom_message", "WXWork.exe"),
        ("张三", "send_wechat_message", "WeChat.exe"),
    ],
)
def test_a_desktop_message_goes_to_the_app_of_its_sender(
    recipient: str, task_type: str, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(self: DesktopChat, to: RecipientSettings, message: str, leave: Leave) -> Outcome:
        return Retry(self._app.process_names[0])

    monkeypatch.setattr(DesktopChat, "send", send)
    assert sender_for().send(4, recipient, task_type, "喜报", already_left) == Retry(process)


@pytest.mark.parametrize("name", ["微信", " 企业微信 ", "WeChat"])
def test_the_main_window_of_an_app_is_no_chat(name: str) -> None:
    """Whichever chat is open in it, the message would go there."""
    outcome = sender_for().send(5, name, "send_wechat_message", "喜报", already_left)
    assert isinstance(outcome, Failed)
    assert "主窗口" in outcome.reason
    with pytest.raises(ValueError, match="主窗口"):
        RecipientSettings(name=name, sender="desktop_wechat")


def test_the_desktop_has_a_lane_of_its_own() -> None:
    sender = sender_for()
    others, desktop = sender.lanes()
    assert desktop.senders == DESKTOP_SENDERS
    assert not others.senders & DESKTOP_SENDERS
    reach = sender.reach(desktop, NOON)
    assert reach.served == {"bj_contact"}
    assert reach.unserved == frozenset()
    assert sender.reach(others, NOON).unserved == {"send_wecom_message", "send_wechat_message"}


def test_what_goes_by_keyboard_is_not_claimed_while_somebody_else_has_the_desktop(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attempt is used up, and nobody else's messages wait."""
    sent: list[str] = []

    def send(self: DesktopChat, to: RecipientSettings, message: str, leave: Leave) -> Outcome:
        sent.append(to.name)
        return Sent()

    monkeypatch.setattr(DesktopChat, "send", send)
    for name in ("张三", "bj_group"):
        desk.app.board.create("send_wechat_message", name, "手写", desk.clock(), 8, 2048)
    rival = DesktopLock()
    assert rival.try_acquire()
    try:
        assert desk.drain() == Drained(completed=1)
        waiting = desk.app.board.get(1)
        assert (waiting.status, waiting.attempts) == (PENDING, 0)
    finally:
        rival.release()
    assert desk.drain() == Drained(completed=1)
    assert sent == ["张三"]
    assert rival.try_acquire(), "it is let go"
    rival.release()


def test_an_unknown_task_type_fails_and_names_the_known_ones() -> None:
    outcome = sender_for().send(5, "张三", "send_fax", "喜报", already_left)
    assert isinstance(outcome, Failed)
    assert all(name in outcome.reason for name in ("send_fax", "send_wecom_message", "send_wechat_message"))


@pytest.mark.parametrize("recipient", ["", "  "])
def test_nobody_can_not_be_written_to(recipient: str) -> None:
    outcome = sender_for().send(6, recipient, "send_wecom_message", "喜报", already_left)
    assert isinstance(outcome, Failed)
    assert "收件人为空" in outcome.reason


def test_each_send_is_one_line_in_the_log(robot: RobotStandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "send_messages")
    sender = sender_for(robot.url)
    robot.inject(45033)
    outcomes = [sender.send(7, "bj_group", "send_wecom_message", "喜报", already_left) for _ in range(2)]
    robot.stop()
    outcomes += [
        sender.send(8, "sh_group", "send_wecom_message", "喜报", already_left),
        sender.send(9, "张三\n李四", "send_fax", "喜报", already_left),
    ]
    assert [type(outcome) for outcome in outcomes] == [Retry, Sent, Retry, Failed]
    lines = [record.getMessage() for record in caplog.records if record.name == "send_messages"]
    assert [record.levelname for record in caplog.records if record.name == "send_messages"] == [
        "WARNING",
        "INFO",
        "WARNING",
        "ERROR",
    ]
    assert lines[0].startswith("task=7 recipient=bj_group type=send_wecom_message outcome=retry reason=")
    assert "45033" in lines[0]
    assert lines[1] == "task=7 recipient=bj_group type=send_wecom_message outcome=sent"
    assert lines[3].startswith("task=9 recipient=张三 李四 type=send_fax outcome=failed reason=")
    assert "喜报" not in "".join(lines)


def test_an_unknown_outcome_is_an_error_in_the_log(robot: RobotStandIn, caplog: pytest.LogCaptureFixture) -> None:
    robot.inject(RobotFault.CLOSED_AFTER_RECORDING)
    assert isinstance(sender_for(robot.url).send(10, "bj_group", "send_wecom_message", "喜报", already_left), Unknown)
    record = caplog.records[-1]
    assert (record.levelname, "outcome=unknown" in record.getMessage()) == ("ERROR", True)


def test_recipients_on_one_robot_share_its_limit_and_its_key_stays_hidden() -> None:
    sender = sender_for()
    limit = sender.robot_limit("bj_group")
    assert limit == sender.robot_limit("ops") == RobotLimit("bfd57c220e484974", 20)
    assert sender.robot_limit("sh_group") not in (limit, None)


@pytest.mark.parametrize("recipient", ["bj_contact", "dev", "mail", "no_key", "张三"])
def test_what_is_no_robot_has_no_limit(recipient: str) -> None:
    assert sender_for().robot_limit(recipient) is None


@pytest.mark.parametrize(
    ("recipient", "task_type", "limit"),
    [
        ("plain", "send_wecom_message", 2048),
        ("markdown", "send_wecom_message", 4096),
        ("markdown", "send_wechat_message", 4096),
        ("mail", "send_wecom_message", 2048),
        ("张三", "send_wechat_message", 2048),
        ("张三", "send_fax", 2048),
    ],
)
def test_everybody_has_a_message_limit(recipient: str, task_type: str, limit: int) -> None:
    recipients = {
        "plain": RecipientSettings(name="北京运营群", sender="wecom_robot"),
        "markdown": RecipientSettings(name="北京运营群", sender="wecom_robot", format="markdown"),
        "mail": RecipientSettings(name="财务邮箱", sender="apprise"),
    }
    assert message_limit_of(Settings(recipients=recipients), recipient, task_type) == limit


@pytest.mark.parametrize("recipient", ["bj_group", "张三"])
def test_the_path_of_a_file_has_no_limit(recipient: str) -> None:
    path = "长" * 100_000
    assert split_message(path, message_limit_of(Settings(), recipient, "send_wecom_file")) == [path]


def test_a_campaign_writes_markdown_to_who_wants_it(
    open_desk: Callable[..., AbstractContextManager[Desk]], surroundings: Surroundings
) -> None:
    group = {"name": "北京运营群", "sender": "wecom_robot", "key": "key-bj_group", "format": "markdown"}
    with open_desk(SETTINGS_FILE=surroundings.settings_file(recipients={"bj_group": group})) as desk:
        desk.show(contracts(*range(1, 7)))
        desk.run()
        assert desk.drain().completed == 7
        assert [message.msgtype for message in desk.robot.messages] == ["markdown"] * 6 + ["text"]
