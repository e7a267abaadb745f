"""What can come of an attempt to send a message. Every sender answers with one of these five, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from modules.recipients import RecipientSettings


@dataclass(frozen=True)
class Sent:
    """The other side confirmed that it has the message; where it can't confirm, `note` in Chinese says so."""

    note: str = ""


@dataclass(frozen=True)
class Retry:
    """Certainly not sent, and worth another try: `reason` in Chinese, not before `after` where the other
    side named a time (None: the queue's own back-off), and at most `max_attempts` tries where it asks for
    fewer than the task allows."""

    reason: str
    after: timedelta | None = None
    max_attempts: int | None = None


@dataclass(frozen=True)
class Failed:
    """Certainly not sent, and no further try will change that; `reason` in Chinese says what to do."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """It left, and nobody answered: it may or may not have arrived; `reason` in Chinese says what was seen."""

    reason: str


@dataclass(frozen=True)
class NotNow:
    """Certainly not sent, as this machine can't send at the moment, whatever the message is: it costs no try.
    `reason` in Chinese says what to do."""

    reason: str


Outcome = Sent | Retry | Failed | Unknown | NotNow


class LeavingRefusedError(Exception):
    """The message must not leave: the task is somebody else's by now, or that it leaves can't be written down."""


Leave = Callable[[], None]
"""For senders that are long busy before a message leaves: commits that it leaves now. Raises LeavingRefusedError."""


class Sender(Protocol):
    """A way out of the house."""

    def send(self, recipient: RecipientSettings, message: str) -> Outcome:
        """Try once to bring `message` to `recipient`. Never raises for what the other side does."""
        ...
