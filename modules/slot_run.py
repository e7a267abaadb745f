"""One run of a slot, in a thread of its own, that can be broken off.

A thread can't be ended from outside. What can be ended is its right to write: a run that is broken off begins no
transaction any more, and one in progress does not commit once its time is over.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection

from modules import job_runs
from modules.application import Application
from modules.job_outcome import outcome_of
from modules.job_runs import Claim, Ended, SlotLostError
from modules.log_context import logged_as
from modules.scheduled_job import Job


class SlotRun:
    """`done` is set once the thread has come to its end; `ended` then says how, unless something ended the thread."""

    def __init__(self, app: Application, job: Job, claim: Claim) -> None:
        self.job = job
        self.claim = claim
        self.done = threading.Event()
        self.ended: Ended | None = None
        self.renewed = self.started = time.monotonic()
        self._app = app
        self._takes_no_more = False
        self._is_void = False
        self._transaction = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=job.key, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def hangs(self) -> bool:
        """Whether the thread is still there."""
        return self._thread.is_alive()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, as long as this run holds its slot. Raises SlotLostError, at its end too."""
        with self._transaction:
            if self._takes_no_more:
                raise SlotLostError(self.job.key)
            with job_runs.writing(self._app.database, self.claim) as connection:
                yield connection
                if self._is_void:
                    raise SlotLostError(self.job.key)

    def break_off(self, patience: float) -> None:
        """From now on it begins no transaction; one in progress has so many seconds to end, then it can't commit."""
        self._takes_no_more = True
        if self._transaction.acquire(timeout=patience):
            self._transaction.release()
        self._is_void = True

    def _work(self) -> None:
        job, claim = self.job, self.claim
        try:
            with logged_as(f"{job.key}#{claim.run_id}"):
                self.ended = outcome_of(job.key, lambda: job.run(self._app, claim.slot, self.writing))
        finally:
            self.done.set()
