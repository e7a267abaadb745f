"""What an operator does to the queue: the acts of the command line, in the name of who is signed in."""

from collections.abc import Callable

from modules.application import Application, open_application
from modules.task_board import TaskError
from streamlit_app import data
from streamlit_app.access import Viewer


def act(viewer: Viewer, on_task: Callable[[Application, str], str]) -> str:
    """Open the program as a command does, act, close it; what was done, in words. Raises TaskError.

    The figures that are kept are forgotten, so that the page shows what has become of it.
    """
    if not viewer.may_act:
        raise TaskError("你的账号只能查看，不能处理消息；请联系管理员")
    with open_application(data.settings()) as app:
        done = on_task(app, viewer.who)
    data.forget()
    return done
