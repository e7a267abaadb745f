"""The engine against the plain loop, on the same contracts in the same run; variants in `simulate`; one door call."""

import resource
import statistics
import sys
from collections.abc import Iterator
from datetime import date
from functools import partial

import pandas as pd

from benchmarks import python_loop
from benchmarks.seeded_contracts import ENTRY, frame, housekeeper
from benchmarks.timing import REPEATS, seconds, timed
from modules.config import CITIES
from modules.data_processing_module import determine_rewards_generic
from modules.rewards.campaign import Campaign, City
from modules.rewards.engine import FIGURES, Outcome, calculate
from modules.rewards.frame import EMPTY_LEDGER
from modules.rewards.simulate import Simulator, taken_from
from modules.rewards.validation import parse_campaigns

SIZES = (10_000, 100_000, 1_000_000)


def campaign() -> Campaign:
    """All sections on; every hundredth housekeeper wears the badge."""
    cities = {code: City.model_validate(row) for code, row in CITIES.items()}
    lists = {"elite": frozenset(housekeeper(number) for number in range(0, 20_000, 100))}
    parsed = parse_campaigns({"BJ-2025-05": ENTRY}, cities, lists, date(2025, 5, 1))
    return parsed.campaigns["BJ-2025-05"]


def measure() -> Iterator[dict[str, object]]:
    """One row per size: seconds of the engine and of the loop, how many times faster, peak memory of the engine."""
    chosen = campaign()
    for size in SIZES:
        yield _measure_one(chosen, frame(size))


def _measure_one(chosen: Campaign, contracts: pd.DataFrame) -> dict[str, object]:
    engine_seconds, outcome = timed(lambda: calculate(chosen, EMPTY_LEDGER, (), contracts))
    peak = peak_megabytes()
    tuples = _tuples(contracts)
    loop_seconds, (rows, awards) = timed(lambda: python_loop.run(chosen, tuples), repeats=3)
    _compare(outcome, rows, awards)
    return {
        "contracts": len(contracts),
        "awards": len(awards),
        "engine_seconds": round(engine_seconds, 4),
        "loop_seconds": round(loop_seconds, 4),
        "times_faster": round(loop_seconds / engine_seconds, 1),
        "engine_us_per_row": round(engine_seconds / len(contracts) * 1e6, 2),
        "peak_mb": peak,
    }


def measure_door() -> dict[str, object]:
    """One call of `determine_rewards_generic`, in milliseconds."""
    data = {"count": 6, "total_amount": 80000, "performance_amount": 80000, "awarded": []}
    calls = range(100)
    taken, _ = timed(lambda: [determine_rewards_generic(16, data | {"awarded": []}, 5000, "BJ-2025-05") for _ in calls])
    return {"calls": len(calls), "ms_per_call": round(taken / len(calls) * 1000, 3)}


def measure_variants() -> Iterator[dict[str, object]]:
    """The first simulation of 100,000 contracts, and a further one that shares its frame; milliseconds."""
    chosen, contracts = campaign(), frame(100_000).sort_values("signed_at", ignore_index=True)
    tiers, limits = chosen.tiered_rewards, chosen.performance_limits
    assert tiers is not None
    variants: dict[str, dict[str, object]] = {
        "another min_contracts": {"tiered_rewards": tiers.model_copy(update={"min_contracts": 8})},
        "another single_contract_cap": {
            "performance_limits": limits.model_copy(update={"single_contract_cap": 4_000_000})
        },
    }
    for title, changes in variants.items():
        changed = chosen.model_copy(update=dict(changes))
        first, further = [], []
        for _ in range(REPEATS + 1):
            simulator = Simulator(taken_from(contracts))
            first.append(seconds(partial(simulator.run, chosen)))
            further.append(seconds(partial(simulator.run, changed)))
        one, other = statistics.median(first[1:]) * 1000, statistics.median(further[1:]) * 1000
        yield {
            "variant": title,
            "first_ms": round(one, 1),
            "further_ms": round(other, 1),
            "share_of_first": round(other / one, 2),
        }


def measure_all() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """The tables, with their titles."""
    yield "engine, all sections on, against a plain loop", list(measure())
    yield "simulate, 100,000 contracts", list(measure_variants())
    yield "determine_rewards_generic", [measure_door()]


def peak_megabytes() -> int:
    """The most memory that this process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used // (1024 * 1024 if sys.platform == "darwin" else 1024)


def _tuples(contracts: pd.DataFrame) -> list[python_loop.Contract]:
    """The same contracts as the loop takes them: made before its time is taken."""
    moments = contracts.assign(signed_at=contracts["signed_at"].astype("int64"))
    names = ("contract_id", "housekeeper", "project", "address", "signed_at", "amount", "self_referral", "historical")
    return list(zip(*(moments[name].tolist() for name in names), strict=True))


def _compare(outcome: Outcome, rows: list[tuple[object, ...]], awards: list[tuple[object, ...]]) -> None:
    """Both must have worked out the same, or the times say nothing. Raises ValueError."""
    assert outcome.missing is not None
    found = outcome.rows[["contract_id", "payee", *FIGURES]].assign(
        step=outcome.missing.step, contracts=outcome.missing.contracts, fen=outcome.missing.fen
    )
    names = [outcome.grants[grant].name for grant in outcome.awards["grant"]]
    granted = list(zip(outcome.awards["row"].tolist(), names, outcome.awards["amount"].tolist(), strict=True))
    if list(found.itertuples(index=False, name=None)) != rows or granted != awards:
        raise ValueError("the engine and the loop differ: these times would compare nothing")
