"""Front door of the senders: a recipient's settings decide how a message goes out."""

import hashlib
import logging
import socket
import sys
from collections.abc import Collection, Mapping
from datetime import datetime

from modules.lanes import DESKTOP_AT_ONCE, SENDER_NAMES, Lane
from modules.message_text import message_limit
from modules.recipients import RecipientSettings, SenderName, is_app_title
from modules.robot_limits import RobotLimit
from modules.senders.apprise_channel import AppriseChannel
from modules.senders.console import Console
from modules.senders.desktop.lock import DesktopLock
from modules.senders.desktop_chat import DesktopChat
from modules.senders.file_to_send import FileToSend, read_file
from modules.senders.outcome import Failed, Leave, NotNow, Outcome, Retry, Sender, Sent
from modules.senders.wecom_robot import WecomRobot
from modules.settings import Settings
from modules.task_queue import Reach

TASK_TYPE_SENDERS: Mapping[str, SenderName] = {
    "send_wecom_message": "desktop_wecom",
    "send_wechat_message": "desktop_wechat",
}
"""Where a plain chat name goes: the desktop app that its task type names."""

SEND_FILE = "send_wecom_file"
"""The task type whose message is the path of a file, absolute or relative to the data folder; for robots only."""

DESKTOP_SENDERS: frozenset[SenderName] = frozenset({"desktop_wecom", "desktop_wechat"})

BUCKET_HEX_DIGITS = 16

log = logging.getLogger("send_messages")


class MessageSender:
    """Sends messages to recipients of the settings and to plain chat names. Used by one thread at a time.

    `desktop_lock` is the right to use the desktop. Each desktop message takes it; who holds it already, for a row of
    messages, is not hindered.
    """

    def __init__(self, settings: Settings) -> None:
        self._recipients = settings.recipients
        self._machines = settings.queue.machines
        self._messages_per_minute = settings.wecom.messages_per_minute
        self._data_dir, self._own_folders = settings.data_dir, (settings.state_dir, settings.log_dir)
        self._robot = WecomRobot(settings.wecom)
        self.desktop_lock = DesktopLock()
        desktop, screens = settings.desktop, settings.log_dir / "screens"
        self._desktop: Mapping[SenderName, DesktopChat] = {
            "desktop_wecom": DesktopChat(desktop.wecom, desktop, self.desktop_lock, screens),
            "desktop_wechat": DesktopChat(desktop.wechat, desktop, self.desktop_lock, screens),
        }
        self._senders: Mapping[SenderName, Sender] = {
            "wecom_robot": self._robot,
            "console": Console(),
            "apprise": AppriseChannel(),
        }

    def send(self, task_id: int, recipient: str, task_type: str, message: str, leave: Leave) -> Outcome:
        """Try once to bring `message` to `recipient`, and write one line about it to the log `send_messages`.

        `recipient` is a key of the settings' recipients, or a plain chat name: then `task_type` decides. `leave` is
        called before a message leaves by keyboard.
        """
        outcome = self._send(recipient, task_type, message, leave)
        _log(task_id, recipient, task_type, outcome)
        return outcome

    def robot_limit(self, recipient: str) -> RobotLimit | None:
        """The robot that messages to `recipient` go through, with its limit; None where there is no robot.

        Its name is made from the robot's key, so that two recipients with one robot share, and does not give the key
        away.
        """
        known = self._recipients.get(recipient)
        if known is None or known.sender != "wecom_robot":
            return None
        key = known.key.get_secret_value()
        if not key:
            return None
        return RobotLimit(hashlib.sha256(key.encode()).hexdigest()[:BUCKET_HEX_DIGITS], self._messages_per_minute)

    def lanes(self, wanted: Collection[SenderName] = SENDER_NAMES) -> list[Lane]:
        """The senders that this machine uses, of those wanted; those on the desktop apart, for whom it must be free."""
        here = socket.gethostname().casefold()
        usable = frozenset(name for name in wanted if self._machines.get(name, here).casefold() == here)
        desktop = Lane(usable & DESKTOP_SENDERS, DESKTOP_AT_ONCE, taken=self.desktop_lock.free, leaves_late=True)
        return [lane for lane in (Lane(usable - DESKTOP_SENDERS), desktop) if lane.senders]

    def reach(self, lane: Lane, now: datetime) -> Reach:
        """Whose messages go out through a lane at this moment: nobody's in their quiet hours."""
        served = frozenset(
            name
            for name, known in self._recipients.items()
            if known.sender in lane.senders and not known.is_quiet(now.timetz())
        )
        if lane.recipient is not None:
            return Reach(served & {lane.recipient}, known=None, unserved=frozenset())
        unserved = frozenset(kind for kind, sender in TASK_TYPE_SENDERS.items() if sender not in lane.senders)
        return Reach(served, frozenset(self._recipients), unserved)

    def _send(self, recipient: str, task_type: str, message: str, leave: Leave) -> Outcome:
        if task_type == SEND_FILE:
            return self._send_file(recipient, message)
        target = self._recipients.get(recipient) or _plain_chat(recipient, task_type)
        if isinstance(target, Failed):
            return target
        if target.sender in self._desktop:
            return self._desktop[target.sender].send(target, message, leave)
        return self._senders[target.sender].send(target, message)

    def _send_file(self, recipient: str, path: str) -> Outcome:
        target = self._recipients.get(recipient)
        if target is None or target.sender != "wecom_robot":
            return Failed(
                f"文件只能由企业微信群机器人发送，{recipient!r} 不是机器人；"
                "请人工发送，或在 config/settings.yaml 的 recipients 里给它改用 wecom_robot"
            )
        file = read_file(path, self._data_dir, self._own_folders)
        return self._robot.send_file(target, file) if isinstance(file, FileToSend) else file


def message_limit_of(settings: Settings, recipient: str, task_type: str) -> int:
    """How long one message to this recipient may be, in bytes of UTF-8. A file's path is never split."""
    if task_type == SEND_FILE:
        return sys.maxsize
    known = settings.recipients.get(recipient)
    if known is None:
        return message_limit(TASK_TYPE_SENDERS.get(task_type, "console"))
    return message_limit(known.sender, known.format)


def _plain_chat(name: str, task_type: str) -> RecipientSettings | Failed:
    sender = TASK_TYPE_SENDERS.get(task_type)
    if sender is None:
        known = "、".join(TASK_TYPE_SENDERS)
        return Failed(
            f"不认识的任务类型 {task_type!r}；请改用 {known}，或把收件人写进 config/settings.yaml 的 recipients"
        )
    if not name.strip():
        return Failed("收件人为空；请取消这条任务，填上收件人后重新创建")
    if is_app_title(name):
        return Failed(f"{name!r} 是聊天软件主窗口的标题，不是会话名称；请取消这条任务，写上会话的名称后重新创建")
    return RecipientSettings(name=name, sender=sender)


def _log(task_id: int, recipient: str, task_type: str, outcome: Outcome) -> None:
    words = f"task={task_id} recipient={recipient} type={task_type} outcome={type(outcome).__name__.lower()}"
    if isinstance(outcome, Sent):
        level = logging.INFO
        words += f" note={outcome.note}" if outcome.note else ""
    else:
        level = logging.WARNING if isinstance(outcome, Retry | NotNow) else logging.ERROR
        words += f" reason={outcome.reason}"
    log.log(level, "%s", " ".join(words.split()))
