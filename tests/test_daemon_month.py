"""The turn of a month: the daemon with a clock that jumps from slot to slot, killed thirty times on the way.

The same days are lived twice, once undisturbed and once, on a machine with the zone of New York, with kills, hours in
which the machine is off, a clock that is set back, and a Metabase that is down over two slots. Ledger, violations,
tasks and reports must be the same in the end, every message delivered or visibly uncertain, and `status` must be right
whenever it is asked.
"""

from __future__ import annotations

import json
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from modules.clock import SHANGHAI, format_moment
from modules.heartbeat import EXIT_CODES
from modules.sandbox.http_stand_in import Answer, Request
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_alerts import TECHNICIAN_COLUMNS, TECHNICIANS, technician_changes
from modules.sandbox.sample_contracts import COLUMNS, SampleMonth
from modules.sandbox.sample_violations import SLA_CARD, VIOLATION_COLUMNS, sample_violations
from modules.schedule_settings import FixedJobs
from tests.clocked_program import set_clock
from tests.program import Running, World, await_that, open_world, robot_key

pytestmark = pytest.mark.slow

SLA, SETTLE, HOUSEKEEPING, TECHNICIAN = (
    "generate_daily_service_report", "settle_report", "housekeeping", "check_technician_status",
)  # fmt: skip
INTERVAL = timedelta(hours=6)  # on the grid from 1970: 02:00, 08:00, 14:00, 20:00
CAMPAIGNS = {  # the shipped ones: card, sample month, and the days on which they are pulled
    "BJ-2025-04": (1616, SampleMonth("BJ", 2025, 4, seed=5, contracts=50), date(2025, 4, 1), date(2025, 5, 3)),
    "SH-2025-04": (1617, SampleMonth("SH", 2025, 4, seed=5, contracts=50), date(2025, 4, 1), date(2025, 5, 3)),
    "BJ-2025-05": (1693, SampleMonth("BJ", 2025, 5, seed=5, contracts=150), date(2025, 5, 1), date(2025, 6, 3)),
    "SH-2025-05": (1694, SampleMonth("SH", 2025, 5, seed=5, contracts=150), date(2025, 5, 1), date(2025, 6, 3)),
}
DAILY = {
    SLA: (time(11), timedelta(hours=12)),
    SETTLE: (time(18), timedelta(hours=12)),
    HOUSEKEEPING: (time(3, 30), timedelta(minutes=1439)),
}
"""When the settings say that a daily job runs, and how long it is caught up."""
DAYS = [date(2025, 4, 30) + timedelta(days=number) for number in range(6)]
TIMES = (time(2), time(3, 30), time(8), time(11), time(14), time(18), time(20))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of May 2025; days before the first are April's."""
    return datetime(2025, 5, 1, hour, minute, tzinfo=SHANGHAI) + timedelta(days=day - 1)


START = at(-1, 11)
"""A day before: the week from 28 April is known whole, and the technicians' first pull is done."""
SLOTS = [START, *(datetime.combine(day, moment, SHANGHAI) for day in DAYS for moment in TIMES)]


SEED = 6  # of the violations: one of the providers that are written to has none in the whole week
CONTACTS = {robot_key("bj_contact"), robot_key("sh_contact")}
KILLS = ("pull", "message", "anything") * 9
NOTICE_KILLS = ("notice",) * 3
ON_ITS_WAY = 0.005
"""Seconds that each request and each answer of the stand-ins takes, so that many a kill finds one there."""


def active(moment: datetime) -> list[str]:
    """The campaigns whose days these are."""
    return [key for key, (_, _, first, last) in CAMPAIGNS.items() if first <= moment.date() <= last]


def due(moment: datetime) -> dict[str, datetime]:
    """Job → the slot of it that must have been run, once the daemon has seen this moment."""
    slots = {TECHNICIAN: moment - (moment - at(1, 0)) % timedelta(minutes=10)}
    for key in active(moment):
        slots[key] = moment - (moment - at(1, 2)) % INTERVAL
    for job, (of_day, grace) in DAILY.items():
        slot = datetime.combine(moment.date(), of_day, SHANGHAI)
        slot -= timedelta(days=slot > moment)
        if moment - slot <= grace:
            slots[job] = slot
    return slots


class DistantRobot(RobotStandIn):
    """Takes any number of messages, after a while; `reached` tells that one has come.

    Notices to the contacts, whom they make pay, wait until `gate` is open; `holds` tells that one does.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__(list(keys), rate_limit=False)
        self.reached, self.holds, self.gate = threading.Event(), threading.Event(), threading.Event()
        self.gate.set()

    def answer(self, request: Request) -> Answer | None:
        self.reached.set()
        self.hold(ON_ITS_WAY)
        if request.query.get("key") in CONTACTS and not self.gate.is_set():
            self.holds.set()
            self.gate.wait(60)
        answer = super().answer(request)
        self.hold(ON_ITS_WAY)
        return answer


class Life:
    """The daemon in a world that is at a certain moment, by a clock that need not be right."""

    def __init__(self, world: World, robot: DistantRobot) -> None:
        self.world, self.robot = world, robot
        self.moment = START
        self.excused: set[tuple[str, str | None]] = set()
        self.asked = threading.Event()
        self.clock_file = world.folder / "clock"
        self.daemon: Running | None = None
        self.set_clock(START)
        world.environ["RUN_JOBS_SERIALLY_SCHEDULE"] = str(INTERVAL // timedelta(minutes=1))
        world.settings(time_budget=6, jobs={name: {"enabled": True} for name in FixedJobs.model_fields})
        for card, month, _, _ in CAMPAIGNS.values():
            self._show(card, COLUMNS, lambda month=month: month.pull(self.moment))
        self._show(TECHNICIANS, TECHNICIAN_COLUMNS, lambda: technician_changes(self.moment))
        self._show(SLA_CARD, VIOLATION_COLUMNS, lambda: sample_violations(self.moment.date() - timedelta(days=1), SEED))

    def _show(self, card: int, columns: Sequence[str], rows: Callable[[], list[list[object]]]) -> None:
        def answer() -> list[list[object]]:
            self.asked.set()
            self.robot.hold(ON_ITS_WAY)
            return rows()

        self.world.metabase.set_card(card, columns, answer)

    def start(self) -> None:
        self.forget_signs()
        self.daemon = self.world.start(prelude=self._call("daemon"))

    def status(self) -> Any:
        """What `status --json` says just now."""
        ended = self.world.run(prelude=self._call("status"))
        assert ended.code in EXIT_CODES.values(), ended
        assert ended.json["exit_code"] == ended.code
        return ended.json

    def _call(self, name: str) -> str:
        call = f"clocked_program.{name}({str(self.clock_file)!r})"
        return f"from tests import clocked_program\n{call}\nraise SystemExit"

    def set_clock(self, moment: datetime) -> None:
        """What the daemon takes the time to be."""
        set_clock(self.clock_file, moment)

    def go(self, moment: datetime) -> None:
        """It becomes this moment."""
        self.forget_signs()
        self.moment = moment
        self.set_clock(moment)

    def kill(self) -> None:
        """Not even an end that nobody expects may have another code."""
        assert self.daemon is not None
        self.daemon.send(signal.SIGKILL)
        assert self.daemon.ended().code == -signal.SIGKILL

    def stop(self) -> None:
        assert self.daemon is not None
        self.daemon.send(signal.SIGTERM)
        ended = self.daemon.ended()
        assert (ended.code, "Traceback" in ended.err) == (0, False), ended

    def runs(self, job: str = "%") -> list[dict[str, Any]]:
        """The slots that count, of a job or of all."""
        return self.world.query("SELECT * FROM job_runs WHERE scheduled AND job LIKE ? ORDER BY job, slot", job)

    def outcomes(self, moment: datetime) -> dict[str, str | None]:
        """Job → how its slot ended that is due at a moment; None where it has not."""
        ended = {(run["job"], datetime.fromisoformat(run["slot"])): run["outcome"] for run in self.runs()}
        return {job: ended.get((job, slot)) for job, slot in due(moment).items()}

    def forget_signs(self) -> None:
        """From now on `asked` and `robot.reached` tell of something new."""
        self.asked.clear()
        self.robot.reached.clear()
        self.robot.holds.clear()

    def what_was_struck(self) -> Counter[str]:
        """What a kill found in the middle: runs of slots, messages on their way."""
        runs = sum(run["outcome"] is None for run in self.runs())
        return Counter(run=runs, message=sum(task["sending_at"] is not None for task in self.world.tasks("running")))

    def settle(self, moment: datetime | None = None) -> None:
        """Wait until what is due has been run and what is queued has been sent."""

        def is_done() -> bool:
            assert self.daemon is not None
            assert not self.daemon.has_ended(), self.daemon.ended()
            outcomes = self.outcomes(moment or self.moment)
            if any(outcome != "ok" and (job, outcome) not in self.excused for job, outcome in outcomes.items()):
                return False
            waiting = self.world.tasks("pending", "running")
            if any(task["run_at"] for task in waiting):
                self.world.let_back_off_pass()
            return not waiting

        await_that(is_done)


@contextmanager
def life(folder: Path) -> Iterator[Life]:
    with open_world(folder, DistantRobot) as world:
        assert isinstance(world.robot, DistantRobot)
        yield Life(world, world.robot)


# -- what must be the same -------------------------------------------------------------------------------------------


def remains(world: World) -> dict[str, object]:
    """Ledger, violations, what was told, and the reports: all but the moments at which the program did it, and what
    operations were told of troubles."""
    passing = {"登记时间", "是否发送通知"}
    ledger = world.ledger()
    ledger["tasks"] = [task for task in ledger["tasks"] if not task["dedup_key"].startswith("trouble:")]
    files = {key: [{name: cell for name, cell in row.items() if name not in passing} for row in world.performance(key)]
             for key in CAMPAIGNS}  # fmt: skip
    state = json.loads((world.data_dir / "state" / "sla_violations.json").read_text(encoding="utf-8"))
    for day in state["days"].values():
        del day["pulled_at"]
    return ledger | {
        "files": files,
        "pulls": {name: text for name, text in world.files().items() if name.startswith("ContractData-")},
        "sent": {name: sorted(json.loads(text)) for name, text in world.files().items() if name.endswith(".json")},
        "violations": world.query("SELECT identity, day, provider, description FROM sla_violations ORDER BY identity"),
        "state": state,
        "days": world.query("SELECT day, state, rows FROM sla_days ORDER BY day"),
        "weeks": world.query("SELECT monday, days_with_data FROM sla_weeks ORDER BY monday"),
        "announced": world.query("SELECT alert, row_key FROM announced ORDER BY alert, row_key"),
    }


def check_messages(life: Life, kills: int) -> None:
    """Every message is delivered or visibly uncertain, and nothing that costs money is said twice."""
    sent = Counter(message.content for message in life.robot.messages)
    tasks = life.world.tasks()
    assert set(sent) <= {task["message"] for task in tasks}
    for task in tasks:
        if task["status"] == "uncertain":
            assert (task["on_uncertain"], "请人工核实" in task["last_error"]) == ("hold", True)
        else:
            assert (task["status"], sent[task["message"]] >= 1) == ("completed", True), task
    texts = Counter(task["message"] for task in tasks)  # operations may be told the same as a group
    for task in tasks:
        if task["on_uncertain"] == "hold":
            assert sent[task["message"]] <= texts[task["message"]]
    assert sum(task["status"] == "uncertain" for task in tasks) <= kills
    assert sent.total() <= len(tasks) + kills


def check_slots(life: Life) -> None:
    """Each daily slot once; what was run by a clock that was wrong counts no more."""
    for job, (of_day, _) in DAILY.items():
        first = datetime.combine(START.date(), of_day, SHANGHAI)
        days = range((DAYS[-1] - first.date()).days + 1)
        expected = [(first + timedelta(days=number)).isoformat(timespec="microseconds") for number in days]
        assert [(run["slot"], run["outcome"]) for run in life.runs(job)] == [(slot, "ok") for slot in expected]


def check_status(life: Life, *, runs: bool, was_stopped: bool = False) -> dict[str, Any]:
    """`status` says whether the daemon runs, and of jobs and queue what the database has; returns its jobs by name."""
    said = life.status()
    assert (said["daemon_running"], said["daemon"]["state"]) == (runs, "running" if runs else "dead")
    assert said["daemon"]["asked_to_end"] is was_stopped
    queue = Counter(task["status"] for task in life.world.tasks())
    assert {name: count for name, count in said["queue"].items() if count} == queue
    jobs = {job["job"]: job for job in said["jobs"]}
    for run in life.world.query("SELECT * FROM job_runs WHERE id IN (SELECT max(id) FROM job_runs GROUP BY job)"):
        assert jobs[run["job"]]["last_outcome"] == (run["outcome"] or "unfinished")
        assert jobs[run["job"]]["last_error"] == run["error"]
    return jobs


def check_settled_status(life: Life) -> None:
    """Everything that is due has been run, and what comes next is named."""
    jobs, done = check_status(life, runs=True), due(life.moment)
    assert {job for job, state in jobs.items() if state["active"]} == {*active(life.moment), TECHNICIAN, *DAILY}
    for run in life.runs():
        if done.get(run["job"]) == datetime.fromisoformat(run["slot"]):
            assert jobs[run["job"]]["last_success"] == format_moment(datetime.fromisoformat(run["ended_at"]))
    for job, slot in done.items():
        step = timedelta(days=1) if job in DAILY else timedelta(minutes=10) if job == TECHNICIAN else INTERVAL
        assert jobs[job]["next_run"] == format_moment(slot + step)


def check_uncertain_are_seen(life: Life) -> None:
    """Operations have been told that there are some, and how many; `status` says so as well."""
    life.go(life.moment + timedelta(minutes=1))
    words = f"有 {len(life.world.tasks('uncertain'))} 条消息不知是否送达"
    open_ones = "SELECT told_at FROM troubles WHERE key = 'tasks:uncertain' AND ended_at IS NULL AND what LIKE ?"
    await_that(lambda: any(row["told_at"] for row in life.world.query(open_ones, f"{words}%")))
    assert any(trouble["what"].startswith(words) for trouble in life.status()["troubles"])


# -- the two lives ---------------------------------------------------------------------------------------------------

OFF = {at(2, 11): at(2, 13), at(3, 2): at(3, 8), at(3, 3, 30): at(3, 8)}
"""Slots over which the machine is off, and when it is on again: within the grace of the daily ones."""
SET_BACK = {at(1, 14): at(1, 5), at(4, 8): at(3, 19)}
"""When the clock is set back, and to what."""
OUTAGE = (at(4, 11), at(4, 14))
"""Metabase is down at these slots."""


def undisturbed(folder: Path) -> dict[str, object]:
    with life(folder) as twin:
        twin.status()  # there is a database
        twin.start()
        for moment in SLOTS:
            twin.go(moment)
            twin.settle()
        twin.stop()
        check_messages(twin, kills=0)
        check_slots(twin)
        assert {task["status"] for task in twin.world.tasks()} == {"completed"}
        return remains(twin.world)


def be_off(killed: Life, until: datetime) -> None:
    """A crash, and some slots later somebody starts it again; what could be missed is caught up."""
    if killed.moment >= until:
        return
    killed.kill()
    killed.go(until)
    check_status(killed, runs=False)
    killed.start()
    killed.settle()


def set_back(killed: Life, to: datetime) -> None:
    """The box takes it for earlier for a while, over a crash too. The daemon goes on, and nothing is doubled by it."""
    for _ in range(2):
        killed.set_clock(to)
        killed.settle(to)
        killed.kill()
        killed.start()
        killed.settle(to)
        killed.set_clock(killed.moment)
        killed.settle()


def live_through_an_outage(killed: Life, moment: datetime) -> None:
    """Metabase is down at these slots. What it was not asked by day is asked again; a campaign has its next slot."""
    killed.world.metabase.stop()
    killed.go(moment)
    failing = {SLA, TECHNICIAN, *(active(moment) if moment.time() == time(14) else [])}
    await_that(lambda: all(killed.outcomes(moment)[job] == "failed" for job in failing))
    jobs = check_status(killed, runs=True)
    assert jobs[SLA]["next_run"] == format_moment(moment + timedelta(minutes=10))
    assert "Metabase" in jobs[SLA]["last_error"]
    killed.world.metabase.start()
    if moment == OUTAGE[-1]:
        killed.go(moment + timedelta(minutes=12))
        killed.excused = {(campaign, "failed") for campaign in active(moment)}  # until their next slot
        killed.settle()


def kills_by_moment(rng: random.Random) -> dict[datetime, list[str]]:
    """Which moments have kills, and in the middle of what. The first one has notices for sure, being the first pull."""
    slots = [slot for slot in SLOTS if slot not in (*OFF, *OUTAGE)]
    found: dict[datetime, list[str]] = {}
    for kind in (*NOTICE_KILLS, *rng.sample(KILLS, len(KILLS))):
        found.setdefault(START if kind == "notice" else rng.choice(slots), []).append(kind)
    return found


def kill_in_the_middle(killed: Life, kind: str, rng: random.Random) -> None:
    """Soon after a pull has begun or a message is on its way; where none comes, or of anything, at some moment."""
    within = 0.0
    match kind:
        case "pull":
            killed.asked.wait(1.5)
            within = 0.15
        case "message":
            killed.robot.reached.wait(1.5)
            within = 3 * ON_ITS_WAY
        case "notice":
            killed.robot.gate.clear()
            assert killed.robot.holds.wait(30)
        case _:
            within = 1.5
    assert killed.daemon is not None
    killed.daemon.has_ended(within=rng.uniform(0, within))
    killed.kill()
    killed.robot.gate.set()


def disturbed(folder: Path, rng: random.Random) -> tuple[Counter[str], dict[str, object]]:
    """The same with all that goes wrong; returns what the kills struck, and what remains."""
    kills, struck = kills_by_moment(rng), Counter[str]()
    with life(folder) as killed:
        killed.world.environ["TZ"] = "America/New_York"
        assert all(job["last_success"] is None for job in check_status(killed, runs=False).values())
        killed.start()
        for moment in SLOTS:
            if moment in OUTAGE:
                live_through_an_outage(killed, moment)
                continue
            if moment in OFF:
                be_off(killed, until=OFF[moment])
                continue
            killed.go(moment)
            for kind in kills.get(moment, []):
                kill_in_the_middle(killed, kind, rng)
                struck += killed.what_was_struck()
                check_status(killed, runs=False)
                killed.world.let_back_off_pass()
                killed.start()
            killed.settle()
            killed.excused = set()
            if moment in SET_BACK:
                set_back(killed, SET_BACK[moment])
            if moment.time() == time(11):
                check_settled_status(killed)
        check_messages(killed, len(KILLS) + len(NOTICE_KILLS))
        check_uncertain_are_seen(killed)
        killed.stop()
        check_status(killed, runs=False, was_stopped=True)
        check_slots(killed)
        return struck, remains(killed.world)


def test_killed_thirty_times_the_turn_of_the_month_ends_as_if_undisturbed(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as beside:  # both wait most of the time
        twin = beside.submit(undisturbed, tmp_path / "twin")
        struck, found = disturbed(tmp_path / "killed", random.Random(20250501))
        expected = twin.result()
    assert struck["message"] >= 3
    assert struck["run"] >= 3
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == value, name
