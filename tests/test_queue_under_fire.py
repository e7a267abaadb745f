"""Many workers, killed workers, a database server that goes away: real processes, on both databases."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from modules import ledger
from modules.clock import shanghai_now
from modules.database import Database
from modules.outbox import Message, enqueue
from modules.robot_limits import RobotLimit
from modules.sandbox.http_stand_in import Answer, Request
from modules.sandbox.robot import RobotStandIn
from modules.senders.outcome import Sent
from modules.settings import ROOT
from modules.tables import tasks
from modules.task_board import TaskBoard
from modules.task_queue import TaskQueue
from modules.task_states import COMPLETED, FAILED, PENDING, RUNNING, UNCERTAIN
from tests.desk import RECIPIENTS
from tests.postgres import Server, running_server
from tests.program import await_that
from tests.queue_worker import CHATS, LEASE

pytestmark = pytest.mark.slow

WORKERS = 4
PATIENCE = 120
KILLS = 200


class Workers:
    """A process that has workers work, one after another."""

    def __init__(self, url: str, robot_url: str) -> None:
        command = [sys.executable, "-m", "tests.queue_worker", url, robot_url]
        environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read() == "ready"

    def begin(self, name: str) -> int:
        """A worker drains the queue; returns its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        word, pid = self._read().split()
        assert word == "pid"
        return int(pid)

    def ended(self) -> tuple[int, list[int]]:
        """The worker's exit code and the ids that it has listed, once it has ended."""
        lines = []
        while True:
            lines.append(int(self._read()))
            if lines[-1] <= 0:
                return lines[-1], lines[:-1]

    def close(self) -> None:
        self._process.communicate(timeout=PATIENCE)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def hire() -> Iterator[Callable[[str, str], Workers]]:
    """Makes `Workers`, and ends them after the test."""
    hired: list[Workers] = []

    def one(url: str, robot_url: str) -> Workers:
        hired.append(Workers(url, robot_url))
        return hired[-1]

    yield one
    for workers in hired:
        workers.close()


Hire = Callable[[str, str], Workers]


def address(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def put(database: Database, count: int, names: Sequence[str] = RECIPIENTS) -> None:
    """Messages in turn to these recipients; every other one is to be held."""
    said = [
        Message(
            f"key-{number}",
            "send_wecom_message",
            names[number % len(names)],
            f"喜报 {number:05d} 🎉",
            2048,
            "retry" if number % 2 else "hold",
            50,
        )
        for number in range(count)
    ]
    with database.writing() as connection:
        assert enqueue(connection, said, shanghai_now()) == count
    with database.writing() as connection:
        connection.execute(sa.text("ANALYZE"))  # a server in service does so by itself


def test_four_processes_drain_20_000_tasks_none_twice_and_none_lost(any_database: Database, hire: Hire) -> None:
    count = 20_000
    put(any_database, count, CHATS)
    crew = [hire(address(any_database), "-") for _ in range(WORKERS)]
    for number, workers in enumerate(crew):
        workers.begin(f"worker-{number}")
    ended = [workers.ended() for workers in crew]
    assert [code for code, _ in ended] == [0] * WORKERS
    everything = [task_id for _, ids in ended for task_id in ids]
    assert len(everything) == count
    assert len(set(everything)) == count
    assert TaskBoard(any_database, ledger.mark_notified).counts()[COMPLETED] == count
    assert sum(len(ids) > 0 for _, ids in ended) > 1, "the work was shared"


class SlowRobot(RobotStandIn):
    """Messages and answers are a few milliseconds on their way, so that many a kill finds one there."""

    def answer(self, request: Request) -> Answer | None:
        self.hold(0.004)
        answer = super().answer(request)
        self.hold(0.004)
        return answer


@pytest.fixture
def robot() -> Iterator[RobotStandIn]:
    with SlowRobot([f"key-{name}" for name in RECIPIENTS], rate_limit=False) as opened:
        yield opened


def test_killed_200_times_every_message_is_delivered_or_visible(
    any_database: Database, robot: RobotStandIn, hire: Hire
) -> None:
    """Four workers at a time, each killed at a random moment; the next ones find what they left."""
    rng = random.Random(20250520)
    count = 2_000
    put(any_database, count)
    queue = TaskQueue(any_database, "undertaker", LEASE, ledger.mark_notified, server_clock=any_database.is_server)
    board = TaskBoard(any_database, ledger.mark_notified)
    crew = [hire(address(any_database), robot.url) for _ in range(WORKERS)]
    killed, pause = 0, threading.Event()
    while killed < KILLS:
        names = [f"worker-{killed}-{number}-{rng.random()}" for number in range(len(crew))]
        pids = [workers.begin(name) for name, workers in zip(names, crew, strict=True)]
        enough = len(robot.messages) + rng.choice([0, 1, 2, 5, 9])
        for pid in pids:
            await_that(partial(there_are, robot, enough, pid))
            pause.wait(rng.uniform(0, 0.02))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed += sum(workers.ended()[0] == -signal.SIGKILL for workers in crew)
        queue.rescue(shanghai_now(), names)
        let_back_off_pass(any_database)
    crew[0].begin("last")
    assert crew[0].ended()[0] == 0

    sent = Counter(message.content for message in robot.messages)
    found = board.list()
    assert len(found) == count
    assert {task.status for task in found} <= {COMPLETED, UNCERTAIN, FAILED}
    repeated = 0
    for task in found:
        times = sent[task.message]
        if task.status == COMPLETED:
            assert times >= 1, f"{task.id} is said to be delivered"
        if task.on_uncertain == "hold":
            assert times <= 1, f"{task.id} must not be repeated"
        repeated += max(times - 1, 0)
    assert repeated <= killed
    assert set(sent) <= {task.message for task in found}
    assert sum(task.status == UNCERTAIN for task in found) > 0, "some kill met a message on its way"


def there_are(robot: RobotStandIn, messages: int, pid: int) -> bool:
    """Whether the robot has so many, or the worker has ended."""
    return len(robot.messages) >= messages or not Path(f"/proc/{pid}").exists()


def let_back_off_pass(database: Database) -> None:
    """Make every waiting retry due, as nobody wants to wait for its time here."""
    with database.writing() as connection:
        connection.execute(sa.update(tasks).where(tasks.c.status == PENDING).values(run_at=None))


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    with running_server() as server:
        yield server


def test_postgresql_stopped_in_the_middle_and_started_again(
    own_server: Server, robot: RobotStandIn, hire: Hire
) -> None:
    """The worker holds on to the result of the message in hand until the server is back, and goes on."""
    database = Database(own_server.url("template_tasks"))
    put(database, 300)
    workers = hire(address(database), robot.url)
    workers.begin("worker")
    await_that(lambda: len(robot.messages) > 40)
    own_server.stop("immediate")
    stopped_at = len(robot.messages)
    own_server.start()
    assert workers.ended()[0] == 0
    found = TaskBoard(database, ledger.mark_notified).list()
    sent = Counter(message.content for message in robot.messages)
    assert len(robot.messages) > stopped_at
    assert {task.status for task in found} == {COMPLETED}
    assert {task.message for task in found} == set(sent)
    assert set(sent.values()) == {1}, "nothing was said twice"
    database.close()


def test_the_limit_of_a_robot_holds_across_workers(any_database: Database) -> None:
    """Measured where it counts: two workers take turns on one robot for two minutes of their clock."""
    shared = {name: TaskQueue(any_database, name, LEASE, ledger.mark_notified) for name in ("A", "B")}
    robot = RobotLimit("robot", 20)
    put(any_database, 90, CHATS[:45])
    started, now = shanghai_now(), shanghai_now()
    departures = []
    while now < started + timedelta(minutes=2):
        for queue in shared.values():
            hand = queue.claim(now, 5)
            hand = queue.advance(hand, None, now, lambda _: robot).hand
            while hand.sending is not None:
                departures.append(now)
                hand = queue.advance(hand, Sent(), now, lambda _: robot).hand
        now += timedelta(seconds=1)
    assert len(departures) == 40
    for moment in departures:
        in_a_minute = [one for one in departures if moment <= one < moment + timedelta(seconds=60)]
        assert len(in_a_minute) <= 20
    with any_database.reading() as connection:
        assert connection.execute(sa.select(tasks.c.id).where(tasks.c.status == RUNNING)).all() == []
