"""What is wrong at this moment: a pure function from the state of the house, or of one machine of it, to its troubles.

`watch_facts` reads the state, `troubles` holds the answer against what is known already and tells people.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from modules.clock import format_moment
from modules.job_runs import METABASE, OK
from modules.recipients import RecipientSettings
from modules.task_states import FAILED, UNCERTAIN
from modules.views import ViewFault

FAILURES_IN_A_ROW = 3
QUEUE_AGE = timedelta(minutes=15)
QUEUE_PATIENCE = timedelta(minutes=2)
"""So long an old queue is left alone: a machine that was off over night sends what has waited first."""

JOB_FORGOTTEN_AFTER = timedelta(days=8)
"""A job that has not run for longer, as its settings were changed, is nobody's trouble; the rarest are weekly."""

NAMED_AT_MOST = 5
LONGEST_REASON = 300

DECISIONS = {"--accept-shrink": "shrink", "check --accept ": "config"}
"""The command that a failed run asks a person for → the kind of trouble: told at once, not at the third failure."""


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong now. `key` names it as long as it lasts, `words` say what and what to do.

    One that `reminds` is told again every day; another only where something new has come (`newest`) since it was told
    last, and not more than once a day. Nobody is told of one that is gone within its `patience`.
    """

    key: str
    words: str
    reminds: bool = True
    newest: datetime | None = None
    patience: timedelta = timedelta()


@dataclass(frozen=True)
class Run:
    """A run of a job that has ended; `fault` as in `job_runs.Ended`."""

    outcome: str
    error: str | None
    ended_at: datetime
    fault: str | None = None


@dataclass(frozen=True)
class Waiting:
    """The messages of a recipient that could have gone by now: how many, since when the oldest, and why not."""

    recipient: str
    count: int
    since: datetime
    reason: str | None = None


@dataclass(frozen=True)
class GivenUp:
    """Messages of one status that wait for a person, and the reason of the newest."""

    status: str
    count: int
    reason: str | None = None


@dataclass(frozen=True)
class RejectedRows:
    """The rows of a campaign's source that can't be used, and when the newest of them was first seen."""

    campaign: str
    count: int
    newest: datetime


@dataclass(frozen=True)
class House:
    """What the database says, the same from every machine. `runs` are the last ones of each job, newest first; those of
    campaigns that no longer run are in `retired`. Messages that tell of troubles are not counted: no alert about
    alerts."""

    runs: Mapping[str, Sequence[Run]]
    retired: Collection[str]
    waiting: Sequence[Waiting]
    given_up: Sequence[GivenUp]
    rejected: Sequence[RejectedRows]


@dataclass(frozen=True)
class Machine:
    """What only this machine knows. Faults are in words, empty where there is none; `kept_config` is what runs by an
    earlier version than the files of the configuration."""

    unwritten: Sequence[ViewFault] = ()
    damage: str = ""
    backup_fault: str = ""
    health_fault: str = ""
    config_faults: Sequence[str] = ()
    kept_config: str = ""


def house_troubles(house: House, recipients: Mapping[str, RecipientSettings], now: datetime) -> list[Trouble]:
    """What is wrong with jobs, queue and sources."""
    failing = [
        failed
        for job, runs in sorted(house.runs.items())
        if job not in house.retired and (failed := _failing(job, runs, now))
    ]
    return [
        *_job_troubles(failing),
        *_queue_trouble(house.waiting, recipients, now),
        *map(_given_up_trouble, house.given_up),
        *map(_rejected_trouble, house.rejected),
    ]


def machine_troubles(machine: Machine) -> list[Trouble]:
    """What is wrong with files, database file, health server and configuration of this machine."""
    found = []
    if machine.unwritten:
        named = "；".join(f"{fault.file}（{_short(fault.reason)}）" for fault in machine.unwritten[:NAMED_AT_MOST])
        found.append(Trouble("files", f"有 {len(machine.unwritten)} 个文件写不了：{named}"))
    if machine.damage:
        found.append(Trouble("damage", machine.damage))
    if machine.backup_fault:
        found.append(Trouble("backup", machine.backup_fault))
    if machine.health_fault:
        found.append(Trouble("health-server", machine.health_fault))
    if machine.config_faults:
        named = "；".join(_short(fault) for fault in machine.config_faults[:NAMED_AT_MOST])
        instead = machine.kept_config or "有错的部分没有运行"
        words = f"配置文件有 {len(machine.config_faults)} 处错误：{named}；{instead}；请修改，不用重启"
        found.append(Trouble("configuration", words))
    return found


def stuck(
    waiting: Sequence[Waiting], recipients: Mapping[str, RecipientSettings], now: datetime
) -> list[tuple[Waiting, datetime]]:
    """Those who have waited for longer than QUEUE_AGE, each with the moment from which they could have gone; the
    longest first. In somebody's quiet hours, and until a while after them, messages wait as they should."""
    found = []
    for one in waiting:
        recipient = recipients.get(one.recipient)
        if recipient is not None and recipient.is_quiet(now.timetz()):
            continue
        since = max(one.since, _quiet_until(recipient, now) or one.since)
        if now - since > QUEUE_AGE:
            found.append((one, since))
    return sorted(found, key=lambda each: each[1])


@dataclass(frozen=True)
class _Failing:
    """A job whose last runs have failed: they, newest first, and their number in words."""

    job: str
    runs: Sequence[Run]
    times: str

    @property
    def reason(self) -> str:
        return _short(self.runs[0].error or "原因不明，请看 logs/app.log")


def _failing(job: str, runs: Sequence[Run], now: datetime) -> _Failing | None:
    failed = list(takewhile(lambda run: run.outcome != OK, runs))
    if not failed or now - failed[0].ended_at > JOB_FORGOTTEN_AFTER:
        return None
    at_least = "" if len(failed) < len(runs) else "至少"
    return _Failing(job, failed, f"{at_least}连续失败 {len(failed)} 次")


def _job_troubles(failing: Sequence[_Failing]) -> list[Trouble]:
    """Each job's own; the jobs that wait for nothing but Metabase are one, however many they are."""
    found, cut_off = [], []
    for one in failing:
        if decision := _decision(one):
            found.append(decision)
        elif len(one.runs) < FAILURES_IN_A_ROW:
            continue
        elif one.runs[0].fault == METABASE:
            cut_off.append(one)
        else:
            found.append(Trouble(f"job:{one.job}", f"任务 {one.job} {one.times}，最近一次的原因：{one.reason}"))
    return found + _metabase_trouble(cut_off)


def _decision(failing: _Failing) -> Trouble | None:
    """What a person must decide stands until a run succeeds, whatever else fails in between."""
    for run in failing.runs:
        for command, kind in DECISIONS.items():
            if command in (run.error or ""):
                words = f"{failing.job} 停了下来，等人决定：{_short(run.error or '')}"
                return Trouble(f"{kind}:{failing.job}", words)
    return None


def _metabase_trouble(cut_off: Sequence[_Failing]) -> list[Trouble]:
    if not cut_off:
        return []
    names = "、".join(one.job for one in cut_off[:NAMED_AT_MOST])
    others = f" 等 {len(cut_off)} 个任务" if len(cut_off) > NAMED_AT_MOST else " "
    newest = max(cut_off, key=lambda one: one.runs[0].ended_at)
    words = f"从 Metabase 取不到数据：{names}{others}连续失败 {FAILURES_IN_A_ROW} 次以上，最近的原因：{newest.reason}"
    return [Trouble("metabase", words)]


def _queue_trouble(
    waiting: Sequence[Waiting], recipients: Mapping[str, RecipientSettings], now: datetime
) -> list[Trouble]:
    late = stuck(waiting, recipients, now)
    if not late:
        return []
    names = "、".join(one.recipient for one, _ in late[:NAMED_AT_MOST])
    reason = next((f"，最近的原因：{_short(one.reason)}" for one, _ in late if one.reason), "")
    words = (
        f"消息发不出去：给 {names} 的 {sum(one.count for one, _ in late)} 条，"
        f"最早一条从 {format_moment(late[0][1])} 等到现在{reason}；请用 status 和 tasks list 查看"
    )
    return [Trouble("queue", words, patience=QUEUE_PATIENCE)]


def _given_up_trouble(given_up: GivenUp) -> Trouble:
    what = {FAILED: "发送失败", UNCERTAIN: "不知是否送达"}[given_up.status]
    reason = f"，最近一条的原因：{_short(given_up.reason)}" if given_up.reason else ""
    remedy = f"请用 tasks list --status {given_up.status} 查看，核实后重发或取消"
    return Trouble(f"tasks:{given_up.status}", f"有 {given_up.count} 条消息{what}{reason}；{remedy}")


def _rejected_trouble(rejected: RejectedRows) -> Trouble:
    words = f"{rejected.campaign} 的源数据有 {rejected.count} 行不能用，没有登记；请用 status 看原因，在源系统里改正"
    return Trouble(f"rejected:{rejected.campaign}", words, reminds=False, newest=rejected.newest)


def _quiet_until(recipient: RecipientSettings | None, now: datetime) -> datetime | None:
    """When the last quiet hours ended that are over."""
    ends = recipient.quiet_end if recipient is not None else None
    if ends is None:
        return None
    end = datetime.combine(now.date(), ends, tzinfo=now.tzinfo)
    return end if end <= now else end - timedelta(days=1)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"
