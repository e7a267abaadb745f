"""What the pages show, read from the database: nothing else in the dashboard reads it.

Each figure is read in one short read-only transaction that ends before the page is drawn, and kept for a few seconds
for all who look (`reading.figure`). All functions raise the errors of `modules.errors.EXPECTED_ERRORS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import streamlit as st
from sqlalchemy.engine import Connection

import jobs
from modules import health, soundness
from modules.campaign_ledger import open_ledger
from modules.campaigns import CampaignsFile, CampaignsFileError
from modules.check import Findings, check_everything
from modules.explanation_words import AwardExplanation, explain_award
from modules.explanations import ContractAnswer, HousekeeperAnswer, explain_contract, explain_housekeeper
from modules.figures import (
    composition,
    course,
    differences,
    months,
    paid,
    queue,
    ranking,
    runs,
    sla,
    sla_texts,
    troubles,
)
from modules.figures.cut import Cut, Track
from modules.figures.freshness import Freshness, freshness_of
from modules.figures.newest import Newest
from modules.heartbeat import DaemonState, is_missed, seen_daemon
from modules.ledger_records import ContractRecord, read_awards, read_contracts
from modules.payout import Payout, payout_of
from modules.payout_workbook import sheets_of, workbook_bytes
from modules.reconciliation import Reconciliation
from modules.rewards.faults import Fault
from modules.service_providers import PROVIDERS_FILE, Providers, load_providers
from modules.simulation_bench import Bench
from modules.task_states import Task
from modules.templates import Templates
from modules.troubles import open_troubles as find_open_troubles
from modules.views import ViewFault, Views
from streamlit_app import reading
from streamlit_app.reading import (
    Source,
    alerts,
    asked_now,
    campaigns_file,
    configured,
    database_at,
    figure,
    now,
    settings,
    source,
    today,
)

CHECKED_SECONDS = 60
"""How long the findings of a check are shown again."""
TASKS_AT_ONCE = 5_000
"""Rows that a download reads in one transaction."""
KEPT_BENCHES = 4
"""Campaigns to simulate on: each holds its contracts."""


def close() -> None:
    """Forget everything and let go of the databases."""
    _bench.clear()
    _findings.clear()
    reading.close()


@figure
def city_months(connection: Connection, month: str) -> list[months.CityMonth]:
    """A month by city."""
    return months.city_months(connection, configured().valid, month)


@figure
def what_is_wrong(connection: Connection) -> troubles.Troubles:
    """What needs a person."""
    return troubles.troubles_of(connection)


def what_is_wrong_now() -> troubles.Troubles:
    """The same, of campaigns whose time it is and of jobs that are switched on. Raises SettingsError."""
    try:
        fixed = jobs.fixed_jobs_of(settings(), alerts())
        return troubles.still_due(what_is_wrong(), {*freshness().active, *(job.key for job in fixed if job.enabled)})
    except CampaignsFileError:  # which jobs there are is not known
        return what_is_wrong()


@figure
def periods(connection: Connection) -> dict[str, months.Period]:
    """Every campaign with a ledger, by key."""
    return months.periods_of(connection, configured().valid)


@figure
def periods_due(connection: Connection, day: date) -> list[months.Period]:
    """The same, and the campaigns that are to be pulled on a day though nothing ever came of it."""
    return months.periods_due(connection, configured().valid, day)


def freshness() -> Freshness:
    """How old the newest pull is at this moment. Raises CampaignsFileError."""
    interval = timedelta(minutes=settings().schedule.run_jobs_serially_minutes)
    return freshness_of(periods_due(today()), now(), interval)


def campaign_faults() -> tuple[Fault, ...]:
    """What there is to mend in the campaigns file."""
    try:
        return configured().faults
    except CampaignsFileError as error:
        return error.faults


@figure
def ranking_of(connection: Connection, key: str) -> ranking.Ranking:
    """The housekeepers of a campaign."""
    return ranking.ranking_of(open_ledger(connection, configured(), key), read_awards(connection, key))


@figure
def housekeepers_of(connection: Connection, key: str) -> list[str]:
    """Whoever has a statement in a campaign, best first."""
    return ranking.housekeepers(connection, key)


@figure
def signed_by_payee(
    connection: Connection, key: str, first: date | None, last: date | None, track: Track
) -> dict[str, ranking.Signed]:
    """What each payee signed within some days on a track."""
    return ranking.signed_by_payee(connection, key, first, last, track)


@dataclass(frozen=True)
class Statement:
    """A housekeeper in one campaign: what `explain` says, and all contracts, oldest first."""

    answer: HousekeeperAnswer
    contracts: list[ContractRecord]


@figure
def statement(connection: Connection, key: str, housekeeper: str) -> Statement:
    """Raises JobRefusedError where the campaign has no such housekeeper."""
    answer = explain_housekeeper(connection, configured(), housekeeper, key)
    return Statement(answer, read_contracts(connection, key, [payee.payee for payee in answer.payees]))


@figure
def contract_explained(connection: Connection, key: str, contract_id: str) -> ContractAnswer:
    """What counted of a contract, what it won and what not. Raises JobRefusedError where it is not known."""
    return explain_contract(connection, configured(), contract_id, key)


@figure
def composition_of(connection: Connection, cut: Cut) -> composition.Composition:
    """What a campaign's payout is made of."""
    return composition.composition_of(connection, cut)


@figure
def course_of(connection: Connection, key: str, track: Track) -> course.Course | None:
    """A campaign day by day, beside the month before; None where it has no ledger."""
    return course.course_of(connection, configured().valid, key, track)


@dataclass(frozen=True)
class Settlement:
    """What a campaign pays; what of it people or `settle` granted without a contract, the last first; and how its
    ledger differed from the source at the last good pull (None where there was none)."""

    payout: Payout
    beside: tuple[AwardExplanation, ...]
    known: Reconciliation | None


@figure
def settlement(connection: Connection, key: str) -> Settlement:
    """Raises JobRefusedError where the campaign has no configuration to read it by."""
    ledger, awards = open_ledger(connection, configured(), key), read_awards(connection, key)
    return Settlement(
        payout=payout_of(ledger, awards),
        beside=tuple(
            explain_award(key, ledger.campaign, award) for award in reversed(awards) if award.contract_id is None
        ),
        known=differences.known_differences(connection, ledger, awards),
    )


@figure
def payout_workbook(connection: Connection, key: str) -> bytes:
    """The file that `payout --xlsx` writes. Raises JobRefusedError."""
    ledger, awards = open_ledger(connection, configured(), key), read_awards(connection, key)
    explained = (explain_award(key, ledger.campaign, award) for award in awards)
    return workbook_bytes(sheets_of(payout_of(ledger, awards), explained))


@figure
def queue_by_status(connection: Connection) -> list[queue.StatusLine]:
    """How many tasks there are in each state, and the oldest."""
    return queue.by_status(connection)


@figure
def tasks_of(connection: Connection, status: str, recipient: str, newest: int) -> Newest[Task]:
    """The newest tasks of a state, of one recipient or of all (empty)."""
    return queue.newest(connection, status, recipient, newest)


def every_task_of(status: str, recipient: str) -> Iterator[Task]:
    """All of them, for a download: some at a time, so that no transaction stays open while the file is made."""
    last: int | None = None
    while some := asked_now(queue.following, status, recipient, last, TASKS_AT_ONCE):
        yield from some
        last = some[-1].id


@figure
def recipients_of(connection: Connection, status: str) -> list[str]:
    """Who has tasks in a state."""
    return queue.recipients(connection, status)


@figure
def acts_on_tasks(connection: Connection, newest: int) -> Newest[queue.Act]:
    """What people did to the queue lately, the last first."""
    return queue.acts(connection, newest)


def every_act_on_tasks() -> list[queue.Act]:
    """All of it, for a download."""
    return asked_now(queue.acts, None).rows


@figure
def sla_span(connection: Connection) -> tuple[date, date] | None:
    """The first and the last day of which violations are kept."""
    return sla.known_span(connection)


@figure
def sla_providers(connection: Connection) -> list[str]:
    """Whoever ever had a violation."""
    return sla.providers_of(connection)


@figure
def sla_counts(connection: Connection, first: date, last: date, provider: str) -> list[sla.Count]:
    """Violations by provider and kind."""
    return sla.counts(connection, first, last, provider)


@figure
def sla_days(connection: Connection, first: date, last: date, provider: str) -> list[sla.Day]:
    """Violations of each day."""
    return sla.days(connection, first, last, provider)


@figure
def sla_lines(connection: Connection, first: date, last: date, provider: str, newest: int) -> Newest[sla.Line]:
    """The newest violations one by one."""
    return sla.lines(connection, first, last, provider, newest)


def every_sla_line(first: date, last: date, provider: str) -> list[sla.Line]:
    """All of them, for a download."""
    return asked_now(sla.lines, first, last, provider, None).rows


@figure
def sla_weeks(connection: Connection) -> list[sla.Week]:
    """The weeks of which anything is known, the newest first."""
    return sla.weeks(connection)


@figure
def sla_week_texts(connection: Connection, monday: date, told_on: date, is_done: bool) -> list[sla_texts.WeekText]:
    """What providers were told of a week, or would be."""
    writer = sla_texts.Writer(settings().sla, Templates.read(), tuple(providers().recipient_of))
    return sla_texts.week_texts(connection, monday, told_on, writer, is_done=is_done)


def providers() -> Providers:
    """Who hears for which service provider, as the file stands."""
    return load_providers(PROVIDERS_FILE, settings().recipients)


@figure
def job_states(connection: Connection) -> list[health.JobState]:
    """Every campaign and every fixed job, with its last run and its next."""
    known = settings()
    return health.states_of(connection, known, configured(), now(), jobs.fixed_jobs_of(known, alerts()))


@figure
def run_tallies(connection: Connection, since: datetime) -> list[runs.Tally]:
    """How the runs since a moment ended."""
    return runs.tallies(connection, since)


@figure
def run_failures(connection: Connection, newest: int) -> Newest[runs.Failure]:
    """The last runs with an error."""
    return runs.failures(connection, newest)


def every_run_failure() -> list[runs.Failure]:
    """All of them, for a download."""
    return asked_now(runs.failures, None).rows


@figure
def rejected_rows(connection: Connection, newest: int) -> Newest[runs.RejectedRow]:
    """Source rows that can't be used."""
    return runs.rejected(connection, newest)


def every_rejected_row() -> list[runs.RejectedRow]:
    """All of them, for a download."""
    return asked_now(runs.rejected, None).rows


@figure
def open_troubles(connection: Connection) -> list[dict[str, Any]]:
    """What the watch has found and is not over: key, seen_by, what, since, told_at."""
    return find_open_troubles(connection)


@figure
def tables_version(connection: Connection) -> str:
    """Which migration the tables are at."""
    return runs.tables_version(connection)


def daemon() -> DaemonState:
    """How the daemon of this data folder is at this moment."""
    return seen_daemon(settings(), now())


def missed_daemon() -> DaemonState | None:
    """The daemon of this data folder, where it should be running and is not."""
    found, is_shared = daemon(), database_at(source()).is_server
    return found if is_missed(found, is_shared=is_shared, is_needed=_may_be_needed()) else None


def _may_be_needed() -> bool:
    try:
        return bool(freshness().active)
    except CampaignsFileError:  # of which the page tells
        return True


def daemon_configuration() -> dict[str, Any] | None:
    """What the daemon of this data folder runs by; None where none is running, or it has not said."""
    return health.daemon_configuration(settings())


def backups() -> soundness.Report:
    """What came of the last back-up, as the daemon of this data folder wrote it down."""
    return soundness.read_report(settings().state_dir)


def unwritten_files() -> list[ViewFault]:
    """CSV and JSON files that could not be written when it was last tried."""
    return Views(settings(), database_at(source())).faults()


def place() -> str:
    """Where the database is, without its password."""
    return database_at(source()).place


@st.cache_data(ttl=CHECKED_SECONDS, max_entries=4, show_spinner="正在检查配置…")
def _findings(day: date, place: Source) -> Findings:
    return check_everything(now(), online=False, whole_database=False)


def findings() -> Findings:
    """What `main.py check` finds without going anywhere and without reading the whole database."""
    return _findings(today(), source())


def bench(key: str) -> Bench:
    """A campaign to try changes on, kept until its ledger or its configuration changes. Raises JobRefusedError."""
    file, present = campaigns_file(), configured().valid.get(key)
    written = (present.config_hash() if present else "", repr(file.entries.get(key)))
    return _bench(source(), key, _revision(key), written, file)


@figure
def _revision(connection: Connection, key: str) -> int:
    return paid.revision_of(connection, key)


@st.cache_resource(max_entries=KEPT_BENCHES, show_spinner="正在读取合同…")
def _bench(place: Source, key: str, revision: int, written: tuple[str, str], _file: CampaignsFile) -> Bench:
    with database_at(place).reading() as connection:
        return Bench(connection, _file, key, today())
