"""Who gets a message by which way, and what the log says of it."""

import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from modules.message_sender import MessageSender, message_limit_of
from modules.sandbox.robot import RobotFault, RobotStandIn
from modules.senders.desktop_chat import DesktopChat
from modules.senders.outcome import Failed, Outcome, Retry, Sent, Unknown
from modules.settings import RecipientSettings, Settings, WecomSettings

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
            },
        )
    )


def test_the_recipients_settings_decide_and_the_task_type_does_not(robot: RobotStandIn) -> None:
    sender = sender_for(robot.url)
    assert sender.send(1, "bj_group", "send_wechat_message", "喜报") == Sent()
    assert sender.send(2, "bj_group", "whatever", "喜报") == Sent()
    assert [message.key for message in robot.messages] == [KEY, KEY]


def test_console_prints_the_message_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    message = "[bold]喜报[/bold] :smile: " + "长" * 200
    assert sender_for().send(3, "dev", "send_wecom_message", message) == Sent()
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
    def send(self: DesktopChat, to: RecipientSettings, message: str) -> Outcome:
        return Retry(self._app.process_names[0])

    monkeypatch.setattr(DesktopChat, "send", send)
    sender = sender_for()
    assert sender.send(4, recipient, task_type, "喜报") == Retry(process)
    assert sender.needs_desktop(recipient, task_type)


@pytest.mark.parametrize(
    ("recipient", "task_type"),
    [("bj_group", "send_wechat_message"), ("dev", "send_wecom_message"), ("张三", "send_fax")],
)
def test_what_is_no_desktop_message_needs_no_desktop(recipient: str, task_type: str) -> None:
    assert not sender_for().needs_desktop(recipient, task_type)


def test_an_unknown_task_type_fails_and_names_the_known_ones() -> None:
    outcome = sender_for().send(5, "张三", "send_fax", "喜报")
    assert isinstance(outcome, Failed)
    assert all(name in outcome.reason for name in ("send_fax", "send_wecom_message", "send_wechat_message"))


@pytest.mark.parametrize("recipient", ["", "  "])
def test_nobody_can_not_be_written_to(recipient: str) -> None:
    outcome = sender_for().send(6, recipient, "send_wecom_message", "喜报")
    assert isinstance(outcome, Failed)
    assert "收件人为空" in outcome.reason


def test_each_send_is_one_line_in_the_log(robot: RobotStandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "send_messages")
    sender = sender_for(robot.url)
    robot.inject(45033)
    outcomes = [sender.send(7, "bj_group", "send_wecom_message", "喜报") for _ in range(2)]
    robot.stop()
    outcomes += [
        sender.send(8, "sh_group", "send_wecom_message", "喜报"),
        sender.send(9, "张三\n李四", "send_fax", "喜报"),
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
    assert isinstance(sender_for(robot.url).send(10, "bj_group", "send_wecom_message", "喜报"), Unknown)
    record = caplog.records[-1]
    assert (record.levelname, "outcome=unknown" in record.getMessage()) == ("ERROR", True)


def test_recipients_on_one_robot_share_its_rate_and_its_key_stays_hidden() -> None:
    sender = sender_for()
    bucket = sender.rate_bucket("bj_group")
    assert bucket == sender.rate_bucket("ops") == "bfd57c220e484974"
    assert sender.rate_bucket("sh_group") not in (bucket, None)


@pytest.mark.parametrize("recipient", ["bj_contact", "dev", "no_key", "张三"])
def test_what_is_no_robot_has_no_rate(recipient: str) -> None:
    assert sender_for().rate_bucket(recipient) is None


@pytest.mark.parametrize(
    ("recipient", "task_type"),
    [("bj_group", "send_wecom_message"), ("张三", "send_wechat_message"), ("张三", "send_fax")],
)
def test_everybody_has_a_message_limit(recipient: str, task_type: str) -> None:
    settings = Settings(recipients={"bj_group": RecipientSettings(name="北京运营群", sender="wecom_robot")})
    assert message_limit_of(settings, recipient, task_type) == 2048
