"""Templates and words → messages for the queue: what everybody who has something to say shares.

A template that fails gives a plain text instead and tells operations; it never stops a run.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from modules.message_sender import message_limit_of
from modules.outbox import Message
from modules.recipients import OPERATIONS
from modules.settings import Settings
from modules.task_states import OnUncertain
from modules.templates import MessageTemplateError, Templates

log = logging.getLogger(__name__)

BROADCAST = "send_wecom_message"
NOTICE = "send_wechat_message"

Plain = Callable[[Mapping[str, Any]], str]
"""The values of a template → what is said where the template fails."""


class MessageMaker:
    """Renders templates and makes messages as the settings of their recipients want them."""

    def __init__(self, settings: Settings, templates: Templates) -> None:
        self._settings = settings
        self._templates = templates

    @property
    def knows_operations(self) -> bool:
        """Whether there is anybody who hears of what operations should mend."""
        return OPERATIONS in self._settings.recipients

    def alert(self, fault: str, text: str, now: datetime) -> list[Message]:
        """Tell operations what to mend, once a day per `fault`; nobody where settings know no such recipient."""
        return self.report(f"alert:{fault}:{now:%Y-%m-%d}", f"⚠️ {text}")

    def report(self, key: str, text: str) -> list[Message]:
        """Tell operations something, once for all time under this key; nobody where settings know no such recipient."""
        return word_to(self._settings, OPERATIONS, key, text)

    def render(
        self, template: str, values: Mapping[str, Any], plain: Plain, now: datetime
    ) -> tuple[str, list[Message]]:
        """The text of a template, or the plain one with word to operations where it fails."""
        try:
            return self._templates.render(template, values), []
        except MessageTemplateError as error:
            log.exception("模板出错，改用简单文字")
            words = str(error)
            fault = hashlib.sha256(words.encode()).hexdigest()[:8]
            text = f"消息模板出错，已改用简单文字发送。\n{words}\n请修改后运行 check 检查。"
            return plain(values), self.alert(f"template:{template}:{fault}", text, now)

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
        """A message as long as its recipient takes it. `key` names it for all time."""
        limit = message_limit_of(self._settings, recipient, task_type)
        return Message(key, task_type, recipient, text, limit, on_uncertain, max_attempts, expires_at)


def word_to(settings: Settings, recipient: str, key: str, text: str) -> list[Message]:
    """Tell one recipient something, once for all time under this key; nobody where settings know no such recipient."""
    if recipient not in settings.recipients:
        return []
    limit, attempts = message_limit_of(settings, recipient, BROADCAST), settings.queue.notice_max_attempts
    return [Message(key, BROADCAST, recipient, text, limit, "retry", attempts)]
