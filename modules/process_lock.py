"""Who is alive: lock files below `data/state`, held by the operating system and let go by it when a process dies.

`daemon.lock` makes the daemon single per data folder. Every process that claims tasks holds a lock of its own below
`workers/`, so that after a crash the next process knows at once, and for certain, whose claims are orphaned.
"""

import os
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

DAEMON_WAIT_SECONDS = 2.0
"""A one-shot command looks at the daemon's lock for a moment; a starting daemon waits that out."""


class AlreadyRunningError(Exception):
    """Another daemon works on this data folder."""


@contextmanager
def daemon_lock(state_dir: Path) -> Iterator[None]:
    """Held for the daemon's life. Raises AlreadyRunningError."""
    lock = _lock(state_dir / "daemon.lock")
    try:
        lock.acquire(timeout=DAEMON_WAIT_SECONDS)
    except Timeout as error:
        raise AlreadyRunningError(
            f"已有一个调度程序在使用数据文件夹 {state_dir.parent}；请先关闭它，或用 DATA_DIR 换一个文件夹"
        ) from error
    try:
        yield
    finally:
        lock.release()


def daemon_is_alive(state_dir: Path) -> bool:
    """Whether a daemon works on this data folder."""
    return _is_held(state_dir / "daemon.lock")


@contextmanager
def worker_lock(state_dir: Path) -> Iterator[str]:
    """The name of this worker, which counts as alive until the block or the process ends.

    The file stays where the block is left by an exception: like a crash, that may leave claims behind.
    """
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    path = _worker_file(state_dir, name)
    lock = _lock(path)
    lock.acquire()
    try:
        yield name
    finally:
        lock.release()
    path.unlink(missing_ok=True)


def dead_workers(state_dir: Path) -> frozenset[str]:
    """Workers of this data folder that ended without a word."""
    files = (state_dir / "workers").glob("*.lock")
    return frozenset(file.stem for file in files if not _is_held(file))


def forget_workers(state_dir: Path, names: Iterable[str]) -> None:
    """Once their claims are settled."""
    for name in names:
        _worker_file(state_dir, name).unlink(missing_ok=True)


@contextmanager
def views_lock(state_dir: Path, timeout: float) -> Iterator[None]:
    """One writer of CSV and JSON files at a time. Raises filelock.Timeout after `timeout` seconds."""
    with _lock(state_dir / "views.lock").acquire(timeout=timeout):
        yield


def _worker_file(state_dir: Path, name: str) -> Path:
    return state_dir / "workers" / f"{name}.lock"


def _lock(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, thread_local=False)


def _is_held(path: Path) -> bool:
    try:
        with _lock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True
