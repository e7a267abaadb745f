"""The program is killed, at random moments and between any two steps, and started again: nothing is lost or doubled.

What holds after any crash: ledger, CSV (but for 登记时间 and 是否发送通知) and the set of tasks are those of an
undisturbed run, and every message is delivered or visibly uncertain.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from modules.sandbox.http_stand_in import Answer, Request
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_contracts import SHANGHAI, SampleMonth
from tests.program import MAY_20, World, contracts, open_world, unlimited_robot

pytestmark = pytest.mark.slow

RUN = ("run", "BJ-2025-05")
DRAIN = ("drain", "--json")


def remains(world: World) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, str]]]:
    """What must be as after an undisturbed run: the ledger, the tasks, and the performance file's lasting columns."""
    passing = ("登记时间", "是否发送通知")
    rows = [{name: cell for name, cell in row.items() if name not in passing} for row in world.performance()]
    return world.ledger(), rows


def check_messages(world: World, kills: int) -> None:
    """Every message is delivered or visibly uncertain, none without need twice, and the files say so."""
    sent = Counter(message.content for message in world.robot.messages)
    tasks = world.tasks()
    assert {task["status"] for task in tasks} <= {"completed", "uncertain"}
    for task in tasks:
        if task["status"] == "completed":
            assert sent[task["message"]] >= 1
        else:
            assert "请人工核实" in task["last_error"]
        if task["on_uncertain"] == "hold":
            assert sent[task["message"]] <= 1
        assert sent[task["message"]] <= task["attempts"]
    assert set(sent) <= {task["message"] for task in tasks}
    assert sent.total() - len(sent) <= kills
    done = {task["dedup_key"] for task in tasks if task["status"] == "completed"}
    for row in world.performance():
        told = f"broadcast:BJ-2025-05:{row['合同ID(_id)']}" in done
        assert row["是否发送通知"] == ("Y" if told else "N")


# -- at random moments -----------------------------------------------------------------------------------------------

MONTH = SampleMonth("BJ", 2025, 5, seed=99, contracts=70, faulty=True)
PULLS = [datetime(2025, 5, day, 23, 59, tzinfo=SHANGHAI) for day in (5, 11, 17, 23, 31)]
KILLS_PER_PULL = 5  # of run, and as many of drain: fifty in all


class DistantRobot(RobotStandIn):
    """Messages and answers are 15 ms on their way, so that many a kill finds one there."""

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__(list(keys), rate_limit=False)

    def answer(self, request: Request) -> Answer | None:
        self.hold(0.015)
        answer = super().answer(request)
        self.hold(0.015)
        return answer


def pull(world: World, moment: datetime) -> tuple[str, ...]:
    """Let the card show a moment; return the command that pulls it."""
    world.show(MONTH.pull(moment))
    return (*RUN, "--at", moment.isoformat())


def timed(world: World, *command: str) -> float:
    """Run a command undisturbed; return the seconds it took."""
    started = time.monotonic()
    ended = world.run(*command)
    assert ended.code == 0, ended
    return time.monotonic() - started


def kill_at_random(world: World, rng: random.Random, kills: int, window: tuple[float, float], *command: str) -> None:
    """Start `command` until it has been killed `kills` times, each at a random moment of `window`, in seconds.

    Where it has ended before that, the machine is quicker now than it was measured: the window shrinks.
    """
    earliest, latest = window
    killed = 0
    while killed < kills:
        world.let_back_off_pass()
        running = world.start(*command)
        if not running.has_ended(within=rng.uniform(earliest, latest)):
            running.send(signal.SIGKILL)
        ended = running.ended()
        assert ended.code in (0, -signal.SIGKILL), ended
        killed += ended.code == -signal.SIGKILL
        latest *= 0.9 if ended.code == 0 else 1
        earliest = min(earliest, latest / 2)


def test_killed_fifty_times_at_random_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    rng = random.Random(20250520)
    with open_world(tmp_path / "twin", DistantRobot) as twin:
        twin.run("status")
        idle = timed(twin, *DRAIN)
        took = [(timed(twin, *pull(twin, moment)), timed(twin, *DRAIN)) for moment in PULLS]
        expected = remains(twin)
        check_messages(twin, kills=0)
        assert {task["status"] for task in twin.tasks()} == {"completed"}
    assert len(expected[1]) > 60

    with open_world(tmp_path / "killed", DistantRobot) as world:
        world.run("status")  # there is a database
        for moment, (run_seconds, drain_seconds) in zip(PULLS, took, strict=True):
            command = pull(world, moment)
            kill_at_random(world, rng, KILLS_PER_PULL, (idle / 2, run_seconds), *command)
            timed(world, *command)
            # not so late that the first kills find all messages sent
            latest = idle + (drain_seconds - idle) * 2 / KILLS_PER_PULL
            kill_at_random(world, rng, KILLS_PER_PULL, (idle / 2, latest), *DRAIN)
        timed(world, *DRAIN)
        while world.tasks("pending", "running"):
            world.let_back_off_pass()
            timed(world, *DRAIN)
        assert remains(world) == expected
        check_messages(world, kills=KILLS_PER_PULL * len(PULLS))
        assert world.numbers() == list(range(1, len(expected[1]) + 1))


# -- between any two steps -------------------------------------------------------------------------------------------

PRELUDE = """
import importlib, os, signal

owner = importlib.import_module({module!r})
*parents, name = {path!r}.split(".")
for parent in parents:
    owner = getattr(owner, parent)
step, calls = getattr(owner, name), 0

def dying(*args, **kwargs):
    global calls
    calls += 1
    if calls == {call} and {when!r} == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = step(*args, **kwargs)
    if calls == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, dying)
"""


def killed_at(world: World, command: Sequence[str], step: str, when: str, call: int = 1) -> None:
    """Run a command that dies `before` or `after` its `call`-th pass through `step` ("module:name")."""
    module, _, path = step.partition(":")
    ended = world.run(*command, prelude=PRELUDE.format(module=module, path=path, when=when, call=call))
    assert ended.code == -signal.SIGKILL, f"{step} was not passed {call} times: {ended}"


def first_pull(world: World) -> tuple[str, ...]:
    """Four contracts, registered, all messages sent."""
    world.show(contracts(1, 4))
    for command in ((*RUN, *MAY_20), DRAIN):
        assert world.run(*command).code == 0
    return (*RUN, *MAY_20)


def second_pull(world: World) -> tuple[str, ...]:
    """Eight of them shown: four more to register, the sixth of which is lucky."""
    command = first_pull(world)
    world.show(contracts(1, 8))
    return command


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    with open_world(tmp_path_factory.mktemp("twin"), unlimited_robot) as twin:
        assert twin.run(*second_pull(twin)).code == 0
        assert twin.run(*DRAIN).code == 0
        check_messages(twin, kills=0)
        assert len(twin.tasks("completed")) == 9
        return remains(twin)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


FILES_WRITTEN = 6  # the last pull, the performance and the send states, each with its mark in views.json
RUN_STEPS = [
    ("modules.application:_settle_dead_workers", "before", 1, 4),
    ("modules.application:_settle_dead_workers", "after", 1, 4),
    ("modules.noted_run:_start", "after", 1, 4),
    ("modules.ledger:read", "after", 1, 4),
    ("modules.request_module:MetabaseClient.fetch_card", "before", 1, 4),
    ("modules.request_module:MetabaseClient.fetch_card", "after", 1, 4),
    ("modules.ledger:commit", "before", 1, 4),
    ("modules.ledger:commit", "after", 1, 4),  # in the transaction that is not committed yet
    ("modules.campaign_run:enqueue", "before", 1, 4),
    ("modules.campaign_run:enqueue", "after", 1, 4),
    ("modules.views:Views.store_pull", "before", 1, 8),
    ("modules.views:copy_to_archive", "before", 1, 8),
    ("modules.views:copy_to_archive", "after", 1, 8),
    ("modules.views:Views.store_pull", "after", 1, 8),
    *[("os:fsync", "after", number, 8) for number in range(1, FILES_WRITTEN + 1)],  # written, not in its place
    ("modules.views:Views.refresh", "before", 1, 8),
    ("modules.views:Views.refresh", "after", 1, 8),
    ("modules.noted_run:_end", "before", 1, 8),
    ("modules.noted_run:_end", "after", 1, 8),
]


@pytest.mark.parametrize(("step", "when", "call", "registered"), RUN_STEPS)
def test_a_run_killed_between_two_steps_has_written_all_or_nothing(
    world: World, undisturbed: object, step: str, when: str, call: int, registered: int
) -> None:
    command = second_pull(world)
    killed_at(world, command, step, when, call)
    assert world.numbers() == list(range(1, registered + 1))
    assert len(world.tasks()) == (4 if registered == 4 else 9)

    again = world.run(*command)
    assert (again.code, again.json["registered"]) == (0, 8 - registered)
    assert world.run(*DRAIN).json["completed"] == 5
    assert remains(world) == undisturbed
    check_messages(world, kills=0)
    assert len(world.files()["ContractData-BJ-2025-05.csv"].splitlines()) == 9


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_signs_in_it_signs_in_again(world: World, when: str, call: int) -> None:
    world.show(contracts(1, 4))
    killed_at(world, (*RUN, *MAY_20), "modules.metabase_session:_save", when, call)
    assert world.run(*RUN, *MAY_20).json["registered"] == 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_the_tables_are_made_it_makes_them_anew(world: World, when: str) -> None:
    world.show(contracts(1, 4))
    killed_at(world, (*RUN, *MAY_20), "alembic.command:upgrade", when)
    assert world.run(*RUN, *MAY_20).json["registered"] == 4


QUEUE = "modules.task_queue:TaskQueue"
DRAIN_STEPS = [
    # step, when, how often a broadcast reaches its group, how often a notice its contact, and how the notice ends
    (f"{QUEUE}.claim", "before", 1, 1, "completed"),
    (f"{QUEUE}.claim", "after", 1, 1, "completed"),
    (f"{QUEUE}._mark", "before", 1, 1, "completed"),
    (f"{QUEUE}._mark", "after", 1, 1, "completed"),  # in the transaction that is not committed yet
    ("modules.message_sender:MessageSender.send", "before", 1, 0, "uncertain"),
    ("modules.message_sender:MessageSender.send", "after", 2, 1, "uncertain"),
    (f"{QUEUE}._finish", "before", 2, 1, "uncertain"),
    (f"{QUEUE}._finish", "after", 2, 1, "uncertain"),  # nor is this
]


@pytest.mark.parametrize("which", ["broadcast", "notice"])
@pytest.mark.parametrize(("step", "when", "broadcasts", "notices", "notice_ends"), DRAIN_STEPS)
def test_a_drain_killed_between_two_steps_knows_what_it_does_not_know(
    world: World,
    undisturbed: object,
    step: str,
    when: str,
    broadcasts: int,
    notices: int,
    notice_ends: str,
    which: str,
) -> None:
    assert world.run(*second_pull(world)).code == 0
    waiting = world.tasks("pending")
    places = {"broadcast": 0, "notice": next(n for n, task in enumerate(waiting) if task["recipient"] == "bj_contact")}
    hit = waiting[places[which]]
    killed_at(world, DRAIN, step, when, 1 if step.endswith(".claim") else places[which] + 1)  # all are claimed at once

    world.run("status")  # whoever comes next settles what the dead one held
    [left] = world.query("SELECT * FROM tasks WHERE id = ?", hit["id"])
    assert left["status"] != "running"
    world.let_back_off_pass()
    assert world.run(*DRAIN).code == 0
    [ended] = world.query("SELECT * FROM tasks WHERE id = ?", hit["id"])
    sent = Counter(message.content for message in world.robot.messages)
    assert sent[hit["message"]] == (broadcasts if which == "broadcast" else notices)
    assert ended["status"] == ("completed" if which == "broadcast" else notice_ends)
    assert {task["status"] for task in world.tasks() if task["id"] != hit["id"]} == {"completed"}
    assert remains(world) == undisturbed
    check_messages(world, kills=1)


@pytest.mark.parametrize("next_command", [(*RUN, *MAY_20), DRAIN], ids=["run", "drain"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_drain_killed_over_its_files_leaves_them_to_the_next_command(
    world: World, undisturbed: object, when: str, next_command: tuple[str, ...]
) -> None:
    assert world.run(*second_pull(world)).code == 0
    killed_at(world, DRAIN, "modules.views:Views.refresh", when)
    assert {row["是否发送通知"] for row in world.performance()[4:]} == {"N" if when == "before" else "Y"}
    assert world.run(*next_command).code == 0
    assert remains(world) == undisturbed
    check_messages(world, kills=0)
