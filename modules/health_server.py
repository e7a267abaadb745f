"""`GET /healthz` and `GET /metrics`, for whoever watches over machines: on this machine's loopback alone.

Answers come from fresh reads, kept for a few seconds, so that nobody who asks often costs anything. A request that
names another host is refused: a page in somebody's browser could otherwise read along.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from modules.clock import Clock
from modules.database import in_words

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
HOSTS = frozenset({ADDRESS, "localhost"})
CACHED_FOR = timedelta(seconds=5)
REQUEST_SECONDS = 5.0

Truth = Mapping[str, Any]
"""What `health.status` says."""


class Answers:
    """The truth at most a few seconds old, as the two answers give it. Raises what reading the database raises."""

    def __init__(self, read: Callable[[datetime], Truth], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[datetime, Truth] | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Metrics(self.truth))
        ProcessCollector(registry=self._registry)

    def truth(self) -> Truth:
        now = self._clock()
        with self._lock:
            if self._kept is None or abs(now - self._kept[0]) >= CACHED_FOR:
                self._kept = now, self._read(now)
            return self._kept[1]

    def health(self) -> tuple[int, bytes]:
        """200 where `main.py status` would end with 0, else 503; and the whole status as JSON."""
        truth = self.truth()
        return 200 if truth["exit_code"] == 0 else 503, _json(truth)

    def metrics(self) -> bytes:
        return generate_latest(self._registry)


class _Metrics(Collector):
    """The truth as families of metrics, made anew for every scrape."""

    def __init__(self, truth: Callable[[], Truth]) -> None:
        self._truth = truth

    def collect(self) -> Iterable[Metric]:
        truth = self._truth()
        yield InfoMetricFamily(
            "incentive_daemon",
            "The program and the configuration that it works by.",
            {"version": truth["version"], "config_hash": truth["config_hash"]},
        )
        running = truth["daemon"]["state"] == "running"
        yield GaugeMetricFamily("incentive_daemon_running", "1 where the daemon runs and reacts.", value=running)
        since_success = GaugeMetricFamily(
            "incentive_job_last_success_age_seconds", "Since a job has last succeeded.", labels=["job"]
        )
        for job, seconds in truth["data_age_seconds"].items():
            since_success.add_metric([job], seconds)
        yield since_success
        queue = GaugeMetricFamily("incentive_queue_tasks", "Messages in the queue by status.", labels=["status"])
        for status, number in truth["queue"].items():
            queue.add_metric([status], number)
        yield queue
        yield GaugeMetricFamily(
            "incentive_oldest_pending_seconds",
            "Age of the oldest message that waits; 0 where none does.",
            value=truth["oldest_pending_seconds"] or 0,
        )
        yield GaugeMetricFamily(
            "incentive_rejected_rows", "Source rows that can not be used.", value=len(truth["rejected_rows"])
        )
        yield GaugeMetricFamily("incentive_open_troubles", "Troubles that are open.", value=len(truth["troubles"]))


class _Handler(BaseHTTPRequestHandler):
    """One request. `answers` is set by the server's own subclass."""

    answers: ClassVar[Answers]
    timeout = REQUEST_SECONDS
    server_version = "health"
    sys_version = ""

    def do_GET(self) -> None:
        if self.headers.get("Host", ADDRESS).partition(":")[0] not in HOSTS:
            self._answer(403, _json({"error": "只回答本机的请求"}))
            return
        path = self.path.partition("?")[0]
        try:
            match path:
                case "/healthz":
                    self._answer(*self.answers.health())
                case "/metrics":
                    self._answer(200, self.answers.metrics(), CONTENT_TYPE_LATEST)
                case _:
                    self._answer(404, _json({"error": "只有 /healthz 和 /metrics"}))
        except sa.exc.DBAPIError as error:
            self._answer(503, _json({"error": in_words(error)}))
        except OSError as error:
            log.debug("健康检查的请求没有答完：%s", error)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, body: bytes, kind: str = "application/json; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("健康检查：%s", format % args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = sys.platform != "win32"  # there it lets two programs have one port


@contextmanager
def answering(port: int, answers: Answers) -> Iterator[int]:
    """Answer in a thread of its own within the block; gives the port (0 asks for a free one). Raises OSError where the
    port is taken."""
    server = _Server((ADDRESS, port), type("Handler", (_Handler,), {"answers": answers}))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="health-server", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()
