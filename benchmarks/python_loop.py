"""The baseline: the rules as one plain loop over rows with dicts for state, as one would write them without columns.

Gives the same registered rows and awards as the engine; the benchmark compares their sums before it prints times.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from modules.rewards.campaign import Campaign
from modules.rewards.money import multiply

Contract = tuple[str, str, str, str, int, int, bool, bool]
"""contract id, housekeeper, project, address, signed at (a number), amount in fen, self-referral, historical."""


def run(campaign: Campaign, contracts: Iterable[Contract]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Registered rows and awards (row, name, fen)."""
    limits, tiers, bands = campaign.performance_limits, campaign.tiered_rewards, campaign.contract_rewards
    lucky, opening, red = campaign.lucky_rewards, campaign.opening_reward, campaign.self_referral_rewards
    assert tiers and lucky and lucky.high and opening and red and red.reward_name
    cap = [limits.contract_cap(self_referral=own) for own in (False, True)]
    limit = [limits.project_limit(self_referral=own) for own in (False, True)]
    ratio = int(campaign.bonus_pool_ratio * 1_000_000)
    amounts = campaign.awards_mapping
    doubled = {name: multiply(fen, campaign.badges["elite"].multiplier) for name, fen in amounts.items()}
    elite = campaign.badges["elite"].members
    steps = [(tier.name, tier.threshold) for tier in tiers.tiers]
    used: dict[tuple[str, bool], int] = defaultdict(int)
    state: dict[str, list[int]] = {}
    addresses: set[tuple[str, str]] = set()
    granted: set[tuple[str, str]] = set()
    given: dict[str, int] = defaultdict(int)
    rows: list[tuple[object, ...]] = []
    awards: list[tuple[object, ...]] = []
    sequence = 0
    for contract_id, who, project, address, _, amount, own, historical in _in_signing_order(contracts):
        mine = state.get(who)  # personal and platform numbers, count, total, performance, the three on platform
        if mine is None:
            mine = state[who] = [0] * 8
        capped, bound = cap[own], limit[own]
        base = amount if capped is None or amount < capped else capped
        if bound is not None and project:
            left = bound - used[project, own]
            base = min(base, left)
            used[project, own] += base
        mine[4] += base
        if not own:
            mine[7] += base
        new_address = False
        if own and address and (who, address) not in addresses:
            addresses.add((who, address))
            new_address = True
        pool = (amount * ratio * 2 + 1_000_000) // 2_000_000
        if historical:
            rows.append((contract_id, who, 0, 0, 0, base, *mine[2:], pool, -1, 0, 0))
            continue
        sequence += 1
        mine[0] += 1
        mine[2] += 1
        mine[3] += amount
        if not own:
            mine[1] += 1
            mine[5] += 1
            mine[6] += amount
        row = len(rows)
        if sequence <= opening.first:
            awards.append((row, opening.name, amounts[opening.name]))
        elif sequence % 10 == campaign.lucky_number:
            name = lucky.high.name if amount >= lucky.high.threshold else lucky.base.name
            awards.append((row, name, amounts[name]))
        for band in bands:
            fits = band.min_amount <= amount and (band.below_amount is None or amount < band.below_amount)
            if fits and (band.first_contracts is None or sequence <= band.first_contracts):
                if band.quota is None or given[band.name] < band.quota:
                    given[band.name] += 1
                    awards.append((row, band.name, amounts[band.name]))
                break
        if new_address:
            awards.append((row, red.reward_name, amounts[red.reward_name]))
        if mine[2] >= tiers.min_contracts:
            for name, threshold in reversed(steps):
                if mine[4] >= threshold and (who, name) not in granted:
                    granted.add((who, name))
                    awards.append((row, name, doubled[name] if who in elite else amounts[name]))
        step = next((index for index, (name, _) in enumerate(steps) if (who, name) not in granted), -1)
        short = max(tiers.min_contracts - mine[2], 0) if step >= 0 else 0
        fen = max(steps[step][1] - mine[4], 0) if step >= 0 else 0
        platform_number = 0 if own else mine[1]
        rows.append((contract_id, who, sequence, mine[0], platform_number, base, *mine[2:], pool, step, short, fen))
    return rows, awards


def _in_signing_order(contracts: Iterable[Contract]) -> Sequence[Contract]:
    return sorted(contracts, key=lambda contract: (contract[4], contract[0]))
