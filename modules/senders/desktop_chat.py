"""WeCom and WeChat by keyboard: into a chat that a person has dragged out into a window of its own, or not at all.

    lock ─► mouse still? ─► the one window ─► in front? ─► box empty? ─► paste ─► read back until equal
         ─► in front, mouse still? ─► `leave` ─► Enter ─► box empty? ─► sent

Any doubt before Enter ends the attempt: what was pasted is taken back as long as keys would still reach the chat, and
the answer is Retry, with what was seen and what to do. Where it is the machine that can't send now, whatever the
message is, the answer is NotNow, and the lock is paused, so that the messages behind need not find out for themselves.
From Enter on only the box is believed: empty is Sent, our text still there is certainly not sent, all else is Unknown.
*Sent* means that the app took the message; whether it reached its servers, the app shows to people alone.

What is left: between the last look and Enter lie some thousandths of a second in which another window may come to the
front. Enter then does there what Enter does. The message can't go there, as it stands in the chat's box.

The clipboard's text is put back afterwards; an image is lost (`desktop.clipboard`).
"""

from pathlib import Path

from modules.clock import Clock, shanghai_now
from modules.desktop_settings import DesktopAppSettings, DesktopSettings
from modules.recipients import RecipientSettings
from modules.senders.desktop.chat_window import ChatWindow
from modules.senders.desktop.clipboard import Clipboard, lines
from modules.senders.desktop.delivery import Delivery
from modules.senders.desktop.edit_box import EditBox
from modules.senders.desktop.errors import BlockedError, RefusedError
from modules.senders.desktop.lock import DesktopLock
from modules.senders.desktop.person import PersonWatch
from modules.senders.desktop.pictures import Pictures
from modules.senders.desktop.screen import Screen
from modules.senders.outcome import Failed, Leave, NotNow, Outcome, Retry


class DesktopChat:
    """Sends through one chat app. `lock` is the desktop's, shared by the senders of a process; pictures of refusals go
    to `screens_dir`."""

    def __init__(
        self,
        app: DesktopAppSettings,
        settings: DesktopSettings,
        lock: DesktopLock,
        screens_dir: Path,
        clock: Clock = shanghai_now,
    ) -> None:
        self._app = app
        self._settings = settings
        self._lock = lock
        self._pictures = Pictures(screens_dir, settings.screens_kept, clock)

    def send(self, recipient: RecipientSettings, message: str, leave: Leave) -> Outcome:
        """Try once to bring `message` into the chat named like `recipient`; `leave` is called just before Enter.

        Takes the desktop's lock if it is free.
        """
        if not recipient.name.strip():
            return Failed("会话名称为空；请在 settings.yaml 的 recipients 里写上会话名称后重发")
        if not message.strip():
            return Failed("消息内容为空；请检查消息模板")
        with self._lock.held() as is_ours:
            if not is_ours:
                return NotNow("另一个程序正在这台电脑的桌面上发消息；请等它发完，或只留一个程序")
            outcome = self._attempt(recipient.name, lines(message), leave)
            if isinstance(outcome, NotNow):
                self._lock.pause(self._settings.blocked_seconds)
            return outcome

    def _attempt(self, name: str, message: str, leave: Leave) -> Outcome:
        try:
            screen, clipboard = Screen(), Clipboard(self._settings.clipboard_seconds)
            screen.require_unlocked()
        except BlockedError as blocked:  # there is nothing to take a picture of
            return NotNow(str(blocked))
        try:
            person = PersonWatch(screen, self._settings)
            person.wait_for_quiet()
            title = self._app.window_title.replace("{name}", name)
            chat = ChatWindow(screen, title, self._app.process_names)
            with clipboard.restored():
                chat.bring_to_front(self._settings.front_seconds, self._app.box_click)
                box = EditBox(chat, clipboard, self._app)
                return Delivery(message, box, person, self._settings, leave, lambda: self._picture(screen)).run()
        except BlockedError as blocked:
            return NotNow(f"{blocked}{self._picture(screen)}")
        except RefusedError as refused:
            return Retry(f"{refused}{self._picture(screen)}")

    def _picture(self, screen: Screen) -> str:
        name = self._pictures.take(screen)
        return f"（截图 {name}）" if name else ""
