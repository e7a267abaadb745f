"""Windows that behave like chats dragged out of WeCom or WeChat, for the desktop sender's tests. Its own process.

    python tests/chat_windows.py '{"record": "sent.jsonl", "windows": [{"title": "北京运营群"}, …]}'

Enter in the box appends `{"title": …, "text": …}` to the record and empties the box. A window's further keys:

* `draft`: what stands in the box at first; `picture`: true puts a picture there;
* `deaf`: true loses the first copy hotkey;
* `on_text`, once a text of two characters and more has come into the box: `steal` (another window comes to the front),
  `close`, `rename`, `mouse` (the pointer moves), `corner` (it moves into the corner of the screen), `type` (somebody
  types a word), `mangle` (the box shows something else);
* `on_enter`: `newline` (Enter only breaks the line), `close` (it sends, then closes), `steal` (it sends, then another
  window comes to the front), `refill` (it sends, then somebody types); `vanish` (closes without sending);
* `focus`: `nowhere` or `messages` instead of the box.

Commands on stdin, one JSON a line, each answered by one on stdout: `{"text": title}` → the box's text,
`{"close": title}`, `{"front": title}`, `{"minimize": title}`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QEventLoop, QObject, QSocketNotifier, Qt
from PySide6.QtGui import QCursor, QImage, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QPushButton, QTextEdit, QVBoxLayout, QWidget


class Chat(QWidget):
    """One chat: its messages above, the edit box below."""

    def __init__(self, look: dict[str, Any], record: Path, thief: QWidget) -> None:
        super().__init__()
        self.setWindowTitle(look["title"])
        self._record, self._thief = record, thief
        self._is_deaf = look.get("deaf", False)
        self._on_text, self._on_enter = look.get("on_text"), look.get("on_enter")
        self._messages = QPlainTextEdit("昨天 18:02 收到")
        self._messages.setReadOnly(True)
        self.box = QTextEdit()
        self.box.setAcceptRichText(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self._messages)
        layout.addWidget(self.box)
        button = QPushButton("…")
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout.addWidget(button)
        self.resize(420, 320)
        self.box.setPlainText(look.get("draft", ""))
        if look.get("picture"):
            image = QImage(8, 8, QImage.Format.Format_RGB32)
            self.box.textCursor().insertImage(image)
        self.box.installEventFilter(self)
        self.box.textChanged.connect(self._text_changed)
        self._focus(look.get("focus", "box"))

    def _focus(self, where: str) -> None:
        if where == "box":
            self.box.setFocus()
        elif where == "messages":
            self._messages.setFocus()
        else:
            self.box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self._messages.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Return:
                return self._enter()
            if self._is_deaf and event.matches(QKeySequence.StandardKey.Copy):
                self._is_deaf = False
                return True
        return super().eventFilter(watched, event)

    def _enter(self) -> bool:
        if self._on_enter == "newline":
            return False
        if self._on_enter == "vanish":
            self.close()
            return True
        text = self.box.toPlainText()
        if text.strip():
            with self._record.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"title": self.windowTitle(), "text": text}) + "\n")
        self.box.clear()
        if self._on_enter == "close":
            self.close()
        elif self._on_enter == "steal":
            raise_up(self._thief)
        elif self._on_enter == "refill":
            self.box.setPlainText("稍等")
        return True

    def _text_changed(self) -> None:
        if self._on_text and len(self.box.toPlainText()) > 1:
            happening, self._on_text = self._on_text, None
            self._happens(happening)

    def _happens(self, what: str) -> None:
        if what == "steal":
            raise_up(self._thief)
        elif what == "close":
            self.close()
        elif what == "rename":
            self.setWindowTitle(self.windowTitle() + "（已解散）")
        elif what == "mouse":
            QCursor.setPos(QCursor.pos().x() + 25, QCursor.pos().y() + 10)
        elif what == "corner":
            QCursor.setPos(0, 0)
        elif what == "type":
            self.box.insertPlainText("稍等")
        elif what == "mangle":
            self.box.selectAll()
            self.box.insertPlainText("[微笑]")


def raise_up(window: QWidget) -> None:
    window.show()
    window.raise_()
    window.activateWindow()


def answer(command: dict[str, str], chats: dict[str, Chat]) -> object:
    (verb, title), *_ = command.items()
    chat = chats[title]
    if verb == "text":
        return chat.box.toPlainText()
    if verb == "close":
        return chat.close()
    if verb == "minimize":
        return chat.showMinimized()
    return raise_up(chat)


def main(looks: dict[str, Any]) -> int:
    app = QApplication([])
    app.setQuitOnLastWindowClosed(False)
    thief = QTextEdit()
    thief.setWindowTitle("别人的窗口")
    chats: dict[str, Chat] = {}
    shown = [Chat(look, Path(looks["record"]), thief) for look in looks["windows"]]
    for number, chat in enumerate(shown):
        chats[chat.windowTitle()] = chat
        chat.move(60 + 90 * number, 60 + 30 * number)
        chat.show()

    while not all(window.isExposed() for window in app.topLevelWindows()):
        app.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    def read_command() -> None:
        line = sys.stdin.readline()
        if not line:
            app.quit()
            return
        print(json.dumps(answer(json.loads(line), chats)), flush=True)

    notifier = QSocketNotifier(0, QSocketNotifier.Type.Read)
    notifier.activated.connect(read_command)
    print(json.dumps("ready"), flush=True)
    return app.exec()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
