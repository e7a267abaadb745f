"""simulate: what a changed campaign would have paid."""

from pathlib import Path
from typing import Annotated

import typer

from modules import terminal
from modules.clock import shanghai_now
from modules.commands.shared import AsJson, CampaignKey
from modules.log_config import configure_logging
from modules.settings import Settings, load_settings
from modules.simulation import Request, Simulation, run_simulation
from modules.simulation_report import show_simulation, simulation_json

_Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="改一个值，如 tiered_rewards.tiers[0].threshold=90000；可写多次。"
    ),
]
_Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="PATH=VALUES",
        help="同一处取多个值，如 tiered_rewards.min_contracts=5..10、=5..10..2 或 =5,6,8；可写多次，逐一组合。",
    ),
]
_Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="用另一个活动配置文件里的这个活动。")]
_Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="用文件里的合同，不用台账。")]


def register(cli: typer.Typer) -> None:
    """Add these commands to the command line."""
    cli.command("simulate")(simulate_command)


def simulate_command(
    key: CampaignKey,
    changes: _Changes = None,
    sweeps: _Sweeps = None,
    config: _Config = None,
    csv: _Csv = None,
    as_json: AsJson = False,
) -> None:
    """模拟：活动规则改了会发多少奖，与实发和原配置对比；什么也不写入。"""
    settings = load_settings()
    if settings.log_dir.is_dir():  # nothing is made that is not there yet
        configure_logging(settings, console=False)
    found = _run(settings, Request(key, changes or (), sweeps or (), config, csv))
    if as_json:
        terminal.print_json(simulation_json(found))
    else:
        show_simulation(found)


def _run(settings: Settings, request: Request) -> Simulation:
    with terminal.progress_bar() as progress:
        bar = progress.add_task("模拟", total=None)
        return run_simulation(
            settings,
            request,
            shanghai_now().date(),
            on_each=lambda done, total: progress.update(bar, completed=done, total=total),
        )
