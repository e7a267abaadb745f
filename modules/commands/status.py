"""How the program is: for people, for programs, and for a scheduled check that tells somebody."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from modules import outside_check, terminal
from modules.application import Application, open_application
from modules.clock import shanghai_now
from modules.commands.shared import AsJson, opened
from modules.database import DatabaseError
from modules.errors import FAILED, words_of
from modules.heartbeat import DaemonState, daemon_state
from modules.log_config import configure_logging
from modules.outside_check import SendNow
from modules.settings import Settings, load_settings

log = logging.getLogger(__name__)


ReadStatus = Callable[[Application, datetime], dict[str, Any]]
"""`health.status` with the jobs that there are."""


def register(cli: typer.Typer, send_now: SendNow, read_status: ReadStatus) -> None:
    """Add the command. `send_now` sends what is due through a lane."""

    @cli.command()
    def status(
        as_json: AsJson = False,
        alert: Annotated[
            bool,
            typer.Option("--alert", help="供定时检查：后台程序或 ops 的机器人失灵时，告知 health.second_recipient。"),
        ] = False,
    ) -> None:
        """看后台程序、任务、队列和文件的状态；退出码：0 正在运行，3 没有在运行，4 没有反应。"""
        if alert:
            raise typer.Exit(_checked(load_settings(), send_now, as_json=as_json))
        with opened(tolerant=True) as app:
            found = read_status(app, app.clock())
        raise typer.Exit(_shown(found, as_json=as_json))


def _shown(found: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        terminal.print_json(found)
    else:
        terminal.show_status(found)
    return int(found["exit_code"])


def _checked(settings: Settings, send_now: SendNow, *, as_json: bool) -> int:
    """The check from outside; the exit code is that of `status`, or 1 where the database can't be used."""
    outside_check.require_second(settings)
    daemon: DaemonState | None = None
    try:
        configure_logging(settings, console=False)
        daemon = daemon_state(settings, shanghai_now())
        with open_application(settings) as app:
            checked = outside_check.look_and_tell(app, daemon, app.clock(), send_now)
    except (DatabaseError, sa.exc.DBAPIError, OSError) as error:
        words = words_of(error)
        log.error("定时检查打不开数据库：%s", words)  # noqa: TRY400 - the words say it all
        outside_check.tell_directly(settings, words, shanghai_now())
        terminal.print_error(words)
        return (daemon.exit_code if daemon else 0) or FAILED
    terminal.show_check(daemon, checked, as_json=as_json)
    return daemon.exit_code
