"""One exchange with Metabase over HTTP: time-outs, the time budget, retries, and never a cookie.

Knows nothing of cards or sessions. Source of every behaviour named here: the team's facts page, Metabase section.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError
from urllib3.exceptions import HTTPError as Urllib3Error

from modules.settings import MetabaseSettings

logger = logging.getLogger(__name__)

PIECE_BYTES = 65_536
QUOTED_CHARACTERS = 200
FIRST_WAIT_SECONDS = 1
LONGEST_WAIT_SECONDS = 30
MOST_TRIES = 5  # 15 s of pauses; what has not passed by then is for the next run, minutes later
BROKEN_REMEDY = "检查网络、METABASE_URL，以及 Metabase 是否在正常运行"


class MetabaseError(Exception):
    """Metabase could not be asked, or its answer can't be used. Never holds a secret.

    `card` is the question's number, None where none is concerned; `what` happened; `remedy` is what to do next,
    worded to follow 请. `str()` of it is one line in Chinese.
    """

    def __init__(self, what: str, remedy: str, card: int | None = None) -> None:
        super().__init__(what, remedy, card)
        self.what, self.remedy, self.card = what, remedy, card

    def __str__(self) -> str:
        where = "Metabase" if self.card is None else f"问题卡 {self.card}"
        return _one_line(f"{where}：{self.what}；请{self.remedy}")


class MetabaseDownError(MetabaseError):
    """Metabase itself is out of use: not reached, out of order, or it lets nobody in. No fault of one question."""


@dataclass(frozen=True)
class Call:
    """A request to make, relative to METABASE_URL.

    `counts` marks a login, which Metabase counts: it is repeated only where it certainly never reached the server.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    form: Mapping[str, str] | None = None
    counts: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer that arrived whole. `document` is its JSON, None where it is none; `text` the start of any other text.

    In `document` a number with a decimal point or an exponent is its text as written, so that money stays exact,
    and a whole number is an int, so that ids of any length keep all digits.
    """

    status: int
    document: object
    text: str

    @property
    def succeeded(self) -> bool:
        """Whether the status says so; a failed query may say so too (see `query_error`)."""
        return 200 <= self.status < 300

    @property
    def query_error(self) -> str | None:
        """Metabase's own words where the query failed, whatever the status; None where it did not."""
        if isinstance(self.document, dict) and self.document.get("status") == "failed":
            return quoted(self.document.get("error") or "没有说明原因")
        return None


class MetabaseHttp:
    """Keeps the connections to one Metabase, for several threads: what a `requests.Session` can't share are cookies,
    and none is ever kept. Close it after use."""

    def __init__(
        self,
        settings: MetabaseSettings,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._base = settings.url.rstrip("/")
        self._sleep = sleep
        self._monotonic = monotonic
        self._session = requests.Session()
        # Older servers read the cookie of a login before the header: nothing is ever stored or sent.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def deadline(self) -> float:
        """When a piece of work that begins now has used up `time_budget`, on the monotonic clock, in seconds."""
        return self._monotonic() + self._settings.time_budget

    def exchange(self, call: Call, deadline: float) -> Reply:
        """Make the request, again with growing pauses where the failure may pass, `MOST_TRIES` times, until `deadline`.

        Returns whatever the server decided, refusals included. Raises MetabaseDownError where no usable answer came.
        """
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _worth_repeating(error, call)),
            wait=wait_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
            stop=lambda state: (
                state.attempt_number >= MOST_TRIES or self._monotonic() + state.upcoming_sleep >= deadline
            ),
            sleep=self._sleep,
            before_sleep=lambda state: _log_retry(call, state),
            reraise=True,
        )
        try:
            return retrying(self._once, call, deadline)
        except _PassingError as error:
            tries = retrying.statistics["attempt_number"]
            spent = f"（试了 {tries} 次）" if tries > 1 else ""
            raise MetabaseDownError(f"{error}{spent}", BROKEN_REMEDY) from error

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _once(self, call: Call, deadline: float) -> Reply:
        left = deadline - self._monotonic()
        if left <= 0:
            raise _PassingError("时间预算已用完", sent=False)
        try:
            response = self._session.request(
                call.method,
                self._base + call.path,
                headers=dict(call.headers),
                json=call.json,
                data=call.form,
                timeout=(min(self._settings.connect_timeout, left), min(self._settings.read_timeout, left)),
                allow_redirects=False,  # a redirected POST becomes a GET, and may carry the key to another host
                stream=True,
            )
            with response:
                body = self._read(response, deadline)
        except requests.exceptions.SSLError as error:
            raise MetabaseDownError("HTTPS 证书或加密连接不被信任", "检查 METABASE_URL 和服务器的证书") from error
        except (requests.ConnectionError, requests.Timeout, Urllib3Error) as error:
            raise _passing(error) from error
        except requests.RequestException as error:
            raise MetabaseDownError(f"请求发不出去（{type(error).__name__}）", "检查 METABASE_URL 的写法") from error
        return _reply(response, body)

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        """The whole body. Piece by piece as it comes in: a server that drips must not outlast the deadline."""
        body = bytearray()
        while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
            body += piece
            if self._monotonic() >= deadline:
                raise _PassingError("时间预算内没有收完答复")
        return bytes(body)


def quoted(words: object) -> str:
    """Somebody else's words, on one line and not too long."""
    line = _one_line(str(words))
    return line if len(line) <= QUOTED_CHARACTERS else line[:QUOTED_CHARACTERS] + "…"


def refusal(reply: Reply) -> MetabaseError:
    """The error for a status that is no success."""
    if 300 <= reply.status < 400:
        return MetabaseDownError(
            f"地址被转到别处（HTTP {reply.status}）",
            "把 METABASE_URL 改成最终地址（例如 https:// 开头），或检查单点登录和代理",
        )
    if reply.status == 403:
        return MetabaseError("没有权限（HTTP 403）", "让 Metabase 管理员给这个账号或 API key 查看权限")
    if reply.status == 404:
        return MetabaseError("不存在或已归档（HTTP 404）", "检查问题卡编号和 METABASE_URL")
    said = f"：{quoted(reply.text)}" if reply.text else ""
    return MetabaseError(f"请求没有被接受（HTTP {reply.status}{said}）", "检查 Metabase 的版本和日志")


class _PassingError(Exception):
    """A failure that may pass. `sent` is False where the request certainly never reached the server."""

    def __init__(self, words: str, *, sent: bool = True) -> None:
        super().__init__(words)
        self.sent = sent


def _worth_repeating(error: BaseException, call: Call) -> bool:
    return isinstance(error, _PassingError) and not (call.counts and error.sent)


def _log_retry(call: Call, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.warning(
        "%s %s：%s，%.0f 秒后再试（第 %d 次失败）",
        call.method, call.path, error, state.upcoming_sleep, state.attempt_number,
    )  # fmt: skip


def _passing(error: Exception) -> _PassingError:
    """The passing error for a failure of the transport. Its text is ours: foreign ones may name headers."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(reason, NewConnectionError):
        return _PassingError("连不上服务器（拒绝连接，或主机名解析不了）", sent=False)
    if isinstance(reason, ConnectTimeoutError):  # the one above is its subclass
        return _PassingError("连接超时", sent=False)
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        return _PassingError("等不到答复（读取超时）")
    return _PassingError("连接中断，答复没有收完")


def _reply(response: requests.Response, body: bytes) -> Reply:
    """Judge what every answer must be: whole, and no web page in place of data."""
    document = _parse(body)
    html = "html" in response.headers.get("Content-Type", "").lower() or body.lstrip()[:1] == b"<"
    text = "" if document is not None or html else body[: QUOTED_CHARACTERS * 4].decode("utf-8", "replace")
    reply = Reply(response.status_code, document, text.strip())
    if reply.status >= 500 and reply.query_error is None:
        said = f"：{quoted(reply.text)}" if reply.text else ""
        raise _PassingError(f"服务器出错（HTTP {reply.status}{said}）")
    if reply.succeeded and html:
        raise MetabaseDownError(
            "得到的是网页而不是数据", "检查 METABASE_URL 是不是 Metabase 的根地址，以及代理和单点登录"
        )
    if reply.succeeded and document is None:
        raise _PassingError("答复不完整或不是 JSON")
    return reply


def _parse(body: bytes) -> object:
    """JSON as `Reply.document` describes it; None where it is none."""
    try:
        return json.loads(body, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
