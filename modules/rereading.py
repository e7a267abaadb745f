"""The daemon's looks at its files: what changed is taken, said, and written down for `status`.

Campaigns, alerts, badge lists, providers and templates are renewed while it runs; a change of settings is only noticed,
as it takes a restart.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from modules.application import Application
from modules.clock import format_moment
from modules.configuration_news import news, removed
from modules.configuration_parts import CAMPAIGNS
from modules.file_looks import LOCKED, FileLooks
from modules.file_utils import write_atomically
from modules.live_configuration import Reread
from modules.rewards.campaign import Campaign
from modules.settings import Settings
from modules.tables import campaigns, performance

log = logging.getLogger(__name__)


class Rereader:
    """Looks at the files of one daemon, in one thread at a time."""

    def __init__(self, app: Application, settings_files: Sequence[Path]) -> None:
        self._app = app
        self._settings_looks = FileLooks(lambda: settings_files)
        self._settings_at_start = self._settings_looks.look()
        self._settings_seen: tuple[str, ...] = ()
        self._settings_changed: tuple[str, ...] = ()
        self._to_do: list[Callable[[], None]] = []
        self._written = ""
        self._trouble = ""
        self._looks = 0

    def look_in_turn(self) -> None:
        """One look of many, a thorough one as often as contracts are pulled."""
        self._looks += 1
        schedule = self._app.settings.schedule
        thorough_every = max(round(schedule.campaign_interval / schedule.look_interval), 1)
        self.look(thorough=self._looks % thorough_every == 0)

    def look(self, *, thorough: bool = False) -> None:
        """One look; see `LiveConfiguration.refresh`. Never raises: the next look tries again."""
        try:
            reread = self._app.live.refresh(self._app.clock(), thorough=thorough)
            if reread is not None:
                self._tell(reread)
            while self._to_do:
                self._to_do[0]()
                del self._to_do[0]
            self._look_at_settings()
            self._write_down()
            self._trouble = ""
        except Exception as error:
            if str(error) != self._trouble:  # a look is due every few seconds
                log.exception("查看配置文件是否有改动时出错，稍后再试")
            self._trouble = str(error)

    def _tell(self, reread: Reread) -> None:
        for level, line in news(reread):
            log.log(level, "%s", line)
        # What needs the database is done once it can be: it may be locked just now.
        gone = removed(reread, CAMPAIGNS.title)
        self._to_do.append(partial(_warn_of_unfinished, self._app, gone, self._app.clock()))

    def _look_at_settings(self) -> None:
        look = self._settings_looks.look()
        differing = {path for path, digest in look.items() if digest not in (LOCKED, self._settings_at_start[path])}
        seen = tuple(dict.fromkeys(path.name for path in look if path in differing))
        has_settled, self._settings_seen = seen == self._settings_seen, seen
        if not has_settled or seen == self._settings_changed:
            return
        self._settings_changed = seen
        if seen:
            log.warning("设置文件已改动：%s；重启后台程序后才生效", "、".join(seen))
        else:
            log.info("设置文件已改回启动时的内容，不用重启")

    def _write_down(self) -> None:
        text = json.dumps(running_state(self._app, self._settings_changed), ensure_ascii=False, indent=2)
        if text != self._written:
            write_atomically(_state_file(self._app.settings), text, encoding="utf-8")
            self._written = text


def running_state(app: Application, settings_changed: tuple[str, ...]) -> dict[str, Any]:
    """What this process runs by: `hash` names it, `loaded_at` is when it began to. `kept`: what of it is an earlier
    version than the files, and from when; `kept_campaigns`: those campaigns whole, `campaigns` the keys of all."""
    now = app.configuration
    valid = now.campaigns.valid
    kept = [campaign.config_json() for key, campaign in valid.items() if f"{CAMPAIGNS.title} {key}" in now.kept]
    return {
        "loaded_at": format_moment(now.loaded_at),
        "hash": now.hash,
        "kept": {name: format_moment(since) for name, since in now.kept.items()},
        "campaigns": list(valid),
        "kept_campaigns": kept,
        "faults": [str(fault) for fault in now.faults],
        "settings_changed": list(settings_changed),
    }


def daemon_configuration(settings: Settings) -> dict[str, Any] | None:
    """The same as the daemon of this data folder wrote it down last; None where it never did."""
    try:
        state: dict[str, Any] = json.loads(_state_file(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state


def unfinished(app: Application, gone: Mapping[str, object], now: datetime) -> list[str]:
    """Of the campaigns that have left the configuration: those with contracts, whose time it still is."""
    keys = [key for key, entry in gone.items() if isinstance(entry, Campaign) and now.date() <= entry.last_settle_day]
    has_contracts = sa.exists().where(performance.c.campaign == campaigns.c.key)
    chosen = sa.select(campaigns.c.key).where(campaigns.c.key.in_(keys), campaigns.c.closed_at.is_(None), has_contracts)
    with app.database.reading() as connection:
        return list(connection.scalars(chosen.order_by(campaigns.c.key)))


def _warn_of_unfinished(app: Application, gone: Mapping[str, object], now: datetime) -> None:
    for key in unfinished(app, gone, now):
        log.warning("%s 已从活动配置里删除，但还没有到期，也没有结账：不再运行它；若不是有意，请把它放回去", key)


def _state_file(settings: Settings) -> Path:
    return settings.state_dir / "configuration.json"
