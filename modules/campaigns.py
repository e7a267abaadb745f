"""Reads the campaigns file and config/badges.yaml, and has them validated by `rewards.campaign`."""

import ast
import runpy
import sys
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from modules.rewards.campaign import Campaign, City
from modules.rewards.faults import Fault, FaultsError, Location, faults_of, join_path
from modules.rewards.frame import PAYEE_SEPARATOR
from modules.rewards.validation import entry_path, parse_campaigns
from modules.settings import ROOT, yaml_in_words
from modules.system_words import reason_of

SHIPPED_FILE = ROOT / "modules" / "config.py"
BADGES_FILE = ROOT / "config" / "badges.yaml"

_PARSING = threading.Lock()
"""CPython 3.11 miscounts its recursion where two threads make syntax trees at once, and raises SystemError
(https://github.com/python/cpython/issues/106905)."""

_BadgeLists = TypeAdapter(dict[str, list[str]])


class CampaignsFileError(FaultsError):
    """The campaigns file or the badge lists can't be read at all; the message says where and why."""


@dataclass(frozen=True)
class Campaigns:
    """What can run (`valid`, in the order of the file), and what there is to mend; `spoilt`: what it keeps out."""

    valid: Mapping[str, Campaign]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    spoilt: frozenset[str] = frozenset()

    def faults_with(self, key: str) -> list[Fault]:
        """The faults of one campaign."""
        return [fault for fault in self.faults if fault.path.startswith(entry_path(key))]


@dataclass(frozen=True)
class CampaignsFile:
    """A campaigns file as it is written, and what its entries are read with.

    `twice`: keys written twice in the literal, each with the campaign that it spoils.
    """

    entries: Mapping[Any, Any]
    cities: Mapping[str, City]
    badge_lists: Mapping[str, frozenset[str]]
    twice: tuple[tuple[str, Fault], ...]


def normalise_name(name: str) -> str:
    """Stripped, NFC, control characters and the payee separator as blanks: so that one person is one payee."""
    visible = "".join(" " if unicodedata.category(char) == "Cc" or char == PAYEE_SEPARATOR else char for char in name)
    return unicodedata.normalize("NFC", visible).strip()


def load_campaigns(path: Path, today: date, badges_file: Path = BADGES_FILE) -> Campaigns:
    """The campaigns of a Python file that defines REWARD_CONFIGS (and may define CITIES).

    A campaign with a fault is left out and its faults told. Raises CampaignsFileError where the file itself
    can't be used.
    """
    file = read_campaigns_file(path, badges_file)
    parsed = parse_campaigns(file.entries, file.cities, file.badge_lists, today)
    twice = {key for key, _ in file.twice}
    valid = {key: campaign for key, campaign in parsed.campaigns.items() if key not in twice}
    faults = (*parsed.faults, *(fault for _, fault in file.twice))
    return Campaigns(valid, faults, parsed.warnings, frozenset(map(str, file.entries)) - valid.keys())


def read_campaigns_file(path: Path, badges_file: Path = BADGES_FILE) -> CampaignsFile:
    """What a campaigns file and the badge lists say, not yet judged. Raises CampaignsFileError."""
    tree = syntax_tree(path)
    namespace = execute(path)
    entries = namespace.get("REWARD_CONFIGS")
    if not isinstance(entries, Mapping):
        raise CampaignsFileError([Fault(str(path), "没有定义 REWARD_CONFIGS = {…}，请补上")])
    cities = _cities(path, namespace["CITIES"] if "CITIES" in namespace else execute(SHIPPED_FILE)["CITIES"])
    return CampaignsFile(entries, cities, load_badge_lists(badges_file), tuple(duplicate_keys(tree, "REWARD_CONFIGS")))


def load_badge_lists(path: Path = BADGES_FILE) -> dict[str, frozenset[str]]:
    """List name → housekeepers, from config/badges.yaml. Raises CampaignsFileError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        lists = _BadgeLists.validate_python(document)
    except OSError as error:
        raise CampaignsFileError([Fault(str(path), f"读不到徽章名单（{reason_of(error)}）；请检查这个文件")]) from error
    except (UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        words = " ".join(str(error).split()) if isinstance(error, ValidationError) else yaml_in_words(error)
        raise CampaignsFileError([Fault(str(path), f"读不懂徽章名单，应为“名单: [姓名, …]”：{words}")]) from error
    return {name: frozenset(map(normalise_name, people)) for name, people in lists.items()}


def syntax_tree(path: Path) -> ast.Module:
    """The configuration file as it is written. Raises CampaignsFileError."""
    with _faults_said(path), _PARSING:
        return ast.parse(path.read_bytes())


def execute(path: Path) -> dict[str, Any]:
    """What the configuration file of operations people defines. Raises CampaignsFileError."""
    sys.modules.pop("modules.config", None)  # a file that builds on the shipped one is to see it as it is now
    with _faults_said(path):
        return runpy.run_path(str(path))


@contextmanager
def _faults_said(path: Path) -> Iterator[None]:
    try:
        yield
    except SyntaxError as error:
        text = f"第 {error.lineno} 行有语法错误（{error.msg}），请检查逗号、引号和括号"
        raise CampaignsFileError([Fault(str(path), text)]) from error
    except OSError as error:
        raise CampaignsFileError(
            [Fault(str(path), f"读不到活动配置（{reason_of(error)}）；请检查 CAMPAIGNS_FILE 和这个文件")]
        ) from error
    except (Exception, SystemExit) as error:  # the file is the user's code: whatever it raises is a fault of the file
        text = f"运行出错：{type(error).__name__}: {error}；请照此改正这个文件"
        raise CampaignsFileError([Fault(str(path), text)]) from error


def _cities(path: Path, table: object) -> dict[str, City]:
    if not isinstance(table, Mapping):
        raise CampaignsFileError([Fault(f"{path} CITIES", "应是一组键和值")])
    cities, faults = {}, []
    for code, row in table.items():
        try:
            cities[str(code)] = City.model_validate(row)
        except ValidationError as error:
            root = f'CITIES["{code}"]'
            faults += faults_of(error, City, lambda location, root=root: join_path(root, location))  # type: ignore[misc]
    if faults:
        raise CampaignsFileError(faults)
    return cities


def duplicate_keys(tree: ast.Module, name: str) -> Iterator[tuple[str, Fault]]:
    """Keys written twice in the literal that a file assigns to `name`, each with the entry it spoils.

    Python would keep the last one and say nothing.
    """
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        value = getattr(node, "value", None)
        if named and isinstance(value, ast.Dict):
            for (entry, *rest), text in _twice_in(value, ()):
                yield str(entry), Fault(join_path(f'{name}["{entry}"]', rest), text)


def _twice_in(node: ast.AST, path: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(node, ast.List | ast.Tuple):
        for index, item in enumerate(node.elts):
            yield from _twice_in(item, (*path, index))
    if not isinstance(node, ast.Dict):
        return
    seen: dict[object, int] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if not isinstance(key, ast.Constant):
            continue
        here = (*path, str(key.value))
        if key.value in seen:
            yield here, f"写了两次（第 {seen[key.value]} 行和第 {key.lineno} 行），请删去一处"
        seen[key.value] = key.lineno
        yield from _twice_in(value, here)
