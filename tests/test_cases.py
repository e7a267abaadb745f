"""The cases of tests/cases/<CAMPAIGN>/*.yaml: what the source showed, and what must be registered and awarded.

Each case is one test. A pull shows the whole source; `expect` names the new rows that are looked at, in any figure
that is worth it; rows that it does not name must have won nothing. On a day on which the campaign does not run,
nothing is new. The engine and the clerk of oracle.py both have to agree with it. Money in yuan.

The second half holds the cases against the models of a campaign: every way of granting an award must be in a case, and
every option must matter to one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from modules.config import REWARD_CONFIGS
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award, calculate
from modules.rewards.explain import why
from modules.rewards.rules import kinds
from modules.rewards.sections import Fen, Name, Section
from tests.engine_desk import Desk, campaign_of, taken
from tests.oracle import Clerk, fen_of

CASES = Path(__file__).parent / "cases"
MONEY = {"performance", "bonus_pool"} | {
    f"{track}{name}" for track in ("", "platform_", "self_referral_") for name in ("total", "performance_total")
}
SAID = {"remark", "reasons"}
"""What is told in words; all else of a row is numbers."""
NO_ROW = "no new row"

Yuan = str | int | float
Entry = dict[str, Any]
Row = dict[str, Any]


# -- what a case says ------------------------------------------------------------------------------------------------


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def ids_of(row: SourceRow | ExpectedRow) -> list[str]:
    """`repeat` makes several of a row: `<id>-01`, `<id>-02` …"""
    return [f"{row.id}-{number:02d}" for number in range(1, row.repeat + 1)] or [row.id]


class SourceRow(Strict):
    """One contract as the source shows it. `source_type` in place of `track`; `parent` makes it a historical one."""

    id: str
    signed: datetime
    amount: Yuan
    housekeeper: str = "周小满"
    provider: str = "甲家修"
    project: str = ""
    track: str = Field("platform", pattern="^(platform|self_referral)$")
    source_type: str | int | float | None = None
    address: str = ""
    parent: str = ""
    repeat: int = Field(0, ge=0)

    def source_rows(self) -> list[Row]:
        of_track = "1" if self.track == "self_referral" else "2"
        return [
            {
                "_id": contract_id,
                "serviceHousekeeper": self.housekeeper,
                "orgName": self.provider,
                "contractdocNum": f"YHWX-{contract_id}",
                "adjustRefundMoney": self.amount,
                "signedDate": self.signed.isoformat(),
                "serviceAppointmentNum": self.project,
                "sourceType": of_track if self.source_type is None else self.source_type,
                "projectAddress": self.address,
                "pcContractdocNum": self.parent,
            }
            for contract_id in ids_of(self)
        ]


class ExpectedRow(Strict):
    """`awards` are written `<kind> <name> <amount>`, in the order of the record; a number that a row lacks is 0.

    `reasons`: for each award a part of the sentence that says why; asked of the engine only.
    """

    id: str
    repeat: int = Field(0, ge=0)
    historical: bool | None = None
    sequence: int | None = None
    personal_sequence: int | None = None
    platform_sequence: int | None = None
    count: int | None = None
    platform_count: int | None = None
    self_referral_count: int | None = None
    performance: Yuan | None = None
    total: Yuan | None = None
    platform_total: Yuan | None = None
    self_referral_total: Yuan | None = None
    performance_total: Yuan | None = None
    platform_performance_total: Yuan | None = None
    self_referral_performance_total: Yuan | None = None
    bonus_pool: Yuan | None = None
    awards: tuple[str, ...] = ()
    reasons: tuple[str, ...] | None = None
    remark: str | None = None

    @model_validator(mode="after")
    def _a_reason_for_each_award(self) -> Self:
        if self.reasons is not None and len(self.reasons) != len(self.awards):
            raise ValueError("one of `reasons` for each of `awards`")
        return self

    def figures(self) -> Row:
        written = self.model_dump(include=self.model_fields_set - {"id", "repeat", "awards"})
        parts = (award.split() for award in self.awards)
        awards = [(kind, name, fen_of(amount)) for kind, name, amount in parts]
        return {name: fen_of(value) if name in MONEY else value for name, value in written.items()} | {"awards": awards}


class Tier(Strict):
    """A tier and who has it; `payee` is `[housekeeper, provider]` where both make the payee."""

    payee: str | tuple[str, str]
    tier: str


class OwedTier(Tier):
    amount: Yuan


class Pull(Strict):
    """`rows` may hold lists of rows (YAML anchors); together they are all that the source shows.

    `unearned`: the tiers granted that are no longer earned after the pull. `owed`: somebody settles after the pull, and
    these are granted.
    """

    at: datetime
    rows: tuple[SourceRow, ...]
    registered: int | None = None
    expect: tuple[ExpectedRow, ...]
    unearned: tuple[Tier, ...] | None = None
    owed: tuple[OwedTier, ...] | None = None

    @field_validator("rows", mode="before")
    @classmethod
    def _flat(cls, rows: list[Any]) -> list[Any]:
        return [row for item in rows for row in (cls._flat(item) if isinstance(item, list) else [item])]

    def source(self) -> list[Row]:
        return [row for written in self.rows for row in written.source_rows()]

    def expected(self) -> Row:
        ids = [contract_id for row in self.expect for contract_id in ids_of(row)]
        assert len(set(ids)) == len(ids), f"{self.at}: a row is expected twice"
        figures = {contract_id: row.figures() for row in self.expect for contract_id in ids_of(row)}
        expected: Row = {"rows": figures, "won besides": {}}
        if self.registered is not None:
            expected["registered"] = self.registered
        if self.unearned is not None:
            expected["unearned"] = sorted((tier.payee, tier.tier) for tier in self.unearned)
        if self.owed is not None:
            expected["owed"] = sorted((owed.payee, owed.tier, fen_of(owed.amount)) for owed in self.owed)
        return expected


class Case(Strict):
    """`config`: a key of modules/config.py, or an entry; `change` replaces sections of it."""

    name: str
    config: str | Entry
    change: Entry = Field(default_factory=dict)
    badges: dict[str, list[str]] = Field(default_factory=lambda: {"elite": ["顾北辰"]})
    pulls: tuple[Pull, ...] = Field(min_length=1)

    def entry(self) -> Entry:
        entry = REWARD_CONFIGS[self.config] if isinstance(self.config, str) else self.config
        return {**entry, **self.change}


class Loader(yaml.SafeLoader):
    """YAML, but a key written twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key is written twice{node.start_mark}"
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Found:
    """A case, the campaign key that its folder is named after, and the file that it stands in."""

    key: str
    file: str
    case: Case

    def __str__(self) -> str:
        return f"{self.key}/{self.file}: {self.case.name}"


def cases_in(path: Path) -> list[Found]:
    document = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 - a SafeLoader
    document.pop("shared", None)
    assert set(document) == {"cases"}, f"{path}: only `shared` (anchors) and `cases` may stand here"
    return [Found(path.parent.name, path.stem, Case.model_validate(case)) for case in document["cases"]]


LISTED = [found for path in sorted(CASES.glob("*/*.yaml")) for found in cases_in(path)]
ALL = {str(found): found for found in LISTED}


# -- what comes of it ------------------------------------------------------------------------------------------------


class ExplainingDesk(Desk):
    """A desk whose rows say why they won, and which keeps all that it granted."""

    def __init__(self, entry: Entry, badge_lists: dict[str, list[str]], key: str) -> None:
        super().__init__(entry, badge_lists, key)
        self.awards: list[Award] = []

    def pull(self, source: list[Row]) -> list[Row]:
        contracts = self._read(source)
        is_new = ~contracts.frame["contract_id"].isin(list(self.registered))
        new = contracts.frame[self.campaign.takes(contracts.frame) & is_new]
        awards = calculate(self.campaign, self._ledger(), contracts.shown_ids(), new).award_list
        self.awards += awards
        reasons: dict[str, list[str]] = {}
        for award in awards:
            reasons.setdefault(str(award.contract_id), []).append(why(award.reason))
        return [row | {"reasons": reasons.get(row["id"], [])} for row in super().pull(source)]

    def settle(self, source: list[Row]) -> list[tuple[Any, str, int]]:
        self.awards += self._standing(source).owed
        return super().settle(source)


def seen(case: Case, campaign: Campaign, keeper: Desk | Clerk) -> list[Row]:
    """What came of each pull, as far as the case expects something of it."""
    return [_seen(pull, pull.expected(), campaign, keeper) for pull in case.pulls]


def _seen(pull: Pull, expected: Row, campaign: Campaign, keeper: Desk | Clerk) -> Row:
    source = taken(pull.source(), campaign, pull.at)
    rows = {row["id"]: row for row in keeper.pull(source)} if campaign.is_active(pull.at.date()) else {}
    came = {
        "rows": {
            contract_id: _figures(rows[contract_id], figures) if contract_id in rows else NO_ROW
            for contract_id, figures in expected["rows"].items()
        },
        "won besides": {
            contract_id: row["awards"]
            for contract_id, row in rows.items()
            if row["awards"] and contract_id not in expected["rows"]
        },
        "registered": len(rows),
    }
    if "unearned" in expected:
        came["unearned"] = sorted(keeper.unearned(source))
    if "owed" in expected:
        came["owed"] = sorted(keeper.settle(source))
    return {name: came[name] for name in expected}


def _figures(row: Row, expected: Row) -> Row:
    """Of a row the figures that are expected; a reason of which a part is expected is taken as that part."""
    figures = {name: row[name] for name in expected if name in row or name != "reasons"}
    if "reasons" in figures and len(figures["reasons"]) == len(expected["reasons"]):
        pairs = zip(expected["reasons"], figures["reasons"], strict=True)
        figures["reasons"] = tuple(part if part in said else said for part, said in pairs)
    return figures


def without(names: set[str], pull: Row) -> Row:
    """The same without these figures of the rows."""
    rows = pull["rows"].items()
    return pull | {
        "rows": {
            contract_id: {name: value for name, value in row.items() if name not in names} if row != NO_ROW else row
            for contract_id, row in rows
        }
    }


@dataclass(frozen=True)
class Played:
    """What came of a case in the engine, and all that was granted."""

    campaign: Campaign
    pulls: list[Row]
    awards: list[Award]


@cache
def played(name: str) -> Played:
    found = ALL[name]
    desk = ExplainingDesk(found.case.entry(), found.case.badges, found.key)
    return Played(desk.campaign, seen(found.case, desk.campaign, desk), desk.awards)


@pytest.mark.parametrize("name", ALL)
def test_case(name: str) -> None:
    case = ALL[name].case
    expected = [pull.expected() for pull in case.pulls]
    of_engine = played(name).pulls
    of_clerk = seen(case, played(name).campaign, Clerk(case.entry(), case.badges))
    for pull in range(len(expected)):
        assert of_engine[pull] == expected[pull]
        assert of_clerk[pull] == without({"reasons"}, expected[pull])


def test_every_case_has_its_own_name() -> None:
    assert len(ALL) == len(LISTED)


def test_every_award_of_a_case_says_why() -> None:
    sentences = [why(award.reason) for name in ALL for award in played(name).awards]
    assert all(sentence and "{" not in sentence for sentence in sentences)


@pytest.mark.parametrize(
    "where",
    [
        (),
        ("pulls", 0),
        ("pulls", 0, "rows", 0),
        ("pulls", 0, "expect", 0),
        ("pulls", 0, "owed", 0),
        ("pulls", 0, "unearned", 0),
    ],
)
def test_unknown_key_in_a_case_is_an_error(where: tuple[str | int, ...]) -> None:
    case: dict[str, Any] = {
        "name": "n",
        "config": "BJ-2025-05",
        "pulls": [
            {
                "at": "2025-05-20 12:00",
                "rows": [{"id": "a", "signed": "2025-05-02 10:00", "amount": 1}],
                "expect": [{"id": "a"}],
                "owed": [{"payee": "周小满", "tier": "达标奖", "amount": 200}],
                "unearned": [{"payee": "周小满", "tier": "达标奖"}],
            }
        ],
    }
    Case.model_validate(case)
    place: Any = case
    for part in where:
        place = place[part]
    place["expcet"] = 1
    with pytest.raises(ValidationError, match="expcet"):
        Case.model_validate(case)


def test_key_written_twice_in_a_file_is_an_error() -> None:
    with pytest.raises(AssertionError, match="twice"):
        yaml.load("{expect: [], expect: [1]}", Loader)  # noqa: S506 - a SafeLoader


def test_an_award_needs_its_reason_where_reasons_are_given() -> None:
    with pytest.raises(ValidationError, match="reasons"):
        ExpectedRow(id="a", awards=("幸运数字 接好运 28",), reasons=())


# -- what may be written in an entry ---------------------------------------------------------------------------------

NO_RULE = {"key", "title", "city", "card_id", "notification", "badges{}.label", "badges{}.members"}
"""Options that don't say what is registered or awarded; the members of a badge are names, which the cases give."""


@dataclass(frozen=True)
class Option:
    """A key that may be written in an entry. `path`: `tiered_rewards.tiers[].name`, `[]` and `{}` for each of several.

    `types`: what its value may be, and be made of.
    """

    path: str
    section: type[Section]
    name: str
    types: tuple[Any, ...]

    @property
    def place(self) -> str:
        """The path of the section that it is written in."""
        return self.path.rpartition(".")[0]

    @property
    def values(self) -> tuple[Any, ...]:
        """All its values, where there are only a few."""
        literals = tuple(value for hint in self.types if get_origin(hint) is Literal for value in get_args(hint))
        return (True, False) if bool in self.types else literals

    @property
    def below(self) -> type[Section] | None:
        """The section that stands here."""
        return next((hint for hint in self.types if isinstance(hint, type) and issubclass(hint, Section)), None)

    @property
    def default(self) -> Any:
        return self.section.model_fields[self.name].get_default(call_default_factory=True)


def options(section: type[Section] = Campaign, place: str = "") -> Iterator[Option]:
    """All that an entry may say, from the models; after a section its own options."""
    for name, hint in get_type_hints(section, include_extras=True).items():
        path = f"{place}.{name}".lstrip(".")
        if name in section.model_fields and path not in NO_RULE:
            option = Option(path, section, name, tuple(_atoms(hint)))
            yield option
            if option.below is not None:
                each = "{}" if _is_mapping(hint) else "[]" if get_origin(hint) is tuple else ""
                yield from options(option.below, path + each)


def _atoms(hint: Any) -> Iterator[Any]:
    """The types that a hint is made of; amounts, names and choices whole."""
    if get_origin(hint) in (Union, UnionType, tuple, frozenset) or _is_mapping(hint):
        yield from (atom for part in get_args(hint) for atom in _atoms(part))
    elif get_origin(hint) is Annotated and hint not in (Fen, Name):
        yield get_args(hint)[0]
    elif hint is not Ellipsis:
        yield hint


def _is_mapping(hint: Any) -> bool:
    return get_origin(hint) is Mapping


OPTIONS = {option.path: option for option in options()}


# -- every way of granting an award is in a case ---------------------------------------------------------------------


def ways() -> Iterator[str]:
    """Every way in which an award can be granted, and the one in which a granted one can be wrong."""
    for granting in {option.place for option in OPTIONS.values() if Name in option.types}:
        yield granting
        for option in choices_of(granting):
            yield from (f"{granting}, {option.path}: {value}" for value in option.values or ("absent", "given"))
    for mode in OPTIONS["lucky_number_mode"].values:
        for sequence in OPTIONS["lucky_number_sequence_type"].values:
            yield from (f"{granting}, {lucky_way(mode, sequence)}" for granting in LUCKY)
    yield from (f"{kind}, with a badge" for kind in kinds())
    yield from ("without a contract", NO_LONGER_EARNED)


LUCKY = ("lucky_rewards.base", "lucky_rewards.high")
NO_LONGER_EARNED = "no longer earned"


def lucky_way(mode: str, sequence: str) -> str:
    """The sequence type is looked at in one mode only."""
    return f"{mode} {sequence}" if mode == "personal_sequence" else mode


def choices_of(granting: str) -> list[Option]:
    """What can be chosen, or left out, in a section that grants awards and in those that it stands in."""
    parts = granting.split(".")
    places = {".".join(parts[: index + 1]) for index in range(len(parts))}
    return [
        option
        for option in OPTIONS.values()
        if option.place in places and option.path not in places and Name not in option.types
        if type(None) in option.types or any(get_origin(hint) is Literal for hint in option.types)
    ]


def ways_of(award: Award, campaign: Campaign) -> Iterator[str]:
    """The ways in which this award was granted."""
    path = str(award.reason["path"])
    granting = re.sub(r"\[\d+\]", "[]", path)
    yield granting
    for option in choices_of(granting):
        section: Any = campaign
        for part in re.findall(r"\w+", ".".join(path.split(".")[: option.path.count(".")])):
            section = section[int(part)] if part.isdigit() else getattr(section, part)
        value = getattr(section, option.name)
        yield f"{granting}, {option.path}: {value if option.values else 'absent' if value is None else 'given'}"
    if granting in LUCKY:
        yield f"{granting}, {lucky_way(campaign.lucky_number_mode, campaign.lucky_number_sequence_type)}"
    if award.badge:
        yield f"{award.kind}, with a badge"
    if award.contract_id is None:
        yield "without a contract"


def test_every_way_of_granting_an_award_is_in_a_case() -> None:
    seen_ways = {way for name in ALL for award in played(name).awards for way in ways_of(award, played(name).campaign)}
    seen_ways |= {NO_LONGER_EARNED for name in ALL for pull in played(name).pulls if pull.get("unearned")}
    assert sorted(set(ways()) - seen_ways) == []
    assert sorted(seen_ways - set(ways())) == []


# -- every option matters to a case ----------------------------------------------------------------------------------

NOT_TRIED = {
    "lucky_rewards.base.threshold": "is not looked at",
    "lucky_number left out": "is a fault beside lucky_rewards",
    "awards_mapping left out": "is a fault beside anything that grants",
}


def trials(option: Option) -> Iterator[str]:
    """How an option can be otherwise. A value that is a section, or the name of an award, is looked at above."""
    path = option.path
    if option.below is not None or Name in option.types or path in NOT_TRIED:
        return
    if option.values:
        yield from (f"{path} were not {value}" for value in option.values)
        return
    numbers = (int, date, Decimal, Fen)
    if any(kind in option.types for kind in numbers):
        yield from (f"{path} were a little more", f"{path} were a little less")
    else:
        assert str in option.types, f"how can {path} be otherwise?"
        yield f"{path} lacked one"
    if not option.section.model_fields[option.name].is_required() and f"{path} left out" not in NOT_TRIED:
        yield f"{path} left out"


def others(trial: str, option: Option, entry: Entry) -> Iterator[Entry]:
    """The entry with the option otherwise, wherever it stands or could stand."""
    for keys in _places(entry, re.findall(r"\w+|\[\]|\{\}", option.place)):
        for section in _otherwise(trial.removeprefix(option.path), option, _at(entry, keys)):
            other = copy.deepcopy(entry)
            place = _at(other, keys)
            place.clear()
            place.update(section)
            yield other


def _places(value: Any, parts: list[str]) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to sections of this path."""
    if not parts:
        yield from [()] if isinstance(value, dict) else []
        return
    part, rest = parts[0], parts[1:]
    keys = range(len(value or [])) if part == "[]" else list(value or {}) if part == "{}" else [part]
    for key in keys:
        if isinstance(key, int) or key in (value or {}):
            yield from ((key, *below) for below in _places(value[key], rest))


def _at(value: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        value = value[key]
    return value


def _otherwise(how: str, option: Option, section: Row) -> list[Row]:
    name, default = option.name, option.default
    if how == " left out":
        return [{key: value for key, value in section.items() if key != name}] if name in section else []
    value = section[name] if section.get(name) is not None else default
    if option.values:
        others = [other for other in option.values if other != value]
        return [section | {name: other} for other in others if how == f" were not {value}"]
    if how == " lacked one":
        return [section | {name: [kept for kept in value if kept != one]} for one in value or []]
    if isinstance(value, dict):
        return [section | {name: value | {key: _moved(how, option, amount)}} for key, amount in value.items()]
    return (
        [section | {name: _moved(how, option, value)}] if isinstance(value, int | float | str | date | Decimal) else []
    )


def _moved(how: str, option: Option, value: Any) -> Any:
    """By a fen, a tenth, a day or one."""
    sign = 1 if how.endswith("more") else -1
    if Fen in option.types:
        return str(Decimal(str(value).replace(",", "")) + sign * Decimal("0.01"))
    if Decimal in option.types:
        return str(Decimal(str(value)) * (1 + sign * Decimal("0.1")))
    if date in option.types:
        return date.fromisoformat(str(value)) + timedelta(days=sign)
    return int(value) + sign


def _fails(found: Found, entry: Entry) -> bool:
    """Whether the case would fail, in its numbers, if the campaign were this."""
    case = found.case
    try:
        campaign = campaign_of(entry, case.badges, found.key)
    except AssertionError:  # it could not be this
        return False
    expected = [without(SAID, pull.expected()) for pull in case.pulls]
    came = seen(case, campaign, Desk(entry, case.badges, found.key))
    return [without(SAID, pull) for pull in came] != expected


TRIALS = {trial: option for option in OPTIONS.values() for trial in trials(option)}


@pytest.mark.parametrize("trial", TRIALS)
def test_a_case_would_fail_if(trial: str) -> None:
    option = TRIALS[trial]
    likely_first = sorted(ALL.values(), key=lambda found: option.name not in str(found.case.entry()))
    assert any(_fails(found, entry) for found in likely_first for entry in others(trial, option, found.case.entry()))
