"""Which program this is and what it works by: told by the heartbeat, `status` and the metrics."""

import hashlib
import tomllib
from collections.abc import Iterable
from functools import cache

from modules.rewards.campaign import Campaign
from modules.settings import ROOT, Settings

HASH_DIGITS = 12


@cache
def version() -> str:
    """The program's version, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def config_hash(settings: Settings, campaigns: Iterable[Campaign]) -> str:
    """Names the settings and campaigns in use; the same where nothing differs but a secret, which is not looked at."""
    parts = [settings.model_dump_json(), *(campaign.config_hash() for campaign in campaigns)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:HASH_DIGITS]
