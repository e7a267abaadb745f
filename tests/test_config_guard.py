"""Editing a running campaign: what changed is shown, and what would harm is held back until a person accepts it."""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from modules import config_guard, corrections, ledger
from modules.campaigns import load_campaigns
from modules.check import Findings, check_changes
from modules.config import REWARD_CONFIGS
from modules.database import Database
from modules.rewards.campaign import Campaign
from modules.rewards.config_changes import config_changes
from modules.rewards.faults import join_path
from modules.settings import ROOT
from modules.source_changes import SourceChanges
from modules.tables import awards, campaigns, job_runs
from modules.tables import tasks as task_table
from modules.watch_round import watch_once
from tests.desk import BEIJING, NOON, Desk
from tests.desk import contracts as desk_contracts
from tests.program import MAY_20, World, contract, open_world, unlimited_robot
from tests.sqlite_files import spoil
from tests.test_campaigns import FULL, KEY, campaign, with_change

HELD_BACK = f"请改回；确实要改，请运行 check --accept {KEY}"
ANOTHER_BAND = {"name": "小单奖", "below_amount": 3000}


def changed(path: str, value: Any) -> Campaign:
    """FULL with one place changed, whatever its names are worth."""
    entry = with_change(path, value, FULL)
    entry["awards_mapping"] = dict.fromkeys(["新星奖", "特大单奖"], 1) | entry["awards_mapping"]
    return campaign(entry)


OLD = changed("title", FULL["title"])


def said(old: Campaign, new: Campaign) -> dict[str, str]:
    """Path → what changed there."""
    return {join_path("", change.location): change.text for change in config_changes(old, new)}


# -- what has changed, in words --------------------------------------------------------------------------------------

BANDS = FULL["contract_rewards"]
TIERS = FULL["tiered_rewards"]["tiers"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("title", "国庆大促", {"title": "十月大促 → 国庆大促"}),
        ("end", "2025-10-30", {"end": "2025-10-31 → 2025-10-30"}),
        ("settle_days", 4, {"settle_days": "5 → 4"}),
        ("card_id", None, {"card_id": "1800 → 无"}),
        ("housekeeper_key", "housekeeper", {"housekeeper_key": "housekeeper+provider → housekeeper"}),
        ("source_types", [4, 7], {"source_types": "增加 7，减少 1"}),
        ("source_types", None, {"source_types": "1、4 → 无"}),
        ("historical_contracts", False, {"historical_contracts": "True → False"}),
        ("bonus_pool_ratio", "0.003", {"bonus_pool_ratio": "0.002 → 0.003"}),
        ("lucky_number", 6, {"lucky_number": "5 → 6"}),
        ("lucky_rewards.high.threshold", "12,000.5", {"lucky_rewards.high.threshold": "10000 → 12000.50"}),
        ("lucky_rewards.high", None, {"lucky_rewards.high": "（name 接好运万元以上，threshold 10000） → 无"}),
        ("opening_reward", None, {"opening_reward": "（first 10，name 开门红） → 无"}),
        ("performance_limits.single_project_limit", None, {"performance_limits.single_project_limit": "50000 → 无"}),
        (
            "performance_limits.self_referral_project_limit",
            None,
            {"performance_limits.self_referral_project_limit": "未写 → 无"},
        ),
        ("awards_mapping.达标奖", 250, {"awards_mapping.达标奖": "200 → 250"}),
        ("awards_mapping.新的奖", 8, {"awards_mapping.新的奖": "未写 → 8"}),
        ("tiered_rewards.tiers.0.threshold", 70000, {"tiered_rewards.tiers[0].threshold": "80000 → 70000"}),
        ("tiered_rewards.tiers.0.name", "新星奖", {"tiered_rewards.tiers[0].name": "达标奖 → 新星奖"}),
        ("tiered_rewards.tiers", TIERS[1:], {"tiered_rewards.tiers": "减少 （name 达标奖，threshold 80000）"}),
        (
            "tiered_rewards.tiers",
            [{"name": "新星奖", "threshold": 9}, *TIERS],
            {"tiered_rewards.tiers[0]": "未写 → （name 新星奖，threshold 9）"},
        ),
        (
            "contract_rewards",
            [BANDS[1], BANDS[2] | {"quota": 9}, ANOTHER_BAND],
            {"contract_rewards[1].quota": "无 → 9", "contract_rewards[2].below_amount": "5000 → 3000"},
        ),
        (
            "contract_rewards",
            [],
            {
                "contract_rewards": "减少 （name 小单奖，min_amount 0，below_amount 5000）、"
                "（name 中单奖，min_amount 5000，below_amount 20000，first_contracts 100，quota 10）、"
                "（name 大单奖，min_amount 20000）"
            },
        ),
        ("badges.elite.multiplier", 3, {"badges.elite.multiplier": "2 → 3"}),
        ("badges.elite.applies_to", ["节节高", "自引单"], {"badges.elite.applies_to": "增加 自引单"}),
        ("notification.group", "sh_group", {"notification.group": "bj_group → sh_group"}),
    ],
)
def test_a_change_is_told_with_its_place_and_both_values(path: str, value: Any, told: dict[str, str]) -> None:
    assert said(OLD, changed(path, value)) == told


def test_an_amount_that_is_gone_is_told() -> None:
    assert said(changed("awards_mapping.新的奖", 8), OLD) == {"awards_mapping.新的奖": "8 → 未写"}


def test_members_of_a_badge_list_who_came_and_went_are_named() -> None:
    document = json.loads(OLD.config_json())
    document["badges"]["elite"]["members"] = ["周小满", "沈砚秋"]
    assert said(OLD, Campaign.from_json(json.dumps(document))) == {
        "badges.elite.members": "增加 周小满、沈砚秋，减少 顾北辰"
    }


@pytest.mark.parametrize(
    "entry",
    [
        FULL,
        {**FULL, "title": " 十月大促 ", "source_types": ["4", 1, 1], "bonus_pool_ratio": "0.002"},
        {**FULL, "awards_mapping": dict(reversed(FULL["awards_mapping"].items()))},
        {**FULL, "contract_rewards": BANDS[::-1]},
        with_change("badges.elite.applies_to", ["节节高", "节节高"], FULL),
        {**FULL, "tiered_rewards": {**FULL["tiered_rewards"], "tiers": tuple(TIERS)}},
    ],
    ids=[
        "the same",
        "written otherwise",
        "amounts in another order",
        "bands in another order",
        "a kind twice",
        "a tuple",
    ],
)
def test_what_changes_nothing_is_no_change(entry: dict[str, Any]) -> None:
    assert said(campaign(FULL), campaign(entry)) == {}
    assert said(campaign(FULL), Campaign.from_json(campaign(entry).config_json())) == {}


def test_a_config_stored_by_the_first_version_has_no_change_where_nothing_new_is_written() -> None:
    shipped = load_campaigns(ROOT / "modules" / "config.py", NOON.date()).valid[BEIJING]
    document = json.loads(shipped.config_json())
    del document["tiered_rewards"]["stats"]
    for name in ("source_types", "historical_contracts", "lucky_number_mode", "lucky_number_sequence_type",
                 "opening_reward", "contract_rewards", "self_referral_rewards"):  # fmt: skip
        del document[name]
    old = Campaign.from_json(json.dumps(document))
    assert said(old, shipped) == {}
    assert said(old, shipped.model_copy(update={"historical_contracts": True})) == {
        "historical_contracts": "False → True"
    }


# -- what is held back -----------------------------------------------------------------------------------------------


def judged(
    new: Campaign, *granted: str, old: Campaign | None = OLD, accepted: str | None = None
) -> tuple[list[str], ...]:
    """Faults and warnings, without `REWARD_CONFIGS[…].`; what is granted is a tier by default."""
    kinds = {"红包": "自引单", "大单奖": "签约奖励"}
    found = config_guard.guard(old, new, [(kinds.get(name, "节节高"), name) for name in granted], accepted)
    root = f'REWARD_CONFIGS["{KEY}"]'
    return tuple([str(f).removeprefix(root).removeprefix(".") for f in told] for told in (found.faults, found.warnings))


HOUSEKEEPER = "housekeeper_key: 已运行的活动改动了 housekeeper+provider → housekeeper，累计和奖励会记到别的对象名下"
RENAMED = "tiered_rewards.tiers[0].name: 已运行的活动改动了 达标奖 → 新星奖"


@pytest.mark.parametrize(
    ("path", "value", "granted", "faults", "warnings"),
    [
        ("housekeeper_key", "housekeeper", [], [HOUSEKEEPER], []),
        ("tiered_rewards.tiers.0.name", "新星奖", ["优秀奖", "红包"], [], [RENAMED]),
        ("tiered_rewards.tiers.0.name", "新星奖", ["达标奖"], [RENAMED + "，而“达标奖”已经发过"], []),
        (
            "tiered_rewards.tiers",
            TIERS[1:],
            ["达标奖", "优秀奖"],
            ["tiered_rewards.tiers: 已运行的活动改动了 减少 （name 达标奖，threshold 80000），而“达标奖”已经发过"],
            [],
        ),
        (
            "tiered_rewards.tiers",
            [{"name": "新星奖", "threshold": 5}, TIERS[2]],
            ["达标奖"],
            [
                "tiered_rewards.tiers: 已运行的活动改动了 减少 （name 达标奖，threshold 80000）、"
                "（name 优秀奖，threshold 180000），而“达标奖”已经发过"
            ],
            ["tiered_rewards.tiers[0]: 已运行的活动改动了 未写 → （name 新星奖，threshold 5）"],
        ),
        (
            "self_referral_rewards",
            None,
            ["红包"],
            ["self_referral_rewards: 已运行的活动改动了 （enable True，reward_name 红包） → 无，而“红包”已经发过"],
            [],
        ),
        (
            "announcement_only",
            True,
            ["红包", "达标奖"],
            [
                "self_referral_rewards: “红包”已经发过，现在没有任何规则会发它了",
                "tiered_rewards: “达标奖”已经发过，现在没有任何规则会发它了",
            ],
            ["announcement_only: 已运行的活动改动了 False → True"],
        ),
        (
            "contract_rewards.2.name",
            "达标奖",  # granted by a tier too
            ["达标奖", "大单奖"],
            ["contract_rewards[2].name: 已运行的活动改动了 大单奖 → 达标奖，而“大单奖”已经发过"],
            [],
        ),
        (
            "tiered_rewards.tiers.0.threshold",
            90000,
            ["达标奖"],
            [],
            ["tiered_rewards.tiers[0].threshold: 已运行的活动改动了 80000 → 90000"],
        ),
        ("title", FULL["title"], ["达标奖", "早已不发的奖"], [], []),
    ],
)
def test_the_guard_holds_back_what_would_harm_and_warns_of_the_rest(
    path: str, value: Any, granted: list[str], faults: list[str], warnings: list[str]
) -> None:
    new = changed(path, value)
    held_back = [f"{fault}；{HELD_BACK}" for fault in faults]
    assert judged(new, *granted) == (held_back, warnings)
    assert judged(new, *granted, accepted="another hash") == (held_back, warnings)
    accepted = judged(new, *granted, accepted=new.config_hash())
    assert accepted[0] == []
    assert len(accepted[1]) == len(said(OLD, new))
    assert judged(new, *granted, old=new) == ([], [])  # once it has run, it is what counts


def test_a_granted_tier_is_not_saved_by_another_award_of_its_name() -> None:
    """Awards are their kind and their name: here the opening reward is called as the tier that went away."""
    both = {"opening_reward": {"first": 1, "name": "达标奖"}, "awards_mapping": {"达标奖": 200}}
    tiers = {"tiered_rewards": {"tiers": [{"name": "达标奖", "threshold": 1}]}}
    words = (
        "tiered_rewards: 已运行的活动改动了 （min_contracts 0，tiers （name 达标奖，threshold 1），stats total） → 无"
    )
    found = judged(campaign(both), "达标奖", old=campaign(both | tiers))
    assert found == ([f"{words}，而节节高“达标奖”已经发过；{HELD_BACK}"], [])


@pytest.mark.parametrize("entry", [FULL, *REWARD_CONFIGS.values()], ids=["FULL", *REWARD_CONFIGS])
def test_the_guard_knows_the_place_of_every_award_that_can_be_granted(entry: dict[str, Any]) -> None:
    whole = campaign(entry)
    assert sorted(config_guard._grantable(whole).values(), key=str) == sorted(
        (at for at, _ in whole.grantable()), key=str
    )


def test_where_the_last_config_is_not_known_every_granted_award_is_guarded() -> None:
    faults, warnings = judged(OLD, "达标奖", "星光奖", old=None)
    assert faults == [f": “星光奖”已经发过，现在没有任何规则会发它了；{HELD_BACK}"]
    assert warnings == [": 上次运行所用的配置读不到，或是另一个版本的程序写的；没有比较改动"]


# -- what the database knows -----------------------------------------------------------------------------------------

Write = Callable[..., AbstractContextManager[Desk]]


@pytest.fixture
def edited(open_desk: Write, surroundings: Any) -> Write:
    """Opens a desk whose BJ-2025-05 is the shipped one with some keys written otherwise."""

    @contextlib.contextmanager
    def opening(**keys: Any) -> Iterator[Desk]:
        path = surroundings.root / "campaigns.py"
        path.write_text(f"REWARD_CONFIGS = {{{BEIJING!r}: {REWARD_CONFIGS[BEIJING] | keys!r}}}", encoding="utf-8")
        with open_desk(CAMPAIGNS_FILE=str(path)) as desk:
            desk.show(desk_contracts(*range(1, 7), amount=9000))
            yield desk

    return opening


def renamed() -> dict[str, Any]:
    """A tier of another name."""
    keys = deepcopy({name: REWARD_CONFIGS[BEIJING][name] for name in ("tiered_rewards", "awards_mapping")})
    keys["tiered_rewards"]["tiers"][0] = {"name": "新星奖", "threshold": 50000}
    keys["awards_mapping"]["新星奖"] = 200
    return keys


def guarded(desk: Desk) -> config_guard.Guarded:
    with desk.app.database.reading() as connection:
        return config_guard.guarded(connection, desk.app.campaigns.valid[BEIJING])


def test_a_campaign_that_has_registered_nothing_may_be_edited(edited: Write) -> None:
    with edited() as desk:
        desk.show([])
        assert desk.run().outcome == "ok"
    with edited(housekeeper_key="housekeeper+provider", title="新名称") as desk:
        assert guarded(desk) == config_guard.Guarded()
        assert desk.run().registered == 6


def test_the_last_config_is_the_one_used_last_and_not_the_newest(edited: Write) -> None:
    for title in ("甲", "乙", "甲"):
        with edited(title=title) as desk:
            assert desk.run().outcome == "ok"
            assert guarded(desk).warnings == ()
    with edited(title="乙") as desk:
        (warning,) = guarded(desk).warnings
        assert str(warning) == f'REWARD_CONFIGS["{BEIJING}"].title: 已运行的活动改动了 甲 → 乙'
        desk.run(dry_run=True)
        assert guarded(desk).warnings == (warning,)  # nothing has been registered by it


def test_a_change_is_logged_by_the_run_that_first_works_by_it(edited: Write, caplog: pytest.LogCaptureFixture) -> None:
    def logged() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        caplog.clear()
        return [message for message in found if "改动" in message]

    with edited() as desk:
        desk.run()
    with edited(settle_days=5) as desk:
        assert logged() == []
        desk.source.set_card(1693, ["_id"], [])
        assert desk.run().outcome == "failed"
        assert logged() == []
        desk.show(desk_contracts(*range(1, 7), amount=9000))
        desk.run()
        (message,) = logged()
        assert "settle_days: 已运行的活动改动了 3 → 5" in message
        desk.run()
        assert logged() == []


def test_a_closed_campaign_is_guarded_no_more(edited: Write) -> None:
    with edited() as desk:
        desk.run()
        with desk.app.database.writing() as connection:
            ledger.close(connection, desk.app.campaigns.valid[BEIJING], 1, SourceChanges({}), NOON, "王")
    with edited(lucky_number="", lucky_rewards=None, title="五月") as desk:
        assert guarded(desk) == config_guard.Guarded()
        assert check_changes(desk.app.campaigns, desk.app.settings) == Findings()
        corrections.look(desk.app, desk.app.campaigns.valid[BEIJING], NOON, to_change=False)


def test_an_adjustment_by_a_person_guards_no_name(edited: Write) -> None:
    with edited(tiered_rewards=None) as desk:
        desk.run()
        adjusted = {"campaign": BEIJING, "kind": "人工调整", "name": "补发", "amount": 100, "granted_at": NOON}
        rest = {"payee": "沈若川", "housekeeper": "沈若川", "base_amount": 100, "badge": "", "multiplier": "1"}
        with desk.app.database.writing() as connection:
            connection.execute(sa.insert(awards).values(**adjusted, **rest, position=0, reason="{}", config_hash=""))
            connection.execute(sa.update(campaigns).values(config_hash="lost"))
        assert guarded(desk).faults == ()


def test_the_daemon_leaves_out_what_is_held_back_and_alerts_operations_once_a_day(edited: Write) -> None:
    with edited() as desk:
        assert desk.run().awards == 1  # 接好运 for the sixth; five contracts make no tier yet
    with edited(lucky_number="", lucky_rewards=None) as desk:
        for minutes in (3, 6):
            (run,) = desk.cycle(NOON + timedelta(minutes=minutes))
            assert run["outcome"] == "failed"
            assert "“接好运”已经发过" in run["error"]
            assert f"check --accept {BEIJING}" in run["error"]
            watch_once(desk.app, desk.clock())
        alerts = [row["message"] for row in desk.table(task_table) if row["recipient"] == "ops"]
        assert len(alerts) == 1
        assert "“接好运”已经发过" in alerts[0]
        assert [row["error"] for row in desk.table(job_runs)][1:] == [run["error"]] * 2
        desk.cycle(NOON + timedelta(days=1, minutes=3))
        watch_once(desk.app, desk.clock())
        assert len([row for row in desk.table(task_table) if row["recipient"] == "ops"]) == 2


def test_a_campaign_whose_last_config_another_version_wrote_runs_where_its_awards_are_still_there(
    edited: Write,
) -> None:
    with edited() as desk:
        desk.run()
        with desk.app.database.writing() as connection:
            connection.execute(sa.text("UPDATE config_snapshots SET hash = 'old', config = '{\"key\": 5}'"))
            connection.execute(sa.update(campaigns).values(config_hash="old"))
        assert guarded(desk).faults == ()
        assert "读不到" in guarded(desk).warnings[0].text
        assert desk.run().outcome == "ok"
        assert guarded(desk) == config_guard.Guarded()


def test_a_database_of_the_first_version_knows_its_newest_config(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'tasks.db'}")
    config = Config()
    config.set_main_option("script_location", str(ROOT / "modules" / "migrations"))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(sa.text("INSERT INTO campaigns (key) VALUES ('BJ-2025-05'), ('SH-2025-05')"))
        for number, (name, campaign_key) in enumerate([("a", BEIJING), ("c", BEIJING), ("b", "BJ-2025-04")]):
            row = {"hash": name, "key": campaign_key, "at": f"2025-05-0{number + 1}T10:00:00.000000+08:00"}
            connection.execute(sa.text("INSERT INTO config_snapshots VALUES (:hash, :key, '{}', :at)"), row)
    database.upgrade()
    with database.reading() as connection:
        known = dict(connection.execute(sa.select(campaigns.c.key, campaigns.c.config_hash)).all())
    database.close()
    assert known == {BEIJING: "c", "SH-2025-05": None}


# -- as a person sees it ---------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


EDIT = """
import copy
entry = copy.deepcopy(SHIPPED["BJ-2025-05"])
{}
REWARD_CONFIGS = {{"BJ-2025-05": entry, "SH-2025-05": SHIPPED["SH-2025-05"]}}
"""
RENAME = 'entry["tiered_rewards"]["tiers"][0]["name"] = "新星奖"; entry["awards_mapping"]["新星奖"] = 200'
FAULT = (
    'REWARD_CONFIGS["BJ-2025-05"].tiered_rewards.tiers[0].name: 已运行的活动改动了 达标奖 → 新星奖，'
    "而“达标奖”已经发过；请改回；确实要改，请运行 check --accept BJ-2025-05"
)


def tier_contracts(first: int, last: int) -> list[list[object]]:
    """Of one housekeeper, who has earned 达标奖 with the sixth, but neither 优秀奖 nor 精英奖."""
    return [
        contract(
            number, serviceHousekeeper="管家甲", adjustRefundMoney=14000, signedDate=f"2025-05-{number:02d}T10:00:00"
        )
        for number in range(first, last + 1)
    ]


def rules(ended: Any) -> list[str]:
    """What `check --json` says of the campaigns, faults first; without the months that nobody has planned."""
    told = ended.json["faults"] + ended.json["warnings"]
    return [f"{item['path']}: {item['text']}" for item in told if item["path"].startswith('REWARD_CONFIGS["')]


@pytest.fixture
def running(world: World) -> World:
    """A world whose BJ-2025-05 has registered six contracts and granted 达标奖."""
    world.campaigns(EDIT.format(""))
    world.show(tier_contracts(1, 6))
    assert world.run_may().json["registered"] == 6
    assert {row["name"] for row in world.query("SELECT name FROM awards")} == {"接好运万元以上", "达标奖"}
    world.show(tier_contracts(1, 7))
    return world


def test_a_granted_tier_that_was_renamed_runs_only_when_a_person_has_accepted_it(running: World) -> None:
    running.campaigns(EDIT.format(RENAME))
    checked = running.run("check", "--json")
    assert checked.code == 2
    assert [f"{fault['path']}: {fault['text']}" for fault in checked.json["faults"]] == [FAULT]
    assert f"错误 {FAULT}" in running.run("check").out

    ledger, requests = running.ledger(), len(running.metabase.requests)
    for extra in ((), ("--dry-run",)):
        refused = running.run("run", "BJ-2025-05", *MAY_20, *extra)
        assert refused.code == 2
        assert refused.err.splitlines() == [FAULT]
        assert (refused.json["outcome"], refused.json["error"]) == ("failed", FAULT)
    assert running.ledger() == ledger
    assert len(running.metabase.requests) == requests
    running.show(tier_contracts(1, 2), card=1694)
    assert running.run("run", "SH-2025-05", *MAY_20).code == 0

    accepted = running.run("check", "--accept", "BJ-2025-05")
    assert (accepted.code, accepted.err) == (0, "")
    assert "已确认 REWARD_CONFIGS" in accepted.out
    assert "达标奖 → 新星奖" in accepted.out
    (act,) = running.query("SELECT who, action, detail FROM audit_log")
    assert (act["who"], act["action"]) == (getpass.getuser(), "accept-config")
    assert "BJ-2025-05" in act["detail"]
    assert "达标奖 → 新星奖" in act["detail"]
    again = running.run("check", "--json")
    assert again.code == 0
    assert [warning for warning in rules(again) if "达标奖 → 新星奖" in warning]

    assert running.run_may().json["registered"] == 1
    assert running.numbers() == [1, 2, 3, 4, 5, 6, 7]
    after = running.run("check", "--json")
    assert (after.code, rules(after)) == (
        0,
        ['REWARD_CONFIGS["BJ-2025-05"].awards_mapping.达标奖: 有金额，但没有任何规则会发这个奖'],
    )


def test_acceptance_is_of_one_config_and_lasts(running: World) -> None:
    running.campaigns(EDIT.format(RENAME))
    assert running.run("check", "--accept", "BJ-2025-05").code == 0
    running.campaigns(EDIT.format(RENAME + '; entry["title"] = "五月大促"'))
    assert running.run_may().code == 2
    assert running.run("check", "--accept", "BJ-2025-05").code == 0
    assert running.run_may().code == 0
    running.campaigns(EDIT.format(RENAME + '; entry["title"] = "五月"'))
    assert 'REWARD_CONFIGS["BJ-2025-05"].title: 已运行的活动改动了 五月大促 → 五月' in rules(
        running.run("check", "--json")
    )
    assert running.run_may().code == 0
    running.campaigns(EDIT.format(""))  # back to what it was: 新星奖 was granted meanwhile
    assert "“新星奖”已经发过" in running.run("check").out
    assert running.run_may().code == 2


def test_another_payee_is_held_back(running: World) -> None:
    running.campaigns(EDIT.format('entry["housekeeper_key"] = "housekeeper+provider"'))
    words = "housekeeper_key: 已运行的活动改动了 housekeeper → housekeeper+provider"
    assert words in running.run("check").out
    assert running.run_may().code == 2
    accepted = running.run("check", "--accept", "BJ-2025-05", "--json").json["accepted"]
    assert [fault["path"] for fault in accepted] == ['REWARD_CONFIGS["BJ-2025-05"].housekeeper_key']
    assert running.run_may().code == 0


def test_other_edits_run_and_are_shown_until_then(running: World) -> None:
    running.campaigns(EDIT.format('entry["tiered_rewards"]["tiers"][0]["threshold"] = 90000; entry["settle_days"] = 5'))
    ended = running.run("check", "--json")
    root = 'REWARD_CONFIGS["BJ-2025-05"].'
    assert ended.code == 0
    assert rules(ended) == [
        f"{root}settle_days: 已运行的活动改动了 3 → 5",
        f"{root}tiered_rewards.tiers[0].threshold: 已运行的活动改动了 80000 → 90000",
    ]
    assert running.run_may().json["registered"] == 1
    assert "tiers[0].threshold: 已运行的活动改动了 80000 → 90000" in running.log()
    assert rules(running.run("check", "--json")) == []


def test_there_may_be_nothing_to_accept(running: World) -> None:
    ledger = running.query("SELECT * FROM campaigns")
    for key in ("BJ-2025-05", "SH-2025-05"):
        ended = running.run("check", "--accept", key)
        assert (ended.code, ended.err) == (0, "")
        assert f"{key} 没有需要确认的改动" in ended.out
    assert running.run("check", "--accept", "BJ-2025-05", "--json").json == {"accepted": []}
    assert running.query("SELECT * FROM campaigns") == ledger
    assert running.query("SELECT * FROM audit_log") == []


def test_what_is_not_there_or_has_faults_can_not_be_accepted(running: World) -> None:
    ended = running.run("check", "--accept", "BJ-2025-99")
    assert (ended.code, ended.out) == (2, "")
    assert "没有名为 BJ-2025-99 的活动；现有：BJ-2025-05、SH-2025-05" in ended.err
    running.campaigns(EDIT.format('entry["titel"] = 1'))
    ended = running.run("check", "--accept", "BJ-2025-05")
    assert (ended.code, ended.out) == (2, "")
    assert "titel: 未知的键" in ended.err
    assert running.query("SELECT * FROM audit_log") == []


def test_check_makes_no_database_and_leaves_what_is_there_as_it_is(world: World) -> None:
    assert "还没有数据库" in world.run("check").out
    ended = world.run("check", "--accept", "BJ-2025-05")
    assert (ended.code, "没有需要确认的改动" in ended.out) == (0, True)
    assert not world.data_dir.exists()
    world.show(tier_contracts(1, 2))
    world.run_may()
    files = sorted(path.name for path in world.data_dir.rglob("*"))
    content = world.database.read_bytes()
    assert world.run("check").code == 0
    assert sorted(path.name for path in world.data_dir.rglob("*")) == files
    assert world.database.read_bytes() == content


def test_a_data_folder_of_any_name_is_found(tmp_path: Path) -> None:
    with open_world(tmp_path / "100% 数据 #1?", unlimited_robot) as world:
        world.campaigns(EDIT.format(""))
        world.show(tier_contracts(1, 6))
        assert world.run_may().code == 0
        world.campaigns(EDIT.format('entry["title"] = "五月"'))
        assert "北京 5月签约激励 → 五月" in world.run("check").out


def test_an_old_tasks_db_has_nothing_to_compare(world: World) -> None:
    world.data_dir.mkdir()
    with contextlib.closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, status TEXT)")
    content = world.database.read_bytes()
    ended = world.run("check", "--json")
    assert (ended.code, [w for w in ended.json["warnings"] if w["path"] == "数据库"]) == (0, [])
    assert world.database.read_bytes() == content


@pytest.mark.parametrize("database", ["older", "address"])
def test_a_database_that_cannot_be_compared_is_said_in_words(world: World, database: str) -> None:
    world.data_dir.mkdir()
    url = ""
    if database == "older":
        with contextlib.closing(sqlite3.connect(world.database)) as connection, connection:
            connection.execute("CREATE TABLE campaigns (key TEXT PRIMARY KEY, revision INTEGER)")
    else:
        url = "postgresql+psycopg://nobody@127.0.0.1:1/db"  # nothing listens there
    ended = world.run("check", "--json", DATABASE_URL=url)
    (warning,) = [warning for warning in ended.json["warnings"] if warning["path"] == "数据库"]
    assert ended.code == 0
    assert "没有和上次运行的活动配置比较" in warning["text"]
    assert "Traceback" not in ended.err


def test_a_database_that_does_not_answer_is_a_fault_for_who_asks_about_connections(world: World) -> None:
    ended = world.run("check", "--online", "--json", DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/db")
    (fault,) = [fault for fault in ended.json["faults"] if fault["path"] == "数据库"]
    assert ended.code == 2
    assert "连不上数据库服务器" in fault["text"]
    assert "请检查 PostgreSQL 是否在运行" in fault["text"]


def test_a_data_folder_that_can_be_no_folder_is_a_fault(world: World) -> None:
    file = world.folder / "a file"
    file.write_text("x", encoding="utf-8")
    ended = world.run("check", "--json", DATA_DIR=str(file / "data"))
    (fault,) = [fault for fault in ended.json["faults"] if fault["path"] == "DATA_DIR"]
    assert ended.code == 2
    assert fault["text"] == f"{file} 不是文件夹；请改 DATA_DIR，或移走这个文件"


@pytest.mark.parametrize("damage", ["no database", "a damaged page"])
def test_a_damaged_database_is_a_fault_and_stays_as_it_is(world: World, damage: str) -> None:
    if damage == "no database":
        world.data_dir.mkdir()
        world.database.write_bytes(b"no database at all, and long enough to be read as one: " * 20)
    else:
        world.show(tier_contracts(1, 40))
        world.run_may()
        spoil(world.database)
    content = world.database.read_bytes()
    ended = world.run("check", "--json")
    (fault,) = [fault for fault in ended.json["faults"] if fault["path"] == "数据库"]
    assert ended.code == 2
    assert "已损坏" in fault["text"]
    assert world.database.read_bytes() == content
