"""The edit box of a chat, read and written through the clipboard.

No library tells what stands in the box. So it is read as a person would: select all, copy. A mark on the clipboard
shows whether anything was copied; where the mark stays, the box is empty, **or the app has not come to it yet**. So an
unchanged mark alone proves nothing, and what proves something is a blank, typed behind the text: apps take keys in
their order, so a box that is copied with the blank has taken all keys before it.

* Before a message is pasted, an unchanged mark lets the box pass as empty for the moment. The selection is ended, so
  that pasting replaces nothing. Only a read-back that equals the message proves that nothing else was there.
* After pasting, the clipboard must keep the message until the app has taken it from there. The blank shows when:
  what is copied then differs from the message. It is deleted, and the box is read once more.
* After Enter, a box that reads as the blank alone was emptied. A blank that stays behind does no harm: no app sends
  blanks, and the next message removes it.

Nor does a library tell that the focus is in the box. Were it in the list of messages, select all and copy would hand
over messages, and that is refused like a draft; were it nowhere, the read-back fails. Pressing Enter is allowed only
after the message itself was read back, so it stood in something that takes text, in the window with the chat's name.
"""

import uuid

from modules.desktop_settings import DesktopAppSettings
from modules.senders.desktop.chat_window import ChatWindow
from modules.senders.desktop.clipboard import Clipboard
from modules.senders.desktop.errors import RefusedError

PROBE = ("space",)
DROP_PROBE = ("backspace",)


class EditBox:
    """Every key is pressed only while the chat's window is in front; else RefusedError."""

    def __init__(self, chat: ChatWindow, clipboard: Clipboard, keys: DesktopAppSettings) -> None:
        self._chat = chat
        self._clipboard = clipboard
        self._keys = keys

    def read(self, seconds: float) -> str | None:
        """What stands in the box, which is selected afterwards; empty where that is no text. None where nothing was
        copied within `seconds`."""
        mark = f"……{uuid.uuid4().hex}"
        self._clipboard.put(mark)
        self._select_and_copy()
        return self._clipboard.changed_from(mark, seconds)

    def require_empty(self, message: str, seconds: float) -> None:
        """Raises RefusedError where somebody's draft stands in the box, which stays untouched.

        Blanks alone are our own probe, and `message` is our own from a try that was cut short: they go.
        """
        held = self.read(seconds)
        if held is not None and (held.isspace() or is_ours(held, message)):
            self._chat.press(self._keys.clear)
            held = self.read(seconds)
        if held is not None:
            self.deselect()
            size = f"{len(held)} 个字" if held else "图片等内容"
            raise RefusedError(
                f"会话“{self._chat.title}”的输入框里有未发出的内容（{size}），或光标不在输入框；"
                "请发出或删去草稿，并点一下输入框"
            )

    def paste(self, message: str, seconds: float) -> None:
        """Put `message` where the cursor is; nothing that stands in the box is replaced. Raises RefusedError unless the
        app has taken something within `seconds`; what, is to be read."""
        self._clipboard.put(message)
        self.deselect()
        self._chat.press(self._keys.paste)
        self.probe()
        self._select_and_copy()
        if self._clipboard.changed_from(message, seconds) is None:
            self._chat.require_front()  # the likelier cause, and it has words of its own
            raise RefusedError("粘贴后读不回文字，聊天软件没有反应或光标不在输入框；请点一下会话的输入框")
        self.deselect()
        self._chat.press(DROP_PROBE)

    def deselect(self) -> None:
        """End the selection, so that no key replaces it."""
        self._chat.press(self._keys.deselect)

    def clear(self) -> None:
        """Delete all that stands in the box."""
        self._chat.press(self._keys.select_all)
        self._chat.press(self._keys.clear)

    def undo(self) -> None:
        """Take back the last change."""
        self.deselect()
        self._chat.press(self._keys.undo)

    def press_send(self) -> None:
        """The key that sends. Raises KeysUncertainError where it may have been pressed, RefusedError where not."""
        self._chat.press(self._keys.send)

    def probe(self) -> None:
        """Type one blank at the end, so that an empty box has something to hand over."""
        self.deselect()
        self._chat.press(PROBE)

    def _select_and_copy(self) -> None:
        self._chat.press(self._keys.select_all)
        self._chat.press(self._keys.copy_keys)


def is_ours(held: str, message: str) -> bool:
    """Whether a box holds `message` and nothing else, but for the probe perhaps."""
    return held == message or (held[:-1] == message and held[-1:].isspace())
