"""/healthz and /metrics over real HTTP on loopback: the truth of `status`, for machines."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import requests
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from modules import health
from modules.health_server import Answers, answering
from modules.heartbeat import Pulse, read_heartbeat
from modules.tables import tasks, troubles
from modules.vitals import living, signs_of_life
from modules.watch_round import watch_once
from tests.desk import BEIJING, NOON, Desk, contracts
from tests.tools import wait_until

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def url(desk: Desk) -> Iterator[str]:
    """The server of a daemon that has begun a moment ago."""
    pulse = Pulse(desk.app.settings)
    with living(desk.app.settings, pulse, desk.clock):
        pulse.beat(desk.clock(), "abc", worker_alive=True)
        with answering(0, Answers(lambda now: health.status(desk.app, now, []), desk.clock)) as port:
            yield f"http://127.0.0.1:{port}"


def metrics(url: str) -> dict[str, float]:
    """Name{labels} → value."""
    answer = requests.get(f"{url}/metrics", timeout=10)
    assert answer.status_code == 200
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_healthz_says_what_status_says(desk: Desk, url: str) -> None:
    answer = requests.get(f"{url}/healthz", timeout=10)
    assert answer.status_code == 200
    assert answer.json() == health.status(desk.app, desk.clock(), [])
    desk.clock.advance(seconds=91)
    answer = requests.get(f"{url}/healthz", timeout=10)
    assert answer.status_code == 503
    assert answer.json()["daemon"]["state"] == "silent"
    assert answer.json() == health.status(desk.app, desk.clock(), [])


@pytest.mark.parametrize(("path", "seconds"), [("healthz", 0), ("healthz", 91), ("metrics", 0), ("other", 0)])
def test_head_is_answered_like_get_without_a_body(desk: Desk, url: str, path: str, seconds: int) -> None:
    desk.clock.advance(seconds=seconds)

    def is_as_long() -> bool:
        """The figures of the process, as its processor time, may gain a digit between the two."""
        whole, head = (requests.request(method, f"{url}/{path}", timeout=10) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
        return head.headers["Content-Length"] == str(len(whole.content))

    wait_until(is_as_long)


def test_metrics_give_the_figures(desk: Desk, url: str) -> None:
    desk.show([*contracts(1, 2, 3), *contracts(4, amount="待定")])
    desk.run()
    watch_once(desk.app, desk.clock())
    desk.clock.advance(seconds=42)
    found = metrics(url)
    assert found["incentive_daemon_running"] == 1
    assert found["incentive_daemon_info{config_hash=abc,version=1.0.0}"] == 1
    assert found[f"incentive_job_last_success_age_seconds{{job={BEIJING}}}"] == 42
    assert found["incentive_queue_tasks{status=pending}"] == 4
    assert found["incentive_queue_tasks{status=failed}"] == 0
    assert found["incentive_oldest_pending_seconds"] == 42
    assert (found["incentive_rejected_rows"], found["incentive_open_troubles"]) == (1, 1)
    assert found["process_resident_memory_bytes"] > 1_000_000


def test_answers_are_fresh_after_a_few_seconds_and_not_made_for_each_who_asks(desk: Desk, url: str) -> None:
    assert metrics(url)["incentive_oldest_pending_seconds"] == 0
    with desk.app.database.writing() as connection:
        row = {"task_type": "t", "recipient": "r", "message": "m", "created_at": NOON, "updated_at": NOON}
        connection.execute(sa.insert(tasks).values(row))
    desk.clock.advance(seconds=4)
    assert metrics(url)["incentive_queue_tasks{status=pending}"] == 0
    desk.clock.advance(seconds=1)
    assert metrics(url)["incentive_queue_tasks{status=pending}"] == 1


def test_a_database_that_fails_is_told_and_not_a_crash(desk: Desk, url: str) -> None:
    troubles.drop(desk.app.database.engine)
    for path in ("healthz", "metrics"):
        answer = requests.get(f"{url}/{path}", timeout=10)
        assert answer.status_code == 503
        assert "数据库出错" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/healthz?x=1", "localhost:9100", 200),
        ("/", "127.0.0.1", 404),
        ("/../etc/passwd", "127.0.0.1", 404),
        ("/healthz", "evil.example.com", 403),
        ("/metrics", "evil.example.com:9100", 403),
    ],
)
def test_it_answers_two_paths_to_this_machine_alone(url: str, path: str, host: str, status: int) -> None:
    assert requests.get(url + path, headers={"Host": host}, timeout=10).status_code == status
    assert requests.post(url + path, timeout=10).status_code == 501


def test_it_does_not_listen_on_other_addresses(url: str) -> None:
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.2", int(url.rpartition(":")[2])))


def test_two_servers_in_one_process_share_nothing_and_leave_nothing(desk: Desk) -> None:
    before = threading.active_count()
    answers = [Answers(lambda now: health.status(desk.app, now, []), desk.clock) for _ in range(2)]
    with ExitStack() as servers:
        ports = [servers.enter_context(answering(0, one)) for one in answers]
        texts = [requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text for port in ports]
        assert [text.count("\nincentive_daemon_running ") for text in texts] == [1, 1]
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{ports[0]}/healthz", timeout=10)
    assert threading.active_count() == before


def test_a_port_that_is_taken_is_a_trouble_and_the_daemon_goes_on(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        healthy = desk.app.settings.health.model_copy(update={"port": port})
        app = replace(desk.app, settings=desk.app.settings.model_copy(update={"health": healthy}))
        with signs_of_life(app, Pulse(app.settings), lambda: True, dict) as vitals:
            vitals.beat(app, desk.clock())
            watch_once(app, desk.clock())
    heartbeat = read_heartbeat(app.settings.state_dir)
    assert heartbeat is not None
    assert f"端口 {port} 用不了" in heartbeat.health_fault
    assert [row["key"] for row in desk.table(troubles)] == ["health-server"]
    assert f"端口 {port}" in caplog.text
