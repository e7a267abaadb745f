"""explain: each award and each missing one in a sentence with its numbers, from a ledger that real runs have filled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modules.errors import JobRefusedError
from modules.explanation_words import AwardExplanation, PayeeExplanation, counted_words
from modules.explanations import (
    ContractAnswer,
    ContractExplanation,
    HousekeeperAnswer,
    explain_contract,
    explain_housekeeper,
)
from modules.ledger_records import ContractRecord
from modules.rewards.campaign import Campaign
from modules.rewards.explain import why
from modules.rewards.rules import RULES
from modules.rewards.sections import PerformanceLimits
from modules.rewards.unmet import WORDS
from modules.sandbox.sample_contracts import SampleMonth
from modules.tables import awards, campaigns, config_snapshots, performance
from tests.desk import BEIJING, CARDS, FIRST_ID, NOON, SHANGHAI_MAY, Desk, Row, contract, contracts
from tests.program import MAY_20, World, open_world, unlimited_robot
from tests.program import contract as card_row

Opening = Callable[..., AbstractContextManager[Desk]]

AMOUNTS = {
    "开门红": 18, "好运": 28, "大好运": 58, "大单奖": 88, "中单奖": "30.50", "红包": 20, "达标奖": 200, "优秀奖": 400,
}  # fmt: skip
EVERYTHING: dict[str, Any] = {
    "card_id": 1693,
    "historical_contracts": True,
    "opening_reward": {"first": 2, "name": "开门红"},
    "lucky_number": "5",
    "lucky_rewards": {"base": {"name": "好运"}, "high": {"name": "大好运", "threshold": 10000}},
    "contract_rewards": [
        {"name": "大单奖", "min_amount": 50000, "quota": 1},
        {"name": "中单奖", "min_amount": 20000, "below_amount": 50000, "first_contracts": 6},
    ],
    "self_referral_rewards": {"enable": True, "reward_name": "红包"},
    "tiered_rewards": {
        "min_contracts": 3,
        "tiers": [{"name": "达标奖", "threshold": 60000}, {"name": "优秀奖", "threshold": 900000}],
    },
    "performance_limits": {"enable_cap": True, "single_contract_cap": 100000, "single_project_limit": 120000},
    "awards_mapping": AMOUNTS,
    "badges": {"elite": {"label": "【🎖精英管家】", "members": "elite", "multiplier": 2, "applies_to": ["节节高"]}},
}
"""An entry with every section. 顾北辰 is on the shipped list `elite`."""

ELITE = "顾北辰"
ONLY_TIERS: dict[str, Any] = {
    "opening_reward": None, "lucky_number": None, "lucky_rewards": None, "contract_rewards": [],
    "self_referral_rewards": None,
}  # fmt: skip
TIERS_ON_PLATFORM = {"tiered_rewards": EVERYTHING["tiered_rewards"] | {"stats": "platform_only"}}


@pytest.fixture
def played(open_desk: Opening, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """`played(rows, **sections)`: a desk after one run on the rows, its campaign EVERYTHING with these sections."""
    opened = []

    def play(rows: list[Row], **sections: Any) -> Desk:
        file = tmp_path / "campaigns.py"
        configure(file, {BEIJING: EVERYTHING | sections})
        desk_of = open_desk(CAMPAIGNS_FILE=str(file))
        desk = desk_of.__enter__()
        opened.append(desk_of)
        desk.show(rows)
        assert desk.run().outcome == "ok"
        return desk

    yield play
    for desk_of in opened:
        desk_of.__exit__(None, None, None)


def configure(file: Path, entries: dict[str, Any]) -> None:
    file.write_text(f"REWARD_CONFIGS = {entries!r}\n", encoding="utf-8")


def contract_id(number: int) -> str:
    return str(FIRST_ID + number)


def answer(desk: Desk, asked: str, key: str | None = None) -> ContractAnswer:
    with desk.app.database.reading() as connection:
        return explain_contract(connection, desk.app.campaigns, asked, key)


def explained(desk: Desk, number: int) -> ContractExplanation:
    (explanation,) = answer(desk, contract_id(number)).explanations
    return explanation


def person(desk: Desk, name: str = "沈若川", key: str = BEIJING) -> HousekeeperAnswer:
    with desk.app.database.reading() as connection:
        return explain_housekeeper(connection, desk.app.campaigns, name, key)


def payee(desk: Desk, name: str = "沈若川") -> PayeeExplanation:
    (only,) = person(desk, name).payees
    return only


def told(one: AwardExplanation) -> tuple[str, str, str, str, str]:
    return one.award.kind, one.award.name, one.amount, one.sentence, one.path


def insert_award(desk: Desk, **values: Any) -> None:
    """An award without a contract, as `settle` and `adjust` write them."""
    row = {
        "campaign": BEIJING, "contract_id": None, "payee": "沈若川", "housekeeper": "沈若川", "kind": "人工调整",
        "name": "人工调整", "amount": 0, "base_amount": 0, "badge": "", "multiplier": "1", "position": 0,
        "reason": "{}", "config_hash": "", "granted_at": NOON,
    }  # fmt: skip
    with desk.app.database.writing() as connection:
        connection.execute(sa.insert(awards).values(**row | values))


# -- every kind of award, in its words -------------------------------------------------------------------------------

ROWS_TO_5 = [contract(1), contract(2), contract(3, 25000), contract(4, 60000), contract(5, 12000)]
PERSONAL = {"lucky_number_mode": "personal_sequence", "lucky_number": 3, "opening_reward": None}

SENTENCES = {
    "opening": (
        {}, ROWS_TO_5, 2,
        ("幸运数字", "开门红", "18 元", "活动期内第 2 单，在前 2 单之内", "opening_reward"),
    ),
    "lucky digit, high": (
        {}, ROWS_TO_5, 5,
        ("幸运数字", "大好运", "58 元", "活动期内第 5 单，尾数是幸运数字 5；合同金额 12,000 元，不低于 10,000 元",
         "lucky_rewards.high"),
    ),
    "lucky digit, base": (
        {}, [*ROWS_TO_5[:4], contract(5, "9999.99")], 5,
        ("幸运数字", "好运", "28 元", "活动期内第 5 单，尾数是幸运数字 5；合同金额 9,999.99 元，低于 10,000 元",
         "lucky_rewards.base"),
    ),
    "lucky digit without high": (
        {"lucky_rewards": {"base": {"name": "好运"}}}, ROWS_TO_5, 5,
        ("幸运数字", "好运", "28 元", "活动期内第 5 单，尾数是幸运数字 5", "lucky_rewards.base"),
    ),
    "every third of the payee": (
        PERSONAL, [contract(1, serviceHousekeeper="陆知远"), *contracts(2, 3, 4)], 4,
        ("幸运数字", "好运", "28 元", "个人第 3 单，是 3 的倍数；合同金额 5,000 元，低于 10,000 元",
         "lucky_rewards.base"),
    ),
    "every third of the campaign": (
        PERSONAL | {"lucky_number_sequence_type": "global"}, contracts(1, 2, 3), 3,
        ("幸运数字", "好运", "28 元", "活动期内第 3 单，是 3 的倍数；合同金额 5,000 元，低于 10,000 元",
         "lucky_rewards.base"),
    ),
    "every third of the payee's platform contracts": (
        PERSONAL | {"lucky_number_sequence_type": "platform_only"},
        [contract(1, sourceType=1), *contracts(2, 3, 4)], 4,
        ("幸运数字", "好运", "28 元", "个人平台单第 3 单，是 3 的倍数；合同金额 5,000 元，低于 10,000 元",
         "lucky_rewards.base"),
    ),
    "band with an end, for the first ones": (
        {}, ROWS_TO_5, 3,
        ("签约奖励", "中单奖", "30.50 元",
         "合同金额 25,000 元，符合“20,000 元（含）至 50,000 元（不含）”；活动期内第 3 单，在前 6 单之内",
         "contract_rewards[1]"),
    ),
    "open band with a quota": (
        {}, ROWS_TO_5, 4,
        ("签约奖励", "大单奖", "88 元", "合同金额 60,000 元，符合“50,000 元及以上”；全活动共 1 个名额，当时还没有用完",
         "contract_rewards[0]"),
    ),
    "band for everything": (
        {"contract_rewards": [{"name": "大单奖"}]}, contracts(1), 1,
        ("签约奖励", "大单奖", "88 元", "合同金额 5,000 元，符合“不限金额”", "contract_rewards[0]"),
    ),
    "red packet": (
        {}, [contract(1, sourceType=1, projectAddress="望枫路{9}号")], 1,
        ("自引单", "红包", "20 元", "自引单，这个项目地址在本活动中第一次登记在该管家名下：望枫路{9}号",
         "self_referral_rewards"),
    ),
    "tier": (
        {}, ROWS_TO_5, 4,
        ("节节高", "达标奖", "200 元", "累计 4 单，不少于 3 单；累计计入业绩 95,000 元，不低于 60,000 元",
         "tiered_rewards.tiers[0]"),
    ),
    "tier without a number of contracts": (
        {"tiered_rewards": {"tiers": [{"name": "达标奖", "threshold": "60000.50"}]}}, [contract(1, 70000)], 1,
        ("节节高", "达标奖", "200 元", "累计 1 单；累计计入业绩 70,000 元，不低于 60,000.50 元",
         "tiered_rewards.tiers[0]"),
    ),
    "tier of the platform track": (
        TIERS_ON_PLATFORM, [contract(1, 90000, sourceType=1), *contracts(2, 3, 4, amount=20000)], 4,
        ("节节高", "达标奖", "200 元", "平台单累计 3 单，不少于 3 单；平台单累计计入业绩 60,000 元，不低于 60,000 元",
         "tiered_rewards.tiers[0]"),
    ),
    "tier doubled by a badge": (
        {}, contracts(1, 2, 3, amount=20000, serviceHousekeeper=ELITE), 3,
        ("节节高", "达标奖", "200 元 × 2（【🎖精英管家】）= 400 元",
         "累计 3 单，不少于 3 单；累计计入业绩 60,000 元，不低于 60,000 元", "tiered_rewards.tiers[0]"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SENTENCES)
def test_an_award_tells_why_it_was_granted(played: Callable[..., Desk], case: str) -> None:
    sections, rows, number, (*words, path) = SENTENCES[case]
    desk = played(rows, **sections)  # type: ignore[arg-type]
    found = {one.award.name: one for one in explained(desk, number).awards}  # type: ignore[arg-type]
    name = words[1]
    assert told(found[name]) == (*words, f'REWARD_CONFIGS["{BEIJING}"].{path}')
    assert found[name].award.config_hash == desk.app.campaigns.valid[BEIJING].config_hash()
    assert "{" not in found[name].sentence.replace("{9}", "")


def test_every_kind_of_rule_is_among_these_sentences_and_has_words_for_what_is_missing() -> None:
    assert {rule.kind for rule in RULES} == {words[0] for *_, words in SENTENCES.values()}  # type: ignore[index]
    assert set(WORDS) == set(RULES)


def test_braces_that_a_person_wrote_stay_as_they_are() -> None:
    assert why({"why": "补 {多} {} {count} { {amount}", "amount": 1250}) == "补 {多} {} {count} { 12.50"
    assert why({}) == ""


# -- what was not won, and why ---------------------------------------------------------------------------------------

UNMET = {
    "after the opening, no lucky digit": (
        {}, ROWS_TO_5, 3,
        ["幸运数字：活动期内第 3 单，不在前 2 单之内（开门红）", "幸运数字：活动期内第 3 单，尾数不是幸运数字 5"],
    ),
    "no multiple of the payee's number": (PERSONAL, contracts(1, 2), 2, ["幸运数字：个人第 2 单，不是 3 的倍数"]),
    "no multiple of the campaign's number": (
        PERSONAL | {"lucky_number_sequence_type": "global"},
        [contract(1, serviceHousekeeper="陆知远"), contract(2)], 2,
        ["幸运数字：活动期内第 2 单，不是 3 的倍数"],
    ),
    "no multiple of the platform number": (
        PERSONAL | {"lucky_number_sequence_type": "platform_only"},
        [contract(1, sourceType=1), *contracts(2, 3)], 3,
        ["幸运数字：个人平台单第 2 单，不是 3 的倍数"],
    ),
    "only platform contracts can be lucky": (
        PERSONAL | {"lucky_number_sequence_type": "platform_only"},
        [*contracts(1, 2), contract(3, sourceType=1)], 3,
        ["幸运数字：这是自引单，只有平台单能中幸运数字"],
    ),
    "in no band": (
        {}, ROWS_TO_5, 1,
        ["签约奖励：合同金额 5,000 元，不在任何一档之内"
         "（大单奖 50,000 元及以上；中单奖 20,000 元（含）至 50,000 元（不含））"],
    ),
    "the quota is used up": (
        {}, [*ROWS_TO_5, contract(6, 70000)], 6,
        ["签约奖励：合同金额 70,000 元，符合大单奖，但 1 个名额在此之前已用完"],
    ),
    "too late for the band": (
        {}, [*ROWS_TO_5, contract(6), contract(7, 30000)], 7,
        ["签约奖励：合同金额 30,000 元，但已是活动期内第 7 单，中单奖只给前 6 单"],
    ),
    "no self-referral": ({}, ROWS_TO_5, 1, ["自引单：这是平台单，只有自引单有红包"]),
    "no address": (
        {}, [contract(1, sourceType=1, projectAddress=" ")], 1, ["自引单：没有项目地址，无法确认是不是新地址"],
    ),
    "an address that is known": (
        {},
        [contract(1, sourceType=1, serviceHousekeeper=ELITE), contract(2, sourceType=1), contract(3, sourceType=1)],
        3,
        [f"自引单：该管家已在同一地址登记过自引单（合同 {FIRST_ID + 2}）：朝阳区望枫路1号院"],
    ),
    "too few contracts": (
        {}, ROWS_TO_5, 2, ["节节高：累计 2 单，累计计入业绩 10,000 元；距离达成节节高奖励条件还需 1 单"],
    ),
    "not enough performance": (
        {}, ROWS_TO_5, 3, ["节节高：累计 3 单，累计计入业绩 35,000 元；距离 达标奖 还需 25,000 元"],
    ),
    "all tiers granted before": (
        {"tiered_rewards": {"tiers": [{"name": "达标奖", "threshold": 1}]}}, ROWS_TO_5, 3,
        ["节节高：累计 3 单，累计计入业绩 35,000 元；各档在此之前都已获得"],
    ),
    "no platform contract for the ladder": (
        TIERS_ON_PLATFORM, [contract(1, sourceType=1)], 1, ["节节高：这是自引单，只有平台单计入节节高"],
    ),
    "not enough on the platform": (
        TIERS_ON_PLATFORM, [contract(1, 90000, sourceType=1), *contracts(2, 3, 4)], 4,
        ["节节高：平台单累计 3 单，平台单累计计入业绩 15,000 元；距离 达标奖 还需 45,000 元"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNMET)
def test_what_was_not_won_tells_what_was_not_met(played: Callable[..., Desk], case: str) -> None:
    sections, rows, number, expected = UNMET[case]
    found = explained(played(rows, **sections), number).not_won  # type: ignore[arg-type]
    kind = expected[0].split("：")[0]  # type: ignore[union-attr]
    assert [words for words in found if words.startswith(kind)] == expected


def test_a_kind_of_reward_that_has_no_words_here_yet_is_told_all_the_same(
    played: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Novelty:
        kind = "新奖励"

    desk = played(ROWS_TO_5)
    monkeypatch.setattr("modules.rewards.unmet.rules_of", lambda _campaign: (Novelty(),))
    assert explained(desk, 5).not_won == ("新奖励：没有达到条件",)


def test_a_historical_contract_wins_nothing_for_one_reason(played: Callable[..., Desk]) -> None:
    desk = played([contract(1, 70000, pcContractdocNum="PC-1")])
    assert explained(desk, 1).not_won == ("历史合同，仅计入业绩：不编号，不发奖",)


def test_a_campaign_that_only_announces_says_so(played: Callable[..., Desk]) -> None:
    desk = played(ROWS_TO_5, announcement_only=True, awards_mapping={}, badges={})
    assert (explained(desk, 1).awards, explained(desk, 1).not_won) == ((), ("本活动只播报，不发奖",))
    assert payee(desk).outlook == ("本活动只播报，不发奖",)


def test_a_campaign_without_rewards_says_so(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1), **ONLY_TIERS, tiered_rewards=None, awards_mapping={}, badges={})
    assert explained(desk, 1).not_won == ("本活动没有设置任何奖励",)
    assert explained(desk, 1).payee.outlook == ()


def test_what_was_won_is_not_among_what_was_not(played: Callable[..., Desk]) -> None:
    found = explained(played(ROWS_TO_5), 4)
    assert [one.award.kind for one in found.awards] == ["签约奖励", "节节高"]
    assert {words.split("：")[0] for words in found.not_won} == {"幸运数字", "自引单"}


@pytest.mark.parametrize("sections", [{}, PERSONAL, TIERS_ON_PLATFORM], ids=["digit", "personal", "platform"])
def test_for_every_contract_each_rule_has_either_granted_or_something_was_not_met(
    played: Callable[..., Desk], sections: dict[str, Any]
) -> None:
    """The words negate the rules: nowhere do they find the conditions met while nothing was granted, or the reverse."""
    month = SampleMonth("BJ", 2025, 5, seed=11, contracts=60, faulty=False)
    desk = played([[*row] for row in month.pull(NOON)], **sections)
    rows = desk.table(performance)
    assert len(rows) > 30
    for row in rows:
        found = explained(desk, int(row["contract_id"]) - FIRST_ID)
        assert not [words for words in found.not_won if "请核对" in words]
        assert "请核对" not in found.counted
        kinds = {one.award.kind for one in found.awards} | {words.split("：")[0] for words in found.not_won}
        assert kinds >= {rule.kind for rule in RULES} or row["historical"]


# -- how much of the amount counted ----------------------------------------------------------------------------------


def test_the_amount_counts_whole_up_to_a_cap_and_up_to_what_the_project_has_left(played: Callable[..., Desk]) -> None:
    rows = [
        contract(1, 100000),
        contract(2, 150000, serviceAppointmentNum="GDX"),
        contract(3, 30000, serviceAppointmentNum="GDX", serviceHousekeeper=ELITE),
        contract(4, 130000, serviceAppointmentNum="GDX"),
    ]
    desk = played(rows)
    first, second = FIRST_ID + 2, FIRST_ID + 3
    assert [explained(desk, number).counted for number in (1, 2, 3, 4)] == [
        "合同金额 100,000 元，计入业绩 100,000 元：全额计入",
        "合同金额 150,000 元，计入业绩 100,000 元：单个合同最多计 100,000 元",
        "合同金额 30,000 元，计入业绩 20,000 元："
        f"工单 GDX 的合同合计最多计 120,000 元，此前的合同（{first}）已计 100,000 元",
        "合同金额 130,000 元，计入业绩 0 元：单个合同最多计 100,000 元；"
        f"工单 GDX 的合同合计最多计 120,000 元，此前的合同（{first}、{second}）已计 120,000 元",
    ]
    assert explained(desk, 3).summary()["performance"] == "20000"


def test_who_had_vanished_by_then_is_not_said_to_have_used_up_the_project(played: Callable[..., Desk]) -> None:
    limits = {"single_project_limit": 10000}
    first, second, third = (contract(number, 9000, serviceAppointmentNum="GDX") for number in (1, 2, 3))
    desk = played([first, second], performance_limits=limits)
    others = contracts(*range(11, 16))
    desk.show([first, second, *others])
    desk.run()
    desk.show([second, *others, third])  # the first one vanished, and nobody has accepted it
    desk.run()
    start = "合同金额 9,000 元，计入业绩 1,000 元：工单 GDX 的合同合计最多计 10,000 元，此前的合同"
    vague = "；当时已从源数据里消失的不计，其余按当时的金额"
    assert explained(desk, 2).counted == f"{start}（{FIRST_ID + 1}）已计 9,000 元"
    assert explained(desk, 3).counted == f"{start}（{FIRST_ID + 1}、{FIRST_ID + 2}{vague}）已计 9,000 元"
    fourth = contract(4, 9000, serviceAppointmentNum="GDX")
    desk.clock.advance(minutes=3)
    desk.show([second, fourth])
    desk.run(accept_shrink=True)
    assert explained(desk, 4).counted == f"{start}（{FIRST_ID + 2}{vague}）已计 9,000 元"


def test_self_referrals_have_limits_and_projects_of_their_own(played: Callable[..., Desk]) -> None:
    limits = {"enable_cap": True, "single_contract_cap": 10000, "self_referral_contract_cap": None,
              "self_referral_project_limit": 60000}  # fmt: skip
    rows = [
        contract(1, 50000, serviceAppointmentNum="GDX"),
        contract(2, 50000, serviceAppointmentNum="GDX", sourceType=1),
        contract(3, 50000, serviceAppointmentNum="GDX", sourceType=1),
    ]
    desk = played(rows, performance_limits=limits)
    assert [explained(desk, number).counted.partition("：")[2] for number in (1, 2, 3)] == [
        "单个合同最多计 10,000 元",
        "全额计入",
        f"工单 GDX 的合同合计最多计 60,000 元，此前的合同（{FIRST_ID + 2}）已计 50,000 元",
    ]


def test_what_the_limits_do_not_explain_is_said_to_be_unexplained(played: Callable[..., Desk]) -> None:
    record = explained(played([contract(1, 150000)]), 1).contract
    assert isinstance(record, ContractRecord)
    for limits in (None, PerformanceLimits(), PerformanceLimits(single_project_limit=500)):
        assert counted_words(record, limits, []).endswith("：登记时的配置里找不到原因，请核对")


# -- the contract's own facts ----------------------------------------------------------------------------------------


def test_a_contract_is_told_with_its_numbers_track_and_figures(played: Callable[..., Desk]) -> None:
    desk = played([contract(1, serviceHousekeeper=ELITE), contract(2, "12000.50", sourceType=1)])
    told_of = explained(desk, 2).summary()
    awarded = told_of.pop("awards")
    assert [award["name"] for award in awarded] == ["开门红", "红包"]
    assert awarded[0] == {
        "contract_id": contract_id(2),
        "contract_number": "YHWX-00002",
        "kind": "幸运数字",
        "name": "开门红",
        "amount": "18",
        "base_amount": "18",
        "multiplier": "1",
        "badge": None,
        "why": "活动期内第 2 单，在前 2 单之内",
        "path": f'REWARD_CONFIGS["{BEIJING}"].opening_reward',
        "config_hash": told_of["config_hash"],
        "granted_at": "2025-05-20 12:00:00",
    }
    assert told_of.pop("now").keys() == {"standing", "outlook"}
    assert told_of.pop("not_won")
    assert told_of == {
        "campaign": BEIJING,
        "title": "北京 5月签约激励",
        "period": "2025-05-01 至 2025-05-31",
        "contract_id": contract_id(2),
        "contract_number": "YHWX-00002",
        "housekeeper": "沈若川",
        "provider": "北京瓦蓝防水工程",
        "project": "GD00002",
        "address": "朝阳区望枫路1号院",
        "historical": False,
        "track": "self_referral",
        "signed_at": "2025-05-01 09:02:00",
        "registered_at": "2025-05-20 12:00:00",
        "sequence": 2,
        "personal_sequence": 1,
        "count": 1,
        "platform_count": 0,
        "amount": "12000.50",
        "performance": "12000.50",
        "total": "12000.50",
        "performance_total": "12000.50",
        "platform_total": "0",
        "platform_performance_total": "0",
        "counted": "合同金额 12,000.50 元，计入业绩 12,000.50 元：全额计入",
        "remark": "距离达成节节高奖励条件还需 2 单",
        "config_hash": desk.table(config_snapshots)[0]["hash"],
        "notes": [],
    }


def test_a_historical_contract_has_no_numbers(played: Callable[..., Desk]) -> None:
    told_of = explained(played([contract(1, pcContractdocNum="PC-1")]), 1).summary()
    assert (told_of["sequence"], told_of["personal_sequence"], told_of["historical"]) == (None, None, True)


def test_a_contract_is_found_by_its_number_and_with_blanks_around_it(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1, 2))
    by_number, by_id = answer(desk, "YHWX-00002"), answer(desk, f" {FIRST_ID + 2}\n")
    assert by_number.explanations == by_id.explanations
    assert by_id.asked == contract_id(2)


def test_a_contract_in_two_campaigns_is_told_in_both(open_desk: Opening, tmp_path: Path) -> None:
    file = tmp_path / "campaigns.py"
    configure(file, {BEIJING: EVERYTHING, "BJ-2025-04": EVERYTHING | {"card_id": 1616, "end": "2025-05-31"}})
    with open_desk(CAMPAIGNS_FILE=str(file)) as desk:
        for key in (BEIJING, "BJ-2025-04"):
            desk.show(contracts(1), key)
            assert desk.run(key).registered == 1
        assert [one.contract.campaign for one in answer(desk, contract_id(1)).explanations] == ["BJ-2025-04", BEIJING]
        (only,) = answer(desk, contract_id(1), BEIJING).explanations
        assert only.contract.campaign == BEIJING


def test_what_has_changed_since_is_told(played: Callable[..., Desk]) -> None:
    desk = played(contracts(*range(1, 13)))
    desk.show([contract(1, 7000), *contracts(*range(9, 13))])
    assert desk.run(accept_shrink=True).outcome == "ok"
    assert explained(desk, 1).notes == (
        "登记之后，源数据里的合同金额改成了 7,000 元：累计按新金额算，登记时的数字和奖励不变",
    )
    assert explained(desk, 2).notes == (
        "合同已从源数据里消失（2025-05-20 12:00:00 由人确认），不再计入累计；编号和奖励不变",
    )
    assert payee(desk).figures.startswith("累计 5 单，27,000 元，计入业绩 27,000 元")


# -- which configuration explains ------------------------------------------------------------------------------------


def reconfigured(desk: Desk, entries: dict[str, Any]) -> AbstractContextManager[Any]:
    """The program opened anew after somebody has edited the campaigns file."""
    configure(Path(desk.environ["CAMPAIGNS_FILE"]), entries)
    return desk.reopened()


def test_a_contract_is_explained_by_the_configuration_that_it_was_registered_under(played: Callable[..., Desk]) -> None:
    desk = played([contract(1), contract(2), contract(3, 130000)])
    desk.clock.advance(minutes=3)
    edited = EVERYTHING | {
        "lucky_number": "9",
        "performance_limits": {"enable_cap": True, "single_contract_cap": 50000},
        "badges": {},
    }
    with reconfigured(desk, {BEIJING: edited}) as app:
        desk.show([contract(1), contract(2), contract(3, 130000), contract(4, 130000)])
        assert desk.run(app=app).registered == 1
        with app.database.reading() as connection:
            then, now = (
                explain_contract(connection, app.campaigns, contract_id(number), None).explanations[0]
                for number in (3, 4)
            )
    assert then.counted.endswith("：单个合同最多计 100,000 元")
    assert "幸运数字：活动期内第 3 单，尾数不是幸运数字 5" in then.not_won
    assert now.counted.endswith("：单个合同最多计 50,000 元")
    assert "幸运数字：活动期内第 4 单，尾数不是幸运数字 9" in now.not_won
    assert then.config_hash != now.config_hash
    assert (
        "幸运数字：下一个中奖的是活动期内第 9 单，目前到第 4 单" in then.payee.outlook
    )  # what is to come is by the present


def test_a_contract_without_awards_is_explained_by_what_was_known_when_it_was_registered(
    played: Callable[..., Desk],
) -> None:
    desk = played(contracts(1, 2, 3))
    desk.clock.advance(minutes=3)
    with reconfigured(desk, {BEIJING: EVERYTHING | {"lucky_number": "9"}}) as app:
        desk.show(contracts(1, 2, 3, 4))
        desk.run(app=app)
    older, newer = explained(desk, 3), explained(desk, 4)
    assert (older.awards, newer.awards) == ((), ())
    assert "幸运数字：活动期内第 3 单，尾数不是幸运数字 5" in older.not_won
    assert "幸运数字：活动期内第 4 单，尾数不是幸运数字 9" in newer.not_won


def test_a_contract_names_the_configuration_also_where_that_came_back_after_another(
    played: Callable[..., Desk],
) -> None:
    """The snapshot of the older one keeps its time; awards that could name it are not needed."""
    desk = played(contracts(1, 2))
    for lucky, shown in (("9", contracts(1, 2)), ("5", contracts(1, 2, 3))):
        desk.clock.advance(minutes=3)
        with reconfigured(desk, {BEIJING: EVERYTHING | {"lucky_number": lucky}}) as app:
            desk.show(shown)
            desk.run(app=app)
    found = explained(desk, 3)
    assert found.awards == ()
    assert found.config_hash == desk.app.campaigns.valid[BEIJING].config_hash()
    assert "幸运数字：活动期内第 3 单，尾数不是幸运数字 5" in found.not_won
    with desk.app.database.writing() as connection:  # as one that an earlier version of the program registered
        connection.execute(sa.update(performance).values(config_hash=None))
    assert "幸运数字：活动期内第 3 单，尾数不是幸运数字 9" in explained(desk, 3).not_won


def test_an_award_names_the_configuration_also_where_a_newer_one_was_in_between(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1))
    rows = [contract(1), contract(2), contract(3, 30000)]
    for lucky, shown in (("9", rows[:2]), ("5", rows)):
        desk.clock.advance(minutes=3)
        with reconfigured(desk, {BEIJING: EVERYTHING | {"lucky_number": lucky}}) as app:
            desk.show(shown)
            desk.run(app=app)
    assert [one.award.name for one in explained(desk, 3).awards] == ["中单奖"]
    assert "幸运数字：活动期内第 3 单，尾数不是幸运数字 5" in explained(desk, 3).not_won


def test_a_campaign_that_left_the_configuration_is_explained_by_the_last_run(played: Callable[..., Desk]) -> None:
    desk = played(ROWS_TO_5)
    before = explained(desk, 5)
    with reconfigured(desk, {"SH-2025-05": {"card_id": 1694}}) as app, app.database.reading() as connection:
        (found,) = explain_contract(connection, app.campaigns, contract_id(5), None).explanations
        of_person = explain_housekeeper(connection, app.campaigns, "沈若川", BEIJING)
    note = "现行配置里没有这个活动，按台账里最后一次运行的配置说明"
    assert found.notes == of_person.notes == (note,)
    assert (found.awards, found.not_won, found.payee) == (before.awards, before.not_won, before.payee)


def test_of_several_configurations_that_of_the_last_run_counts(played: Callable[..., Desk]) -> None:
    desk = played(ROWS_TO_5)
    for lucky in ("7", "5"):  # changed, and changed back: the snapshot of the last run is the older one
        desk.clock.advance(minutes=3)
        with reconfigured(desk, {BEIJING: EVERYTHING | {"lucky_number": lucky}}) as app:
            assert desk.run(app=app).outcome == "ok"
    with reconfigured(desk, {}) as app, app.database.reading() as connection:
        outlook = explain_housekeeper(connection, app.campaigns, "沈若川", BEIJING).payees[0].outlook
    assert "幸运数字：下一个中奖的是活动期内第 15 单，目前到第 5 单" in outlook


def test_a_campaign_with_a_fault_says_that_its_entry_is_not_what_explains(played: Callable[..., Desk]) -> None:
    desk = played(ROWS_TO_5)
    entries = {BEIJING: EVERYTHING | {"lucky_number": "55"}}
    with reconfigured(desk, entries) as app, app.database.reading() as connection:
        found = explain_housekeeper(connection, app.campaigns, "沈若川", BEIJING)
    assert found.notes == ("现行配置里这个活动有错，按台账里最后一次运行的配置说明",)


@pytest.mark.parametrize("config", ['{"key": "BJ-2025-05", "of_another_version": 1}', "[]", "nothing"])
def test_without_a_configuration_the_ledger_alone_explains(played: Callable[..., Desk], config: str) -> None:
    desk = played([contract(1), contract(2, 150000)])
    with desk.app.database.writing() as connection:
        connection.execute(sa.update(config_snapshots).values(config=config))
    with reconfigured(desk, {}) as app, app.database.reading() as connection:
        (found,) = explain_contract(connection, app.campaigns, contract_id(2), None).explanations
        of_person = explain_housekeeper(connection, app.campaigns, "沈若川", BEIJING)
    assert [told(one)[1:4] for one in found.awards] == [
        ("开门红", "18 元", "活动期内第 2 单，在前 2 单之内"),
        ("大单奖", "88 元", "合同金额 150,000 元，符合“50,000 元及以上”；全活动共 1 个名额，当时还没有用完"),
    ]
    assert found.counted == "合同金额 150,000 元，计入业绩 100,000 元：登记时的配置里找不到原因，请核对"
    assert found.not_won == ()
    assert found.notes == (
        "台账里没有登记时的配置，说不出没有得到的奖励差在哪里",
        "现行配置里没有这个活动，台账里也没有能读的配置，只按台账里的记录说明",
    )
    assert (found.payee.figures, found.payee.outlook) == ("没有能读的配置，无法累计", ())
    assert (of_person.payees[0].amount, of_person.payees[0].summary()["standing"]) == (3600 + 8800, None)
    json.dumps([found.summary(), of_person.summary()])


@pytest.mark.parametrize("sections", [{}, {"source_types": [1, "2"], "lucky_number": None, "lucky_rewards": None}])
def test_a_stored_configuration_reads_back_as_it_was(played: Callable[..., Desk], sections: dict[str, Any]) -> None:
    limits = {"enable_cap": True, "single_contract_cap": "0.5", "self_referral_project_limit": None}
    desk = played(contracts(1), performance_limits=limits, bonus_pool_ratio="0.0035", card_id=1693, **sections)
    (snapshot,) = desk.table(config_snapshots)
    campaign = Campaign.from_json(snapshot["config"])
    assert campaign == desk.app.campaigns.valid[BEIJING]
    assert campaign.config_hash() == snapshot["hash"]
    assert "self_referral_project_limit" in campaign.performance_limits.model_fields_set  # None, and written down
    assert "self_referral_contract_cap" not in campaign.performance_limits.model_fields_set


# -- contracts that are not in the ledger ----------------------------------------------------------------------------


def test_a_row_that_was_rejected_tells_why(played: Callable[..., Desk]) -> None:
    desk = played([contract(1), contract(2, "待定")])
    found = answer(desk, contract_id(2))
    assert found.explanations == ()
    assert found.summary()["rejected"] == [
        {
            "campaign": BEIJING,
            "reason": "合同金额 adjustRefundMoney '待定' 不是数字",
            "first_seen_at": "2025-05-20 12:00:00",
            "resolved_at": None,
        }
    ]
    assert found.summary()["registered"] == []


def test_a_registered_contract_whose_row_became_unusable_tells_both(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1, 2))
    desk.show([contract(1), contract(2, "待定")])
    desk.run()
    found = answer(desk, contract_id(2))
    assert len(found.explanations) == len(found.rejected) == 1
    desk.show(contracts(1, 2))
    desk.clock.advance(minutes=3)
    desk.run()
    assert answer(desk, contract_id(2)).rejected == ()  # mended: of no interest any more


def test_a_rejected_row_that_is_gone_says_when(played: Callable[..., Desk]) -> None:
    desk = played([contract(1), contract(2, "待定")])
    desk.show(contracts(1))
    desk.clock.advance(minutes=3)
    desk.run()
    assert answer(desk, contract_id(2)).summary()["rejected"][0]["resolved_at"] == "2025-05-20 12:03:00"


@pytest.mark.parametrize(
    ("asked", "key", "words"),
    [
        ("1234", None, ["没有合同 1234", "没有拒收过", "签约时间不在活动期内"]),
        ("1234", BEIJING, ["没有合同 1234"]),
        ("1920000000000000000", None, ["没有合同 1920000000000000000", "Excel", "末几位"]),
        ("1.92E+18", None, ["没有合同 1.92E+18"]),
        (contract_id(1), "SH-2025-05", ["SH-2025-05 里没有合同", f"它在 {BEIJING}"]),
        (contract_id(2), "SH-2025-05", ["SH-2025-05 里没有合同", f"它在 {BEIJING}"]),
        (contract_id(1), "BJ-2099-01", ["没有名为 BJ-2099-01 的活动；现有：", BEIJING]),
    ],
)
def test_a_contract_that_nobody_knows_is_refused_with_what_to_do(
    desk: Desk, asked: str, key: str | None, words: list[str]
) -> None:
    desk.show([contract(1), contract(2, "待定")])
    desk.run()
    with pytest.raises(JobRefusedError) as refusal:
        answer(desk, asked, key)
    assert not [part for part in words if part not in str(refusal.value)]
    assert ("Excel" in str(refusal.value)) == ("Excel" in words)


# -- a housekeeper ---------------------------------------------------------------------------------------------------


def test_a_housekeeper_is_told_all_awards_their_sum_and_what_is_missing(played: Callable[..., Desk]) -> None:
    desk = played([*ROWS_TO_5, contract(6, 8000, sourceType=1), contract(7, 30000, pcContractdocNum="PC-1")])
    found = person(desk)
    (one,) = found.payees
    assert [award.award.name for award in one.awards] == [
        "开门红",
        "开门红",
        "中单奖",
        "大单奖",
        "达标奖",
        "大好运",
        "红包",
    ]
    assert one.amount == 1800 * 2 + 3050 + 8800 + 20000 + 5800 + 2000
    assert one.figures == (
        "累计 6 单，115,000 元，计入业绩 145,000 元（平台单 5 单、业绩 137,000 元；自引单 1 单、业绩 8,000 元）"
    )
    assert one.outlook == (
        "幸运数字：下一个中奖的是活动期内第 15 单，目前到第 6 单",
        "大单奖：单个合同 50,000 元及以上，1 个名额已用完",
        "红包：每个新地址的自引单一个",
        "距离 优秀奖 还需 755,000 元",
    )
    assert found.notes == ()
    told_of = found.summary()
    assert told_of["amount"] == told_of["payees"][0]["amount"] == "432.50"
    assert told_of["payees"][0]["standing"] == {
        "count": 6, "total": "115000", "performance_total": "145000", "platform_count": 5,
        "platform_performance_total": "137000",
    }  # fmt: skip
    assert (told_of["campaign"], told_of["title"], told_of["closed_at"]) == (BEIJING, "北京 5月签约激励", None)


TWO_TIERS = {"达标奖": 10000, "优秀奖": 50000}
OUTLOOKS = {
    "opening and bands are open": (
        {}, contracts(1),
        ("开门红：活动期内前 2 单有奖，目前到第 1 单",
         "幸运数字：下一个中奖的是活动期内第 5 单，目前到第 1 单",
         "大单奖：单个合同 50,000 元及以上，还剩 1 个名额",
         "中单奖：单个合同 20,000 元（含）至 50,000 元（不含），活动期内前 6 单，目前到第 1 单",
         "红包：每个新地址的自引单一个",
         "距离达成节节高奖励条件还需 2 单"),
    ),
    "all tiers are granted": (
        ONLY_TIERS | {"tiered_rewards": {"tiers": [{"name": "达标奖", "threshold": 1}]}}, contracts(1),
        ("节节高各档均已获得",),
    ),
    "a tier reached by history waits for as many contracts as it asks": (
        ONLY_TIERS | {"tiered_rewards": {"min_contracts": 1, "tiers": [{"name": "达标奖", "threshold": 10000}]}},
        [contract(1, 30000, pcContractdocNum="PC-1")], ("距离达成节节高奖励条件还需 1 单",),
    ),
    "a tier that is owed, and the next one": (
        ONLY_TIERS
        | {"tiered_rewards": {"tiers": [{"name": name, "threshold": at} for name, at in TWO_TIERS.items()]}},
        [contract(1), contract(2, 30000, pcContractdocNum="PC-1")],
        ("达标奖：条件已达到，随下一个新合同发放，或由 settle 补发", "距离 优秀奖 还需 15,000 元"),
    ),
    "a platform tier that is owed": (
        ONLY_TIERS
        | {"tiered_rewards": {"tiers": [{"name": "达标奖", "threshold": 10000}], "stats": "platform_only"}},
        [contract(1), contract(2, 30000, pcContractdocNum="PC-1")],
        ("达标奖：条件已达到，随下一个新平台单发放，或由 settle 补发",),
    ),
    "every third, when the ladder waits for one more": (
        ONLY_TIERS | PERSONAL | {"lucky_rewards": EVERYTHING["lucky_rewards"]}, contracts(1, 2),
        ("幸运数字：下一个中奖的是个人第 3 单，目前到第 2 单", "距离达成节节高奖励条件还需 1 单"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTLOOKS)
def test_what_is_missing_for_the_next_award(played: Callable[..., Desk], case: str) -> None:
    sections, rows, expected = OUTLOOKS[case]
    assert payee(played(rows, **sections)).outlook == expected  # type: ignore[arg-type]


def test_tracks_are_told_apart_only_where_they_matter(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    assert payee(desk).figures == "累计 1 单，5,000 元，计入业绩 5,000 元"


def test_corrections_and_adjustments_are_told_like_awards(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1))
    reason = {
        "path": "tiered_rewards.tiers[0]", "why": "累计 {count} 单；累计计入业绩 {performance_total} 元",
        "count": 4, "performance_total": 9500000,
    }  # fmt: skip
    stored = json.dumps(reason, ensure_ascii=False)
    insert_award(desk, kind="节节高", name="达标奖", amount=40000, base_amount=20000, badge="elite", multiplier="2",
                 reason=stored, config_hash="abc")  # fmt: skip
    insert_award(desk, amount=-5050, base_amount=-5050, reason=json.dumps({"why": "退款 {合同} 扣回", "who": "li"}))
    one = payee(desk)
    assert [told(award) for award in one.awards[1:]] == [
        (
            "节节高",
            "达标奖",
            "200 元 × 2（【🎖精英管家】）= 400 元",
            "补发，没有对应的新合同：累计 4 单；累计计入业绩 95,000 元",
            f'REWARD_CONFIGS["{BEIJING}"].tiered_rewards.tiers[0]',
        ),
        ("人工调整", "人工调整", "-50.50 元", "退款 {合同} 扣回（li 操作）", ""),
    ]
    assert one.amount == 1800 + 40000 - 5050
    assert [award["amount"] for award in one.summary()["awards"]] == ["18", "400", "-50.50"]
    assert one.summary()["awards"][2]["contract_id"] is None


def test_somebody_with_an_adjustment_only_is_a_payee_too(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1))
    insert_award(desk, payee="陆知远", housekeeper="陆知远", amount=100, base_amount=100)
    one = payee(desk, "陆知远")
    assert (one.amount, one.awards[0].sentence) == (100, "台账里没有写明原因")
    assert one.figures.startswith("累计 0 单，0 元，计入业绩 0 元")


def test_a_path_that_is_none_of_the_configuration_stands_as_it_is(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1))
    insert_award(desk, reason=json.dumps({"path": "import-ledger", "why": "接管"}))
    assert payee(desk).awards[-1].path == "import-ledger"


def test_a_badge_that_nobody_knows_any_more_is_told_by_its_name(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1))
    insert_award(desk, kind="节节高", name="达标奖", amount=300, base_amount=200, badge="gone", multiplier="1.50")
    assert payee(desk).awards[-1].amount == "2 元 × 1.5（gone）= 3 元"


def test_a_name_is_normalised_before_it_is_looked_for(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1, serviceHousekeeper="林Zoé"))
    assert payee(desk, " 林Zoe\u0301\t").housekeeper == "林Zoé"


def test_a_housekeeper_at_two_providers_is_two_payees(desk: Desk) -> None:
    rows = [
        *contracts(1, 2, orgName="甲家修"),
        *contracts(3, orgName="乙家修"),
        *contracts(4, 5, 6, orgName="丙", serviceHousekeeper=ELITE),
    ]
    desk.show(rows, SHANGHAI_MAY)
    desk.run(SHANGHAI_MAY)
    found = person(desk, "沈若川", SHANGHAI_MAY)
    assert [(one.provider, one.position and one.position.count) for one in found.payees] == [
        ("甲家修", 2),
        ("乙家修", 1),
    ]
    assert [one["provider"] for one in found.summary()["payees"]] == ["甲家修", "乙家修"]
    assert explained_provider(desk, 3) == "乙家修"


def explained_provider(desk: Desk, number: int) -> str | None:
    return answer(desk, contract_id(number)).explanations[0].payee.provider


@pytest.mark.parametrize(
    ("name", "words"),
    [("沈若", ["没有管家 沈若", "是不是 沈若川"]), ("Zoe", ["没有管家 Zoe", "payout BJ-2025-05"]), ("", ["没有管家"])],
)
def test_a_housekeeper_whom_nobody_knows_gets_the_nearest_names(desk: Desk, name: str, words: list[str]) -> None:
    desk.show([contract(1), contract(2, serviceHousekeeper=ELITE)])
    desk.run()
    with pytest.raises(JobRefusedError) as refusal:
        person(desk, name)
    assert not [part for part in words if part not in str(refusal.value)]
    assert ELITE not in str(refusal.value)


def test_a_campaign_that_has_not_run_yet_says_so(desk: Desk) -> None:
    with pytest.raises(JobRefusedError, match=f"{BEIJING} 还没有登记任何合同.*run {BEIJING}"):
        person(desk)


def test_a_closed_campaign_has_nothing_to_come(played: Callable[..., Desk]) -> None:
    desk = played(contracts(1))
    with desk.app.database.writing() as connection:
        connection.execute(sa.update(campaigns).values(closed_at=NOON, closed_by="x"))
    note = "活动已于 2025-05-20 12:00:00 结账，不再登记合同或发奖"
    found = person(desk)
    assert (found.notes, found.payees[0].outlook) == ((note,), ())
    assert found.summary()["closed_at"] == "2025-05-20 12:00:00"
    assert explained(desk, 1).notes == (note,)


def test_to_explain_fetches_nothing_and_writes_nothing(played: Callable[..., Desk]) -> None:
    desk = played([contract(1), contract(2, "待定")])
    asked, before = len(desk.source.requests), {name: desk.table(table) for name, table in tables(desk).items()}
    person(desk)
    explained(desk, 1)
    assert len(desk.source.requests) == asked
    assert {name: desk.table(table) for name, table in tables(desk).items()} == before


def tables(_desk: Desk) -> Mapping[str, sa.Table]:
    return awards.metadata.tables


# -- the command -----------------------------------------------------------------------------------------------------


LONG_ADDRESS = "朝阳区望枫路1号" * 12


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One installation after two runs, which these tests only read."""
    with open_world(tmp_path_factory.mktemp("explain"), unlimited_robot) as opened:
        rows = [card_row(number, projectAddress=LONG_ADDRESS) for number in range(1, 7)]
        opened.show([*rows, card_row(8, adjustRefundMoney="待定")])
        assert opened.run("run", BEIJING, *MAY_20).code == 0
        opened.show([card_row(1, orgName="甲"), card_row(6, orgName="乙[1]")], card=CARDS[SHANGHAI_MAY])
        assert opened.run("run", SHANGHAI_MAY, *MAY_20).code == 0
        yield opened


def test_the_command_tells_people_and_programs(world: World) -> None:
    asked = contract_id(6)
    ended = world.run("explain", asked, "--campaign", BEIJING)
    assert (ended.code, ended.err) == (0, "")
    for words in (
        f"合同 {asked}（YHWX-00006）",
        f"活动 {BEIJING} 北京 5月签约激励（活动期 2025-05-01 至 2025-05-31）",
        f"管家 管家1（北京燕归来装饰）；平台单；工单 GD-00006；项目地址 {LONG_ADDRESS}\n",
        "活动期内第 6 单，个人第 2 单；登记时累计 2 单，18,000 元，计入业绩 18,000 元",
        "幸运数字 接好运　28 元",
        "活动期内第 6 单，尾数是幸运数字 6；合同金额 9,000 元，低于 10,000 元",
        f'依据 REWARD_CONFIGS["{BEIJING}"].lucky_rewards.base',
        "节节高：累计 2 单，累计计入业绩 18,000 元；距离达成节节高奖励条件还需 4 单",
        "管家1 现在：累计 2 单",
        "按台账",
    ):
        assert words in ended.out
    told_of = world.run("explain", asked, "--json", "--campaign", BEIJING)
    assert len(told_of.out.splitlines()) == 1
    assert list(told_of.json) == ["contract", "basis", "registered", "rejected"]
    assert told_of.json["registered"][0]["awards"][0]["amount"] == "28"
    assert len(world.run("explain", asked, "--json").json["registered"]) == 2


def test_the_command_tells_why_a_row_was_rejected(world: World) -> None:
    ended = world.run("explain", contract_id(8))
    assert ended.code == 0
    assert "'待定' 不是数字" in ended.out
    assert "请在源数据里改正" in ended.out


def test_the_command_tells_of_a_housekeeper_at_each_provider(world: World) -> None:
    ended = world.run("explain", "--housekeeper", "管家1", "--campaign", SHANGHAI_MAY)
    assert (ended.code, ended.err) == (0, "")
    assert "管家1（甲）" in ended.out
    assert "管家1（乙[1]）" in ended.out
    told_of = world.run("explain", "--housekeeper", "管家1", "--campaign", SHANGHAI_MAY, "--json").json
    assert [one["provider"] for one in told_of["payees"]] == ["甲", "乙[1]"]
    told_of = world.run("explain", "--housekeeper", "管家1", "--campaign", BEIJING, "--json").json
    assert list(told_of) == [
        "housekeeper", "campaign", "title", "period", "closed_at", "basis", "payees", "amount", "notes",
    ]  # fmt: skip
    assert told_of["amount"] == "28"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "二选一"),
        (("123", "--housekeeper", "管家1", "--campaign", BEIJING), "二选一"),
        (("--housekeeper", "管家1"), "--campaign"),
        (("123",), "没有合同 123"),
        (("123", "--json"), "没有合同 123"),
        (("--housekeeper", "管家99", "--campaign", BEIJING), "是不是"),
        (("--housekeeper", "管家1", "--campaign", "BJ-2099-01"), "没有名为 BJ-2099-01 的活动"),
    ],
)
def test_what_the_command_cannot_answer_is_one_line_and_exit_code_2(
    world: World, arguments: tuple[str, ...], words: str
) -> None:
    ended = world.run("explain", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert words.replace("二选一", "二者选一") in ended.err
