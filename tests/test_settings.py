"""settings.yaml, .env and the environment → one Settings; all faults at once, each with file, key and remedy."""

from __future__ import annotations

import traceback
from datetime import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from modules.database import Database
from modules.recipients import RecipientSettings
from modules.settings import ENVIRONMENT_VARIABLES, ROOT, Settings, SettingsError, load_settings, robot_key_variable

KEYS = {
    "WECOM_KEY_BJ_GROUP": "693a91f6-beijing",
    "WECOM_KEY_SH_GROUP": "693a91f6-shanghai",
    "WECOM_KEY_OPS": "693a91f6-ops",
}
COMPLETE = {"METABASE_URL": "https://metabase.example.com", "METABASE_API_KEY": "mb_geheim", **KEYS}


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """Writes a settings file of one's own below the root and gives the environment that names it."""

    def write(text: str, **environ: str) -> dict[str, str]:
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        return {"SETTINGS_FILE": "own.yaml", **environ}

    return write


def faults(environ: dict[str, str], root: Path) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load_settings(environ, root)
    assert str(error.value).splitlines() == [str(fault) for fault in error.value.faults]
    return [str(fault) for fault in error.value.faults]


def warned(settings: Settings) -> list[str]:
    return [fault.path for fault in settings.warnings()]


# -- what is shipped -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "不是数据库地址；"),
        ("postgresql+psycopg://user:geheim@host:port/db", "不是数据库地址；"),
        ("mysql://user:geheim@host/db", "不能用 mysql，只能用 SQLite 或 PostgreSQL；"),
        ("postgresql+psycopg2://user:geheim@host/db", "不能用 postgresql+psycopg2，只能用 SQLite 或 PostgreSQL；"),
        ("sqlite://", "没有写文件，数据只在内存里，程序一停就没有了；"),
        ("sqlite:///:memory:", "没有写文件，数据只在内存里，程序一停就没有了；"),
    ],
)
def test_a_database_that_can_keep_nothing_is_refused_without_its_password(url: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({"DATABASE_URL": url})
    (fault,) = raised.value.faults
    assert fault.path == "环境变量 DATABASE_URL"
    assert fault.text.startswith(told)
    assert "postgresql+psycopg://用户:密码@主机/库名" in fault.text
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"queue: [", "第 1 行第 9 个字附近有错（expected the node content, but found '<stream end>'）"),
        (b"queue:\n\tlease_seconds: 1", "第 2 行第 1 个字附近有错（found character '\\t'"),
        ("recipients: 北京运营群".encode("gbk"), "编码不是 UTF-8；请用记事本另存为"),
    ],
)
def test_a_settings_file_that_is_no_yaml_is_told_with_its_place(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        load_settings({"SETTINGS_FILE": "own.yaml"}, tmp_path)
    (fault,) = raised.value.faults
    assert fault.text.startswith(f"不是有效的 YAML（UTF-8）：{told}")
    assert "<unicode string>" not in fault.text


def test_the_shipped_file_is_valid_and_means_what_the_readme_says(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert settings.environment == "production"
    assert settings.data_dir == tmp_path / "data"
    assert settings.database_url == f"sqlite:///{(tmp_path / 'data' / 'tasks.db').as_posix()}"
    assert settings.campaigns_file == tmp_path / "modules" / "config.py"
    assert settings.wecom.base_url == "https://qyapi.weixin.qq.com"
    assert settings.wecom.messages_per_minute == 20
    assert (settings.schedule.run_jobs_serially_minutes, settings.schedule.task_check_seconds) == (3, 10)
    assert {key: (to.name, to.sender) for key, to in settings.recipients.items()} == {
        "bj_group": ("北京运营群", "wecom_robot"),
        "sh_group": ("上海运营群", "wecom_robot"),
        "ops": ("系统运维群", "wecom_robot"),
        "bj_contact": ("北京奖励对接人", "desktop_wechat"),
        "sh_contact": ("上海奖励对接人", "desktop_wechat"),
    }


def test_the_shipped_file_holds_the_defaults_of_the_code(tmp_path: Path) -> None:
    """A section that a file of one's own leaves half out must not mean something else."""
    shipped, bare = load_settings({}, tmp_path), Settings()
    for section in ("metabase", "wecom", "desktop", "schedule", "queue", "files", "logs"):
        assert getattr(shipped, section) == getattr(bare, section)


def test_env_example_lists_every_variable() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    listed = {line.lstrip("# ").partition("=")[0] for line in text.splitlines() if "=" in line}
    assert listed >= {*ENVIRONMENT_VARIABLES, "SETTINGS_FILE", *KEYS}


# -- who is stronger -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "written", "section", "key", "read"),
    [
        ("METABASE_URL", "http://127.0.0.1:3000", "metabase", "url", "http://127.0.0.1:3000"),
        ("METABASE_USERNAME", "ops@example.com", "metabase", "username", "ops@example.com"),
        ("WECOM_BASE_URL", "http://127.0.0.1:1", "wecom", "base_url", "http://127.0.0.1:1"),
        ("RUN_JOBS_SERIALLY_SCHEDULE", "0.5", "schedule", "run_jobs_serially_minutes", 0.5),
        ("TASK_CHECK_INTERVAL", "7", "schedule", "task_check_seconds", 7),
        ("ENVIRONMENT", "development", None, "environment", "development"),
        ("DATABASE_URL", "postgresql+psycopg://h/db", None, "database_url", "postgresql+psycopg://h/db"),
    ],
)
def test_every_variable_sets_its_setting(
    tmp_path: Path, variable: str, written: str, section: str | None, key: str, read: object
) -> None:
    settings = load_settings({variable: written}, tmp_path)
    assert getattr(getattr(settings, section) if section else settings, key) == read


def test_fixed_jobs_are_switched_and_timed_one_by_one(tmp_path: Path, own: Any) -> None:
    text = 'schedule: {jobs: {generate_daily_service_report: {at: "10:30"}, settle_report: {enabled: false}}}'
    jobs = load_settings(own(text), tmp_path).schedule.jobs
    assert (jobs.generate_daily_service_report.at, jobs.generate_daily_service_report.grace_minutes) == (
        time(10, 30),
        720,
    )
    assert (jobs.settle_report.enabled, jobs.settle_report.at) == (False, time(18, 0))


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ("settle_report: {at: 18:00}", '应是带引号的时间，如 "11:00"'),
        ('settle_report: {at: "25:00"}', '应是带引号的时间，如 "11:00"'),
        ('settle_report: {at: "9:00"}', '应是带引号的时间，如 "11:00"'),
        ("settle_report: {grace_minutes: 1440}", "settle_report.grace_minutes"),
        ("settle_report: {every_minutes: 3}", "settle_report.every_minutes"),
        ("alerts: {every_minutes: 3}", "schedule.jobs.alerts.every_minutes"),
        ('generate_daily_service_report: {at: "12:30"}', "过了半夜 24 点"),
        ("house_keeping: {enabled: false}", "house_keeping"),
    ],
)
def test_a_fault_in_the_fixed_jobs_is_told_with_its_path(tmp_path: Path, own: Any, job: str, told: str) -> None:
    [fault] = faults(own(f"schedule: {{jobs: {{{job}}}}}"), tmp_path)
    assert "schedule.jobs" in fault
    assert told in fault


def test_credentials_come_from_variables(tmp_path: Path) -> None:
    metabase = load_settings({"METABASE_API_KEY": "k", "METABASE_PASSWORD": "p"}, tmp_path).metabase
    assert (metabase.api_key.get_secret_value(), metabase.password.get_secret_value()) == ("k", "p")


def test_environment_beats_env_file_beats_yaml(tmp_path: Path, own: Any) -> None:
    environ = own("schedule: {task_check_seconds: 1}\n")
    assert load_settings(environ, tmp_path).schedule.task_check_seconds == 1
    (tmp_path / ".env").write_text("TASK_CHECK_INTERVAL=2\n", encoding="utf-8")
    assert load_settings(environ, tmp_path).schedule.task_check_seconds == 2
    assert load_settings({**environ, "TASK_CHECK_INTERVAL": "3"}, tmp_path).schedule.task_check_seconds == 3


def test_a_variable_that_is_set_to_nothing_is_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TASK_CHECK_INTERVAL=2\nENVIRONMENT=\n", encoding="utf-8")
    settings = load_settings({"ENVIRONMENT": "  "}, tmp_path)
    assert (settings.environment, settings.schedule.task_check_seconds) == ("production", 2)


def test_an_empty_variable_does_not_hide_the_one_in_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TASK_CHECK_INTERVAL=2\n", encoding="utf-8")
    assert load_settings({"TASK_CHECK_INTERVAL": ""}, tmp_path).schedule.task_check_seconds == 2


def test_variables_stand_in_for_dollar_names(tmp_path: Path, own: Any) -> None:
    (tmp_path / ".env").write_text("KEY_OF_A=from-file\n", encoding="utf-8")
    text = "recipients:\n" + "".join(
        f"  {name}: {{name: {name}, sender: wecom_robot, key: '{key}'}}\n"
        for name, key in [("a", "${KEY_OF_A}"), ("b", "x-${KEY_OF_B}-y"), ("c", "${NOWHERE}"), ("d", "$KEY_OF_B")]
    )
    recipients = load_settings(own(text, KEY_OF_B="from-environment"), tmp_path).recipients
    assert {name: to.key.get_secret_value() for name, to in recipients.items()} == {
        "a": "from-file",
        "b": "x-from-environment-y",
        "c": "",
        "d": "$KEY_OF_B",
    }


def test_a_file_of_ones_own_replaces_whole_sections_and_leaves_the_others(tmp_path: Path, own: Any) -> None:
    settings = load_settings(
        own("recipients:\n  only: {name: 测试, sender: console}\nqueue: {lease_seconds: 5}\n"), tmp_path
    )
    assert list(settings.recipients) == ["only"]
    assert (settings.queue.lease_seconds, settings.queue.notice_max_attempts) == (5, 8)
    assert settings.wecom.messages_per_minute == 20


def test_a_replaced_section_keeps_nothing_of_the_shipped_one(tmp_path: Path, own: Any) -> None:
    shipped = yaml.safe_load((ROOT / "config" / "settings.yaml").read_text(encoding="utf-8"))
    assert "bj_group" in shipped["recipients"]
    assert load_settings(own("recipients: {}\n"), tmp_path).recipients == {}


def test_the_file_may_be_named_in_the_env_file_and_by_its_whole_path(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "s.yaml").write_text("files: {archive_days: 9}\n", encoding="utf-8")
    (tmp_path / ".env").write_text("SETTINGS_FILE=elsewhere/s.yaml\n", encoding="utf-8")
    assert load_settings({}, tmp_path).files.archive_days == 9
    assert load_settings({"SETTINGS_FILE": str(elsewhere / "s.yaml")}, tmp_path).files.archive_days == 9


def test_folders_are_below_the_data_folder(tmp_path: Path) -> None:
    settings = load_settings({"DATA_DIR": str(tmp_path / "d"), "CAMPAIGNS_FILE": "mine.py"}, tmp_path / "root")
    assert settings.data_dir == tmp_path / "d"
    assert (settings.state_dir, settings.archive_dir, settings.log_dir) == (
        tmp_path / "d" / "state",
        tmp_path / "d" / "archive",
        tmp_path / "d" / "logs",
    )
    assert settings.database_url == f"sqlite:///{(tmp_path / 'd' / 'tasks.db').as_posix()}"
    assert settings.campaigns_file == tmp_path / "root" / "mine.py"


# -- faults ----------------------------------------------------------------------------------------------------------


def test_unknown_keys_and_wrong_types_are_told_together(tmp_path: Path, own: Any) -> None:
    text = (
        "schedul: {}\n"
        "queue: {lease_second: 5, notice_max_attempts: many}\n"
        "files: {archive_days: 0}\n"
        "recipients:\n"
        "  a: {name: 测试, sender: telegram}\n"
        "  b: {sender: console}\n"
    )
    found = faults(own(text, ENVIRONMENT="test", TASK_CHECK_INTERVAL="often", METABASE_URL="metabase:3000"), tmp_path)
    assert sorted(found) == sorted(
        [
            "own.yaml: schedul: 未知的键，是否想写 schedule？",
            "own.yaml: queue.lease_second: 未知的键，是否想写 lease_seconds？",
            "own.yaml: queue.notice_max_attempts: 'many' 不是整数，应写整数",
            "own.yaml: files.archive_days: 0 太小，应不小于 1",
            "own.yaml: recipients.a.sender: 'telegram' 不在可选之列，应为"
            " 'wecom_robot', 'desktop_wecom', 'desktop_wechat', 'console' 或 'apprise'",
            "own.yaml: recipients.b.name: 缺少这一项，请补上",
            "环境变量 ENVIRONMENT: 'test' 不在可选之列，应为 'development' 或 'production'",
            "环境变量 TASK_CHECK_INTERVAL: 'often' 不是数字，应写数字",
            "环境变量 METABASE_URL: 'metabase:3000' 写法不对，应以 http:// 或 https:// 开头",
        ]
    )


def test_a_fault_of_a_shipped_section_names_the_shipped_file(tmp_path: Path, own: Any) -> None:
    found = faults(own("wecom: {base_url: ftp://x}\n", RUN_JOBS_SERIALLY_SCHEDULE="0"), tmp_path)
    assert found[0].startswith("own.yaml: wecom.base_url: 'ftp://x' 写法不对")
    assert found[1] == "环境变量 RUN_JOBS_SERIALLY_SCHEDULE: '0' 太小，应不小于 0.01"


@pytest.mark.parametrize(
    ("text", "words"),
    [("queue: [", "不是有效的 YAML"), ("- a\n", "最外层应是一组键和值"), ("queue: 5\n", "queue: 5 应是一组键和值")],
)
def test_a_file_of_another_form_is_a_fault(tmp_path: Path, own: Any, text: str, words: str) -> None:
    (fault,) = faults(own(text), tmp_path)
    assert "own.yaml: " in fault
    assert words in fault


def test_a_file_that_is_not_there_is_a_fault_with_the_remedy(tmp_path: Path) -> None:
    (fault,) = faults({"SETTINGS_FILE": "none.yaml"}, tmp_path)
    assert "none.yaml: 读不到设置文件" in fault
    assert "请检查 SETTINGS_FILE" in fault


def test_an_empty_file_changes_nothing(tmp_path: Path, own: Any) -> None:
    assert load_settings(own("# nothing yet\n"), tmp_path) == load_settings({}, tmp_path)


@pytest.mark.parametrize(
    ("recipient", "fault"),
    [
        ("sender: console, format: text", "format: 只用于 sender: wecom_robot，这里是 console；请删去这一项"),
        ("sender: desktop_wechat, mentioned_mobiles: []", "mentioned_mobiles: 只用于 sender: wecom_robot，这里是 desk"),
        ("sender: wecom_robot, url: json://h", "url: 只用于 sender: apprise，这里是 wecom_robot；请删去这一项"),
        ("sender: wecom_robot, format: html", "format: 'html' 不在可选之列，应为 'text' 或 'markdown'"),
        (
            "sender: wecom_robot, format: markdown, mentioned_mobiles: ['@all']",
            "mentioned_mobiles: 企业微信只在 text 消息里提醒人；请删去这一项，或把 format 改为 text",
        ),
        (
            "sender: wecom_robot, mentioned_mobiles: [13800000000]",
            "mentioned_mobiles[0]: 13800000000 不是文字，请加引号",
        ),
        ("sender: wecom_robot, mentioned_mobiles: '@all'", "mentioned_mobiles: '@all' 应是一个列表"),
        (
            "sender: wecom_robot, mentioned_mobiles: ['@all', 老王]",
            "mentioned_mobiles[1]: '老王' 写法不对，应是 11 位手机号",
        ),
        ("sender: wecom_robot, mentioned_mobiles: ['1380000000']", "mentioned_mobiles[0]: '1380000000' 写法不对"),
        (
            "sender: wecom_robot, mentioned_mobiles: ['１３８００００００００']",
            "mentioned_mobiles[0]: '１３８００００００００' 写法",
        ),
        ("sender: apprise, url: wecombot://abc", "url: 企业微信机器人请改用 sender: wecom_robot 和 key"),
        ("sender: apprise, url: ' WeComBot://abc'", "url: 企业微信机器人请改用 sender: wecom_robot 和 key"),
        (
            "sender: apprise, url: 'https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc'",
            "url: 企业微信机器人请改用 sender: wecom_robot 和 key",
        ),
    ],
)
def test_what_makes_no_sense_for_a_recipient_is_a_fault(tmp_path: Path, own: Any, recipient: str, fault: str) -> None:
    (found,) = faults(own(f"recipients:\n  ops: {{name: 运维, {recipient}}}\n"), tmp_path)
    assert found.startswith(f"own.yaml: recipients.ops.{fault}")


def test_a_recipient_has_what_its_sender_takes(tmp_path: Path, own: Any) -> None:
    text = """
recipients:
  loud: {name: 运维, sender: wecom_robot, mentioned_mobiles: ["13800000000", "+85291234567", "@all"]}
  rich: {name: 运维, sender: wecom_robot, format: markdown, mentioned_mobiles: []}
  mail: {name: 财务, sender: apprise, url: "${APPRISE_URL_MAIL}"}
  plain: {name: 运维, sender: wecom_robot}
"""
    address = "mailtos://ops:pw@smtp.example.com?to=finance@example.com"
    found = load_settings(own(text, APPRISE_URL_MAIL=address), tmp_path).recipients
    assert found["loud"].mentioned_mobiles == ("13800000000", "+85291234567", "@all")
    assert (found["rich"].format, found["plain"].format, found["plain"].mentioned_mobiles) == ("markdown", "text", ())
    assert found["mail"].url.get_secret_value() == address


# -- secrets ---------------------------------------------------------------------------------------------------------

SECRET = "7391846205"


@pytest.mark.parametrize(
    "text",
    [
        f"recipients: {{ops: {{name: 运维, sender: wecom_robot, key: {SECRET}}}}}\n",
        f"recipients: {{ops: {{name: 运维, sender: wecom_robot, key: [{SECRET}]}}}}\n",
        f"recipients: {{ops: {SECRET}}}\n",
        f"recipients: {{ops: {{name: 财务, sender: apprise, url: {SECRET}}}}}\n",
        f"recipients: {{ops: {{name: 财务, sender: apprise, url: 'wecombot://{SECRET}'}}}}\n",
        f"recipients: {{ops: {{name: 财务, sender: console, url: 'json://{SECRET}'}}}}\n",
        f"recipients: [{{name: 运维, sender: wecom_robot, key: '{SECRET}'}}]\n",
        f"metabase: {{password: {SECRET}}}\n",
        f"metabase: {{api_key: {SECRET}}}\n",
        f"metabase: '{SECRET}'\n",
        f"metabase: {{passwort: '{SECRET}'}}\n",
    ],
)
def test_a_secret_of_the_wrong_type_is_not_echoed(tmp_path: Path, own: Any, text: str) -> None:
    found = faults(own(text), tmp_path)
    assert found
    assert SECRET not in "\n".join(found)


def test_nor_does_the_traceback_in_the_log_echo_it(tmp_path: Path, own: Any) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(own(f"metabase: {{password: {SECRET}}}\n"), tmp_path)
    assert SECRET not in "".join(traceback.format_exception(error.value))


def test_secrets_are_listed_the_longest_first(tmp_path: Path) -> None:
    environ = {**KEYS, "METABASE_API_KEY": "mb_geheim", "METABASE_PASSWORD": "geheim"}
    environ["DATABASE_URL"] = "postgresql+psycopg://user:db-geheim@host/db"
    secrets = load_settings(environ, tmp_path).secrets()
    assert set(secrets) == {*KEYS.values(), "mb_geheim", "geheim", "db-geheim"}
    assert list(secrets) == sorted(secrets, key=len, reverse=True)


@pytest.mark.parametrize(
    ("url", "pieces"),
    [
        ("mailtos://ops:p@s.w:d@smtp1.example.com?to=finance@mail1.example.com", {"p@s.w:d"}),
        ("feishu://6f1e0c52-2c4f-4b0e-9d3a-4d1f0a7b9c11", {"6f1e0c52-2c4f-4b0e-9d3a-4d1f0a7b9c11"}),
        ("dingtalk://SEC0123456789@a1b2c3d4e5f6/13800000000", {"SEC0123456789", "a1b2c3d4e5f6", "13800000000"}),
        ("json://127.0.0.1:8080/notifications?:token=abcdefg8&rto=5", {"abcdefg8"}),
        ("nonsense", set()),
    ],
)
def test_an_address_is_secret_whole_and_in_the_pieces_that_programs_log(url: str, pieces: set[str]) -> None:
    recipient = RecipientSettings(name="财务", sender="apprise", url=SecretStr(url))
    assert set(Settings(recipients={"mail": recipient}).secrets()) == {url, *pieces}


def test_no_secrets_are_an_empty_list(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path).secrets() == ()


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    settings = load_settings({**COMPLETE, "METABASE_PASSWORD": "geheim-wort"}, tmp_path)
    shown = f"{settings!r} {settings} {settings.metabase!r} {settings.recipients!r} {settings.model_dump()}"
    shown += settings.model_dump_json()
    assert not [secret for secret in settings.secrets() if secret in shown]


# -- warnings --------------------------------------------------------------------------------------------------------


def test_complete_settings_have_no_warnings(tmp_path: Path) -> None:
    assert warned(load_settings(COMPLETE, tmp_path)) == []


def test_a_robot_without_a_key_is_a_warning_that_names_the_variable(tmp_path: Path) -> None:
    without = {name: value for name, value in COMPLETE.items() if name != "WECOM_KEY_SH_GROUP"}
    (warning,) = load_settings(without, tmp_path).warnings()
    assert warning.path == "recipients.sh_group.key"
    assert "上海运营群 的机器人密钥未设置" in warning.text
    assert robot_key_variable("sh_group") == "WECOM_KEY_SH_GROUP"
    assert "WECOM_KEY_SH_GROUP" in warning.text


def test_a_lease_that_a_slow_message_outlives_is_a_warning(own: Any, tmp_path: Path) -> None:
    environ = own("queue: {lease_seconds: 120}\nwecom: {read_timeout: 60}\n", **COMPLETE)
    (warning,) = load_settings(environ, tmp_path).warnings()
    assert warning.path == "queue.lease_seconds"
    assert "120 秒比最慢的一次发送（155 秒）还短" in warning.text


def test_no_metabase_address_and_no_credentials_are_warnings(tmp_path: Path) -> None:
    assert warned(load_settings(KEYS, tmp_path)) == ["METABASE_URL"]
    assert warned(load_settings({**KEYS, "METABASE_URL": "http://m"}, tmp_path)) == ["METABASE_API_KEY"]
    login = {"METABASE_URL": "http://m", "METABASE_USERNAME": "u", "METABASE_PASSWORD": "p"}
    assert warned(load_settings({**KEYS, **login}, tmp_path)) == []


@pytest.mark.parametrize("name", ["a%20b", "we?ird", "带 空格"])
def test_the_database_lies_in_the_data_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    database = Database(load_settings({"DATA_DIR": name}, tmp_path).database_url)
    database.upgrade()
    database.close()
    assert (tmp_path / name / "tasks.db").exists()
