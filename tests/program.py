"""The real program, run as a user runs it, in a world of its own: data folder, settings, Metabase and robot.

`with open_world(folder) as world: world.run("status", "--json")` runs main.py in a process of its own. Most of the
1.3 s that a Python process takes to begin goes into imports, so `run` and `start` fork a process that has them done
(`_serve` below) and that then executes main.py from its first line; `run_cold` is `python main.py` as it stands.
"""

from __future__ import annotations

import atexit
import contextlib
import csv
import functools
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modules.pandas_weight import leave_out_pyarrow
from modules.sandbox.metabase import MetabaseStandIn
from modules.sandbox.robot import RobotStandIn
from modules.sandbox.sample_contracts import COLUMNS
from modules.schedule_settings import FixedJobs
from modules.settings import ENVIRONMENT_VARIABLES, ROOT

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a test gives up waiting: far above what anything takes, as the machine may be busy."""
RECIPIENTS = ("bj_group", "sh_group", "ops", "bj_contact", "sh_contact")
PASSWORD = "Geheimes#Passwort/77"  # with signs that look different in addresses
USERNAME = "pull@example.com"
BEIJING_MAY, SHANGHAI_MAY = 1693, 1694
MAY_20 = ("--at", "2025-05-20T12:00")

SETTINGS = """
metabase: {{connect_timeout: 5, read_timeout: 30, time_budget: {time_budget}}}
wecom: {{messages_per_minute: 0, connect_timeout: 5, read_timeout: {robot_timeout}}}
queue: {{lease_seconds: {lease_seconds}}}
schedule: {{look_seconds: 0.5, jobs: {jobs}}}
recipients:
"""

ALL_OFF: Mapping[str, Mapping[str, object]] = {name: {"enabled": False} for name in FixedJobs.model_fields}
"""The fixed jobs, switched off: what they do depends on the time of day."""


def robot_key(recipient: str) -> str:
    """The key of a recipient's robot: a secret that is easily recognised."""
    return f"Geheim-{recipient}-0f3a"


def await_that(condition: Callable[[], T], patience: float = PATIENCE) -> T:
    """The condition's value once it is true; AssertionError where it never becomes so."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


def contract(number: int, **changes: object) -> list[object]:
    """A row of a card, in the order of COLUMNS: contract `number`, of May 2025, 9,000 yuan, a project of its own."""
    row: dict[str, object] = dict.fromkeys(COLUMNS, "")
    row |= {
        "_id": 1_920_000_000_000_000_000 + number,
        "province": "110000",
        "serviceAppointmentNum": f"GD-{number:05d}",
        "Status": "已签约",
        "serviceHousekeeper": f"管家{number % 5}",
        "contractdocNum": f"YHWX-{number:05d}",
        "adjustRefundMoney": "9,000.00",
        "paidAmount": 4500,
        "orgName": "北京燕归来装饰",
        "signedDate": f"2025-05-{number % 19 + 1:02d}T10:00:00.000+08:00",
        "conversion": "0.667",
        "sourceType": 2,
        "projectAddress": "朝阳区望枫路1号",
    }
    unknown = set(changes) - set(row)
    assert not unknown, f"no such column: {unknown}"
    return list((row | changes).values())


def contracts(first: int, last: int) -> list[list[object]]:
    """Contracts number `first` to `last`."""
    return [contract(number) for number in range(first, last + 1)]


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as Excel would show them."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of stdout, which is JSON."""
        return json.loads(self.out.splitlines()[-1])


class Running:
    """A process of the program."""

    def __init__(self, pid: int, connection: socket.socket, folder: Path) -> None:
        self.pid = pid
        self._connection = connection
        self._folder = folder
        self._code: int | None = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens where the process has ended."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @staticmethod
    def interrupt(pid: int) -> None:
        """Press Ctrl-C in some process."""
        os.kill(pid, signal.SIGINT)

    def has_ended(self, within: float = 0.0) -> bool:
        """Whether the process ends within so many seconds."""
        if self._code is None and select.select([self._connection], [], [], within)[0]:
            answer = self._connection.recv(64)
            self._connection.close()
            assert answer, "the process that watches over the program is gone"
            self._code = int(answer)
        return self._code is not None

    def ended(self, within: float = PATIENCE) -> Ended:
        """Wait for the end. A process that does not come to one is killed, and the test fails."""
        if not self.has_ended(within):
            self.send(signal.SIGKILL)
            self.has_ended(PATIENCE)
            raise AssertionError(f"the program still ran after {within} s; its last words: {self._said()}")
        assert self._code is not None
        out, err = self._said()
        return Ended(self._code, out, err)

    def _said(self) -> tuple[str, str]:
        return (self._folder / "out").read_text(encoding="utf-8"), (self._folder / "err").read_text(encoding="utf-8")


class World:
    """A data folder, the settings and environment of an installation, and both stand-ins. `folder` holds it all."""

    def __init__(self, folder: Path, metabase: MetabaseStandIn, robot: RobotStandIn) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.metabase = metabase
        self.robot = robot
        self.environ = {
            **dict.fromkeys(ENVIRONMENT_VARIABLES, ""),
            **{f"WECOM_KEY_{name.upper()}": robot_key(name) for name in RECIPIENTS},
            "METABASE_URL": metabase.url,
            "METABASE_USERNAME": metabase.username,
            "METABASE_PASSWORD": metabase.password,
            "WECOM_BASE_URL": robot.url,
            "DATA_DIR": str(self.data_dir),
            "TASK_CHECK_INTERVAL": "0.2",
        }
        self._running: list[Running] = []
        self._started = 0
        self.settings()

    def settings(
        self,
        *,
        time_budget: float = 60,
        robot_timeout: float = 20,
        lease_seconds: float = 120,
        jobs: Mapping[str, Mapping[str, object]] = ALL_OFF,
    ) -> None:
        """Write the settings file anew. Times in seconds; `jobs` are the fixed ones that are not to be switched off."""
        text = SETTINGS.format(
            time_budget=time_budget,
            robot_timeout=robot_timeout,
            lease_seconds=lease_seconds,
            jobs=json.dumps({**ALL_OFF, **jobs}),
        )
        lines = [
            f'  {to}: {{name: {to}, sender: wecom_robot, key: "${{WECOM_KEY_{to.upper()}}}"}}' for to in RECIPIENTS
        ]
        self.write("settings.yaml", text + "\n".join(lines))
        self.environ["SETTINGS_FILE"] = str(self.folder / "settings.yaml")

    def campaigns(self, source: str) -> None:
        """Use this Python source as the campaigns file; `SHIPPED` names the shipped REWARD_CONFIGS in it."""
        self.write("campaigns.py", f"from modules.config import REWARD_CONFIGS as SHIPPED\n{source}\n")
        self.environ["CAMPAIGNS_FILE"] = str(self.folder / "campaigns.py")

    def write(self, name: str, text: str) -> None:
        """Write a file of this installation."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def show(self, rows: Sequence[Sequence[object]], card: int = BEIJING_MAY, columns: Sequence[str] = COLUMNS) -> None:
        """Let a card show these rows."""
        self.metabase.set_card(card, columns, rows)

    def start(self, *arguments: str, prelude: str = "", **environ: str) -> Running:
        """Start `main.py ARGUMENTS`. `prelude` is Python code that the process executes before main.py."""
        self._started += 1
        folder = self.folder / f"process-{self._started}"
        folder.mkdir()
        (folder / "out").touch()
        (folder / "err").touch()
        order = {"arguments": arguments, "environ": self._whole(environ), "prelude": prelude, "folder": str(folder)}
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(_nursery())
        connection.sendall(json.dumps(order).encode() + b"\n")
        running = Running(int(connection.recv(64)), connection, folder)
        self._running.append(running)
        return running

    def run(self, *arguments: str, prelude: str = "", **environ: str) -> Ended:
        """Run `main.py ARGUMENTS` to its end."""
        return self.start(*arguments, prelude=prelude, **environ).ended()

    def run_cold(self, *arguments: str, root: Path = ROOT, **environ: str) -> Ended:
        """Run `python main.py ARGUMENTS` in `root`, imports and all."""
        command = [sys.executable, "main.py", *arguments]
        done = subprocess.run(
            command, cwd=root, env=self._whole(environ), capture_output=True, timeout=2 * PATIENCE, check=False
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def run_may(self, **environ: str) -> Ended:
        """Pull BJ-2025-05 as of 20 May."""
        return self.run("run", "BJ-2025-05", *MAY_20, "--json", **environ)

    def _whole(self, environ: Mapping[str, str]) -> dict[str, str]:
        inherited = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SYSTEMROOT", "TMPDIR") if name in os.environ
        }
        return {**inherited, "PYTHONPATH": "", **self.environ, **environ}

    @property
    def database(self) -> Path:
        return self.data_dir / "tasks.db"

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Rows of the database, each by column."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=PATIENCE)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement, values)]

    def tasks(self, *statuses: str) -> list[dict[str, Any]]:
        """The tasks of these statuses (none: of all), oldest first; none where there is no table yet."""
        if not self.database.exists():
            return []
        try:
            rows = self.query("SELECT * FROM tasks ORDER BY id")
        except sqlite3.OperationalError:
            return []
        return [row for row in rows if not statuses or row["status"] in statuses]

    def let_back_off_pass(self) -> None:
        """Make every waiting retry due, as nobody wants to wait for its time here."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=PATIENCE)) as connection, connection:
            connection.execute("UPDATE tasks SET run_at = NULL WHERE status = 'pending'")
            connection.execute("DELETE FROM robot_pauses")

    def numbers(self, campaign: str = "BJ-2025-05") -> list[int]:
        """The numbers in a campaign's ledger, in the order of registration."""
        rows = self.query("SELECT sequence FROM performance WHERE campaign = ? ORDER BY id", campaign)
        return [row["sequence"] for row in rows]

    def ledger(self) -> dict[str, list[dict[str, Any]]]:
        """What must be the same however a campaign was run: rows, awards, tasks, rejected rows without their times."""
        own = {"id", "registered_at", "notified_at", "granted_at", "first_seen_at", "resolved_at"}
        tables = {
            "performance": "SELECT * FROM performance ORDER BY campaign, sequence",
            "awards": "SELECT * FROM awards ORDER BY campaign, contract_id, position",
            "tasks": "SELECT dedup_key, recipient, message FROM tasks ORDER BY dedup_key",
            "rejected": "SELECT * FROM rejected_rows ORDER BY fingerprint",
        }
        return {
            name: [{column: value for column, value in row.items() if column not in own} for row in self.query(text)]
            for name, text in tables.items()
        }

    def performance(self, campaign: str = "BJ-2025-05") -> list[dict[str, str]]:
        """The rows of a campaign's performance file."""
        return csv_rows(self.data_dir / f"PerformanceData-{campaign}.csv")

    def files(self) -> dict[str, bytes]:
        """The CSV and JSON files by name."""
        return {path.name: path.read_bytes() for path in self.data_dir.iterdir() if path.suffix in (".csv", ".json")}

    def log(self, name: str = "app.log") -> str:
        """A log file's text; empty where there is none."""
        path = self.data_dir / "logs" / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def end_all(self) -> None:
        """Kill what still runs."""
        for running in self._running:
            if not running.has_ended():
                running.send(signal.SIGKILL)
                running.has_ended(PATIENCE)


@contextlib.contextmanager
def open_world(
    folder: Path, robot_of: Callable[[Iterable[str]], RobotStandIn] = lambda keys: RobotStandIn(list(keys))
) -> Iterator[World]:
    """A world below `folder`; everything in it has ended when the block does."""
    folder.mkdir(parents=True, exist_ok=True)
    robot = robot_of([robot_key(name) for name in RECIPIENTS])
    with MetabaseStandIn(username=USERNAME, password=PASSWORD) as metabase, robot:
        world = World(folder, metabase, robot)
        try:
            yield world
        finally:
            world.end_all()


def unlimited_robot(keys: Iterable[str]) -> RobotStandIn:
    """A robot that takes any number of messages a minute."""
    return RobotStandIn(list(keys), rate_limit=False)


# -- the process that has the imports done ---------------------------------------------------------------------------


@functools.cache
def _nursery() -> str:
    """Start it; returns the address of its socket. It ends with this process, whose end of its stdin then closes."""
    folder = tempfile.mkdtemp(prefix="nursery-", dir="/tmp")  # it outlives the fixtures
    address = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.program", address],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    atexit.register(_close_nursery, process, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the process that has the imports done did not start"
    return address


def _close_nursery(process: subprocess.Popen[bytes], folder: str) -> None:
    process.communicate()
    Path(folder, "socket").unlink(missing_ok=True)
    Path(folder).rmdir()


def _serve(address: str) -> dict[str, Any] | None:
    """Fork for each order. Returns it in the process that is to carry it out, and None when the tests have ended."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watchers
    print("ready", flush=True)
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
        assert listener in ready
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _watch(connection)
        connection.close()
    return None


def _watch(connection: socket.socket) -> dict[str, Any]:
    """Fork once more: the child returns with the order, this process tells the tests its number and its end."""
    with connection.makefile("rb") as stream:
        order: dict[str, Any] = json.loads(stream.readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        return order
    connection.sendall(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(order: dict[str, Any]) -> None:
    """Be `python main.py …` from here on."""
    os.environ.clear()
    os.environ.update(order["environ"])
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY)] + [(f"{order['folder']}/{name}", os.O_WRONLY) for name in ("out", "err")]
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["main.py", *order["arguments"]]
    exec(order["prelude"], {"__name__": "prelude"})  # noqa: S102 - the tests' own words
    runpy.run_path(str(ROOT / "main.py"), run_name="__main__")


if __name__ == "__main__":
    leave_out_pyarrow()
    import main  # noqa: F401 - what takes the time

    ordered = _serve(sys.argv[1])
    if ordered is not None:
        _become(ordered)
