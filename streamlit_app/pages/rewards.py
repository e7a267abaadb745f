"""奖励构成: what a campaign's payout is made of, how it is spread, and who is about to win more."""

from collections.abc import Callable, Iterator
from datetime import date

import streamlit as st

from modules.figures.award_days import AwardDays, award_days
from modules.figures.composition import Composition, ProviderPart
from modules.figures.cut import Cut
from modules.figures.days import axis_words, day_words
from modules.figures.distribution import Distribution, distribution_of
from modules.figures.months import Period
from modules.figures.ranking import Rank, Ranking
from modules.figures.stages import stage_of
from streamlit_app import charts, data, filters, reading
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.frame import page, show_nothing
from streamlit_app.payees import PER_PROVIDER, counted
from streamlit_app.tables import Cell, Column, show_table

BEFORE, AFTER = "活动期前", "活动期后"
"""Where awards stand that were granted outside the campaign's days."""
NO_PROVIDER = "（不属于服务商）"
PARTS = (
    Column("奖励"),
    Column("类型"),
    Column("个数", "count"),
    Column("得奖管家", "count", help="人数；在几家服务商得这个奖的只算一人"),
    Column("金额（元）", "yuan"),
    Column("占比", "percent"),
    Column("其中补发和调整（元）", "yuan", help="没有对应的合同：settle 补发的奖励，或人工调整"),
)
PROVIDERS = (
    Column("服务商"),
    Column("合同数", "count", help="登记过的合同，后来取消的也在内；不含历史合同"),
    Column("合同金额（元）", "yuan"),
    Column("奖励个数", "count"),
    Column("奖金（元）", "yuan"),
    Column("奖金/合同金额", "percent"),
)


@page("奖励构成", "一个活动的奖金由哪些奖励、哪些天、哪些服务商的合同组成，在管家之间怎样分布，谁快到下一档。")
def main(viewer: Viewer) -> None:
    period, bar = filters.require_campaign()
    with bar:
        track = filters.choose_track()
    with bar.cell(column_span=2):  # two days need the room
        days = filters.choose_days(period)
    first, last = days or (None, None)
    found = data.composition_of(Cut(period.campaign, first, last, track))
    if track:
        st.caption(":material/info: 补发和人工调整没有对应的合同，不属于任何渠道，选了渠道就不在下面的数字里")
    if found.parts or found.contracts:
        _show(period, found, days or (period.start, min(period.end, max(period.as_of.date(), period.start))))
    else:
        show_nothing("这些条件下没有登记合同，也没有奖励；请放宽日期或渠道")
    ranking = data.ranking_of(period.campaign)
    _show_near(period, ranking)
    _show_owed(ranking)


def _show(period: Period, found: Composition, days: tuple[date, date]) -> None:
    spread = distribution_of(list(found.by_person().values()))
    share = found.payout / found.amount if found.amount else None
    show_cards(
        [
            Card("奖金合计", charts.yuan(found.payout), "所选日期和渠道的全部奖励；不选时和“发放”的应发合计一致"),
            Card("奖励", f"{sum(part.number for part in found.parts):,} 个"),
            Card(
                "得奖管家",
                f"{spread.paid:,} 人",
                f"另有 {spread.none + spread.negative:,} 人签了合同、没有奖金；{PER_PROVIDER}",
            ),
            Card(
                "中位数",
                charts.yuan(spread.median),
                "在得奖的管家里：一半拿得比这多，一半比这少；在几家服务商得的奖合在一起",
            ),
            Card("奖金 / 合同金额", "—" if share is None else f"{share:.2%}"),
        ]
    )
    if not found.parts:
        show_nothing("有合同，但还没有产生奖励")
        return
    _show_parts(period, found)
    _show_days(period, found, days)
    _show_providers(period, found)
    _show_spread(found, spread)


def _show_parts(period: Period, found: Composition) -> None:
    kinds, largest = found.kinds(), found.parts[0]
    st.subheader("按奖励和类型", anchor=False)
    left, right = st.columns(2)
    with left:
        charts.show_amounts(
            f"金额最多的奖励是{largest.name}：{largest.number:,} 个，共 {charts.yuan(largest.amount)}，"
            f"{_of_all(largest.amount, found.payout)}。",
            [(part.name, part.kind, part.amount) for part in found.parts],
            of="类型",
            order=list(kinds),
        )
    with right:
        words = "，".join(f"{kind} {charts.yuan(fen)}（{_percent(fen, found.payout)}）" for kind, fen in kinds.items())
        charts.show_amounts(
            f"按类型：{words}。", [(kind, kind, fen) for kind, fen in kinds.items()], of="类型", order=list(kinds)
        )
    rows: list[list[Cell]] = [
        [
            part.name,
            part.kind,
            part.number,
            part.people,
            part.amount,
            part.amount / found.payout if found.payout else None,
            part.corrections,
        ]
        for part in found.parts
    ]
    show_table("按奖励", PARTS, rows, file_name=f"奖励构成-{period.campaign}")


def _show_days(period: Period, found: Composition, days: tuple[date, date]) -> None:
    about = f"合同签约的那一天；补发和人工调整算在发放的那一天，不在活动期内的另列在“{AFTER}”（或“{BEFORE}”）"
    st.subheader("按天", anchor=False, help=about)
    by_day = award_days(found.days, period, *days)
    names = axis_words(by_day.days)
    bars = [(names[part.day], part.kind, part.amount) for part in by_day.within]
    bars = [(BEFORE, kind, fen) for kind, fen in by_day.before.items()] + bars
    bars += [(AFTER, kind, fen) for kind, fen in by_day.after.items()]
    charts.show_stacks(
        f"{'；'.join(_days_words(by_day))}。",
        bars,
        of="类型",
        order=list(found.kinds()),
        names=[*([BEFORE] if by_day.before else []), *names.values(), *([AFTER] if by_day.after else [])],
        flat=False,
    )


def _days_words(by_day: AwardDays) -> Iterator[str]:
    sums, number = by_day.sums, len(by_day.days)
    if sums:
        best = max(sums, key=lambda day: (sums[day], day))
        yield f"奖金最多的是 {day_words(best)}（{charts.yuan(sums[best])}）"
        yield f"{number} 天里有 {len(sums)} 天产生了奖金，平均每天 {charts.yuan(by_day.average)}"
    else:
        yield f"{number} 天里没有产生奖金"
    for name, place, kinds in ((BEFORE, "最前", by_day.before), (AFTER, "最后", by_day.after)):
        if kinds:
            amount = charts.yuan(sum(kinds.values()))
            yield f"{name}补发和人工调整的 {amount}另列在{place}一栏，不算进平均"


def _show_providers(period: Period, found: Composition) -> None:
    st.subheader("按服务商", anchor=False)
    largest = found.providers[0]
    known = [one for one in found.providers if one.amount]
    dearest = max(known, key=lambda one: one.payout / one.amount, default=None)
    says = f"奖金最多的是{_provider(largest)}的合同：{charts.yuan(largest.payout)}"
    says += f"，{_of_all(largest.payout, found.payout)}"
    if dearest is not None:
        says += f"；每元合同奖金最高的是{_provider(dearest)}，{dearest.payout / dearest.amount:.2%}"
    rows = [(_provider(one), "奖金", one.payout) for one in found.providers]
    charts.show_amounts(f"{says}。", rows, of="数字", order=["奖金"])
    table: list[list[Cell]] = [
        [
            _provider(one),
            one.contracts,
            one.amount,
            one.awards,
            one.payout,
            one.payout / one.amount if one.amount else None,
        ]
        for one in found.providers
    ]
    show_table("按服务商", PROVIDERS, table, file_name=f"服务商奖金-{period.campaign}")


def _show_spread(found: Composition, spread: Distribution) -> None:
    st.subheader("管家之间的分布", anchor=False)
    if not spread.paid:
        show_nothing("还没有管家得到奖金")
        return
    everybody = spread.paid + spread.none + spread.negative
    top = _percent(spread.top_amount, sum(one for one in found.by_person().values() if one > 0))
    charts.show_columns(
        f"{everybody:,} 位管家里 {spread.paid:,} 位有奖金，中位数 {charts.yuan(spread.median)}；"
        f"拿得最多的 {spread.top:,} 位共得 {charts.yuan(spread.top_amount)}，占 {top}。",
        list(_columns(spread)),
        what="管家（人）",
        by="应发（元）",
    )


def _columns(spread: Distribution) -> Iterator[tuple[str, float]]:
    if spread.negative:
        yield "负数", spread.negative
    if spread.none:
        yield "没有", spread.none
    for step in spread.steps:
        low, high = step.low // 100, step.high // 100
        yield (f"{low:,} 起" if low else f"不到 {high:,}"), step.number


def _show_near(period: Period, ranking: Ranking) -> None:
    if not ranking.has_tiers:
        return
    st.subheader(
        "快到下一档的管家", anchor=False, help="业绩最多差一成，合同最多差一单；看整个活动，不受日期和渠道影响"
    )
    near = [one for one in ranking.ranks if one.is_near]
    if not near:
        show_nothing("没有管家离下一档只差一成业绩、一单合同以内")
        return
    worth = sum(one.next_tier.worth for one in near if one.next_tier)
    is_on = stage_of(period, reading.today()) == "open"
    then = f"活动到 {day_words(period.end)}为止" if is_on else "活动期已过，这些是差一点的人"
    st.caption(
        f"有 {counted(one.payee for one in near)}；如果都达到，再发 {charts.yuan(worth)}。{then}。点一行看管家详情。"
    )
    columns = [
        Column("下一档"),
        Column("进度", "share"),
        Column("还差合同", "count"),
        Column("还差业绩（元）", "yuan"),
        Column("达到再得（元）", "yuan"),
        Column("已应发（元）", "yuan"),
    ]
    _show_ranks("快到下一档", ranking, near, columns, _near_cells)


def _show_owed(ranking: Ranking) -> None:
    owed = [one for one in ranking.ranks if one.owed]
    if not owed:
        return
    st.subheader("已达到、待补发", anchor=False, help="条件已经达到、还没有发的节节高；看整个活动，不受日期和渠道影响")
    worth = charts.yuan(sum(sum(one.owed.values()) for one in owed))
    then = (
        "随下一个新合同发放，或由 settle 补发" if ranking.closed_at is None else "活动已结账，要发请用 adjust 人工调整"
    )
    st.caption(f"有 {counted(one.payee for one in owed)}，共 {worth}，还没有算进应发：{then}。点一行看管家详情。")
    columns = [Column("已达到"), Column("待补发（元）", "yuan"), Column("已应发（元）", "yuan")]
    _show_ranks("待补发", ranking, owed, columns, _owed_cells)


def _show_ranks(
    name: str, ranking: Ranking, ranks: list[Rank], columns: list[Column], cells_of: Callable[[Rank], list[Cell]]
) -> None:
    """Some of the ranking, by housekeeper and, where there are any, provider; a touch leads to the housekeeper."""
    shows_provider = any(one.provider for one in ranks)
    who = [Column("管家"), *([Column("服务商")] if shows_provider else [])]
    rows = [[one.housekeeper, *([one.provider] if shows_provider else []), *cells_of(one)] for one in ranks]
    file_name = f"{name}-{ranking.campaign}"
    for picked in show_table(name, [*who, *columns], rows, file_name=file_name, select="one"):
        filters.open_housekeeper(ranking.campaign, ranks[picked].housekeeper)


def _near_cells(one: Rank) -> list[Cell]:
    tier = one.next_tier
    missing: list[Cell] = [tier.name, tier.progress, tier.contracts, tier.fen, tier.worth] if tier is not None else []
    return [*missing, one.payout]


def _owed_cells(one: Rank) -> list[Cell]:
    return ["、".join(one.owed), sum(one.owed.values()), one.payout]


def _provider(one: ProviderPart) -> str:
    return one.provider or NO_PROVIDER


def _of_all(part: int, whole: int) -> str:
    return f"占 {_percent(part, whole)}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "—"


main()
