"""A campaign on the bench: its contracts are read and laid out once, and then one change after another is tried.

The dashboard's way to simulate: what is tried comes out as `main.py simulate` would say it, in a fraction of the time.
Several people may try at once; they take turns.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.engine import Connection

from modules.campaigns import CampaignsFile
from modules.errors import JobRefusedError
from modules.figures.paid import paid_by_payee
from modules.rewards.campaign import Campaign
from modules.rewards.changes import Change, changed
from modules.rewards.faults import Fault
from modules.rewards.simulate import Mover, Simulated, Simulator, movers
from modules.simulation import ReadEntry, read_entry
from modules.simulation_sources import Paid, from_ledger


@dataclass(frozen=True)
class Trial:
    """A change as it was tried. `movers`: everybody who gains or loses against the baseline, most first.

    Where the changed entry has `faults` there is no result; `warnings` are those that the present entry has not.
    """

    entry: Mapping[str, Any]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...] = ()
    result: Simulated | None = None
    movers: tuple[Mover, ...] = ()


class Bench:
    """One campaign with its present entry, what it pays on the ledger's contracts, and what was paid on them."""

    def __init__(self, connection: Connection, file: CampaignsFile, key: str, today: date) -> None:
        """Raises JobRefusedError where the campaign is not configured, has faults, or has no contracts yet."""
        if key not in file.entries:
            raise JobRefusedError(f"活动配置里没有 {key}，无法模拟；请把它写回 modules/config.py")
        self._file, self._key, self._today = file, key, today
        self._present: ReadEntry = read_entry(file, key, file.entries[key], today)
        source = from_ledger(connection, [self.campaign])
        if source is None:
            raise JobRefusedError(f"台账里还没有 {key} 的合同，无法模拟；后台程序第一次拉取之后再来")
        self.notes: tuple[str, ...] = source.notes
        self.paid: Paid | None = source.paid
        self.paid_by_payee = paid_by_payee(connection, key)
        self._simulator = Simulator(source.contracts_of)
        self._turn = threading.Lock()
        self.baseline = self._run(self.campaign)

    @property
    def campaign(self) -> Campaign:
        """As it is configured now."""
        return self._present.campaign

    @property
    def entry(self) -> Mapping[str, Any]:
        """As it is written now."""
        entry: Mapping[str, Any] = self._present.entry
        return entry

    def tried(self, changes: Sequence[Change]) -> Trial:
        """What comes of these changes, which may not touch period and source types. Raises ChangeError."""
        entry = changed(self.entry, changes)
        read = read_entry(self._file, self._key, entry, self._today)
        if read.found is None:
            return Trial(entry, read.faults)
        known = set(map(str, self._present.warnings))
        warnings = tuple(warning for warning in read.warnings if str(warning) not in known)
        result = self._run(read.found) if changes else self.baseline
        everybody = movers(self.baseline, result, most=len(self.baseline.names) + len(result.names))
        return Trial(entry, (), warnings, result, everybody)

    def _run(self, campaign: Campaign) -> Simulated:
        with self._turn:
            return self._simulator.run(campaign)
