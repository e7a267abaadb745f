"""import-ledger and shadow: taking over from the present system."""

from pathlib import Path
from typing import Annotated

import typer

from modules import terminal
from modules.campaign_pull import campaign_named
from modules.commands.shared import AsJson, At, CampaignKey, DryRun, moment, opened
from modules.errors import FAILED, MISUSED
from modules.ledger_import import import_ledger
from modules.shadow import shadow as held_against
from modules.terminal_takeover import show_comparison, show_import

PresentFile = Annotated[Path, typer.Argument(metavar="FILE", help="旧系统写的 PerformanceData.csv。")]
Into = Annotated[str, typer.Option("--campaign", metavar="KEY", help="导入到哪个活动，如 BJ-2025-05。")]
Against = Annotated[Path, typer.Option("--against", metavar="FILE", help="旧系统写的 PerformanceData.csv。")]


def register(cli: typer.Typer) -> None:
    """Add these commands to the command line."""
    cli.command("import-ledger")(import_file)
    cli.command()(shadow)


def import_file(file: PresentFile, campaign: Into, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """把旧系统的业绩文件登记为活动的台账，序号和奖励从此接着算；导入的合同一律不再播报。"""
    with opened() as app:
        report = import_ledger(app, campaign_named(app, campaign), file, dry_run=dry_run)
    if as_json:
        terminal.print_json(report.summary())
    else:
        show_import(report)
    terminal.print_unwritten(report.unwritten)
    if report.outcome == "refused":
        raise typer.Exit(MISUSED)


def shadow(key: CampaignKey, against: Against, at: At = None, as_json: AsJson = False) -> None:
    """与旧系统并行：现在运行会登记什么，逐个合同与旧系统的业绩文件对比；不登记，不发消息。"""
    with opened() as app:
        comparison = held_against(app, campaign_named(app, key), against, moment(at, app.clock()))
    if as_json:
        terminal.print_json(comparison.summary())
    else:
        show_comparison(comparison)
    if not comparison.agrees:
        raise typer.Exit(FAILED)
