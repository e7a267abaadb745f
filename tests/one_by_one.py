"""The queue one task and one step at a time, with what people see of it: tests of single steps read better so."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from modules.database import Database
from modules.robot_limits import RobotLimit
from modules.senders.outcome import Outcome
from modules.task_board import TaskBoard
from modules.task_queue import Hand, OnCompleted, TaskQueue
from modules.task_states import Task, Transition


class ClaimLostError(Exception):
    """The claim is no longer this worker's."""


class OneByOne:
    """A worker's queue, and the board beside it."""

    def __init__(
        self,
        database: Database,
        worker: str,
        lease: timedelta,
        on_completed: OnCompleted,
        *,
        server_clock: bool = False,
    ) -> None:
        self.queue = TaskQueue(database, worker, lease, on_completed, server_clock=server_clock)
        self.board = TaskBoard(database, on_completed)
        self.create, self.list, self.get = self.board.create, self.board.list, self.board.get
        self.oldest, self.counts, self.set_status = self.board.oldest, self.board.counts, self.board.set_status
        self.robots: dict[int, RobotLimit] = {}

    def claim(self, now: datetime) -> Task | None:
        """The next task, claimed alone."""
        return next(iter(self.queue.claim(now).waiting), None)

    def mark_sending(self, task: Task, now: datetime, bucket: str | None, per_minute: int) -> Task | None:
        """Mark a claimed task; None: its robot can't be used now."""
        if bucket is not None:
            self.robots[task.id] = RobotLimit(bucket, per_minute)
        before = self.get(task.id)
        advanced = self.queue.advance(Hand(waiting=(task,)), None, now, lambda _: self.robots.get(task.id))
        if self.get(task.id) == before:
            raise ClaimLostError
        return advanced.hand.sending

    def finish(self, task: Task, outcome: Outcome, now: datetime) -> Transition:
        """Write down what came of a marked task."""
        advanced = self.queue.advance(Hand(sending=task), outcome, now, lambda _: self.robots.get(task.id))
        if advanced.transition is None:
            raise ClaimLostError
        return advanced.transition

    def refuse(self, task: Task, outcome: Outcome, now: datetime) -> Transition:
        """Write down why the message of a task that was claimed to leave late did not leave."""
        advanced = self.queue.advance(Hand(sending=task, leaves_late=True), outcome, now)
        if advanced.transition is None:
            raise ClaimLostError
        return advanced.transition

    def rescue(self, now: datetime, dead_workers: Collection[str]) -> list[tuple[Task, Transition]]:
        return self.queue.rescue(now, dead_workers)
