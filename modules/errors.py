"""Every error that can be said in words that tell what to do, and the exit code that goes with it.

0 ok, 1 the work failed, 2 wrong use or configuration. Any other exception is a fault of the program.
"""

import sqlalchemy as sa

from modules.campaigns import CampaignsFileError
from modules.contracts import ColumnsError
from modules.database import DatabaseError, in_words
from modules.ledger import CampaignClosedError, RevisionConflictError
from modules.process_lock import AlreadyRunningError
from modules.request_module import MetabaseError
from modules.settings import SettingsError
from modules.system_words import reason_of
from modules.task_board import TaskError

FAILED, MISUSED = 1, 2


class JobRefusedError(Exception):
    """The job can't run like this; the message says why and what to do, in Chinese."""


class JobFailedError(Exception):
    """Some of what a job was to do has failed; the message says what, in Chinese, and the log has the details."""


class PullShrankError(Exception):
    """A whole pull that lacks too many registered contracts to be believed."""


MISUSES = (SettingsError, CampaignsFileError, JobRefusedError, TaskError, CampaignClosedError)
PULL_ERRORS = (MetabaseError, ColumnsError, PullShrankError, RevisionConflictError)
"""What can come of pulling a campaign's contracts and writing down what follows from them."""
EXPECTED_ERRORS = (*MISUSES, *PULL_ERRORS, DatabaseError, AlreadyRunningError, sa.exc.DBAPIError, OSError)


def words_of(error: Exception) -> str:
    """An expected error in Chinese, without a library's own words around it."""
    if isinstance(error, sa.exc.DBAPIError):
        return in_words(error)
    if isinstance(error, OSError):
        return f"读写不了 {error.filename or '文件'}（{reason_of(error)}）；请检查 DATA_DIR、磁盘空间和权限"
    return str(error)


def exit_code_of(error: Exception) -> int:
    """The exit code for an expected error."""
    return MISUSED if isinstance(error, MISUSES) else FAILED
