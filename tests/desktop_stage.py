"""A real X display with a window manager, windows that behave like chats, and the sender beside them."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from Xlib import X
from Xlib.display import Display
from Xlib.ext.xtest import fake_input

from modules.settings import ROOT
from tests.tools import wait_until

MIDDLE = (640, 700)
ANSWER_SECONDS = 60
QUICK: dict[str, Any] = {"person_quiet_seconds": 0, "readback_seconds": 2, "confirm_seconds": 2, "front_seconds": 2}
"""Deadlines that a refusal is not long in coming for; the watch over the mouse is off."""


@contextmanager
def running(*command: str | Path, env: dict[str, str] | None = None, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes, which ends with the block."""
    process = subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, env=env, encoding="utf-8", stdin=subprocess.PIPE, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()  # and not for the end of its output: an xclip of its making lives on and holds that open
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


@contextmanager
def x_display(folder: Path) -> Iterator[str]:
    """A display of its own with openbox on it; its name, such as `:7`."""
    reading, writing = os.pipe()
    with ExitStack() as stack:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = ("Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset")
        stack.enter_context(running(*server, pass_fds=[writing], **quiet))
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as number:
            name = f":{number.readline().strip()}"
        environment = os.environ | {"DISPLAY": name, "HOME": str(folder)}
        stack.enter_context(running("openbox", env=environment, **quiet))
        screen = Display(name)
        stack.callback(screen.close)
        check = screen.intern_atom("_NET_SUPPORTING_WM_CHECK")
        wait_until(lambda: screen.screen().root.get_full_property(check, X.AnyPropertyType) is not None)
        yield name


@dataclass
class Talker:
    """A process that answers one JSON line with another."""

    process: subprocess.Popen[str]

    def ask(self, question: object) -> Any:
        self.tell(question)
        return self.answer()

    def tell(self, question: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], ANSWER_SECONDS)[0], "no answer"
        return json.loads(self.process.stdout.readline())


@dataclass
class Driver(Talker):
    """The sender."""

    settings: dict[str, Any] = field(default_factory=dict)

    def send(self, chat: str, message: str, refusal: str = "", **settings: Any) -> tuple[str, str]:
        """Send once; outcome and reason, which is one line."""
        self.begin(chat, message, refusal, **settings)
        outcome, reason = self.answer()
        assert "\n" not in reason
        return outcome, reason

    def begin(self, chat: str, message: str, refusal: str = "", **settings: Any) -> None:
        """Send once, and don't wait for what comes of it; a `refusal` comes in the last moment before Enter."""
        self.tell([self.values(**settings), chat, message, refusal])

    def values(self, **settings: Any) -> dict[str, Any]:
        """The settings, with `wecom` merged."""
        app = self.settings.get("wecom", {}) | settings.pop("wecom", {})
        return self.settings | settings | {"wecom": app}


@dataclass
class Chats(Talker):
    """The windows."""

    record: Path

    def text(self, title: str) -> str:
        """What stands in the edit box."""
        return str(self.ask({"text": title}))

    def sent(self) -> list[tuple[str, str]]:
        """Title and text of every message that left, in their order."""
        if not self.record.exists():
            return []
        lines = self.record.read_text(encoding="utf-8").splitlines()
        return [(entry["title"], entry["text"]) for entry in map(json.loads, lines)]


class Stage:
    """One display; opens chats and drivers on it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.lock_folder = folder / "locks"
        self.lock_folder.mkdir(exist_ok=True)
        self.screens = folder / "screens"
        self.environment = os.environ | {
            "DISPLAY": name,
            "HOME": str(folder),
            "TMPDIR": str(self.lock_folder),
            "PYTHONPATH": str(ROOT),
            "QT_QPA_PLATFORM": "xcb",
        }
        self._display = Display(name)
        self._mouse = threading.Lock()

    def close(self) -> None:
        self._display.close()

    @contextmanager
    def chats(self, *windows: dict[str, Any]) -> Iterator[Chats]:
        """Windows that behave like chats; see chat_windows.py."""
        record = self.folder / f"sent-{time.monotonic_ns()}.jsonl"
        looks = json.dumps({"record": str(record), "windows": windows})
        script = ROOT / "tests" / "chat_windows.py"
        with running(sys.executable, script, looks, env=self.environment, stdout=subprocess.PIPE) as process:
            chats = Chats(process, record)
            assert chats.answer() == "ready"
            yield chats
        wait_until(lambda: not self._windows())

    def _windows(self) -> list[int]:
        """Those that the window manager knows of."""
        root, listed = self._display.screen().root, self._display.intern_atom("_NET_CLIENT_LIST")
        found = root.get_full_property(listed, X.AnyPropertyType)
        return list(found.value) if found else []

    @contextmanager
    def driver(self, **environment: str) -> Iterator[Driver]:
        """The sender, with further environment variables; one that is empty is taken away."""
        env = {name: value for name, value in (self.environment | environment).items() if value}
        script = ROOT / "tests" / "desktop_driver.py"
        with running(sys.executable, script, self.screens, env=env, stdout=subprocess.PIPE) as process:
            settings = QUICK | {"wecom": {"process_names": [psutil.Process(process.pid).name()]}}
            yield Driver(process, settings)

    def move_mouse(self, x: int, y: int) -> None:
        """As a person does."""
        with self._mouse:
            fake_input(self._display, X.MotionNotify, x=x, y=y)
            self._display.sync()

    @contextmanager
    def person_at_the_mouse(self) -> Iterator[None]:
        """Somebody moves it for the length of the block."""
        is_over = threading.Event()

        def move() -> None:
            step = 0
            while not is_over.wait(0.03):
                step += 1
                self.move_mouse(600 + step % 50, 600)

        thread = threading.Thread(target=move)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def copy(self, text: str) -> None:
        """Into the clipboard, as a person does; the helper lives on and owns it."""
        subprocess.run(
            ["xclip", "-selection", "c"],
            input=text,
            encoding="utf-8",
            env=self.environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def clipboard(self) -> str:
        """What a person would paste."""
        command = ["xclip", "-selection", "c", "-o"]
        result = subprocess.run(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            check=False,
        )
        return result.stdout  # empty for the moment in which it changes hands
