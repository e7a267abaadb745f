"""The daemon from start to end: it pulls, sends, survives what is down, ends when asked, and begins again."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from modules.clock import SHANGHAI
from modules.sandbox.http_stand_in import Answer, Request
from modules.sandbox.metabase import Fault
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_contracts import COLUMNS
from tests.program import Running, World, await_that, contract, open_world, robot_key

BEIJING, SHANGHAI_CARD = 11, 22
SECOND = "0.0167"  # of the minutes that RUN_JOBS_SERIALLY_SCHEDULE counts in
SOON = 10.0
"""What "within seconds" means to somebody who waits for the daemon to end."""


class SlowRobot(RobotStandIn):
    """Answers at once, unless `gate` is closed: then when it is opened; `holds` tells that a message has met it."""

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__(list(keys), rate_limit=False)
        self.gate = threading.Event()
        self.gate.set()
        self.holds = threading.Event()

    def answer(self, request: Request) -> Answer | None:
        if not self.gate.is_set():
            self.holds.set()
            self.gate.wait(60)
        return super().answer(request)


class Installation:
    """A world whose campaigns are those of this month, Beijing and Shanghai."""

    def __init__(self, world: World, robot: SlowRobot) -> None:
        self.world, self.robot = world, robot
        self.month = datetime.now(SHANGHAI).strftime("%Y-%m")
        self.beijing, self.shanghai = f"BJ-{self.month}", f"SH-{self.month}"
        world.campaigns(
            f"""
REWARD_CONFIGS = {{
    "{self.beijing}": {{**SHIPPED["BJ-2025-05"], "card_id": {BEIJING}}},
    "{self.shanghai}": {{**SHIPPED["SH-2025-05"], "card_id": {SHANGHAI_CARD}}},
}}
"""
        )
        self.show(BEIJING, 3)
        self.show(SHANGHAI_CARD, 2)

    def rows(self, count: int) -> list[list[object]]:
        """Contracts of this month, signed in its first minute, which has always passed."""
        signed = f"{self.month}-01T00:00:00.000+08:00"
        return [contract(number, signedDate=signed) for number in range(1, count + 1)]

    def show(self, card: int, count: int) -> None:
        self.world.show(self.rows(count), card=card)

    def start(self, **environ: str) -> Running:
        """Start the daemon; it pulls and looks into the queue every second or more often."""
        return self.world.start(**{"RUN_JOBS_SERIALLY_SCHEDULE": SECOND, **environ})

    def delivered(self, campaign: str) -> int:
        """How many contracts' broadcasts have been sent whole."""
        rows = self.world.query("SELECT notified_at FROM performance WHERE campaign = ?", campaign)
        return sum(row["notified_at"] is not None for row in rows)

    def all_delivered(self, count: int) -> Callable[[], bool]:
        """So many messages, beside what operations hear of troubles."""

        def delivered() -> bool:
            statuses = [task["status"] for task in self.world.tasks() if task["recipient"] != "ops"]
            arrived = [one for one in self.robot.messages if not one.content.startswith(("⚠️", "⏰", "✅"))]
            return statuses == ["completed"] * count and len(arrived) == count

        return delivered


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with open_world(tmp_path, SlowRobot) as world:
        assert isinstance(world.robot, SlowRobot)
        try:
            yield Installation(world, world.robot)
        finally:
            world.robot.gate.set()


def stop(daemon: Running, how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the daemon to end, and see that it does: soon, content, and without a traceback."""
    daemon.send(how)
    ended = daemon.ended(within=SOON)
    assert ended.code == 0, ended
    assert "Traceback" not in ended.err
    assert "后台程序已停止" in ended.err


# -- a day's work ----------------------------------------------------------------------------------------------------


def test_it_pulls_at_once_delivers_and_goes_on_pulling(here: Installation) -> None:
    daemon = here.start()
    await_that(here.all_delivered(5))
    here.show(BEIJING, 6)  # the sixth is lucky: a message to the contact as well
    await_that(here.all_delivered(9))
    files = {f"PerformanceData-{key}.csv": count for key, count in ((here.beijing, 6), (here.shanghai, 2))}

    def shown_as_sent() -> bool:
        rows = [here.world.performance(key) for key in (here.beijing, here.shanghai)]
        return [len(found) for found in rows] == [6, 2] and all(
            row["是否发送通知"] == "Y" for found in rows for row in found
        )

    await_that(shown_as_sent)
    assert set(files) <= set(here.world.files())
    assert here.world.run("status", "--json").json["daemon_running"] is True
    stop(daemon)
    assert here.world.numbers(here.beijing) == [1, 2, 3, 4, 5, 6]
    assert set(Counter(message.content for message in here.robot.messages).values()) == {1}
    assert here.world.metabase.logins == 1
    assert "后台程序已启动" in here.world.log()
    assert here.world.log("send_messages.log").count("outcome=sent") == 9
    assert here.world.run("status", "--json").json["daemon_running"] is False


def test_it_starts_and_ends_as_python_main_py(here: Installation, tmp_path: Path) -> None:
    """The one test with an interpreter of its own; the others fork one that has its imports done."""
    threads = []
    thread = threading.Thread(target=lambda: threads.append(here.world.run_cold()))
    thread.start()
    await_that(here.all_delivered(5))
    [worker] = (here.world.data_dir / "state" / "workers").glob("*.lock")
    process = psutil.Process(int(worker.stem.split("-")[-2]))
    assert not [mapped.path for mapped in process.memory_maps() if "arrow" in mapped.path], "35 MB, for the dashboard"
    Running.interrupt(process.pid)
    thread.join(SOON)
    assert [ended.code for ended in threads] == [0]
    assert "收到停止信号" in threads[0].err


def test_a_second_daemon_on_the_folder_is_refused_and_harms_nothing(here: Installation) -> None:
    first = here.start()
    await_that(here.all_delivered(5))
    second = here.start().ended()
    assert second.code == 1
    assert second.err.splitlines()[-1].startswith("已有一个调度程序在使用数据文件夹")
    assert "DATA_DIR" in second.err
    assert "Traceback" not in second.err
    assert not first.has_ended()
    other = here.start(DATA_DIR=str(here.world.folder / "other"))
    await_that(lambda: len(here.robot.messages) == 10)
    stop(other)
    stop(first)
    third = here.start()
    await_that(lambda: here.world.log().count("后台程序已启动") == 2)
    stop(third)
    assert len(here.robot.messages) == 10


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
class TestItEndsWithinSeconds:
    def test_while_it_is_idle(self, here: Installation, how: signal.Signals) -> None:
        daemon = here.start(RUN_JOBS_SERIALLY_SCHEDULE="60", TASK_CHECK_INTERVAL="3600")
        await_that(lambda: f"{here.shanghai}：" in here.world.log())
        stop(daemon, how)

    def test_while_metabase_does_not_answer(self, here: Installation, how: signal.Signals) -> None:
        here.world.metabase.inject(Fault.SLOW, seconds=None, card=SHANGHAI_CARD)
        daemon = here.start()
        await_that(lambda: f"POST /api/card/{SHANGHAI_CARD}/query" in here.world.metabase.calls)
        stop(daemon, how)
        assert (here.world.numbers(here.beijing), here.world.numbers(here.shanghai)) == ([1, 2, 3], [])
        [last] = here.world.query("SELECT job, outcome, error FROM job_runs ORDER BY id DESC LIMIT 1")
        assert last == {"job": here.shanghai, "outcome": "interrupted", "error": "程序被关闭，运行中断"}

    def test_while_the_robot_is_slow_with_the_message_in_hand_finished(
        self, here: Installation, how: signal.Signals
    ) -> None:
        here.robot.gate.clear()
        daemon = here.start()
        await_that(here.robot.holds.is_set)
        await_that(lambda: f"{here.shanghai}：" in here.world.log())
        daemon.send(how)
        await_that(lambda: "收到停止信号，正在收尾" in here.world.log())
        assert not daemon.has_ended()
        daemon.send(how)  # impatience changes nothing
        assert not daemon.has_ended(within=0.3)
        here.robot.gate.set()
        ended = daemon.ended(within=SOON)
        assert ended.code == 0
        assert "Traceback" not in ended.err
        assert [task["status"] for task in here.world.tasks()] == ["completed"] + ["pending"] * 4
        assert [message.content for message in here.robot.messages] == [here.world.tasks()[0]["message"]]


# -- times of day ----------------------------------------------------------------------------------------------------


def minutes_ago(minutes: int) -> str:
    """A time of day in Shanghai, as the settings take it."""
    return f"{datetime.now(SHANGHAI) - timedelta(minutes=minutes):%H:%M}"


def test_started_a_little_late_it_catches_up_on_a_daily_job_once(here: Installation) -> None:
    here.world.settings(
        jobs={
            "housekeeping": {"at": minutes_ago(3), "grace_minutes": 60},
            "settle_report": {"at": minutes_ago(120), "grace_minutes": 60},
        }
    )

    def runs() -> list[dict[str, object]]:
        jobs = "('housekeeping', 'settle_report')"
        return here.world.query(f"SELECT job, outcome, scheduled FROM job_runs WHERE job IN {jobs}")  # noqa: S608

    expected = {"job": "housekeeping", "outcome": "ok", "scheduled": 1}
    for start in (1, 2):
        daemon = here.start()
        await_that(lambda start=start: here.world.log().count("后台程序已启动") == start and here.all_delivered(5)())
        await_that(lambda: runs() == [expected])
        stop(daemon)
    backups = here.world.data_dir / "backups"
    assert len(list(backups.iterdir())) == 1
    by_hand = here.world.run("run", "housekeeping")
    assert (by_hand.code, by_hand.json["backups"]) == (0, len(list(backups.iterdir()))), "after midnight one more"
    assert runs() == [expected, expected | {"scheduled": 0}]
    refused = here.world.run("run", "housekeeping", "--silent")
    assert (refused.code, "housekeeping 不是活动" in refused.json["error"]) == (2, True)


def test_a_killed_daemon_has_its_slot_run_by_the_next_at_once(here: Installation) -> None:
    here.world.metabase.inject(Fault.SLOW, seconds=None, card=BEIJING)
    long_interval = {"RUN_JOBS_SERIALLY_SCHEDULE": "1440"}
    daemon = here.start(**long_interval)
    await_that(lambda: f"POST /api/card/{BEIJING}/query" in here.world.metabase.calls)
    daemon.send(signal.SIGKILL)
    daemon.ended()
    here.world.metabase.clear_faults()
    daemon = here.start(**long_interval)
    await_that(here.all_delivered(5), patience=30)
    stop(daemon)
    rows = here.world.query("SELECT job, outcome, failures FROM job_runs ORDER BY job")
    assert rows == [{"job": key, "outcome": "ok", "failures": 0} for key in (here.beijing, here.shanghai)]


def test_a_slow_metabase_holds_up_neither_the_queue_nor_the_fixed_jobs(here: Installation) -> None:
    here.world.metabase.inject(Fault.SLOW, seconds=None, card=SHANGHAI_CARD)
    here.world.settings(jobs={"housekeeping": {"at": minutes_ago(1), "grace_minutes": 60}})
    daemon = here.start()
    await_that(here.all_delivered(3))
    await_that(lambda: list((here.world.data_dir / "backups").glob("*.db")))
    await_that(lambda: f"POST /api/card/{SHANGHAI_CARD}/query" in here.world.metabase.calls)
    stop(daemon)


# -- what is down comes back -----------------------------------------------------------------------------------------


def test_metabase_goes_down_and_comes_back(here: Installation) -> None:
    here.world.settings(time_budget=0.3)
    daemon = here.start()
    await_that(here.all_delivered(5))
    here.world.metabase.stop()
    here.show(BEIJING, 5)

    def failures() -> int:
        return len(here.world.query("SELECT id FROM job_runs WHERE outcome = 'failed'"))

    await_that(lambda: failures() >= 2)
    assert not daemon.has_ended()
    here.world.metabase.start()
    await_that(here.all_delivered(7))
    stop(daemon)
    assert here.world.numbers(here.beijing) == [1, 2, 3, 4, 5]


def test_the_robot_goes_down_and_comes_back(here: Installation) -> None:
    here.robot.stop()
    daemon = here.start()
    await_that(lambda: [task["attempts"] for task in here.world.tasks("pending")][:1] == [1])
    assert "消息没有发出" in here.world.tasks()[0]["last_error"]
    here.robot.start()
    await_that(lambda: len(here.world.tasks()) == 5)
    here.world.let_back_off_pass()
    await_that(here.all_delivered(5))
    stop(daemon)


@pytest.mark.parametrize("fault", ["its card is not there", "its entry is wrong", "its column is missing"])
def test_a_campaign_with_a_fault_does_not_stop_the_others(here: Installation, fault: str) -> None:
    match fault:
        case "its card is not there":
            here.world.metabase.inject(Fault.NOT_FOUND, times=None, card=BEIJING)
        case "its entry is wrong":
            source = (here.world.folder / "campaigns.py").read_text(encoding="utf-8")
            here.world.write("campaigns.py", source.replace(f'"card_id": {BEIJING}', '"card_id": "eleven"'))
        case "its column is missing":
            names = [*COLUMNS]
            names[names.index("signedDate")] = "signed"
            here.world.show(here.rows(3), card=BEIJING, columns=names)
    daemon = here.start()
    await_that(here.all_delivered(2))
    here.show(SHANGHAI_CARD, 4)
    await_that(here.all_delivered(4))
    stop(daemon)
    assert here.world.numbers(here.shanghai) == [1, 2, 3, 4]
    assert here.world.numbers(here.beijing) == []
    assert here.beijing in here.world.log()
    word = {"its card is not there": "404", "its entry is wrong": "card_id", "its column is missing": "signedDate"}
    assert word[fault] in here.world.log()


# -- killed ----------------------------------------------------------------------------------------------------------


def test_killed_and_started_again_it_loses_nothing(here: Installation) -> None:
    here.show(BEIJING, 30)
    daemon = here.start()
    await_that(lambda: len(here.robot.messages) >= 3)
    here.robot.gate.clear()
    await_that(here.robot.holds.is_set)
    daemon.send(signal.SIGKILL)
    assert daemon.ended().code == -signal.SIGKILL
    [hit] = here.world.query("SELECT * FROM tasks WHERE status = 'running' AND sending_at IS NOT NULL")
    here.robot.gate.set()

    daemon = here.start()
    await_that(lambda: "的发送进程已失联" in here.world.log() or not here.world.tasks("running"))
    [told] = here.world.query("SELECT * FROM tasks WHERE id = ?", hit["id"])
    assert told["status"] == ("pending" if hit["on_uncertain"] == "retry" else "uncertain")
    assert "不知是否已送达" in told["last_error"]
    await_that(lambda: len(here.world.numbers(here.beijing)) == 30 and len(here.world.numbers(here.shanghai)) == 2)
    here.world.let_back_off_pass()
    await_that(lambda: not here.world.tasks("pending", "running"))
    stop(daemon)
    left = {task["id"] for task in here.world.tasks() if task["status"] != "completed"}
    assert left == (set() if hit["on_uncertain"] == "retry" else {hit["id"]}), "a notice waits for a person"
    assert here.world.numbers(here.beijing) == list(range(1, 31))
    sent = Counter(message.content for message in here.robot.messages)
    assert set(sent) == {task["message"] for task in here.world.tasks()}
    assert sent.total() - len(sent) <= 1  # the one that was on its way
    assert {message.key for message in here.robot.messages} >= {robot_key("bj_group"), robot_key("sh_group")}
