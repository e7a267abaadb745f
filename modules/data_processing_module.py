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
from modules.contracts import parse_contracts, signed_within
from modules.rewards import totals
from modules.rewards.campaign import TIER, Campaign
from modules.rewards.engine import PAYEE_SEPARATOR, LedgerState, Outcome, calculate, payee_of
from modules.rewards.explain import NOTHING_MISSING, remark
from modules.rewards.money import parse_amount
from modules.rewards.rules import NewRows, Verdict, rules_of
from modules.settings import load_settings
from modules.view_contents import PERFORMANCE_TITLES, performance_row

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
    row = NewRows(
        payees=1,
        sequence=np.array([contract_number]),
        payee=np.array([0]),
        amount=np.array([amount]),
        count=np.array([housekeeper_data["count"]]),
        performance_total=np.array([performance]),
    )
    granted = {(TIER, name): [0] for name in awarded}
    verdicts = [rule.judge(row, granted) for rule in rules_of(campaign)]
    won = [(grant.kind, grant.name) for verdict in verdicts for grant in verdict.grants if len(grant.rows)]
    awarded.extend(name for kind, name in won if kind == TIER)
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
    so far by housekeeper, or by `housekeeper_provider`; newly granted ones are appended. An unknown `config_key` is
    logged and gives no rows.
    """
    campaign = _campaign(config_key)
    if campaign is None or not contract_data:
        return []
    columns = list(dict.fromkeys(column for row in contract_data for column in row))
    contracts = parse_contracts(columns, [[row.get(column) for column in columns] for row in contract_data])
    for rejected in contracts.rejected:
        log.warning("%s 的合同 %s 用不了：%s", config_key, rejected.contract_id or "（无编号）", rejected.reason)
    existing = [str(contract_id).strip() for contract_id in existing_contract_ids]
    if isinstance(existing_contract_ids, Set):
        existing = _in_signing_order(existing, contracts.frame)
    granted = _granted(campaign, contracts.frame, housekeeper_award_lists)
    state = LedgerState(_registered(campaign, contracts.frame, existing), granted)
    new = contracts.frame[~contracts.frame["contract_id"].isin(existing)]
    outcome = calculate(campaign, state, contracts.shown_ids(), new[signed_within(new, campaign.start, campaign.end)])
    for award in outcome.awards:
        if award.kind == TIER:
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


def _gap(verdicts: Sequence[Verdict]) -> str:
    missing = next((verdict.missing for verdict in verdicts if verdict.missing is not None), None)
    text = remark(missing, 0)
    return "" if text == NOTHING_MISSING else text


def _registered(campaign: Campaign, frame: pd.DataFrame, existing: Sequence[str]) -> pd.DataFrame:
    """The ledger that these ids stand for: numbered in their order, with what the source shows of them now."""
    known = frame.set_index("contract_id").reindex(list(existing)).rename_axis("contract_id").reset_index()
    names = zip(known["housekeeper"].fillna(""), known["provider"].fillna(""), strict=True)
    payees = [payee_of(campaign, housekeeper, provider) for housekeeper, provider in names]
    return pd.DataFrame(
        {
            "contract_id": known["contract_id"],
            "payee": pd.Series(payees, dtype="object"),
            "project": known["project"].fillna(""),
            "self_referral": known["self_referral"].eq(True),
            "sequence": np.arange(1, len(known) + 1, dtype=np.int64),
            "personal_sequence": totals.running_count(totals.codes(payees)),
            "amount": known["amount"].fillna(0).astype("int64"),
        }
    )


def _in_signing_order(ids: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """A set has an order of its own in each process; what the source no longer shows comes first."""
    signed = frame.sort_values(["signed_at", "contract_id"])["contract_id"]
    position = {contract_id: number for number, contract_id in enumerate(signed)}
    return sorted(ids, key=lambda contract_id: (position.get(contract_id, -1), contract_id))


def _granted(campaign: Campaign, frame: pd.DataFrame, award_lists: Mapping[str, Collection[str]]) -> pd.DataFrame:
    """The granted tiers of the payees in the source.

    The lists' keys are not split: names may hold underscores themselves.
    """
    names = zip(frame["housekeeper"], frame["provider"], strict=True)
    payees = sorted({payee_of(campaign, housekeeper, provider) for housekeeper, provider in names})
    rows = [(payee, TIER, name) for payee in payees for name in award_lists.get(_list_key(payee), ())]
    return pd.DataFrame(rows, columns=["payee", "kind", "name"], dtype="object")


def _list_key(payee: str) -> str:
    """The key of a payee's award list: `housekeeper` or `housekeeper_provider`."""
    return payee.replace(PAYEE_SEPARATOR, "_")


def _rows(campaign: Campaign, outcome: Outcome) -> list[dict[str, object]]:
    now = shanghai_now()
    granted: dict[str, list[tuple[str, str]]] = {}
    for award in outcome.awards:
        granted.setdefault(award.contract_id, []).append((award.kind, award.name))
    rows = []
    for position, record in enumerate(outcome.rows.to_dict("records")):
        rest = {
            "campaign": campaign.key,
            "remark": remark(outcome.missing, position),
            "registered_at": now,
            "notified_at": None,
        }
        row = performance_row({str(k): v for k, v in record.items()} | rest, granted.get(record["contract_id"], []))
        rows.append(dict(zip(PERFORMANCE_TITLES, row, strict=True)))
    return rows
