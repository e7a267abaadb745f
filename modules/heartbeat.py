"""The daemon's heartbeat: a file that says when its main loop last came round, and whether it was asked to end.

The lock tells whether the process lives (`process_lock`), the heartbeat whether it does anything: a process that hangs
holds its lock for ever. A daemon that ends as it should leaves a note in the file, one that crashed leaves none.
"""

import logging
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from modules.clock import format_moment, in_shanghai
from modules.file_utils import write_atomically
from modules.process_lock import daemon_is_alive
from modules.settings import Settings
from modules.system_words import reason_of
from modules.version import version

log = logging.getLogger(__name__)

BEAT_EVERY = timedelta(seconds=15)
SILENT_AFTER = timedelta(seconds=90)

EXIT_CODES = {"running": 0, "unknown": 1, "dead": 3, "silent": 4}
"""Of `main.py status`; 1 and 2 say, as always, that the command itself could not be done."""


class Heartbeat(BaseModel):
    """What the daemon last said. `worker_alive` is None where it sends nothing; `health_fault` tells why the health
    server does not answer (empty: it does, or is not wanted); `stopped`: it was asked to end, and has."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    started_at: datetime
    pid: int
    version: str
    config_hash: str = ""
    worker_alive: bool | None = None
    health_fault: str = ""
    stopped: bool = False


@dataclass(frozen=True)
class DaemonState:
    """How the daemon of a data folder is. `was_asked_to_end` is said of a dead one."""

    state: Literal["running", "silent", "dead", "unknown"]
    words: str
    heartbeat: Heartbeat | None
    was_asked_to_end: bool = False

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.state]


def daemon_state(settings: Settings, now: datetime) -> DaemonState:
    """How the daemon of this data folder is at this moment."""
    is_alive = daemon_is_alive(settings.state_dir)
    return judge(read_heartbeat(settings.state_dir), now, is_alive=is_alive)


def seen_daemon(settings: Settings, now: datetime) -> DaemonState:
    """The same for who only looks, and may lack the right to try the lock: then nobody knows."""
    try:
        return daemon_state(settings, now)
    except OSError as error:
        heartbeat = read_heartbeat(settings.state_dir)
        last = _last_words(heartbeat)
        reason = f"读写不了 {error.filename or settings.state_dir}（{reason_of(error)}）"
        words = f"在不在运行，不知道：{reason}，{last}；请检查 DATA_DIR 和权限"
        return DaemonState("unknown", words, heartbeat)


def judge(heartbeat: Heartbeat | None, now: datetime, *, is_alive: bool) -> DaemonState:
    """The same from what was found. A heartbeat from the future is an old one: the clock was set back."""
    last = _last_words(heartbeat)
    if not is_alive:
        if heartbeat is None:
            return DaemonState("dead", "没有在运行，请启动", None)
        if heartbeat.stopped:
            words = f"没有在运行：{format_moment(heartbeat.at)} 被正常停止；若不是有意，请重新启动"
            return DaemonState("dead", words, heartbeat, was_asked_to_end=True)
        return DaemonState("dead", f"没有在运行：异常中断，{last}；请看 logs/app.log，再重新启动", heartbeat)
    if heartbeat is None or abs(now - heartbeat.at) > SILENT_AFTER:
        process = f"进程 {heartbeat.pid}" if heartbeat else "进程"
        return DaemonState(
            "silent", f"没有反应：{process} 还在，{last}；请看磁盘是否已满，没有满就结束这个进程，再重新启动", heartbeat
        )
    if heartbeat.worker_alive is False:
        return DaemonState("silent", "发送线程已停，消息发不出去；请重新启动后台程序", heartbeat)
    return DaemonState("running", "正在运行", heartbeat)


def _last_words(heartbeat: Heartbeat | None) -> str:
    return f"最后一次心跳 {format_moment(heartbeat.at)}" if heartbeat else "没有心跳"


def is_missed(daemon: DaemonState, *, is_shared: bool, is_needed: bool) -> bool:
    """Whether a person should see to it. Where none has ever run, it runs on another machine, or there is none yet.

    One that was asked to end is missed where there is work for it (`is_needed`) that no other one can do: several
    machines may work on one database (`is_shared`).
    """
    if daemon.state in ("running", "unknown") or daemon.heartbeat is None:
        return daemon.state == "silent"
    return not daemon.was_asked_to_end or (is_needed and not is_shared)


def read_heartbeat(state_dir: Path) -> Heartbeat | None:
    """The last heartbeat; None where there is none that can be read."""
    try:
        found = Heartbeat.model_validate_json(_file(state_dir).read_bytes())
    except (OSError, ValidationError):
        return None
    return found.model_copy(update={"at": in_shanghai(found.at), "started_at": in_shanghai(found.started_at)})


class Pulse:
    """The heartbeat of this process, for whoever holds the daemon's lock."""

    def __init__(self, settings: Settings) -> None:
        self._state_dir = settings.state_dir
        self._started_at: datetime | None = None
        self._could_write = True

    def beat(self, now: datetime, config_hash: str, worker_alive: bool | None, health_fault: str = "") -> None:
        """Say that the main loop has come round."""
        self._say(now, config_hash, worker_alive, health_fault)

    def start(self, now: datetime) -> None:
        """The first beat, so that one of an earlier daemon is not taken for this one's."""
        self._say(now)

    def stop(self, now: datetime) -> None:
        """Leave the note of an end that was asked for."""
        self._say(now, stopped=True)

    def _say(
        self,
        now: datetime,
        config_hash: str = "",
        worker_alive: bool | None = None,
        health_fault: str = "",
        *,
        stopped: bool = False,
    ) -> None:
        self._started_at = self._started_at or now
        said = Heartbeat(
            at=now,
            started_at=self._started_at,
            pid=os.getpid(),
            version=version(),
            config_hash=config_hash,
            worker_alive=worker_alive,
            health_fault=health_fault,
            stopped=stopped,
        )
        self._write(said)

    def _write(self, heartbeat: Heartbeat) -> None:
        """A disk that is full, or a reader on Windows, is no reason to end; the next beat tries again."""
        try:
            write_atomically(_file(self._state_dir), heartbeat.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            if self._could_write:
                log.warning("写不了心跳文件：%s；status 会以为后台程序没有反应", reason_of(error))
            self._could_write = False
        else:
            self._could_write = True


def _file(state_dir: Path) -> Path:
    return state_dir / "heartbeat.json"
