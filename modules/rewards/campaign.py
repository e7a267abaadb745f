"""The shape of a REWARD_CONFIGS entry. `validation` builds it from the dict literal; its sections: `sections`."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import Field, StringConstraints, ValidationInfo, field_serializer, field_validator

from modules.rewards.sections import (
    STORED,
    ContractBand,
    Fen,
    GrantedName,
    LuckyRewards,
    Multiplier,
    Name,
    OpeningReward,
    PerformanceLimits,
    Ratio,
    Section,
    SelfReferralRewards,
    TieredRewards,
    WholeNumber,
    is_stored,
)

LuckyMode = Literal["contract_number", "personal_sequence"]
LuckySequence = Literal["personal", "global", "platform_only"]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

FIRST_YEAR, LAST_YEAR = 2000, 2099
"""Of the days that a campaign may begin and end on: a year mistyped is no period."""


class Badge(Section):
    """A badge of some housekeepers: shown before the name, multiplies the awards of the kinds it applies to."""

    label: Name
    members: frozenset[str]
    multiplier: Multiplier = Decimal(1)
    applies_to: tuple[str, ...] = ()

    @field_validator("members", mode="before")
    @classmethod
    def _named_list(cls, value: object, info: ValidationInfo) -> object:
        """`"elite"` names a list of config/badges.yaml."""
        if is_stored(info):
            return value
        lists: Mapping[str, frozenset[str]] = (info.context or {}).get("badge_lists", {})
        if not isinstance(value, str) or value not in lists:
            raise ValueError(f"config/badges.yaml 里没有名单 {value!r}，现有：{'、'.join(sorted(lists)) or '无'}")
        return lists[value]

    @field_serializer("members")
    def _sorted(self, members: frozenset[str]) -> list[str]:
        """In one order in every process: the config hash is made of it."""
        return sorted(members)


class Notification(Section):
    """Who hears of new contracts (`group`) and of awards (`contact`), and the template of the broadcast."""

    group: Name
    contact: Name
    template: Annotated[str, Field(pattern=r"^\w+$")]


class City(Section):
    """A row of the CITIES table: the display name, and where its messages go unless a campaign says otherwise."""

    name: Name
    group: Name
    contact: Name
    template: Name


class Campaign(Section):
    """One campaign, validated. Money in fen; dates are days in Asia/Shanghai, both ends inclusive."""

    key: str = Field(json_schema_extra={"derived": True})
    title: Title
    city: Title
    start: date
    end: date
    settle_days: WholeNumber = Field(3, ge=0, le=366)
    card_id: WholeNumber | None = Field(None, gt=0)
    housekeeper_key: Literal["housekeeper", "housekeeper+provider"] = "housekeeper"
    source_types: frozenset[str] | None = None
    historical_contracts: bool = False
    bonus_pool_ratio: Ratio = Decimal("0.002")
    performance_limits: PerformanceLimits = PerformanceLimits()
    lucky_number_mode: LuckyMode = "contract_number"
    lucky_number_sequence_type: LuckySequence = "personal"
    lucky_number: int | None = None
    lucky_rewards: LuckyRewards | None = None
    opening_reward: OpeningReward | None = None
    contract_rewards: tuple[ContractBand, ...] = ()
    self_referral_rewards: SelfReferralRewards | None = None
    tiered_rewards: TieredRewards | None = None
    announcement_only: bool = False
    awards_mapping: Mapping[str, Fen] = Field(default_factory=dict)
    badges: Mapping[str, Badge] = Field(default_factory=dict)
    notification: Notification

    @field_validator("start", "end")
    @classmethod
    def _is_of_our_time(cls, day: date) -> date:
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise ValueError(f"{day} 应在 {FIRST_YEAR} 年到 {LAST_YEAR} 年之间")
        return day

    @field_validator("end")
    @classmethod
    def _period_is_forward(cls, end: date, info: ValidationInfo) -> date:
        start = info.data.get("start")
        if start is not None and end < start:
            raise ValueError(f"结束日 {end} 早于开始日 {start}，应不早于开始日")
        return end

    @field_validator("source_types", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """`[1, "4"]`: the values as the contract frame has them."""
        if isinstance(value, list | tuple) and all(isinstance(item, int | str) for item in value):
            return frozenset(str(item).strip() for item in value)
        raise ValueError(f"{value!r} 不是 sourceType 的列表，应像 [1, 4]")

    @field_serializer("source_types")
    def _sorted(self, source_types: frozenset[str] | None) -> list[str] | None:
        return None if source_types is None else sorted(source_types)

    @field_validator("lucky_number", mode="before")
    @classmethod
    def _fits_mode(cls, value: object, info: ValidationInfo) -> int:
        text = str(value).strip()
        mode = info.data.get("lucky_number_mode")  # not there where it can't be read
        is_positive, is_digit = re.fullmatch("0*[1-9][0-9]{0,5}", text), re.fullmatch("[0-9]", text)
        if mode == "personal_sequence" and not is_positive:
            raise ValueError(f"{value!r} 不是正整数，personal_sequence 时应为 1、2、3 这样的正整数")
        if (mode == "contract_number" and not is_digit) or not (is_digit or is_positive):
            raise ValueError(f"{value!r} 不是一位数字，应为 0 到 9")
        return int(text)

    @property
    def city_code(self) -> str:
        """`BJ`: what tells cities apart, whatever they are displayed as."""
        return self.key.partition("-")[0]

    @property
    def last_settle_day(self) -> date:
        return self.end + timedelta(days=self.settle_days)

    def is_active(self, day: date) -> bool:
        """Whether it is the campaign's time on this day: from its start to the end of its settle days."""
        return self.start <= day <= self.last_settle_day

    def is_pulled(self, day: date) -> bool:
        """Whether a daemon pulls the campaign on this day, unless a person has closed it."""
        return self.card_id is not None and self.is_active(day)

    def takes(self, contracts: pd.DataFrame) -> "pd.Series[bool]":
        """Which rows of a contract frame are of this campaign: its period, and its source types."""
        signed = contracts["signed_at"]
        within = (signed >= pd.Timestamp(self.start)) & (signed < pd.Timestamp(self.end + timedelta(days=1)))
        return within if self.source_types is None else within & contracts["source_type"].isin(self.source_types)

    def source_columns(self) -> tuple[str, ...]:
        """The source columns that the sections need beside those that every campaign needs."""
        pays_self_referrals = self.pays_self_referrals and not self.announcement_only
        by_platform = (
            self.lucky_number is not None
            and self.lucky_number_mode == "personal_sequence"
            and self.lucky_number_sequence_type == "platform_only"
        ) or (self.has_tiers and self.tiered_rewards is not None and self.tiered_rewards.stats == "platform_only")
        needs = {
            "sourceType": self.source_types is not None
            or self.performance_limits.distinguishes_tracks()
            or pays_self_referrals
            or (by_platform and not self.announcement_only),
            "projectAddress": pays_self_referrals,
            "pcContractdocNum": self.historical_contracts,
        }
        return tuple(name for name, is_needed in needs.items() if is_needed)

    @property
    def has_tiers(self) -> bool:
        """Whether there is any tier to win."""
        return bool(self.tiered_rewards and self.tiered_rewards.tiers) and not self.announcement_only

    @property
    def pays_self_referrals(self) -> bool:
        return self.self_referral_rewards is not None and self.self_referral_rewards.enable

    def config_hash(self) -> str:
        """Names this exact configuration in the ledger (`config_snapshots`)."""
        return hashlib.sha256(self.config_json().encode()).hexdigest()[:16]

    def config_json(self) -> str:
        return self.model_dump_json(exclude_unset=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `config_json` wrote. Raises pydantic.ValidationError where another version of the program wrote it."""
        written = {name: value for name, value in json.loads(text).items() if value is not None}  # None: left out
        return cls.model_validate(written, context=dict(STORED))

    def grantable(self) -> Iterator[GrantedName]:
        """Every award name that the sections can grant, with the path that names it."""
        if self.announcement_only:
            return
        for field in type(self).model_fields:
            value = getattr(self, field)
            for at, section in _sections_in(value):
                for path, name in section.award_names():
                    yield (field, *at, *path), name

    def badge_labels(self, housekeeper: str) -> str:
        """The labels of all badges of this housekeeper, in the order of the config."""
        return "".join(badge.label for badge in self.badges.values() if housekeeper in badge.members)


def _sections_in(value: Any) -> Iterator[tuple[tuple[int, ...], Section]]:
    """A section, or the sections of a list with their places."""
    if isinstance(value, Section):
        yield (), value
    elif isinstance(value, tuple):
        yield from (((index,), item) for index, item in enumerate(value) if isinstance(item, Section))
