"""A server that answers with whatever bytes a test wants: for answers that no stand-in would give."""

import contextlib
import socket
import threading


class RawServer:
    """Takes one connection after another, reads a whole request where told to, answers with raw bytes and closes."""

    def __init__(self, answer: bytes, *, read: bool = True, keep_open: bool = False) -> None:
        self._answer, self._read, self._keep_open = answer, read, keep_open
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in (*self._kept, self._listener):
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                connection, _ = self._listener.accept()
                self._kept.append(connection)
                self._handle(connection)

    def _handle(self, connection: socket.socket) -> None:
        if self._read:
            self.requests.append(_read_request(connection))
        connection.sendall(self._answer)
        if not self._keep_open:
            connection.shutdown(socket.SHUT_RDWR)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(status: str, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
