"""Which run of a job a log line belongs to: said once, where the run begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_run: ContextVar[str] = ContextVar("run", default="")


@contextmanager
def logged_as(run: str) -> Iterator[None]:
    """Within, log lines of this thread carry the name of this run, such as `BJ-2025-05#12`."""
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


def current_run() -> str:
    """The run that this thread works on; empty where there is none."""
    return _run.get()
