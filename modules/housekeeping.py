"""housekeeping: once a day the SQLite database is backed up, and what is old is forgotten."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from modules import job_runs, soundness, troubles
from modules.application import Application
from modules.job_runs import Writing

KEPT_FOR = timedelta(days=90)


def run(app: Application, _slot: datetime, writing: Writing) -> Mapping[str, int]:
    """As of now, not of the slot: what is copied is the database of this moment.

    Nothing is forgotten before the back-up is there. Raises BackupError.
    """
    backups = soundness.back_up(app.settings, app.clock())
    before = app.clock() - KEPT_FOR
    with writing() as connection:
        pruned_runs = job_runs.prune(connection, before)
        pruned_troubles = troubles.forget_ended(connection, before)
    return {"backups": backups, "pruned_runs": pruned_runs, "pruned_troubles": pruned_troubles}
