"""What the dashboard's server does around the pages: headers on every answer, and imports before the first."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from modules.settings import ROOT
from streamlit_app.served import CHINESE, ENGLISH, HEADERS, hardened, uncompressed


async def greet(request: Request) -> Response:
    return PlainTextResponse("ok", headers={"x-content-type-options": "nosniff", "etag": "abc"})


async def fail(request: Request) -> Response:
    raise RuntimeError("boom")


async def show(request: Request) -> Response:
    return HTMLResponse(ENGLISH)


async def give(request: Request) -> Response:
    return PlainTextResponse(ENGLISH)


SITE = Starlette(routes=[Route("/", greet), Route("/fails", fail), Route("/page", show), Route("/file", give)])


def answer_to(path: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """What goes out: status, headers, and the body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b"", "headers": []}
    try:
        asyncio.run(SITE(scope, receive, hardened(send)))
    except RuntimeError:
        assert path == "/fails"
    headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    return sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:])


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/absent", 404), ("/fails", 500)])
def test_an_answer_has_each_of_them_once_whatever_it_is(path: str, status: int) -> None:
    answered, headers, _ = answer_to(path)
    assert answered == status
    for name, value in HEADERS.items():
        assert [held for key, held in headers if key == name.lower()] == [value]


def test_a_page_says_that_it_is_in_chinese_and_a_file_stays_as_it_is() -> None:
    assert len(CHINESE) == len(ENGLISH)
    assert answer_to("/page")[2] == CHINESE
    assert answer_to("/file")[2] == ENGLISH


def test_what_asks_for_a_page_gets_it_uncompressed_and_all_else_as_it_asks() -> None:
    page = [(b"accept", b"text/html,*/*"), (b"accept-encoding", b"gzip"), (b"cookie", b"a=b")]
    assert uncompressed({"type": "http", "headers": page})["headers"] == [page[0], page[2]]
    for other in ({"type": "http", "headers": [(b"accept", b"*/*"), page[1]]}, {"type": "websocket"}):
        assert uncompressed(other) is other


def test_all_else_is_passed_on_as_it_is() -> None:
    _, headers, body = answer_to("/")
    assert ("etag", "abc") in headers
    assert body == b"ok"


def test_the_handshake_of_a_websocket_stays_as_it_is() -> None:
    sent: list[Message] = []
    accept: Message = {"type": "websocket.accept", "headers": []}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(hardened(send)(accept))
    assert sent == [{"type": "websocket.accept", "headers": []}]


IMPORTING = """
import sys
from streamlit_app.server import import_parts
before = set(sys.modules)
import_parts()
print(*(set(sys.modules) - before))
"""


def test_what_takes_long_to_import_is_there_before_the_first_page_and_no_page_is_run_for_it() -> None:
    command = [sys.executable, "-c", IMPORTING]
    imported = set(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split())
    assert imported >= {"altair", "openpyxl", "pandas", "pyarrow", "sqlalchemy", "streamlit_app.data"}
    assert "streamlit_app.app" not in imported
    assert not any(name.startswith("streamlit_app.pages") for name in imported)
