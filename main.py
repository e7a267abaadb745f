"""The command line and the daemon. Wiring only: what happens is in jobs.py, task_scheduler.py and modules/."""

from modules.pandas_weight import leave_out_pyarrow

if __name__ == "__main__":
    leave_out_pyarrow()

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from io import TextIOWrapper
from typing import Annotated, Any

import schedule
import typer

import jobs
import task_scheduler
from modules import health, terminal
from modules.application import Application, open_application
from modules.campaign_run import RunOptions, run_campaign
from modules.clock import Clock, shanghai_now
from modules.commands import checking, corrections, payouts, running, simulation, status, takeover, tasks
from modules.commands.shared import AsJson, opened
from modules.commands.usage import usage_in_words
from modules.errors import EXPECTED_ERRORS, FAILED, MISUSED, JobRefusedError, exit_code_of, words_of
from modules.heartbeat import Pulse
from modules.job_lane import JobLanes
from modules.lanes import SENDER_NAMES, Lane, chosen_senders
from modules.log_config import configure_logging
from modules.rereading import Rereader
from modules.sandbox.demo import run_demo
from modules.settings import Settings, load_settings, settings_files
from modules.stopping import StopRequestedError, StopSwitch
from modules.task_states import PENDING
from modules.vitals import Vitals, living, signs_of_life
from streamlit_app import launch

log = logging.getLogger("main")

cli = typer.Typer(
    help="签约激励调度程序。不带命令即启动后台程序：定时拉取合同、计算奖励、写文件、发消息。",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for commands in (checking, corrections, payouts, simulation, takeover):
    commands.register(cli)


def _send_now(app: Application, lane: Lane) -> task_scheduler.Drained:
    return task_scheduler.check_tasks(app, lanes=[lane])


def _status(app: Application, now: datetime) -> dict[str, Any]:
    return health.status(app, now, jobs.fixed_jobs(app))


running.register(cli, jobs.fixed_jobs, jobs.fixed_job)
tasks.register(cli, _send_now)
status.register(cli, _send_now, _status)


@cli.callback(invoke_without_command=True)
def daemon(
    context: typer.Context,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="只按时运行任务，不发消息：由别处的 main.py worker 来发。")
    ] = False,
) -> None:
    """启动后台程序（不带命令时）。"""
    if context.invoked_subcommand is None:
        run_daemon(sends=not no_worker)
    elif no_worker:
        raise JobRefusedError("--no-worker 只用于启动后台程序，不能和命令一起用")


def run_daemon(*, sends: bool = True, clock: Clock = shanghai_now) -> None:
    """Pull every few minutes and, where it `sends`, drain the queue beside it, until Ctrl-C or SIGTERM."""
    settings = load_settings()
    pulse = Pulse(settings)

    def work(app: Application, stop: StopSwitch) -> None:
        _report_configuration(app)
        with ExitStack() as opened_parts:
            sending = opened_parts.enter_context(_sending(app, app.sender.lanes())) if sends else None
            signs = signs_of_life(app, pulse, lambda: sending.is_alive if sending else None, partial(_status, app))
            _tick(app, stop, opened_parts.enter_context(signs))

    _until_stopped(settings, work, pulse, clock)


@cli.command()
def worker(
    senders: Annotated[
        str, typer.Option("--senders", metavar="A,B", help=f"只用这些发送方式，逗号分隔：{'、'.join(SENDER_NAMES)}。")
    ] = "",
) -> None:
    """只发消息，不运行任务：可以在几台机器上同时开，共用一个 PostgreSQL 数据库。"""
    wanted = chosen_senders(senders)

    def work(app: Application, stop: StopSwitch) -> None:
        lanes = app.sender.lanes(wanted)
        log.info("发送程序已启动：%s", "、".join(sorted(name for lane in lanes for name in lane.senders)) or "无")
        with _sending(app, lanes):
            while not stop.is_thrown:
                stop.sleep(app.settings.schedule.look_seconds)
        log.info("收到停止信号，正在收尾")

    _until_stopped(load_settings(), work, None, shanghai_now)


def _until_stopped(
    settings: Settings, work: Callable[[Application, StopSwitch], None], pulse: Pulse | None, clock: Clock
) -> None:
    """Open the application and work until a signal asks to end; the daemon, which has a pulse, owns its data folder."""
    configure_logging(settings, console=True)
    stop = StopSwitch()
    stop.listen()
    try:
        with ExitStack() as opened_parts:
            with stop.breaking_in():
                if pulse is not None:
                    opened_parts.enter_context(living(settings, pulse, clock))
                app = opened_parts.enter_context(open_application(settings, clock=clock, is_daemon=pulse is not None))
            work(app, stop)
    except StopRequestedError:
        log.info("启动途中收到停止信号")
    log.info("后台程序已停止")


@contextmanager
def _sending(app: Application, lanes: Sequence[Lane]) -> Iterator[task_scheduler.Worker]:
    """Messages go out in another thread; at the end the message in hand is finished."""
    thread = task_scheduler.start(app, lanes)
    try:
        yield thread
    finally:
        thread.stop(app.settings.longest_send_seconds)


def _tick(app: Application, stop: StopSwitch, vitals: Vitals) -> None:
    """The schedule library only ticks; which slot is due is decided in modules/due_slots.py."""
    scheduler = schedule.Scheduler()
    rereader = Rereader(app, settings_files())
    rereader.look()
    lanes = jobs.lanes(app, rereader.look_in_turn)
    scheduler.every().second.do(run_jobs_serially, lanes)
    scheduler.every().second.do(daily_service_report_task, lanes)
    log.info(
        "后台程序已启动：每 %g 分钟运行一次活动，每 %g 秒检查一次队列；%s",
        app.settings.schedule.run_jobs_serially_minutes,
        app.settings.schedule.task_check_seconds,
        "，".join(f"{job.title}{job.timing_words}" for job in jobs.fixed_jobs(app) if job.enabled) or "没有其他任务",
    )
    vitals.beat(app, app.clock())
    with lanes.running():
        scheduler.run_all()
        while not stop.is_thrown:
            look(scheduler)
            vitals.beat(app, app.clock())
            stop.sleep(app.settings.schedule.look_seconds)
        log.info("收到停止信号，正在收尾")


def look(scheduler: schedule.Scheduler) -> None:
    """Look at everything, as each job is due every second, so whenever the main loop comes round. The library counts by
    the machine's local time: where that was set back, or summer time has ended, it would wait until it is as late as
    before."""
    if (scheduler.idle_seconds or 0) > 1:
        scheduler.run_all()
    scheduler.run_pending()


def run_jobs_serially(lanes: JobLanes) -> None:
    """The campaigns that are due, one after another, in their lane. Returns at once and never raises."""
    lanes.campaigns.wake()


def daily_service_report_task(lanes: JobLanes) -> None:
    """The fixed jobs that are due, the daily service report among them, each in its lane. Returns at once as well."""
    lanes.wake_fixed()


def _report_configuration(app: Application) -> None:
    for fault in app.configuration.faults:
        log.error("配置有错：%s", fault)
    for warning in (*app.settings.warnings(), *app.campaigns.warnings):
        log.warning("配置提醒：%s", warning)


@cli.command()
def demo(as_json: AsJson = False) -> None:
    """用本机的模拟 Metabase 和模拟机器人，演示一遍全过程。"""
    with terminal.progress_bar() as progress:
        bar = progress.add_task("准备", total=None)
        result = run_demo(
            run_campaign=lambda app, campaign, as_of: run_campaign(app, campaign, as_of, RunOptions()),
            drain=task_scheduler.check_tasks,
            on_step=lambda step, done, total: progress.update(bar, description=step, completed=done, total=total),
        )
    if as_json:
        terminal.print_json(result.summary())
    else:
        terminal.show_demo(result)


@cli.command()
def dashboard(
    demo: Annotated[bool, typer.Option("--demo", help="看演示的数据（先运行 demo）。")] = False,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="端口；不写时用设置里的。")] = None,
    hash_password: Annotated[
        bool, typer.Option("--hash-password", help="不启动看板，只为 secrets.toml 里的用户生成密码的哈希。")
    ] = False,
) -> None:
    """启动网页看板；在浏览器里打开它说的地址。"""
    if hash_password:
        print(launch.ask_for_hash())
        return
    raise typer.Exit(launch.serve(load_settings(), demo=demo, port=port))


@cli.command()
def drain(as_json: AsJson = False) -> None:
    """发送队列里到点的消息，发完即返回；标准输出的最后一行是 JSON 结果。"""
    stop = StopSwitch()
    with opened() as app, terminal.progress_bar() as progress:
        bar = progress.add_task("发送", total=app.board.counts()[PENDING])
        stop.listen()  # the message in hand is finished, the rest goes back
        sent = task_scheduler.check_tasks(app, lambda: stop.is_thrown, lambda _status: progress.advance(bar))
        app.views.refresh(app.campaigns.valid)  # where nothing was sent, a crash may have left them behind
        pending = app.board.counts()[PENDING]
    terminal.print_json({**sent.__dict__, "pending": pending})


def main() -> None:
    """Run a command; every error is one line that says what to do, with the matching exit code."""
    logging.getLogger().addHandler(logging.NullHandler())  # until the log files are open, the printed line has to do
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a command that is ended says so, like with Ctrl-C
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # redirected on Windows they would be GBK, which has no emoji
    try:
        sys.exit(cli(standalone_mode=False))
    except typer.TyperException as error:  # the library's words are English
        terminal.print_error(usage_in_words(error))
        sys.exit(MISUSED)
    except (KeyboardInterrupt, typer.Abort):
        terminal.print_error("已中断；没有做完的，下次运行会接着做")
        sys.exit(FAILED)
    except EXPECTED_ERRORS as error:
        log.error("命令没有完成：%s", words_of(error))  # noqa: TRY400 - the words say it all
        terminal.print_error(words_of(error))
        sys.exit(exit_code_of(error))
    except Exception as error:
        log.exception("没有料到的错误")
        terminal.print_error(f"没有料到的错误：{type(error).__name__}: {error}；详情见数据文件夹下的 logs/app.log")
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
