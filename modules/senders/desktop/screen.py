"""The desktop as PyAutoGUI, pywinctl and psutil show it: windows, keys, the pointer, pictures. Nothing is decided here.

Whatever the libraries raise while they are used becomes a `RefusedError`.

PyAutoGUI's pauses are off: they cost a third of the messages on a busy machine, as conditions are what to wait for.
Its fail-safe is on: a person who pushes the mouse into a corner of the screen stops all keys.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from PIL import ImageGrab

from modules.senders.desktop.errors import BlockedError, KeysUncertainError, RefusedError
from modules.senders.desktop.libraries import imported

if sys.platform == "win32":
    import ctypes

    DESKTOP_SWITCHDESKTOP = 0x0100

Point = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A window at the moment of looking. `process` is the name of its program, empty where that can't be told."""

    handle: int
    title: str
    process: str


class Screen:
    """This machine's desktop. Raises BlockedError where there is none."""

    def __init__(self) -> None:
        self._pyautogui = imported("pyautogui")
        self._pywinctl = imported("pywinctl")
        self._pyautogui.PAUSE = 0

    def require_unlocked(self) -> None:
        """Raises BlockedError where the desktop is locked, or its remote session disconnected: keys would go nowhere.

        Windows tells. X11 has no common way to tell; there, a message does not come back when it is read back.
        """
        if sys.platform == "win32":
            user32 = ctypes.windll.user32
            user32.OpenInputDesktop.restype = ctypes.c_void_p
            user32.CloseDesktop.argtypes = [ctypes.c_void_p]
            desktop = user32.OpenInputDesktop(0, False, DESKTOP_SWITCHDESKTOP)
            if not desktop:  # it is Winlogon's, which only the system may open
                raise BlockedError("屏幕已锁定，或远程桌面已断开；请解锁屏幕，发送期间不要锁屏或断开")
            user32.CloseDesktop(desktop)

    def windows_titled(self, title: str) -> list[Window]:
        """All windows with exactly this title, minimised ones too."""
        with _stumbling():
            found = [_described(window) for window in self._pywinctl.getAllWindows()]
        return [window for window in found if window and window.title == title]

    def front(self) -> Window | None:
        """The window that has the keyboard; None where no window has it."""
        with _stumbling():
            return _described(self._pywinctl.getActiveWindow())

    def activate(self, window: Window) -> None:
        """Ask for the window to come to the front, out of the task bar too. Whether it came is to be looked at."""
        with _stumbling():
            found = self._pywinctl.Window(window.handle)
            if found.isMinimized:
                found.restore(wait=False)
            found.activate(wait=False)

    def minimize(self, window: Window) -> None:
        """Put the window into the task bar. Windows lets a program raise a window from there, but not from behind."""
        with _stumbling():
            self._pywinctl.Window(window.handle).minimize(wait=False)

    def press(self, keys: Sequence[str]) -> None:
        """Press these keys together. Raises BlockedError before the first key where the fail-safe is on, and
        KeysUncertainError where some may have been pressed."""
        self._check_fail_safe()
        unknown = [key for key in keys if not self._pyautogui.isValidKey(key)]
        if unknown:
            raise RefusedError(f"设置里的按键 {'、'.join(unknown)} 不认识；请检查 settings.yaml 的 desktop")
        with _stumbling(KeysUncertainError), self._fail_safe_heard():
            self._pyautogui.hotkey(*keys)

    def pointer(self) -> Point:
        """Where the mouse pointer is, in pixels."""
        with _stumbling():
            position = self._pyautogui.position()
        return position[0], position[1]

    def click_in(self, window: Window, x: float, pixels_from_bottom: int) -> None:
        """Click into a window: at a part of its width, and so many pixels above its lower edge; then put the pointer
        back to where it was."""
        self._check_fail_safe()
        before = self.pointer()
        with _stumbling(KeysUncertainError), self._fail_safe_heard():
            box = self._pywinctl.Window(window.handle).box
            self._pyautogui.click(round(box.left + box.width * x), box.top + box.height - pixels_from_bottom)
            self._pyautogui.moveTo(*before)

    def save_picture(self, path: Path) -> None:
        """All of the screen as PNG. Raises OSError."""
        ImageGrab.grab(all_screens=True).save(path)

    def _check_fail_safe(self) -> None:
        with self._fail_safe_heard():
            self._pyautogui.failSafeCheck()

    @contextmanager
    def _fail_safe_heard(self) -> Iterator[None]:
        """PyAutoGUI looks before each thing it does, so the key or click at which it stops was not made."""
        try:
            yield
        except self._pyautogui.FailSafeException as error:
            raise BlockedError("鼠标在屏幕角落，这表示有人叫停；请把鼠标移开角落") from error


def _described(window: Any) -> Window | None:
    """None where there is no window, any more: one that closes while it is looked at raises what its system has."""
    try:
        return Window(int(window.getHandle()), str(window.title), _process_name(window.getPID()))
    except Exception:  # noqa: BLE001 - see above
        return None


def _process_name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return ""


@contextmanager
def _stumbling(error_type: type[RefusedError] = RefusedError) -> Iterator[None]:
    """What the libraries raise is whatever the system has; a window that has just closed is the common cause."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        raise error_type(
            f"操作桌面时出错（{type(error).__name__}），窗口可能刚被关闭；请检查聊天窗口是否还在"
        ) from error
