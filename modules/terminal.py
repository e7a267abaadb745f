"""What the command line shows to people: tables and lines in Chinese. JSON goes to stdout as one line."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table

from modules.announcer import Announcements
from modules.check import Findings
from modules.configuration_news import kept_lines
from modules.health import JobState
from modules.heartbeat import DaemonState
from modules.job_runs import OUTCOME_WORDS
from modules.outside_check import Checked
from modules.rewards.engine import Outcome
from modules.rewards.faults import Fault
from modules.rewards.money import format_yuan
from modules.sandbox.demo import DemoResult
from modules.task_states import STATUS_WORDS, Task
from modules.views import ViewFault

out = Console()
err = Console(stderr=True)

START = "start.bat" if sys.platform == "win32" else "./start.sh"
"""How people call the program on this machine."""

COLOURS = {
    "ok": "green",
    "completed": "green",
    "interrupted": "yellow",
    "missed": "yellow",
    "uncertain": "yellow",
    "failed": "red",
}


def _coloured(words: Mapping[str, str]) -> dict[str, str]:
    return {name: f"[{COLOURS[name]}]{text}[/]" if name in COLOURS else text for name, text in words.items()}


OUTCOMES = _coloured(OUTCOME_WORDS) | {"dry-run": "试运行", "unfinished": "未结束"}
STATUSES = _coloured(STATUS_WORDS)

DAEMON_COLOURS = {"running": "green", "silent": "red", "dead": "yellow"}


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def print_error(words: str) -> None:
    """Errors go to stderr, so that stdout stays clean."""
    err.print(f"[red]{escape(words)}[/]", soft_wrap=True)


def print_unwritten(faults: Sequence[ViewFault]) -> None:
    """The files that could not be written, each with the reason."""
    for fault in faults:
        print_error(f"写不了文件 {fault.file}：{fault.reason}")


def progress_bar() -> Progress:
    """A progress bar on stderr for who waits; nothing where stderr is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def show_findings(findings: Findings) -> None:
    """The result of `check`."""
    for note in findings.notes:
        out.print(f"[green]✓[/] {escape(note)}", soft_wrap=True)
    for warning in findings.warnings:
        out.print(f"[yellow]注意[/] {escape(str(warning))}", soft_wrap=True)
    for fault in findings.faults:
        out.print(f"[red]错误[/] {escape(str(fault))}", soft_wrap=True)
    if findings.faults:
        out.print(f"[red]{len(findings.faults)} 处错误需要修改。[/]")
    else:
        out.print("[green]检查通过。[/]")


def show_accepted(key: str, accepted: Sequence[Fault]) -> None:
    """The result of `check --accept`."""
    for fault in accepted:
        out.print(f"[green]已确认[/] {escape(str(fault))}", soft_wrap=True)
    if any("已经发过" in fault.text for fault in accepted):
        out.print("[yellow]注意[/] 改了名的奖励按新的名称算，得过旧名称的人还会再得一次。", soft_wrap=True)
    out.print(
        "后台程序下次取数就按新的配置运行，不用重启。" if accepted else f"{key} 没有需要确认的改动，什么也没有改变。",
        soft_wrap=True,
    )


def show_jobs(states: Sequence[JobState]) -> None:
    """The jobs and their last runs."""
    titles = ("活动期", "问题卡", "运行期", "上次运行", "结果", "下次运行")
    folded = (Column(title, overflow="fold") for title in titles)  # in a narrow window nothing is left out
    table = Table(Column("任务", overflow="fold"), *folded)
    for state in states:
        last, following = (moment[5:16] if moment else "-" for moment in (state.last_started, state.next_run))
        card, outcome = str(state.card_id or "-"), OUTCOMES[state.last_outcome] if state.last_outcome else "-"
        table.add_row(state.job, state.period, card, _activity(state), last, outcome, following)
    out.print(table)
    if all(state.last_settle_day is None for state in states):
        out.print("还没有可以运行的活动；请运行 check 检查活动配置。")
    for state in states:
        if state.last_error:
            out.print(f"[red]{state.job}[/] {escape(state.last_error)}", soft_wrap=True)


def _activity(state: JobState) -> str:
    if state.last_settle_day is None:
        return "[green]启用[/]" if state.active else "停用"
    return "[green]在内[/]" if state.active else "已结账" if state.closed_at else "不在内"


def show_tasks(tasks: Sequence[Task]) -> None:
    """The queue, and below it why messages wait or have failed."""
    table = Table("编号", "状态", "收件人", "次数", "更新时间", Column("内容", no_wrap=True, ratio=1), expand=True)
    for task in tasks:
        table.add_row(
            str(task.id),
            STATUSES.get(task.status, task.status),
            escape(task.recipient),
            str(task.attempts),
            f"{task.updated_at:%m-%d %H:%M}",
            escape(_gist(task.message)),
        )
    out.print(table if tasks else "队列里没有这样的任务。")
    for task in tasks:
        if task.last_error:
            out.print(f"[yellow]任务 {task.id}[/] {escape(task.last_error)}", soft_wrap=True)


def _gist(message: str) -> str:
    """The first line that is more than a headline between emoji."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return next((line for line in lines if line[0].isalnum() or line[0] in "【("), lines[0] if lines else "")


def show_preview(outcome: Outcome, announcements: Announcements) -> None:
    """What a run would register, award and say."""
    granted: dict[str | None, list[str]] = {}
    for award in outcome.award_list:
        granted.setdefault(award.contract_id, []).append(f"{award.name} {format_yuan(award.amount)} 元")
    table = Table("序号", "合同ID", "管家", "合同金额", "累计单数", "累计业绩", "奖励")
    for row in outcome.rows.to_dict("records"):
        table.add_row(
            str(row["sequence"]),
            row["contract_id"],
            escape(row["housekeeper"]),
            format_yuan(row["amount"]),
            str(row["count"]),
            format_yuan(row["performance_total"]),
            escape("、".join(granted.get(row["contract_id"], []))),
        )
    out.print(table)
    for message in announcements.messages[:3]:
        out.print(Panel(escape(message.text), title=f"给 {escape(message.recipient)}", expand=False))
    out.print(f"共 {len(outcome.rows)} 个新合同、{len(announcements.messages)} 条消息（至多显示前 3 条）。")
    out.print("试运行，什么也没有写入。")


def show_status(status: Mapping[str, Any]) -> None:
    """`status` for people."""
    daemon = status["daemon"]
    state = f"[{DAEMON_COLOURS[daemon['state']]}]{escape(daemon['words'])}[/]"
    out.print(f"后台程序：{state}　数据：{escape(status['data_dir'])}　时间：{status['at']}", soft_wrap=True)
    out.print(f"版本 {status['version']}　配置 {status['config_hash']}　上次备份 {status['backed_up_at'] or '-'}")
    for trouble in status["troubles"]:
        out.print(f"[red]问题[/] {trouble['since']} 起：{escape(trouble['what'])}", soft_wrap=True)
    show_jobs([JobState(**state) for state in status["jobs"]])
    ages = "，".join(f"{job} {_age(seconds)}" for job, seconds in status["data_age_seconds"].items())
    out.print(f"距上次成功：{ages or '-'}", soft_wrap=True)
    if status["last_error"]:
        last = status["last_error"]
        out.print(f"最近一次出错：{last['at']} {last['job']} {escape(last['error'])}", soft_wrap=True)
    counts = "，".join(f"{STATUSES[name]} {number}" for name, number in status["queue"].items())
    oldest = f"；最早一条待发送于 {status['oldest_pending']} 创建" if status["oldest_pending"] else ""
    reason = f"，因为：{escape(status['oldest_pending_reason'])}" if status["oldest_pending_reason"] else ""
    out.print(f"消息队列：{counts}{oldest}{reason}", soft_wrap=True)
    for row in status["rejected_rows"]:
        out.print(
            f"[yellow]拒收[/] {row['campaign']} {escape(row['contract_id'])} {escape(row['reason'])}", soft_wrap=True
        )
    for fault in status["unwritten_files"]:
        out.print(f"[yellow]没写成的文件[/] {escape(fault['file'])}：{escape(fault['reason'])}", soft_wrap=True)
    for fault in status["config_faults"]:
        out.print(f"[red]配置有错[/] {escape(fault)}", soft_wrap=True)
    running_by = status["configuration"] or {"kept": {}, "settings_changed": []}
    for line in kept_lines(running_by["kept"]):
        out.print(f"[yellow]沿用旧配置[/] {escape(line)}", soft_wrap=True)
    if running_by["settings_changed"]:
        files = "、".join(running_by["settings_changed"])
        out.print(f"[yellow]需要重启[/] {escape(files)} 已改动，重启后台程序后才生效", soft_wrap=True)


def _age(seconds: int) -> str:
    minutes = seconds // 60
    days, hours = divmod(minutes // 60, 24)
    return f"{days} 天 {hours} 小时" if days else f"{hours} 小时 {minutes % 60} 分" if hours else f"{minutes} 分"


def show_check(daemon: DaemonState, checked: Checked, *, as_json: bool) -> None:
    """The result of `status --alert`."""
    told, unsent = checked.told, checked.unsent
    if as_json:
        listed = {"begun": told.begun, "reminded": told.reminded, "ended": told.ended, "unsent": sorted(unsent)}
        print_json({"state": daemon.state, "words": daemon.words, **listed})
        return
    out.print(f"后台程序：[{DAEMON_COLOURS[daemon.state]}]{escape(daemon.words)}[/]", soft_wrap=True)
    names = {"daemon": "后台程序", "operations": "ops 的机器人"}
    for words, keys in (("已告知", told.begun), ("已提醒", told.reminded), ("已告知恢复", told.ended)):
        if sent := [names[key] for key in keys if key not in unsent]:
            out.print(f"{words}：{'、'.join(sent)}")
    if unsent:
        waiting = "、".join(names[key] for key in sorted(unsent))
        out.print(f"已放进队列，还没有送达，下次检查再发：{waiting}", soft_wrap=True)


def show_demo(result: DemoResult) -> None:
    """What the demo did, where it lies, and what to try next."""
    table = Table("活动", "合同", "拒收", "奖励", "奖金（元）", title="演示：北京、上海 2025 年 4–5 月")
    for row in result.campaigns:
        table.add_row(row.key, str(row.contracts), str(row.rejected), str(row.awards), format_yuan(row.payout))
    out.print(table)
    unsent = "，".join(f"{STATUSES[name]} {number}" for name, number in result.queue.items() if name != "completed")
    out.print(f"消息：模拟机器人收到 {result.delivered} 条；{unsent}", soft_wrap=True)
    for row in result.campaigns:
        out.print(f"CSV：{row.csv}", soft_wrap=True, highlight=False)
    out.print(f"用时 {result.seconds:.1f} 秒。")
    out.print(
        "接下来可以试：\n"
        f"  {START} dashboard --demo    在浏览器里看这些数据\n"
        f"  {START} check               检查设置和活动配置\n"
        f"  {START} jobs                看有哪些任务\n"
        f"  {START} --help              看所有命令\n"
        f"  把 .env.example 复制为 .env，填好后运行 {START}",
        soft_wrap=True,
        highlight=False,
    )
