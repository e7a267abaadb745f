"""The cases of tests/cases/<CAMPAIGN>/*.yaml: what the source showed, and what must be registered and awarded.

Each case is one test. A pull shows the whole source; `expect` names the new rows that are looked at, in any figure
that is worth it; rows that it does not name must have won nothing. The engine and the clerk of oracle.py both have
to agree with it. Money in yuan.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modules.config import REWARD_CONFIGS
from tests.engine_desk import Desk, campaign_of, taken
from tests.oracle import Clerk, fen_of

CASES = Path(__file__).parent / "cases"
MONEY = {"performance", "total", "performance_total", "bonus_pool"}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceRow(Strict):
    """One contract as the source shows it; `repeat` makes several of it, `<id>-01`, `<id>-02` …"""

    id: str
    signed: datetime
    amount: str | int | float
    housekeeper: str = "周小满"
    provider: str = "甲家修"
    project: str = ""
    track: str = Field("platform", pattern="^(platform|self_referral)$")
    repeat: int = Field(0, ge=0)

    def source_rows(self) -> list[dict[str, Any]]:
        ids = [f"{self.id}-{number:02d}" for number in range(1, self.repeat + 1)] or [self.id]
        return [
            {
                "_id": contract_id,
                "serviceHousekeeper": self.housekeeper,
                "orgName": self.provider,
                "contractdocNum": f"YHWX-{contract_id}",
                "adjustRefundMoney": self.amount,
                "signedDate": self.signed.isoformat(),
                "serviceAppointmentNum": self.project,
                "sourceType": "1" if self.track == "self_referral" else "2",
            }
            for contract_id in ids
        ]


class ExpectedRow(Strict):
    """`awards` are written `<kind> <name> <amount>`, in the order of the record."""

    id: str
    sequence: int | None = None
    personal_sequence: int | None = None
    count: int | None = None
    performance: str | int | float | None = None
    total: str | int | float | None = None
    performance_total: str | int | float | None = None
    bonus_pool: str | int | float | None = None
    awards: tuple[str, ...] = ()
    remark: str | None = None

    def figures(self) -> dict[str, Any]:
        written = self.model_dump(include=self.model_fields_set - {"awards"})
        parts = (award.split() for award in self.awards)
        awards = [(kind, name, fen_of(amount)) for kind, name, amount in parts]
        return {name: fen_of(value) if name in MONEY else value for name, value in written.items()} | {"awards": awards}


class Pull(Strict):
    """`rows` may hold lists of rows (YAML anchors); together they are all that the source shows."""

    at: datetime
    rows: tuple[SourceRow, ...]
    registered: int | None = None
    expect: tuple[ExpectedRow, ...]

    @field_validator("rows", mode="before")
    @classmethod
    def _flat(cls, rows: list[Any]) -> list[Any]:
        return [row for item in rows for row in (cls._flat(item) if isinstance(item, list) else [item])]


class Case(Strict):
    """`config`: a key of modules/config.py, or an entry; `change` replaces sections of it."""

    name: str
    config: str | dict[str, Any]
    change: dict[str, Any] = Field(default_factory=dict)
    badges: dict[str, list[str]] = Field(default_factory=lambda: {"elite": ["顾北辰"]})
    pulls: tuple[Pull, ...] = Field(min_length=1)

    def entry(self) -> dict[str, Any]:
        entry = REWARD_CONFIGS[self.config] if isinstance(self.config, str) else self.config
        return {**entry, **self.change}


def cases_of(path: Path) -> list[Case]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document.pop("shared", None)
    assert set(document) == {"cases"}, f"{path}: only `shared` (anchors) and `cases` may stand here"
    return [Case.model_validate(case) for case in document["cases"]]


FILES = sorted(CASES.glob("*/*.yaml"))
PARAMETERS = [
    pytest.param(path.parent.name, case, id=f"{path.parent.name}/{path.stem}: {case.name}")
    for path in FILES
    for case in cases_of(path)
]


@pytest.mark.parametrize(("key", "case"), PARAMETERS)
def test_case(key: str, case: Case) -> None:
    campaign = campaign_of(case.entry(), case.badges, key)
    desk, clerk = Desk(case.entry(), case.badges, key), Clerk(case.entry(), case.badges)
    for pull in case.pulls:
        source = taken([row for written in pull.rows for row in written.source_rows()], campaign, pull.at)
        expected = {row.id: row.figures() for row in pull.expect}
        for rows in (desk.pull(source), clerk.pull(source)):
            found = {row["id"]: row for row in rows}
            seen = {
                contract_id: {name: found[contract_id][name] for name in figures}
                if contract_id in found
                else "no new row"
                for contract_id, figures in expected.items()
            }
            assert seen == expected
            assert {row["id"]: row["awards"] for row in rows if row["awards"] and row["id"] not in expected} == {}
            if pull.registered is not None:
                assert len(rows) == pull.registered


def test_every_case_has_its_own_name() -> None:
    names = [parameter.id for parameter in PARAMETERS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("where", [(), ("pulls", 0), ("pulls", 0, "rows", 0), ("pulls", 0, "expect", 0)])
def test_unknown_key_in_a_case_is_an_error(where: tuple[str | int, ...]) -> None:
    case: dict[str, Any] = {
        "name": "n",
        "config": "BJ-2025-05",
        "pulls": [
            {
                "at": "2025-05-20 12:00",
                "rows": [{"id": "a", "signed": "2025-05-02 10:00", "amount": 1}],
                "expect": [{"id": "a"}],
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
