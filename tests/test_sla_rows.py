"""Rows of the question on service levels: what becomes a violation, what can't be used, and what is refused."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts import ColumnsError
from modules.sandbox.sample_contracts import CITIES
from modules.sandbox.sample_violations import VIOLATION_COLUMNS, sample_violations
from modules.sla_rows import COLUMNS, REQUIRED_COLUMNS, SlaPull, Violation, parse_violations

ROW: dict[str, object] = {
    "_id": "68301f",
    "sid": "SA1",
    "saCreateTime": "2025-05-18T09:00:00+08:00",
    "orderNum": "GD1",
    "province": "110000",
    "orgName": "北京燕归来装饰",
    "supervisorName": "沈若川",
    "sourceType": 2,
    "status": 1,
    "msg": "超时未上门",
    "memo": None,
    "workType": "防水",
    "createTime": "2025-05-19T10:30:00+08:00",
}


def parse(*rows: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> SlaPull:
    return parse_violations(columns, [[(ROW | row)[name] for name in columns] for row in rows])


def only(*rows: dict[str, Any]) -> Violation:
    pull = parse(*rows)
    assert pull.rejected == ()
    (violation,) = pull.violations
    return violation


def test_a_row_becomes_a_violation() -> None:
    assert only({}) == Violation(
        identity="68301f",
        provider="北京燕归来装饰",
        order_number="GD1",
        appointment_id="SA1",
        appointed_at="2025-05-18 09:00:00",
        province="110000",
        supervisor="沈若川",
        source_type="2",
        status="1",
        description="超时未上门",
        memo="",
        work_type="防水",
        created_at="2025-05-19 10:30:00",
    )


@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        ({"_id": 1930073902400000001}, "identity", "1930073902400000001"),
        ({"_id": " 68301f\n"}, "identity", "68301f"),
        ({"_id": None}, "identity", "SA1|GD1|2025-05-19T10:30:00+08:00"),
        ({"_id": "", "sid": None}, "identity", "|GD1|2025-05-19T10:30:00+08:00"),
        ({"_id": "", "orderNum": None}, "identity", "SA1||2025-05-19T10:30:00+08:00"),
        ({"orgName": " 北京燕归来装饰\t"}, "provider", "北京燕归来装饰"),
        ({"orgName": "Cafe\u0301 装饰"}, "provider", "Caf\u00e9 装饰"),
        ({"orgName": 10086}, "provider", "10086"),
        ({"msg": "客户不满 👨‍👩‍👧 😟"}, "description", "客户不满 👨‍👩‍👧 😟"),
        ({"msg": "第一行\r\n第二行\0 \x07完"}, "description", "第一行 第二行 完"),
        ({"msg": "半个 \ud83d"}, "description", "半个 ?"),
        ({"msg": None}, "description", ""),
        ({"memo": float("nan")}, "memo", ""),
        ({"createTime": "昨天"}, "created_at", "昨天"),
        ({"createTime": None}, "created_at", ""),
        ({"createTime": "2025-05-19T02:30:00Z"}, "created_at", "2025-05-19 10:30:00"),
        ({"saCreateTime": "0001-01-01T00:00:00+23:00"}, "appointed_at", "0001-01-01T00:00:00+23:00"),
    ],
)
def test_odd_cells(row: dict[str, Any], name: str, value: str) -> None:
    assert getattr(only(row), name) == value


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"orgName": None}, "没有服务商（orgName 为空）"),
        ({"orgName": " \n"}, "没有服务商（orgName 为空）"),
        ({"_id": None, "createTime": None}, "分不清是哪一条"),
        ({"_id": "", "sid": "", "orderNum": None}, "分不清是哪一条"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_reason(row: dict[str, Any], reason: str) -> None:
    pull = parse(row, {})
    assert [violation.identity for violation in pull.violations] == ["68301f"]
    (rejected,) = pull.rejected
    assert reason in rejected.reason
    assert json.loads(rejected.source)["msg"] == "超时未上门"


def test_a_violation_that_is_shown_twice_counts_once_and_the_first_row_holds() -> None:
    pull = parse({}, {"msg": "别的"}, {"_id": "2"})
    assert [(one.identity, one.description) for one in pull.violations] == [
        ("68301f", "超时未上门"),
        ("2", "超时未上门"),
    ]
    assert pull.duplicates == 1


@pytest.mark.parametrize("name", REQUIRED_COLUMNS)
def test_a_missing_column_is_named(name: str) -> None:
    left = tuple(column for column in COLUMNS if column != name)
    with pytest.raises(ColumnsError, match=f"源数据缺少列：{re.escape(name)}；"):
        parse({}, columns=left)


def test_columns_that_nobody_needs_may_be_missing_and_their_order_and_titles_are_free() -> None:
    columns = ("违规时间(createTime)", "msg", "orgName", "别的", "orderNum", "sid", "_id")
    row = ["2025-05-19T10:30:00", "超时", "甲装饰", "x", "GD1", "SA1", 7]
    (violation,) = parse_violations(columns, [row]).violations
    assert (violation.identity, violation.provider, violation.memo) == ("7", "甲装饰", "")


def test_a_huge_list_is_read() -> None:
    pull = parse(*({"_id": number} for number in range(20_000)))
    assert len(pull.violations) == 20_000


CELLS = st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans())


@given(rows=st.lists(st.tuples(*[CELLS] * len(COLUMNS)), max_size=8))
def test_every_row_ends_as_a_violation_a_duplicate_or_a_rejected_one(rows: list[tuple[object, ...]]) -> None:
    pull = parse_violations(COLUMNS, rows)
    assert len(pull.violations) + len(pull.rejected) + pull.duplicates == len(rows)
    assert len({one.identity for one in pull.violations}) == len(pull.violations)
    for one in pull.violations:
        assert one.identity
        assert one.provider
        assert not set("".join(vars(one).values())) & {"\0", "\n", "\r"}


# The sandbox's question


def test_the_sandbox_shows_the_columns_of_the_question() -> None:
    assert VIOLATION_COLUMNS == COLUMNS


def test_the_sandbox_shows_the_same_day_alike_and_other_days_differently() -> None:
    days = [date(2025, 5, 1) + timedelta(days=number) for number in range(60)]
    pulls = [parse_violations(VIOLATION_COLUMNS, sample_violations(day)) for day in days]
    assert [sample_violations(day) for day in days] == [sample_violations(day) for day in days]
    assert sample_violations(days[0], seed=1) != sample_violations(days[0], seed=2)
    identities = [one.identity for pull in pulls for one in pull.violations]
    assert len(set(identities)) == len(identities) > 100
    assert all(pull.rejected == () and pull.duplicates == 0 for pull in pulls)
    firms = {provider for city in CITIES.values() for provider in city.providers}
    assert {one.provider for pull in pulls for one in pull.violations} == firms
