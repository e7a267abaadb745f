"""Front door of the reward rules, under the names that people know. The rules themselves are in `modules/rewards`."""

import logging
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence, Set
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modules.campaigns import BADGES_FILE, load_campaigns
from modules.clock import shanghai_now
from modules.contracts import parse_contracts
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Outcome, calculate
from modules.rewards.explain import gap, remarks
from modules.rewards.frame import PAYEE_SEPARATOR, LedgerState, payee_of
from modules.rewards.money import parse_amount
from modules.rewards.rule import NewRows, Verdict
from modules.rewards.rules import ContractRewards, Tiers, rules_of
from modules.rewards.totals import IntArray
from modules.settings import load_settings
from modules.view_contents import PERFORMANCE_TITLES, SHOWN, performance_lines

log = logging.getLogger(__name__)


def determine_rewards_generic(
    contract_number: int, housekeeper_data: dict[str, Any], current_contract_amount: object, config_key: str
) -> tuple[str, str, str]:
    """What one contract wins: (types, names, gap), three texts; types and names joined by `, `.

    `contract_number` is the activity sequence; `housekeeper_data` holds `count`, `total_amount`,
    `performance_amount` (yuan, the current contract included) and `awarded`, the names of the tiers granted so
    far, to which newly granted ones are appended. `gap` is what is missing for the next tier, empty for nothing.
    An unknown `config_key` is logged and gives three empty texts. Raises ValueError for negative numbers.
    """
    amount = _amount("合同金额", current_contract_amount)
    performance = _amount("performance_amount", housekeeper_data["performance_amount"])
    _amount("total_amount", housekeeper_data.get("total_amount", 0))
    if contract_number < 0 or housekeeper_data["count"] < 0:
        raise ValueError("合同序号和累计单数不能是负数")
    campaign = _campaign(config_key)
    if campaign is None:
        return "", "", ""
    awarded: list[str] = housekeeper_data["awarded"]
    row = _platform_rows(*(_one(value) for value in (contract_number, housekeeper_data["count"], amount, performance)))
    granted = {(Tiers.kind, name): np.array([0]) for name in awarded}
    verdicts = [rule.judge(row, granted) for rule in rules_of(campaign)]
    won = [(grant.kind, grant.name) for verdict in verdicts for grant in verdict.grants if len(grant.rows)]
    awarded.extend(name for kind, name in won if kind == Tiers.kind)
    return ", ".join(kind for kind, _ in won), ", ".join(name for _, name in won), _gap(verdicts)


def process_data(
    config_key: str,
    contract_data: Sequence[Mapping[str, Any]],
    existing_contract_ids: Iterable[object],
    housekeeper_award_lists: MutableMapping[str, list[str]],
) -> list[dict[str, object]]:
    """Rows of the performance file, as dicts by column, for the contracts whose ids are new.

    `contract_data` is the whole source, dicts with the column names of the file; the next number is the number of
    existing ids + 1, and a set of ids is taken in signing order. `housekeeper_award_lists` holds the tiers granted
    so far by housekeeper, or by `housekeeper_provider`; newly granted ones are appended. What is left of a quota is
    worked out from the existing contracts, by the amounts that the source shows now: nobody tells what one that is
    gone, or whose amount has changed, has won. An unknown `config_key` is logged and gives no rows.
    """
    campaign = _campaign(config_key)
    if campaign is None or not contract_data:
        return []
    columns = list(dict.fromkeys(column for row in contract_data for column in row))
    rows = [[row.get(column) for column in columns] for row in contract_data]
    contracts = parse_contracts(columns, rows, campaign.source_columns(), preferred=campaign.takes)
    for rejected in contracts.rejected:
        log.warning("%s 的合同 %s 用不了：%s", config_key, rejected.contract_id or "（无编号）", rejected.reason)
    existing = [str(contract_id).strip() for contract_id in existing_contract_ids]
    if isinstance(existing_contract_ids, Set):
        existing = _in_signing_order(existing, contracts.frame)
    registered = _registered(campaign, contracts.frame, existing)
    is_shown = registered["contract_id"].isin(contracts.frame["contract_id"])
    tiers = _granted_tiers(campaign, contracts.frame, housekeeper_award_lists)
    bands = _granted_bands(campaign, registered[is_shown & ~registered["historical"]])
    state = LedgerState(registered, pd.DataFrame([*tiers, *bands], columns=["payee", "kind", "name"], dtype="object"))
    new = contracts.frame[~contracts.frame["contract_id"].isin(existing)]
    taken = contracts.with_sources(new[campaign.takes(new)])
    outcome = calculate(campaign, state, contracts.shown_ids(), taken)
    for award in outcome.award_list:
        if award.kind == Tiers.kind:
            housekeeper_award_lists.setdefault(_list_key(award.payee), []).append(award.name)
    return _rows(campaign, outcome)


def process_data_apr_beijing(
    contract_data: Sequence[Mapping[str, Any]],
    existing_contract_ids: Iterable[object],
    housekeeper_award_lists: MutableMapping[str, list[str]],
) -> list[dict[str, object]]:
    """`process_data` for BJ-2025-04."""
    return process_data("BJ-2025-04", contract_data, existing_contract_ids, housekeeper_award_lists)


def process_data_shanghai_apr(
    contract_data: Sequence[Mapping[str, Any]],
    existing_contract_ids: Iterable[object],
    housekeeper_award_lists: MutableMapping[str, list[str]],
) -> list[dict[str, object]]:
    """`process_data` for SH-2025-04."""
    return process_data("SH-2025-04", contract_data, existing_contract_ids, housekeeper_award_lists)


def _amount(name: str, value: object) -> int:
    try:
        return parse_amount(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def _campaign(key: str) -> Campaign | None:
    """The campaign of this installation's config; read again when the file or the badge lists have changed."""
    path = load_settings().campaigns_file
    campaign = _campaigns(path, path.stat().st_mtime_ns, BADGES_FILE.stat().st_mtime_ns).get(key)
    if campaign is None:
        log.error("没有可以运行的活动 %s，请检查活动配置", key)
    return campaign


@lru_cache(maxsize=4)
def _campaigns(path: Path, _changed: int, _badges_changed: int) -> Mapping[str, Campaign]:
    return load_campaigns(path, shanghai_now().date()).valid


def _one(value: int) -> IntArray:
    return np.array([value], dtype=np.int64)


def _platform_rows(sequence: IntArray, count: IntArray, amount: IntArray, performance: IntArray) -> NewRows:
    """Platform rows of one payee: its totals are what the caller says, its personal sequence is its count."""
    never = np.zeros(len(sequence), dtype=np.bool_)
    return NewRows(
        payees=1,
        payee=np.zeros(len(sequence), dtype=np.int64),
        sequence=sequence,
        personal_sequence=count,
        platform_sequence=count,
        amount=amount,
        self_referral=never,
        is_first_at_address=never,
        count=count,
        performance_total=performance,
        platform_count=count,
        platform_performance_total=performance,
    )


def _gap(verdicts: Sequence[Verdict]) -> str:
    missing = next((verdict.missing for verdict in verdicts if verdict.missing is not None), None)
    if missing is None or missing.step[0] < 0:
        return ""
    return gap(missing.names[missing.step[0]], int(missing.contracts[0]), int(missing.fen[0]))


def _registered(campaign: Campaign, frame: pd.DataFrame, existing: Sequence[str]) -> pd.DataFrame:
    """The ledger that these ids stand for: numbered in their order, with what the source shows of them now."""
    known = frame.set_index("contract_id").reindex(list(existing)).rename_axis("contract_id").reset_index()
    names = zip(known["housekeeper"].fillna(""), known["provider"].fillna(""), strict=True)
    payees = [payee_of(campaign, housekeeper, provider) for housekeeper, provider in names]
    historical = known["historical"].eq(True) & campaign.historical_contracts
    return pd.DataFrame(
        {
            "contract_id": known["contract_id"],
            "payee": pd.Series(payees, dtype="object"),
            "project": known["project"].fillna(""),
            "address": known["address"].fillna(""),
            "self_referral": known["self_referral"].eq(True),
            "historical": historical,
            "sequence": np.where(historical, 0, np.cumsum(~historical)),
            "amount": known["amount"].fillna(0).astype("int64"),
        }
    )


def _in_signing_order(ids: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """A set has an order of its own in each process; what the source no longer shows comes first."""
    signed = frame.sort_values(["signed_at", "contract_id"])["contract_id"]
    position = {contract_id: number for number, contract_id in enumerate(signed)}
    return sorted(ids, key=lambda contract_id: (position.get(contract_id, -1), contract_id))


def _granted_tiers(
    campaign: Campaign, frame: pd.DataFrame, award_lists: Mapping[str, Collection[str]]
) -> list[tuple[str, str, str]]:
    """The granted tiers of the payees in the source: payee, kind, name.

    The lists' keys are not split: names may hold underscores themselves.
    """
    names = zip(frame["housekeeper"], frame["provider"], strict=True)
    payees = sorted({payee_of(campaign, housekeeper, provider) for housekeeper, provider in names})
    return [(payee, Tiers.kind, name) for payee in payees for name in award_lists.get(_list_key(payee), ())]


def _granted_bands(campaign: Campaign, existing: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The awards by amount that existing contracts have won, in their order: payee, kind, name."""
    sequence, amount = (existing[name].to_numpy(np.int64) for name in ("sequence", "amount"))
    payees, nothing = existing["payee"].tolist(), np.zeros(len(existing), dtype=np.int64)
    rows = _platform_rows(sequence, nothing, amount, nothing)
    verdicts = [rule.judge(rows, {}) for rule in rules_of(campaign) if rule.kind == ContractRewards.kind]
    grants = [grant for verdict in verdicts for grant in verdict.grants]
    return [(payees[row], grant.kind, grant.name) for grant in grants for row in grant.rows.tolist()]


def _list_key(payee: str) -> str:
    """The key of a payee's award list: `housekeeper` or `housekeeper_provider`."""
    return payee.replace(PAYEE_SEPARATOR, "_")


def _rows(campaign: Campaign, outcome: Outcome) -> list[dict[str, object]]:
    now = shanghai_now()
    granted: dict[str, list[tuple[str, str]]] = {}
    for award in outcome.award_list:
        granted.setdefault(str(award.contract_id), []).append((award.kind, award.name))
    whole = outcome.rows.assign(
        campaign=campaign.key, remark=remarks(outcome), registered_at=[now] * len(outcome.rows), notified_at=None
    )
    records = zip(*(whole[name].tolist() for name in SHOWN), strict=True)
    return [dict(zip(PERFORMANCE_TITLES, line, strict=True)) for line in performance_lines(records, granted)]
