"""What a simulation found, as JSON for programs and as tables for people."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from modules import terminal
from modules.explanation_words import provider_of
from modules.rewards.changes import Variant
from modules.rewards.faults import join_path
from modules.rewards.frame import PAYEE_SEPARATOR, housekeeper_of
from modules.rewards.money import format_yuan, plain_yuan
from modules.rewards.simulate import Mover, Payout
from modules.simulation import Compared, Simulation
from modules.simulation_sources import BadRow, Paid

SIDE_BY_SIDE = 4
"""So many variants get a column each; more of them a row each."""

ROOMY = 8
"""With more columns than these, a table goes without blanks beside its lines."""

BAD_ROWS_SHOWN = 20


def simulation_json(found: Simulation) -> dict[str, Any]:
    """Money in yuan as text; `per_cent` is the payout in per cent of the amount."""
    paid = found.source.paid
    own = {"corrections": plain_yuan(paid.corrections), "adjustments": plain_yuan(paid.adjustments)} if paid else {}
    return {
        "campaign": found.key,
        "source": found.source.name,
        "config": found.config,
        "changes": [{"path": one.name, "before": before, "after": one.value} for one, before in found.changes],
        "differences": [{"path": join_path("", one.location), "text": one.text} for one in found.differences],
        "paid": _payout_json(paid) | own if paid else None,
        "baseline": _payout_json(found.baseline),
        "variants": [_variant_json(found, variant) for variant in found.variants],
        "bad_rows": [bad.__dict__ for bad in found.source.bad_rows],
        "duplicates": found.source.duplicates,
        "notes": list(found.notes),
    }


def _variant_json(found: Simulation, variant: Compared) -> dict[str, Any]:
    difference = variant.result.payout - found.baseline.payout
    return {
        "changes": {change.name: change.value for change in variant.changes},
        **_payout_json(variant.result),
        "difference": plain_yuan(difference),
        "movers": [
            {
                "housekeeper": housekeeper_of(mover.payee),
                "provider": provider_of(mover.payee),
                "before": plain_yuan(mover.before),
                "after": plain_yuan(mover.after),
                "difference": plain_yuan(mover.difference),
            }
            for mover in variant.movers
        ],
    }


def _payout_json(payout: Payout) -> dict[str, Any]:
    return {
        "contracts": payout.contracts,
        "historical": payout.historical,
        "payees": payout.payees,
        "rewarded": payout.rewarded,
        "amount": plain_yuan(payout.amount),
        "bonus_pool": plain_yuan(payout.bonus_pool),
        "awards": [award.__dict__ | {"amount": plain_yuan(award.amount)} for award in payout.awards],
        "payout": plain_yuan(payout.payout),
        "per_cent": None if payout.per_cent is None else str(payout.per_cent),
    }


# -- for people ------------------------------------------------------------------------------------------------------


def show_simulation(found: Simulation) -> None:
    """Side by side where there are few variants, else a row each; as wide as that needs, no figure is cut."""
    taken_from = f"改后的配置取自 {found.config}。" if found.config else ""
    _say(f"{found.key}：合同取自{escape(found.source.name)}。{escape(taken_from)}")
    for difference in found.differences:
        _say(f"不同 {escape(join_path('', difference.location))}：{escape(difference.text)}")
    for change, before in found.changes:
        was = "未写" if before is None else str(before)
        _say(f"改动 {escape(change.name)}：{escape(was)} → {escape(str(change.value))}")
    few = len(found.variants) <= SIDE_BY_SIDE
    terminal.out.print(_columns(found) if few else _rows(found), crop=False)
    for variant in found.variants if few else []:
        _show_movers(found, variant)
    _show_bad_rows(found.source.bad_rows, found.source.duplicates)
    for note in found.notes:
        _say(f"[yellow]注意[/] {escape(note)}")
    _say("模拟，什么也没有写入。")


def _columns(found: Simulation) -> Table:
    named = _named(found)
    payouts = [payout for _, payout in named]
    lines = [[title, *cells] for title, cells in _figures(found, payouts)]
    return _table(["", *(name for name, _ in named)], lines)


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]], words: int = 1, title: str | None = None) -> Table:
    """The first `words` columns hold words, the others figures. Long titles are folded; what stands below is not."""
    side = 1 if len(titles) <= ROOMY else 0
    table = Table(title=title and escape(title), title_justify="left", padding=(0, side))
    for number, heading in enumerate(titles):
        width = max((cell_len(line[number]) for line in lines), default=0)
        justify: Literal["left", "right"] = "left" if number < words else "right"
        table.add_column(escape(heading), justify=justify, overflow="fold", min_width=width)
    for line in lines:
        table.add_row(*map(escape, line))
    return table


def _figures(found: Simulation, payouts: Sequence[Payout]) -> Iterator[tuple[str, list[str]]]:
    yield "合同", [f"{payout.contracts:,}" for payout in payouts]
    if any(payout.historical for payout in payouts):
        yield "另有历史合同", [f"{payout.historical:,}" for payout in payouts]
    yield "管家", [f"{payout.payees:,}" for payout in payouts]
    yield "得奖的管家", [f"{payout.rewarded:,}" for payout in payouts]
    yield "合同金额（元）", [format_yuan(payout.amount) for payout in payouts]
    yield "奖金池（元）", [format_yuan(payout.bonus_pool) for payout in payouts]
    for kind, name in _award_names(payouts):
        yield f"{name}（{kind}）", [_award_cell(payout, kind, name) for payout in payouts]
    yield "奖金合计（元）", [format_yuan(payout.payout) for payout in payouts]
    if found.source.paid is not None:
        yield "其中补发（元）", [_own(payout, "corrections") for payout in payouts]
        yield "其中人工调整（元）", [_own(payout, "adjustments") for payout in payouts]
    yield "占合同金额", [_per_cent(payout) for payout in payouts]
    yield "比原配置（元）", [_difference(found, payout) for payout in payouts]


def _rows(found: Simulation) -> Table:
    swept = [change.name for change in found.variants[0].changes]
    blank = [""] * (len(swept) - 1)
    compared: list[tuple[list[str], Payout]] = [([name, *blank], payout) for name, payout in _held_against(found)]
    compared += [([str(change.value) for change in one.changes], one.result) for one in found.variants]
    awards = _award_names([payout for _, payout in compared])
    names = [name for _, name in awards]
    titles = [name if names.count(name) == 1 else f"{name}（{kind}）" for kind, name in awards]
    lines = []
    for values, payout in compared:
        counts = [f"{_award(payout, *award)[0]:,}" for award in awards]
        money = [format_yuan(payout.payout), _per_cent(payout), _difference(found, payout)]
        lines.append([*values, *counts, f"{payout.rewarded:,}", *money])
    titles = [*map(_broken, swept), *titles, "得奖的管家", "奖金合计", "占合同金额", "比原配置"]
    return _table(titles, lines, len(swept), "一行一种改法；各奖为个数，奖金合计和相差以元计")


def _named(found: Simulation) -> list[tuple[str, Payout]]:
    titles = ["\n".join(f"{_broken(one.name)}={one.value}" for one in variant.changes) for variant in found.variants]
    results = [variant.result for variant in found.variants]
    return [*_held_against(found), *zip([title or "改后" for title in titles], results, strict=True)]


def _held_against(found: Simulation) -> list[tuple[str, Payout]]:
    paid: list[tuple[str, Payout]] = [("实发", found.source.paid)] if found.source.paid else []
    return [*paid, ("原配置", found.baseline)]


def _label(changes: Variant) -> str:
    return "，".join(map(str, changes)) or "改后"


def _broken(path: str) -> str:
    """In several lines, so that a column may be narrow."""
    return path.replace(".", "\n.")


def _award_names(payouts: Sequence[Payout]) -> list[tuple[str, str]]:
    """Every award that anybody grants: those of the configurations first, in the order of the record."""
    configured = sorted(payouts, key=lambda payout: isinstance(payout, Paid))
    return list(dict.fromkeys((award.kind, award.name) for payout in configured for award in payout.awards))


def _award(payout: Payout, kind: str, name: str) -> tuple[int, int]:
    found = [award for award in payout.awards if (award.kind, award.name) == (kind, name)]
    return (found[0].count, found[0].amount) if found else (0, 0)


def _award_cell(payout: Payout, kind: str, name: str) -> str:
    count, fen = _award(payout, kind, name)
    return f"{count:,} 个 {format_yuan(fen)} 元" if count else "-"


def _own(payout: Payout, what: str) -> str:
    return format_yuan(getattr(payout, what)) if isinstance(payout, Paid) else "-"


def _per_cent(payout: Payout) -> str:
    return "-" if payout.per_cent is None else f"{payout.per_cent}%"


def _difference(found: Simulation, payout: Payout) -> str:
    return "-" if payout is found.baseline else _signed(payout.payout - found.baseline.payout)


def _signed(fen: int) -> str:
    return f"{'+' if fen > 0 else ''}{format_yuan(fen)}"


def _show_movers(found: Simulation, variant: Compared) -> None:
    label = _label(variant.changes)
    if not variant.movers:
        _say(f"{escape(label)}：没有人的奖金与原配置不同。")
        return
    titles = ["管家", "原配置（元）", "改后（元）", "相差（元）"]
    lines = [
        [_who(mover), format_yuan(mover.before), format_yuan(mover.after), _signed(mover.difference)]
        for mover in variant.movers
    ]
    terminal.out.print(_table(titles, lines, title=f"{label}：增减最多的"), crop=False)


def _who(mover: Mover) -> str:
    return mover.payee.replace(PAYEE_SEPARATOR, " / ")


def _show_bad_rows(bad_rows: Sequence[BadRow], duplicates: int) -> None:
    if bad_rows:
        _say(f"[yellow]{len(bad_rows)} 行用不了，没有计入：[/]")
    for bad in bad_rows[:BAD_ROWS_SHOWN]:
        _say(f"  第 {bad.line} 行 {escape(bad.contract_id or '（无编号）')}：{escape(bad.why)}")
    if len(bad_rows) > BAD_ROWS_SHOWN:
        _say(f"  ……还有 {len(bad_rows) - BAD_ROWS_SHOWN} 行，完整清单见 --json")
    if duplicates:
        _say(f"{duplicates} 行与前面的行是同一合同，没有重复计入。")


def _say(words: str) -> None:
    terminal.out.print(words, soft_wrap=True, highlight=False)
