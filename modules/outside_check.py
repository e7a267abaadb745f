"""The check from outside (`status --alert`): somebody else hears where the daemon or the robot of operations is dead.

It is started by the Task Scheduler or cron, not by the daemon, and does all by itself: it looks, writes down what it
has told, and sends through the lane of that recipient alone. Where the database can't be opened, it tells so directly.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from modules.application import Application
from modules.clock import format_moment
from modules.direct_note import DirectNote
from modules.errors import JobRefusedError
from modules.heartbeat import DaemonState
from modules.lanes import Lane
from modules.message_maker import BROADCAST, word_to
from modules.message_sender import MessageSender
from modules.outbox import enqueue, known_keys
from modules.recipients import OPERATIONS
from modules.senders.outcome import Sent, Unknown
from modules.settings import Settings
from modules.troubles import KEYS_START, Eyes, Told, settle, take_turn
from modules.watch import Trouble, stuck
from modules.watch_facts import machine_name, operations_fail, read_waiting, to_operations

log = logging.getLogger(__name__)

STOP_GRACE = timedelta(minutes=15)
"""A daemon that was asked to end may be about to be started again."""

DIRECT_EVERY = timedelta(hours=6)

SendNow = Callable[[Application, Lane], object]


@dataclass(frozen=True)
class Seen:
    """What is wrong as seen from outside; of the keys `untold` nothing can be said at the moment."""

    troubles: list[Trouble]
    untold: Collection[str] = ()


def require_second(settings: Settings) -> str:
    """The recipient who is told. Raises JobRefusedError where there is none."""
    second = settings.health.second_recipient
    if not second:
        raise JobRefusedError(
            "没有设置第二收件人：请在 config/settings.yaml 的 health.second_recipient 写上 recipients 里的一个收件人"
            "（不能是 ops）"
        )
    return second


@dataclass(frozen=True)
class Checked:
    """What there was to tell; of the troubles `unsent` the message waits in the queue for the next check."""

    told: Told
    unsent: frozenset[str]


def look_and_tell(app: Application, daemon: DaemonState, now: datetime, send_now: SendNow) -> Checked:
    """Look, tell what has begun and what is over, and send it. Raises JobRefusedError without a second recipient."""
    second = require_second(app.settings)
    eyes = Eyes(f"check:{machine_name(app.settings)}", second)
    with app.database.writing() as connection:
        take_turn(connection)
        seen = _look(connection, app.settings, daemon, now)
        told = settle(connection, app.settings, eyes, seen.troubles, now, seen.untold)
        _withdraw_direct_word(connection, app.settings, second, now)
    DirectNote(app.settings).remove()
    for lane in app.sender.lanes():
        send_now(app, lane.only(second))
    return Checked(told, _unsent(app, told))


def tell_directly(settings: Settings, reason: str, now: datetime) -> bool:
    """The database can't be opened: tell the second recipient without the queue, at most every few hours.

    Returns whether it was told. A note is left before the message leaves. Raises JobRefusedError without a second
    recipient.
    """
    second, note = require_second(settings), DirectNote(settings)
    told_at = note.told_at
    if told_at is not None and abs(now - told_at) < DIRECT_EVERY:
        return False
    note.leave(now)
    text = f"⚠️ 打不开数据库，签约激励调度程序的状态不明：{reason}"
    outcome = MessageSender(settings).send(0, second, BROADCAST, text, lambda: None)
    if isinstance(outcome, Sent | Unknown):
        return True
    log.error("没能告知 %s：%s", second, outcome.reason)
    note.remove()
    return False


def _look(connection: Connection, settings: Settings, daemon: DaemonState, now: datetime) -> Seen:
    found, untold = [], []
    if daemon.state != "running":
        at = daemon.heartbeat.at if daemon.heartbeat else None
        if daemon.was_asked_to_end and at is not None and now - at < STOP_GRACE:
            untold.append("daemon")
        else:
            found.append(Trouble("daemon", f"签约激励后台程序{daemon.words}（{machine_name(settings)}）"))
    reason = operations_fail(connection)
    late = stuck(read_waiting(connection, now, to_operations()), settings.recipients, now)
    if reason is not None:
        found.append(_operations_trouble(f"发送失败或不知是否送达，原因：{reason}"))
    elif daemon.state != "running":
        untold.append("operations")  # nobody sends
    elif late:
        waiting, since = late[0]
        why = f"，原因：{waiting.reason}" if waiting.reason else ""
        found.append(_operations_trouble(f"有 {waiting.count} 条发不出去，最早一条从 {format_moment(since)} 等起{why}"))
    return Seen(found, untold)


def _unsent(app: Application, told: Told) -> frozenset[str]:
    with app.database.reading() as connection:
        is_sent = known_keys(connection, list(told.messages.values()))
    return frozenset(key for key, message in told.messages.items() if not is_sent.get(message))


def _operations_trouble(words: str) -> Trouble:
    return Trouble("operations", f"给 {OPERATIONS} 的消息{words}；系统告警可能没有人收到，请检查它的机器人")


def _withdraw_direct_word(connection: Connection, settings: Settings, second: str, now: datetime) -> None:
    told_at = DirectNote(settings).told_at
    if told_at is not None:
        key = f"{KEYS_START}direct:{told_at:%Y%m%d%H%M%S}:end"
        enqueue(connection, word_to(settings, second, key, "✅ 已解除：数据库又能打开了"), now)
