"""adjust: what the rules can't put right a person does, in the ledger and audited; also after the close."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modules import ledger
from modules.campaign_ledger import open_ledger
from modules.campaigns import normalise_name
from modules.clock import format_moment
from modules.corrections import yuan_words
from modules.database import record_act
from modules.errors import JobRefusedError
from modules.explanation_words import ADJUSTMENT, payee_words, provider_of
from modules.explanations import no_such_housekeeper
from modules.ledger_records import AwardRecord, read_awards
from modules.reconciliation import payee_json
from modules.rewards.engine import Award
from modules.rewards.explain import why
from modules.rewards.frame import housekeeper_of
from modules.rewards.money import parse_decimal, parse_fen, plain_yuan

if TYPE_CHECKING:
    from modules.application import Application


@dataclass(frozen=True)
class Wish:
    """What a person wants adjusted, as typed in: money in yuan, `provider` None where it was left out."""

    campaign: str
    housekeeper: str
    provider: str | None
    amount: str
    reason: str


@dataclass(frozen=True)
class Adjustment:
    """What was adjusted, or with a dry run would be, and by what the same payee was adjusted before."""

    campaign: str
    award: Award
    earlier: tuple[AwardRecord, ...]
    is_dry_run: bool

    @property
    def total(self) -> int:
        """All adjustments of the payee with this one, in fen."""
        return self.award.amount + sum(award.amount for award in self.earlier)

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        return {
            "campaign": self.campaign,
            "outcome": "dry-run" if self.is_dry_run else "ok",
            **payee_json(self.award.payee),
            "amount": plain_yuan(self.award.amount),
            "why": why(self.award.reason),
            "who": self.award.reason["who"],
            "earlier": [_earlier_json(award) for award in self.earlier],
            "total": plain_yuan(self.total),
        }


def _earlier_json(award: AwardRecord) -> dict[str, Any]:
    reason = json.loads(award.reason)
    return {
        "granted_at": format_moment(award.granted_at),
        "amount": plain_yuan(award.amount),
        "why": why(reason),
        "who": reason.get("who"),
    }


def adjust(app: "Application", wish: Wish, who: str, *, dry_run: bool) -> Adjustment:
    """Write an adjustment into the ledger, also of a closed campaign. Nobody is told by message.

    Raises JobRefusedError where campaign or payee are not known, or amount or reason are no good.
    """
    amount, reason, key = _amount_of(wish.amount), _reason_of(wish.reason), wish.campaign
    with app.database.reading() if dry_run else app.database.writing() as connection:
        payees = open_ledger(connection, app.campaigns, key).payees()
        payee = payee_named(key, payees, wish.housekeeper, wish.provider)
        earlier = [award for award in read_awards(connection, key, payees=[payee]) if award.kind == ADJUSTMENT]
        award = _adjustment(payee, amount, reason, who)
        if not dry_run:
            ledger.adjust(connection, key, award, app.clock())
            record_act(
                connection, app.clock(), who, "adjust", f"{key}：{payee_words(payee)} {yuan_words(amount)}，{reason}"
            )
    if not dry_run:
        app.views.refresh([key])
    return Adjustment(key, award, tuple(earlier), dry_run)


def payee_named(key: str, payees: Sequence[str], housekeeper: str, provider: str | None) -> str:
    """The one payee of this name; with the provider `""` the one that was registered without any.

    Such a one stands beside the others where `housekeeper_key` has changed. Raises JobRefusedError with the names that
    come nearest, or the providers.
    """
    name = normalise_name(housekeeper)
    own = [payee for payee in payees if housekeeper_of(payee) == name]
    if not own:
        raise JobRefusedError(no_such_housekeeper(key, name, [housekeeper_of(payee) for payee in payees]))
    providers = [_provider_words(payee) for payee in own]
    if provider is not None:
        wanted = normalise_name(provider) or _WITHOUT
        if wanted != _WITHOUT and set(providers) == {_WITHOUT}:
            raise JobRefusedError(f"{key} 按管家累计，不分服务商；请去掉 --provider")
        if wanted == _WITHOUT and _WITHOUT not in providers:
            wanted = _BLANK
        own = [payee for payee in own if _provider_words(payee) == wanted]
        if not own:
            raise JobRefusedError(f"{key} 里 {name} 没有服务商 {provider}；有：{'、'.join(providers)}")
    if len(own) > 1:
        raise JobRefusedError(
            f"{key} 里 {name} 在几个服务商名下，分开累计；请用 --provider 写明：{'、'.join(providers)}"
        )
    return own[0]


_WITHOUT = '""（登记时不分服务商）'
_BLANK = "（空）"


def _provider_words(payee: str) -> str:
    """As a person may choose it with `--provider`."""
    firm = provider_of(payee)
    return _WITHOUT if firm is None else firm or _BLANK


def _adjustment(payee: str, amount: int, reason: str, who: str) -> Award:
    return Award(
        contract_id=None,
        payee=payee,
        housekeeper=housekeeper_of(payee),
        kind=ADJUSTMENT,
        name=ADJUSTMENT,
        amount=amount,
        base_amount=amount,
        badge="",
        multiplier="1",
        position=0,
        reason={"why": reason, "who": who},
    )


def _amount_of(text: str) -> int:
    """Exactly as typed: nothing is rounded."""
    try:
        fen = parse_fen(text)
        is_exact = parse_decimal(text) * 100 == fen
    except ValueError as error:
        raise JobRefusedError(f"--amount {error}；请写金额（元），如 200 或 -58.50") from error
    if not is_exact:
        raise JobRefusedError(f"--amount {text} 的小数超过两位；请写到分，如 -58.50")
    if fen == 0:
        raise JobRefusedError("--amount 不能是 0；请写金额（元），如 200 或 -58.50")
    return fen


def _reason_of(text: str) -> str:
    reason = " ".join(text.encode("utf-8", "replace").decode().split())
    if not reason:
        raise JobRefusedError("--reason 不能为空；请写清楚为什么调整，核对应发表的人要看")
    return reason
