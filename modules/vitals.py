"""What the daemon does beside its jobs, so that others can see how it is: heartbeat and health server."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from modules import soundness
from modules.application import Application
from modules.clock import Clock
from modules.health_server import Answers, answering
from modules.heartbeat import BEAT_EVERY, Pulse
from modules.pace import Pace
from modules.process_lock import daemon_lock
from modules.settings import Settings
from modules.stopping import StopRequestedError
from modules.system_words import reason_of

log = logging.getLogger(__name__)


class Vitals:
    """The signs of life of one daemon. `worker_alive` tells of its sending thread (None: it has none)."""

    def __init__(self, pulse: Pulse, worker_alive: Callable[[], bool | None], health_fault: str) -> None:
        self._pulse = pulse
        self._worker_alive = worker_alive
        self._health_fault = health_fault
        self._beats = Pace(BEAT_EVERY)

    def beat(self, app: Application, now: datetime) -> None:
        """Every few seconds, however often the main loop comes round."""
        if self._beats.is_due(now):
            self._pulse.beat(now, app.configuration.hash, self._worker_alive(), self._health_fault)


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
def signs_of_life(
    app: Application,
    pulse: Pulse,
    worker_alive: Callable[[], bool | None],
    read_status: Callable[[datetime], Mapping[str, Any]],
) -> Iterator[Vitals]:
    """The vitals of the daemon, with the health server where settings want it; a port that is taken is only told.

    `read_status` is what the server answers from: `health.status` at a moment.
    """
    port, fault = app.settings.health.port, ""
    with ExitStack() as opened:
        if port:
            try:
                opened.enter_context(answering(port, Answers(read_status, app.clock)))
                log.info("健康检查已启动：http://127.0.0.1:%s/healthz", port)
            except OSError as error:
                fault = (
                    f"健康检查没有启动：端口 {port} 用不了（{reason_of(error)}）；"
                    "请关闭占用它的程序，或改 health.port，再重新启动"
                )
                log.error("%s", fault)  # noqa: TRY400 - the words say it all
        yield Vitals(pulse, worker_alive, fault)
