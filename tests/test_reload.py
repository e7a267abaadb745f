"""The daemon while its files are edited: broken, mended, half written, renamed, and new ones added."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from modules.clock import SHANGHAI
from modules.config import REWARD_CONFIGS
from modules.settings import ROOT
from tests.program import Running, World, await_that, contract, open_world, unlimited_robot
from tests.test_daemon import SECOND, stop

CARD = 11
NOW_MONTH = datetime.now(SHANGHAI).strftime("%Y-%m")
BEIJING, SHANGHAI_KEY = f"BJ-{NOW_MONTH}", f"SH-{NOW_MONTH}"
ENTRY = REWARD_CONFIGS["BJ-2025-05"] | {"card_id": CARD}
ELSEWHERE = """
import pathlib
from modules import campaigns, service_providers, templates
campaigns.BADGES_FILE = pathlib.Path({folder!r}) / "badges.yaml"
service_providers.PROVIDERS_FILE = pathlib.Path({folder!r}) / "service_providers.yaml"
templates.TEMPLATES_DIR = pathlib.Path({folder!r}) / "templates"
"""
"""Lets the program have its badges, providers and templates in a folder of the test's own."""


class Installation:
    """A world with one campaign of this month, whose badges and templates may be edited too."""

    def __init__(self, world: World) -> None:
        self.world = world
        (world.folder / "templates").mkdir()
        shipped = ROOT / "config"
        for path in [*(shipped / "templates").iterdir(), shipped / "badges.yaml", shipped / "service_providers.yaml"]:
            name = f"templates/{path.name}" if path.suffix == ".j2" else path.name
            world.write(name, path.read_text(encoding="utf-8"))
        world.environ["CAMPAIGNS_FILE"] = str(world.folder / "campaigns.py")
        self.campaigns({BEIJING: ENTRY})
        self.show(2)

    def campaigns(self, entries: dict[str, Any] | str) -> None:
        source = entries if isinstance(entries, str) else f"REWARD_CONFIGS = {entries!r}\nALERT_CONFIGS = {{}}"
        self.world.write("campaigns.py", source)

    def show(self, count: int, card: int = CARD, first: int = 1) -> None:
        signed = f"{NOW_MONTH}-01T00:00:00.000+08:00"
        rows = [contract(number, signedDate=signed) for number in range(first, first + count)]
        self.world.show(rows, card=card)

    def start(self) -> Running:
        prelude = ELSEWHERE.format(folder=str(self.world.folder))
        return self.world.start(prelude=prelude, RUN_JOBS_SERIALLY_SCHEDULE=SECOND)

    def status(self, *options: str) -> Any:
        prelude = ELSEWHERE.format(folder=str(self.world.folder))
        return self.world.run("status", *options, prelude=prelude)

    def registered(self, count: int, key: str = BEIJING) -> Callable[[], bool]:
        return lambda: bool(self.world.tasks()) and len(self.world.numbers(key)) == count

    def runs_by_it(self, key: str = BEIJING) -> Callable[[], bool]:
        """No run goes by what was read before now: of two that begin from here on, the second one is sure to be later,
        and campaigns run one after another."""

        def begun() -> int:
            (row,) = self.world.query("SELECT COUNT(*) AS number FROM job_runs WHERE job = ?", key)
            return int(row["number"])

        before = begun()
        return lambda: begun() >= before + 2

    def logs(self, words: str, times: int = 1) -> Callable[[], bool]:
        return lambda: self.world.log().count(words) >= times


def campaigns_of(status: Any) -> list[str]:
    """The campaigns among the jobs that `status --json` lists."""
    return [job["job"] for job in status.json["jobs"] if job["last_settle_day"]]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with open_world(tmp_path, unlimited_robot) as world:
        yield Installation(world)


@pytest.mark.slow
def test_a_broken_file_is_told_and_mended_without_a_restart(here: Installation) -> None:
    daemon = here.start()
    await_that(here.registered(2))
    here.campaigns("REWARD_CONFIGS = {")
    await_that(here.logs("有语法错误"))
    here.show(4)
    await_that(here.registered(4))

    ended = here.status("--json")
    assert ended.code == 0
    assert "语法错误" in ended.json["config_faults"][0]
    assert list(ended.json["configuration"]["kept"]) == [f"活动 {BEIJING}"]
    assert campaigns_of(ended) == [BEIJING], "it runs, whatever the file says"
    shown = here.status().out
    assert "配置有错" in shown
    assert f"沿用旧配置 活动 {BEIJING}" in shown

    here.campaigns({BEIJING: ENTRY | {"title": "新的标题"}})
    await_that(here.logs("配置的错误都已改好"))
    here.show(5)
    await_that(here.registered(5))
    ended = here.status("--json")
    assert (ended.json["config_faults"], ended.json["configuration"]["kept"]) == ([], {})
    stop(daemon)
    assert here.world.log().count("有语法错误") == 2, "once when found, once when mended"
    assert here.world.log().count("后台程序已启动") == 1
    assert here.world.numbers(BEIJING) == [1, 2, 3, 4, 5]
    assert here.status("--json").json["configuration"] is None


@pytest.mark.slow
def test_a_campaign_that_is_added_runs_and_one_that_is_removed_does_not(here: Installation) -> None:
    daemon = here.start()
    await_that(here.registered(2))
    here.show(3, card=22, first=100)
    here.campaigns({BEIJING: ENTRY, SHANGHAI_KEY: REWARD_CONFIGS["SH-2025-05"] | {"card_id": 22}})
    await_that(here.registered(3, SHANGHAI_KEY))
    await_that(here.logs(f"配置已重新读取：新增 活动 {SHANGHAI_KEY}"))
    here.campaigns({SHANGHAI_KEY: REWARD_CONFIGS["SH-2025-05"] | {"card_id": 22}})
    await_that(here.logs(f"{BEIJING} 已从活动配置里删除，但还没有到期"))
    await_that(here.runs_by_it(SHANGHAI_KEY))
    here.show(4)
    here.show(4, card=22, first=100)
    await_that(here.registered(4, SHANGHAI_KEY))
    stop(daemon)
    assert here.world.numbers(BEIJING) == [1, 2]


@pytest.mark.slow
def test_the_next_message_is_written_by_the_template_as_it_is(here: Installation) -> None:
    daemon = here.start()
    await_that(here.registered(2))
    here.world.write("templates/broadcast_beijing.j2", "{{ 没有这个值 }}")
    await_that(here.logs("配置有错：config/templates"))
    here.campaigns({BEIJING: ENTRY, SHANGHAI_KEY: ENTRY | {"card_id": 22, "notification": {"template": "gone"}}})
    await_that(here.logs("gone.j2"))
    assert campaigns_of(here.status("--json")) == [BEIJING], "the other waits for its template"
    here.show(3)
    await_that(here.registered(3))
    here.world.write("templates/broadcast_beijing.j2", "喜讯：第 {{ sequence }} 单")
    await_that(here.logs("改动 模板 broadcast_beijing.j2"))
    await_that(here.runs_by_it())
    here.show(4)
    await_that(lambda: "喜讯：第 4 单" in [task["message"] for task in here.world.tasks("completed")])
    stop(daemon)
    third = next(task["message"] for task in here.world.tasks() if task["dedup_key"].endswith("000003"))
    assert "喜讯" not in third
    assert "签约合同" in third


@pytest.mark.slow
def test_a_half_written_file_is_not_believed(here: Installation) -> None:
    """An editor or a copying program writes piece by piece, each piece sooner than a file is believed."""
    daemon = here.start()
    await_that(here.registered(2))
    whole = f"REWARD_CONFIGS = { ({BEIJING: ENTRY | {'title': '改好了'}})!r}"
    pieces = iter(range(0, len(whole), 5))

    def writes_on() -> bool:
        length = next(pieces, len(whole))
        here.campaigns(whole[:length])
        return length == len(whole)

    await_that(writes_on)
    await_that(here.logs(f"改动 活动 {BEIJING}"))
    stop(daemon)
    assert "配置有错" not in here.world.log()
    assert not [task for task in here.world.tasks() if task["recipient"] == "ops"]


@pytest.mark.slow
def test_what_changes_the_payee_of_a_running_campaign_is_read_and_held_back(here: Installation) -> None:
    """Re-reading goes past nobody: the guard asks for a person as it does after a restart."""
    daemon = here.start()
    await_that(here.registered(2))
    here.campaigns({BEIJING: ENTRY | {"housekeeper_key": "housekeeper+provider"}})
    await_that(here.logs("请改回；确实要改"))
    here.show(3)
    refused = here.world.log().count("请改回；确实要改")
    await_that(here.logs("请改回；确实要改", refused + 2))
    assert here.world.numbers(BEIJING) == [1, 2], "whatever ran by the old entry ended before the first refusal"
    here.campaigns({BEIJING: ENTRY})
    await_that(here.registered(3))
    stop(daemon)


@pytest.mark.slow
def test_changed_settings_are_only_noticed(here: Installation) -> None:
    daemon = here.start()
    await_that(here.registered(2))
    here.world.settings(lease_seconds=300)
    await_that(here.logs("设置文件已改动：settings.yaml"))
    await_that(lambda: here.status("--json").json["configuration"]["settings_changed"] == ["settings.yaml"])
    assert "需要重启 settings.yaml" in here.status().out
    stop(daemon)
    state = json.loads((here.world.data_dir / "state" / "configuration.json").read_text(encoding="utf-8"))
    assert state["settings_changed"] == ["settings.yaml"]
    assert here.world.log().count("设置文件已改动") == 1
