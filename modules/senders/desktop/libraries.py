"""The desktop's libraries, imported when a message needs them: they look for a display while they are imported.

Without one, pyautogui raises KeyError and pywinctl DisplayNameError; without xrandr, pywinctl ends the process.
"""

import importlib
import sys
from typing import Any

from modules.senders.desktop.errors import BlockedError

UNWANTED = ("mouseinfo", "pyscreeze")
"""PyAutoGUI can do without them: the one ends the process where Tk is missing, the other leaves processes behind."""


def imported(name: str) -> Any:
    """The module of this name. Raises BlockedError."""
    for unwanted in UNWANTED:
        sys.modules.setdefault(unwanted, None)  # type: ignore[arg-type]  # which makes its import an ImportError
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BlockedError(f"缺少操作桌面的组件（{error.name}）；请停止程序，重新运行 start 安装依赖包") from error
    except (Exception, SystemExit) as error:
        raise BlockedError(
            f"这个程序看不到桌面（{type(error).__name__}）；请在登录后的桌面上启动它，不要作为系统服务运行，"
            "Linux 上请先安装 x11-xserver-utils；或给收件人改用 wecom_robot；"
            "桌面在另一台机器上的，请写进 settings.yaml 的 queue.machines"
        ) from error
