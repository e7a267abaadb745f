"""What pandas brings along into the program."""

import sys


def leave_out_pyarrow() -> None:
    """Before pandas is imported, which takes pyarrow where it is there, as it is for the dashboard: 35 MB, for nothing
    that is used elsewhere. Where it is loaded already it stays."""
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type] # the import system's own sign for "not to be had"
