"""Figures that are read first: a title, a number, and how it compares."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from streamlit_app.words import plain

MOST_IN_A_ROW = 5

Colour = Literal["normal", "off"]


@dataclass(frozen=True)
class Card:
    """`change` is a share (0.25 for a quarter more) against `against`; `colour` off: more is neither good nor bad.

    `note` says in a few words what stands behind a figure that is compared with nothing.
    """

    title: str
    value: str
    help: str | None = None
    change: float | None = None
    against: str | None = None
    colour: Colour = "normal"
    note: str | None = None


def show_cards(cards: Iterable[Card]) -> None:
    """Beside each other, more than five in two rows; on a phone two in a row."""
    shown = list(cards)
    columns = len(shown) if len(shown) <= MOST_IN_A_ROW else math.ceil(len(shown) / 2)
    with st.grid(max(columns, 1), min_column_width=125):
        for card in shown:
            moved = card.change is not None and f"{abs(card.change):.1%}" != "0.0%"
            st.metric(
                card.title,
                plain(card.value),
                card.note if card.change is None else f"{card.change:+.1%}" if moved else "持平",
                card.colour if moved else "off",
                help=card.help,
                border=True,
                height="stretch",
                delta_arrow="auto" if moved else "off",
                delta_description=card.against if card.change is not None else None,
            )
