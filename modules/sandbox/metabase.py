"""A Metabase for tests and the demo: the endpoints we use, with the manners and failures of the real one.

Source of every behaviour: the Metabase section of the team's facts page, checked against Metabase's sources.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from modules.sandbox.http_stand_in import Answer, FaultPlan, HttpStandIn, Request

USERNAME = "sandbox@example.com"
PASSWORD = "sandbox-password"
API_KEY = "mb_sandbox-api-key"
ROW_LIMIT = 2_000
MAX_SAFE_INTEGER = 9_007_199_254_740_991
THROTTLE_SECONDS = 15
SESSION_COOKIE = "metabase.SESSION"
CARD_PATH = re.compile(r"/api/card/(\d+)/query(/json)?")
QUERY_ERROR = "ERROR: canceling statement due to statement timeout"
HTML_PAGE = "<!DOCTYPE html><html><head><title>Metabase</title></head><body>502 upstream</body></html>"

Rows = Sequence[Sequence[object]]
Column = str | tuple[str, str]


class Operation(Enum):
    """What a request asks for."""

    LOGIN = "login"
    USER = "user"
    QUERY = "query"
    EXPORT = "export"


class Fault(Enum):
    """A failure of the real server. `Fault.x.operations` are the operations that it can hit."""

    WRONG_PASSWORD = "401 for a login, whatever the password"
    THROTTLED_LOGIN = "401 for a login: too many attempts, wait `seconds`"
    EXPIRED_SESSION = "the session of the request ends: 401 Unauthenticated"
    FORBIDDEN = "403 in plain text"
    NOT_FOUND = "404 in plain text"
    FAILED_202 = "the query failed, said with status 202"
    FAILED_500 = "the query failed, said with status 500 and the same JSON"
    TRUNCATED_BODY = "chunked body cut half-way"
    ERROR_APPENDED = "status of success, some rows, then error JSON in place of the rest"
    HTML = "200 with a page of HTML"
    WRONG_ROW_COUNT = "row_count is one more than there are rows"
    ERROR_500 = "500 in plain text"
    ERROR_503 = "503 in plain text"
    SLOW = "no answer for `seconds` (None: until stop), then the usual one"
    NO_ANSWER = "connection closed without an answer"
    EXPORT_FAILED = "export: 200 with error JSON in place of the array"
    EXPORT_CUT = "export: chunked body cut half-way"

    @property
    def operations(self) -> frozenset[Operation]:
        """The operations that the fault can hit."""
        return _OPERATIONS.get(self, frozenset(Operation))


_CARDS = frozenset({Operation.QUERY, Operation.EXPORT})
_OPERATIONS = {
    Fault.WRONG_PASSWORD: frozenset({Operation.LOGIN}),
    Fault.THROTTLED_LOGIN: frozenset({Operation.LOGIN}),
    Fault.EXPIRED_SESSION: frozenset({Operation.USER, *_CARDS}),
    Fault.FORBIDDEN: _CARDS,
    Fault.NOT_FOUND: _CARDS,
    Fault.FAILED_202: frozenset({Operation.QUERY}),
    Fault.FAILED_500: _CARDS,
    Fault.TRUNCATED_BODY: frozenset({Operation.QUERY}),
    Fault.ERROR_APPENDED: _CARDS,
    Fault.WRONG_ROW_COUNT: frozenset({Operation.QUERY}),
    Fault.EXPORT_FAILED: frozenset({Operation.EXPORT}),
    Fault.EXPORT_CUT: frozenset({Operation.EXPORT}),
}
_Planned = tuple[Fault, float | None]
_Where = tuple[Operation, int | None]


@dataclass(frozen=True)
class _Card:
    columns: list[tuple[str, str]]
    rows: Rows | Callable[[], Rows]

    def pull(self) -> list[list[object]]:
        return [list(row) for row in (self.rows() if callable(self.rows) else self.rows)]


class MetabaseStandIn(HttpStandIn):
    """`with MetabaseStandIn() as stand_in:` — set cards with `set_card`, failures with `inject`."""

    def __init__(
        self, port: int = 0, *, username: str = USERNAME, password: str = PASSWORD, api_key: str = API_KEY
    ) -> None:
        """Take the one account and the one API key that are let in."""
        super().__init__(port)
        self.username, self.password, self.api_key = username, password, api_key
        self._cards: dict[int, _Card] = {}
        self._sessions: set[str] = set()
        self._faults: FaultPlan[_Planned, _Where] = FaultPlan()

    def set_card(self, card_id: int, columns: Sequence[Column], rows: Rows | Callable[[], Rows]) -> None:
        """Set what a card shows. A column is a name or `(name, display_name)`; `rows` may be called at each pull."""
        pairs = [(column, column) if isinstance(column, str) else column for column in columns]
        with self._lock:
            self._cards[card_id] = _Card(pairs, rows)

    def inject(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        card: int | None = None,
        on: Operation | None = None,
        seconds: float | None = None,
    ) -> None:
        """Let the next `times` requests that are let in (None: all, until `clear_faults`) meet `fault`.

        Faults that fit cards hit card requests alone (of `card`, or of any), unless `on` names another operation.
        `seconds` is the time of SLOW and THROTTLED_LOGIN. Raises ValueError for a fault that could never strike.
        """
        reach = frozenset({on}) if on else (fault.operations & _CARDS or fault.operations)
        if not reach <= fault.operations:
            raise ValueError(f"{fault.name} cannot hit {on}: only {sorted(o.name for o in fault.operations)}")
        if card is not None and not reach <= _CARDS:
            raise ValueError(f"{fault.name} on {sorted(o.name for o in reach)} knows no card")
        if seconds is not None and fault not in (Fault.SLOW, Fault.THROTTLED_LOGIN):
            raise ValueError(f"{fault.name} takes no time")

        def applies(where: _Where) -> bool:
            return where[0] in reach and card in (None, where[1])

        self._faults.add((fault, seconds), times, applies)

    def clear_faults(self) -> None:
        """Forget every planned fault."""
        self._faults.clear()

    @property
    def unused_faults(self) -> int:
        """How many counted faults have not hit yet: a test that expects them all asserts 0."""
        return self._faults.unused

    def expire_sessions(self) -> None:
        """End every session, as 14 days do."""
        with self._lock:
            self._sessions.clear()

    @property
    def logins(self) -> int:
        """How often a login was tried, refused ones included."""
        return self.calls.count("POST /api/session")

    def answer(self, request: Request) -> Answer | None:
        """Answer one request."""
        if request.path == "/api/session" and request.method == "POST":
            return self._meet_fault(Operation.LOGIN, None, request, lambda: self._login(request))
        card_path = CARD_PATH.fullmatch(request.path) if request.method == "POST" else None
        if card_path is None and (request.method, request.path) != ("GET", "/api/user/current"):
            return _not_found()
        if not self._let_in(request):
            return _unauthenticated()
        if card_path is None:
            return self._meet_fault(Operation.USER, None, request, self._user)
        card_id = int(card_path[1])
        with self._lock:
            card = self._cards.get(card_id)
        if card is None:
            return _not_found()
        if card_path[2]:
            return self._meet_fault(Operation.EXPORT, card_id, request, lambda: _export(card, _is_raw(request)))
        return self._meet_fault(Operation.QUERY, card_id, request, lambda: _query(card))

    def _meet_fault(
        self, operation: Operation, card: int | None, request: Request, usual: Callable[[], Answer]
    ) -> Answer | None:
        fault, seconds = self._faults.take((operation, card)) or (None, None)
        match fault:
            case None:
                return usual()
            case Fault.WRONG_PASSWORD:
                return _wrong_password()
            case Fault.THROTTLED_LOGIN:
                wait = THROTTLE_SECONDS if seconds is None else int(seconds)
                text = f"Too many attempts! You must wait {wait} seconds before trying again."
                return Answer.of_json(401, {"errors": {"username": text}})
            case Fault.EXPIRED_SESSION:
                with self._lock:
                    self._sessions.discard(_session_of(request))
                return _unauthenticated()
            case Fault.FORBIDDEN:
                return Answer.of_text(403, "You don't have permissions to do that.")
            case Fault.NOT_FOUND:
                return _not_found()
            case Fault.FAILED_202 | Fault.FAILED_500 | Fault.EXPORT_FAILED:
                status = {Fault.FAILED_202: 202, Fault.FAILED_500: 500, Fault.EXPORT_FAILED: 200}[fault]
                return Answer.of_json(status, _failure())
            case Fault.TRUNCATED_BODY | Fault.EXPORT_CUT:
                return replace(usual(), cut=True)
            case Fault.ERROR_APPENDED:
                whole = usual()
                rows_end = whole.body.find(b', "cols"')  # -1 in an export: all but the closing bracket
                return replace(whole, body=whole.body[:rows_end] + json.dumps(_failure()).encode())
            case Fault.HTML:
                return Answer.of_text(200, HTML_PAGE, "text/html; charset=utf-8")
            case Fault.WRONG_ROW_COUNT:
                return _with_row_count_off(usual())
            case Fault.ERROR_500:
                return Answer.of_text(500, "Internal Server Error")
            case Fault.ERROR_503:
                return Answer.of_text(503, "Service Unavailable")
            case Fault.SLOW:
                return usual() if self.hold(seconds) else None
            case Fault.NO_ANSWER:
                return None

    def _login(self, request: Request) -> Answer:
        asked = request.json()
        if not isinstance(asked, dict) or not asked.get("username") or not asked.get("password"):
            return Answer.of_json(400, {"errors": {"username": "value must be a non-blank string."}})
        if (asked["username"], asked["password"]) != (self.username, self.password):
            return _wrong_password()
        session = secrets.token_hex(18)
        with self._lock:
            self._sessions.add(session)
        cookies = (
            ("Set-Cookie", f"{SESSION_COOKIE}={session};HttpOnly;SameSite=Lax;Path=/;Max-Age=1209600"),
            ("Set-Cookie", "metabase.TIMEOUT=alive;SameSite=Lax;Path=/;Max-Age=1209600"),
        )
        return Answer.of_json(200, {"id": session}, cookies)

    def _user(self) -> Answer:
        return Answer.of_json(200, {"id": 1, "email": self.username, "common_name": "沙箱用户", "is_active": True})

    def _let_in(self, request: Request) -> bool:
        with self._lock:
            return _session_of(request) in self._sessions or request.headers.get("x-api-key") == self.api_key


def _session_of(request: Request) -> str:
    """The session that counts: the cookie's before the header's, as on older servers."""
    cookie = SimpleCookie(request.headers.get("cookie", "")).get(SESSION_COOKIE)
    return cookie.value if cookie else request.headers.get("x-metabase-session", "")


def _unauthenticated() -> Answer:
    return Answer.of_text(401, "Unauthenticated")


def _not_found() -> Answer:
    return Answer.of_text(404, "Not found.")


def _wrong_password() -> Answer:
    return Answer.of_json(401, {"errors": {"password": "did not match stored password"}})


def _failure() -> dict[str, object]:
    return {"status": "failed", "error": QUERY_ERROR, "data": {"rows": [], "cols": []}}


def _query(card: _Card) -> Answer:
    rows = card.pull()
    shown = rows[:ROW_LIMIT]
    cols = [
        {"name": name, "display_name": title, "base_type": _base_type([row[index] for row in rows])}
        for index, (name, title) in enumerate(card.columns)
    ]
    data: dict[str, object] = {"rows": [[_safe(value) for value in row] for row in shown], "cols": cols}
    if len(rows) >= ROW_LIMIT:
        data["rows_truncated"] = ROW_LIMIT
    body = {"data": data, "row_count": len(shown), "running_time": 12, "status": "completed"}
    return replace(Answer.of_json(202, body), chunked=True)


def _with_row_count_off(answer: Answer) -> Answer:
    body = json.loads(answer.body)
    body["row_count"] += 1
    return replace(Answer.of_json(answer.status, body), chunked=True)


def _export(card: _Card, raw: bool) -> Answer:
    titles = [title for _, title in card.columns]
    rows = [[value if raw else _formatted(value) for value in row] for row in card.pull()]
    body = [dict(zip(titles, row, strict=True)) for row in rows]
    disposition = ("Content-Disposition", 'attachment; filename="query_result.json"')
    return replace(Answer.of_json(200, body, (disposition,)), chunked=True)


def _is_raw(request: Request) -> bool:
    if "json" in request.headers.get("content-type", ""):
        asked = request.json()
        return isinstance(asked, dict) and asked.get("format_rows") in (False, "false")
    return parse_qs(request.body.decode("utf-8", "replace")).get("format_rows") == ["false"]


def _safe(value: object) -> object:
    too_long = isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER
    return str(value) if too_long else value


def _formatted(value: object) -> object:
    """A value as people read it: what an export gives where nobody asked for `format_rows=false`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:,}" if number else value


def _base_type(values: list[object]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return "type/*"
    if kinds == {int}:
        return "type/BigInteger"
    return "type/Float" if kinds <= {int, float} else "type/Text"
