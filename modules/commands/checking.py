"""Whether settings and configuration files are sound, before anything runs by them."""

import getpass
from typing import Annotated

import typer

from modules import terminal
from modules.check import accept_changes, check_everything
from modules.clock import shanghai_now
from modules.commands.shared import AsJson
from modules.errors import MISUSED


def register(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command()
    def check(
        as_json: AsJson = False,
        online: Annotated[
            bool, typer.Option("--online", help="同时试连 Metabase、数据库和企业微信（不发消息）。")
        ] = False,
        accept: Annotated[
            str | None, typer.Option("--accept", metavar="KEY", help="确认这个已运行的活动改动的配置，不作其他检查。")
        ] = None,
    ) -> None:
        """检查设置、活动配置、模板和收件人，以及已运行的活动改动了什么。"""
        if accept is not None:
            accepted = accept_changes(accept, shanghai_now(), getpass.getuser())
            if as_json:
                terminal.print_json({"accepted": [fault.__dict__ for fault in accepted]})
            else:
                terminal.show_accepted(accept, accepted)
            return
        findings = check_everything(shanghai_now(), online=online)
        if as_json:
            terminal.print_json(findings.summary())
        else:
            terminal.show_findings(findings)
        if findings.faults:
            raise typer.Exit(MISUSED)
