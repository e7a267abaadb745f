"""The worker against the robot stand-in, over real HTTP: each message goes out once, or a person is told."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import task_scheduler
from modules.outbox import Message, enqueue
from modules.sandbox.robot import RobotFault
from modules.senders.desktop_chat import DesktopChat
from modules.senders.outcome import Leave, LeavingRefusedError, Outcome, Retry
from modules.tables import robot_sends, tasks
from modules.task_states import CANCELLED, COMPLETED, FAILED, PENDING, UNCERTAIN, OnUncertain, Task
from task_scheduler import Drained, check_tasks
from tests.desk import BEIJING, RECIPIENTS, Desk, Surroundings, contracts
from tests.tools import wait_until

Opening = Callable[..., AbstractContextManager[Desk]]

PATIENCE = 10
"""Seconds after which a condition that should come true is taken not to."""


def put(desk: Desk, *keys: str, recipient: str = "bj_group", on_uncertain: OnUncertain = "hold") -> None:
    messages = [Message(key, "send_wecom_message", recipient, f"喜报 {key}", 2048, on_uncertain, 5) for key in keys]
    with desk.app.database.writing() as connection:
        assert enqueue(connection, messages, desk.clock()) == len(keys)


def found(desk: Desk) -> list[Task]:
    return desk.app.board.list()


def texts(desk: Desk) -> list[str]:
    return [message.content for message in desk.robot.messages]


@pytest.fixture
def hasty(open_desk: Opening, surroundings: Surroundings) -> Iterator[Desk]:
    """A desk that does not wait long for the robot's answer."""
    with open_desk(SETTINGS_FILE=surroundings.settings_file(wecom={"read_timeout": 1})) as opened:
        yield opened


# What the robot answers


def test_what_is_due_is_sent_in_order_and_completed(desk: Desk) -> None:
    put(desk, "a", "b")
    put(desk, "c", recipient="sh_group")
    assert desk.drain() == Drained(completed=3)
    assert [(message.key, message.content) for message in desk.robot.messages] == [
        ("key-bj_group", "喜报 a"),
        ("key-bj_group", "喜报 b"),
        ("key-sh_group", "喜报 c"),
    ]
    assert {task.status for task in found(desk)} == {COMPLETED}
    assert desk.drain() == Drained()


def test_a_run_and_a_drain_bring_the_news_to_the_chats(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7)))
    desk.run()
    assert desk.drain() == Drained(completed=7)
    assert [message.key for message in desk.robot.messages] == ["key-bj_group"] * 6 + ["key-bj_contact"]
    assert "接好运" in texts(desk)[-1]


def test_too_often_is_tried_again_after_a_minute_at_the_earliest(desk: Desk) -> None:
    put(desk, "a", "b")
    desk.robot.inject(45009)
    assert desk.drain() == Drained(retried=1)
    first, second = found(desk)
    assert (first.status, second.status) == (PENDING, PENDING)
    assert first.run_at is not None
    assert first.run_at >= desk.clock() + timedelta(seconds=60)
    assert "45009" in (first.last_error or "")
    desk.clock.advance(seconds=59)
    assert desk.drain() == Drained()
    desk.clock.advance(seconds=1)
    assert desk.drain() == Drained(completed=2)
    assert texts(desk) == ["喜报 a", "喜报 b"]


def test_busy_is_tried_three_times(desk: Desk) -> None:
    put(desk, "a")
    desk.robot.inject(-1, times=None)
    results = []
    for _ in range(5):
        results.append(desk.drain())
        desk.clock.advance(minutes=11)
    assert results == [Drained(retried=1), Drained(retried=1), Drained(failed=1), Drained(), Drained()]
    assert "已试 3 次" in (found(desk)[0].last_error or "")


def test_a_robot_that_was_removed_fails_at_once_with_the_meaning(desk: Desk) -> None:
    put(desk, "a", "b")
    desk.robot.inject(93000)
    assert desk.drain() == Drained(completed=1, failed=1)
    failed = found(desk)[0]
    assert (failed.status, failed.attempts) == (FAILED, 1)
    assert "机器人密钥无效或机器人已被移出群" in (failed.last_error or "")
    assert texts(desk) == ["喜报 b"]


@pytest.mark.parametrize("fault", [RobotFault.HTTP_500, RobotFault.NEVER_ANSWERED, RobotFault.CLOSED_AFTER_RECORDING])
def test_where_nobody_knows_a_notice_waits_for_a_person(hasty: Desk, fault: RobotFault) -> None:
    put(hasty, "a", "b", on_uncertain="hold")
    hasty.robot.inject(fault)
    assert hasty.drain() == Drained(completed=1, uncertain=1)
    uncertain = found(hasty)[0]
    assert (uncertain.status, uncertain.run_at) == (UNCERTAIN, None)
    assert "请人工核实后处理" in (uncertain.last_error or "")
    for _ in range(3):
        hasty.clock.advance(hours=1)
        assert hasty.drain() == Drained()
    assert texts(hasty).count("喜报 a") == (fault is not RobotFault.HTTP_500)


@pytest.mark.parametrize(
    ("fault", "arrivals"),
    [(RobotFault.HTTP_500, 1), (RobotFault.NEVER_ANSWERED, 2), (RobotFault.CLOSED_AFTER_RECORDING, 2)],
)
def test_where_nobody_knows_good_news_is_repeated_once(hasty: Desk, fault: RobotFault, arrivals: int) -> None:
    put(hasty, "a", on_uncertain="retry")
    hasty.robot.inject(fault)
    assert hasty.drain() == Drained(retried=1)
    assert found(hasty)[0].status == PENDING
    hasty.clock.advance(seconds=17)
    assert hasty.drain() == Drained(completed=1)
    assert texts(hasty) == ["喜报 a"] * arrivals


def test_a_connection_that_is_refused_is_tried_again(desk: Desk) -> None:
    put(desk, "a", on_uncertain="hold")
    desk.robot.stop()
    assert desk.drain() == Drained(retried=1)
    assert "连不上企业微信" in (found(desk)[0].last_error or "")
    desk.robot.start()
    desk.clock.advance(seconds=17)
    assert desk.drain() == Drained(completed=1)
    assert texts(desk) == ["喜报 a"]


def short_wait(connection: Any, _record: Any) -> None:
    """For a connection that is not to wait long for others."""
    connection.execute("PRAGMA busy_timeout = 20").close()


def test_without_a_desktop_its_messages_wait_and_say_why(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One finds out; the others, and other senders, are not held up, and no try is used up."""
    monkeypatch.delenv("DISPLAY", raising=False)
    for name in ("张三", "李四", "bj_group"):
        desk.app.board.create("send_wechat_message", name, "手写", desk.clock(), 8, 2048)
    assert desk.drain() == Drained(completed=1, retried=1)
    first, second, robots = found(desk)
    assert "看不到桌面" in (first.last_error or "")
    assert [(task.status, task.attempts) for task in (first, second, robots)] == [
        (PENDING, 0),
        (PENDING, 0),
        (COMPLETED, 1),
    ]
    assert second.last_error is None
    assert desk.drain() == Drained(), "for a minute the desktop is left alone"


def test_a_sender_that_raises_before_the_message_leaves_is_asked_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> Outcome:
        raise RuntimeError("a bug")

    monkeypatch.setattr(DesktopChat, "send", breaks)
    desk.app.board.create("send_wechat_message", "张三", "手写", desk.clock(), 8, 2048)
    assert desk.drain() == Drained(retried=1)
    assert (found(desk)[0].last_error, found(desk)[0].attempts) == ("发送程序出错：RuntimeError", 1)


@pytest.mark.parametrize("on_uncertain", ["hold", "retry"])
def test_by_keyboard_a_crash_before_enter_is_repeated_and_one_after_it_is_unknown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, on_uncertain: OnUncertain
) -> None:
    class Killed(BaseException):
        pass

    seen: list[list[str]] = []

    def send(_sender: DesktopChat, _to: object, _message: str, leave: Leave) -> Outcome:
        seen.append([str(task.sending_at) for task in found(desk)])
        if len(seen) == 2:
            leave()
            leave()
        raise Killed

    monkeypatch.setattr(DesktopChat, "send", send)
    put(desk, "a", recipient="张三", on_uncertain=on_uncertain)
    states = []
    for _ in range(2):
        with pytest.raises(Killed):
            desk.drain()
        desk.clock.advance(seconds=120)
        desk.app.queue.rescue(desk.clock(), frozenset())
        states.append((found(desk)[0].status, found(desk)[0].attempts))
    assert seen == [["None"], ["None"]]
    assert states == [(PENDING, 0), (UNCERTAIN if on_uncertain == "hold" else PENDING, 1)]


def test_by_keyboard_nothing_leaves_once_the_claim_is_lost(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def send(_sender: DesktopChat, _to: object, _message: str, leave: Leave) -> Outcome:
        desk.app.queue.rescue(desk.clock.advance(seconds=120), frozenset())
        with pytest.raises(LeavingRefusedError) as refused:
            leave()
        said.append(str(refused.value))
        return Retry("接手")

    monkeypatch.setattr(DesktopChat, "send", send)
    put(desk, "a", recipient="张三")
    (lane,) = desk.app.sender.lanes(["desktop_wecom"])
    hand = desk.app.queue.claim(desk.clock(), 1, desk.app.sender.reach(lane, desk.clock()), leaves_late=True)
    task_scheduler.send_hand(desk.app, hand)
    assert said == ["这条任务已由别的进程接手"]
    assert (found(desk)[0].status, found(desk)[0].attempts) == (PENDING, 0)


def test_by_keyboard_nothing_leaves_while_somebody_else_holds_the_database(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(_sender: DesktopChat, _to: object, _message: str, leave: Leave) -> Outcome:
        with desk.reopened() as other, other.database.writing(), pytest.raises(LeavingRefusedError) as refused:
            leave()
        return Retry(str(refused.value))

    monkeypatch.setattr(DesktopChat, "send", send)
    put(desk, "a", recipient="张三")
    desk.app.database.close()
    sa.event.listen(desk.app.database.engine, "connect", short_wait)
    assert desk.drain() == Drained(retried=1)
    assert (found(desk)[0].last_error or "").startswith("发送前写不进数据库（")


def test_a_robot_without_a_key_fails_with_its_reason(open_desk: Opening, surroundings: Surroundings) -> None:
    keyless = {"bj_group": {"name": "北京运营群", "sender": "wecom_robot"}}
    with open_desk(SETTINGS_FILE=surroundings.settings_file(recipients=keyless)) as desk:
        put(desk, "a")
        assert desk.drain() == Drained(failed=1)
        assert "机器人密钥未设置" in (found(desk)[0].last_error or "")
        assert desk.robot.requests == []


def test_a_sender_that_raises_leaves_it_uncertain(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows how far it came."""

    def explodes(*_: object) -> None:
        raise ZeroDivisionError("somewhere within")

    put(desk, "a", "b")
    with monkeypatch.context() as patched:
        patched.setattr(type(desk.app.sender), "send", explodes)
        assert desk.drain() == Drained(uncertain=2)
    assert "ZeroDivisionError" in (found(desk)[0].last_error or "")
    assert "somewhere within" in caplog.text, "the traceback is in the log"


def test_good_news_that_is_too_old_is_not_sent(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    desk.clock.advance(hours=24)
    assert desk.drain() == Drained()
    assert [task.status for task in found(desk)] == [CANCELLED]
    assert texts(desk) == []


# The limit of a robot


@pytest.fixture
def limited(open_desk: Opening, surroundings: Surroundings) -> Iterator[Desk]:
    """A desk that keeps to two messages a minute per robot; ops shares the robot of bj_group."""
    shared = {"ops": {"name": "系统运维群", "sender": "wecom_robot", "key": "key-bj_group"}}
    file = surroundings.settings_file(wecom={"messages_per_minute": 2}, recipients=shared)
    with open_desk(SETTINGS_FILE=file) as opened:
        yield opened


def test_a_robot_is_not_asked_for_more_than_its_limit_and_holds_up_no_other(limited: Desk) -> None:
    put(limited, "b1", "b2", "b3")
    put(limited, "o1", recipient="ops")
    put(limited, "s1", "s2", recipient="sh_group")
    assert limited.drain() == Drained(completed=4)
    assert texts(limited) == ["喜报 b1", "喜报 b2", "喜报 s1", "喜报 s2"]
    limited.clock.advance(seconds=59)
    assert limited.drain() == Drained()
    limited.clock.advance(seconds=1)
    assert limited.drain() == Drained(completed=2)
    assert texts(limited)[4:] == ["喜报 b3", "喜报 o1"]
    assert [task.attempts for task in found(limited)] == [1] * 6, "to wait is not to try"


def test_the_limit_holds_beyond_the_process(limited: Desk) -> None:
    put(limited, "b1", "b2", "b3")
    limited.drain()
    with limited.reopened() as other:
        assert check_tasks(other) == Drained()
        limited.clock.advance(seconds=60)
        assert check_tasks(other) == Drained(completed=1)
    assert len(limited.table(robot_sends)) == 1, "what is older than a minute is forgotten"


# Claims that were lost


def test_what_a_worker_that_vanished_left_behind_is_taken_up_when_its_lease_is_over(desk: Desk) -> None:
    put(desk, "a", "b", on_uncertain="hold")
    assert desk.app.queue.claim(desk.clock()).waiting
    assert desk.drain() == Drained(), "b waits behind a"
    desk.clock.advance(seconds=120)
    assert desk.drain() == Drained(completed=2)
    assert texts(desk) == ["喜报 a", "喜报 b"]


def test_what_a_dead_worker_left_behind_is_settled_when_the_program_opens(desk: Desk) -> None:
    put(desk, "a", on_uncertain="hold")
    put(desk, "s", recipient="sh_group", on_uncertain="hold")

    def dies() -> None:
        with desk.reopened() as app:
            hand = app.queue.claim(desk.clock(), at_most=2)
            assert len(app.queue.advance(hand, None, desk.clock()).hand.waiting) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dies()
    with desk.reopened() as app:
        assert [task.status for task in found(desk)] == [UNCERTAIN, PENDING]
        alive = {path.stem for path in (desk.data_dir / "state" / "workers").iterdir()}
        assert alive == {desk.app.worker, app.worker}, "the dead are forgotten"
    assert desk.drain() == Drained(completed=1)


def test_a_live_worker_is_left_its_claims_when_another_opens(desk: Desk) -> None:
    put(desk, "a")
    claimed = desk.app.queue.claim(desk.clock())
    with desk.reopened():
        pass
    assert found(desk) == list(claimed.waiting)


def test_a_claim_lost_while_sending_is_let_go(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The answer took longer than the lease: by then somebody else has judged the task."""
    put(desk, "a", "b", on_uncertain="hold")
    real_send = desk.app.sender.send
    calls = []

    def slow_send(*arguments: Any) -> Any:
        outcome = real_send(*arguments)
        if not calls:
            desk.app.queue.rescue(desk.clock.advance(seconds=120), frozenset())
        calls.append(arguments)
        return outcome

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(desk.app.sender, "send", slow_send)
        assert desk.drain() == Drained(completed=1)
    assert [task.status for task in found(desk)] == [UNCERTAIN, COMPLETED]
    assert "任务 1 的认领已失效" in caplog.text


# A database that somebody else holds


def test_a_finish_that_meets_a_locked_database_is_tried_until_it_succeeds(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The message has left: its result must not be lost, however long another program holds the file."""
    put(desk, "a")
    sent, refused = threading.Event(), threading.Event()
    real_send = desk.app.sender.send

    def send_and_lock(*arguments: Any) -> Any:
        outcome = real_send(*arguments)
        rival.execute("BEGIN IMMEDIATE")
        sent.set()
        return outcome

    class Refusals(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "数据库正忙" in record.getMessage() and "第 2 次" in record.getMessage():
                refused.set()

    def release() -> None:
        if refused.wait(PATIENCE):
            rival.execute("COMMIT")

    desk.app.database.close()
    sa.event.listen(desk.app.database.engine, "connect", short_wait)
    rival = sqlite3.connect(desk.data_dir / "tasks.db", isolation_level=None, check_same_thread=False)
    handler, releaser = Refusals(), threading.Thread(target=release)
    task_scheduler.log.addHandler(handler)
    releaser.start()
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(desk.app.sender, "send", send_and_lock)
            assert desk.drain() == Drained(completed=1)
    finally:
        refused.set()
        releaser.join()
        task_scheduler.log.removeHandler(handler)
        rival.close()
    assert sent.is_set()
    assert texts(desk) == ["喜报 a"]
    assert [task.status for task in found(desk)] == [COMPLETED]
    assert "数据库正忙" in caplog.text


def test_a_mark_that_meets_a_locked_database_sends_nothing(desk: Desk) -> None:
    put(desk, "a")
    claimed = desk.app.queue.claim(desk.clock())
    desk.app.database.close()

    sa.event.listen(desk.app.database.engine, "connect", short_wait)
    with desk.reopened() as other, other.database.writing(), pytest.raises(sa.exc.OperationalError, match="locked"):
        task_scheduler.send_hand(desk.app, claimed)
    assert desk.robot.requests == []


def test_where_no_message_waits_a_database_that_somebody_writes_to_is_no_hindrance(desk: Desk) -> None:
    put(desk, "a")
    check_tasks(desk.app)
    desk.app.database.close()
    sa.event.listen(desk.app.database.engine, "connect", short_wait)
    with desk.reopened() as other, other.database.writing():
        assert check_tasks(desk.app) == Drained()


# Stops, progress, and the worker thread


def test_a_stop_is_heard_between_two_messages(desk: Desk) -> None:
    put(desk, "a", "b", "c")
    heard: list[str] = []
    assert check_tasks(desk.app, lambda: len(texts(desk)) == 2, heard.append) == Drained(completed=2)
    assert heard == [COMPLETED, COMPLETED]
    assert [task.status for task in found(desk)] == [COMPLETED, COMPLETED, PENDING]
    assert found(desk)[2].locked_by is None, "its claim is given back"


def test_files_follow_what_was_sent(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    status_file = desk.data_dir / f"send_status_{BEIJING}.json"
    assert "待发送" in status_file.read_text(encoding="utf-8")
    desk.drain()
    assert "发送成功" in status_file.read_text(encoding="utf-8")


def test_the_worker_sends_what_comes_and_ends_promptly(desk: Desk) -> None:
    worker = task_scheduler.start(desk.app)
    try:
        assert worker.is_alive
        for key in ("a", "b"):
            put(desk, key)
            wait_until(lambda: all(task.status == COMPLETED for task in found(desk)))
    finally:
        worker.stop(PATIENCE)
    assert not worker.is_alive
    assert texts(desk) == ["喜报 a", "喜报 b"]
    put(desk, "c")
    assert texts(desk) == ["喜报 a", "喜报 b"]


def test_a_worker_that_stops_finishes_the_message_in_hand(desk: Desk) -> None:
    put(desk, "a", "b")
    in_hand, stopping = threading.Event(), threading.Event()
    real_send = desk.app.sender.send

    def slow_send(*arguments: Any) -> Any:
        in_hand.set()
        assert stopping.wait(PATIENCE)
        return real_send(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(desk.app.sender, "send", slow_send)
        worker = task_scheduler.start(desk.app)
        assert in_hand.wait(PATIENCE)
        worker.stop(0)
        assert worker.is_alive
        stopping.set()
        worker.stop(PATIENCE)
    assert not worker.is_alive
    assert [task.status for task in found(desk)] == [COMPLETED, PENDING]


def test_an_idle_worker_does_not_wait_for_its_next_look(open_desk: Opening, surroundings: Surroundings) -> None:
    with open_desk(SETTINGS_FILE=surroundings.settings_file(schedule={"task_check_seconds": 3600})) as desk:
        put(desk, "a")
        worker = task_scheduler.start(desk.app)
        wait_until(lambda: found(desk)[0].status == COMPLETED)
        worker.stop(PATIENCE)
        assert not worker.is_alive


def test_the_worker_outlives_a_look_that_failed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failed = task_scheduler.check_tasks, threading.Event()

    def fails_once(*arguments: Any, **options: Any) -> Drained:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("once")
        return real(*arguments, **options)

    monkeypatch.setattr(task_scheduler, "check_tasks", fails_once)
    put(desk, "a")
    worker = task_scheduler.start(desk.app)
    try:
        assert failed.wait(PATIENCE)
        wait_until(lambda: found(desk)[0].status == COMPLETED)
    finally:
        worker.stop(PATIENCE)


def test_two_workers_send_each_message_once(desk: Desk) -> None:
    for number in range(30):
        put(desk, f"key-{number}", recipient=RECIPIENTS[number % len(RECIPIENTS)])
    with desk.reopened() as other:
        workers = [task_scheduler.start(desk.app), task_scheduler.start(other)]
        try:
            wait_until(lambda: all(task.status == COMPLETED for task in found(desk)))
        finally:
            for worker in workers:
                worker.stop(PATIENCE)
    assert sorted(texts(desk)) == sorted(f"喜报 key-{number}" for number in range(30))
    for recipient in RECIPIENTS:
        own = [m.content for m in desk.robot.messages if m.key == f"key-{recipient}"]
        assert own == sorted(own, key=lambda text: int(text.rpartition("-")[2]))
    with desk.app.database.reading() as connection:
        assert set(connection.execute(sa.select(tasks.c.attempts)).scalars()) == {1}
