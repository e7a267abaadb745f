"""The parts of the program, opened and tied together once; jobs, the worker and the doors are handed this."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from modules import job_runs, ledger
from modules.alert_config import Alerts, load_alerts
from modules.announcer import Announcer
from modules.campaigns import Campaigns, load_campaigns
from modules.clock import Clock, shanghai_now
from modules.database import Database
from modules.message_maker import MessageMaker
from modules.message_sender import MessageSender
from modules.process_lock import dead_workers, forget_workers, worker_lock
from modules.request_module import MetabaseClient
from modules.service_providers import PROVIDERS_FILE, Providers, load_providers
from modules.settings import Settings, load_settings
from modules.task_board import TaskBoard
from modules.task_queue import TaskQueue
from modules.templates import Templates
from modules.views import Views

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Application:
    """Everything that a job or the worker needs, from any thread. `clock` tells the real time; `worker` names this
    process."""

    settings: Settings
    campaigns: Campaigns
    alerts: Alerts
    providers: Providers
    database: Database
    metabase: MetabaseClient
    maker: MessageMaker
    announcer: Announcer
    queue: TaskQueue
    board: TaskBoard
    sender: MessageSender
    views: Views
    clock: Clock
    worker: str


@contextmanager
def open_application(
    settings: Settings | None = None,
    *,
    clock: Clock = shanghai_now,
    is_daemon: bool = False,
) -> Iterator[Application]:
    """Open database, Metabase client and senders; bring the tables up to date; settle the claims of dead workers.

    Raises SettingsError, CampaignsFileError, DatabaseError.
    """
    settings = settings or load_settings()
    campaigns = load_campaigns(settings.campaigns_file, clock().date())
    alerts = load_alerts(settings.campaigns_file, settings.recipients)
    providers = load_providers(PROVIDERS_FILE, settings.recipients)
    maker = MessageMaker(settings, Templates())
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
                campaigns=campaigns,
                alerts=alerts,
                providers=providers,
                database=database,
                metabase=metabase,
                maker=maker,
                announcer=Announcer(settings, maker),
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
