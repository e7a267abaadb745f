"""The background worker that drains the queue: claim a few tasks, send them one after another, write down what came.

Each commit finishes one message and marks the next as leaving (`TaskQueue.advance`), so that at any moment at most one
message of a worker is in the air. A sender that is long busy before a message leaves marks it itself (`Departure`).
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import sqlalchemy as sa
from tenacity import RetryCallState, retry, retry_if_exception_type, wait_exponential

from modules.application import Application
from modules.database import in_words
from modules.lanes import Lane
from modules.senders.outcome import LeavingRefusedError, Outcome, Retry, Unknown
from modules.task_queue import Advanced, Hand
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
    app: Application,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda status: None,
    lanes: Sequence[Lane] | None = None,
) -> Drained:
    """Send everything that is due now, and bring the files that show it up to date.

    `lanes`: the senders to use, all of this machine's where it is None.
    """
    if not app.queue.has_open():  # as mostly: no need to take a lock
        return Drained()
    counted: Counter[str] = Counter()

    def note(status: str) -> None:
        counted[status] += 1
        progress(status)

    chosen = app.sender.lanes() if lanes is None else lanes
    moved = _rescue(app)
    while not should_stop() and sum(_send_some(app, lane, should_stop, note) for lane in chosen):
        moved += _rescue(app)
    if counted or moved:
        app.views.refresh(app.campaigns.valid)
    return Drained(counted[COMPLETED], counted[FAILED], counted[UNCERTAIN], counted[PENDING])


def _rescue(app: Application) -> int:
    rescued = app.queue.rescue(app.clock(), frozenset())
    for orphan, transition in rescued:
        log.warning("任务 %s 的发送进程已失联，改为 %s", orphan.id, transition.status)
    return len(rescued)


def _send_some(app: Application, lane: Lane, should_stop: Callable[[], bool], note: Progress) -> bool:
    """Claim a few tasks of a lane and send them; whether there were any that were due."""
    with lane.taken() as is_ours:
        if not is_ours:
            return False
        now = app.clock()
        hand = app.queue.claim(now, lane.at_once, app.sender.reach(lane, now), leaves_late=lane.leaves_late)
        if hand.is_empty:
            return False
        send_hand(app, hand, should_stop, note)
        return True


def send_hand(
    app: Application,
    hand: Hand,
    should_stop: Callable[[], bool] = lambda: False,
    note: Progress = lambda status: None,
) -> None:
    """Send claimed tasks one after another; when asked to stop, the rest goes back."""
    hand = _advance(app, hand, None, stop=False).hand
    while (task := hand.sending) is not None:
        departure = Departure(app, task)
        outcome = execute_task(app, departure)
        advanced = _advance(app, replace(hand, sending=departure.task), outcome, stop=should_stop())
        if advanced.transition is None:
            log.warning("任务 %s 的认领已失效，发送结果由接手者判断", task.id)
        else:
            note(advanced.transition.status)
        hand = advanced.hand


def _advance(app: Application, hand: Hand, outcome: Outcome | None, *, stop: bool) -> Advanced:
    """A message that has left must get its result written, however long another program holds the database."""

    def act() -> Advanced:
        return app.queue.advance(hand, outcome, app.clock(), app.sender.robot_limit, stop=stop)

    return act() if outcome is None else _until_it_succeeds(act)


@dataclass
class Departure:
    """The leaving of one task's message; afterwards `task` tells whether it has left."""

    app: Application
    task: Task

    def leave(self) -> None:
        """Mark it as leaving, where it is not yet. Raises LeavingRefusedError."""
        if self.task.sending_at is not None:
            return
        try:
            marked = self.app.queue.leave(self.task, self.app.clock())
        except sa.exc.DBAPIError as error:
            raise LeavingRefusedError(f"发送前写不进数据库（{in_words(error)}）") from error
        if marked is None:
            raise LeavingRefusedError("这条任务已由别的进程接手")
        self.task = marked


def execute_task(app: Application, departure: Departure) -> Outcome:
    """Send the message of a task. Never raises: a task is the isolation boundary."""
    task = departure.task
    try:
        return app.sender.send(task.id, task.recipient, task.task_type, task.message, departure.leave)
    except Exception as error:
        log.exception("任务 %s 发送时出错", task.id)
        reason = f"发送程序出错：{type(error).__name__}"
        return Retry(reason) if departure.task.sending_at is None else Unknown(reason)


def _warn(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    words = in_words(error) if isinstance(error, sa.exc.DBAPIError) else error
    log.warning("数据库正忙，发送结果稍后再写（第 %s 次）：%s", state.attempt_number, words)


def _until_it_succeeds(act: Callable[[], T]) -> T:
    return retry(
        retry=retry_if_exception_type(sa.exc.DBAPIError),
        wait=wait_exponential(multiplier=0.1, max=10),
        before_sleep=_warn,
        reraise=True,
    )(act)()


class Worker:
    """The worker thread beside the main loop. `lanes`: the senders to use, all of this machine's where it is None."""

    def __init__(self, app: Application, lanes: Sequence[Lane] | None = None) -> None:
        self._app = app
        self._lanes = lanes
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
                check_tasks(self._app, self._stop.is_set, lanes=self._lanes)
            except Exception:  # the worker outlives whatever one look meets; the next look tries again
                log.exception("检查任务队列时出错，%s 秒后再试", interval)
            self._stop.wait(interval)


def start(app: Application, lanes: Sequence[Lane] | None = None) -> Worker:
    """Start the background worker; `stop()` it before the application closes."""
    worker = Worker(app, lanes)
    worker.start()
    return worker
