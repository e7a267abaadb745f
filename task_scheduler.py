"""The background worker that drains the queue: claim, mark, send, finish, one message at a time."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from tenacity import RetryCallState, retry, retry_if_exception_type, wait_exponential

from modules.application import Application
from modules.senders.outcome import Outcome, Unknown
from modules.task_queue import ClaimLostError
from modules.task_states import COMPLETED, FAILED, PENDING, UNCERTAIN, Task

log = logging.getLogger(__name__)

T = TypeVar("T")
Progress = Callable[[str], None]
"""Told the status of each task that was executed."""


@dataclass(frozen=True)
class Drained:
    """What one look into the queue did: how many messages went which way."""

    completed: int = 0
    failed: int = 0
    uncertain: int = 0
    retried: int = 0


def check_tasks(
    app: Application, should_stop: Callable[[], bool] = lambda: False, progress: Progress = lambda status: None
) -> Drained:
    """Send everything that is due now, and bring the files that show it up to date."""
    counted: Counter[str] = Counter()
    rescued = app.queue.rescue(app.clock(), frozenset())
    for orphan, transition in rescued:
        log.warning("任务 %s 的发送进程已失联，改为 %s", orphan.id, transition.status)
    while not should_stop():
        task = app.queue.claim(app.clock())
        if task is None:
            break
        status = execute_task(app, task)
        if status is not None:
            counted[status] += 1
            progress(status)
    if counted or rescued:
        app.views.refresh(app.campaigns.valid)
    return Drained(counted[COMPLETED], counted[FAILED], counted[UNCERTAIN], counted[PENDING])


def execute_task(app: Application, task: Task) -> str | None:
    """Send one claimed task; returns its new status, None where it was not sent: the robot's limit is reached,
    or the claim is no longer ours."""
    try:
        bucket, limit = app.sender.rate_bucket(task.recipient), app.settings.wecom.messages_per_minute
        marked = app.queue.mark_sending(task, app.clock(), bucket, limit)
        if marked is None:
            return None
        outcome = _send(app, marked)
        return _until_it_succeeds(lambda: app.queue.finish(marked, outcome, app.clock()).status)
    except ClaimLostError as error:
        log.warning("%s", error)
        return None


def _send(app: Application, task: Task) -> Outcome:
    try:
        return app.sender.send(task.id, task.recipient, task.task_type, task.message)
    except Exception as error:  # a task is the isolation boundary
        log.exception("任务 %s 发送时出错", task.id)
        return Unknown(f"发送程序出错：{type(error).__name__}")


def _warn(state: RetryCallState) -> None:
    log.warning("数据库正忙，发送结果稍后再写（第 %s 次）", state.attempt_number)


def _until_it_succeeds(act: Callable[[], T]) -> T:
    """A message that has left must get its result written, however long another program holds the database."""
    return retry(
        retry=retry_if_exception_type(sa.exc.OperationalError),
        wait=wait_exponential(multiplier=0.1, max=10),
        before_sleep=_warn,
        reraise=True,
    )(act)()


class Worker:
    """The worker thread beside the main loop."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="task-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Let it finish the message in hand, and wait for that."""
        self._stop.set()
        self._thread.join(timeout)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _loop(self) -> None:
        interval = self._app.settings.schedule.task_check_seconds
        while not self._stop.is_set():
            try:
                check_tasks(self._app, self._stop.is_set)
            except Exception:  # the worker outlives whatever one look meets; the next look tries again
                log.exception("检查任务队列时出错，%s 秒后再试", interval)
            self._stop.wait(interval)


def start(app: Application) -> Worker:
    """Start the background worker; `stop()` it before the application closes."""
    worker = Worker(app)
    worker.start()
    return worker
