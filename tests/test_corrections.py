"""settle and adjust: what is owed is granted once, as a correction; the rest a person adjusts; nothing else moves."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modules import adjustments, corrections, ledger
from modules.adjustments import Adjustment, Wish
from modules.application import Application
from modules.corrections import Settlement
from modules.errors import JobRefusedError, PullShrankError
from modules.process_lock import daemon_lock
from modules.rewards.frame import PAYEE_SEPARATOR
from modules.source_changes import SourceChanges
from modules.tables import audit_log, awards, campaigns, config_snapshots, performance, tasks
from modules.templates import Templates
from tests import program
from tests.desk import BEIJING, NOON, SHANGHAI_MAY, Desk, Row, contract, contracts
from tests.program import World, csv_rows, open_world, unlimited_robot

Opening = Callable[..., AbstractContextManager[Desk]]

TITLES = ["活动编号", "时间", "管家", "服务商", "类型", "名称", "金额(元)", "说明", "操作人"]
WHY = "累计 6 单，不少于 6 单；累计计入业绩 90,000 元，不低于 80,000 元"


def settle(desk: Desk, key: str = BEIJING, *, dry_run: bool = False, app: Application | None = None) -> Settlement:
    """`main.py settle KEY`, by 王."""
    app = app or desk.app
    return corrections.settle(app, app.campaigns.valid[key], app.clock(), "王", dry_run=dry_run)


def adjust(
    desk: Desk,
    amount: str = "-200",
    reason: str = "退单",
    housekeeper: str = "沈若川",
    provider: str | None = None,
    key: str = BEIJING,
    *,
    dry_run: bool = False,
) -> Adjustment:
    """`main.py adjust KEY …`, by 王."""
    return adjustments.adjust(desk.app, Wish(key, housekeeper, provider, amount, reason), "王", dry_run=dry_run)


def granted(desk: Desk) -> list[tuple[str | None, str, str, int]]:
    return [(row["contract_id"], row["payee"], row["name"], row["amount"]) for row in desk.table(awards)]


def acts(desk: Desk) -> list[tuple[str, str, str]]:
    return [(row["who"], row["action"], row["detail"]) for row in desk.table(audit_log)]


def notices(desk: Desk) -> list[dict[str, Any]]:
    return [row for row in desk.table(tasks) if row["dedup_key"].startswith("correction:")]


def corrections_file(desk: Desk, key: str = BEIJING) -> Path:
    return desk.data_dir / f"Corrections-{key}.csv"


def raised(desk: Desk, amount: object = 15_000, **values: object) -> None:
    """Six contracts of one payee are registered with 1,000 yuan each; now the source shows another amount."""
    desk.show(contracts(*range(1, 7), amount=1000, **values))
    desk.run()
    desk.show(contracts(*range(1, 7), amount=amount, **values))


# settle


def test_a_dry_run_says_what_it_would_grant_and_writes_nothing(desk: Desk) -> None:
    raised(desk)
    before, files = desk.everything(), sorted(desk.data_dir.rglob("*"))
    settlement = settle(desk, dry_run=True)
    assert [(award.name, award.amount) for award in settlement.granted] == [("达标奖", 20_000)]
    assert (settlement.tasks, settlement.total, settlement.is_dry_run) == (1, 20_000, True)
    assert desk.everything() == before
    assert sorted(desk.data_dir.rglob("*")) == files


def test_what_is_owed_is_granted_as_a_correction(desk: Desk) -> None:
    raised(desk)
    assert settle(desk).summary() == {
        "campaign": BEIJING,
        "outcome": "ok",
        "granted": [
            {
                "housekeeper": "沈若川",
                "provider": None,
                "kind": "节节高",
                "name": "达标奖",
                "amount": "200",
                "count": 6,
                "platform_count": 6,
                "performance_total": "90000",
                "platform_performance_total": "90000",
                "why": WHY,
            }
        ],
        "total": "200",
        "tasks": 1,
        "unregistered": 0,
    }
    row = desk.table(awards)[-1]
    reason = json.loads(row["reason"])
    assert (row["contract_id"], row["payee"], row["housekeeper"]) == (None, "沈若川", "沈若川")
    assert (row["kind"], row["name"], row["amount"], row["base_amount"]) == ("节节高", "达标奖", 20_000, 20_000)
    assert (reason["path"], reason["threshold"], reason["who"]) == ("tiered_rewards.tiers[0]", 8_000_000, "王")
    assert (reason["count"], reason["performance_total"], row["granted_at"]) == (6, 9_000_000, NOON)
    assert row["config_hash"] in {snapshot["hash"] for snapshot in desk.table(config_snapshots)}
    assert [row["source_amount"] for row in desk.table(performance)] == [1_500_000] * 6
    assert [row["amount"] for row in desk.table(performance)] == [100_000] * 6, "what was announced stays"
    assert acts(desk) == [("王", "settle", f"{BEIJING}：补发 1 项奖励，共 200 元：沈若川 达标奖 200 元")]


def test_the_contact_gets_one_notice_that_says_why(desk: Desk) -> None:
    raised(desk)
    settle(desk)
    (notice,) = notices(desk)
    assert notice["dedup_key"] == f"correction:{BEIJING}:沈若川:达标奖"
    told = [notice[name] for name in ("task_type", "recipient", "on_uncertain", "max_attempts", "expires_at")]
    assert told == ["send_wechat_message", "bj_contact", "hold", 8, None]
    assert notice["message"] == (
        "🎁 北京 5月签约激励：沈若川 有奖励补发\n\n"
        "对账后补发，没有对应的新合同：\n"
        f"🏅 达标奖（节节高）：200 元\n   {WHY}\n\n"
        "合计 200 元，请尽快兑现，谢谢 🙏"
    )


def test_a_second_time_nothing_is_left_to_grant(desk: Desk) -> None:
    raised(desk)
    settle(desk)
    before = desk.everything()
    desk.clock.advance(minutes=3)
    again = settle(desk)
    assert (again.granted, again.tasks) == ((), 0)
    assert desk.everything() == before


def test_a_new_contract_is_not_granted_again_what_was_settled(desk: Desk) -> None:
    raised(desk)
    settle(desk)
    desk.show(contracts(*range(1, 9), amount=15_000))
    desk.run()
    tiers = [(contract, name) for contract, _, name, _ in granted(desk) if name.endswith("奖")]
    assert tiers == [(None, "达标奖"), (desk.table(performance)[7]["contract_id"], "优秀奖")]


def test_two_tiers_at_once_are_one_notice_and_a_badge_doubles_them(desk: Desk) -> None:
    raised(desk, 20_000, serviceHousekeeper="沈砚秋")
    settlement = settle(desk)
    assert [(award.name, award.amount) for award in settlement.granted] == [("优秀奖", 80_000), ("达标奖", 40_000)]
    (notice,) = notices(desk)
    assert notice["dedup_key"] == f"correction:{BEIJING}:沈砚秋:优秀奖"
    assert "【🎖精英管家】沈砚秋 有奖励补发" in notice["message"]
    assert "优秀奖（节节高）：400 元 → 800 元（【🎖精英管家】2 倍）" in notice["message"]
    assert "合计 1,200 元" in notice["message"]


def test_each_payee_has_a_notice_of_its_own(desk: Desk) -> None:
    people = {"许听澜": "上海浦江春装饰", "陈逐光": "上海申安防水工程"}
    rows: list[Row] = []
    for start, (housekeeper, provider) in zip((1, 11), people.items(), strict=True):
        rows += contracts(*range(start, start + 5), amount=10_000, serviceHousekeeper=housekeeper, orgName=provider)
    poor = [[*row[:6], 1000, *row[7:]] for row in rows]
    desk.show(poor, SHANGHAI_MAY)
    desk.run(SHANGHAI_MAY)
    desk.show(rows, SHANGHAI_MAY)
    assert settle(desk, SHANGHAI_MAY).tasks == 2
    first, second = (notice["message"] for notice in notices(desk))
    assert "许听澜（上海浦江春装饰） 有奖励补发" in first
    assert "陈逐光（上海申安防水工程） 有奖励补发" in second
    assert [row["服务商"] for row in csv_rows(corrections_file(desk, SHANGHAI_MAY))] == list(people.values())
    (act,) = acts(desk)
    assert "许听澜（上海浦江春装饰） 基础奖 200 元；陈逐光（上海申安防水工程） 基础奖 200 元" in act[2]


def test_a_refund_takes_nothing_back(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000))
    desk.run()
    before = granted(desk)
    desk.show(contracts(*range(1, 7), amount=1000))
    assert settle(desk).granted == ()
    assert granted(desk) == before
    assert desk.table(campaigns)[0]["revision"] == 1
    assert [row["source_amount"] for row in desk.table(performance)] == [100_000] * 6
    assert acts(desk) == []


def test_what_is_not_registered_yet_is_pointed_out(desk: Desk) -> None:
    raised(desk)
    desk.show([*contracts(*range(1, 7), amount=15_000), contract(7)])
    assert settle(desk).unregistered == 1


HISTORICAL = """
from modules.config import REWARD_CONFIGS as SHIPPED
REWARD_CONFIGS = {"BJ-2025-05": SHIPPED["BJ-2025-05"] | {"historical_contracts": True}}
"""


def test_a_historical_row_that_crossed_the_threshold_is_settled(open_desk: Opening, tmp_path: Path) -> None:
    file = tmp_path / "campaigns.py"
    file.write_text(HISTORICAL, encoding="utf-8")
    with open_desk(CAMPAIGNS_FILE=str(file)) as desk:
        rows = contracts(*range(1, 7), amount=13_000)
        desk.show(rows)
        desk.run()
        desk.show([*rows, contract(7, 2000, pcContractdocNum="PC-7")])
        desk.run()
        assert [name for _, _, name, _ in granted(desk)] == ["接好运万元以上"]
        assert [award.name for award in settle(desk).granted] == ["达标奖"]
        assert settle(desk).granted == ()


def test_a_broken_template_gives_plain_words_and_an_alert(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raised(desk, serviceHousekeeper="沈砚秋")
    (tmp_path / "correction_notice.j2").write_text("{{ 没有这个值 }}", encoding="utf-8")
    monkeypatch.setattr(desk.app.maker, "_templates", Templates.read(tmp_path))
    settle(desk)
    (notice,) = notices(desk)
    assert notice["message"] == f"沈砚秋 补发奖励：达标奖 200 元 → 400 元（{WHY}）；合计 400 元。"
    assert [row["recipient"] for row in desk.table(tasks)][-1] == "ops"


# settle, refused or disturbed


def test_a_pull_that_shrank_is_not_believed(desk: Desk) -> None:
    rows = contracts(*range(1, 21), amount=1000)
    desk.show(rows)
    desk.run()
    before = desk.everything()
    desk.show(contracts(*range(1, 7), amount=20_000))
    for dry_run in (True, False):
        with pytest.raises(PullShrankError, match=f"少了 14 个合同（已登记 20 个）.*run {BEIJING} --accept-shrink"):
            settle(desk, dry_run=dry_run)
    assert desk.everything() == before


def test_the_command_that_takes_a_shrunken_pull_is_one_that_runs(desk: Desk) -> None:
    """Also after the settle days, when a run wants `--force`."""
    desk.show(contracts(*range(1, 21)))
    desk.run()
    desk.show(contracts(*range(1, 7)))
    for now, options in ((NOON, "--accept-shrink$"), (NOON.replace(month=6), "--accept-shrink --force$")):
        desk.clock.now = now
        with pytest.raises(PullShrankError, match=f"运行 run {BEIJING} {options}"):
            settle(desk)
    assert desk.run(at="2025-06-20T12:00", accept_shrink=True, force=True).outcome == "ok"


def test_a_contract_accepted_as_gone_that_is_back_counts_again_after_settle(desk: Desk) -> None:
    desk.show(contracts(*range(1, 9)))
    desk.run()
    desk.show(contracts(1))
    desk.run(accept_shrink=True)
    desk.show(contracts(*range(1, 8)))
    settle(desk)
    assert [row["loss_accepted_at"] for row in desk.table(performance)] == [None] * 7 + [NOON]


def test_a_closed_campaign_is_not_settled(desk: Desk) -> None:
    raised(desk)
    with desk.app.database.writing() as connection:
        ledger.close(connection, desk.app.campaigns.valid[BEIJING], 1, SourceChanges({}), NOON, "王")
    before, calls = desk.everything(), len(desk.source.calls)
    with pytest.raises(ledger.CampaignClosedError, match=f"adjust {BEIJING}"):
        settle(desk)
    assert desk.everything() == before
    assert len(desk.source.calls) == calls, "nobody was asked"


@pytest.mark.parametrize("broken", ["enqueue", "record_act"])
def test_settling_that_breaks_half_way_has_granted_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: object) -> int:
        raise RuntimeError("half-way")

    raised(desk)
    before = desk.everything()
    with monkeypatch.context() as patched:
        patched.setattr(corrections, broken, fails)
        with pytest.raises(RuntimeError):
            settle(desk)
    assert desk.everything() == before
    assert not corrections_file(desk).exists()
    assert settle(desk).tasks == 1


def overtaken(overtaking: Callable[[], object], rows: list[Row]) -> Callable[[], list[Row]]:
    """A card that, the first time it is read, lets something else come and go before it answers."""
    waiting = [overtaking]

    def pulled() -> list[Row]:
        if waiting:
            waiting.pop()()
        return rows

    return pulled


def test_where_another_settling_came_first_nothing_is_granted_twice(desk: Desk) -> None:
    raised(desk)
    others: list[Settlement] = []
    with desk.reopened() as other:
        rows = contracts(*range(1, 7), amount=15_000)
        desk.show(overtaken(lambda: others.append(settle(desk, app=other)), rows))
        mine = settle(desk)
    assert [[award.name for award in one.granted] for one in (*others, mine)] == [["达标奖"], []]
    assert [name for *_, name, _ in granted(desk)].count("达标奖") == 1
    assert len(notices(desk)) == len(acts(desk)) == 1


def test_where_a_run_came_first_its_grants_are_seen(desk: Desk) -> None:
    raised(desk)
    rows = contracts(*range(1, 8), amount=15_000)
    with desk.reopened() as other:
        desk.show(overtaken(lambda: desk.run(app=other), rows))
        assert settle(desk).granted == ()
    assert [(contract is None, name) for contract, _, name, _ in granted(desk)][-1] == (False, "达标奖")
    assert notices(desk) == []


def test_many_at_once_grant_once(desk: Desk) -> None:
    raised(desk)
    together, rows = threading.Barrier(4), contracts(*range(1, 7), amount=15_000)
    waited = threading.local()

    def pulled() -> list[Row]:
        if not getattr(waited, "once", False):
            waited.once = True
            together.wait(timeout=30)
        return rows

    settlements: list[Settlement] = []

    def settle_by_itself() -> None:
        with desk.reopened() as other:
            settlements.append(settle(desk, app=other))

    desk.show(pulled)
    threads = [threading.Thread(target=settle_by_itself) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(len(settlement.granted) for settlement in settlements) == [0, 0, 0, 1]
    assert [name for *_, name, _ in granted(desk)].count("达标奖") == 1
    assert len(notices(desk)) == 1


# adjust


def test_an_adjustment_is_a_row_of_the_ledger_with_its_reason_and_author(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7)))
    desk.run()
    before = desk.everything()
    adjustment = adjust(desk, "-1,058.50", "  退单\n多发 ")
    assert (adjustment.award.amount, adjustment.total, adjustment.earlier) == (-105_850, -105_850, ())
    row = desk.table(awards)[-1]
    assert {name: row[name] for name in ("campaign", "contract_id", "payee", "housekeeper", "kind", "name")} == {
        "campaign": BEIJING,
        "contract_id": None,
        "payee": "沈若川",
        "housekeeper": "沈若川",
        "kind": "人工调整",
        "name": "人工调整",
    }
    assert (row["amount"], row["base_amount"], row["multiplier"], row["badge"]) == (-105_850, -105_850, "1", "")
    assert json.loads(row["reason"]) == {"why": "退单 多发", "who": "王"}
    assert acts(desk) == [("王", "adjust", f"{BEIJING}：沈若川 -1,058.50 元，退单 多发")]
    after = desk.everything()
    assert {name for name in before if after[name] != before[name]} == {"awards", "audit_log", "campaigns"}
    assert desk.table(campaigns)[0]["revision"] == 2


def test_a_dry_run_of_an_adjustment_writes_nothing(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    before = desk.everything()
    assert adjust(desk, "30", dry_run=True).summary() == {
        "campaign": BEIJING,
        "outcome": "dry-run",
        "housekeeper": "沈若川",
        "provider": None,
        "amount": "30",
        "why": "退单",
        "who": "王",
        "earlier": [],
        "total": "30",
    }
    assert desk.everything() == before
    assert not corrections_file(desk).exists()


def test_earlier_adjustments_are_shown_and_none_is_refused_as_a_second_one(desk: Desk) -> None:
    desk.show([*contracts(1, 2), contract(3, serviceHousekeeper="顾北辰")])
    desk.run()
    adjust(desk, "-200", "退单 {1}")
    adjust(desk, "5", housekeeper="顾北辰")
    again = adjust(desk, "-200", "退单 {1}")
    assert again.total == -40_000
    assert again.summary()["earlier"] == [
        {"granted_at": "2025-05-20 12:00:00", "amount": "-200", "why": "退单 {1}", "who": "王"}
    ]


def test_a_closed_campaign_can_be_adjusted(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    with desk.app.database.writing() as connection:
        ledger.close(connection, desk.app.campaigns.valid[BEIJING], 1, SourceChanges({}), NOON, "王")
    adjust(desk, "12.3")
    assert granted(desk) == [(None, "沈若川", "人工调整", 1230)]
    assert desk.table(campaigns)[0]["closed_by"] == "王"


def test_a_run_that_is_under_way_computes_again_after_an_adjustment(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    desk.show(overtaken(lambda: adjust(desk), contracts(1, 2)))
    assert desk.run().registered == 1
    assert desk.table(campaigns)[0]["revision"] == 3
    assert desk.source.calls.count("POST /api/card/1693/query") == 3


def test_the_provider_says_which_payee_is_meant(desk: Desk) -> None:
    for number, provider in ((1, "上海浦江春装饰"), (2, "上海申安防水工程"), (3, "上海申安防水工程")):
        name = "陈逐光" if number == 3 else "许听澜"
        shown = [contract(number, serviceHousekeeper=name, orgName=provider)]
        desk.show(shown, SHANGHAI_MAY)
        desk.run(SHANGHAI_MAY)
    with pytest.raises(JobRefusedError, match="--provider 写明：上海浦江春装饰、上海申安防水工程"):
        adjust(desk, housekeeper="许听澜", key=SHANGHAI_MAY)
    with pytest.raises(JobRefusedError, match="没有服务商 上海石库门装饰；有：上海浦江春装饰、上海申安防水工程"):
        adjust(desk, housekeeper="许听澜", provider="上海石库门装饰", key=SHANGHAI_MAY)
    adjust(desk, "1", housekeeper=" 许听澜 ", provider="上海申安防水工程 ", key=SHANGHAI_MAY)
    adjust(desk, "2", housekeeper="陈逐光", key=SHANGHAI_MAY)
    assert [(row["管家"], row["服务商"]) for row in csv_rows(corrections_file(desk, SHANGHAI_MAY))] == [
        ("许听澜", "上海申安防水工程"),
        ("陈逐光", "上海申安防水工程"),
    ]


def test_who_was_registered_before_payees_were_kept_by_provider_can_still_be_meant() -> None:
    """After a change of `housekeeper_key` that a person accepted, the ledger holds payees of both kinds."""

    def named(provider: str | None, *payees: str) -> str:
        return adjustments.payee_named(BEIJING, payees, "沈若川", provider)

    before, blank, firm = "沈若川", f"沈若川{PAYEE_SEPARATOR}", f"沈若川{PAYEE_SEPARATOR}瓦蓝"
    with pytest.raises(JobRefusedError, match='--provider 写明：""（登记时不分服务商）、（空）、瓦蓝'):
        named(None, before, blank, firm)
    assert [named(choice, before, blank, firm) for choice in ("", "（空）", "瓦蓝")] == [before, blank, firm]
    assert [named("", blank, firm), named("", before), named(None, blank)] == [blank, before, blank]
    with pytest.raises(JobRefusedError, match="没有服务商 ；有：瓦蓝"):
        named("", firm)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"housekeeper": "沈若"}, "没有管家 沈若；是不是 沈若川"),
        ({"housekeeper": "欧阳"}, "没有管家 欧阳；请核对姓名"),
        ({"provider": "北京瓦蓝防水工程"}, "不分服务商；请去掉 --provider"),
        ({"amount": "两百"}, "--amount '两百' 不是数字.*如 200"),
        ({"amount": "0.00"}, "--amount 不能是 0"),
        ({"amount": "1.005"}, "--amount 1.005 的小数超过两位"),
        ({"amount": "99999999999"}, "太大"),
        ({"reason": " \n"}, "--reason 不能为空"),
        ({"key": "BJ-2099-01"}, "没有名为 BJ-2099-01 的活动"),
    ],
)
def test_what_cannot_be_adjusted_is_refused_in_words(desk: Desk, wish: dict[str, str], words: str) -> None:
    desk.show(contracts(1))
    desk.run()
    before = desk.everything()
    with pytest.raises(JobRefusedError, match=words):
        adjust(desk, **wish)
    assert desk.everything() == before


def test_a_campaign_that_the_configuration_no_longer_has_can_be_adjusted(
    desk: Desk, open_desk: Opening, tmp_path: Path
) -> None:
    desk.show(contracts(1))
    desk.run()
    file = tmp_path / "campaigns.py"
    file.write_text("REWARD_CONFIGS = {}", encoding="utf-8")
    with open_desk(CAMPAIGNS_FILE=str(file)) as later:
        adjust(later, "7")
    assert [row["金额(元)"] for row in csv_rows(corrections_file(desk))] == ["7"]


# Corrections-<KEY>.csv


def test_the_file_lists_corrections_and_adjustments_safe_for_excel(desk: Desk) -> None:
    raised(desk)
    settle(desk)
    desk.clock.advance(minutes=3)
    adjust(desk, "-200.5", "=退单,{count} 单")
    assert corrections_file(desk).read_bytes().startswith(b"\xef\xbb\xbf")
    with corrections_file(desk).open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [
            TITLES,
            [BEIJING, "2025-05-20 12:00:00", "沈若川", "", "节节高", "达标奖", "200", WHY, "王"],
            [
                BEIJING,
                "2025-05-20 12:03:00",
                "沈若川",
                "",
                "人工调整",
                "人工调整",
                "-200.50",
                "'=退单,{count} 单",
                "王",
            ],
        ]


def test_there_is_no_file_where_there_are_no_corrections(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000))
    desk.run()
    settle(desk)
    assert len(granted(desk)) == 3
    assert not corrections_file(desk).exists()


def test_the_file_comes_back_and_is_left_alone_while_nothing_moves(desk: Desk) -> None:
    raised(desk)
    settle(desk)
    kept = corrections_file(desk).read_bytes()
    corrections_file(desk).unlink()
    desk.app.views.refresh([BEIJING])
    assert corrections_file(desk).read_bytes() == kept
    mark = corrections_file(desk).stat().st_mtime_ns
    desk.show(contracts(*range(1, 9), amount=15_000))
    assert desk.run().registered == 2
    assert corrections_file(desk).stat().st_mtime_ns == mark


def test_where_it_cannot_be_written_the_others_are(desk: Desk) -> None:
    raised(desk)
    corrections_file(desk).mkdir()
    others = [desk.data_dir / f"PerformanceData-{BEIJING}.csv", desk.data_dir / f"send_status_{BEIJING}.json"]
    for path in others:
        path.unlink()
    assert len(settle(desk).granted) == 1
    assert all(path.exists() for path in others)
    assert [fault.file for fault in desk.app.views.faults()] == [corrections_file(desk).name]
    corrections_file(desk).rmdir()
    desk.app.views.refresh([BEIJING])
    assert len(csv_rows(corrections_file(desk))) == 1
    assert desk.app.views.faults() == []


def test_corrections_are_not_shown_among_the_contracts(desk: Desk) -> None:
    raised(desk)
    settle(desk)
    rows = csv_rows(desk.data_dir / f"PerformanceData-{BEIJING}.csv")
    assert [row["奖励名称"] for row in rows] == [""] * 5 + ["接好运"]


def test_while_a_daemon_holds_the_folder_only_it_writes_the_file(open_desk: Opening) -> None:
    with open_desk(is_daemon=True) as daemon, daemon_lock(daemon.app.settings.state_dir), open_desk() as one_shot:
        raised(one_shot)
        settle(one_shot)
        assert not corrections_file(one_shot).exists()
        daemon.app.views.refresh([BEIJING])
        assert corrections_file(one_shot).exists()


# The commands


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, unlimited_robot) as opened:
        yield opened


def show(world: World, amount: object) -> None:
    world.show([program.contract(n, serviceHousekeeper="沈若川", adjustRefundMoney=amount) for n in range(1, 7)])


def owing(world: World) -> None:
    show(world, 1000)
    world.run_may()
    show(world, 15_000)


def test_settle_says_what_it_would_grant_then_grants_it_then_has_nothing_left(world: World) -> None:
    owing(world)
    rehearsal, real, again = (world.run("settle", BEIJING, *more) for more in (["--dry-run"], [], []))
    assert [(ended.code, ended.err) for ended in (rehearsal, real, again)] == [(0, "")] * 3
    assert "应补发 1 项奖励" in rehearsal.out
    assert "试运行，什么也没有写入" in rehearsal.out
    assert "已补发 1 项奖励" in real.out
    assert f"沈若川 达标奖：{WHY}" in real.out
    assert "共 200 元；1 条通知已放进队列" in real.out
    assert "没有应补发的奖励" in again.out
    assert len(world.query("SELECT * FROM awards WHERE contract_id IS NULL")) == 1
    assert len(csv_rows(world.data_dir / f"Corrections-{BEIJING}.csv")) == 1


def test_settle_answers_programs_in_json(world: World) -> None:
    owing(world)
    assert world.run("settle", BEIJING, "--dry-run", "--json").json["outcome"] == "dry-run"
    ended = world.run("settle", BEIJING, "--json")
    assert (ended.code, len(ended.out.splitlines())) == (0, 1)
    assert (ended.json["outcome"], ended.json["total"], ended.json["tasks"]) == ("ok", "200", 1)
    assert world.run("settle", BEIJING, "--json").json["granted"] == []


def test_settle_that_does_not_believe_the_pull_is_one_line_and_code_1(world: World) -> None:
    owing(world)
    world.show([])
    ended = world.run("settle", BEIJING, "--json")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("源数据比已登记的少了 6 个合同")
    assert len(ended.err.splitlines()) == 1


def test_adjust_says_what_it_did_and_that_nobody_is_told(world: World) -> None:
    show(world, 1000)
    world.run_may()
    line = ["adjust", BEIJING, "--housekeeper", "沈若川", "--amount", "-58.5", "--reason", "多发了 [b]一次"]
    rehearsal, real, again = (world.run(*line, *more) for more in (["--dry-run"], [], ["--json"]))
    assert [(ended.code, ended.err) for ended in (rehearsal, real, again)] == [(0, "")] * 3
    assert "此前没有调整" in rehearsal.out
    assert "会记入：沈若川 -58.50 元，多发了 [b]一次；调整合计 -58.50 元" in rehearsal.out
    assert "已记入：沈若川 -58.50 元" in real.out
    assert "人工调整不发消息" in real.out
    assert (again.json["amount"], again.json["total"], len(again.json["earlier"])) == ("-58.50", "-117", 1)
    assert not [task for task in world.tasks() if "调整" in task["message"]]
    assert len(csv_rows(world.data_dir / f"Corrections-{BEIJING}.csv")) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--amount", "x", "--reason", "退单"], "不是数字"),
        (["--amount", "5"], "--help"),
        (["--amount", "5", "--reason", ""], "--reason 不能为空"),
    ],
)
def test_adjust_refuses_in_one_line_and_with_code_2(world: World, more: list[str], words: str) -> None:
    show(world, 1000)
    world.run_may()
    ended = world.run("adjust", BEIJING, "--housekeeper", "沈若川", *more)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert words in ended.err


def test_a_notice_of_a_correction_is_sent_like_any_other(desk: Desk) -> None:
    raised(desk)
    settle(desk)
    desk.clock.advance(seconds=1)
    assert desk.drain().completed == 8
    told = [message.content for message in desk.robot.messages if message.key == "key-bj_contact"]
    assert [text.splitlines()[0] for text in told][-1] == "🎁 北京 5月签约激励：沈若川 有奖励补发"
    assert desk.clock() - NOON == timedelta(seconds=1)
