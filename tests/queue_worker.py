"""Workers in processes of their own, for tests that kill them: `python -m tests.queue_worker URL ROBOT_URL`.

Each line on stdin is a name: a worker of that name drains the queue with the real scheduler and the real robot sender.
The answers are lines on stdout: `pid N` when it has started, and its exit code when it has ended. Without a robot (`-`)
each sent task's id is a line between them. A worker is forked from this process, which has the imports done.
"""

import multiprocessing
import sys
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import task_scheduler
from modules import ledger
from modules.clock import shanghai_now
from modules.database import Database
from modules.message_sender import MessageSender
from modules.senders.outcome import Outcome, Sent
from modules.settings import Settings, WecomSettings
from modules.task_board import TaskBoard
from modules.task_queue import TaskQueue
from modules.task_states import PENDING
from tests.desk import RECIPIENTS

CHATS = tuple(f"chat-{number}" for number in range(50))
LEASE = timedelta(seconds=120)


class Listing:
    """A sender that does nothing but remember what it was given."""

    def __init__(self, real: MessageSender) -> None:
        self.lanes, self.reach, self.robot_limit = real.lanes, real.reach, real.robot_limit
        self.sent: list[int] = []

    def send(self, task_id: int, *_: str) -> Outcome:
        self.sent.append(task_id)
        return Sent()


def drain(url: str, robot_url: str, name: str) -> None:
    """Drain once; without a robot until nothing waits, as other workers may have in hand what this one could take."""
    recipients = {key: {"name": key, "sender": "wecom_robot", "key": f"key-{key}"} for key in RECIPIENTS}
    recipients |= {chat: {"name": chat, "sender": "wecom_robot"} for chat in CHATS}  # the desktop would be one for all
    wecom = WecomSettings(base_url=robot_url if robot_url != "-" else "http://localhost", messages_per_minute=0)
    settings = Settings.model_validate({"recipients": recipients}).model_copy(update={"wecom": wecom})
    database = Database(url)
    real = MessageSender(settings)
    listing = Listing(real)
    app: Any = SimpleNamespace(
        settings=settings,
        queue=TaskQueue(database, name, LEASE, ledger.mark_notified, server_clock=database.is_server),
        sender=listing if robot_url == "-" else real,
        clock=shanghai_now,
        campaigns=SimpleNamespace(valid={}),
        views=SimpleNamespace(refresh=lambda keys: []),
    )
    task_scheduler.check_tasks(app)
    board, pause = TaskBoard(database, ledger.mark_notified), threading.Event()
    while robot_url == "-" and board.oldest(PENDING) is not None:
        pause.wait(0.2)  # a look at a long queue in which all is in hands takes its time, too
        task_scheduler.check_tasks(app)
    for task_id in listing.sent:  # at the end: a full pipe must not keep a worker from its tasks
        print(task_id)
    sys.stdout.flush()


def main(url: str, robot_url: str) -> None:
    """Work through the lines."""
    print("ready", flush=True)
    for line in sys.stdin:
        worker = multiprocessing.get_context("fork").Process(target=drain, args=(url, robot_url, line.strip()))
        worker.start()
        print(f"pid {worker.pid}", flush=True)
        worker.join()
        print(worker.exitcode, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
