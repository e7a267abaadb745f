"""Files that change while the program runs: what validates is taken, of the rest the last good version stays."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import jobs
from modules import ledger
from modules.campaigns import CampaignsFileError
from modules.configuration_news import kept_lines, kept_words, news
from modules.configuration_parts import Places
from modules.live_configuration import LOCKED_SECONDS, SETTLE_SECONDS, LiveConfiguration, Reread
from modules.rereading import Rereader, daemon_configuration
from modules.settings import load_settings
from modules.source_changes import SourceChanges
from modules.tables import tasks
from modules.watch_round import watch_once
from tests.desk import NOON, Desk, SetClock, Surroundings, contracts

BJ, SH = "BJ-2025-05", "SH-2025-05"
LOOK = timedelta(seconds=2)
PLAIN = {
    **{"broadcast_beijing": "甲", "broadcast_shanghai": "乙", "award_notice": "丙", "correction_notice": "丁"},
    **{"sla_daily": "子", "sla_weekly": "丑", "sla_praise": "寅"},
    **{"technician_status": "卯", "contact_timeout_digest": "辰", "pending_orders_reminder": "巳"},
}


class Files:
    """Campaigns, badges and templates in a folder, and what runs by them. Each `looks()` is two looks of the daemon."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        names = ("campaigns.py", "badges.yaml", "service_providers.yaml", "templates")
        self.places = Places(*(folder / name for name in names))
        self.places.templates_dir.mkdir(exist_ok=True)
        self.now = NOON
        self.badges("elite: [沈砚秋]")
        self.providers("甲装饰: ops")
        self.campaigns({BJ: {"title": "一"}, SH: {"title": "一"}})
        for name, text in PLAIN.items():
            self.template(name, text)
        self.live = LiveConfiguration(load_settings({}), self.now, self.places, tolerant=False)

    def campaigns(self, entries: dict[str, Any] | str) -> None:
        source = entries if isinstance(entries, str) else f"REWARD_CONFIGS = {entries!r}\nALERT_CONFIGS = {{}}"
        self.places.campaigns_file.write_text(source, encoding="utf-8")

    def badges(self, text: str) -> None:
        self.places.badges_file.write_text(text, encoding="utf-8")

    def providers(self, text: str) -> None:
        self.places.providers_file.write_text(text, encoding="utf-8")

    def template(self, name: str, text: str) -> None:
        (self.places.templates_dir / f"{name}.j2").write_text(text, encoding="utf-8")

    def without_template(self, name: str) -> None:
        (self.places.templates_dir / f"{name}.j2").unlink()

    def look(self, after: timedelta = LOOK, **how: bool) -> Reread | None:
        self.now += after
        return self.live.refresh(self.now, **how)

    def looks(self) -> Reread | None:
        """What the second of two looks found; the first finds nothing worth believing."""
        assert self.look() is None
        return self.look()

    def take(self) -> str:
        """Two looks; returns what is said of the changes."""
        reread = self.looks()
        assert reread is not None
        return "\n".join(line for _, line in news(reread))

    @property
    def titles(self) -> dict[str, str]:
        return {key: campaign.title for key, campaign in self.live.current.campaigns.valid.items()}

    def says(self, name: str) -> str:
        return self.live.current.templates.sources[f"{name}.j2"]

    @property
    def faults(self) -> str:
        return "\n".join(map(str, self.live.current.faults))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


# -- what validates is taken -----------------------------------------------------------------------------------------


def test_nothing_is_read_where_nothing_has_changed(files: Files) -> None:
    before = files.live.current
    assert files.looks() is None
    assert files.look(thorough=True) is None
    assert files.live.current is before


def test_campaigns_are_added_changed_and_removed(files: Files) -> None:
    first = files.live.current
    files.campaigns({BJ: {"title": "二"}, "BJ-2025-06": {"card_id": 6}})
    assert files.take() == "配置已重新读取：新增 活动 BJ-2025-06、改动 活动 BJ-2025-05、删除 活动 SH-2025-05"
    assert files.titles == {BJ: "二", "BJ-2025-06": "北京 6月签约激励"}
    assert files.live.current.loaded_at == files.now
    assert files.live.current.hash != first.hash


def test_a_comment_changes_nothing_that_runs(files: Files) -> None:
    before = files.live.current
    files.campaigns(f"# 新\nALERT_CONFIGS = {{}}\nREWARD_CONFIGS = { ({BJ: {'title': '一'}, SH: {'title': '一'}})!r}")
    assert files.take() == ""
    assert (files.live.current.hash, files.live.current.loaded_at) == (before.hash, before.loaded_at)


def test_a_badge_list_changes_the_campaigns_that_wear_it(files: Files) -> None:
    badge = {"label": "【精英】", "members": "elite", "multiplier": 2, "applies_to": ["节节高"]}
    files.campaigns({BJ: {"badges": {"elite": badge}}, SH: {"title": "一"}})
    files.take()
    files.badges("elite: [沈砚秋, 顾北辰]")
    assert files.take() == "配置已重新读取：改动 活动 BJ-2025-05"
    assert files.live.current.campaigns.valid[BJ].badge_labels("顾北辰") == "【精英】"


def test_a_template_is_used_as_it_is_now(files: Files) -> None:
    files.template("broadcast_beijing", "喜报 {{ housekeeper }}")
    assert files.take() == "配置已重新读取：改动 模板 broadcast_beijing.j2"
    assert files.live.current.templates.render("broadcast_beijing", {"housekeeper": "沈"}) == "喜报 沈"


def test_a_template_with_a_mark_of_notepad_is_read_without_it(files: Files) -> None:
    files.template("broadcast_beijing", "\ufeff喜报")
    files.take()
    assert files.live.current.templates.render("broadcast_beijing", {}) == "喜报"


def test_a_campaign_and_its_template_may_be_renamed_together(files: Files) -> None:
    files.without_template("broadcast_beijing")
    files.template("good_news", "新")
    files.campaigns({BJ: {"title": "二", "notification": {"template": "good_news"}}, SH: {"title": "一"}})
    files.take()
    assert (files.titles[BJ], files.faults) == ("二", "")
    assert set(files.live.current.templates.sources) == {
        f"{name}.j2" for name in ({*PLAIN} - {"broadcast_beijing"}) | {"good_news"}
    }


def test_a_file_that_builds_on_the_shipped_one_sees_it_as_it_is(files: Files) -> None:
    """And not what an earlier reading has made of it."""
    source = 'from modules.config import REWARD_CONFIGS\nREWARD_CONFIGS["BJ-2025-05"]["title"] = "再" + '
    files.campaigns(source + 'REWARD_CONFIGS["BJ-2025-05"].get("title", "始")')
    files.take()
    files.campaigns(source + 'REWARD_CONFIGS["BJ-2025-05"].get("title", "初")')
    files.take()
    assert files.titles[BJ] == "再初"


def test_a_run_keeps_to_one_configuration(desk: Desk) -> None:
    pinned = desk.app.with_one_configuration()
    before = desk.app.configuration
    desk.app.live._current = replace(before, hash="another")
    assert pinned.configuration is before
    assert pinned.announcer is before.announcer
    assert desk.app.configuration.hash == "another"


# -- what does not validate leaves the last good version ---------------------------------------------------------------

UNREADABLE: dict[str, Callable[[Files], object]] = {
    "a syntax error": lambda files: files.campaigns("REWARD_CONFIGS = {"),
    "an empty file": lambda files: files.campaigns(""),
    "no table": lambda files: files.campaigns("OTHER = {}"),
    "an error when run": lambda files: files.campaigns("REWARD_CONFIGS = {1 / 0: 1}"),
    "a file that ends the program": lambda files: files.campaigns("raise SystemExit"),
    "null bytes": lambda files: files.campaigns("\0" * 100),
    "no UTF-8": lambda files: files.places.campaigns_file.write_bytes("REWARD_CONFIGS = {'甲': 1}".encode("gbk")),
    "no file": lambda files: files.places.campaigns_file.unlink(),
    "a city without a name": lambda files: files.campaigns('CITIES = {"BJ": {}}\nREWARD_CONFIGS = {}'),
    "badges that are no YAML": lambda files: files.badges("elite: ["),
    "badges that are no lists": lambda files: files.badges("elite: 沈砚秋"),
    "no badges": lambda files: files.places.badges_file.unlink(),
}


@pytest.mark.parametrize("breaking", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read_leaves_all_campaigns_as_they_are(
    files: Files, breaking: Callable[[Files], object]
) -> None:
    before = files.live.current
    breaking(files)
    files.template("broadcast_beijing", "新")
    assert "配置有错：" in files.take()
    assert files.titles == {BJ: "一", SH: "一"}
    assert files.says("broadcast_beijing") == "新"
    assert dict(files.live.current.kept) == {f"活动 {BJ}": before.loaded_at, f"活动 {SH}": before.loaded_at}
    files.badges("elite: [沈砚秋]")
    files.campaigns({BJ: {"title": "一"}, SH: {"title": "二"}})
    assert "配置的错误都已改好" in files.take()
    assert files.titles == {BJ: "一", SH: "二"}
    assert (files.live.current.faults, files.live.current.kept) == ((), {})


@pytest.mark.parametrize("text", ["甲装饰: nobody", "甲装饰: [", "甲装饰:", "- 甲装饰"])
def test_a_provider_with_a_fault_keeps_its_last_good_recipient(files: Files, text: str) -> None:
    files.providers(text)
    assert "服务商 甲装饰 仍按" in files.take()
    assert files.live.current.providers.recipient("甲装饰") == "ops"
    files.providers("乙装饰: bj_group")
    assert "新增 服务商 乙装饰、删除 服务商 甲装饰" in files.take()
    assert dict(files.live.current.providers.recipient_of) == {"乙装饰": "bj_group"}


def test_alerts_stand_beside_the_campaigns_and_fall_back_alone(files: Files) -> None:
    columns = {"name": "name"}
    entry = {"title": "一", "card_id": 5, "at": "09:00", "columns": columns, "per": "table", "recipient": "ops"}
    source = "REWARD_CONFIGS = {}\nALERT_CONFIGS = " + repr({"late": entry | {"template": "draft"}})
    files.template("draft", "{{ rows|length }}")
    files.campaigns(source)
    assert "新增 提醒 late" in files.take()
    files.campaigns(source.replace("late", "Late").replace("一", "二"))
    files.take()
    assert dict(files.live.current.alerts.valid) == {}, "late is gone, and the other can't be used"
    files.campaigns(source)
    files.take()
    files.campaigns(source.replace("09:00", "九点"))
    assert "提醒 late 仍按" in files.take()
    assert files.live.current.alerts.valid["late"].title == "一"


WRONG_ENTRIES = {"an unknown key": {"titel": "二"}, "a wrong value": {"card_id": "eleven"}, "no entry": 5}


@pytest.mark.parametrize("entry", WRONG_ENTRIES.values(), ids=WRONG_ENTRIES)
def test_a_campaign_with_a_fault_keeps_its_last_good_version_and_the_others_are_taken(files: Files, entry: Any) -> None:
    start = files.now
    files.campaigns({BJ: entry, SH: {"title": "二"}, "BJ-2025-06": entry})
    told = files.take()
    assert files.titles == {BJ: "一", SH: "二"}
    assert f'配置有错：REWARD_CONFIGS["{BJ}"]' in told
    assert '配置有错：REWARD_CONFIGS["BJ-2025-06"]' in told
    assert f"活动 {BJ} 仍按 {start:%Y-%m-%d %H:%M:%S} 的配置运行" in told
    files.campaigns({SH: {"title": "二"}, "BJ-2025-06": entry})
    files.take()
    assert files.titles == {SH: "二"}, "what is removed has no version to keep"


def test_a_version_that_is_kept_for_long_keeps_its_time(files: Files) -> None:
    start = files.now
    files.campaigns({BJ: {"titel": "二"}, SH: {"title": "二"}})
    files.take()
    files.campaigns({BJ: {"titel": "三"}, SH: {"title": "三"}})
    files.take()
    assert dict(files.live.current.kept) == {f"活动 {BJ}": start}
    assert kept_words(files.live.current).startswith(f"活动 {BJ} 仍按 {start:%Y-%m-%d %H:%M:%S}")


def test_of_many_that_are_kept_a_few_are_named() -> None:
    kept = {"模板": "11:00", **{f"服务商 第{number}家": "12:00" for number in range(1, 8)}, "服务商 第8家": "13:00"}
    assert kept_lines(kept) == [
        "模板 仍按 11:00 的配置运行",
        "服务商 第1家、第2家、第3家、第4家、第5家 等 7 个 仍按 12:00 的配置运行",
        "服务商 第8家 仍按 13:00 的配置运行",
    ]


def test_a_kept_version_and_a_new_one_never_count_the_same_contracts(files: Files) -> None:
    """May is shortened with a typing error, and its second half given to a new entry that is right by itself."""
    half = {"card_id": 7, "start": "2025-05-01", "end": "2025-05-15"}
    files.campaigns({BJ: {"card_id": 7}})
    files.take()
    files.campaigns(
        {BJ: {**half, "titel": 1}, "BJ-2025-06": {"card_id": 7, "start": "2025-05-16", "end": "2025-05-31"}}
    )
    assert "重叠" in files.take()
    running = files.live.current.campaigns.valid
    assert list(running) == [BJ]
    assert running[BJ].end.day == 31
    files.campaigns({BJ: half, "BJ-2025-06": {"card_id": 7, "start": "2025-05-16", "end": "2025-05-31"}})
    files.take()
    assert list(files.titles) == [BJ, "BJ-2025-06"]
    assert files.faults == ""


BROKEN_TEMPLATES: dict[str, Callable[[Files], object]] = {
    "no template": lambda files: files.template("broadcast_beijing", "{% for %}"),
    "an unknown name": lambda files: files.template("broadcast_beijing", "{{ 没有这个值 }}"),
    "nothing in it": lambda files: files.template("broadcast_beijing", " \n"),
    "gone": lambda files: files.without_template("broadcast_beijing"),
    "no UTF-8": lambda files: (files.places.templates_dir / "broadcast_beijing.j2").write_bytes("喜报".encode("gbk")),
    "one that no campaign uses": lambda files: files.template("sla_daily", "{{ 没有这个值 }}"),
    "one that nobody uses": lambda files: files.template("draft", "{{"),
}


@pytest.mark.parametrize("breaking", BROKEN_TEMPLATES.values(), ids=BROKEN_TEMPLATES)
def test_templates_stay_as_they_are_until_all_can_be_used(files: Files, breaking: Callable[[Files], object]) -> None:
    breaking(files)
    files.template("award_notice", "新")
    files.campaigns({BJ: {"title": "二"}, SH: {"title": "一"}})
    assert "配置有错：" in files.take()
    assert files.live.current.templates.sources == {f"{name}.j2": text for name, text in PLAIN.items()}
    assert files.titles[BJ] == "二"
    assert "模板" in files.live.current.kept
    assert len(files.live.current.faults) == 1
    files.template("broadcast_beijing", "好")
    files.template("sla_daily", "好")
    files.template("draft", "好")
    files.take()
    assert (files.says("broadcast_beijing"), files.says("award_notice"), files.faults) == ("好", "新", "")


def test_a_campaign_whose_template_is_not_there_waits_for_it(files: Files) -> None:
    own = {"notification": {"template": "own"}}
    files.campaigns({BJ: {"title": "二", **own}, SH: {"title": "二"}, "BJ-2025-06": own})
    assert "own.j2" in files.take()
    assert files.titles == {BJ: "一", SH: "二"}
    files.template("own", "有了")
    files.take()
    assert files.titles == {BJ: "二", SH: "二", "BJ-2025-06": "北京 6月签约激励"}


def test_at_the_start_there_is_no_earlier_version(tmp_path: Path) -> None:
    """A bad template then gives plain words, and a bad campaign does not run."""
    files = Files(tmp_path / "files")
    files.template("broadcast_beijing", "{{ 没有这个值 }}")
    files.campaigns({BJ: {"title": "一"}, SH: {"titel": "一"}})
    files.live = LiveConfiguration(load_settings({}), files.now, files.places, tolerant=False)
    assert files.titles == {BJ: "一"}
    assert [fault.path for fault in files.live.current.faults] == [f'REWARD_CONFIGS["{SH}"].titel', "config/templates"]
    files.campaigns("REWARD_CONFIGS = {")
    with pytest.raises(CampaignsFileError, match="语法错误"):
        LiveConfiguration(load_settings({}), files.now, files.places, tolerant=False)
    looking = LiveConfiguration(load_settings({}), files.now, files.places, tolerant=True).current
    assert dict(looking.campaigns.valid) == {}
    assert "语法错误" in str(looking.faults[0])


def test_templates_that_were_bad_at_the_start_can_be_mended(tmp_path: Path) -> None:
    files = Files(tmp_path / "files")
    files.template("broadcast_beijing", "{{ 没有这个值 }}")
    files.live = LiveConfiguration(load_settings({}), files.now, files.places, tolerant=False)
    files.campaigns({BJ: {"title": "一"}, SH: {"title": "二"}})
    files.take()
    assert files.titles == {BJ: "一", SH: "二"}
    assert dict(files.live.current.kept) == {}
    assert files.faults == "config/templates: 模板 config/templates/broadcast_beijing.j2：'没有这个值' is undefined"
    files.template("broadcast_beijing", "好")
    files.take()
    assert (files.says("broadcast_beijing"), files.faults) == ("好", "")


# -- when a file is believed -------------------------------------------------------------------------------------------


def test_a_file_is_believed_when_it_has_stood_still(files: Files) -> None:
    files.campaigns("")
    assert files.look() is None
    files.campaigns('REWARD_CONFIGS = {"BJ-2025-05": {"ti')
    assert files.look() is None
    files.campaigns({BJ: {"title": "二"}})
    assert files.look() is None
    assert files.look(timedelta(seconds=SETTLE_SECONDS / 2)) is None
    assert files.titles == {BJ: "一", SH: "一"}
    assert files.look(timedelta(seconds=SETTLE_SECONDS / 2)) is not None
    assert files.titles == {BJ: "二"}


def test_a_file_that_is_back_was_never_away(files: Files) -> None:
    source = files.places.campaigns_file.read_bytes()
    files.campaigns("")
    assert files.look() is None
    files.places.campaigns_file.write_bytes(source)
    assert files.looks() is None


def test_a_file_that_changes_while_it_is_read_is_read_again(files: Files) -> None:
    """This one writes to the badges when it is run, twice."""
    badges = files.places.badges_file
    files.campaigns(
        f"REWARD_CONFIGS = { ({BJ: {'title': '二'}})!r}\nimport pathlib\nbadges = pathlib.Path({str(badges)!r})\n"
        'text = badges.read_text() + "x"\nif len(text) < 22: badges.write_text(text)\n'
    )
    badges.write_text("# 123456789012345678", encoding="utf-8")
    before = files.live.current
    assert files.look() is None
    assert files.look() is None, "it was read, and had changed meanwhile"
    assert files.live.current is before
    assert files.look() is None
    assert files.look() is not None
    assert files.titles == {BJ: "二"}


def test_a_locked_file_is_waited_for(files: Files) -> None:
    """A folder in its place is refused like a file that another program has locked."""
    source = files.places.campaigns_file.read_bytes()
    files.places.campaigns_file.unlink()
    files.places.campaigns_file.mkdir()
    files.template("broadcast_beijing", "新")
    for _ in range(int(LOCKED_SECONDS / 2)):
        assert files.look() is None
    assert files.faults == ""
    assert files.look() is not None
    assert "读不到活动配置" in files.faults
    assert files.titles == {BJ: "一", SH: "一"}
    files.places.campaigns_file.rmdir()
    files.places.campaigns_file.write_bytes(source)
    files.take()
    assert files.faults == ""


def test_an_edit_within_one_tick_of_the_disks_clock_is_found_by_the_thorough_look(files: Files) -> None:
    path = files.places.templates_dir / "broadcast_beijing.j2"
    stat = path.stat()
    files.template("broadcast_beijing", "戊")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files.looks() is None
    assert files.look(thorough=True) is None
    assert files.look(thorough=True) is not None
    assert files.says("broadcast_beijing") == "戊"


def test_a_fault_is_judged_anew_before_each_run(files: Files) -> None:
    """It may have come of a moment: the badges were locked just when they were read."""
    files.campaigns({BJ: {"titel": "二"}, SH: {"title": "一"}})
    files.take()
    assert files.look() is None
    again = files.look(thorough=True)
    assert again is not None
    assert news(again) == []


def test_a_clock_that_is_set_back_delays_nothing(files: Files) -> None:
    files.campaigns({BJ: {"title": "二"}})
    assert files.look() is None
    files.now -= timedelta(days=1)
    assert files.look() is None
    assert files.look() is not None
    assert files.titles == {BJ: "二"}


def test_at_midnight_everything_is_judged_by_the_new_day(files: Files) -> None:
    files.campaigns({"BJ-2025-06": {"card_id": 6}, "SH-2025-06": {"card_id": 6}})
    files.take()
    assert not files.live.current.campaigns.warnings
    files.now = datetime(2025, 5, 31, 23, 59, 59, tzinfo=NOON.tzinfo)
    assert files.look(timedelta(0)) is not None
    assert files.look(timedelta(0)) is None
    reread = files.look()
    assert reread is not None
    assert [line for _, line in news(reread)] == [
        f"配置提醒：REWARD_CONFIGS: {city}还没有覆盖下个月（2025-07）的活动" for city in ("北京", "上海")
    ]


State = tuple[dict[str, int | None], bool, int | None]
"""Version of each campaign (None: it has a fault), whether the file can be read, version of the template or None."""
STATES: st.SearchStrategy[list[State]] = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from([BJ, SH, "BJ-2025-06"]), st.none() | st.integers(1, 3)),
        st.booleans(),
        st.none() | st.integers(1, 3),
    ),
    max_size=6,
)


@settings(max_examples=40)
@given(states=STATES)
def test_whatever_the_files_go_through_the_last_good_version_runs(
    tmp_path_factory: pytest.TempPathFactory, states: list[State]
) -> None:
    files = Files(tmp_path_factory.mktemp("files"))
    titles, text = files.titles, PLAIN["broadcast_beijing"]
    for entries, is_readable, version in states:
        written = {key: {"title": f"第{number}版"} if number else {"titel": 1} for key, number in entries.items()}
        files.campaigns(written if is_readable else "REWARD_CONFIGS = {")
        files.template("broadcast_beijing", f"模板{version}" if version else "{% if %}")
        if is_readable:
            known = {key: titles.get(key) if number is None else f"第{number}版" for key, number in entries.items()}
            titles = {key: title for key, title in known.items() if title}
        text = f"模板{version}" if version else text
        files.look()
        files.look()
        assert files.titles == titles
        assert files.says("broadcast_beijing") == text
        is_sound = is_readable and version is not None and None not in entries.values()
        assert is_sound == (not files.live.current.faults)
        assert files.look(thorough=True) is None or not is_sound


# -- what the daemon says ----------------------------------------------------------------------------------------------

Opening = Callable[..., AbstractContextManager[Desk]]


class Office:
    """A desk with a campaigns file of its own, which the daemon looks at."""

    def __init__(self, desk: Desk, clock: SetClock) -> None:
        self.desk, self.clock = desk, clock
        self.settings_file = desk.root / "own.yaml"
        self.settings_file.write_text("{}", encoding="utf-8")
        self.rereader = Rereader(desk.app, [self.settings_file, desk.root / ".env"])

    def campaigns(self, change: str = "") -> None:
        write_campaigns(self.desk.root, change)

    def looks(self) -> None:
        for _ in range(2):
            self.clock.advance(seconds=2)
            self.rereader.look()
        watch_once(self.desk.app, self.clock())

    def alerts(self) -> list[str]:
        return [row["message"] for row in self.desk.table(tasks) if row["recipient"] == "ops"]

    @property
    def state(self) -> dict[str, Any]:
        state = daemon_configuration(self.desk.app.settings)
        assert state is not None
        return state


def write_campaigns(folder: Path, change: str) -> None:
    source = f"from modules.config import REWARD_CONFIGS\nMAY = REWARD_CONFIGS['{BJ}']\n{change}\n"
    (folder / "campaigns.py").write_text(source, encoding="utf-8")


@pytest.fixture
def open_with(open_desk: Opening, surroundings: Surroundings) -> Opening:
    """Opens a desk whose campaigns file has this change."""

    def opening(change: str = "") -> AbstractContextManager[Desk]:
        write_campaigns(surroundings.root, change)
        return open_desk(CAMPAIGNS_FILE=str(surroundings.root / "campaigns.py"))

    return opening


@pytest.fixture
def office(open_with: Opening, clock: SetClock) -> Iterator[Office]:
    with open_with() as desk:
        yield Office(desk, clock)


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno >= level]
    caplog.clear()
    return found


def test_a_fault_is_said_once_and_so_is_its_mending(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modules")
    office.campaigns("MAY['titel'] = 1")
    for _ in range(5):
        office.looks()
        office.rereader.look(thorough=True)
    fault = f'REWARD_CONFIGS["{BJ}"].titel: 未知的键，是否想写 title？'
    assert lines(caplog) == [f"配置有错：{fault}", f"活动 {BJ} 仍按 2025-05-20 12:00:00 的配置运行"]
    (alert,) = office.alerts()
    assert fault in alert
    assert "不用重启" in alert
    assert office.state["faults"] == [fault]
    assert office.state["kept"] == {f"活动 {BJ}": "2025-05-20 12:00:00"}
    assert [json.loads(text)["key"] for text in office.state["kept_campaigns"]] == [BJ]
    assert BJ in office.state["campaigns"]
    office.campaigns("MAY['title'] = '五月大促'")
    office.looks()
    assert lines(caplog) == [
        f"配置已重新读取：改动 活动 {BJ}",
        f"配置已改好：{fault}",
        "配置的错误都已改好，全部按现在的文件运行",
    ]
    begun, ended = office.alerts()
    assert begun == alert
    assert ended.startswith("✅ 已解除")
    assert (office.state["faults"], office.state["kept"]) == ([], {})
    assert office.state["hash"] == office.desk.app.configuration.hash


def test_a_fault_that_a_syntax_error_hides_is_not_mended(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modules")
    office.campaigns("MAY['titel'] = 1")
    office.looks()
    lines(caplog)
    office.campaigns("MAY['titel'] = (")
    office.looks()
    (hiding,) = [line for line in lines(caplog) if "活动" not in line]
    assert "语法错误" in hiding
    office.campaigns("MAY['titel'] = 1")
    office.looks()
    said = lines(caplog)
    assert "配置有错" in said[0]
    assert "titel" in said[0]
    assert [line.partition("：")[0] for line in said if "语法错误" in line] == ["配置已改好"]


def test_a_fault_that_is_there_at_the_start_is_told_to_operations_and_not_anew_by_the_next_start(
    open_with: Opening, clock: SetClock
) -> None:
    with open_with("MAY['titel'] = 1") as desk:
        for _start in range(2):
            office = Office(desk, clock)
            office.looks()
        (alert,) = office.alerts()
        assert "有错的部分没有运行" in alert
        assert f'REWARD_CONFIGS["{BJ}"].titel: 未知的键' in alert


def test_what_is_paid_while_the_file_is_broken_is_paid_by_the_last_good_one(office: Office) -> None:
    office.desk.show(contracts(1, 2, 3))
    office.campaigns("MAY['titel'] = 1")
    office.looks()
    app = office.desk.app
    (job,) = [job for job in jobs.campaign_jobs(app, NOON) if job.key == BJ]
    assert job.run(app, NOON, app.database.writing)["registered"] == 3


def test_what_needs_a_database_that_can_not_be_used_is_said_later(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    def rename(old: str, new: str) -> None:
        with office.desk.app.database.writing() as connection:
            connection.execute(sa.text(f"ALTER TABLE {old} RENAME TO {new}"))

    office.desk.show(contracts(1, 2))
    office.desk.run()
    rename("performance", "away")
    office.campaigns(f"del REWARD_CONFIGS['{BJ}']")
    office.looks()
    office.looks()
    assert len([line for line in lines(caplog, logging.ERROR) if "查看配置文件" in line]) == 1
    rename("away", "performance")
    office.looks()
    assert [line for line in lines(caplog, logging.WARNING) if "已从活动配置里删除" in line]


def test_a_campaign_that_is_removed_unfinished_is_warned_of(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.desk.show(contracts(1, 2))
    office.desk.show([], SH)
    office.desk.run()
    assert office.desk.run(SH).outcome == "ok"
    office.campaigns(f"del REWARD_CONFIGS['{BJ}'], REWARD_CONFIGS['{SH}']")
    office.looks()
    (warning,) = [line for line in lines(caplog, logging.WARNING) if "已从活动配置里删除" in line]
    assert warning.startswith(BJ), "the other has no contracts"
    assert BJ not in office.desk.app.campaigns.valid


def test_a_closed_campaign_may_go_without_a_word(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.desk.show(contracts(1, 2))
    office.desk.run()
    with office.desk.app.database.writing() as connection:
        ledger.close(connection, office.desk.app.campaigns.valid[BJ], 1, SourceChanges({}), NOON, "王")
    office.campaigns(f"del REWARD_CONFIGS['{BJ}']")
    office.looks()
    assert not [line for line in lines(caplog) if "已从活动配置里删除" in line]


def test_changed_settings_ask_for_a_restart_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modules")
    office.looks()
    office.settings_file.write_text("queue: {lease_seconds: 300}", encoding="utf-8")
    (office.desk.root / ".env").write_text("DATA_DIR=elsewhere", encoding="utf-8")
    for _ in range(3):
        office.looks()
    assert lines(caplog) == ["设置文件已改动：own.yaml、.env；重启后台程序后才生效"]
    assert office.state["settings_changed"] == ["own.yaml", ".env"]
    office.settings_file.write_text("{}", encoding="utf-8")
    (office.desk.root / ".env").unlink()
    office.looks()
    assert lines(caplog) == ["设置文件已改回启动时的内容，不用重启"]
    assert office.state["settings_changed"] == []


def test_settings_that_are_gone_for_a_moment_are_not_changed(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modules")
    office.settings_file.unlink()
    office.rereader.look()
    office.settings_file.write_text("{}", encoding="utf-8")
    office.rereader.look()
    office.looks()
    assert lines(caplog) == []


def test_a_disk_that_takes_nothing_is_said_once_and_what_was_to_be_written_comes_later(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    state = office.desk.app.settings.state_dir / "configuration.json"
    state.mkdir()
    for _ in range(3):
        office.looks()
    assert len(lines(caplog, logging.ERROR)) == 1
    state.rmdir()
    office.looks()
    assert office.state["faults"] == []
