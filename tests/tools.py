"""What tests of any kind need: to wait for something, a free port, a process that dies at the commit."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy.engine import Connection

from modules.database import Database


def wait_until(met: Callable[[], bool], seconds: float = 60) -> None:
    """Until the condition comes true; one that never does fails the test."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def already_left() -> None:
    """For a sender that is asked outside the queue: there is nothing to mark."""


class KilledError(Exception):
    """Stands for the end of the process."""


def dying(database: Database, *, committed: bool = False) -> Callable[[], AbstractContextManager[Connection]]:
    """Transactions of a process that dies just before the commit, or just after it: KilledError."""

    @contextmanager
    def writing() -> Iterator[Connection]:
        with database.writing() as connection:
            yield connection
            if not committed:
                raise KilledError
        raise KilledError

    return writing
