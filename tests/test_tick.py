"""The tick: the daemon looks what is due every few seconds, whatever becomes of the machine's clock and zone, and hears
signals at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import schedule

import main
from modules.stopping import StopSwitch
from tests.tools import wait_until

SHANGHAI_TIME, AN_HOUR_EARLIER, AN_HOUR_LATER = "CST-8", "CST-7", "CST-9"
"""Zones as the C library knows them: their hour is what the machine's local time jumps by."""


@pytest.mark.parametrize("zone", [AN_HOUR_EARLIER, AN_HOUR_LATER])
def test_when_local_time_jumps_the_daemon_goes_on_looking(set_zone: Callable[[str], None], zone: str) -> None:
    set_zone(SHANGHAI_TIME)
    looks: list[float] = []
    scheduler = schedule.Scheduler()
    scheduler.every().second.do(lambda: looks.append(time.monotonic()))
    scheduler.run_all()
    set_zone(zone)

    def has_looked_twice() -> bool:
        main.look(scheduler)
        return len(looks) >= 3

    wait_until(has_looked_twice, seconds=5)
    assert looks[-1] - looks[0] >= 0.5, "once, and then at its pace"


@pytest.fixture
def switch() -> Iterator[StopSwitch]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = StopSwitch()
    made.listen()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_sleep_at_once(switch: StopSwitch, number: signal.Signals) -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
    started = time.monotonic()
    switch.sleep(60)
    assert switch.is_thrown
    assert time.monotonic() - started < 20


def test_without_a_signal_it_sleeps_as_long_as_it_was_told(switch: StopSwitch) -> None:
    started = time.monotonic()
    switch.sleep(0.2)
    assert not switch.is_thrown
    assert time.monotonic() - started >= 0.2


def test_after_a_signal_it_sleeps_no_more(switch: StopSwitch) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    started = time.monotonic()
    switch.sleep(60)
    assert time.monotonic() - started < 20
