"""Once a day: back up the SQLite file, and delete what has been kept long enough."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from modules import backups, troubles
from modules.application import Application

TROUBLES_KEPT = timedelta(days=90)

Writing = Callable[[], AbstractContextManager[Connection]]


def run(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
    """The job of the schedule. What is old goes even where the back-up fails, as a full disk may be why.

    Raises DatabaseError where the database is damaged or could not be backed up.
    """
    app.views.prune(slot)
    with writing() as connection:
        forgotten = troubles.forget_ended(connection, slot - TROUBLES_KEPT)
    return {"backups": backups.back_up(app.settings, slot), "forgotten_troubles": forgotten}
