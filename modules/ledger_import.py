"""Taking over a campaign: the rows of the present system's file become the ledger, so that numbers and awards go on.

All or nothing, into an empty ledger only. What a row becomes is in `import_plan`.
"""

import contextlib
import getpass
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import ledger
from modules.contracts import PARENT_COLUMN
from modules.database import record_act
from modules.errors import JobRefusedError
from modules.import_plan import ImportPlan, plan_import
from modules.performance_file import read_performance_file
from modules.rewards.campaign import Campaign
from modules.rewards.money import plain_yuan
from modules.tables import awards, performance
from modules.views import ViewFault, performance_file, send_status_file

if TYPE_CHECKING:
    from modules.application import Application

log = logging.getLogger(__name__)

_COMPARED = ("sequence", "personal_sequence", "payee", "amount", "performance", "count", "total", "performance_total")


@dataclass(frozen=True)
class ImportReport:
    """What became of it. `unchanged`: the ledger holds all of this already; `refused`: there are bad rows."""

    outcome: Literal["ok", "dry-run", "unchanged", "refused"]
    plan: ImportPlan
    unwritten: tuple[ViewFault, ...] = ()

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        plan = self.plan
        payout = {name: {"count": count, "amount": plain_yuan(fen)} for name, (count, fen) in plan.payout.items()}
        return {
            "campaign": plan.campaign.key,
            "file": plan.file,
            "outcome": self.outcome,
            "rows": len(plan.rows),
            "historical": plan.historical,
            "payees": plan.payees,
            "highest": plan.highest,
            "awards": len(plan.granted),
            "payout": payout,
            "payout_total": plain_yuan(sum(award.amount for award, _ in plan.granted)),
            "cumulative": plan.is_cumulative,
            "warnings": list(plan.warnings),
            "bad_rows": [asdict(bad) for bad in plan.bad_rows],
        }


def import_ledger(app: "Application", campaign: Campaign, path: Path, *, dry_run: bool) -> ImportReport:
    """Register the file in one transaction, all or nothing; with `dry_run` only say what would be registered.

    Raises JobRefusedError where the file can't be used at all, or the campaign's ledger isn't empty;
    CampaignClosedError.
    """
    now = app.clock()
    also_required = [name for name in campaign.source_columns() if name != PARENT_COLUMN]
    plan = plan_import(campaign, read_performance_file(path, also_required), frozenset(app.campaigns.valid), now)
    with app.database.reading() as connection:
        opened = ledger.read(connection, campaign.key)
        is_known = bool(plan.rows) and _holds(connection, plan)
    if is_known:
        return ImportReport("unchanged", plan)
    _refuse_unless_empty(campaign, opened)
    if plan.bad_rows:
        return ImportReport("refused", plan)
    if dry_run:
        return ImportReport("dry-run", plan)
    try:
        with app.database.writing() as connection:
            ledger.commit_import(connection, campaign, opened.revision, plan.rows, plan.granted, now)
            record_act(connection, now, getpass.getuser(), "import-ledger", _detail(plan))
    except ledger.RevisionConflictError:
        raise JobRefusedError(f"{campaign.key} 的台账刚被另一个运行更新，什么也没有导入；请停掉它再试") from None
    log.info("%s", _detail(plan))
    _let_files_look_old(app, campaign.key)
    return ImportReport("ok", plan, tuple(app.views.refresh([campaign.key])))


def _let_files_look_old(app: "Application", key: str) -> None:
    """Files may show an earlier import that a restored backup has undone, under the same revision: write them anew."""
    data_dir = app.settings.data_dir
    for path in (performance_file(data_dir, key), send_status_file(data_dir, key)):
        with contextlib.suppress(OSError):  # open in Excel: then it can't be written now anyway
            os.utime(path)


def _refuse_unless_empty(campaign: Campaign, opened: ledger.Opened) -> None:
    if opened.closed_at is not None:
        raise ledger.CampaignClosedError(campaign.key)
    registered, granted = len(opened.state.registered), len(opened.state.granted)
    if registered or granted:
        raise JobRefusedError(
            f"{campaign.key} 的台账里已有 {registered} 个合同、{granted} 个奖励，不能再导入，什么也没有写入；"
            "只能导入到空的台账。若要重新导入，请先恢复导入前的数据库备份"
        )


def _holds(connection: Connection, plan: ImportPlan) -> bool:
    """Whether the ledger has every row of the plan, with the same figures and awards."""
    key = plan.campaign.key
    columns = [performance.c[name] for name in ("contract_id", *_COMPARED)]
    chosen = sa.select(*columns).where(performance.c.campaign == key)
    standing = {contract_id: tuple(rest) for contract_id, *rest in connection.execute(chosen)}
    if any(standing.get(row["contract_id"]) != tuple(row[name] for name in _COMPARED) for row in plan.rows):
        return False
    names = sa.select(awards.c.contract_id, awards.c.kind, awards.c.name).where(awards.c.campaign == key)
    imported = {row["contract_id"] for row in plan.rows}
    granted = sorted(tuple(award) for award in connection.execute(names) if award.contract_id in imported)
    return granted == sorted((str(award.contract_id), award.kind, award.name) for award, _ in plan.granted)


def _detail(plan: ImportPlan) -> str:
    return (
        f"{plan.campaign.key}：从 {plan.file} 导入 {len(plan.rows)} 个合同、{len(plan.granted)} 个奖励，"
        f"最大序号 {plan.highest}"
    )
