"""Troubles from beginning to end: what was found is held against what is open, and people are told of the difference.

A trouble is told once when it begins, perhaps again by the day, and once when it is over. The row of the trouble and
the message for the queue are written in one transaction, and the message's key comes from the row: so that nothing is
told twice or not at all, whoever crashes when. On PostgreSQL several daemons look; they take turns.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.clock import format_moment
from modules.database import wait_for_turn
from modules.message_maker import word_to
from modules.outbox import enqueue
from modules.settings import Settings
from modules.tables import troubles
from modules.watch import Trouble

TROUBLES_LOCK = 0x7A54
"""Names the advisory lock under which troubles are looked for on PostgreSQL."""

REMINDED_EVERY = timedelta(days=1)
KEYS_START = "trouble:"
"""How the keys of all messages start that tell of troubles."""

Step = Literal["begin", "tell", "remind", "end", "reword"]


@dataclass(frozen=True)
class Known:
    """An open trouble as its row has it; `what` are the words that it was last seen with."""

    id: int
    key: str
    what: str
    since: datetime
    told_at: datetime | None
    reminded_at: datetime | None


@dataclass(frozen=True)
class Eyes:
    """Who looks, and who is told: `seen_by` keeps apart what different eyes see; `recipient` is a key of settings."""

    seen_by: str
    recipient: str


@dataclass
class Told:
    """What one look led to, by the key of the trouble; messages are in the queue already, `messages` names them."""

    begun: list[str] = field(default_factory=list)
    reminded: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        return {"begun": len(self.begun), "reminded": len(self.reminded), "ended": len(self.ended)}


def next_step(known: Known | None, found: Trouble | None, now: datetime) -> Step | None:
    """What is to be done about one trouble: known or not, found again or not. Pure."""
    if known is None:
        return "begin" if found else None
    if found is None:
        return "end"
    if known.told_at is None:
        return "tell" if now - known.since >= found.patience else None
    last_told = known.reminded_at or known.told_at
    has_news = found.reminds or (found.newest is not None and found.newest > last_told)
    if has_news and now - last_told >= REMINDED_EVERY:
        return "remind"
    return "reword" if found.words != known.what else None


def is_news(connection: Connection, eyes: Eyes, found: Sequence[Trouble], now: datetime) -> bool:
    """Whether `settle` would have anything to do; for a look that shall take no lock."""
    known = _open_of(connection, eyes)
    wanted = {trouble.key: trouble for trouble in found}
    return any(next_step(known.get(key), wanted.get(key), now) for key in known.keys() | wanted.keys())


def take_turn(connection: Connection) -> None:
    """Before the state is read that `settle` is given: else two that look at once could find different things."""
    wait_for_turn(connection, TROUBLES_LOCK)


def settle(
    connection: Connection,
    settings: Settings,
    eyes: Eyes,
    found: Sequence[Trouble],
    now: datetime,
    untold: Collection[str] = (),
) -> Told:
    """Bring the table up to what was `found`, and queue what there is to tell, in the caller's transaction.

    Of the keys `untold` nothing can be said at the moment: they stay as they are.
    """
    known = _open_of(connection, eyes)
    wanted = {trouble.key: trouble for trouble in found}
    told = Told()
    keys = [*wanted, *(key for key in known if key not in wanted)]
    for key in keys:
        if key not in untold:
            _settle_one(connection, settings, eyes, known.get(key), wanted.get(key), now, told)
    return told


def open_troubles(connection: Connection) -> list[dict[str, Any]]:
    """All that is open, the oldest first: key, seen_by, what, since, told_at."""
    columns = (troubles.c.key, troubles.c.seen_by, troubles.c.what, troubles.c.since, troubles.c.told_at)
    chosen = sa.select(*columns).where(troubles.c.ended_at.is_(None)).order_by(troubles.c.id)
    return [dict(row) for row in connection.execute(chosen).mappings()]


def forget_ended(connection: Connection, before: datetime) -> int:
    """Delete what was over before a moment; returns how many."""
    return connection.execute(sa.delete(troubles).where(troubles.c.ended_at < before)).rowcount


def _settle_one(
    connection: Connection,
    settings: Settings,
    eyes: Eyes,
    known: Known | None,
    found: Trouble | None,
    now: datetime,
    told: Told,
) -> None:
    step = next_step(known, found, now)
    if step == "begin" and found is not None:
        known = _insert(connection, eyes, found, now)
        step = next_step(known, found, now)
    if known is None or step is None:
        return
    if found is None:
        _change(connection, known, {"ended_at": now})
        if known.told_at is not None:
            since = format_moment(known.since)
            what = known.what.partition("；请")[0]  # nobody is to do any more what was asked for
            told.messages[known.key] = key = f"{KEYS_START}{known.id}:end"
            _enqueue(connection, settings, eyes, key, f"✅ 已解除（{since} 开始）：{what}", now)
            told.ended.append(known.key)
        return
    values: dict[str, object] = {"what": found.words}
    begin = f"{KEYS_START}{known.id}:begin"
    if step == "tell" and _enqueue(connection, settings, eyes, begin, f"⚠️ {found.words}", now):
        values["told_at"] = now
        told.messages[known.key] = begin
        told.begun.append(known.key)
    if step == "remind":
        words = f"⏰ {format_moment(known.since)} 起一直没有解决：{found.words}"
        told.messages[known.key] = key = f"{KEYS_START}{known.id}:remind:{now:%Y-%m-%d}"
        _enqueue(connection, settings, eyes, key, words, now)
        values["reminded_at"] = now
        told.reminded.append(known.key)
    _change(connection, known, values)


def _enqueue(connection: Connection, settings: Settings, eyes: Eyes, key: str, text: str, now: datetime) -> int:
    return enqueue(connection, word_to(settings, eyes.recipient, key, text), now)


def _open_of(connection: Connection, eyes: Eyes) -> Mapping[str, Known]:
    columns = [troubles.c[name] for name in Known.__dataclass_fields__]
    chosen = sa.select(*columns).where(troubles.c.seen_by == eyes.seen_by, troubles.c.ended_at.is_(None))
    found = [Known(*row) for row in connection.execute(chosen.order_by(troubles.c.id))]
    return {known.key: known for known in found}


def _insert(connection: Connection, eyes: Eyes, found: Trouble, now: datetime) -> Known:
    values = {"key": found.key, "seen_by": eyes.seen_by, "what": found.words, "since": now}
    number = connection.execute(sa.insert(troubles).values(values).returning(troubles.c.id)).scalar_one()
    return Known(number, found.key, found.words, now, None, None)


def _change(connection: Connection, known: Known, values: Mapping[str, object]) -> None:
    connection.execute(sa.update(troubles).where(troubles.c.id == known.id).values(values))
