"""What to say: registered contracts and awards → messages for the queue.

A broadcast of each new contract goes to the campaign's group, a notice of its awards to the campaign's contact.
A template that fails gives a plain text instead and tells operations; it never stops a run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from modules.explanation_words import provider_of
from modules.message_maker import BROADCAST, NOTICE, MessageMaker
from modules.outbox import Message
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award, Outcome
from modules.rewards.explain import NOTHING_MISSING, remarks, why
from modules.rewards.money import format_yuan, parse_decimal
from modules.settings import Settings

AWARD_TEMPLATE = "award_notice"
CORRECTION_TEMPLATE = "correction_notice"


@dataclass(frozen=True)
class Announcements:
    """What a run has to say: all messages in order, and each new contract's broadcast key (None: it has none)."""

    messages: tuple[Message, ...]
    broadcast_keys: tuple[str | None, ...]


def nothing_to_say(outcome: Outcome) -> Announcements:
    """For a run that registers in silence."""
    return Announcements((), (None,) * len(outcome.rows))


def broadcast_key(campaign_key: str, contract_id: str) -> str:
    """Names the one broadcast of a contract."""
    return f"broadcast:{campaign_key}:{contract_id}"


def award_key(campaign_key: str, contract_id: str) -> str:
    """Names the one award notice of a contract."""
    return f"award:{campaign_key}:{contract_id}"


def correction_key(campaign_key: str, payee: str, award: str) -> str:
    """Names the one notice of a correction; several awards granted at once are in the notice of the first."""
    return f"correction:{campaign_key}:{payee}:{award}"


def keys_start(campaign_key: str) -> tuple[str, ...]:
    """How the keys of everything that is said of a campaign's contracts and awards start."""
    return tuple(f"{kind}:{campaign_key}:" for kind in ("broadcast", "award", "correction"))


class Announcer:
    """Turns what a run has found into messages."""

    def __init__(self, settings: Settings, maker: MessageMaker) -> None:
        self._settings = settings
        self._maker = maker

    def announce(self, campaign: Campaign, outcome: Outcome, now: datetime) -> Announcements:
        """The broadcasts and award notices of a run's new rows, in frame order; none of a historical contract."""
        granted: dict[str | None, list[Award]] = {}
        for award in outcome.award_list:
            granted.setdefault(award.contract_id, []).append(award)
        messages: list[Message] = []
        keys: list[str | None] = []
        for record, remark in zip(outcome.rows.to_dict("records"), remarks(outcome), strict=True):
            if record["historical"]:
                keys.append(None)
                continue
            contract_id, values = record["contract_id"], broadcast_values(campaign, record, remark)
            key = broadcast_key(campaign.key, contract_id)
            keys.append(key)
            messages += self.broadcast(campaign, key, values, now)
            if contract_id in granted:
                messages += self.award_notice(
                    campaign, award_key(campaign.key, contract_id), values, granted[contract_id], now
                )
        return Announcements(tuple(messages), tuple(keys))

    def broadcast(self, campaign: Campaign, key: str, values: Mapping[str, Any], now: datetime) -> list[Message]:
        """The good news of one contract for the group (and word to operations where its template fails)."""
        text, alerts = self._maker.render(campaign.notification.template, values, _plain_broadcast, now)
        queue = self._settings.queue
        expires_at = now + timedelta(hours=queue.broadcast_expires_hours)
        to = campaign.notification.group
        return [
            self._maker.message(key, BROADCAST, to, text, "retry", queue.broadcast_max_attempts, expires_at),
            *alerts,
        ]

    def award_notice(
        self, campaign: Campaign, key: str, values: Mapping[str, Any], granted: Sequence[Award], now: datetime
    ) -> list[Message]:
        """The awards of one contract for the contact, each with its amount."""
        values = {**values, **award_values(campaign, granted)}
        text, alerts = self._maker.render(AWARD_TEMPLATE, values, _plain_notice, now)
        attempts = self._settings.queue.notice_max_attempts
        return [self._maker.message(key, NOTICE, campaign.notification.contact, text, "hold", attempts), *alerts]

    def correction_notices(self, campaign: Campaign, granted: Sequence[Award], now: datetime) -> list[Message]:
        """What was granted without a contract, for the contact: one notice per payee."""
        by_payee: dict[str, list[Award]] = {}
        for award in granted:
            by_payee.setdefault(award.payee, []).append(award)
        messages: list[Message] = []
        attempts, to = self._settings.queue.notice_max_attempts, campaign.notification.contact
        for payee, own in by_payee.items():
            values = correction_values(campaign, own)
            text, alerts = self._maker.render(CORRECTION_TEMPLATE, values, _plain_correction, now)
            key = correction_key(campaign.key, payee, own[0].name)
            messages += [self._maker.message(key, NOTICE, to, text, "hold", attempts), *alerts]
        return messages


def broadcast_values(campaign: Campaign, record: Mapping[Any, Any], remark_text: str) -> dict[str, Any]:
    """What a broadcast template can show of a contract; money as `1,234.50`."""
    shows_provider = campaign.housekeeper_key == "housekeeper+provider"
    return {
        "title": campaign.title,
        "city": campaign.city,
        "badge": campaign.badge_labels(record["housekeeper"]),
        "housekeeper": record["housekeeper"],
        "provider": record["provider"] if shows_provider else "",
        "contract_number": record["contract_number"],
        "amount": format_yuan(int(record["amount"])),
        "sequence": int(record["sequence"]),
        "count": int(record["count"]),
        "total": format_yuan(int(record["total"])),
        "performance_total": format_yuan(int(record["performance_total"])),
        "conversion": conversion_percent(json.loads(record["source"]).get("conversion", "")),
        "remark": remark_text,
        "has_tiers": campaign.has_tiers,
    }


def conversion_percent(text: str) -> str:
    """`0.667` → `66%` (cut, not rounded), 1 and more → `100%`, anything else → `-`."""
    try:
        ratio = parse_decimal(text)
    except ValueError:
        return "-"
    if ratio >= 1:
        return "100%"
    return f"{int(ratio * 100)}%" if ratio >= 0 else "-"


def award_values(campaign: Campaign, granted: Sequence[Award]) -> dict[str, Any]:
    """What an award notice can show beside the contract: each award, and their sum."""
    return {
        "awards": [_one_award(campaign, award) for award in granted],
        "award_total": format_yuan(sum(award.amount for award in granted)),
    }


def correction_values(campaign: Campaign, granted: Sequence[Award]) -> dict[str, Any]:
    """What the notice of one payee's corrections can show: each award with the sentence that says why."""
    first = granted[0]
    awards = [_one_award(campaign, award) | {"why": why(award.reason)} for award in granted]
    return {
        "title": campaign.title,
        "city": campaign.city,
        "badge": campaign.badge_labels(first.housekeeper),
        "housekeeper": first.housekeeper,
        "provider": provider_of(first.payee) or "",
        **award_values(campaign, granted),
        "awards": awards,
    }


def sample_broadcast_values(campaign: Campaign) -> dict[str, Any]:
    """An invented contract, to try a template on."""
    numbers = {"amount": 1234500, "sequence": 6, "count": 6, "total": 5000000, "performance_total": 5000000}
    names = {"housekeeper": "张示例", "provider": "示例装饰", "contract_number": "示例合同", "source": "{}"}
    return broadcast_values(campaign, {**numbers, **names}, "距离 示例奖 还需 1,234.50 元")


def sample_award_values(campaign: Campaign) -> dict[str, Any]:
    """The same with an award that is doubled and one that is not, to try a template on."""
    return {**sample_broadcast_values(campaign), **award_values(campaign, _sample_awards(campaign))}


def sample_correction_values(campaign: Campaign) -> dict[str, Any]:
    """Invented corrections, to try a template on."""
    return correction_values(campaign, _sample_awards(campaign))


def template_samples(campaign: Campaign) -> dict[str, Mapping[str, Any]]:
    """The templates that a campaign uses, each with invented values to try it on."""
    return {
        campaign.notification.template: sample_broadcast_values(campaign),
        AWARD_TEMPLATE: sample_award_values(campaign),
        CORRECTION_TEMPLATE: sample_correction_values(campaign),
    }


def _sample_awards(campaign: Campaign) -> list[Award]:
    single = Award("", "张示例", "张示例", "示例", "示例奖", 20000, 20000, "", "1", 0, {"why": "示例"})
    return [single, replace(single, amount=40000, badge=next(iter(campaign.badges), ""), multiplier="2")]


def _one_award(campaign: Campaign, award: Award) -> dict[str, Any]:
    multiplier = Decimal(award.multiplier)
    return {
        "kind": award.kind,
        "name": award.name,
        "amount": format_yuan(award.amount),
        "base_amount": format_yuan(award.base_amount),
        "is_multiplied": multiplier != 1,
        "multiplier": f"{multiplier.normalize():f}",
        "badge": campaign.badges[award.badge].label if award.badge else "",
    }


def _plain_broadcast(values: Mapping[str, Any]) -> str:
    rest = "" if values["remark"] == NOTHING_MISSING else f"{values['remark']}。"
    return (
        f"恭喜 {values['housekeeper']} 签约合同 {values['contract_number']}，本单为活动期内第 {values['sequence']} 单，"
        f"个人累计第 {values['count']} 单，累计签约 {values['total']} 元，"
        f"累计计入业绩 {values['performance_total']} 元。{rest}"
    )


def _plain_notice(values: Mapping[str, Any]) -> str:
    listed = "；".join(map(_plain_award, values["awards"]))
    who = f"{values['housekeeper']} 合同 {values['contract_number']}"
    return f"{who} 获得奖励：{listed}；合计 {values['award_total']} 元。"


def _plain_correction(values: Mapping[str, Any]) -> str:
    listed = "；".join(f"{_plain_award(award)}（{award['why']}）" for award in values["awards"])
    who = f"{values['housekeeper']}（{values['provider']}）" if values["provider"] else values["housekeeper"]
    return f"{who} 补发奖励：{listed}；合计 {values['award_total']} 元。"


def _plain_award(award: Mapping[str, Any]) -> str:
    if award["is_multiplied"]:
        return f"{award['name']} {award['base_amount']} 元 → {award['amount']} 元"
    return f"{award['name']} {award['amount']} 元"
