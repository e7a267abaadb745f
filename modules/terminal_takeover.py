"""What import-ledger and shadow show to people."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from modules.clock import format_moment
from modules.comparison import COLUMNS, MONEY, Comparison, Difference, Entry
from modules.ledger_import import ImportReport
from modules.performance_file import COUNT, NUMBER, PERFORMANCE_TOTAL, TOTAL, BadRow
from modules.rewards.money import format_yuan
from modules.terminal import out

_TITLES = dict(zip(COLUMNS, (NUMBER, "奖励", COUNT, TOTAL, PERFORMANCE_TOTAL), strict=True))


def show_import(report: ImportReport) -> None:
    """What was or would be registered; or the rows that can't be."""
    plan = report.plan
    if report.outcome == "refused":
        _show_bad_rows(plan.bad_rows)
        _say(f"[red]{escape(plan.file)} 有 {len(plan.bad_rows)} 处问题，什么也没有导入；请全部改好再试。[/]")
        return
    of_them = f"（其中历史合同 {plan.historical} 个）" if plan.historical else ""
    _say(
        f"{plan.campaign.key}：{escape(plan.file)} 有 {len(plan.rows)} 个合同{of_them}、{plan.payees} 位管家，"
        f"最大序号 {plan.highest}，奖励 {len(plan.granted)} 个。"
    )
    if plan.is_cumulative:
        _say("计入业绩金额按累计数（旧系统的写法）读，每个合同计入多少由差额得出。")
    if plan.granted:
        table = Table("奖励", "个数", "金额（元）")
        for name, (count, fen) in plan.payout.items():
            table.add_row(escape(name), str(count), format_yuan(fen))
        table.add_row("合计", str(len(plan.granted)), format_yuan(sum(award.amount for award, _ in plan.granted)))
        out.print(table)
    for warning in plan.warnings:
        _say(f"[yellow]注意[/] {escape(warning)}")
    _say(
        {
            "dry-run": "试运行，什么也没有写入。",
            "ok": f"[green]已导入。[/]下一个合同是第 {plan.highest + 1} 个；导入的合同一律不再播报。",
            "unchanged": "台账里已有与此完全相同的内容，不必再导入，什么也没有写入。",
        }[report.outcome]
    )


def show_comparison(comparison: Comparison) -> None:
    """Every difference with its reasons, and below it how many there are."""
    for difference in comparison.differences:
        _show_difference(difference)
    _show_bad_rows(comparison.bad_rows)
    different = comparison.count("different")
    _say(
        f"{comparison.campaign} 与 {escape(comparison.file)}（截至 {format_moment(comparison.at)}）："
        f"两边都有 {comparison.compared} 个合同，相同 {comparison.compared - different} 个，不同 {different} 个；"
        f"只有本系统有 {comparison.count('only_here')} 个，只有旧系统有 {comparison.count('only_there')} 个。"
    )
    counts = {_TITLES[name]: number for name, number in comparison.by_column().items() if number}
    if counts:
        _say("不同之处：" + "，".join(f"{title} {number} 个" for title, number in counts.items()) + "。")
    if comparison.not_compared:
        _say(f"旧系统的文件里没有 {'、'.join(_TITLES[name] for name in comparison.not_compared)}，没有对比。")
    _say("[green]没有差异。[/]" if comparison.agrees else "[yellow]有差异。[/]请从第一个看起：后面的往往由它引起。")


def _show_difference(difference: Difference) -> None:
    entry = difference.there or difference.here
    number = f"第 {entry.sequence} 个" if entry and entry.sequence else "无序号"
    line = f"（文件第 {difference.line} 行）" if difference.line else ""
    names = " ".join((difference.contract_id, difference.contract_number, difference.housekeeper))
    _say(f"[bold]{number}[/] {escape(names)}{line}：{escape(_words(difference))}")
    for reason in difference.reasons:
        _say(f"    {escape(reason)}")
    if difference.remark:
        _say(f"    备注：{escape(difference.remark)}")


def _words(difference: Difference) -> str:
    here, there = difference.here, difference.there
    if here is None:
        return f"只有旧系统有，奖励 {_shown('awards', there)}"
    if there is None:
        return f"只有本系统有，奖励 {_shown('awards', here)}"
    return "；".join(
        f"{_TITLES[name]} 旧 {_shown(name, there)}，新 {_shown(name, here)}" for name in difference.columns
    )


def _shown(name: str, entry: Entry | None) -> str:
    value = getattr(entry, name)
    if name == "awards":
        return "、".join(award for _, award in value) or "无"
    return "无" if value is None else format_yuan(value) if name in MONEY else str(value)


def _show_bad_rows(bad_rows: Sequence[BadRow]) -> None:
    for bad in bad_rows:
        _say(f"[red]第 {bad.line} 行[/] {escape(bad.contract_id or '（没有合同ID）')}：{escape(bad.why)}")


def _say(words: str) -> None:
    out.print(words, soft_wrap=True, highlight=False)
