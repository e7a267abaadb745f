"""Running, silent or dead: what the lock and the heartbeat say together."""

from __future__ import annotations

from datetime import timedelta

import pytest

from modules.heartbeat import Heartbeat, Pulse, daemon_state, is_missed, judge, read_heartbeat
from modules.pace import Pace
from modules.process_lock import daemon_lock
from modules.settings import Settings
from modules.stopping import StopRequestedError
from modules.version import version
from modules.vitals import living
from tests.desk import NOON, SetClock, Surroundings


def beat(ago: float, *, stopped: bool = False, worker_alive: bool | None = True) -> Heartbeat:
    at = NOON - timedelta(seconds=ago)
    return Heartbeat(at=at, started_at=at, pid=1, version="1", worker_alive=worker_alive, stopped=stopped)


@pytest.mark.parametrize(
    ("heartbeat", "is_alive", "state", "code", "words"),
    [
        (None, False, "dead", 3, "没有在运行"),
        (beat(5), False, "dead", 3, "异常中断"),
        (beat(5, stopped=True), False, "dead", 3, "被正常停止"),
        (None, True, "silent", 4, "没有心跳"),
        (beat(90), True, "running", 0, "正在运行"),
        (beat(91), True, "silent", 4, "没有反应"),
        (beat(-91), True, "silent", 4, "没有反应"),
        (beat(5, worker_alive=None), True, "running", 0, "正在运行"),
        (beat(5, worker_alive=False), True, "silent", 4, "发送线程已停"),
    ],
)
def test_the_lock_tells_of_the_process_and_the_heartbeat_of_what_it_does(
    heartbeat: Heartbeat | None, is_alive: bool, state: str, code: int, words: str
) -> None:
    found = judge(heartbeat, NOON, is_alive=is_alive)
    assert (found.state, found.exit_code) == (state, code)
    assert words in found.words
    assert found.was_asked_to_end == ("正常" in words)


STOPPED, CRASHED = beat(5, stopped=True), beat(5)


@pytest.mark.parametrize(
    ("heartbeat", "is_alive", "is_shared", "is_needed", "missed"),
    [
        (CRASHED, False, True, False, True),
        (STOPPED, False, False, True, True),
        (STOPPED, False, False, False, False),  # nothing to do for it
        (STOPPED, False, True, True, False),  # another machine may do it
        (None, False, False, True, False),  # none has ever run here
        (None, True, False, False, True),
        (CRASHED, True, False, False, False),  # it runs
    ],
)
def test_whether_it_is_missed(
    heartbeat: Heartbeat | None, is_alive: bool, is_shared: bool, is_needed: bool, missed: bool
) -> None:
    found = judge(heartbeat, NOON, is_alive=is_alive)
    assert is_missed(found, is_shared=is_shared, is_needed=is_needed) == missed


@pytest.fixture
def conf(surroundings: Surroundings) -> Settings:
    return surroundings.settings()


def test_a_daemon_from_its_first_beat_to_its_note(conf: Settings, clock: SetClock) -> None:
    pulse = Pulse(conf)
    assert daemon_state(conf, clock()).state == "dead"
    with living(conf, pulse, clock):
        assert daemon_state(conf, clock()).state == "running"
        assert daemon_state(conf, clock.advance(seconds=91)).state == "silent"
        pulse.beat(clock(), "abc", worker_alive=True, health_fault="端口")
        assert daemon_state(conf, clock()).state == "running"
        last = read_heartbeat(conf.state_dir)
        assert last is not None
        assert (last.at, last.started_at) == (NOON + timedelta(seconds=91), NOON)
        assert (last.config_hash, last.health_fault) == ("abc", "端口")
    assert daemon_state(conf, clock()).was_asked_to_end


@pytest.mark.parametrize(("error", "is_noted"), [(StopRequestedError, True), (OSError, False), (KeyError, False)])
def test_only_an_end_that_was_asked_for_leaves_a_note(
    conf: Settings, clock: SetClock, error: type[BaseException], is_noted: bool
) -> None:
    with pytest.raises(error), living(conf, Pulse(conf), clock):
        raise error
    assert daemon_state(conf, clock()).was_asked_to_end == is_noted


def test_a_second_daemon_leaves_the_heartbeat_of_the_first_alone(conf: Settings, clock: SetClock) -> None:
    with living(conf, Pulse(conf), clock):
        before = read_heartbeat(conf.state_dir)
        clock.advance(seconds=30)
        with pytest.raises(Exception, match="已有一个调度程序"), living(conf, Pulse(conf), clock):
            pass
        assert read_heartbeat(conf.state_dir) == before


def test_a_heartbeat_that_can_not_be_written_or_read_ends_nothing(conf: Settings, clock: SetClock) -> None:
    file = conf.state_dir / "heartbeat.json"
    pulse = Pulse(conf)
    file.mkdir(parents=True)
    pulse.start(clock())
    pulse.beat(clock(), "abc", worker_alive=True)
    assert read_heartbeat(conf.state_dir) is None
    file.rmdir()
    pulse.beat(clock(), "abc", worker_alive=True)
    assert read_heartbeat(conf.state_dir) is not None
    file.write_text("{half", encoding="utf-8")
    with daemon_lock(conf.state_dir):
        assert daemon_state(conf, clock()).state == "silent"


@pytest.mark.parametrize("steps", [[0, 9, 10, 19, 20], [0, 5, -3600, -3595, -3590]])
def test_the_pace_holds_also_where_the_clock_is_set_back(steps: list[int]) -> None:
    pace = Pace(timedelta(seconds=10))
    due = [pace.is_due(NOON + timedelta(seconds=step)) for step in steps]
    assert due == [True, False, True, False, True]


def test_the_program_has_a_version() -> None:
    assert version().count(".") == 2
