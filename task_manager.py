"""Front door of the queue: create a task, see what waits, set a status. For scripts and for the Python prompt."""

import getpass
from typing import NamedTuple

from modules import task_acts
from modules.application import open_application
from modules.message_sender import message_limit_of
from modules.task_states import PENDING, STATUSES, Task


class TaskRow(NamedTuple):
    """A task as the present system shows it: the first seven columns of the table, in their order."""

    id: int
    task_type: str
    recipient: str
    message: str
    status: str
    created_at: str
    updated_at: str


def create_task(task_type: str, recipient: str, message: str) -> int:
    """Queue a message (`task_type` is `send_wecom_message` or `send_wechat_message`); returns the task's id.

    One that is too long becomes several tasks, in order; the id is that of the first. With `send_wecom_file` the
    message is the path of a file below the data folder, absolute or relative to it, for a recipient on a robot; the
    file is read when it is sent.
    """
    with open_application() as app:
        attempts, limit = app.settings.queue.notice_max_attempts, message_limit_of(app.settings, recipient, task_type)
        return app.board.create(task_type, recipient, message, app.clock(), attempts, limit)


def update_task(task_id: int, status: str) -> None:
    """Set a task's status. Raises TaskError where there is no such task or status, or it is being sent."""
    with open_application() as app:
        task_acts.move(app, task_id, status, STATUSES, getpass.getuser())


def get_pending_tasks() -> list[TaskRow]:
    """The tasks that wait to be sent, oldest first."""
    with open_application() as app:
        return [_row(task) for task in app.board.list([PENDING])]


def _row(task: Task) -> TaskRow:
    created, updated = task.created_at.isoformat(), task.updated_at.isoformat()
    return TaskRow(task.id, task.task_type, task.recipient, task.message, task.status, created, updated)
