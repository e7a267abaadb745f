"""The parts of the program, opened and tied together once; jobs, the worker and the doors are handed this."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from modules import job_runs, ledger
from modules.alert_config import Alerts
from modules.announcer import Announcer
from modules.campaigns import Campaigns
from modules.clock import Clock, shanghai_now
from modules.configuration import Configuration
from modules.database import Database
from modules.live_configuration import LiveConfiguration
from modules.message_maker import MessageMaker
from modules.message_sender import MessageSender
from modules.process_lock import dead_workers, forget_workers, worker_lock
from modules.request_module import MetabaseClient
from modules.service_providers import Providers
from modules.settings import Settings, load_settings
from modules.task_board import TaskBoard
from modules.task_queue import TaskQueue
from modules.views import Views

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Application:
    """Everything that a job or the worker needs, from any thread. `clock` tells the real time; `worker` names this
    process. `live` renews the configuration; a job works on `with_one_configuration()`, so that it sees one state from
    start to end."""

    settings: Settings
    live: LiveConfiguration
    database: Database
    metabase: MetabaseClient
    queue: TaskQueue
    board: TaskBoard
    sender: MessageSender
    views: Views
    clock: Clock
    worker: str
    pinned: Configuration | None = None

    @property
    def configuration(self) -> Configuration:
        """What operations have written into files, in the state that runs now."""
        return self.pinned or self.live.current

    @property
    def campaigns(self) -> Campaigns:
        return self.configuration.campaigns

    @property
    def alerts(self) -> Alerts:
        return self.configuration.alerts

    @property
    def providers(self) -> Providers:
        return self.configuration.providers

    @property
    def maker(self) -> MessageMaker:
        return self.configuration.maker

    @property
    def announcer(self) -> Announcer:
        return self.configuration.announcer

    def with_one_configuration(self) -> "Application":
        """The same, with the configuration of this moment for good."""
        return replace(self, pinned=self.configuration)


@contextmanager
def open_application(
    settings: Settings | None = None,
    *,
    clock: Clock = shanghai_now,
    is_daemon: bool = False,
    tolerant: bool = False,
) -> Iterator[Application]:
    """Open database, Metabase client and senders; bring the tables up to date; settle the claims of dead workers.

    If `tolerant`, a campaigns file that can't be read leaves no campaigns, for who only looks.
    Raises SettingsError, CampaignsFileError, DatabaseError.
    """
    settings = settings or load_settings()
    live = LiveConfiguration(settings, clock(), tolerant=tolerant, tries_templates=is_daemon or tolerant)
    database = Database(settings.database_url)
    sender = MessageSender(settings)
    metabase = MetabaseClient(settings.metabase, settings.state_dir, clock)
    try:
        database.upgrade()
        with worker_lock(settings.state_dir) as worker:
            queue = TaskQueue(
                database,
                worker,
                timedelta(seconds=settings.queue.lease_seconds),
                on_completed=ledger.mark_notified,
                server_clock=database.is_server,
            )
            _settle_dead_workers(settings, database, queue, clock)
            yield Application(
                settings=settings,
                live=live,
                database=database,
                metabase=metabase,
                queue=queue,
                board=TaskBoard(database, on_completed=ledger.mark_notified, server_clock=database.is_server),
                sender=sender,
                views=Views(settings, database, owns_folder=is_daemon),
                clock=clock,
                worker=worker,
            )
    finally:
        metabase.close()
        database.close()


def _settle_dead_workers(settings: Settings, database: Database, queue: TaskQueue, clock: Clock) -> None:
    """Claims of processes that died follow the rule of the state picture, at once and not only when leases run out;
    the slots of their jobs are free."""
    dead = dead_workers(settings.state_dir)
    job_runs.release_dead(database, dead)
    for task, transition in queue.rescue(clock(), dead):
        log.warning("任务 %s 的发送进程已中断，改为 %s", task.id, transition.status)
    forget_workers(settings.state_dir, dead)
