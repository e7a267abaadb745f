"""Logs: in Shanghai time, on the right channel, whole with several writers, and without a secret anywhere."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr

from modules.log_config import LineFormatter, SharedFileHandler, configure_logging, redactor
from modules.log_context import logged_as
from modules.recipients import RecipientSettings
from modules.sandbox.robot import RobotStandIn
from modules.settings import ROOT, LogSettings, MetabaseSettings, Settings

KEY = "693a91f6-robot-key"
PASSWORD = 'p@ss "wörd"/1'
API_KEY = "mb_api_key_value"
DATABASE_PASSWORD = "db-pass-42"
SECRETS = (KEY, PASSWORD, API_KEY, DATABASE_PASSWORD)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Each test sets up logging anew; the others get theirs back."""
    root, sends, filelock = logging.root, logging.getLogger("send_messages"), logging.getLogger("filelock")
    handlers, level, filelock_level = root.handlers[:], root.level, filelock.level
    yield
    root.handlers[:], sends.handlers[:] = handlers, []
    root.setLevel(level)
    filelock.setLevel(filelock_level)


def settings_in(folder: Path, environment: str = "development", megabytes: float = 10, **logs: str | bool) -> Settings:
    return Settings.model_validate(
        {
            "environment": environment,
            "data_dir": folder,
            "database_url": f"postgresql+psycopg://user:{DATABASE_PASSWORD}@db/tasks",
            "metabase": MetabaseSettings(api_key=SecretStr(API_KEY), password=SecretStr(PASSWORD)),
            "logs": LogSettings.model_validate({"file_megabytes": megabytes, "files_kept": 3, **logs}),
            "recipients": {"bj": RecipientSettings(name="北京", sender="wecom_robot", key=SecretStr(KEY))},
        }
    )


def configure(folder: Path, environment: str = "development", *, console: bool = False, **logs: str | bool) -> Settings:
    settings = settings_in(folder, environment, **logs)
    configure_logging(settings, console=console)
    return settings


def app_log(settings: Settings) -> str:
    return (settings.log_dir / "app.log").read_text(encoding="utf-8")


# ---- channels, levels, time


def test_lines_are_utf8_with_shanghai_time_level_and_logger(tmp_path: Path) -> None:
    settings = configure(tmp_path)
    logging.getLogger("jobs").info("登记 %d 单 🎉", 3)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO jobs \[MainThread\] 登记 3 单 🎉\n", app_log(settings)
    )


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process can't be set here")
def test_time_is_shanghais_whatever_the_zone_of_the_machine(set_zone: Callable[[str], None]) -> None:
    set_zone("America/New_York")
    record = logging.makeLogRecord({"msg": "x", "created": 1747713600.25})
    text = LineFormatter(redactor([])).format(record)
    assert text.startswith("2025-05-20 12:00:00,250 ")


@pytest.mark.parametrize(("environment", "debug_is_kept"), [("development", True), ("production", False)])
def test_the_environment_decides_whether_files_hold_debug(
    tmp_path: Path, environment: str, *, debug_is_kept: bool
) -> None:
    settings = configure(tmp_path, environment)
    logging.getLogger("jobs").debug("detail")
    logging.getLogger("jobs").info("fact")
    assert ("detail" in app_log(settings)) is debug_is_kept
    assert "fact" in app_log(settings)


def test_the_settings_may_say_from_which_level_on(tmp_path: Path) -> None:
    settings = configure(tmp_path, level="WARNING")
    logging.getLogger("jobs").info("fact")
    logging.getLogger("jobs").warning("doubt")
    assert "fact" not in app_log(settings)
    assert "doubt" in app_log(settings)


def test_lines_of_a_run_name_it_and_those_of_other_threads_do_not(tmp_path: Path) -> None:
    settings = configure(tmp_path)
    jobs = logging.getLogger("jobs")
    with logged_as("BJ-2025-05#12"):
        jobs.info("inside")
        other = threading.Thread(target=jobs.info, args=("elsewhere",), name="worker")
        other.start()
        other.join()
    jobs.info("after")
    words = [line.partition("[")[2] for line in app_log(settings).splitlines()]
    assert words == ["MainThread] [BJ-2025-05#12] inside", "worker] elsewhere", "MainThread] after"]


def test_files_may_hold_json_and_the_console_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = configure(tmp_path, json_lines=True, console=True)
    with logged_as("BJ-2025-05#12"):
        logging.getLogger("jobs").info('登记 %d 单\n🎉 "好"', 3)
    try:
        fail()
    except RuntimeError:
        logging.getLogger("jobs").exception("密码是 %s", PASSWORD, stack_info=True)
    plain, failed = [json.loads(line) for line in app_log(settings).splitlines()]
    assert datetime.fromisoformat(plain.pop("time")).utcoffset() == timedelta(hours=8)
    assert plain == {
        "level": "INFO",
        "logger": "jobs",
        "thread": "MainThread",
        "run": "BJ-2025-05#12",
        "message": '登记 3 单\n🎉 "好"',
    }
    assert (failed["message"], "run" in failed) == ("密码是 ***", False)
    assert failed["traceback"].endswith("RuntimeError: outer ***")
    assert "test_files_may_hold_json" in failed["stack"]
    assert_no_secret(app_log(settings))
    assert " INFO jobs [MainThread] [BJ-2025-05#12] 登记 3 单" in capsys.readouterr().err


@pytest.mark.parametrize(("console", "levels"), [(True, ["INFO", "WARNING"]), (False, [])])
def test_stderr_shows_more_for_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, console: bool, levels: list[str]
) -> None:
    configure(tmp_path, console=console)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger("jobs").log(level, "line")
    out, err = capsys.readouterr()
    assert re.findall(r"DEBUG|INFO|WARNING", err) == levels
    assert out == ""


def test_sends_have_a_file_of_their_own_and_stand_in_app_log_too(tmp_path: Path) -> None:
    settings = configure(tmp_path)
    logging.getLogger("send_messages").info("task=1 outcome=sent")
    logging.getLogger("jobs").info("other")
    sends = (settings.log_dir / "send_messages.log").read_text(encoding="utf-8")
    assert sends.count("\n") == 1
    assert "task=1 outcome=sent" in sends
    assert "task=1 outcome=sent" in app_log(settings)


def test_configuring_again_doubles_no_line_and_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0  # noqa: PTH208
    for _ in range(3):
        settings = configure(tmp_path)
        logging.getLogger("jobs").info("once")
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208
    assert app_log(settings).count("once") == 3
    assert after == before


# ---- secrets


def assert_no_secret(text: str, *more: str) -> None:
    assert text
    for secret in (*SECRETS, *more):
        assert secret not in text


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_shows_neither_in_a_message_nor_in_an_argument_nor_on_the_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    settings = configure(tmp_path, console=True)
    log = logging.getLogger("jobs")
    log.warning(f"message {secret} end")
    log.warning("argument %s and %r end", secret, {"nested": [secret]})
    log.warning("mapping %(it)s end", {"it": secret})
    assert app_log(settings).count("***") == 4
    assert app_log(settings).count(" end\n") == 3
    assert_no_secret(app_log(settings))
    assert_no_secret(capsys.readouterr().err)


@pytest.mark.parametrize(
    "spelling",
    [r"p%40ss%20%22w%C3%B6rd%22%2F1", r"p%40ss+%22w%C3%B6rd%22%2F1", r"p@ss \"wörd\"/1", r"p@ss \"w\u00f6rd\"/1"],
)
def test_a_secret_shows_in_no_spelling(tmp_path: Path, spelling: str) -> None:
    settings = configure(tmp_path)
    logging.getLogger("jobs").info("form %s end", spelling)
    assert "form *** end" in app_log(settings)


def fail() -> None:
    inner = ValueError(f"inner {KEY}")
    raise RuntimeError(f"outer {PASSWORD}") from inner


def test_a_secret_shows_neither_in_a_traceback_nor_in_its_causes(tmp_path: Path) -> None:
    settings = configure(tmp_path)
    try:
        fail()
    except RuntimeError:
        logging.getLogger("jobs").exception("failed", stack_info=True)
    assert "RuntimeError: outer ***" in app_log(settings)
    assert "ValueError: inner ***" in app_log(settings)
    assert_no_secret(app_log(settings))


def test_a_requests_exception_gives_no_key_away_known_or_not(tmp_path: Path) -> None:
    settings = configure(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}/cgi-bin/webhook/send"
    for key in (KEY, "another-robots-key"):
        with pytest.raises(requests.ConnectionError, match=key) as caught:  # requests itself shows the key
            requests.post(closed, params={"debug": "1", "key": key}, timeout=1, proxies={"http": ""})
        logging.getLogger("jobs").error("failed: %s", caught.value, exc_info=caught.value)
    assert app_log(settings).count("&key=***") >= 4
    assert_no_secret(app_log(settings), "another-robots-key")


def test_the_debug_lines_of_urllib3_give_no_key_away(tmp_path: Path) -> None:
    settings = configure(tmp_path)
    with RobotStandIn([KEY, "another-robots-key"]) as robot:
        for key in (KEY, "another-robots-key"):
            requests.post(f"{robot.url}/cgi-bin/webhook/send?key={key}", json={}, timeout=5, proxies={"http": ""})
    assert app_log(settings).count("POST /cgi-bin/webhook/send?key=*** HTTP/1.1") == 2
    assert_no_secret(app_log(settings), "another-robots-key")


@pytest.mark.parametrize(
    "text",
    [
        "X-Metabase-Session: s3cr3t\r\nAccept: */*",
        "{'X-Metabase-Session': 's3cr3t', 'Accept': '*/*'}",
        '{"x-api-key":"s3cr3t"}',
        "[('x-api-key', 's3cr3t'), ('a', 'b')]",
        "{b'X-API-Key': b's3cr3t'}",
        "Cookie: metabase.SESSION=s3cr3t; Path=/",
        "postgresql://user:s3cr3t@host/db",
        "postgresql://user:it@is-s3cr3t@host/db http://user:s3cr3t@proxy:8080",
        "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=s3cr3t&debug=1",
        "<a href='/send?KEY=s3cr3t'>",
    ],
)
def test_what_is_secret_by_its_place_is_blotted(text: str) -> None:
    redacted = redactor([])(text)
    assert "s3cr3t" not in redacted
    assert "***" in redacted


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8080/api/card/1616/query", "monkey=1, key figures", "合同 https://a.cn/x?id=1 成功"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redactor(SECRETS)(text) == text


def test_a_record_that_can_not_be_formatted_is_told_without_its_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = configure(tmp_path)
    logging.getLogger("jobs").error("too many", KEY)
    logging.getLogger("jobs").error("next")
    err = capsys.readouterr().err
    assert "test_log_config.py" in err
    assert "is lost" in err
    assert_no_secret(err)
    assert "next" in app_log(settings)


# ---- several writers, rotation


def handler_for(folder: Path, max_bytes: int, files_kept: int) -> SharedFileHandler:
    return SharedFileHandler(folder / "app.log", folder / "app.lock", max_bytes, files_kept)


def write(handler: SharedFileHandler, *lines: str) -> None:
    for line in lines:
        handler.handle(logging.makeLogRecord({"msg": line}))


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("app.log*"))}


def test_a_full_file_rolls_over_and_the_oldest_goes(tmp_path: Path) -> None:
    write(handler_for(tmp_path, max_bytes=10, files_kept=2), "aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg")
    assert files(tmp_path) == {"app.log": "gggg\n", "app.log.1": "eeee\nffff\n", "app.log.2": "cccc\ndddd\n"}


def test_a_line_longer_than_a_file_is_kept_whole(tmp_path: Path) -> None:
    write(handler_for(tmp_path, max_bytes=10, files_kept=2), "a" * 50, "b")
    assert files(tmp_path) == {"app.log": "b\n", "app.log.1": "a" * 50 + "\n"}


@pytest.mark.parametrize("held", ["app.log", "app.log.1", "app.log.2"])
def test_a_file_that_a_viewer_holds_open_on_windows_costs_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    handler = handler_for(tmp_path, max_bytes=10, files_kept=3)
    written = ["a" * 9, "b" * 9, "c" * 9]
    write(handler, *written)
    rename = Path.replace

    def windows_replace(self: Path, target: Path) -> Path:  # no Windows here to do it in earnest
        if held in (self.name, target.name):
            raise PermissionError(13, "being used by another process", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", windows_replace)
    written += [f"{number:09d}" for number in range(6)]
    write(handler, *written[3:])
    assert sorted("".join(files(tmp_path).values()).split()) == sorted(written)
    monkeypatch.undo()
    write(handler, "free again")
    assert files(tmp_path)["app.log"] == "free again\n"


def test_a_lock_that_is_never_given_back_costs_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.log_config.LOCK_SECONDS", 0.05)
    other, stuck = handler_for(tmp_path, 1000, 2), handler_for(tmp_path, 1000, 2)
    with stuck._between_processes:
        write(other, "line")
    assert files(tmp_path) == {"app.log": "line\n"}


def test_a_line_that_can_not_be_written_does_not_stop_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app.log").mkdir()
    write(handler_for(tmp_path, 1_000_000, 2), "line")
    assert "is lost:" in capsys.readouterr().err


WRITER = """
import logging, sys
from pathlib import Path
from modules.log_config import SharedFileHandler
folder = Path(sys.argv[1])
handler = SharedFileHandler(folder / "app.log", folder / "app.lock", 300, 200)
print("ready", flush=True)
sys.stdin.readline()
for number in range(400):
    handler.handle(logging.makeLogRecord({"msg": f"{sys.argv[2]}-{number:03d} 合同"}))
"""


def test_two_processes_write_one_file_and_no_line_is_lost_torn_or_out_of_order(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    errors = [writer.communicate(timeout=30)[1] for writer in writers]
    assert errors == ["", ""]
    names = sorted(tmp_path.glob("app.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 0)
    assert len(names) > 5
    lines = [line for path in names for line in path.read_text(encoding="utf-8").splitlines()]
    for name in "ab":
        assert [line for line in lines if line[0] == name] == [f"{name}-{number:03d} 合同" for number in range(400)]
    assert len(lines) == 800
