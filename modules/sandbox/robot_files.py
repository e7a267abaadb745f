"""What the stand-in for the WeCom robot knows of files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modules.sandbox.http_stand_in import Request

FILE_BYTES = range(5, 20 * 1024 * 1024 + 1)
"""How long a file may be."""


@dataclass(frozen=True)
class RobotFile:
    """A file that was uploaded, under the `media_id` that it got."""

    key: str
    media_id: str
    name: str
    content: bytes


def media_of(request: Request) -> tuple[str, bytes]:
    """File name and content of the field `media` of a multipart form; nothing where there is no such field."""
    boundary = request.headers.get("content-type", "").partition("boundary=")[2].encode()
    for part in request.body.split(b"--" + boundary) if boundary else []:
        head, _, content = part.partition(b"\r\n\r\n")
        named = re.search(r'name="media"; filename="([^"]*)"', head.decode())
        if named:
            return named[1], content.removesuffix(b"\r\n")
    return "", b""
