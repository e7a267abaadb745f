"""`python -m benchmarks rewards` and `… cycle`: tables of seconds and ratios; with `--json` for programs."""

import argparse
import json

from rich.console import Console
from rich.table import Table

from benchmarks import cycle, rewards


def main() -> None:
    """Measure and show. Nothing is judged: the figures speak."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=("rewards", "cycle"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measure = rewards.measure_all if arguments.what == "rewards" else cycle.measure_all
    for title, rows in measure():
        if arguments.json:
            print(json.dumps({"title": title, "rows": rows}))
        else:
            show(title, rows)


def show(title: str, rows: list[dict[str, object]]) -> None:
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
