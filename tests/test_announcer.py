"""What is said, to whom, and that it never gets too long for a chat."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.announcer import (
    Announcer,
    award_key,
    award_values,
    broadcast_key,
    broadcast_values,
    conversion_percent,
    sample_award_values,
    sample_broadcast_values,
)
from modules.clock import SHANGHAI
from modules.config import REWARD_CONFIGS
from modules.contracts import parse_contracts
from modules.message_maker import MessageMaker
from modules.message_text import split_message
from modules.outbox import Message
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Award, Outcome, calculate
from modules.rewards.frame import EMPTY_LEDGER
from modules.sandbox.sample_contracts import COLUMNS, SampleMonth
from modules.settings import Settings, load_settings
from modules.templates import MessageTemplateError, Templates
from tests.engine_desk import SOURCE_DEFAULTS, campaign_of

NOW = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)
BADGES = {"elite": ["沈砚秋"]}
BEIJING, SHANGHAI_CITY = "BJ-2025-05", "SH-2025-05"


def campaign(key: str = BEIJING, **changes: Any) -> Campaign:
    return campaign_of(REWARD_CONFIGS[key] | changes, BADGES, key)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(environ={}, root=tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def maker(settings: Settings) -> MessageMaker:
    return MessageMaker(settings, Templates.read())


@pytest.fixture(scope="module")
def announcer(settings: Settings, maker: MessageMaker) -> Announcer:
    return Announcer(settings, maker)


def outcome_of(chosen: Campaign, *source: dict[str, Any]) -> Outcome:
    """What a first run over these source rows finds."""
    rows = [
        {
            "_id": f"id-{number}",
            "serviceHousekeeper": "沈若川",
            "orgName": "瓦蓝装饰",
            "contractdocNum": f"YHWX-{number}",
            "adjustRefundMoney": "5000",
            "signedDate": f"2025-05-01T09:{number:02}:00",
            "conversion": "0.667",
        }
        | values
        for number, values in enumerate(source, start=1)
    ]
    columns = [*SOURCE_DEFAULTS, "conversion"]
    contracts = parse_contracts(columns, [[row.get(name, "") for name in columns] for row in rows])
    return calculate(chosen, EMPTY_LEDGER, contracts.shown_ids(), contracts.with_sources(contracts.frame))


def messages_of(announcer: Announcer, chosen: Campaign, *source: dict[str, Any]) -> list[Message]:
    return list(announcer.announce(chosen, outcome_of(chosen, *source), NOW).messages)


# Broadcasts


def test_beijings_broadcast(announcer: Announcer) -> None:
    (broadcast,) = messages_of(
        announcer, campaign(), {"serviceHousekeeper": "沈砚秋", "adjustRefundMoney": "1234567.5"}
    )
    for shown in (
        "【🎖精英管家】沈砚秋",
        "YHWX-1",
        "本单为活动期内第 1 单",
        "个人累计第 1 单",
        "个人累计签约 1,234,567.50 元",
        "个人累计计入业绩 100,000 元",
        "距离达成节节高奖励条件还需 5 单",
    ):
        assert shown in broadcast.text
    assert "转化率" not in broadcast.text
    assert "瓦蓝装饰" not in broadcast.text


def test_shanghais_broadcast_shows_the_firm_and_the_conversion_and_no_badge(announcer: Announcer) -> None:
    (broadcast,) = messages_of(announcer, campaign(SHANGHAI_CITY), {"serviceHousekeeper": "沈砚秋"})
    for shown in (
        "恭喜 沈砚秋（瓦蓝装饰）",
        "YHWX-1",
        "本单为活动期内第 1 单",
        "个人累计第 1 单",
        "个人累计签约 5,000 元",
        "个人累计计入业绩 5,000 元",
        "个人转化率 66%",
        "距离达成节节高奖励条件还需 4 单",
    ):
        assert shown in broadcast.text
    assert "精英管家" not in broadcast.text


def test_without_a_badge_there_is_none(announcer: Announcer) -> None:
    (broadcast,) = messages_of(announcer, campaign(), {})
    assert "恭喜 沈若川 签约" in broadcast.text


def test_the_personal_count_is_the_running_one(announcer: Announcer) -> None:
    rows = [{"serviceHousekeeper": name} for name in ("沈若川", "顾北辰", "沈若川")]
    texts = [message.text for message in messages_of(announcer, campaign(), *rows)]
    assert "活动期内第 3 单，个人累计第 2 单" in texts[2]
    assert "签约 10,000 元" in texts[2]


def test_with_all_tiers_granted_nothing_is_missing(announcer: Announcer) -> None:
    rows = [{"adjustRefundMoney": "40000", "serviceAppointmentNum": f"GD{n}"} for n in range(1, 7)]
    broadcasts = [m for m in messages_of(announcer, campaign(), *rows) if m.dedup_key.startswith("broadcast")]
    assert "各档奖励都已拿下" in broadcasts[-1].text
    assert "无" not in broadcasts[-1].text
    assert "各档奖励都已拿下" not in broadcasts[-2].text


@pytest.mark.parametrize("key", [BEIJING, SHANGHAI_CITY])
@pytest.mark.parametrize(
    "changes", [{"tiered_rewards": None}, {"announcement_only": True}], ids=["no tiers", "no awards"]
)
def test_nobody_is_praised_for_tiers_that_there_are_not(
    announcer: Announcer, key: str, changes: dict[str, Any]
) -> None:
    broadcast, *_ = messages_of(announcer, campaign(key, **changes), {"adjustRefundMoney": "5000"})
    assert "各档奖励" not in broadcast.text
    assert "加油" not in broadcast.text
    assert broadcast.text == broadcast.text.strip()


def test_text_from_the_source_is_shown_as_it_is(announcer: Announcer) -> None:
    """Chat text is not HTML, and the source can't reach into the template."""
    spiteful = "<b>&'{{ 7 * 7 }}{% raw %}"
    (broadcast,) = messages_of(announcer, campaign(), {"contractdocNum": spiteful})
    assert spiteful in broadcast.text


@pytest.mark.parametrize(
    ("conversion", "shown"),
    [
        ("0.667", "66%"),
        ("0.669999", "66%"),
        ("0.29", "29%"),
        ("0.57", "57%"),
        ("0", "0%"),
        ("0.999", "99%"),
        ("1", "100%"),
        ("1.0", "100%"),
        ("1.2", "100%"),
        ("66.7", "100%"),
        ("", "-"),
        (" ", "-"),
        ("暂无", "-"),
        ("66.7%", "-"),
        ("-0.5", "-"),
        ("-1", "-"),
        ("nan", "-"),
        ("inf", "-"),
    ],
)
def test_conversion_percent(conversion: str, shown: str) -> None:
    assert conversion_percent(conversion) == shown


@given(thousandths=st.integers(0, 999))
def test_a_conversion_is_cut_and_never_rounded_up(thousandths: int) -> None:
    assert conversion_percent(f"0.{thousandths:03}") == f"{thousandths // 10}%"
    assert conversion_percent(str(thousandths / 1000)) == f"{thousandths // 10}%"


# Award notices


def notice_of(announcer: Announcer, housekeeper: str, amount: str, key: str = BEIJING) -> str:
    rows = [{"serviceHousekeeper": housekeeper, "adjustRefundMoney": amount}] * 6
    notices = [m for m in messages_of(announcer, campaign(key), *rows) if m.dedup_key.startswith("award")]
    assert notices
    return notices[-1].text


def test_a_notice_lists_each_award_with_its_amount(announcer: Announcer) -> None:
    text = notice_of(announcer, "沈若川", "15000")
    for shown in ("沈若川", "YHWX-6", "接好运万元以上（幸运数字）：58 元", "达标奖（节节高）：200 元", "合计 258 元"):
        assert shown in text
    assert "→" not in text


def test_a_doubled_award_shows_both_amounts(announcer: Announcer) -> None:
    text = notice_of(announcer, "沈砚秋", "30000")
    for shown in (
        "【🎖精英管家】沈砚秋",
        "接好运万元以上（幸运数字）：58 元",
        "精英奖（节节高）：600 元 → 1,200 元（【🎖精英管家】2 倍）",
        "优秀奖（节节高）：400 元 → 800 元",
        "达标奖（节节高）：200 元 → 400 元",
        "合计 2,458 元",
    ):
        assert shown in text
    assert text.index("幸运数字") < text.index("精英奖") < text.index("优秀奖") < text.index("达标奖")


def test_shanghai_doubles_nothing(announcer: Announcer) -> None:
    text = notice_of(announcer, "沈砚秋", "30000", SHANGHAI_CITY)
    assert "（瓦蓝装饰）" in text
    assert "→" not in text


def test_each_award_stands_on_a_line_of_its_own(announcer: Announcer) -> None:
    lines = notice_of(announcer, "沈砚秋", "30000").splitlines()
    assert sum(line.startswith("🏅 ") for line in lines) == 4
    assert "" not in lines[2:-1]


@pytest.mark.parametrize(
    ("multiplier", "amount", "shown"),
    [("2", 40000, "2 倍"), ("1.5", 30000, "1.5 倍"), ("10", 200000, "10 倍"), ("2.00", 40000, "2 倍")],
)
def test_a_multiplier_is_written_as_people_write_it(multiplier: str, amount: int, shown: str) -> None:
    award = Award("id", "沈砚秋", "沈砚秋", "节节高", "达标奖", amount, 20000, "elite", multiplier, 0, {})
    (values,) = award_values(campaign(), [award])["awards"]
    assert f"{values['multiplier']} 倍" == shown
    assert values["is_multiplied"]


# To whom, under which key, by which rule


def test_keys_recipients_and_rules(announcer: Announcer) -> None:
    outcome = outcome_of(campaign(), *[{}] * 6)
    announced = announcer.announce(campaign(), outcome, NOW)
    assert announced.broadcast_keys == tuple(f"broadcast:BJ-2025-05:id-{number}" for number in range(1, 7))
    broadcast, notice = announced.messages[-2:]
    day = timedelta(hours=24)
    assert broadcast == Message(
        "broadcast:BJ-2025-05:id-6", "send_wecom_message", "bj_group", broadcast.text, 2048, "retry", 5, NOW + day
    )
    assert notice == Message("award:BJ-2025-05:id-6", "send_wechat_message", "bj_contact", notice.text, 2048, "hold", 8)
    assert broadcast_key("a", "b") == "broadcast:a:b"
    assert award_key("a", "b") == "award:a:b"


def test_a_campaigns_own_chats_and_template_win(announcer: Announcer) -> None:
    own = {"notification": {"group": "外部群", "contact": "ops", "template": "broadcast_shanghai"}}
    broadcast, *_, notice = messages_of(announcer, campaign(**own), *[{}] * 6)
    assert (broadcast.recipient, notice.recipient) == ("外部群", "ops")
    assert "转化率" in broadcast.text


def test_announcement_only_announces_and_awards_nothing(announcer: Announcer) -> None:
    messages = messages_of(announcer, campaign(announcement_only=True), *[{"adjustRefundMoney": "50000"}] * 6)
    assert [message.dedup_key.partition(":")[0] for message in messages] == ["broadcast"] * 6


def test_an_alert_comes_once_a_day_per_fault(maker: MessageMaker) -> None:
    (first,) = maker.alert("甲", "出错了", NOW)
    assert (first.recipient, first.task_type, first.on_uncertain) == ("ops", "send_wecom_message", "retry")
    assert "出错了" in first.text
    assert maker.alert("甲", "又出错", NOW + timedelta(hours=11))[0].dedup_key == first.dedup_key
    others = [maker.alert("乙", "出错了", NOW), maker.alert("甲", "出错了", NOW + timedelta(days=1))]
    assert first.dedup_key not in {message.dedup_key for (message,) in others}


def test_without_operations_in_the_settings_nobody_is_alerted(settings: Settings) -> None:
    nobody = settings.model_copy(update={"recipients": {}})
    assert MessageMaker(nobody, Templates.read()).alert("甲", "出错了", NOW) == []


# How long


def limit_holds(message: Message) -> bool:
    return all(len(part.encode()) <= message.limit <= 2048 for part in split_message(message.text, message.limit))


@pytest.mark.parametrize("key", list(REWARD_CONFIGS))
def test_every_text_of_a_believable_month_fits_into_one_message(announcer: Announcer, key: str) -> None:
    city, year, month = key.split("-")
    rows = SampleMonth(city, int(year), int(month), 3).pull(datetime(2025, 12, 31, tzinfo=SHANGHAI))
    contracts = parse_contracts(COLUMNS, rows)
    chosen = campaign(key)
    outcome = calculate(chosen, EMPTY_LEDGER, contracts.shown_ids(), contracts.with_sources(contracts.frame))
    messages = announcer.announce(chosen, outcome, NOW).messages
    assert len(messages) > 120
    assert max(len(message.text.encode()) for message in messages) <= 2048


def test_even_the_longest_names_are_sent_in_parts_that_fit(announcer: Announcer) -> None:
    long = {"serviceHousekeeper": "很长的名字🎖" * 300, "contractdocNum": "编号" * 800, "orgName": "装饰" * 400}
    messages = messages_of(announcer, campaign(SHANGHAI_CITY), *[long] * 6)
    assert all(len(split_message(message.text, message.limit)) > 1 for message in messages)
    assert all(map(limit_holds, messages))


# Samples and templates


@pytest.mark.parametrize("key", list(REWARD_CONFIGS))
def test_the_samples_of_check_have_what_real_messages_have(key: str) -> None:
    chosen = campaign(key)
    outcome = outcome_of(chosen, *[{"adjustRefundMoney": "30000", "serviceHousekeeper": "沈砚秋"}] * 6)
    real = broadcast_values(chosen, outcome.rows.to_dict("records")[0], "无")
    assert sample_broadcast_values(chosen).keys() == real.keys()
    values = {**real, **award_values(chosen, outcome.award_list)}
    sample = sample_award_values(chosen)
    assert sample.keys() == values.keys()
    assert sample["awards"][0].keys() == values["awards"][0].keys()


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(MessageTemplateError, match=r"config/templates/nowhere.j2"):
        Templates.read().render("nowhere", {})


def test_a_template_cannot_reach_out_of_its_sandbox(tmp_path: Any) -> None:
    (tmp_path / "bad.j2").write_text("{{ title.__class__.__mro__ }}", encoding="utf-8")
    with pytest.raises(MessageTemplateError):
        Templates.read(tmp_path).render("bad", {"title": "活动"})


def test_the_award_of_another_contract_is_in_no_notice(announcer: Announcer) -> None:
    outcome = outcome_of(campaign(), *[{}] * 6)
    stranger = replace(outcome.award_list[0], contract_id="id-1", name="别人的奖")
    outcome.__dict__["award_list"] = (*outcome.award_list, stranger)
    messages = announcer.announce(campaign(), outcome, NOW).messages
    notices = {message.dedup_key: message.text for message in messages if message.dedup_key.startswith("award")}
    assert notices.keys() == {"award:BJ-2025-05:id-1", "award:BJ-2025-05:id-6"}
    assert "别人的奖" in notices["award:BJ-2025-05:id-1"]
    assert "别人的奖" not in notices["award:BJ-2025-05:id-6"]
