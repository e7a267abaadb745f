"""ALERT_CONFIGS: every fault with its path, its value and what would be right; and what is shipped."""

from __future__ import annotations

import re
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest

from modules.alert_config import Alert, Alerts, Column, load_alerts, parse_alerts
from modules.alert_messages import sample_values
from modules.check import check_alerts, check_providers
from modules.clock import SHANGHAI
from modules.config import ALERT_CONFIGS
from modules.settings import ROOT, load_settings
from modules.templates import Templates
from tests.test_docs import code_blocks, section, table_rows

KNOWN = ("ops", "bj_group", "sh_group")
NOW = datetime(2025, 5, 20, 9, 0, tzinfo=SHANGHAI)
GOOD: dict[str, Any] = {
    "title": "差评提醒",
    "card_id": 1800,
    "every_minutes": 10,
    "columns": {"order": "orderNum", "company": ["orgName", "服务商"], "words": {"name": "comment", "position": 4}},
    "key": ["order"],
    "per": "row",
    "template": "technician_status",
    "recipient_column": "company",
    "recipient_map": {"北京燕归来装饰": "bj_group"},
    "also": "ops",
}


def parse(*without: str, known: tuple[str, ...] = KNOWN, **changes: Any) -> Alerts:
    entry = {name: value for name, value in (GOOD | changes).items() if name not in without}
    return parse_alerts({"bad_reviews": entry}, known)


def told(*without: str, **changes: Any) -> list[str]:
    return [str(fault) for fault in parse(*without, **changes).faults]


def good(*without: str, **changes: Any) -> Alert:
    alerts = parse(*without, **changes)
    assert alerts.faults == ()
    return alerts.valid["bad_reviews"]


def test_an_entry_says_what_when_and_to_whom() -> None:
    alert = good()
    assert (alert.name, alert.title, alert.card_id, alert.every_minutes, alert.at) == (
        "bad_reviews",
        "差评提醒",
        1800,
        10,
        (),
    )
    assert alert.columns["order"] == Column(name=("orderNum",))
    assert alert.columns["company"].name == ("orgName", "服务商")
    assert alert.columns["words"] == Column(name=("comment",), position=4)
    assert (alert.key, alert.also) == (("order",), ("ops",))
    assert alert.enabled
    assert parse().enabled == (alert,)


def test_times_of_day_are_one_or_several_in_order() -> None:
    assert good("every_minutes", at="9:05").at == (time(9, 5),)
    assert good("every_minutes", at=["15:30", "09:00", "15:30"]).at == (time(9), time(15, 30))


def test_what_is_told_once_has_a_baseline_unless_somebody_says_otherwise() -> None:
    assert good().has_baseline
    assert good(baseline=True).has_baseline
    assert not good(baseline=False).has_baseline
    assert not good("key", "every_minutes", per="table", at="09:00").has_baseline


def test_a_disabled_alert_is_sound_but_not_scheduled_and_may_name_anybody() -> None:
    alerts = parse(enabled=False, also="nobody")
    assert alerts.faults == ()
    assert alerts.enabled == ()
    assert list(alerts.valid) == ["bad_reviews"]


def test_none_switches_a_key_off() -> None:
    assert good(also=None, baseline=None).also == ()


PATH = 'ALERT_CONFIGS["bad_reviews"]'


@pytest.mark.parametrize(
    ("without", "changes", "fault"),
    [
        ("", {"tempalte": "x"}, f"{PATH}.tempalte: 未知的键，是否想写 template？"),
        ("", {"name": "x"}, f"{PATH}.name: 未知的键，名称已写在外面，请删去；显示的名称写在 title"),
        ("title", {}, f"{PATH}.title: 缺少这一项，请补上"),
        ("", {"title": " "}, f"{PATH}.title: ' ' 不能为空"),
        ("", {"card_id": "一千"}, f"{PATH}.card_id: '一千' 不是整数，应写整数"),
        ("", {"card_id": 0}, f"{PATH}.card_id: 0 太小，应大于 0"),
        ("", {"card_id": True}, f"{PATH}.card_id: True 不是整数，应写整数"),
        ("", {"every_minutes": 0}, f"{PATH}.every_minutes: 0 太小，应不小于 1"),
        ("", {"at": "09:00"}, f"{PATH}.every_minutes: 和 at 只能写一个，请删去一处"),
        ("every_minutes", {}, f'{PATH}.at: 缺少时间，请写 at（例如 "09:00"）或 every_minutes（例如 10）'),
        ("every_minutes", {"at": "24:00"}, f"{PATH}.at: '24:00' 不是一天里的时间，应写成 \"09:00\" 的形式"),
        ("every_minutes", {"at": ["09:00", 9]}, f'{PATH}.at: 9 不是一天里的时间，应写成 "09:00" 的形式'),
        (
            "every_minutes",
            {"at": 9},
            f'{PATH}.at: 9 读不懂，应写成 "09:00"，或几个时间 ["09:00", "15:30"]',
        ),
        ("", {"per": "rows"}, f"{PATH}.per: 'rows' 不在可选之列，应为 'row' 或 'table'"),
        ("", {"template": "a/b"}, f"{PATH}.template: 'a/b' 写法不对，应是模板的文件名，不带路径和扩展名"),
        ("", {"key": "odrer"}, f"{PATH}.key[0]: columns 里没有 'odrer'，是否想写 order？"),
        ("", {"order_by": "时间"}, f"{PATH}.order_by: columns 里没有 '时间'，现有：order、company、words"),
        (
            "",
            {"recipient_column": "firm"},
            f"{PATH}.recipient_column: columns 里没有 'firm'，现有：order、company、words",
        ),
        ("", {"recipient": "ops"}, f"{PATH}.recipient_column: 和 recipient 只能写一个，请删去一处"),
        (
            "",
            {"also": ["ops", "nobody"]},
            f"{PATH}.also[1]: settings.yaml 的 recipients 里没有 'nobody'，请改正，或在那里加上",
        ),
        (
            "",
            {"recipient_map": {"甲": "nobody"}},
            f"{PATH}.recipient_map.甲: settings.yaml 的 recipients 里没有 'nobody'，请改正，或在那里加上",
        ),
        (
            "recipient_column",
            {"recipient": "ops"},
            f"{PATH}.recipient_map: 只和 recipient_column 一起用；请删去，或补上 recipient_column",
        ),
        (
            "key",
            {},
            f"{PATH}.key: 按行发送（per: row）要写明用哪几列区分每一行，否则每次都会全部重发；请补上",
        ),
        ("key", {"per": "table"}, f"{PATH}.key: 没有 key 的表每次都会全部重发，只能用 at 定时；请改用 at，或补上 key"),
        ("", {"columns": {}}, f"{PATH}.columns: {{}} 不能为空"),
        ("", {"enabled": "也许"}, f"{PATH}.enabled: '也许' 应写 True 或 False"),
    ],
)
def test_a_fault_names_its_path_and_what_would_be_right(without: str, changes: dict[str, Any], fault: str) -> None:
    assert told(without, **changes) == [fault]
    assert parse(without, **changes).valid == {}


@pytest.mark.parametrize(
    ("column", "faults"),
    [
        ({"_id": "x"}, [f"{PATH}.columns._id: 名称要在模板里用，应以文字开头，只含文字、数字和下划线"]),
        ({"a b": "x"}, [f"{PATH}.columns.a b: 名称要在模板里用，应以文字开头，只含文字、数字和下划线"]),
        ({"x": {"name": "x", "position": 0}}, [f"{PATH}.columns.x.position: 0 太小，应不小于 1"]),
        ({"x": {"position": 1}}, [f"{PATH}.columns.x.name: 缺少这一项，请补上"]),
        ({"x": {"name": "x", "place": 1}}, [f"{PATH}.columns.x.place: 未知的键，可用的键：name、position"]),
        ({"x": []}, [f"{PATH}.columns.x.name: [] 不能为空"]),
        ({"x": 3}, [f"{PATH}.columns.x: 3 应是一组键和值"]),
        ({"时间_2": "x"}, []),
    ],
)
def test_a_column_is_a_name_or_several_or_a_name_with_its_usual_position(column: Any, faults: list[str]) -> None:
    assert told(columns=GOOD["columns"] | column) == faults


def test_several_faults_of_one_entry_are_told_at_once() -> None:
    assert [line.partition(":")[0] for line in told("title", "per", also="x", card_id="y")] == [
        f"{PATH}.title",
        f"{PATH}.card_id",
        f"{PATH}.per",
    ]
    assert [line.partition(":")[0] for line in told("key", "recipient_column", also="x")] == [
        f"{PATH}.key",
        f"{PATH}.recipient",
        f"{PATH}.recipient_map",
        f"{PATH}.also[0]",
    ]


def test_a_baseline_without_a_key_is_a_fault() -> None:
    assert told("key", "every_minutes", per="table", at="09:00", baseline=True) == [
        f"{PATH}.baseline: 只对写了 key 的有用；请删去，或补上 key"
    ]


def test_where_a_column_decides_operations_must_be_known_for_what_it_does_not() -> None:
    faults = parse("also", known=("bj_group",)).faults
    assert [fault.path for fault in faults] == [f"{PATH}.recipient_column"]
    assert "请在 settings.yaml 的 recipients 里加上它" in faults[0].text


@pytest.mark.parametrize("key", ["技师", "Bad", "1a", "a-b", "BJ-2025-05"])
def test_the_name_of_an_alert_is_small_letters(key: str) -> None:
    (fault,) = parse_alerts({key: GOOD}, KNOWN).faults
    assert fault.path == f'ALERT_CONFIGS["{key}"]'
    assert "小写字母" in fault.text


def test_the_name_of_an_alert_is_no_fixed_job_s() -> None:
    (fault,) = parse_alerts({"housekeeping": GOOD}, KNOWN).faults
    assert str(fault) == 'ALERT_CONFIGS["housekeeping"]: 是程序自己的任务的名称，请换一个名称'


def test_a_faulty_alert_stops_no_other() -> None:
    alerts = parse_alerts({"a": GOOD, "b": {}, "c": [], "d": GOOD}, KNOWN)
    assert list(alerts.valid) == ["a", "d"]
    assert {fault.path.partition(".")[0] for fault in alerts.faults} == {'ALERT_CONFIGS["b"]', 'ALERT_CONFIGS["c"]'}


# The file


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "campaigns.py"
    path.write_text(f"REWARD_CONFIGS = {{}}\n{text}", encoding="utf-8")
    return path


def test_keys_written_twice_are_told_with_lines_and_stop_only_their_alert(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        f"GOOD = {GOOD!r}\n"
        'ALERT_CONFIGS: dict = {\n  "a": GOOD,\n  "b": {\n    **GOOD, "title": "x",\n    "title": "y",\n  },\n'
        '  "c": GOOD,\n  "c": GOOD,\n}\n',
    )
    alerts = load_alerts(path, KNOWN)
    assert [str(fault) for fault in alerts.faults] == [
        'ALERT_CONFIGS["b"].title: 写了两次（第 6 行和第 7 行），请删去一处',
        'ALERT_CONFIGS["c"]: 写了两次（第 9 行和第 10 行），请删去一处',
    ]
    assert list(alerts.valid) == ["a"]


def test_a_file_without_alerts_has_the_shipped_ones(tmp_path: Path) -> None:
    assert list(load_alerts(file(tmp_path, ""), KNOWN).valid) == list(ALERT_CONFIGS)
    assert load_alerts(file(tmp_path, "ALERT_CONFIGS = {}"), KNOWN) == Alerts()


def test_alerts_of_another_form_are_one_fault(tmp_path: Path) -> None:
    assert [str(fault) for fault in load_alerts(file(tmp_path, "ALERT_CONFIGS = []"), KNOWN).faults] == [
        "ALERT_CONFIGS: 应是一组键和值"
    ]


# What is shipped


def shipped() -> Alerts:
    return load_alerts(ROOT / "modules" / "config.py", load_settings(environ={}, root=ROOT / "config").recipients)


def test_the_shipped_alerts_have_no_fault_and_only_the_technicians_are_on() -> None:
    assert shipped().faults == ()
    assert list(shipped().valid) == ["check_technician_status", "contact_timeout_digest", "pending_orders_reminder"]
    assert [alert.name for alert in shipped().enabled] == ["check_technician_status"]


def test_the_shipped_technician_job_is_that_of_the_issue() -> None:
    alert = shipped().valid["check_technician_status"]
    assert (alert.card_id, alert.every_minutes, alert.has_baseline, alert.key) == (719, 10, True, ("id",))
    positions = {name: column.position for name, column in alert.columns.items()}
    assert positions == {"id": 1, "time": 2, "technician": 3, "company": 4, "content": 6}


@pytest.mark.parametrize("name", list(ALERT_CONFIGS))
def test_every_shipped_template_renders(name: str) -> None:
    alert = shipped().valid[name]
    assert alert.title in Templates.read().render(alert.template, sample_values(alert, NOW)) or alert.per == "row"


# The manual

MANUAL = ROOT / "docs" / "操作手册.md"


def manual_block(language: str) -> str:
    (block,) = code_blocks(MANUAL, language)
    return block


def test_the_manual_explains_every_key() -> None:
    cells = [row[0] for row in table_rows(section(MANUAL, "提醒：任何一张问题卡"))]
    explained = {cell.strip("`") for cell in cells if re.fullmatch("`[a-z_]+`", cell)}
    assert explained == set(Alert.model_fields) - {"name"}


def test_the_example_of_the_manual_can_be_added_as_it_stands(tmp_path: Path) -> None:
    """Entry and template, into the shipped file where the manual says."""
    assert manual_block("jinja").strip()
    (tmp_path / "bad_reviews.j2").write_text(manual_block("jinja"), encoding="utf-8")
    shipped_text = (ROOT / "modules" / "config.py").read_text(encoding="utf-8")
    assert shipped_text.endswith("\n}\n")
    added = shipped_text.removesuffix("}\n") + manual_block("python3") + "}\n"
    (tmp_path / "config.py").write_text(added, encoding="utf-8")
    alerts = load_alerts(tmp_path / "config.py", KNOWN)
    assert alerts.faults == ()
    example = alerts.valid["bad_reviews"]
    assert alerts.enabled[-1] == example
    assert check_alerts(Alerts({"bad_reviews": example}), NOW, tmp_path).faults == ()


# check


def test_check_is_content_with_what_is_shipped() -> None:
    found = check_alerts(shipped(), NOW) + check_providers(load_settings(environ={}, root=ROOT / "config"))
    assert (found.faults, found.warnings) == ((), ())
    assert found.notes == ("1 个提醒已启用：技师上下线",)


def test_check_tells_of_templates_that_fail_and_of_providers(tmp_path: Path) -> None:
    (tmp_path / "reviews.j2").write_text("{{ row.wrods }}", encoding="utf-8")
    alerts = parse_alerts({"a": GOOD | {"template": "reviews"}, "b": GOOD | {"template": "none"}, "c": {}}, KNOWN)
    file = tmp_path / "none.yaml"
    found = check_alerts(alerts, NOW, tmp_path) + check_providers(load_settings(environ={}, root=tmp_path), file)
    paths = [fault.path for fault in found.faults]
    assert 'ALERT_CONFIGS["a"].template' in paths
    assert 'ALERT_CONFIGS["b"].template' in paths
    assert 'ALERT_CONFIGS["c"].title' in paths
    assert str(file) in paths
    assert any("wrods" in fault.text for fault in found.faults)


def test_check_without_alerts_says_so() -> None:
    assert check_alerts(Alerts(), NOW).notes == ("0 个提醒已启用：无",)
