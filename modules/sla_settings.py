"""The section `sla` of the settings: where violations of service levels come from, and what is said of appeals."""

from datetime import time
from typing import Annotated

from pydantic import AfterValidator, Field

from modules.settings_section import Section


def _checked_time(text: str) -> str:
    try:
        time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} 读不懂，应像 18:00，并加引号") from None
    return text


class SlaSettings(Section):
    """`card_id`: the question with the violations of the day before. A provider may appeal until `appeal_time`
    (Asia/Shanghai) on the day that is `appeal_days` after the report, with `appeal_contact`.
    """

    card_id: int = Field(1514, gt=0)
    appeal_days: int = Field(2, ge=0, le=365)
    appeal_time: Annotated[str, AfterValidator(_checked_time)] = "18:00"
    appeal_contact: str = Field("平台运营", min_length=1)
    weekly_reports: bool = True
    praise: bool = True
