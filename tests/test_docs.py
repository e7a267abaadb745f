"""What the documents say is true: commands, examples, variables, columns and links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import unquote

import pytest
import typer

import main
from modules.campaigns import load_badge_lists
from modules.config import CITIES, REWARD_CONFIGS
from modules.rewards.campaign import Campaign, City
from modules.rewards.validation import ParsedCampaigns, parse_campaigns
from modules.settings import ENVIRONMENT_VARIABLES, ROOT, load_settings, robot_key_variable
from modules.view_contents import PERFORMANCE_TITLES

README = ROOT / "README.md"
MANUAL = ROOT / "docs" / "操作手册.md"
REWARD_RULES = ROOT / "docs" / "reward-rules.md"
DOCUMENTS = sorted([README, ROOT / "data" / "README.md", *(ROOT / "docs").glob("*.md")])

HELP = {"--help", "-h"}


def section(path: Path, heading: str) -> str:
    """The text below a heading of the second level, up to the next one."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, f"{path.name} has no section {heading!r}"
    return found[1]


def table_rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, without the lines that separate heads from bodies."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in rows if not all(re.fullmatch(":?-+:?", cell) for cell in cells)]


def code_blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language, without the indentation of the list they may stand in."""
    fenced = re.finditer(
        rf"^( *)```{language}\n(.*?)^\1```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [dedent(block[2]) for block in fenced]


# The command line


def documented_commands() -> dict[str, set[str]]:
    """Command → its options, from the README's table."""
    commands = {}
    for cells in table_rows(section(README, "Command line")):
        if cells[0].startswith("`"):
            usage = cells[0].strip("`")
            words = re.match("[a-z]+(?:[- ][a-z]+)*", usage)
            assert words, usage
            commands[words[0].strip()] = set(re.findall(r"--[a-z-]+", usage))
    return commands


def real_commands() -> dict[str, set[str]]:
    """Command → its options, from the program."""
    return dict(_leaves(typer.main.get_command(main.cli), ()))


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from _leaves(child, (*path, name))
    if not children:
        flags = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("-")}
        yield " ".join(path), flags - HELP


def test_the_command_table_names_every_command_and_no_other() -> None:
    assert set(documented_commands()) == set(real_commands())


@pytest.mark.parametrize("command", sorted(real_commands()))
def test_the_command_table_names_every_option_and_no_other(command: str) -> None:
    assert documented_commands()[command] == real_commands()[command]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_that_a_document_tells_to_type_exist(path: Path) -> None:
    typed = re.findall(r"start\.(?:bat|sh) ([a-z]+(?:[- ][a-z]+)*)\b", path.read_text(encoding="utf-8"))
    unknown = {words for words in typed if not any(f"{words} ".startswith(f"{known} ") for known in real_commands())}
    assert not unknown


def test_the_manual_tells_managers_what_each_page_of_the_dashboard_is_for() -> None:
    pages = re.findall(r'\.py", title="(.+?)"', (ROOT / "streamlit_app" / "app.py").read_text(encoding="utf-8"))
    told = [cells[1] for cells in table_rows(section(MANUAL, "网页看板"))]
    assert [page for page in pages if not any(cell.startswith(page) for cell in told)] == []


# Campaigns


def example_campaign(path: Path) -> dict[str, Any]:
    """The entry that a document gives as an example, by its key."""
    (block,) = code_blocks(path, "python")
    example: dict[str, Any] = ast.literal_eval(f"{{{block}}}")
    return example


def parse(entries: dict[str, Any]) -> ParsedCampaigns:
    """As the program does, with the shipped cities and badge lists, in May 2025."""
    cities = {code: City.model_validate(row) for code, row in CITIES.items()}
    return parse_campaigns(entries, cities, load_badge_lists(), date(2025, 5, 1))


@pytest.mark.parametrize("path", [README, MANUAL], ids=lambda path: path.name)
def test_the_example_campaign_can_be_added_as_it_stands(path: Path) -> None:
    example = example_campaign(path)
    assert not example.keys() & REWARD_CONFIGS.keys()
    parsed = parse(REWARD_CONFIGS | example)
    assert parsed.faults == ()
    about_it = [str(warning) for warning in parsed.warnings if any(key in warning.path for key in example)]
    assert about_it == []
    assert set(parsed.campaigns) == set(REWARD_CONFIGS | example)


def test_the_place_that_the_manual_names_is_where_campaigns_end() -> None:
    assert "找到 `# 提醒：` 开头的那一行，它上面有一行单独的 `}`" in section(MANUAL, "新开一个活动")
    lines = (ROOT / "modules" / "config.py").read_text(encoding="utf-8").splitlines()
    (alerts,) = [number for number, line in enumerate(lines) if line.startswith("# 提醒：")]
    end = max(number for number, line in enumerate(lines[:alerts]) if line == "}")
    (block,) = code_blocks(MANUAL, "python")
    tree = ast.parse("\n".join([*lines[:end], block, *lines[end:]]))
    (campaigns,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "REWARD_CONFIGS"
    ]
    assert isinstance(campaigns, ast.Dict)
    assert [ast.literal_eval(key) for key in campaigns.keys if key] == [*REWARD_CONFIGS, *example_campaign(MANUAL)]


def test_the_ready_entries_of_the_manual_can_be_added_together() -> None:
    blocks = code_blocks(MANUAL, "py")
    assert len(blocks) >= 7
    ready = {key: entry for block in blocks for key, entry in ast.literal_eval(f"{{{block}}}").items()}
    parsed = parse(REWARD_CONFIGS | ready)
    assert parsed.faults == ()
    assert [str(warning) for warning in parsed.warnings if any(key in warning.path for key in ready)] == []


@pytest.mark.parametrize("block", code_blocks(REWARD_RULES, "python"))
def test_entries_shown_in_the_reward_rules_are_sound(block: str) -> None:
    example = ast.literal_eval(f"{{{block}}}")
    parsed = parse(example)
    assert parsed.faults == ()
    assert [str(warning) for warning in parsed.warnings if any(key in warning.path for key in example)] == []


def test_the_faults_shown_as_examples_are_those_of_the_program() -> None:
    example = example_campaign(MANUAL)
    (entry,) = example.values()
    entry["card_id"] = "一千七"
    entry["lucky_number"] = "18"
    entry["lucky_nunber"] = "8"
    entry["badges"]["elite"]["members"] = "精英"
    entry["tiered_rewards"]["tiers"][1]["threshold"] = 60000
    del entry["awards_mapping"]["优秀奖"]
    told = {str(fault) for fault in parse(example).faults}
    assert shown_faults(MANUAL) == told
    assert set() < shown_faults(README) < told


def shown_faults(path: Path) -> set[str]:
    """What a document shows `check` to say about campaigns."""
    return set(re.findall(r"^ *错误 (REWARD_CONFIGS.*)$", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(
    ("path", "heading"), [(REWARD_RULES, "An entry"), (MANUAL, "新开一个活动")], ids=["reward-rules.md", "操作手册.md"]
)
def test_every_key_of_an_entry_is_explained(path: Path, heading: str) -> None:
    cells = " ".join(row[0] for row in table_rows(section(path, heading)))
    explained = set(re.findall("`([a-z_]+)`", cells))
    assert explained == set(Campaign.model_fields) - {"key"}


# Variables


def test_env_example_lists_every_variable_and_no_other() -> None:
    listed = re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted({*ENVIRONMENT_VARIABLES, *robot_keys(), "SETTINGS_FILE"})


def test_the_readme_explains_every_variable_and_no_other() -> None:
    cells = " ".join(row[0] for row in table_rows(section(README, "Configure")))
    assert set(re.findall("`([A-Z_]+)`", cells)) == {*ENVIRONMENT_VARIABLES, *robot_keys(), "SETTINGS_FILE"}


def robot_keys() -> set[str]:
    """The variables of the robots that the shipped settings name."""
    shipped = load_settings(environ={}, root=ROOT / "config")  # where there is no .env
    return {robot_key_variable(key) for key, to in shipped.recipients.items() if to.sender == "wecom_robot"}


# Files


def test_the_manual_explains_every_column_of_the_performance_file_in_order() -> None:
    rows = table_rows(section(MANUAL, "CSV 各列说明"))
    assert rows[0] == ["列", "说明"]
    assert [title for title, _ in rows[1:]] == list(PERFORMANCE_TITLES)
    assert all(words for _, words in rows)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    """Files of the repository, and headings of the same document."""
    text = path.read_text(encoding="utf-8")
    headings = {anchor(title) for title in re.findall("^#+ (.+)$", text, re.MULTILINE)}
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert "" not in targets
    broken = [
        target
        for target in targets
        if (target[1:] not in headings if target.startswith("#") else not (path.parent / unquote(target)).exists())
    ]
    assert broken == []


def anchor(title: str) -> str:
    """A heading's name in links, as GitHub makes it: lower case, no punctuation, `-` for blanks."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", [README, ROOT / "docs" / "architecture.md"], ids=lambda path: path.name)
def test_rooms_that_are_named_exist(path: Path) -> None:
    """Every .py file that stands in the plan of the house is there, by its name."""
    named = set(re.findall(r"\b([a-z_]+\.py)\b", path.read_text(encoding="utf-8")))
    there = {file.name for folder in ("modules", "streamlit_app", "tests") for file in (ROOT / folder).rglob("*.py")}
    assert named <= there | {file.name for file in ROOT.glob("*.py")}
    assert named
