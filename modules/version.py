"""Which program this is: told by the heartbeat, `status` and the metrics."""

import tomllib
from functools import cache

from modules.settings import ROOT


@cache
def version() -> str:
    """The program's version, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
