"""Files through the robot: uploaded, then sent; what may leave the machine, and what each failure means."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from modules.recipients import RecipientSettings
from modules.sandbox.robot import SEND_PATH, UPLOAD_PATH, RobotFault, RobotStandIn
from modules.senders import wecom_robot
from modules.senders.file_to_send import FileToSend, read_file
from modules.senders.outcome import Failed, Outcome, Retry, Sent, Unknown
from modules.senders.wecom_robot import WecomRobot
from modules.settings import WecomSettings
from modules.tables import robot_sends, tasks
from modules.task_states import COMPLETED, FAILED, PENDING, UNCERTAIN
from task_manager import create_task
from tests.desk import Desk, Surroundings
from tests.raw_server import RawServer, http
from tests.tools import already_left

KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
GROUP = RecipientSettings(name="北京运营群", sender="wecom_robot", key=SecretStr(KEY))
FILE = FileToSend("业绩 榜单🎉.csv", "管家,金额\r\n沈若川,5000\r\n".encode("utf-8-sig"))
UPLOADED = http("200 OK", '{"errcode": 0, "errmsg": "ok", "media_id": "m"}')


pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def robot() -> Iterator[RobotStandIn]:
    with RobotStandIn([KEY]) as stand_in:
        yield stand_in


def send(base_url: str, file: FileToSend = FILE, *, read_timeout: float = 5) -> Outcome:
    """Send to GROUP. Whatever comes of it, its reason is one line without the key."""
    settings = WecomSettings(base_url=base_url, connect_timeout=0.3, read_timeout=read_timeout)
    outcome = WecomRobot(settings).send_file(GROUP, file)
    reason = getattr(outcome, "reason", "")
    assert KEY not in reason
    assert "\n" not in reason
    return outcome


# -- upload and message ----------------------------------------------------------------------------------------------


def test_a_file_arrives_whole_under_its_name(robot: RobotStandIn) -> None:
    assert send(robot.url) == Sent()
    assert [(file.name, file.content) for file in robot.files] == [(FILE.name, FILE.content)]
    assert [(message.key, message.msgtype, message.content) for message in robot.messages] == [(KEY, "file", FILE.name)]
    assert robot.calls == [f"POST {UPLOAD_PATH}", f"POST {SEND_PATH}"]


def test_without_a_key_nothing_is_uploaded(robot: RobotStandIn) -> None:
    nobody = RecipientSettings(name="上海运营群", sender="wecom_robot")
    outcome = WecomRobot(WecomSettings(base_url=robot.url)).send_file(nobody, FILE)
    assert isinstance(outcome, Failed)
    assert "机器人密钥未设置：上海运营群" in outcome.reason
    assert robot.requests == []


@pytest.mark.parametrize(
    ("errcode", "kind", "meaning"),
    [
        (-1, Retry, "系统繁忙"),
        (45009, Retry, "过于频繁"),
        (93000, Failed, "密钥无效"),
        (40006, Failed, "文件大小"),
        (44001, Failed, "文件为空"),
        (45001, Failed, "大小限制"),
        (60020, Failed, "errcode 60020"),
    ],
)
@pytest.mark.parametrize("path", [UPLOAD_PATH, SEND_PATH])
def test_errcodes_decide_about_the_upload_and_about_the_message(
    robot: RobotStandIn, path: str, errcode: int, kind: type[Retry | Failed], meaning: str
) -> None:
    robot.inject(errcode, path=path)
    outcome = send(robot.url)
    assert isinstance(outcome, kind)
    assert meaning in outcome.reason
    assert robot.calls == [f"POST {UPLOAD_PATH}", f"POST {SEND_PATH}"][: 1 if path == UPLOAD_PATH else 2]
    assert robot.messages == []


def test_too_often_waits_a_minute_for_uploads_too(robot: RobotStandIn) -> None:
    robot.inject(45009, path=UPLOAD_PATH)
    outcome = send(robot.url)
    assert isinstance(outcome, Retry)
    assert outcome.after == timedelta(seconds=60)


def test_a_file_that_is_gone_from_wecom_is_uploaded_again_by_the_next_try(robot: RobotStandIn) -> None:
    robot.inject(40007)
    outcome = send(robot.url)
    assert isinstance(outcome, Failed)
    assert "重新上传" in outcome.reason
    assert send(robot.url) == Sent()
    assert len(robot.files) == 2


@pytest.mark.parametrize(
    "fault", [RobotFault.NEVER_ANSWERED, RobotFault.CLOSED_AFTER_RECORDING, RobotFault.HTTP_500, "unread"]
)
def test_an_upload_in_doubt_is_certainly_no_message(robot: RobotStandIn, fault: RobotFault | str) -> None:
    robot.inject(RobotFault.CLOSED_BEFORE_READING if isinstance(fault, str) else fault, path=UPLOAD_PATH)
    outcome = send(robot.url, read_timeout=0.2)
    assert isinstance(outcome, Retry)
    assert "文件没有上传成功" in outcome.reason
    assert robot.messages == []


@pytest.mark.parametrize("fault", [RobotFault.NEVER_ANSWERED, RobotFault.CLOSED_AFTER_RECORDING, RobotFault.HTTP_500])
def test_a_message_in_doubt_stays_in_doubt(robot: RobotStandIn, fault: RobotFault) -> None:
    robot.inject(fault)
    assert isinstance(send(robot.url, read_timeout=0.2), Unknown)


def test_a_robot_that_can_not_be_reached_is_tried_again(robot: RobotStandIn) -> None:
    robot.stop()
    outcome = send(robot.url)
    assert isinstance(outcome, Retry)
    assert "ConnectionRefusedError" in outcome.reason


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http("200 OK", "<html>login</html>"), Retry),
        (http("200 OK", '{"errcode": 0, "errmsg": "ok"}'), Retry),
        (http("200 OK", '{"errcode": 0, "media_id": 7}'), Retry),
        (http("502 Bad Gateway", "oops"), Retry),
        (http("429 Too Many Requests"), Retry),
        (http("413 Too Large", "no"), Failed),
        (http("302 Found", "", "Location: http://127.0.0.1:9/"), Failed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b'{"errcode": 0', Retry),
    ],
)
def test_an_upload_without_a_clear_answer_sends_nothing(answer: bytes, kind: type[Retry | Failed]) -> None:
    with RawServer(answer) as server:
        assert isinstance(send(server.url), kind)
        assert len(server.requests) == 1


def test_an_upload_that_nobody_reads_is_broken_off() -> None:
    with RawServer(b"", read=False, keep_open=True) as server:
        outcome = send(server.url, FileToSend("大.bin", bytes(20 * 1024 * 1024)), read_timeout=0.3)
    assert isinstance(outcome, Retry)
    assert "消息没有发出" in outcome.reason


def test_an_upload_over_a_slow_network_ends_in_time(robot: RobotStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wecom_robot, "UPLOAD_SECONDS", -1.0)  # its time is over before it begins
    outcome = send(robot.url)
    assert isinstance(outcome, Retry)
    assert "TimeoutError" in outcome.reason
    assert robot.files == robot.messages == []


# -- what may be sent ------------------------------------------------------------------------------------------------


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "state").mkdir(parents=True)
    return folder


def read(text: str, data_dir: Path) -> FileToSend | Retry | Failed:
    return read_file(text, data_dir, (data_dir / "state", data_dir / "logs"))


@pytest.mark.parametrize(
    "name", ["榜单.xlsx", "archive/五月/榜单.xlsx", "./榜单.xlsx", "archive/../榜单.xlsx", "榜 单..xlsx"]
)
def test_a_file_of_the_data_folder_is_read_by_either_path(data_dir: Path, name: str) -> None:
    path = data_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("五月业绩".encode())
    read_one = FileToSend(path.name, "五月业绩".encode())
    assert [read(name, data_dir), read(str(path), data_dir)] == [read_one, read_one]


def test_a_file_behind_links_within_the_data_folder_is_read(data_dir: Path) -> None:
    (data_dir / "五月.csv").write_bytes(b"12345")
    (data_dir / "最新.csv").symlink_to(data_dir / "五月.csv")
    linked = data_dir.parent / "linked"
    linked.symlink_to(data_dir)
    expected = FileToSend("最新.csv", b"12345")
    assert read("最新.csv", linked) == read(str(linked / "最新.csv"), linked) == expected
    assert read(str(data_dir / "最新.csv"), linked) == expected


@pytest.mark.parametrize(
    "text",
    [
        "../secret.txt",
        "a/../../secret.txt",
        "{outside}",
        "link.txt",
        "folder/secret.txt",
        "../data-2/secret.txt",
        "state/session.json",
        "STATE-LINK/session.json",
        ".env",
        ".hidden/notes.txt",
        "tasks.db",
        "renamed.csv",
        "tasks.db-wal",
        "{into}",
    ],
)
def test_no_other_file_of_the_machine_can_be_sent(data_dir: Path, text: str) -> None:
    outside = data_dir.parent / "secret.txt"
    twin = data_dir.parent / "data-2"
    (data_dir / ".hidden").mkdir()
    twin.mkdir()
    for path in (outside, twin / "secret.txt", data_dir / "state/session.json", data_dir / ".env"):
        path.write_text("geheim, geheim", encoding="utf-8")
    (data_dir / ".hidden/notes.txt").write_text("geheim", encoding="utf-8")
    (data_dir / "tasks.db-wal").write_bytes(b"7\x7f\x06\x82 and pages")
    for name in ("tasks.db", "renamed.csv"):
        (data_dir / name).write_bytes(b"SQLite format 3\x00 and pages")
    (data_dir / "link.txt").symlink_to(outside)
    (data_dir / "folder").symlink_to(data_dir.parent)
    (data_dir / "fine.csv").write_bytes(b"12345")
    into = data_dir.parent / "into.csv"  # what lies elsewhere is not even looked at, wherever it may lead
    into.symlink_to(data_dir / "fine.csv")
    (data_dir / "STATE-LINK").symlink_to(data_dir / "state")
    outcome = read(text.format(outside=outside, into=into), data_dir)
    assert isinstance(outcome, Failed)
    assert "不能发送" in outcome.reason
    assert "请" in outcome.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "没有这个文件"),
        ("none.csv", "没有这个文件"),
        ("folder", "没有这个文件"),
        ("pipe", "没有这个文件"),
        ("nul\x00.csv", "不是可用的路径"),
        ("约" * 2000, "不是可用的路径"),
        ("circle", "不是可用的路径"),
        ("empty.csv", "空"),
        ("four.csv", "不足 5 字节"),
        ("big.bin", "超过 20 MB"),
    ],
)
def test_a_file_that_can_not_be_sent_says_why(data_dir: Path, text: str, words: str) -> None:
    (data_dir / "folder").mkdir()
    os.mkfifo(data_dir / "pipe")
    (data_dir / "circle").symlink_to(data_dir / "circle")
    (data_dir / "empty.csv").touch()
    (data_dir / "four.csv").write_bytes(b"1234")
    with (data_dir / "big.bin").open("wb") as file:
        file.truncate(20 * 1024 * 1024 + 1)
    outcome = read(text, data_dir)
    assert isinstance(outcome, Failed)
    assert words in outcome.reason


@pytest.mark.parametrize("size", [5, 20 * 1024 * 1024])
def test_the_limits_themselves_are_taken(data_dir: Path, size: int) -> None:
    with (data_dir / "file.bin").open("wb") as file:
        file.truncate(size)
    found = read("file.bin", data_dir)
    assert isinstance(found, FileToSend)
    assert len(found.content) == size


def test_a_file_that_can_not_be_read_now_is_tried_again(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data_dir / "a.csv").write_bytes(b"12345")

    def locked(*_: object) -> None:
        raise PermissionError(13, "in use")  # as Windows says of a file that Excel holds; root reads everything here

    monkeypatch.setattr(Path, "open", locked)
    outcome = read("a.csv", data_dir)
    assert isinstance(outcome, Retry)
    assert "被别的程序占用" in outcome.reason


# -- as a task -------------------------------------------------------------------------------------------------------


def states(desk: Desk) -> list[tuple[str, str]]:
    return [(task["status"], task["last_error"] or "") for task in desk.table(tasks)]


def test_a_file_task_goes_from_the_door_to_the_group(doors: Desk) -> None:
    (doors.data_dir / "五月业绩.csv").write_bytes(FILE.content)
    create_task("send_wecom_file", "ops", "五月业绩.csv")
    create_task("send_wecom_file", "ops", str(doors.data_dir / "五月业绩.csv"))
    assert doors.drain().completed == 2
    assert [(file.key, file.name, file.content) for file in doors.robot.files] == [
        ("key-ops", "五月业绩.csv", FILE.content)
    ] * 2
    assert [message.msgtype for message in doors.robot.messages] == ["file", "file"]
    assert len(doors.table(robot_sends)) == 2  # a file counts as one message
    assert [status for status, _ in states(doors)] == [COMPLETED] * 2


def test_the_path_of_a_file_is_never_split(doors: Desk) -> None:
    folder = "/".join(["长" * 80] * 12)
    path = doors.data_dir / folder / "a.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(FILE.content)
    assert len(str(path).encode()) > 2048
    create_task("send_wecom_file", "ops", str(path))
    assert doors.drain().completed == 1


def test_an_upload_that_failed_is_repeated_and_a_doubtful_message_is_not(doors: Desk) -> None:
    (doors.data_dir / "a.csv").write_bytes(FILE.content)
    create_task("send_wecom_file", "ops", "a.csv")
    doors.robot.inject(RobotFault.CLOSED_AFTER_RECORDING, path=UPLOAD_PATH)
    assert doors.drain().retried == 1
    assert states(doors)[0][0] == PENDING
    doors.robot.inject(RobotFault.CLOSED_AFTER_RECORDING)
    doors.clock.advance(minutes=1)
    assert doors.drain().uncertain == 1
    assert states(doors)[0][0] == UNCERTAIN
    assert len(doors.robot.messages) == 1


@pytest.mark.parametrize("recipient", ["dev", "bj_contact", "张三", "", "/etc"])
def test_only_a_robot_sends_files(
    open_desk: Callable[..., AbstractContextManager[Desk]], surroundings: Surroundings, recipient: str
) -> None:
    others = {
        "dev": {"name": "开发", "sender": "console"},
        "bj_contact": {"name": "对接人", "sender": "desktop_wechat"},
    }
    with open_desk(SETTINGS_FILE=surroundings.settings_file(recipients=others)) as desk:
        (desk.data_dir / "a.csv").write_bytes(FILE.content)
        outcome = desk.app.sender.send(1, recipient, "send_wecom_file", "a.csv", already_left)
        assert isinstance(outcome, Failed)
        assert "文件只能由企业微信群机器人发送" in outcome.reason
        assert desk.robot.requests == []


def test_a_row_of_the_queue_can_not_leak_a_file(doors: Desk) -> None:
    (doors.root / "secret.txt").write_text("geheim, geheim", encoding="utf-8")
    for path in ("/etc/passwd", "../secret.txt", str(doors.root / "secret.txt"), "tasks.db"):
        create_task("send_wecom_file", "ops", path)
    assert doors.drain().failed == 4
    assert {status for status, _ in states(doors)} == {FAILED}
    assert all("不能发送" in reason for _, reason in states(doors))
    assert doors.robot.requests == []
