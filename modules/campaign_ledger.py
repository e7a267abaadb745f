"""A campaign's ledger, with the configuration to read it by: for whoever asks what stands in it and why.

Reads the database and nothing else: what the source shows at this moment is not asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import ledger
from modules.campaigns import Campaigns
from modules.errors import JobRefusedError
from modules.ledger_records import AwardRecord, ContractRecord
from modules.rewards.campaign import Campaign
from modules.rewards.standing import Standing, standing_of
from modules.tables import campaigns, config_snapshots


@dataclass(frozen=True)
class Snapshot:
    """A configuration that a run worked by; `campaign` is None where this version of the program can't read it."""

    hash: str
    campaign: Campaign | None
    created_at: datetime


@dataclass(frozen=True)
class CampaignLedger:
    """The ledger of one campaign and the configuration to read it by.

    `campaign` is the present configuration; of a closed campaign the one that it was closed by; where there is no such
    campaign without faults, the last one that a run worked by, or None where there is none. `config_note` says so where
    it is not the present one; else it is empty.
    """

    key: str
    campaign: Campaign | None
    config_note: str
    opened: ledger.Opened
    snapshots: tuple[Snapshot, ...]

    @cached_property
    def standing(self) -> Standing | None:
        """By the ledger: all that is registered counts, but for contracts that a person accepted to be gone."""
        if self.campaign is None:
            return None
        shown = frozenset(self.opened.state.registered["contract_id"]) - self.opened.accepted_losses
        return standing_of(self.campaign, self.opened.state, shown)

    @property
    def title(self) -> str:
        """Empty where no configuration is known."""
        return self.campaign.title if self.campaign else ""

    @property
    def period(self) -> str:
        """`2025-05-01 至 2025-05-31`; empty where no configuration is known."""
        return f"{self.campaign.start} 至 {self.campaign.end}" if self.campaign else ""

    def payees(self) -> list[str]:
        """Everybody with a contract, an award or an adjustment, in the order of the ledger."""
        state = self.opened.state
        return list(dict.fromkeys([*state.registered["payee"], *state.granted["payee"]]))

    def snapshot_of(self, contract: ContractRecord, granted: Sequence[AwardRecord]) -> Snapshot | None:
        """What a contract was registered by: it or its awards name it, else the last one that was known then."""
        named = {contract.config_hash, *(award.config_hash for award in granted)}
        known = [one for one in self.snapshots if one.hash in named]
        known = known or [one for one in self.snapshots if one.created_at <= contract.registered_at]
        return known[-1] if known else None


def open_ledger(connection: Connection, configured: Campaigns, key: str) -> CampaignLedger:
    """Raises JobRefusedError where neither the configuration nor the ledger knows the campaign."""
    rows = connection.execute(sa.select(config_snapshots).where(config_snapshots.c.campaign == key)).all()
    snapshots = tuple(
        Snapshot(row.hash, _campaign_of(row.config), row.created_at)
        for row in sorted(rows, key=lambda row: (row.created_at, row.hash))
    )
    opened = ledger.read(connection, key)
    present = configured.valid.get(key)
    if present is None and not snapshots and opened.state.registered.empty and opened.state.granted.empty:
        known = dict.fromkeys([*configured.valid, *connection.execute(sa.select(campaigns.c.key)).scalars()])
        raise JobRefusedError(f"没有名为 {key} 的活动；现有：{'、'.join(known) or '无'}")
    last = worked_by(connection, key)
    if last is not None and opened.closed_at is not None:
        note = "" if present == last else "按结账时的活动配置说明，后来的改动不算"
        return CampaignLedger(key, last, note, opened, snapshots)
    if present is not None:
        return CampaignLedger(key, present, "", opened, snapshots)
    if last is None:  # the newest one that can be read
        last = next((one.campaign for one in reversed(snapshots) if one.campaign is not None), None)
    note = "现行配置里这个活动有错" if configured.faults_with(key) else "现行配置里没有这个活动"
    note += "，按台账里最后一次运行的配置说明" if last else "，台账里也没有能读的配置，只按台账里的记录说明"
    return CampaignLedger(key, last, note, opened, snapshots)


def worked_by(connection: Connection, key: str) -> Campaign | None:
    """The configuration that the campaign's last run worked by, or that it was closed by.

    None where there has been none, or this version of the program can't read it.
    """
    is_last = campaigns.c.config_hash == config_snapshots.c.hash
    chosen = sa.select(config_snapshots.c.config).join(campaigns, is_last).where(campaigns.c.key == key)
    config = connection.execute(chosen).scalar()
    return _campaign_of(config) if config else None


def _campaign_of(config: str) -> Campaign | None:
    try:
        return Campaign.from_json(config)
    except (ValueError, AttributeError):  # another version of the program wrote it
        return None
