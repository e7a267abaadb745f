"""What an answer of the WeCom group robot means, or its silence: judged by `errcode`, never by the HTTP status alone.

A message has no idempotency key, so every answer is put into one of four drawers, and doubt is never guessed away:

* `errcode` decides wherever there is one, whatever the HTTP status. One that we don't know is Failed: WeCom says that
  it did not take the message, nobody knows whether another try helps, and Failed shows it to a person.
* Without an `errcode`: 408 and 429 are Retry; 3xx (never followed) and other 4xx are Failed, the request was refused
  as a whole. 5xx is Unknown: 502 and 504 come from a gateway that had passed the message on, and a 500 or 503 may
  come from a service that stumbled after it. So is a 2xx that is not WeCom's: somebody else answered for it.
* Without an answer: nothing of the body was taken to be sent → Retry (refused, DNS, connect time-out, proxy, TLS
  handshake); any of it was → Unknown (time-out, reset, cut answer).

The upload of a file brings nothing into the group, so there is no doubt about it: what would be Unknown is Retry.

Source: facts.md, WeCom section; WeCom's documentation of global error codes.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import requests

from modules.senders.outcome import Failed, Outcome, Retry, Sent, Unknown

ERRMSG_CHARACTERS = 200
RATE_WINDOW = timedelta(seconds=60)

OK = 0
VERDICTS: Mapping[int, Outcome] = {
    OK: Sent(),
    -1: Retry("企业微信系统繁忙（errcode -1），稍后重试", max_attempts=3),
    45009: Retry("机器人发送过于频繁（errcode 45009），至少 60 秒后重试", after=RATE_WINDOW),
    45033: Retry("机器人接口并发过高（errcode 45033），稍后重试"),
    93000: Failed(
        "机器人密钥无效或机器人已被移出群（errcode 93000）；请在群里重新添加机器人，把新密钥写进 .env 后重发"
    ),
    93004: Failed("机器人已被停用（errcode 93004）；请联系企业微信管理员启用后重发"),
    93008: Failed("机器人不在群里（errcode 93008）；请把机器人重新加进群，把新密钥写进 .env 后重发"),
    40006: Failed("文件大小不合要求（errcode 40006）；请换一个 5 字节到 20 MB 的文件"),
    40007: Failed("上传的文件已失效（errcode 40007）；请重发，重发时会重新上传"),
    40008: Failed("消息类型不被接受（errcode 40008）；请联系开发人员"),
    40033: Failed("消息里有企业微信不接受的字符（errcode 40033）；请检查消息模板和合同数据"),
    40058: Failed("消息过长或参数不合法（errcode 40058）；请缩短消息模板"),
    44001: Failed("文件为空（errcode 44001）；请检查文件，重新生成后重发"),
    44004: Failed("消息内容为空（errcode 44004）；请检查消息模板"),
    45001: Failed("文件超过大小限制（errcode 45001）；请换一个不超过 20 MB 的文件"),
    45002: Failed("消息超过长度限制（errcode 45002）；请缩短消息模板"),
}
"""What each `errcode` means for the message."""


def judge_message(response: requests.Response, key: str) -> Outcome:
    """What the answer to a message means. No reason ever holds `key`, the robot's."""
    answer = _answer(response)
    return _without_errcode(response.status_code) if answer is None else _by_errcode(answer, key)


def judge_upload(response: requests.Response, key: str) -> str | Retry | Failed:
    """The `media_id` under which WeCom keeps an uploaded file, or why there is none."""
    answer = _answer(response) or {}
    media_id = answer.get("media_id")
    if answer.get("errcode") == OK and isinstance(media_id, str) and media_id:
        return media_id
    outcome = _by_errcode(answer, key) if answer else _without_errcode(response.status_code)
    if isinstance(outcome, (Retry, Failed)):
        return outcome
    return Retry(f"文件没有上传成功（HTTP {response.status_code}，答复里没有 media_id），稍后重试")


def no_answer_to_message(error: Exception, *, body_taken: bool) -> Retry | Unknown:
    """What it means that a message got no whole answer; `body_taken`: some of it was taken to be sent."""
    if body_taken:
        return Unknown(f"消息已发出，但没有收到企业微信的完整答复（{_name(error)}）；请到群里核对是否已收到")
    return Retry(f"连不上企业微信（{_name(error)}），消息没有发出；请检查网络、代理和 WECOM_BASE_URL")


def no_answer_to_upload(error: Exception) -> Retry:
    """What it means that an upload got no whole answer: no message was sent."""
    return Retry(f"文件没有上传成功（{_name(error)}），消息没有发出；请检查网络、代理和 WECOM_BASE_URL")


def _name(error: BaseException) -> str:
    """Only the name of the error's root is quoted: the texts of requests' exceptions hold the address with the key."""
    cause = error.__cause__ or error.__context__
    return type(error).__name__ if cause is None else _name(cause)


def _answer(response: requests.Response) -> dict[str, Any] | None:
    """The answer as WeCom gives it, with an `errcode`; None where it is none of WeCom's."""
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and type(answer.get("errcode")) is int else None


def _by_errcode(answer: Mapping[str, Any], key: str) -> Outcome:
    errcode = answer["errcode"]
    if errcode in VERDICTS:
        return VERDICTS[errcode]
    quoted = " ".join(str(answer.get("errmsg", "")).replace(key, "***").split())[:ERRMSG_CHARACTERS]
    return Failed(f"企业微信拒收：errcode {errcode}，{quoted}；请查企业微信全局错误码，处理后重发")


def _without_errcode(status: int) -> Outcome:
    if status in (408, 429):
        return Retry(f"企业微信暂不受理（HTTP {status}），至少 60 秒后重试", after=RATE_WINDOW)
    if 300 <= status < 500:
        return Failed(f"请求被拒绝（HTTP {status}），消息没有发出；请检查 WECOM_BASE_URL 和代理后重发")
    return Unknown(f"答复里没有 errcode（HTTP {status}），无法判断消息是否送达；请到群里核对是否已收到")
