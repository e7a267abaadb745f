"""The shape of a REWARD_CONFIGS entry: what each section holds. `validation` builds it from the dict literal.

Amounts are written in yuan and held in fen. Meaning of each key: docs/reward-rules.md.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_serializer,
)

from modules.rewards.faults import PathPart
from modules.rewards.money import parse_amount, parse_decimal

LUCKY_NUMBER = "幸运数字"
TIER = "节节高"


def _ratio(value: object) -> Decimal:
    ratio = parse_decimal(value)
    if not 0 <= ratio <= 1:
        raise ValueError(f"{value} 应在 0 和 1 之间")
    if ratio != round(ratio, 6):
        raise ValueError(f"{value} 的小数超过六位")
    return ratio


def _multiplier(value: object) -> Decimal:
    multiplier = parse_decimal(value)
    if not 0 < multiplier <= 100:
        raise ValueError(f"{value} 应大于 0，不大于 100")
    return multiplier


def _digit(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch("[0-9]", text):
        raise ValueError(f"{value!r} 不是一位数字，应为 0 到 9")
    return int(text)


Fen = Annotated[int, BeforeValidator(parse_amount)]
Ratio = Annotated[Decimal, BeforeValidator(_ratio)]
Multiplier = Annotated[Decimal, BeforeValidator(_multiplier)]
Digit = Annotated[int, BeforeValidator(_digit)]
Name = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LuckyReward(_Section):
    """What a lucky number wins: an award name, from this contract amount (fen) on."""

    name: Name
    threshold: Fen = 0


class LuckyRewards(_Section):
    """`base` is won by any amount, `high` from its threshold on."""

    base: LuckyReward
    high: LuckyReward | None = None


class PerformanceLimits(_Section):
    """How much of an amount (fen) counts as performance; None is no limit.

    The self-referral limits replace the other two on self-referral rows where they are written down.
    """

    enable_cap: bool = False
    single_contract_cap: Fen | None = None
    single_project_limit: Fen | None = None
    self_referral_contract_cap: Fen | None = None
    self_referral_project_limit: Fen | None = None

    def contract_cap(self, *, self_referral: bool) -> int | None:
        """The cap of one contract of this track, in fen; None where there is none or it is switched off."""
        if not self.enable_cap:
            return None
        return self._of_track("single_contract_cap", "self_referral_contract_cap", self_referral)

    def project_limit(self, *, self_referral: bool) -> int | None:
        """The limit of one project on this track, in fen; None where there is none."""
        return self._of_track("single_project_limit", "self_referral_project_limit", self_referral)

    def distinguishes_tracks(self) -> bool:
        return bool(self.model_fields_set & {"self_referral_contract_cap", "self_referral_project_limit"})

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A self-referral limit that is not written down is left out: unlike None it follows the general one."""
        dumped: dict[str, Any] = handler(self)
        unwritten = {"self_referral_contract_cap", "self_referral_project_limit"} - self.model_fields_set
        return {name: value for name, value in dumped.items() if name not in unwritten}

    def _of_track(self, general: str, own: str, self_referral: bool) -> int | None:
        name = own if self_referral and own in self.model_fields_set else general
        limit: int | None = getattr(self, name)
        return limit


class Tier(_Section):
    """One step of the ladder: its award, and the performance total (fen) from which it is earned."""

    name: Name
    threshold: Fen


class TieredRewards(_Section):
    """The ladder 节节高: steps rising strictly, open to payees with at least `min_contracts` contracts."""

    min_contracts: int = Field(0, ge=0)
    tiers: tuple[Tier, ...] = Field(min_length=1)


class Badge(_Section):
    """A badge of some housekeepers: shown before the name, multiplies the awards of the kinds it applies to."""

    label: Name
    members: frozenset[str]
    multiplier: Multiplier = Decimal(1)
    applies_to: tuple[Literal["幸运数字", "节节高"], ...] = ()

    @field_validator("members", mode="before")
    @classmethod
    def _named_list(cls, value: object, info: ValidationInfo) -> object:
        """`"elite"` names a list of config/badges.yaml."""
        lists: Mapping[str, frozenset[str]] = (info.context or {}).get("badge_lists", {})
        if not isinstance(value, str) or value not in lists:
            raise ValueError(f"config/badges.yaml 里没有名单 {value!r}，现有：{'、'.join(sorted(lists)) or '无'}")
        return lists[value]

    @field_serializer("members")
    def _sorted(self, members: frozenset[str]) -> list[str]:
        """In one order in every process: the config hash is made of it."""
        return sorted(members)


class Notification(_Section):
    """Who hears of new contracts (`group`) and of awards (`contact`), and the template of the broadcast."""

    group: Name
    contact: Name
    template: Annotated[str, Field(pattern=r"^\w+$")]


class City(_Section):
    """A row of the CITIES table: the display name, and where its messages go unless a campaign says otherwise."""

    name: Name
    group: Name
    contact: Name
    template: Name


class Campaign(_Section):
    """One campaign, validated. Money in fen; dates are days in Asia/Shanghai, both ends inclusive."""

    key: str = Field(json_schema_extra={"derived": True})
    title: str
    city: str
    start: date
    end: date
    settle_days: int = Field(3, ge=0)
    card_id: int | None = Field(None, gt=0)
    housekeeper_key: Literal["housekeeper", "housekeeper+provider"] = "housekeeper"
    bonus_pool_ratio: Ratio = Decimal("0.002")
    performance_limits: PerformanceLimits = PerformanceLimits()
    lucky_number: Digit | None = None
    lucky_rewards: LuckyRewards | None = None
    tiered_rewards: TieredRewards | None = None
    announcement_only: bool = False
    awards_mapping: Mapping[str, Fen] = Field(default_factory=dict)
    badges: Mapping[str, Badge] = Field(default_factory=dict)
    notification: Notification

    @field_validator("end")
    @classmethod
    def _period_is_forward(cls, end: date, info: ValidationInfo) -> date:
        start = info.data.get("start")
        if start is not None and end < start:
            raise ValueError(f"结束日 {end} 早于开始日 {start}，应不早于开始日")
        return end

    @property
    def last_settle_day(self) -> date:
        return self.end + timedelta(days=self.settle_days)

    def is_active(self, day: date) -> bool:
        """Whether the campaign is pulled on this day: from its start to the end of its settle days."""
        return self.start <= day <= self.last_settle_day

    def config_hash(self) -> str:
        """Names this exact configuration in the ledger (`config_snapshots`)."""
        return hashlib.sha256(self.config_json().encode()).hexdigest()[:16]

    def config_json(self) -> str:
        return self.model_dump_json(exclude_unset=False)

    def grantable(self) -> Iterator[tuple[tuple[PathPart, ...], str]]:
        """Every award name that the sections can grant, with the path that names it."""
        if self.announcement_only:
            return
        if self.lucky_number is not None and self.lucky_rewards is not None:
            yield ("lucky_rewards", "base", "name"), self.lucky_rewards.base.name
            if self.lucky_rewards.high is not None:
                yield ("lucky_rewards", "high", "name"), self.lucky_rewards.high.name
        if self.tiered_rewards is not None:
            for index, tier in enumerate(self.tiered_rewards.tiers):
                yield ("tiered_rewards", "tiers", index, "name"), tier.name

    def badge_labels(self, housekeeper: str) -> str:
        """The labels of all badges of this housekeeper, in the order of the config."""
        return "".join(badge.label for badge in self.badges.values() if housekeeper in badge.members)
