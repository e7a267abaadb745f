"""run --silent: contracts are registered and awards granted as ever, and nobody hears of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.announcer import award_key, broadcast_key
from modules.clock import shanghai_now
from modules.file_utils import read_csv_rows
from modules.notification_module import notify_awards_apr_beijing
from modules.tables import awards, performance, tasks
from tests.desk import BEIJING, FIRST_ID, Desk, contracts
from tests.program import MAY_20, World, open_world, unlimited_robot
from tests.program import contracts as program_contracts

NOTIFIED = "是否发送通知"


def contract_id(number: int) -> str:
    return str(FIRST_ID + number)


def shown(desk: Desk) -> list[str]:
    """是否发送通知 of each row of the file."""
    return [row[NOTIFIED] for row in read_csv_rows(performance_csv(desk))]


def performance_csv(desk: Desk) -> Path:
    return desk.data_dir / f"PerformanceData-{BEIJING}.csv"


def statuses(desk: Desk) -> dict[str, str]:
    return dict(json.loads((desk.data_dir / f"send_status_{BEIJING}.json").read_text(encoding="utf-8")))


def test_it_registers_and_awards_what_a_loud_run_would(desk: Desk) -> None:
    desk.show(contracts(*range(1, 8), amount=20_000))
    rehearsal = desk.run(dry_run=True)
    report = desk.run(silent=True)
    assert (report.registered, report.awards, report.tasks) == (rehearsal.registered, rehearsal.awards, 0) == (7, 3, 0)
    assert [(row["sequence"], row["count"], row["total"]) for row in desk.table(performance)] == [
        (number, number, number * 2_000_000) for number in range(1, 8)
    ]
    assert [row["name"] for row in desk.table(awards)] == ["接好运万元以上", "优秀奖", "达标奖"]


def test_nothing_is_enqueued_or_sent(desk: Desk) -> None:
    desk.show(contracts(*range(1, 8), amount=20_000))
    desk.run(silent=True)
    assert desk.table(tasks) == []
    assert {(row["broadcast_key"], row["notified_at"]) for row in desk.table(performance)} == {(None, None)}
    assert desk.drain().completed == 0
    assert desk.robot.messages == []


def test_the_files_show_n_and_no_send_status(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run(silent=True)
    assert shown(desk) == ["N", "N"]
    assert statuses(desk) == {}


def test_the_next_loud_run_announces_only_what_is_newer(desk: Desk) -> None:
    desk.show(contracts(1, 2, 3, 4, 5, 6, amount=20_000))
    desk.run(silent=True)
    assert (desk.run().tasks, desk.table(tasks)) == (0, [])
    desk.show(contracts(*range(1, 8), amount=20_000))
    assert desk.run().tasks == 1
    assert [row["dedup_key"] for row in desk.table(tasks)] == [broadcast_key(BEIJING, contract_id(7))]
    desk.drain()
    assert shown(desk) == [*"NNNNNN", "Y"]
    assert statuses(desk) == {contract_id(7): "发送成功"}
    assert len(desk.robot.messages) == 1


def test_tiers_and_numbers_of_a_silent_run_are_not_given_again(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000))
    desk.run(silent=True)
    granted = desk.table(awards)
    desk.show(contracts(*range(1, 8), amount=1))
    desk.run()
    assert desk.table(awards) == granted
    assert [row["sequence"] for row in desk.table(performance)] == list(range(1, 8))


def test_a_silent_run_may_follow_a_loud_one(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    desk.show(contracts(1, 2, 3))
    desk.run(silent=True)
    desk.show(contracts(1, 2, 3, 4))
    desk.run()
    desk.drain()
    assert shown(desk) == ["Y", "Y", "N", "Y"]
    assert len(desk.robot.messages) == 3


def test_a_silent_dry_run_announces_nothing_and_writes_nothing(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    report = desk.run(silent=True, dry_run=True)
    assert (report.outcome, report.registered, report.tasks) == ("dry-run", 2, 0)
    assert desk.table(performance) == []


def test_a_person_who_calls_notify_announces_them_all_the_same(doors: Desk) -> None:
    """The file says N, and the door does what it is told: once, and under the keys of a run.

    The row stays N, as the ledger doesn't count it among those to be announced; the status file and the queue know.
    """
    doors.show(contracts(*range(1, 7), amount=20_000))
    doors.run(silent=True)
    status = str(doors.data_dir / "status.json")
    assert notify_awards_apr_beijing(str(performance_csv(doors)), status) == 7
    expected = {broadcast_key(BEIJING, contract_id(number)) for number in range(1, 7)}
    assert {row["dedup_key"] for row in doors.table(tasks)} == {*expected, award_key(BEIJING, contract_id(6))}
    doors.clock.now = shanghai_now()
    assert doors.drain().completed == 7
    assert notify_awards_apr_beijing(str(performance_csv(doors)), status) == 0
    doors.run(force=True)
    assert len(doors.table(tasks)) == 7
    assert shown(doors) == [*"NNNNNN"]
    assert statuses(doors) == {}
    assert set(json.loads(Path(status).read_text(encoding="utf-8"))) == {contract_id(number) for number in range(1, 7)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


def test_the_command(world: World) -> None:
    world.show(program_contracts(1, 6))
    silent = world.run("run", BEIJING, *MAY_20, "--silent", "--json")
    assert (silent.code, silent.json["registered"], silent.json["awards"], silent.json["tasks"]) == (0, 6, 1, 0)
    assert world.tasks() == []
    assert [row[NOTIFIED] for row in world.performance()] == ["N"] * 6
    world.show(program_contracts(1, 7))
    loud = world.run("run", BEIJING, *MAY_20, "--json")
    assert (loud.json["registered"], loud.json["tasks"]) == (1, 1)
