"""The dashboard as it is served: Streamlit's application, with headers that keep browsers from misuse, in Chinese."""

from pathlib import Path
from types import MappingProxyType

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

APP = Path(__file__).parent / "app.py"

HEADERS = MappingProxyType(
    {
        # No page from elsewhere may show this one in a frame, and lead people to press its buttons without knowing.
        "Content-Security-Policy": "frame-ancestors 'self'",
        "X-Frame-Options": "SAMEORIGIN",
        "X-Content-Type-Options": "nosniff",
        # Addresses tell whose statement was looked at.
        "Referrer-Policy": "same-origin",
    }
)
"""On every answer by HTTP, whatever it is."""

ENGLISH, CHINESE = b'<html lang="en">', b'<html lang="zh">'
"""As Streamlit says and as it is: by this browsers offer to translate, and screen readers choose a voice."""


class Dashboard(st.App):
    """What listens: around all of Streamlit, so that its errors have the headers too. Websockets stay as they are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(uncompressed(scope), receive, hardened(send))


def uncompressed(scope: Scope) -> Scope:
    """What asks for a page asks for it as it is, so that its language can be set: it is small."""
    if scope["type"] != "http" or b"text/html" not in dict(scope["headers"]).get(b"accept", b""):
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]}


def hardened(send: Send) -> Send:
    """Sends what it is given: an answer's head with HEADERS, and a page in Chinese, which is as long as in English."""
    is_page = False

    async def sending(message: Message) -> None:
        nonlocal is_page
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            is_page = headers.get("content-type", "").startswith("text/html")
        elif is_page and message["type"] == "http.response.body":
            message = {**message, "body": message.get("body", b"").replace(ENGLISH, CHINESE, 1)}
        await send(message)

    return sending
