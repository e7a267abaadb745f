"""What the dashboard's figures add up to, on both databases: rows of a ledger in, expected figures out."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.clock import parse_moment
from modules.database import Database
from modules.figures.award_days import award_days
from modules.figures.composition import Composition, DayPart, Part, ProviderPart, composition_of
from modules.figures.course import Course, Day, course_of, running
from modules.figures.cut import Cut
from modules.figures.days import axis_words, days_between
from modules.figures.distribution import MOST_STEPS, Step, distribution_of
from modules.figures.months import Period
from modules.figures.stages import Stage, stage_of
from modules.rewards.frame import PAYEE_SEPARATOR
from tests.desk import BEIJING
from tests.ledger_rows import put_award, put_campaign, put_contract

APRIL = "BJ-2025-04"
EAST, WEST = "北京东装饰", "北京西装饰"


class Book:
    """A ledger that is written by hand."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._numbers = 0

    def campaign(self, key: str = BEIJING, pulled: str | None = "2025-06-01T08:00") -> None:
        put_campaign(self.database, key, last_pull_at=parse_moment(pulled) if pulled else None)

    def contract(
        self,
        signed: str,
        payee: str = "沈若川",
        yuan: int = 1000,
        provider: str = EAST,
        key: str = BEIJING,
        *,
        self_referral: bool = False,
        historical: bool = False,
    ) -> str:
        """Registered; its id."""
        self._numbers += 1
        money = ("amount", "performance", "total", "performance_total", "bonus_pool", "source_amount")
        return put_contract(
            self.database,
            self._numbers,
            campaign=key,
            sequence=None if historical else self._numbers,
            payee=payee,
            housekeeper=payee.partition(PAYEE_SEPARATOR)[0],
            provider=provider,
            self_referral=self_referral,
            historical=historical,
            signed_at=parse_moment(signed),
            **dict.fromkeys(money, yuan * 100),
        )

    def award(
        self,
        yuan: int,
        contract_id: str | None = None,
        payee: str = "沈若川",
        kind: str = "幸运数字",
        name: str = "接好运",
        granted: str = "2025-06-02T10:00",
    ) -> None:
        put_award(
            self.database,
            yuan * 100,
            contract_id=contract_id,
            payee=payee,
            housekeeper=payee.partition(PAYEE_SEPARATOR)[0],
            kind=kind,
            name=name,
            granted_at=parse_moment(granted),
        )

    def composition(self, **cut: object) -> Composition:
        with self.database.reading() as connection:
            return composition_of(connection, Cut(BEIJING, **cut))  # type: ignore[arg-type]

    def course(self, key: str = BEIJING, track: str = "") -> Course:
        with self.database.reading() as connection:
            found = course_of(connection, {}, key, track)  # type: ignore[arg-type]
        assert found is not None
        return found


@pytest.fixture
def book(any_database: Database) -> Book:
    return Book(any_database)


class TestComposition:
    @pytest.fixture
    def won(self, book: Book) -> Book:
        """Contracts of a late and an early hour that won, a tier by settle, an adjustment, and one who won nothing."""
        late = book.contract("2025-05-01T23:59:59")
        early = book.contract("2025-05-02T00:00", yuan=3000, provider=WEST, self_referral=True)
        book.contract("2025-05-03T07:59", "陆知远", historical=True)
        book.award(28, late)
        book.award(58, early)
        book.award(200, kind="节节高", name="达标奖", granted="2025-05-31T23:30")
        book.award(-50, kind="人工调整", name="人工调整")
        return book

    def test_by_award_largest_first_with_what_was_granted_without_a_contract(self, won: Book) -> None:
        found = won.composition()
        assert found.parts == (
            Part("节节高", "达标奖", 1, 1, 20_000, 20_000),
            Part("幸运数字", "接好运", 2, 1, 8_600, 0),
            Part("人工调整", "人工调整", 1, 1, -5_000, -5_000),
        )
        assert found.payout == 23_600
        assert found.kinds() == {"节节高": 20_000, "幸运数字": 8_600, "人工调整": -5_000}

    def test_a_day_is_that_of_the_signature_in_shanghai_or_else_of_the_grant(self, won: Book) -> None:
        assert won.composition().days == (
            DayPart(date(2025, 5, 1), "幸运数字", 2_800),
            DayPart(date(2025, 5, 2), "幸运数字", 5_800),
            DayPart(date(2025, 5, 31), "节节高", 20_000),
            DayPart(date(2025, 6, 2), "人工调整", -5_000),
        )

    def test_by_the_provider_of_the_contract_without_historical_ones(self, won: Book) -> None:
        assert won.composition().providers == (
            ProviderPart("", 0, 0, 2, 15_000),
            ProviderPart(WEST, 1, 300_000, 1, 5_800),
            ProviderPart(EAST, 1, 100_000, 1, 2_800),
        )

    def test_a_grant_without_a_contract_is_of_the_payees_provider_where_it_has_one(self, book: Book) -> None:
        book.award(200, payee=f"许听澜{PAYEE_SEPARATOR}{WEST}", kind="节节高", name="达标奖")
        assert book.composition().providers == (ProviderPart(WEST, 0, 0, 1, 20_000),)

    def test_payouts_hold_everybody_who_signed_best_paid_first(self, won: Book) -> None:
        assert list(won.composition().payouts.items()) == [("沈若川", 23_600), ("陆知远", 0)]

    def test_days_and_track_narrow_it_down(self, won: Book) -> None:
        second = won.composition(first=date(2025, 5, 2), last=date(2025, 5, 2))
        assert (second.payout, second.contracts, second.amount) == (5_800, 1, 300_000)
        assert won.composition(first=date(2025, 5, 2)).payout == 20_800
        assert won.composition(last=date(2025, 5, 1)).payout == 2_800
        assert won.composition(track="self_referral").payout == 5_800
        platform = won.composition(track="platform")
        assert (platform.payout, platform.contracts) == (2_800, 1)

    def test_another_campaign_counts_for_nothing(self, won: Book) -> None:
        with won.database.reading() as connection:
            assert composition_of(connection, Cut(APRIL)) == Composition(0, 0, (), (), (), {})


class TestAwardDays:
    PERIOD = Period(BEIJING, "北京", "2025-05", date(2025, 5, 1), date(2025, 5, 31), date(2025, 6, 3), None, None)

    def test_what_was_granted_outside_the_campaign_stands_apart_and_moves_neither_axis_nor_average(self) -> None:
        parts = [
            DayPart(date(2025, 4, 30), "人工调整", 70),
            DayPart(date(2025, 5, 1), "幸运数字", 3_000),
            DayPart(date(2025, 5, 1), "节节高", 100),
            DayPart(date(2025, 5, 31), "幸运数字", 3_100),
            DayPart(date(2025, 6, 2), "节节高", 20_000),
            DayPart(date(2025, 6, 2), "人工调整", -300),
            DayPart(date(2026, 5, 1), "人工调整", 500),
        ]
        found = award_days(parts, self.PERIOD, date(2025, 5, 1), date(2025, 5, 20))
        assert (found.days[0], found.days[-1], len(found.days)) == (date(2025, 5, 1), date(2025, 5, 31), 31)
        assert found.sums == {date(2025, 5, 1): 3_100, date(2025, 5, 31): 3_100}
        assert found.average == 200
        assert (found.before, found.after) == ({"人工调整": 70}, {"节节高": 20_000, "人工调整": 200})

    def test_days_that_are_chosen_are_the_axis(self) -> None:
        found = award_days([], self.PERIOD, date(2025, 5, 3), date(2025, 5, 4))
        assert (found.days, found.average) == ((date(2025, 5, 3), date(2025, 5, 4)), 0)

    def test_no_two_days_are_called_alike(self) -> None:
        first, last = date(2025, 5, 1), date(2026, 6, 1)
        names = axis_words(list(days_between(first, last)))
        assert len(set(names.values())) == len(names) == 397
        assert axis_words([first]) == {first: "05-01"}


class TestCourse:
    def test_every_day_up_to_the_last_pull_stands_there_also_the_empty_ones(self, book: Book) -> None:
        book.campaign(pulled="2025-05-04T12:00")
        book.contract("2025-05-01T23:59", yuan=1000)
        book.contract("2025-05-03T00:00", yuan=2000)
        book.contract("2025-05-03T09:00", yuan=4000, historical=True)
        found = book.course()
        assert [(one.day.day, one.contracts, one.amount) for one in found.days] == [
            (1, 1, 100_000),
            (2, 0, 0),
            (3, 1, 200_000),
            (4, 0, 0),
        ]
        assert running(found.days)[-1] == Day(date(2025, 5, 4), 2, 300_000)
        assert found.before == ()

    def test_the_month_before_is_shown_whole_and_compared_at_the_same_hour(self, book: Book) -> None:
        book.campaign(APRIL)
        book.campaign(pulled="2025-05-02T12:00")
        book.contract("2025-05-02T09:00")
        for signed in ("2025-04-02T11:59", "2025-04-02T12:00", "2025-04-30T23:00"):
            book.contract(signed, key=APRIL)
        found = book.course()
        assert (found.before_key, len(found.before)) == (APRIL, 30)
        assert sum(one.contracts for one in found.before) == 3
        assert found.before_so_far == (1, 100_000)

    def test_a_month_that_is_over_is_compared_with_the_whole_one_before(self, book: Book) -> None:
        book.campaign(APRIL)
        book.campaign(pulled="2025-06-01T00:00")
        book.contract("2025-05-02T09:00")
        book.contract("2025-04-30T23:59", key=APRIL)
        found = book.course()
        assert len(found.days) == 31
        assert found.before_so_far == (1, 100_000)

    def test_a_ledger_that_was_taken_over_and_never_pulled_is_whole(self, book: Book) -> None:
        book.campaign(pulled=None)
        book.contract("2025-05-20T09:00")
        assert len(book.course().days) == 31

    @pytest.mark.parametrize(
        ("pulled", "last", "whole"),
        [
            ("2025-05-15T00:10", 15, 14),
            ("2025-05-15T23:59", 15, 14),
            ("2025-05-16T00:00", 16, 15),
            ("2025-05-01T12:00", 1, 0),
            ("2025-05-31T23:59", 31, 30),
            ("2025-06-01T00:00", 31, 31),
            (None, 31, 31),
        ],
    )
    def test_a_day_is_whole_once_it_is_over(self, book: Book, pulled: str | None, last: int, whole: int) -> None:
        book.campaign(pulled=pulled)
        book.contract("2025-05-01T09:00")
        found = book.course()
        assert (len(found.days), len(found.whole_days)) == (last, whole)

    def test_a_track_leaves_out_the_other(self, book: Book) -> None:
        book.campaign()
        book.contract("2025-05-02T09:00", yuan=1000)
        book.contract("2025-05-02T10:00", yuan=2000, self_referral=True)
        assert book.course(track="platform").total == (1, 100_000)
        assert book.course(track="self_referral").total == (1, 200_000)

    def test_january_is_compared_with_december(self, book: Book) -> None:
        book.campaign("BJ-2024-12", pulled="2025-01-01T00:00")
        book.campaign("BJ-2025-01", pulled="2025-02-01T00:00")
        assert book.course("BJ-2025-01").before_key == "BJ-2024-12"


class TestDistribution:
    def test_steps_take_in_their_lower_end_and_not_their_upper_one(self) -> None:
        found = distribution_of([5_000, 4_999, 9_900, 0, -100])
        assert found.steps == (Step(0, 5_000, 1), Step(5_000, 10_000, 2))
        assert (found.paid, found.none, found.negative, found.median) == (3, 1, 1, 5_000)

    def test_the_best_paid_fifth_is_at_least_one(self) -> None:
        assert (distribution_of([100, 300]).top, distribution_of([100, 300]).top_amount) == (1, 300)
        assert distribution_of([100] * 10).top == 2

    def test_where_nobody_is_paid_there_are_no_steps(self) -> None:
        found = distribution_of([0, -100])
        assert (found.steps, found.paid, found.top, found.median) == ((), 0, 0, 0)

    @given(st.lists(st.integers(-10_000_000, 1_000_000_000), max_size=50))
    def test_everybody_is_counted_once_in_few_steps(self, payouts: list[int]) -> None:
        found = distribution_of(payouts)
        assert sum(step.number for step in found.steps) == found.paid
        assert found.paid + found.none + found.negative == len(payouts)
        assert len(found.steps) <= MOST_STEPS
        assert found.top_amount <= sum(one for one in payouts if one > 0)


@pytest.mark.parametrize(
    ("today", "closed", "stage"),
    [
        ("2025-05-31", False, "open"),
        ("2025-06-01", False, "settling"),
        ("2025-06-03", False, "settling"),
        ("2025-06-04", False, "settled"),
        ("2025-05-20", True, "closed"),
    ],
)
def test_a_campaign_goes_through_its_stages(today: str, closed: bool, stage: Stage) -> None:
    closed_at = parse_moment("2025-05-20T08:00") if closed else None
    period = Period(BEIJING, "北京", "2025-05", date(2025, 5, 1), date(2025, 5, 31), date(2025, 6, 3), None, closed_at)
    assert stage_of(period, date.fromisoformat(today)) == stage
