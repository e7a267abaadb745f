"""What the dashboard adds up: the same on SQLite and PostgreSQL, and equal to what a person would count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modules import ledger
from modules.campaign_ledger import open_ledger
from modules.campaigns import SHIPPED_FILE, load_badge_lists, load_campaigns
from modules.clock import SHANGHAI, parse_moment
from modules.database import Database, DatabaseError
from modules.figures import months, queue, ranking, sla_texts
from modules.figures.freshness import age_words, freshness_of
from modules.figures.live import live_performance
from modules.figures.months import Period, Totals, forecast_of, totals_of
from modules.figures.troubles import FailedRun, Troubles, still_due, troubles_of
from modules.ledger_records import read_awards
from modules.rewards.frame import PAYEE_SEPARATOR
from modules.rewards.rules import Tiers
from modules.rewards.standing import standing_of
from modules.sla_settings import SlaSettings
from modules.tables import audit_log, awards, job_runs, performance, rejected_rows, tasks
from modules.task_states import COMPLETED, STATUSES
from modules.templates import Templates
from tests.desk import BEIJING, SHANGHAI_MAY, Desk, contracts
from tests.engine_desk import campaign_of
from tests.ledger_rows import PULLED as NOW
from tests.ledger_rows import put_award, put_campaign, put_contract


def plans_of(database: Database, ask: Callable[[sa.Connection], object]) -> list[list[str]]:
    """The steps by which the database answers each question that is asked of it.

    A server is kept from reading tables whole: small ones it would, whatever indexes there are.
    """
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, said: str, values: object, *_: object) -> None:
        asked.append((said, values))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        with database.reading() as connection:
            ask(connection)
            questions = list(asked)
            if database.is_server:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain = "EXPLAIN " if database.is_server else "EXPLAIN QUERY PLAN "
            plans = [connection.exec_driver_sql(explain + said, values) for said, values in questions]
            return [[str(row[-1]).strip() for row in plan] for plan in plans]
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)


def texts_of_a_week(connection: sa.Connection) -> object:
    """What providers were told of it."""
    writer = sla_texts.Writer(SlaSettings(), Templates.read(), ())
    return sla_texts.week_texts(connection, date(2025, 5, 5), date(2025, 5, 12), writer, is_done=True)


def period(**values: Any) -> Period:
    """Beijing in May, pulled in the middle of it."""
    base: dict[str, Any] = {
        "campaign": BEIJING,
        "city": "北京",
        "month": "2025-05",
        "start": date(2025, 5, 1),
        "end": date(2025, 5, 31),
        "last_settle_day": date(2025, 6, 3),
        "last_pull_at": NOW,
        "closed_at": None,
    }
    return Period(**(base | values))


class TestTotals:
    def test_an_empty_ledger_adds_up_to_nothing(self, any_database: Database) -> None:
        with any_database.reading() as connection:
            assert totals_of(connection, BEIJING) == Totals()

    def test_each_figure_counts_what_it_says(self, any_database: Database) -> None:
        put_contract(any_database, 1)
        put_contract(any_database, 2, payee="乙", housekeeper="乙", source_amount=5_000)
        put_contract(any_database, 3, loss_accepted_at=NOW)
        put_contract(any_database, 4, sequence=None, personal_sequence=None, historical=True, bonus_pool=0)
        put_contract(any_database, 5, campaign="BJ-2025-04")
        put_award(any_database, 500)
        put_award(any_database, -200)
        with any_database.reading() as connection:
            assert totals_of(connection, BEIJING) == Totals(
                contracts=3, amount=30_000, performance=36_000, bonus_pool=60, payout=300, people=2, changed=2
            )

    def test_up_to_a_moment_awards_go_with_their_contract_and_others_with_their_grant(
        self, any_database: Database
    ) -> None:
        put_contract(any_database, 1, signed_at=parse_moment("2025-05-09T23:59"))
        put_contract(any_database, 2, signed_at=parse_moment("2025-05-10T00:00"))
        put_award(any_database, 1, contract_id="1920000000000000001")
        put_award(any_database, 10, contract_id="1920000000000000002")
        put_award(any_database, 100, granted_at=parse_moment("2025-05-09T12:00"))
        put_award(any_database, 1000, granted_at=parse_moment("2025-05-10T12:00"))
        with any_database.reading() as connection:
            found = totals_of(connection, BEIJING, parse_moment("2025-05-10T00:00"))
        assert (found.contracts, found.payout) == (1, 101)


LIMITS = st.sampled_from([None, 0, 100, 250])
ROWS = st.lists(
    st.tuples(st.sampled_from(["", "P1", "P2"]), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 30_000)),
    max_size=8,
)


class TestLivePerformance:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @example(limits={"single_project_limit": 100}, rows=[("", False, False, False, 9_000)] * 2)
    @example(limits={"single_project_limit": 100}, rows=[("P1", False, False, False, 9_000)] * 2)
    @example(limits={"single_project_limit": 100}, rows=[("P1", own, False, False, 9_000) for own in (False, True)])
    @example(limits={"enable_cap": True, "single_contract_cap": 100}, rows=[("P1", False, True, False, 30_000)])
    @given(
        limits=st.fixed_dictionaries(
            {"enable_cap": st.booleans()},
            optional=dict.fromkeys(
                (
                    "single_contract_cap",
                    "single_project_limit",
                    "self_referral_contract_cap",
                    "self_referral_project_limit",
                ),
                LIMITS,
            ),
        ),
        rows=ROWS,
    )
    def test_it_is_what_the_frame_comes_to_whatever_the_limits(
        self, any_database: Database, limits: dict[str, Any], rows: list[tuple[str, bool, bool, bool, int]]
    ) -> None:
        campaign = campaign_of({"performance_limits": limits}, {})
        with any_database.writing() as connection:
            connection.execute(sa.delete(performance))
        for number, (project, own, historical, is_lost, amount) in enumerate(rows, 1):
            numbers = {"sequence": None, "personal_sequence": None} if historical else {}
            tracks = {"project": project, "self_referral": own, "historical": historical}
            lost = {"loss_accepted_at": NOW if is_lost else None}
            put_contract(any_database, number, source_amount=amount, **tracks, **lost, **numbers)
        with any_database.reading() as connection:
            opened = ledger.read(connection, BEIJING)
            found = live_performance(connection, BEIJING, campaign.performance_limits)
        shown = frozenset(opened.state.registered["contract_id"]) - opened.accepted_losses
        positions = standing_of(campaign, opened.state, shown).positions.values()
        assert found == sum(position.performance_total for position in positions)


class TestMonths:
    def test_months_and_campaigns_with_a_ledger_newest_first(self, any_database: Database) -> None:
        for key in ("BJ-2024-12", "SH-2025-01", "BJ-2025-01"):
            put_campaign(any_database, key)
        put_campaign(any_database, "BJ-2025-02", revision=0)
        with any_database.reading() as connection:
            known = months.periods_of(connection, {}).values()
        assert months.months_of(known) == ["2025-01", "2024-12"]
        assert months.campaigns_of(known, "2025-01") == ["BJ-2025-01", "SH-2025-01"]

    def test_the_month_before_counts_up_to_the_same_day_and_hour(self, any_database: Database) -> None:
        put_campaign(any_database, BEIJING, last_pull_at=parse_moment("2025-05-10T12:00"))
        put_campaign(any_database, "BJ-2025-04")
        put_contract(any_database, 1)
        for number, moment in ((2, "2025-04-10T11:59"), (3, "2025-04-10T12:00"), (4, "2025-04-30T12:00")):
            put_contract(any_database, number, campaign="BJ-2025-04", signed_at=parse_moment(moment))
        with any_database.reading() as connection:
            (found,) = months.city_months(connection, {}, "2025-05")
        assert found.before is not None
        assert (found.before_key, found.before.contracts) == ("BJ-2025-04", 1)
        assert found.period.city == "BJ"  # no configuration knows it

    def test_a_month_that_is_over_is_held_against_the_whole_month_before(self, any_database: Database) -> None:
        put_campaign(any_database, "BJ-2025-04", last_pull_at=parse_moment("2025-05-02T00:00"))
        put_campaign(any_database, "BJ-2025-03")
        put_contract(any_database, 1, campaign="BJ-2025-03", signed_at=parse_moment("2025-03-31T23:00"))
        with any_database.reading() as connection:
            (found,) = months.city_months(connection, {}, "2025-04")
        assert found.before is not None
        assert found.before.contracts == 1
        assert found.forecast == found.totals

    def test_a_month_that_was_taken_over_and_never_pulled_is_held_against_the_whole_month_before(
        self, any_database: Database
    ) -> None:
        put_campaign(any_database, BEIJING, last_pull_at=None)
        put_campaign(any_database, "BJ-2025-04", last_pull_at=None)
        put_contract(any_database, 1)
        put_contract(any_database, 2, campaign="BJ-2025-04", signed_at=parse_moment("2025-04-30T23:59"))
        with any_database.reading() as connection:
            (found,) = months.city_months(connection, {}, "2025-05")
        assert found.before is not None
        assert (found.before.contracts, found.forecast) == (1, found.totals)

    def test_without_a_month_before_there_is_nothing_to_compare(self, any_database: Database) -> None:
        put_campaign(any_database, BEIJING)
        with any_database.reading() as connection:
            (found,) = months.city_months(connection, {}, "2025-05")
        assert found.before is None

    @pytest.mark.parametrize(("month", "before"), [("2025-05", "2025-04"), ("2025-01", "2024-12")])
    def test_month_before(self, month: str, before: str) -> None:
        assert months.month_before(month) == before


class TestForecast:
    def test_half_the_campaign_promises_twice_as_much(self) -> None:
        half = period(end=date(2025, 5, 30))  # 15 of 30 days
        found = forecast_of(Totals(contracts=10, amount=1_000, payout=7, people=3), half)
        assert found == Totals(contracts=20, amount=2_000, payout=14, people=3)

    @pytest.mark.parametrize(("pulled", "is_known"), [("2025-05-03T23:59", False), ("2025-05-04T00:00", True)])
    def test_the_first_three_days_promise_nothing(self, pulled: str, is_known: bool) -> None:
        found = forecast_of(Totals(contracts=1), period(last_pull_at=parse_moment(pulled)))
        assert (found is not None) == is_known

    def test_a_ledger_that_was_taken_over_and_never_pulled_is_whole(self) -> None:
        taken_over = period(last_pull_at=None)
        assert taken_over.is_over
        assert taken_over.as_of == parse_moment("2025-06-01T00:00")
        assert forecast_of(Totals(contracts=3), taken_over) == Totals(contracts=3)

    @given(
        contracts=st.integers(0, 10**6),
        pulled=st.datetimes(datetime(2025, 4, 1), datetime(2025, 7, 1)),  # noqa: DTZ001
    )
    def test_it_is_never_less_than_what_there_is(self, contracts: int, pulled: datetime) -> None:
        found = forecast_of(Totals(contracts=contracts), period(last_pull_at=pulled.replace(tzinfo=SHANGHAI)))
        assert found is None or found.contracts >= contracts

    @pytest.mark.parametrize(("now", "before", "share"), [(150, 100, 0.5), (50, 100, -0.5), (5, 0, None)])
    def test_change(self, now: int, before: int, share: float | None) -> None:
        assert months.change(now, before) == share


class TestFreshness:
    def test_a_campaign_that_is_on_and_was_not_pulled_for_a_quarter_of_an_hour_is_stale(self) -> None:
        just, long_ago = NOW - timedelta(minutes=15), NOW - timedelta(minutes=16)
        known = [
            period(last_pull_at=just),
            period(campaign="SH-2025-05", last_pull_at=long_ago),
            period(campaign="GZ-2025-05", last_pull_at=None),
        ]
        found = freshness_of(known, NOW, timedelta(minutes=3))
        assert (found.stale, found.missing) == (("SH-2025-05",), ("GZ-2025-05",))
        assert found.at == just

    def test_one_that_has_just_begun_is_given_time_for_its_first_pull(self) -> None:
        known, begins = [period(last_pull_at=None)], parse_moment("2025-05-01T00:00")
        assert freshness_of(known, begins + timedelta(minutes=15), timedelta(minutes=3)).missing == ()
        assert freshness_of(known, begins + timedelta(minutes=16), timedelta(minutes=3)).missing == (BEIJING,)

    def test_campaigns_that_are_to_be_pulled_count_though_nothing_ever_came_of_them(
        self, any_database: Database
    ) -> None:
        day, configured = date(2025, 5, 20), load_campaigns(SHIPPED_FILE, date(2025, 5, 20)).valid

        def due() -> dict[str, datetime | None]:
            with any_database.reading() as connection:
                found = months.periods_due(connection, configured, day)
            return {one.campaign: one.last_pull_at for one in found if one.closed_at is None}

        assert due() == {BEIJING: None, SHANGHAI_MAY: None}
        put_campaign(any_database, "BJ-2025-04", last_pull_at=NOW)
        put_campaign(any_database, BEIJING, last_pull_at=NOW, revision=0)  # of an empty pull
        put_campaign(any_database, SHANGHAI_MAY, last_pull_at=None, revision=0, closed_at=NOW)
        assert due() == {"BJ-2025-04": NOW, BEIJING: NOW}

    def test_one_that_is_closed_or_past_its_settle_days_is_not(self) -> None:
        long_ago = NOW - timedelta(days=9)
        known = [
            period(last_pull_at=long_ago, closed_at=NOW),
            period(last_pull_at=long_ago, last_settle_day=date(2025, 5, 15)),
        ]
        assert freshness_of(known, NOW, timedelta(minutes=3)).stale == ()

    def test_a_daemon_that_pulls_seldom_is_given_three_rounds(self) -> None:
        known = [period(last_pull_at=NOW - timedelta(hours=2))]
        assert freshness_of(known, NOW, timedelta(hours=1)).stale == ()

    @pytest.mark.parametrize(
        ("age", "words"),
        [
            ({"seconds": 59}, "刚刚"),
            ({"minutes": 59}, "59 分钟前"),
            ({"hours": 47}, "47 小时前"),
            ({"days": 3}, "3 天前"),
        ],
    )
    def test_age_in_words(self, age: dict[str, int], words: str) -> None:
        assert age_words(timedelta(**age)) == words


class TestTroubles:
    def test_only_what_is_wrong_now_is_told(self, any_database: Database) -> None:
        with any_database.writing() as connection:
            for status in STATUSES:
                moment = {"created_at": NOW, "updated_at": NOW, "status": status}
                connection.execute(sa.insert(tasks).values(task_type="t", recipient="ops", message="m", **moment))
            for number, resolved in enumerate((None, None, NOW)):
                seen = {"first_seen_at": NOW, "resolved_at": resolved, "fingerprint": str(number)}
                connection.execute(
                    sa.insert(rejected_rows).values(campaign=BEIJING, contract_id="", reason="r", source="{}", **seen)
                )
            for job, outcomes in {"a": ("failed", "ok"), "b": ("ok", "failed"), "c": ("failed", None)}.items():
                for outcome in outcomes:
                    run = {"job": job, "slot": NOW, "started_at": NOW, "outcome": outcome, "error": "连不上"}
                    connection.execute(sa.insert(job_runs).values(run))
        with any_database.reading() as connection:
            found = troubles_of(connection)
        assert (found.failed, found.uncertain, found.rejected) == (1, 1, {BEIJING: 2})
        assert found.failed_runs == (FailedRun("b", "连不上"), FailedRun("c", "连不上"))

    def test_what_nobody_waits_for_is_left_out(self) -> None:
        runs = (FailedRun("b", "e"), FailedRun("removed", "e"))
        found = still_due(Troubles(2, 1, {BEIJING: 1, "BJ-2025-04": 3}, runs), {BEIJING, "b"})
        assert found == Troubles(2, 1, {BEIJING: 1}, runs[:1])

    def test_a_slot_that_was_run_again_counts_from_then(self, any_database: Database) -> None:
        later = NOW + timedelta(hours=1)
        with any_database.writing() as connection:
            for started, outcome in ((later, "failed"), (NOW, "ok")):  # the older row was tried again last
                run = {"job": "a", "slot": NOW, "started_at": started, "outcome": outcome, "error": "连不上"}
                connection.execute(sa.insert(job_runs).values(run))
        with any_database.reading() as connection:
            assert troubles_of(connection).failed_runs == (FailedRun("a", "连不上"),)


class TestRanking:
    def ranked(self, desk: Desk) -> ranking.Ranking:
        with desk.app.database.reading() as connection:
            return ranking.ranking_of(
                open_ledger(connection, desk.app.campaigns, BEIJING), read_awards(connection, BEIJING)
            )

    def test_by_performance_with_progress_to_the_lowest_tier_that_is_missing(self, desk: Desk) -> None:
        rich = contracts(*range(1, 7), amount=15_000, serviceHousekeeper="甲")  # 90,000: 达标奖 granted
        poor = contracts(11, 12, amount=30_000, serviceHousekeeper="乙")  # two of six contracts
        desk.show([*rich, *poor])
        desk.run()
        first, second = self.ranked(desk).ranks
        assert (first.place, first.housekeeper, first.contracts, first.performance) == (1, "甲", 6, 9_000_000)
        assert first.next_tier == ranking.NextTier("优秀奖", 0.75, 0, 3_000_000, 12_000_000, 40_000)
        assert first.awards["达标奖"] == 1
        assert second.next_tier is not None
        assert (second.next_tier.progress, second.next_tier.contracts) == (pytest.approx(1 / 3), 4)
        assert second.next_tier.missing == "4 单、20,000 元"

    def test_whoever_has_every_tier_has_nothing_ahead(self, desk: Desk) -> None:
        desk.show(contracts(*range(1, 7), amount=30_000))
        desk.run()
        (only,) = self.ranked(desk).ranks
        assert only.next_tier is None
        assert only.payout == sum(row["amount"] for row in desk.table(awards))
        assert {row["name"] for row in desk.table(awards) if row["kind"] == Tiers.kind} == {
            "达标奖",
            "优秀奖",
            "精英奖",
        }

    @pytest.mark.parametrize(
        ("near", "contracts_missing", "fen"),
        [(True, 0, 100), (False, 0, 101), (False, 0, 0), (True, 1, 0), (True, 1, 100), (False, 2, 0)],
    )
    def test_near_is_within_a_tenth_of_the_threshold_and_one_contract(
        self, near: bool, contracts_missing: int, fen: int
    ) -> None:
        assert ranking.NextTier("达标奖", 0.5, contracts_missing, fen, 1000, 200).is_near == near

    def test_what_is_missing_is_said_in_a_few_words(self) -> None:
        missing = [(2, 857_872), (2, 0), (0, 100), (0, 0)]
        words = [ranking.NextTier("达标奖", 0.5, *one, 1000, 200).missing for one in missing]
        assert words == ["2 单、8,578.72 元", "2 单", "1 元", "已达到，待发放"]

    def test_a_badge_makes_the_next_tier_worth_more(self, desk: Desk) -> None:
        elite = next(iter(load_badge_lists()["elite"]))
        desk.show(contracts(1, serviceHousekeeper=elite))
        desk.run()
        tier = self.ranked(desk).ranks[0].next_tier
        assert tier is not None
        assert (tier.name, tier.worth) == ("达标奖", 40_000)

    def test_days_and_track_choose_what_was_signed(self, any_database: Database) -> None:
        put_contract(any_database, 1, signed_at=parse_moment("2025-05-01T00:00"))
        put_contract(any_database, 2, signed_at=parse_moment("2025-05-02T23:59"), self_referral=True)
        put_contract(any_database, 3, signed_at=parse_moment("2025-05-03T00:00"), payee="乙")
        two_days = (date(2025, 5, 1), date(2025, 5, 2))

        def signed(*asked: Any) -> dict[str, ranking.Signed]:
            with any_database.reading() as connection:
                return ranking.signed_by_payee(connection, BEIJING, *asked)

        assert {payee: one.contracts for payee, one in signed(None, None, "").items()} == {"甲": 2, "乙": 1}
        assert signed(*two_days, "") == {"甲": ranking.Signed(2, 20_000, 18_000)}
        assert signed(*two_days, "platform")["甲"].contracts == 1
        assert signed(*two_days, "self_referral")["甲"].contracts == 1


class TestHousekeepers:
    @pytest.mark.parametrize("key", [BEIJING, SHANGHAI_MAY])
    def test_they_are_those_of_the_ranking_in_its_order(self, desk: Desk, key: str) -> None:
        desk.run_sample(key, "2025-05-31T23:59")
        with desk.app.database.reading() as connection:
            ranked = ranking.ranking_of(open_ledger(connection, desk.app.campaigns, key), read_awards(connection, key))
            found = ranking.housekeepers(connection, key)
        assert len(found) > 5
        assert found == list(dict.fromkeys(one.housekeeper for one in ranked.ranks))

    def test_nobody_with_a_contract_an_award_or_an_adjustment_is_left_out(self, any_database: Database) -> None:
        old = {"sequence": None, "personal_sequence": None, "historical": True}
        put_award(any_database, -100, payee="只有调整")
        put_contract(any_database, 1, payee="只有历史合同", performance=0, **old)
        put_contract(any_database, 2, payee="都已消失", performance=99_000, loss_accepted_at=NOW)
        put_contract(any_database, 3, payee=f"乙{PAYEE_SEPARATOR}甲装饰", performance=1_000)
        put_contract(any_database, 4, payee="丙", performance=9_000)
        put_contract(any_database, 5, payee=f"乙{PAYEE_SEPARATOR}乙装饰", performance=9_500)
        put_contract(any_database, 6, payee="别的活动", campaign="BJ-2025-04")
        put_award(any_database, 100, payee="丙")
        with any_database.reading() as connection:
            found = ranking.housekeepers(connection, BEIJING)
            assert ranking.housekeepers(connection, "XX-2025-05") == []
        assert found == ["乙", "丙", "都已消失", "只有历史合同", "只有调整"]


class TestQueue:
    def test_every_state_with_its_oldest_and_the_newest_first(self, any_database: Database) -> None:
        with any_database.writing() as connection:
            for number, recipient in enumerate(("ops", "bj_group", "ops")):
                moment = NOW + timedelta(minutes=number)
                values = {"status": "failed", "created_at": moment, "updated_at": moment, "recipient": recipient}
                connection.execute(sa.insert(tasks).values(task_type="t", message="m", **values))
            connection.execute(sa.insert(audit_log).values(at=NOW, who="甲", action="tasks", detail="任务 1"))
            connection.execute(sa.insert(audit_log).values(at=NOW, who="甲", action="adjust", detail="别的"))
        with any_database.reading() as connection:
            lines = {line.status: line for line in queue.by_status(connection)}
            assert tuple(lines) == STATUSES
            assert (lines["failed"].number, lines["failed"].oldest) == (3, NOW)
            assert (lines["pending"].number, lines["pending"].oldest) == (0, None)
            assert [task.id for task in queue.newest(connection, "failed", "", 2).rows] == [3, 2]
            assert [task.id for task in queue.newest(connection, "failed", "ops", 9).rows] == [3, 1]
            assert queue.recipients(connection, "failed") == ["bj_group", "ops"]
            assert [act.detail for act in queue.acts(connection, 9).rows] == ["任务 1"]

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(mix=st.lists(st.tuples(st.sampled_from(STATUSES), st.integers(0, 59)), max_size=12))
    def test_whatever_the_mix_each_state_is_counted_as_by_counting_all_tasks(
        self, any_database: Database, mix: list[tuple[str, int]]
    ) -> None:
        """The earlier examples' tasks are gone, as after a purge: numbers do not begin at 1."""
        with any_database.writing() as connection:
            connection.execute(sa.delete(tasks))
            for status, minute in mix:
                moment = NOW + timedelta(minutes=minute)
                values = {"status": status, "created_at": moment, "updated_at": moment}
                connection.execute(sa.insert(tasks).values(task_type="t", recipient="ops", message="m", **values))
        with any_database.reading() as connection:
            plain = sa.select(tasks.c.status, sa.func.count(), sa.func.min(tasks.c.id)).group_by(tasks.c.status)
            counted = {status: (number, first) for status, number, first in connection.execute(plain)}
            created = dict(connection.execute(sa.select(tasks.c.id, tasks.c.created_at)).all())
            lines = queue.by_status(connection)
        assert [line.status for line in lines] == list(STATUSES)
        for line in lines:
            number, first = counted.get(line.status, (0, None))
            assert (line.number, line.oldest) == (number, created[first] if first else None)

    def test_counting_reads_the_indexes_and_of_the_tasks_only_the_first_of_each_state(
        self, any_database: Database
    ) -> None:
        (plan,) = plans_of(any_database, queue.by_status)
        for status in set(STATUSES) - {COMPLETED}:
            index = {"failed": "given_up", "uncertain": "given_up"}.get(status, status)
            assert any(f"ix_tasks_{index}" in step for step in plan), (status, plan)
        assert not [step for step in plan if "Seq Scan" in step or step == "SCAN tasks"], plan


class TestLargeTables:
    """Of these a year leaves a hundred thousand rows: no page goes through all of them."""

    @pytest.mark.parametrize("ask", [troubles_of, texts_of_a_week], ids=["troubles", "texts of a week"])
    def test_are_asked_along_their_indexes(self, empty_database: Path, ask: Callable[[sa.Connection], object]) -> None:
        database = Database(f"sqlite:///{empty_database}", read_only=True)
        steps = [step for plan in plans_of(database, ask) for step in plan]
        database.close()
        assert any("job_runs" in step or "tasks" in step for step in steps)
        assert not [step for step in steps if step.startswith(("SCAN tasks", "SCAN job_runs"))]


class TestReadOnly:
    def test_the_connection_of_the_dashboard_cannot_write(self, any_database_url: str) -> None:
        database = Database(any_database_url, read_only=True)
        database.require_newest()
        try:
            with pytest.raises(sa.exc.DBAPIError), database.reading() as connection:
                connection.execute(sa.insert(audit_log).values(at=NOW, who="x", action="x", detail="x"))
        finally:
            database.close()

    def test_it_makes_no_database(self, tmp_path: Any) -> None:
        with pytest.raises(DatabaseError, match="请先启动一次主程序"):
            Database(f"sqlite:///{tmp_path / 'none' / 'tasks.db'}", read_only=True)
        assert not (tmp_path / "none").exists()
