"""reconcile: a campaign's ledger held against what its source shows. Pure: what was read comes in, differences go out.

Money is in fen here, and in yuan as text in `summary`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modules.campaign_pull import CampaignPull, lost_beyond_belief
from modules.clock import format_moment
from modules.explanation_words import ADJUSTMENT, provider_of
from modules.ledger import Opened
from modules.ledger_records import AwardRecord
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award
from modules.rewards.explain import why
from modules.rewards.frame import housekeeper_of
from modules.rewards.money import plain_yuan
from modules.rewards.standing import Unearned, standing_of


@dataclass(frozen=True)
class BookedContract:
    """A contract as it was registered: these figures were announced and never change."""

    contract_id: str
    contract_number: str
    housekeeper: str
    provider: str
    amount: int


@dataclass(frozen=True)
class ChangedAmount:
    """A registered contract of which the source shows another amount now."""

    contract: BookedContract
    now: int


@dataclass(frozen=True)
class Vanished:
    """A registered contract that the source no longer shows; `accepted`: a person has accepted that it is gone."""

    contract: BookedContract
    accepted: bool


@dataclass(frozen=True)
class UnearnedTier:
    """A tier that was granted and is no longer earned; `adjusted` is what people have adjusted its payee by so far."""

    payee: str
    name: str
    paid: int
    missing: str
    adjusted: int


@dataclass(frozen=True)
class RejectedRow:
    """A source row that can't be used; `registered`: its contract is, and counts with its last good amount."""

    contract_id: str
    reason: str
    registered: bool


@dataclass(frozen=True)
class Reconciliation:
    """What differs. `fetched` source rows, `registered` contracts; `unregistered` counts those to be registered.

    `is_shrunken`: the pull lacks too many contracts to be believed, so what follows from it is not to be relied on.
    """

    campaign: str
    at: datetime
    closed_at: datetime | None
    fetched: int
    registered: int
    is_shrunken: bool
    changed: tuple[ChangedAmount, ...]
    vanished: tuple[Vanished, ...]
    unregistered: int
    owed: tuple[Award, ...]
    unearned: tuple[UnearnedTier, ...]
    rejected: tuple[RejectedRow, ...]

    @property
    def lost(self) -> tuple[Vanished, ...]:
        """The vanished contracts that nobody has accepted to be gone."""
        return tuple(one for one in self.vanished if not one.accepted)

    @property
    def differences(self) -> int:
        """How many differences there are; what a person has accepted is none."""
        listed = (self.changed, self.lost, self.owed, self.unearned, self.rejected)
        return sum(map(len, listed)) + self.unregistered

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        return {
            "campaign": self.campaign,
            "at": format_moment(self.at),
            "closed_at": self.closed_at and format_moment(self.closed_at),
            "fetched": self.fetched,
            "registered": self.registered,
            "differences": self.differences,
            "shrunken": self.is_shrunken,
            "changed": [
                _contract_json(one.contract)
                | {"registered": plain_yuan(one.contract.amount), "now": plain_yuan(one.now)}
                for one in self.changed
            ],
            "vanished": [
                _contract_json(one.contract) | {"amount": plain_yuan(one.contract.amount), "accepted": one.accepted}
                for one in self.vanished
            ],
            "unregistered": self.unregistered,
            "owed": [award_json(award) for award in self.owed],
            "unearned": [
                payee_json(one.payee)
                | {"name": one.name, "paid": plain_yuan(one.paid)}
                | {"missing": one.missing, "adjusted": plain_yuan(one.adjusted)}
                for one in self.unearned
            ],
            "rejected": [row.__dict__ for row in self.rejected],
        }


def reconcile(
    campaign: Campaign,
    at: datetime,
    opened: Opened,
    contracts: Mapping[str, BookedContract],
    awards: Sequence[AwardRecord],
    pull: CampaignPull,
) -> Reconciliation:
    """Hold the ledger against a pull of the same moment.

    `contracts` are the registered ones by id, in ledger order; `awards` are all that the campaign has.
    """
    now = dict(zip(pull.state.registered["contract_id"], pull.state.registered["amount"].tolist(), strict=True))
    standing = standing_of(campaign, pull.state, pull.shown)
    return Reconciliation(
        campaign=campaign.key,
        at=at,
        closed_at=opened.closed_at,
        fetched=len(pull.contracts.sources),
        registered=len(contracts),
        is_shrunken=bool(lost_beyond_belief(opened, pull.shown)),
        changed=tuple(
            ChangedAmount(contract, now[one])
            for one, contract in contracts.items()
            if one in pull.shown and now[one] != contract.amount
        ),
        vanished=tuple(
            Vanished(contract, one in opened.accepted_losses)
            for one, contract in contracts.items()
            if one not in pull.shown
        ),
        unregistered=len(pull.new),
        owed=standing.owed,
        unearned=tuple(with_payments(standing.unearned, awards)),
        rejected=tuple(
            RejectedRow(row.contract_id, row.reason, row.contract_id in contracts) for row in pull.contracts.rejected
        ),
    )


def payee_json(payee: str) -> dict[str, Any]:
    """Whom something is for; `provider` is None where the campaign does not keep payees by it."""
    return {"housekeeper": housekeeper_of(payee), "provider": provider_of(payee)}


def award_json(award: Award) -> dict[str, Any]:
    """An award that is owed or granted as a correction, with the figures that earn it."""
    money = ("performance_total", "platform_performance_total")
    return {
        **payee_json(award.payee),
        "kind": award.kind,
        "name": award.name,
        "amount": plain_yuan(award.amount),
        "count": award.reason["count"],
        "platform_count": award.reason["platform_count"],
        **{name: plain_yuan(int(award.reason[name])) for name in money},
        "why": why(award.reason),
    }


def _contract_json(contract: BookedContract) -> dict[str, Any]:
    return {name: value for name, value in contract.__dict__.items() if name != "amount"}


def with_payments(unearned: Sequence[Unearned], awards: Sequence[AwardRecord]) -> Iterator[UnearnedTier]:
    """Each with what was paid for it and what its payee was adjusted by. `awards` are all that the campaign has."""
    for tier in unearned:
        own = [award for award in awards if award.payee == tier.payee]
        paid = sum(award.amount for award in own if (award.kind, award.name) == (tier.kind, tier.name))
        adjusted = sum(award.amount for award in own if award.kind == ADJUSTMENT)
        yield UnearnedTier(tier.payee, tier.name, paid, tier.missing, adjusted)
