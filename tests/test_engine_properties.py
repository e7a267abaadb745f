"""The engine against the clerk of oracle.py, and the invariants of docs/reward-rules.md, on generated histories.

A history is a campaign's entry and what its source showed at several pulls: contracts come (late ones too), change
their amount, become unreadable for a while, vanish and come back; several share a project, a payee, a signing time.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine_desk import Desk
from tests.oracle import Clerk, fen_of

Row = dict[str, Any]

BADGE_LISTS = {"elite": ["沈砚秋", "顾北辰"], "rookies": ["沈砚秋"]}
HOUSEKEEPERS = ("沈砚秋", "顾北辰", "林晚")
QUICK = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
CLERK_QUICK = settings(QUICK, max_examples=200)
THOROUGH = settings(QUICK, max_examples=1_000, derandomize=False)
SHORTER = settings(THOROUGH, max_examples=300)


@dataclass(frozen=True)
class History:
    entry: dict[str, Any]
    pulls: list[list[Row]]


# -- what histories look like ----------------------------------------------------------------------------------------

# Thresholds and limits below are whole hundreds, so that these amounts fall on them and one fen beside them.
amounts = st.sampled_from(
    ["0", "0.01", "99.99", "100", "100.01", "199.99", "200.00", "300", "1,250.5", "500"]
) | st.integers(0, 60_000).map(lambda fen: f"{fen // 100}.{fen % 100:02d}")
hundreds = st.integers(0, 8).map(lambda number: number * 100)
limit = st.none() | hundreds


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "housekeeper_key": draw(st.sampled_from(["housekeeper", "housekeeper+provider"])),
        "bonus_pool_ratio": draw(st.sampled_from([0, 0.002, "0.005", 0.15])),
        "announcement_only": draw(st.integers(0, 9)) == 9,
        "awards_mapping": {"好运": 28, "大好运": "58.55", "一档": 200, "二档": "400.01", "三档": 600},
    }
    if draw(st.integers(0, 3)):
        entry["lucky_number"] = draw(st.sampled_from(["1", 2, "3", 5, "0"]))
        entry["lucky_rewards"] = {"base": {"name": "好运", "threshold": 0}}
        if draw(st.integers(0, 3)):
            entry["lucky_rewards"]["high"] = {"name": "大好运", "threshold": draw(hundreds)}
    if draw(st.integers(0, 3)):
        thresholds = sorted(draw(st.sets(st.integers(0, 12).map(lambda n: n * 100), min_size=1, max_size=3)))
        entry["tiered_rewards"] = {
            "min_contracts": draw(st.sampled_from([1, 2, 0, 3])),
            "tiers": [
                {"name": name, "threshold": threshold}
                for name, threshold in zip(("一档", "二档", "三档"), thresholds, strict=False)
            ],
        }
    if draw(st.integers(0, 3)):
        entry["performance_limits"] = {"single_contract_cap": draw(limit), "single_project_limit": draw(limit)}
        if draw(st.booleans()):
            entry["performance_limits"]["enable_cap"] = draw(st.sampled_from([True, True, False]))
        for own in ("self_referral_contract_cap", "self_referral_project_limit"):
            if draw(st.integers(0, 3)) == 0:
                entry["performance_limits"][own] = draw(limit)
    if draw(st.booleans()):
        entry["badges"] = {
            name: {
                "label": f"【{name}】",
                "members": name,
                "multiplier": draw(st.sampled_from([2, "1.5", 3, "0.5"])),
                "applies_to": draw(st.sampled_from([["节节高"], ["幸运数字", "节节高"], []])),
            }
            for name in draw(st.sampled_from([("elite",), ("elite", "rookies")]))
        }
    return entry


@st.composite
def contracts(draw: st.DrawFn, minimum: int = 1, maximum: int = 14) -> list[Row]:
    rows = []
    for number in draw(st.lists(st.integers(0, 99), unique=True, min_size=minimum, max_size=maximum)):
        rows.append(
            {
                "_id": str(number) if number < 40 else f"22345678901234567{number}",
                "serviceHousekeeper": draw(st.sampled_from(HOUSEKEEPERS)),
                "orgName": draw(st.sampled_from(["甲家修", "乙家修"])),
                "contractdocNum": f"YHWX-{number}",
                "adjustRefundMoney": draw(amounts),
                "signedDate": f"2025-05-{draw(st.integers(1, 6)):02d} 10:00:00",
                "serviceAppointmentNum": draw(st.sampled_from(["G1", "G1", "G2", ""])),
                "sourceType": draw(st.sampled_from(["2", "1"])),
            }
        )
    return rows


@st.composite
def histories(draw: st.DrawFn) -> History:
    rows = draw(contracts(minimum=draw(st.sampled_from([1, 5, 11]))))
    pulls = []
    for _ in range(draw(st.integers(1, 4))):
        shown = []
        for row in rows:
            event = draw(st.sampled_from([*["as it was"] * 5, "absent", "changed", "unreadable"]))
            if event == "changed":
                row["adjustRefundMoney"] = draw(amounts)
            if event == "unreadable":
                shown.append({**row, "adjustRefundMoney": draw(st.sampled_from(["待定", "", None, "-5", "NaN"]))})
            elif event != "absent":
                shown.append(dict(row))
        shown += [{**row, "adjustRefundMoney": draw(amounts)} for row in shown[:1] if draw(st.booleans())]
        pulls.append(draw(st.permutations(shown)))
    return History(draw(entries()), pulls)


@st.composite
def undisturbed(draw: st.DrawFn) -> History:
    """Contracts that come in signing order and never change: each pull shows a longer part of the same list."""
    rows = sorted(draw(contracts(minimum=2)), key=lambda row: (row["signedDate"], row["_id"]))
    cuts = sorted(draw(st.sets(st.integers(1, len(rows)), max_size=4)) | {len(rows)})
    return History(draw(entries()), [rows[:cut] for cut in cuts])


# -- the properties --------------------------------------------------------------------------------------------------


def engine_equals_clerk(history: History) -> None:
    desk, clerk = Desk(history.entry, BADGE_LISTS), Clerk(history.entry, BADGE_LISTS)
    for source in history.pulls:
        assert [without_payee(row) for row in desk.pull(source)] == [clerk_row(row) for row in clerk.pull(source)]


def running_again_registers_nothing(history: History) -> None:
    """Invariant 1."""
    desk = Desk(history.entry, BADGE_LISTS)
    for source in history.pulls:
        desk.pull(source)
        granted = list(desk.granted)
        assert desk.pull(source) == []
        assert desk.granted == granted


def many_runs_equal_one(history: History) -> None:
    """Invariant 2."""
    in_one = Desk(history.entry, BADGE_LISTS).pull(history.pulls[-1])
    desk = Desk(history.entry, BADGE_LISTS)
    assert [row for source in history.pulls for row in desk.pull(source)] == in_one


def order_of_source_rows_does_not_matter(history: History) -> None:
    """Invariant 3."""
    desk, other = Desk(history.entry, BADGE_LISTS), Desk(history.entry, BADGE_LISTS)
    shuffle = random.Random(7).sample
    for source in history.pulls:
        assert desk.pull(source) == other.pull(shuffle(source, len(source)))


def a_tier_is_granted_once(history: History) -> None:
    """Invariant 4."""
    grants: Counter[tuple[str, str]] = Counter()
    for row in all_rows(history):
        grants.update((row["payee"], name) for kind, name, _ in row["awards"] if kind == "节节高")
    assert set(grants.values()) <= {1}


def numbers_have_no_gaps(history: History) -> None:
    """Invariant 5; and the personal sequences likewise, per payee."""
    rows = all_rows(history)
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    personal: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        personal[row["payee"]].append(row["personal_sequence"])
    for numbers in personal.values():
        assert numbers == list(range(1, len(numbers) + 1))


def no_earned_tier_is_lost(history: History) -> None:
    """Invariant 6: with a new row its payee has every tier that the figures of this row earn, now or from before."""
    section = history.entry.get("tiered_rewards")
    if not section or history.entry["announcement_only"]:
        return
    held: dict[str, set[str]] = defaultdict(set)
    for row in all_rows(history):
        held[row["payee"]] |= {name for kind, name, _ in row["awards"] if kind == "节节高"}
        earned = {
            tier["name"]
            for tier in section["tiers"]
            if row["count"] >= section["min_contracts"] and row["performance_total"] >= fen_of(tier["threshold"])
        }
        assert earned <= held[row["payee"]]


PROPERTIES: list[tuple[Callable[[History], None], st.SearchStrategy[History]]] = [
    (engine_equals_clerk, histories()),
    (running_again_registers_nothing, histories()),
    (many_runs_equal_one, undisturbed()),
    (order_of_source_rows_does_not_matter, histories()),
    (a_tier_is_granted_once, histories()),
    (numbers_have_no_gaps, histories()),
    (no_earned_tier_is_lost, histories()),
]
each_property = pytest.mark.parametrize(
    ("holds", "strategy"), PROPERTIES, ids=[holds.__name__ for holds, _ in PROPERTIES]
)


@each_property
def test_property(holds: Callable[[History], None], strategy: st.SearchStrategy[History]) -> None:
    extent = CLERK_QUICK if holds is engine_equals_clerk else QUICK
    extent(given(strategy)(holds))()


@pytest.mark.slow
@each_property
def test_property_thoroughly(holds: Callable[[History], None], strategy: st.SearchStrategy[History]) -> None:
    """1,000 histories against the clerk and for splitting a run; for what follows from the clerk's agreement, fewer."""
    extent = THOROUGH if holds in {engine_equals_clerk, many_runs_equal_one} else SHORTER
    extent(given(strategy)(holds))()


def test_histories_reach_every_corner() -> None:
    """The generator would be worth nothing if, say, no tier were ever granted."""
    seen: Counter[str] = Counter()

    def look(history: History) -> None:
        for row in all_rows(history):
            seen.update(kind for kind, _, _ in row["awards"])
            seen["two tiers at once"] += sum(kind == "节节高" for kind, _, _ in row["awards"]) > 1
            seen["lucky and tier"] += len({kind for kind, _, _ in row["awards"]}) == 2
            seen["contracts short"] += "单" in row["remark"]
            seen["yuan short"] += "元" in row["remark"]
            seen["count below personal sequence"] += row["count"] < row["personal_sequence"]
            seen["limited"] += row["performance_total"] < row["total"]
            seen["late"] += row["sequence"] > 10

    settings(QUICK, max_examples=100)(given(histories())(look))()
    corners = {"幸运数字", "节节高", "two tiers at once", "lucky and tier", "contracts short", "yuan short"}
    corners |= {"count below personal sequence", "limited", "late"}
    assert {corner for corner in corners if seen[corner] == 0} == set()


# -- helpers ---------------------------------------------------------------------------------------------------------


def all_rows(history: History) -> list[Row]:
    desk = Desk(history.entry, BADGE_LISTS)
    return [row for source in history.pulls for row in desk.pull(source)]


def without_payee(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "payee"}


def clerk_row(row: Row) -> Row:
    """The clerk's row with just the figures that the desk gives."""
    names = ("sequence", "personal_sequence", "performance", "count", "total", "performance_total", "bonus_pool")
    return {"id": row["id"], **{name: row[name] for name in names}, "awards": row["awards"], "remark": row["remark"]}
