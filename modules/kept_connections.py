"""Connections to a SQLite file that stay open from one transaction to the next, whichever thread it runs in.

A pool's checking out and in takes as long as a whole small transaction of SQLite. Here the last connection that became
free is the next to be used; a transaction inside another one has its own. So as many are open as were once needed at
the same time, however many threads come and go.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection, Engine

from modules.prepared import on_driver


class KeptConnections:
    """The connections of one engine without a pool: its `connect` opens, and a connection's `close` closes the file."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: list[Connection] = []
        self._is_closed = False
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self, begin: str) -> Iterator[Connection]:
        """One transaction that is begun by these words. After an error its connection is not used again.

        Not begun by an event of the engine: as soon as one is listened to, every statement pays for looking at all.
        """
        connection = self._take()
        try:
            with connection.begin():
                on_driver(connection, begin)
                yield connection
        except BaseException:
            connection.close()
            raise
        self._keep(connection)

    def close(self) -> None:
        """Close what is idle now, and each that is in use as soon as it is not: from now on none is kept."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._engine.connect()

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()
