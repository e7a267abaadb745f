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

from modules.sandbox.http_stand_in import Answer, FaultPlan, HttpStandIn, Request

SEND_PATH = "/cgi-bin/webhook/send"
BYTE_LIMITS = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}
MESSAGES_PER_WINDOW = 20
WINDOW_SECONDS = 60.0

OK = 0
BAD_TYPE = 40008
TOO_LONG = 40058
EMPTY = 44004
TOO_OFTEN = 45009
BAD_JSON = 47001
BAD_KEY = 93000
ERRMSGS = {
    OK: "ok",
    -1: "system busy",
    BAD_TYPE: "invalid message type",
    TOO_LONG: "content exceeds max length",
    EMPTY: "empty content",
    TOO_OFTEN: "api freq out of limit",
    45033: "api concurrency out of limit",
    BAD_JSON: "data format error",
    BAD_KEY: "invalid webhook url",
}


class RobotFault(Enum):
    """Failures that are not an errcode. The first two leave the client in doubt: the message is in the group."""

    NEVER_ANSWERED = "the message is accepted, the answer never comes"
    CLOSED_AFTER_RECORDING = "the message is accepted, the connection closes without an answer"
    CLOSED_BEFORE_READING = "the connection closes before the body is read"
    HTTP_500 = "500 in plain text, nothing accepted"


@dataclass(frozen=True)
class RobotMessage:
    """A message that reached the group. `monotonic` is in seconds of the stand-in's clock, `wall` ISO 8601 in UTC."""

    key: str
    msgtype: str
    content: str
    mentioned_list: tuple[str, ...]
    mentioned_mobile_list: tuple[str, ...]
    monotonic: float
    wall: str


class RobotStandIn(HttpStandIn):
    """`with RobotStandIn(["sandbox-key"]) as robot:` — accepted messages are in `messages`."""

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
        self._faults: FaultPlan[RobotFault | int, str] = FaultPlan()
        self._unread_faults: FaultPlan[RobotFault, str] = FaultPlan()

    def inject(self, fault: RobotFault | int, *, times: int | None = 1, key: str | None = None) -> None:
        """Let the next `times` messages (None: all, until `clear_faults`) to `key` (None: any) meet `fault`.

        A number is the errcode to answer with.
        """

        def applies(to: str) -> bool:
            return key in (None, to)

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

    def drops_unread(self, path: str, query: dict[str, str]) -> bool:
        """Whether CLOSED_BEFORE_READING hits this request."""
        return path == SEND_PATH and self._unread_faults.take(query.get("key", "")) is not None

    def answer(self, request: Request) -> Answer | None:
        """Answer one request."""
        if (request.method, request.path) != ("POST", SEND_PATH):
            return Answer.of_text(404, "404 page not found")
        fault = self._faults.take(request.query.get("key", ""))
        if isinstance(fault, int):
            return _verdict(fault)
        if fault is RobotFault.HTTP_500:
            return Answer.of_text(500, "Internal Server Error")
        errcode = self._accept(request)
        if fault is RobotFault.NEVER_ANSWERED:
            self.hold(None)
        return _verdict(errcode) if fault is None else None

    def _accept(self, request: Request) -> int:
        """Take the message in where nothing speaks against it; return the errcode."""
        key, message = request.query.get("key", ""), request.json()
        if key not in self._keys:
            return BAD_KEY
        if not isinstance(message, dict):
            return BAD_JSON
        msgtype = message.get("msgtype")
        if not isinstance(msgtype, str) or msgtype not in BYTE_LIMITS:
            return BAD_TYPE
        part = message.get(msgtype)
        if not isinstance(part, dict):
            return EMPTY
        content = part.get("content")
        if not content or not isinstance(content, str):
            return EMPTY
        if len(content.encode()) > BYTE_LIMITS[msgtype]:
            return TOO_LONG
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

    def _sent_since(self, key: str, moment: float) -> int:
        return sum(1 for message in self._messages if message.key == key and message.monotonic > moment)

    def _keep(self, message: RobotMessage) -> None:
        self._messages.append(message)
        if self._record_to is not None:
            with self._record_to.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(message), ensure_ascii=False) + "\n")


def _verdict(errcode: int) -> Answer:
    return Answer.of_json(200, {"errcode": errcode, "errmsg": ERRMSGS.get(errcode, "error")})
