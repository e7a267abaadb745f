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

from modules.alert_config import Alerts
from modules.campaigns import Campaigns, CampaignsFile, CampaignsFileError, read_campaigns_file
from modules.clock import shanghai_now
from modules.configuration_parts import ALERTS, CAMPAIGNS, Found, Part, Places
from modules.database import Database
from modules.figures.months import stamp_of
from modules.settings import Settings, load_settings

P = ParamSpec("P")
T = TypeVar("T")

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
    found = _found(CAMPAIGNS)
    if found.spoilt is None:
        raise CampaignsFileError(found.faults)
    return Campaigns(found.valid, found.faults, found.warnings)


def campaigns_file() -> CampaignsFile:
    """The same as it is written, not yet judged; nobody may change what it returns. Raises CampaignsFileError."""
    known = settings()
    return _campaigns_file(known.campaigns_file, *_changed(CAMPAIGNS, known))


def alerts() -> Alerts:
    """The alerts of the configuration, likewise; none where they can't be read and never could."""
    found = _found(ALERTS)
    return Alerts(found.valid, found.faults)


_readable: dict[tuple[str, Path], Found] = {}
"""What each part of the configuration said when it could be read last."""


def _found(part: Part) -> Found:
    known = settings()
    place = (part.title, known.campaigns_file)
    found = _read(place, tuple(known.recipients), today(), *_changed(part, known), _part=part, _known=known)
    before = _readable.get(place)
    if before is not None:
        fallen_back = {key: entry for key, entry in before.valid.items() if found.is_spoilt(key)}
        found = replace(found, valid={**found.valid, **fallen_back}, spoilt=found.spoilt or frozenset())
    if found.spoilt is not None:
        _readable[place] = found
    return found


def _changed(part: Part, known: Settings) -> list[int]:
    """Names the state of the files that a part is read from."""
    return [one.stat().st_mtime_ns if one.exists() else 0 for one in part.files(Places.of(known))]


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(
    place: tuple[str, Path], recipients: tuple[str, ...], day: date, *changed: int, _part: Part, _known: Settings
) -> Found:
    """Read once for each state of the files, and of the recipients that settings know."""
    return _part.read(Places.of(_known), _known, day)


@st.cache_resource(max_entries=4, show_spinner=False)
def _campaigns_file(file: Path, *changed: int) -> CampaignsFile:
    """Read once for each state of the files."""
    return read_campaigns_file(file)


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
    _read.clear()
    _campaigns_file.clear()
    _readable.clear()
