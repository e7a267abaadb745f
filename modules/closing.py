"""close: locks a campaign after a comparison with its source. What comes later is an adjustment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from modules import ledger
from modules.announcer import keys_start
from modules.campaign_pull import retry_when_overtaken
from modules.corrections import Look, look
from modules.database import record_act
from modules.outbox import not_sent
from modules.reconciliation import Reconciliation
from modules.rewards.campaign import Campaign
from modules.rewards.money import format_yuan
from modules.task_states import STATUS_WORDS

if TYPE_CHECKING:
    from modules.application import Application


@dataclass(frozen=True)
class Closing:
    """What became of it: with any of `refusals` nothing; `warnings` are for a person to look at."""

    outcome: Literal["ok", "dry-run", "refused"]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    found: Reconciliation

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        return {
            "campaign": self.found.campaign,
            "outcome": self.outcome,
            "refusals": list(self.refusals),
            "warnings": list(self.warnings),
            "reconciliation": self.found.summary(),
        }


def close(app: "Application", campaign: Campaign, as_of: datetime, who: str, *, dry_run: bool, force: bool) -> Closing:
    """Close a campaign on which ledger and source agree. Raises as `corrections.look` does.

    `force` closes before the settle days are over, and although contracts wait to be registered: never although
    tiers are owed. The amounts that the source shows, and the contracts that it no longer shows, are settled by it.
    """
    return retry_when_overtaken(campaign.key, lambda: _close(app, campaign, as_of, who, dry_run=dry_run, force=force))


def _close(app: "Application", campaign: Campaign, as_of: datetime, who: str, *, dry_run: bool, force: bool) -> Closing:
    looked = look(app, campaign, as_of, to_change=True)
    with app.database.reading() as connection:
        unsent = not_sent(connection, keys_start(campaign.key))
    forcible = list(_forcible(campaign, as_of, looked.found))
    overruled = [objection for objection, _ in forcible] if force else []
    refusals = [] if force else [f"{objection}；{remedy}" for objection, remedy in forcible]
    refusals += _refusals(looked.found)
    warnings = [*_warnings(looked.found, unsent), *(f"{objection}；已按 --force 不理会" for objection in overruled)]
    if not refusals and not dry_run:
        changes = replace(looked.pull.changes, lost=[one.contract.contract_id for one in looked.found.lost])
        with app.database.writing() as connection:
            now = app.clock()
            ledger.close(connection, campaign, looked.opened.revision, changes, now, who)
            record_act(connection, now, who, "close", _detail(looked, overruled))
    outcome: Literal["ok", "dry-run", "refused"] = "refused" if refusals else "dry-run" if dry_run else "ok"
    return Closing(outcome, tuple(refusals), tuple(warnings), looked.found)


def _forcible(campaign: Campaign, as_of: datetime, found: Reconciliation) -> Iterator[tuple[str, str]]:
    """What speaks against it unless a person insists, and what to do."""
    is_over = as_of.date() > campaign.last_settle_day
    if not is_over:
        yield f"结算期到 {campaign.last_settle_day} 为止，还没有结束", "确要提前结账请加 --force"
    if found.unregistered:
        register = f"要登记请运行 run {campaign.key}{' --force' if is_over else ''}"
        yield f"源数据里还有 {found.unregistered} 个本期合同没有登记", f"{register}，确定不登记请给 close 加 --force"


def _refusals(found: Reconciliation) -> Iterator[str]:
    if found.owed:
        yield f"有 {len(found.owed)} 项奖励条件已达到、还没有发放；请先运行 settle {found.campaign}"


def _warnings(found: Reconciliation, unsent: Mapping[str, int]) -> Iterator[str]:
    if found.unearned:
        words = f"有 {len(found.unearned)} 项奖励发放之后已达不到条件"
        yield f"{words}；要追回的请用 adjust {found.campaign} 人工调整，结账后也可以"
    if found.lost:
        yield f"有 {len(found.lost)} 个合同已从源数据里消失，结账后不再计入累计；编号和奖励不变"
    if found.rejected:
        yield f"有 {len(found.rejected)} 行源数据不能用；已登记的合同按最后一次可用的金额计，没有登记的不再登记"
    if unsent:
        counts = "，".join(f"{STATUS_WORDS[status]} {number}" for status, number in unsent.items())
        yield f"本活动还有消息没有送达（{counts}）；结账后仍会发送，请用 tasks list 查看"


def _detail(looked: Look, overruled: Sequence[str]) -> str:
    found = looked.found
    paid = format_yuan(sum(award.amount for award in looked.awards))
    words = f"{found.campaign}：结账，登记合同 {found.registered} 个，奖励和调整 {len(looked.awards)} 项共 {paid} 元"
    words += f"，确认消失的合同 {len(found.lost)} 个" if found.lost else ""
    return f"{words}；--force 不理会：{'；'.join(overruled)}" if overruled else words
