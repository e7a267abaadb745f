"""What a queue shared by many workers promises, on both databases: hands, limits, reach, quiet hours, purge."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import task_queue
from modules.clock import SHANGHAI
from modules.database import Database
from modules.errors import JobRefusedError
from modules.lanes import SENDER_NAMES, chosen_senders
from modules.outbox import Message, enqueue, known_keys
from modules.recipients import RecipientSettings
from modules.robot_limits import RobotLimit
from modules.senders.outcome import Failed, NotNow, Outcome, Retry, Sent, Unknown
from modules.tables import audit_log, robot_sends, spent_keys, tasks
from modules.task_board import TaskBoard, TaskError, age_limit
from modules.task_queue import Hand, Reach, TaskQueue, tell_completed
from modules.task_states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, STATUSES, UNCERTAIN, Task
from task_scheduler import Drained, check_tasks
from tests.desk import Desk, Surroundings
from tests.tools import wait_until

NOW = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)
LEASE = timedelta(seconds=120)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)

Opening = Callable[..., AbstractContextManager[Desk]]


class Shop:
    """A worker's queue and the board of one database, with a robot for those who have one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.told: list[str] = []
        self.queue = TaskQueue(database, "me", LEASE, self._tell)
        self.other = TaskQueue(database, "other", LEASE, self._tell)
        self.board = TaskBoard(database, self._tell)
        self.robots: dict[str, RobotLimit] = {}

    def _tell(self, connection: Connection, key: str, now: datetime) -> None:
        self.told.append(key)

    def put(
        self, *keys: str, to: str = "bj", parts: int = 1, now: datetime = NOW, expires: datetime | None = None
    ) -> None:
        text, limit = ("喜报", 2048) if parts == 1 else ("喜报\n" * 6 * parts, 60)
        said = [Message(key, "send_wecom_message", to, text, limit, "retry", 5, expires) for key in keys]
        with self.database.writing() as connection:
            assert enqueue(connection, said, now) >= len(keys)

    def advance(self, hand: Hand, outcome: Outcome | None = None, now: datetime = NOW, *, stop: bool = False) -> Hand:
        return self.queue.advance(hand, outcome, now, self.robots.get, stop=stop).hand

    def send(self, hand: Hand, outcomes: Sequence[Outcome], now: datetime = NOW) -> list[str]:
        """Send a whole hand; returns the keys in the order in which they left."""
        left, waiting = [], iter(outcomes)
        hand = self.advance(hand, None, now)
        while hand.sending is not None:
            left.append(str(hand.sending.dedup_key))
            hand = self.advance(hand, next(waiting, Sent()), now)
        return left

    def states(self) -> dict[str, str]:
        return {str(task.dedup_key): task.status for task in self.board.list()}

    def task(self, key: str) -> Task:
        return next(task for task in self.board.list() if task.dedup_key == key)


@pytest.fixture
def shop(any_database: Database) -> Shop:
    return Shop(any_database)


def keys(hand: Hand) -> list[str]:
    return [str(task.dedup_key) for task in hand.waiting]


# A hand of several tasks


def test_a_claim_takes_the_oldest_of_all_recipients(shop: Shop) -> None:
    shop.put("b1", "b2")
    shop.put("s1", to="sh")
    shop.put("b3")
    assert keys(shop.queue.claim(NOW, 3)) == ["b1", "b2", "s1"]
    assert shop.other.claim(NOW, 3).is_empty, "b3 waits for b1 and b2"


def test_what_leaves_is_marked_and_the_rest_is_not(shop: Shop) -> None:
    shop.put("a", "b", "c")
    hand = shop.advance(shop.queue.claim(NOW, 3))
    assert hand.sending is not None
    assert [task.sending_at for task in shop.board.list()] == [NOW, None, None]
    hand = shop.advance(hand, Sent(), NOW + SECOND)
    assert [(task.status, task.sending_at) for task in shop.board.list()] == [
        (COMPLETED, None),
        (RUNNING, NOW + SECOND),
        (RUNNING, None),
    ]
    assert shop.told == ["a"]


def test_a_retry_sends_the_recipients_rest_back_behind_it_and_nobody_elses(shop: Shop) -> None:
    shop.put("b1", "b2")
    shop.put("s1", to="sh")
    shop.put("b3")
    assert shop.send(shop.queue.claim(NOW, 9), [Retry("忙")]) == ["b1", "s1"]
    assert shop.states() == {"b1": PENDING, "b2": PENDING, "s1": COMPLETED, "b3": PENDING}
    assert shop.queue.claim(NOW, 9).is_empty
    later = NOW + timedelta(minutes=1)
    assert shop.send(shop.queue.claim(later, 9), [], later) == ["b1", "b2", "b3"]


@pytest.mark.parametrize("outcome", [Failed("坏"), Unknown("停")])
def test_one_that_failed_does_not_hold_up_the_rest(shop: Shop, outcome: Outcome) -> None:
    shop.put("b1", "b2")
    with shop.database.writing() as connection:
        connection.execute(sa.update(tasks).values(on_uncertain="hold"))
    assert shop.send(shop.queue.claim(NOW, 9), [outcome]) == ["b1", "b2"]


def test_a_stop_gives_everything_back_at_once(shop: Shop) -> None:
    shop.put("a", "b", "c")
    hand = shop.advance(shop.queue.claim(NOW, 3))
    assert shop.advance(hand, Sent(), stop=True).is_empty
    assert shop.states() == {"a": COMPLETED, "b": PENDING, "c": PENDING}
    assert keys(shop.other.claim(NOW, 9)) == ["b", "c"]


def test_a_long_hand_keeps_its_lease_while_it_is_sent(shop: Shop) -> None:
    shop.put("a", "b", "c", "d")
    now = NOW
    hand = shop.advance(shop.queue.claim(now, 4), None, now)
    for _ in range(3):
        now += LEASE * 0.9
        assert shop.other.rescue(now - SECOND, frozenset()) == []
        hand = shop.advance(hand, Sent(), now)
    assert hand.sending is not None
    assert set(shop.states().values()) == {COMPLETED, RUNNING}


def test_what_leaves_late_is_begun_unmarked_and_marked_when_it_leaves(shop: Shop) -> None:
    shop.put("a", "b")
    late = NOW + LEASE - SECOND
    hand = shop.advance(shop.queue.claim(NOW, 2, leaves_late=True), None, late)
    assert hand.sending is not None
    assert [(task.sending_at, task.attempts) for task in shop.board.list()] == [(None, 0), (None, 0)]
    assert shop.other.rescue(late + LEASE - SECOND, frozenset()) == [], "it begins with a whole lease"
    left = shop.queue.leave(hand.sending, late + SECOND)
    assert left is not None
    assert [(task.sending_at, task.attempts) for task in shop.board.list()] == [(late + SECOND, 1), (None, 0)]
    hand = shop.advance(replace(hand, sending=left), Sent(), late + 2 * SECOND)
    assert hand.sending is not None
    assert hand.sending.sending_at is None, "the next leaves late as well"
    assert (shop.task("a").status, shop.task("a").attempts) == (COMPLETED, 1)


def test_what_was_rescued_does_not_leave(shop: Shop) -> None:
    shop.put("a")
    hand = shop.advance(shop.queue.claim(NOW, 1, leaves_late=True))
    shop.other.rescue(NOW + LEASE, frozenset())
    assert hand.sending is not None
    assert shop.queue.leave(hand.sending, NOW + LEASE) is None
    assert (shop.task("a").status, shop.task("a").sending_at) == (PENDING, None)


def test_a_machine_that_cannot_send_gives_its_whole_hand_back_and_no_try_is_used_up(shop: Shop) -> None:
    shop.put("a", "b")
    shop.put("s", to="sh")
    hand = shop.advance(shop.queue.claim(NOW, 3, leaves_late=True))
    assert shop.advance(hand, NotNow("锁屏")).is_empty
    assert [(task.status, task.attempts, task.last_error) for task in shop.board.list()] == [
        (PENDING, 0, "锁屏"),
        (PENDING, 0, None),
        (PENDING, 0, None),
    ]
    assert keys(shop.other.claim(NOW, 9)) == ["a", "b", "s"], "another machine may try at once"


def test_a_refusal_before_the_message_leaves_is_a_try(shop: Shop) -> None:
    shop.put("a")
    now = NOW
    for attempts in (1, 2, 3, 4):
        hand = shop.advance(shop.queue.claim(now, 1, leaves_late=True), None, now)
        shop.advance(hand, Retry("草稿"), now)
        assert (shop.task("a").status, shop.task("a").attempts) == (PENDING, attempts)
        now += timedelta(hours=1)
    shop.advance(shop.advance(shop.queue.claim(now, 1, leaves_late=True), None, now), Retry("草稿"), now)
    assert (shop.task("a").status, shop.task("a").last_error) == (FAILED, "草稿（已试 5 次，不再重试）")


def test_what_was_rescued_from_a_hand_is_left_to_whoever_has_it(shop: Shop) -> None:
    shop.put("a", "b", "c")
    hand = shop.advance(shop.queue.claim(NOW, 3))
    shop.other.rescue(NOW + LEASE, frozenset())
    taken = shop.other.claim(NOW + LEASE + timedelta(minutes=1), 1)
    assert keys(taken) == ["a"]
    advanced = shop.queue.advance(hand, Sent(), NOW + LEASE)
    assert (advanced.transition, advanced.hand.is_empty) == (None, True)
    assert shop.states() == {"a": RUNNING, "b": PENDING, "c": PENDING}


def test_what_expires_in_a_hand_is_not_sent(shop: Shop) -> None:
    shop.put("a", "b")
    with shop.database.writing() as connection:
        connection.execute(sa.update(tasks).where(tasks.c.dedup_key == "b").values(expires_at=NOW + SECOND))
    hand = shop.advance(shop.queue.claim(NOW, 2))
    assert shop.advance(hand, Sent(), NOW + SECOND).is_empty
    assert shop.states() == {"a": COMPLETED, "b": CANCELLED}


def test_a_hand_whose_lease_is_over_is_given_back_unsent(shop: Shop) -> None:
    """The machine has slept: somebody else may have the rest already."""
    shop.put("a", "b")
    hand = shop.advance(shop.queue.claim(NOW, 2))
    assert shop.advance(hand, Sent(), NOW + LEASE).is_empty
    assert shop.states() == {"a": COMPLETED, "b": PENDING}


def test_a_rescue_does_not_take_what_was_renewed_meanwhile(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner marks the next message between the rescue's look and its move."""
    shop.put("a", "b")
    hand = shop.advance(shop.queue.claim(NOW, 2))
    late = NOW + LEASE
    real, looks = task_queue._lost, []

    def looks_and_is_overtaken(*arguments: Any) -> list[Task]:
        found = real(*arguments)
        if not looks:
            looks.append(shop.queue.advance(hand, Sent(), late - SECOND))
        return found

    monkeypatch.setattr(task_queue, "_lost", looks_and_is_overtaken)
    assert shop.other.rescue(late, frozenset()) == []
    assert shop.states() == {"a": COMPLETED, "b": RUNNING}


def test_what_a_server_said_is_kept_without_half_characters(shop: Shop) -> None:
    shop.put("a")
    shop.send(shop.queue.claim(NOW), [Failed("坏 \ud83d\0 了")])
    assert shop.task("a").last_error == "坏 ? 了"


def test_two_workers_share_recipients_not_one_recipients_messages(shop: Shop) -> None:
    for number in range(3):
        shop.put(f"b{number}")
        shop.put(f"s{number}", to="sh")
    first = shop.queue.claim(NOW, 1)
    second = shop.other.claim(NOW, 9)
    assert (keys(first), keys(second)) == (["b0"], ["s0", "s1", "s2"])


def test_the_clock_may_jump_back(shop: Shop) -> None:
    """A clock that was set back makes leases longer; nothing is taken twice, and nothing stays for ever."""
    shop.put("a", "b")
    hand = shop.advance(shop.queue.claim(NOW, 2))
    earlier = NOW - timedelta(hours=3)
    assert shop.other.claim(earlier, 9).is_empty
    assert shop.other.rescue(earlier, frozenset()) == []
    assert shop.advance(hand, Retry("忙"), earlier).is_empty
    later = earlier + timedelta(minutes=1)
    assert shop.send(shop.queue.claim(later, 9), [], later) == ["a", "b"]


def test_the_clock_may_jump_ahead(shop: Shop) -> None:
    """The lease is over by that clock: the worker that still sends loses its claim, and its word counts no more."""
    shop.put("a")
    hand = shop.advance(shop.queue.claim(NOW))
    ahead = NOW + timedelta(days=1)
    assert [transition.status for _, transition in shop.other.rescue(ahead, frozenset())] == [PENDING]
    assert shop.queue.advance(hand, Sent(), NOW).transition is None
    assert shop.task("a").status == PENDING


def test_of_two_parts_that_are_through_at_once_one_tells(postgres_database: Database) -> None:
    """A person says of the first that it has arrived, in the moment in which the second is sent."""
    shop = Shop(postgres_database)
    shop.put("long", parts=2)
    first, second = shop.board.list()
    shop.advance(shop.advance(shop.queue.claim(NOW, 1)), Failed("坏"))
    hand = shop.advance(shop.queue.claim(NOW, 1))
    finish = threading.Thread(target=shop.advance, args=(hand, Sent()))
    with shop.database.writing() as connection:
        connection.execute(sa.update(tasks).where(tasks.c.id == first.id).values(status=COMPLETED))
        tell_completed(connection, first, NOW, shop._tell)
        assert shop.told == []
        finish.start()
        wait_until(lambda: not finish.is_alive() or waits_for_a_turn(postgres_database))
    finish.join()
    assert shop.task(str(second.dedup_key)).status == COMPLETED
    assert shop.told == ["long"]


def test_on_postgresql_a_rescue_leaves_alone_what_is_being_finished(postgres_database: Database) -> None:
    """Without waiting for it: the other side may have frozen."""
    shop = Shop(postgres_database)
    shop.put("a")
    shop.advance(shop.queue.claim(NOW))
    with shop.database.writing() as connection:
        connection.execute(sa.update(tasks).values(last_error="…"))
        assert shop.other.rescue(NOW + LEASE, frozenset()) == []
    assert [task.id for task, _ in shop.other.rescue(NOW + LEASE, frozenset())] == [1]


def test_on_postgresql_nobody_holds_up_the_others_for_ever(postgres_database: Database) -> None:
    """Neither who froze in the middle of a transaction, nor who waits for a lock."""
    with postgres_database.writing() as connection:
        shown = [
            connection.execute(sa.text(f"SHOW {name}")).scalar()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout", "transaction_isolation")
        ]
    assert shown == ["2min", "30s", "read committed"]
    with postgres_database.reading() as connection:
        assert connection.execute(sa.text("SHOW transaction_isolation")).scalar() == "repeatable read"


def waits_for_a_turn(database: Database) -> bool:
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with database.reading() as connection:
        return bool(connection.execute(waiting).scalar())


def test_on_postgresql_the_servers_clock_counts(postgres_database: Database) -> None:
    """Two machines whose clocks differ by an hour agree on a lease."""
    shop = Shop(postgres_database)
    fast = TaskQueue(postgres_database, "fast", LEASE, lambda *_: None, server_clock=True)
    slow = TaskQueue(postgres_database, "slow", LEASE, lambda *_: None, server_clock=True)
    shop.put("a")
    hand = fast.claim(NOW + timedelta(hours=1))
    assert slow.rescue(NOW - timedelta(hours=1), frozenset()) == []
    assert slow.claim(NOW).is_empty
    assert fast.advance(hand, None, NOW + timedelta(hours=9)).hand.sending is not None
    assert slow.rescue(NOW + timedelta(days=9), frozenset()) == []


# Robots


def test_a_robot_at_its_limit_sends_back_its_own_messages_only(shop: Shop) -> None:
    shop.robots = {"bj": RobotLimit("robot", 2), "ops": RobotLimit("robot", 2), "sh": RobotLimit("another", 2)}
    shop.put("b1", "b2", "b3", "b4")
    shop.put("o1", to="ops")
    shop.put("s1", to="sh")
    assert shop.send(shop.queue.claim(NOW, 9), []) == ["b1", "b2", "s1"]
    assert [shop.task(key).run_at for key in ("b3", "b4", "o1")] == [NOW + 60 * SECOND, None, NOW + 60 * SECOND]
    assert shop.queue.claim(NOW + 59 * SECOND, 9).is_empty
    later = NOW + 60 * SECOND
    assert shop.send(shop.queue.claim(later, 9), [], later) == ["b3", "b4"]


def test_a_robot_that_asks_for_a_pause_gets_it_from_every_recipient(shop: Shop) -> None:
    """45009 is about the robot: its other recipients would be refused as well."""
    shop.robots = {"bj": RobotLimit("robot", 20), "ops": RobotLimit("robot", 20), "sh": RobotLimit("another", 20)}
    shop.put("b1")
    shop.put("o1", to="ops")
    shop.put("s1", to="sh")
    assert shop.send(shop.queue.claim(NOW, 9), [Retry("45009", after=timedelta(seconds=60))]) == ["b1", "s1"]
    assert shop.task("o1").run_at == NOW + 60 * SECOND
    assert shop.send(shop.other.claim(NOW + 59 * SECOND, 9), [], NOW + 59 * SECOND) == []
    later = NOW + 60 * SECOND
    assert shop.send(shop.queue.claim(later, 9), [], later) == ["b1", "o1"]


def test_a_shorter_pause_does_not_end_a_longer_one(shop: Shop) -> None:
    shop.robots = {"bj": RobotLimit("robot", 20), "ops": RobotLimit("robot", 20)}
    shop.put("b1")
    shop.put("o1", to="ops")
    one, two = shop.queue.claim(NOW), shop.other.claim(NOW)
    one, two = shop.advance(one), shop.advance(two)
    shop.advance(one, Retry("45009", after=timedelta(seconds=90)))
    shop.advance(two, Retry("忙", after=timedelta(seconds=30)))
    late = NOW + 31 * SECOND
    assert shop.send(shop.queue.claim(late, 9), [], late) == []
    assert shop.task("o1").run_at == NOW + 90 * SECOND


def test_a_clock_that_was_set_back_closes_a_robot_for_a_minute_at_most(shop: Shop) -> None:
    shop.robots = {"bj": RobotLimit("robot", 1)}
    shop.put("b1", "b2")
    assert shop.send(shop.queue.claim(NOW, 9), []) == ["b1"]
    earlier = NOW - timedelta(hours=3)
    with shop.database.writing() as connection:
        connection.execute(sa.update(tasks).values(run_at=None))
    assert shop.send(shop.queue.claim(earlier, 9), [], earlier) == []
    assert shop.task("b2").run_at == earlier + 60 * SECOND


def test_a_message_that_was_long_in_the_air_counts_from_its_answer(shop: Shop) -> None:
    """Its departure is forgotten by then."""
    shop.robots = {"bj": RobotLimit("robot", 1), "ops": RobotLimit("robot", 1)}
    shop.put("b1")
    hand = shop.advance(shop.queue.claim(NOW))
    answered = NOW + 70 * SECOND
    shop.put("o1", to="ops")
    assert shop.send(shop.other.claim(answered, 9), [], answered) == ["o1"]
    shop.advance(hand, Sent(), answered)
    with shop.database.reading() as connection:
        assert connection.execute(sa.select(robot_sends.c.sent_at)).scalars().all() == [answered, answered]


def test_a_robot_without_a_limit_is_counted_and_never_waits(shop: Shop) -> None:
    shop.robots = {"bj": RobotLimit("robot", 0)}
    shop.put(*(f"b{number}" for number in range(30)))
    assert len(shop.send(shop.queue.claim(NOW, 30), [])) == 30
    with shop.database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(robot_sends)).scalar() == 30


# Reach: whose messages a worker takes


REACH = Reach(frozenset({"bj"}), known=frozenset({"bj", "sh"}), unserved=frozenset({"send_wechat_message"}))


def test_a_worker_takes_what_its_senders_reach(shop: Shop) -> None:
    shop.put("b")
    shop.put("s", to="sh")
    shop.board.create("send_wecom_message", "张三", "手写", NOW, 8, 2048)
    shop.board.create("send_wechat_message", "李四", "手写", NOW, 8, 2048)
    shop.board.create("send_fax", "王五", "手写", NOW, 8, 2048)
    assert [task.recipient for task in shop.queue.claim(NOW, 9, REACH).waiting] == ["bj", "张三", "王五"]


def test_a_worker_for_one_recipient_takes_nothing_else(shop: Shop) -> None:
    shop.put("b")
    shop.put("s", to="sh")
    shop.board.create("send_wecom_message", "张三", "手写", NOW, 8, 2048)
    only = Reach(frozenset({"sh"}), known=None, unserved=frozenset())
    assert keys(shop.queue.claim(NOW, 9, only)) == ["s"]


def test_a_worker_that_reaches_nobody_takes_nothing(shop: Shop) -> None:
    shop.put("b")
    assert shop.queue.claim(NOW, 9, Reach(frozenset(), known=None, unserved=frozenset())).is_empty


@pytest.mark.parametrize(
    ("hours", "at", "quiet"),
    [
        ("", "03:00", False),
        ("22:00-08:00", "21:59:59.999999", False),
        ("22:00-08:00", "22:00", True),
        ("22:00-08:00", "00:00", True),
        ("22:00-08:00", "07:59:59.999999", True),
        ("22:00-08:00", "08:00", False),
        ("12:00-13:30", "11:59", False),
        ("12:00-13:30", "12:00", True),
        ("12:00-13:30", "13:29", True),
        ("12:00-13:30", "13:30", False),
    ],
)
def test_quiet_hours(hours: str, at: str, quiet: bool) -> None:
    recipient = RecipientSettings(name="北京运营群", sender="wecom_robot", quiet_hours=hours)
    assert recipient.is_quiet(time.fromisoformat(at)) is quiet


@pytest.mark.parametrize("hours", ["22:00", "22-8-6", "25:00-08:00", "08:00-08:00", "夜里"])
def test_quiet_hours_that_make_no_sense_are_refused(hours: str) -> None:
    with pytest.raises(ValueError, match="应像 22:00-08:00"):
        RecipientSettings(name="北京运营群", sender="wecom_robot", quiet_hours=hours)


def test_messages_wait_through_the_quiet_hours_and_hold_up_nobody(
    open_desk: Opening, surroundings: Surroundings
) -> None:
    quiet = {
        "bj_group": {"name": "北京群", "sender": "wecom_robot", "key": "key-bj_group", "quiet_hours": "11:30-12:30"}
    }
    with open_desk(SETTINGS_FILE=surroundings.settings_file(recipients=quiet)) as desk:
        for name in ("bj_group", "sh_group"):
            desk.app.board.create("send_wecom_message", name, f"给 {name}", desk.clock(), 8, 2048)
        assert desk.drain() == Drained(completed=1)
        assert [message.content for message in desk.robot.messages] == ["给 sh_group"]
        waiting = desk.app.board.get(1)
        assert (waiting.status, waiting.attempts, waiting.run_at) == (PENDING, 0, None)
        desk.clock.advance(minutes=30)
        assert desk.drain() == Drained(completed=1)


@pytest.mark.parametrize(("machine", "sent"), [("here", 1), ("elsewhere", 0)])
def test_a_sender_bound_to_a_machine_is_used_there_alone(
    open_desk: Opening, surroundings: Surroundings, machine: str, sent: int
) -> None:
    host = socket.gethostname().upper() if machine == "here" else "ANOTHER-PC"
    file = surroundings.settings_file(queue={"machines": {"wecom_robot": host}})
    with open_desk(SETTINGS_FILE=file) as desk:
        desk.app.board.create("send_wecom_message", "bj_group", "手写", desk.clock(), 8, 2048)
        assert desk.drain() == Drained(completed=sent)
        assert desk.app.board.get(1).status == (COMPLETED if sent else PENDING)


def test_the_senders_of_a_worker_are_named() -> None:
    assert chosen_senders("") == frozenset(SENDER_NAMES)
    assert chosen_senders(" console, wecom_robot ") == {"console", "wecom_robot"}
    with pytest.raises(JobRefusedError, match="没有发送方式 fax、pigeon；可用：wecom_robot"):
        chosen_senders("pigeon,console,fax")


def test_a_worker_with_other_senders_leaves_the_robots_messages_alone(desk: Desk) -> None:
    desk.app.board.create("send_wecom_message", "bj_group", "手写", desk.clock(), 8, 2048)
    assert check_tasks(desk.app, lanes=desk.app.sender.lanes(chosen_senders("console"))) == Drained()
    assert check_tasks(desk.app, lanes=desk.app.sender.lanes(chosen_senders("wecom_robot"))) == Drained(completed=1)


# Purge


@pytest.fixture
def aged(shop: Shop) -> Shop:
    """A whole message, one in two parts, an unkeyed task; one each that failed, is uncertain, cancelled, pending."""
    shop.put("whole")
    shop.put("long", to="sh", parts=2)
    shop.board.create("send_wecom_message", "ops", "手写", NOW, 8, 2048)
    for task in shop.board.list():
        shop.board.set_status(task.id, COMPLETED, NOW, "王", allowed_from=STATUSES)
    shop.put("failed", "uncertain", "cancelled", "pending")
    for status in (FAILED, UNCERTAIN, CANCELLED):
        shop.board.set_status(shop.task(status).id, status, NOW, "王", allowed_from=STATUSES)
    return shop


def test_a_purge_deletes_what_was_sent_whole_and_keeps_its_key(aged: Shop) -> None:
    parts = sum(task.group_key == "long" for task in aged.board.list())
    assert parts > 1
    found = aged.board.purgeable(NOW + SECOND)
    assert (found.tasks, found.messages) == (2 + parts, 3)
    heard: list[int] = []
    assert aged.board.purge(NOW + SECOND, NOW + DAY, "王", heard.append) == 2 + parts == sum(heard)
    assert set(aged.states()) == {"failed", "uncertain", "cancelled", "pending"}
    with aged.database.writing() as connection:
        assert known_keys(connection, ["whole", "long", "failed", "new"]) == {
            "whole": True,
            "long": True,
            "failed": False,
        }
        again = [Message(key, "send_wecom_message", "bj", "再来", 2048, "hold", 5) for key in ("whole", "long", "new")]
        assert enqueue(connection, again, NOW) == 1
        assert set(connection.scalars(sa.select(spent_keys.c.group_key))) == {"whole", "long"}
        [row] = connection.execute(sa.select(audit_log.c.who, audit_log.c.detail).where(audit_log.c.action == "purge"))
    assert row[0] == "王"
    assert f"{2 + parts} 条" in row[1]


def test_a_purge_leaves_what_is_not_old_enough(aged: Shop) -> None:
    assert aged.board.purgeable(NOW).tasks == 0
    assert aged.board.purge(NOW, NOW + DAY, "王") == 0


def test_a_message_that_lacks_a_part_is_not_purged(shop: Shop) -> None:
    shop.put("long", parts=3)
    first, *rest = shop.board.list()
    for task in rest:
        shop.board.set_status(task.id, COMPLETED, NOW, "王", allowed_from=STATUSES)
    assert shop.board.purgeable(NOW + DAY).tasks == 0
    shop.board.set_status(first.id, COMPLETED, NOW + 2 * DAY, "王", allowed_from=STATUSES)
    assert shop.board.purgeable(NOW + DAY).tasks == 0, "its last part went out later than that"
    assert shop.board.purgeable(NOW + 3 * DAY).tasks == len(rest) + 1


def test_many_are_purged_in_portions(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.task_board.PURGED_AT_ONCE", 7)
    shop.put(*(f"key-{number}" for number in range(20)))
    with shop.database.writing() as connection:
        connection.execute(sa.update(tasks).values(status=COMPLETED))
    heard: list[int] = []
    assert shop.board.purge(NOW + SECOND, NOW, "王", heard.append) == 20
    assert heard == [7, 7, 6]


def test_days_below_zero_are_refused() -> None:
    assert age_limit(NOW, 1) == NOW - DAY
    with pytest.raises(TaskError, match="不小于 0"):
        age_limit(NOW, -1)
