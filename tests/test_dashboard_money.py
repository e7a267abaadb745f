"""The pages 奖励构成, 趋势 and 发放: their figures are those of the ledger, and their states say what to do."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from openpyxl import load_workbook
from streamlit.testing.v1 import AppTest

from modules import adjustments
from modules.adjustments import Wish
from modules.campaign_ledger import open_ledger
from modules.clock import parse_moment
from modules.closing import close
from modules.ledger_records import read_awards
from modules.rewards.money import format_yuan
from modules.sandbox.metabase import Fault
from modules.tables import audit_log, awards, campaigns, performance
from modules.task_board import TaskError
from streamlit_app import acts, charts, data, sign_in
from streamlit_app.access import Viewer
from tests.dashboard_stage import asked, cards, figure_of, look_at, open_page, table, words
from tests.desk import BEIJING, SHANGHAI_MAY, Desk, contracts, lasting_desk

pytestmark = pytest.mark.usefixtures("nothing_kept")

APRIL = "BJ-2025-04"
MID_MAY = "2025-05-20T12:00"
PERSON = "沈若川"


@pytest.fixture(scope="module")
def sold_database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """April of Beijing, whole, and May of both cities up to noon of the 20th, with an adjustment: to copy."""
    root = tmp_path_factory.mktemp("sold") / "installation"
    with lasting_desk(root, empty_database) as desk:
        for key, moment in ((APRIL, "2025-04-30T23:59"), (BEIJING, MID_MAY), (SHANGHAI_MAY, MID_MAY)):
            desk.clock.now = parse_moment(moment)
            desk.run_sample(key, moment)
        adjustments.adjust(desk.app, Wish(BEIJING, PERSON, None, "-58.50", "退单"), "王", dry_run=False)
    return root / "data" / "tasks.db"


@pytest.fixture
def sold(
    open_doors: Callable[[Path], AbstractContextManager[Desk]], sold_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """A desk with these, seen at that noon."""
    look_at(monkeypatch, MID_MAY)
    with open_doors(sold_database) as desk:
        yield desk


def cents(shown: object) -> int:
    """What a table shows in yuan, in fen."""
    return round(float(str(shown)) * 100)


class TestOverview:
    def test_the_cities_together_are_compared_only_where_each_has_the_month_before(self, sold: Desk) -> None:
        beijing, shanghai, both = table(open_page("overview"))
        assert (beijing["城市"], shanghai["城市"], both["城市"]) == ("北京", "上海", "合计")
        assert float(str(beijing["比上月同期"])) != 0
        assert pd.isna(shanghai["比上月同期"])
        assert pd.isna(both["比上月同期"])
        with sold.app.database.writing() as connection:
            connection.execute(sa.insert(campaigns).values(key="SH-2025-04", revision=1))
        data.close()
        assert float(str(table(open_page("overview"))[2]["比上月同期"])) > float(str(beijing["比上月同期"]))

    def test_a_ledger_that_was_taken_over_and_never_pulled_is_a_whole_month(
        self, sold: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with sold.app.database.writing() as connection:
            connection.execute(sa.update(campaigns).values(last_pull_at=None))
        look_at(monkeypatch, "2025-06-10T12:00")
        page = open_page("overview")
        assert "数据只到" not in words(page)
        assert "预计到月底" not in cards(page)
        assert float(str(table(page)[0]["比上月同期"])) != 0
        assert "整个活动期" in [one.help for one in open_page("trends", campaign=BEIJING).metric]

    def test_what_changed_contracts_come_to_now_is_what_the_ranking_adds_up_to(self, sold: Desk) -> None:
        ours = f"campaign = '{BEIJING}' AND sequence"
        with sold.app.database.writing() as connection:
            connection.execute(sa.text(f"UPDATE performance SET source_amount = 1 WHERE {ours} = 3"))  # noqa: S608
            gone = f"UPDATE performance SET loss_accepted_at = registered_at WHERE {ours} = 5"  # noqa: S608
            connection.execute(sa.text(gone))
        page = open_page("overview")
        with sold.app.database.reading() as connection:
            ledger = open_ledger(connection, sold.app.campaigns, BEIJING)
        assert ledger.standing is not None
        live = sum(position.performance_total for position in ledger.standing.positions.values())
        registered = figure_of(sold, f"SELECT SUM(performance) FROM performance WHERE campaign = '{BEIJING}'")  # noqa: S608
        assert 0 < live < registered
        fewer = f"计入业绩是 {format_yuan(live)} 元，少 {format_yuan(registered - live)} 元"
        assert f"有 2 个合同改了金额或已消失；上面是登记时的数字；按现在的金额{fewer}" in words(page)
        ranks = table(open_page("ranking", campaign=BEIJING))
        assert sum(cents(row["累计业绩（元）"]) for row in ranks) == live


class TestPeople:
    """In May of Shanghai some sign for two providers: one person, two payees."""

    def both(self, desk: Desk) -> tuple[int, int]:
        """Payees and persons."""
        own = f"FROM performance WHERE campaign = '{SHANGHAI_MAY}'"
        payees = figure_of(desk, f"SELECT COUNT(DISTINCT payee) {own}")
        persons = figure_of(desk, f"SELECT COUNT(DISTINCT housekeeper) {own}")
        assert persons < payees
        return payees, persons

    def test_every_page_counts_persons_where_it_says_so(self, sold: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        payees, persons = self.both(sold)
        own = f"FROM awards WHERE campaign = '{SHANGHAI_MAY}'"
        paid = figure_of(sold, f"SELECT COUNT(DISTINCT housekeeper) {own} AND amount > 0")
        ranking, rewards, payout, simulation = (
            open_page(name, campaign=SHANGHAI_MAY) for name in ("ranking", "rewards", "payout", "simulation")
        )
        (card,) = [one for one in ranking.metric if one.label == "管家"]
        assert (card.value, card.delta) == (f"{persons} 人", f"奖励按 {payees} 份算")
        assert "每家各算一份奖励" in card.help
        assert cards(rewards)["得奖管家"] == cards(payout)["有应发的管家"] == f"{paid} 人"
        (card,) = [one for one in simulation.metric if one.label == "得奖的管家"]
        assert f"共 {persons} 人签约" in card.help
        assert int(card.value.split()[0]) <= persons
        with sold.app.database.writing() as connection:
            connection.execute(sa.update(campaigns).values(last_pull_at=parse_moment("2025-06-02T08:00")))
        data.close()
        assert cards(open_page("overview"))["签约管家"]
        signed = [one.value for one in open_page("overview").metric if one.label == "签约管家"]
        assert signed[1] == f"{persons} 人"

    @pytest.mark.parametrize("name", ["ranking", "payout"])
    def test_every_bar_is_one_payee(self, sold: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        drawn: list[tuple[str, list[str]]] = []
        monkeypatch.setattr(
            charts, "show_bars", lambda says, rows, **_kw: drawn.append((says, [row[0] for row in rows]))
        )
        monkeypatch.setattr(charts, "show_stacks", lambda says, *_rows, names, **_kw: drawn.append((says, names)))
        open_page(name, campaign=SHANGHAI_MAY)
        ((says, names),) = drawn
        assert len(names) == len(set(names))
        assert all(one.endswith("）") for one in names)
        persons = len({one.partition("（")[0] for one in names})
        assert (f"{persons} 位管家" if persons == len(names) else f"{len(names)} 份（{persons} 位管家）") in says
        assert persons < len(names) or name == "payout"  # where the few who won are all different


class TestRewards:
    def test_every_award_is_there_with_what_it_came_to(self, sold: Desk) -> None:
        page = open_page("rewards", campaign=BEIJING)
        rows = {(row["类型"], row["奖励"]): row for row in table(page)}
        granted = [row for row in sold.table(awards) if row["campaign"] == BEIJING]
        assert set(rows) == {(one["kind"], one["name"]) for one in granted}
        for name, row in rows.items():
            own = [one for one in granted if (one["kind"], one["name"]) == name]
            assert cents(row["金额（元）"]) == sum(one["amount"] for one in own)
            assert row["个数"] == len(own)
            assert row["得奖管家"] == len({one["housekeeper"] for one in own})
        assert cents(rows["人工调整", "人工调整"]["其中补发和调整（元）"]) == -5_850

    def test_providers_add_up_to_the_whole_and_each_is_that_of_the_contracts(self, sold: Desk) -> None:
        rows = table(open_page("rewards", campaign=BEIJING), 1)
        paid = figure_of(sold, f"SELECT SUM(amount) FROM awards WHERE campaign = '{BEIJING}'")  # noqa: S608
        assert sum(cents(row["奖金（元）"]) for row in rows) == paid
        for row in rows:
            firm = "" if row["服务商"] == "（不属于服务商）" else row["服务商"]
            of_firm = f"WHERE p.campaign = '{BEIJING}' AND p.provider = '{firm}'"
            assert cents(row["合同金额（元）"]) == figure_of(
                sold,
                f"SELECT COALESCE(SUM(p.amount), 0) FROM performance p {of_firm}",  # noqa: S608
            )
            if firm:
                won = (
                    f"SELECT COALESCE(SUM(a.amount), 0) FROM awards a JOIN performance p USING (contract_id) {of_firm}"  # noqa: S608
                )
                assert cents(row["奖金（元）"]) == figure_of(sold, won)

    def test_days_and_track_come_from_the_address_and_narrow_it_down(self, sold: Desk) -> None:
        page = open_page("rewards", campaign=BEIJING, days="2025-05-05~2025-05-12", track="平台单")
        within = (
            f"signed_at >= '2025-05-05' AND signed_at < '2025-05-13' AND NOT self_referral AND p.campaign = '{BEIJING}'"
        )
        won = f"SELECT SUM(a.amount) FROM awards a JOIN performance p USING (contract_id) WHERE {within}"  # noqa: S608
        assert sum(cents(row["金额（元）"]) for row in table(page)) == figure_of(sold, won)
        assert "不属于任何渠道" in words(page)
        assert asked(page)["days"] == "2025-05-05~2025-05-12"

    def test_its_total_is_that_of_the_payout(self, sold: Desk) -> None:
        for key in (BEIJING, SHANGHAI_MAY):
            total = cards(open_page("rewards", campaign=key))["奖金合计"]
            assert total == cards(open_page("payout", campaign=key))["应发合计"]

    def test_an_adjustment_long_after_stands_in_a_last_column_of_its_own(
        self, sold: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn: list[list[str]] = []
        monkeypatch.setattr(charts, "show_stacks", lambda says, _rows, names, **_kw: drawn.append([says, *names]))
        open_page("rewards", campaign=BEIJING)
        sold.clock.now = parse_moment("2025-08-15T09:00")
        adjustments.adjust(sold.app, Wish(BEIJING, PERSON, None, "300", "补贴"), "王", dry_run=False)
        data.close()
        open_page("rewards", campaign=BEIJING)
        (says, *before), (says_after, *after) = drawn
        assert after == [*before, "活动期后"]
        assert before == [f"05-{day:02d}" for day in range(1, 21)]
        assert says_after == says.replace("。", "；活动期后补发和人工调整的 300 元另列在最后一栏，不算进平均。")

    def test_where_nothing_was_won_it_says_so(self, doors: Desk) -> None:
        doors.show(contracts(1, amount=100))
        doors.run()
        assert "还没有产生奖励" in words(open_page("rewards"))

    def test_where_the_filters_leave_nothing_it_says_so(self, doors: Desk) -> None:
        doors.show(contracts(1))
        doors.run()
        assert "请放宽日期或渠道" in words(open_page("rewards", days="2025-05-30~2025-05-31"))

    @pytest.mark.parametrize(
        ("number", "yuan", "is_near"),
        [
            (6, 12_000, True),  # 72,000 of 80,000: a tenth is missing
            (6, 11_999, False),
            (5, 20_000, True),  # one contract is missing
            (4, 25_000, False),
            (5, 14_400, True),  # both
        ],
    )
    def test_near_is_a_tenth_of_the_threshold_and_a_contract(
        self, doors: Desk, monkeypatch: pytest.MonkeyPatch, number: int, yuan: int, is_near: bool
    ) -> None:
        look_at(monkeypatch, MID_MAY)
        doors.show(contracts(*range(1, number + 1), amount=yuan))
        doors.run()
        page = open_page("rewards")
        assert ("没有管家离下一档" in words(page)) is not is_near
        if is_near:
            row = table(page, len(page.dataframe) - 1)[0]
            assert (row["管家"], row["下一档"], row["还差合同"]) == (PERSON, "达标奖", 6 - number)
            assert cents(row["还差业绩（元）"]) == max(80_000 - number * yuan, 0) * 100
            assert cents(row["达到再得（元）"]) == 20_000
            assert "活动到 5 月 31 日为止" in words(page)

    def test_whoever_has_reached_a_tier_and_was_not_granted_it_is_no_near_miss(self, doors: Desk) -> None:
        for amount in (12_000, 21_000):  # raised after the registration: 126,000 yuan, two tiers of 200 and 400
            doors.show(contracts(*range(1, 7), amount=amount))
            doors.run()
        page = open_page("rewards")
        assert "没有管家离下一档" in words(page)
        assert "有 1 位管家，共 600 元，还没有算进应发：随下一个新合同发放，或由 settle 补发" in words(page)
        (row,) = table(page, len(page.dataframe) - 1)
        assert (row["管家"], row["已达到"], row["待补发（元）"]) == (PERSON, "优秀奖、达标奖", 600)
        assert cards(open_page("ranking"))["离下一档不远"] == "0 人"


class TestTrends:
    def test_every_day_is_there_and_they_add_up_to_the_ledger(self, sold: Desk) -> None:
        rows = table(open_page("trends", campaign=BEIJING))
        assert [row["日期"] for row in rows] == [f"2025-05-{day:02d}" for day in range(1, 21)]
        signed = [row for row in sold.table(performance) if row["campaign"] == BEIJING]
        for row in rows:
            of_day = [one for one in signed if f"{one['signed_at']:%Y-%m-%d}" == row["日期"]]
            assert (row["合同数"], cents(row["金额（元）"])) == (len(of_day), sum(one["amount"] for one in of_day))
        assert rows[-1]["累计合同数"] == len(signed)
        assert cents(rows[-1]["累计金额（元）"]) == sum(one["amount"] for one in signed)

    def test_the_month_before_is_compared_at_the_same_day_and_hour(self, sold: Desk) -> None:
        page = open_page("trends", campaign=BEIJING)
        before = figure_of(
            sold,
            f"SELECT COUNT(*) FROM performance WHERE campaign = '{APRIL}' AND signed_at < '2025-04-20T12:00'",  # noqa: S608
        )
        whole = figure_of(sold, f"SELECT COUNT(*) FROM performance WHERE campaign = '{APRIL}'")  # noqa: S608
        assert 0 < before < whole
        assert f"2025 年 4 月同期（{before} 单）" in words(page)
        now = figure_of(sold, f"SELECT COUNT(*) FROM performance WHERE campaign = '{BEIJING}'")  # noqa: S608
        (card,) = [one for one in page.metric if one.label == "合同"]
        assert (card.value, card.delta) == (f"{now} 单", f"{now / before - 1:+.1%}")

    def test_the_last_seven_days_are_whole_ones_whatever_the_hour_of_the_pull(self, sold: Desk) -> None:
        shown = []
        for pulled in ("2025-05-20T00:10", "2025-05-20T23:59"):
            with sold.app.database.writing() as connection:
                connection.execute(sa.update(campaigns).values(last_pull_at=parse_moment(pulled)))
            data.close()
            page = open_page("trends", campaign=BEIJING)
            assert "只算整天，到 5 月 19 日为止；5 月 20 日的数据还不全，不算在内" in words(page)
            shown.append([(one.value, one.delta) for one in page.metric if one.label.startswith(("最近", "平均每天"))])
        assert shown[0] == shown[1]
        own = f"SELECT COUNT(*) FROM performance WHERE campaign = '{BEIJING}' AND signed_at"  # noqa: S608
        week = figure_of(sold, f"{own} >= '2025-05-13' AND signed_at < '2025-05-20'")
        before = figure_of(sold, f"{own} >= '2025-05-06' AND signed_at < '2025-05-13'")
        assert shown[0][0] == (f"{week} 单", f"{week / before - 1:+.1%}")
        whole = figure_of(sold, f"{own} < '2025-05-20'")
        assert shown[0][1][0] == f"{whole / 19:.1f} 单"

    def test_without_a_month_before_it_says_so(self, sold: Desk) -> None:
        page = open_page("trends", campaign=SHANGHAI_MAY)
        assert "上个月没有活动，没有可比的" in words(page)
        assert "上月累计合同数" not in table(page)[0]

    def test_a_track_without_contracts_is_no_fault(self, doors: Desk) -> None:
        doors.show(contracts(1))
        doors.run()
        assert "这个渠道还没有登记合同" in words(open_page("trends", track="自引单"))


class TestPayout:
    def test_each_payee_gets_what_the_ledger_says(self, sold: Desk) -> None:
        rows = table(open_page("payout", campaign=BEIJING))
        own = f"FROM awards WHERE campaign = '{BEIJING}' AND payee"
        for row in rows:
            payee = f"'{row['管家']}'"
            assert cents(row["应发（元）"]) == figure_of(sold, f"SELECT COALESCE(SUM(amount), 0) {own} = {payee}")
        (adjusted,) = [row for row in rows if row["其中调整（元）"]]
        assert (adjusted["管家"], adjusted["其中调整（元）"]) == (PERSON, -58.5)
        assert [row["应发（元）"] for row in rows] == sorted((row["应发（元）"] for row in rows), reverse=True)

    def test_what_people_adjusted_stands_there_with_who_and_why(self, sold: Desk) -> None:
        (row,) = table(open_page("payout", campaign=BEIJING), 1)
        assert (row["管家"], row["类型"], row["金额（元）"]) == (PERSON, "人工调整", -58.5)
        assert "退单（王 操作）" in str(row["原因"])

    def test_the_sheet_is_that_of_the_command_line(self, sold: Desk) -> None:
        workbook = load_workbook(io.BytesIO(data.payout_workbook(BEIJING)))
        with sold.app.database.reading() as connection:
            payees = {award.payee for award in read_awards(connection, BEIJING)}
        assert workbook.sheetnames[0] == "汇总"
        assert set(workbook.sheetnames[1:]) == payees
        *_, total = workbook["汇总"].iter_rows(values_only=True)
        paid = figure_of(sold, f"SELECT SUM(amount) FROM awards WHERE campaign = '{BEIJING}'")  # noqa: S608
        assert (total[0], cents(total[-1])) == ("合计", paid)
        ids = [row[0] for row in workbook[PERSON].iter_rows(min_row=4, values_only=True) if row[1]]
        assert ids
        assert all(isinstance(one, str) and len(one) == 19 for one in ids)

    def test_providers_are_told_apart_where_the_campaign_does(self, sold: Desk) -> None:
        rows = table(open_page("payout", campaign=SHANGHAI_MAY))
        assert rows
        assert all(row["服务商"] for row in rows)

    @pytest.mark.parametrize(
        ("moment", "says"),
        [
            (MID_MAY, "活动期到 05-31 为止"),
            ("2025-06-02T09:00", "结算期到 06-03 为止，还有 1 天"),
            ("2025-06-04T09:00", "请运行 close BJ-2025-05 结账"),
        ],
    )
    def test_it_says_how_far_the_campaign_is(
        self, sold: Desk, monkeypatch: pytest.MonkeyPatch, moment: str, says: str
    ) -> None:
        look_at(monkeypatch, moment)
        assert says in words(open_page("payout", campaign=BEIJING))

    def test_a_closed_campaign_says_since_when(self, doors: Desk) -> None:
        doors.show(contracts(1))
        doors.run()
        campaign, moment = doors.app.campaigns.valid[BEIJING], parse_moment("2025-06-05T10:00")
        doors.clock.now = moment
        assert close(doors.app, campaign, moment, "王", dry_run=False, force=False).outcome == "ok"
        assert "已于 2025-06-05 10:00 结账，数字已定" in words(open_page("payout"))

    def test_a_payee_that_owes_money_is_told(self, doors: Desk) -> None:
        doors.show(contracts(1, amount=100))
        doors.run()
        adjustments.adjust(doors.app, Wish(BEIJING, PERSON, None, "-10", "退单"), "王", dry_run=False)
        assert f"应发为负数，请核对：{PERSON}" in words(open_page("payout"))


class TestReconciling:
    @pytest.fixture
    def changed(self, doors: Desk) -> Desk:
        """Three contracts of which the source shows another amount of one, and a row that nobody can use."""
        doors.show(contracts(1, 2, 3))
        doors.run()
        doors.show([*contracts(1, 2), *contracts(3, amount=4000), *contracts(4, amount="kein Betrag")])
        doors.run()
        return doors

    def test_what_the_last_pull_showed_is_known_without_another(self, changed: Desk) -> None:
        changed.source.stop()
        page = open_page("payout")
        assert "有 2 处出入" in words(page)
        amount, rejected = table(page, 1), table(page, 2)
        assert [(row["合同编号"], row["现在金额（元）"], row["相差（元）"]) for row in amount] == [
            ("YHWX-00003", 4000, -1000)
        ]
        assert [row["已登记"] for row in rejected] == ["否"]

    def test_a_row_that_was_put_right_is_no_difference_any_more(self, changed: Desk) -> None:
        changed.show([*contracts(1, 2), *contracts(3, amount=4000), *contracts(4)])
        changed.run()
        assert "有 1 处出入" in words(open_page("payout"))

    def test_without_differences_it_says_so(self, doors: Desk) -> None:
        doors.show(contracts(1))
        doors.run()
        assert "没有已知的出入" in words(open_page("payout"))

    def test_an_operator_asks_the_source_anew_and_nothing_changes_but_that_it_is_on_record(self, changed: Desk) -> None:
        changed.show(contracts(1, 2, 3, 5, 6))
        before = changed.everything()
        page = pressed(open_page("payout"))
        assert "重新对账" in words(page)
        assert "共 2 处出入" in words(page)
        assert "源数据里有 2 个合同还没有登记" in words(page)
        (act,) = changed.table(audit_log)
        assert (act["who"], act["action"]) == (sign_in.local_viewer().who, "reconcile")
        assert act["detail"].startswith(f"{BEIJING}：对账（截至 ")
        assert act["detail"].endswith("，源数据 5 行，台账 3 个合同），2 处出入")
        assert changed.everything() == before | {"audit_log": [act]}

    def test_a_contract_that_vanished_is_found_by_asking_anew(self, changed: Desk) -> None:
        changed.show(contracts(1, 2))
        page = pressed(open_page("payout"))
        vanished = table(page, len(page.dataframe) - 1)
        assert [(row["合同编号"], row["已确认"]) for row in vanished] == [("YHWX-00003", "否")]

    def test_where_metabase_cannot_be_reached_the_rest_stays(self, changed: Desk) -> None:
        changed.source.inject(Fault.FORBIDDEN)
        page = pressed(open_page("payout"))
        assert [one.value.startswith("这次没有对成账：问题卡 1693") for one in page.error] == [True]
        assert "上面的数字不受影响" in page.error[0].value
        (act,) = changed.table(audit_log)
        assert act["detail"].startswith(f"{BEIJING}：对账没有成功：问题卡 1693")
        assert table(page)[0]["管家"] == PERSON

    def test_a_comparison_of_another_campaign_is_not_shown(self, sold: Desk) -> None:
        sold.show_sample(BEIJING, MID_MAY)
        page = pressed(open_page("payout", campaign=BEIJING))
        assert "重新对账（" in words(page)
        page.selectbox[1].select(SHANGHAI_MAY).run()
        assert "重新对账（" not in words(page)

    def test_a_viewer_sees_what_is_known_and_cannot_ask(self, changed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        viewer = Viewer("李", "看板 li", "viewer")
        monkeypatch.setattr(sign_in, "local_viewer", lambda: viewer)
        page = open_page("payout")
        assert "有 2 处出入" in words(page)
        assert "由操作员来做" in words(page)
        assert not page.button
        with pytest.raises(TaskError, match="只能查看"):
            acts.reconcile(viewer, BEIJING)
        assert changed.table(audit_log) == []


def pressed(page: AppTest) -> AppTest:
    """After the button that reconciles."""
    return page.button(key="reconcile").click().run()
