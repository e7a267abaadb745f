"""方案模拟: what is moved comes out as `main.py simulate` says it, beside what was paid, and as an entry to paste."""

from __future__ import annotations

import ast
from datetime import date

import pytest
from streamlit.testing.v1 import AppTest

from modules.rewards.changes import ChangeError, parse_change
from modules.simulation import Request, run_simulation
from streamlit_app import charts, data, reading
from tests.dashboard_stage import asked, cards, figure_of, open_page, table, unfold, words
from tests.desk import BEIJING, Desk

pytestmark = pytest.mark.usefixtures("nothing_kept")

EASIER = "tiered_rewards.tiers[0].threshold=60000"
SETTLED = date(2025, 6, 2)


def lever(page: AppTest, label: str) -> AppTest:
    """The number input with this label."""
    found: AppTest = next(one for one in page.number_input if one.label == label)
    return found


def by_command(desk: Desk, *changes: str) -> tuple[int, int, dict[str, int]]:
    """What `main.py simulate` says: payout before and after, and the difference by payee of the ten who move most."""
    found = run_simulation(desk.app.settings, Request(BEIJING, changes), SETTLED)
    (variant,) = found.variants
    moved = {one.payee: one.difference for one in variant.movers}
    return found.baseline.payout, variant.result.payout, moved


class TestPage:
    def test_before_anything_is_moved_it_shows_what_was_paid_beside_what_the_configuration_pays(
        self, month: Desk
    ) -> None:
        page = open_page("simulation", campaign=BEIJING)
        paid = figure_of(month, f"SELECT SUM(amount) FROM awards WHERE campaign = '{BEIJING}'")  # noqa: S608
        assert cards(page)["实发"] == charts.yuan(paid)
        assert "改后奖金" not in cards(page)
        assert "还没有改动" in words(page)
        assert not page.code
        assert "set" not in asked(page)

    def test_a_moved_threshold_comes_out_as_the_command_says(self, month: Desk) -> None:
        page = open_page("simulation", campaign=BEIJING)
        lever(page, "达标奖 门槛（元）").set_value(60_000).run()
        before, after, moved = by_command(month, EASIER)
        assert before != after
        assert (cards(page)["原配置奖金"], cards(page)["改后奖金"]) == (charts.yuan(before), charts.yuan(after))
        rows = {str(row["管家"]): row for row in table(page)}
        for payee, difference in moved.items():
            own = f"campaign = '{BEIJING}' AND payee = '{payee}'"
            paid = figure_of(month, f"SELECT COALESCE(SUM(amount), 0) FROM awards WHERE {own}")  # noqa: S608
            assert (rows[payee]["实发（元）"], rows[payee]["改后比原配置（元）"]) == (paid / 100, difference / 100)
        assert f"{len(rows)} 人多得" in words(page)

    def test_the_entry_to_paste_holds_what_was_moved_and_nothing_else(self, month: Desk) -> None:
        page = open_page("simulation", campaign=BEIJING)
        lever(page, "达标奖 门槛（元）").set_value(60_000)
        lever(page, "接好运 奖金（元）").set_value(30).run()
        entry = ast.literal_eval(f"{{{unfold(page).code[0].value}}}")[BEIJING]
        assert entry["tiered_rewards"]["tiers"][0]["threshold"] == 60_000
        assert entry["awards_mapping"]["接好运"] == 30
        entry["tiered_rewards"]["tiers"][0]["threshold"] = 80_000
        entry["awards_mapping"]["接好运"] = 28
        assert entry == data.bench(BEIJING).entry
        assert "已检查，没有错" in words(page)

    def test_a_cleared_cap_is_no_limit_and_a_cleared_amount_stays(self, month: Desk) -> None:
        page = open_page("simulation", campaign=BEIJING)
        lever(page, "单个工单上限（元）").set_value(None)
        lever(page, "达标奖 奖金（元）").set_value(None).run()
        assert asked(page)["set"] == "performance_limits.single_project_limit=None"
        assert "不限" in words(page)

    def test_a_fault_is_said_with_its_path_and_nothing_is_shown_to_paste(self, month: Desk) -> None:
        page = open_page("simulation", campaign=BEIJING)
        lever(page, "优秀奖 门槛（元）").set_value(170_000).run()
        assert "配置有错" in page.error[0].value
        assert f'REWARD_CONFIGS["{BEIJING}"].tiered_rewards.tiers[2].threshold' in words(page)
        assert not page.code
        assert not page.exception

    def test_a_plan_stands_in_the_address_and_comes_from_there(self, month: Desk) -> None:
        page = open_page("simulation", campaign=BEIJING)
        lever(page, "达标奖 门槛（元）").set_value(60_000).run()
        assert asked(page)["set"] == EASIER
        data.close()
        shared = open_page("simulation", campaign=BEIJING, set=f"{EASIER},nonsense,awards_mapping.接好运=viel")
        assert lever(shared, "达标奖 门槛（元）").value == 60_000
        assert cards(shared) == cards(page)
        assert asked(shared)["set"] == EASIER

    def test_an_amount_of_a_link_keeps_its_fractions_and_what_is_not_taken_is_told(self, month: Desk) -> None:
        wrong = "nonsense,awards_mapping.接好运=viel,lucky_number=8.5,awards_mapping.优秀奖=-1,bonus_pool_ratio=0.1"
        page = open_page("simulation", campaign=BEIJING, set=f"awards_mapping.达标奖=30.5,{wrong}")
        assert not page.error
        assert lever(page, "达标奖 奖金（元）").value == 30.5
        assert asked(page)["set"] == "awards_mapping.达标奖=30.50"
        (told,) = (one.value for one in page.warning if "链接里的改动" in one.value)
        assert [part in told for part in ("nonsense", "viel", "8.5", "=-1", "ratio", "30.5")] == [True] * 5 + [False]
        assert "链接里的" not in words(page.run())

    def test_each_campaign_keeps_its_own_plan(self, month: Desk) -> None:
        page = open_page("simulation", campaign=BEIJING)
        lever(page, "达标奖 门槛（元）").set_value(60_000).run()
        page.selectbox[0].select("2025-04").run()
        assert lever(page, "达标奖 门槛（元）").value == 40_000
        assert "set" not in asked(page)
        page.selectbox[0].select("2025-05").run()
        assert lever(page, "达标奖 门槛（元）").value == 60_000
        assert asked(page)["set"] == EASIER

    def test_one_press_puts_everything_back(self, month: Desk) -> None:
        page = open_page("simulation", campaign=BEIJING, set=EASIER)
        next(one for one in page.button if one.label == "恢复原配置").click().run()
        assert lever(page, "达标奖 门槛（元）").value == 80_000
        assert "set" not in asked(page)

    def test_nothing_is_written(self, month: Desk) -> None:
        before = figure_of(month, "SELECT SUM(revision) FROM campaigns")
        config = month.app.settings.campaigns_file.read_bytes()
        lever(open_page("simulation", campaign=BEIJING), "接好运 奖金（元）").set_value(99).run()
        assert figure_of(month, "SELECT SUM(revision) FROM campaigns") == before
        assert month.app.settings.campaigns_file.read_bytes() == config


class TestBench:
    def test_it_is_kept_until_the_ledger_has_changed(self, month: Desk) -> None:
        bench = data.bench(BEIJING)
        assert data.bench(BEIJING) is bench
        with month.app.database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE campaigns SET revision = revision + 1 WHERE key = '{BEIJING}'")  # noqa: S608
        reading.forget()
        assert data.bench(BEIJING) is not bench

    def test_any_change_comes_out_as_the_command_says(self, month: Desk) -> None:
        bench = data.bench(BEIJING)
        for text in (
            "tiered_rewards.min_contracts=9",
            "performance_limits.single_contract_cap=30000",
            "performance_limits.enable_cap=False",
            'awards_mapping["接好运"]=30.5',
            "badges.elite.multiplier=3",
            "lucky_number=8",
        ):
            trial = bench.tried([parse_change(text, BEIJING)])
            assert trial.result is not None
            before, after, moved = by_command(month, text)
            assert (bench.baseline.payout, trial.result.payout) == (before, after), text
            assert {one.payee: one.difference for one in trial.movers[:10]} == moved

    def test_winners_and_losers_add_up_to_the_difference(self, month: Desk) -> None:
        bench = data.bench(BEIJING)
        everybody = (
            "tiered_rewards.min_contracts=0",
            "tiered_rewards.tiers[0].threshold=1",
            "awards_mapping.达标奖=300",
        )
        trial = bench.tried([parse_change(text, BEIJING) for text in everybody])
        assert trial.result is not None
        difference = trial.result.payout - bench.baseline.payout
        assert sum(one.difference for one in trial.movers) == difference
        assert len(trial.movers) > 10

    def test_a_change_that_leads_nowhere_is_refused(self, month: Desk) -> None:
        with pytest.raises(ChangeError):
            data.bench(BEIJING).tried([parse_change("tiered_rewards.tiers[9].threshold=1", BEIJING)])

    def test_a_campaign_that_is_not_configured_can_not_be_tried(self, month: Desk) -> None:
        with month.app.database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO campaigns (key, revision) VALUES ('XX-2025-05', 1)")
        reading.forget()
        page = open_page("simulation", month="2025-05", campaign="XX-2025-05")
        assert "活动配置里没有 XX-2025-05" in page.error[0].value
