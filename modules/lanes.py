"""Which senders a worker uses together: a lane. A claim is for one lane at a time."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import get_args

from modules.errors import JobRefusedError
from modules.recipients import SenderName

SENDER_NAMES: tuple[SenderName, ...] = get_args(SenderName)

AT_ONCE = 20
"""Tasks per claim: enough that claiming costs little, few enough that several workers share the work."""

DESKTOP_AT_ONCE = 5
"""The same by keyboard, where a message takes a second or more: other senders get their turn in between."""


@dataclass(frozen=True)
class Lane:
    """Senders that a worker uses together. `at_once`: how many tasks to claim at a time; `taken`: what to hold while
    they are sent, whose value tells whether it could be had. With a `recipient` only what is for that one.

    Its senders say themselves when a message leaves, where it `leaves_late`.
    """

    senders: frozenset[SenderName]
    at_once: int = AT_ONCE
    recipient: str | None = None
    taken: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(True)
    leaves_late: bool = False

    def only(self, recipient: str) -> "Lane":
        """The same lane for one recipient."""
        return replace(self, recipient=recipient)


def chosen_senders(text: str) -> frozenset[SenderName]:
    """`a,b` → these senders; all where it is empty. Raises JobRefusedError."""
    named = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(named) - set(SENDER_NAMES))
    if unknown:
        raise JobRefusedError(f"没有发送方式 {'、'.join(unknown)}；可用：{'、'.join(SENDER_NAMES)}")
    return frozenset(name for name in SENDER_NAMES if not named or name in named)
