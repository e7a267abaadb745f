"""方案模拟: move what a campaign is configured with, and see at once what it would have paid, and whom."""

from collections.abc import Iterable, Sequence

import altair as alt
import pandas as pd
import streamlit as st

from modules.explanation_words import payee_words, provider_of
from modules.figures.months import change
from modules.rewards.changes import Change
from modules.rewards.frame import housekeeper_of, number_of_people
from modules.rewards.literal import entry_text
from modules.rewards.simulate import Mover, Payout, Simulated
from modules.simulation_bench import Bench, Trial
from streamlit_app import charts, data, filters
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.frame import fold, page, show_fault, show_nothing
from streamlit_app.levers import turn_levers
from streamlit_app.payees import PER_PROVIDER, counted
from streamlit_app.tables import Cell, Column, show_table
from streamlit_app.words import plain

MOST_BARS = 12
PAID, BASELINE, AFTER = "实发", "原配置", "改后"
GAIN_OR_LOSS = ("多得", "少得")

AWARDS = (
    Column("奖励"),
    Column("类型"),
    Column("实发个数", "count"),
    Column("实发（元）", "yuan"),
    Column("原配置个数", "count"),
    Column("原配置（元）", "yuan"),
    Column("改后个数", "count"),
    Column("改后（元）", "yuan"),
    Column("改后比原配置（元）", "yuan"),
)
PAYEES = (
    Column("管家"),
    Column("服务商"),
    Column("实发（元）", "yuan", help="台账里已发的全部奖励、补发和人工调整"),
    Column("原配置（元）", "yuan", help="照现在的配置，在同样的合同上重算"),
    Column("改后（元）", "yuan"),
    Column("改后比原配置（元）", "yuan"),
)


@page("方案模拟", "改一改门槛、奖金、最低单数和上限，马上看到同样的合同会发多少、谁多谁少。只是计算，什么也不写入。")
def main(viewer: Viewer) -> None:
    period, _bar = filters.require_campaign("还没有任何活动的数据；后台程序第一次拉取之后，就可以在它的合同上模拟")
    bench = data.bench(period.campaign)
    changes = turn_levers(bench)
    trial = bench.tried(changes)
    if trial.result is None:
        _show_faults(trial)
        return
    _show_cards(bench, trial.result, trial.movers)
    for note in (*bench.notes, *map(str, trial.warnings)):
        st.warning(plain(note), icon=":material/info:")
    left, right = st.columns(2, gap="medium") if trial.movers else (st.container(), st.container())
    with left:
        _show_awards(bench, trial.result)
    with right:
        _show_movers(trial.movers)
    _show_tables(bench, trial, trial.result)
    _show_entry(bench, trial, changes)


# -- what comes of it ------------------------------------------------------------------------------------------------


def _show_faults(trial: Trial) -> None:
    show_fault("这样改，配置有错，算不出来；请改正下面各处")
    for fault in trial.faults:
        st.markdown(f"- `{fault.path}`　{plain(fault.text)}")


def _show_cards(bench: Bench, after: Simulated, moved: Sequence[Mover]) -> None:
    more, less = _more_and_less(moved)
    before, is_changed = bench.baseline, after is not bench.baseline
    growth = change(after.payout, before.payout)
    cards = [Card("改后奖金", charts.yuan(after.payout), None, growth, "比原配置", "off")] if is_changed else []
    cards.append(Card("原配置奖金", charts.yuan(before.payout), "照现在的配置，在同样的合同上重算"))
    if bench.paid is not None:
        cards.append(Card("实发", charts.yuan(bench.paid.payout), "台账里已发的全部奖励、补发和人工调整"))
    cards.append(
        Card(
            "得奖的管家",
            f"{after.rewarded_people:,} 人",
            f"共 {after.people:,} 人签约；原配置 {before.rewarded_people:,} 人得奖；{PER_PROVIDER}",
        )
    )
    if is_changed:
        cards.append(Card("多得 / 少得", f"{_people(more)} / {_people(less)} 人", f"改后比原配置；{PER_PROVIDER}"))
    cards.append(Card("占合同金额", _per_cent(after), f"原配置 {_per_cent(before)}"))
    show_cards(cards)


def _show_awards(bench: Bench, after: Simulated) -> None:
    named = _named(bench, after)
    rows = [
        (name, of, _sum(payout, kind, name)[1] / 100)
        for kind, name in _award_names(payout for _, payout in named)
        for of, payout in named
    ]
    if not rows:
        show_nothing("没有任何奖励：照这样改，谁也得不到奖金")
        return
    chart = (
        alt.Chart(pd.DataFrame(rows, columns=["奖励", "按", "奖金（元）"]))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("奖励:N", sort=None, title=None, axis=alt.Axis(labelOverlap=False)),
            yOffset=alt.YOffset("按:N", sort=[PAID, BASELINE, AFTER]),
            x=alt.X("奖金（元）:Q"),
            color=alt.Color(
                "按:N", sort=[PAID, BASELINE, AFTER], title=None, legend=charts.legend_of(row[1] for row in rows)
            ),
            tooltip=[alt.Tooltip("奖励:N"), alt.Tooltip("按:N"), alt.Tooltip("奖金（元）:Q", format=",.2f")],
        )
        .properties(height=14 * len(rows) + 14 * len({row[0] for row in rows}) + 70)
    )
    charts.show_chart(_awards_words(bench, after), chart)


def _awards_words(bench: Bench, after: Simulated) -> str:
    before = bench.baseline
    paid = f"，实发 {charts.yuan(bench.paid.payout)}" if bench.paid else ""
    if after is before:
        return f"照原配置重算共发 {charts.yuan(before.payout)}{paid}；改一改上面的数，看会怎样。"
    differences = {
        name: _sum(after, kind, name)[1] - _sum(before, kind, name)[1] for kind, name in _award_names([before, after])
    }
    most = max(differences, key=lambda name: abs(differences[name]), default="")
    tail = f"；变化最大的是{most}（{_signed(differences[most])}）" if most and differences[most] else ""
    words = f"改后共发 {charts.yuan(after.payout)}，比原配置{_more_or_less(after.payout - before.payout)}{paid}"
    return f"{words}{tail}。"


def _show_movers(moved: Sequence[Mover]) -> None:
    if not moved:
        return
    more, less = _more_and_less(moved)
    shown = sorted(moved[:MOST_BARS], key=lambda one: -one.difference)
    rows = [(payee_words(one.payee), one.difference / 100, "多得" if one.difference > 0 else "少得") for one in shown]
    gained, lost = sum(one.difference for one in more), sum(one.difference for one in less)
    parts = [f"{_people(more)} 人多得，共 {charts.yuan(gained)}"] if more else []
    parts += [f"{_people(less)} 人少得，共 {charts.yuan(-lost)}"] if less else []
    most = moved[0]
    words = f"{'；'.join(parts)}；变化最大的是{payee_words(most.payee)}（{_signed(most.difference)}）"
    chart = (
        alt.Chart(pd.DataFrame(rows, columns=["管家", "相差（元）", "增减"]))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y("管家:N", sort=None, title=None),
            x=alt.X("相差（元）:Q", title="改后比原配置（元）"),
            color=alt.Color(
                "增减:N",
                scale=alt.Scale(domain=[*GAIN_OR_LOSS]),
                title=None,
                legend=charts.legend_of(GAIN_OR_LOSS),
            ),
            tooltip=[alt.Tooltip("管家:N"), alt.Tooltip("相差（元）:Q", format="+,.2f")],
        )
        .properties(height=24 * len(rows) + 140)
    )
    cut = f"（画出变化最大的 {counted(one.payee for one in shown)}）" if len(moved) > len(shown) else ""
    charts.show_chart(f"{words}{cut}。", chart)


def _show_tables(bench: Bench, trial: Trial, after: Simulated) -> None:
    key = bench.campaign.key
    if trial.movers:
        st.subheader("谁多谁少", anchor=False)
        has_providers = bench.campaign.housekeeper_key == "housekeeper+provider"
        rows = [_payee_row(bench, one, has_providers=has_providers) for one in trial.movers]
        columns = [column for column in PAYEES if has_providers or column.title != "服务商"]
        show_table("谁多谁少", columns, rows, file_name=f"模拟-谁多谁少-{key}")
    elif after is not bench.baseline:
        show_nothing("没有人的奖金和原配置不同")
    st.subheader("各项奖励", anchor=False)
    show_table("各项奖励", AWARDS, list(_award_rows(bench, after)), file_name=f"模拟-各项奖励-{key}")


def _show_entry(bench: Bench, trial: Trial, changes: Sequence[Change]) -> None:
    st.subheader("改后的配置", anchor=False)
    if not changes:
        show_nothing("还没有改动；改了以后，这里是可以直接贴进 modules/config.py 的一项")
        return
    st.caption(
        f"已检查，没有错。打开下面这一项，复制它，替换 modules/config.py 里 REWARD_CONFIGS 的 {bench.campaign.key}"
        "（那里的注释会丢），或改一个编号作为新活动；然后运行 check。已经在跑的活动改规则，只影响以后的合同。"
    )
    folded = fold("entry", "配置里的这一项")  # what colours it is 1.5 MB of script
    if folded is not None:
        folded.code(entry_text(bench.campaign.key, trial.entry), language="python")


# -- figures ---------------------------------------------------------------------------------------------------------


def _named(bench: Bench, after: Simulated) -> list[tuple[str, Payout]]:
    """What is compared; without a change only what was paid and what the present configuration pays."""
    paid: list[tuple[str, Payout]] = [(PAID, bench.paid)] if bench.paid else []
    changed: list[tuple[str, Payout]] = [] if after is bench.baseline else [(AFTER, after)]
    return [*paid, (BASELINE, bench.baseline), *changed]


def _award_names(payouts: Iterable[Payout]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((award.kind, award.name) for payout in payouts for award in payout.awards))


def _sum(payout: Payout | None, kind: str, name: str) -> tuple[int, int]:
    """How often an award was granted, and its fen."""
    awards = payout.awards if payout else ()
    return next(((one.count, one.amount) for one in awards if (one.kind, one.name) == (kind, name)), (0, 0))


def _award_rows(bench: Bench, after: Simulated) -> Iterable[list[Cell]]:
    payouts: list[Payout | None] = [bench.paid, bench.baseline, after]
    for kind, name in _award_names(payout for payout in payouts if payout):
        sums = [_sum(payout, kind, name) for payout in payouts]
        yield [name, kind, *(cell for pair in sums for cell in pair), sums[2][1] - sums[1][1]]
    yield [
        "合计",
        "",
        *(cell for payout in payouts for cell in _total(payout)),
        after.payout - bench.baseline.payout,
    ]


def _total(payout: Payout | None) -> tuple[Cell, Cell]:
    return (sum(one.count for one in payout.awards), payout.payout) if payout else (None, None)


def _payee_row(bench: Bench, one: Mover, *, has_providers: bool) -> list[Cell]:
    paid = bench.paid_by_payee.get(one.payee, 0)
    return [
        housekeeper_of(one.payee),
        *([provider_of(one.payee) or ""] if has_providers else []),
        paid,
        one.before,
        one.after,
        one.difference,
    ]


def _more_and_less(moved: Sequence[Mover]) -> tuple[list[Mover], list[Mover]]:
    return [one for one in moved if one.difference > 0], [one for one in moved if one.difference < 0]


def _people(moved: Iterable[Mover]) -> str:
    return f"{number_of_people(one.payee for one in moved):,}"


def _more_or_less(fen: int) -> str:
    return f"{'多' if fen > 0 else '少'} {charts.yuan(abs(fen))}" if fen else "不多不少"


def _signed(fen: int) -> str:
    return f"{'+' if fen > 0 else '-'}{charts.yuan(abs(fen))}"


def _per_cent(payout: Payout) -> str:
    return "—" if payout.per_cent is None else f"{payout.per_cent}%"


main()
