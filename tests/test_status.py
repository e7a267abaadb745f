"""`status` and `status --alert` of the real program: what they say, whom they tell, and how they end."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests

from modules.clock import SHANGHAI
from modules.sandbox.robot import BAD_KEY
from tests.program import Running, World, await_that, contract, contracts, open_world, robot_key, unlimited_robot
from tests.sqlite_files import dump, spoil
from tests.test_daemon import stop
from tests.tools import free_port

SECOND = "bj_contact"
IMPATIENT = "import modules.database as d, modules.soundness as b; d.SQLITE_WAIT_SECONDS = b.SQLITE_WAIT_SECONDS = 0.2"
NO_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
"""Not even for the file that SQLite keeps beside the database."""
EXACTLY_FULL = """
import sqlalchemy as sa
@sa.event.listens_for(sa.Engine, "connect")
def _no_page_more(connection, record):
    connection.execute("PRAGMA max_page_count=1")
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An installation whose second recipient is the contact."""
    with open_world(tmp_path, unlimited_robot) as opened:
        health(opened, f"second_recipient: {SECOND}")
        yield opened


def health(world: World, section: str) -> None:
    world.settings()
    written = (world.folder / "settings.yaml").read_text(encoding="utf-8")
    world.write("settings.yaml", f"{written}\nhealth: {{{section}}}\n")


def started(world: World) -> Running:
    before = world.log().count("后台程序已启动")
    daemon = world.start()
    await_that(lambda: world.log().count("后台程序已启动") > before)
    return daemon


def freeze(world: World, daemon: Running) -> None:
    """Stop the process where it stands, but not within a transaction."""

    def has_stopped() -> bool:
        tasks = Path(f"/proc/{daemon.pid}/task").glob("*/stat")
        return {stat.read_text().rpartition(") ")[2][0] for stat in tasks} == {"T"}

    def stands_outside() -> bool:
        daemon.send(signal.SIGSTOP)
        await_that(has_stopped)
        try:
            with closing(sqlite3.connect(world.database, timeout=0.2, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            daemon.send(signal.SIGCONT)
            return False
        return True

    await_that(stands_outside)


def age_heartbeat(world: World, **by: float) -> None:
    """As if so much time had gone by since."""
    path = world.data_dir / "state" / "heartbeat.json"
    heartbeat = json.loads(path.read_text(encoding="utf-8"))
    heartbeat["at"] = (datetime.fromisoformat(heartbeat["at"]) - timedelta(**by)).isoformat()
    path.write_text(json.dumps(heartbeat), encoding="utf-8")


def told(world: World, recipient: str = SECOND) -> list[str]:
    """What a recipient got, oldest first."""
    return [message.content for message in world.robot.messages if message.key == robot_key(recipient)]


def signs(world: World) -> str:
    """The first sign of each message to the second recipient."""
    return "".join(text[0] for text in told(world))


def check(world: World, **environ: str) -> int:
    return world.run("status", "--alert", **environ).code


# -- status ----------------------------------------------------------------------------------------------------------


def test_the_exit_code_tells_a_running_a_frozen_a_stopped_and_a_killed_daemon_apart(world: World) -> None:
    never = world.run("status")
    assert (never.code, "没有在运行" in never.out) == (3, True)
    daemon = started(world)
    assert world.run("status").code == 0
    freeze(world, daemon)
    age_heartbeat(world, seconds=91)
    frozen = world.run("status", "--json")
    assert (frozen.code, frozen.json["daemon"]["state"], frozen.json["daemon_running"]) == (4, "silent", True)
    assert "没有反应" in world.run("status").out
    daemon.send(signal.SIGCONT)
    await_that(lambda: world.run("status").code == 0)
    stop(daemon)
    stopped = world.run("status", "--json")
    assert (stopped.code, stopped.json["daemon"]["asked_to_end"]) == (3, True)
    daemon = started(world)
    daemon.send(signal.SIGKILL)
    daemon.ended()
    killed = world.run("status", "--json")
    assert (killed.code, killed.json["daemon"]["asked_to_end"]) == (3, False)
    assert "异常中断" in killed.json["daemon"]["words"]
    assert killed.json["version"] == "1.0.0"
    assert killed.json["config_hash"]


@pytest.mark.parametrize("width", ["60", "80", "120"])
def test_in_a_narrow_window_words_are_folded_and_no_column_is_cut(world: World, width: str) -> None:
    rows = [line for line in world.run("jobs", COLUMNS=width).out.splitlines() if line.startswith("│")]
    assert {(row.count("│"), row[-1]) for row in rows} == {(8, "│")}


def test_the_daemon_answers_healthz_where_settings_want_it_and_not_after_its_end(world: World) -> None:
    port = free_port()
    health(world, f"port: {port}")
    daemon = started(world)
    answer = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10)
    found = world.run("status", "--json").json
    varying = {"at", "daemon", "oldest_pending_seconds", "data_age_seconds"}
    assert answer.status_code == 200
    assert {k: v for k, v in answer.json().items() if k not in varying} == {
        k: v for k, v in found.items() if k not in varying
    }
    assert "incentive_daemon_running 1.0" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    stop(daemon)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10)


def test_a_trouble_reaches_operations_through_the_daemon_itself(world: World) -> None:
    world.show([contract(1), contract(2, adjustRefundMoney="待定")])
    world.run_may()
    daemon = started(world)
    await_that(lambda: told(world, "ops"))
    assert told(world, "ops")[0].startswith("⚠️ BJ-2025-05 的源数据有 1 行不能用")
    assert [trouble["key"] for trouble in world.run("status", "--json").json["troubles"]] == ["rejected:BJ-2025-05"]
    stop(daemon)


# -- status --alert --------------------------------------------------------------------------------------------------


def test_a_second_recipient_hears_once_that_the_daemon_is_dead_and_once_that_it_is_back(world: World) -> None:
    started(world).send(signal.SIGKILL)
    await_that(lambda: world.run("status").code == 3)
    assert [check(world) for _ in range(3)] == [3, 3, 3]
    assert signs(world) == "⚠"
    assert "签约激励后台程序没有在运行：异常中断" in told(world)[0]
    daemon = started(world)
    assert [check(world) for _ in range(2)] == [0, 0]
    assert signs(world) == "⚠✅"
    freeze(world, daemon)
    age_heartbeat(world, seconds=91)
    assert [check(world) for _ in range(2)] == [4, 4]
    assert signs(world) == "⚠✅⚠"
    assert "没有反应" in told(world)[2]
    assert told(world, "ops") == []


def test_a_daemon_that_was_stopped_is_told_only_after_a_while(world: World) -> None:
    daemon = started(world)
    stop(daemon)
    assert check(world) == 3
    age_heartbeat(world, minutes=14)
    assert check(world) == 3
    assert told(world) == []
    age_heartbeat(world, minutes=2)
    assert check(world) == 3
    assert "被正常停止" in told(world)[0]


def test_a_crash_is_not_taken_back_by_a_stop_in_between(world: World) -> None:
    started(world).send(signal.SIGKILL)
    await_that(lambda: world.run("status").code == 3)
    check(world)
    daemon = started(world)
    stop(daemon)
    assert check(world) == 3
    assert signs(world) == "⚠"


def test_the_check_says_that_it_has_told_where_the_message_has_left(world: World) -> None:
    shown = world.run("status", "--alert")
    assert "已告知：后台程序" in shown.out
    assert "队列" not in shown.out
    assert world.run("status", "--alert", "--json").json["unsent"] == []


def test_only_the_lane_of_the_second_recipient_is_drained(world: World) -> None:
    world.show(contracts(1, 3))
    world.run_may()
    waiting = len(world.tasks("pending"))
    assert waiting >= 3
    check(world)
    assert len(world.tasks("pending")) == waiting
    assert {message.key for message in world.robot.messages} == {robot_key(SECOND)}


def test_a_message_that_does_not_go_out_is_sent_by_the_next_check_and_not_told_anew(world: World) -> None:
    world.robot.stop()
    shown = world.run("status", "--alert")
    assert (shown.code, "已告知" in shown.out) == (3, False)
    assert "已放进队列，还没有送达，下次检查再发：后台程序" in shown.out
    assert [task["status"] for task in world.tasks()] == ["pending"]
    world.robot.start()
    world.let_back_off_pass()
    assert [check(world) for _ in range(2)] == [3, 3]
    assert signs(world) == "⚠"


def test_killed_between_the_commit_and_the_sending_it_tells_once(world: World) -> None:
    dies = "import os, task_scheduler; task_scheduler.check_tasks = lambda *_, **__: os.kill(os.getpid(), 9)"
    assert world.run("status", "--alert", prelude=dies).code == -signal.SIGKILL
    assert told(world) == []
    assert [check(world) for _ in range(2)] == [3, 3]
    assert signs(world) == "⚠"


def test_a_second_recipient_hears_that_the_robot_of_operations_is_dead(world: World) -> None:
    world.robot.inject(BAD_KEY, times=None, key=robot_key("ops"))
    world.show([contract(1), contract(2, adjustRefundMoney="待定")])
    world.run_may()
    daemon = started(world)
    await_that(lambda: [task for task in world.tasks("failed") if task["recipient"] == "ops"])
    assert [check(world) for _ in range(2)] == [0, 0]
    assert signs(world) == "⚠"
    assert "给 ops 的消息发送失败" in told(world)[0]
    assert "93000" in told(world)[0]
    world.robot.clear_faults()
    assert world.run("send-test", "ops").code == 0
    assert check(world) == 0
    assert signs(world) == "⚠✅"
    stop(daemon)


def test_messages_to_operations_that_wait_are_told_while_the_daemon_runs(world: World) -> None:
    daemon = started(world)
    freeze(world, daemon)
    made = (datetime.now(SHANGHAI) - timedelta(minutes=16)).isoformat(timespec="microseconds")
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute(
            "INSERT INTO tasks (task_type, recipient, message, created_at, updated_at) "
            "VALUES ('send_wecom_message', 'ops', 'm', ?, ?)",
            (made, made),
        )
    assert check(world) == 0
    assert "给 ops 的消息有 1 条发不出去" in told(world)[0]
    daemon.send(signal.SIGKILL)
    daemon.ended()
    assert check(world) == 3  # nobody sends now: of the robot nothing can be said
    assert signs(world) == "⚠⚠"


def test_without_a_second_recipient_it_says_what_to_set(world: World) -> None:
    world.settings()
    ended = world.run("status", "--alert")
    assert ended.code == 2
    assert "health.second_recipient" in ended.err
    for wrong in ("nobody", "ops"):
        health(world, f"second_recipient: {wrong}")
        ended = world.run("status")
        assert ended.code == 2
        assert "health" in ended.err
        assert "second_recipient" in ended.err
    health(world, f"second_recipient: {SECOND}")
    assert "同一个机器人" in world.run("status", **{f"WECOM_KEY_{SECOND.upper()}": robot_key("ops")}).err


def test_where_the_database_can_not_be_opened_it_tells_so_directly_once_and_takes_it_back(world: World) -> None:
    world.run("status")
    whole = world.database.read_bytes()
    for path in world.data_dir.glob("tasks.db*"):
        path.unlink()
    world.database.write_bytes("这不是数据库".encode() * 1000)
    assert [check(world) for _ in range(2)] == [3, 3]
    [text] = told(world)
    assert "打不开数据库" in text
    assert "已损坏" in text
    note = world.data_dir / "state" / "told-directly"
    long_ago = note.stat().st_mtime - 6 * 3600
    os.utime(note, (long_ago, long_ago))
    assert check(world) == 3
    assert len(told(world)) == 2
    world.database.write_bytes(whole)
    assert [check(world) for _ in range(2)] == [3, 3]
    assert sum("数据库又能打开了" in text for text in told(world)) == 1
    assert world.log("send_messages.log").count("task=0") == 2


def test_a_direct_word_that_does_not_go_out_is_tried_again(world: World) -> None:
    world.data_dir.mkdir(exist_ok=True)
    world.database.write_bytes("这不是数据库".encode() * 1000)
    world.robot.stop()
    assert check(world) == 3
    world.robot.start()
    assert [check(world) for _ in range(2)] == [3, 3]
    assert len(told(world)) == 1


# -- a database that can't be used at start --------------------------------------------------------------------------


def refused(world: World, words: str, prelude: str = "") -> None:
    """The daemon says this in one line, and ends with 1."""
    ended = world.start(prelude=prelude).ended(within=30)
    assert ended.code == 1
    assert words in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err


def test_a_damaged_database_is_refused_at_start_and_left_as_it_was(world: World) -> None:
    world.show(contracts(1, 40))
    world.run_may()
    spoilt = spoil(world.database)
    refused(world, "已损坏")
    assert world.database.read_bytes() == spoilt


def test_a_locked_database_is_refused_at_start_and_left_as_it_was(world: World) -> None:
    world.run("status")
    with closing(sqlite3.connect(world.database, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        refused(world, "被别的程序占用", IMPATIENT)
    started(world)


def test_a_full_disk_at_start_is_said_and_costs_no_data(world: World) -> None:
    world.show(contracts(1, 3))
    world.run_may()
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute("DROP TABLE troubles")
        connection.execute("DROP INDEX ix_tasks_given_up")
        connection.execute("DROP INDEX ix_tasks_cancelled")
        connection.execute("DROP INDEX ix_tasks_part")
        connection.execute("CREATE INDEX ix_tasks_group_key ON tasks (group_key)")
        connection.execute("ALTER TABLE job_runs DROP COLUMN fault")
        connection.execute("UPDATE alembic_version SET version_num = '0007'")
    with closing(sqlite3.connect(world.database)) as connection:
        connection.execute("VACUUM")
    before = dump(world.database)
    refused(world, "磁盘已满", EXACTLY_FULL)
    assert dump(world.database) == before
    started(world)


def test_a_disk_without_room_for_any_file_is_said_to_be_no_good(world: World) -> None:
    world.run("status")
    before = dump(world.database)
    refused(world, "磁盘读写出错", NO_ROOM)
    assert dump(world.database) == before
