"""What counts of a ledger by the amounts that the source shows now, added up in SQL: what the ranking comes to."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modules.rewards.sections import PerformanceLimits
from modules.tables import performance


def live_performance(connection: Connection, key: str, limits: PerformanceLimits) -> int:
    """计入业绩金额 of all contracts that stand, in fen.

    Of a project and track counts what its contracts come to, at most the limit, whatever their order: the sum needs no
    frame. A contract without a project stands alone.
    """
    base = _at_most(performance.c.source_amount, lambda own: limits.contract_cap(self_referral=own))
    standing = (performance.c.campaign == key, performance.c.loss_accepted_at.is_(None))
    if all(limits.project_limit(self_referral=own) is None for own in (False, True)):
        counted = sa.select(sa.func.sum(base)).where(*standing)
    else:
        alone = sa.case((performance.c.project == "", performance.c.id), else_=0)
        groups = (performance.c.project, alone, performance.c.self_referral)
        came = sa.select(performance.c.self_referral, sa.func.sum(base).label("came")).where(*standing)
        each = came.group_by(*groups).subquery()
        limited = _at_most(each.c.came, lambda own: limits.project_limit(self_referral=own), each.c.self_referral)
        counted = sa.select(sa.func.sum(limited))
    return int(connection.execute(counted).scalar_one() or 0)


def _at_most(
    value: sa.ColumnElement[int],
    limit_of: Callable[[bool], int | None],
    self_referral: sa.ColumnElement[bool] = performance.c.self_referral,
) -> sa.ColumnElement[int]:
    """By track; where there is no limit, the value."""
    limits = ((~self_referral, limit_of(False)), (self_referral, limit_of(True)))
    reached = [(track & (value > limit), sa.literal(limit)) for track, limit in limits if limit is not None]
    return sa.case(*reached, else_=value) if reached else value
