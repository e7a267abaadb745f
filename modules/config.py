"""活动和提醒的配置。运营同事新开一个活动，只需在 REWARD_CONFIGS 里加一项，然后运行 `start.bat check` 检查。

The one file that operations people edit. 每个键的含义见 docs/操作手册.md；金额一律写元。
"""

from typing import Any

# 城市：显示名称、签约喜报发到哪里、奖励通知发给谁、喜报用哪个模板（config/templates/ 下的文件名）
CITIES: dict[str, dict[str, str]] = {
    "BJ": {"name": "北京", "group": "bj_group", "contact": "bj_contact", "template": "broadcast_beijing"},
    "SH": {"name": "上海", "group": "sh_group", "contact": "sh_contact", "template": "broadcast_shanghai"},
}

REWARD_CONFIGS: dict[str, dict[str, Any]] = {
    "BJ-2025-04": {
        "card_id": 1616,
        "lucky_number": "8",
        "lucky_rewards": {
            "base": {"name": "接好运", "threshold": 0},
            "high": {"name": "接好运万元以上", "threshold": 10000},
        },
        "performance_limits": {
            "enable_cap": True,
            "single_contract_cap": 100000,
            "single_project_limit": 100000,
        },
        "tiered_rewards": {
            "min_contracts": 6,
            "tiers": [
                {"name": "达标奖", "threshold": 40000},
                {"name": "优秀奖", "threshold": 80000},
                {"name": "精英奖", "threshold": 120000},
            ],
        },
        "awards_mapping": {"接好运": 36, "接好运万元以上": 66, "达标奖": 200, "优秀奖": 400, "精英奖": 600},
        "badges": {
            "elite": {
                "label": "【🎖精英管家】",
                "members": "elite",
                "multiplier": 2,
                "applies_to": ["节节高"],
            },
        },
    },
    "BJ-2025-05": {
        "card_id": 1693,
        "lucky_number": "6",
        "lucky_rewards": {
            "base": {"name": "接好运", "threshold": 0},
            "high": {"name": "接好运万元以上", "threshold": 10000},
        },
        "performance_limits": {
            "enable_cap": True,
            "single_contract_cap": 100000,
            "single_project_limit": 100000,
        },
        "tiered_rewards": {
            "min_contracts": 6,
            "tiers": [
                {"name": "达标奖", "threshold": 80000},
                {"name": "优秀奖", "threshold": 120000},
                {"name": "精英奖", "threshold": 160000},
            ],
        },
        "awards_mapping": {"接好运": 28, "接好运万元以上": 58, "达标奖": 200, "优秀奖": 400, "精英奖": 600},
        "badges": {
            "elite": {
                "label": "【🎖精英管家】",
                "members": "elite",
                "multiplier": 2,
                "applies_to": ["节节高"],
            },
        },
    },
    "SH-2025-04": {
        "card_id": 1617,
        "housekeeper_key": "housekeeper+provider",
        "lucky_number": "6",
        "lucky_rewards": {
            "base": {"name": "接好运", "threshold": 0},
            "high": {"name": "接好运万元以上", "threshold": 10000},
        },
        "performance_limits": {
            "enable_cap": False,
            "single_contract_cap": 40000,
            "single_project_limit": None,
        },
        "tiered_rewards": {
            "min_contracts": 5,
            "tiers": [
                {"name": "基础奖", "threshold": 40000},
                {"name": "达标奖", "threshold": 60000},
                {"name": "优秀奖", "threshold": 80000},
                {"name": "精英奖", "threshold": 120000},
            ],
        },
        "awards_mapping": {
            "接好运": 36,
            "接好运万元以上": 66,
            "基础奖": 200,
            "达标奖": 300,
            "优秀奖": 400,
            "精英奖": 800,
        },
    },
    "SH-2025-05": {
        "card_id": 1694,
        "housekeeper_key": "housekeeper+provider",
        "lucky_number": "6",
        "lucky_rewards": {
            "base": {"name": "接好运", "threshold": 0},
            "high": {"name": "接好运万元以上", "threshold": 10000},
        },
        "performance_limits": {
            "enable_cap": False,
            "single_contract_cap": 40000,
            "single_project_limit": None,
        },
        "tiered_rewards": {
            "min_contracts": 5,
            "tiers": [
                {"name": "基础奖", "threshold": 40000},
                {"name": "达标奖", "threshold": 60000},
                {"name": "优秀奖", "threshold": 80000},
                {"name": "精英奖", "threshold": 120000},
            ],
        },
        "awards_mapping": {
            "接好运": 36,
            "接好运万元以上": 66,
            "基础奖": 200,
            "达标奖": 300,
            "优秀奖": 400,
            "精英奖": 800,
        },
    },
}

# 提醒：把任何一张 Metabase 问题卡的新行（或整张表）发给该知道的人。写法见 docs/操作手册.md 的“提醒：任何一张问题卡”。
ALERT_CONFIGS: dict[str, dict[str, Any]] = {
    "check_technician_status": {
        "title": "技师上下线",
        "card_id": 719,
        "every_minutes": 10,
        "columns": {
            "id": {"name": ["_id", "id"], "position": 1},
            "time": {"name": ["updateTime", "update_time", "time", "时间"], "position": 2},
            "technician": {"name": ["technician", "技师"], "position": 3},
            "company": {"name": ["company", "orgName", "公司", "服务商"], "position": 4},
            "content": {"name": ["updateContent", "update_content", "update content", "更新内容"], "position": 6},
        },
        "key": "id",
        "baseline": True,
        "order_by": "time",
        "per": "row",
        "template": "technician_status",
        "recipient_column": "company",
        "also": "ops",
    },
    # 下面两个是示例，没有启用：换成自己的问题卡和列名，再把 enabled 改成 True
    "contact_timeout_digest": {
        "title": "联系超时汇总",
        "enabled": False,
        "card_id": 1901,
        "at": "09:00",
        "columns": {"order": "orderNum", "company": "orgName", "created": "createTime", "hours": "hours"},
        "order_by": "created",
        "per": "table",
        "template": "contact_timeout_digest",
        "recipient": "ops",
    },
    "pending_orders_reminder": {
        "title": "待处理工单提醒",
        "enabled": False,
        "card_id": 1902,
        "at": ["10:00", "15:00"],
        "columns": {"order": "orderNum", "company": "orgName", "created": "createTime", "status": "status"},
        "order_by": "created",
        "per": "table",
        "template": "pending_orders_reminder",
        "recipient_column": "company",
    },
}
