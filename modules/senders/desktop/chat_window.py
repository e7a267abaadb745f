"""A chat that a person has dragged out into its own window: found by its exact title and its app, never guessed.

The title is the one proof of which chat it is. So there must be exactly one such window, and before every key it is
looked at anew: it must be in front, still have the title, and still belong to the app.
"""

from collections.abc import Sequence

from modules.desktop_settings import BoxClickSettings
from modules.senders.desktop.errors import RefusedError
from modules.senders.desktop.screen import Screen, Window
from modules.senders.desktop.waiting import until

SETTLING_SECONDS = 0.5


class ChatWindow:
    """The one window of a chat. Raises RefusedError where there is none, or more than one."""

    def __init__(self, screen: Screen, title: str, process_names: Sequence[str]) -> None:
        self.title = title
        self._screen = screen
        self._processes = frozenset(name.casefold() for name in process_names)
        self._window = self._only_one(screen.windows_titled(title), process_names)

    def bring_to_front(self, seconds: float, click: BoxClickSettings | None) -> None:
        """Bring it to the front within `seconds`, and click its edit box where the settings say where that is.

        Asked plainly first. Windows often refuses that to a program which works in the background, but not to raise a
        window out of the task bar: the second way. Raises RefusedError.
        """
        self._screen.activate(self._window)
        if not until(self._is_in_front, seconds / 2):
            self._screen.minimize(self._window)
            self._screen.activate(self._window)
            until(self._is_in_front, seconds / 2)
        self.require_front()
        if click:
            self._screen.click_in(self._window, click.x, click.pixels_from_bottom)
            self.require_front()

    def require_front(self) -> None:
        """Raises RefusedError unless keys would go to this chat now."""
        front = self._settled_front()
        if front is None:
            raise RefusedError(
                f"没有窗口处于前台，会话“{self.title}”没有到最前面；"
                "请确认屏幕没有锁定、会话窗口没有关闭，远程桌面断开或最小化时不能发送"
            )
        if front.handle != self._window.handle:
            raise RefusedError(f"前台是别的窗口“{front.title}”，不是会话“{self.title}”；请暂停使用这台电脑，等它发完")
        if front.title != self.title or front.process.casefold() not in self._processes:
            raise RefusedError(
                f"窗口变了：标题“{front.title}”，程序 {front.process or '未知'}；"
                f"请把会话“{self.title}”重新拖出为独立窗口"
            )

    def press(self, keys: Sequence[str]) -> None:
        """Press keys in this chat. Raises RefusedError."""
        self.require_front()
        self._screen.press(keys)

    def _settled_front(self) -> Window | None:
        """The window in front. Between two windows there is none for a moment, which tells nothing."""
        front: Window | None = None

        def is_settled() -> bool:
            nonlocal front
            front = self._screen.front()
            return front is not None

        until(is_settled, SETTLING_SECONDS)
        return front

    def _is_in_front(self) -> bool:
        front = self._screen.front()
        return front is not None and front.handle == self._window.handle

    def _only_one(self, titled: Sequence[Window], process_names: Sequence[str]) -> Window:
        ours = [window for window in titled if window.process.casefold() in self._processes]
        if len(ours) == 1:
            return ours[0]
        if ours:
            raise RefusedError(
                f"有 {len(ours)} 个标题都是“{self.title}”的窗口，分不清该发到哪一个；请只留一个，或改掉重复的会话名"
            )
        if titled:
            others = "、".join(sorted({window.process or "未知" for window in titled}))
            raise RefusedError(
                f"标题是“{self.title}”的窗口属于 {others}，不是 {'、'.join(process_names)}；"
                "请把聊天软件里的会话拖出为独立窗口，或检查 settings.yaml 的 process_names"
            )
        raise RefusedError(
            f"没有找到会话“{self.title}”的独立窗口；请把会话“{self.title}”拖出为独立窗口，不要关闭它"
            "（若它不是会话，而是 settings.yaml 里的收件人，请检查这台电脑上的 recipients）"
        )
