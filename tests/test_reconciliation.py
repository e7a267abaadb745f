"""reconcile: what differs between the ledger and the source of now. It says so and changes nothing."""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from modules import config_guard, corrections, database, ledger
from modules.clock import parse_moment
from modules.reconciliation import Reconciliation
from modules.request_module import MetabaseError
from modules.rewards.rule import Position
from modules.rewards.rules import Tiers
from modules.rewards.sections import Tier, TieredRewards
from modules.sandbox.metabase import Fault
from modules.source_changes import SourceChanges
from modules.tables import audit_log
from tests import program
from tests.desk import BEIJING, FIRST_ID, NOON, SHANGHAI_MAY, Desk, contract, contracts
from tests.program import World, open_world, unlimited_robot

Opening = Callable[..., AbstractContextManager[Desk]]


def look(desk: Desk, key: str = BEIJING, at: str = "2025-05-20T12:00") -> Reconciliation:
    """`main.py reconcile KEY --at …`."""
    campaign = desk.app.campaigns.valid[key]
    return corrections.look(desk.app, campaign, parse_moment(at), to_change=False).found


def contract_id(number: int) -> str:
    return str(FIRST_ID + number)


def ids(listed: tuple[Any, ...]) -> list[str]:
    return [one.contract.contract_id for one in listed]


# What is compared


def test_where_all_agrees_there_is_no_difference(desk: Desk) -> None:
    desk.show(contracts(*range(1, 8)))
    desk.run()
    assert look(desk).summary() == {
        "campaign": BEIJING,
        "at": "2025-05-20 12:00:00",
        "closed_at": None,
        "fetched": 7,
        "registered": 7,
        "differences": 0,
        "shrunken": False,
        "changed": [],
        "vanished": [],
        "unregistered": 0,
        "owed": [],
        "unearned": [],
        "rejected": [],
    }


def test_before_the_first_run_all_that_the_source_shows_is_unregistered(desk: Desk) -> None:
    assert look(desk).differences == 0
    desk.show(contracts(1, 2))
    found = look(desk)
    assert (found.registered, found.unregistered, found.differences) == (0, 2, 2)


def test_an_amount_raised_later_is_listed_and_so_is_the_tier_that_it_earns(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=1000))
    desk.run()
    desk.show([contract(1, "75,000.00"), *contracts(*range(2, 7), amount=1000)])
    found = look(desk).summary()
    assert found["changed"] == [
        {
            "contract_id": contract_id(1),
            "contract_number": "YHWX-00001",
            "housekeeper": "沈若川",
            "provider": "北京瓦蓝防水工程",
            "registered": "1000",
            "now": "75000",
        }
    ]
    assert found["owed"] == [
        {
            "housekeeper": "沈若川",
            "provider": None,
            "kind": "节节高",
            "name": "达标奖",
            "amount": "200",
            "count": 6,
            "platform_count": 6,
            "performance_total": "80000",
            "platform_performance_total": "80000",
            "why": "累计 6 单，不少于 6 单；累计计入业绩 80,000 元，不低于 80,000 元",
        }
    ]
    assert found["differences"] == 2


def test_an_amount_is_held_against_the_registered_one_however_often_it_was_seen_since(desk: Desk) -> None:
    desk.show([contract(1, 5000.5), contract(2)])
    desk.run()
    desk.show([contract(1, 4000), contract(2)])
    desk.run()
    (changed,) = look(desk).changed
    assert (changed.contract.amount, changed.now) == (500_050, 400_000)
    desk.show([contract(1, 5000.5), contract(2)])
    assert look(desk).changed == ()


def test_it_writes_nothing(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000))
    desk.run()
    desk.show([contract(1, "待定"), *contracts(*range(2, 6)), contract(9)])
    before, files = desk.everything(), {path: path.stat().st_mtime_ns for path in desk.data_dir.rglob("*.*")}
    assert look(desk).differences
    assert desk.everything() == before
    assert {path: path.stat().st_mtime_ns for path in desk.data_dir.rglob("*.*")} == files


def test_a_refund_leaves_a_tier_unearned_with_what_is_missing(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000, serviceHousekeeper="沈砚秋"))
    desk.run()
    desk.show([contract(1, 1234.5), *contracts(*range(2, 7), amount=20_000)])
    found = look(desk).summary()
    assert found["owed"] == []
    assert found["unearned"] == [
        {
            "housekeeper": "沈砚秋",
            "provider": None,
            "name": "优秀奖",
            "paid": "800",
            "missing": "累计计入业绩 101,234.50 元，还差 18,765.50 元",
            "adjusted": "0",
        }
    ]


def test_a_cancelled_contract_is_missing_in_number_and_performance(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000))
    desk.run()
    desk.show(contracts(*range(1, 6), amount=20_000))
    found = look(desk)
    assert ids(found.vanished) == [contract_id(6)]
    assert {tier.name: tier.missing for tier in found.unearned} == {
        "优秀奖": "累计 5 单，还差 1 单；累计计入业绩 100,000 元，还差 20,000 元",
        "达标奖": "累计 5 单，还差 1 单",
    }


def test_a_loss_that_a_person_accepted_is_marked_and_no_difference(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21), amount=1000))
    desk.run()
    desk.show(contracts(*range(1, 15), amount=1000))
    desk.run(accept_shrink=True)
    desk.show(contracts(*range(2, 15), amount=1000))
    found = look(desk)
    assert [(one["contract_id"], one["accepted"]) for one in found.summary()["vanished"]] == [
        (contract_id(1), False),
        *((contract_id(number), True) for number in range(15, 21)),
    ]
    assert (found.differences, found.is_shrunken) == (1, False)


def test_contracts_of_the_period_and_up_to_the_moment_are_to_be_registered(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    signed = ["2025-04-30T23:59:59", "2025-05-31T23:59:59", "2025-06-01T00:00:00", "2025-05-20T12:00:01"]
    desk.show([contract(1), *(contract(n, signedDate=moment) for n, moment in enumerate(signed, 2)), contract(9)])
    assert look(desk).unregistered == 1
    assert look(desk, at="2025-06-02").unregistered == 3


def test_rows_that_cannot_be_used_are_listed_and_say_whether_their_contract_is_registered(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    desk.show([contract(1, "待定"), contract(2), contract(3, serviceHousekeeper=" ")])
    found = look(desk)
    assert found.summary()["rejected"] == [
        {
            "contract_id": contract_id(1),
            "reason": "合同金额 adjustRefundMoney '待定' 不是数字",
            "registered": True,
        },
        {"contract_id": contract_id(3), "reason": "没有管家（serviceHousekeeper 为空）", "registered": False},
    ]
    assert (found.changed, found.vanished, found.differences) == ((), (), 2)


def test_a_pull_that_shrank_is_marked(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21), amount=20_000))
    desk.run()
    desk.show(contracts(*range(1, 5)))
    found = look(desk)
    assert found.is_shrunken
    assert len(found.vanished) == 16


def test_a_payee_by_provider_is_told_with_the_provider(desk: Desk) -> None:
    mine = {"serviceHousekeeper": "许听澜", "orgName": "上海浦江春装饰"}
    desk.show(contracts(*range(1, 6), amount=1000, **mine), SHANGHAI_MAY)
    desk.run(SHANGHAI_MAY)
    desk.show(contracts(*range(1, 6), amount=8000, **mine), SHANGHAI_MAY)
    (owed,) = look(desk, SHANGHAI_MAY).summary()["owed"]
    assert (owed["housekeeper"], owed["provider"], owed["name"]) == ("许听澜", "上海浦江春装饰", "基础奖")


def test_a_configuration_that_a_person_must_accept_first_is_not_compared_by(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    changed = desk.app.campaigns.valid[BEIJING].model_copy(update={"housekeeper_key": "housekeeper+provider"})
    with pytest.raises(config_guard.ConfigNotAcceptedError, match=f"check --accept {BEIJING}"):
        corrections.look(desk.app, changed, NOON, to_change=False)


# On record


def test_who_compared_and_what_came_of_it_is_on_record_and_nothing_else_changes(desk: Desk) -> None:
    desk.show(contracts(*range(1, 21)))
    desk.run()
    before, campaign = desk.everything(), desk.app.campaigns.valid[BEIJING]
    assert corrections.compare(desk.app, campaign, NOON, "王").differences == 0
    desk.show(contracts(*range(1, 20), 21, 22))
    assert corrections.compare(desk.app, campaign, parse_moment("2025-05-21T09:30"), "李").differences == 3
    desk.show([])
    corrections.compare(desk.app, campaign, NOON, "李")
    desk.source.inject(Fault.NOT_FOUND, times=None)
    with pytest.raises(MetabaseError) as failed:
        corrections.compare(desk.app, campaign, NOON, "李")
    acts = desk.table(audit_log)
    assert [(act["at"], act["who"], act["action"], act["detail"]) for act in acts] == [
        (desk.clock(), who, "reconcile", f"{BEIJING}：对账{words}")
        for who, words in (
            ("王", "（截至 2025-05-20 12:00，源数据 20 行，台账 20 个合同），一致"),
            ("李", "（截至 2025-05-21 09:30，源数据 21 行，台账 20 个合同），3 处出入"),
            ("李", "（截至 2025-05-20 12:00，源数据 0 行，台账 20 个合同），21 处出入，源数据少了太多合同，不可采信"),
            ("李", f"没有成功：{failed.value}"),
        )
    ]
    assert desk.everything() == before | {"audit_log": acts}


def test_a_record_that_cannot_be_written_costs_nobody_the_answer_and_is_in_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.show(contracts(1))
    desk.run()
    monkeypatch.setattr(database, "SQLITE_WAIT_SECONDS", 0.05)
    rival = sqlite3.connect(desk.data_dir / "tasks.db", isolation_level=None)
    with closing(rival), desk.reopened() as app:
        rival.execute("BEGIN IMMEDIATE")
        found = corrections.compare(app, app.campaigns.valid[BEIJING], NOON, "王")
    assert found.registered == 1
    assert desk.table(audit_log) == []
    (warning,) = [record.getMessage() for record in caplog.records if record.name == corrections.__name__]
    assert f"王，{BEIJING}：对账（截至 2025-05-20 12:00，源数据 1 行，台账 1 个合同），一致" in warning
    assert "数据库被别的程序占用" in warning


HISTORICAL = """
from modules.config import REWARD_CONFIGS as SHIPPED
REWARD_CONFIGS = {"BJ-2025-05": SHIPPED["BJ-2025-05"] | {"historical_contracts": True}}
"""


def test_a_historical_row_that_crosses_the_threshold_is_owed_for(open_desk: Opening, tmp_path: Path) -> None:
    file = tmp_path / "campaigns.py"
    file.write_text(HISTORICAL, encoding="utf-8")
    with open_desk(CAMPAIGNS_FILE=str(file)) as desk:
        rows = contracts(*range(1, 7), amount=13_000)
        desk.show(rows)
        desk.run()
        rows.append(contract(7, 2000, pcContractdocNum="PC-7"))
        desk.show(rows)
        assert (look(desk).unregistered, look(desk).owed) == (1, ())
        desk.run()
        (owed,) = look(desk).summary()["owed"]
        assert (owed["name"], owed["count"], owed["performance_total"]) == ("达标奖", 6, "80000")


@pytest.mark.parametrize(
    ("stats", "name", "missing"),
    [
        ("total", "达标奖", "累计 5 单，还差 1 单；累计计入业绩 799.99 元，还差 0.01 元"),
        ("platform_only", "达标奖", "平台单累计 2 单，还差 4 单；平台单累计计入业绩 10 元，还差 790 元"),
        ("total", "旧档", "活动配置里已没有这一档"),
    ],
)
def test_what_a_tier_lacks_is_told_by_what_it_goes_by(stats: Any, name: str, missing: str) -> None:
    tiers = Tiers(TieredRewards(min_contracts=6, tiers=(Tier(name="达标奖", threshold=800),), stats=stats))
    figures = {"personal_sequence": 5, "platform_sequence": 2, "count": 5, "total": 0, "platform_count": 2}
    figures |= {"standing": 5, "platform_standing": 2}
    money = {"performance_total": 79_999, "platform_performance_total": 1000}
    position = Position(sequence=9, granted=frozenset(), used={}, **figures, **money)
    assert tiers.lacks(name, position) == missing


def test_a_tier_without_a_minimum_still_needs_a_contract() -> None:
    tiers = Tiers(TieredRewards(tiers=(Tier(name="达标奖", threshold=0),)))
    nothing = dict.fromkeys(Position.__dataclass_fields__.keys() - {"granted", "used"}, 0)
    assert tiers.lacks("达标奖", Position(granted=frozenset(), used={}, **nothing)) == "累计 0 单，还差 1 单"


# The command


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


def rows_of(numbers: range, **values: object) -> list[list[object]]:
    return [program.contract(number, serviceHousekeeper="沈若川", **values) for number in numbers]


def test_the_command_says_that_all_agrees(world: World) -> None:
    world.show(rows_of(range(1, 7)))
    world.run_may()
    ended = world.run("reconcile", BEIJING)
    assert (ended.code, ended.err) == (0, "")
    assert "源数据 6 行，台账 6 个合同" in ended.out
    assert "台账与源数据一致" in ended.out
    assert "┃" not in ended.out, "no empty tables"
    assert world.query("SELECT who, action FROM audit_log") == [{"who": getpass.getuser(), "action": "reconcile"}]


def test_the_command_shows_each_difference_in_its_own_table(world: World) -> None:
    world.show(rows_of(range(1, 8), adjustRefundMoney=15_000))
    world.run_may()
    rows = [*rows_of(range(1, 5), adjustRefundMoney=30_000), *rows_of(range(6, 8), adjustRefundMoney="[b]待定")]
    world.show([*rows, *rows_of(range(8, 10))])
    ended = world.run("reconcile", BEIJING, "--at", "2025-05-20T12:00")
    assert (ended.code, ended.err) == (0, "")
    text = ended.out.replace("\n", "")
    for words in (
        "截至 2025-05-20 12:00:00：源数据 8 行，台账 7 个合同",
        "金额变了的合同",
        "源数据里消失的合同",
        "有 2 个合同还没有登记；运行 run BJ-2025-05 时登记",
        "条件已达到、还没有发放的奖励",
        "沈若川 优秀奖：累计 6 单，不少于 6 单；累计计入业绩 150,000 元，不低于 120,000 元",
        "settle BJ-2025-05",
        "拒收的行",
        "[b]待定",
        "共 10 处不一致",
    ):
        assert words in text
    vanished = ended.out.split("源数据里消失的合同")[1].split("拒收的行")[0]
    assert (contract_id(5) in vanished, contract_id(1) in vanished) == (True, False)
    found = world.run("reconcile", BEIJING, "--at", "2025-05-20T12:00", "--json").json
    assert (found["at"], found["differences"], found["unregistered"]) == ("2025-05-20 12:00:00", 10, 2)


def test_the_command_shows_what_is_no_longer_earned_beside_what_was_adjusted(world: World) -> None:
    world.show(rows_of(range(1, 7), adjustRefundMoney=15_000))
    world.run_may()
    world.show(rows_of(range(1, 6), adjustRefundMoney=15_000))
    world.run("adjust", BEIJING, "--housekeeper", "沈若川", "--amount", "-200", "--reason", "退单")
    ended = world.run("reconcile", BEIJING)
    assert "发放之后已达不到条件的奖励" in ended.out
    row = next(line for line in ended.out.splitlines() if "达标奖" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][:4] == ["沈若川", "达标奖", "200", "-200"]
    assert "不会自动收回" in ended.out
    (unearned,) = world.run("reconcile", BEIJING, "--json").json["unearned"]
    assert (unearned["paid"], unearned["adjusted"]) == ("200", "-200")


def test_the_command_warns_of_a_pull_that_shrank(world: World) -> None:
    world.show(rows_of(range(1, 21)))
    world.run_may()
    world.show([])
    ended = world.run("reconcile", BEIJING)
    assert ended.code == 0
    assert "不可采信" in ended.out


def test_a_pull_that_fails_is_one_line_and_code_1(world: World) -> None:
    world.show(rows_of(range(1, 3)))
    world.run_may()
    world.metabase.inject(Fault.NOT_FOUND, times=None)
    ended = world.run("reconcile", BEIJING, "--json")
    assert (ended.code, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert "问题卡 1693" in ended.err
    assert "没有料到" not in ended.err


@pytest.mark.parametrize(("line", "words"), [("BJ-2099-01", "现有：BJ-2025-04"), ("BJ-2025-05 --at May", "--at May")])
def test_wrong_use_is_one_line_and_code_2(world: World, line: str, words: str) -> None:
    ended = world.run("reconcile", *line.split())
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert words in ended.err


def test_a_closed_campaign_can_still_be_compared(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    with desk.app.database.writing() as connection:
        ledger.close(connection, desk.app.campaigns.valid[BEIJING], 1, SourceChanges({}), NOON, "王")
    desk.show(contracts(1, 2))
    found = look(desk)
    assert (found.summary()["closed_at"], found.unregistered) == ("2025-05-20 12:00:00", 1)
