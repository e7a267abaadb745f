"""The daily run of service levels: stored once, told once, each week reported once, whatever happens in between."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

import jobs
from modules import service_provider_sla_monitor as monitor
from modules.application import Application
from modules.check import check_providers
from modules.clock import SHANGHAI
from modules.configuration_parts import PROVIDERS, Found
from modules.contracts import ColumnsError
from modules.errors import JobFailedError, JobRefusedError
from modules.message_text import split_message
from modules.process_lock import daemon_lock
from modules.request_module import MetabaseError
from modules.rewards.faults import Fault as ConfigFault
from modules.sandbox.metabase import Fault
from modules.sandbox.sample_contracts import CITIES
from modules.sandbox.sample_violations import SLA_CARD, VIOLATION_COLUMNS, sample_violations
from modules.service_providers import Providers
from modules.settings import SettingsError
from modules.sla_report import weeks_due
from modules.sla_settings import SlaSettings
from modules.tables import rejected_rows, sla_days, sla_violations, sla_weeks, spent_keys, tasks
from modules.templates import TEMPLATES_DIR, Templates
from tests.desk import Desk, Row
from tests.tools import KilledError, dying

MONDAY = date(2025, 5, 12)
MAPPED = {"甲装饰": "bj_group", "乙装饰": "sh_group"}
DAY = timedelta(days=1)


def slot_of(day: date) -> datetime:
    return datetime.combine(day, time(11), SHANGHAI)


def violation(number: int, provider: str = "甲装饰", **values: object) -> Row:
    record: dict[str, object] = {
        "_id": number,
        "sid": f"SA{number}",
        "saCreateTime": "2025-05-11T09:00:00+08:00",
        "orderNum": f"GD{number:06d}",
        "province": "110000",
        "orgName": provider,
        "supervisorName": "沈若川",
        "sourceType": 2,
        "status": 1,
        "msg": "超时未上门",
        "memo": None,
        "workType": "防水",
        "createTime": "2025-05-11T10:30:00+08:00",
    }
    assert values.keys() <= record.keys()
    return list((record | values).values())


def with_providers(app: Application, providers: Providers) -> Application:
    """The same with these providers, as if their file said so."""
    found = {**app.configuration.found, PROVIDERS.title: Found(providers.recipient_of, providers.faults)}
    return replace(app, pinned=replace(app.configuration, found=found))


class SlaDesk:
    """The desk with providers, and the job at hand."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.app = with_providers(desk.app, Providers(MAPPED))
        self.table = desk.table

    def run(
        self, day: date, *rows: Row, app: Application | None = None, writing: monitor.Writing | None = None
    ) -> Mapping[str, int]:
        """The slot of 11:00 on `day`, while the question shows these rows."""
        self.desk.source.set_card(SLA_CARD, VIOLATION_COLUMNS, rows)
        self.desk.clock.now = slot_of(day) + timedelta(minutes=1)
        app = app or self.app
        return monitor.run(app, slot_of(day), writing or app.database.writing)

    def told(self, start: str = "") -> dict[str, tuple[str, str]]:
        """Key → recipient and text of every message whose key starts so; parts are put together again."""
        told: dict[str, tuple[str, str]] = {}
        for task in self.table(tasks):
            if task["group_key"].startswith(start):
                text = re.sub(r"^\(\d+/\d+\)\n", "", task["message"])
                told[task["group_key"]] = (task["recipient"], told.get(task["group_key"], ("", ""))[1] + text)
        return told

    def days(self) -> dict[date, str]:
        return {row["day"]: row["state"] for row in self.table(sla_days)}

    def clear(self) -> None:
        with self.app.database.writing() as connection:
            for table in (tasks, spent_keys, sla_violations, sla_days, sla_weeks, rejected_rows):
                connection.execute(sa.delete(table))


@pytest.fixture
def sla(desk: Desk) -> SlaDesk:
    return SlaDesk(desk)


@pytest.fixture
def any_sla(open_desk: Callable[..., AbstractContextManager[Desk]], any_database_url: str) -> Iterator[SlaDesk]:
    """The same on both kinds of database."""
    with open_desk(DATABASE_URL=any_database_url) as desk:
        yield SlaDesk(desk)


# One day


def test_violations_are_stored_under_the_day_before_and_each_provider_gets_one_message(any_sla: SlaDesk) -> None:
    counts = any_sla.run(MONDAY + DAY, violation(1), violation(2, "乙装饰"), violation(3, memo="客户改期 😟"))
    assert counts == {
        "fetched": 3,
        "registered": 3,
        "rejected": 0,
        "skipped": 0,
        "providers": 2,
        "late": 0,
        "missed_days": 0,
        "weeks": 0,
        "tasks": 2,
    }
    assert [(row["day"], row["identity"]) for row in any_sla.table(sla_violations)] == [
        (MONDAY, "1"),
        (MONDAY, "2"),
        (MONDAY, "3"),
    ]
    assert any_sla.told() == {
        "sla-day:2025-05-12:甲装饰": (
            "bj_group",
            "📋 甲装饰：2025-05-12 有 2 条服务违规\n\n"
            "1. GD000001｜超时未上门\n   防水　督导 沈若川\n"
            "2. GD000003｜超时未上门\n   防水　督导 沈若川\n   备注：客户改期 😟\n\n"
            "如有异议，请在 2025-05-15 18:00 前联系 平台运营 申诉，谢谢 🙏",
        ),
        "sla-day:2025-05-12:乙装饰": (
            "sh_group",
            "📋 乙装饰：2025-05-12 有 1 条服务违规\n\n"
            "1. GD000002｜超时未上门\n   防水　督导 沈若川\n\n"
            "如有异议，请在 2025-05-15 18:00 前联系 平台运营 申诉，谢谢 🙏",
        ),
    }
    assert {task["on_uncertain"] for task in any_sla.table(tasks)} == {"hold"}


def test_the_slot_decides_the_day_wherever_its_zone_is(sla: SlaDesk) -> None:
    sla.desk.source.set_card(SLA_CARD, VIOLATION_COLUMNS, [violation(1)])
    slot = datetime.fromisoformat("2025-05-12T23:30:00+00:00")  # 07:30 on the 13th in Shanghai
    monitor.run(sla.app, slot, sla.app.database.writing)
    assert sla.days() == {MONDAY: "data"}


def test_a_slot_of_another_day_than_now_leaves_a_warning(sla: SlaDesk, caplog: pytest.LogCaptureFixture) -> None:
    sla.run(MONDAY + DAY)
    assert "问题卡只显示昨天的违规" not in caplog.text
    sla.desk.clock.advance(days=1)
    monitor.run(sla.app, slot_of(MONDAY + DAY), sla.app.database.writing)
    assert "问题卡只显示昨天的违规，这次却要记在 2025-05-13 的前一天名下" in caplog.text


def test_a_repeated_run_stores_and_tells_nothing(any_sla: SlaDesk) -> None:
    any_sla.run(MONDAY + DAY, violation(1), violation(2, "乙装饰"))
    before = any_sla.table(sla_violations), any_sla.told()
    counts = any_sla.run(MONDAY + DAY, violation(1), violation(2, "乙装饰"))
    assert (counts["registered"], counts["skipped"], counts["tasks"]) == (0, 2, 0)
    assert (any_sla.table(sla_violations), any_sla.told()) == before


def test_a_violation_that_is_still_shown_the_next_day_stays_where_it_was(any_sla: SlaDesk) -> None:
    any_sla.run(MONDAY + DAY, violation(1))
    any_sla.run(MONDAY + 2 * DAY, violation(1), violation(2))
    assert [(row["identity"], row["day"]) for row in any_sla.table(sla_violations)] == [
        ("1", MONDAY),
        ("2", MONDAY + DAY),
    ]
    assert "GD000001" not in any_sla.told("sla-day:2025-05-13")["sla-day:2025-05-13:甲装饰"][1]


def test_what_comes_late_is_stored_and_told_to_operations(sla: SlaDesk) -> None:
    sla.run(MONDAY + DAY, violation(1))
    counts = sla.run(MONDAY + DAY, violation(1), violation(2), violation(3, "乙装饰"))
    assert (counts["registered"], counts["late"]) == (2, 1)
    assert "GD000002" not in sla.told("sla-day:")["sla-day:2025-05-12:甲装饰"][1]
    assert "GD000003" in sla.told("sla-day:")["sla-day:2025-05-12:乙装饰"][1]
    ((to, text),) = sla.told("alert:sla-late:").values()
    assert to == "ops"
    assert text.startswith("⚠️ 甲装饰 2025-05-12 的违规消息发出以后，又取到 1 条；")
    assert "GD000002｜超时未上门" in text


def test_the_messages_arrive(sla: SlaDesk) -> None:
    sla.run(MONDAY + DAY, violation(1), violation(2, "别家装饰"))
    sla.desk.drain()
    assert sorted(sent.key for sent in sla.desk.robot.messages) == ["key-bj_group", "key-ops"]


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ((), "⚠️ 服务商 别家装饰 没有收件人，"),
        (
            (ConfigFault("x.yaml 第 2 行", "写错了"),),
            "⚠️ 服务商 别家装饰 没有收件人（名单有错：x.yaml 第 2 行: 写错了），",
        ),
    ],
)
def test_a_provider_without_recipient_goes_to_operations_with_the_reason(
    sla: SlaDesk, faults: tuple[ConfigFault, ...], reason: str
) -> None:
    app = with_providers(sla.app, Providers(MAPPED, faults))
    sla.run(MONDAY + DAY, violation(1, "别家装饰"), app=app)
    (to, text) = sla.told()["sla-day:2025-05-12:别家装饰"]
    assert to == "ops"
    assert text.startswith(reason)
    assert "请人工转告，并在 config/service_providers.yaml 里写上它的收件人\n\n📋 别家装饰：" in text


def test_a_provider_that_is_mapped_later_is_not_told_of_the_same_day_again(sla: SlaDesk) -> None:
    sla.run(MONDAY + DAY, violation(1, "别家装饰"))
    later = with_providers(sla.app, Providers({**MAPPED, "别家装饰": "bj_group"}))
    sla.run(MONDAY + DAY, violation(1, "别家装饰"), app=later)
    assert [to for to, _ in sla.told().values()] == ["ops"]


def test_without_operations_the_others_are_told_and_the_log_has_the_rest(
    sla: SlaDesk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = sla.app.settings
    recipients = {name: to for name, to in known.recipients.items() if name != "ops"}
    monkeypatch.setattr(sla.app.maker, "_settings", known.model_copy(update={"recipients": recipients}))
    sla.run(MONDAY + DAY, violation(1), violation(2, "别家装饰"))
    assert list(sla.told()) == ["sla-day:2025-05-12:甲装饰"]
    assert "服务商 别家装饰 没有收件人，recipients 里也没有 ops" in caplog.text


def test_a_long_list_is_split_by_bytes_and_nothing_of_it_is_lost(sla: SlaDesk) -> None:
    rows = [violation(number, msg="超时未上门，客户很不满意 👨‍👩‍👧" * 3) for number in range(1, 3001)]
    counts = sla.run(MONDAY + DAY, *rows)
    assert (counts["fetched"], counts["registered"]) == (3000, 3000)
    parts = sla.table(tasks)
    assert len(parts) == counts["tasks"] > 100
    assert max(len(part["message"].encode()) for part in parts) <= 2048
    (_, text) = sla.told()["sla-day:2025-05-12:甲装饰"]
    assert re.findall(r"GD\d{6}", text) == [f"GD{number:06d}" for number in range(1, 3001)]
    assert len(split_message(text, 2048)) == len(parts)


def test_rows_that_cannot_be_used_are_kept_with_their_reason_until_they_are_gone(any_sla: SlaDesk) -> None:
    counts = any_sla.run(MONDAY + DAY, violation(1), violation(2, ""))
    assert counts["rejected"] == 1
    (row,) = any_sla.table(rejected_rows)
    assert (row["campaign"], row["contract_id"], row["reason"]) == (monitor.JOB, "2", "没有服务商（orgName 为空）")
    any_sla.run(MONDAY + 2 * DAY)
    assert any_sla.table(rejected_rows)[0]["resolved_at"] is not None


def test_a_failing_template_gives_plain_words_and_an_alert(
    sla: SlaDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sla_daily", "sla_weekly", "sla_praise"):
        (tmp_path / f"{name}.j2").write_text("{{ nonsense }}", encoding="utf-8")
    monkeypatch.setattr(sla.app.maker, "_templates", Templates.read(tmp_path))
    for number in range(1, 8):
        sla.run(MONDAY + number * DAY, *([violation(1)] if number == 1 else []))
    told = sla.told()
    assert told["sla-day:2025-05-12:甲装饰"][1] == (
        "甲装饰 2025-05-12 有 1 条服务违规：\nGD000001｜超时未上门｜2025-05-11 10:30:00\n"
        "如有异议，请在 2025-05-15 18:00 前联系 平台运营。"
    )
    weekly = told["sla-week:2025-05-12:甲装饰"][1]
    assert weekly.startswith(
        "甲装饰 2025-05-12 至 2025-05-18 共有 1 条服务违规：\n05-12（周一）：1 条\n05-13（周二）：0 条\n"
    )
    assert told["sla-praise:2025-05-12:乙装饰"][1] == "乙装饰 2025-05-12 至 2025-05-18 没有服务违规，特此表扬。"
    assert len(sla.told("alert:template:sla_")) == 3


# The pull


def test_a_missing_column_is_an_error_that_names_it_and_nothing_is_written(sla: SlaDesk) -> None:
    left = [name for name in VIOLATION_COLUMNS if name != "orgName"]
    sla.desk.source.set_card(SLA_CARD, left, [])
    with pytest.raises(ColumnsError, match="源数据缺少列：orgName"):
        monitor.run(sla.app, slot_of(MONDAY), sla.app.database.writing)
    assert (sla.days(), sla.told()) == ({}, {})


def test_a_pull_that_fails_writes_nothing_and_the_next_run_says_that_the_day_has_no_data(any_sla: SlaDesk) -> None:
    any_sla.run(MONDAY + DAY)
    any_sla.desk.source.inject(Fault.FORBIDDEN, card=SLA_CARD)
    with pytest.raises(MetabaseError):
        any_sla.run(MONDAY + 2 * DAY, violation(1))
    assert any_sla.days() == {MONDAY: "data"}
    counts = any_sla.run(MONDAY + 5 * DAY, violation(2))
    assert counts["missed_days"] == 3
    assert any_sla.days() == {
        MONDAY: "data",
        **{MONDAY + number * DAY: "no-data" for number in (1, 2, 3)},
        MONDAY + 4 * DAY: "data",
    }


def test_a_day_that_is_pulled_after_all_has_data(any_sla: SlaDesk) -> None:
    any_sla.run(MONDAY + DAY)
    any_sla.run(MONDAY + 3 * DAY)
    any_sla.run(MONDAY + 2 * DAY, violation(1))
    assert set(any_sla.days().values()) == {"data"}
    assert list(any_sla.told()) == ["sla-day:2025-05-13:甲装饰"]


def test_a_day_that_has_not_come_is_refused(sla: SlaDesk) -> None:
    sla.desk.clock.now = slot_of(MONDAY)
    with pytest.raises(JobRefusedError, match="2025-05-13 还没有到"):
        monitor.run(sla.app, slot_of(MONDAY + DAY), sla.app.database.writing)
    assert sla.days() == {}


def test_a_pull_that_outlasts_its_day_is_nobodys(sla: SlaDesk) -> None:
    def rows_of_the_next_day() -> Sequence[Row]:
        sla.desk.clock.advance(minutes=2)
        return [violation(1)]

    sla.desk.source.set_card(SLA_CARD, VIOLATION_COLUMNS, rows_of_the_next_day)
    sla.desk.clock.now = datetime(2025, 5, 13, 23, 59, tzinfo=SHANGHAI)
    with pytest.raises(JobFailedError, match="取数过了半夜 24 点"):
        monitor.run(sla.app, slot_of(MONDAY + DAY), sla.app.database.writing)
    assert (sla.days(), sla.told()) == ({}, {})


def test_the_card_of_the_settings_is_pulled(
    open_desk: Callable[..., AbstractContextManager[Desk]], surroundings: Any
) -> None:
    file = surroundings.settings_file(
        sla={"card_id": 77, "appeal_days": 0, "appeal_time": "12:30", "appeal_contact": "小陆"}
    )
    with open_desk(SETTINGS_FILE=file) as desk:
        desk.source.set_card(77, VIOLATION_COLUMNS, [violation(1)])
        app = with_providers(desk.app, Providers(MAPPED))
        monitor.run(app, slot_of(MONDAY + DAY), app.database.writing)
        (task,) = desk.table(tasks)
        assert "如有异议，请在 2025-05-13 12:30 前联系 小陆 申诉" in task["message"]


# Weeks


def test_on_monday_violators_get_a_report_of_the_week_and_the_others_praise(any_sla: SlaDesk) -> None:
    shown = {0: [violation(1)], 2: [violation(2), violation(3, "别家装饰")], 6: [violation(4)]}
    for number in range(6):
        any_sla.run(MONDAY + (number + 1) * DAY, *shown.get(number, []))
    assert any_sla.told("sla-week") == {}
    counts = any_sla.run(MONDAY + 7 * DAY, *shown[6])
    assert counts["weeks"] == 1
    assert any_sla.told("sla-week:")["sla-week:2025-05-12:甲装饰"] == (
        "bj_group",
        "📊 甲装饰：2025-05-12 至 2025-05-18 服务违规周报\n\n共 3 条：\n"
        "05-12（周一）：1 条\n   · GD000001｜超时未上门\n"
        "05-13（周二）：0 条\n"
        "05-14（周三）：1 条\n   · GD000002｜超时未上门\n"
        "05-15（周四）：0 条\n05-16（周五）：0 条\n05-17（周六）：0 条\n"
        "05-18（周日）：1 条\n   · GD000004｜超时未上门\n\n"
        "如有异议，请在 2025-05-21 18:00 前联系 平台运营 申诉，谢谢 🙏",
    )
    assert any_sla.told("sla-week:")["sla-week:2025-05-12:别家装饰"][0] == "ops"
    assert any_sla.told("sla-praise:") == {
        "sla-praise:2025-05-12:乙装饰": (
            "sh_group",
            "🌟 乙装饰：2025-05-12 至 2025-05-18 全周没有服务违规！\n\n感谢用心服务，请继续保持 💪",
        )
    }
    assert any_sla.told("alert:") == {}
    before = any_sla.told()
    for number in (7, 8):
        assert any_sla.run(MONDAY + number * DAY)["weeks"] == 0
    assert any_sla.told() == before
    assert [row["days_with_data"] for row in any_sla.table(sla_weeks)] == [7]


def test_a_week_with_a_day_without_data_says_so_and_praises_nobody(any_sla: SlaDesk) -> None:
    for number in (1, 2, 4, 5, 6, 7):
        any_sla.run(MONDAY + number * DAY, *([violation(1)] if number == 1 else []))
    (_, text) = any_sla.told()["sla-week:2025-05-12:甲装饰"]
    assert "\n05-14（周三）：无数据\n" in text
    assert "注意：05-14（周三） 没有取到数据，未计入。" in text
    assert any_sla.told("sla-praise") == {}
    ((to, words),) = any_sla.told("alert:sla-gap").values()
    assert to == "ops"
    assert "（2025-05-12 至 2025-05-18）缺 1 天的数据：05-14（周三）；" in words


@pytest.mark.parametrize("first_run", [2, 4, 7])
def test_the_week_in_which_days_began_to_be_known_is_not_reported_and_the_next_one_is(
    sla: SlaDesk, first_run: int
) -> None:
    for number in range(first_run, 8):
        assert sla.run(MONDAY + number * DAY, violation(number))["weeks"] == 0
    assert sla.told("sla-week:") | sla.told("sla-praise:") | sla.told("alert:") == {}
    for number in range(8, 15):
        counts = sla.run(MONDAY + number * DAY)
    assert counts["weeks"] == 1
    assert {key.split(":")[1] for key in sla.told("sla-praise:")} == {str(MONDAY + 7 * DAY)}


@pytest.mark.parametrize("back_on", range(8, 14))
def test_a_daemon_that_was_off_on_monday_reports_on_the_next_day_it_is_on(sla: SlaDesk, back_on: int) -> None:
    for number in range(1, 7):
        sla.run(MONDAY + number * DAY, *([violation(1)] if number == 1 else []))
    counts = sla.run(MONDAY + back_on * DAY)
    assert counts["weeks"] == 1
    assert "05-18（周日）：无数据" in sla.told()["sla-week:2025-05-12:甲装饰"][1]
    assert sla.run(MONDAY + (back_on + 1) * DAY)["weeks"] == (1 if back_on == 13 else 0)  # the 14th ends a week


@pytest.mark.parametrize(
    ("section", "starts"),
    [
        ({"weekly_reports": False}, ["sla-day"]),
        ({"praise": False}, ["sla-day", "sla-week"]),
        ({}, ["sla-day", "sla-week", "sla-praise"]),
    ],
)
def test_reports_and_praise_can_be_switched_off(sla: SlaDesk, section: dict[str, Any], starts: list[str]) -> None:
    off = sla.app.settings.model_copy(update={"sla": SlaSettings(**section)})
    for number in range(1, 8):
        sla.run(MONDAY + number * DAY, *([violation(1)] if number == 1 else []), app=replace(sla.app, settings=off))
    assert [key.partition(":")[0] for key in sla.told()] == starts
    sla.run(MONDAY + 8 * DAY)
    assert len(sla.told()) == len(starts), "a week that nobody wanted is not reported later"


@pytest.mark.parametrize(
    ("today", "first", "reported", "due"),
    [
        ("2025-05-19", "2025-05-01", ["2025-04-28", "2025-05-05"], ["2025-05-12"]),
        ("2025-05-18", "2025-05-01", ["2025-04-28", "2025-05-05"], []),
        ("2025-05-25", "2025-05-01", ["2025-04-28", "2025-05-05"], ["2025-05-12"]),
        ("2025-05-19", "2025-05-18", [], []),
        ("2025-05-19", "2025-05-13", [], []),
        ("2025-05-19", "2025-05-12", [], ["2025-05-12"]),
        ("2025-05-19", "2025-05-19", [], []),
        ("2025-05-26", "2025-05-04", ["2025-05-12"], ["2025-05-05", "2025-05-19"]),
        ("2025-12-01", "2025-05-01", [], ["2025-11-03", "2025-11-10", "2025-11-17", "2025-11-24"]),
        ("2026-01-01", "2025-12-22", [], ["2025-12-22"]),
    ],
)
def test_which_weeks_are_due(today: str, first: str, reported: list[str], due: list[str]) -> None:
    done = {date.fromisoformat(day) for day in reported}
    found = weeks_due(date.fromisoformat(today), date.fromisoformat(first), done)
    assert [str(monday) for monday in found] == due


# Crashes, repeats, gaps


STEPS = st.lists(
    st.tuples(st.integers(-3, 9), st.sampled_from(["run", "run", "run", "run", "outage", "killed", "killed after"])),
    min_size=1,
    max_size=14,
)
PLAYERS = Providers(
    {provider: "bj_group" for city in CITIES.values() for provider in city.providers[:3]},
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_slots_run_each_day_and_each_week_is_told_once(
    any_sla: SlaDesk, steps: Sequence[tuple[int, str]]
) -> None:
    any_sla.clear()
    app = with_providers(any_sla.app, PLAYERS)
    written: set[date] = set()
    weeks: dict[date, set[date]] = {}
    today = MONDAY
    for step, what in steps:
        today += step * DAY
        play(any_sla, app, today, what)
        if what in ("run", "killed after"):
            written.add(today - DAY)
            for monday in due_by_the_book(today, min(written), weeks):
                weeks[monday] = {day for day in written if monday <= day < monday + 7 * DAY}
    assert_days_are_told_once(any_sla, written)
    assert_weeks_are_told_once(any_sla, weeks)


def play(sla: SlaDesk, app: Application, today: date, what: str) -> None:
    rows = sample_violations(today - DAY)
    match what:
        case "run":
            sla.run(today, *rows, app=app)
        case "outage":
            sla.desk.source.inject(Fault.FORBIDDEN, card=SLA_CARD)
            with pytest.raises(MetabaseError):
                sla.run(today, *rows, app=app)
        case _:
            with pytest.raises(KilledError):
                sla.run(today, *rows, app=app, writing=dying(app.database, committed=what == "killed after"))


def due_by_the_book(today: date, first: date, weeks: Mapping[date, object]) -> list[date]:
    """Every week that ended before today, within four weeks, not begun before the first known day, and not yet told."""
    mondays = [today - back * DAY for back in range(7, 35) if (today - back * DAY).weekday() == 0]
    return [monday for monday in mondays if first <= monday and monday not in weeks]


def orders_of(day: date) -> set[str]:
    return {str(row[3]) for row in sample_violations(day)}


def assert_days_are_told_once(sla: SlaDesk, written: set[date]) -> None:
    told = Counter(order for _, text in sla.told("sla-day:").values() for order in re.findall(r"GD\d+", text))
    assert told == dict.fromkeys(set().union(*map(orders_of, written)), 1)
    known = sla.days()
    assert {day for day, state in known.items() if state == "data"} == written
    if written:
        span = (max(written) - min(written)).days
        assert set(known) == {min(written) + number * DAY for number in range(span + 1)}


def assert_weeks_are_told_once(sla: SlaDesk, weeks: Mapping[date, set[date]]) -> None:
    violations = {
        f"sla-week:{monday}:{provider}": [
            str(row[3]) for day in sorted(days) for row in sample_violations(day) if row[5] == provider
        ]
        for monday, days in weeks.items()
        for provider in {str(row[5]) for day in days for row in sample_violations(day)}
    }
    told = {key: re.findall(r"GD\d+", text) for key, (_, text) in sla.told("sla-week:").items()}
    assert told == violations
    violators = {(date.fromisoformat(key.split(":")[1]), key.split(":")[2]) for key in violations}
    whole = {monday for monday, days in weeks.items() if len(days) == 7}
    praised = {(monday, provider) for monday in whole for provider in PLAYERS.recipient_of} - violators
    assert set(sla.told("sla-praise:")) == {f"sla-praise:{monday}:{provider}" for monday, provider in praised}
    gaps = {key.split(":")[2] for key in sla.told("alert:sla-gap:")}
    assert gaps == {str(monday) for monday in weeks} - {str(monday) for monday in whole}


def test_two_daemons_at_once_store_and_tell_once(any_sla: SlaDesk) -> None:
    rows = [violation(number, provider) for number, provider in enumerate(["甲装饰", "乙装饰", "别家装饰"] * 20)]
    any_sla.desk.source.set_card(SLA_CARD, VIOLATION_COLUMNS, rows)
    both_have_pulled = threading.Barrier(2)
    found: list[Mapping[str, int]] = []

    @contextmanager
    def together() -> Iterator[Connection]:
        both_have_pulled.wait(20)
        with any_sla.app.database.writing() as connection:
            yield connection

    def run() -> None:
        found.append(monitor.run(any_sla.app, slot_of(MONDAY + DAY), together))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(counts["registered"] for counts in found) == [0, 60]
    assert len(any_sla.table(sla_violations)) == 60
    assert [sorted(re.findall(r"GD\d+", text)) for _, text in any_sla.told().values()] == [
        sorted(str(row[3]) for row in rows if row[5] == provider)
        for provider in sorted(["甲装饰", "乙装饰", "别家装饰"])
    ]


# The file


def test_the_file_shows_what_is_stored_and_comes_back_when_it_is_deleted(sla: SlaDesk) -> None:
    sla.run(MONDAY + DAY, violation(1))
    sla.run(MONDAY + 3 * DAY)
    path = sla.desk.data_dir / "state" / "sla_violations.json"
    shown = json.loads(path.read_text(encoding="utf-8"))
    assert {day: entry["state"] for day, entry in shown["days"].items()} == {
        "2025-05-12": "data",
        "2025-05-13": "no-data",
        "2025-05-14": "data",
    }
    assert [(one["day"], one["provider"], one["order_number"]) for one in shown["violations"]] == [
        ("2025-05-12", "甲装饰", "GD000001")
    ]
    path.unlink()
    sla.run(MONDAY + 3 * DAY)
    assert json.loads(path.read_text(encoding="utf-8"))["violations"] == shown["violations"]


def test_the_file_shows_the_last_five_weeks(sla: SlaDesk) -> None:
    for number in range(1, 43):
        sla.run(MONDAY + number * DAY, violation(number))
    shown = json.loads((sla.desk.data_dir / "state" / "sla_violations.json").read_text(encoding="utf-8"))
    assert len(shown["days"]) == len(shown["violations"]) == 35
    assert shown["reported_weeks"] == [str(MONDAY + 7 * number * DAY) for number in range(1, 6)]


def test_a_run_beside_a_living_daemon_leaves_the_file_to_it(sla: SlaDesk) -> None:
    with daemon_lock(sla.desk.app.settings.state_dir):
        sla.run(MONDAY + DAY, violation(1))
    path = sla.desk.data_dir / "state" / "sla_violations.json"
    assert not path.exists()
    jobs.bring_files_up_to_date(sla.app)
    assert json.loads(path.read_text(encoding="utf-8"))["days"].keys() == {"2025-05-12"}


def test_where_nothing_was_pulled_there_is_no_file(sla: SlaDesk) -> None:
    jobs.bring_files_up_to_date(sla.app)
    assert not (sla.desk.data_dir / "state" / "sla_violations.json").exists()


# Settings and check


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"appeal_time": 1080}, 'sla.appeal_time: 应是带引号的时间，如 "11:00"'),
        ({"appeal_time": "25:00"}, 'sla.appeal_time: 应是带引号的时间，如 "11:00"'),
        ({"appeal_time": "18"}, 'sla.appeal_time: 应是带引号的时间，如 "11:00"'),
        ({"appeal_days": -1}, "sla.appeal_days: -1 太小，应不小于 0"),
        ({"appeal_contact": ""}, "sla.appeal_contact: '' 不能为空"),
        ({"card": 1514}, "sla.card: 未知的键，是否想写 card_id？"),
    ],
)
def test_faults_of_the_settings_are_told(surroundings: Any, section: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        surroundings.settings(SETTINGS_FILE=surroundings.settings_file(sla=section))


def test_check_tells_of_a_wrong_map_and_a_wrong_template(sla: SlaDesk, tmp_path: Path) -> None:
    settings_now = sla.app.settings
    assert check_providers(settings_now).faults == ()
    wrong = tmp_path / "providers.yaml"
    wrong.write_text("甲装饰: nobody\n", encoding="utf-8")
    templates = tmp_path / "templates"
    templates.mkdir()
    for name in ("sla_daily", "sla_praise"):
        (templates / f"{name}.j2").write_text(
            (TEMPLATES_DIR / f"{name}.j2").read_text(encoding="utf-8"), encoding="utf-8"
        )
    (templates / "sla_weekly.j2").write_text("{{ provider.name }}", encoding="utf-8")
    found = check_providers(settings_now, wrong, templates)
    assert [fault.path for fault in found.faults] == [f"{wrong} 第 1 行", "模板"]
    assert "甲装饰 的收件人 'nobody' 不在" in found.faults[0].text
    assert "config/templates/sla_weekly.j2" in found.faults[1].text
    assert found.warnings == ()


def test_check_warns_where_nobody_hears_for_providers_without_recipient(sla: SlaDesk) -> None:
    recipients = {name: to for name, to in sla.app.settings.recipients.items() if name != "ops"}
    (warning,) = check_providers(sla.app.settings.model_copy(update={"recipients": recipients})).warnings
    assert "没有 ops" in warning.text
