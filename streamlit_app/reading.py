"""How the dashboard reads: the settings, the campaigns and the clock, the database, and figures that are kept a while.

Settings and campaigns are read anew for every run of a page, so that a change is seen without a restart.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
import streamlit as st
from sqlalchemy.engine import Connection

from modules.alert_config import Alerts, load_alerts
from modules.campaigns import (
    BADGES_FILE,
    SHIPPED_FILE,
    Campaigns,
    CampaignsFile,
    CampaignsFileError,
    load_campaigns,
    read_campaigns_file,
)
from modules.clock import shanghai_now
from modules.database import Database
from modules.figures.months import stamp_of
from modules.settings import Settings, load_settings

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", Campaigns, Alerts)

KEPT_SECONDS = 15
"""How long a figure is shown again without asking the database."""
VERSION_SECONDS = 60
"""How long the tables are taken to be of this version."""
KEPT_FIGURES = 64
"""How many answers of each figure are kept, whoever asked."""


def settings() -> Settings:
    """Those of this installation."""
    return load_settings()


def configured() -> Campaigns:
    """The campaigns of the configuration. Raises CampaignsFileError where the file can't be read and never could.

    What a fault keeps out stays as it was read last, as in the daemon.
    """
    file = settings().campaigns_file
    return _held(Campaigns, file, _campaigns(file, today(), *_changed(file)))


def campaigns_file() -> CampaignsFile:
    """The same as it is written, not yet judged; nobody may change what it returns. Raises CampaignsFileError."""
    file = settings().campaigns_file
    return _campaigns_file(file, *_changed(file))


def alerts() -> Alerts:
    """The alerts of the configuration, likewise. Raises CampaignsFileError."""
    known = settings()
    file = known.campaigns_file
    return _held(Alerts, file, _alerts(file, tuple(known.recipients), *_changed(file)))


def _changed(file: Path) -> list[int]:
    """Names the state of a campaigns file and of what is read with it, or in its place."""
    return [one.stat().st_mtime_ns if one.exists() else 0 for one in (file, BADGES_FILE, SHIPPED_FILE)]


_readable: dict[tuple[type, Path], Any] = {}
"""What each file said when it could be read last."""


def _held(kind: type[C], file: Path, found: C | CampaignsFileError) -> C:
    before: C | None = _readable.get((kind, file))
    if isinstance(found, CampaignsFileError):
        if before is None:
            raise CampaignsFileError(found.faults)
        found = replace(before, faults=found.faults)
    elif before is not None:
        spoilt = before.valid.keys() if found.spoilt is None else found.spoilt
        fallen_back = {key: entry for key, entry in before.valid.items() if key in spoilt}
        found = replace(found, valid={**found.valid, **fallen_back})
    _readable[kind, file] = found
    return found


@st.cache_resource(max_entries=4, show_spinner=False)
def _campaigns(file: Path, day: date, *changed: int) -> Campaigns | CampaignsFileError:
    """Read once for each state of the files."""
    try:
        return load_campaigns(file, day)
    except CampaignsFileError as error:
        return error


@st.cache_resource(max_entries=4, show_spinner=False)
def _campaigns_file(file: Path, *changed: int) -> CampaignsFile:
    """Read once for each state of the files."""
    return read_campaigns_file(file)


@st.cache_resource(max_entries=4, show_spinner=False)
def _alerts(file: Path, recipients: tuple[str, ...], *changed: int) -> Alerts | CampaignsFileError:
    """Read once for each state of the files and of the known recipients."""
    try:
        return load_alerts(file, recipients)
    except CampaignsFileError as error:
        return error


def now() -> datetime:
    """The dashboard's clock."""
    return shanghai_now()


def today() -> date:
    return now().date()


Source = tuple[str, tuple[int, int] | None]
"""Where the database is, and which file it is; None for a server, and where there is none."""


def source() -> Source:
    """Of this moment: a back-up may have been put in the place of the file."""
    url = settings().database_url
    return url, _identity(url)


def _identity(url: str) -> tuple[int, int] | None:
    file = _file(url)
    try:
        found = Path(file).stat() if file else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


@lru_cache(maxsize=4)
def _file(url: str) -> str | None:
    place = sa.make_url(url)
    return place.database if place.get_backend_name() == "sqlite" else None


def database_at(place: Source) -> Database:
    """Opened read-only, once for all who look; whether its tables are of this version is seen once a minute.

    Raises DatabaseError.
    """
    database = _opened(place)
    _require_newest(place, database)
    return database


@st.cache_resource(max_entries=1, show_spinner=False, on_release=Database.close)
def _opened(place: Source) -> Database:
    return Database(place[0], read_only=True)


@st.cache_data(ttl=VERSION_SECONDS, max_entries=1, show_spinner=False)
def _require_newest(place: Source, _database: Database) -> None:
    _database.require_newest()


def figure(read: Callable[Concatenate[Connection, P], T]) -> Callable[P, T]:
    """Makes what reads by a connection into what a page asks for: kept for a while, each answer by its arguments."""

    @st.cache_data(ttl=KEPT_SECONDS, max_entries=KEPT_FIGURES, show_spinner="正在读取数据…")
    @wraps(read)
    def kept(place: Any, stamp: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        with database_at(place).reading() as connection:
            return read(connection, *args, **kwargs)

    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        answer: T = kept(source(), stamp(), *args, **kwargs)
        return answer

    _FORGETTING.append(kept.clear)
    return asked


@st.cache_data(ttl=KEPT_SECONDS, max_entries=4, show_spinner=False)
def _stamp(place: Source) -> Hashable:
    with database_at(place).reading() as connection:
        return stamp_of(connection)


def stamp() -> Hashable:
    """Names the state of the ledgers that the figures are of: none that is shown with it was read before it."""
    return _stamp(source())


def asked_now(read: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """For what is too much to be kept: the answer of this moment, for one who asked for it."""
    with database_at(source()).reading() as connection:
        return read(connection, *args, **kwargs)


_FORGETTING: list[Callable[[], None]] = []
"""How to forget each figure."""


def forget() -> None:
    """After an act: the next look asks the database."""
    _stamp.clear()
    for clear in _FORGETTING:
        clear()


def close() -> None:
    """Forget them all, the configuration too, and let go of the databases."""
    forget()
    _require_newest.clear()
    _opened.clear()
    _campaigns.clear()
    _campaigns_file.clear()
    _alerts.clear()
    _readable.clear()
