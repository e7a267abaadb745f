"""What the daemon does beside its jobs, so that others can see how it is: heartbeat, watch and health server."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta

from modules import health, soundness
from modules.application import Application
from modules.clock import Clock
from modules.health_server import Answers, answering
from modules.heartbeat import BEAT_EVERY, Pulse
from modules.pace import Pace
from modules.process_lock import daemon_lock
from modules.settings import Settings
from modules.stopping import StopRequestedError
from modules.version import config_hash
from modules.watch_round import watch_once

log = logging.getLogger(__name__)

WATCH_EVERY = timedelta(seconds=60)


class Vitals:
    """The signs of life of one daemon. `worker_alive` tells of its sending thread (None: it has none)."""

    def __init__(self, pulse: Pulse, worker_alive: Callable[[], bool | None], health_fault: str) -> None:
        self._pulse = pulse
        self._worker_alive = worker_alive
        self._health_fault = health_fault
        self._beats, self._watches = Pace(BEAT_EVERY), Pace(WATCH_EVERY)

    def tick(self, app: Application, now: datetime) -> None:
        """Whenever the main loop comes round. Never raises: what can't be done now is tried again."""
        self.beat(app, now)
        if self._watches.is_due(now):
            try:
                watch_once(app, now)
            except Exception:
                log.exception("查看有没有问题时出错，一分钟后再试")

    def beat(self, app: Application, now: datetime) -> None:
        """The heartbeat alone, every few seconds."""
        if self._beats.is_due(now):
            named = config_hash(app.settings, app.campaigns.valid.values())
            self._pulse.beat(now, named, self._worker_alive(), self._health_fault)


@contextmanager
def living(settings: Settings, pulse: Pulse, clock: Clock) -> Iterator[None]:
    """The data folder is this daemon's, from its first heartbeat to the note that it leaves where it was asked to end.

    Raises AlreadyRunningError, and DatabaseError where the database is damaged.
    """
    with daemon_lock(settings.state_dir):
        pulse.start(clock())
        soundness.require_sound(settings)
        try:
            yield
        except StopRequestedError:
            pulse.stop(clock())
            raise
        pulse.stop(clock())


@contextmanager
def signs_of_life(app: Application, pulse: Pulse, worker_alive: Callable[[], bool | None]) -> Iterator[Vitals]:
    """The vitals of the daemon, with the health server where settings want it; a port that is taken is only told."""
    port, fault = app.settings.health.port, ""
    with ExitStack() as opened:
        if port:
            try:
                opened.enter_context(answering(port, Answers(lambda now: health.status(app, now), app.clock)))
                log.info("健康检查已启动：http://127.0.0.1:%s/healthz", port)
            except OSError as error:
                fault = (
                    f"健康检查没有启动：端口 {port} 用不了（{error.strerror or error}）；"
                    "请关闭占用它的程序，或改 health.port，再重新启动"
                )
                log.error("%s", fault)  # noqa: TRY400 - the words say it all
        yield Vitals(pulse, worker_alive, fault)
