"""The states of a task and what becomes of it: pure decisions, the queue carries them out.

pending ─claim─► running ─mark sending─► (sending_at set) ─► completed
   ▲               │                        ├─ certain failure, tries left ─► pending (run_at later)
   │               │ worker lost,           ├─ certain failure, permanent or none left ─► failed
   │◄──────────────┘ sending_at empty       └─ nobody knows whether it arrived ─► uncertain
   └── a person, or on_uncertain = retry ◄── failed, uncertain     cancelled ◄─ a person, or expires_at passed
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, assert_never

from modules.senders.outcome import Failed, NotNow, Outcome, Retry, Sent, Unknown

PENDING = "pending"
RUNNING = "running"
COMPLETED = "completed"
FAILED = "failed"
UNCERTAIN = "uncertain"
CANCELLED = "cancelled"
STATUS_WORDS: Mapping[str, str] = {
    PENDING: "待发送",
    RUNNING: "发送中",
    COMPLETED: "已发送",
    FAILED: "失败",
    UNCERTAIN: "待核实",
    CANCELLED: "已取消",
}
"""What people call them, in the order in which a task goes through them."""

STATUSES = tuple(STATUS_WORDS)

OnUncertain = Literal["hold", "retry"]

BACK_OFF_SECONDS = 15
BACK_OFF_LIMIT_SECONDS = 600


class Task(NamedTuple):
    """A row of the queue. Times in Asia/Shanghai; `locked_by` is worker/claim, set while `status` is running."""

    id: int
    task_type: str
    recipient: str
    message: str
    status: str
    created_at: datetime
    updated_at: datetime
    dedup_key: str | None
    group_key: str | None
    attempts: int
    max_attempts: int
    run_at: datetime | None
    locked_by: str | None
    locked_until: datetime | None
    sending_at: datetime | None
    on_uncertain: str
    expires_at: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class Transition:
    """Where a task goes: its new status, not before when (pending only), and what there is to say."""

    status: str
    run_at: datetime | None = None
    last_error: str | None = None


def back_off(task_id: int, attempts: int) -> timedelta:
    """15 s after the first try, doubled after each further one, at most 10 minutes; ±10 % so that tasks spread."""
    seconds = min(BACK_OFF_SECONDS * 2 ** min(max(attempts - 1, 0), 16), BACK_OFF_LIMIT_SECONDS)
    spread = (task_id * 7919 + attempts * 104729) % 201 - 100
    return timedelta(seconds=seconds * (1000 + spread) / 1000)


def tries_after(task: Task, outcome: Outcome) -> int:
    """How many tries a task has had once it is answered. One that was marked as leaving counts this try already."""
    is_counted = task.sending_at is not None or isinstance(outcome, NotNow)
    return task.attempts if is_counted else task.attempts + 1


def after_sending(task: Task, outcome: Outcome, now: datetime) -> Transition:
    """What becomes of a task whose message has been tried; `task.attempts` counts this try."""
    match outcome:
        case Sent(note=note):
            return Transition(COMPLETED, last_error=note or None)
        case Retry(reason=reason, after=after, max_attempts=limit):
            if task.attempts >= min(task.max_attempts, limit or task.max_attempts):
                return Transition(FAILED, last_error=f"{reason}（已试 {task.attempts} 次，不再重试）")
            return Transition(PENDING, now + (after or back_off(task.id, task.attempts)), reason)
        case Failed(reason=reason):
            return Transition(FAILED, last_error=reason)
        case Unknown(reason=reason):
            return _outcome_unknown(task, reason, now)
        case NotNow(reason=reason):
            return Transition(PENDING, task.run_at, reason)
        case _:
            assert_never(outcome)


def after_lost_worker(task: Task, now: datetime) -> Transition:
    """What becomes of a task whose worker is gone: safe to repeat only where the message had not left."""
    if task.sending_at is None:
        return Transition(PENDING, task.run_at, task.last_error)
    return _outcome_unknown(task, "发送途中程序中断，不知是否已送达", now)


def _outcome_unknown(task: Task, reason: str, now: datetime) -> Transition:
    if task.on_uncertain == "retry" and task.attempts < task.max_attempts:
        return Transition(PENDING, now + back_off(task.id, task.attempts), f"{reason}；按设置重发")
    return Transition(UNCERTAIN, last_error=f"{reason}；请人工核实后处理")
