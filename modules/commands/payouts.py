"""explain and payout: why an award was granted, and what each payee is to be paid."""

from pathlib import Path
from typing import Annotated

import typer

from modules import terminal
from modules.application import Application
from modules.campaign_ledger import CampaignLedger, open_ledger
from modules.commands.shared import AsJson, CampaignKey, opened
from modules.errors import FAILED, JobRefusedError
from modules.explanation_words import explain_award
from modules.explanations import explain_contract, explain_housekeeper
from modules.ledger_records import AwardRecord, read_awards
from modules.payout import Payout, payout_of
from modules.payout_workbook import check_target, sheets_of, write_workbook
from modules.system_words import reason_of
from modules.terminal_payouts import show_contract, show_housekeeper, show_payout

Contract = Annotated[str | None, typer.Argument(metavar="CONTRACT", help="合同ID 或合同编号。")]
Housekeeper = Annotated[
    str | None, typer.Option("--housekeeper", metavar="NAME", help="管家姓名；要同时写 --campaign。")
]
Campaign = Annotated[str | None, typer.Option("--campaign", metavar="KEY", help="只看这个活动，如 BJ-2025-05。")]
Xlsx = Annotated[Path | None, typer.Option("--xlsx", metavar="FILE", help="同时写成 Excel 文件，含每人的逐项说明。")]


def register(cli: typer.Typer) -> None:
    """Add these commands to the command line."""
    cli.command()(explain)
    cli.command()(payout)


def explain(
    contract: Contract = None, housekeeper: Housekeeper = None, campaign: Campaign = None, as_json: AsJson = False
) -> None:
    """说明一个合同或一个管家：为什么得了这些奖励，离下一个还差什么。"""
    if (contract is None) == (housekeeper is None):
        raise JobRefusedError(
            "explain 要说明什么？请写一个合同（explain 合同ID），或一个管家（--housekeeper 姓名），二者选一"
        )
    if contract is not None:
        _explain_contract(contract, campaign, as_json=as_json)
    elif housekeeper is not None and campaign is not None:
        _explain_housekeeper(housekeeper, campaign, as_json=as_json)
    else:
        raise JobRefusedError("说明管家要写明活动：explain --housekeeper 姓名 --campaign 活动编号")


def payout(key: CampaignKey, xlsx: Xlsx = None, as_json: AsJson = False) -> None:
    """列出一个活动里每个管家应发多少。"""
    if xlsx is not None:
        check_target(xlsx)
    with opened() as app:
        ledger, awards = _read(app, key)
    table = payout_of(ledger, awards)
    if xlsx is not None:
        _write(xlsx, table, ledger, awards)
    if as_json:
        terminal.print_json({**table.summary(), "xlsx": None if xlsx is None else str(xlsx.absolute())})
        return
    show_payout(table)
    if xlsx is not None:
        terminal.out.print(f"已写入 {xlsx.absolute()}", soft_wrap=True, highlight=False, markup=False)


def _explain_contract(contract: str, campaign: str | None, *, as_json: bool) -> None:
    with opened() as app, app.database.reading() as connection:
        answer = explain_contract(connection, app.campaigns, contract, campaign)
    if as_json:
        terminal.print_json(answer.summary())
    else:
        show_contract(answer)


def _explain_housekeeper(housekeeper: str, campaign: str, *, as_json: bool) -> None:
    with opened() as app, app.database.reading() as connection:
        answer = explain_housekeeper(connection, app.campaigns, housekeeper, campaign)
    if as_json:
        terminal.print_json(answer.summary())
    else:
        show_housekeeper(answer)


def _read(app: Application, key: str) -> tuple[CampaignLedger, list[AwardRecord]]:
    with app.database.reading() as connection:
        return open_ledger(connection, app.campaigns, key), read_awards(connection, key)


def _write(path: Path, table: Payout, ledger: CampaignLedger, awards: list[AwardRecord]) -> None:
    explained = (explain_award(ledger.key, ledger.campaign, award) for award in awards)
    try:
        write_workbook(path, sheets_of(table, explained))
    except PermissionError:
        terminal.print_error(f"写不了 {path}：可能正在 Excel 里打开，或没有写入权限；请关闭后再试。原来的文件没有改动")
        raise typer.Exit(FAILED) from None
    except OSError as error:
        terminal.print_error(f"写不了 {path}（{reason_of(error)}）；请检查磁盘空间和位置。原来的文件没有改动")
        raise typer.Exit(FAILED) from None
