"""The WeCom group robot: one POST per message, judged by `errcode` and never by the HTTP status alone.

A message has no idempotency key, so every answer is put into one of four drawers, and doubt is never guessed away:

* `errcode` decides wherever there is one, whatever the HTTP status. One that we don't know is Failed: WeCom says that
  it did not take the message, nobody knows whether another try helps, and Failed shows it to a person.
* Without an `errcode`: 408 and 429 are Retry; 3xx (never followed) and other 4xx are Failed, the request was refused
  as a whole. 5xx is Unknown: 502 and 504 come from a gateway that had passed the message on, and a 500 or 503 may
  come from a service that stumbled after it. So is a 2xx that is not WeCom's: somebody else answered for it.
* Without an answer: nothing of the body was taken to be sent → Retry (refused, DNS, connect time-out, proxy, TLS
  handshake); any of it was → Unknown (time-out, reset, cut answer). The body itself is the witness (`_Body`): types of
  exceptions are not, as one SSLError may mean a bad certificate or a connection lost after the message.

Each message has a connection of its own. On a kept one that the server has closed meanwhile, a message would end as
Unknown for nothing. Source: facts.md, WeCom section; WeCom's documentation of global error codes.
"""

import io
import json
from collections.abc import Mapping
from datetime import timedelta

import requests
import urllib3

from modules.senders.outcome import Failed, Outcome, Retry, Sender, Sent, Unknown
from modules.settings import RecipientSettings, WecomSettings

SEND_PATH = "/cgi-bin/webhook/send"
ERRMSG_CHARACTERS = 200
RATE_WINDOW = timedelta(seconds=60)

VERDICTS: Mapping[int, Outcome] = {
    0: Sent(),
    -1: Retry("企业微信系统繁忙（errcode -1），稍后重试", max_attempts=3),
    45009: Retry("机器人发送过于频繁（errcode 45009），至少 60 秒后重试", after=RATE_WINDOW),
    45033: Retry("机器人接口并发过高（errcode 45033），稍后重试"),
    93000: Failed(
        "机器人密钥无效或机器人已被移出群（errcode 93000）；请在群里重新添加机器人，把新密钥写进 .env 后重发"
    ),
    93004: Failed("机器人已被停用（errcode 93004）；请联系企业微信管理员启用后重发"),
    93008: Failed("机器人不在群里（errcode 93008）；请把机器人重新加进群，把新密钥写进 .env 后重发"),
    40008: Failed("消息类型不被接受（errcode 40008）；请联系开发人员"),
    40033: Failed("消息里有企业微信不接受的字符（errcode 40033）；请检查消息模板和合同数据"),
    40058: Failed("消息过长或参数不合法（errcode 40058）；请缩短消息模板"),
    44004: Failed("消息内容为空（errcode 44004）；请检查消息模板"),
    45002: Failed("消息超过长度限制（errcode 45002）；请缩短消息模板"),
}
"""What each `errcode` means for the message."""


class _Body(io.BytesIO):
    """A request body that remembers whether any of it was taken to be sent.

    urllib3 connects and sends the headers first and reads the body after that, so `taken` is False exactly as long as
    nothing that WeCom could deliver has left.
    """

    taken = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.taken = True
        return super().read(size)


class WecomRobot(Sender):
    """Sends text messages through group robots. Holds no connection between messages, so there is nothing to close."""

    def __init__(self, settings: WecomSettings) -> None:
        self._url = settings.base_url.rstrip("/") + SEND_PATH
        self._timeout = (settings.connect_timeout, settings.read_timeout)

    def send(self, recipient: RecipientSettings, message: str) -> Outcome:
        """Post `message` once to the robot of `recipient`. No reason ever holds the robot's key.

        Blocks for at most the connect time-out (per address of the host) and the read time-out between two bytes.
        """
        key = recipient.key.get_secret_value()
        if not key:
            return Failed(
                f"机器人密钥未设置：{recipient.name}；请运行 python main.py check，按提示在 .env 里写上对应的变量后重发"
            )
        body = _Body(_text_message(message))
        try:
            response = requests.post(
                self._url,
                params={"key": key},
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8"},
                timeout=self._timeout,
                allow_redirects=False,
            )
        except (OSError, urllib3.exceptions.HTTPError) as error:  # requests' exceptions are OSErrors
            return _no_answer(error, body_taken=body.taken)
        return _judge(response, key)


def _text_message(message: str) -> bytes:
    """Plain UTF-8 instead of \\uXXXX escapes, which WeCom may refuse with 40033."""
    return json.dumps({"msgtype": "text", "text": {"content": message}}, ensure_ascii=False).encode()


def _no_answer(error: Exception, *, body_taken: bool) -> Outcome:
    """Only the name of the error's root is quoted: the texts of requests' exceptions hold the address with the key."""
    name = type(_root(error)).__name__
    if body_taken:
        return Unknown(f"消息已发出，但没有收到企业微信的完整答复（{name}）；请到群里核对是否已收到")
    return Retry(f"连不上企业微信（{name}），消息没有发出；请检查网络、代理和 WECOM_BASE_URL")


def _root(error: BaseException) -> BaseException:
    cause = error.__cause__ or error.__context__
    return error if cause is None else _root(cause)


def _judge(response: requests.Response, key: str) -> Outcome:
    verdict = _verdict(response)
    if verdict is None:
        return _without_errcode(response.status_code)
    errcode, errmsg = verdict
    if errcode in VERDICTS:
        return VERDICTS[errcode]
    quoted = " ".join(errmsg.replace(key, "***").split())[:ERRMSG_CHARACTERS]
    return Failed(f"企业微信拒收：errcode {errcode}，{quoted}；请查企业微信全局错误码，处理后重发")


def _verdict(response: requests.Response) -> tuple[int, str] | None:
    """`errcode` and `errmsg` of an answer, None where it has no such thing."""
    try:
        answer = response.json()
    except ValueError:
        return None
    errcode = answer.get("errcode") if isinstance(answer, dict) else None
    return (errcode, str(answer.get("errmsg", ""))) if type(errcode) is int else None


def _without_errcode(status: int) -> Outcome:
    if status in (408, 429):
        return Retry(f"企业微信暂不受理（HTTP {status}），至少 60 秒后重试", after=RATE_WINDOW)
    if 300 <= status < 500:
        return Failed(f"请求被拒绝（HTTP {status}），消息没有发出；请检查 WECOM_BASE_URL 和代理后重发")
    return Unknown(f"答复里没有 errcode（HTTP {status}），无法判断消息是否送达；请到群里核对是否已收到")
