"""Which rows of a question are news, and who is told of them: pure decisions, tried on odd data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from modules.alert_config import Alert
from modules.alert_messages import Letter, letter_key, letter_values, letters, plain_text, with_reasons
from modules.alert_rows import KEY_BYTES, AlertRow, Told, find_alert_columns, news, shown_rows
from modules.clock import SHANGHAI
from modules.config import ALERT_CONFIGS
from modules.contracts import ColumnsError

SLOT = datetime(2025, 5, 20, 9, 0, tzinfo=SHANGHAI)
TITLES = ("_id", "updateTime", "technician", "company", "creator", "updateContent")
ALERT = Alert.model_validate({**ALERT_CONFIGS["check_technician_status"], "name": "technicians"})
DIGEST = Alert.model_validate({**ALERT_CONFIGS["contact_timeout_digest"], "name": "digest", "also": ["bj_group"]})


def row(
    number: object, content: object = "上线", company: object = "甲公司", at: str = "2025-05-20T08:00:00"
) -> list[object]:
    return [number, at, "罗远山", company, "调度台", content]


def keys(rows: list[list[object]], alert: Alert = ALERT) -> list[str]:
    return [shown.key for shown in shown_rows(alert, TITLES, rows).rows]


# Columns


@pytest.mark.parametrize(
    "titles",
    [
        TITLES,
        ("编号(_id)", "时间", "技师 ", "服务商", "x", "更新内容（updateContent）"),
        ("ID", "UPDATETIME", "Technician", "ORGNAME", "x", "Update Content"),
        ("a", "b", "c", "d", "e", "f"),
        ("a", "b", "technician", "d", "e", "f", "g"),
    ],
    ids=["as they are", "in Chinese", "in other letters", "none by name", "one by name"],
)
def test_columns_are_found_by_name_and_else_where_they_always_were(titles: tuple[str, ...]) -> None:
    assert find_alert_columns(ALERT, titles) == {"id": 0, "time": 1, "technician": 2, "company": 3, "content": 5}


def test_a_name_counts_before_the_position() -> None:
    moved = ("updateContent", "company", "technician", "updateTime", "_id")
    assert find_alert_columns(ALERT, moved) == {"id": 4, "time": 3, "technician": 2, "company": 1, "content": 0}


def test_of_two_columns_with_one_name_the_usual_one_counts() -> None:
    assert (
        find_alert_columns(ALERT, ("technician", "time", "technician", "company", "x", "update_content"))["technician"]
        == 2
    )


def test_the_usual_position_does_not_count_where_another_column_has_moved_there() -> None:
    with pytest.raises(ColumnsError, match=r"缺少列：id（_id 或 id 或 第 1 列）；现有的列：technician、"):
        find_alert_columns(ALERT, ("technician", "time", "number", "company", "x", "update_content"))


def test_too_few_columns_are_named() -> None:
    with pytest.raises(ColumnsError) as error:
        find_alert_columns(ALERT, ("_id", "updateTime", "technician"))
    assert str(error.value) == (
        "技师上下线的源数据缺少列：company（company 或 orgName 或 公司 或 服务商 或 第 4 列）、"
        "content（updateContent 或 update_content 或 update content 或 更新内容 或 第 6 列）；"
        "现有的列：_id、updateTime、technician。"
        '请检查 Metabase 问题卡 719 的列名，或改正 ALERT_CONFIGS["technicians"].columns'
    )
    with pytest.raises(ColumnsError, match="现有的列：无"):
        find_alert_columns(ALERT, ())


# Rows


def test_ids_of_one_value_are_one_key_be_they_numbers_or_text() -> None:
    assert keys([row(71), row("71"), row(" 71 ")]) == ['["71"]']
    long = 9_007_199_254_740_993
    assert keys([row(long), row(str(long)), row(long - 1)]) == [f'["{long}"]', f'["{long - 1}"]']


def test_a_key_of_several_columns_keeps_them_apart() -> None:
    alert = ALERT.model_copy(update={"key": ("id", "content")})
    assert len(keys([row("1", "23"), row("12", "3"), row(None, "123"), row("1", "23")], alert)) == 3


def test_a_long_key_is_held_as_its_hash() -> None:
    one, other = keys([row("长" * 500), row("长" * 501)])
    assert one != other
    assert max(len(one), len(other)) <= KEY_BYTES


def test_rows_without_a_key_are_counted_and_left_out() -> None:
    shown = shown_rows(ALERT, TITLES, [row(None), row(""), row(" "), row(float("nan")), row(0)])
    assert shown.keyless == 4
    assert [found.key for found in shown.rows] == ['["0"]']


def test_rows_are_told_in_the_order_of_time_whatever_the_question_sorts_by() -> None:
    late, early = row(1, at="2025-05-20T09:00:00+08:00"), row(2, at="2025-05-20T00:30:00Z")
    assert keys([row(3, at="不详"), late, early]) == ['["2"]', '["1"]', '["3"]']


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (12, "12"),
        ("12.50", "12.50"),
        (["上线", None, "下线"], "上线；下线"),
        ({"状态": "上线"}, '{"状态": "上线"}'),
        ("a\x00b\tc\nd", "a b c\nd"),
        ("e\u0301", "\u00e9"),
        ("\ud800", "?"),
        ("2025-05-20T01:02:03.5Z", "2025-05-20 09:02:03"),
        ("2025-05-20T09:02", "2025-05-20 09:02:00"),
        ("2025-05-20Tomorrow", "2025-05-20Tomorrow"),
        ("2025-13-20T09:02", "2025-13-20T09:02"),
    ],
)
def test_a_value_is_shown_as_text_for_people(value: object, text: str) -> None:
    (shown,) = shown_rows(ALERT, TITLES, [row(1, value)]).rows
    assert shown.values["content"] == text


# News


def test_the_first_pull_is_the_baseline_be_it_empty() -> None:
    for rows in ([], [row(1), row(2)]):
        found = news(ALERT, shown_rows(ALERT, TITLES, rows), Told())
        assert (found.rows, found.is_baseline, found.is_strange) == ((), True, False)
        assert len(found.keys) == len(rows)


def test_after_it_what_is_not_known_is_news() -> None:
    shown = shown_rows(ALERT, TITLES, [row(3), row(1), row(2)])
    found = news(ALERT, shown, Told(frozenset({'["1"]'}), shown.source))
    assert list(found.keys) == ['["3"]', '["2"]'] == [new.key for new in found.rows]
    assert not found.is_baseline


def test_an_alert_without_a_baseline_tells_its_first_pull() -> None:
    alert = ALERT.model_copy(update={"baseline": False})
    found = news(alert, shown_rows(alert, TITLES, [row(1)]), Told())
    assert len(found.rows) == 1


def test_a_table_without_a_key_is_told_whole_each_time() -> None:
    titles = ("orderNum", "orgName", "createTime", "hours")
    shown = shown_rows(DIGEST, titles, [["A", "甲", "", 3], ["A", "甲", "", 3]])
    found = news(DIGEST, shown, Told())
    assert (len(found.rows), found.keys) == (2, ())


def test_where_the_key_is_another_column_and_nothing_is_known_that_is_no_news() -> None:
    shown = shown_rows(ALERT, TITLES, [row(1), row(2)])
    inserted = shown_rows(ALERT, ("x", "y", "z", "u", "v", "w"), [row("甲"), row("乙")])
    assert inserted.source != shown.source
    found = news(ALERT, inserted, Told(frozenset(), shown.source))
    assert (found.rows, found.is_baseline, found.is_strange) == ((), True, True)


def test_where_the_key_column_has_only_another_name_the_news_is_told() -> None:
    shown = shown_rows(ALERT, TITLES, [row(1)])
    renamed = shown_rows(ALERT, ("number", *TITLES[1:]), [row(1), row(2)])
    found = news(ALERT, renamed, Told(frozenset({'["1"]'}), shown.source))
    assert list(found.keys) == ['["2"]'] == [new.key for new in found.rows]


# Letters


def told_row(key: str, company: str) -> AlertRow:
    return AlertRow(key, {"id": key, "time": "", "technician": "罗远山", "company": company, "content": "上线"})


def recipient_of(company: str) -> str | None:
    return {"甲公司": "bj_group", "乙公司": "sh_group", "运维": "ops"}.get(company)


def addressed(alert: Alert, *rows: AlertRow) -> list[tuple[str, list[str], list[str]]]:
    found = letters(alert, rows, recipient_of)
    return [(letter.recipient, [row.key for row in letter.rows], letter.reasons) for letter in found]


def test_each_row_goes_to_its_recipient_and_to_operations() -> None:
    assert addressed(ALERT, told_row("1", "甲公司"), told_row("2", "乙公司")) == [
        ("bj_group", ["1"], []),
        ("ops", ["1"], []),
        ("sh_group", ["2"], []),
        ("ops", ["2"], []),
    ]


@pytest.mark.parametrize(
    ("company", "reason"),
    [
        ("丙公司", "config/service_providers.yaml 里没有“丙公司”的收件人"),
        ("", "company 是空的，不知道发给谁"),
    ],
)
def test_who_is_not_known_is_told_to_operations_once_with_the_reason(company: str, reason: str) -> None:
    assert addressed(ALERT, told_row("1", company)) == [("ops", ["1"], [reason])]


def test_nobody_gets_the_same_row_twice() -> None:
    assert addressed(ALERT, told_row("1", "运维")) == [("ops", ["1"], [])]


def test_a_table_is_one_letter_per_recipient() -> None:
    alert = ALERT.model_copy(update={"per": "table", "also": ()})
    rows = [told_row("1", "甲公司"), told_row("2", "丙公司"), told_row("3", "甲公司"), told_row("4", "丙公司")]
    reason = "config/service_providers.yaml 里没有“丙公司”的收件人"
    assert addressed(alert, *rows) == [("bj_group", ["1", "3"], []), ("ops", ["2", "4"], [reason])]


def test_a_table_for_one_recipient_needs_no_column() -> None:
    assert addressed(DIGEST, told_row("1", "甲公司"), told_row("2", "")) == [
        ("ops", ["1", "2"], []),
        ("bj_group", ["1", "2"], []),
    ]


def test_a_letter_is_named_by_its_rows_or_by_its_moment() -> None:
    one, other = Letter("ops", [told_row("1", "甲公司")]), Letter("ops", [told_row("2", "甲公司")])
    later = SLOT.replace(hour=10)
    assert letter_key(ALERT, one, SLOT) == letter_key(ALERT, one, later) != letter_key(ALERT, other, SLOT)
    assert letter_key(DIGEST, one, SLOT) == letter_key(DIGEST, other, SLOT) != letter_key(DIGEST, one, later)
    assert letter_key(ALERT, one, SLOT) != letter_key(ALERT, Letter("bj_group", one.rows), SLOT)


def test_what_a_template_sees() -> None:
    values: dict[str, Any] = letter_values(ALERT, [told_row("1", "甲公司")], SLOT)
    assert (values["title"], values["slot"], values["count"]) == ("技师上下线", "2025-05-20 09:00", 1)
    assert values["row"].company == "甲公司"
    assert "row" not in letter_values(DIGEST, [told_row("1", "甲公司")], SLOT)


def test_the_plain_text_says_everything() -> None:
    letter = Letter("ops", [told_row("1", "甲公司"), told_row("2", "")], ["不知道发给谁"])
    text = plain_text(ALERT, letter)
    assert text == (
        "技师上下线（2 条）：\nid：1，technician：罗远山，company：甲公司，content：上线\n"
        "id：2，technician：罗远山，content：上线"
    )
    assert with_reasons(text, letter) == f"⚠️ 不知道发给谁，所以发到这里，请转告：\n\n{text}"
