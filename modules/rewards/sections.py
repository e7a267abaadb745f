"""The sections of a REWARD_CONFIGS entry: what each holds, and which award names it can grant.

Amounts are written in yuan and held in fen. Meaning of each key: docs/reward-rules.md; how to add a section:
docs/architecture.md.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from modules.rewards.faults import PathPart
from modules.rewards.money import parse_amount, parse_decimal, plain_yuan

STORED: Mapping[str, object] = {"is_stored": True}
"""The validation context for what was validated before and stored: amounts are in fen, lists of people spelt out."""

IN_YUAN: Mapping[str, object] = {"in_yuan": True}
"""The serialization context for a dump that people read: amounts are in yuan, as text."""


def is_stored(info: ValidationInfo) -> bool:
    """Whether a stored configuration is being read back, and not an entry that a person wrote."""
    return bool((info.context or {}).get("is_stored"))


def _fen(value: object, info: ValidationInfo) -> int:
    return int(str(value)) if is_stored(info) else parse_amount(value)


def _shown(fen: int, info: SerializationInfo) -> int | str:
    return plain_yuan(fen) if (info.context or {}).get("in_yuan") else fen


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


def _no_truth_value(value: object) -> object:
    """True is no 1, whatever Python says."""
    if isinstance(value, bool):
        raise ValueError(f"{value} 不是整数，应写整数")  # noqa: TRY004 - pydantic takes ValueError
    return value


WholeNumber = Annotated[int, BeforeValidator(_no_truth_value)]
Fen = Annotated[int, BeforeValidator(_fen), PlainSerializer(_shown)]
Ratio = Annotated[Decimal, BeforeValidator(_ratio)]
Multiplier = Annotated[Decimal, BeforeValidator(_multiplier)]
Positive = Annotated[WholeNumber, Field(gt=0, le=999_999)]
NotNegative = Annotated[WholeNumber, Field(ge=0, le=999_999)]
Name = Annotated[str, Field(min_length=1, pattern=r"^[^,]*$")]
"""No comma: names are listed with commas between them."""

GrantedName = tuple[tuple[PathPart, ...], str]
"""Where a section names an award, and the name."""


class Section(BaseModel):
    """A part of an entry. One that grants awards names them in `award_names`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def award_names(self) -> Iterator[GrantedName]:
        """Every award that this section can grant; the path is relative to the section."""
        yield from ()


class LuckyReward(Section):
    """What a lucky number wins: an award name, from this contract amount (fen) on."""

    name: Name
    threshold: Fen = 0


class LuckyRewards(Section):
    """`base` is won by any amount, `high` from its threshold on."""

    base: LuckyReward
    high: LuckyReward | None = None

    def award_names(self) -> Iterator[GrantedName]:
        yield ("base", "name"), self.base.name
        if self.high is not None:
            yield ("high", "name"), self.high.name


class OpeningReward(Section):
    """The first contracts of the campaign win this award, in place of a lucky number."""

    first: Positive
    name: Name

    def award_names(self) -> Iterator[GrantedName]:
        yield ("name",), self.name


class ContractBand(Section):
    """An award for every contract of an amount (fen) from `min_amount` up to below `below_amount`.

    `first_contracts`: only up to this activity sequence. `quota`: so many of them in the whole campaign.
    """

    name: Name
    min_amount: Fen = 0
    below_amount: Fen | None = None
    first_contracts: Positive | None = None
    quota: NotNegative | None = None

    def award_names(self) -> Iterator[GrantedName]:
        yield ("name",), self.name


class SelfReferralRewards(Section):
    """A red packet for a self-referral contract at an address that is new to its payee."""

    enable: bool = True
    reward_name: Name | None = None

    @field_validator("reward_name", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        """Nothing between the quotes is no name."""
        return None if value == "" else value

    def award_names(self) -> Iterator[GrantedName]:
        if self.enable and self.reward_name is not None:
            yield ("reward_name",), self.reward_name


SELF_REFERRAL_LIMITS = frozenset({"self_referral_contract_cap", "self_referral_project_limit"})
"""The limits of self-referral rows, which follow the general ones where they are not written down."""


class PerformanceLimits(Section):
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
        return bool(self.model_fields_set & SELF_REFERRAL_LIMITS)

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A self-referral limit that is not written down is left out: unlike None it follows the general one."""
        dumped: dict[str, Any] = handler(self)
        unwritten = SELF_REFERRAL_LIMITS - self.model_fields_set
        return {name: value for name, value in dumped.items() if name not in unwritten}

    def _of_track(self, general: str, own: str, self_referral: bool) -> int | None:
        name = own if self_referral and own in self.model_fields_set else general
        limit: int | None = getattr(self, name)
        return limit


class Tier(Section):
    """One step of the ladder: its award, and the performance total (fen) from which it is earned."""

    name: Name
    threshold: Fen


class TieredRewards(Section):
    """The ladder 节节高: steps rising strictly, open to payees with at least `min_contracts` contracts.

    `stats`: whether count and performance total are those of all contracts or of the platform track.
    """

    min_contracts: NotNegative = 0
    tiers: tuple[Tier, ...] = ()
    stats: Literal["total", "platform_only"] = "total"

    def award_names(self) -> Iterator[GrantedName]:
        for index, tier in enumerate(self.tiers):
            yield ("tiers", index, "name"), tier.name
