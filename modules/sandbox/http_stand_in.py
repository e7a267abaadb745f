"""What both stand-ins share: an HTTP/1.1 server on 127.0.0.1, a record of requests, and a plan of faults.

A subclass says what to answer (`HttpStandIn.answer`); sockets and threads are handled here, and none of either is left
after `stop`, even where a client keeps its connection open or a fault still holds an answer back.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"
CHUNK_BYTES = 16_384
JSON_TYPE = "application/json; charset=utf-8"
SHUTDOWN_POLL_SECONDS = 0.02  # `stop` waits up to this long for the accept loop
JOIN_SECONDS = 5.0

F = TypeVar("F")
W = TypeVar("W")


@dataclass(frozen=True)
class Request:
    """One request as it came in. Header names are in lower case; `body` is empty where a fault left it unread."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Answer:
    """What to send back. `chunked` streams the body without a length; `cut` closes the connection half-way through."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False
    cut: bool = False

    @classmethod
    def of_json(cls, status: int, value: object, headers: tuple[tuple[str, str], ...] = ()) -> Self:
        """Return an answer with `value` as JSON. NaN and infinity are refused: no real server sends them."""
        return cls(status, json.dumps(value, ensure_ascii=False, allow_nan=False).encode(), headers=headers)

    @classmethod
    def of_text(cls, status: int, text: str, content_type: str = "text/plain; charset=utf-8") -> Self:
        """Return an answer with plain text (or another content type)."""
        return cls(status, text.encode(), content_type)


class FaultPlan(Generic[F, W]):
    """Faults that wait for a request to hit, in the order they were added; `W` says where a request goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[F, Callable[[W], bool]]] = []
        self._standing: list[tuple[F, Callable[[W], bool]]] = []

    def add(self, fault: F, times: int | None, applies: Callable[[W], bool]) -> None:
        """Plan `fault` for the next `times` requests that it applies to; None: for all of them until `clear`."""
        if times is not None and times < 1:
            raise ValueError(f"times must be at least 1, or None for a standing fault: {times}")
        with self._lock:
            if times is None:
                self._standing.append((fault, applies))
            else:
                self._waiting.extend([(fault, applies)] * times)

    def take(self, where: W) -> F | None:
        """Return the fault for a request that goes to `where`, or None. Counted faults come before standing ones."""
        with self._lock:
            for index, (fault, applies) in enumerate(self._waiting):
                if applies(where):
                    del self._waiting[index]
                    return fault
            return next((fault for fault, applies in self._standing if applies(where)), None)

    def clear(self) -> None:
        """Forget every planned fault."""
        with self._lock:
            self._waiting.clear()
            self._standing.clear()

    @property
    def unused(self) -> int:
        """How many counted faults have not hit yet."""
        with self._lock:
            return len(self._waiting)


class HttpStandIn:
    """Base of the stand-ins: `with StandIn() as stand_in: requests.get(stand_in.url)`."""

    def __init__(self, port: int = 0) -> None:
        """`port` 0 takes a free one at the first `start`; a later `start` listens on the same port again."""
        self._port = port
        self._server: _Server | None = None
        self._accepting: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        self._requests: list[Request] = []

    def answer(self, request: Request) -> Answer | None:
        """Return the answer to a request, or None to close the connection without one. Runs in many threads."""
        raise NotImplementedError

    def drops_unread(self, path: str, query: dict[str, str]) -> bool:
        """Whether to close the connection when only the head of a request has been read."""
        return False

    def start(self) -> Self:
        """Listen. Raises OSError where the port is taken, RuntimeError where the stand-in runs already."""
        if self._server is not None:
            raise RuntimeError("the stand-in runs already")
        self._stopping.clear()
        self._server = _Server(self, self._port)
        self._port = self._server.server_address[1]
        self._accepting = threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_POLL_SECONDS,), daemon=True, name=type(self).__name__
        )
        self._accepting.start()
        return self

    def stop(self) -> None:
        """Close every connection and wait for every thread. Does nothing where the stand-in does not run."""
        if self._server is None or self._accepting is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._accepting.join(JOIN_SECONDS)
        self._server.server_close()
        self._server.close_connections()
        self._server = self._accepting = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL without a trailing slash, the same after `stop`. Raises RuntimeError before a port is known."""
        if self._port == 0:
            raise RuntimeError("the stand-in has no port yet: start it first")
        return f"http://{HOST}:{self._port}"

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in order of arrival, refused ones included."""
        with self._lock:
            return list(self._requests)

    @property
    def calls(self) -> list[str]:
        """The same in short: `["POST /api/session", …]`."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def record(self, request: Request) -> None:
        """Add a request to the record; the server does this before the answer goes out."""
        with self._lock:
            self._requests.append(request)

    def hold(self, seconds: float | None) -> bool:
        """Hold an answer back for `seconds` (None: until `stop`); return whether the stand-in still runs."""
        return not self._stopping.wait(seconds)


class _Server(ThreadingHTTPServer):
    """Keeps its connections and their threads in hand, which the stdlib's forgets when threads are daemons."""

    request_queue_size = 64
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers share a port

    def __init__(self, stand_in: HttpStandIn, port: int) -> None:
        self.stand_in = stand_in
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer asks the name service for the host's name here, which takes seconds on some machines.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def close_connections(self) -> None:
        with self._lock:
            connections = list(self._connections.items())
        for thread, connection in connections:
            with contextlib.suppress(OSError):  # closed by its own thread meanwhile
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(JOIN_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that went away is no fault of ours
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on a kept connection may wait 40 ms
    server: _Server

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: requests are in the record."""

    def _handle(self) -> None:
        stand_in = self.server.stand_in
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        unread = stand_in.drops_unread(parts.path, query)
        body = b"" if unread else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, query, headers, body)
        stand_in.record(request)
        answer = None if unread else stand_in.answer(request)
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
        if answer.chunked:
            for start in range(0, len(body), CHUNK_BYTES):
                chunk = body[start : start + CHUNK_BYTES]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if not answer.cut:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)
        if answer.cut:
            self.close_connection = True
