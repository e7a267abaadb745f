"""`python -m benchmarks rewards`, `… cycle`, `… queue`, `… dashboard`, `… soak`: tables of figures; with `--json` for
programs."""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from benchmarks import cycle, dashboard, queue, rewards, soak

Row = dict[str, object]
MEASURES = {
    "rewards": rewards.measure_all,
    "cycle": cycle.measure_all,
    "queue": queue.measure_all,
    "dashboard": dashboard.measure_all,
}


def main() -> None:
    """Measure and show. Only the soak judges: its exit code is 1 where something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=(*MEASURES, "soak"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=10, help="of the soak")
    parser.add_argument("--cycles", type=int, help="of the soak, in place of minutes")
    arguments = parser.parse_args()
    is_soak = arguments.what == "soak"
    tables = soak.measure_all(arguments.minutes, arguments.cycles) if is_soak else MEASURES[arguments.what]()
    shown: list[Row] = []
    for title, rows in tables:
        shown += rows
        if arguments.json:
            print(json.dumps({"title": title, "rows": rows}))
        else:
            show(title, rows)
    if any(row.get("holds") == "NO" for row in shown):
        sys.exit(1)


def show(title: str, rows: list[Row]) -> None:
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
