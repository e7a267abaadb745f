"""What runs: the daemon's jobs and their times, and doors to single campaigns. What they do stands in modules/."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import partial

from modules import alerts, housekeeping, service_provider_sla_monitor, settle_report
from modules.alert_config import Alert, Alerts
from modules.application import Application, open_application
from modules.campaign_run import JobReport, RunOptions, closed_campaigns, find_campaign, run_campaign, run_slot
from modules.due_slots import Daily, Every
from modules.errors import JobRefusedError
from modules.fixed_run import FixedJobReport, run_fixed_job
from modules.job_lane import ChoreLane, JobLane, JobLanes
from modules.job_runs import Writing
from modules.rewards.campaign import Campaign
from modules.schedule_settings import DailyJob, TimedJob
from modules.scheduled_job import Job, RunJob
from modules.settings import Settings
from modules.watch_round import watch_once

WATCH_INTERVAL = timedelta(minutes=1)


def campaign_jobs(app: Application, now: datetime) -> list[Job]:
    """The campaigns whose time it is, in the order of the config."""
    schedule = app.settings.schedule
    every = Every(schedule.campaign_interval)
    return [
        Job(key, campaign.title, every, timedelta(seconds=schedule.campaign_limit_seconds), partial(_run, campaign))
        for key, campaign in app.campaigns.valid.items()
        if campaign.is_pulled(now.date())
    ]


def _run(campaign: Campaign, app: Application, _slot: datetime, writing: Writing) -> Mapping[str, int]:
    """As of now, not of the slot: what was signed a minute ago is registered too."""
    return run_slot(app, campaign, app.clock(), writing)


def fixed_jobs(app: Application) -> list[Job]:
    """The jobs that are there whatever campaigns there are, also those that are switched off."""
    return fixed_jobs_of(app.settings, app.alerts)


def fixed_jobs_of(settings: Settings, configured: Alerts) -> list[Job]:
    """The same for who has no application open."""
    jobs = settings.schedule.jobs
    sla = service_provider_sla_monitor
    return [
        _daily(sla.JOB, "服务商违规日报", jobs.generate_daily_service_report, sla.run),
        _daily("settle_report", "结算期最后一天的对账报告", jobs.settle_report, settle_report.run),
        _daily("housekeeping", "备份数据库、清理旧记录", jobs.housekeeping, housekeeping.run),
        *(_alert_job(settings, alert) for alert in configured.valid.values()),
    ]


def fixed_job(app: Application, key: str) -> Job | None:
    """The fixed job of this name, switched off or not. Raises JobRefusedError where nothing of this name can be run, be
    it a campaign, as it is not there or is an alert with a fault."""
    fixed = {job.key: job for job in fixed_jobs(app)}
    faults = app.alerts.faults_with(key)
    if faults:
        raise JobRefusedError("提醒的配置有错，未运行：\n" + "\n".join(map(str, faults)))
    if key not in fixed and key not in app.campaigns.valid and not app.campaigns.faults_with(key):
        known = "、".join([*app.campaigns.valid, *fixed])
        raise JobRefusedError(f"没有名为 {key} 的活动或任务；现有：{known}")
    return fixed.get(key)


def _daily(key: str, title: str, told: DailyJob, run: RunJob) -> Job:
    return Job(key, title, _at([told.at], told), timedelta(seconds=told.limit_seconds), run, told.enabled)


def _alert_job(settings: Settings, alert: Alert) -> Job:
    told = settings.schedule.jobs.alerts
    timing = Every(timedelta(minutes=alert.every_minutes)) if alert.every_minutes else _at(alert.at, told)

    def run(app: Application, slot: datetime, writing: Writing) -> Mapping[str, int]:
        return alerts.run(app, alert, slot, writing)

    return Job(
        alert.name, alert.title, timing, timedelta(seconds=told.limit_seconds), run, told.enabled and alert.enabled
    )


def _at(times: Sequence[time], told: TimedJob) -> Daily:
    grace, retry = timedelta(minutes=told.grace_minutes), timedelta(minutes=told.retry_minutes)
    return Daily(tuple(times), grace, retry, told.most_failures)


def lanes(app: Application, look_at_configuration: Callable[[], None]) -> JobLanes:
    """Campaigns run one after another in one lane, each fixed job and each chore in a lane of its own."""
    chores = [
        ChoreLane("configuration", app.clock, Every(app.settings.schedule.look_interval), look_at_configuration),
        ChoreLane(
            "files", app.clock, Every(app.settings.schedule.campaign_interval), partial(bring_files_up_to_date, app)
        ),
        ChoreLane("watch", app.clock, Every(WATCH_INTERVAL), partial(look_for_troubles, app)),
    ]
    return JobLanes(app, campaigns_lane(app), chores, partial(fixed_jobs, app))


def campaigns_lane(app: Application) -> JobLane:
    """Those that a person has closed stay out, however long their time lasts."""
    return JobLane("campaigns", app, lambda: campaign_jobs(app, app.clock()), closed_campaigns)


def bring_files_up_to_date(app: Application) -> None:
    """All files, whoever wrote what they show; those of settled campaigns are archived, old archived ones deleted."""
    now = app.clock()
    app.views.refresh(app.campaigns.valid)
    service_provider_sla_monitor.refresh_file(app)
    for campaign in app.campaigns.valid.values():
        if now.date() > campaign.last_settle_day:
            app.views.archive_settled(campaign.key, now)
    app.views.prune(now)


def look_for_troubles(app: Application) -> None:
    """Whether anything is wrong with the house; operations hear of what has begun and what is over."""
    watch_once(app, app.clock())


def run_fixed_now(key: str) -> FixedJobReport:
    """Run a fixed job now, with the settings of this installation: what the doors below do."""
    with open_application() as app:
        job = fixed_job(app, key)
        if job is None:
            raise JobRefusedError(f"{key} 是活动，不是固定的任务；请用 run_now 运行")
        return run_fixed_job(app, job, app.clock(), RunOptions())


def check_technician_status() -> FixedJobReport:
    """The technicians' changes, now."""
    return run_fixed_now("check_technician_status")


def generate_daily_service_report() -> FixedJobReport:
    """The service providers' violations of yesterday, now."""
    return run_fixed_now(service_provider_sla_monitor.JOB)


def run_now(key: str) -> JobReport:
    """Run a campaign now, with the settings of this installation: what the doors below do."""
    with open_application() as app:
        as_of = app.clock()
        return run_campaign(app, find_campaign(app, key, as_of, RunOptions(force=True)), as_of, RunOptions())


def signing_and_sales_incentive_apr_beijing() -> JobReport:
    """BJ-2025-04, now."""
    return run_now("BJ-2025-04")


def signing_and_sales_incentive_may_beijing() -> JobReport:
    """BJ-2025-05, now."""
    return run_now("BJ-2025-05")


def signing_and_sales_incentive_apr_shanghai() -> JobReport:
    """SH-2025-04, now."""
    return run_now("SH-2025-04")


def signing_and_sales_incentive_may_shanghai() -> JobReport:
    """SH-2025-05, now."""
    return run_now("SH-2025-05")
