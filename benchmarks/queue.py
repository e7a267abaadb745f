"""The queue against huey's SqliteHuey on the same messages and durability; two workers on PostgreSQL; a large table.

huey forgets a message once it is taken: a crash then loses it. Ours marks it, sends it, and writes down what came.
"""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

import sqlalchemy as sa
from huey import SqliteHuey

from benchmarks.timing import seconds
from modules.clock import SHANGHAI, shanghai_now
from modules.database import Database
from modules.outbox import Message, enqueue
from modules.senders.outcome import Sent
from modules.task_queue import TaskQueue

MESSAGES = 5_000
PER_TRANSACTION = 1_000
BLOCKS = 10
RECIPIENTS = 50
OLD_ROWS = 1_000_000
AT_ONCE = 20
LEASE = timedelta(seconds=120)
TEXT = "恭喜 管家 签约合同 YHWX-{number:05d}，本单为活动期内第 {number} 单，个人累计第 6 单，累计签约 54,321 元。" * 2

Row = dict[str, object]

Pair = tuple[float, float]
"""The seconds that huey took for a block, and ours."""


def messages(start: int, stop: int) -> list[Message]:
    """Broadcasts to 50 recipients in turn."""
    return [
        Message(
            f"broadcast:BJ-2025-05:{number}",
            "send_wecom_message",
            f"group-{number % RECIPIENTS}",
            TEXT.format(number=number),
            2048,
            "retry",
            5,
        )
        for number in range(start, stop)
    ]


def measure_all() -> Iterator[tuple[str, list[Row]]]:
    """The tables, with their titles."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield (
            f"{BLOCKS} blocks of {PER_TRANSACTION:,} messages to {RECIPIENTS} recipients, synchronous=FULL",
            list(_against_huey(folder)),
        )
        yield "drain with completed rows in the table", list(_growth(folder))
    if shutil.which("pg_ctl"):
        yield "drain on PostgreSQL, null sender", list(_workers())


def _against_huey(folder: Path) -> Iterator[Row]:
    """Block by block, in turn: whatever else the machine does meanwhile meets both."""
    ours = _database(folder / "ours.db")
    huey, task = _huey(folder / "huey.db")
    singly: list[Pair] = []
    together: list[Pair] = []
    drained: list[Pair] = []
    for number in range(BLOCKS + 1):
        said = messages(2 * number * PER_TRANSACTION, 2 * (number + 1) * PER_TRANSACTION)
        first, second = said[:PER_TRANSACTION], said[PER_TRANSACTION:]
        one_by_one = partial(_put_parts, ours, [[one] for one in first])
        singly.append(_in_turn(number, partial(_put_huey, task, first), one_by_one))
        together.append(_in_turn(number, partial(_put_huey, task, second), partial(_put_parts, ours, [second])))
        drained.append(_in_turn(number, partial(_drain_huey, huey), partial(drain, ours)))
    ours.close()
    yield _row("enqueue one by one", PER_TRANSACTION, singly)
    yield _row(f"enqueue {PER_TRANSACTION:,} per transaction (huey: one by one)", PER_TRANSACTION, together)
    yield _row("drain, one consumer", 2 * PER_TRANSACTION, drained)


def _in_turn(number: int, theirs: Callable[[], object], own: Callable[[], object]) -> Pair:
    """Who begins changes from block to block."""
    if number % 2:
        return seconds(theirs), seconds(own)
    ours = seconds(own)
    return seconds(theirs), ours


def _growth(folder: Path) -> Iterator[Row]:
    figures = {}
    for completed in (0, OLD_ROWS):
        database = _database(folder / f"grown-{completed}.db")
        _fill(Path(database.place), completed)
        _put_parts(database, [messages(0, MESSAGES)])
        figures[completed] = MESSAGES / seconds(partial(drain, database))
        database.close()
    for completed, speed in figures.items():
        yield {
            "completed_rows": completed,
            "messages_per_second": round(speed),
            "share_of_empty": round(speed / figures[0], 2),
        }


def _workers() -> Iterator[Row]:
    with _server() as url:
        alone = 0.0
        for workers in (1, 2):
            database = Database(url)
            database.upgrade()
            with database.writing() as connection:
                connection.execute(sa.text("TRUNCATE tasks"))
            _put_parts(database, [messages(0, 2 * MESSAGES)])
            database.close()
            taken, sent = _drain_in_processes(url, workers)
            alone = alone or taken
            yield {
                "workers": workers,
                "messages_per_second": round(2 * MESSAGES / taken),
                "times_one": round(alone / taken, 2),
                "sent": len(sent),
                "twice": len(sent) - len(set(sent)),
            }


def drain(database: Database, on_sent: Callable[[int], object] = lambda task_id: None) -> None:
    """Send everything through a sender that does nothing, as `task_scheduler` would."""
    queue = TaskQueue(database, f"bench-{time.monotonic_ns()}", LEASE, lambda connection, key, now: None)
    while not (hand := queue.claim(shanghai_now(), AT_ONCE)).is_empty:
        hand = queue.advance(hand, None, shanghai_now()).hand
        while hand.sending is not None:
            on_sent(hand.sending.id)
            hand = queue.advance(hand, Sent(), shanghai_now()).hand


def _drain_in_processes(url: str, workers: int) -> tuple[float, list[int]]:
    """Seconds from the moment when all have started to the moment when all have ended, and the ids that were sent."""
    command = [sys.executable, "-m", "benchmarks.queue", url]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(workers)
    ]
    for one in running:
        assert one.stdout is not None
        one.stdout.readline()
    started = time.perf_counter()
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    spoken = [one.communicate()[0] for one in running]
    taken = time.perf_counter() - started
    return taken, [int(line) for text in spoken for line in text.split()]


def _work(url: str) -> None:
    """One worker process: says that it is ready, waits for the word, drains, tells the ids."""
    database = Database(url)
    with database.reading() as connection:
        connection.execute(sa.text("SELECT 1"))
    print("ready", flush=True)
    sys.stdin.readline()
    sent: list[int] = []
    drain(database, sent.append)
    print("\n".join(map(str, sent)))


def _row(what: str, messages_of_block: int, pairs: Sequence[Pair]) -> Row:
    """Medians over the blocks but the first, which warms both up."""
    theirs, own = zip(*pairs[1:], strict=True)
    return {
        "what": what,
        "huey_per_second": round(messages_of_block / median(theirs)),
        "ours_per_second": round(messages_of_block / median(own)),
        "share_of_huey": round(median(huey / ours for huey, ours in pairs[1:]), 2),
    }


def _database(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    return database


def _put_parts(database: Database, parts: Sequence[Sequence[Message]]) -> None:
    """Each part in a transaction of its own."""
    for part in parts:
        with database.writing() as connection:
            enqueue(connection, part, shanghai_now())


def _huey(path: Path) -> tuple[SqliteHuey, Callable[[str, str], object]]:
    huey = SqliteHuey("bench", filename=str(path), fsync=True, results=False, store_none=False, utc=True)

    def send(recipient: str, text: str) -> None:
        """A sender that does nothing."""

    return huey, huey.task()(send)


def _put_huey(task: Callable[[str, str], object], said: Sequence[Message]) -> None:
    for one in said:
        task(one.recipient, one.text)


def _drain_huey(huey: SqliteHuey) -> None:
    while (task := huey.dequeue()) is not None:
        huey.execute(task)


def _fill(path: Path, rows: int) -> None:
    """Completed tasks of earlier months."""
    old = datetime(2024, 5, 1, tzinfo=SHANGHAI).isoformat(timespec="microseconds")
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany(
            "INSERT INTO tasks (task_type, recipient, message, status, created_at, updated_at, dedup_key, group_key)"
            " VALUES ('send_wecom_message', ?, ?, 'completed', ?, ?, ?, ?)",
            ((f"group-{n % RECIPIENTS}", TEXT.format(number=n), old, old, f"old:{n}", f"old:{n}") for n in range(rows)),
        )
    connection.close()


@contextmanager
def _server() -> Iterator[str]:
    from tests.postgres import running_server

    with running_server() as server:
        yield server.create("bench", "template_tasks")


if __name__ == "__main__":
    _work(sys.argv[1])
