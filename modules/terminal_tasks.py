"""How single tasks are shown at the terminal."""

from datetime import datetime

from rich.markup import escape
from rich.table import Table

from modules import terminal
from modules.clock import format_moment
from modules.task_states import COMPLETED, PENDING, Task

_ROWS = {
    "编号": "id",
    "状态": "status",
    "收件人": "recipient",
    "类型": "task_type",
    "创建": "created_at",
    "更新": "updated_at",
    "最早发送": "run_at",
    "失效时间": "expires_at",
    "已试次数": "attempts",
    "最多次数": "max_attempts",
    "结果不明时": "on_uncertain",
    "消息编号": "group_key",
    "认领者": "locked_by",
    "认领到": "locked_until",
    "开始发送": "sending_at",
    "说明": "last_error",
}


def show_task(task: Task) -> None:
    """Everything about one task, and its whole message."""
    table = Table(show_header=False, title=f"任务 {task.id}", title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, name in _ROWS.items():
        value = getattr(task, name)
        if name == "status":
            table.add_row(title, terminal.STATUSES[task.status])
        elif value is not None:
            table.add_row(title, format_moment(value) if isinstance(value, datetime) else escape(str(value)))
    terminal.out.print(table)
    terminal.out.print(task.message, markup=False, highlight=False, soft_wrap=True)


def show_sent(task: Task) -> None:
    """What became of a test message."""
    if task.status == COMPLETED:
        words = f"已送达 {task.recipient}（任务 {task.id}）。"
    elif task.status == PENDING:
        words = f"还没有发出，已在队列里等候（任务 {task.id}）：{task.last_error or '前面还有消息，或正在免打扰时间'}"
    else:
        reason = task.last_error or "正由另一个进程发送，请稍后用 tasks show 查看"
        words = f"没有送达（任务 {task.id}，{task.status}）：{reason}"
    terminal.out.print(words, markup=False, highlight=False, soft_wrap=True)
