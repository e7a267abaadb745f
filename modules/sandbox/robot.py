"""A WeCom group robot for tests and the demo: HTTP 200 whatever happens, the verdict in `errcode`.

Source of every behaviour: the WeCom section of the team's facts page.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from modules.sandbox.http_stand_in import Answer, FaultPlan, HttpStandIn, Request
from modules.sandbox.robot_files import FILE_BYTES, RobotFile, media_of

SEND_PATH = "/cgi-bin/webhook/send"
UPLOAD_PATH = "/cgi-bin/webhook/upload_media"
BYTE_LIMITS = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}
MESSAGES_PER_WINDOW = 20
WINDOW_SECONDS = 60.0

OK = 0
BAD_UPLOAD_TYPE = 40005
FILE_TOO_SMALL = 40006
BAD_MEDIA_ID = 40007
BAD_TYPE = 40008
TOO_LONG = 40058
NO_FILE = 44001
EMPTY = 44004
FILE_TOO_BIG = 45001
TOO_OFTEN = 45009
BAD_JSON = 47001
BAD_KEY = 93000
ERRMSGS = {
    OK: "ok",
    -1: "system busy",
    BAD_UPLOAD_TYPE: "invalid file type",
    FILE_TOO_SMALL: "invalid file size",
    BAD_MEDIA_ID: "invalid media_id",
    BAD_TYPE: "invalid message type",
    TOO_LONG: "content exceeds max length",
    NO_FILE: "empty media data",
    EMPTY: "empty content",
    45002: "content size out of limit",
    FILE_TOO_BIG: "media size out of limit",
    TOO_OFTEN: "api freq out of limit",
    45033: "api concurrency out of limit",
    BAD_JSON: "data format error",
    BAD_KEY: "invalid webhook url",
}


class RobotFault(Enum):
    """Failures that are not an errcode. The first two leave the client in doubt: a message is in the group.

    An upload meets them too; its file is kept where a message would be accepted.
    """

    NEVER_ANSWERED = "the message is accepted, the answer never comes"
    CLOSED_AFTER_RECORDING = "the message is accepted, the connection closes without an answer"
    CLOSED_BEFORE_READING = "the connection closes before the body is read"
    HTTP_500 = "500 in plain text, nothing accepted"


@dataclass(frozen=True)
class RobotMessage:
    """A message that reached the group. `monotonic` is in seconds of the stand-in's clock, `wall` ISO 8601 in UTC.

    `content` of a file is its name; the file itself is in `RobotStandIn.files`.
    """

    key: str
    msgtype: str
    content: str
    mentioned_list: tuple[str, ...]
    mentioned_mobile_list: tuple[str, ...]
    monotonic: float
    wall: str


class RobotStandIn(HttpStandIn):
    """`with RobotStandIn(["sandbox-key"]) as robot:` — accepted messages are in `messages`, files in `files`."""

    def __init__(
        self,
        keys: Sequence[str],
        port: int = 0,
        *,
        rate_limit: bool = True,
        record_to: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the keys of the robots that exist.

        `rate_limit` refuses the 21st accepted message of a key within 60 s of `clock`. `record_to` is a file that gets
        each accepted message as a line of JSON before the answer goes out; its folder must exist.
        """
        super().__init__(port)
        self._keys = frozenset(keys)
        self._rate_limit = rate_limit
        self._record_to = record_to
        self._clock = clock
        self._messages: list[RobotMessage] = []
        self._files: list[RobotFile] = []
        self._faults: FaultPlan[RobotFault | int, tuple[str, str]] = FaultPlan()
        self._unread_faults: FaultPlan[RobotFault, tuple[str, str]] = FaultPlan()

    def inject(
        self, fault: RobotFault | int, *, times: int | None = 1, key: str | None = None, path: str = SEND_PATH
    ) -> None:
        """Let the next `times` messages (None: all, until `clear_faults`) to `key` (None: any) meet `fault`.

        A number is the errcode to answer with. With UPLOAD_PATH uploads meet it instead of messages.
        """

        def applies(to: tuple[str, str]) -> bool:
            return to[0] == path and key in (None, to[1])

        if fault is RobotFault.CLOSED_BEFORE_READING:
            self._unread_faults.add(fault, times, applies)
        else:
            self._faults.add(fault, times, applies)

    def clear_faults(self) -> None:
        """Forget every planned fault."""
        self._faults.clear()
        self._unread_faults.clear()

    @property
    def unused_faults(self) -> int:
        """How many counted faults have not hit yet: a test that expects them all asserts 0."""
        return self._faults.unused + self._unread_faults.unused

    @property
    def messages(self) -> list[RobotMessage]:
        """Every message that reached a group, in order."""
        with self._lock:
            return list(self._messages)

    @property
    def files(self) -> list[RobotFile]:
        """Every file that was uploaded, in order, whether it was sent or not."""
        with self._lock:
            return list(self._files)

    def drops_unread(self, path: str, query: dict[str, str]) -> bool:
        """Whether CLOSED_BEFORE_READING hits this request."""
        return self._unread_faults.take((path, query.get("key", ""))) is not None

    def answer(self, request: Request) -> Answer | None:
        """Answer one request."""
        if request.method != "POST" or request.path not in (SEND_PATH, UPLOAD_PATH):
            return Answer.of_text(404, "404 page not found")
        fault = self._faults.take((request.path, request.query.get("key", "")))
        if isinstance(fault, int):
            return _verdict(fault)
        if fault is RobotFault.HTTP_500:
            return Answer.of_text(500, "Internal Server Error")
        answer = _verdict(self._accept(request)) if request.path == SEND_PATH else self._take_file(request)
        if fault is RobotFault.NEVER_ANSWERED:
            self.hold(None)
        return answer if fault is None else None

    def _take_file(self, request: Request) -> Answer:
        key = request.query.get("key", "")
        if key not in self._keys:
            return _verdict(BAD_KEY)
        if request.query.get("type") != "file":
            return _verdict(BAD_UPLOAD_TYPE)
        name, content = media_of(request)
        if not content:
            return _verdict(NO_FILE)
        if len(content) not in FILE_BYTES:
            return _verdict(FILE_TOO_SMALL if len(content) < FILE_BYTES.start else FILE_TOO_BIG)
        with self._lock:
            kept = RobotFile(key, f"media-{len(self._files) + 1}", name, content)
            self._files.append(kept)
        return Answer.of_json(200, {"errcode": OK, "errmsg": "ok", "type": "file", "media_id": kept.media_id})

    def _accept(self, request: Request) -> int:
        """Take the message in where nothing speaks against it; return the errcode."""
        key, message = request.query.get("key", ""), request.json()
        if key not in self._keys:
            return BAD_KEY
        if not isinstance(message, dict):
            return BAD_JSON
        msgtype = message.get("msgtype")
        if not isinstance(msgtype, str) or msgtype not in (*BYTE_LIMITS, "file"):
            return BAD_TYPE
        part = message.get(msgtype)
        if not isinstance(part, dict):
            return EMPTY
        content = self._file_name(key, part.get("media_id")) if msgtype == "file" else _text_of(part, msgtype)
        if isinstance(content, int):
            return content
        mentions: dict[str, list[str]] = part if msgtype == "text" else {}
        with self._lock:  # count, append and write as one: the file has the order of the list
            now = self._clock()
            if self._rate_limit and self._sent_since(key, now - WINDOW_SECONDS) >= MESSAGES_PER_WINDOW:
                return TOO_OFTEN
            self._keep(
                RobotMessage(
                    key=key,
                    msgtype=msgtype,
                    content=content,
                    mentioned_list=tuple(mentions.get("mentioned_list") or ()),
                    mentioned_mobile_list=tuple(mentions.get("mentioned_mobile_list") or ()),
                    monotonic=now,
                    wall=datetime.now(UTC).isoformat(),
                )
            )
        return OK

    def _file_name(self, key: str, media_id: object) -> str | int:
        """The name of the file that this robot may send under `media_id`, or the errcode."""
        names = [file.name for file in self.files if (file.key, file.media_id) == (key, media_id)]
        return names[0] if names else BAD_MEDIA_ID

    def _sent_since(self, key: str, moment: float) -> int:
        return sum(1 for message in self._messages if message.key == key and message.monotonic > moment)

    def _keep(self, message: RobotMessage) -> None:
        self._messages.append(message)
        if self._record_to is not None:
            with self._record_to.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(message), ensure_ascii=False) + "\n")


def _text_of(part: dict[str, Any], msgtype: str) -> str | int:
    """The text of a message, or the errcode."""
    content = part.get("content")
    if not content or not isinstance(content, str):
        return EMPTY
    return TOO_LONG if len(content.encode()) > BYTE_LIMITS[msgtype] else content


def _verdict(errcode: int) -> Answer:
    return Answer.of_json(200, {"errcode": errcode, "errmsg": ERRMSGS.get(errcode, "error")})
