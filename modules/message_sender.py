"""Front door of the senders: a recipient's settings decide how a message goes out."""

import hashlib
import logging
from collections.abc import Mapping

from modules.message_text import message_limit
from modules.senders.console import Console
from modules.senders.desktop.lock import DesktopLock
from modules.senders.desktop_chat import DesktopChat
from modules.senders.outcome import Failed, Outcome, Retry, Sender, Sent
from modules.senders.wecom_robot import WecomRobot
from modules.settings import RecipientSettings, SenderName, Settings

TASK_TYPE_SENDERS: Mapping[str, SenderName] = {
    "send_wecom_message": "desktop_wecom",
    "send_wechat_message": "desktop_wechat",
}
"""Where a plain chat name goes: the desktop app that its task type names."""

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
        self.desktop_lock = DesktopLock()
        desktop, screens = settings.desktop, settings.log_dir / "screens"
        self._senders: Mapping[SenderName, Sender] = {
            "wecom_robot": WecomRobot(settings.wecom),
            "desktop_wecom": DesktopChat(desktop.wecom, desktop, self.desktop_lock, screens),
            "desktop_wechat": DesktopChat(desktop.wechat, desktop, self.desktop_lock, screens),
            "console": Console(),
        }

    def send(self, task_id: int, recipient: str, task_type: str, message: str) -> Outcome:
        """Try once to bring `message` to `recipient`, and write one line about it to the log `send_messages`.

        `recipient` is a key of the settings' recipients, or a plain chat name: then `task_type` decides.
        """
        outcome = self._send(recipient, task_type, message)
        _log(task_id, recipient, task_type, outcome)
        return outcome

    def rate_bucket(self, recipient: str) -> str | None:
        """The name under which sends to `recipient` share a rate limit; None where there is no limit.

        It is made from the robot's key, so that two recipients with one robot share, and does not give the key away.
        """
        known = self._recipients.get(recipient)
        if known is None or known.sender != "wecom_robot":
            return None
        key = known.key.get_secret_value()
        return hashlib.sha256(key.encode()).hexdigest()[:BUCKET_HEX_DIGITS] if key else None

    def needs_desktop(self, recipient: str, task_type: str) -> bool:
        """Whether a message to `recipient` goes out by keyboard, so that `desktop_lock` is needed."""
        known = self._recipients.get(recipient)
        sender = known.sender if known else TASK_TYPE_SENDERS.get(task_type)
        return sender in DESKTOP_SENDERS

    def _send(self, recipient: str, task_type: str, message: str) -> Outcome:
        target = self._recipients.get(recipient) or _plain_chat(recipient, task_type)
        if isinstance(target, Failed):
            return target
        return self._senders[target.sender].send(target, message)


def message_limit_of(settings: Settings, recipient: str, task_type: str) -> int:
    """How long one message to this recipient may be, in bytes of UTF-8."""
    known = settings.recipients.get(recipient)
    return message_limit(known.sender if known else TASK_TYPE_SENDERS.get(task_type, "console"))


def _plain_chat(name: str, task_type: str) -> RecipientSettings | Failed:
    sender = TASK_TYPE_SENDERS.get(task_type)
    if sender is None:
        known = "、".join(TASK_TYPE_SENDERS)
        return Failed(
            f"不认识的任务类型 {task_type!r}；请改用 {known}，或把收件人写进 config/settings.yaml 的 recipients"
        )
    if not name.strip():
        return Failed("收件人为空；请取消这条任务，填上收件人后重新创建")
    return RecipientSettings(name=name, sender=sender)


def _log(task_id: int, recipient: str, task_type: str, outcome: Outcome) -> None:
    words = f"task={task_id} recipient={recipient} type={task_type} outcome={type(outcome).__name__.lower()}"
    if isinstance(outcome, Sent):
        level = logging.INFO
    else:
        level = logging.WARNING if isinstance(outcome, Retry) else logging.ERROR
        words += f" reason={outcome.reason}"
    log.log(level, "%s", " ".join(words.split()))
