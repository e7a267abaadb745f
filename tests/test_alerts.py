"""Alerts as they run: real HTTP, real databases; each row is told once, whatever comes between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from modules import alerts
from modules.alert_config import Alert
from modules.application import Application
from modules.contracts import ColumnsError
from modules.message_maker import MessageMaker
from modules.request_module import MetabaseError
from modules.sandbox import sample_alerts
from modules.sandbox.metabase import Fault
from modules.sandbox.sample_alerts import TECHNICIAN_COLUMNS
from modules.tables import announced, tasks
from modules.templates import Templates
from tests.desk import NOON, Desk
from tests.tools import KilledError, dying

CARD = 719
MAPPED, OTHER = "北京燕归来装饰", "上海浦江春装饰"

Row = list[object]


def change(
    number: object, content: object = "申请上线", company: object = MAPPED, at: str = "2025-05-20T11:30:00"
) -> Row:
    return [number, at, "罗远山", company, "调度台", content]


def technicians(desk: Desk) -> Alert:
    return desk.app.alerts.valid["check_technician_status"]


def show(desk: Desk, *rows: Row, columns: Sequence[str] = TECHNICIAN_COLUMNS, card: int = CARD) -> None:
    desk.source.set_card(card, columns, rows)


def run(
    desk: Desk, alert: Alert | None = None, slot: datetime = NOON, app: Application | None = None
) -> Mapping[str, int]:
    app = app or desk.app
    return alerts.run(app, alert or technicians(desk), slot, app.database.writing)


def queued(desk: Desk) -> list[tuple[str, str]]:
    """Recipient and text of every message, in order."""
    return [(task["recipient"], task["message"]) for task in desk.table(tasks)]


def digest(desk: Desk, **more: Any) -> Alert:
    return desk.app.alerts.valid["contact_timeout_digest"].model_copy(update=more)


# The technicians


def test_each_change_is_told_to_the_company_and_to_operations_once(desk: Desk) -> None:
    show(desk, change(1))
    assert run(desk) == {"fetched": 1, "new": 0, "baseline": 1, "keyless": 0, "tasks": 0}
    assert queued(desk) == []
    show(desk, change(2, "请假，下线", at="2025-05-20T11:50:00"), change(3), change(1))
    assert run(desk) == {"fetched": 3, "new": 2, "baseline": 0, "keyless": 0, "tasks": 4}
    went_up = "🟢 上线：罗远山\n\n公司：北京燕归来装饰\n时间：2025-05-20 11:30:00\n内容：申请上线"
    went_down = "🔴 下线：罗远山\n\n公司：北京燕归来装饰\n时间：2025-05-20 11:50:00\n内容：请假，下线"
    assert queued(desk) == [("bj_group", went_up), ("ops", went_up), ("bj_group", went_down), ("ops", went_down)]
    assert run(desk)["tasks"] == 0
    desk.drain()
    assert len(desk.robot.messages) == 4


@pytest.mark.parametrize(
    ("content", "mark"),
    [
        ("上线", "🟢 上线"),
        ("下线", "🔴 下线"),
        ("由下线改为上线", "🟢 上线"),
        ("由上线改为下线", "🔴 下线"),
        (["服务区域", "下线"], "🔴 下线"),
        ("变更服务区域", "🔵 状态变更"),
        ("", "🔵 状态变更"),
        (None, "🔵 状态变更"),
    ],
)
def test_the_mark_follows_the_content(desk: Desk, content: object, mark: str) -> None:
    show(desk)
    run(desk)
    show(desk, change(1, content))
    run(desk)
    assert [text.partition("：")[0] for _, text in queued(desk)] == [mark, mark]


def test_an_empty_first_pull_is_a_baseline_as_well(desk: Desk) -> None:
    show(desk)
    assert run(desk)["baseline"] == 0
    show(desk, change(1))
    assert run(desk)["new"] == 1


@pytest.mark.parametrize(
    ("company", "reason"),
    [(None, "company 是空的，不知道发给谁"), ("无名公司", "config/service_providers.yaml 里没有“无名公司”的收件人")],
)
def test_a_company_without_recipient_goes_to_operations_with_the_reason(
    desk: Desk, company: object, reason: str
) -> None:
    show(desk)
    run(desk)
    show(desk, change(1, company=company))
    run(desk)
    ((recipient, text),) = queued(desk)
    assert recipient == "ops"
    assert text.startswith(f"⚠️ {reason}，所以发到这里，请转告：\n\n🟢 上线：罗远山")


def test_the_type_of_an_id_and_the_names_of_columns_make_no_news(desk: Desk) -> None:
    long = 9_007_199_254_740_993
    show(desk, change(7), change(long))
    run(desk)
    show(desk, change("7"), change(str(long)), columns=("编号", "时间", "技师", "公司", "x", "更新内容"))
    assert run(desk)["new"] == 0
    show(desk, change(8), change(7), columns=("a", "b", "c", "d", "e", "f"))
    assert run(desk)["new"] == 1


def test_too_few_columns_are_an_error_that_leaves_everything_as_it_was(desk: Desk) -> None:
    show(desk, ["1", "x"], columns=("_id", "updateTime"))
    with pytest.raises(ColumnsError, match="缺少列：technician"):
        run(desk)
    assert desk.table(announced) == []


def test_a_failed_pull_is_no_baseline(desk: Desk) -> None:
    show(desk, change(1))
    desk.source.inject(Fault.FAILED_202)
    with pytest.raises(MetabaseError):
        run(desk)
    assert desk.table(announced) == []
    assert run(desk)["baseline"] == 1


def test_a_question_whose_key_changed_is_a_new_baseline_that_operations_hear_of(desk: Desk) -> None:
    show(desk, change(1), change(2))
    run(desk)
    inserted = [["甲", *change(1)], ["乙", *change(2)]]
    show(desk, *inserted, columns=("n1", "n2", "n3", "n4", "n5", "n6", "n7"))
    assert run(desk) == {"fetched": 2, "new": 0, "baseline": 2, "keyless": 0, "tasks": 1}
    ((recipient, text),) = queued(desk)
    assert recipient == "ops"
    assert text.startswith("⚠️ 技师上下线：问题卡 719 或它的 id 列换了，现有的 2 行都没见过，只记下，没有发送")
    show(desk, change(1), change(2), change(3))
    assert run(desk)["new"] == 1


def test_that_is_so_also_where_the_changed_question_was_empty_at_first(desk: Desk) -> None:
    show(desk, change(1))
    run(desk)
    columns = ("编号", *TECHNICIAN_COLUMNS[1:])
    show(desk, columns=columns)
    assert run(desk)["tasks"] == 0
    show(desk, change("甲"), change("乙"), columns=columns)
    assert (run(desk)["baseline"], len(queued(desk))) == (2, 1)


def test_rows_without_an_id_are_told_to_operations_once_a_day(desk: Desk) -> None:
    show(desk)
    run(desk)
    show(desk, change(None), change(1))
    assert run(desk)["keyless"] == 1
    run(desk)
    assert [text for recipient, text in queued(desk) if "是空的，没有发送" in text] == [
        "⚠️ 技师上下线：问题卡 719 有 1 行的 id 是空的，没有发送"
    ]


def test_more_rows_than_a_question_shows_at_once(desk: Desk) -> None:
    show(desk, *(change(number) for number in range(2100)))
    assert run(desk)["baseline"] == 2100
    show(desk, *(change(number) for number in range(2101)))
    assert run(desk)["new"] == 1


# A table at its time


def test_a_digest_tells_the_whole_table_once_per_moment(desk: Desk) -> None:
    alert = digest(desk)
    rows = [["GD2", "甲", "2025-05-19T09:00:00", 27], ["GD1", "乙", "2025-05-18T09:00:00", 51]]
    desk.source.set_card(alert.card_id, sample_alerts.TIMEOUT_COLUMNS, rows)
    assert run(desk, alert)["tasks"] == 1
    assert run(desk, alert)["tasks"] == 0
    assert queued(desk) == [
        (
            "ops",
            "📞 联系超时汇总（2025-05-20 12:00）：2 单还没有联系客户\n"
            "1. GD1　乙　2025-05-18 09:00:00 下单，已 51 小时\n"
            "2. GD2　甲　2025-05-19 09:00:00 下单，已 27 小时",
        )
    ]
    assert run(desk, alert, NOON + timedelta(days=1))["tasks"] == 1
    assert desk.table(announced) == []


def test_an_empty_table_is_no_message(desk: Desk) -> None:
    alert = digest(desk)
    desk.source.set_card(alert.card_id, sample_alerts.TIMEOUT_COLUMNS, [])
    assert run(desk, alert)["tasks"] == 0


def test_a_long_table_is_split(desk: Desk) -> None:
    alert = digest(desk)
    rows = [[f"GD{number:04d}", "北京燕归来装饰", "2025-05-18T09:00:00", 51] for number in range(100)]
    desk.source.set_card(alert.card_id, sample_alerts.TIMEOUT_COLUMNS, rows)
    assert run(desk, alert)["tasks"] > 2
    said = "".join(text.partition("\n")[2] for _, text in queued(desk))
    assert all(said.count(f"GD{number:04d}") == 1 for number in range(100))


def test_a_table_with_a_key_tells_only_its_new_rows(desk: Desk) -> None:
    alert = digest(desk, key=("order",), baseline=False)
    columns = sample_alerts.TIMEOUT_COLUMNS
    desk.source.set_card(alert.card_id, columns, [["GD1", "甲", "", 25]])
    assert run(desk, alert)["new"] == 1
    desk.source.set_card(alert.card_id, columns, [["GD1", "甲", "", 26], ["GD2", "甲", "", 25], ["GD3", "甲", "", 25]])
    assert run(desk, alert) == {"fetched": 3, "new": 2, "baseline": 0, "keyless": 0, "tasks": 1}
    assert run(desk, alert)["tasks"] == 0
    assert ["GD1" in text for _, text in queued(desk)] == [True, False]


def test_a_reminder_goes_to_each_provider_with_its_own_orders(desk: Desk) -> None:
    alert = desk.app.alerts.valid["pending_orders_reminder"]
    rows = [["GD1", MAPPED, "", "待派单"], ["GD2", OTHER, "", "待派单"], ["GD3", MAPPED, "", "待上门"]]
    desk.source.set_card(alert.card_id, sample_alerts.PENDING_COLUMNS, rows)
    run(desk, alert)
    assert [(to, [f"GD{n}" in text for n in (1, 2, 3)]) for to, text in queued(desk)] == [
        ("bj_group", [True, False, True]),
        ("sh_group", [False, True, False]),
    ]


# A template that fails


def test_a_template_that_fails_gives_a_plain_text_and_word_to_operations(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "technician_status.j2").write_text("{{ row.nonsense }}", encoding="utf-8")
    maker = MessageMaker(desk.app.settings, Templates.read(tmp_path))
    app = replace(desk.app, pinned=replace(desk.app.configuration, maker=maker))
    show(desk)
    run(desk, app=app)
    show(desk, change(1), change(2))
    assert run(desk, app=app)["tasks"] == 5
    said = queued(desk)
    assert said[0][1] == (
        "技师上下线（1 条）：\n"
        "id：1，time：2025-05-20 11:30:00，technician：罗远山，company：北京燕归来装饰，content：申请上线"
    )
    faults = [text for recipient, text in said if recipient == "ops" and "消息模板出错" in text]
    assert len(faults) == 1
    assert "technician_status.j2" in faults[0]


# All or nothing, and once


def test_a_crash_before_the_commit_leaves_nothing_and_the_next_run_tells_all(desk: Desk) -> None:
    show(desk)
    run(desk)
    show(desk, change(1), change(2))
    before = desk.table(announced)
    with pytest.raises(KilledError):
        alerts.run(desk.app, technicians(desk), NOON, dying(desk.app.database))
    assert (desk.table(announced), queued(desk)) == (before, [])
    assert run(desk)["tasks"] == 4


NUMBERS = count()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=12), st.booleans(), st.booleans()), min_size=1, max_size=8)
)
def test_whatever_is_pulled_each_row_after_the_baseline_is_told_exactly_once(
    desk: Desk, pulls: list[tuple[list[int], bool, bool]]
) -> None:
    """A pull: ids in any order and with repeats, whether they come as text, and whether the process dies in its run."""
    alert = technicians(desk).model_copy(update={"name": f"alert_{next(NUMBERS)}"})
    baseline: set[int] | None = None
    expected: set[int] = set()
    for numbers, as_text, dies in pulls:
        show(desk, *(change(str(number) if as_text else number) for number in numbers))
        if dies:
            try:
                alerts.run(desk.app, alert, NOON, dying(desk.app.database))
            except KilledError:
                continue
        else:
            run(desk, alert)
        if baseline is None:
            baseline = set(numbers)
        expected |= set(numbers) - baseline
    keys = [task["group_key"] for task in desk.table(tasks)]
    own = [key for key in keys if key.startswith(f"question:{alert.name}:")]
    for recipient in ("bj_group", "ops"):
        assert len([key for key in own if key.endswith(f":{recipient}")]) == len(expected)
    assert len(own) == len(set(own)) == 2 * len(expected)


Opener = Callable[..., AbstractContextManager[Desk]]


def test_on_both_databases_each_row_is_told_once(open_desk: Opener, any_database_url: str) -> None:
    with open_desk(DATABASE_URL=any_database_url) as desk:
        show(desk, change(1), change(2))
        assert run(desk)["baseline"] == 2
        show(desk, change(1), change(3), change("x\x00y", "a\x00b"), change("长" * 3000))
        assert run(desk)["new"] == 3
        assert run(desk)["new"] == 0
        assert len(desk.table(tasks)) == 6
        assert {row["announced_at"] for row in desk.table(announced)} == {NOON}


@pytest.mark.parametrize("per", ["row", "table"])
def test_two_daemons_at_once_tell_each_row_once(open_desk: Opener, any_database_url: str, per: str) -> None:
    """One sees a row more than the other, so that their tables differ; both have looked before either writes."""
    with open_desk(DATABASE_URL=any_database_url) as desk, desk.reopened() as other:
        alert = technicians(desk).model_copy(update={"per": per, "also": (), "template": "not_there"})
        show(desk)
        run(desk, alert)
        for most in range(6, 31, 6):
            pulls = iter([[change(number) for number in range(shown)] for shown in (most - 1, most)])
            desk.source.set_card(CARD, TECHNICIAN_COLUMNS, partial(next, pulls))
            run_together(alert, desk.app, other)
        said = "".join(f"{text}\n" for recipient, text in queued(desk) if recipient == "bj_group")
        assert [said.count(f"id：{number}，") for number in range(30)] == [1] * 30


def run_together(alert: Alert, *apps: Application) -> None:
    """Run the alert in all of them at once; a run that was overtaken sees the same table again."""
    together = threading.Barrier(len(apps))

    def once(app: Application) -> None:
        waits = iter([together.wait])

        @contextmanager
        def writing() -> Iterator[Connection]:
            for wait in waits:  # only its first try is held up
                wait(20)
            with app.database.writing() as connection:
                yield connection

        alerts.run(app, alert, NOON, writing)

    with ThreadPoolExecutor(len(apps)) as pool:
        list(pool.map(once, apps))


# The sandbox


def test_the_sandbox_shows_the_cards_of_all_shipped_alerts_and_they_grow(desk: Desk) -> None:
    shipped = desk.app.alerts.valid.values()
    assert {card for card, _, _ in sample_alerts.CARDS} == {alert.card_id for alert in shipped}
    for card, columns, rows in sample_alerts.CARDS:
        assert rows(NOON) == rows(NOON) != []
        desk.source.set_card(card, columns, rows(NOON))
    for alert in shipped:
        assert run(desk, alert)["fetched"] > 0
    later = NOON + timedelta(hours=12)
    show(desk, *sample_alerts.technician_changes(later))
    new = run(desk)["new"]
    assert 0 < new == len([row for row in sample_alerts.technician_changes(later) if str(row[1]) > NOON.isoformat()])


def test_what_the_sandbox_showed_once_it_shows_for_a_month() -> None:
    for hours in range(0, 24 * 7, 5):
        moment = NOON + timedelta(hours=hours)
        before = {row[0] for row in sample_alerts.technician_changes(moment)}
        recent = {row[0] for row in sample_alerts.technician_changes(moment - timedelta(days=20))[:100]}
        assert recent <= before
