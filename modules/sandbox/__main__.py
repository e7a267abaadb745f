"""`python -m modules.sandbox`: serve both stand-ins until Ctrl-C, and print what to export for the daemon."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial

from modules.sandbox import sample_alerts
from modules.sandbox.metabase import MetabaseStandIn
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_contracts import SHANGHAI, sample_cards
from modules.sandbox.sample_violations import SLA_CARD, VIOLATION_COLUMNS, sample_violations

ROBOT_KEYS = {
    "WECOM_KEY_BJ_GROUP": "sandbox-key-bj-group",
    "WECOM_KEY_SH_GROUP": "sandbox-key-sh-group",
    "WECOM_KEY_OPS": "sandbox-key-ops",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C. Exits with 2 where an option is wrong or a port is taken."""
    parser = argparse.ArgumentParser(
        prog="python -m modules.sandbox", description="本机沙箱：模拟 Metabase 与企业微信群机器人"
    )
    parser.add_argument(
        "--port-metabase", type=int, default=0, metavar="端口", help="Metabase 的端口，默认任选空闲端口"
    )
    parser.add_argument("--port-robot", type=int, default=0, metavar="端口", help="群机器人的端口，默认任选空闲端口")
    options = parser.parse_args(arguments)
    metabase = MetabaseStandIn(options.port_metabase)
    for card, month in sample_cards().items():
        metabase.set_card(card, month.columns, partial(_now, month.pull))
    for card, columns, rows in sample_alerts.CARDS:
        metabase.set_card(card, columns, partial(_now, rows))
    metabase.set_card(SLA_CARD, VIOLATION_COLUMNS, _violations_of_yesterday)
    robot = RobotStandIn(list(ROBOT_KEYS.values()), options.port_robot)
    with ExitStack() as running:
        try:
            running.enter_context(metabase)
            running.enter_context(robot)
        except (OSError, OverflowError) as error:
            parser.error(f"端口无法使用，请换一个：{error}")
        print(_introduction(metabase, robot), flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("\n沙箱已停止。")


def _now(rows: Callable[[datetime], list[list[object]]]) -> list[list[object]]:
    return rows(datetime.now(SHANGHAI))


def _violations_of_yesterday() -> list[list[object]]:
    return sample_violations(datetime.now(SHANGHAI).date() - timedelta(days=1))


def _introduction(metabase: MetabaseStandIn, robot: RobotStandIn) -> str:
    variables = {
        "METABASE_URL": metabase.url,
        "METABASE_USERNAME": metabase.username,
        "METABASE_PASSWORD": metabase.password,
        "WECOM_BASE_URL": robot.url,
        **ROBOT_KEYS,
    }
    command = "set" if os.name == "nt" else "export"
    lines = [f"{command} {name}={value}" for name, value in variables.items()]
    return "\n".join(["沙箱已启动，按 Ctrl-C 停止。请在另一个终端设置：", "", *lines, ""])


if __name__ == "__main__":
    main()
