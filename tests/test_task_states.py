"""Every arrow of the state picture, as data; and how long a task waits before it is tried again."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.clock import SHANGHAI
from modules.senders.outcome import Failed, Outcome, Retry, Sent, Unknown
from modules.task_states import (
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    UNCERTAIN,
    Task,
    Transition,
    after_lost_worker,
    after_sending,
    back_off,
)

NOW = datetime(2025, 5, 20, 12, 0, tzinfo=SHANGHAI)
BEFORE = NOW - timedelta(minutes=5)
TASK = Task(
    id=7,
    task_type="send_wecom_message",
    recipient="bj_group",
    message="喜报",
    status=RUNNING,
    created_at=BEFORE,
    updated_at=BEFORE,
    dedup_key="key",
    group_key="key",
    attempts=1,
    max_attempts=5,
    run_at=None,
    locked_by="worker/claim",
    locked_until=NOW + timedelta(minutes=2),
    sending_at=NOW,
    on_uncertain="hold",
    expires_at=None,
    last_error=None,
)
MINUTE = timedelta(seconds=60)


@pytest.mark.parametrize(
    ("outcome", "changes", "status", "error"),
    [
        pytest.param(Sent(), {}, COMPLETED, None, id="sent"),
        pytest.param(Sent(), {"attempts": 5, "last_error": "忙"}, COMPLETED, None, id="sent at the last try"),
        pytest.param(Retry("忙"), {}, PENDING, "忙", id="certain failure, tries left"),
        pytest.param(Retry("忙"), {"attempts": 4}, PENDING, "忙", id="one try left"),
        pytest.param(Retry("忙"), {"attempts": 5}, FAILED, "忙", id="no try left"),
        pytest.param(Retry("忙", max_attempts=3), {"attempts": 2}, PENDING, "忙", id="the other side allows one more"),
        pytest.param(Retry("忙", max_attempts=3), {"attempts": 3}, FAILED, "忙", id="the other side allows no more"),
        pytest.param(Retry("忙", max_attempts=9), {"attempts": 5}, FAILED, "忙", id="the task allows fewer"),
        pytest.param(Retry("忙"), {"on_uncertain": "retry", "attempts": 5}, FAILED, "忙", id="certain, rule retry"),
        pytest.param(Failed("密钥无效"), {}, FAILED, "密钥无效", id="permanent at the first try"),
        pytest.param(Failed("密钥无效"), {"on_uncertain": "retry"}, FAILED, "密钥无效", id="permanent, rule retry"),
        pytest.param(Unknown("超时"), {}, UNCERTAIN, "超时", id="unknown, hold"),
        pytest.param(Unknown("超时"), {"on_uncertain": "retry"}, PENDING, "超时", id="unknown, retry"),
        pytest.param(Unknown("超时"), {"on_uncertain": "retry", "attempts": 5}, UNCERTAIN, "超时", id="used up"),
    ],
)
def test_after_sending(outcome: Outcome, changes: dict[str, object], status: str, error: str | None) -> None:
    task = TASK._replace(**changes)
    transition = after_sending(task, outcome, NOW)
    assert transition.status == status
    assert (transition.run_at is not None) == (status == PENDING)
    assert transition.last_error is None if error is None else error in (transition.last_error or "")


def test_a_retry_comes_no_sooner_than_the_other_side_asked_for() -> None:
    assert after_sending(TASK, Retry("频繁", after=MINUTE), NOW) == Transition(PENDING, NOW + MINUTE, "频繁")


def test_a_retry_without_a_time_waits_for_the_back_off() -> None:
    task = TASK._replace(attempts=3)
    assert after_sending(task, Retry("忙"), NOW).run_at == NOW + back_off(7, 3)


def test_a_task_that_is_given_up_says_how_often_it_was_tried() -> None:
    assert after_sending(TASK._replace(attempts=5), Retry("忙"), NOW).last_error == "忙（已试 5 次，不再重试）"


def test_an_uncertain_task_tells_a_person_what_to_do() -> None:
    assert after_sending(TASK, Unknown("超时"), NOW).last_error == "超时；请人工核实后处理"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"sending_at": None}, PENDING, id="not left yet, hold"),
        pytest.param({"sending_at": None, "on_uncertain": "retry"}, PENDING, id="not left yet, retry"),
        pytest.param({"sending_at": None, "attempts": 5}, PENDING, id="not left yet, all other tries used up"),
        pytest.param({}, UNCERTAIN, id="perhaps left, hold"),
        pytest.param({"on_uncertain": "retry"}, PENDING, id="perhaps left, retry"),
        pytest.param({"on_uncertain": "retry", "attempts": 5}, UNCERTAIN, id="perhaps left, retry, used up"),
    ],
)
def test_after_a_lost_worker(changes: dict[str, object], status: str) -> None:
    transition = after_lost_worker(TASK._replace(**changes), NOW)
    assert transition.status == status
    assert "sending_at" in changes or "程序中断" in (transition.last_error or "")


def test_a_task_whose_message_had_not_left_is_as_before_the_claim() -> None:
    task = TASK._replace(sending_at=None, run_at=BEFORE, last_error="忙")
    assert after_lost_worker(task, NOW) == Transition(PENDING, BEFORE, "忙")


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 480), (7, 600), (8, 600), (1000, 600)]
)
@given(task_id=st.integers(min_value=1, max_value=2**31))
def test_back_off_doubles_up_to_ten_minutes_give_or_take_a_tenth(task_id: int, attempts: int, seconds: int) -> None:
    assert 0.9 * seconds <= back_off(task_id, attempts).total_seconds() <= 1.1 * seconds


def test_back_off_spreads_tasks_that_failed_together() -> None:
    waits = [back_off(task_id, 1).total_seconds() for task_id in range(1, 101)]
    assert len(set(waits)) > 50
    assert min(waits) < 14.5
    assert max(waits) > 15.5
