"""Figures as one HTML page that needs no network: plotly.js is inside. No Streamlit here."""

import html
from collections.abc import Sequence

import plotly.graph_objects as go
import plotly.io


def page(title: str, figures: Sequence[go.Figure]) -> bytes:
    """The page, about 5 MB; the figures can be zoomed and their curves hidden, as in the lab."""
    parts = [
        plotly.io.to_html(figure, include_plotlyjs=number == 0, full_html=False, default_height="480px")
        for number, figure in enumerate(figures)
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>'
    style = "<style>body { font: 16px system-ui, sans-serif; margin: 1rem; }</style>"
    body = f"<h1>{html.escape(title)}</h1>{''.join(parts)}"
    return f'<!DOCTYPE html><html lang="en"><head>{head}{style}</head><body>{body}</body></html>\n'.encode()
