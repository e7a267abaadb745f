"""The queue as people see it: what is in it, and what they do to it. Each act is on record in the audit log."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.database import Database, insert_missing, record_act
from modules.figures.queue import by_status
from modules.message_text import split_message
from modules.tables import is_part, spent_keys, tasks
from modules.task_queue import OnCompleted, moment_of, tell_completed
from modules.task_statements import COLUMNS, UNLOCKED
from modules.task_states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, STATUSES, UNCERTAIN, Task

GIVEN_UP = frozenset({FAILED, UNCERTAIN, CANCELLED})
"""What a person may send back to the queue."""

PURGED_AT_ONCE = 2000
"""Rows per transaction, so that a worker that wants to write is not kept waiting."""


class TaskError(Exception):
    """What a person asked of a task can't be done; the message says why, in Chinese."""


@dataclass(frozen=True)
class Purgeable:
    """How many rows a purge would delete, and how many messages they are."""

    tasks: int
    messages: int


class TaskBoard:
    """Looks at the tasks of one database and acts on them for a person."""

    def __init__(self, database: Database, on_completed: OnCompleted, *, server_clock: bool = False) -> None:
        """`server_clock` as for `TaskQueue`: leases are judged by the clock that they were given by."""
        self._database = database
        self._on_completed = on_completed
        self._server_clock = server_clock

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

    def list(self, statuses: Collection[str] | None = None, newest: int | None = None) -> list[Task]:
        """All tasks, or those of these statuses, oldest first; with `newest` only so many of the last ones."""
        chosen = sa.select(*COLUMNS).order_by(tasks.c.id.desc()).limit(newest)
        if statuses is not None:
            chosen = chosen.where(tasks.c.status.in_(statuses))
        with self._database.reading() as connection:
            return [Task(*row) for row in connection.execute(chosen)][::-1]

    def get(self, task_id: int) -> Task:
        """One task. Raises TaskError where there is none."""
        with self._database.reading() as connection:
            return _existing(connection, task_id)

    def oldest(self, status: str) -> Task | None:
        """The first task of this status."""
        chosen = sa.select(*COLUMNS).where(tasks.c.status == status).order_by(tasks.c.id).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(chosen).one_or_none()
        return None if row is None else Task(*row)

    def counts(self) -> dict[str, int]:
        """How many tasks there are by status; every status is there, with 0 where there is none."""
        with self._database.reading() as connection:
            return {line.status: line.number for line in by_status(connection)}

    def set_status(self, task_id: int, status: str, now: datetime, who: str, *, allowed_from: Collection[str]) -> None:
        """A person moves a task. Raises TaskError where it isn't there, is being sent, or may not go that way."""
        if status not in STATUSES or status == RUNNING:
            raise TaskError(f"没有状态 {status}，可用：{'、'.join(s for s in STATUSES if s != RUNNING)}")
        with self._database.writing() as connection:
            now = moment_of(connection, now, server_clock=self._server_clock)
            task = _existing(connection, task_id)
            if task.status == RUNNING and task.locked_until is not None and task.locked_until > now:
                raise TaskError(f"任务 {task_id} 正在发送，请稍后再试")
            if task.status not in allowed_from:
                may = "、".join(one for one in STATUSES if one in allowed_from)
                words = f"任务 {task_id} 的状态是 {task.status}，不能改为 {status}；只有 {may} 的可以"
                raise TaskError(f"{words}，用 tasks list --status 查看")
            values = {"status": status, "updated_at": now, "run_at": None, **UNLOCKED}
            if status in (PENDING, COMPLETED):
                values["last_error"] = None
            if status == PENDING:
                values |= {"attempts": 0, "expires_at": None}
            connection.execute(sa.update(tasks).where(tasks.c.id == task_id).values(values))
            record_act(connection, now, who, "tasks", f"任务 {task_id}：{task.status} → {status}")
            if status == COMPLETED:
                tell_completed(connection, task, now, self._on_completed)

    def purgeable(self, before: datetime) -> Purgeable:
        """What `purge` would delete."""
        messages = sa.func.count(sa.distinct(tasks.c.group_key)) + sa.func.count().filter(tasks.c.group_key.is_(None))
        with self._database.reading() as connection:
            number, of = connection.execute(sa.select(sa.func.count(), messages).where(*_purgeable(before))).one()
        return Purgeable(number, of)

    def purge(
        self, before: datetime, now: datetime, who: str, progress: Callable[[int], object] = lambda deleted: None
    ) -> int:
        """Delete the tasks of messages that were sent whole before a moment; returns how many.

        Their keys are kept, so that nothing is ever said twice. Failed, uncertain and cancelled tasks stay.
        `progress` is told after each transaction how many rows it has deleted.
        """
        total = 0
        while deleted := self._purge_some(before, now):
            total += deleted
            progress(deleted)
        with self._database.writing() as connection:
            record_act(connection, now, who, "purge", f"删除 {before:%Y-%m-%d %H:%M} 以前发送完成的任务 {total} 条")
        return total

    def _purge_some(self, before: datetime, now: datetime) -> int:
        with self._database.writing() as connection:
            chosen = sa.select(tasks.c.id, tasks.c.group_key).where(*_purgeable(before)).order_by(tasks.c.id)
            rows = connection.execute(chosen.limit(PURGED_AT_ONCE)).all()
            keys = sorted({key for _, key in rows if key is not None})
            if keys:
                insert = insert_missing(connection, spent_keys, ["group_key"])
                connection.execute(insert, [{"group_key": key, "purged_at": now} for key in keys])
            numbers = [{"purged_id": number} for number, _ in rows]
            if numbers:
                connection.execute(sa.delete(tasks).where(*_is_purged), numbers)
        return len(rows)


def age_limit(now: datetime, days: int) -> datetime:
    """The moment `days` days ago; raises TaskError where that is no number of days."""
    if days < 0:
        raise TaskError(f"天数应不小于 0，不是 {days}")
    return now - timedelta(days=days)


_is_purged = (tasks.c.id == sa.bindparam("purged_id"), tasks.c.status == COMPLETED)
"""Not one that a person has sent back in this moment."""


def _existing(connection: Connection, task_id: int) -> Task:
    chosen = sa.select(*COLUMNS).where(tasks.c.id == task_id).with_for_update()
    row = connection.execute(chosen).one_or_none()
    if row is None:
        raise TaskError(f"没有编号为 {task_id} 的任务；用 tasks list 查看")
    return Task(*row)


def _purgeable(before: datetime) -> tuple[Any, ...]:
    """Completed before, and all parts of the message as well."""
    part = tasks.alias("part")
    open_part = sa.exists().where(
        part.c.group_key == tasks.c.group_key,
        is_part(part),
        (part.c.status != COMPLETED) | (part.c.updated_at >= before),
    )
    return tasks.c.status == COMPLETED, tasks.c.updated_at < before, ~open_part
