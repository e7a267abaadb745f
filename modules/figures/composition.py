"""What a campaign's payout is made of: by award, kind, day, service provider and payee; money in fen.

A day is that on which the winning contract was signed; of what was granted without a contract (corrections,
adjustments) that on which it was granted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.explanation_words import provider_of
from modules.figures.cut import WITH_CONTRACT, Cut, moment_of_award
from modules.figures.days import day_of
from modules.figures.sums import summed
from modules.rewards.frame import housekeeper_of
from modules.tables import awards, performance


@dataclass(frozen=True)
class Part:
    """What one award came to. `people` are the housekeepers, each once; `corrections` is what of the amount was granted
    without a contract."""

    kind: str
    name: str
    number: int
    people: int
    amount: int
    corrections: int


@dataclass(frozen=True)
class DayPart:
    """What awards of one kind came to on one day."""

    day: date
    kind: str
    amount: int


@dataclass(frozen=True)
class ProviderPart:
    """A service provider's contracts, historical ones left out, and what their awards came to.

    `provider` is empty where nobody knows whose it was: grants without a contract to payees that have no provider.
    """

    provider: str
    contracts: int
    amount: int
    awards: int
    payout: int


@dataclass(frozen=True)
class Composition:
    """All of it: largest parts first, days in order; `payouts` by payee, 0 for who signed and won nothing."""

    contracts: int
    amount: int
    parts: tuple[Part, ...]
    days: tuple[DayPart, ...]
    providers: tuple[ProviderPart, ...]
    payouts: Mapping[str, int]

    @property
    def payout(self) -> int:
        return sum(part.amount for part in self.parts)

    def by_person(self) -> dict[str, int]:
        """The payouts of each housekeeper together, for how many providers they sign."""
        return summed((housekeeper_of(payee), amount) for payee, amount in self.payouts.items())

    def kinds(self) -> dict[str, int]:
        """What each kind came to, the largest first."""
        sums = summed((part.kind, part.amount) for part in self.parts)
        return dict(sorted(sums.items(), key=lambda kind: -kind[1]))


def composition_of(connection: Connection, cut: Cut) -> Composition:
    """Everything at once."""
    providers = _providers_of(connection, cut)
    return Composition(
        contracts=sum(one.contracts for one in providers),
        amount=sum(one.amount for one in providers),
        parts=_parts_of(connection, cut),
        days=_days_of(connection, cut),
        providers=providers,
        payouts=_payouts_of(connection, cut),
    )


def _parts_of(connection: Connection, cut: Cut) -> tuple[Part, ...]:
    amount = sa.func.sum(awards.c.amount)
    without_contract = amount.filter(awards.c.contract_id.is_(None))
    people = sa.func.count(sa.distinct(awards.c.housekeeper))
    chosen = sa.select(awards.c.kind, awards.c.name, sa.func.count(), people, amount, without_contract)
    chosen = chosen.select_from(WITH_CONTRACT).where(*cut.awards()).group_by(awards.c.kind, awards.c.name)
    ordered = chosen.order_by(amount.desc(), awards.c.kind, awards.c.name)
    return tuple(
        Part(kind, name, number, people, int(total), int(corrections or 0))
        for kind, name, number, people, total, corrections in connection.execute(ordered)
    )


def _days_of(connection: Connection, cut: Cut) -> tuple[DayPart, ...]:
    day = day_of(connection, moment_of_award).label("day")
    chosen = sa.select(day, awards.c.kind, sa.func.sum(awards.c.amount)).select_from(WITH_CONTRACT)
    grouped = chosen.where(*cut.awards()).group_by("day", awards.c.kind).order_by("day", awards.c.kind)
    return tuple(
        DayPart(date.fromisoformat(day), kind, int(amount)) for day, kind, amount in connection.execute(grouped)
    )


def _providers_of(connection: Connection, cut: Cut) -> tuple[ProviderPart, ...]:
    """The most paid first."""
    signed = sa.select(performance.c.provider, sa.func.count(), sa.func.sum(performance.c.amount))
    signed = signed.where(*cut.numbered()).group_by(performance.c.provider)
    contracts = {provider: (number, int(amount)) for provider, number, amount in connection.execute(signed)}
    whose = sa.case((awards.c.contract_id.is_(None), awards.c.payee), else_="").label("whose")
    granted = sa.select(performance.c.provider, whose, sa.func.count(), sa.func.sum(awards.c.amount))
    granted = granted.select_from(WITH_CONTRACT).where(*cut.awards()).group_by(performance.c.provider, "whose")
    paid: dict[str, tuple[int, int]] = {}
    for provider, payee, number, amount in connection.execute(granted):
        name = provider or provider_of(payee) or ""
        before = paid.get(name, (0, 0))
        paid[name] = (before[0] + number, before[1] + int(amount))
    found = [
        ProviderPart(name, *contracts.get(name, (0, 0)), *paid.get(name, (0, 0)))
        for name in dict.fromkeys([*contracts, *paid])
    ]
    return tuple(sorted(found, key=lambda one: (-one.payout, one.provider)))


def _payouts_of(connection: Connection, cut: Cut) -> dict[str, int]:
    signed = sa.select(performance.c.payee, sa.literal(0).label("amount")).where(*cut.contracts())
    granted = sa.select(awards.c.payee, sa.func.sum(awards.c.amount).label("amount")).select_from(WITH_CONTRACT)
    granted = granted.where(*cut.awards()).group_by(awards.c.payee)
    both = sa.union_all(signed.distinct(), granted).subquery()
    total = sa.func.sum(both.c.amount)
    chosen = sa.select(both.c.payee, total).group_by(both.c.payee).order_by(total.desc(), both.c.payee)
    return {payee: int(amount) for payee, amount in connection.execute(chosen)}
