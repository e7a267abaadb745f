"""The clipboard: texts in and out through pyperclip, each proven by reading it again.

pyperclip waits without end where another program owns the clipboard and hangs, and says nothing where its helper
program fails. So each call has a deadline, and a text counts as put when it was read again.

Only text can be kept and put back. An image or files that a person had copied are gone after a message.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from modules.senders.desktop.errors import RefusedError
from modules.senders.desktop.libraries import imported
from modules.senders.desktop.waiting import until

log = logging.getLogger(__name__)

T = TypeVar("T")


class Clipboard:
    """The user's clipboard. `seconds`: how long it may take to hand out or to take a text.
    Raises BlockedError."""

    def __init__(self, seconds: float) -> None:
        self._pyperclip = imported("pyperclip")
        self._seconds = seconds

    def get(self) -> str:
        """Its text; empty where it holds nothing or no text. Raises RefusedError."""
        return str(self._bounded(self._pyperclip.paste))

    def put(self, text: str) -> None:
        """Raises RefusedError unless the text is there afterwards."""

        def is_there() -> bool:
            return lines(self.get()) == lines(text)

        self._bounded(lambda: self._pyperclip.copy(text))
        if not until(is_there, self._seconds):
            raise RefusedError("剪贴板写不进去，可能被别的程序占用；请关闭剪贴板工具或远程桌面的剪贴板共享")

    def changed_from(self, mark: str, seconds: float) -> str | None:
        """What an app has put in place of `mark` within `seconds`; None where it is still there.

        Empty where the app put something that is no text. Raises RefusedError.
        """
        seen = mark

        def has_text() -> bool:
            nonlocal seen
            seen = self.get()
            return seen not in (mark, "")  # it is empty for a moment while it changes hands, too

        until(has_text, seconds)
        return None if seen == mark else lines(seen)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Its text comes back after the block. Raises RefusedError at the start only."""
        before = self.get()
        try:
            yield
        finally:
            try:
                self.put(before)
            except RefusedError as error:
                log.warning("剪贴板没有恢复：%s", error)

    def _bounded(self, call: Callable[[], T]) -> T:
        """`call` in a thread of its own, which is left behind where it hangs."""
        results: list[T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                results.append(call())
            except Exception as error:  # noqa: BLE001 - handed to the caller below
                errors.append(error)

        thread = threading.Thread(target=run, name="clipboard", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if results:
            return results[0]
        seen = type(errors[0]).__name__ if errors else f"{self._seconds:g} 秒没有反应"
        raise RefusedError(f"剪贴板用不了（{seen}）；请关闭占用剪贴板的程序（Linux 上请安装 xclip）") from (
            errors[0] if errors else None
        )


def lines(text: str) -> str:
    """With `\\n` at the end of each line, as messages have; Windows' clipboard has `\\r\\n`."""
    return text.replace("\r\n", "\n")
