"""Service-level violations → messages, each for who hears for its provider, or else for operations with the reason."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from modules.message_maker import BROADCAST, MessageMaker, Plain
from modules.outbox import Message
from modules.recipients import OPERATIONS
from modules.service_providers import Providers
from modules.settings import Settings
from modules.sla_report import (
    DAILY_TEMPLATE,
    PRAISE_TEMPLATE,
    WEEKLY_TEMPLATE,
    daily_values,
    gap_words,
    late_words,
    plain_daily,
    plain_praise,
    plain_weekly,
    praise_values,
    praised,
    weekly_values,
)
from modules.sla_rows import Violation
from modules.sla_store import Period

log = logging.getLogger(__name__)


def day_key(day: date, provider: str) -> str:
    """Names the one message of a provider's violations of a day."""
    return f"sla-day:{day}:{provider}"


def week_key(monday: date, provider: str) -> str:
    """Names the one report of a provider's week."""
    return f"sla-week:{monday}:{provider}"


def praise_key(monday: date, provider: str) -> str:
    """Names the one praise of a provider's week."""
    return f"sla-praise:{monday}:{provider}"


class SlaMessages:
    """What is said on the day `told_on`, from which the time for appeals counts; `now` is when it is put down."""

    def __init__(
        self, settings: Settings, maker: MessageMaker, providers: Providers, told_on: date, now: datetime
    ) -> None:
        self._sla = settings.sla
        self._attempts = settings.queue.notice_max_attempts
        self._maker = maker
        self._providers = providers
        self._told_on = told_on
        self._now = now

    def of_day(self, period: Period) -> list[Message]:
        """One message per violating provider of the period's first day, with all its violations."""
        messages: list[Message] = []
        day = period.first
        for provider in period.providers:
            values = daily_values(provider, day, period.of(provider)[day], self._told_on, self._sla)
            messages += self._to_provider(day_key(day, provider), DAILY_TEMPLATE, values, plain_daily)
        return messages

    def of_week(self, week: Period) -> list[Message]:
        """A report per violating provider, praise for the others, and word to operations where days are missing."""
        messages: list[Message] = []
        for provider in week.providers:
            values = weekly_values(provider, week, self._told_on, self._sla)
            messages += self._to_provider(week_key(week.first, provider), WEEKLY_TEMPLATE, values, plain_weekly)
        for provider in praised(week, self._providers.recipient_of) if self._sla.praise else ():
            values = praise_values(provider, week)
            messages += self._to_provider(praise_key(week.first, provider), PRAISE_TEMPLATE, values, plain_praise)
        if week.missing_days:
            messages += self._maker.alert(f"sla-gap:{week.first}", gap_words(week), self._now)
        return messages

    def of_late_ones(self, day: date, late: Mapping[str, Sequence[Violation]]) -> list[Message]:
        """Word to operations of violations, by provider, that came after their provider was told of the day."""
        messages: list[Message] = []
        for provider, violations in late.items():
            words = late_words(provider, day, violations)
            messages += self._maker.alert(f"sla-late:{violations[0].identity}", words, self._now)
        return messages

    def _to_provider(self, key: str, template: str, values: Mapping[str, Any], plain: Plain) -> list[Message]:
        """What the provider of these values is told, and word to operations where the template fails."""
        text, alerts = self._maker.render(template, values, plain, self._now)
        return [*self._addressed(key, values["provider"], text), *alerts]

    def _addressed(self, key: str, provider: str, text: str) -> list[Message]:
        recipient = self._providers.recipient(provider)
        if recipient is not None:
            return [self._message(key, recipient, text)]
        if not self._maker.knows_operations:
            log.warning("服务商 %s 没有收件人，recipients 里也没有 %s，消息没有发送：%s", provider, OPERATIONS, key)
            return []
        return [self._message(key, OPERATIONS, f"{self._reason(provider)}\n\n{text}")]

    def _reason(self, provider: str) -> str:
        faults = "".join(f"（名单有错：{fault}）" for fault in self._providers.faults[:1])
        return (
            f"⚠️ 服务商 {provider} 没有收件人{faults}，下面的消息发不到它那里。"
            "请人工转告，并在 config/service_providers.yaml 里写上它的收件人"
        )

    def _message(self, key: str, recipient: str, text: str) -> Message:
        """At most once: like an award notice, a violation is about money."""
        return self._maker.message(key, BROADCAST, recipient, text, "hold", self._attempts)
