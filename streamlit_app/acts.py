"""What an operator does: the acts of the command line, in the name of who is signed in."""

from collections.abc import Callable, Iterable

from modules import corrections
from modules.application import Application, open_application
from modules.campaign_pull import campaign_named
from modules.reconciliation import Reconciliation
from modules.task_board import TaskError
from streamlit_app import reading
from streamlit_app.access import Viewer

OnTask = Callable[[Application, int, str], str]
"""An act of `modules.task_acts` on a task, in somebody's name."""


def act(viewer: Viewer, on_task: OnTask, task_ids: Iterable[int]) -> list[str]:
    """Open the program as a command does, act on each task, close it; what was done or refused, in words.

    The figures that are kept are forgotten, so that the page shows what has become of it. Raises TaskError where the
    viewer may not act at all.
    """
    if not viewer.may_act:
        raise TaskError("你的账号只能查看，不能处理消息；请联系管理员")
    try:
        with open_application(reading.settings()) as app:
            return [_words_of(app, on_task, task_id, viewer.who) for task_id in task_ids]
    finally:
        reading.forget()


def reconcile(viewer: Viewer, key: str) -> Reconciliation:
    """Hold a campaign's ledger against its source, as `main.py reconcile` does; only that it was done is written.

    Raises TaskError where the viewer may not act, and as `corrections.compare` does.
    """
    if not viewer.may_act:
        raise TaskError("你的账号只能查看，不能对账；请联系管理员")
    with open_application(reading.settings()) as app:
        return corrections.compare(app, campaign_named(app, key), app.clock(), viewer.who)


def _words_of(app: Application, on_task: OnTask, task_id: int, who: str) -> str:
    try:
        return on_task(app, task_id, who)
    except TaskError as error:  # somebody else may have been there first
        return str(error)
