"""The housekeepers of a campaign, best first: totals, the way to the next tier, awards, payout. Pure but for SQL sums.

Counts, performance and payout are those of `payout`; progress is towards the lowest tier not yet granted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.campaign_ledger import CampaignLedger
from modules.figures.cut import Cut, Track
from modules.ledger_records import AwardRecord
from modules.payout import award_names, lines_of
from modules.rewards.campaign import Campaign
from modules.rewards.engine import award_by_name
from modules.rewards.frame import housekeeper_of
from modules.rewards.money import format_yuan
from modules.rewards.rule import Position
from modules.rewards.rules import Tiers
from modules.tables import awards, performance


@dataclass(frozen=True)
class NextTier:
    """The lowest tier that a payee has not been granted, and what is missing: contracts, and performance in fen.

    `progress` is between 0 and 1: the smaller of the two shares. `threshold` is the performance that it takes, `worth`
    what it pays the payee, in fen.
    """

    name: str
    progress: float
    contracts: int
    fen: int
    threshold: int
    worth: int

    @property
    def is_near(self) -> bool:
        """At most one contract and a tenth of the threshold are missing, and yet something is."""
        return bool(self.contracts or self.fen) and self.contracts <= 1 and self.fen * 10 <= self.threshold

    @property
    def missing(self) -> str:
        """In words: `2 单、8,578.72 元`."""
        contracts = [f"{self.contracts} 单"] if self.contracts else []
        amount = [f"{format_yuan(self.fen)} 元"] if self.fen else []
        return "、".join([*contracts, *amount]) or "已达到，待发放"


@dataclass(frozen=True)
class Rank:
    """One payee. `contracts` are all with a number, `performance` that of the standing ones; money in fen.

    `awards` are the names with how often each was granted; `owed` are the tiers that are reached and not yet granted,
    with what each pays.
    """

    place: int
    payee: str
    housekeeper: str
    provider: str
    contracts: int
    performance: int
    next_tier: NextTier | None
    awards: Mapping[str, int]
    payout: int
    owed: Mapping[str, int]

    @property
    def is_near(self) -> bool:
        """Whether the next tier is."""
        return self.next_tier is not None and self.next_tier.is_near

    @property
    def awards_words(self) -> str:
        return "、".join(f"{name}×{number}" if number > 1 else name for name, number in self.awards.items())


@dataclass(frozen=True)
class Ranking:
    """A campaign's ranking; `names` of all awards in order of the configuration, `note` on what it is read by."""

    campaign: str
    closed_at: datetime | None
    note: str
    names: tuple[str, ...]
    has_tiers: bool
    ranks: tuple[Rank, ...]


@dataclass(frozen=True)
class Signed:
    """What a payee signed within some days or on one track, as registered; money in fen."""

    contracts: int
    amount: int
    performance: int


def ranking_of(ledger: CampaignLedger, awards: Sequence[AwardRecord]) -> Ranking:
    """By performance, then contracts, then in order of the ledger. `awards` are all that the campaign has."""
    campaign, standing = ledger.campaign, ledger.standing
    positions = standing.positions if standing else {}
    names = award_names(campaign, awards) if campaign else tuple(dict.fromkeys(award.name for award in awards))
    granted: dict[str, dict[str, int]] = {}
    for award in awards:
        of_payee = granted.setdefault(award.payee, {})
        of_payee[award.name] = of_payee.get(award.name, 0) + 1
    owed: dict[str, dict[str, int]] = {}
    for one in standing.owed if standing else ():
        owed.setdefault(one.payee, {})[one.name] = one.amount
    lines = sorted(lines_of(names, positions, awards), key=lambda line: (-line.performance_total, -line.contracts))
    ranks = []
    for place, line in enumerate(lines, 1):
        position = positions.get(line.payee)
        ranks.append(
            Rank(
                place=place,
                payee=line.payee,
                housekeeper=line.housekeeper,
                provider=line.provider or "",
                contracts=line.contracts,
                performance=line.performance_total,
                next_tier=next_tier(campaign, line.payee, position),
                awards=granted.get(line.payee, {}),
                payout=line.to_pay,
                owed=owed.get(line.payee, {}),
            )
        )
    return Ranking(
        campaign=ledger.key,
        closed_at=ledger.opened.closed_at,
        note=ledger.config_note,
        names=names,
        has_tiers=bool(campaign and campaign.has_tiers),
        ranks=tuple(ranks),
    )


def housekeepers(connection: Connection, key: str) -> list[str]:
    """Everybody with a contract, an award or an adjustment, best first, without reading the ledger.

    By what counted when it was registered: where the source has changed amounts since, the ranking may differ.
    """
    stands = performance.c.loss_accepted_at.is_(None)
    counted = sa.func.coalesce(sa.func.sum(performance.c.performance).filter(stands), 0)
    numbered = sa.func.count().filter(~performance.c.historical)
    signed = sa.select(performance.c.payee).where(performance.c.campaign == key).group_by(performance.c.payee)
    granted = sa.select(awards.c.payee).where(awards.c.campaign == key).group_by(awards.c.payee)
    payees = [
        *connection.scalars(signed.order_by(counted.desc(), numbered.desc(), sa.func.min(performance.c.id))),
        *connection.scalars(granted.order_by(sa.func.min(awards.c.id))),
    ]
    return list(dict.fromkeys(map(housekeeper_of, payees)))


def next_tier(campaign: Campaign | None, payee: str, position: Position | None) -> NextTier | None:
    """None where there is no ladder, or every step of it has been granted."""
    section = campaign.tiered_rewards if campaign and campaign.has_tiers else None
    if campaign is None or section is None or position is None:
        return None
    is_platform = section.stats == "platform_only"
    count = position.platform_count if is_platform else position.count
    total = position.platform_performance_total if is_platform else position.performance_total
    for tier in section.tiers:
        if (Tiers.kind, tier.name) not in position.granted:
            shares = [1.0]
            shares += [count / section.min_contracts] if section.min_contracts else []
            shares += [total / tier.threshold] if tier.threshold else []
            contracts, fen = max(section.min_contracts - count, 0), max(tier.threshold - total, 0)
            worth = award_by_name(campaign, payee, Tiers.kind, tier.name, {}).amount
            return NextTier(tier.name, max(min(shares), 0.0), contracts, fen, tier.threshold, worth)
    return None


def signed_by_payee(
    connection: Connection, key: str, first: date | None, last: date | None, track: Track
) -> dict[str, Signed]:
    """What each payee signed from the first to the last day on a track; historical contracts are left out."""
    where = Cut(key, first, last, track).numbered()
    sums = (sa.func.count(), sa.func.sum(performance.c.amount), sa.func.sum(performance.c.performance))
    rows = connection.execute(sa.select(performance.c.payee, *sums).where(*where).group_by(performance.c.payee))
    return {payee: Signed(int(number), int(amount), int(counted)) for payee, number, amount, counted in rows}
