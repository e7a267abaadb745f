"""simulate: what a changed campaign would have paid, beside what was paid and what the present one would have paid."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.config import REWARD_CONFIGS
from modules.contracts import parse_contracts
from modules.errors import JobRefusedError
from modules.rewards import simulate as simulating
from modules.rewards.campaign import Campaign
from modules.rewards.changes import MAX_VARIANTS, Change, ChangeError, changed, parse_change, parse_sweep, product
from modules.rewards.frame import PAYEE_SEPARATOR, Frame
from modules.rewards.simulate import AwardSum, Mover, Payout, Simulated, movers, simulate, taken_from
from modules.sandbox.sample_contracts import COLUMNS, SampleMonth
from modules.simulation import Request, Simulation, run_simulation
from modules.simulation_sources import BadRow
from modules.tables import awards, performance, rejected_rows
from tests.desk import BEIJING, NOON, SHANGHAI_MAY, Desk, contract, contracts
from tests.engine_desk import SOURCE_DEFAULTS, campaign_of
from tests.engine_desk import Desk as EngineDesk
from tests.program import MAY_20, World, await_that, open_world, unlimited_robot
from tests.test_engine_properties import BADGE_LISTS, QUICK, entries
from tests.test_engine_properties import contracts as drawn_contracts

Row = dict[str, Any]
ENTRY = REWARD_CONFIGS[BEIJING]
TODAY = date(2025, 5, 20)
WIDE = settings(QUICK, max_examples=150)


def campaign(*changes: str, entry: dict[str, Any] = ENTRY) -> Campaign:
    """BJ-2025-05 with these changes."""
    return campaign_of(dict(changed(entry, [parse_change(text, BEIJING) for text in changes])), {"elite": ["沈砚秋"]})


def frame(source: Sequence[Row]) -> pd.DataFrame:
    """Contracts by signing time, as they are numbered in one pull; `source` as `rows` makes it."""
    columns = list(SOURCE_DEFAULTS)
    parsed = parse_contracts(columns, [[row.get(name) for name in columns] for row in source]).frame
    return parsed.sort_values(["signed_at", "contract_id"]).reset_index(drop=True)


def rows(*signed: tuple[str, str]) -> list[Row]:
    """One contract for each (housekeeper, amount), signed one a minute, each a project of its own."""
    return [
        {
            "_id": f"{1000 + number}",
            "serviceHousekeeper": who,
            "adjustRefundMoney": amount,
            "orgName": "甲家修",
            "signedDate": f"2025-05-01 {9 + number // 60:02d}:{number % 60:02d}:00",
            "serviceAppointmentNum": f"G{number}",
        }
        for number, (who, amount) in enumerate(signed)
    ]


def told(result: Simulated) -> dict[str, Any]:
    """Everything that a result says, for comparison."""
    said = {field.name: getattr(result, field.name) for field in fields(Payout)}
    return said | {"payout": result.payout, "by_payee": result.by_payee, "by_housekeeper": result.by_housekeeper}


def once(chosen: Campaign, on: pd.DataFrame) -> Simulated:
    (result,) = simulate([chosen], taken_from(on))
    return result


def counts(payout: Payout) -> dict[str, int]:
    return {award.name: award.count for award in payout.awards if award.count}


# -- the same as the engine ------------------------------------------------------------------------------------------


@WIDE
@given(entries(), drawn_contracts())
def test_an_unchanged_campaign_pays_what_the_engine_paid_in_one_pull(entry: dict[str, Any], source: list[Row]) -> None:
    desk = EngineDesk(entry, BADGE_LISTS)
    paid = desk.pull(source)
    found = once(desk.campaign, frame(source))
    numbered = [row for row in paid if not row["historical"]]
    assert (found.contracts, found.historical) == (len(numbered), len(paid) - len(numbered))
    assert found.amount == sum(desk.registered[row["id"]]["amount"] for row in numbered)
    assert found.bonus_pool == sum(row["bonus_pool"] for row in numbered)
    assert found.payees == len({row["payee"] for row in numbered})
    assert found.rewarded == len({row["payee"] for row in numbered if row["awards"]})
    each = Counter((kind, name) for row in paid for kind, name, _ in row["awards"])
    money, of_payee = Counter[tuple[str, str]](), Counter[Any]()
    for row in paid:
        for kind, name, fen in row["awards"]:
            money[kind, name] += fen
            of_payee[row["payee"]] += fen
    granted = {(award.kind, award.name): (award.count, award.amount) for award in found.awards if award.count}
    assert granted == {award: (each[award], money[award]) for award in each}
    assert found.payout == money.total()
    names = found.by_payee if entry["housekeeper_key"] == "housekeeper" else split(found.by_payee)
    assert names == {payee: fen for payee, fen in of_payee.items() if fen}


def split(by_payee: dict[str, int]) -> dict[Any, int]:
    return {tuple(payee.split(PAYEE_SEPARATOR)): fen for payee, fen in by_payee.items()}


@st.composite
def sets_of_variants(draw: st.DrawFn) -> tuple[list[Campaign], pd.DataFrame]:
    """Several campaigns, some but for one value the same, in any order; and contracts."""
    drawn = draw(st.lists(entries(), min_size=1, max_size=3))
    keys = st.sampled_from(["housekeeper_key", "historical_contracts", "performance_limits", "source_types", "end"])
    for _ in range(draw(st.integers(1, 4))):
        entry, key = dict(draw(st.sampled_from(drawn))), draw(keys)
        other = draw(st.sampled_from(drawn))
        entry[key] = other.get(key, entry.get(key)) if key != "end" else draw(st.sampled_from(["2025-05-03", None]))
        drawn.append({name: value for name, value in entry.items() if value is not None})
    variants = [campaign_of(entry, BADGE_LISTS) for entry in draw(st.permutations(drawn))]
    return variants, frame(draw(drawn_contracts(minimum=4)))


@WIDE
@given(sets_of_variants())
def test_a_sweep_equals_separate_simulations(drawn: tuple[list[Campaign], pd.DataFrame]) -> None:
    variants, on = drawn
    together = simulate(variants, taken_from(on))
    assert [result.campaign for result in together] == variants
    assert [told(result) for result in together] == [told(once(variant, on)) for variant in variants]


def test_variants_leave_nothing_behind_on_the_frame_that_they_share() -> None:
    on = frame(rows(*[("沈砚秋", "30000")] * 12, *[("顾北辰", "45000")] * 8))
    tight = campaign("performance_limits.single_contract_cap=1000")
    other = campaign("lucky_number=3", "awards_mapping.接好运=99")
    simulator = simulating.Simulator(taken_from(on))
    before = [told(simulator.run(one)) for one in (campaign(), tight, other)]
    after = [told(simulator.run(one)) for one in (campaign(), tight, other)]
    assert after == before == [told(once(one, on)) for one in (campaign(), tight, other)]
    assert before[0] != before[1] != before[2]


@pytest.mark.parametrize(
    "limit",
    ["single_contract_cap", "single_project_limit", "self_referral_contract_cap", "self_referral_project_limit"],
)
def test_each_limit_makes_a_performance_of_its_own(limit: str) -> None:
    source = rows(*[("甲", "30000")] * 8)
    on = frame([row | {"sourceType": str(number % 2 + 1)} for number, row in enumerate(source)])
    plain, limited = campaign(), campaign(f"performance_limits.{limit}=1000")
    together = simulate([plain, limited, plain], taken_from(on))
    assert [counts(result).get("精英奖", 0) for result in together] == [1, 0, 1]


# -- one fen ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ("tiered_rewards.tiers[0].threshold=80000.01", {"达标奖": 1}),
        ("tiered_rewards.tiers[0].threshold=80000", {}),
        ("tiered_rewards.tiers[0].threshold=79999.99", {"达标奖": -1}),
        ("lucky_rewards.high.threshold=10000.01", {"接好运万元以上": 1, "接好运": -1}),
    ],
)
def test_one_fen_moves_the_case_on_the_threshold_and_no_other(change: str, lost: dict[str, int]) -> None:
    many = [(who, "8") for who in ("甲", "乙", "丙") for _ in range(5)]
    big = [("甲", "79959.99"), ("乙", "79960.00"), ("丙", "79960.01")]
    on = frame(rows(("丁", "1"), *many, ("丁", "1"), *big, *[("丁", "1")] * 5, ("丁", "10000")))
    was, is_now = counts(once(campaign(), on)), counts(once(campaign(change), on))
    assert was == {"达标奖": 2, "接好运": 2, "接好运万元以上": 1}  # 乙 and 丙; contracts 6, 16 and 26
    assert {name: was[name] - is_now.get(name, 0) for name in was if was[name] != is_now.get(name, 0)} == lost


def test_a_campaign_takes_the_contracts_of_its_own_period_and_types_and_numbers_them_anew() -> None:
    source = [row | {"sourceType": "1" if number % 2 else "2"} for number, row in enumerate(rows(*[("甲", "9")] * 12))]
    source[0]["signedDate"] = "2025-04-30 23:59:59"
    on = frame(source)
    assert (once(campaign(), on).contracts, counts(once(campaign(), on))) == (11, {"接好运": 1})
    by_type = once(campaign("source_types=[1]"), on)
    assert (by_type.contracts, by_type.amount, counts(by_type)) == (6, 5400, {"接好运": 1})
    assert once(campaign("end=2025-05-01", "start=2025-05-01"), on).contracts == 11
    assert once(campaign("start=2025-05-02"), on).contracts == 0


# -- what is worked out once -----------------------------------------------------------------------------------------


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often a frame is laid out, and how often its performance is worked out."""
    counted: Counter[str] = Counter()
    lay_out, perform = simulating.replayed, Frame.performance

    def replayed(chosen: Campaign, on: pd.DataFrame) -> Frame:
        counted["frames"] += 1
        return lay_out(chosen, on)

    def performed(self: Frame, chosen: Campaign) -> Any:
        counted["performances"] += 1
        return perform(self, chosen)

    monkeypatch.setattr(simulating, "replayed", replayed)
    monkeypatch.setattr(Frame, "performance", performed)
    return counted


@pytest.mark.parametrize(
    ("sweeps", "frames", "performances"),
    [
        (["tiered_rewards.min_contracts=1..9"], 1, 1),
        (["lucky_number=0..9", "awards_mapping.接好运=20,30", "bonus_pool_ratio=0.001,0.002"], 1, 1),
        (["tiered_rewards.min_contracts=1..4", "performance_limits.single_contract_cap=50000,60000,70000"], 1, 3),
        (["performance_limits.single_project_limit=50000,60000", "tiered_rewards.min_contracts=1..4"], 1, 2),
        (["performance_limits.enable_cap=False", "performance_limits.single_contract_cap=50000,60000"], 1, 1),
        (["lucky_number=1,2", "housekeeper_key='housekeeper','housekeeper+provider'"], 2, 2),
        (["lucky_number=1,2", "start=2025-05-01,2025-05-02", "performance_limits.single_contract_cap=5,6"], 2, 4),
        (["source_types=[1],[2],[1,2]"], 3, 3),
        (["historical_contracts=True,False", "lucky_number=1,2"], 2, 2),
    ],
)
def test_what_does_not_depend_on_the_variant_is_worked_out_once(
    work: Counter[str], sweeps: list[str], frames: int, performances: int
) -> None:
    combinations = product([], [parse_sweep(text, BEIJING) for text in sweeps])
    variants = [campaign_of(dict(changed(ENTRY, own)), {"elite": []}) for own in combinations]
    random.Random(7).shuffle(variants)
    simulate(variants, taken_from(frame(rows(*[("甲", "20000"), ("乙", "90000")] * 8))))
    assert work == {"frames": frames, "performances": performances}


def test_after_each_campaign_somebody_is_told() -> None:
    seen: list[int] = []
    simulate([campaign(), campaign("lucky_number=1")], taken_from(frame(rows(("甲", "9")))), lambda: seen.append(1))
    assert seen == [1, 1]


# -- who gains and who loses -----------------------------------------------------------------------------------------


def paying(by_payee: dict[str, int], *changes: str) -> Simulated:
    """A result of which only the payees matter."""
    names, payouts = np.array(list(by_payee), dtype=object), np.array(list(by_payee.values()), dtype=np.int64)
    return Simulated(0, 0, 0, 0, 0, 0, (), campaign(*changes), names, payouts, 0, 0)


def test_those_who_gain_or_lose_most_come_first_and_equals_by_name() -> None:
    before = {"a": 500, "b": 100, "past": 300, "same": 700} | {f"m{number:02d}": 50 for number in range(12)}
    after = {"new": 300, "same": 700, "b": 900, "a": 499} | {f"m{number:02d}": 50 - number for number in range(12)}
    found = movers(paying(before), paying(after))
    assert found[:3] == (Mover("b", 100, 900), Mover("new", 0, 300), Mover("past", 300, 0))
    assert [mover.payee for mover in found[3:]] == [f"m{number:02d}" for number in (11, 10, 9, 8, 7, 6, 5)]
    assert [mover.difference for mover in found] == [800, 300, -300, -11, -10, -9, -8, -7, -6, -5]
    everybody = movers(paying(before), paying(after), most=99)
    assert [mover.payee for mover in everybody[10:]] == ["m04", "m03", "m02", "a", "m01"]
    assert movers(paying(before), paying(dict(reversed(before.items())))) == ()


def test_where_payees_are_no_longer_the_same_persons_are_compared() -> None:
    by_provider = {f"甲{PAYEE_SEPARATOR}一": 100, f"甲{PAYEE_SEPARATOR}二": 200, f"乙{PAYEE_SEPARATOR}一": 50}
    before, after = paying(by_provider, "housekeeper_key=housekeeper+provider"), paying({"甲": 250, "乙": 50})
    assert movers(before, after) == (Mover("甲", 300, 250),)
    assert movers(after, before) == (Mover("甲", 250, 300),)
    assert movers(before, before) == ()


@pytest.mark.parametrize(
    ("payout", "amount", "per_cent"),
    [
        (0, 100, "0.00"),
        (1, 20_000, "0.01"),  # 0.005 is rounded up
        (1, 20_001, "0.00"),
        (333, 1_000, "33.30"),
        (2, 3, "66.67"),
        (10**14, 10**12, "10000.00"),
        (124_999_999_999_999, 10**18, "0.01"),
        (5, 0, None),
    ],
)
def test_the_payout_in_per_cent_of_the_amount(payout: int, amount: int, per_cent: str | None) -> None:
    found = Payout(1, 0, 1, 1, amount, 0, (AwardSum("节节高", "达标奖", 1, payout),)).per_cent
    assert found == (None if per_cent is None else Decimal(per_cent))
    assert per_cent is None or str(found) == per_cent


# -- changes ---------------------------------------------------------------------------------------------------------

SMALL = {"tiered_rewards": {"min_contracts": 6, "tiers": ({"name": "一档", "threshold": 1},)}, "badges": {"a.b=c": {}}}


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("tiered_rewards.tiers[0].threshold=90000", ("tiered_rewards", "tiers", 0, "threshold"), 90000),
        ('REWARD_CONFIGS["BJ-2025-05"].tiered_rewards.min_contracts=5', ("tiered_rewards", "min_contracts"), 5),
        ("""badges["a.b=c"].label='【x】'""", ("badges", "a.b=c", "label"), "【x】"),
        ("awards_mapping.接好运='30.50'", ("awards_mapping", "接好运"), "30.50"),
        ("lucky_number=06", ("lucky_number",), "06"),
        ("start=2025-05-02", ("start",), "2025-05-02"),
        ("end=2025-10-10", ("end",), "2025-10-10"),
        ("title = a=b ", ("title",), "a=b"),
        ("title=", ("title",), ""),
        ("announcement_only=True", ("announcement_only",), True),
        ("performance_limits.single_contract_cap=None", ("performance_limits", "single_contract_cap"), None),
        ("source_types=[1, '4']", ("source_types",), [1, "4"]),
    ],
)
def test_a_change_is_a_path_as_in_faults_and_a_value_as_in_the_file(text: str, path: Any, value: object) -> None:
    change = parse_change(text, BEIJING)
    assert (change.path, change.value, type(change.value)) == (path, value, type(value))
    entry: Any = changed(SMALL, [change])
    for part in path:
        entry = entry[part]
    assert entry == value


def test_a_change_leaves_the_entry_and_everything_beside_it_alone() -> None:
    before = repr(SMALL)
    after = changed(SMALL, [Change(("tiered_rewards", "tiers", 0, "threshold"), 2), Change(("new", "section"), 3)])
    assert repr(SMALL) == before
    tiers = {"min_contracts": 6, "tiers": [{"name": "一档", "threshold": 2}]}
    assert after == {"tiered_rewards": tiers, "badges": {"a.b=c": {}}, "new": {"section": 3}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tiered_rewards.tier[0].threshold=9", "tiered_rewards 里没有 tier，是否想写 tiers？"),
        ("tiered_reward[0]=9", "这个活动里没有 tiered_reward，是否想写 tiered_rewards？"),
        ("contract_rewards[0].quota=5", "这个活动里没有 contract_rewards；要新加，请写整个列表：contract_rewards=[…]"),
        ("tiered_rewards.tiers[1].threshold=9", "tiered_rewards.tiers 是有 1 项的列表，没有 [1]"),
        ("tiered_rewards.tiers.threshold=9", "没有 threshold；应写 tiered_rewards.tiers[0]"),
        ("tiered_rewards[0]=9", "tiered_rewards 里没有 [0]，可用的键：min_contracts、stats、tiers"),
        ("tiered_rewards.min_contracts.x=9", "tiered_rewards.min_contracts 是 6，下面没有 x"),
        ("nonsense", "nonsense 读不懂，应写成 路径=值"),
        ("=5", "读不懂"),
        (".a=5", "读不懂"),
        ("a[x]=5", "读不懂"),
        ('REWARD_CONFIGS["SH-2025-05"].title=x', "说的不是活动 BJ-2025-05"),
        ('REWARD_CONFIGS["BJ-2025-05"]=x', "读不懂"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_could_lead(text: str, words: str) -> None:
    with pytest.raises(ChangeError, match=r"[\u4e00-\u9fff]") as refused:
        changed(SMALL, [parse_change(text, BEIJING)])
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("listed", "values"),
    [
        ("5..8", [5, 6, 7, 8]),
        ("5..10..2", [5, 7, 9]),
        ("5..5", [5]),
        ("0.001..0.003..0.001", ["0.001", "0.002", "0.003"]),
        ("79999.99..80000.01..0.01", ["79999.99", "80000.00", "80000.01"]),
        ("5,6,8", [5, 6, 8]),
        ("5", [5]),
        ("80000,90000", [80000, 90000]),
        ("100, 200, 300", [100, 200, 300]),
        ("0.5,100", [0.5, 100]),
        ("'80,000',9", ["80,000", 9]),
        ("[1],[1, 4]", [[1], [1, 4]]),
        ("2025-05-01,2025-05-02", ["2025-05-01", "2025-05-02"]),
        ("'6',8", ["6", 8]),
        ("True,False", [True, False]),
    ],
)
def test_a_sweep_is_a_range_or_a_list(listed: str, values: list[object]) -> None:
    found = [change.value for change in parse_sweep(f"a.b={listed}", BEIJING)]
    assert list(map(repr, found)) == list(map(repr, values))


@pytest.mark.parametrize("listed", ["", ",", "10..5", "1..2..0", "1..2..-1"])
def test_a_sweep_without_a_value_is_refused(listed: str) -> None:
    with pytest.raises(ChangeError, match=r"没有写任何值|一个值也没有"):
        parse_sweep(f"a={listed}", BEIJING)


@pytest.mark.parametrize(
    ("listed", "instead"),
    [
        ("80,000", "80000"),
        ("80,000,90,000", "80000,90000"),
        ("1,200,000.50", "1200000.50"),
        ("80,000..100,000..5,000", "80000..100000..5000"),
        ("100,200", "100200"),
    ],
)
def test_a_list_that_looks_like_thousands_is_not_read_as_several_values(listed: str, instead: str) -> None:
    with pytest.raises(ChangeError) as told:
        parse_sweep(f"a.b={listed}", BEIJING)
    assert str(told.value) == (
        f"a.b={listed} 里的逗号像是千分位，请写成 a.b={instead}；"
        "若是要分别试几个值，请在逗号后加空格，并用英文双引号括起来"
    )


def test_several_sweeps_make_the_product_the_last_one_fastest() -> None:
    found = product([], [parse_sweep("a=1,2", BEIJING), parse_sweep("b=3..5", BEIJING)])
    values = [[change.value for change in combination] for combination in found]
    assert values == [[1, 3], [1, 4], [1, 5], [2, 3], [2, 4], [2, 5]]
    assert product([parse_change("a=1", BEIJING)], []) == [()]


def test_too_many_variants_and_one_place_twice_are_refused() -> None:
    most = [parse_sweep("a=1..20", BEIJING), parse_sweep("b=1..10", BEIJING)]
    assert len(product([], most)) == MAX_VARIANTS == 200
    with pytest.raises(ChangeError, match="一共 201 种组合，超过 200 种"):
        product([], [parse_sweep("a=1..3", BEIJING), parse_sweep("b=1..67", BEIJING)])
    with pytest.raises(ChangeError, match="一共 400 种组合，超过 200 种"):
        product([], [*most, parse_sweep("c=1,2", BEIJING)])
    with pytest.raises(ChangeError, match="一共 1000000 种"):
        parse_sweep("a=1..1000000", BEIJING)
    with pytest.raises(ChangeError, match=r"a\.b 写了两次"):
        product([parse_change("a.b=1", BEIJING)], [parse_sweep("a.b=1,2", BEIJING)])


# -- on a ledger, beside what was paid -------------------------------------------------------------------------------


def simulated(desk: Desk, *changes: str, key: str = BEIJING, **more: Any) -> Simulation:
    """`main.py simulate KEY --set …`."""
    return run_simulation(desk.app.settings, Request(key, changes, **more), TODAY)


@pytest.mark.parametrize("key", [BEIJING, SHANGHAI_MAY])
def test_the_present_configuration_reproduces_a_ledger_of_one_pull(desk: Desk, key: str) -> None:
    for one in (BEIJING, SHANGHAI_MAY):  # the other campaign's rows and awards are none of its business
        month = SampleMonth(one[:2], 2025, 5, seed=11, contracts=150, faulty=True)
        desk.show(month.pull(desk.clock.now), one)
        desk.run(one)
    found = simulated(desk, key=key)
    paid = found.source.paid
    assert paid is not None
    assert found.variants == found.notes == ()
    granted = [row for row in desk.table(awards) if row["campaign"] == key]
    assert {(one.kind, one.name): one.count for one in paid.awards} == Counter(
        (row["kind"], row["name"]) for row in granted
    )
    assert paid.payout == sum(row["amount"] for row in granted) > 0
    assert paid.amount == sum(row["amount"] for row in desk.table(performance) if row["campaign"] == key)
    figures = [field.name for field in fields(Payout) if field.name != "awards"]
    assert [getattr(found.baseline, name) for name in figures] == [getattr(paid, name) for name in figures]
    assert sorted(found.baseline.awards, key=str) == sorted(paid.awards, key=str)


def test_refunds_corrections_and_adjustments_stand_between_paid_and_the_present_configuration(desk: Desk) -> None:
    others = [contract(number, 14_000, serviceHousekeeper="叶向晚") for number in range(11, 17)]
    desk.show(contracts(*range(1, 6), amount=15_000) + others[:5])
    desk.run()
    desk.show([*contracts(*range(1, 6), amount=5_000), *others, contract(17, 10_000), contract(18, 100)])
    desk.run()  # 沈若川 has 35,100 yuan by now
    by_hand = {"contract_id": None, "payee": "沈若川", "housekeeper": "沈若川", "base_amount": 1, "badge": ""}
    by_hand |= {"campaign": BEIJING, "multiplier": "1", "position": 0, "reason": "{}", "config_hash": ""}
    with desk.app.database.writing() as connection:
        for kind, name, fen in [("节节高", "达标奖", 20_000), ("人工调整", "多发扣回", -5_000)]:
            own = {"kind": kind, "name": name, "amount": fen, "granted_at": desk.clock()}
            connection.execute(sa.insert(awards).values(**by_hand, **own))
    found = simulated(desk)
    paid = found.source.paid
    assert paid is not None
    assert (paid.corrections, paid.adjustments) == (20_000, -5_000)
    assert counts(paid) == {"接好运万元以上": 1, "达标奖": 2, "多发扣回": 1}
    assert (paid.payout, paid.rewarded) == (5_800 + 2 * 20_000 - 5_000, 2)
    # by the amounts that were registered, 85,100 yuan in 7 contracts, 沈若川 earns the tier with one of them
    assert counts(found.baseline) == {"接好运万元以上": 1, "达标奖": 2}
    assert (found.baseline.amount, found.baseline.payout) == (8_510_000 + 8_400_000, 5_800 + 2 * 20_000)


def test_the_ledger_is_numbered_in_the_order_in_which_it_was_written(desk: Desk) -> None:
    desk.show(contracts(*range(5, 10)))
    desk.run()
    desk.show([*contracts(*range(5, 10)), contract(1, 12_000)])  # comes late, and is the sixth
    desk.run()
    assert counts(simulated(desk).baseline) == {"接好运万元以上": 1}


def test_source_types_are_read_from_the_rows_of_the_ledger(desk: Desk) -> None:
    desk.show([contract(number, sourceType=[1, 2, 1.0, "4"][number % 4]) for number in range(1, 13)])
    desk.run()
    found = simulated(desk, "source_types=[1]")
    assert [variant.result.contracts for variant in found.variants] == [6]
    assert found.baseline.contracts == 12


def test_historical_contracts_are_as_they_were_registered(desk: Desk) -> None:
    desk.show([contract(1), contract(2, pcContractdocNum="PC-1")])
    desk.run()
    found = simulated(desk, "historical_contracts=True")
    assert (found.variants[0].result.contracts, found.variants[0].result.historical) == (2, 0)
    assert any("历史合同" in note and "--csv" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["start=2025-04-30"], "放宽活动期或工单类型不会多出合同"),
        (["end=2025-06-01"], "放宽活动期或工单类型不会多出合同"),
        (["start=2025-05-02", "source_types=[2]", "lucky_number=3"], None),
        (["awards_mapping.没有的奖=5"], "awards_mapping.没有的奖: 有金额，但没有任何规则会发这个奖"),
    ],
)
def test_what_a_variant_asks_for_in_vain_is_told(desk: Desk, changes: list[str], words: str | None) -> None:
    desk.show(contracts(1, 2, 3))
    desk.run()
    notes = simulated(desk, *changes).notes
    assert len(notes) == (0 if words is None else 1)
    assert words is None or words in notes[0]


def test_what_the_present_configuration_is_warned_of_too_is_not_told_again(
    desk: Desk, other_file: Callable[[str], Path]
) -> None:
    desk.show(contracts(1, 2, 3))
    desk.run()
    unused = "BEIJING['awards_mapping']['没有的奖'] = 5"
    file = other_file(f"{unused}\nREWARD_CONFIGS = {{'BJ-2025-05': {{**BEIJING, 'source_types': [2, 3]}}}}")
    installed = desk.app.settings.model_copy(update={"campaigns_file": file})
    for change, wider in [
        ("source_types=[2,4]", 1),
        ("source_types=[]", 1),
        ("source_types=[2]", 0),
        ("lucky_number=3", 0),
    ]:
        notes = run_simulation(installed, Request(BEIJING, [change]), TODAY).notes
        assert [note for note in notes if "没有的奖" in note] == []
        assert len([note for note in notes if "不会多出合同" in note]) == wider


def test_gaps_other_configurations_and_contracts_of_another_period_are_told(desk: Desk) -> None:
    desk.show([contract(number, projectAddress="") for number in range(1, 8)])
    desk.run()
    with desk.app.database.writing() as connection:
        connection.execute(sa.update(performance).where(performance.c.sequence == 7).values(sequence=9))
        connection.execute(sa.update(awards).values(config_hash="another"))
        moved = {"signed_at": desk.clock.now.replace(month=4), "source": "{}"}
        connection.execute(sa.update(performance).where(performance.c.sequence == 9).values(**moved))
    found = simulated(desk, "tiered_rewards.stats=platform_only")
    for words in ("序号有空缺", "另一版配置", "1 个合同不在原配置的活动期", "没有 sourceType 这一列"):
        assert sum(words in note for note in found.notes) == 1
    assert found.baseline.contracts == 6


def test_a_simulation_changes_nothing(desk: Desk) -> None:
    desk.show(contracts(*range(1, 8)))
    desk.run()
    before, files = desk.everything(), stamps(desk.data_dir)
    simulated(desk, "lucky_number=3", sweeps=["tiered_rewards.min_contracts=1..9"])
    assert (desk.everything(), stamps(desk.data_dir)) == (before, files)


def test_who_waits_is_told_how_far_it_is(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    seen: list[tuple[int, int]] = []
    request = Request(BEIJING, sweeps=["lucky_number=1..3"])
    run_simulation(desk.app.settings, request, TODAY, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def stamps(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What the files of the program hold and when they were written, but for the log and what lives while it runs."""
    passing = {"tasks.db-wal", "tasks.db-shm", "app.log"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in passing]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


# -- on a file -------------------------------------------------------------------------------------------------------


def test_a_file_gives_what_the_ledger_gives_for_the_same_contracts(desk: Desk) -> None:
    month = SampleMonth("BJ", 2025, 5, seed=3, contracts=120, faulty=True)
    shown = month.pull(desk.clock.now)
    desk.show([*shown, contract(1, signedDate="2025-04-30T23:59:59"), shown[5]])
    desk.run()
    changes = ["lucky_number=3", "tiered_rewards.tiers[0].threshold=50000"]
    ledger = simulated(desk, *changes)
    file = simulated(desk, *changes, csv=desk.data_dir / f"ContractData-{BEIJING}.csv")
    assert told(file.baseline) == told(ledger.baseline)
    assert [told(one.result) for one in file.variants] == [told(one.result) for one in ledger.variants]
    assert [one.movers for one in file.variants] == [one.movers for one in ledger.variants]
    assert (file.source.paid, file.source.duplicates) == (None, 1)
    assert [bad.why for bad in file.source.bad_rows] == [row["reason"] for row in desk.table(rejected_rows)]
    assert file.notes == ("文件里有 1 个合同不在原配置的活动期或工单类型之内，不计",)


def write(path: Path, records: Sequence[Sequence[object]], columns: Sequence[str] = COLUMNS) -> Path:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([columns, *records])
    path.write_text(buffer.getvalue(), encoding="utf-8-sig", newline="")
    return path


def test_bad_rows_are_listed_with_their_lines_and_the_others_count(desk: Desk, tmp_path: Path) -> None:
    shown = [contract(3), contract(2, amount="待定"), contract(1), contract(3), contract(4, serviceHousekeeper=" ")]
    shown += [contract(2, amount="待定"), [""] * len(COLUMNS), contract(5, _id="", adjustRefundMoney=-1)]
    found = simulated(desk, csv=write(tmp_path / "some.csv", shown)).source
    assert [(bad.line, bad.contract_id[-2:], bad.why[:4]) for bad in found.bad_rows] == [
        (3, "02", "合同金额"), (6, "04", "没有管家"), (7, "02", "合同金额"), (9, "", "没有合同"),
    ]  # fmt: skip
    assert found.bad_rows[0] == BadRow(3, str(contract(2)[0]), "合同金额 adjustRefundMoney '待定' 不是数字")
    assert found.duplicates == 1


def test_a_file_is_taken_in_signing_order_and_under_the_titles_of_an_export(desk: Desk, tmp_path: Path) -> None:
    titles = [f"标题({name})" for name in COLUMNS]
    shown = [contract(7), contract(6, "12,000.00"), *reversed(contracts(*range(1, 6)))]
    assert counts(simulated(desk, csv=write(tmp_path / "export.csv", shown, titles)).baseline) == {"接好运万元以上": 1}


def test_of_rows_with_one_id_each_variant_takes_its_own(desk: Desk, tmp_path: Path) -> None:
    shown = [contract(1, 100, signedDate="2025-05-02T10:00:00"), contract(1, 200, signedDate="2025-05-09T10:00:00")]
    found = simulated(desk, sweeps=["start=2025-05-01,2025-05-08,2025-05-10"], csv=write(tmp_path / "x.csv", shown))
    assert [one.result.amount for one in found.variants] == [10_000, 20_000, 0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("\ufeff" + ",".join(COLUMNS) + "\r\n", "没有合同"),
        ("", "没有合同"),
        ("_id,b\r\n1,2\r\n", "缺少列：serviceHousekeeper"),
        ("_id,b\r\n1,2,3\r\n", "格数多于列数"),
        ("管家".encode("gbk"), "不是 UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(desk: Desk, tmp_path: Path, content: str | bytes, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(JobRefusedError, match=words):
        simulated(desk, csv=path)


def test_a_column_that_only_a_variant_needs_must_be_there(desk: Desk, tmp_path: Path) -> None:
    place = COLUMNS.index("sourceType")
    shown = [row[:place] + row[place + 1 :] for row in contracts(1, 2)]
    path = write(tmp_path / "few.csv", shown, [name for name in COLUMNS if name != "sourceType"])
    assert simulated(desk, csv=path).baseline.contracts == 2
    with pytest.raises(JobRefusedError, match="缺少列：sourceType"):
        simulated(desk, "source_types=[2]", csv=path)


# -- which configurations --------------------------------------------------------------------------------------------


@pytest.fixture
def other_file(tmp_path: Path) -> Callable[[str], Path]:
    """A campaigns file; `BEIJING` names the shipped entry of BJ-2025-05 in it."""

    def written(source: str) -> Path:
        path = tmp_path / "new.py"
        head = "import copy\nfrom modules.config import REWARD_CONFIGS as SHIPPED\n"
        path.write_text(f"{head}BEIJING = copy.deepcopy(SHIPPED['BJ-2025-05'])\n{source}\n", encoding="utf-8")
        return path

    return written


def test_the_entry_of_another_file_is_held_against_the_present_one(
    desk: Desk, other_file: Callable[[str], Path]
) -> None:
    desk.show(contracts(*range(1, 8)))
    desk.run()
    file = other_file("BEIJING['lucky_number'] = '3'\nREWARD_CONFIGS = {'BJ-2025-05': BEIJING}")
    found = simulated(desk, "awards_mapping.接好运=30", config=file)
    assert (counts(found.baseline), found.baseline.payout) == ({"接好运": 1}, 2_800)
    assert [(counts(one.result), one.result.payout) for one in found.variants] == [({"接好运": 1}, 3_000)]
    assert [one.movers for one in found.variants] == [(Mover("沈若川", 2_800, 3_000),)]
    assert [(one.location, one.text) for one in found.differences] == [(("lucky_number",), "6 → 3")]
    assert (found.changes[0][0].name, found.changes[0][1]) == ("awards_mapping.接好运", 28)


def test_a_campaign_that_is_not_here_yet_is_its_own_baseline(desk: Desk, other_file: Callable[[str], Path]) -> None:
    file = other_file("REWARD_CONFIGS = {'BJ-2025-06': {**BEIJING, 'card_id': None}}")
    path = write(file.with_name("june.csv"), contracts(*range(1, 8), signedDate="2025-06-02T09:00:00"))
    found = simulated(desk, key="BJ-2025-06", config=file, csv=path)
    assert (found.baseline.contracts, counts(found.baseline), found.variants) == (7, {"接好运": 1}, ())
    found = simulated(desk, "lucky_number=9", key="BJ-2025-06", config=file, csv=path)
    assert [counts(one.result) for one in found.variants] == [{}]
    with pytest.raises(JobRefusedError, match="没有名为 BJ-2025-06 的活动；现有：BJ-2025-04、BJ-2025-05"):
        simulated(desk, key="BJ-2025-06", csv=path)


def test_every_fault_of_a_changed_entry_is_told(desk: Desk) -> None:
    changes = [
        "tiered_reward.min_contracts=5",
        "tiered_rewards.tiers[0].threshold=130000",
        "lucky_rewards.base.name=新奖",
    ]
    with pytest.raises(JobRefusedError) as refused:
        simulated(desk, *changes)
    lines = str(refused.value).splitlines()
    assert len(lines) == 4
    for words in (
        "tiered_reward: 未知的键，是否想写 tiered_rewards？",
        "120000 不高于上一档 130000",
        "“新奖”在 awards_mapping",
    ):
        assert sum(words in line for line in lines) == 1


def test_a_faulty_variant_of_a_sweep_is_named(desk: Desk) -> None:
    with pytest.raises(JobRefusedError) as refused:
        simulated(desk, sweeps=["tiered_rewards.tiers[0].threshold=100000..170000..10000", "lucky_number=1..9"])
    lines = str(refused.value).splitlines()
    assert [line.rpartition("（")[2] for line in lines[1:]] == [
        f"tiered_rewards.tiers[0].threshold={threshold}，lucky_number=1）"
        for threshold in range(120_000, 170_001, 10_000)
    ]
    with pytest.raises(JobRefusedError, match="……还有 10 处"):
        simulated(desk, sweeps=["tiered_rewards.tiers[0].threshold=120000..120029"])


def test_faults_of_the_file_itself_are_told(desk: Desk, other_file: Callable[[str], Path]) -> None:
    file = other_file("REWARD_CONFIGS = {'BJ-2025-05': {'card_id': 1, 'card_id': 2}}")
    with pytest.raises(JobRefusedError, match="写了两次"):
        simulated(desk, config=file)


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path / "world", unlimited_robot) as opened:
        yield opened


@pytest.fixture
def ran(world: World) -> World:
    """A world whose ledger holds the sample contracts of May."""
    month = SampleMonth("BJ", 2025, 5, seed=7, contracts=120, faulty=True)
    world.show(month.pull(NOON))
    assert world.run("run", BEIJING, *MAY_20).code == 0
    return world


def test_the_command_prints_json_and_writes_nothing(ran: World) -> None:
    before, files = ran.ledger(), stamps(ran.data_dir)
    ended = ran.run(
        "simulate", BEIJING, "--set", "lucky_number=3", "--sweep", "tiered_rewards.min_contracts=5..6", "--json"
    )
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) == 1
    found = ended.json
    assert list(found) == [
        "campaign", "source", "config", "changes", "differences", "paid", "baseline", "variants", "bad_rows",
        "duplicates", "notes",
    ]  # fmt: skip
    figures = ["contracts", "historical", "payees", "rewarded", "amount", "bonus_pool", "awards", "payout", "per_cent"]
    assert list(found["baseline"]) == figures
    assert list(found["paid"]) == [*figures, "corrections", "adjustments"]
    assert [list(one) for one in found["variants"]] == [["changes", *figures, "difference", "movers"]] * 2
    assert found["changes"] == [{"path": "lucky_number", "before": "6", "after": 3}]
    assert [one["changes"] for one in found["variants"]] == [{"tiered_rewards.min_contracts": n} for n in (5, 6)]
    assert found["paid"]["payout"] == found["baseline"]["payout"]
    moved = found["variants"][0]["movers"][0]
    assert list(moved) == ["housekeeper", "provider", "before", "after", "difference"]
    assert (ran.ledger(), stamps(ran.data_dir)) == (before, files)


def test_few_variants_stand_side_by_side_and_many_in_rows(ran: World) -> None:
    few = ran.run("simulate", BEIJING, "--set", "lucky_number=3", COLUMNS="200")
    assert (few.code, few.err) == (0, "")
    for words in (
        "实发",
        "原配置",
        "改后",
        "改动 lucky_number：6 → 3",
        "增减最多的",
        "占合同金额",
        "%",
        "模拟，什么也没有写入",
    ):
        assert words in few.out
    narrow = ran.run("simulate", BEIJING, "--sweep", "tiered_rewards.min_contracts=5..8", COLUMNS="80")
    assert [line.count("┃") for line in narrow.out.splitlines() if line.startswith("┃") and "实发" in line] == [8]
    many = ran.run("simulate", BEIJING, "--sweep", "tiered_rewards.min_contracts=5..9", COLUMNS="200")
    assert (many.code, many.err) == (0, "")
    firsts = [line.split("│")[1].strip() for line in many.out.splitlines() if line.startswith("│")]
    assert firsts == ["实发", "原配置", "5", "6", "7", "8", "9"]


def test_a_file_needs_no_ledger_and_no_data_folder(world: World) -> None:
    path = write(world.folder / "some.csv", [contract(1), contract(2, amount="待定")])
    ended = world.run("simulate", BEIJING, "--csv", str(path), COLUMNS="200")
    assert (ended.code, ended.err) == (0, "")
    assert "第 3 行" in ended.out
    assert "实发" not in ended.out
    assert not world.data_dir.exists()
    assert world.metabase.requests == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["BJ-2025-05"], "台账里还没有 BJ-2025-05 的合同；可以用 --csv"),
        (["BJ-2025-99"], "没有名为 BJ-2025-99 的活动；现有：BJ-2025-04"),
        (["BJ-2025-05", "--set", "lucky_number"], "应写成 路径=值"),
        (["BJ-2025-05", "--set", "tiered_rewards.tier[0].threshold=1"], "是否想写 tiers？"),
        (["BJ-2025-05", "--sweep", "lucky_number=9..1"], "一个值也没有"),
        (["BJ-2025-05", "--sweep", "lucky_number=0..9", "--sweep", "title=1..30"], "一共 300 种组合"),
        (["BJ-2025-05", "--config", "nowhere.py"], "读不到活动配置"),
        (["BJ-2025-05", "--csv", "nowhere.csv"], "读不到文件 nowhere.csv"),
        ([], "命令用法不对"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(world: World, line: list[str], words: str) -> None:
    ended = world.run("simulate", *line)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert words in ended.err
    assert not world.data_dir.exists()


def test_an_empty_ledger_says_so_too(world: World) -> None:
    world.show([])
    world.run_may()
    assert "--csv" in world.run("simulate", BEIJING).err


def test_it_runs_beside_a_live_daemon(ran: World) -> None:
    daemon = ran.start(TASK_CHECK_INTERVAL="3600")
    await_that(lambda: "后台程序已启动" in ran.log())
    assert ran.run("simulate", BEIJING, "--json").code == 0
    assert not daemon.has_ended()
