"""Sending through chat apps on the desktop, as settings say it: the apps, their keys, and how long things may take."""

from typing import Annotated

from pydantic import Field

from modules.settings_section import Section


class BoxClickSettings(Section):
    """Where in a chat's window the edit box is clicked: `x` as a part of the window's width, from the left, and so
    many pixels above the window's lower edge."""

    x: float = Field(0.5, gt=0, lt=1)
    pixels_from_bottom: int = Field(60, gt=0)


Keys = Annotated[tuple[str, ...], Field(min_length=1)]
"""A hotkey, as PyAutoGUI names its keys: `["ctrl", "a"]`."""


class DesktopAppSettings(Section):
    """One chat app on the desktop.

    A chat is a window whose title is exactly `window_title` with the recipient's name for `{name}`, and whose process
    is one of `process_names` (upper or lower case alike). `box_click`, where it is set, is clicked before the box is
    used; without it the box has the focus as soon as its window has. `undo` and `clear` take back what was pasted,
    `clear` right after `select_all`; `deselect` ends a selection without changing the text.
    """

    process_names: Annotated[tuple[str, ...], Field(min_length=1)]
    window_title: str = Field("{name}", pattern=r"^[^{}]*\{name\}[^{}]*$")
    box_click: BoxClickSettings | None = None
    select_all: Keys = ("ctrl", "a")
    deselect: Keys = ("end",)
    copy_keys: Keys = ("ctrl", "c")
    paste: Keys = ("ctrl", "v")
    undo: Keys = ("ctrl", "z")
    clear: Keys = ("delete",)
    send: Keys = ("enter",)


class DesktopSettings(Section):
    """Sending through chat apps on this machine's desktop. Times in seconds: how long something may take before the
    message is refused. As shipped, all of them together stay below the queue's lease.

    `empty_seconds`: a box that has handed nothing to the clipboard for so long counts as empty, until the message read
    back proves it. `person_quiet_seconds`: the mouse must have lain still for so long before a message is begun, 0
    switches the watch off; `person_wait_seconds`: how long it is waited for. `blocked_seconds`: how long no message is
    begun after the desktop was found locked, busy or absent. `screens_kept`: pictures of refusals, 0 takes none.
    """

    person_quiet_seconds: float = Field(0.5, ge=0, le=10)
    person_wait_seconds: float = Field(20, ge=0, le=60)
    front_seconds: float = Field(3, gt=0, le=10)
    empty_seconds: float = Field(0.4, gt=0, le=5)
    readback_seconds: float = Field(5, gt=0, le=10)
    confirm_seconds: float = Field(5, gt=0, le=10)
    clipboard_seconds: float = Field(2, gt=0, le=5)
    blocked_seconds: float = Field(60, gt=0, le=600)
    screens_kept: int = Field(100, ge=0)
    wecom: DesktopAppSettings = DesktopAppSettings(process_names=("WXWork.exe",))
    wechat: DesktopAppSettings = DesktopAppSettings(process_names=("WeChat.exe", "Weixin.exe"))
