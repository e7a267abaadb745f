"""How every message is made: rendered, plain where its template fails, as long as its recipient takes.

A template that fails gives a plain text instead and tells operations; it never stops a run.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from modules.message_sender import message_limit_of
from modules.outbox import Message
from modules.settings import Settings
from modules.task_states import OnUncertain
from modules.templates import MessageTemplateError, Templates

log = logging.getLogger(__name__)

TO_CHAT = "send_wecom_message"
"""The task type of what is no notice: it decides only where settings don't know the recipient."""

OPERATIONS = "ops"
"""The recipient that hears of what operations should mend."""


class MessageMaker:
    """Makes messages for the recipients of these settings with these templates."""

    def __init__(self, settings: Settings, templates: Templates) -> None:
        self._settings = settings
        self._templates = templates

    def render(
        self, template: str, values: Mapping[str, Any], plain: Callable[[], str], now: datetime
    ) -> tuple[str, list[Message]]:
        """The text; where the template fails the plain one, and word to operations."""
        try:
            return self._templates.render(template, values), []
        except MessageTemplateError as error:
            log.exception("模板出错，改用简单文字")
            words = str(error)
            fault = hashlib.sha256(words.encode()).hexdigest()[:8]
            text = f"消息模板出错，已改用简单文字发送。\n{words}\n请修改后运行 check 检查。"
            return plain(), self.alert(f"template:{template}:{fault}", text, now)

    def alert(self, fault: str, text: str, now: datetime) -> list[Message]:
        """Tell operations what to mend, once a day per `fault`; nobody where settings know no such recipient."""
        if OPERATIONS not in self._settings.recipients:
            return []
        return [self.information(f"alert:{fault}:{now:%Y-%m-%d}", OPERATIONS, f"⚠️ {text}")]

    def information(self, key: str, recipient: str, text: str) -> Message:
        """Something that somebody should know, whenever it arrives; repeated where nobody knows whether it did."""
        return self.message(key, TO_CHAT, recipient, text, "retry", self._settings.queue.notice_max_attempts)

    def message(
        self,
        key: str,
        task_type: str,
        recipient: str,
        text: str,
        on_uncertain: OnUncertain,
        max_attempts: int,
        expires_at: datetime | None = None,
    ) -> Message:
        """A message that is split where the recipient's sender takes no longer one."""
        limit = message_limit_of(self._settings, recipient, task_type)
        return Message(key, task_type, recipient, text, limit, on_uncertain, max_attempts, expires_at)
