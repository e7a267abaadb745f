"""The boundary around a run: whatever goes wrong inside becomes an outcome with words for people."""

import json
import logging
import time
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from modules.backups import BackupError
from modules.config_guard import ConfigNotAcceptedError
from modules.due_slots import FAILED
from modules.errors import PULL_ERRORS, JobFailedError, JobRefusedError, words_of
from modules.job_runs import METABASE, OK, Ended, SlotLostError
from modules.ledger import CampaignClosedError
from modules.request_module import MetabaseDownError

log = logging.getLogger(__name__)

RUN_ERRORS = (
    *PULL_ERRORS,
    JobRefusedError,
    JobFailedError,
    CampaignClosedError,
    ConfigNotAcceptedError,
    SlotLostError,
    BackupError,
)
"""What can be said in words when a run fails."""


def outcome_of(job: str, run: Callable[[], Mapping[str, int]]) -> Ended:
    """Run, and tell how it ended. Only what ends the program itself (KeyboardInterrupt) flies on."""
    started = time.monotonic()
    try:
        counts = run()
        ended = Ended(OK, counts)
    except RUN_ERRORS as error:
        log.error("%s 运行失败：%s", job, error)  # noqa: TRY400 - the words say it all
        ended = Ended(FAILED, {}, str(error), METABASE if isinstance(error, MetabaseDownError) else None)
    except (sa.exc.DBAPIError, OSError) as error:
        log.exception("%s 运行失败", job)
        ended = Ended(FAILED, {}, words_of(error))
    except Exception as error:  # a job is the isolation boundary
        log.exception("%s 运行失败", job)
        ended = Ended(FAILED, {}, f"{type(error).__name__}: {error}")
    seconds = round(time.monotonic() - started, 3)
    said = {"outcome": ended.outcome, **ended.counts, "seconds": seconds, "error": ended.error}
    log.info("%s：%s", job, json.dumps(said, ensure_ascii=False))
    return ended
