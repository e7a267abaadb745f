"""The limit of each robot, kept in the database: it holds across workers, machines and restarts.

WeCom takes 20 messages a minute from a robot and answers more with errcode 45009. Every departure is noted under the
robot's name; the moment that counts is that of the answer, which comes after WeCom has counted.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import bindparam as value
from sqlalchemy.engine import Connection

from modules.database import insert_missing, wait_for_turn
from modules.tables import Moment, robot_pauses, robot_sends

WINDOW = timedelta(seconds=60)
ROBOTS_LOCK = 0x7A52
"""Names the advisory lock under which workers look at the limits on PostgreSQL: two at once would both find room."""


@dataclass(frozen=True)
class RobotLimit:
    """A robot by the name under which its departures are noted, and its limit; 0: none."""

    bucket: str
    per_minute: int


_FORGET = sa.delete(robot_sends).where(robot_sends.c.sent_at <= value("before"))
_PAUSED = sa.select(robot_pauses.c.until).where(
    robot_pauses.c.bucket == value("robot"), robot_pauses.c.until > value("now", type_=Moment)
)
_LATEST_BUT = (
    sa.select(robot_sends.c.sent_at)
    .where(robot_sends.c.bucket == value("robot"))
    .order_by(robot_sends.c.sent_at.desc())
    .offset(value("later", type_=sa.Integer))
    .limit(1)
)
_FORGET_DEPARTURE = sa.delete(robot_sends).where(robot_sends.c.task_id == value("task"))


def free_at(connection: Connection, robot: RobotLimit, now: datetime) -> datetime | None:
    """When the robot may be used again; None: now. Forgets what is older than the window."""
    wait_for_turn(connection, ROBOTS_LOCK)
    connection.execute(_FORGET, {"before": now - WINDOW})
    paused = connection.execute(_PAUSED, {"robot": robot.bucket, "now": now}).scalar_one_or_none()
    moments = [paused, _limit_reached_until(connection, robot, now)]
    return max((moment for moment in moments if moment is not None), default=None)


def note_departure(connection: Connection, robot: RobotLimit, task_id: int, now: datetime) -> None:
    """A message is about to leave through the robot."""
    connection.execute(sa.insert(robot_sends), {"bucket": robot.bucket, "task_id": task_id, "sent_at": now})


def note_answer(connection: Connection, robot: RobotLimit, task_id: int, now: datetime) -> None:
    """The robot has answered, or nobody waits for its answer any more: from now on it counts for a minute.

    Its departure may have been forgotten, where the answer took longer than that.
    """
    wait_for_turn(connection, ROBOTS_LOCK)
    connection.execute(_FORGET_DEPARTURE, {"task": task_id})
    note_departure(connection, robot, task_id, now)


def pause(connection: Connection, robot: RobotLimit, until: datetime) -> None:
    """The other side asked for a pause: nothing leaves through the robot before, to whomever."""
    connection.execute(insert_missing(connection, robot_pauses, ["bucket"]).values(bucket=robot.bucket, until=until))
    own = sa.update(robot_pauses).where(robot_pauses.c.bucket == robot.bucket, robot_pauses.c.until < until)
    connection.execute(own.values(until=until))


def _limit_reached_until(connection: Connection, robot: RobotLimit, now: datetime) -> datetime | None:
    if robot.per_minute == 0:
        return None
    latest = {"robot": robot.bucket, "later": robot.per_minute - 1}
    blocking: datetime | None = connection.execute(_LATEST_BUT, latest).scalar_one_or_none()
    return None if blocking is None else min(blocking, now) + WINDOW  # a clock that was set back dates them ahead
