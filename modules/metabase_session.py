"""Who we are to Metabase: an API key, or a session that is cached on disk and renewed with the brake on.

Metabase counts failed logins, blocked ones included, and locks the account for hours: a login happens at most once a
fetch, not before the time a throttled one names, and after a wrong password not until the settings change or an hour
has passed. All of it is kept in `metabase_session.json`, so that it holds for every process and after a restart.
"""

import hashlib
import json
import logging
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from modules.clock import format_moment, in_shanghai
from modules.metabase_http import Call, MetabaseDownError, MetabaseHttp, Reply, refusal
from modules.settings import MetabaseSettings
from modules.system_words import reason_of

logger = logging.getLogger(__name__)

STATE_FILE = "metabase_session.json"
REFUSED_FOR = timedelta(hours=1)
LONGEST_THROTTLE = timedelta(days=7)
HASH_ROUNDS = 100_000
PASSWORD_REMEDY = "改正 .env 里的 METABASE_USERNAME 和 METABASE_PASSWORD（改后重新启动程序，就会马上再试）"  # noqa: S105


class Identity(Protocol):
    """What a fetch shows to Metabase."""

    def headers(self) -> dict[str, str]:
        """The headers to send. Raises MetabaseDownError where no login is possible now."""

    def renew(self) -> None:
        """Do what can be done about a 401. Raises MetabaseDownError where nothing is left to try."""


class ApiKey:
    """A key from Metabase's admin page; it doesn't expire. Raises MetabaseDownError where it can't be a header."""

    def __init__(self, key: str) -> None:
        if not _fits_header(key):
            raise MetabaseDownError("METABASE_API_KEY 里有不该有的字符", "重新复制这个 API key 到 .env")
        self._key = key

    def headers(self) -> dict[str, str]:
        """The key's header."""
        return {"x-api-key": self._key}

    def renew(self) -> None:
        """Raise: a refused key stays refused."""
        raise MetabaseDownError(
            "API key 不被接受（HTTP 401）", "检查 .env 里的 METABASE_API_KEY，或在 Metabase 里新建一个"
        )


class ManagedSession:
    """The session of one fetch: the cached one, else that of the one login which a fetch may make."""

    def __init__(
        self,
        settings: MetabaseSettings,
        state_dir: Path,
        now: Callable[[], datetime],
        http: MetabaseHttp,
        deadline: float,
        login_turn: threading.Lock,
    ) -> None:
        self._username = settings.username
        self._password = settings.password.get_secret_value()
        self._account = f"{settings.url.rstrip('/')} {settings.username}"
        self._path = state_dir / STATE_FILE
        self._now = now
        self._http = http
        self._deadline = deadline
        self._login_turn = login_turn
        self._session = _load(self._path, self._account).session
        self._logged_in = False

    def headers(self) -> dict[str, str]:
        """The session's header, after a login where there is none."""
        if not self._session:
            self._login()
        return {"X-Metabase-Session": self._session}

    def renew(self) -> None:
        """Log in again, once a fetch."""
        if self._logged_in:
            raise MetabaseDownError(
                "刚登录的会话也不被接受（HTTP 401）", "检查 METABASE_URL 和中间的代理，以及这个账号是否可用"
            )
        logger.info("Metabase 会话已失效，重新登录")
        self._login()

    def _login(self) -> None:
        """Of threads that need a session at once one logs in, and the others take what it got."""
        with self._login_turn:
            state = _load(self._path, self._account)
            if state.session and state.session != self._session:
                self._session = state.session
            else:
                self._log_in_anew(state)

    def _log_in_anew(self, state: "_State") -> None:
        self._check_brake(state)
        # Also proves that the outcome can be kept: no login whose refusal the next run would not know of.
        _save(self._path, state.model_copy(update={"session": ""}))
        self._logged_in = True
        account = {"username": self._username, "password": self._password}
        reply = self._http.exchange(Call("POST", "/api/session", json=account, counts=True), self._deadline)
        if reply.status == 401:
            raise self._refused(reply, state)
        self._session = _session_id(reply)
        _save(self._path, _State(account=self._account, session=self._session))
        logger.info("已登录 Metabase，会话已缓存")

    def _check_brake(self, state: "_State") -> None:
        now = in_shanghai(self._now())
        if state.throttled_until and now < state.throttled_until:
            raise _throttled(state.throttled_until)
        refused = state.refused
        if refused and now < refused.until and refused.digest == self._digest(refused.salt):
            raise _wrong_password(refused.until)

    def _refused(self, reply: Reply, state: "_State") -> MetabaseDownError:
        """Keep on disk what a 401 to a login means; return the error. One that names no wait is a wrong password."""
        now = in_shanghai(self._now())
        wait = _throttle(reply)
        if wait is not None:
            _save(self._path, state.model_copy(update={"session": "", "throttled_until": now + wait}))
            return _throttled(now + wait)
        salt = secrets.token_hex(16)
        refused = _Refused(salt=salt, digest=self._digest(salt), until=now + REFUSED_FOR)
        _save(self._path, state.model_copy(update={"session": "", "refused": refused}))
        return _wrong_password(refused.until)

    def _digest(self, salt: str) -> str:
        """A salted hash that tells whether the credentials are still the refused ones, and does not tell them."""
        credentials = json.dumps([self._account, self._password]).encode()
        return hashlib.pbkdf2_hmac("sha256", credentials, bytes.fromhex(salt), HASH_ROUNDS).hex()


class _Refused(BaseModel):
    """Credentials that were wrong, as a salted hash, and until when they are not tried again."""

    model_config = ConfigDict(frozen=True)

    salt: str = Field(pattern=r"^[0-9a-f]{32}$")
    digest: str
    until: AwareDatetime


class _State(BaseModel):
    """What is kept on disk. It belongs to `account` (address and user name) and is void for any other."""

    model_config = ConfigDict(frozen=True)

    account: str
    session: str = ""
    throttled_until: AwareDatetime | None = None
    refused: _Refused | None = None


def _load(path: Path, account: str) -> _State:
    """The state of `account`; an empty one where there is none. Raises MetabaseDownError where it can't be read."""
    try:
        state = _State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _State(account=account)
    except ValidationError as error:
        logger.warning("%s 的内容读不懂（%d 处），弃用并重新登录", path, error.error_count())
        return _State(account=account)
    except OSError as error:
        raise _unusable(path, error) from error
    return state if state.account == account and _fits_header(state.session) else _State(account=account)


def _save(path: Path, state: _State) -> None:
    """Replace the file at once. The temporary file is readable by its owner only from its creation (mkstemp)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(state.model_dump_json())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> MetabaseDownError:
    return MetabaseDownError(f"会话文件 {path} 不能读写（{reason_of(error)}）", "检查数据目录的权限和磁盘空间")


def _throttle(reply: Reply) -> timedelta | None:
    """How long a throttled login has to wait; None where the 401 means something else.

    The words depend on the server's language, so only the field and the number count (it may read `1,200`).
    """
    errors = reply.document.get("errors") if isinstance(reply.document, dict) else None
    words = errors.get("username") if isinstance(errors, dict) else None
    number = re.search(r"\d[\d.,\u00a0\u202f]*", words) if isinstance(words, str) else None
    if number is None:
        return None
    seconds = int(re.sub(r"\D", "", number.group()))
    return min(timedelta(seconds=min(seconds, 10**9)), LONGEST_THROTTLE)


def _throttled(until: datetime) -> MetabaseDownError:
    return MetabaseDownError(
        f"登录尝试过多，Metabase 要求等待，{format_moment(until)} 之前不再登录",
        "等到那时，程序会自己再试；若密码有误，先改正 .env",
    )


def _wrong_password(until: datetime) -> MetabaseDownError:
    return MetabaseDownError(
        f"用户名或密码不对；为免账号被锁，{format_moment(until)} 之前不再用它们登录", PASSWORD_REMEDY
    )


def _session_id(reply: Reply) -> str:
    """The id of the new session. Raises MetabaseDownError where there is none."""
    if not reply.succeeded:
        refused = refusal(reply)
        raise MetabaseDownError(refused.what, refused.remedy)
    session = reply.document.get("id") if isinstance(reply.document, dict) else None
    if not isinstance(session, str) or not session or not _fits_header(session):
        raise MetabaseDownError("登录的答复里没有会话", "检查 METABASE_URL 是不是 Metabase 的根地址")
    return session


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()
