"""A Metabase that serves the same bytes again and again, from a process of its own: its work is not timed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection


def bodies(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, bytes]:
    """The answers to `/query` (the first 2,000 rows, marked as truncated) and to the export."""
    head = rows[:2000]
    cols = [{"name": name, "display_name": name} for name in columns]
    query = {
        "data": {"rows": head, "cols": cols, "rows_truncated": len(head)},
        "row_count": len(head),
        "status": "completed",
    }
    export = [dict(zip(columns, row, strict=True)) for row in rows]
    return {"query": _encoded(query), "json": _encoded(export)}


@contextmanager
def serving(answers: dict[str, bytes]) -> Iterator[str]:
    """The root address while it serves."""
    here, there = Pipe()
    process = Process(target=_serve, args=(answers, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(answers: dict[str, bytes], parent: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = answers[self.path.rsplit("/", 1)[-1]]
            self.send_response(202)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    parent.send(server.server_address[1])
    server.serve_forever()


def _encoded(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
