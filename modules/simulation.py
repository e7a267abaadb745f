"""Simulate a campaign as a person asks for it: which configurations, on which contracts, held against what was paid.

Reads the campaigns file, the ledger or a CSV file, and writes nothing. The sums are worked out in `rewards.simulate`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from modules.campaigns import CampaignsFile, read_campaigns_file
from modules.database import Database
from modules.errors import JobRefusedError
from modules.rewards.campaign import Campaign
from modules.rewards.changes import Change, ChangeError, Variant, changed, parse_change, parse_sweep, product, value_at
from modules.rewards.config_changes import ConfigChange, config_changes
from modules.rewards.faults import Fault
from modules.rewards.simulate import Mover, Simulated, movers, simulate
from modules.rewards.validation import entry_path, parse_campaigns
from modules.settings import Settings
from modules.simulation_sources import Source, from_file, from_ledger

FAULTS_SHOWN = 20
"""A sweep may run into one fault many times."""

OnEach = Callable[[int, int], object]
"""Told how many configurations are done, and of how many."""


@dataclass(frozen=True)
class Request:
    """What a person asks for: `changes` for all variants and `sweeps` as on the command line.

    `config`: another campaigns file, whose entry is used. `csv`: a file of contracts in place of the ledger.
    """

    key: str
    changes: Sequence[str] = ()
    sweeps: Sequence[str] = ()
    config: Path | None = None
    csv: Path | None = None


@dataclass(frozen=True)
class Compared:
    """A variant: its values of the sweeps, what it would have paid, and who gains or loses most by it."""

    changes: Variant
    result: Simulated
    movers: tuple[Mover, ...]


@dataclass(frozen=True)
class Simulation:
    """`baseline` is the present configuration on the same contracts; `config` names the file of the variants' entry.

    `changes` are common to all variants, each with the value that was written there before (None: nothing).
    `differences`: how the entry of the other file differs from the present one.
    """

    key: str
    source: Source
    config: str | None
    changes: tuple[tuple[Change, Any], ...]
    differences: tuple[ConfigChange, ...]
    baseline: Simulated
    variants: tuple[Compared, ...]
    notes: tuple[str, ...]


def run_simulation(
    settings: Settings, request: Request, today: date, on_each: OnEach = lambda _done, _total: None
) -> Simulation:
    """Raises JobRefusedError, CampaignsFileError, DatabaseError."""
    chosen = _configurations(settings, request, today)
    campaigns = [chosen.present.campaign, *(variant.campaign for variant in chosen.variants)]
    source = _source(settings, request, campaigns)
    done = iter(range(1, len(campaigns) + 1))
    baseline, *results = simulate(campaigns, source.contracts_of, lambda: on_each(next(done), len(campaigns)))
    compared = zip(chosen.combinations, results, strict=True)
    return Simulation(
        key=request.key,
        source=source,
        config=str(request.config) if request.config else None,
        changes=chosen.changes,
        differences=chosen.differences,
        baseline=baseline,
        variants=tuple(Compared(own, result, movers(baseline, result)) for own, result in compared),
        notes=(*source.notes, *chosen.new_warnings()),
    )


# -- the configurations ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadEntry:
    """An entry and what became of it."""

    entry: Any
    found: Campaign | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]

    @property
    def campaign(self) -> Campaign:
        """Raises JobRefusedError with all faults where it has any."""
        if self.found is None:
            raise JobRefusedError("活动配置有错，无法模拟：\n" + "\n".join(map(str, self.faults)))
        return self.found


@dataclass(frozen=True)
class _Configurations:
    """The present configuration, and the variants with their values of the sweeps; the rest as in `Simulation`."""

    present: ReadEntry
    changes: tuple[tuple[Change, Any], ...]
    differences: tuple[ConfigChange, ...]
    combinations: Sequence[Variant]
    variants: Sequence[ReadEntry]

    def new_warnings(self) -> Iterator[str]:
        """What the variants are warned of and the present configuration is not."""
        known = set(map(str, self.present.warnings))
        told = dict.fromkeys(str(warning) for variant in self.variants for warning in variant.warnings)
        yield from (warning for warning in told if warning not in known)


def _configurations(settings: Settings, request: Request, today: date) -> _Configurations:
    """All of them, free of faults. Raises JobRefusedError, CampaignsFileError."""
    installed = read_campaigns_file(settings.campaigns_file)
    file = read_campaigns_file(request.config) if request.config else installed
    if request.key not in file.entries:
        path, known = request.config or settings.campaigns_file, "、".join(map(str, file.entries))
        raise JobRefusedError(f"{path} 里没有名为 {request.key} 的活动；现有：{known or '无'}")
    entry = file.entries[request.key]
    unchanged = read_entry(file, request.key, entry, today)
    present = _present(installed, request, unchanged, today)
    try:
        common = [parse_change(text, request.key) for text in request.changes]
        combinations = product(common, [parse_sweep(text, request.key) for text in request.sweeps])
        entries = [changed(entry, [*common, *own]) for own in combinations]
    except ChangeError as error:
        raise JobRefusedError(str(error)) from error
    if not common and not request.sweeps and entry == present.entry:
        combinations, entries = [], []  # nothing is changed
    variants = _all_valid([read_entry(file, request.key, one, today) for one in entries], combinations)
    return _Configurations(
        present=present,
        changes=tuple((change, value_at(entry, change.path)) for change in common),
        differences=config_changes(present.campaign, unchanged.found) if unchanged.found else (),
        combinations=combinations,
        variants=variants,
    )


def _present(installed: CampaignsFile, request: Request, unchanged: ReadEntry, today: date) -> ReadEntry:
    """Where this installation can't run the campaign, the entry of the other file is the present one too."""
    if request.config is None:
        return unchanged
    present = read_entry(installed, request.key, installed.entries.get(request.key), today)
    return unchanged if present.found is None else present


def read_entry(file: CampaignsFile, key: str, entry: Any, today: date) -> ReadEntry:
    """An entry by itself: that other campaigns overlap with it does not matter to a simulation."""
    parsed = parse_campaigns({key: entry}, file.cities, file.badge_lists, today)
    faults = (*parsed.faults, *(fault for spoilt, fault in file.twice if spoilt == key))
    warnings = tuple(warning for warning in parsed.warnings if warning.path.startswith(entry_path(key)))
    return ReadEntry(entry, None if faults else parsed.campaigns[key], faults, warnings)


def _all_valid(variants: Sequence[ReadEntry], combinations: Sequence[Variant]) -> Sequence[ReadEntry]:
    """Raises JobRefusedError with the faults of all variants, each once."""
    told: dict[str, str] = {}
    for variant, own in zip(variants, combinations, strict=True):
        for fault in variant.faults:
            told.setdefault(str(fault), "，".join(map(str, own)))
    if told:
        lines = [f"{fault}（{own}）" if own else fault for fault, own in told.items()]
        more = [f"……还有 {len(lines) - FAULTS_SHOWN} 处"] if len(lines) > FAULTS_SHOWN else []
        raise JobRefusedError("改动后的活动配置有错：\n" + "\n".join([*lines[:FAULTS_SHOWN], *more]))
    return variants


# -- the contracts ---------------------------------------------------------------------------------------------------


def _source(settings: Settings, request: Request, campaigns: Sequence[Campaign]) -> Source:
    if request.csv is not None:
        return from_file(request.csv, campaigns)
    source = _ledger(settings, campaigns)
    if source is None:
        raise JobRefusedError(f"台账里还没有 {request.key} 的合同；可以用 --csv 合同文件.csv 在文件里的合同上模拟")
    return source


def _ledger(settings: Settings, campaigns: Sequence[Campaign]) -> Source | None:
    """A database that is not there yet is not made."""
    address = sa.make_url(settings.database_url)
    if address.drivername.startswith("sqlite") and not (address.database and Path(address.database).exists()):
        return None
    with closing(Database(settings.database_url)) as database:
        database.upgrade()
        with database.reading() as connection:
            return from_ledger(connection, campaigns)
