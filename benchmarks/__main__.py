"""`python -m benchmarks rewards`, `… cycle`, `… queue`, `… dashboard`: tables of seconds and ratios; with `--json` for
programs."""

import argparse
import json

from rich.console import Console
from rich.table import Table

from benchmarks import cycle, dashboard, queue, rewards

MEASURES = {
    "rewards": rewards.measure_all,
    "cycle": cycle.measure_all,
    "queue": queue.measure_all,
    "dashboard": dashboard.measure_all,
}


def main() -> None:
    """Measure and show. Nothing is judged: the figures speak."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=tuple(MEASURES))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for title, rows in MEASURES[arguments.what]():
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
