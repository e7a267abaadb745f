"""What the source shows of a campaign now, held against its ledger: what a run, a comparison or a trial starts from."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from modules.contracts import Contracts, parse_contracts
from modules.errors import JobRefusedError, PullShrankError
from modules.ledger import Opened, RevisionConflictError
from modules.request_module import Table
from modules.rewards.campaign import Campaign
from modules.rewards.frame import LedgerState
from modules.source_changes import SourceChanges

if TYPE_CHECKING:
    from modules.application import Application

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_TRIES = 5
SHRINK_SHARE = 0.2
SHRINK_ROWS = 5


@dataclass(frozen=True)
class CampaignPull:
    """A whole pull of one campaign.

    `state` is the ledger with the amounts that the source shows now (fen), `changes` what is new of its contracts.
    `new`: the contracts to register, with their sources. `skipped` counts the rows that are no fault: outside the
    period, the source types or the time, or a second row of one contract.
    """

    contracts: Contracts
    shown: frozenset[str]
    state: LedgerState
    new: pd.DataFrame
    changes: SourceChanges
    skipped: int


def campaign_named(app: "Application", key: str) -> Campaign:
    """A campaign that can run. Raises JobRefusedError where there is none or it has faults."""
    faults = app.campaigns.faults_with(key)
    if faults:
        raise JobRefusedError("活动配置有错，未运行：\n" + "\n".join(map(str, faults)))
    campaign = app.campaigns.valid.get(key)
    if campaign is None:
        raise JobRefusedError(f"没有名为 {key} 的活动；现有：{'、'.join(app.campaigns.valid) or '无'}")
    return campaign


def fetch(app: "Application", campaign: Campaign) -> Table:
    """The campaign's question, whole. Raises MetabaseError, JobRefusedError."""
    if campaign.card_id is None:
        raise JobRefusedError(f"{campaign.key} 没有写问题卡编号 card_id，请在活动配置里补上")
    return app.metabase.fetch_card(campaign.card_id)


def hold_against_ledger(campaign: Campaign, as_of: datetime, opened: Opened, table: Table) -> CampaignPull:
    """Type the rows and sort them into registered and new. Raises ColumnsError."""

    def is_taken(frame: pd.DataFrame) -> "pd.Series[bool]":
        return campaign.takes(frame) & (frame["signed_at"] <= as_of.replace(tzinfo=None))

    contracts = parse_contracts(table.columns, table.rows, campaign.source_columns(), preferred=is_taken)
    if contracts.differing:
        log.warning("%s 的源数据里有内容不同的重复合同：%s", campaign.key, "、".join(contracts.differing))
    registered = opened.state.registered
    is_new = ~contracts.frame["contract_id"].isin(registered["contract_id"])
    taken = is_taken(contracts.frame)
    current = contracts.frame.set_index("contract_id")["amount"]
    amounts = registered["contract_id"].map(current).fillna(registered["amount"]).astype("int64")
    changed = registered.assign(now=amounts)[amounts != registered["amount"]]
    shown = contracts.shown_ids()
    return CampaignPull(
        contracts=contracts,
        shown=shown,
        state=LedgerState(registered.assign(amount=amounts), opened.state.granted),
        new=contracts.with_sources(contracts.frame[is_new & taken]),
        changes=SourceChanges(
            amounts=dict(zip(changed["contract_id"], changed["now"].tolist(), strict=True)),
            returned=opened.accepted_losses & shown,
        ),
        skipped=contracts.duplicates + int((is_new & ~taken).sum()),
    )


def lost_beyond_belief(opened: Opened, shown: frozenset[str]) -> frozenset[str]:
    """The registered contracts that a pull lacks, where they are too many to be believed; none where they are few.

    Those whose loss a person has accepted are neither missed nor counted among the known.
    """
    known = frozenset(opened.state.registered["contract_id"]) - opened.accepted_losses
    lost = known - shown
    is_believable = len(lost) <= SHRINK_ROWS or len(lost) <= SHRINK_SHARE * len(known)
    return frozenset() if is_believable else lost


def require_belief(campaign: Campaign, opened: Opened, shown: frozenset[str], as_of: datetime) -> None:
    """Raises PullShrankError where the pull of this moment lacks too many registered contracts."""
    lost = lost_beyond_belief(opened, shown)
    if lost:
        accepted = len(opened.accepted_losses)
        known = f"已登记 {len(opened.state.registered)} 个" + (f"，其中 {accepted} 个已确认消失" if accepted else "")
        force = "" if campaign.is_active(as_of.date()) else " --force"
        raise PullShrankError(
            f"源数据比已登记的少了 {len(lost)} 个合同（{known}），不予采信，什么也没有登记；"
            f"请检查问题卡 {campaign.card_id}，若确实如此，运行 run {campaign.key} --accept-shrink{force}"
        )


def retry_when_overtaken(key: str, attempt: Callable[[], T]) -> T:
    """What `attempt` gives; it starts over where another run has changed the campaign's ledger in between.

    Raises RevisionConflictError where that never ends.
    """
    for _ in range(MAX_TRIES):
        try:
            return attempt()
        except RevisionConflictError:
            log.info("%s 的台账刚被另一个运行更新，重新计算", key)
    raise RevisionConflictError(f"{key} 的台账一直在被别的运行更新，已试 {MAX_TRIES} 次，请稍后再试")
