"""Runs side by side -> Plotly figures, and the colours of runs. No Streamlit here."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.runs.store import Run

# Eight that colour-blind people tell apart on white and on black (after Okabe and Ito), and by name in the legend
RUN_COLOURS = ["#2389bd", "#e07b00", "#1f9e77", "#b667b9", "#9c6b4e", "#7c8a99", "#b5a800", "#5b6ee1"]
X_AXES = {"epoch": "Epochs", "images": "Images seen", "seconds": "Seconds"}


def run_colours(runs: Sequence[Run]) -> dict[str, str]:
    """A colour for each run by its id: always the same one, unless an older run among these has it already."""
    found: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: (run.created, run.id)):
        first = int(hashlib.sha256(run.id.encode()).hexdigest(), 16)
        order = [RUN_COLOURS[(first + step) % len(RUN_COLOURS)] for step in range(len(RUN_COLOURS))]
        found[run.id] = next((colour for colour in order if colour not in found.values()), order[0])
    return found


def positions(history: pd.DataFrame, axis: str, images_an_epoch: int, steps_an_epoch: int) -> np.ndarray:
    """Where the epochs of a run lie on one of X_AXES."""
    if axis == "seconds":
        return history["seconds"].to_numpy(float)
    epochs = (history["epoch"] - 1 + history["steps"] / max(steps_an_epoch, 1)).to_numpy(float)
    return epochs * images_an_epoch if axis == "images" else epochs


def accuracy_curves(
    lines: Sequence[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]], axis: str, logarithmic: bool
) -> go.Figure:
    """Test accuracy as full lines, train accuracy dashed and fainter.

    A line is (name, colour, x, train accuracy, test accuracy); accuracies are fractions.
    """
    figure = go.Figure()
    for name, colour, x, train, test in lines:
        shared = {"x": x, "legendgroup": name}
        figure.add_scatter(
            **shared,
            y=test * 100,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 3},
            marker={"size": 7 if len(x) <= 40 else 3},
            hovertemplate="%{y:.1f}% test",
        )
        figure.add_scatter(
            **shared,
            y=train * 100,
            name=f"{name}, train",
            mode="lines",
            line={"color": colour, "width": 1.5, "dash": "dash"},
            opacity=0.7,
            showlegend=False,
            hovertemplate="%{y:.1f}% train",
        )
    figure.update_layout(
        margin={"l": 62, "r": 12, "t": 12, "b": 48},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 15}},
        xaxis={"title": X_AXES[axis].lower(), "type": "log" if logarithmic else "linear"}
        | ({} if logarithmic else {"rangemode": "tozero"}),
        yaxis={"title": "accuracy (full: test, dashed: train)", "ticksuffix": "%"},
        font={"size": 16},
        hovermode="x unified",
        uirevision=f"{axis} {logarithmic}",
    )
    return figure


def mean_and_deviation(tests: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1) over runs that differ in their seed, for the epochs that all have."""
    length = min(map(len, tests))
    together = np.stack([test[:length] for test in tests])
    return together.mean(axis=0), together.std(axis=0, ddof=1)


def add_band(figure: go.Figure, name: str, colour: str, x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Draws mean ± standard deviation of test accuracy, as fractions, behind the lines of `figure`."""
    rgb = ",".join(str(int(colour[start : start + 2], 16)) for start in (1, 3, 5))
    edge = 100 * np.concatenate([mean + deviation, (mean - deviation)[::-1]])
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=edge,
        name=f"{name}: mean ± standard deviation",
        fill="toself",
        fillcolor=f"rgba({rgb},0.18)",
        line={"width": 0},
        hoverinfo="skip",
    )
