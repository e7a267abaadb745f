"""REWARD_CONFIGS: every fault and warning at once, each with its path, its value and what would be right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from modules.campaigns import CampaignsFileError, load_badge_lists, load_campaigns
from modules.config import CITIES, REWARD_CONFIGS
from modules.rewards.campaign import Campaign, City, PerformanceLimits
from modules.rewards.validation import ParsedCampaigns, parse_campaigns

ROOT = Path(__file__).resolve().parent.parent
KEY = "BJ-2025-10"
TODAY = date(2025, 9, 15)  # next month is October 2025
GOOD: dict[str, Any] = {
    "card_id": 1800,
    "lucky_number": "8",
    "lucky_rewards": {
        "base": {"name": "接好运", "threshold": 0},
        "high": {"name": "接好运万元以上", "threshold": 10000},
    },
    "performance_limits": {"enable_cap": True, "single_contract_cap": 50000, "single_project_limit": 50000},
    "tiered_rewards": {
        "min_contracts": 6,
        "tiers": [
            {"name": "达标奖", "threshold": 80000},
            {"name": "优秀奖", "threshold": 180000},
            {"name": "精英奖", "threshold": 280000},
        ],
    },
    "awards_mapping": {"接好运": 36, "接好运万元以上": "66", "达标奖": 200, "优秀奖": 400, "精英奖": 600},
    "badges": {"elite": {"label": "【🎖精英管家】", "members": "elite", "multiplier": 2, "applies_to": ["节节高"]}},
}
FULL: dict[str, Any] = {
    **GOOD,
    "title": "十月大促",
    "city": "北京",
    "start": "2025-10-01",
    "end": "2025-10-31",
    "settle_days": 5,
    "housekeeper_key": "housekeeper+provider",
    "source_types": [1, "4"],
    "historical_contracts": True,
    "bonus_pool_ratio": 0.002,
    "lucky_number": 5,
    "lucky_number_mode": "personal_sequence",
    "lucky_number_sequence_type": "platform_only",
    "opening_reward": {"first": 10, "name": "开门红"},
    "contract_rewards": [
        {"name": "小单奖", "below_amount": 5000},
        {"name": "中单奖", "min_amount": 5000, "below_amount": "20,000", "first_contracts": 100, "quota": 10},
        {"name": "大单奖", "min_amount": 20000},
    ],
    "self_referral_rewards": {"enable": True, "reward_name": "红包"},
    "tiered_rewards": {**GOOD["tiered_rewards"], "stats": "platform_only"},
    "awards_mapping": {**GOOD["awards_mapping"], "开门红": 8, "小单奖": 1, "中单奖": 2, "大单奖": 3, "红包": 6.6},
    "notification": {"group": "bj_group", "contact": "bj_contact", "template": "broadcast_beijing"},
}
"""An entry with every section."""


def with_change(path: str, value: Any, of: dict[str, Any] = GOOD) -> dict[str, Any]:
    """GOOD with one place changed: `tiered_rewards.tiers.2.threshold`. `...` removes it."""
    entry = deepcopy(of)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place: Any = entry
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return entry


def parse(entries: dict[Any, Any], today: date = TODAY) -> ParsedCampaigns:
    cities = {code: City.model_validate(row) for code, row in CITIES.items()}
    return parse_campaigns(entries, cities, {"elite": frozenset({"顾北辰"})}, today)


def faults(entry: Any, key: str = KEY) -> list[str]:
    """The faults of one campaign, which then doesn't run. The path without `REWARD_CONFIGS["<key>"]`."""
    parsed = parse({key: entry})
    assert (key in parsed.campaigns) == (not parsed.faults)
    return [str(fault).removeprefix(f'REWARD_CONFIGS["{key}"]').removeprefix(".") for fault in parsed.faults]


def places(entry: dict[str, Any]) -> set[str]:
    """Where the faults of an entry are; no place is told of twice."""
    found = [fault.partition(":")[0] for fault in faults(entry)]
    assert len(set(found)) == len(found), found
    return set(found)


def warnings(entry: dict[str, Any]) -> list[str]:
    parsed = parse({KEY: entry})
    assert parsed.faults == ()
    return [str(fault).removeprefix(f'REWARD_CONFIGS["{KEY}"].') for fault in parsed.warnings]


def campaign(entry: dict[str, Any], key: str = KEY) -> Campaign:
    parsed = parse({key: entry})
    assert parsed.faults == ()
    return parsed.campaigns[key]


def file(folder: Path, text: str) -> Path:
    path = folder / "campaigns.py"
    path.write_text(text, encoding="utf-8")
    return path


# -- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [GOOD, FULL], ids=["as today", "all sections"])
def test_a_good_entry_has_neither_fault_nor_warning(entry: dict[str, Any]) -> None:
    assert faults(entry) == []
    assert warnings(entry) == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        # unknown keys, with the nearest known name
        ("tierd_rewards", {}, "tierd_rewards: 未知的键，是否想写 tiered_rewards？"),
        ("tiered_rewards.min_contract", 6, "tiered_rewards.min_contract: 未知的键，是否想写 min_contracts？"),
        (
            "tiered_rewards.tiers.1.thresold",
            6,
            "tiered_rewards.tiers[1].thresold: 未知的键，是否想写 threshold？",
        ),
        (
            "performance_limits.single_contract_limit",
            1,
            "performance_limits.single_contract_limit: 未知的键，是否想写 single_contract_cap？",
        ),
        ("lucky_rewards.hihg", {}, "lucky_rewards.hihg: 未知的键，是否想写 high？"),
        ("lucky_rewards.high.treshold", 1, "lucky_rewards.high.treshold: 未知的键，是否想写 threshold？"),
        ("badges.elite.multiplyer", 2, "badges.elite.multiplyer: 未知的键，是否想写 multiplier？"),
        ("notification.groups", "x", "notification.groups: 未知的键，是否想写 group？"),
        ("tiered_rewards.zzz", 6, "tiered_rewards.zzz: 未知的键，可用的键：min_contracts、stats、tiers"),
        # names without an amount
        ("awards_mapping.优秀奖", ..., "tiered_rewards.tiers[1].name: “优秀奖”在 awards_mapping 里没有金额，请补上"),
        ("awards_mapping.接好运", ..., "lucky_rewards.base.name: “接好运”在 awards_mapping 里没有金额，请补上"),
        (
            "awards_mapping.接好运万元以上",
            ...,
            "lucky_rewards.high.name: “接好运万元以上”在 awards_mapping 里没有金额，请补上",
        ),
        # tiers
        (
            "tiered_rewards.tiers.1.threshold",
            300000,
            "tiered_rewards.tiers[2].threshold: 280000 不高于上一档 300000，应逐档升高",
        ),
        (
            "tiered_rewards.tiers.2.threshold",
            "180,000",
            "tiered_rewards.tiers[2].threshold: 180000 不高于上一档 180000，应逐档升高",
        ),
        (
            "tiered_rewards.tiers.2.name",
            "达标奖",
            "tiered_rewards.tiers[2].name: “达标奖”与前面一档重名，每档应有自己的名称",
        ),
        ("tiered_rewards.tiers.0.threshold", ..., "tiered_rewards.tiers[0].threshold: 缺少这一项，请补上"),
        ("tiered_rewards.tiers.0.threshold", "八万", "tiered_rewards.tiers[0].threshold: '八万' 不是数字"),
        ("tiered_rewards.tiers", 3, "tiered_rewards.tiers: 3 应是一个列表"),
        ("tiered_rewards.min_contracts", -1, "tiered_rewards.min_contracts: -1 太小，应不小于 0"),
        ("tiered_rewards.min_contracts", "六", "tiered_rewards.min_contracts: '六' 不是整数，应写整数"),
        # the period
        ("end", date(2025, 9, 30), "end: 结束日 2025-09-30 早于开始日 2025-10-01，应不早于开始日"),
        ("start", "2025-11-01", "end: 结束日 2025-10-31 早于开始日 2025-11-01，应不早于开始日"),
        ("start", "十月一日", "start: '十月一日' 不是日期，应写成 2025-05-01 的形式"),
        ("settle_days", -1, "settle_days: -1 太小，应不小于 0"),
        # caps and ratios
        (
            "performance_limits.single_contract_cap",
            -1,
            "performance_limits.single_contract_cap: -1 是负数，应不小于 0",
        ),
        (
            "performance_limits.single_project_limit",
            "-0.01",
            "performance_limits.single_project_limit: -0.01 是负数，应不小于 0",
        ),
        ("bonus_pool_ratio", -0.002, "bonus_pool_ratio: -0.002 应在 0 和 1 之间"),
        ("bonus_pool_ratio", "NaN", "bonus_pool_ratio: 'NaN' 不是数字"),
        ("performance_limits.enable_cap", "也许", "performance_limits.enable_cap: '也许' 应写 True 或 False"),
        # the lucky number
        ("lucky_number", "66", "lucky_number: '66' 不是一位数字，应为 0 到 9"),
        ("lucky_number", -1, "lucky_number: -1 不是一位数字，应为 0 到 9"),
        ("lucky_number", "八", "lucky_number: '八' 不是一位数字，应为 0 到 9"),
        ("lucky_number", True, "lucky_number: True 不是一位数字，应为 0 到 9"),
        ("lucky_number", ..., "lucky_number: 设置了 lucky_rewards，缺少这一项，请补上 0 到 9 的数字"),
        ("lucky_rewards", ..., "lucky_rewards: 设置了 lucky_number，缺少这一项，请补上奖励名称"),
        # badges
        (
            "badges.elite.members",
            "elites",
            "badges.elite.members: config/badges.yaml 里没有名单 'elites'，现有：elite",
        ),
        ("badges.elite.multiplier", 0, "badges.elite.multiplier: 0 应大于 0，不大于 100"),
        ("badges.elite.applies_to", ["步步高"], "badges.elite.applies_to[0]: '步步高' 不在可选之列，应为 "),
        # the rest
        ("awards_mapping.达标奖", -200, "awards_mapping.达标奖: -200 是负数，应不小于 0"),
        ("awards_mapping.达标奖", "二百", "awards_mapping.达标奖: '二百' 不是数字"),
        ("housekeeper_key", "provider", "housekeeper_key: 'provider' 不在可选之列，应为 'housekeeper' 或 "),
        ("card_id", "abc", "card_id: 'abc' 不是整数，应写整数"),
        ("card_id", 0, "card_id: 0 太小，应大于 0"),
        ("settle_days", 10**9, "settle_days: 1000000000 太大，应不大于 366"),
        ("end", "2205-10-31", "end: 2205-10-31 应在 2000 年到 2099 年之间"),
        ("title", 10, "title: 10 不是文字，请加引号写成文字"),
        ("title", "", "title: '' 不能为空"),
        ("title", " ", "title: ' ' 不能为空"),
        ("city", "", "city: '' 不能为空"),
        ("tiered_rewards", [1], "tiered_rewards: [1] 应是一组键和值"),
        ("key", "x", "key: 未知的键，活动编号已写在外面，请删去"),
    ],
)
def test_fault_is_told_with_its_path(path: str, value: Any, fault: str) -> None:
    (found,) = faults(with_change(path, value))
    assert found == fault if not fault.endswith((" ", " 或 ")) else found.startswith(fault)


NAMELESS = "“{}”在 awards_mapping 里没有金额，请补上"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        # unknown keys
        ("contract_reward", [], "contract_reward: 未知的键，是否想写 contract_rewards？"),
        ("lucky_mode", "x", "lucky_mode: 未知的键，是否想写 lucky_number_mode？"),
        ("opening_reward.frist", 1, "opening_reward.frist: 未知的键，是否想写 first？"),
        ("contract_rewards.1.min_amout", 1, "contract_rewards[1].min_amout: 未知的键，是否想写 min_amount？"),
        (
            "contract_rewards.2.zzz",
            1,
            "contract_rewards[2].zzz: 未知的键，可用的键：below_amount、first_contracts、min_amount、name、quota",
        ),
        ("self_referral_rewards.enabled", 1, "self_referral_rewards.enabled: 未知的键，是否想写 enable？"),
        ("badges.label", {"lable": "x", **GOOD["badges"]["elite"]}, "badges.label.lable: 未知的键，是否想写 label？"),
        # names without an amount
        ("awards_mapping.开门红", ..., "opening_reward.name: " + NAMELESS.format("开门红")),
        ("awards_mapping.大单奖", ..., "contract_rewards[2].name: " + NAMELESS.format("大单奖")),
        ("awards_mapping.红包", ..., "self_referral_rewards.reward_name: " + NAMELESS.format("红包")),
        # the lucky number
        ("lucky_number", 0, "lucky_number: 0 不是正整数，personal_sequence 时应为 1、2、3 这样的正整数"),
        ("lucky_number", "5.0", "lucky_number: '5.0' 不是正整数，personal_sequence 时应为 1、2、3 这样的正整数"),
        ("lucky_number", ..., "lucky_number: 设置了 lucky_rewards，缺少这一项，请补上正整数"),
        ("lucky_number_mode", "personal", "lucky_number_mode: 'personal' 不在可选之列，应为 'contract_number' 或 "),
        ("lucky_number_sequence_type", "all", "lucky_number_sequence_type: 'all' 不在可选之列，应为 'personal', "),
        # the opening reward
        ("opening_reward.first", 0, "opening_reward.first: 0 太小，应大于 0"),
        ("opening_reward.first", ..., "opening_reward.first: 缺少这一项，请补上"),
        ("opening_reward.name", "a,b", "opening_reward.name: 'a,b' 写法不对，应不含英文逗号"),
        # bands
        (
            "contract_rewards.1.min_amount",
            4999.99,
            "contract_rewards[1].min_amount: 4999.99 至 20000 与“小单奖”的 0 至 5000 重叠，各段金额应互不重叠",
        ),
        (
            "contract_rewards.2.min_amount",
            19999,
            "contract_rewards[2].min_amount: 19999 及以上 与“中单奖”的 5000 至 20000 重叠，各段金额应互不重叠",
        ),
        (
            "contract_rewards.1.below_amount",
            5000,
            "contract_rewards[1].below_amount: 5000 不高于 min_amount 5000，应高于它",
        ),
        ("contract_rewards.2.name", "小单奖", "contract_rewards[2].name: “小单奖”与前面一段重名，每段应有自己的名称"),
        ("contract_rewards.1.min_amount", "-1", "contract_rewards[1].min_amount: -1 是负数，应不小于 0"),
        ("contract_rewards.1.quota", -1, "contract_rewards[1].quota: -1 太小，应不小于 0"),
        ("contract_rewards.1.quota", True, "contract_rewards[1].quota: True 不是整数，应写整数"),
        ("card_id", True, "card_id: True 不是整数，应写整数"),
        ("settle_days", False, "settle_days: False 不是整数，应写整数"),
        ("contract_rewards.1.first_contracts", 0, "contract_rewards[1].first_contracts: 0 太小，应大于 0"),
        ("contract_rewards.1", 7, "contract_rewards[1]: 7 应是一组键和值"),
        # the rest
        (
            "self_referral_rewards.reward_name",
            "",
            "self_referral_rewards.reward_name: 启用了自引单奖励，缺少这一项，请补上奖励名称",
        ),
        ("tiered_rewards.stats", "all", "tiered_rewards.stats: 'all' 不在可选之列，应为 'total' 或 'platform_only'"),
        ("source_types", 1, "source_types: 1 不是 sourceType 的列表，应像 [1, 4]"),
        (
            "badges.elite.applies_to",
            ["节节高", "步步高"],
            "badges.elite.applies_to[1]: '步步高' 不在可选之列，应为 '幸运数字', '签约奖励', '自引单' 或 '节节高'",
        ),
        (
            "performance_limits.self_referral_contract_cap",
            -5,
            "performance_limits.self_referral_contract_cap: -5 是负数，应不小于 0",
        ),
        ("awards_mapping", {**FULL["awards_mapping"], 5: 1}, "awards_mapping[5]: 键应是文字，请加引号"),
    ],
)
def test_fault_of_any_section_is_told_with_its_path(path: str, value: Any, fault: str) -> None:
    (found,) = faults(with_change(path, value, FULL))
    assert found == fault if not fault.endswith((", ", " 或 ")) else found.startswith(fault)


def test_every_pair_of_bands_that_overlaps_is_told() -> None:
    entry = {
        "contract_rewards": [
            {"name": "a", "min_amount": 100},
            {"name": "b", "below_amount": 100},
            {"name": "c", "min_amount": 99, "below_amount": 101},
        ],
        "awards_mapping": dict.fromkeys("abc", 1),
    }
    assert [fault.partition(" 与")[0] + fault.partition("与")[2][:3] for fault in faults(entry)] == [
        "contract_rewards[2].min_amount: 99 至 101“a”",
        "contract_rewards[2].min_amount: 99 至 101“b”",
    ]


@pytest.mark.parametrize("key", ["BJ-2025-13", "BJ-25-10", "bj-2025-10", "2025-10", "BJ_2025_10", 5])
def test_a_key_of_another_form_is_a_fault(key: Any) -> None:
    parsed = parse({key: GOOD})
    assert [str(fault) for fault in parsed.faults] == [
        f'REWARD_CONFIGS["{key}"]: 活动编号应写成 城市代码-年-月，例如 BJ-2025-05'
    ]
    assert parsed.campaigns == {}


def test_an_entry_that_is_no_dict_is_a_fault() -> None:
    assert faults([1]) == [": 应是一组键和值"]


def test_a_city_that_is_not_in_the_table_is_a_fault_with_the_remedy() -> None:
    found = faults(GOOD, "GZ-2025-10")
    (remedy,) = [fault for fault in found if fault.startswith(":")]
    assert remedy.startswith(": 城市代码 GZ 不在 CITIES 表里（现有：BJ 北京、SH 上海）")
    whole = {**GOOD, "city": "广州", "notification": {"group": "g", "contact": "c", "template": "broadcast_beijing"}}
    assert faults(whole, "GZ-2025-10") == []


def test_all_faults_of_one_campaign_are_told_at_once() -> None:
    entry = with_change("tiered_rewards.tiers.2.threshold", 180000)
    entry |= {"titel": "x", "lucky_number": "12", "bonus_pool_ratio": -1, "end": date(2025, 1, 1)}
    entry["performance_limits"]["single_contract_cap"] = -5
    entry["badges"]["elite"]["lable"] = "x"
    del entry["awards_mapping"]["接好运"], entry["awards_mapping"]["优秀奖"]
    assert {fault.partition(":")[0] for fault in faults(entry)} == {
        "titel",
        "lucky_number",
        "bonus_pool_ratio",
        "end",
        "performance_limits.single_contract_cap",
        "badges.elite.lable",
        "tiered_rewards.tiers[2].threshold",
        "tiered_rewards.tiers[1].name",
        "lucky_rewards.base.name",
    }


def test_an_unreadable_section_is_not_taken_for_a_missing_one() -> None:
    entry = {**GOOD, "lucky_rewards": "接好运", "awards_mapping": "没有"}
    assert places(entry) == {"lucky_rewards", "awards_mapping"}


def test_an_unreadable_amount_is_not_taken_for_a_missing_one() -> None:
    entry = with_change("awards_mapping.达标奖", "?")
    del entry["awards_mapping"]["优秀奖"]
    assert places(entry) == {"awards_mapping.达标奖", "tiered_rewards.tiers[1].name"}


SINGLE_FAULTS: dict[str, tuple[str, Any]] = {
    "titel": ("titel", 1),
    "title": ("title", ""),
    "start": ("start", "?"),
    "settle_days": ("settle_days", -1),
    "card_id": ("card_id", "?"),
    "housekeeper_key": ("housekeeper_key", "?"),
    "source_types": ("source_types", "?"),
    "bonus_pool_ratio": ("bonus_pool_ratio", 2),
    "lucky_number": ("lucky_number", "八"),
    "lucky_number_mode": ("lucky_number_mode", "?"),
    "lucky_rewards.high.threshold": ("lucky_rewards.high.threshold", "?"),
    "lucky_rewards.base": ("lucky_rewards.base", ...),
    "opening_reward.first": ("opening_reward.first", "?"),
    "opening_reward.name": ("awards_mapping.开门红", ...),
    "contract_rewards[0].below_amount": ("contract_rewards.0.below_amount", 0),
    "contract_rewards[1].quota": ("contract_rewards.1.quota", "?"),
    "contract_rewards[1].min_amount": ("contract_rewards.1.min_amount", 10**5),
    "contract_rewards[1].name": ("contract_rewards.1.name", "小单奖"),
    "contract_rewards[2].name": ("awards_mapping.大单奖", ...),
    "contract_rewards[3]": ("contract_rewards", [*FULL["contract_rewards"], 7]),
    "self_referral_rewards.reward_name": ("self_referral_rewards.reward_name", ...),
    "performance_limits.single_contract_cap": ("performance_limits.single_contract_cap", -1),
    "tiered_rewards.min_contracts": ("tiered_rewards.min_contracts", "?"),
    "tiered_rewards.stats": ("tiered_rewards.stats", "?"),
    "tiered_rewards.tiers[0].threshold": ("tiered_rewards.tiers.0.threshold", "?"),
    "tiered_rewards.tiers[0].name": ("awards_mapping.达标奖", ...),
    "tiered_rewards.tiers[1].name": ("tiered_rewards.tiers.1.name", 5),
    "tiered_rewards.tiers[2].threshold": ("tiered_rewards.tiers.2.threshold", 1000),
    "tiered_rewards.tiers[2].thresold": ("tiered_rewards.tiers.2.thresold", 1000),
    "badges.elite.members": ("badges.elite.members", "?"),
    "badges.elite.applies_to[0]": ("badges.elite.applies_to", ["?"]),
    "notification.template": ("notification.template", "a/b"),
    "awards_mapping.红包": ("awards_mapping.红包", "?"),
}
"""Place of a fault → a change that makes it, and no other."""

SINGLE_FAULTS["contract_rewards[1].below_amount"] = SINGLE_FAULTS.pop("contract_rewards[1].min_amount")


@pytest.mark.parametrize("first", SINGLE_FAULTS)
def test_nobody_mends_one_fault_to_be_told_of_the_next(first: str) -> None:
    entry = with_change(*SINGLE_FAULTS[first], FULL)
    assert places(entry) == {first}
    for second, change in SINGLE_FAULTS.items():
        path = SINGLE_FAULTS[first][0]
        if not (path.startswith(change[0]) or change[0].startswith(path)):
            assert places(with_change(*change, entry)) == {first, second}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"tiered_rewards.tiers.1.threshold": "?", "tiered_rewards.tiers.2.threshold": 1000},
            {"tiered_rewards.tiers[1].threshold", "tiered_rewards.tiers[2].threshold"},
        ),
        ({"contract_rewards.0.below_amount": "?"}, {"contract_rewards[0].below_amount"}),
        (
            {"contract_rewards": FULL["contract_rewards"][::-1], "contract_rewards.1.min_amount": "?"},
            {"contract_rewards[1].min_amount"},
        ),
        (
            {"contract_rewards.1.min_amount": ..., "contract_rewards.1.min_amout": 5000},
            {"contract_rewards[1].min_amout"},
        ),
        (
            {"contract_rewards.0": 7, "contract_rewards.1.below_amount": 5000},
            {"contract_rewards[0]", "contract_rewards[1].below_amount"},
        ),
        ({"lucky_number": ..., "lucky_numbr": 5}, {"lucky_numbr"}),
        ({"lucky_number": 12, "lucky_number_mode": "?"}, {"lucky_number_mode"}),
        ({"lucky_number": 0, "lucky_number_mode": "?"}, {"lucky_number_mode"}),
        ({"lucky_number": "x", "lucky_number_mode": "?"}, {"lucky_number_mode", "lucky_number"}),
        ({"announcement_only": "?", "awards_mapping": {}}, {"announcement_only"}),
        (
            {"self_referral_rewards.enable": "?", "self_referral_rewards.reward_name": ...},
            {"self_referral_rewards.enable"},
        ),
        (
            {"awards_mapping": FULL["awards_mapping"] | {5: 1}, "awards_mapping.红包": ...},
            {"awards_mapping[5]", "self_referral_rewards.reward_name"},
        ),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # the same in every process
)
def test_no_fault_is_made_up_of_what_cannot_be_read(changes: dict[str, Any], told: set[str]) -> None:
    entry = FULL
    for path, value in changes.items():
        entry = with_change(path, value, entry)
    assert places(entry) == told


JUNK = [
    *(None, 0, -1, 10**30, 1.5, float("nan"), True, "", "x", " ", "a,b", "\ud800", b"x", object(), len),
    *([], [1], [None], {}, {"a": 1}, {5: 1}, (), (1,), {1, 2}),
    *(date(1, 1, 1), date(9999, 12, 31), datetime(2025, 1, 1, 1, tzinfo=UTC)),
]


def places_in(value: Any, path: str = "") -> Iterator[str]:
    """The path of everything that stands in an entry."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        here = f"{path}.{key}" if path else str(key)
        yield here
        yield from places_in(item, here)


@pytest.mark.parametrize("section", FULL)
def test_whatever_stands_anywhere_is_taken_or_told_of_in_chinese(section: str) -> None:
    for path in [section, *places_in(FULL[section], section)]:
        for value in JUNK:
            for fault in parse({KEY: with_change(path, value, FULL)}).faults:
                assert fault.path.startswith(f'REWARD_CONFIGS["{KEY}"].'), (path, value, fault)
                words = fault.text.replace(repr(value), "")
                assert re.search("[\u4e00-\u9fff]{2}", words), (path, value, fault)
                assert not re.search("[a-z]+ [a-z]+|（[a-z_]+）", words), (path, value, fault)


@pytest.mark.parametrize(
    "off",
    [
        *({name: value} for name in ("lucky_rewards", "opening_reward", "tiered_rewards", "badges", "awards_mapping",
                                     "contract_rewards", "self_referral_rewards", "performance_limits", "notification",
                                     "source_types", "lucky_number")
          for value in (None, {}, [], "", " ")),
        {"lucky_number": "", "lucky_rewards": {"base": {"name": "接好运"}, "high": "?"}},
        {"lucky_number": None, "lucky_rewards": {"base": {"name": "接好运"}}},
        {"self_referral_rewards": {"enable": False}},
        {"self_referral_rewards": {"enable": False, "reward_name": ""}},
        {"tiered_rewards": {"min_contracts": 5, "tiers": []}},
        {"title": None, "city": None, "start": None, "card_id": None, "settle_days": None},
    ],
    ids=str,
)  # fmt: skip
def test_off_is_no_fault_and_grants_nothing(off: dict[str, Any]) -> None:
    assert list(campaign(off).grantable()) == []
    assert warnings(off) == ["card_id: 未写问题卡编号，这个活动不会自动运行"]


def test_a_lucky_number_that_is_off_switches_its_rewards_off_too() -> None:
    entry = {**GOOD, "lucky_number": ""}
    assert {name for _, name in campaign(entry).grantable()} == {"达标奖", "优秀奖", "精英奖"}
    assert [warning.partition(":")[0] for warning in warnings(entry)] == [
        "awards_mapping.接好运",
        "awards_mapping.接好运万元以上",
    ]


def test_faults_of_all_campaigns_are_told_and_the_others_run() -> None:
    parsed = parse(
        {
            "BJ-2025-10": GOOD,
            "BJ-2025-11": {**GOOD, "titel": 1},
            "SH-2025-10": {**GOOD, "lucky_number": "x"},
            "SH-2025-11": {**GOOD, "card_id": 1801},
        }
    )
    assert [fault.path for fault in parsed.faults] == [
        'REWARD_CONFIGS["BJ-2025-11"].titel',
        'REWARD_CONFIGS["SH-2025-10"].lucky_number',
    ]
    assert list(parsed.campaigns) == ["BJ-2025-10", "SH-2025-11"]


class TestOverlap:
    NOVEMBER = {**GOOD, "start": date(2025, 10, 31)}  # noqa: RUF012

    def test_of_two_campaigns_of_one_city_on_one_card_stops_both(self) -> None:
        parsed = parse({"BJ-2025-10": GOOD, "BJ-2025-11": self.NOVEMBER, "SH-2025-10": GOOD})
        remedy = "的活动期重叠，且同用问题卡 1800，请改其一"
        assert [str(fault) for fault in parsed.faults] == [
            f'REWARD_CONFIGS["BJ-2025-10"].start: 2025-10-01 至 2025-10-31 与 BJ-2025-11 {remedy}',
            f'REWARD_CONFIGS["BJ-2025-11"].start: 2025-10-31 至 2025-11-30 与 BJ-2025-10 {remedy}',
        ]
        assert list(parsed.campaigns) == ["SH-2025-10"]

    @pytest.mark.parametrize(
        "also",
        [{"titel": 1}, {"lucky_number": "?"}, {"tiered_rewards": 5}, {"awards_mapping": {}}, {"key": "x"}],
        ids=str,
    )
    def test_is_told_whatever_else_is_wrong(self, also: dict[str, Any]) -> None:
        for first, second in (
            (GOOD | also, self.NOVEMBER),
            (GOOD, self.NOVEMBER | also),
            (GOOD | also, self.NOVEMBER | also),
        ):
            parsed = parse({"BJ-2025-10": first, "BJ-2025-11": second, "SH-2025-10": GOOD})
            told = {fault.path for fault in parsed.faults if "重叠" in fault.text}
            assert told == {'REWARD_CONFIGS["BJ-2025-10"].start', 'REWARD_CONFIGS["BJ-2025-11"].start'}
            assert list(parsed.campaigns) == ["SH-2025-10"]

    def test_in_a_city_that_is_not_in_the_table_is_told(self) -> None:
        parsed = parse({"GZ-2025-10": GOOD, "GZ-2025-11": self.NOVEMBER, "CD-2025-10": GOOD})
        told = [fault.path for fault in parsed.faults if "重叠" in fault.text]
        assert told == ['REWARD_CONFIGS["GZ-2025-10"].start', 'REWARD_CONFIGS["GZ-2025-11"].start']

    @pytest.mark.parametrize("city", ["帝都", [1]])
    def test_is_told_however_the_city_is_displayed(self, city: Any) -> None:
        parsed = parse({"BJ-2025-10": GOOD, "BJ-2025-11": self.NOVEMBER | {"city": city}})
        told = [fault.path for fault in parsed.faults if "重叠" in fault.text]
        assert told == ['REWARD_CONFIGS["BJ-2025-10"].start', 'REWARD_CONFIGS["BJ-2025-11"].start']

    @pytest.mark.parametrize("place", ["start", "end", "card_id"])
    def test_is_not_guessed_where_what_decides_cannot_be_read(self, place: str) -> None:
        parsed = parse({"BJ-2025-10": GOOD, "BJ-2025-11": self.NOVEMBER | {place: [1]}})
        assert [fault.path for fault in parsed.faults] == [f'REWARD_CONFIGS["BJ-2025-11"].{place}']
        assert list(parsed.campaigns) == ["BJ-2025-10"]

    @pytest.mark.parametrize(
        "other",
        [{**NOVEMBER, "card_id": 1801}, {**NOVEMBER, "card_id": None}, {**GOOD, "start": date(2025, 11, 1)}],
        ids=["another card", "no card", "the next day"],
    )
    def test_otherwise_is_none(self, other: dict[str, Any]) -> None:
        parsed = parse({"BJ-2025-10": GOOD, "BJ-2025-11": other})
        assert parsed.faults == ()
        assert len(parsed.campaigns) == 2


# -- warnings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "warning"),
    [
        ("card_id", ..., "card_id: 未写问题卡编号，这个活动不会自动运行"),
        ("awards_mapping.开门红", 88, "awards_mapping.开门红: 有金额，但没有任何规则会发这个奖"),
        (
            "performance_limits.single_project_limit",
            49999.99,
            "performance_limits.single_project_limit: 工单上限 49999.99 低于单个合同上限 50000，合同上限不起作用",
        ),
        (
            "lucky_number_sequence_type",
            "global",
            "lucky_number_sequence_type: 只在 lucky_number_mode 为 personal_sequence 时起作用，现在不起作用",
        ),
        (
            "performance_limits.self_referral_contract_cap",
            60000,
            "performance_limits.self_referral_contract_cap: 工单上限 50000 低于单个合同上限 60000，合同上限不起作用",
        ),
        (
            "performance_limits.self_referral_project_limit",
            100,
            "performance_limits.self_referral_project_limit: 工单上限 100 低于单个合同上限 50000，合同上限不起作用",
        ),
    ],
)
def test_warning_is_told_and_the_campaign_runs(path: str, value: Any, warning: str) -> None:
    assert warnings(with_change(path, value)) == [warning]


def test_a_band_without_a_single_place_is_never_granted() -> None:
    """Unless something else grants an award of its name."""
    bands = [{"name": "大单奖", "min_amount": 50000, "quota": 0}, {"name": "接好运", "below_amount": 1, "quota": 0}]
    entry = GOOD | {"contract_rewards": bands, "awards_mapping": GOOD["awards_mapping"] | {"大单奖": 88}}
    assert warnings(entry) == ["awards_mapping.大单奖: 有金额，但名额 quota 是 0，不会发这个奖"]


def test_what_announcement_only_switches_off_is_silent_but_for_its_amounts() -> None:
    assert warnings({**GOOD, "announcement_only": True}) == [
        f"awards_mapping.{name}: 有金额，但活动只报喜（announcement_only），不会发这个奖"
        for name in GOOD["awards_mapping"]
    ]
    assert warnings({**FULL, "announcement_only": True, "awards_mapping": {}}) == []


def test_a_self_referral_reward_that_is_off_is_never_granted() -> None:
    entry = with_change("self_referral_rewards.enable", False, FULL)
    assert warnings(entry) == ["awards_mapping.红包: 有金额，但没有任何规则会发这个奖"]


def test_a_project_limit_below_a_cap_that_is_switched_off_is_no_warning() -> None:
    entry = with_change("performance_limits.single_project_limit", 100)
    entry["performance_limits"]["enable_cap"] = False
    assert warnings(entry) == []


@pytest.mark.parametrize(
    ("today", "month"),
    [
        (date(2025, 9, 1), None),
        (date(2025, 9, 30), None),
        (date(2025, 10, 31), "2025-11"),
        (date(2025, 12, 1), "2026-01"),
    ],
)
def test_a_city_without_a_campaign_next_month_is_a_warning(today: date, month: str | None) -> None:
    found = [str(warning) for warning in parse({KEY: GOOD}, today).warnings]
    assert found == ([f"REWARD_CONFIGS: 北京还没有覆盖下个月（{month}）的活动"] if month else [])


def test_a_campaign_with_a_fault_covers_no_month() -> None:
    parsed = parse({"BJ-2025-09": GOOD, "BJ-2025-10": {**GOOD, "titel": 1}})
    assert [str(warning) for warning in parsed.warnings] == ["REWARD_CONFIGS: 北京还没有覆盖下个月（2025-10）的活动"]


def test_each_city_is_warned_of_by_itself() -> None:
    parsed = parse({"BJ-2025-10": GOOD, "SH-2025-09": GOOD})
    assert [str(warning) for warning in parsed.warnings] == ["REWARD_CONFIGS: 上海还没有覆盖下个月（2025-10）的活动"]


def test_a_city_is_the_same_however_it_is_displayed() -> None:
    parsed = parse({"BJ-2025-09": GOOD, "BJ-2025-10": GOOD | {"city": "帝都"}}, date(2025, 9, 1))
    assert parsed.warnings == ()


# -- defaults --------------------------------------------------------------------------------------------------------


def test_what_an_empty_entry_means() -> None:
    empty = campaign({}, "SH-2024-02")
    assert empty.title == "上海 2月签约激励"
    assert (empty.city, empty.card_id) == ("上海", None)
    assert (empty.start, empty.end) == (date(2024, 2, 1), date(2024, 2, 29))
    assert (empty.settle_days, empty.last_settle_day) == (3, date(2024, 3, 3))
    assert empty.housekeeper_key == "housekeeper"
    assert empty.bonus_pool_ratio == Decimal("0.002")
    assert empty.performance_limits.contract_cap(self_referral=False) is None
    assert empty.performance_limits.project_limit(self_referral=False) is None
    assert (empty.lucky_number, empty.lucky_rewards, empty.tiered_rewards) == (None, None, None)
    assert empty.announcement_only is False
    assert empty.notification.model_dump() == {
        "group": "sh_group",
        "contact": "sh_contact",
        "template": "broadcast_shanghai",
    }


def test_what_is_written_is_stronger_than_the_default() -> None:
    own = campaign({"title": "十月大促", "city": "北京市", "settle_days": 0, "notification": {"contact": "ops"}})
    assert (own.title, own.city, own.last_settle_day) == ("十月大促", "北京市", date(2025, 10, 31))
    assert (own.notification.group, own.notification.contact) == ("bj_group", "ops")


def test_the_title_names_the_city_as_it_is_displayed() -> None:
    assert campaign({"city": "京城"}).title == "京城 10月签约激励"


def test_amounts_are_held_in_fen() -> None:
    held = campaign({**GOOD, "awards_mapping": {**GOOD["awards_mapping"], "达标奖": "1,200.505"}})
    assert held.awards_mapping["达标奖"] == 120051
    assert held.awards_mapping["接好运万元以上"] == 6600
    assert held.tiered_rewards is not None
    assert [tier.threshold for tier in held.tiered_rewards.tiers] == [8000000, 18000000, 28000000]


def test_none_is_off() -> None:
    entry = {**GOOD, "tiered_rewards": None, "lucky_number": None, "lucky_rewards": None, "awards_mapping": None}
    assert faults(entry) == []


def test_announcement_only_needs_no_amounts() -> None:
    assert faults({**GOOD, "announcement_only": True, "awards_mapping": {}}) == []


@pytest.mark.parametrize(
    ("day", "active"),
    [
        (date(2025, 9, 30), False),
        (date(2025, 10, 1), True),
        (date(2025, 11, 3), True),
        (date(2025, 11, 4), False),
    ],
)
def test_it_is_pulled_from_its_first_day_to_the_last_settle_day(day: date, active: bool) -> None:
    assert campaign(GOOD).is_active(day) is active


def test_badge_labels_precede_the_name_of_members_only() -> None:
    assert campaign(GOOD).badge_labels("顾北辰") == "【🎖精英管家】"
    assert campaign(GOOD).badge_labels("周小满") == ""


# -- the hash of a config --------------------------------------------------------------------------------------------


def test_the_hash_changes_with_the_config_and_only_then() -> None:
    assert campaign(GOOD).config_hash() == campaign(deepcopy(GOOD)).config_hash()
    assert campaign(GOOD).config_hash() != campaign(with_change("awards_mapping.达标奖", 201)).config_hash()


def test_the_stored_config_tells_a_limit_switched_off_from_one_left_out() -> None:
    """On self-referral rows None means no limit, and nothing written means the general limit."""
    left_out = campaign({"performance_limits": {"single_project_limit": 100}})
    off = campaign({"performance_limits": {"single_project_limit": 100, "self_referral_project_limit": None}})
    for held, limit in ((left_out, 100_00), (off, None)):
        document = json.loads(held.config_json())
        again = PerformanceLimits.model_construct(
            _fields_set=set(document["performance_limits"]), **document["performance_limits"]
        )
        assert held.performance_limits.project_limit(self_referral=True) == limit
        assert again.project_limit(self_referral=True) == limit
    assert left_out.config_hash() != off.config_hash()


@pytest.mark.parametrize("entry", [{}, GOOD, FULL], ids=["empty", "as today", "all sections"])
def test_the_stored_config_can_be_read_back(entry: dict[str, Any]) -> None:
    held = campaign(entry)
    again = Campaign.from_json(held.config_json())
    assert again == held
    assert again.config_hash() == held.config_hash()


def test_the_hash_is_the_same_in_every_process() -> None:
    """Badge members are a set, and sets of texts have another order in every process."""
    script = (
        "from datetime import date; from pathlib import Path; from modules.campaigns import load_campaigns\n"
        "campaigns = load_campaigns(Path('modules/config.py'), date(2025, 5, 1)).valid\n"
        "print(*(campaign.config_hash() for campaign in campaigns.values()))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 1


# -- the file --------------------------------------------------------------------------------------------------------


class TestKeysWrittenTwice:
    def test_in_a_campaign_are_told_with_lines_and_stop_only_it(self, tmp_path: Path) -> None:
        path = file(
            tmp_path,
            'REWARD_CONFIGS = {\n  "BJ-2025-10": {\n    "card_id": 1,\n    "settle_days": 2,\n    "card_id": 2,\n  },\n'
            '  "SH-2025-10": {},\n}\n',
        )
        campaigns = load_campaigns(path, TODAY)
        assert [str(fault) for fault in campaigns.faults] == [
            'REWARD_CONFIGS["BJ-2025-10"].card_id: 写了两次（第 3 行和第 5 行），请删去一处'
        ]
        assert list(campaigns.valid) == ["SH-2025-10"]

    def test_deep_inside_are_told_too(self, tmp_path: Path) -> None:
        path = file(
            tmp_path,
            'REWARD_CONFIGS: dict = {"BJ-2025-10": {\n'
            '  "awards_mapping": {"达标奖": 1, "优秀奖": 2, "达标奖": 3},\n'
            '  "tiered_rewards": {"tiers": [{"name": "优秀奖", "threshold": 1},\n'
            '    {"name": "达标奖", "threshold": 2, "threshold": 3}]},\n'
            "}}\n",
        )
        assert [fault.path for fault in load_campaigns(path, TODAY).faults] == [
            'REWARD_CONFIGS["BJ-2025-10"].awards_mapping.达标奖',
            'REWARD_CONFIGS["BJ-2025-10"].tiered_rewards.tiers[1].threshold',
        ]

    def test_a_whole_campaign_twice_does_not_run(self, tmp_path: Path) -> None:
        path = file(tmp_path, 'REWARD_CONFIGS = {\n  "BJ-2025-10": {},\n  "SH-2025-10": {},\n  "BJ-2025-10": {},\n}\n')
        campaigns = load_campaigns(path, TODAY)
        assert [str(fault) for fault in campaigns.faults] == [
            'REWARD_CONFIGS["BJ-2025-10"]: 写了两次（第 2 行和第 4 行），请删去一处'
        ]
        assert list(campaigns.valid) == ["SH-2025-10"]
        assert campaigns.faults_with("BJ-2025-10") == list(campaigns.faults)
        assert campaigns.faults_with("SH-2025-10") == []

    def test_are_told_beside_the_other_faults(self, tmp_path: Path) -> None:
        path = file(tmp_path, 'REWARD_CONFIGS = {"BJ-2025-10": {"titel": "x", "card_id": 1, "card_id": 2}}\n')
        assert {fault.path for fault in load_campaigns(path, TODAY).faults} == {
            'REWARD_CONFIGS["BJ-2025-10"].titel',
            'REWARD_CONFIGS["BJ-2025-10"].card_id',
        }

    def test_the_same_key_in_two_dicts_is_fine(self, tmp_path: Path) -> None:
        path = file(tmp_path, 'REWARD_CONFIGS = {"BJ-2025-10": {"card_id": 1}, "SH-2025-10": {"card_id": 1}}\n')
        assert load_campaigns(path, TODAY).faults == ()


class TestFile:
    def test_saved_by_notepad_with_a_byte_order_mark_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "campaigns.py"
        path.write_text('REWARD_CONFIGS = {"BJ-2025-10": {"title": "十月"}}\n', encoding="utf-8-sig")
        assert load_campaigns(path, TODAY).valid["BJ-2025-10"].title == "十月"

    def test_may_bring_its_own_cities(self, tmp_path: Path) -> None:
        path = file(
            tmp_path,
            'CITIES = {"GZ": {"name": "广州", "group": "g", "contact": "c", "template": "t"}}\n'
            'REWARD_CONFIGS = {"GZ-2025-10": {}}\n',
        )
        assert load_campaigns(path, TODAY).valid["GZ-2025-10"].title == "广州 10月签约激励"

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("REWARD_CONFIGS = {\n'a': 1,,\n}", "第 2 行有语法错误"),
            ("REWARD_CONFIG = {}", "没有定义 REWARD_CONFIGS"),
            ("REWARD_CONFIGS = []", "没有定义 REWARD_CONFIGS"),
            ("REWARD_CONFIGS = {'BJ-2025-10': lucky}", "运行出错：NameError: name 'lucky' is not defined"),
            ("CITIES = {'GZ': {'name': '广州'}}\nREWARD_CONFIGS = {}", 'CITIES["GZ"].group: 缺少这一项，请补上'),
        ],
    )
    def test_that_cannot_be_used_says_why(self, tmp_path: Path, text: str, fault: str) -> None:
        with pytest.raises(CampaignsFileError) as error:
            load_campaigns(file(tmp_path, text), TODAY)
        assert fault in str(error.value)

    def test_that_is_not_there_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(CampaignsFileError, match="读不到活动配置"):
            load_campaigns(tmp_path / "none.py", TODAY)


class TestBadgeLists:
    def test_names_are_normalised_as_those_of_contracts_are(self, tmp_path: Path) -> None:
        path = tmp_path / "badges.yaml"
        path.write_text('elite:\n  - " 顾北辰 "\n  - "Rene\u0301"\n', encoding="utf-8")
        assert load_badge_lists(path) == {"elite": frozenset({"顾北辰", "Ren\u00e9"})}

    @pytest.mark.parametrize("text", ["elite: 顾北辰\n", "- 顾北辰\n", "elite: [", "elite: [1]\n"])
    def test_of_another_form_are_a_fault_of_the_file(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "badges.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CampaignsFileError, match=r"badges\.yaml: 读不懂徽章名单"):
            load_badge_lists(path)

    def test_an_empty_file_has_none(self, tmp_path: Path) -> None:
        path = tmp_path / "badges.yaml"
        path.write_text("# nobody\n", encoding="utf-8")
        assert load_badge_lists(path) == {}


# -- what is shipped -------------------------------------------------------------------------------------------------

BEIJING = {"达标奖": 200, "优秀奖": 400, "精英奖": 600}
SHANGHAI = {"基础奖": 200, "达标奖": 300, "优秀奖": 400, "精英奖": 800}


@pytest.mark.parametrize(
    ("key", "card", "payee", "lucky", "lucky_yuan", "cap", "project", "contracts", "thresholds", "tiers"),
    [
        ("BJ-2025-04", 1616, "housekeeper", 8, (36, 66), 100000, 100000, 6, (40000, 80000, 120000), BEIJING),
        ("BJ-2025-05", 1693, "housekeeper", 6, (28, 58), 100000, 100000, 6, (80000, 120000, 160000), BEIJING),
        (
            "SH-2025-04",
            1617,
            "housekeeper+provider",
            6,
            (36, 66),
            None,
            None,
            5,
            (40000, 60000, 80000, 120000),
            SHANGHAI,
        ),
        (
            "SH-2025-05",
            1694,
            "housekeeper+provider",
            6,
            (36, 66),
            None,
            None,
            5,
            (40000, 60000, 80000, 120000),
            SHANGHAI,
        ),
    ],
)
def test_the_shipped_campaigns_are_those_of_the_issue(
    key: str,
    card: int,
    payee: str,
    lucky: int,
    lucky_yuan: tuple[int, int],
    cap: int | None,
    project: int | None,
    contracts: int,
    thresholds: tuple[int, ...],
    tiers: dict[str, int],
) -> None:
    shipped = load_campaigns(ROOT / "modules" / "config.py", date(2025, 4, 1)).valid[key]
    assert (shipped.card_id, shipped.housekeeper_key, shipped.lucky_number) == (card, payee, lucky)
    assert shipped.lucky_rewards is not None
    assert shipped.lucky_rewards.high is not None
    assert (shipped.lucky_rewards.base.name, shipped.lucky_rewards.high.name) == ("接好运", "接好运万元以上")
    assert shipped.lucky_rewards.high.threshold == 10000_00
    limits = shipped.performance_limits
    for track in (False, True):
        assert limits.contract_cap(self_referral=track) == (None if cap is None else cap * 100)
        assert limits.project_limit(self_referral=track) == (None if project is None else project * 100)
    assert shipped.tiered_rewards is not None
    assert shipped.tiered_rewards.min_contracts == contracts
    assert [tier.name for tier in shipped.tiered_rewards.tiers] == list(tiers)
    assert [tier.threshold for tier in shipped.tiered_rewards.tiers] == [yuan * 100 for yuan in thresholds]
    amounts = {"接好运": lucky_yuan[0], "接好运万元以上": lucky_yuan[1], **tiers}
    assert shipped.awards_mapping == {name: yuan * 100 for name, yuan in amounts.items()}
    assert shipped.bonus_pool_ratio == Decimal("0.002")
    badges = {name: (badge.multiplier, badge.applies_to) for name, badge in shipped.badges.items()}
    assert badges == ({"elite": (2, ("节节高",))} if key.startswith("BJ") else {})


def test_the_shipped_file_has_the_four_campaigns_and_no_fault() -> None:
    shipped = load_campaigns(ROOT / "modules" / "config.py", date(2025, 4, 1))
    assert (shipped.faults, shipped.warnings) == ((), ())
    assert list(shipped.valid) == list(REWARD_CONFIGS) == ["BJ-2025-04", "BJ-2025-05", "SH-2025-04", "SH-2025-05"]
