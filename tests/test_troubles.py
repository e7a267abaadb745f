"""Troubles from beginning to end: whatever comes and goes, and whoever crashes when, each is told once and taken back
once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules import health
from modules.database import Database
from modules.sandbox.metabase import Fault
from modules.settings import Settings
from modules.tables import job_runs, tasks, troubles
from modules.troubles import Eyes, Known, forget_ended, is_news, next_step, open_troubles, settle, take_turn
from modules.watch import Trouble
from modules.watch_round import watch_once
from tests.desk import BEIJING, NOON, SHANGHAI_MAY, Desk, Surroundings, contracts
from tests.tools import KilledError, dying

HOUSE = Eyes("house", "ops")
DAY = timedelta(days=1)
PATIENT = timedelta(minutes=2)


def known(told: timedelta | None = timedelta(), reminded: timedelta | None = None) -> Known:
    """Began at noon; told and reminded of so much later."""
    return Known(1, "x", "坏了", NOON, None if told is None else NOON + told, NOON + reminded if reminded else None)


@pytest.mark.parametrize(
    ("before", "found", "after", "step"),
    [
        (None, None, DAY, None),
        (None, Trouble("x", "坏了"), DAY, "begin"),
        (known(), None, DAY, "end"),
        (known(None), Trouble("x", "坏了"), timedelta(), "tell"),
        (known(None), Trouble("x", "坏了", patience=PATIENT), PATIENT / 2, None),
        (known(None), Trouble("x", "坏了", patience=PATIENT), PATIENT, "tell"),
        (known(), Trouble("x", "坏了"), DAY / 2, None),
        (known(), Trouble("x", "坏了 2 次"), DAY / 2, "reword"),
        (known(), Trouble("x", "坏了"), DAY, "remind"),
        (known(timedelta(), DAY), Trouble("x", "坏了"), DAY * 1.5, None),
        (known(timedelta(), DAY), Trouble("x", "坏了"), DAY * 2, "remind"),
        (known(), Trouble("x", "坏了", reminds=False), DAY * 5, None),
        (known(), Trouble("x", "坏了", reminds=False, newest=NOON), DAY * 5, None),
        (known(), Trouble("x", "坏了", reminds=False, newest=NOON + PATIENT), DAY / 2, None),
        (known(), Trouble("x", "坏了", reminds=False, newest=NOON + PATIENT), DAY, "remind"),
    ],
)
def test_what_is_to_be_done_about_a_trouble(
    before: Known | None, found: Trouble | None, after: timedelta, step: str | None
) -> None:
    assert next_step(before, found, NOON + after) == step


@pytest.fixture
def conf(surroundings: Surroundings) -> Settings:
    return surroundings.settings()


def queued(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(sa.select(tasks.c.message).order_by(tasks.c.id)).scalars())


def look(database: Database, conf: Settings, *found: Trouble, after: timedelta = timedelta()) -> None:
    with database.writing() as connection:
        take_turn(connection)
        settle(connection, conf, HOUSE, found, NOON + after)


def test_a_trouble_is_told_once_reminded_of_daily_and_taken_back(any_database: Database, conf: Settings) -> None:
    for hours in range(0, 50, 2):
        look(any_database, conf, Trouble("x", f"坏了 {hours} 小时"), after=timedelta(hours=hours))
    look(any_database, conf, after=DAY * 3)
    look(any_database, conf, after=DAY * 4)
    assert queued(any_database) == [
        "⚠️ 坏了 0 小时",
        "⏰ 2025-05-20 12:00:00 起一直没有解决：坏了 24 小时",
        "⏰ 2025-05-20 12:00:00 起一直没有解决：坏了 48 小时",
        "✅ 已解除（2025-05-20 12:00:00 开始）：坏了 48 小时",
    ]


def test_who_hears_that_it_is_over_is_not_asked_to_do_anything(any_database: Database, conf: Settings) -> None:
    look(any_database, conf, Trouble("x", "没有反应；请结束这个进程，再重新启动"))
    look(any_database, conf, after=DAY)
    assert queued(any_database)[-1] == "✅ 已解除（2025-05-20 12:00:00 开始）：没有反应"


def test_one_that_is_over_before_anybody_lost_patience_is_never_told(any_database: Database, conf: Settings) -> None:
    slow = Trouble("x", "慢", patience=PATIENT)
    look(any_database, conf, slow)
    look(any_database, conf, after=PATIENT / 2)
    look(any_database, conf, slow, after=PATIENT)
    look(any_database, conf, slow, after=PATIENT * 2)
    assert queued(any_database) == ["⚠️ 慢"]


def test_what_nothing_can_be_said_of_stays_as_it_is(any_database: Database, conf: Settings) -> None:
    look(any_database, conf, Trouble("x", "坏了"))
    with any_database.writing() as connection:
        settle(connection, conf, HOUSE, [], NOON, untold=["x"])
        assert [trouble["key"] for trouble in open_troubles(connection)] == ["x"]
    assert queued(any_database) == ["⚠️ 坏了"]


def test_different_eyes_see_for_themselves(any_database: Database, conf: Settings) -> None:
    other = Eyes("machine:b", "bj_contact")
    look(any_database, conf, Trouble("files", "写不了"))
    with any_database.writing() as connection:
        settle(connection, conf, other, [Trouble("files", "写不了")], NOON)
        settle(connection, conf, HOUSE, [], NOON)
        assert [trouble["seen_by"] for trouble in open_troubles(connection)] == ["machine:b"]
        recipients = connection.execute(sa.select(tasks.c.recipient).order_by(tasks.c.id)).scalars().all()
    assert recipients == ["ops", "bj_contact", "ops"]


def test_without_operations_troubles_are_kept_and_told_once_there_is_somebody(
    any_database: Database, conf: Settings
) -> None:
    nobody = conf.model_copy(update={"recipients": {}})
    look(any_database, nobody, Trouble("x", "坏了"))
    with any_database.reading() as connection:
        assert [trouble["told_at"] for trouble in open_troubles(connection)] == [None]
    look(any_database, conf, Trouble("x", "坏了"), after=PATIENT)
    assert queued(any_database) == ["⚠️ 坏了"]


def test_ended_troubles_are_forgotten_in_time_and_open_ones_are_not(any_database: Database, conf: Settings) -> None:
    look(any_database, conf, Trouble("x", "坏了"), Trouble("y", "坏了"))
    look(any_database, conf, Trouble("y", "坏了"), after=DAY)
    with any_database.writing() as connection:
        assert forget_ended(connection, NOON + DAY) == 0
        assert forget_ended(connection, NOON + 2 * DAY) == 1
        assert [trouble["key"] for trouble in open_troubles(connection)] == ["y"]


ROUNDS = st.lists(
    st.tuples(st.sets(st.sampled_from("abc")), st.booleans(), st.sampled_from([1, 60, 60 * 25])), max_size=12
)
"""What is wrong at each look, whether the process dies in it, and how many minutes later it is."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=ROUNDS)
def test_whatever_comes_and_goes_each_beginning_and_each_end_is_told_exactly_once(
    any_database: Database, conf: Settings, rounds: list[tuple[set[str], bool, int]]
) -> None:
    with any_database.writing() as connection:
        connection.execute(sa.delete(tasks))
        connection.execute(sa.delete(troubles))
    now, seen = NOON, frozenset[str]()
    expected: Counter[str] = Counter()
    for wrong, dies, minutes in rounds:
        now += timedelta(minutes=minutes)
        found = [Trouble(key, f"坏了 {key}") for key in sorted(wrong)]
        with any_database.reading() as connection:
            reminder_is_due = is_news(connection, HOUSE, found, now) and wrong == seen
        try:
            with (dying(any_database) if dies else any_database.writing)() as connection:
                take_turn(connection)
                told = settle(connection, conf, HOUSE, found, now)
        except KilledError:
            continue
        assert set(told.begun) == wrong - seen
        assert set(told.ended) == seen - wrong
        assert not reminder_is_due or told.reminded
        expected.update({f"⚠️{key}": 1 for key in wrong - seen})
        expected.update({f"✅{key}": 1 for key in seen - wrong})
        seen = frozenset(wrong)
    messages = queued(any_database)
    said = Counter(f"{text.split(' ')[0]}{text[-1]}" for text in messages if not text.startswith("⏰"))
    assert said == expected


def test_several_daemons_that_look_at_once_tell_once(any_database: Database, conf: Settings) -> None:
    at_once = threading.Barrier(4)

    def one_daemon() -> None:
        at_once.wait(20)
        look(any_database, conf, Trouble("x", "坏了"), Trouble("y", "坏了"))

    threads = [threading.Thread(target=one_daemon) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(queued(any_database)) == ["⚠️ 坏了", "⚠️ 坏了"]


# -- the daemon's look -----------------------------------------------------------------------------------------------


def note_run(desk: Desk, **ended: str) -> None:
    """A run of a job that is over in no time."""
    now = desk.clock()
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(job_runs).values(job="sla", slot=now, started_at=now, ended_at=now, **ended))


def test_the_watch_tells_operations_of_a_failing_job_and_of_its_recovery(desk: Desk) -> None:
    desk.source.stop()
    for _ in range(5):
        desk.clock.advance(minutes=3)
        note_run(desk, outcome="failed", error="连不上")
        watch_once(desk.app, desk.clock())
    assert [trouble["what"] for trouble in health.status(desk.app, desk.clock(), [])["troubles"]] == [
        "任务 sla 至少连续失败 5 次，最近一次的原因：连不上"
    ]
    desk.clock.advance(minutes=3)
    note_run(desk, outcome="ok")
    watch_once(desk.app, desk.clock())
    desk.drain()
    sent = [message.content for message in desk.robot.messages]
    assert sent == [
        "⚠️ 任务 sla 至少连续失败 3 次，最近一次的原因：连不上",
        "✅ 已解除（2025-05-20 12:09:00 开始）：任务 sla 至少连续失败 5 次，最近一次的原因：连不上",
    ]
    assert health.status(desk.app, desk.clock(), [])["troubles"] == []


def test_metabase_down_is_one_alert_and_one_all_clear_for_all_jobs(desk: Desk) -> None:
    for key in (BEIJING, SHANGHAI_MAY):
        desk.show([], key)
    desk.source.inject(Fault.HTML, times=None)
    for _ in range(4):
        for key in (BEIJING, SHANGHAI_MAY):
            desk.run(key)
        watch_once(desk.app, desk.clock.advance(minutes=3))
    desk.source.clear_faults()
    desk.run()
    watch_once(desk.app, desk.clock.advance(minutes=3))
    assert len(queued(desk.app.database)) == 1, "the other has not got through yet"
    desk.run(SHANGHAI_MAY)
    watch_once(desk.app, desk.clock.advance(minutes=3))
    told = [row["message"] for row in desk.table(tasks) if row["recipient"] == "ops"]
    assert [text.partition("：")[0] for text in told] == [
        "⚠️ 从 Metabase 取不到数据",
        "✅ 已解除（2025-05-20 12:09:00 开始）",
    ]
    assert f"{BEIJING}、{SHANGHAI_MAY} 连续失败 3 次以上" in told[0]


def test_the_watch_reads_either_database(
    open_desk: Callable[..., AbstractContextManager[Desk]], any_database_url: str
) -> None:
    with open_desk(DATABASE_URL=any_database_url) as desk:
        desk.show([*contracts(1), *contracts(2, amount="待定")])
        desk.run()
        with desk.app.database.writing() as connection:
            connection.execute(sa.update(tasks).values(status="uncertain"))
        desk.app.board.create("send_wecom_message", "bj_group", "迟到的", desk.clock(), 3, 2048)
        desk.clock.advance(minutes=16)
        watch_once(desk.app, desk.clock())
        watch_once(desk.app, desk.clock.advance(minutes=2))
        told = [row["message"] for row in desk.table(tasks) if row["recipient"] == "ops"]
        starts = ("⚠️ 有 1 条消息不知是否送达", "⚠️ BJ-2025-05 的源数据有 1 行", "⚠️ 消息发不出去：给 bj_group 的 1 条")
        assert all(text.startswith(start) for text, start in zip(told, starts, strict=True))
        desk.clock.advance(minutes=1)
        with desk.app.database.writing() as connection:
            connection.execute(sa.update(tasks).values(status="completed"))
        watch_once(desk.app, desk.clock())
        assert {row["key"] for row in desk.table(troubles) if row["ended_at"] is None} == {"rejected:BJ-2025-05"}


def test_a_dead_robot_of_operations_makes_no_alert_about_alerts(desk: Desk) -> None:
    desk.show(contracts(1, 2, amount="待定"))
    desk.run()
    watch_once(desk.app, desk.clock())
    desk.robot.stop()
    for _ in range(60):
        desk.clock.advance(minutes=15)
        desk.drain()
        watch_once(desk.app, desk.clock())
    mine = [row for row in desk.table(tasks) if row["recipient"] == "ops"]
    assert [row["status"] for row in mine] == ["failed"]


def test_a_file_that_can_not_be_written_is_told_and_taken_back(
    open_desk: Callable[..., AbstractContextManager[Desk]],
) -> None:
    with open_desk(is_daemon=True) as desk:
        desk.show(contracts(1))
        blocked = desk.data_dir / "PerformanceData-BJ-2025-05.csv"
        blocked.mkdir()
        desk.run()
        watch_once(desk.app, desk.clock())
        blocked.rmdir()
        desk.app.views.refresh(["BJ-2025-05"])
        watch_once(desk.app, desk.clock())
        told = [row["message"] for row in desk.table(tasks) if row["recipient"] == "ops"]
        assert [text[0] for text in told] == ["⚠", "✅"]
        assert blocked.name in told[0]
