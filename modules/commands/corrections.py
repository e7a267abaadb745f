"""reconcile, settle, adjust and close: what the ledger and the source owe each other."""

import getpass
from typing import Annotated

import typer

from modules import adjustments, closing, corrections, terminal
from modules.campaign_pull import campaign_named
from modules.commands.shared import AsJson, At, CampaignKey, DryRun, moment, opened
from modules.errors import MISUSED
from modules.terminal_corrections import show_adjustment, show_closing, show_reconciliation, show_settlement

Housekeeper = Annotated[str, typer.Option("--housekeeper", metavar="NAME", help="管家姓名。")]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider", metavar="NAME", help='服务商；管家在几个服务商名下分开累计时要写，登记时不分服务商的写 ""。'
    ),
]
Amount = Annotated[
    str, typer.Option("--amount", metavar="YUAN", help="调整多少元，可以是负数，如 200 或 --amount=-58.50。")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="为什么调整；会写进应发表的说明。")]
Force = Annotated[bool, typer.Option("--force", help="结算期没过完、或还有合同没登记，也结账。")]


def register(cli: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (reconcile, settle, adjust, close):
        cli.command()(command)


def reconcile(key: CampaignKey, at: At = None, as_json: AsJson = False) -> None:
    """对账：台账和现在的源数据比一比，有哪些出入；台账什么也不改。"""
    with opened() as app:
        campaign = campaign_named(app, key)
        found = corrections.compare(app, campaign, moment(at, app.clock()), getpass.getuser())
    if as_json:
        terminal.print_json(found.summary())
    else:
        show_reconciliation(found)


def settle(key: CampaignKey, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """补发条件已达到、还没有发放的节节高奖励，并通知对接人。"""
    with opened() as app:
        campaign = campaign_named(app, key)
        settlement = corrections.settle(app, campaign, app.clock(), getpass.getuser(), dry_run=dry_run)
        unwritten = app.views.faults()
    if as_json:
        terminal.print_json(settlement.summary())
    else:
        show_settlement(settlement)
    terminal.print_unwritten(unwritten)


def adjust(
    key: CampaignKey,
    housekeeper: Housekeeper,
    amount: Amount,
    reason: Reason,
    provider: Provider = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """人工调整一个管家的应发金额，多发或少发都可以；结账后也可以。"""
    wish = adjustments.Wish(key, housekeeper, provider, amount, reason)
    with opened() as app:
        adjustment = adjustments.adjust(app, wish, getpass.getuser(), dry_run=dry_run)
        unwritten = app.views.faults()
    if as_json:
        terminal.print_json(adjustment.summary())
    else:
        show_adjustment(adjustment)
    terminal.print_unwritten(unwritten)


def close(key: CampaignKey, dry_run: DryRun = False, force: Force = False, as_json: AsJson = False) -> None:
    """结账：先对账，一致就锁定活动；之后的出入只能人工调整。"""
    with opened() as app:
        campaign = campaign_named(app, key)
        closed = closing.close(app, campaign, app.clock(), getpass.getuser(), dry_run=dry_run, force=force)
    if as_json:
        terminal.print_json(closed.summary())
    else:
        show_closing(closed)
    if closed.refusals:
        raise typer.Exit(MISUSED)
