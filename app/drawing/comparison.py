"""Runs side by side -> Plotly figures, small tables, and the colours of runs. No Streamlit here."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.runs.store import Run

# Ten that colour-blind people tell apart on white and on black (after Okabe and Ito); none is red, which means wrong
RUN_COLOURS = ["#2389bd", "#e07b00", "#1f9e77", "#b667b9", "#9c6b4e"]
RUN_COLOURS += ["#5b6ee1", "#b5a800", "#12a5b5", "#d45fa0", "#7c8a99"]
_MARKERS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon"]  # where colours are the same
_ABOVE = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 14}}
_BESIDE = {"orientation": "v", "x": 1.02, "y": 1, "xanchor": "left", "yanchor": "top"}
X_AXES = {"epoch": "Epochs", "images": "Images seen", "seconds": "Seconds"}


def run_colour(run: Run) -> str:
    """The colour of a run wherever it is shown; it is kept with the run."""
    return RUN_COLOURS[run.colour % len(RUN_COLOURS)]


@dataclass(frozen=True)
class Line:
    """The curve of one run; accuracies are fractions, x is where its epochs lie."""

    name: str
    colour: str
    x: np.ndarray
    train: np.ndarray
    test: np.ndarray


def positions(history: pd.DataFrame, axis: str, images_an_epoch: int, steps_an_epoch: int) -> np.ndarray:
    """Where the epochs of a run lie on one of X_AXES."""
    if axis == "seconds":
        return history["seconds"].to_numpy(float)
    epochs = (history["epoch"] - 1 + history["steps"] / max(steps_an_epoch, 1)).to_numpy(float)
    return epochs * images_an_epoch if axis == "images" else epochs


def accuracy_curves(lines: Sequence[Line], axis: str, logarithmic: bool, beside: bool = False) -> go.Figure:
    """Test accuracy in percent as full lines with a marker of the run's own, train accuracy dashed and fainter.

    The legend stands above the curves, or `beside` them.
    """
    figure = go.Figure()
    for number, line in enumerate(lines):
        shared = {"x": line.x, "legendgroup": line.name}
        figure.add_scatter(
            **shared,
            y=line.test * 100,
            name=line.name,
            mode="lines+markers",
            line={"color": line.colour, "width": 3},
            marker={"size": 8 if len(line.x) <= 40 else 4, "symbol": _MARKERS[number % len(_MARKERS)]},
            hovertemplate="%{y:.1f}% test",
        )
        figure.add_scatter(
            **shared,
            y=line.train * 100,
            name=f"{line.name}, train",
            mode="lines",
            line={"color": line.colour, "width": 1.5, "dash": "dash"},
            opacity=0.7,
            showlegend=False,
            hovertemplate="%{y:.1f}% train",
        )
    figure.update_layout(
        margin={"l": 62, "r": 12, "t": 34, "b": 48},
        legend=_BESIDE if beside else _ABOVE,
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


def add_band(figure: go.Figure, name: str, lines: Sequence[Line]) -> None:
    """Draws the mean ± standard deviation of the test accuracy of runs that differ in their seed.

    Over the mean of where their epochs lie: runs of the same settings take a little more or less time.
    """
    mean, deviation = mean_and_deviation([line.test for line in lines])
    x = np.mean([line.x[: len(mean)] for line in lines], axis=0)
    colour = lines[0].colour
    rgb = ",".join(str(int(colour[start : start + 2], 16)) for start in (1, 3, 5))
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=100 * np.concatenate([mean + deviation, (mean - deviation)[::-1]]),
        name=f"{name}: mean ± standard deviation",
        fill="toself",
        fillcolor=f"rgba({rgb},0.22)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        legendgroup=name,
    )
    figure.add_scatter(
        x=x,
        y=100 * mean,
        name=f"{name}: mean",
        mode="lines",
        line={"color": colour, "width": 5, "dash": "dot"},
        showlegend=False,
        legendgroup=name,
        hovertemplate="%{y:.1f}% mean",
    )


def matrix(name: str, colour: str, counts: np.ndarray, classes: Sequence[str]) -> str:
    """A confusion matrix as a small HTML table: counts (C, C), rows true classes, columns predicted ones.

    What is wrong is red, the more the stronger; what is right is grey.
    """
    most = max(int((counts - np.diag(np.diag(counts))).max()), 1)
    written = len(classes) <= 12

    def cell(true: int, said: int) -> str:
        count = int(counts[true, said])
        share = 0 if true == said or not count else 20 + 60 * count / most
        hint = html.escape(f"{count} of class {classes[true]} called {classes[said]}")
        kind = ' class="right"' if true == said else ""
        return f'<td{kind} style="--much:{share:.0f}%" title="{hint}">{count if written and count else ""}</td>'

    short = [html.escape(each if len(each) <= 3 else each[:2] + "…") for each in classes]
    head = "".join(f"<th>{each}</th>" for each in short) if written else ""
    order = range(len(classes))
    heads = [f"<th>{each}</th>" if written else "" for each in short]
    rows = [f"<tr>{heads[true]}{''.join(cell(true, said) for said in order)}</tr>" for true in order]
    dot = f'<span class="lab-dot" style="background:{colour}"></span>'
    top = f"<tr><th></th>{head}</tr>" if written else ""
    size = "" if written else " lab-fine"
    return (
        f'<figure class="lab-matrix{size}"><figcaption>{dot}<b>{html.escape(name)}</b></figcaption>'
        f"<table>{top}{''.join(rows)}</table></figure>"
    )
