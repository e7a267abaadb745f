"""Workers in processes of their own, for tests that kill them: `python -m tests.queue_worker URL ROBOT_URL`.

Each line on stdin is a name: a worker of that name drains the queue with the real scheduler and the real robot sender.
The answers are lines on stdout: `pid N` when it has started, and its exit code when it has ended. Without a robot (`-`)
each sent task's id is a line between them. A worker is forked from this process, which has the imports done.
"""

import multiprocessing
import sys
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
from modules.task_queue import TaskQueue
from tests.conftest import RECIPIENTS

LEASE = timedelta(seconds=120)


class Listing:
    """A sender that does nothing but name what it was given."""

    def __init__(self, real: MessageSender) -> None:
        self.lanes, self.reach, self.robot_limit = real.lanes, real.reach, real.robot_limit

    def send(self, task_id: int, *_: str) -> Outcome:
        print(task_id)
        return Sent()


def drain(url: str, robot_url: str, name: str) -> None:
    """Drain once."""
    recipients = {key: {"name": key, "sender": "wecom_robot", "key": f"key-{key}"} for key in RECIPIENTS}
    wecom = WecomSettings(base_url=robot_url if robot_url != "-" else "http://localhost", messages_per_minute=0)
    settings = Settings.model_validate({"recipients": recipients}).model_copy(update={"wecom": wecom})
    database = Database(url)
    real = MessageSender(settings)
    app: Any = SimpleNamespace(
        settings=settings,
        queue=TaskQueue(database, name, LEASE, ledger.mark_notified, server_clock=database.is_server),
        sender=Listing(real) if robot_url == "-" else real,
        clock=shanghai_now,
        campaigns=SimpleNamespace(valid={}),
        views=SimpleNamespace(refresh=lambda keys: []),
    )
    task_scheduler.check_tasks(app)
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
