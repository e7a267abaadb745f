"""排行榜: the housekeepers of a campaign, best first; a selected row leads to the housekeeper."""

from collections.abc import Iterator, Mapping

import streamlit as st

from modules.explanation_words import payee_words
from modules.figures.ranking import Rank, Ranking, Signed
from streamlit_app import charts, data, filters
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.frame import page, show_nothing
from streamlit_app.payees import counted, people_card
from streamlit_app.tables import Cell, Column, show_table
from streamlit_app.words import plain

TOP = 15
"""How many the chart shows."""


@page("排行榜", "一个活动里的每个管家：签了多少、离下一档奖励还差多少、已得什么奖。点一行看管家详情。")
def main(viewer: Viewer) -> None:
    period, bar = filters.require_campaign()
    ranking = data.ranking_of(period.campaign)
    with bar:
        award = filters.choose_or_all("award", "得过的奖励", ranking.names)
        housekeeper = filters.choose_or_all("housekeeper", "管家", sorted({one.housekeeper for one in ranking.ranks}))
        track = filters.choose_track()
    with bar.cell(column_span=2):  # two days need the room
        days = filters.choose_days(period)
    _show_notes(ranking)
    ranks = [one for one in ranking.ranks if award in (None, *one.awards) and housekeeper in (None, one.housekeeper)]
    signed = None
    if days or track:
        first, last = days or (None, None)
        signed = data.signed_by_payee(period.campaign, first, last, track)
        ranks = [one for one in ranks if one.payee in signed]
        ranks.sort(key=lambda one: -signed[one.payee].performance)
    if not ranks:
        show_nothing("没有符合筛选条件的管家" if ranking.ranks else "这个活动还没有登记合同")
        return
    _show(ranking, ranks, signed)


def _show(ranking: Ranking, ranks: list[Rank], signed: Mapping[str, Signed] | None) -> None:
    """`signed`: what each signed within the chosen days and track; None where neither is chosen."""
    shows_provider = any(one.provider for one in ranking.ranks)
    best = ranks[:TOP]
    show_cards(_cards(ranks, [signed[one.payee] for one in ranks] if signed is not None else None))
    columns = _columns(shows_provider=shows_provider, has_tiers=ranking.has_tiers, shows_signed=signed is not None)
    rows = [
        _row(ranking, one, signed[one.payee] if signed is not None else None, shows_provider=shows_provider)
        for one in ranks
    ]
    if signed is not None:
        st.caption(":material/filter_alt: “筛选内”三列只算所选日期和渠道里签的合同；其余各列是整个活动的")
    for picked in show_table("排行榜", columns, rows, file_name=f"排行榜-{ranking.campaign}", select="one"):
        filters.open_housekeeper(ranking.campaign, ranks[picked].housekeeper)
    charts.show_bars(
        f"累计业绩（元）最高的 {counted(one.payee for one in best)}，颜色是已得奖金的多少。",
        [(payee_words(one.payee), one.performance / 100, one.payout / 100) for one in best],
        what="累计业绩（元）",
        colour="奖金（元）",
    )


def _cards(ranks: list[Rank], signed: list[Signed] | None) -> Iterator[Card]:
    """Of days and track contracts and performance are told as far as they lie within; all else is the campaign's."""
    payout = charts.yuan(sum(one.payout for one in ranks))
    near = people_card(
        "离下一档不远", (one.payee for one in ranks if one.is_near), "业绩最多差一成，合同最多差一单；看整个活动"
    )
    yield people_card("管家", (one.payee for one in ranks))
    if signed is None:
        yield Card("合同", f"{sum(one.contracts for one in ranks):,} 单")
        yield Card("累计业绩", charts.yuan(sum(one.performance for one in ranks)), "仍然有效的合同，按现在的金额")
        yield Card("应发合计", payout)
    else:
        within = "所选日期和渠道里签的合同，按登记时的金额"
        yield Card("筛选内合同", f"{sum(one.contracts for one in signed):,} 单", within)
        yield Card("筛选内业绩", charts.yuan(sum(one.performance for one in signed)), within)
        yield Card("应发（整个活动）", payout, "这些管家在整个活动里的应发，不受日期和渠道影响")
    yield near


def _show_notes(ranking: Ranking) -> None:
    if ranking.note:
        st.warning(plain(ranking.note), icon=":material/info:")
    if ranking.closed_at is not None:
        st.caption(f":material/lock: 活动已于 {ranking.closed_at:%Y-%m-%d %H:%M} 结账，数字不再变化")


def _columns(*, shows_provider: bool, has_tiers: bool, shows_signed: bool) -> list[Column]:
    chosen = [Column("筛选内合同", "count"), Column("筛选内金额（元）", "yuan"), Column("筛选内业绩（元）", "yuan")]
    return [
        Column("名次", "count"),
        Column("管家"),
        *([Column("服务商")] if shows_provider else []),
        *(chosen if shows_signed else []),
        Column("合同数", "count", help="登记过的合同，后来取消的也在内；不含历史合同"),
        Column("累计业绩（元）", "yuan", help="仍然有效的合同的计入业绩金额"),
        Column("应发（元）", "yuan", help="全部奖励、补发和人工调整，和“发放”一致"),
        *(
            [
                Column("下一档"),
                Column("进度", "share"),
                Column("还差", help="合同数和计入业绩；活动只看平台单的，只算平台单"),
            ]
            if has_tiers
            else []
        ),
        Column("已得奖励", wide=True),
    ]


def _row(ranking: Ranking, one: Rank, signed: Signed | None, *, shows_provider: bool) -> list[Cell]:
    tier, is_closed = one.next_tier, ranking.closed_at is not None
    progress: list[Cell] = ["全部已得", 1.0, ""]
    if tier is not None:
        progress = [tier.name, tier.progress, "" if is_closed else tier.missing]
    return [
        one.place,
        one.housekeeper,
        *([one.provider] if shows_provider else []),
        *([signed.contracts, signed.amount, signed.performance] if signed else []),
        one.contracts,
        one.performance,
        one.payout,
        *(progress if ranking.has_tiers else []),
        one.awards_words,
    ]


main()
