"""Arrays -> Plotly figures. No Streamlit here; text and grid take their colours from the page's theme."""

import zlib

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.dataset.loader import DataSet

TRAIN, VALIDATION, TEST = "#2389bd", "#2ca05a", "#e07b00"
ACTIVE, EASY, SEMI_HARD, HARD = "#8e5fd0", "#2ca05a", "#b59a00", "#d43d51"
POSITIVE, NEGATIVE, SPREAD = "#17a7b8", "#d43d51", "#8a8d91"
# Runs have colours of their own
RUN_COLOURS = ["#0b6e99", "#c2571a", "#6a4c93", "#1b7f5c", "#a23b72", "#7a6a00", "#4059ad", "#7d4f50"]
_POINTS = 1000  # at most, a line


def run_colour(run_id: str) -> str:
    """The colour of a run wherever it is shown: that of its id, so that it never changes."""
    return RUN_COLOURS[zlib.crc32(run_id.encode()) % len(RUN_COLOURS)]


def loss_curves(history: pd.DataFrame, steps: pd.DataFrame, steps_per_epoch: int, epochs: int) -> go.Figure:
    """Loss over epochs: a thin line for single steps, a point an epoch for training and test images."""
    lines = []
    _step_line(lines, steps, steps_per_epoch, "loss", TRAIN, "step", "%{y:.4f}")
    _epoch_line(lines, history, steps_per_epoch, "train_loss", TRAIN, "%{y:.4f}")
    _validation_line(lines, history, steps_per_epoch, "validation_loss", "%{y:.4f}")
    _epoch_line(lines, history, steps_per_epoch, "test_loss", TEST, "%{y:.4f}")
    return _curves(lines, "Loss", epochs, {"rangemode": "tozero", "range": [0, 1] if steps.empty else None})


def accuracy_curves(history: pd.DataFrame, steps_per_epoch: int, epochs: int) -> go.Figure:
    """Accuracy in percent at the end of each epoch, for training and test images."""
    lines = []
    _epoch_line(lines, history, steps_per_epoch, "train_accuracy", TRAIN, "%{y:.2f}%", scale=100)
    _validation_line(lines, history, steps_per_epoch, "validation_accuracy", "%{y:.2f}%", scale=100)
    _epoch_line(lines, history, steps_per_epoch, "test_accuracy", TEST, "%{y:.2f}%", scale=100)
    return _curves(lines, "Accuracy", epochs, {"ticksuffix": "%", "range": _percent_range(lines)})


def _percent_range(lines: list[dict]) -> list[float]:
    """The part of 0 to 100 % that holds all points: never so little of it that a difference of 0.1 % fills the wall."""
    points = np.concatenate([line["y"] for line in lines])
    points = points[np.isfinite(points)]
    if len(points) < 3:
        return [0, 102]
    low, high = points.min(), points.max()
    pad = max(0.06 * (high - low), (5 - (high - low)) / 2)
    return [max(low - pad, -2), min(high + pad, 102)]


def triplet_curves(history: pd.DataFrame, steps: pd.DataFrame, steps_per_epoch: int, epochs: int) -> go.Figure:
    """Of the triplets that counted, the shares in percent that were active, easy, semi-hard and hard.

    A thin line within the epochs, a point for the mean over each. What the words mean: core/learning/triplets.py.
    """
    lines = []
    shares = [("active_fraction", "active", ACTIVE), ("easy", "easy", EASY)]
    shares += [("semi_hard", "semi-hard", SEMI_HARD), ("hard", "hard", HARD)]
    for column, _, colour in shares:
        _step_line(lines, steps, steps_per_epoch, column, colour, scale=100)
    for column, name, colour in shares:
        _epoch_line(lines, history, steps_per_epoch, column, colour, "%{y:.1f}%", 100, name)
    return _curves(lines, "Triplets", epochs, {"ticksuffix": "%", "range": [-2, 102]})


def distance_curves(history: pd.DataFrame, steps: pd.DataFrame, steps_per_epoch: int, epochs: int) -> go.Figure:
    """Distances from anchors to positives and to negatives, and the spread of the embeddings.

    The mean over each epoch as points, with the band that holds the middle 80 % of a batch; thin lines within epochs.
    """
    lines = []
    kinds = [("positive_distance", "d(a, p)", POSITIVE), ("negative_distance", "d(a, n)", NEGATIVE)]
    for column, _, colour in kinds:
        _band(lines, history, steps_per_epoch, f"{column}_q10", f"{column}_q90", colour)
        _step_line(lines, steps, steps_per_epoch, column, colour)
    for column, name, colour in kinds:
        _epoch_line(lines, history, steps_per_epoch, column, colour, "%{y:.2f}", name=name)
    _epoch_line(lines, history, steps_per_epoch, "spread", SPREAD, "%{y:.2f}", dash="dot")
    axis = {"rangemode": "tozero", "title": "distance", "range": [0, 20] if history.empty and steps.empty else None}
    return _curves(lines, "Distances", epochs, axis)


def _validation_line(lines, history, steps_per_epoch, column, template, scale=1):
    if column in history and history[column].notna().any():
        _epoch_line(lines, history, steps_per_epoch, column, VALIDATION, template, scale)


def _step_line(lines, steps, steps_per_epoch, column, colour, name=None, template=None, scale=1):
    """A thin line through single steps; without a name it has no place in legend and label."""
    if column not in steps:
        return
    thinned = steps.iloc[:: -(-len(steps) // _POINTS)]
    lines.append(
        dict(
            x=_positions(thinned["epoch"], thinned["step"], steps_per_epoch),
            y=thinned[column].to_numpy(float) * scale,
            name=name or f"{column} of steps",
            mode="lines",
            line={"color": colour, "width": 1.2},
            opacity=0.6,
            showlegend=name is not None,
            **({"hovertemplate": template} if template else {"hoverinfo": "skip"}),
        )
    )


def _epoch_line(lines, history, steps_per_epoch, column, colour, template, scale=1, name=None, dash="solid"):
    known = history if column in history else pd.DataFrame({"epoch": [], "steps": [], column: []})
    lines.append(
        dict(
            x=_positions(known["epoch"], known["steps"], steps_per_epoch),
            y=known[column].to_numpy(float) * scale,
            name=name or column.split("_")[0],
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"size": 7 if len(known) <= 40 else 3},
            hovertemplate=template,
        )
    )


def _band(lines, history, steps_per_epoch, low, high, colour):
    """The area between two columns."""
    if low not in history or high not in history:
        return
    for column, fill in ((low, None), (high, "tonexty")):
        lines.append(
            dict(
                x=_positions(history["epoch"], history["steps"], steps_per_epoch),
                y=history[column].to_numpy(float),
                name=column,
                mode="lines",
                line={"width": 0},
                fill=fill,
                fillcolor=f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.18)",
                showlegend=False,
                hoverinfo="skip",
            )
        )


def _positions(epoch: pd.Series, step: pd.Series, steps_per_epoch: int) -> np.ndarray:
    """Where rows lie on the axis of epochs: a stopped epoch ends before its end."""
    return (epoch - 1 + step / max(steps_per_epoch, 1)).to_numpy(float)


def _curves(lines: list[dict], title: str, epochs: int, y_axis: dict) -> go.Figure:
    """The figure, made in one go: line by line takes three times as long, from a network in training."""
    layout = dict(
        title={"text": title, "x": 0, "xanchor": "left", "font": {"size": 16}},
        margin={"l": 62, "r": 12, "t": 52, "b": 44},  # above the legend there is room for the browser's buttons
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
        | {"traceorder": "normal"},
        hovermode="x unified",
        xaxis={"title": "epoch", "range": [0, epochs * 1.02], "hoverformat": ".3~f"},
        yaxis=y_axis,
        uirevision="keep",
    )
    return go.Figure(lines, layout)


def confusion_matrix(mistakes: pd.DataFrame, images: DataSet) -> go.Figure:
    """How many test images of each true class (a row, with its accuracy) were taken for which class (a column).

    Mistakes are coloured, the more the stronger; what is right would outshine them and is only written. `mistakes` is
    the table of core/analysis/mistakes.py.
    """
    names, numbers = images.classes, images.class_numbers
    sizes = np.bincount(images.test.labels, minlength=len(names))  # (C,)
    wrong = pd.crosstab(mistakes["true"], mistakes["predicted"]).reindex(index=numbers, columns=numbers, fill_value=0)
    counts = wrong.to_numpy()  # (C, C), nothing on the diagonal yet
    right = sizes - counts.sum(axis=1)
    of_class = np.array([f"{size:,} images of {name}" for name, size in zip(names, sizes, strict=True)])
    heat = dict(
        type="heatmap",
        x=names,
        y=names,
        z=np.where(counts > 0, counts, np.nan),
        customdata=np.broadcast_to(of_class[:, None], counts.shape),
        hovertemplate="%{z} of %{customdata} taken for %{x}<extra></extra>",
        hoverongaps=False,
        colorscale=[[0, "rgba(212,61,81,0.15)"], [1, "rgba(212,61,81,0.8)"]],
        zmin=0,
        zmax=max(5, counts.max()),  # a single mistake is never the strongest colour
        showscale=False,
        xgap=1,
        ygap=1,
    )
    counts = counts + np.diag(right)
    # A trace of its own: the text of a heat map does not take the colour of the page's theme
    cells = [(names[column], names[row], counts[row, column]) for row, column in zip(*np.nonzero(counts), strict=True)]
    x, y, text = zip(*cells, strict=True)
    written = dict(x=x, y=y, text=text, mode="text", hoverinfo="skip", showlegend=False)
    axis = {"type": "category", "tickmode": "array", "tickvals": names, "showgrid": False, "automargin": True}
    rows = [f"{name} · {share:.1%}" for name, share in zip(names, right / np.maximum(sizes, 1), strict=True)]
    layout = dict(
        margin={"l": 70, "r": 12, "t": 12, "b": 50},
        xaxis=axis | {"title": "predicted class"},
        yaxis=axis | {"title": "true class, and how many of it are right", "ticktext": rows, "autorange": "reversed"},
    )
    return go.Figure([heat, written], layout)
