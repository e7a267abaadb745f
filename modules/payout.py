"""payout: what each payee of a campaign is to be paid. Pure: awards and standings in, the table out; money in fen."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from modules.campaign_ledger import CampaignLedger
from modules.clock import format_moment
from modules.errors import JobRefusedError
from modules.explanation_words import ADJUSTMENT, provider_of
from modules.ledger_records import AwardRecord
from modules.rewards.campaign import Campaign
from modules.rewards.frame import housekeeper_of
from modules.rewards.money import format_yuan, plain_yuan
from modules.rewards.rule import Position
from modules.rewards.standing import Standing

COUNTED = (
    "合同数：登记过的合同，后来取消的也在内；不含历史合同",
    "累计业绩：按台账仍然有效的合同的计入业绩金额；含历史合同",
    "修正是 settle 补发的奖励，调整是人工调整；应发 = 各奖励 + 修正 + 调整。金额单位：元",
)
"""What the columns hold, for whoever reads the table."""
NOT_CLOSED = "活动尚未结账，数字还会变"
NOBODY = "还没有人获得奖励"


@dataclass(frozen=True)
class PayoutLine:
    """What one payee gets, or all of them together; `awards` by name, as granted for contracts."""

    payee: str
    contracts: int
    performance_total: int
    awards: Mapping[str, int]
    corrections: int
    adjustments: int

    @property
    def housekeeper(self) -> str:
        return housekeeper_of(self.payee)

    @property
    def provider(self) -> str | None:
        """The service provider, where the campaign keeps payees by it."""
        return provider_of(self.payee)

    @property
    def to_pay(self) -> int:
        return sum(self.awards.values()) + self.corrections + self.adjustments

    def figures(self, names: Sequence[str]) -> list[int]:
        """The money columns: performance total, each award of `names`, corrections, adjustments, to pay."""
        granted = [self.awards.get(name, 0) for name in names]
        return [self.performance_total, *granted, self.corrections, self.adjustments, self.to_pay]

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        return {
            "contracts": self.contracts,
            "performance_total": plain_yuan(self.performance_total),
            "awards": {name: plain_yuan(amount) for name, amount in self.awards.items()},
            "corrections": plain_yuan(self.corrections),
            "adjustments": plain_yuan(self.adjustments),
            "to_pay": plain_yuan(self.to_pay),
        }


@dataclass(frozen=True)
class Payout:
    """The table of a campaign: one line per payee in ledger order, `names` of the awards in order of their columns.

    `warnings`: what whoever pays must know of it beside its finality.
    """

    campaign: str
    title: str
    period: str
    closed_at: datetime | None
    warnings: tuple[str, ...]
    names: tuple[str, ...]
    lines: tuple[PayoutLine, ...]
    total: PayoutLine

    @property
    def finality(self) -> str:
        """Whether the figures can still change."""
        return NOT_CLOSED if self.closed_at is None else f"活动已于 {format_moment(self.closed_at)} 结账"

    @property
    def notes(self) -> tuple[str, ...]:
        """All that whoever pays must know."""
        return (self.finality, *self.warnings)

    @cached_property
    def shows_provider(self) -> bool:
        """Whether the campaign keeps payees by service provider."""
        return any(line.provider is not None for line in self.lines)

    def titles(self) -> list[str]:
        """The heads of the columns."""
        who = ["管家", "服务商"] if self.shows_provider else ["管家"]
        return [*who, "合同数", "累计业绩", *self.names, "修正", "调整", "应发"]

    def who(self, line: PayoutLine) -> list[str]:
        """The columns that name a payee."""
        return [line.housekeeper, line.provider or ""] if self.shows_provider else [line.housekeeper]

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        payees = [{"housekeeper": line.housekeeper, "provider": line.provider, **line.summary()} for line in self.lines]
        return {
            "campaign": self.campaign,
            "title": self.title,
            "period": self.period,
            "closed_at": self.closed_at and format_moment(self.closed_at),
            "counted": list(COUNTED),
            "notes": list(self.notes),
            "award_names": list(self.names),
            "payees": payees,
            "totals": self.total.summary(),
        }


def payout_of(ledger: CampaignLedger, awards: Sequence[AwardRecord]) -> Payout:
    """The table of a campaign. `awards` are all that it has. Raises JobRefusedError where there is no configuration."""
    campaign, standing = ledger.campaign, ledger.standing
    if campaign is None or standing is None:
        raise JobRefusedError(f"{ledger.key}：{ledger.config_note}；请把这个活动放回活动配置，再运行 payout")
    names = award_names(campaign, awards)
    lines = lines_of(names, standing.positions, awards)
    return Payout(
        campaign=ledger.key,
        title=ledger.title,
        period=ledger.period,
        closed_at=ledger.opened.closed_at,
        warnings=tuple(_warnings(ledger, standing, lines, awards)),
        names=names,
        lines=lines,
        total=_total(names, lines),
    )


def award_names(campaign: Campaign, awards: Iterable[AwardRecord]) -> tuple[str, ...]:
    """The columns: what the configuration can grant, in its order, then what has been granted beside."""
    granted = [award.name for award in awards if _column_of(award)[0] == _AWARD]
    return tuple(dict.fromkeys([*(name for _, name in campaign.grantable()), *granted]))


def lines_of(
    names: Sequence[str], positions: Mapping[str, Position], awards: Sequence[AwardRecord]
) -> tuple[PayoutLine, ...]:
    """A line for everybody with a position or an award; `names` are those of all awards."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for award in awards:
        sums[(award.payee, *_column_of(award))] += award.amount
    payees = dict.fromkeys([*positions, *(award.payee for award in awards)])
    return tuple(
        PayoutLine(
            payee=payee,
            contracts=positions[payee].personal_sequence if payee in positions else 0,
            performance_total=positions[payee].performance_total if payee in positions else 0,
            awards={name: sums.get((payee, _AWARD, name), 0) for name in names},
            corrections=sums.get((payee, _CORRECTION, ""), 0),
            adjustments=sums.get((payee, _ADJUSTMENT, ""), 0),
        )
        for payee in payees
    )


_AWARD, _CORRECTION, _ADJUSTMENT = "award", "correction", "adjustment"


def _column_of(award: AwardRecord) -> tuple[str, str]:
    """Where an award's amount belongs: its kind of column, and the name of the award where that has one of its own."""
    if award.kind == ADJUSTMENT:
        return _ADJUSTMENT, ""
    return (_CORRECTION, "") if award.contract_id is None else (_AWARD, award.name)


def _total(names: Sequence[str], lines: Sequence[PayoutLine]) -> PayoutLine:
    return PayoutLine(
        payee="合计",
        contracts=sum(line.contracts for line in lines),
        performance_total=sum(line.performance_total for line in lines),
        awards={name: sum(line.awards[name] for line in lines) for name in names},
        corrections=sum(line.corrections for line in lines),
        adjustments=sum(line.adjustments for line in lines),
    )


def _warnings(
    ledger: CampaignLedger, standing: Standing, lines: Sequence[PayoutLine], awards: Sequence[AwardRecord]
) -> Iterator[str]:
    if ledger.config_note:
        yield ledger.config_note
    if not awards:
        yield NOBODY
    if standing.owed:
        owed = format_yuan(sum(award.amount for award in standing.owed))
        act = f"settle {ledger.key} 补发" if ledger.opened.closed_at is None else f"adjust {ledger.key} 处理"
        words = f"按台账有 {len(standing.owed)} 项节节高（共 {owed} 元）条件已达到、还没有发放，不在本表内"
        yield f"{words}；请用 reconcile {ledger.key} 核对，属实的用 {act}"
    if standing.unearned:
        yield f"有 {len(standing.unearned)} 项节节高发放之后，累计业绩已达不到条件；请用 reconcile {ledger.key} 核对"
    negative = [line.housekeeper for line in lines if line.to_pay < 0]
    if negative:
        yield f"应发为负数，请核对：{'、'.join(negative)}"
