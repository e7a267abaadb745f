"""close: a campaign is locked once ledger and source agree; from then on nothing is registered or granted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from modules import closing, corrections, health, ledger
from modules.clock import SHANGHAI
from modules.closing import Closing
from modules.errors import PullShrankError
from modules.tables import audit_log, campaigns, performance, tasks
from tests import program
from tests.desk import BEIJING, NOON, SHANGHAI_MAY, Desk, Row, contract, contracts
from tests.program import World, open_world, unlimited_robot

SETTLED = datetime(2025, 6, 4, 9, 0, tzinfo=SHANGHAI)
"""The first moment after the settle days of BJ-2025-05."""


def close(desk: Desk, *, dry_run: bool = False, force: bool = False) -> Closing:
    """`main.py close BJ-2025-05`, by 王."""
    campaign = desk.app.campaigns.valid[BEIJING]
    return closing.close(desk.app, campaign, desk.clock(), "王", dry_run=dry_run, force=force)


def closed_by(desk: Desk) -> list[tuple[datetime | None, str | None]]:
    return [(row["closed_at"], row["closed_by"]) for row in desk.table(campaigns)]


@pytest.fixture
def over(desk: Desk) -> Desk:
    """A campaign of six contracts whose settle days are over, with nothing left to do."""
    desk.show(contracts(*range(1, 7)))
    desk.run()
    desk.drain()
    desk.clock.now = SETTLED
    return desk


# What it takes


def test_where_all_agrees_it_is_closed(over: Desk) -> None:
    closed = close(over)
    assert (closed.outcome, closed.refusals, closed.warnings) == ("ok", (), ())
    assert closed_by(over) == [(SETTLED, "王")]
    (act,) = over.table(audit_log)
    assert (act["who"], act["action"], act["at"]) == ("王", "close", SETTLED)
    assert act["detail"] == f"{BEIJING}：结账，登记合同 6 个，奖励和调整 1 项共 28 元"


def test_a_dry_run_says_that_it_could_be_closed_and_writes_nothing(over: Desk) -> None:
    before = over.everything()
    assert close(over, dry_run=True).outcome == "dry-run"
    assert over.everything() == before


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI), "refused"),
        (datetime(2025, 6, 3, 23, 59, 59, tzinfo=SHANGHAI), "refused"),
        (datetime(2025, 6, 4, 0, 0, 0, tzinfo=SHANGHAI), "ok"),
    ],
)
def test_before_the_settle_days_are_over_it_is_refused(over: Desk, now: datetime, outcome: str) -> None:
    over.clock.now = now
    closed = close(over)
    assert closed.outcome == outcome
    if outcome == "refused":
        assert closed.refusals == ("结算期到 2025-06-03 为止，还没有结束；确要提前结账请加 --force",)
        assert closed_by(over) == [(None, None)]
        assert close(over, force=True).outcome == "ok"
        assert "--force 不理会：结算期到 2025-06-03 为止，还没有结束" in over.table(audit_log)[0]["detail"]


def test_contracts_that_are_not_registered_yet_hold_it_up(over: Desk) -> None:
    over.show([*contracts(*range(1, 7)), contract(7), contract(8, signedDate="2025-06-01T00:00:00")])
    before = over.everything()
    closed = close(over)
    assert (closed.outcome, len(closed.refusals)) == ("refused", 1)
    assert f"还有 1 个本期合同没有登记；要登记请运行 run {BEIJING} --force" in closed.refusals[0]
    assert over.everything() == before
    over.run(at="2025-06-04T09:00", force=True)
    assert close(over).outcome == "ok"


def test_a_person_may_insist_that_late_contracts_are_not_registered(over: Desk) -> None:
    over.show(contracts(*range(1, 8)))
    closed = close(over, force=True)
    assert closed.outcome == "ok"
    assert closed.warnings == ("源数据里还有 1 个本期合同没有登记；已按 --force 不理会",)
    assert len(over.table(performance)) == 6


@pytest.mark.parametrize("force", [False, True])
def test_tiers_that_are_owed_hold_it_up_whoever_insists(over: Desk, force: bool) -> None:
    over.show(contracts(*range(1, 7), amount=15_000))
    closed = close(over, force=force)
    assert closed.refusals == (f"有 1 项奖励条件已达到、还没有发放；请先运行 settle {BEIJING}",)
    assert closed_by(over) == [(None, None)]
    corrections.settle(over.app, over.app.campaigns.valid[BEIJING], over.clock(), "王", dry_run=False)
    assert close(over, force=force).outcome == "ok"


def test_tiers_no_longer_earned_are_pointed_out_and_do_not_hold_it_up(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000))
    desk.run()
    desk.drain()
    desk.clock.now = SETTLED
    desk.show(contracts(*range(1, 7), amount=15_000))
    closed = close(desk)
    assert closed.outcome == "ok"
    assert closed.warnings == (
        f"有 1 项奖励发放之后已达不到条件；要追回的请用 adjust {BEIJING} 人工调整，结账后也可以",
    )
    assert [tier.name for tier in closed.found.unearned] == ["优秀奖"]


def test_messages_that_were_not_sent_are_pointed_out_and_do_not_hold_it_up(over: Desk) -> None:
    over.show(contracts(1), SHANGHAI_MAY)
    over.run(SHANGHAI_MAY)  # another campaign's messages are not its own
    with over.app.database.writing() as connection:
        for task_id, status in enumerate(["failed", "uncertain", "pending", "cancelled", "running", "pending"], 1):
            connection.execute(sa.update(tasks).where(tasks.c.id == task_id).values(status=status))
    closed = close(over)
    assert closed.outcome == "ok"
    assert closed.warnings == (
        "本活动还有消息没有送达（失败 1，待发送 2，发送中 1，待核实 1）；结账后仍会发送，请用 tasks list 查看",
    )


def test_what_the_source_says_at_the_close_stays(desk: Desk) -> None:
    """Contracts that are gone, and amounts that changed: what is paid is worked out from the ledger from then on."""
    desk.show(contracts(1, 2, 3))
    desk.run()
    desk.drain()
    desk.clock.now = SETTLED
    desk.show([contract(1, 4000), contract(3, "待定")])
    closed = close(desk)
    assert closed.warnings == (
        "有 1 个合同已从源数据里消失，结账后不再计入累计；编号和奖励不变",
        "有 1 行源数据不能用；已登记的合同按最后一次可用的金额计，没有登记的不再登记",
    )
    kept = [(row["source_amount"], row["loss_accepted_at"]) for row in desk.table(performance)]
    assert kept == [(400_000, None), (500_000, SETTLED), (500_000, None)]
    assert [row["amount"] for row in desk.table(performance)] == [500_000] * 3
    assert "，确认消失的合同 1 个" in desk.table(audit_log)[0]["detail"]


def test_what_was_accepted_as_gone_and_is_back_at_the_close_counts_again(desk: Desk) -> None:
    desk.show(contracts(*range(1, 9)))
    desk.run()
    desk.show(contracts(1))
    desk.run(accept_shrink=True)
    desk.drain()
    desk.clock.now = SETTLED
    desk.show(contracts(*range(1, 8)))
    assert close(desk).outcome == "ok"
    assert [row["loss_accepted_at"] for row in desk.table(performance)] == [None] * 7 + [NOON]


def test_a_pull_that_shrank_closes_nothing(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    desk.clock.now = SETTLED
    desk.show(contracts(1, 2))
    before = desk.everything()
    with pytest.raises(PullShrankError):
        close(desk, force=True)
    assert desk.everything() == before


def test_where_something_came_first_it_is_compared_again(over: Desk) -> None:
    """A run registers what the source showed only after the close had asked it: that counts as well."""
    waiting = [lambda: over.run(at="2025-06-04T09:00", force=True)]

    def pulled() -> list[Row]:
        if waiting:
            waiting.pop()()
            return contracts(*range(1, 7))
        return contracts(*range(1, 8))

    over.show(pulled)
    closed = close(over)
    assert (closed.outcome, closed.found.registered) == ("ok", 7)
    assert "登记合同 7 个" in over.table(audit_log)[0]["detail"]


def test_closing_that_breaks_half_way_has_closed_nothing(over: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("half-way")

    before = over.everything()
    with monkeypatch.context() as patched:
        patched.setattr(closing, "record_act", fails)
        with pytest.raises(RuntimeError):
            close(over)
    assert over.everything() == before


# What it means


def test_a_closed_campaign_registers_nothing_more(over: Desk) -> None:
    close(over)
    over.show(contracts(*range(1, 8)))
    before = over.everything()
    for options in ({"force": True}, {"force": True, "dry_run": True}):
        with pytest.raises(ledger.CampaignClosedError, match=f"{BEIJING} 已结账.*adjust {BEIJING}"):
            over.run(**options)
    assert over.everything() == before


def test_it_is_closed_once(over: Desk) -> None:
    close(over)
    with pytest.raises(ledger.CampaignClosedError):
        close(over, force=True)
    assert len(over.table(audit_log)) == 1


def test_a_run_that_is_under_way_when_it_is_closed_registers_nothing(over: Desk) -> None:
    waiting = [lambda: close(over, force=True)]

    def pulled() -> list[Row]:
        if waiting:
            waiting.pop()()
        return contracts(*range(1, 8))

    over.show(pulled)
    report = over.run(at="2025-05-31")
    assert (report.outcome, report.registered) == ("failed", 0)
    assert "已结账" in (report.error or "")
    assert len(over.table(performance)) == 6


def test_the_daemon_passes_a_closed_campaign_over_and_runs_the_others(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    close(desk, force=True)
    desk.show(contracts(1, 2))
    assert [run["job"] for run in desk.cycle()] == [SHANGHAI_MAY]
    assert len(desk.table(performance)) == 1
    assert desk.cycle(SETTLED) == []
    assert len(list((desk.data_dir / "archive").glob(f"PerformanceData-{BEIJING}-*.csv"))) == 1


def test_where_it_cannot_be_read_what_is_closed_the_runs_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("database is locked"))

    close(desk, force=True)
    monkeypatch.setattr(ledger, "closed", locked)
    beijing, shanghai = desk.cycle()
    assert [(run["job"], run["outcome"]) for run in (beijing, shanghai)] == [(BEIJING, "failed"), (SHANGHAI_MAY, "ok")]
    assert "已结账" in beijing["error"]


def test_the_list_of_jobs_says_that_it_is_closed(over: Desk) -> None:
    over.clock.now = datetime(2025, 5, 31, tzinfo=SHANGHAI)
    states = {state.job: state for state in health.job_states(over.app, over.clock(), [])}
    assert (states[BEIJING].active, states[BEIJING].closed_at) == (True, None)
    close(over, force=True)
    states = {state.job: state for state in health.job_states(over.app, over.clock(), [])}
    assert (states[BEIJING].active, states[BEIJING].closed_at) == (False, "2025-05-31 00:00:00")
    assert states[SHANGHAI_MAY].active


# The command


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        opened.show(program.contracts(1, 3))
        opened.run_may()
        yield opened


def test_close_says_what_stands_in_its_way_then_closes(world: World) -> None:
    world.show(program.contracts(1, 4))
    for more in (["--dry-run"], []):
        ended = world.run("close", BEIJING, *more)
        assert (ended.code, ended.err) == (2, "")
        assert "不能结账 源数据里还有 1 个本期合同没有登记" in ended.out
        assert "没有结账，什么也没有写入" in ended.out
    assert world.run("run", BEIJING, "--force").json["registered"] == 1
    ready = world.run("close", BEIJING, "--dry-run")
    assert ready.code == 0
    assert "台账与源数据一致" in ready.out
    assert "本活动还有消息没有送达（待发送 4）" in ready.out
    assert "可以结账。试运行，什么也没有写入" in ready.out
    ended = world.run("close", BEIJING)
    assert (ended.code, ended.err) == (0, "")
    assert f"{BEIJING} 已结账：不再运行" in ended.out


def test_close_answers_programs_in_json(world: World) -> None:
    world.show(program.contracts(1, 4))
    refused = world.run("close", BEIJING, "--json")
    assert (refused.code, len(refused.out.splitlines())) == (2, 1)
    assert (refused.json["outcome"], len(refused.json["refusals"])) == ("refused", 1)
    assert refused.json["reconciliation"]["unregistered"] == 1
    ended = world.run("close", BEIJING, "--force", "--json")
    assert (ended.code, ended.json["outcome"], ended.json["refusals"]) == (0, "ok", [])
    assert len(ended.json["warnings"]) == 2


def test_after_the_close_every_command_that_would_change_it_says_so_with_code_2(world: World) -> None:
    world.run("close", BEIJING)
    for line in ("settle", "close", "close --force --json", "settle --dry-run"):
        command, *options = line.split()
        ended = world.run(command, BEIJING, *options)
        assert (ended.code, ended.out) == (2, ""), line
        assert ended.err.strip() == f"{BEIJING} 已结账，不再登记合同或发奖；之后的出入请用 adjust {BEIJING} 人工调整"
    ended = world.run_may()
    assert (ended.code, ended.json["outcome"]) == (2, "failed")
    assert "已结账" in ended.json["error"]
    assert "已结账" in world.run("jobs").out
    assert world.run("adjust", BEIJING, "--housekeeper", "管家1", "--amount", "1", "--reason", "补").code == 0
    assert world.run("reconcile", BEIJING).code == 0
