"""The queue by hand: look at tasks, send them back, cancel, give a verdict, purge; and send a test message."""

import getpass
from collections.abc import Callable
from typing import Annotated

import typer

from modules import task_acts, terminal, terminal_tasks
from modules.application import Application
from modules.commands.shared import AsJson, DryRun, opened
from modules.errors import FAILED as EXIT_FAILED
from modules.lanes import Lane
from modules.message_sender import message_limit_of
from modules.task_board import TaskError, age_limit
from modules.task_states import COMPLETED, PENDING, STATUSES, Task

TEST_MESSAGE = "【测试】这是签约激励调度程序的测试消息（{now:%Y-%m-%d %H:%M:%S}），收到即表示发送正常，无需处理。"
SHOWN_TASKS = 200

TaskId = Annotated[int, typer.Argument(metavar="ID", help="任务编号。")]
SendNow = Callable[[Application, Lane], object]

tasks_cli = typer.Typer(help="查看和处理消息队列。")


def register(cli: typer.Typer, send_now: SendNow) -> None:
    """Add these commands to the command line. `send_now` sends what is due through a lane."""
    cli.add_typer(tasks_cli, name="tasks")

    @cli.command("send-test")
    def send_test(recipient: Annotated[str, typer.Argument(metavar="RECIPIENT", help="收件人。")]) -> None:
        """给一个收件人发一条标明“测试”的消息，看通道是否正常。"""
        with opened() as app:
            task = _send_test(app, recipient, send_now)
        terminal_tasks.show_sent(task)
        if task.status not in (COMPLETED, PENDING):
            raise typer.Exit(EXIT_FAILED)


@tasks_cli.command("list")
def list_tasks(
    status: Annotated[str | None, typer.Option("--status", help=f"只看这种状态：{'、'.join(STATUSES)}。")] = None,
    show_all: Annotated[bool, typer.Option("--all", help=f"全部列出；不写时只列最近 {SHOWN_TASKS} 条。")] = False,
    as_json: AsJson = False,
) -> None:
    """列出队列里的任务，旧的在前。"""
    if status is not None and status not in STATUSES:
        raise TaskError(f"没有状态 {status}，可用：{'、'.join(STATUSES)}")
    with opened() as app:
        counts = app.board.counts()
        newest = None if show_all or as_json else SHOWN_TASKS
        found = app.board.list(None if status is None else [status], newest)
    if as_json:
        terminal.print_json([task._asdict() for task in found])
        return
    terminal.show_tasks(found)
    left_out = (sum(counts.values()) if status is None else counts[status]) - len(found)
    if left_out:
        terminal.out.print(f"还有 {left_out} 条更早的没有列出；要看全部请加 --all。")


@tasks_cli.command("show")
def show_task(task_id: TaskId, as_json: AsJson = False) -> None:
    """看一条任务的全部内容。"""
    with opened() as app:
        task = app.board.get(task_id)
    if as_json:
        terminal.print_json(task._asdict())
    else:
        terminal_tasks.show_task(task)


@tasks_cli.command("retry")
def retry_task(task_id: TaskId) -> None:
    """把失败、待核实或已取消的任务放回队列。"""
    with opened() as app:
        done = task_acts.retry(app, task_id, getpass.getuser())
    terminal.out.print(f"{done}（或运行 drain）。")


@tasks_cli.command("cancel")
def cancel_task(task_id: TaskId) -> None:
    """取消还没有发送的任务。"""
    with opened() as app:
        done = task_acts.cancel(app, task_id, getpass.getuser())
    terminal.out.print(f"{done}。")


@tasks_cli.command("resolve")
def resolve_task(
    task_id: TaskId,
    outcome: Annotated[str, typer.Argument(help="completed（已送达，或已人工转发）或 pending（未送达，重发）。")],
) -> None:
    """给待核实或失败的任务下结论：已送达（或已人工转发），还是要重发。"""
    with opened() as app:
        done = task_acts.resolve(app, task_id, outcome, getpass.getuser())
    terminal.out.print(f"{done}。")


@tasks_cli.command("purge")
def purge_tasks(
    days: Annotated[int, typer.Option("--days", metavar="N", help="只删 N 天以前发送完成的。")] = 90,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """删除早已发送完成的任务；失败、待核实和已取消的不删。删过的消息也不会再发第二次。"""
    with opened() as app:
        now = app.clock()
        before = age_limit(now, days)
        found = app.board.purgeable(before)
        deleted = 0
        if not dry_run:
            with terminal.progress_bar() as progress:
                bar = progress.add_task("删除", total=found.tasks)
                note = lambda rows: progress.advance(bar, rows)  # noqa: E731 - said where it is needed
                deleted = app.board.purge(before, now, getpass.getuser(), note)
    if as_json:
        terminal.print_json({"tasks": found.tasks, "messages": found.messages, "deleted": deleted})
    elif dry_run:
        terminal.out.print(f"会删除 {found.tasks} 条任务（{found.messages} 条消息），都在 {days} 天以前发送完成。")
    else:
        terminal.out.print(f"已删除 {deleted} 条任务，都在 {days} 天以前发送完成。")


def _send_test(app: Application, recipient: str, send_now: SendNow) -> Task:
    """Through the queue like everything else, behind what waits for the same recipient."""
    known = app.settings.recipients.get(recipient)
    if known is None:
        names = "、".join(app.settings.recipients) or "无"
        raise TaskError(f"设置里没有收件人 {recipient}；现有：{names}（见 config/settings.yaml 的 recipients）")
    now, attempts = app.clock(), app.settings.queue.notice_max_attempts
    text, limit = TEST_MESSAGE.format(now=now), message_limit_of(app.settings, recipient, "")
    task_id = app.board.create("send_wecom_message", recipient, text, now, attempts, limit)
    for lane in app.sender.lanes([known.sender]):
        send_now(app, lane.only(recipient))
    return app.board.get(task_id)
