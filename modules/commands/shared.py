"""What every command needs: the application, opened and logged; and options that mean the same everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer

from modules.application import Application, open_application
from modules.clock import parse_moment
from modules.errors import JobRefusedError
from modules.log_config import configure_logging
from modules.settings import load_settings

AsJson = Annotated[bool, typer.Option("--json", help="输出 JSON，供程序读取。")]
At = Annotated[str | None, typer.Option("--at", help="按这个时间运行，如 2025-05-20T12:00。")]
CampaignKey = Annotated[str, typer.Argument(metavar="KEY", help="活动编号，如 BJ-2025-05。")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="只算不写：看看会做什么。")]


@contextmanager
def opened(*, tolerant: bool = False) -> Iterator[Application]:
    """The application with the settings of this installation; logs go to the files only.

    `tolerant`: also where the campaigns file can't be read.
    """
    settings = load_settings()
    configure_logging(settings, console=False)
    with open_application(settings, tolerant=tolerant) as app:
        yield app


def moment(text: str | None, now: datetime) -> datetime:
    """`--at`, or now where it is left out. Raises JobRefusedError."""
    if text is None:
        return now
    try:
        return parse_moment(text)
    except ValueError:
        raise JobRefusedError(f"--at {text} 读不懂，应像 2025-05-20T12:00") from None
