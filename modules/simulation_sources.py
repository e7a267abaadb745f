"""What a simulation works on: the contracts of a ledger with what was paid on them, or those of a file. Reads only."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.contracts import REQUIRED_COLUMNS, ColumnsError, Contracts, find_columns, parse_contracts
from modules.errors import JobRefusedError
from modules.explanation_words import ADJUSTMENT
from modules.file_utils import read_csv_rows
from modules.rewards.campaign import Campaign
from modules.rewards.simulate import AwardSum, ContractsOf, Payout, taken_from
from modules.rewards.totals import signing_order
from modules.system_words import reason_of
from modules.tables import awards, performance


@dataclass(frozen=True)
class Paid(Payout):
    """What the ledger says was granted; of it `corrections` (tiers that `settle` granted) and `adjustments`, in fen."""

    corrections: int
    adjustments: int


@dataclass(frozen=True)
class BadRow:
    """A row of a file that can't be used; `line` counts the heading as line 1."""

    line: int
    contract_id: str
    why: str


@dataclass(frozen=True)
class Source:
    """Contracts to simulate on. `name` says in Chinese where they are from; `paid` is None for a file.

    `duplicates`: rows left out because an earlier one has the same id. `notes`: what to bear in mind.
    """

    name: str
    contracts_of: ContractsOf
    paid: Paid | None
    bad_rows: tuple[BadRow, ...] = ()
    duplicates: int = 0
    notes: tuple[str, ...] = ()


# -- the ledger ------------------------------------------------------------------------------------------------------

_CONTRACT = ("contract_id", "housekeeper", "provider", "project", "address", "self_referral", "historical", "amount")


def from_ledger(connection: Connection, campaigns: Sequence[Campaign]) -> Source | None:
    """All registered contracts with the amounts that they were registered with; None where there are none.

    `campaigns`: the present one, and those to simulate.
    """
    key, needs_types = campaigns[0].key, any(campaign.source_types is not None for campaign in campaigns)
    names = [*_CONTRACT, "signed_at", "sequence", *(["source"] if needs_types else [])]
    chosen = sa.select(*(performance.c[name] for name in names)).where(performance.c.campaign == key)
    rows = connection.execute(chosen.order_by(performance.c.id)).all()
    if not rows:
        return None
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    contracts = pd.DataFrame({name: columns[name] for name in _CONTRACT})
    signed = [moment.replace(tzinfo=None) for moment in columns["signed_at"]]
    contracts["signed_at"] = pd.Series(signed, dtype="datetime64[us]")
    if needs_types:
        types = [str(json.loads(text).get("sourceType", "")) for text in columns["source"]]
        contracts["source_type"] = [text.removesuffix(".0") for text in types]  # as `parse_contracts` reads it
    numbers = [number for number in columns["sequence"] if number is not None]
    notes = [*_numbering(numbers), *_beyond(campaigns), *_missing_columns(connection, campaigns)]
    notes += [*_left_out(contracts, campaigns[0]), *_other_configurations(connection, campaigns[0])]
    return Source("台账", taken_from(contracts), _paid(connection, key), notes=tuple(notes))


def _paid(connection: Connection, key: str) -> Paid:
    numbered = (performance.c.campaign == key, ~performance.c.historical)
    sums = (sa.func.sum(performance.c.amount), sa.func.sum(performance.c.bonus_pool))
    counted = sa.select(sa.func.count(), sa.func.count(performance.c.payee.distinct()), *sums).where(*numbered)
    contracts, payees, amount, bonus_pool = connection.execute(counted).one()
    historical = sa.select(sa.func.count()).where(performance.c.campaign == key, performance.c.historical)
    rewarded = sa.select(sa.func.count(awards.c.payee.distinct())).where(awards.c.campaign == key)
    kinds = (awards.c.kind, awards.c.name, awards.c.contract_id.is_(None))
    grouped = sa.select(*kinds, sa.func.count(), sa.func.sum(awards.c.amount)).where(awards.c.campaign == key)
    granted = connection.execute(grouped.group_by(*kinds).order_by(sa.func.min(awards.c.id))).all()
    by_award: dict[tuple[str, str], tuple[int, int]] = {}
    corrections = adjustments = 0
    for kind, name, is_alone, count, fen in granted:
        before = by_award.get((kind, name), (0, 0))
        by_award[kind, name] = before[0] + count, before[1] + int(fen)
        adjustments += int(fen) if kind == ADJUSTMENT else 0
        corrections += int(fen) if is_alone and kind != ADJUSTMENT else 0
    return Paid(
        contracts=contracts,
        historical=connection.execute(historical).scalar_one(),
        payees=payees,
        rewarded=connection.execute(rewarded).scalar_one(),
        amount=int(amount or 0),
        bonus_pool=int(bonus_pool or 0),
        awards=tuple(AwardSum(*award, *both) for award, both in by_award.items()),
        corrections=corrections,
        adjustments=adjustments,
    )


def _numbering(numbers: Sequence[int]) -> Iterator[str]:
    if list(numbers) != list(range(1, len(numbers) + 1)):
        yield "台账里的合同序号有空缺；模拟从 1 起依次编号，尾数和前 N 单的奖励会因此与实发不同"


def _beyond(campaigns: Sequence[Campaign]) -> Iterator[str]:
    """What a variant asks for and the ledger can't show."""
    present, *variants = campaigns
    for variant in variants:
        types, known = variant.source_types, present.source_types
        is_wider = known is not None and (types is None or not types <= known)
        if is_wider or variant.start < present.start or variant.end > present.end:
            yield "台账里只有原配置收下的合同，放宽活动期或工单类型不会多出合同；要算全，请用 --csv"
            break
    if any(variant.historical_contracts for variant in variants) and not present.historical_contracts:
        yield "是否历史合同以台账的登记为准，原配置没有登记历史合同；要重新认定，请用 --csv"


def _missing_columns(connection: Connection, campaigns: Sequence[Campaign]) -> Iterator[str]:
    """Source columns that only a variant needs, and that the source did not show when the ledger was written."""
    present, *variants = campaigns
    needed = {name for variant in variants for name in variant.source_columns()} - set(present.source_columns())
    newest = sa.select(performance.c.source).where(performance.c.campaign == present.key)
    source = connection.execute(newest.order_by(performance.c.id.desc()).limit(1)).scalar_one()
    for name in sorted(needed - set(json.loads(source))):
        yield f"台账的合同没有 {name} 这一列，按空白计算"


def _left_out(contracts: pd.DataFrame, present: Campaign) -> Iterator[str]:
    count = len(contracts) - int(present.takes(contracts).sum())
    if count:
        yield f"台账里有 {count} 个合同不在原配置的活动期或工单类型之内，模拟不计"


def _other_configurations(connection: Connection, present: Campaign) -> Iterator[str]:
    of_contracts = (awards.c.campaign == present.key, awards.c.contract_id.is_not(None))
    hashes = connection.execute(sa.select(awards.c.config_hash).where(*of_contracts).distinct()).scalars()
    if set(hashes) - {present.config_hash()}:
        yield "有的奖励是按另一版配置发的；实发与原配置之差也含这些改动"


# -- a file ----------------------------------------------------------------------------------------------------------


def from_file(path: Path, campaigns: Sequence[Campaign]) -> Source:
    """The contracts of a CSV file with source columns, in signing order. Raises JobRefusedError.

    Of rows with one id a campaign takes the one that a run would take.
    """
    lines = {line: row for line, row in enumerate(_read(path), start=2) if any(cell.strip() for cell in row.values())}
    if not lines:
        raise JobRefusedError(f"文件 {path} 里没有合同")
    titles, rows = list(next(iter(lines.values()))), [list(row.values()) for row in lines.values()]
    needed = dict.fromkeys(name for campaign in campaigns for name in campaign.source_columns())
    try:
        find_columns(titles, (*REQUIRED_COLUMNS, *needed))
    except ColumnsError as error:
        raise JobRefusedError(f"文件 {path} 用不了：{error}") from error
    first = parse_contracts(titles, rows, preferred=campaigns[0].takes)
    pulls: dict[object, Contracts] = {_wanted(campaigns[0]): first}

    def pull_of(campaign: Campaign) -> Contracts:
        if first.duplicates == 0:  # which of several rows is taken is all that depends on the campaign
            return first
        if _wanted(campaign) not in pulls:
            pulls[_wanted(campaign)] = parse_contracts(titles, rows, preferred=campaign.takes)
        return pulls[_wanted(campaign)]

    bad_rows = tuple(_bad_rows(first, list(lines)))
    notes = tuple(_outside(first, campaigns[0]))
    return Source(f"文件 {path.name}", _in_signing_order(pull_of), None, bad_rows, first.duplicates, notes)


def _wanted(campaign: Campaign) -> object:
    """All that `Campaign.takes` looks at."""
    return campaign.start, campaign.end, campaign.source_types


def _in_signing_order(pull_of: Callable[[Campaign], Contracts]) -> ContractsOf:
    def contracts_of(campaign: Campaign) -> pd.DataFrame:
        contracts = pull_of(campaign).frame
        taken = contracts[campaign.takes(contracts)]
        order = signing_order(taken["signed_at"].to_numpy(), taken["contract_id"].to_numpy(dtype=object))
        return taken.iloc[order].reset_index(drop=True)

    return contracts_of


def _bad_rows(contracts: Contracts, lines: Sequence[int]) -> Iterator[BadRow]:
    """The rejected rows with their lines: in the order of the file, among the rows that did not become contracts."""
    used = set(contracts.frame["row"].tolist())
    unused = [row for row in range(len(lines)) if row not in used]
    rejected = list(contracts.rejected)
    for row, source in zip(unused, contracts.sources.json_texts(unused), strict=True):
        if rejected and rejected[0].source == source:
            bad = rejected.pop(0)
            yield BadRow(lines[row], bad.contract_id, bad.reason)


def _outside(contracts: Contracts, present: Campaign) -> Iterator[str]:
    count = len(contracts.frame) - int(present.takes(contracts.frame).sum())
    if count:
        yield f"文件里有 {count} 个合同不在原配置的活动期或工单类型之内，不计"


def _read(path: Path) -> list[dict[str, str]]:
    try:
        return read_csv_rows(path)
    except UnicodeDecodeError as error:
        words = f"文件 {path} 不是 UTF-8 编码；请在 Excel 里另存为“CSV UTF-8（逗号分隔）”再试"
        raise JobRefusedError(words) from error
    except OSError as error:
        raise JobRefusedError(f"读不到文件 {path}（{reason_of(error)}）；请检查路径和文件名") from error
    except (ValueError, csv.Error) as error:
        raise JobRefusedError(f"文件 {path} 不是完好的 CSV：{error}") from error
