"""Payees on screen: how many persons they are.

Where a campaign keeps payees by service provider, somebody who signs for two of them is one person (人) and two payees
(份): each has its own totals, tiers and payout.
"""

from collections.abc import Iterable

from modules.rewards.frame import number_of_people
from streamlit_app.cards import Card

PER_PROVIDER = "在几家服务商签约的管家只算一人；活动按服务商分开算的，每家各算一份奖励"
"""What a number of persons counts."""


def counted(payees: Iterable[str]) -> str:
    """For sentences: `14 位管家`, or `20 份（14 位管家）` where some of them are the same person."""
    known = set(payees)
    persons = number_of_people(known)
    return f"{persons:,} 位管家" if persons == len(known) else f"{len(known):,} 份（{persons:,} 位管家）"


def people_card(title: str, payees: Iterable[str], about: str = "") -> Card:
    """How many persons; and how many payees, where that is another number."""
    known = set(payees)
    persons = number_of_people(known)
    parts = None if persons == len(known) else f"奖励按 {len(known):,} 份算"
    return Card(title, f"{persons:,} 人", "；".join(filter(None, (about, PER_PROVIDER))), note=parts)
