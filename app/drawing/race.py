"""A race -> lanes in HTML and two figures. No Streamlit here."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go


@dataclass(frozen=True)
class Lane:
    """One run of a race as it is drawn; `share` is what it has done of its epochs, `told` the same in words."""

    name: str
    colour: str
    share: float
    told: str
    accuracy: str
    status: str
    history: pd.DataFrame  # with images_seen


def lanes(shown: Sequence[Lane]) -> str:
    """The lanes one below the other, the dot of each as far as it has come."""
    rows = [
        f'<div class="lab-lane"><b>{html.escape(lane.name)}</b>'
        f'<div class="lab-track" role="img" aria-label="{html.escape(f"{lane.name}: {lane.told}")}">'
        f'<i style="width:{100 * min(lane.share, 1):.1f}%;background:{lane.colour}"></i></div>'
        f"<strong>{html.escape(lane.accuracy)}</strong>"
        f"<span>{html.escape(lane.status)}</span><small>{html.escape(lane.told)}</small></div>"
        for lane in shown
    ]
    return f'<div class="lab-lanes">{"".join(rows)}</div>'


def curves(shown: Sequence[Lane], column: str, title: str) -> go.Figure:
    """Test accuracy of all lanes in percent, against a column of their histories."""
    figure = go.Figure(
        [
            dict(
                x=lane.history[column].to_numpy(float),
                y=lane.history["test_accuracy"].to_numpy(float) * 100,
                name=lane.name,
                mode="lines+markers",
                line={"color": lane.colour, "width": 3},
                marker={"size": 8},
                hovertemplate="%{y:.1f}%",
            )
            for lane in shown
        ]
    )
    nothing = all(lane.history.empty for lane in shown)  # Plotly would count from -1 to 4 %
    figure.update_layout(
        margin={"l": 62, "r": 12, "t": 34, "b": 48},
        showlegend=column == "images_seen",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 14}},
        xaxis={"title": title, "rangemode": "tozero", "showticklabels": not nothing},
        yaxis={"title": "test accuracy", "ticksuffix": "%", "range": [0, 100] if nothing else None},
        font={"size": 16},
        hovermode="x unified",
        uirevision="race",
    )
    return figure
