"""The section `sla` of the settings: where violations of service levels come from, and what is said of appeals."""

from datetime import time

from pydantic import Field

from modules.schedule_settings import ClockTime
from modules.settings_section import Section


class SlaSettings(Section):
    """`card_id`: the question with the violations of the day before. A provider may appeal until `appeal_time`
    (Asia/Shanghai) on the day that is `appeal_days` after the report, with `appeal_contact`.
    """

    card_id: int = Field(1514, gt=0)
    appeal_days: int = Field(2, ge=0, le=365)
    appeal_time: ClockTime = time(18, 0)
    appeal_contact: str = Field("平台运营", min_length=1)
    weekly_reports: bool = True
    praise: bool = True
