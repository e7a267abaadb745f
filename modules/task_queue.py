"""The queue as a worker sees it: claim, mark sending, finish, rescue. The only way out of the house.

Claims are leased and fenced: `locked_by` names worker and claim, and only the holder of the current claim can
mark or finish its tasks. `sending_at` is committed before a message leaves, so that a crash before it can be
repeated safely and a crash after it is known to be unknown. Tasks are claimed several at a time and sent one after
another; finishing one and marking the next is one commit (`advance`).

One recipient's messages go out in order, by one worker at a time: a claim takes nothing of a recipient of whom a task
is in somebody's hands, and nothing behind a task that waits. On SQLite every writing transaction is the only one; on
PostgreSQL claims take turns by an advisory lock, the rest of the work goes on side by side.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import robot_limits
from modules import task_statements as statements
from modules.database import Database, wait_for_turn
from modules.prepared import execute_prepared
from modules.robot_limits import RobotLimit
from modules.senders.outcome import NotNow, Outcome, Retry
from modules.task_states import (
    CANCELLED,
    COMPLETED,
    PENDING,
    Task,
    Transition,
    after_lost_worker,
    after_sending,
    tries_after,
)

CLAIMS_LOCK = 0x7A51
"""Names the advisory lock under which claims take turns on PostgreSQL."""

PARTS_LOCK = 0x7A53
"""The same for looking whether all parts of a message are through: of two that finish at once, one must see both."""

RECIPIENTS_AT_ONCE = 5
"""Whose tasks one claim takes at most: a long queue is shared by workers, each with some recipients."""

OnCompleted = Callable[[Connection, str, datetime], None]
"""Told inside the transaction that finishes the last part of a message: its key and the moment."""

LimitOf = Callable[[str], RobotLimit | None]
"""The robot that a recipient's messages go through, with its limit; None where there is none."""


@dataclass(frozen=True)
class Reach:
    """Whose messages a claim may take: those of the recipients `served`, and, unless `known` is None, those of names
    that are not `known` to the settings, but for the task types `unserved`."""

    served: frozenset[str]
    known: frozenset[str] | None
    unserved: frozenset[str]

    def parameters(self) -> dict[str, list[str]]:
        """The same for the statement that claims."""
        parameters = {"served": sorted(self.served)}
        if self.known is not None:
            parameters |= {"known": sorted(self.known), "unserved": sorted(self.unserved)}
        return parameters


@dataclass(frozen=True)
class Hand:
    """What a worker holds of one claim: the task whose message is being sent, and those still to send, in order.

    The message being sent is marked as leaving, unless the hand `leaves_late`: then `TaskQueue.leave` marks it.
    """

    sending: Task | None = None
    waiting: tuple[Task, ...] = ()
    leaves_late: bool = False

    @property
    def is_empty(self) -> bool:
        return self.sending is None and not self.waiting


@dataclass(frozen=True)
class Advanced:
    """What one commit did: what became of the task that was being sent (None: there was none, or the claim had been
    lost), and what the worker holds now."""

    transition: Transition | None
    hand: Hand


class TaskQueue:
    """The queue as one worker sees it. `worker` names the worker; `lease` is how long a claim stands unrenewed.

    With `server_clock` the database's clock counts instead of the moments given: where workers on several machines
    share a database, their clocks need not agree.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        lease: timedelta,
        on_completed: OnCompleted,
        *,
        server_clock: bool = False,
    ) -> None:
        self._database = database
        self._worker = worker
        self._lease = lease
        self._on_completed = on_completed
        self._server_clock = server_clock

    def has_open(self) -> bool:
        """Whether any message waits, be it for later, or is in somebody's hands. Takes no lock."""
        with self._database.reading() as connection:
            return bool(list(execute_prepared(connection, statements.OPEN_TASK, {})))

    def claim(self, now: datetime, at_most: int = 1, reach: Reach | None = None, *, leaves_late: bool = False) -> Hand:
        """Take the oldest tasks that are due, at most so many, within `reach` where it is given.

        The hand is empty where there are none.
        """
        with self._database.writing() as connection:
            now = self._moment(connection, now)
            wait_for_turn(connection, CLAIMS_LOCK)
            execute_prepared(connection, statements.EXPIRE, {"now": now})
            claim = {
                "claim": f"{self._worker}/{uuid.uuid4().hex[:12]}",
                "until": now + self._lease,
                "at_most": at_most,
                "recipients": RECIPIENTS_AT_ONCE,
                "now": now,
            }
            taken = [Task(*row) for row in _take(connection, claim, reach)]
        return Hand(waiting=tuple(sorted(taken, key=lambda task: task.id)), leaves_late=leaves_late)

    def advance(
        self,
        hand: Hand,
        outcome: Outcome | None,
        now: datetime,
        limit_of: LimitOf = lambda recipient: None,
        *,
        stop: bool = False,
    ) -> Advanced:
        """One commit: write down what came of the message that was sent, and begin with the next that can leave.

        What can't leave now goes back: a robot's limit is reached, a task before it waits, this machine can't send
        now, or the worker is to `stop`. Tasks whose claim was lost are left to whoever has them.
        """
        with self._database.writing() as connection:
            now = self._moment(connection, now)
            waiting = hand.waiting
            transition = None
            if hand.sending is not None and outcome is not None:
                transition = self._finish(connection, hand.sending, outcome, limit_of(hand.sending.recipient), now)
                if transition is not None and transition.status == PENDING:
                    waiting = self._give_back_of(connection, waiting, hand.sending.recipient, now)
            if stop or isinstance(outcome, NotNow):
                self._give_back(connection, waiting, now)
                return Advanced(transition, Hand())
            following = replace(hand, sending=None, waiting=waiting)
            return Advanced(transition, self._begin_next(connection, following, limit_of, now))

    def leave(self, task: Task, now: datetime) -> Task | None:
        """Commit that the message of a task in a hand that `leaves_late` leaves now; None where the claim was lost."""
        with self._database.writing() as connection:
            return self._mark(connection, task, self._moment(connection, now))

    def rescue(self, now: datetime, dead_workers: Collection[str]) -> list[tuple[Task, Transition]]:
        """Tasks whose lease ran out, or whose worker is known to be dead, follow the rule of the state picture."""
        with self._database.reading() as connection:  # needs no lock, so that looking at a busy database works
            if not _lost(connection, statements.RUNNING_TASKS, self._moment(connection, now), dead_workers):
                return []
        with self._database.writing() as connection:
            now = self._moment(connection, now)
            lost = _lost(connection, statements.LOCKED_RUNNING_TASKS, now, dead_workers)
            moves = [(task, after_lost_worker(task, now)) for task in lost]
            return [(task, transition) for task, transition in moves if self._move(connection, task, transition, now)]

    def _moment(self, connection: Connection, given: datetime) -> datetime:
        return moment_of(connection, given, server_clock=self._server_clock)

    def _finish(
        self, connection: Connection, task: Task, outcome: Outcome, robot: RobotLimit | None, now: datetime
    ) -> Transition | None:
        task = task._replace(attempts=tries_after(task, outcome))
        transition = after_sending(task, outcome, now)
        if robot is not None:
            robot_limits.note_answer(connection, robot, task.id, now)
            if isinstance(outcome, Retry) and outcome.after is not None:
                robot_limits.pause(connection, robot, now + outcome.after)
        return transition if self._move(connection, task, transition, now) else None

    def _begin_next(self, connection: Connection, hand: Hand, limit_of: LimitOf, now: datetime) -> Hand:
        waiting = hand.waiting
        while waiting:
            task, waiting = waiting[0], waiting[1:]
            if task.expires_at is not None and task.expires_at <= now:
                self._move(connection, task, Transition(CANCELLED, last_error=statements.EXPIRED), now)
                continue
            if task.locked_until is not None and task.locked_until <= now:  # this machine has slept
                self._give_back(connection, [task], now)
                continue
            robot = limit_of(task.recipient)
            free_at = robot_limits.free_at(connection, robot, now) if robot else None
            if free_at is not None:
                self._move(connection, task, Transition(PENDING, free_at, task.last_error), now)
                waiting = self._give_back_of(connection, waiting, task.recipient, now)
                continue
            begun = (self._keep if hand.leaves_late else self._mark)(connection, task, now)
            if begun is None:
                continue
            if robot is not None:
                robot_limits.note_departure(connection, robot, task.id, now)
            return replace(hand, sending=begun, waiting=self._renewed(connection, waiting, now))
        return Hand()

    def _mark(self, connection: Connection, task: Task, now: datetime) -> Task | None:
        """Commit that the message is about to leave; None where the claim was lost."""
        until = now + self._lease
        values = {"now": now, "tries": task.attempts + 1, "until": until}
        if execute_prepared(connection, statements.MARK, {**values, **_held(task)}).rowcount != 1:
            return None
        return task._replace(sending_at=now, attempts=task.attempts + 1, locked_until=until)

    def _keep(self, connection: Connection, task: Task, now: datetime) -> Task | None:
        """Begin with a task that leaves later, with a whole lease; None where the claim was lost."""
        until = now + self._lease
        if connection.execute(statements.KEEP, {"until": until, **_held(task)}).rowcount != 1:
            return None
        return task._replace(locked_until=until)

    def _renewed(self, connection: Connection, waiting: tuple[Task, ...], now: datetime) -> tuple[Task, ...]:
        """The rest of a claim keeps its lease while its first tasks are sent."""
        if not waiting or (waiting[0].locked_until or now) - now > self._lease / 2:
            return waiting
        until = now + self._lease
        connection.execute(statements.RENEW, {"claim": waiting[0].locked_by, "until": until})
        return tuple(task._replace(locked_until=until) for task in waiting)

    def _give_back_of(
        self, connection: Connection, waiting: tuple[Task, ...], recipient: str, now: datetime
    ) -> tuple[Task, ...]:
        """The recipient's tasks go back behind the one that waits; returns the others."""
        self._give_back(connection, [task for task in waiting if task.recipient == recipient], now)
        return tuple(task for task in waiting if task.recipient != recipient)

    def _give_back(self, connection: Connection, given: Sequence[Task], now: datetime) -> None:
        for task in given:
            self._move(connection, task, Transition(PENDING, task.run_at, task.last_error), now)

    def _move(self, connection: Connection, task: Task, transition: Transition, now: datetime) -> bool:
        """Whether it could be moved: only by the holder of the current claim."""
        values = {
            "new_status": transition.status,
            "tries": task.attempts,
            "not_before": transition.run_at,
            "error": _storable(transition.last_error),
            "now": now,
        }
        if execute_prepared(connection, statements.MOVE, {**values, **_held(task)}).rowcount != 1:
            return False
        if transition.status == COMPLETED:
            tell_completed(connection, task, now, self._on_completed)
        return True


def _lost(connection: Connection, running: sa.Select[Any], now: datetime, dead_workers: Collection[str]) -> list[Task]:
    """The tasks in hands whose lease ran out, or whose worker is dead."""

    def is_lost(task: Task) -> bool:
        worker = (task.locked_by or "").rpartition("/")[0]
        return task.locked_until is None or task.locked_until <= now or worker in dead_workers

    return [task for row in connection.execute(running) if is_lost(task := Task(*row))]


def moment_of(connection: Connection, given: datetime, *, server_clock: bool) -> datetime:
    """The moment given, or the server's own where that counts."""
    if not server_clock:
        return given
    moment: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return moment.astimezone(given.tzinfo)


def _storable(text: str | None) -> str | None:
    """What an app or a server said may hold half a character or a NUL, which no database takes."""
    return None if text is None else text.encode("utf-8", "replace").decode().replace("\0", "")


def _take(connection: Connection, claim: Mapping[str, Any], reach: Reach | None) -> Sequence[Any]:
    if reach is None:
        return connection.execute(statements.CLAIM, claim).all()
    statement = statements.CLAIM_OF if reach.known is None else statements.CLAIM_WITHIN
    return connection.execute(statement, {**claim, **reach.parameters()}).all()


def _held(task: Task) -> dict[str, Any]:
    return {"task": task.id, "claim": task.locked_by}


def tell_completed(connection: Connection, task: Task, now: datetime, on_completed: OnCompleted) -> None:
    """Tell, once the last part of the message is through."""
    if task.group_key is None:
        return
    is_whole = task.dedup_key == task.group_key  # else it is a part of several
    if not is_whole:
        wait_for_turn(connection, PARTS_LOCK)
        if connection.execute(statements.UNFINISHED_PART, {"key": task.group_key}).first() is not None:
            return
    on_completed(connection, task.group_key, now)
