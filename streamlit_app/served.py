"""The dashboard as it is served: Streamlit's application, with headers that keep browsers from misuse."""

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


class Dashboard(st.App):
    """What listens: around all of Streamlit, so that its errors have the headers too. Websockets stay as they are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, hardened(send))


def hardened(send: Send) -> Send:
    """Sends what it is given, an answer's head with HEADERS."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending
