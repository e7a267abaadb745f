"""housekeeping: once a day the SQLite database is backed up, and what is old is forgotten."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from modules import job_runs
from modules.backups import back_up
from modules.job_runs import Writing

if TYPE_CHECKING:
    from modules.application import Application

RUNS_KEPT = timedelta(days=90)


def run(app: "Application", slot: datetime, writing: Writing) -> Mapping[str, int]:
    """Nothing is forgotten before the back-up is there. Raises BackupError."""
    backups = 0
    if not app.database.is_server:  # a server has an administrator with tools of their own
        back_up(Path(app.database.place), app.settings.backup_dir, slot.date())
        backups = 1
    with writing() as connection:
        pruned = job_runs.prune(connection, app.clock() - RUNS_KEPT)
    return {"backups": backups, "pruned_runs": pruned}
