"""The faults that the program must survive (issue 2, part 3), injected over real HTTP into the real program."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modules.sandbox.http_stand_in import Answer, Request
from modules.sandbox.metabase import Fault, Operation
from modules.sandbox.robot import RobotFault, RobotStandIn
from modules.sandbox.sample_contracts import COLUMNS
from tests.program import (
    BEIJING_MAY,
    MAY_20,
    Ended,
    World,
    await_that,
    contract,
    contracts,
    open_world,
    robot_key,
    unlimited_robot,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


def failed(ended: Ended) -> str:
    """The error of a run that failed: the same in its JSON and, on one line, on stderr."""
    assert (ended.code, ended.json["outcome"]) == (1, "failed"), ended
    error: str = ended.json["error"]
    assert ended.err.splitlines() == [error]
    assert "请" in error  # what to do
    return error


# -- Metabase --------------------------------------------------------------------------------------------------------

METABASE_FAULTS = {
    Fault.FORBIDDEN: ("没有权限", "管理员"),
    Fault.NOT_FOUND: ("不存在或已归档", "问题卡编号"),
    Fault.FAILED_202: ("查询失败", "canceling statement"),
    Fault.FAILED_500: ("查询失败", "canceling statement"),
    Fault.ERROR_500: ("服务器出错（HTTP 500", "Metabase"),
    Fault.TRUNCATED_BODY: ("答复没有收完", "网络"),
    Fault.ERROR_APPENDED: ("不是 JSON", "网络"),
    Fault.HTML: ("网页", "METABASE_URL"),
    Fault.WRONG_ROW_COUNT: ("行数不符", "再试"),
    Fault.NO_ANSWER: ("连接中断", "网络"),
    Fault.SLOW: ("等不到答复", "Metabase"),
}


@pytest.mark.parametrize("fault", METABASE_FAULTS, ids=lambda fault: fault.name)
def test_a_pull_that_fails_changes_nothing_and_the_next_one_takes_all(world: World, fault: Fault) -> None:
    world.show(contracts(1, 4))
    assert world.run_may().json["registered"] == 4
    ledger, files = world.ledger(), world.files()
    world.show(contracts(1, 9))
    world.metabase.inject(fault, times=None, on=Operation.QUERY)
    world.settings(time_budget=1.5)  # as long as it lasts, so that nobody waits for minutes

    error = failed(world.run_may())
    assert "问题卡 1693" in error
    for word in METABASE_FAULTS[fault]:
        assert word in error
    assert world.ledger() == ledger
    assert world.files() == files
    runs = [(run["outcome"], run["error"]) for run in world.query("SELECT * FROM job_runs ORDER BY id")]
    assert runs == [("ok", None), ("failed", error)]

    world.metabase.clear_faults()
    world.settings()
    assert world.run_may().json["registered"] == 5
    assert world.numbers() == list(range(1, 10))
    assert len(world.tasks()) == 10


def test_a_wrong_password_is_tried_once_and_again_when_it_has_been_changed(world: World) -> None:
    world.show(contracts(1, 3))
    for _ in range(3):
        error = failed(world.run_may(METABASE_PASSWORD="wrong"))
        assert "用户名或密码不对" in error
        assert "METABASE_PASSWORD" in error
        assert "问题卡 1693" in error
    assert world.metabase.logins == 1
    assert world.run_may().json["registered"] == 3


def test_a_throttled_login_waits_as_long_as_it_is_told(world: World) -> None:
    world.show(contracts(1, 3))
    world.metabase.inject(Fault.THROTTLED_LOGIN, seconds=2)
    error = failed(world.run_may())
    assert "Metabase 要求等待" in error
    assert "问题卡 1693" in error
    assert "之前不再登录" in failed(world.run_may())
    assert world.metabase.logins == 1
    assert await_that(lambda: world.run_may().code == 0)
    assert world.metabase.logins == 2
    assert world.numbers() == [1, 2, 3]


@pytest.mark.parametrize("how", [Fault.EXPIRED_SESSION, None], ids=["on_the_way", "long_ago"])
def test_an_expired_session_is_renewed_once_and_the_run_succeeds(world: World, how: Fault | None) -> None:
    world.show(contracts(1, 2))
    world.run_may()
    world.show(contracts(1, 3))
    if how:
        world.metabase.inject(how)
    else:
        world.metabase.expire_sessions()
    assert world.run_may().json["registered"] == 1
    assert world.metabase.logins == 2
    asked = [call for call in world.metabase.calls if "card" in call]
    assert len(asked) == 3  # the first run, the refused request, its one repetition


def test_metabase_that_is_not_there_is_one_error_and_the_next_run_takes_all(world: World) -> None:
    world.show(contracts(1, 3))
    world.metabase.stop()
    world.settings(time_budget=0.5)
    assert "连不上" in failed(world.run_may())
    world.metabase.start()
    world.settings()
    assert world.run_may().json["registered"] == 3


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1_999, 2_000, 2_001])
def test_a_card_at_the_row_limit_is_registered_whole(world: World, count: int) -> None:
    world.show(contracts(1, count))
    ended = world.run_may()
    assert (ended.json["fetched"], ended.json["registered"]) == (count, count)
    assert world.numbers() == list(range(1, count + 1))
    ids = {row["contract_id"] for row in world.query("SELECT contract_id FROM performance")}
    assert ids == {str(1_920_000_000_000_000_000 + number) for number in range(1, count + 1)}
    assert ("POST /api/card/1693/query/json" in world.metabase.calls) == (count >= 2_000)
    pulled = world.files()["ContractData-BJ-2025-05.csv"].decode("utf-8-sig")
    assert len(pulled.splitlines()) == count + 1


def test_an_export_that_breaks_off_registers_nothing(world: World) -> None:
    world.show(contracts(1, 2_001))
    world.settings(time_budget=1.5)
    for fault in (Fault.EXPORT_CUT, Fault.EXPORT_FAILED):
        world.metabase.inject(fault, times=None)
        assert "问题卡 1693" in failed(world.run_may())
        world.metabase.clear_faults()
    assert world.numbers() == []


def test_an_id_is_the_same_as_text_and_as_a_number(world: World) -> None:
    long, short = 1_920_000_000_000_000_123, 77
    world.show([contract(1, _id=long), contract(2, _id=short), contract(3, _id="5e-text")])
    assert world.run_may().json["registered"] == 3
    world.show([contract(1, _id=str(long)), contract(2, _id=str(short)), contract(3, _id="5e-text")])
    assert world.run_may().json["registered"] == 0
    ids = [row["contract_id"] for row in world.query("SELECT contract_id FROM performance ORDER BY id")]
    assert ids == [str(long), str(short), "5e-text"]


@pytest.mark.parametrize("new_name", [None, "adjustRefundMoney2", "退款金额"])
def test_a_missing_or_renamed_column_is_named_with_those_that_are_there(world: World, new_name: str | None) -> None:
    world.show(contracts(1, 2))
    world.run_may()
    ledger, files = world.ledger(), world.files()
    place = COLUMNS.index("adjustRefundMoney")
    columns = [name for name in COLUMNS if name != "adjustRefundMoney"]
    rows = [row[:place] + row[place + 1 :] for row in contracts(1, 4)]
    if new_name:
        columns.insert(place, new_name)
        rows = contracts(1, 4)
    world.show(rows, columns=columns)
    error = failed(world.run_may())
    assert "源数据缺少列：adjustRefundMoney；" in error
    assert (new_name or "serviceHousekeeper") in error
    assert "问题卡" in error
    assert (world.ledger(), world.files()) == (ledger, files)
    world.show(contracts(1, 4))
    assert world.run_may().json["registered"] == 2


def test_columns_in_another_order_and_more_of_them_make_no_difference(world: World) -> None:
    names = [*reversed(COLUMNS), "somethingNew"]
    world.show([[*reversed(row), "x"] for row in contracts(1, 3)], columns=names)
    assert world.run_may().json["registered"] == 3
    assert [row["合同编号(contractdocNum)"] for row in world.performance()] == [f"YHWX-{n:05d}" for n in (1, 2, 3)]


def test_rows_that_cannot_be_used_are_put_aside_with_the_reason_and_the_others_go_on(world: World) -> None:
    faulty = [
        contract(2, adjustRefundMoney="待定"),
        contract(3, adjustRefundMoney=None),
        contract(4, adjustRefundMoney="-1"),
        contract(5, adjustRefundMoney="NaN"),
        contract(6, _id=None),
        contract(7, serviceHousekeeper="  "),
        contract(8, serviceHousekeeper=None),
        contract(9, signedDate="yesterday"),
    ]
    world.show([contract(1), *faulty, contract(10)])
    ended = world.run_may()
    assert (ended.code, ended.json["registered"], ended.json["rejected"]) == (0, 2, 8)
    reasons = [row["reason"] for row in world.query("SELECT reason FROM rejected_rows ORDER BY id")]
    named = Counter(
        next(name for name in ("adjustRefundMoney", "_id", "serviceHousekeeper", "signedDate") if name in reason)
        for reason in reasons
    )
    assert named == {"adjustRefundMoney": 4, "_id": 1, "serviceHousekeeper": 2, "signedDate": 1}

    again = world.run_may()
    assert (again.json["registered"], again.json["rejected"]) == (0, 8)
    assert len(world.query("SELECT * FROM rejected_rows")) == 8  # each told once
    world.show([contract(number) for number in range(1, 11)])
    mended = world.run_may()
    assert (mended.json["registered"], mended.json["rejected"]) == (8, 0)
    assert world.numbers() == list(range(1, 11))
    assert {row["resolved_at"] is None for row in world.query("SELECT * FROM rejected_rows")} == {False}


# -- the robot -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RobotCase:
    """What the robot does to the broadcast of one contract, and what the queue then says of it."""

    fault: RobotFault | int
    counted: str
    status: str
    word: str
    delivered: int


ROBOT_FAULTS = [
    RobotCase(45009, "retried", "pending", "45009", 0),
    RobotCase(-1, "retried", "pending", "-1", 0),
    RobotCase(93000, "failed", "failed", "93000", 0),
    RobotCase(40058, "failed", "failed", "40058", 0),
    RobotCase(RobotFault.HTTP_500, "retried", "pending", "按设置重发", 0),
    RobotCase(RobotFault.NEVER_ANSWERED, "retried", "pending", "按设置重发", 1),
    RobotCase(RobotFault.CLOSED_AFTER_RECORDING, "retried", "pending", "按设置重发", 1),
]


@pytest.mark.parametrize("case", ROBOT_FAULTS, ids=lambda case: str(case.fault))
def test_what_the_robot_answers_decides_what_becomes_of_a_broadcast(world: World, case: RobotCase) -> None:
    world.settings(robot_timeout=0.5)
    world.show(contracts(1, 1))
    world.run_may()
    world.robot.inject(case.fault)
    ended = world.run("drain", "--json")
    assert ended.code == 0
    assert ended.json[case.counted] == 1
    [task] = world.tasks()
    assert (task["status"], task["attempts"]) == (case.status, 1)
    assert case.word in task["last_error"]
    assert (task["run_at"] is not None) == (case.status == "pending")
    assert len(world.robot.messages) == case.delivered
    if case.status == "pending":
        world.let_back_off_pass()
    else:
        world.run("tasks", "retry", str(task["id"]))
    assert world.run("drain", "--json").json["completed"] == 1
    assert [message.content for message in world.robot.messages] == [task["message"]] * (1 + case.delivered)
    assert world.performance()[0]["是否发送通知"] == "Y"


def test_a_frequency_limit_is_waited_out_for_a_minute(world: World) -> None:
    world.show(contracts(1, 1))
    world.run_may()
    world.robot.inject(45009)
    world.run("drain")
    seconds = "(julianday(run_at) - julianday(updated_at)) * 86400"
    [task] = world.query(f"SELECT {seconds} AS wait FROM tasks")  # noqa: S608
    assert task["wait"] >= 59.9


@pytest.mark.parametrize("fault", [RobotFault.NEVER_ANSWERED, RobotFault.CLOSED_AFTER_RECORDING, RobotFault.HTTP_500])
def test_an_award_notice_of_unknown_fate_is_for_a_person_to_judge(world: World, fault: RobotFault) -> None:
    world.settings(robot_timeout=0.5)
    world.show(contracts(1, 6))
    world.run_may()
    world.robot.inject(fault, key=robot_key("bj_contact"))
    assert world.run("drain", "--json").json["uncertain"] == 1
    [task] = world.tasks("uncertain")
    assert (task["recipient"], task["on_uncertain"]) == ("bj_contact", "hold")
    assert "请人工核实" in task["last_error"]
    before = len(world.robot.messages)
    assert world.run("drain", "--json").json["completed"] == 0
    assert len(world.robot.messages) == before
    assert "待核实" in world.run("tasks", "list", COLUMNS="200").out


def test_a_robot_that_is_not_there_costs_nothing(world: World) -> None:
    world.show(contracts(1, 1))
    world.run_may()
    world.robot.stop()
    assert world.run("drain", "--json").json["retried"] == 1
    assert "消息没有发出" in world.tasks()[0]["last_error"]


# -- the database ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def another_program(world: World) -> Iterator[sqlite3.Connection]:
    """One that has the database open too, and locks it with BEGIN IMMEDIATE. Any thread may use it."""
    connection = sqlite3.connect(world.database, isolation_level=None, check_same_thread=False, timeout=30)
    with contextlib.closing(connection):
        yield connection


IMPATIENT = "import modules.database; modules.database.SQLITE_WAIT_SECONDS = 0.3"
"""A prelude: nobody wants to wait for half a minute here."""


def test_a_run_waits_for_a_locked_database(world: World) -> None:
    world.show(contracts(1, 2))
    world.run_may()
    world.show(contracts(1, 5))
    with another_program(world) as other:
        other.execute("BEGIN IMMEDIATE")
        running = world.start("run", "BJ-2025-05", *MAY_20)
        assert not running.has_ended(within=1)
        other.rollback()
    ended = running.ended()
    assert (ended.code, ended.json["registered"]) == (0, 3)


@pytest.mark.parametrize("when", ["from the start", "at the commit"])
def test_a_run_says_in_words_that_the_database_stayed_locked(world: World, when: str) -> None:
    world.show(contracts(1, 2))
    world.run_may()
    ledger = world.ledger()
    with another_program(world) as other:

        def lock_and_pull() -> list[list[object]]:
            other.execute("BEGIN IMMEDIATE")
            return contracts(1, 5)

        if when == "from the start":
            world.show(lock_and_pull())
        else:
            world.metabase.set_card(BEIJING_MAY, COLUMNS, lock_and_pull)
        ended = world.run("run", "BJ-2025-05", *MAY_20, prelude=IMPATIENT)
        assert other.in_transaction
    assert ended.code == 1
    [line] = ended.err.splitlines()
    assert "数据库" in line
    assert "OperationalError" not in line
    assert "BEGIN" not in line
    assert world.ledger() == ledger
    world.show(contracts(1, 5))
    assert world.run_may().json["registered"] == 3


def test_a_message_that_has_left_gets_its_result_however_long_the_database_is_locked(tmp_path: Path) -> None:
    class LockingRobot(RobotStandIn):
        """Somebody takes the database while a message is on its way."""

        on_message: Callable[[], object]

        def answer(self, request: Request) -> Answer | None:
            self.on_message()
            return super().answer(request)

    robot: list[LockingRobot] = []

    def make(keys: Iterable[str]) -> RobotStandIn:
        robot.append(LockingRobot(list(keys), rate_limit=False))
        return robot[0]

    with open_world(tmp_path, make) as world:
        world.show(contracts(1, 1))
        world.run_may()
        with another_program(world) as other:
            robot[0].on_message = lambda: other.execute("BEGIN IMMEDIATE")
            draining = world.start("drain", "--json", prelude=IMPATIENT)
            await_that(lambda: "数据库正忙，发送结果稍后再写（第 2 次）" in world.log())
            other.rollback()
            ended = draining.ended()
        assert (ended.code, ended.json["completed"]) == (0, 1)
        assert [task["status"] for task in world.tasks()] == ["completed"]
        assert len(robot[0].messages) == 1


# -- files -----------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_does_not_stop_a_run_and_is_written_next_time(world: World) -> None:
    world.show(contracts(1, 3))
    names = ["PerformanceData-BJ-2025-05.csv", "send_status_BJ-2025-05.json"]
    for name in names:  # a folder in its place: the program runs as root here, whom no permission stops
        (world.data_dir / name / "in the way").mkdir(parents=True)
    ended = world.run_may()
    assert (ended.code, ended.json["outcome"], ended.json["registered"]) == (0, "ok", 3)
    assert [name in ended.err for name in names] == [True, True]
    assert {fault["file"] for fault in world.run("status", "--json").json["unwritten_files"]} == set(names)
    assert world.numbers() == [1, 2, 3]
    assert len(world.tasks()) == 3
    for name in names:
        (world.data_dir / name / "in the way").rmdir()
        (world.data_dir / name).rmdir()
    again = world.run_may()
    assert (again.code, again.err, again.json["registered"]) == (0, "", 0)
    assert len(world.performance()) == 3
    assert world.run("status", "--json").json["unwritten_files"] == []


def test_a_file_that_somebody_deletes_or_spoils_is_written_anew(world: World) -> None:
    world.show(contracts(1, 3))
    world.run_may()
    files = world.files()
    assert sorted(files) == [
        "ContractData-BJ-2025-05.csv", "PerformanceData-BJ-2025-05.csv", "send_status_BJ-2025-05.json",
    ]  # fmt: skip
    for name in files:
        (world.data_dir / name).unlink()
    world.run_may()
    assert world.files() == files
    world.data_dir.joinpath("PerformanceData-BJ-2025-05.csv").write_text("spoilt")
    world.run_may()
    assert world.files() == files


# -- several at once -------------------------------------------------------------------------------------------------


def test_two_runs_at_once_number_once_and_tell_once(world: World) -> None:
    world.show(contracts(1, 4))
    world.run_may()
    both_ask = threading.Barrier(2)
    asked = iter(range(100))

    def pull() -> list[list[object]]:
        if next(asked) < 2:
            both_ask.wait(60)  # no answer before both have read the ledger and asked
        return contracts(1, 12)

    world.metabase.set_card(BEIJING_MAY, COLUMNS, pull)
    running = [world.start("run", "BJ-2025-05", *MAY_20) for _ in range(2)]
    ended = [process.ended() for process in running]
    assert [process.code for process in ended] == [0, 0]
    assert sorted(process.json["registered"] for process in ended) == [0, 8]
    assert next(asked) == 3  # the one that came second has asked again
    assert world.numbers() == list(range(1, 13))
    keys = Counter(task["dedup_key"] for task in world.tasks())
    assert len(keys) == 13
    assert set(keys.values()) == {1}


def test_two_drains_at_once_send_each_message_once(world: World) -> None:
    world.show(contracts(1, 40))
    world.run_may()
    drains = [world.start("drain", "--json") for _ in range(3)]
    ended = [drain.ended() for drain in drains]
    assert [process.code for process in ended] == [0, 0, 0]
    # One recipient's messages go one after another: who finds nothing to take leaves, and the last one ends the work.
    assert sum(process.json["completed"] for process in ended) == len(world.tasks("completed"))
    assert world.run("drain", "--json").json["pending"] == 0
    sent = Counter(message.content for message in world.robot.messages)
    assert sent == Counter(task["message"] for task in world.tasks("completed"))
    assert len(world.tasks("completed")) == len(world.tasks())


def test_a_run_that_is_interrupted_leaves_all_or_nothing(world: World) -> None:
    world.show(contracts(1, 3))
    world.metabase.inject(Fault.SLOW, seconds=None)
    running = world.start("run", "BJ-2025-05", *MAY_20)
    await_that(lambda: any("card" in call for call in world.metabase.calls))
    running.send(signal.SIGINT)
    ended = running.ended(within=10)
    assert ended.code != 0
    assert "Traceback" not in ended.err
    assert (world.numbers(), world.tasks()) == ([], [])
    [run] = world.query("SELECT outcome, error FROM job_runs")
    assert (run["outcome"], run["error"]) == ("interrupted", "程序被关闭，运行中断")
    assert world.run_may().json["registered"] == 3
