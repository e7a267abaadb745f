"""The set-up that README shows: one PostgreSQL, two machines with a daemon each, three workers; and test messages."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from modules.clock import SHANGHAI
from modules.database import Database
from modules.tables import performance, tasks
from modules.task_states import COMPLETED
from tests.postgres import Server
from tests.program import World, await_that, contract, open_world, robot_key, unlimited_robot

pytestmark = pytest.mark.slow

CONTRACTS = 60


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


@pytest.fixture
def address(postgres: Server) -> Iterator[str]:
    """An empty database: whoever starts first makes the tables."""
    yield postgres.create("two_machines")
    postgres.drop("two_machines")


def show_this_month(world: World) -> str:
    """Contracts of this month; returns the campaign's key."""
    month = datetime.now(SHANGHAI).strftime("%Y-%m")
    world.campaigns(f'REWARD_CONFIGS = {{"BJ-{month}": {{**SHIPPED["BJ-2025-05"], "card_id": 1693}}}}')
    signed = f"{month}-01T00:00:00.000+08:00"
    world.show([contract(number, signedDate=signed) for number in range(1, CONTRACTS + 1)])
    return f"BJ-{month}"


def test_two_daemons_and_three_workers_register_and_send_everything_once(world: World, address: str) -> None:
    key = show_this_month(world)
    machines = [{"DATABASE_URL": address, "DATA_DIR": str(world.folder / name)} for name in ("one", "two")]
    often = {"RUN_JOBS_SERIALLY_SCHEDULE": "0.0167"}
    running = [world.start("--no-worker", **machine, **often) for machine in machines]
    running += [world.start("worker", **machines[0]), world.start("worker", **machines[1])]
    running += [world.start("worker", "--senders", "wecom_robot", **machines[1])]
    database = Database(address)

    def everything_is_sent() -> bool:
        try:
            with database.reading() as connection:
                rows = connection.execute(sa.select(performance.c.notified_at)).all()
                open_tasks = connection.execute(sa.select(tasks.c.id).where(tasks.c.status != COMPLETED)).all()
        except sa.exc.ProgrammingError:  # no tables yet
            return False
        return len(rows) == CONTRACTS and all(row[0] is not None for row in rows) and not open_tasks

    files = [world.folder / name / f"PerformanceData-{key}.csv" for name in ("one", "two")]
    await_that(everything_is_sent)
    await_that(lambda: all(file.exists() for file in files))
    for process in running:
        process.send(signal.SIGTERM)
    for process in running:
        ended = process.ended()
        assert (ended.code, "Traceback" in ended.err) == (0, False), ended
    with database.reading() as connection:
        numbers = connection.scalars(sa.select(performance.c.sequence).order_by(performance.c.id)).all()
        messages = connection.scalars(sa.select(tasks.c.message)).all()
    database.close()
    assert numbers == list(range(1, CONTRACTS + 1))
    sent = Counter(message.content for message in world.robot.messages)
    assert sent == Counter(messages), "each once"
    for file in files:
        rows = file.read_text(encoding="utf-8-sig").splitlines()
        assert len(rows) == CONTRACTS + 1, "each machine has its files"


def test_a_command_on_postgresql_is_a_command_like_any_other(world: World, address: str) -> None:
    """The whole way of one campaign: run, drain, explain, reconcile, payout, purge."""
    world.environ["DATABASE_URL"] = address
    world.show([contract(number) for number in range(1, 9)])
    assert world.run_may().json["registered"] == 8
    assert world.run_may().json["registered"] == 0
    assert world.run("drain", "--json").json["completed"] == 9
    for command in (
        ("status", "--json"),
        ("jobs", "--json"),
        ("tasks", "list", "--json"),
        ("tasks", "show", "1", "--json"),
        ("explain", contract(6)[0], "--json"),
        ("reconcile", "BJ-2025-05", "--at", "2025-05-20T12:00", "--json"),
        ("payout", "BJ-2025-05", "--json"),
        ("simulate", "BJ-2025-05", "--json"),
    ):
        ended = world.run(*map(str, command))
        assert ended.code == (3 if command[0] == "status" else 0), ended  # 3: no daemon runs
    assert world.run("tasks", "purge", "--days", "0", "--json").json["deleted"] == 9
    assert world.run_may().json["tasks"] == 0, "what was purged is not said again"
    assert world.run("drain", "--json").json["completed"] == 0


def test_a_test_message_is_sent_at_once_and_says_so(world: World) -> None:
    ended = world.run("send-test", "bj_group")
    assert ended.code == 0
    assert "已送达 bj_group" in ended.out
    [message] = world.robot.messages
    assert (message.key, message.content[:4]) == (robot_key("bj_group"), "【测试】")


def test_a_test_message_goes_behind_what_waits_for_the_same_recipient_and_sends_nothing_else(world: World) -> None:
    world.show([contract(number) for number in range(1, 7)])
    world.run_may()
    assert world.run("send-test", "bj_contact").code == 0
    assert [message.key for message in world.robot.messages] == [robot_key("bj_contact")] * 2
    assert "【测试】" in world.robot.messages[-1].content


def test_a_test_message_that_is_refused_says_why(world: World) -> None:
    world.robot.inject(93000)
    ended = world.run("send-test", "bj_group")
    assert ended.code == 1
    assert "没有送达" in ended.out
    assert "93000" in ended.out
    ended = world.run("send-test", "nobody")
    assert ended.code == 2
    assert "没有收件人 nobody" in ended.err


def test_no_worker_belongs_to_the_daemon(world: World) -> None:
    ended = world.run("--no-worker", "status")
    assert ended.code == 2
    assert "--no-worker 只用于启动后台程序" in ended.err


def test_a_worker_with_a_sender_that_does_not_exist_is_refused(world: World) -> None:
    ended = world.run("worker", "--senders", "pigeon")
    assert ended.code == 2
    assert "没有发送方式 pigeon" in ended.err


def test_a_task_is_shown_whole(world: World) -> None:
    world.robot.inject(93000)
    world.run("send-test", "bj_group")
    ended = world.run("tasks", "show", "1")
    assert ended.code == 0
    for words in ("失败", "bj_group", "机器人密钥无效", "【测试】"):
        assert words in ended.out
    assert world.run("tasks", "show", "9").code == 2
