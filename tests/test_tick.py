"""The tick: the daemon looks what is due every few seconds, whatever becomes of the machine's clock and zone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import schedule

import main
from tests.conftest import wait_until

SHANGHAI_TIME, AN_HOUR_EARLIER, AN_HOUR_LATER = "CST-8", "CST-7", "CST-9"
"""Zones as the C library knows them: their hour is what the machine's local time jumps by."""


@pytest.mark.parametrize("zone", [AN_HOUR_EARLIER, AN_HOUR_LATER])
def test_when_local_time_jumps_the_daemon_goes_on_looking(set_zone: Callable[[str], None], zone: str) -> None:
    set_zone(SHANGHAI_TIME)
    looks: list[float] = []
    scheduler = schedule.Scheduler()
    scheduler.every(main.LOOK_SECONDS).seconds.do(lambda: looks.append(time.monotonic()))
    scheduler.run_all()
    set_zone(zone)

    def has_looked_twice() -> bool:
        main.look(scheduler)
        return len(looks) >= 3

    wait_until(has_looked_twice, seconds=3 * main.LOOK_SECONDS)
    assert looks[-1] - looks[0] >= main.LOOK_SECONDS / 2, "once, and then at its pace"
