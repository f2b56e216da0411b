"""Texts and charts side by side as one element, for what is drawn again and again.

For each element that arrives the browser goes over the whole page: sixteen of them cost a run in training several times
what one does. The browser's half is browser/board.js; style.css places the parts.
"""

from typing import NamedTuple

import streamlit as st

from app.components.plotly_chart import addresses

_mount = st.components.v2.component(
    "tripletlab_board",
    js="""
    export default async (component) => {
      const script = await import(new URL(component.data.board, document.baseURI));
      return script.default(component);
    }
    """,
    isolate_styles=False,  # Plotly's style sheet and the lab's own shall reach it
)


class Part(NamedTuple):
    """One part of a board: a chart where there is a `figure`, else a text."""

    name: str  # keeps its place, its zoom and its hidden curves under it
    width: int  # sixths of the board, where that is wide
    html: str = ""  # trusted: who writes it escapes what comes from elsewhere
    figure: str = ""  # see plotly_chart.figure_json
    height: int = 0  # of a chart, in CSS pixels
    alt: str = ""  # what the chart shows, for screen readers


def board(parts: list[Part], key: str, scale: float) -> None:
    """Draws the parts, and later ones with the same key in their place; what has not changed is left alone.

    scale: of charts, see plotly_chart.live_chart.
    """
    data = {"key": key, "parts": [part._asdict() for part in parts], "scale": scale}
    _mount(key=key, data=data | addresses("board.js"))
