"""Contracts for measuring, the same for the same seed: 50 per housekeeper, in no order, amounts already fen."""

import numpy as np
import pandas as pd

PER_HOUSEKEEPER = 50
SEED = 2026
FIRST_ID = 1_920_000_000_000_000_000
COLUMNS = (
    "_id", "province", "serviceAppointmentNum", "Status", "serviceHousekeeper", "contractdocNum",
    "adjustRefundMoney", "paidAmount", "difference", "State", "createTime", "orgName", "signedDate", "Doorsill",
    "tradeIn", "conversion", "average", "sourceType", "projectAddress", "pcContractdocNum",
)  # fmt: skip

ENTRY = {
    "card_id": 1693,
    "historical_contracts": True,
    "lucky_number": "6",
    "lucky_rewards": {"base": {"name": "接好运"}, "high": {"name": "接好运万元以上", "threshold": 10000}},
    "opening_reward": {"first": 10, "name": "开门红"},
    "contract_rewards": [
        {"name": "签约礼", "min_amount": 5000, "below_amount": 8000, "quota": 1000},
        {"name": "签约大礼", "min_amount": 20000},
    ],
    "self_referral_rewards": {"enable": True, "reward_name": "红包"},
    "performance_limits": {
        "enable_cap": True,
        "single_contract_cap": 50000,
        "single_project_limit": 50000,
        "self_referral_contract_cap": 200000,
        "self_referral_project_limit": 200000,
    },
    "tiered_rewards": {
        "min_contracts": 6,
        "tiers": [
            {"name": "达标奖", "threshold": 80000},
            {"name": "优秀奖", "threshold": 120000},
            {"name": "精英奖", "threshold": 160000},
        ],
    },
    "awards_mapping": {
        "接好运": 28, "接好运万元以上": 58, "开门红": 66, "签约礼": 50, "签约大礼": 100, "红包": 20,
        "达标奖": 200, "优秀奖": 400, "精英奖": 600,
    },
    "badges": {"elite": {"label": "【🎖精英管家】", "members": "elite", "multiplier": 2, "applies_to": ["节节高"]}},
}  # fmt: skip
"""A campaign with all sections on."""


def housekeeper(number: int) -> str:
    """An invented name."""
    return f"管家{number:06d}"


def frame(contracts: int) -> pd.DataFrame:
    """A contract frame as `modules.contracts` makes it."""
    rng = np.random.default_rng(SEED)
    people = max(contracts // PER_HOUSEKEEPER, 1)
    moments = rng.integers(0, 31 * 86_400_000, contracts).astype("timedelta64[ms]").astype("timedelta64[us]")
    signed = np.datetime64("2025-05-01T00:00:00", "us") + moments
    ids = np.arange(contracts) + FIRST_ID
    who = rng.integers(0, people, contracts).tolist()
    projects = rng.integers(0, contracts, contracts).tolist()
    texts = {
        "contract_id": [str(number) for number in ids.tolist()],
        "housekeeper": [housekeeper(number) for number in who],
        "provider": [f"装饰公司{number % 40:02d}" for number in who],
        "contract_number": [f"YHWX-{number:08d}" for number in range(contracts)],
        "project": [f"GD{number:08d}" for number in projects],
        "address": [f"望枫路{number % 5000}号院{number // 5000}号楼" for number in projects],
    }
    return pd.DataFrame(
        {
            **{name: pd.Series(values, dtype="object") for name, values in texts.items()},
            "signed_at": signed,
            "amount": (rng.lognormal(13.5, 0.75, contracts)).astype(np.int64),
            "self_referral": rng.random(contracts) < 0.25,
            "historical": rng.random(contracts) < 0.05,
        }
    )


def source_rows(contracts: pd.DataFrame) -> list[list[object]]:
    """The same contracts as Metabase shows them."""
    rows: list[list[object]] = []
    for row in contracts.to_dict("records"):
        yuan = row["amount"] / 100
        values = (
            int(row["contract_id"]), "110000", row["project"], "已签约", row["housekeeper"], row["contract_number"],
            yuan, yuan, 0, "正常", row["signed_at"].isoformat(), row["provider"], row["signed_at"].isoformat(), 500,
            0, "0.667", "8,888.00", 1 if row["self_referral"] else 2, row["address"],
            f"PC{row['contract_number']}" if row["historical"] else "",
        )  # fmt: skip
        rows.append(list(values))
    return rows
