"""import-ledger and shadow: taking over from the present system."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from modules import terminal
from modules.campaign_pull import campaign_named
from modules.clock import format_moment
from modules.commands.shared import AsJson, At, CampaignKey, DryRun, moment, opened
from modules.contracts import ColumnsError
from modules.errors import FAILED, MISUSED
from modules.import_plan import ImportPlan
from modules.ledger_import import ImportReport, import_ledger
from modules.performance_file import COUNT, NUMBER, PERFORMANCE_TOTAL, TOTAL, BadRow
from modules.request_module import MetabaseError
from modules.rewards.money import format_yuan, plain_yuan
from modules.shadow import COLUMNS, Comparison, Difference, Entry, shadow

_TITLES = dict(zip(COLUMNS, (NUMBER, "奖励", COUNT, TOTAL, PERFORMANCE_TOTAL), strict=True))
_MONEY = ("total", "performance_total")

_File = Annotated[Path, typer.Argument(metavar="FILE", help="旧系统写的 PerformanceData.csv。")]
_Key = Annotated[str, typer.Option("--campaign", metavar="KEY", help="导入到哪个活动，如 BJ-2025-05。")]
_Against = Annotated[Path, typer.Option("--against", metavar="FILE", help="旧系统写的 PerformanceData.csv。")]


def register(cli: typer.Typer) -> None:
    """Add these commands to the command line."""
    cli.command("import-ledger")(import_command)
    cli.command("shadow")(shadow_command)


def import_command(file: _File, campaign: _Key, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """把旧系统的业绩文件登记为本活动的台账，序号和奖励从此接着算；导入的合同一律不再播报。"""
    with opened() as app:
        report = import_ledger(app, campaign_named(app, campaign), file, dry_run=dry_run)
    if as_json:
        terminal.print_json(import_json(report))
    else:
        _show_import(report)
    terminal.print_unwritten(report.unwritten)
    if report.outcome == "refused":
        raise typer.Exit(MISUSED)


def shadow_command(key: CampaignKey, against: _Against, at: At = None, as_json: AsJson = False) -> None:
    """与旧系统并行：现在运行会登记什么，与旧系统的业绩文件逐个合同对比；不登记，不发消息。"""
    with opened() as app:
        campaign, as_of = campaign_named(app, key), moment(at, app.clock())
        try:
            comparison = shadow(app, campaign, against, as_of)
        except (MetabaseError, ColumnsError) as error:
            terminal.print_error(str(error))
            raise typer.Exit(FAILED) from error
    if as_json:
        terminal.print_json(shadow_json(comparison))
    else:
        _show_comparison(comparison)
    if not comparison.agrees:
        raise typer.Exit(FAILED)


def import_json(report: ImportReport) -> dict[str, Any]:
    """The report as one JSON object; money in yuan as text."""
    plan = report.plan
    return {
        "campaign": plan.campaign.key,
        "file": plan.file,
        "outcome": report.outcome,
        "rows": len(plan.rows),
        "historical": sum(row["historical"] for row in plan.rows),
        "payees": len({row["payee"] for row in plan.rows}),
        "highest": plan.highest,
        "awards": len(plan.granted),
        "payout": {name: {"count": count, "amount": plain_yuan(fen)} for name, (count, fen) in _payout(plan).items()},
        "payout_total": plain_yuan(sum(award.amount for award, _ in plan.granted)),
        "cumulative": plan.is_cumulative,
        "warnings": list(plan.warnings),
        "bad_rows": _bad_rows_json(plan.bad_rows),
    }


def shadow_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as one JSON object with every difference; money in yuan as text."""
    different = comparison.count("different")
    return {
        "campaign": comparison.campaign,
        "file": comparison.file,
        "at": comparison.at.isoformat(),
        "compared": comparison.compared,
        "equal": comparison.compared - different,
        "different": different,
        "only_here": comparison.count("only_here"),
        "only_there": comparison.count("only_there"),
        "by_column": comparison.by_column(),
        "not_compared": list(comparison.not_compared),
        "bad_rows": _bad_rows_json(comparison.bad_rows),
        "differences": [_difference_json(difference) for difference in comparison.differences],
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "kind": difference.kind,
        "contract_id": difference.contract_id,
        "contract_number": difference.contract_number,
        "housekeeper": difference.housekeeper,
        "line": difference.line,
        "columns": list(difference.columns),
        "here": _entry_json(difference.here),
        "there": _entry_json(difference.there),
        "reasons": list(difference.reasons),
        "remark": difference.remark,
    }


def _entry_json(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    money = {name: None if (fen := getattr(entry, name)) is None else plain_yuan(fen) for name in _MONEY}
    awards = [{"kind": kind, "name": name} for kind, name in entry.awards]
    return {"sequence": entry.sequence, "awards": awards, "count": entry.count, **money}


def _bad_rows_json(bad_rows: Sequence[BadRow]) -> list[dict[str, Any]]:
    return [{"line": bad.line, "contract_id": bad.contract_id, "why": bad.why} for bad in bad_rows]


def _payout(plan: ImportPlan) -> dict[str, tuple[int, int]]:
    """Award name → how many, and how much in all (fen); in the order of the config."""
    payout: dict[str, tuple[int, int]] = {}
    for award, _ in plan.granted:
        count, fen = payout.get(award.name, (0, 0))
        payout[award.name] = (count + 1, fen + award.amount)
    return {name: payout[name] for name in plan.campaign.awards_mapping if name in payout}


def _show_import(report: ImportReport) -> None:
    plan = report.plan
    if report.outcome == "refused":
        _show_bad_rows(plan.bad_rows)
        _say(f"[red]{plan.file} 有 {len(plan.bad_rows)} 处问题，什么也没有导入；请全部改好再试。[/]")
        return
    historical = sum(row["historical"] for row in plan.rows)
    of_them = f"（其中历史合同 {historical} 个）" if historical else ""
    payees = len({row["payee"] for row in plan.rows})
    _say(
        f"{plan.campaign.key}：{escape(plan.file)} 有 {len(plan.rows)} 个合同{of_them}、{payees} 位得奖人，"
        f"最大序号 {plan.highest}，奖励 {len(plan.granted)} 个。"
    )
    _say(f"计入业绩金额按{'累计数（旧系统的写法）' if plan.is_cumulative else '单个合同的数'}读。")
    if plan.granted:
        table = Table("奖励", "个数", "金额（元）")
        for name, (count, fen) in _payout(plan).items():
            table.add_row(escape(name), str(count), format_yuan(fen))
        table.add_row("合计", str(len(plan.granted)), format_yuan(sum(award.amount for award, _ in plan.granted)))
        terminal.out.print(table)
    for warning in plan.warnings:
        _say(f"[yellow]注意[/] {escape(warning)}")
    _say(
        {
            "dry-run": "试运行，什么也没有写入。",
            "ok": f"[green]已导入。[/]下一个合同是第 {plan.highest + 1} 个；导入的合同一律不再播报。",
            "unchanged": "台账里已有与此完全相同的内容，不必再导入，什么也没有写入。",
        }[report.outcome]
    )


def _show_comparison(comparison: Comparison) -> None:
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
    return "无" if value is None else format_yuan(value) if name in _MONEY else str(value)


def _show_bad_rows(bad_rows: Sequence[BadRow]) -> None:
    for bad in bad_rows:
        _say(f"[red]第 {bad.line} 行[/] {escape(bad.contract_id or '（没有合同ID）')}：{escape(bad.why)}")


def _say(words: str) -> None:
    terminal.out.print(words, soft_wrap=True, highlight=False)
