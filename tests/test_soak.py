"""What the soak calls growth, and what it lets pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.soak import Figures, verdict

LEVEL = Figures(seconds=0, cycles=0, private_mb=150.0, resident_mb=185.0, threads=13, handles=20)
STEADY = [replace(LEVEL, cycles=number, private_mb=150.0 + number % 3) for number in range(60)]


def fails(figures: list[Figures], idle_per_cent: float = 0.5, at_rest: Figures = LEVEL) -> list[object]:
    return [row["what"] for row in verdict(figures, idle_per_cent, at_rest) if row["holds"] == "NO"]


def test_figures_that_go_up_and_down_are_no_growth() -> None:
    assert fails(STEADY) == []


def test_what_is_taken_while_it_warms_up_is_no_growth() -> None:
    cold = [replace(LEVEL, private_mb=100.0, threads=5, handles=8)] * 10
    assert fails([*cold, *STEADY]) == []


@pytest.mark.parametrize(
    ("name", "per_look"), [("private_mb", 0.2), ("threads", 0.1), ("handles", 0.1)], ids=lambda value: str(value)
)
def test_what_rises_all_the_time_is_growth(name: str, per_look: float) -> None:
    rising = [replace(one, **{name: getattr(one, name) + per_look * number}) for number, one in enumerate(STEADY)]
    assert fails(rising) == [f"growth of {name}"]


def test_an_idle_daemon_has_its_limits() -> None:
    assert fails(STEADY, idle_per_cent=1.0) == ["per cent of a core while idle"]
    assert fails(STEADY, at_rest=replace(LEVEL, resident_mb=200.0)) == ["resident_mb while idle"]
