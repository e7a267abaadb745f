"""explain: why a contract or a housekeeper was granted what, and what is missing for the next.

Reads and puts together, all of it by the ledger: nothing is fetched. The sentences are made in
`explanation_words` and `rewards.unmet`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from sqlalchemy.engine import Connection

from modules.campaign_ledger import CampaignLedger, open_ledger
from modules.campaigns import Campaigns, normalise_name
from modules.clock import format_moment
from modules.errors import JobRefusedError
from modules.explanation_words import (
    AwardExplanation,
    PayeeExplanation,
    counted_words,
    explain_award,
    outlook_of,
)
from modules.ledger_records import (
    AwardRecord,
    ContractRecord,
    RejectedRecord,
    find_contracts,
    find_rejected,
    project_mates,
    read_awards,
    seen_by_the_rules,
)
from modules.rewards.frame import housekeeper_of
from modules.rewards.money import format_yuan, plain_yuan
from modules.rewards.unmet import unmet

BY_THE_LEDGER = "按台账说明：不取源数据；源数据里消失、但没有人确认减少的合同仍计入累计"
_EXACT_DIGITS = 15


@dataclass(frozen=True)
class ContractExplanation:
    """One contract in one campaign: what counted, what it won, what it did not win and why; and its payee now."""

    contract: ContractRecord
    title: str
    period: str
    counted: str
    config_hash: str | None
    awards: tuple[AwardExplanation, ...]
    not_won: tuple[str, ...]
    notes: tuple[str, ...]
    payee: PayeeExplanation

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        contract = self.contract
        money = ("amount", "performance", "total", "performance_total", "platform_total", "platform_performance_total")
        plain = ("contract_id", "contract_number", "housekeeper", "provider", "project", "address", "historical")
        payee = self.payee.summary()
        return {
            "campaign": contract.campaign,
            "title": self.title,
            "period": self.period,
            **{name: getattr(contract, name) for name in plain},
            "track": "self_referral" if contract.self_referral else "platform",
            "signed_at": format_moment(contract.signed_at),
            "registered_at": format_moment(contract.registered_at),
            "sequence": contract.sequence or None,
            "personal_sequence": contract.personal_sequence or None,
            "count": contract.count,
            "platform_count": contract.platform_count,
            **{name: plain_yuan(getattr(contract, name)) for name in money},
            "counted": self.counted,
            "remark": contract.remark,
            "config_hash": self.config_hash,
            "awards": [one.summary() for one in self.awards],
            "not_won": list(self.not_won),
            "now": {"standing": payee["standing"], "outlook": payee["outlook"]},
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class ContractAnswer:
    """All that is known of a contract: by campaign, and the rows with its id that could not be used."""

    asked: str
    explanations: tuple[ContractExplanation, ...]
    rejected: tuple[RejectedRecord, ...]

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        return {
            "contract": self.asked,
            "basis": BY_THE_LEDGER,
            "registered": [one.summary() for one in self.explanations],
            "rejected": [
                {
                    "campaign": row.campaign,
                    "reason": row.reason,
                    "first_seen_at": format_moment(row.first_seen_at),
                    "resolved_at": row.resolved_at and format_moment(row.resolved_at),
                }
                for row in self.rejected
            ],
        }


@dataclass(frozen=True)
class HousekeeperAnswer:
    """A housekeeper in one campaign: at several providers, where the campaign keeps them apart, several payees."""

    housekeeper: str
    campaign: str
    title: str
    period: str
    closed_at: datetime | None
    notes: tuple[str, ...]
    payees: tuple[PayeeExplanation, ...]

    def summary(self) -> dict[str, Any]:
        """For programs; money in yuan."""
        return {
            "housekeeper": self.housekeeper,
            "campaign": self.campaign,
            "title": self.title,
            "period": self.period,
            "closed_at": self.closed_at and format_moment(self.closed_at),
            "basis": BY_THE_LEDGER,
            "payees": [payee.summary() for payee in self.payees],
            "amount": plain_yuan(sum(payee.amount for payee in self.payees)),
            "notes": list(self.notes),
        }


def explain_contract(connection: Connection, configured: Campaigns, asked: str, key: str | None) -> ContractAnswer:
    """A contract by its id or number. Raises JobRefusedError where nothing is known of it, or of the campaign."""
    asked = asked.strip()
    if key is not None:
        open_ledger(connection, configured, key)
    contracts = find_contracts(connection, asked, key)
    rejected = find_rejected(connection, asked, key)
    if contracts:
        rejected = [row for row in rejected if row.resolved_at is None]
    elif not rejected:
        raise JobRefusedError(_not_found(connection, asked, key))
    ledgers = {one: open_ledger(connection, configured, one) for one in dict.fromkeys(c.campaign for c in contracts)}
    explained = [_explained(connection, ledgers[contract.campaign], contract) for contract in contracts]
    return ContractAnswer(asked, tuple(explained), tuple(rejected))


def explain_housekeeper(connection: Connection, configured: Campaigns, name: str, key: str) -> HousekeeperAnswer:
    """Raises JobRefusedError where the campaign or the housekeeper is not known, with the nearest names."""
    ledger, housekeeper = open_ledger(connection, configured, key), normalise_name(name)
    known = ledger.payees()
    payees = [payee for payee in known if housekeeper_of(payee) == housekeeper]
    if not payees:
        raise JobRefusedError(no_such_housekeeper(key, housekeeper, [housekeeper_of(payee) for payee in known]))
    granted = read_awards(connection, key, payees=payees)
    return HousekeeperAnswer(
        housekeeper=housekeeper,
        campaign=key,
        title=ledger.title,
        period=ledger.period,
        closed_at=ledger.opened.closed_at,
        notes=_notes(ledger),
        payees=tuple(_payee(ledger, payee, granted) for payee in payees),
    )


def _explained(connection: Connection, ledger: CampaignLedger, contract: ContractRecord) -> ContractExplanation:
    granted = read_awards(connection, ledger.key, contract_id=contract.contract_id)
    snapshot = ledger.snapshot_of(contract, granted)
    then = snapshot.campaign if snapshot else None
    not_won = unmet(then, seen_by_the_rules(connection, contract), {one.kind for one in granted}) if then else []
    limits = then.performance_limits if then else None
    return ContractExplanation(
        contract=contract,
        title=ledger.title,
        period=ledger.period,
        counted=counted_words(contract, limits, project_mates(connection, contract)),
        config_hash=snapshot.hash if snapshot else None,
        awards=tuple(explain_award(ledger.key, then, award) for award in granted),
        not_won=tuple(not_won),
        notes=(*_contract_notes(contract, knows_rules=then is not None), *_notes(ledger)),
        payee=_payee(ledger, contract.payee, ()),
    )


def _payee(ledger: CampaignLedger, payee: str, granted: Sequence[AwardRecord]) -> PayeeExplanation:
    """`granted` may hold the awards of others, too."""
    campaign, standing = ledger.campaign, ledger.standing
    position = standing.positions.get(payee) if standing else None
    is_over = ledger.opened.closed_at is not None
    return PayeeExplanation(
        payee=payee,
        position=position,
        shows_tracks=campaign is not None and "sourceType" in campaign.source_columns(),
        awards=tuple(explain_award(ledger.key, campaign, award) for award in granted if award.payee == payee),
        outlook=() if is_over else outlook_of(campaign, position),
        owed=tuple(one.name for one in standing.owed if one.payee == payee) if standing and not is_over else (),
    )


def _notes(ledger: CampaignLedger) -> tuple[str, ...]:
    closed_at = ledger.opened.closed_at
    closed = f"活动已于 {format_moment(closed_at)} 结账，不再登记合同或发奖" if closed_at else ""
    return tuple(note for note in (closed, ledger.config_note) if note)


def _contract_notes(contract: ContractRecord, *, knows_rules: bool) -> list[str]:
    notes = []
    if contract.source_amount != contract.amount:
        notes.append(
            f"登记之后，源数据里的合同金额改成了 {format_yuan(contract.source_amount)} 元："
            "累计按新金额算，登记时的数字和奖励不变"
        )
    if contract.loss_accepted_at:
        lost = format_moment(contract.loss_accepted_at)
        notes.append(f"合同已从源数据里消失（{lost} 由人确认），不再计入累计；编号和奖励不变")
    if not knows_rules:
        notes.append("台账里没有登记时的配置，说不出没有得到的奖励差在哪里")
    return notes


def _not_found(connection: Connection, asked: str, key: str | None) -> str:
    elsewhere = [one.campaign for one in find_contracts(connection, asked, None)] if key else []
    elsewhere += [row.campaign for row in find_rejected(connection, asked, None)] if key else []
    if elsewhere:
        return f"{key} 里没有合同 {asked}；它在 {'、'.join(dict.fromkeys(elsewhere))}，请改用 --campaign 或不加"
    words = f"台账里没有合同 {asked}（合同ID 或合同编号），也没有拒收过它；请核对"
    if len(asked) > _EXACT_DIGITS and (asked.endswith("000") or "E+" in asked.upper()):
        words += "（Excel 会改掉长编号的末几位，请从 .xlsx 应发表、CSV 原文或 Metabase 复制）"
    return f"{words}。还没有登记的原因可能是：签约时间不在活动期内、不在问题卡里，或活动还没有运行"


def no_such_housekeeper(key: str, housekeeper: str, known: Sequence[str]) -> str:
    """That a campaign has no such housekeeper, with the nearest of those that it has."""
    if not known:
        return f"{key} 还没有登记任何合同，也没有任何奖励；请先运行 run {key}"
    near = get_close_matches(housekeeper, dict.fromkeys(known), n=5, cutoff=0.4)
    hint = f"是不是 {'、'.join(near)}？" if near else f"请核对姓名，运行 payout {key} 可以看到全部管家"
    return f"{key} 里没有管家 {housekeeper}；{hint}"
