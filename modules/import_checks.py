"""Whether the rows of a performance file may become a ledger: each check looks at the whole file and tells every fault.

Pure. `CHECKS` lists them; a fault stops the import, what `warnings_of` tells does not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from modules.contracts import signed_within
from modules.performance_file import COUNT, NUMBER, PERFORMANCE, REGISTERED, TOTAL, BadRow, FileRow, PerformanceFile
from modules.rewards.campaign import Campaign
from modules.rewards.money import format_yuan
from modules.rewards.rules import Tiers, kinds

SHOWN_AT_ONCE = 10
"""How many numbers or lines a warning lists."""


@dataclass(frozen=True)
class Book:
    """A file as it would be registered.

    `contracts`: its contract frame with payee, and historical as it would be registered; `performance`: what each
    row counts (fen); `campaign_keys`: all campaigns of this installation.
    """

    campaign: Campaign
    file: PerformanceFile
    contracts: pd.DataFrame
    performance: list[int]
    campaign_keys: frozenset[str]


def bad_rows_of(book: Book) -> Iterator[BadRow]:
    """Every row that can't be taken over, with why."""
    for check in CHECKS:
        yield from check(book)


def _numbers(book: Book) -> Iterator[BadRow]:
    lines: dict[int, int] = {}
    last, in_order = 0, True
    for row, historical in zip(book.file.rows, book.contracts["historical"].tolist(), strict=True):
        if row.sequence is None:
            if not historical:
                yield _bad(row, f"没有{NUMBER}；只有历史合同可以没有，而活动配置没有打开 historical_contracts")
            continue
        if row.sequence in lines:
            yield _bad(row, f"{NUMBER} {row.sequence} 与第 {lines[row.sequence]} 行重复")
        elif row.sequence < last and in_order:
            in_order = False  # one is enough: after it all may be out of order
            words = f"{NUMBER} {row.sequence} 排在 {last} 之后"
            yield _bad(row, f"{words}；行的顺序就是登记的顺序，请用没有重新排序过的原文件")
        lines.setdefault(row.sequence, row.line)
        last = max(last, row.sequence)


def _known_awards(book: Book) -> Iterator[BadRow]:
    mapping, known_kinds = book.campaign.awards_mapping, kinds()
    tiers = {tier.name for tier in book.campaign.tiered_rewards.tiers} if book.campaign.tiered_rewards else set()
    tiers -= {name for path, name in book.campaign.grantable() if path[0] != "tiered_rewards"}
    for row, historical in zip(book.file.rows, book.contracts["historical"].tolist(), strict=True):
        if historical and row.awards:
            yield _bad(row, f"没有{NUMBER}的历史合同不能有奖励")
        for kind, name in row.awards:
            if name not in mapping:
                yield _bad(row, f"奖励名称 {name} 不在活动配置的 awards_mapping 里，现有：{'、'.join(mapping) or '无'}")
            if kind not in known_kinds:
                yield _bad(row, f"奖励类型 {kind} 不认识，应为：{'、'.join(known_kinds)}")
            elif name in tiers and kind != Tiers.kind:
                yield _bad(row, f"奖励 {name} 是{Tiers.kind}的一档，而奖励类型写的是 {kind}")


def _tiers_once(book: Book) -> Iterator[BadRow]:
    granted: dict[tuple[str, str], int] = {}
    for row, payee in zip(book.file.rows, book.contracts["payee"].tolist(), strict=True):
        for name in (name for kind, name in row.awards if kind == Tiers.kind):
            if (payee, name) in granted:
                yield _bad(row, f"{Tiers.kind} {name} 已在第 {granted[payee, name]} 行发过，同一人不能得两次")
            granted.setdefault((payee, name), row.line)


def _plausible_performance(book: Book) -> Iterator[BadRow]:
    """0 ≤ performance ≤ amount. Where rows are missing as unreadable, a difference may hold theirs too."""
    is_difference = book.file.rows[0].performance is None if book.file.rows else False
    may_hold_others = is_difference and bool(book.file.bad_rows)
    amounts = book.contracts["amount"].tolist()
    for row, own, amount in zip(book.file.rows, book.performance, amounts, strict=True):
        if own < 0 or (own > amount and not may_hold_others):
            how = "（与同一人上一行的累计数之差）" if is_difference else ""
            words = f"{PERFORMANCE}{how}为 {format_yuan(own)} 元，应在 0 和合同金额 {format_yuan(amount)} 元之间"
            yield _bad(row, words)


def _other_campaign(book: Book) -> Iterator[BadRow]:
    for row in book.file.rows:
        if row.campaign != book.campaign.key and row.campaign in book.campaign_keys:
            yield _bad(row, f"活动编号是 {row.campaign}，不是 {book.campaign.key}")


def _some_in_period(book: Book) -> Iterator[BadRow]:
    """Where not one contract is of the campaign's time, the file is of another campaign."""
    start, end = book.campaign.start, book.campaign.end
    if book.file.rows and not signed_within(book.contracts, start, end).any():
        words = f"签约时间不在活动期 {start} 至 {end} 内，而且整个文件没有一个合同在内；请检查文件和 --campaign"
        yield _bad(book.file.rows[0], words)


CHECKS: tuple[Callable[[Book], Iterator[BadRow]], ...] = (
    _other_campaign,
    _some_in_period,
    _numbers,
    _known_awards,
    _tiers_once,
    _plausible_performance,
)


def warnings_of(book: Book) -> Iterator[str]:
    """What a person should know and that stops nothing."""
    rows, campaign = book.file.rows, book.campaign
    if book.file.is_ours:
        yield (
            f"这是本系统自己写的文件：settle 补发的奖励和人工调整不在里面（在 Corrections-{campaign.key}.csv 里），"
            "导入以后，补发过的会再发一次，调整过的要重新调整。台账在数据库里，要搬到别处请复制 tasks.db"
        )
    numbers = {row.sequence for row in rows if row.sequence is not None}
    highest = max(numbers, default=0)
    gaps = [str(number) for number in range(1, highest) if number not in numbers]
    if gaps:
        yield f"{NUMBER}有空缺：{_some(gaps)}；空缺不补，新合同从 {highest + 1} 起"
    others = sorted({row.campaign for row in rows} - {campaign.key, ""})
    if others:
        yield f"文件里的活动编号是 {_some(others)}，按 {campaign.key} 导入"
    outside = ~signed_within(book.contracts, campaign.start, campaign.end)
    if outside.any():
        lines = [str(line) for line in book.contracts.loc[outside, "line"].tolist()]
        yield f"第 {_some(lines)} 行的签约时间不在活动期 {campaign.start} 至 {campaign.end} 内，照样导入"
    untimed = [str(row.line) for row in rows if row.registered_at is None]
    if untimed:
        yield f"第 {_some(untimed)} 行没有读得懂的{REGISTERED}，按现在的时间登记"
    absent = [title for title in (COUNT, TOTAL, PERFORMANCE) if title not in book.file.columns]
    if absent:
        yield f"文件里没有 {'、'.join(absent)}，按活动规则从文件里的合同算出"


def _some(items: list[str]) -> str:
    rest = len(items) - SHOWN_AT_ONCE
    return "、".join(items[:SHOWN_AT_ONCE]) + (f" 等 {len(items)} 个" if rest > 0 else "")


def _bad(row: FileRow, why: str) -> BadRow:
    return BadRow(row.line, row.contract_id, why)
