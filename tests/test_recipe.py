"""The recipe of docs/architecture.md for a new kind of reward, followed on a copy of the program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modules.settings import ROOT

ENTRY = {
    "card_id": 1693,
    "round_number_reward": {"every": 3, "name": "整数奖"},
    "awards_mapping": {"整数奖": 88},
    "badges": {"elite": {"label": "【🎖精英管家】", "members": "elite", "multiplier": 2, "applies_to": ["整数单"]}},
}
PROGRAM = """
import json
from tests.engine_desk import Desk

entry = json.loads(ENTRY)
desk = Desk(entry, {"elite": ["沈砚秋"]})
row = {"contractdocNum": "", "orgName": "甲家修", "serviceAppointmentNum": "", "adjustRefundMoney": 1, "sourceType": 2}
who = ["沈砚秋", "沈砚秋", "顾北辰", "沈砚秋", "顾北辰", "沈砚秋"]
found = desk.pull([
    row | {"_id": str(number), "serviceHousekeeper": name, "signedDate": f"2025-05-{number:02d}"}
    for number, name in enumerate(who, start=1)
])
print(json.dumps({row["id"]: row["awards"] for row in found if row["awards"]}, ensure_ascii=False))
"""


def code_after(heading: str, text: str) -> str:
    """The code block of a numbered step, by words of its first line."""
    match = re.search(rf"\d\. [^\n]*{re.escape(heading)}.*?```python\n(.*?)\n *```", text, re.DOTALL)
    assert match, heading
    return textwrap.dedent("\n".join(line.removeprefix("   ") for line in match.group(1).splitlines()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program with the recipe followed."""
    recipe = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for folder in ("modules", "config", "streamlit_app", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    rewards = tmp_path / "modules" / "rewards"
    sections, campaign, rules = rewards / "sections.py", rewards / "campaign.py", rewards / "rules.py"
    append(sections, code_after("The section", recipe))
    insert(campaign, "    awards_mapping:", f"    {code_after('Its key', recipe).strip()}\n")
    insert(campaign, "    Section,\n", "    RoundNumberReward,\n")
    insert(rules, "RULES:", f"{code_after('The class', recipe)}\n\n\n")
    insert(rules, "Opening, LuckyNumber", "RoundNumber, ")
    insert(rules, "SelfReferralRewards, TieredRewards", "RoundNumberReward, ")
    return tmp_path


def append(file: Path, code: str) -> None:
    file.write_text(f"{file.read_text(encoding='utf-8')}\n\n{code}\n", encoding="utf-8")


def insert(file: Path, before: str, code: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, code + before), encoding="utf-8")


def python(folder: Path, program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kind_of_reward_is_one_section_and_one_class(copy: Path) -> None:
    entry = json.dumps(ENTRY, ensure_ascii=False)
    awards = json.loads(python(copy, PROGRAM.replace("ENTRY", repr(entry))))
    assert awards == {"3": [["整数单", "整数奖", 8800]], "6": [["整数单", "整数奖", 17600]]}


def test_its_missing_amount_is_a_fault(copy: Path) -> None:
    entry = json.dumps(ENTRY | {"awards_mapping": {}}, ensure_ascii=False)
    program = f"""
import json
from datetime import date
from modules.config import CITIES
from modules.rewards.campaign import City
from modules.rewards.validation import parse_campaigns
cities = {{code: City.model_validate(row) for code, row in CITIES.items()}}
parsed = parse_campaigns({{"BJ-2025-05": json.loads({entry!r})}}, cities, {{"elite": frozenset()}}, date(2025, 5, 1))
print(*parsed.faults, sep="\\n")
"""
    assert python(copy, program).splitlines() == [
        'REWARD_CONFIGS["BJ-2025-05"].round_number_reward.name: “整数奖”在 awards_mapping 里没有金额，请补上'
    ]
