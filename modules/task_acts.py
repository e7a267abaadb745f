"""What a person does to tasks of the queue, at the command line or in the dashboard: the same acts, on record."""

from collections.abc import Collection

from modules.application import Application
from modules.task_board import GIVEN_UP, TaskError
from modules.task_states import CANCELLED, COMPLETED, FAILED, PENDING, UNCERTAIN

CAN_BE_RETRIED = GIVEN_UP
CAN_BE_CANCELLED = frozenset({PENDING, *GIVEN_UP} - {CANCELLED})
CAN_BE_RESOLVED = frozenset({UNCERTAIN, FAILED})


def retry(app: Application, task_id: int, who: str) -> str:
    """Send a task that was given up back to the queue. Returns what was done, in words; raises TaskError."""
    move(app, task_id, PENDING, CAN_BE_RETRIED, who)
    return f"任务 {task_id} 已放回队列，下次检查时发送"


def cancel(app: Application, task_id: int, who: str) -> str:
    """Take a task that has not been sent out of the queue. Returns what was done, in words; raises TaskError."""
    move(app, task_id, CANCELLED, CAN_BE_CANCELLED, who)
    return f"任务 {task_id} 已取消"


def resolve(app: Application, task_id: int, outcome: str, who: str) -> str:
    """Give the verdict on an uncertain or failed task: `completed` (it arrived) or `pending` (send it again).

    Returns what was done, in words; raises TaskError.
    """
    if outcome not in (COMPLETED, PENDING):
        raise TaskError(f"核实结果应为 {COMPLETED} 或 {PENDING}，不是 {outcome}")
    move(app, task_id, outcome, CAN_BE_RESOLVED, who)
    return f"任务 {task_id} 已记为{'已送达' if outcome == COMPLETED else '未送达，放回队列重发'}"


def move(app: Application, task_id: int, status: str, allowed_from: Collection[str], who: str) -> None:
    """To any status, in somebody's name; the files show it. Raises TaskError as `TaskBoard.set_status`."""
    app.board.set_status(task_id, status, app.clock(), who, allowed_from=allowed_from)
    app.views.refresh(app.campaigns.valid)
