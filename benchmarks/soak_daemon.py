"""`python -m benchmarks.soak_daemon FILE`: the daemon by a clock that is ahead by the seconds that FILE names."""

from modules.pandas_weight import leave_out_pyarrow

if __name__ == "__main__":
    leave_out_pyarrow()

import sys
from datetime import datetime, timedelta
from pathlib import Path

import main
from modules.clock import Clock, shanghai_now


def clock_ahead(lead_file: Path) -> Clock:
    """The real clock and the lead, which may change at any time."""
    read_at, lead = 0, timedelta()

    def clock() -> datetime:
        nonlocal read_at, lead
        written_at = lead_file.stat().st_mtime_ns
        if written_at != read_at:  # what an idle daemon costs is measured: the clock itself should cost little
            read_at, lead = written_at, timedelta(seconds=float(lead_file.read_text(encoding="utf-8")))
        return shanghai_now() + lead

    return clock


if __name__ == "__main__":
    main.run_daemon(clock=clock_ahead(Path(sys.argv[1])))
