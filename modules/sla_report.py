"""What providers are told of their service-level violations, and which weeks are to be reported. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from modules.figures.days import weekday_words
from modules.sla_rows import Violation
from modules.sla_settings import SlaSettings
from modules.sla_store import Period

DAILY_TEMPLATE = "sla_daily"
WEEKLY_TEMPLATE = "sla_weekly"
PRAISE_TEMPLATE = "sla_praise"

WEEKS_BACK = 4
"""A week that nobody could report for so long is no news any more."""

_WEEK = timedelta(days=7)


def weeks_due(today: date, first_known: date, reported: Collection[date]) -> list[date]:
    """The Mondays of the weeks, over before `today`, that are still to be reported, oldest first.

    None that had begun before the first known day: of it nobody could say what the missing days were like.
    """
    this_monday = today - timedelta(days=today.weekday())
    mondays = [this_monday - _WEEK * back for back in range(WEEKS_BACK, 0, -1)]
    return [monday for monday in mondays if monday >= first_known and monday not in reported]


def week_of(monday: date) -> tuple[date, date]:
    """The first and the last day of a week."""
    return monday, monday + _WEEK - timedelta(days=1)


def daily_values(
    provider: str, day: date, violations: Sequence[Violation], told_on: date, settings: SlaSettings
) -> dict[str, Any]:
    """What the daily template can show: a provider's violations of one day, each as a `Violation`."""
    return {
        "provider": provider,
        "day": day.isoformat(),
        "count": len(violations),
        "violations": list(violations),
        **_appeal_values(told_on, settings),
    }


def weekly_values(provider: str, week: Period, told_on: date, settings: SlaSettings) -> dict[str, Any]:
    """What the weekly template can show: a provider's violations by day, and which days have no data."""
    own = week.of(provider)
    return {
        "provider": provider,
        **_week_values(week),
        "count": sum(map(len, own.values())),
        "days": [
            {"day": _day_text(day), "has_data": day in week.days_with_data, "violations": own.get(day, [])}
            for day in week.days
        ],
        "missing_days": [_day_text(day) for day in week.missing_days],
        **_appeal_values(told_on, settings),
    }


def praise_values(provider: str, week: Period) -> dict[str, Any]:
    """What the praise template can show."""
    return {"provider": provider, **_week_values(week)}


def praised(week: Period, mapped: Collection[str]) -> list[str]:
    """The mapped providers without a violation in a week of which every day is known; nobody of any other week."""
    return [] if week.missing_days else sorted(set(mapped) - set(week.providers))


def plain_daily(values: Mapping[str, Any]) -> str:
    listed = "\n".join(map(_plain_violation, values["violations"]))
    return f"{values['provider']} {values['day']} 有 {values['count']} 条服务违规：\n{listed}\n{_plain_appeal(values)}"


def plain_weekly(values: Mapping[str, Any]) -> str:
    listed = "\n".join(map(_plain_day, values["days"]))
    span = f"{values['first_day']} 至 {values['last_day']}"
    return f"{values['provider']} {span} 共有 {values['count']} 条服务违规：\n{listed}\n{_plain_appeal(values)}"


def plain_praise(values: Mapping[str, Any]) -> str:
    return f"{values['provider']} {values['first_day']} 至 {values['last_day']} 没有服务违规，特此表扬。"


def gap_words(week: Period) -> str:
    """What operations are told of a week with days that are not known."""
    days = "、".join(map(_day_text, week.missing_days))
    return (
        f"服务违规周报（{week.first} 至 {week.last}）缺 {len(week.missing_days)} 天的数据：{days}；"
        "周报已注明，这一周没有发送表扬。请查看这几天程序是否停着、Metabase 是否正常"
    )


def late_words(provider: str, day: date, violations: Sequence[Violation]) -> str:
    """What operations are told of violations that came after their provider had been told of the day."""
    listed = "\n".join(map(_plain_violation, violations))
    return (
        f"{provider} {day} 的违规消息发出以后，又取到 {len(violations)} 条；"
        f"已记录，会计入周报，不会再发给服务商，请人工转告：\n{listed}"
    )


def sample_values(settings: SlaSettings) -> dict[str, dict[str, Any]]:
    """Template → invented values to try it on: a day, a week in which a day is not known, and praise."""
    texts = dict.fromkeys(Violation.__dataclass_fields__, "示例")
    violations = [Violation(**texts), Violation(**texts | {"memo": "", "work_type": "", "supervisor": ""})]
    first, last = week_of(date(2025, 5, 12))
    week = Period(first, last, {first: {"示例": violations}}, frozenset([first]))
    return {
        DAILY_TEMPLATE: daily_values("示例", first, violations, last, settings),
        WEEKLY_TEMPLATE: weekly_values("示例", week, last, settings),
        PRAISE_TEMPLATE: praise_values("示例", week),
    }


def _week_values(week: Period) -> dict[str, str]:
    return {"first_day": week.first.isoformat(), "last_day": week.last.isoformat()}


def _appeal_values(told_on: date, settings: SlaSettings) -> dict[str, str]:
    deadline = told_on + timedelta(days=settings.appeal_days)
    return {"appeal_deadline": f"{deadline} {settings.appeal_time:%H:%M}", "appeal_contact": settings.appeal_contact}


def _day_text(day: date) -> str:
    return f"{day:%m-%d}（{weekday_words(day)}）"


def _plain_day(day: Mapping[str, Any]) -> str:
    return f"{day['day']}：{len(day['violations'])} 条" if day["has_data"] else f"{day['day']}：无数据"


def _plain_violation(violation: Violation) -> str:
    texts = (violation.order_number or violation.appointment_id, violation.description, violation.created_at)
    return "｜".join(text for text in texts if text)


def _plain_appeal(values: Mapping[str, Any]) -> str:
    return f"如有异议，请在 {values['appeal_deadline']} 前联系 {values['appeal_contact']}。"
