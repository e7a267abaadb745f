"""One small class per kind of reward. Each looks at the new rows and says which it grants, why, and what is missing.

The engine and `determine_rewards_generic` ask them all in the same way and never ask which kind they have.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

import numpy as np

from modules.rewards.campaign import Campaign
from modules.rewards.explain import amount_range, gap
from modules.rewards.money import format_yuan
from modules.rewards.rule import Grant, Granted, Missing, NewRows, Position, Rule, Verdict
from modules.rewards.sections import ContractBand, LuckyRewards, OpeningReward, SelfReferralRewards, TieredRewards
from modules.rewards.totals import BoolArray, IntArray

NOBODY = np.array([], dtype=np.int64)


class Opening:
    """开门红: the first contracts of the campaign."""

    kind: ClassVar[str] = "幸运数字"

    def __init__(self, section: OpeningReward) -> None:
        self._section = section

    @classmethod
    def of(cls, campaign: Campaign) -> Self | None:
        return cls(campaign.opening_reward) if campaign.opening_reward else None

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        first, name = self._section.first, self._section.name
        why = f"活动期内第 {{sequence}} 单，在前 {first} 单之内"
        return Verdict([Grant(self.kind, name, "opening_reward", 0, why, np.flatnonzero(rows.sequence <= first))])

    def outlook(self, position: Position) -> Sequence[str]:
        if position.sequence >= self._section.first:
            return []
        return [f"{self._section.name}：活动期内前 {self._section.first} 单有奖，目前到第 {position.sequence} 单"]


SEQUENCES = {
    "global": ("sequence", "活动期内"),
    "personal": ("personal_sequence", "个人"),
    "platform_only": ("platform_sequence", "个人平台单"),
}
"""What a lucky number can be counted on: the figure of `NewRows` and `Position`, and its name."""


class LuckyNumber:
    """幸运数字: the last digit of the activity sequence, or every n-th of a sequence; not among the opening rows."""

    kind: ClassVar[str] = "幸运数字"

    def __init__(self, campaign: Campaign, number: int, rewards: LuckyRewards) -> None:
        self._number = number
        self._rewards = rewards
        self._opening = campaign.opening_reward.first if campaign.opening_reward else 0
        self._is_digit = campaign.lucky_number_mode == "contract_number"
        counted_on = "global" if self._is_digit else campaign.lucky_number_sequence_type
        self._figure, self._what = SEQUENCES[counted_on]

    @classmethod
    def of(cls, campaign: Campaign) -> Self | None:
        if campaign.lucky_number is None or campaign.lucky_rewards is None:
            return None
        return cls(campaign, campaign.lucky_number, campaign.lucky_rewards)

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        at: IntArray = getattr(rows, self._figure)
        lucky = (at % 10 == self._number) if self._is_digit else (at > 0) & (at % self._number == 0)
        lucky &= rows.sequence > self._opening
        base, high = self._rewards.base, self._rewards.high
        why = f"{self._what}第 {{{self._figure}}} 单，"
        why += f"尾数是幸运数字 {self._number}" if self._is_digit else f"是 {self._number} 的倍数"
        if high is None:
            return Verdict([Grant(self.kind, base.name, "lucky_rewards.base", 0, why, np.flatnonzero(lucky))])
        is_high = rows.amount >= high.threshold
        limit = format_yuan(high.threshold)
        below, above = (f"{why}；合同金额 {{amount}} 元，{side} {limit} 元" for side in ("低于", "不低于"))
        of_base, of_high = np.flatnonzero(lucky & ~is_high), np.flatnonzero(lucky & is_high)
        return Verdict(
            [
                Grant(self.kind, base.name, "lucky_rewards.base", 0, below, of_base),
                Grant(self.kind, high.name, "lucky_rewards.high", high.threshold, above, of_high),
            ]
        )

    def outlook(self, position: Position) -> Sequence[str]:
        at: int = getattr(position, self._figure)
        step = 10 if self._is_digit else self._number
        following = at + 1 + (self._number - at - 1) % step
        while self._figure == "sequence" and following <= self._opening:
            following += step
        return [f"幸运数字：下一个中奖的是{self._what}第 {following} 单，目前到第 {at} 单"]


class ContractRewards:
    """签约奖励: by the amount of a single contract, perhaps only for the first ones, perhaps only so many."""

    kind: ClassVar[str] = "签约奖励"

    def __init__(self, bands: Sequence[ContractBand]) -> None:
        self._bands = bands

    @classmethod
    def of(cls, campaign: Campaign) -> Self | None:
        return cls(campaign.contract_rewards) if campaign.contract_rewards else None

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        is_free = np.ones(len(rows.amount), dtype=np.bool_)
        grants = []
        for index, band in enumerate(self._bands):
            fits = is_free & _fits(band, rows)
            is_free &= ~fits
            winners = np.flatnonzero(fits)
            if band.quota is not None:
                winners = winners[: max(band.quota - len(granted.get((self.kind, band.name), ())), 0)]
            path = f"contract_rewards[{index}]"
            grants.append(Grant(self.kind, band.name, path, band.min_amount, _band_why(band), winners))
        return Verdict(grants)

    def outlook(self, position: Position) -> Sequence[str]:
        return list(self._outlook(position))

    def _outlook(self, position: Position) -> Iterator[str]:
        for band in self._bands:
            if band.first_contracts is not None and position.sequence >= band.first_contracts:
                continue
            words = f"{band.name}：单个合同 {amount_range(band)}"
            if band.first_contracts is not None:
                words += f"，活动期内前 {band.first_contracts} 单，目前到第 {position.sequence} 单"
            if band.quota is not None:
                left = max(band.quota - position.used.get((self.kind, band.name), 0), 0)
                words += f"，还剩 {left} 个名额" if left else f"，{band.quota} 个名额已用完"
            yield words


class SelfReferral:
    """自引单: a red packet for a self-referral contract at an address that is new to its payee."""

    kind: ClassVar[str] = "自引单"

    def __init__(self, name: str) -> None:
        self._name = name

    @classmethod
    def of(cls, campaign: Campaign) -> Self | None:
        section: SelfReferralRewards | None = campaign.self_referral_rewards
        return cls(section.reward_name) if section and section.enable and section.reward_name else None

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        why = "自引单，这个项目地址在本活动中第一次登记在该管家名下：{address}"
        winners = np.flatnonzero(rows.is_first_at_address)
        return Verdict([Grant(self.kind, self._name, "self_referral_rewards", 0, why, winners)])

    def outlook(self, position: Position) -> Sequence[str]:
        return [f"{self._name}：每个新地址的自引单一个"]


class Tiers:
    """节节高: every step that the performance total has reached, once per payee and campaign."""

    kind: ClassVar[str] = "节节高"

    def __init__(self, section: TieredRewards) -> None:
        self._section = section
        self._platform_only = section.stats == "platform_only"
        self._what = "平台单" if self._platform_only else "合同"

    @classmethod
    def of(cls, campaign: Campaign) -> Self | None:
        return cls(campaign.tiered_rewards) if campaign.tiered_rewards and campaign.tiered_rewards.tiers else None

    def judge(self, rows: NewRows, granted: Granted) -> Verdict:
        count, total = rows.count, rows.performance_total
        can_win = count >= self._section.min_contracts
        if self._platform_only:
            count, total = rows.platform_count, rows.platform_performance_total
            can_win = (count >= self._section.min_contracts) & ~rows.self_referral
        first = [
            self._first_rows(rows, can_win & (total >= tier.threshold), granted.get((self.kind, tier.name), NOBODY))
            for tier in self._section.tiers
        ]
        grants = [
            self._grant(index, np.sort(first[index][(first[index] >= 0) & (first[index] < len(rows.payee))]))
            for index in reversed(range(len(first)))
        ]
        return Verdict(grants, self._missing(rows.payee, count, total, first))

    def earned(self, position: Position) -> Sequence[Grant]:
        """The steps that a payee's totals reach, highest first; nothing without a standing row."""
        count, total = self._counted(position)
        if not self._stands(position) or count < self._section.min_contracts:
            return []
        reached = [index for index, tier in enumerate(self._section.tiers) if total >= tier.threshold]
        return [self._grant(index, NOBODY) for index in reversed(reached)]

    def lacks(self, name: str, position: Position) -> str:
        """Both what is missing of contracts and of performance; that there is no such step any more."""
        tier = next((tier for tier in self._section.tiers if tier.name == name), None)
        if tier is None:
            return "活动配置里已没有这一档"
        count, total = self._counted(position)
        at_least = max(self._section.min_contracts, 0 if self._stands(position) else 1)
        what, words = "平台单" if self._platform_only else "", []
        if count < at_least:
            words.append(f"{what}累计 {count} 单，还差 {at_least - count} 单")
        if total < tier.threshold:
            short = format_yuan(tier.threshold - total)
            words.append(f"{what}累计计入业绩 {format_yuan(total)} 元，还差 {short} 元")
        return "；".join(words)

    def outlook(self, position: Position) -> Sequence[str]:
        missing = [tier for tier in self._section.tiers if (self.kind, tier.name) not in position.granted]
        owed = {grant.name for grant in self.earned(position)}
        words = [
            f"{tier.name}：条件已达到，随下一个新{self._what}发放，或由 settle 补发"
            for tier in missing
            if tier.name in owed
        ]
        unmet = [tier for tier in missing if tier.name not in owed]
        if unmet:
            count, total = self._counted(position)
            short = max(unmet[0].threshold - total, 0)
            at_least = max(self._section.min_contracts, 0 if short else 1)
            words.append(gap(unmet[0].name, at_least - count, short))
        return words or ["节节高各档均已获得"]

    def _stands(self, position: Position) -> bool:
        """Whether the payee has any row left that the ladder goes by."""
        return bool(position.platform_standing if self._platform_only else position.standing)

    def _counted(self, position: Position) -> tuple[int, int]:
        if self._platform_only:
            return position.platform_count, position.platform_performance_total
        return position.count, position.performance_total

    @staticmethod
    def _first_rows(rows: NewRows, earned: BoolArray, granted: IntArray) -> IntArray:
        """Per payee the position of the row that is granted a step: -1 granted before, past the end not yet."""
        first = np.full(rows.payees, len(rows.payee), dtype=np.int64)
        positions = np.flatnonzero(earned)[::-1]
        first[rows.payee[positions]] = positions  # of several the last one written stands: the earliest
        first[granted] = -1
        return first

    def _grant(self, index: int, rows: IntArray) -> Grant:
        tier = self._section.tiers[index]
        what, count, total = "", "{count}", "{performance_total}"
        if self._platform_only:
            what, count, total = "平台单", "{platform_count}", "{platform_performance_total}"
        at_least = self._section.min_contracts
        why = (
            f"{what}累计 {count} 单{f'，不少于 {at_least} 单' if at_least else ''}；"
            f"{what}累计计入业绩 {total} 元，不低于 {format_yuan(tier.threshold)} 元"
        )
        return Grant(self.kind, tier.name, f"tiered_rewards.tiers[{index}]", tier.threshold, why, rows)

    def _missing(self, payee: IntArray, count: IntArray, total: IntArray, first: Sequence[IntArray]) -> Missing:
        position = np.arange(len(payee))
        step = np.full(len(payee), -1, dtype=np.int64)
        for index in reversed(range(len(first))):
            step[first[index][payee] > position] = index
        thresholds = np.array([tier.threshold for tier in self._section.tiers], dtype=np.int64)
        is_open = step >= 0
        contracts = np.where(is_open, np.maximum(self._section.min_contracts - count, 0), 0)
        fen = np.where(is_open, np.maximum(thresholds[step] - total, 0), 0)
        return Missing(tuple(tier.name for tier in self._section.tiers), step, contracts, fen)


RULES: tuple[type[Rule], ...] = (Opening, LuckyNumber, ContractRewards, SelfReferral, Tiers)
"""All kinds of reward, in the order in which a row's awards are recorded."""


def rules_of(campaign: Campaign) -> tuple[Rule, ...]:
    """The rules that are switched on."""
    if campaign.announcement_only:
        return ()
    found = (rule.of(campaign) for rule in RULES)
    return tuple(rule for rule in found if rule is not None)


def kinds() -> tuple[str, ...]:
    """The names of all kinds in the record, each once."""
    return tuple(dict.fromkeys(rule.kind for rule in RULES))


def _fits(band: ContractBand, rows: NewRows) -> BoolArray:
    fits: BoolArray = rows.amount >= band.min_amount
    if band.below_amount is not None:
        fits = fits & (rows.amount < band.below_amount)
    if band.first_contracts is not None:
        fits = fits & (rows.sequence <= band.first_contracts)
    return fits


def _band_why(band: ContractBand) -> str:
    words = f"合同金额 {{amount}} 元，符合“{amount_range(band)}”"
    if band.first_contracts is not None:
        words += f"；活动期内第 {{sequence}} 单，在前 {band.first_contracts} 单之内"
    return words if band.quota is None else f"{words}；全活动共 {band.quota} 个名额，当时还没有用完"
