"""The guard on running campaigns: what has changed since a campaign's last run, and what a person must accept.

A campaign runs once its ledger holds contracts. From then on a changed `housekeeper_key`, and an award that has been
granted and that nothing grants any more (renamed or removed), are faults until a person accepts them
(`check --accept KEY`). Acceptance is for one configuration: a further change has to be accepted anew. Once a run has
worked by a configuration, it is what later ones are compared with. Every other change is a warning until that run.

Where the last configuration is not known (another version of the program wrote it), all granted awards are guarded. A
closed campaign is guarded no more: nothing works by its entry again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.engine import Connection

from modules.database import record_act
from modules.errors import JobRefusedError
from modules.explanation_words import ADJUSTMENT
from modules.rewards.campaign import Campaign
from modules.rewards.config_changes import config_changes
from modules.rewards.faults import Fault, Location, join_path
from modules.rewards.rule import NO_ROWS
from modules.rewards.rules import rules_of
from modules.rewards.validation import entry_path
from modules.tables import awards, campaigns, config_snapshots, performance

_PAYEE: Location = ("housekeeper_key",)

KindAndName = tuple[str, str]


class ConfigNotAcceptedError(JobRefusedError):
    """The configuration of a running campaign has changed in a way that a person must accept first."""


@dataclass(frozen=True)
class Guarded:
    """What the guard says of a configuration: what a person must accept before it runs, and other changes."""

    to_accept: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    remedy: str = ""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What must be accepted, with the way to do it."""
        return tuple(Fault(fault.path, f"{fault.text}；{self.remedy}") for fault in self.to_accept)


def guard(
    last: Campaign | None, present: Campaign, granted: Collection[KindAndName], accepted_hash: str | None
) -> Guarded:
    """Hold a configuration against that of the last run (None: not known). Pure.

    `granted` are the awards granted so far; `accepted_hash` names the configuration that a person has accepted.
    """
    changes = {change.location: change.text for change in config_changes(last, present)} if last else {}
    grave = [] if accepted_hash == present.config_hash() else list(_grave(last, present, granted, changes))
    told = {at for at, _ in grave}
    others = [(at, f"已运行的活动改动了 {text}") for at, text in changes.items() if at not in told]
    if last is None:
        others.append(((), "上次运行所用的配置读不到，或是另一个版本的程序写的；没有比较改动"))

    def listed(found: Iterable[tuple[Location, str]]) -> tuple[Fault, ...]:
        return tuple(Fault(entry_path(present.key, at), text) for at, text in found)

    return Guarded(listed(grave), listed(others), f"请改回；确实要改，请运行 check --accept {present.key}")


def _grave(
    last: Campaign | None, present: Campaign, granted: Collection[KindAndName], changes: Mapping[Location, str]
) -> Iterator[tuple[Location, str]]:
    if _PAYEE in changes:
        yield _PAYEE, f"已运行的活动改动了 {changes[_PAYEE]}，累计和奖励会记到别的对象名下"
    before: dict[KindAndName, Location] = _grantable(last) if last else dict.fromkeys(granted, ())
    now = _grantable(present)
    for (kind, name), at in before.items():
        if (kind, name) in granted and (kind, name) not in now:
            award = f"{kind}“{name}”" if any(name == other for _, other in now) else f"“{name}”"
            around = [at[:length] for length in range(len(at), 0, -1)]  # and not an item that has come to its place
            place = next((one for one in around if one in changes and isinstance(one[-1], str)), None)
            if place is None:
                yield at[:1], f"{award}已经发过，现在没有任何规则会发它了"
            else:
                yield place, f"已运行的活动改动了 {changes[place]}，而{award}已经发过"


def _grantable(campaign: Campaign) -> dict[KindAndName, Location]:
    """Every award that the rules can grant, and where it is named. An award is its kind too: a name may be shared."""
    named = {join_path("", at[:-1]): at for at, _ in campaign.grantable()}
    grants = [grant for rule in rules_of(campaign) for grant in rule.judge(NO_ROWS, {}).grants]
    return {(grant.kind, grant.name): named.get(grant.path, ()) for grant in grants}


def guarded(connection: Connection, campaign: Campaign) -> Guarded:
    """What the guard says of a campaign's present configuration, by its ledger."""
    on_snapshot = config_snapshots.c.hash == campaigns.c.config_hash
    known = sa.select(campaigns.c.config_hash, campaigns.c.accepted_hash, config_snapshots.c.config)
    known = known.select_from(sa.outerjoin(campaigns, config_snapshots, on_snapshot))
    is_open = (campaigns.c.key == campaign.key, campaigns.c.closed_at.is_(None))
    row = connection.execute(known.where(*is_open)).one_or_none()
    has_run = sa.exists().where(performance.c.campaign == campaign.key)
    if row is None or row.config_hash == campaign.config_hash() or not connection.scalar(sa.select(has_run)):
        return Guarded()
    by_rules = (awards.c.campaign == campaign.key, awards.c.kind != ADJUSTMENT)
    chosen = sa.select(awards.c.kind, awards.c.name).where(*by_rules).distinct()
    granted = frozenset((kind, name) for kind, name in connection.execute(chosen))
    return guard(_read(row.config), campaign, granted, row.accepted_hash)


def require_accepted(connection: Connection, campaign: Campaign) -> Guarded:
    """The same for who is about to work by it. Raises ConfigNotAcceptedError."""
    found = guarded(connection, campaign)
    if found.faults:
        raise ConfigNotAcceptedError("\n".join(map(str, found.faults)))
    return found


def accept(connection: Connection, campaign: Campaign, now: datetime, who: str) -> tuple[Fault, ...]:
    """A person accepts what the guard holds back; returns it. Where it holds back nothing, nothing changes."""
    found = guarded(connection, campaign).to_accept
    if found:
        accepted = sa.update(campaigns).where(campaigns.c.key == campaign.key)
        connection.execute(accepted.values(accepted_hash=campaign.config_hash()))
        record_act(connection, now, who, "accept-config", "\n".join(map(str, found)))
    return found


def _read(config: str | None) -> Campaign | None:
    try:
        return Campaign.from_json(config) if config else None
    except (ValidationError, ValueError):
        return None
