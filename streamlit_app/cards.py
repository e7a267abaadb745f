"""Figures that are read first: a title, a number, and how it compares."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import streamlit as st

Colour = Literal["normal", "off"]


@dataclass(frozen=True)
class Card:
    """`change` is a share (0.25 for a quarter more) against `against`; `colour` off: more is neither good nor bad."""

    title: str
    value: str
    help: str | None = None
    change: float | None = None
    against: str | None = None
    colour: Colour = "normal"


def show_cards(cards: Iterable[Card]) -> None:
    """Beside each other, on a phone two in a row."""
    with st.grid(min_column_width=150):
        for card in cards:
            st.metric(
                card.title,
                card.value,
                None if card.change is None else f"{card.change:+.1%}",
                card.colour,
                help=card.help,
                border=True,
                height="stretch",
                delta_description=card.against if card.change is not None else None,
            )
