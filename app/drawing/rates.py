"""A learning-rate range test -> a figure. No Streamlit here."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from core.learning.rate_curve import HIGHEST, LOWEST

_LINE, _MARK = "#2389bd", "#b59a00"  # both stand out on white and on black


def range_curve(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
) -> go.Figure:
    """Loss against the learning rate, on a logarithmic axis.

    Single steps as a thin line, their mean as a thick one; the suggestion is marked.
    """
    about = {"x": rates, "mode": "lines"}
    lines = [
        dict(y=losses, name="step", line={"color": _LINE, "width": 1.2}, opacity=0.6, **about),
        dict(y=smoothed, name="smoothed", line={"color": _LINE, "width": 3}, **about),
    ]
    figure = go.Figure([line | {"hovertemplate": "%{y:.4f}"} for line in lines])
    figure.update_layout(
        margin={"l": 62, "r": 12, "t": 34, "b": 50},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},  # at the right are the browser's buttons
        xaxis={"title": "learning rate", "type": "log", "exponentformat": "power", "dtick": 1, "hoverformat": ".2g"},
        yaxis={"title": "loss", "range": _view(losses, smoothed)},
        hovermode="x unified",
        uirevision="range",
    )
    figure.layout.xaxis.range = [math.log10(bound) for bound in (LOWEST, HIGHEST)]
    if suggestion:
        figure.add_vline(x=suggestion, line={"color": _MARK, "width": 3, "dash": "dash"})
    return figure


def _view(losses: Sequence[float], smoothed: Sequence[float]) -> list[float] | None:
    """The range of losses that is looked at: what comes after the rise would make a flat line of all the rest."""
    if not smoothed:
        return [0, 1]
    least, first = min(losses), smoothed[0]
    fall = max(first - least, 0.1 * first, 1e-3)
    return [least - 0.1 * fall, first + 0.7 * fall]
