"""The queue itself: claim, mark sending, finish, rescue. The only way out of the house.

Claims are leased and fenced: `locked_by` names worker and claim, and only the holder of the current claim can
mark or finish its task. `sending_at` is committed before a message leaves, so that a crash before it can be
repeated safely and a crash after it is known to be unknown.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.database import Database, record_act, robot_sends, tasks
from modules.message_text import split_message
from modules.senders.outcome import Outcome
from modules.task_states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    STATUSES,
    UNCERTAIN,
    Task,
    Transition,
    after_lost_worker,
    after_sending,
)

RATE_WINDOW = timedelta(seconds=60)

_COLUMNS = [tasks.c[field.name] for field in fields(Task)]
_UNLOCKED: dict[str, Any] = {"locked_by": None, "locked_until": None, "sending_at": None}


class TaskError(Exception):
    """What a person asked of a task can't be done; the message says why, in Chinese."""


class ClaimLostError(Exception):
    """The claim is no longer ours: the lease ran out and somebody else has the task, or a person ended it."""


OnCompleted = Callable[[Connection, str, datetime], None]
"""Told inside the transaction that finishes the last part of a message: its key and the moment."""


class TaskQueue:
    """The queue as one worker sees it. `worker` names the worker; `lease` is how long a claim stands unrenewed."""

    def __init__(self, database: Database, worker: str, lease: timedelta, on_completed: OnCompleted) -> None:
        self._database = database
        self._worker = worker
        self._lease = lease
        self._on_completed = on_completed

    def claim(self, now: datetime) -> Task | None:
        """Take the oldest task that is due, or None.

        Per recipient only the first pending one can be taken, and only while none is being sent.
        """
        with self._database.writing() as connection:
            _expire(connection, now)
            row = connection.execute(self._claim_statement(now)).one_or_none()
        return None if row is None else Task(*row)

    def _claim_statement(self, now: datetime) -> Any:
        other = tasks.alias("other")
        before_it = (other.c.status == PENDING) & (other.c.id < tasks.c.id)
        is_next = ~sa.exists().where(
            other.c.recipient == tasks.c.recipient,
            other.c.id != tasks.c.id,
            other.c.status.in_([PENDING, RUNNING]),  # said in these words, the index of open tasks serves
            (other.c.status == RUNNING) | before_it,
        )
        due = (
            sa.select(tasks.c.id).where(tasks.c.status == PENDING, _is_due(now), is_next).order_by(tasks.c.id).limit(1)
        )
        if self._database.engine.dialect.name == "postgresql":
            due = due.with_for_update(skip_locked=True)
        return (
            sa.update(tasks)
            .where(tasks.c.id == due.scalar_subquery())
            .values(
                status=RUNNING,
                locked_by=f"{self._worker}/{uuid.uuid4().hex[:12]}",
                locked_until=now + self._lease,
                sending_at=None,
                updated_at=now,
            )
            .returning(*_COLUMNS)
        )

    def mark_sending(self, task: Task, now: datetime, bucket: str | None, per_minute: int) -> Task | None:
        """Commit that the message is about to leave. None: the robot's limit is reached, the task waits its turn.

        `bucket` names the robot, `per_minute` its limit (0: none). Raises ClaimLostError.
        """
        with self._database.writing() as connection:
            free_at = _free_at(connection, bucket, per_minute, now) if bucket and per_minute else None
            if free_at is not None:
                self._move(connection, task, Transition(PENDING, free_at, task.last_error), now)
                return None
            if bucket:
                connection.execute(sa.insert(robot_sends).values(bucket=bucket, task_id=task.id, sent_at=now))
            marked = (
                sa.update(tasks)
                .where(*_held(task))
                .values(sending_at=now, attempts=tasks.c.attempts + 1, locked_until=now + self._lease)
                .returning(*_COLUMNS)
            )
            row = connection.execute(marked).one_or_none()
            if row is None:
                raise ClaimLostError(f"任务 {task.id} 已不在本进程手中")
            return Task(*row)

    def finish(self, task: Task, outcome: Outcome, now: datetime) -> Transition:
        """Write down what came of sending. Raises ClaimLostError."""
        transition = after_sending(task, outcome, now)
        with self._database.writing() as connection:
            self._move(connection, task, transition, now)
            connection.execute(sa.update(robot_sends).where(robot_sends.c.task_id == task.id).values(sent_at=now))
        return transition

    def rescue(self, now: datetime, dead_workers: Collection[str]) -> list[tuple[Task, Transition]]:
        """Tasks whose lease ran out, or whose worker is known to be dead, follow the rule of the state picture."""
        moved: list[tuple[Task, Transition]] = []
        if not self.list([RUNNING]):
            return moved  # nothing to move: needs no lock, so that looking at a busy database works
        with self._database.writing() as connection:
            for row in connection.execute(sa.select(*_COLUMNS).where(tasks.c.status == RUNNING)).all():
                task = Task(*row)
                worker = (task.locked_by or "").rpartition("/")[0]
                if task.locked_until is None or task.locked_until <= now or worker in dead_workers:
                    transition = after_lost_worker(task, now)
                    self._move(connection, task, transition, now)
                    moved.append((task, transition))
        return moved

    def _move(self, connection: Connection, task: Task, transition: Transition, now: datetime) -> None:
        """Only the holder of the current claim can."""
        values = {**asdict(transition), **_UNLOCKED, "updated_at": now}
        if connection.execute(sa.update(tasks).where(*_held(task)).values(values)).rowcount != 1:
            raise ClaimLostError(f"任务 {task.id} 已不在本进程手中")
        if transition.status == COMPLETED:
            _completed(connection, task, now, self._on_completed)

    def create(self, task_type: str, recipient: str, message: str, now: datetime, max_attempts: int, limit: int) -> int:
        """A task without a key, as the door `create_task` makes it; returns its id.

        A message over `limit` bytes becomes several tasks, in order; the id is that of the first.
        """
        rows = [
            {
                "task_type": task_type,
                "recipient": recipient,
                "message": part,
                "created_at": now,
                "updated_at": now,
                "max_attempts": max_attempts,
            }
            for part in split_message(message, limit)
        ]
        insert = sa.insert(tasks).returning(tasks.c.id)
        with self._database.writing() as connection:
            ids: Sequence[int] = [connection.execute(insert.values(row)).scalar_one() for row in rows]
        return ids[0]

    def list(self, statuses: Collection[str] | None = None) -> list[Task]:
        """All tasks, or those of these statuses, oldest first."""
        chosen = sa.select(*_COLUMNS).order_by(tasks.c.id)
        if statuses is not None:
            chosen = chosen.where(tasks.c.status.in_(statuses))
        with self._database.reading() as connection:
            return [Task(*row) for row in connection.execute(chosen)]

    def oldest(self, status: str) -> Task | None:
        """The first task of this status."""
        chosen = sa.select(*_COLUMNS).where(tasks.c.status == status).order_by(tasks.c.id).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(chosen).one_or_none()
        return None if row is None else Task(*row)

    def counts(self) -> dict[str, int]:
        """How many tasks there are by status; every status is there, with 0 where there is none."""
        counted = sa.select(tasks.c.status, sa.func.count()).group_by(tasks.c.status)
        with self._database.reading() as connection:
            found: dict[str, int] = dict(connection.execute(counted).all())
        return dict.fromkeys(STATUSES, 0) | found

    def set_status(self, task_id: int, status: str, now: datetime, who: str, *, allowed_from: Collection[str]) -> None:
        """A person moves a task. Raises TaskError where it isn't there, is being sent, or may not go that way."""
        if status not in STATUSES or status == RUNNING:
            raise TaskError(f"没有状态 {status}，可用：{'、'.join(s for s in STATUSES if s != RUNNING)}")
        with self._database.writing() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(tasks.c.id == task_id)).one_or_none()
            if row is None:
                raise TaskError(f"没有编号为 {task_id} 的任务；用 tasks list 查看")
            task = Task(*row)
            if task.status == RUNNING and task.locked_until is not None and task.locked_until > now:
                raise TaskError(f"任务 {task_id} 正在发送，请稍后再试")
            if task.status not in allowed_from:
                raise TaskError(f"任务 {task_id} 的状态是 {task.status}，不能改为 {status}")
            values = {"status": status, "updated_at": now, "run_at": None, **_UNLOCKED}
            if status in (PENDING, COMPLETED):
                values["last_error"] = None
            if status == PENDING:
                values |= {"attempts": 0, "expires_at": None}
            connection.execute(sa.update(tasks).where(tasks.c.id == task_id).values(values))
            detail = f"任务 {task_id}：{task.status} → {status}"
            record_act(connection, now, who, "tasks", detail)
            if status == COMPLETED:
                _completed(connection, task, now, self._on_completed)


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(tasks.c.run_at.is_(None), tasks.c.run_at <= now)


def _held(task: Task) -> tuple[sa.ColumnElement[bool], ...]:
    return tasks.c.id == task.id, tasks.c.status == RUNNING, tasks.c.locked_by.is_not_distinct_from(task.locked_by)


def _expire(connection: Connection, now: datetime) -> None:
    stale = (tasks.c.status == PENDING, tasks.c.expires_at <= now)
    values = {"status": CANCELLED, "updated_at": now, "last_error": "已过有效期，不再发送"}
    connection.execute(sa.update(tasks).where(*stale).values(values))


def _free_at(connection: Connection, bucket: str, per_minute: int, now: datetime) -> datetime | None:
    """When the robot may be used again; None: now. Forgets what is older than the window."""
    connection.execute(sa.delete(robot_sends).where(robot_sends.c.sent_at <= now - RATE_WINDOW))
    latest_first = (
        sa.select(robot_sends.c.sent_at)
        .where(robot_sends.c.bucket == bucket)
        .order_by(robot_sends.c.sent_at.desc())
        .offset(per_minute - 1)
        .limit(1)
    )
    blocking: datetime | None = connection.execute(latest_first).scalar_one_or_none()
    return None if blocking is None else blocking + RATE_WINDOW


def _completed(connection: Connection, task: Task, now: datetime, on_completed: OnCompleted) -> None:
    """Tell, once the last part of the message is through."""
    if task.group_key is None:
        return
    unfinished = sa.select(tasks.c.id).where(tasks.c.group_key == task.group_key, tasks.c.status != COMPLETED)
    if connection.execute(unfinished.limit(1)).first() is None:
        on_completed(connection, task.group_key, now)


GIVEN_UP = frozenset({FAILED, UNCERTAIN, CANCELLED})
"""What a person may send back to the queue."""
