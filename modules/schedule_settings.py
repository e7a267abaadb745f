"""When the daemon does what: the section `schedule` of the settings."""

import re
from datetime import time, timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from modules.settings_section import Section


def _clock_time(value: object) -> object:
    """YAML takes 11:00 without quotes for the number 660."""
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('应是带引号的时间，如 "11:00"')
    return value


ClockTime = Annotated[time, BeforeValidator(_clock_time)]
"""A time of day in Asia/Shanghai, written as "HH:MM"."""


SHORTEST_MINUTES = 0.01
"""As often as the daemon looks what is due."""


class FixedJob(Section):
    """A job of the daemon's own. A run that takes longer than `limit_seconds` is given up."""

    enabled: bool = True
    limit_seconds: float = Field(600, gt=0)


class TimedJob(FixedJob):
    """At times of the day. A slot that was missed is caught up within the grace; one that failed is tried again,
    `most_failures` times in all."""

    grace_minutes: float = Field(720, ge=0, lt=24 * 60)
    retry_minutes: float = Field(10, gt=0)
    most_failures: int = Field(3, ge=1)


class DailyJob(TimedJob):
    """Once a day."""

    at: ClockTime


class AlertJobs(TimedJob):
    """All alerts of ALERT_CONFIGS, which name their times themselves."""

    grace_minutes: float = Field(120, ge=0, lt=24 * 60)


class ServiceReportJob(DailyJob):
    """Its question shows the day before it is asked: what was not pulled by midnight can't be caught up."""

    at: ClockTime = time(11, 0)
    most_failures: int = Field(72, ge=1)

    @model_validator(mode="after")
    def _ends_the_same_day(self) -> Self:
        if timedelta(hours=self.at.hour, minutes=self.at.minute + self.grace_minutes) >= timedelta(days=1):
            raise ValueError(
                "at 加上 grace_minutes 过了半夜 24 点：问题卡只显示前一天，过了当天就补不了，请改小 grace_minutes"
            )
        return self


class SettleReportJob(DailyJob):
    at: ClockTime = time(18, 0)


class HousekeepingJob(DailyJob):
    at: ClockTime = time(3, 30)
    grace_minutes: float = Field(24 * 60 - 1, ge=0, lt=24 * 60)


class FixedJobs(Section):
    """The fixed jobs, by key, and what all alerts have in common."""

    alerts: AlertJobs = AlertJobs()
    generate_daily_service_report: ServiceReportJob = ServiceReportJob()
    settle_report: SettleReportJob = SettleReportJob()
    housekeeping: HousekeepingJob = HousekeepingJob()


class ScheduleSettings(Section):
    """How often the daemon pulls (minutes), looks into the queue, and whether a job is due or the configuration has
    changed (seconds), and its fixed jobs.

    A look does little, but it wakes the process. A campaign's run that takes longer than `campaign_limit_seconds` is
    given up.
    """

    run_jobs_serially_minutes: float = Field(3, ge=SHORTEST_MINUTES)
    task_check_seconds: float = Field(10, gt=0)
    look_seconds: float = Field(10, ge=0.1, le=30)
    campaign_limit_seconds: float = Field(600, gt=0)
    jobs: FixedJobs = FixedJobs()

    @property
    def look_interval(self) -> timedelta:
        return timedelta(seconds=self.look_seconds)

    @property
    def campaign_interval(self) -> timedelta:
        return timedelta(minutes=self.run_jobs_serially_minutes)
