"""Side by side with the present system: what a run would register now, held against the present system's file.

Nothing is registered or sent. On an empty ledger every contract is judged anew from the first one; on a filled one the
registered contracts count as they stand, and the new ones go on from there. The two systems run side by side until
the list of differences is empty.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules import ledger
from modules.campaign_pull import CampaignPull, fetch, hold_against_ledger
from modules.clock import format_moment
from modules.comparison import FIGURES, Comparison, Entry, Judged, compare
from modules.performance_file import read_performance_file
from modules.rewards.campaign import Campaign
from modules.rewards.engine import Outcome, calculate
from modules.rewards.explain import remarks, why
from modules.tables import awards, performance

if TYPE_CHECKING:
    from modules.application import Application


def shadow(app: "Application", campaign: Campaign, path: Path, as_of: datetime) -> Comparison:
    """Pull, judge and compare; writes nothing.

    Raises JobRefusedError where the file can't be used at all, MetabaseError, ColumnsError.
    """
    file = read_performance_file(path)
    with app.database.reading() as connection:
        opened = ledger.read(connection, campaign.key)
        registered = list(_registered(connection, campaign.key))
    pull = hold_against_ledger(campaign, as_of, opened, fetch(app, campaign))
    new = _new(calculate(campaign, pull.state, pull.shown, pull.new))
    here = {judged.contract_id: judged for judged in (*registered, *new)}
    differences = compare(here, file, _reasons_for_absence(campaign, as_of, pull))
    return Comparison(
        campaign=campaign.key,
        file=file.name,
        at=as_of,
        compared=sum(row.contract_id in here for row in file.rows),
        differences=tuple(differences),
        bad_rows=file.bad_rows,
        not_compared=tuple(name for name in FIGURES if file.rows and getattr(file.rows[0], name) is None),
    )


def _registered(connection: Connection, key: str) -> Iterator[Judged]:
    """The registered contracts as they stand in the ledger."""
    granted: dict[str, list[tuple[str, str, str]]] = {}
    chosen = sa.select(awards.c.contract_id, awards.c.kind, awards.c.name, awards.c.reason)
    for contract_id, kind, name, reason in connection.execute(chosen.where(awards.c.campaign == key)):
        granted.setdefault(contract_id, []).append((kind, name, why(json.loads(reason))))
    rows = sa.select(performance).where(performance.c.campaign == key).order_by(performance.c.id)
    for row in connection.execute(rows).mappings():
        yield _judged(dict(row), granted.get(row["contract_id"], []), row["remark"])


def _new(outcome: Outcome) -> list[Judged]:
    """The contracts that a run would register."""
    granted: dict[str | None, list[tuple[str, str, str]]] = {}
    for award in outcome.award_list:
        granted.setdefault(award.contract_id, []).append((award.kind, award.name, why(award.reason)))
    records = outcome.rows.to_dict("records")
    return [
        _judged({str(name): value for name, value in record.items()}, granted.get(record["contract_id"], []), remark)
        for record, remark in zip(records, remarks(outcome), strict=True)
    ]


def _judged(row: Mapping[str, Any], granted: Sequence[tuple[str, str, str]], remark: str) -> Judged:
    return Judged(
        contract_id=row["contract_id"],
        contract_number=row["contract_number"],
        housekeeper=row["housekeeper"],
        entry=Entry(
            sequence=row["sequence"] or None,  # historical contracts have 0 in frames
            awards=tuple(sorted((kind, name) for kind, name, _ in granted)),
            **{name: row[name] for name in FIGURES},
        ),
        reasons=tuple(f"{name}：{words}" for _, name, words in granted),
        remark=remark,
    )


def _reasons_for_absence(campaign: Campaign, as_of: datetime, pull: CampaignPull) -> dict[str, str]:
    """Why contracts that the source shows are not registered, by id."""
    frame = pull.contracts.frame
    reasons = {row.contract_id: f"源数据里这一行用不了：{row.reason}" for row in pull.contracts.rejected}
    for contract_id, signed_at, source_type, taken in zip(
        frame["contract_id"], frame["signed_at"], frame["source_type"], campaign.takes(frame), strict=True
    ):
        if not taken:
            period = f"活动期 {campaign.start} 至 {campaign.end}"
            reasons[contract_id] = f"不属于本活动：签约于 {signed_at}（{period}），sourceType {source_type or '为空'}"
        elif signed_at > as_of.replace(tzinfo=None):
            reasons[contract_id] = f"签约于 {signed_at}，晚于比较的时间 {format_moment(as_of)}"
    return reasons
