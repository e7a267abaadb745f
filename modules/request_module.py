"""The Metabase client: a question's whole table, or one error that says what happened and what to do.

`/api/card/:id/query` stops at 2,000 rows; from there on the table is fetched whole through the export. Signing in is
in `metabase_session`, time-outs and retries are in `metabase_http`.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeGuard, TypeVar

from modules.clock import shanghai_now
from modules.metabase_http import Call, MetabaseDownError, MetabaseError, MetabaseHttp, Reply, quoted, refusal
from modules.metabase_session import ApiKey, Identity, ManagedSession
from modules.settings import MetabaseSettings, load_settings

__all__ = ["MetabaseClient", "MetabaseDownError", "MetabaseError", "Table", "send_request_with_managed_session"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

QUERY_ROW_LIMIT = 2_000
WHOLE_REMEDY = "稍后再试；若一直如此，把问题卡编号和时间告诉 Metabase 管理员"


@dataclass(frozen=True)
class Table:
    """A question's whole answer. `columns` are the `name`s of Metabase's cols; every row has one value for each.

    Values: text; int for whole numbers; text as written for numbers with a decimal point (`"12000.50"`, `"1.2E7"`);
    bool; None. An id beyond 2**53 is text in small tables and an int in those of 2,000 rows and more (the export);
    `str()` of both is the same, digit by digit.
    """

    columns: tuple[str, ...]
    rows: list[list[object]]


class MetabaseClient:
    """Pulls tables from one Metabase, for several threads; use it in a `with` or close it."""

    def __init__(
        self,
        settings: MetabaseSettings,
        state_dir: Path,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`state_dir` keeps session and brake; `now` is the real time (the brake counts in it), in Asia/Shanghai.

        `sleep` makes the pauses between tries, in seconds; what it raises ends the fetch. `monotonic` measures the
        time budget.
        """
        self._settings = settings
        self._state_dir = state_dir
        self._now = now
        self._http = MetabaseHttp(settings, sleep, monotonic)
        self._login_turn = threading.Lock()

    @property
    def base_url(self) -> str:
        """METABASE_URL without a trailing slash."""
        return self._settings.url.rstrip("/")

    def fetch_card(self, card_id: int) -> Table:
        """The whole table of a question, within `time_budget` seconds. Raises MetabaseError."""
        try:
            return self._fetch(card_id)
        except MetabaseError as error:
            error.card = card_id
            raise

    def check(self) -> str:
        """Sign in and return as whom, for people. Raises MetabaseError."""
        deadline = self._http.deadline()
        reply = self._ask(self._identity(deadline), Call("GET", "/api/user/current"), deadline)
        if not reply.succeeded:
            raise refusal(reply)
        user = reply.document if isinstance(reply.document, dict) else {}
        names = [str(user[key]) for key in ("common_name", "email") if user.get(key)]
        if not names:
            raise MetabaseError("看不懂当前用户的答复", "检查 METABASE_URL 是不是 Metabase 的根地址")
        return f"{names[0]}（{names[-1]}）" if len(names) > 1 else names[0]

    def close(self) -> None:
        """Close the connections. The session stays cached on disk."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, card_id: int) -> Table:
        deadline = self._http.deadline()
        identity = self._identity(deadline)
        answer = _read_query(self._ask(identity, Call("POST", f"/api/card/{card_id}/query", json={}), deadline))
        if not answer.maybe_truncated:
            return answer.table()
        logger.info("问题卡 %d：达到 %d 行的上限，改用导出取完整结果", card_id, QUERY_ROW_LIMIT)
        # A form field, not JSON: without it numbers and dates come formatted for people.
        call = Call("POST", f"/api/card/{card_id}/query/json", form={"format_rows": "false"})
        return _read_export(self._ask(identity, call, deadline), answer)

    def _identity(self, deadline: float) -> Identity:
        """Raises MetabaseDownError where address or credentials are not set."""
        settings = self._settings
        if not settings.url:
            raise MetabaseDownError("METABASE_URL 未设置", "把 Metabase 的地址写进 .env")
        key = settings.api_key.get_secret_value().strip()
        if key:
            return ApiKey(key)
        if not settings.username or not settings.password.get_secret_value():
            raise MetabaseDownError(
                "没有登录方式", "在 .env 里设置 METABASE_API_KEY，或 METABASE_USERNAME 和 METABASE_PASSWORD"
            )
        return ManagedSession(settings, self._state_dir, self._now, self._http, deadline, self._login_turn)

    def _ask(self, identity: Identity, call: Call, deadline: float) -> Reply:
        """Ask as `identity`; after a 401 again, as long as the identity has something left to try."""
        while True:
            reply = self._http.exchange(replace(call, headers=identity.headers()), deadline)
            if reply.status != 401:
                return reply
            identity.renew()


def send_request_with_managed_session(api_url: str | int, client: MetabaseClient | None = None) -> dict[str, object]:
    """The whole answer of a question, in the shape of Metabase's own; values are those of `Table`.

    `api_url` is a card number, or an address below METABASE_URL that ends in `/api/card/1693/query`. Without a client
    one is made from the settings. Raises MetabaseError, SettingsError.
    """
    if client is not None:
        table = client.fetch_card(_card_number(api_url, client.base_url))
        cols = [{"name": name} for name in table.columns]
        return {
            "data": {"rows": table.rows, "cols": cols},
            "row_count": len(table.rows),
            "status": "completed",
        }
    settings = load_settings()
    with MetabaseClient(settings.metabase, settings.state_dir, shanghai_now) as own:
        return send_request_with_managed_session(api_url, own)


def _card_number(address: str | int, base_url: str) -> int:
    """The card that an address names. Raises MetabaseError: another server must not get to see our credentials."""
    if isinstance(address, int) or address.strip().isdecimal():
        return int(address)
    match = re.fullmatch(r"(.*?)/api/card/(\d+)/query(?:/json)?/?", address.strip())
    if match is None:
        raise MetabaseError(f"看不懂问题卡的地址 {quoted(address)}", "写成卡号，或 …/api/card/1693/query")
    if match[1] and match[1].rstrip("/").lower() != base_url.lower():
        raise MetabaseError(
            f"地址 {quoted(address)} 不在 METABASE_URL 之下", "改正地址或 METABASE_URL，或只写卡号", int(match[2])
        )
    return int(match[2])


@dataclass(frozen=True)
class _QueryAnswer:
    """A whole answer of `/query`, which may end at the row limit. `titles` are the columns' names in an export."""

    names: tuple[str, ...]
    titles: tuple[str, ...]
    rows: list[list[object]]
    maybe_truncated: bool

    def table(self) -> Table:
        return Table(self.names, self.rows)


def _read_query(reply: Reply) -> _QueryAnswer:
    """Take the answer only with every proof that it is whole. Raises MetabaseError."""
    body = _successful(reply)
    if not isinstance(body, dict) or body.get("status") != "completed":
        raise MetabaseError("答复里没有完成标记（status: completed）", WHOLE_REMEDY)
    data = body.get("data")
    rows, cols = (data.get("rows"), data.get("cols")) if isinstance(data, dict) else (None, None)
    if not isinstance(data, dict) or not _is_list_of(rows, list) or not _is_list_of(cols, dict):
        raise MetabaseError("答复里没有数据（data.rows 和 data.cols）", "检查 Metabase 的版本")
    if body.get("row_count") != len(rows):
        raise MetabaseError(f"行数不符：row_count 是 {body.get('row_count')}，收到 {len(rows)} 行", WHOLE_REMEDY)
    names = [col.get("name") for col in cols]
    if not _is_list_of(names, str):
        raise MetabaseError("答复里有没有名字的列", "检查问题卡的列")
    titles = tuple(str(col.get("display_name", col["name"])) for col in cols)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise MetabaseError(f"第 {number} 行有 {len(row)} 个值，应有 {len(names)} 个", WHOLE_REMEDY)
    truncated = data.get("rows_truncated") is not None or len(rows) >= QUERY_ROW_LIMIT
    return _QueryAnswer(tuple(names), titles, rows, truncated)


def _read_export(reply: Reply, answer: _QueryAnswer) -> Table:
    """The table of an export, a bare array of objects by column title. Raises MetabaseError."""
    records = _successful(reply)
    if not _is_list_of(records, dict):
        raise MetabaseError("导出的结果不是表格", WHOLE_REMEDY)
    repeated = sorted({title for title in answer.titles if answer.titles.count(title) > 1})
    if repeated:
        raise MetabaseError(
            f"有同名的列：{'、'.join(repeated)}，导出时分不清", "在 Metabase 问题卡里给这些列改成不同的显示名称"
        )
    if len(records) < len(answer.rows):
        raise MetabaseError(f"导出只有 {len(records)} 行，查询已有 {len(answer.rows)} 行", WHOLE_REMEDY)
    rows = [_in_order(record, number, answer.titles) for number, record in enumerate(records, start=1)]
    return Table(answer.names, rows)


def _in_order(record: Mapping[str, object], number: int, titles: tuple[str, ...]) -> list[object]:
    """The values of an exported row, the `number`th, in the order of the columns. Raises MetabaseError."""
    if tuple(record) == titles:
        return list(record.values())
    if record.keys() != frozenset(titles):
        raise _other_columns(number, record.keys(), frozenset(titles))
    return [record[title] for title in titles]


def _other_columns(number: int, found: Iterable[str], expected: frozenset[str]) -> MetabaseError:
    missing = "、".join(sorted(expected.difference(found))) or "无"
    unknown = "、".join(sorted(set(found) - expected)) or "无"
    return MetabaseError(
        f"导出第 {number} 行的列对不上，缺少：{missing}，多出：{unknown}",
        "稍后再试；若一直如此，检查问题卡的列和显示名称",
    )


def _successful(reply: Reply) -> object:
    """The document of an answer that is no refusal and no failed query. Raises MetabaseError."""
    if reply.query_error is not None:
        raise MetabaseError(f"查询失败：{reply.query_error}", "在 Metabase 里打开这张问题卡，改正查询或数据库的问题")
    if not reply.succeeded:
        raise refusal(reply)
    return reply.document


def _is_list_of(value: object, kind: type[T]) -> TypeGuard[list[T]]:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
