"""The queue for people who watch it: by state, the newest of a state, and what people did to it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.figures.newest import Newest, count_rows, newest_of
from modules.tables import GIVEN_UP, audit_log, tasks
from modules.task_statements import COLUMNS
from modules.task_states import COMPLETED, FAILED, STATUSES, UNCERTAIN, Task

ACTIONS = ("tasks", "purge")
"""What the audit log calls acts on the queue."""


@dataclass(frozen=True)
class StatusLine:
    """A state with how many tasks are in it and when the first of them, by its number, was created."""

    status: str
    number: int
    oldest: datetime | None


@dataclass(frozen=True)
class Act:
    """What a person did to the queue."""

    at: datetime
    who: str
    detail: str


def by_status(connection: Connection) -> list[StatusLine]:
    """Every state, in the order in which a task goes through them.

    Nearly all tasks are completed: what is not another state's is theirs, so that only their sum is counted whole, and
    each other state by its partial index.
    """
    found = {status: StatusLine(status, number, oldest) for status, number, oldest in connection.execute(_BY_STATUS)}
    completed, others = found[COMPLETED], sum(line.number for line in found.values() if line.status != COMPLETED)
    found[COMPLETED] = replace(completed, number=completed.number - others)
    return [found[status] for status in STATUSES]


def newest(connection: Connection, status: str, recipient: str, number: int) -> Newest[Task]:
    """The last so many tasks of a state, the newest first; of one recipient, or of all where it is empty."""

    def count(connection: Connection, chosen: sa.Select[Any]) -> int:
        if recipient:
            return count_rows(connection, chosen)
        return next(line.number for line in by_status(connection) if line.status == status)

    return newest_of(connection, _chosen(status, recipient), Task, number, count)


def following(connection: Connection, status: str, recipient: str, before: int | None, number: int) -> list[Task]:
    """The same list from a task on, which is left out; from its head where there is none."""
    chosen = _chosen(status, recipient)
    if before is not None:
        chosen = chosen.where(tasks.c.id < before)
    return [Task(*row) for row in connection.execute(chosen.limit(number))]


def recipients(connection: Connection, status: str) -> list[str]:
    """Whoever has tasks in a state, by name."""
    chosen = sa.select(tasks.c.recipient).where(*_in_state(status)).distinct().order_by(tasks.c.recipient)
    return list(connection.scalars(chosen))


def acts(connection: Connection, number: int | None) -> Newest[Act]:
    """The last so many, or all, the newest first."""
    chosen = sa.select(audit_log.c.at, audit_log.c.who, audit_log.c.detail).where(audit_log.c.action.in_(ACTIONS))
    return newest_of(connection, chosen.order_by(audit_log.c.id.desc()), Act, number)


def _chosen(status: str, recipient: str) -> sa.Select[Any]:
    own = [tasks.c.recipient == recipient] if recipient else []
    return sa.select(*COLUMNS).where(*_in_state(status), *own).order_by(tasks.c.id.desc())


def _in_state(status: str) -> list[sa.ColumnElement[bool] | sa.TextClause]:
    """The status stands in the question as a word, so that the planner sees which index serves."""
    says = tasks.c.status == sa.bindparam(None, status, literal_execute=True)
    return [says, GIVEN_UP] if status in (FAILED, UNCERTAIN) else [says]


def _counted() -> sa.Select[Any]:
    """State, number and first of each; completed stands for all tasks."""
    first = sa.func.min(tasks.c.id)
    lines = sa.union_all(
        *(
            sa.select(sa.literal(status).label("status"), sa.func.count().label("number"), first.label("first")).where(
                *_in_state(status)
            )
            for status in STATUSES
            if status != COMPLETED
        ),
        sa.select(
            sa.literal(COMPLETED), sa.func.count(), sa.select(first).where(*_in_state(COMPLETED)).scalar_subquery()
        ).select_from(tasks),
    ).subquery()
    return sa.select(lines.c.status, lines.c.number, tasks.c.created_at).select_from(
        lines.outerjoin(tasks, tasks.c.id == lines.c.first)
    )


_BY_STATUS = _counted()
"""Built once, as `modules.task_statements`."""
