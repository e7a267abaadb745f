"""What a person may turn in a campaign, and the entry that comes of it, as text to paste."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.campaigns import SHIPPED_FILE, CampaignsFile, read_campaigns_file
from modules.rewards.campaign import Campaign
from modules.rewards.changes import changed
from modules.rewards.levers import Lever, levers_of, turned_levers
from modules.rewards.literal import entry_text
from modules.rewards.validation import parse_campaigns

TODAY = date(2025, 5, 20)
EVERYTHING: dict[str, Any] = {
    "card_id": 1,
    "source_types": [1, "4"],
    "lucky_number": "6",
    "opening_reward": {"first": 10, "name": "开门红"},
    "lucky_rewards": {"base": {"name": "接好运"}, "high": {"name": "接好运万元以上", "threshold": 10000}},
    "contract_rewards": [{"name": "大单奖", "min_amount": 20000, "quota": 3}],
    "self_referral_rewards": {"enable": True, "reward_name": "红包"},
    "performance_limits": {"enable_cap": True, "single_contract_cap": 100000, "self_referral_project_limit": None},
    "tiered_rewards": {"min_contracts": 6, "tiers": [{"name": "达标奖", "threshold": "80,000.50"}]},
    "awards_mapping": {"开门红": 18, "接好运": 28, "接好运万元以上": 58, "大单奖": 99, "红包": "20.5", "达标奖": 200},
    "badges": {"elite": {"label": "【🎖】", "members": "elite", "multiplier": "1.5", "applies_to": ["节节高"]}},
}


@pytest.fixture(scope="module")
def shipped() -> CampaignsFile:
    return read_campaigns_file(SHIPPED_FILE)


def campaign_of(file: CampaignsFile, key: str, entry: object) -> Campaign:
    parsed = parse_campaigns({key: entry}, file.cities, file.badge_lists, TODAY)
    assert not parsed.faults
    return parsed.campaigns[key]


def by_path(campaign: Campaign) -> dict[str, Lever]:
    return {"/".join(map(str, lever.path)): lever for lever in levers_of(campaign)}


def test_every_section_has_its_levers(shipped: CampaignsFile) -> None:
    levers = by_path(campaign_of(shipped, "BJ-2025-06", EVERYTHING))
    assert {path: lever.value for path, lever in levers.items()} == {
        "tiered_rewards/min_contracts": 6,
        "tiered_rewards/tiers/0/threshold": 8_000_050,
        "awards_mapping/达标奖": 20_000,
        "opening_reward/first": 10,
        "awards_mapping/开门红": 1_800,
        "lucky_number": 6,
        "awards_mapping/接好运": 2_800,
        "lucky_rewards/high/threshold": 1_000_000,
        "awards_mapping/接好运万元以上": 5_800,
        "contract_rewards/0/min_amount": 2_000_000,
        "contract_rewards/0/below_amount": None,
        "contract_rewards/0/first_contracts": None,
        "contract_rewards/0/quota": 3,
        "awards_mapping/大单奖": 9_900,
        "awards_mapping/红包": 2_050,
        "performance_limits/enable_cap": True,
        "performance_limits/single_contract_cap": 10_000_000,
        "performance_limits/single_project_limit": None,
        "performance_limits/self_referral_project_limit": None,
        "badges/elite/multiplier": Decimal("1.5"),
    }


def test_what_is_not_there_has_no_lever(shipped: CampaignsFile) -> None:
    levers = by_path(campaign_of(shipped, "BJ-2025-06", {"card_id": 1}))
    assert {lever.group for lever in levers.values()} == {"业绩上限"}


@pytest.mark.parametrize("key", ["BJ-2025-04", "BJ-2025-05", "SH-2025-04", "SH-2025-05"])
def test_a_lever_left_alone_changes_nothing_and_one_turned_to_its_value_neither(
    shipped: CampaignsFile, key: str
) -> None:
    entry = shipped.entries[key]
    campaign = campaign_of(shipped, key, entry)
    levers = levers_of(campaign)
    assert turned_levers(levers, {lever.path: lever.value for lever in levers}) == []
    rewritten = changed(entry, [lever.turned(lever.value) for lever in levers])
    assert campaign_of(shipped, key, rewritten).config_hash() == campaign.config_hash()


def test_amounts_are_written_as_a_person_would(shipped: CampaignsFile) -> None:
    levers = by_path(campaign_of(shipped, "BJ-2025-06", EVERYTHING))
    assert levers["awards_mapping/达标奖"].turned(25_000).value == 250
    assert levers["awards_mapping/达标奖"].turned(25_050).value == "250.50"
    assert levers["performance_limits/single_contract_cap"].turned(None).value is None
    assert levers["badges/elite/multiplier"].turned(Decimal("2.0")).value == 2
    assert levers["badges/elite/multiplier"].turned(Decimal("2.5")).value == "2.5"


@pytest.mark.parametrize("key", ["BJ-2025-04", "BJ-2025-05", "SH-2025-04", "SH-2025-05"])
def test_the_text_reads_back_as_it_was_and_the_formatter_leaves_it_alone(shipped: CampaignsFile, key: str) -> None:
    text = entry_text(key, shipped.entries[key])
    assert ast.literal_eval(f"{{{text}}}") == {key: shipped.entries[key]}
    file = f"REWARD_CONFIGS = {{\n{text}\n}}\n"
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "modules/config.py", "-"]
    assert subprocess.run(command, input=file, capture_output=True, encoding="utf-8", check=True).stdout == file


def test_the_text_of_dates_sets_and_decimals_needs_no_import(shipped: CampaignsFile) -> None:
    entry = EVERYTHING | {"end": date(2025, 6, 20), "bonus_pool_ratio": Decimal("0.003"), "source_types": {1, 4}}
    read = ast.literal_eval(f"{{{entry_text('BJ-2025-06', entry)}}}")["BJ-2025-06"]
    assert (read["end"], read["bonus_pool_ratio"], read["source_types"]) == ("2025-06-20", "0.003", [1, 4])
    listed = entry | {"source_types": [1, 4]}
    one, other = (campaign_of(shipped, "BJ-2025-06", written) for written in (listed, read))
    assert one.config_hash() == other.config_hash()


_plain = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.dictionaries(
        st.text(max_size=10),
        st.recursive(
            _plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=10), inner), max_leaves=20
        ),
        max_size=6,
    )
)
def test_any_entry_reads_back_as_it_was(entry: dict[str, Any]) -> None:
    assert ast.literal_eval(f"{{{entry_text('BJ-2025-06', entry)}}}") == {"BJ-2025-06": entry}
