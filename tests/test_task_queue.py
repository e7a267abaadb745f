"""The queue on SQLite and on PostgreSQL: nothing said twice, nothing lost, one recipient's messages in order."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.engine import Connection

from modules.clock import SHANGHAI
from modules.database import Database
from modules.message_text import split_message
from modules.outbox import Message, enqueue
from modules.senders.outcome import Failed, NotNow, Outcome, Retry, Sent, Unknown
from modules.tables import audit_log, tasks
from modules.task_board import GIVEN_UP, TaskError
from modules.task_states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    STATUSES,
    UNCERTAIN,
    OnUncertain,
    Task,
)
from tests.one_by_one import ClaimLostError, OneByOne
from tests.postgres import Server

NOW = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)
LEASE = timedelta(seconds=120)
SECOND = timedelta(seconds=1)


def message(
    key: str,
    recipient: str = "bj_group",
    text: str = "喜报",
    *,
    on_uncertain: OnUncertain = "hold",
    max_attempts: int = 5,
    expires_at: datetime | None = None,
    limit: int = 2048,
) -> Message:
    return Message(key, "send_wecom_message", recipient, text, limit, on_uncertain, max_attempts, expires_at)


@pytest.fixture
def database(any_database: Database) -> Database:
    """Every test here runs on both kinds of database."""
    return any_database


class Announced:
    """Notes which messages were reported as delivered whole."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, connection: Connection, key: str, now: datetime) -> None:
        self.keys.append(key)


@pytest.fixture
def announced() -> Announced:
    return Announced()


@pytest.fixture
def queue(database: Database, announced: Announced) -> OneByOne:
    return OneByOne(database, "me", LEASE, announced)


@pytest.fixture
def put(database: Database) -> Callable[..., int]:
    """Enqueues messages; returns how many tasks are new."""

    def enqueue_them(*messages: Message, now: datetime = NOW) -> int:
        with database.writing() as connection:
            return enqueue(connection, messages, now)

    return enqueue_them


Put = Callable[..., int]


def claimed(queue: OneByOne, now: datetime = NOW) -> Task:
    task = queue.claim(now)
    assert task is not None
    return task


def marked(queue: OneByOne, now: datetime = NOW) -> Task:
    """Claim the next task and commit that its message leaves."""
    task = queue.mark_sending(claimed(queue, now), now, None, 0)
    assert task is not None
    return task


def send_next(queue: OneByOne, outcome: Outcome, now: datetime = NOW) -> Task:
    """Claim, mark and finish the next task."""
    task = marked(queue, now)
    queue.finish(task, outcome, now)
    return task


def statuses(queue: OneByOne) -> list[str]:
    return [task.status for task in queue.list()]


def all_texts(queue: OneByOne) -> list[str]:
    return [task.message for task in queue.list()]


# Enqueue


def test_a_message_is_open_until_it_has_come_to_an_end(queue: OneByOne, put: Put) -> None:
    assert not queue.queue.has_open()
    put(message("a"))
    assert queue.queue.has_open()
    sent = marked(queue)
    assert queue.queue.has_open()
    queue.finish(sent, Retry("忙"), NOW)
    assert queue.queue.has_open(), "it waits for later"
    send_next(queue, Unknown("超时"), NOW + timedelta(hours=1))
    assert not queue.queue.has_open()


def test_a_message_waits_with_all_that_it_was_given(queue: OneByOne, put: Put) -> None:
    expires_at = NOW + timedelta(hours=24)
    assert put(message("a", on_uncertain="retry", max_attempts=3, expires_at=expires_at)) == 1
    assert queue.list() == [
        Task(
            id=1,
            task_type="send_wecom_message",
            recipient="bj_group",
            message="喜报",
            status=PENDING,
            created_at=NOW,
            updated_at=NOW,
            dedup_key="a",
            group_key="a",
            attempts=0,
            max_attempts=3,
            run_at=None,
            locked_by=None,
            locked_until=None,
            sending_at=None,
            on_uncertain="retry",
            expires_at=expires_at,
            last_error=None,
        )
    ]


def test_a_key_is_queued_once(queue: OneByOne, put: Put) -> None:
    assert put(message("a"), message("b"), message("a", text="同一键再来")) == 2
    assert put(message("b"), message("c")) == 1
    assert [task.dedup_key for task in queue.list()] == ["a", "b", "c"]


@pytest.mark.parametrize("outcome", [Sent(), Failed("密钥无效"), Unknown("超时")])
def test_a_key_is_not_queued_again_whatever_became_of_it(queue: OneByOne, put: Put, outcome: Outcome) -> None:
    put(message("a"))
    send_next(queue, outcome)
    assert put(message("a")) == 0
    assert queue.claim(NOW) is None


def test_a_cancelled_key_is_not_queued_again(queue: OneByOne, put: Put) -> None:
    put(message("a"))
    queue.set_status(1, CANCELLED, NOW, "王", allowed_from=STATUSES)
    assert put(message("a")) == 0


def test_a_long_message_becomes_parts_in_order(queue: OneByOne, put: Put) -> None:
    text = "\n".join(f"第 {line} 行喜报" for line in range(12))
    parts = split_message(text, 80)
    assert len(parts) > 2
    assert put(message("a", text=text, limit=80)) == len(parts)
    assert all_texts(queue) == parts
    assert [task.dedup_key for task in queue.list()] == [f"a#{n}/{len(parts)}" for n in range(1, len(parts) + 1)]
    assert {task.group_key for task in queue.list()} == {"a"}


@pytest.mark.parametrize("lines", [1, 3, 12])
def test_a_message_that_now_has_another_number_of_parts_is_not_queued_again(
    queue: OneByOne, put: Put, lines: int
) -> None:
    def of(count: int) -> str:
        return "\n".join(f"第 {line} 行喜报" for line in range(count))

    queued = put(message("a", text=of(6), limit=80))
    assert queued == 2
    assert put(message("a", text=of(lines), limit=80)) == 0
    assert len(queue.list()) == 2


def test_many_keys_are_looked_up_at_once(queue: OneByOne, put: Put) -> None:
    many = [message(f"key-{number}") for number in range(1200)]
    assert put(*many[::2]) == 600
    assert put(*many) == 600


def test_what_is_rolled_back_was_never_queued(database: Database, queue: OneByOne) -> None:
    with database.writing() as connection:
        assert enqueue(connection, [message("a")], NOW) == 1
        connection.rollback()
    assert queue.list() == []


# Claim


def test_the_oldest_comes_first_and_only_one_per_recipient(queue: OneByOne, put: Put) -> None:
    put(message("b1", "bj_group"), message("b2", "bj_group"), message("s1", "sh_group"), message("b3", "bj_group"))
    assert [claimed(queue).dedup_key, claimed(queue).dedup_key] == ["b1", "s1"]
    assert queue.claim(NOW) is None


def test_a_claim_is_running_under_a_lease(queue: OneByOne, put: Put) -> None:
    put(message("a"))
    task = claimed(queue, NOW + SECOND)
    assert task == queue.list()[0]
    assert (task.status, task.locked_until, task.sending_at) == (RUNNING, NOW + SECOND + LEASE, None)
    assert (task.locked_by or "").startswith("me/")
    assert task.attempts == 0


def test_a_waiting_retry_holds_back_its_recipient_only(queue: OneByOne, put: Put) -> None:
    put(message("b1"), message("b2"), message("s1", "sh_group"), message("s2", "sh_group"))
    send_next(queue, Retry("忙", after=timedelta(seconds=60)))
    assert send_next(queue, Sent()).dedup_key == "s1"
    assert send_next(queue, Sent()).dedup_key == "s2"
    assert queue.claim(NOW + timedelta(seconds=59)) is None
    assert claimed(queue, NOW + timedelta(seconds=60)).dedup_key == "b1"


@pytest.mark.parametrize("outcome", [Failed("密钥无效"), Unknown("超时")])
def test_failed_and_uncertain_ones_do_not_block(queue: OneByOne, put: Put, outcome: Outcome) -> None:
    put(message("b1"), message("b2"))
    send_next(queue, outcome)
    assert claimed(queue).dedup_key == "b2"


def test_a_cancelled_one_does_not_block(queue: OneByOne, put: Put) -> None:
    put(message("b1"), message("b2"))
    queue.set_status(1, CANCELLED, NOW, "王", allowed_from=STATUSES)
    assert claimed(queue).dedup_key == "b2"


def test_one_that_a_person_sends_back_waits_for_the_one_being_sent(queue: OneByOne, put: Put) -> None:
    put(message("b1"), message("b2"), message("s1", "sh_group"))
    send_next(queue, Failed("密钥无效"))
    being_sent = marked(queue)
    queue.set_status(1, PENDING, NOW, "王", allowed_from=GIVEN_UP)
    assert claimed(queue).dedup_key == "s1"
    assert queue.claim(NOW) is None
    queue.finish(being_sent, Sent(), NOW)
    assert claimed(queue).dedup_key == "b1"


@pytest.mark.parametrize(("late", "status"), [(-SECOND, RUNNING), (0 * SECOND, CANCELLED), (SECOND, CANCELLED)])
def test_what_has_expired_is_cancelled_and_says_so(queue: OneByOne, put: Put, late: timedelta, status: str) -> None:
    put(message("a", expires_at=NOW), message("b", "sh_group"))
    queue.claim(NOW + late)
    first = queue.list()[0]
    assert first.status == status
    assert first.last_error == (None if status == RUNNING else "已过有效期，不再发送")


def test_expiry_makes_way_for_the_next(queue: OneByOne, put: Put) -> None:
    put(message("a", expires_at=NOW), message("b"))
    assert claimed(queue).dedup_key == "b"


def test_a_retry_expires_while_it_waits(queue: OneByOne, put: Put) -> None:
    put(message("a", expires_at=NOW + SECOND))
    send_next(queue, Retry("忙"))
    assert queue.claim(NOW + timedelta(minutes=1)) is None
    assert statuses(queue) == [CANCELLED]


# Mark, finish, and the fence around them


def test_marking_counts_the_try_and_renews_the_lease(queue: OneByOne, put: Put) -> None:
    put(message("a"))
    task = queue.mark_sending(claimed(queue), NOW + SECOND, None, 0)
    assert task is not None
    assert task == queue.list()[0]
    assert (task.status, task.sending_at, task.attempts) == (RUNNING, NOW + SECOND, 1)
    assert task.locked_until == NOW + SECOND + LEASE


@pytest.mark.parametrize(
    ("outcome", "on_uncertain", "status"),
    [
        (Sent(), "hold", COMPLETED),
        (Failed("密钥无效"), "hold", FAILED),
        (Retry("忙"), "hold", PENDING),
        (Unknown("超时"), "hold", UNCERTAIN),
        (Unknown("超时"), "retry", PENDING),
    ],
)
def test_finishing_writes_down_what_came_of_it(
    queue: OneByOne, put: Put, outcome: Outcome, on_uncertain: OnUncertain, status: str
) -> None:
    put(message("a", on_uncertain=on_uncertain))
    transition = queue.finish(marked(queue), outcome, NOW + SECOND)
    task = queue.list()[0]
    assert (task.status, task.run_at, task.last_error) == (status, transition.run_at, transition.last_error)
    assert (task.locked_by, task.locked_until, task.sending_at) == (None, None, None)
    assert (task.attempts, task.updated_at) == (1, NOW + SECOND)


def test_a_claim_that_was_lost_can_neither_mark_nor_finish(queue: OneByOne, put: Put) -> None:
    put(message("a"))
    lost = claimed(queue)
    queue.rescue(NOW + LEASE, frozenset())
    held = marked(queue, NOW + LEASE)
    before = queue.list()
    with pytest.raises(ClaimLostError):
        queue.mark_sending(lost, NOW + LEASE, "bucket", 20)
    with pytest.raises(ClaimLostError):
        queue.mark_sending(lost, NOW + LEASE, None, 0)
    with pytest.raises(ClaimLostError):
        queue.finish(lost, Sent(), NOW + LEASE)
    assert queue.list() == before
    queue.finish(held, Sent(), NOW + LEASE)
    assert statuses(queue) == [COMPLETED]


def test_a_lost_claim_uses_up_none_of_the_robots_minute(queue: OneByOne, put: Put) -> None:
    put(message("a"))
    lost = claimed(queue)
    queue.rescue(NOW + LEASE, frozenset())
    with pytest.raises(ClaimLostError):
        queue.mark_sending(lost, NOW + LEASE, "bucket", 1)
    assert queue.mark_sending(claimed(queue, NOW + LEASE), NOW + LEASE, "bucket", 1) is not None


def test_a_task_is_finished_once(queue: OneByOne, put: Put, announced: Announced) -> None:
    put(message("a"))
    task = marked(queue)
    queue.finish(task, Sent(), NOW)
    with pytest.raises(ClaimLostError):
        queue.finish(task, Failed("不该写下"), NOW)
    assert statuses(queue) == [COMPLETED]
    assert announced.keys == ["a"]


# Leases and rescue


@pytest.mark.parametrize(
    ("marks", "on_uncertain", "status"),
    [(False, "hold", PENDING), (False, "retry", PENDING), (True, "hold", UNCERTAIN), (True, "retry", PENDING)],
)
@pytest.mark.parametrize("dead", [True, False], ids=["worker known to be dead", "lease ran out"])
def test_a_lost_worker(
    queue: OneByOne, put: Put, dead: bool, marks: bool, on_uncertain: OnUncertain, status: str
) -> None:
    put(message("a", on_uncertain=on_uncertain))
    task = marked(queue) if marks else claimed(queue)
    now = NOW + SECOND if dead else NOW + LEASE
    moved = queue.rescue(now, frozenset({"me"}) if dead else frozenset())
    assert [(orphan.id, transition.status) for orphan, transition in moved] == [(task.id, status)]
    rescued = queue.list()[0]
    assert (rescued.status, rescued.locked_by, rescued.sending_at) == (status, None, None)


def test_a_live_worker_is_left_alone(queue: OneByOne, put: Put) -> None:
    put(message("a"))
    task = claimed(queue)
    assert queue.rescue(NOW + LEASE - SECOND, frozenset({"another", "m"})) == []
    assert queue.list() == [task]


def test_marking_moves_the_end_of_the_lease(queue: OneByOne, put: Put) -> None:
    put(message("a"))
    task = claimed(queue)
    queue.mark_sending(task, NOW + timedelta(seconds=100), None, 0)
    assert queue.rescue(NOW + LEASE, frozenset()) == []
    assert len(queue.rescue(NOW + timedelta(seconds=220), frozenset())) == 1


def test_a_row_that_says_running_and_names_nobody_is_rescued(database: Database, queue: OneByOne, put: Put) -> None:
    put(message("a"))
    with database.writing() as connection:
        connection.execute(sa.update(tasks).values(status=RUNNING))
    assert len(queue.rescue(NOW, frozenset())) == 1
    assert statuses(queue) == [PENDING]


# The limit per minute of each robot


def test_the_21st_message_of_a_robot_waits_for_the_minute(queue: OneByOne, put: Put) -> None:
    put(*(message(f"b{n}") for n in range(21)), message("s", "sh_group"))
    for number in range(20):
        sent = queue.mark_sending(claimed(queue), NOW + number * SECOND, "robot", 20)
        assert sent is not None
        queue.finish(sent, Sent(), NOW + number * SECOND)
    waiting = claimed(queue, NOW + 20 * SECOND)
    assert queue.mark_sending(waiting, NOW + 20 * SECOND, "robot", 20) is None
    held = queue.list()[20]
    assert (held.status, held.run_at, held.attempts) == (PENDING, NOW + 60 * SECOND, 0)
    other = claimed(queue, NOW + 20 * SECOND)
    assert other.recipient == "sh_group"
    assert queue.mark_sending(other, NOW + 20 * SECOND, "another robot", 20) is not None
    assert queue.claim(NOW + 59 * SECOND) is None
    assert queue.mark_sending(claimed(queue, NOW + 60 * SECOND), NOW + 60 * SECOND, "robot", 20) is not None


def test_two_recipients_with_one_robot_share_its_minute(queue: OneByOne, put: Put) -> None:
    put(message("b1", "bj_group"), message("o1", "ops"), message("b2", "bj_group"))
    first, second = claimed(queue), claimed(queue)
    assert {first.recipient, second.recipient} == {"bj_group", "ops"}
    assert queue.mark_sending(first, NOW, "robot", 1) is not None
    assert queue.mark_sending(second, NOW, "robot", 1) is None


def test_the_minute_counts_from_the_answer_not_from_the_start(queue: OneByOne, put: Put) -> None:
    put(message("a"), message("b"))
    first = queue.mark_sending(claimed(queue), NOW, "robot", 1)
    assert first is not None
    queue.finish(first, Sent(), NOW + 10 * SECOND)
    assert queue.mark_sending(claimed(queue, NOW + 60 * SECOND), NOW + 60 * SECOND, "robot", 1) is None
    assert queue.list()[1].run_at == NOW + 70 * SECOND


def test_failed_tries_count_too(queue: OneByOne, put: Put) -> None:
    """WeCom counts what it refuses, and whether an unknown one arrived nobody knows."""
    put(message("a"), message("b"))
    first = queue.mark_sending(claimed(queue), NOW, "robot", 1)
    assert first is not None
    queue.finish(first, Unknown("超时"), NOW)
    assert queue.mark_sending(claimed(queue), NOW, "robot", 1) is None


def test_without_a_limit_or_a_robot_nothing_waits(queue: OneByOne, put: Put) -> None:
    put(*(message(f"b{n}") for n in range(6)))
    for bucket, limit in [("robot", 0), ("robot", 0), (None, 1), (None, 1), ("robot", 3)]:
        sent = queue.mark_sending(claimed(queue), NOW, bucket, limit)
        assert sent is not None
        queue.finish(sent, Sent(), NOW)
    assert queue.mark_sending(claimed(queue), NOW, "robot", 3) is None, "those without a limit are counted all the same"


# A message is told of when its last part is through


def test_delivered_is_told_once_with_the_last_part(queue: OneByOne, put: Put, announced: Announced) -> None:
    put(message("long", text="喜报\n" * 20, limit=80), message("short", "sh_group"))
    parts = sum(task.group_key == "long" for task in queue.list())
    assert parts == 2
    send_next(queue, Sent())
    assert announced.keys == []
    send_next(queue, Sent())
    assert announced.keys == ["long"]
    send_next(queue, Sent())
    assert announced.keys == ["long", "short"]


def test_a_message_that_lacks_a_part_is_not_delivered(queue: OneByOne, put: Put, announced: Announced) -> None:
    put(message("long", text="喜报\n" * 20, limit=80))
    send_next(queue, Failed("过长"))
    send_next(queue, Sent())
    assert announced.keys == []
    queue.set_status(1, PENDING, NOW, "王", allowed_from=GIVEN_UP)
    send_next(queue, Sent())
    assert announced.keys == ["long"]


def test_a_task_without_a_key_completes(queue: OneByOne, announced: Announced) -> None:
    assert queue.create("send_wecom_message", "bj_group", "手写", NOW, 8, 2048) == 1
    assert send_next(queue, Sent()).on_uncertain == "hold"
    assert statuses(queue) == [COMPLETED]
    assert announced.keys == []


def test_telling_shares_the_transaction_of_the_finish(database: Database, put: Put) -> None:
    def fails(connection: Connection, key: str, now: datetime) -> None:
        raise RuntimeError(key)

    queue = OneByOne(database, "me", LEASE, fails)
    put(message("a"))
    task = marked(queue)
    with pytest.raises(RuntimeError):
        queue.finish(task, Sent(), NOW)
    assert queue.list() == [task]


# What a person does


@pytest.mark.parametrize("outcome", [Failed("密钥无效"), Unknown("超时")])
def test_a_person_sends_a_task_back(database: Database, queue: OneByOne, put: Put, outcome: Outcome) -> None:
    put(message("a", expires_at=NOW + SECOND))
    send_next(queue, outcome)
    queue.set_status(1, PENDING, NOW + timedelta(days=2), "王", allowed_from=GIVEN_UP)
    task = claimed(queue, NOW + timedelta(days=2))
    assert (task.id, task.attempts, task.expires_at, task.last_error) == (1, 0, None, None)


def test_a_person_confirms_that_an_uncertain_one_arrived(queue: OneByOne, put: Put, announced: Announced) -> None:
    put(message("a"))
    send_next(queue, Unknown("超时"))
    queue.set_status(1, COMPLETED, NOW, "王", allowed_from=STATUSES)
    assert announced.keys == ["a"]


@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("status", [PENDING, COMPLETED, FAILED, CANCELLED])
def test_a_status_is_not_set_while_a_lease_is_live(
    database: Database, queue: OneByOne, put: Put, status: str, marks: bool
) -> None:
    put(message("a"))
    task = marked(queue) if marks else claimed(queue)
    with pytest.raises(TaskError, match="任务 1 正在发送，请稍后再试"):
        queue.set_status(1, status, NOW + LEASE - SECOND, "王", allowed_from=STATUSES)
    assert queue.list() == [task]
    queue.set_status(1, status, NOW + LEASE, "王", allowed_from=STATUSES)
    assert statuses(queue) == [status]
    with pytest.raises(ClaimLostError):
        queue.finish(task, Sent(), NOW + LEASE)


@pytest.mark.parametrize(
    ("task_id", "status", "words"),
    [
        (9, PENDING, "没有编号为 9 的任务"),
        (1, "done", "没有状态 done"),
        (1, RUNNING, "没有状态 running"),
        (1, PENDING, "任务 1 的状态是 pending，不能改为 pending；只有 failed、uncertain、cancelled 的可以"),
    ],
)
def test_what_a_person_cannot_do_is_refused_in_words(
    database: Database, queue: OneByOne, put: Put, task_id: int, status: str, words: str
) -> None:
    put(message("a"))
    with pytest.raises(TaskError, match=words):
        queue.set_status(task_id, status, NOW, "王", allowed_from=GIVEN_UP)
    assert statuses(queue) == [PENDING]
    with database.reading() as connection:
        assert connection.execute(sa.select(audit_log)).all() == []


def test_each_act_of_a_person_is_on_record(database: Database, queue: OneByOne, put: Put) -> None:
    put(message("a"))
    queue.set_status(1, CANCELLED, NOW, "王", allowed_from=STATUSES)
    queue.set_status(1, PENDING, NOW + SECOND, "李", allowed_from=STATUSES)
    with database.reading() as connection:
        rows = connection.execute(sa.select(audit_log).order_by(audit_log.c.id)).all()
    assert [tuple(row)[1:] for row in rows] == [
        (NOW, "王", "tasks", "任务 1：pending → cancelled"),
        (NOW + SECOND, "李", "tasks", "任务 1：cancelled → pending"),
    ]


# Looking on


def test_counts_have_every_status(queue: OneByOne, put: Put) -> None:
    assert queue.counts() == dict.fromkeys(STATUSES, 0)
    put(message("a"), message("b"))
    send_next(queue, Sent())
    assert queue.counts() == dict.fromkeys(STATUSES, 0) | {PENDING: 1, COMPLETED: 1}


def test_list_and_oldest(queue: OneByOne, put: Put) -> None:
    put(message("a"), message("b"), message("c"))
    send_next(queue, Sent())
    assert [task.dedup_key for task in queue.list([PENDING])] == ["b", "c"]
    assert [task.dedup_key for task in queue.list([COMPLETED, PENDING])] == ["a", "b", "c"]
    oldest = queue.oldest(PENDING)
    assert oldest is not None
    assert oldest.dedup_key == "b"
    assert queue.oldest(FAILED) is None


# Many at once


def test_four_workers_claim_500_tasks_and_none_twice(database: Database, put: Put) -> None:
    """Each of 500 recipients has one task, so that every task can be claimed at any time."""
    put(*(message(f"key-{number}", f"recipient-{number}") for number in range(500)))
    got: dict[str, list[int]] = {name: [] for name in "ABCD"}
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def work(name: str) -> None:
        own = Database(str(database.engine.url))
        try:
            together.wait()
            queue = OneByOne(own, name, LEASE, Announced())
            while (task := queue.claim(NOW)) is not None:
                got[name].append(task.id)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(task_id for ids in got.values() for task_id in ids) == list(range(1, 501))
    with database.reading() as connection:
        holders = connection.execute(sa.select(tasks.c.id, tasks.c.locked_by)).all()
    assert {task_id: (locked_by or "").partition("/")[0] for task_id, locked_by in holders} == {
        task_id: name for name, ids in got.items() for task_id in ids
    }


class QueueMachine(RuleBasedStateMachine):
    """Two workers, two recipients, a person, crashes and time, against a model of a few lines.

    The model knows each task's status, recipient, rule and number of tries, and what each worker has in hand.
    """

    fresh: Callable[[], Database]
    recipients = ("bj_group", "sh_group")
    max_attempts = 2

    def __init__(self) -> None:
        super().__init__()
        self.database = type(self).fresh()
        self.announced = Announced()
        self.queues = {name: OneByOne(self.database, name, LEASE, self.announced) for name in ("A", "B")}
        self.now = NOW
        self.status: dict[int, str] = {}
        self.recipient: dict[int, str] = {}
        self.on_uncertain: dict[int, OnUncertain] = {}
        self.tries: Counter[int] = Counter()
        self.hands: dict[str, Task] = {}
        self.lost: list[Task] = []
        self.delivered: list[str] = []

    def teardown(self) -> None:
        self.database.close()

    @initialize()
    def something_waits(self) -> None:
        for on_uncertain in ("retry", "hold"):
            for recipient in self.recipients:
                self.enqueue(recipient, on_uncertain)

    @rule(recipient=st.sampled_from(recipients), on_uncertain=st.sampled_from(["hold", "retry"]))
    def enqueue(self, recipient: str, on_uncertain: OnUncertain) -> None:
        task_id = len(self.status) + 1
        new = message(f"key-{task_id}", recipient, on_uncertain=on_uncertain, max_attempts=self.max_attempts)
        with self.database.writing() as connection:
            assert [enqueue(connection, [new], self.now) for _ in range(2)] == [1, 0]
        self.status[task_id], self.recipient[task_id], self.on_uncertain[task_id] = PENDING, recipient, on_uncertain

    @precondition(lambda self: len(self.hands) < 2)
    @rule()
    def claim(self) -> None:
        worker = next(name for name in self.queues if name not in self.hands)
        waits_until = {task.id: task.run_at or self.now for task in self.queues[worker].list()}
        first: dict[str, int] = {}
        for task_id, status in self.status.items():
            if status in (PENDING, RUNNING):
                first.setdefault(self.recipient[task_id], task_id)
        busy = {self.recipient[task_id] for task_id, status in self.status.items() if status == RUNNING}
        free = [task_id for recipient, task_id in first.items() if recipient not in busy]
        due = [task_id for task_id in free if waits_until[task_id] <= self.now]
        task = self.queues[worker].claim(self.now)
        assert (task.id if task else None) == min(due, default=None), "the first open one of its recipient, if due"
        if task is not None:
            self.status[task.id] = RUNNING
            self.hands[worker] = task

    @precondition(lambda self: any(task.sending_at is None for task in self.hands.values()))
    @rule()
    def mark(self) -> None:
        worker = next(name for name, task in self.hands.items() if task.sending_at is None)
        task = self.queues[worker].mark_sending(self.hands[worker], self.now, "robot", 0)
        assert task is not None
        self.tries[task.id] += 1
        assert (task.attempts, task.sending_at) == (self.tries[task.id], self.now)
        self.hands[worker] = task

    @precondition(lambda self: any(task.sending_at is None for task in self.hands.values()))
    @rule(outcome=st.sampled_from([Retry("草稿"), NotNow("锁屏")]))
    def refuse(self, outcome: Outcome) -> None:
        """By keyboard: the message did not leave, be it for its chat's sake or the machine's."""
        worker = next(name for name, task in self.hands.items() if task.sending_at is None)
        task = self.hands.pop(worker)
        self.tries[task.id] += isinstance(outcome, Retry)
        used_up = isinstance(outcome, Retry) and self.tries[task.id] >= self.max_attempts
        assert self.queues[worker].refuse(task, outcome, self.now).status == (FAILED if used_up else PENDING)
        assert self.queues[worker].get(task.id).attempts == self.tries[task.id]
        self._is_now(task.id, FAILED if used_up else PENDING)

    @precondition(lambda self: any(task.sending_at for task in self.hands.values()))
    @rule(outcome=st.sampled_from([Sent(), Failed("坏"), Retry("忙"), Unknown("停")]))
    def finish(self, outcome: Outcome) -> None:
        worker = next(name for name, task in self.hands.items() if task.sending_at)
        task = self.hands.pop(worker)
        left = self.tries[task.id] < self.max_attempts
        again = left and self.on_uncertain[task.id] == "retry"
        expected = {
            Sent: COMPLETED,
            Failed: FAILED,
            Retry: PENDING if left else FAILED,
            Unknown: PENDING if again else UNCERTAIN,
        }[type(outcome)]
        assert self.queues[worker].finish(task, outcome, self.now).status == expected
        self._is_now(task.id, expected)

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The process dies; another one finds out at once."""
        self._rescue({data.draw(st.sampled_from(sorted(self.hands)))})

    @rule(minutes=st.sampled_from([1, 2, 11]))
    def time_passes(self, minutes: int) -> None:
        """Two minutes are a lease to the second; eleven are longer than any back-off."""
        self.now += timedelta(minutes=minutes)
        self._rescue({name for name, task in self.hands.items() if (task.locked_until or NOW) <= self.now}, dead=False)

    def _rescue(self, workers: set[str], *, dead: bool = True) -> None:
        """The claims of these workers, and of nobody else, follow the rule of the state picture."""
        moved = self.queues["A"].rescue(self.now, frozenset(workers) if dead else frozenset())
        assert {task.id for task, _ in moved} == {self.hands[worker].id for worker in workers}
        for worker in workers:
            task = self.hands.pop(worker)
            again = self.on_uncertain[task.id] == "retry" and self.tries[task.id] < self.max_attempts
            self._is_now(task.id, UNCERTAIN if task.sending_at and not again else PENDING)
            self.lost.append(task)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def the_dead_speak(self, data: st.DataObject) -> None:
        """Whoever lost a claim changes nothing, whoever has the task now."""
        task = data.draw(st.sampled_from(self.lost))
        with pytest.raises(ClaimLostError):
            self.queues["A"].mark_sending(task, self.now, "robot", 0)
        with pytest.raises(ClaimLostError):
            self.queues["A"].finish(task, Sent(), self.now)

    @rule(data=st.data(), status=st.sampled_from([PENDING, CANCELLED, COMPLETED]))
    def a_person_decides(self, data: st.DataObject, status: str) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.status)))
        is_refused = self.status[task_id] in (RUNNING, COMPLETED)
        with pytest.raises(TaskError) if is_refused else nullcontext():
            self.queues["B"].set_status(task_id, status, self.now, "王", allowed_from={PENDING, *GIVEN_UP})
        if not is_refused:
            self._is_now(task_id, status)
            if status == PENDING:
                self.tries[task_id] = 0

    def _is_now(self, task_id: int, status: str) -> None:
        self.status[task_id] = status
        if status == COMPLETED:
            self.delivered.append(f"key-{task_id}")

    @invariant()
    def nothing_is_lost_and_all_is_as_the_model_says(self) -> None:
        assert {task.id: task.status for task in self.queues["A"].list()} == self.status

    @invariant()
    def no_recipient_is_written_to_by_two_at_once(self) -> None:
        busy = [task.recipient for task in self.hands.values()]
        assert len(busy) == len(set(busy))

    @invariant()
    def what_is_delivered_is_told_once(self) -> None:
        assert self.announced.keys == self.delivered
        assert len(set(self.delivered)) == len(self.delivered)


def without_waiting_for_the_disk(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF").close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_queue_behaves_like_its_model(
    kind: str, request: pytest.FixtureRequest, empty_database: Path, tmp_path: Path
) -> None:
    def fresh_file() -> Database:
        shutil.copy(empty_database, tmp_path / "tasks.db")
        database = Database(f"sqlite:///{tmp_path / 'tasks.db'}")
        sa.event.listen(database.engine, "connect", without_waiting_for_the_disk)
        return database

    def emptied() -> Database:
        database = Database(address)
        with database.writing() as connection:
            connection.execute(sa.text("TRUNCATE tasks, robot_sends, robot_pauses, audit_log RESTART IDENTITY"))
        return database

    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        address = server.create("model", "template_tasks")
        request.addfinalizer(lambda: server.drop("model"))
    machine = type("Machine", (QueueMachine,), {"fresh": staticmethod(fresh_file if kind == "sqlite" else emptied)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.reuse, Phase.generate],  # to shrink what fails would take minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
