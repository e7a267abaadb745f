"""The WeCom group robot: one POST per message; a file is uploaded first, then sent by the id that WeCom gave it.

Whether any of a message has left is witnessed by its body (`_Body`). Types of exceptions are not witnesses, as one
SSLError may mean a bad certificate or a connection lost after the message. What follows from it: `wecom_verdicts`.

Each request has a connection of its own. On a kept one that the server has closed meanwhile, a message would end as
Unknown for nothing.
"""

import io
import json
import math
import time
from typing import Any

import requests
import urllib3
from urllib3.filepost import encode_multipart_formdata

from modules.message_text import is_later_part
from modules.recipients import RecipientSettings
from modules.senders.file_to_send import FileToSend
from modules.senders.outcome import Failed, Outcome, Retry, Sender
from modules.senders.wecom_verdicts import judge_message, judge_upload, no_answer_to_message, no_answer_to_upload
from modules.settings import WecomSettings

SEND_PATH = "/cgi-bin/webhook/send"
UPLOAD_PATH = "/cgi-bin/webhook/upload_media"
UPLOAD_SECONDS = 60.0
"""An upload that takes longer is broken off: half the lease, as shipped, of the task that it belongs to."""

NO_ANSWER = (OSError, urllib3.exceptions.HTTPError)
"""What a request without a whole answer raises; requests' exceptions are OSErrors."""


class _Body(io.BytesIO):
    """A request body that remembers whether any of it was taken to be sent, and lets itself be read for so long only.

    urllib3 connects and sends the headers first and reads the body after that, so `taken` is False exactly as long as
    nothing that WeCom could deliver has left.
    """

    taken = False

    def __init__(self, content: bytes, seconds: float = math.inf) -> None:
        super().__init__(content)
        self._until = time.monotonic() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        self.taken = True
        if time.monotonic() > self._until:
            raise TimeoutError("the network is too slow for this body")
        return super().read(size)


class WecomRobot(Sender):
    """Sends through group robots. Holds no connection between messages, so there is nothing to close.

    A request blocks for at most the connect time-out (per address of the host) and the read time-out between two bytes;
    an upload for UPLOAD_SECONDS in addition.
    """

    def __init__(self, settings: WecomSettings) -> None:
        self._base_url = settings.base_url.rstrip("/")
        self._timeout = (settings.connect_timeout, settings.read_timeout)

    def send(self, recipient: RecipientSettings, message: str) -> Outcome:
        """Post `message` once to the robot of `recipient`, in its format. No reason ever holds the robot's key."""
        if not _has_key(recipient):
            return _no_key(recipient)
        return self._post_message(recipient, _content(recipient, message))

    def send_file(self, recipient: RecipientSettings, file: FileToSend) -> Outcome:
        """Upload `file` and post it once to the robot of `recipient`. A file that could not be uploaded is
        certainly not sent; after that, its message is judged as any other."""
        if not _has_key(recipient):
            return _no_key(recipient)
        media_id = self._upload(recipient, file)
        if not isinstance(media_id, str):
            return media_id
        return self._post_message(recipient, {"msgtype": "file", "file": {"media_id": media_id}})

    def _post_message(self, recipient: RecipientSettings, message: dict[str, Any]) -> Outcome:
        """Plain UTF-8 instead of \\uXXXX escapes, which WeCom may refuse with 40033."""
        body = _Body(json.dumps(message, ensure_ascii=False).encode())
        query = {"key": recipient.key.get_secret_value()}
        try:
            response = self._post(SEND_PATH, query, body, "application/json; charset=utf-8")
        except NO_ANSWER as error:
            return no_answer_to_message(error, body_taken=body.taken)
        return judge_message(response, query["key"])

    def _upload(self, recipient: RecipientSettings, file: FileToSend) -> str | Retry | Failed:
        """The id that WeCom gives the file, valid for three days; or why it gave none."""
        form, content_type = encode_multipart_formdata({"media": (file.name, file.content, "application/octet-stream")})
        query = {"key": recipient.key.get_secret_value(), "type": "file"}
        try:
            response = self._post(UPLOAD_PATH, query, _Body(form, UPLOAD_SECONDS), content_type)
        except NO_ANSWER as error:
            return no_answer_to_upload(error)
        return judge_upload(response, query["key"])

    def _post(self, path: str, query: dict[str, str], body: _Body, content_type: str) -> requests.Response:
        return requests.post(
            self._base_url + path,
            params=query,
            data=body,
            headers={"Content-Type": content_type},
            timeout=self._timeout,
            allow_redirects=False,
        )


def _content(recipient: RecipientSettings, message: str) -> dict[str, Any]:
    """The message as WeCom takes it. Of a message in several parts only the first mentions anybody."""
    part: dict[str, Any] = {"content": message}
    if recipient.mentioned_mobiles and not is_later_part(message):
        part["mentioned_mobile_list"] = recipient.mentioned_mobiles
    return {"msgtype": recipient.format, recipient.format: part}


def _has_key(recipient: RecipientSettings) -> bool:
    return bool(recipient.key.get_secret_value())


def _no_key(recipient: RecipientSettings) -> Failed:
    return Failed(f"机器人密钥未设置：{recipient.name}；请运行 check，按提示在 .env 里写上对应的变量后重发")
