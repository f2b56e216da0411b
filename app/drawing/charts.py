"""Arrays -> Plotly figures. No Streamlit here; text and grid take their colours from the page's theme."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.learning.schedule import learning_rate
from core.runs.record import ended_early
from core.runs.store import Run
from core.settings.config import RunConfig
from core.settings.sheet import published

TRAIN, VALIDATION, TEST = "#2389bd", "#2ca05a", "#e07b00"
ACTIVE, EASY, SEMI_HARD, HARD = "#8e5fd0", "#2ca05a", "#b59a00", "#d43d51"
SMOOTHED = "#0b4a75"
TRIPLET_KINDS = [("hard", "hard", HARD), ("semi_hard", "semi-hard", SEMI_HARD), ("easy", "easy", EASY)]
POSITIVE, NEGATIVE, SPREAD = "#17a7b8", "#d43d51", "#8a8d91"
Sheet = Sequence[dict[str, float | None]]  # rows of core/settings/sheet.py
_RATE_POINTS = 400
_POINTS = 1000  # at most, a line


def figures(run: Run, history: pd.DataFrame, steps: pd.DataFrame, done: float, smoothed: int) -> dict[str, tuple]:
    """The charts of a run by name, each with what it shows in words; `done` is the share of it that is over."""
    span = (run.steps_per_epoch, run.config.epochs)
    sheet = published(run.config.preset)
    found = {
        "loss": (loss_curves(history, steps, *span, sheet, smoothed), "loss over epochs"),
        "accuracy": (accuracy_curves(history, *span, sheet, ending(run, history)), "accuracy over epochs"),
    }
    if run.config.learns.triplets:
        shares, distances = share_curves(history, steps, *span), distance_curves(history, steps, *span)
        found["triplets"] = (shares, "shares of easy, semi-hard and hard triplets over epochs")
        found["distances"] = (distances, "distances in the embedding space over epochs")
    rate = rate_curve(run.config, run.steps_per_epoch, done)
    return found | {"rate": (rate, "learning rate over epochs")}


def ending(run: Run, history: pd.DataFrame) -> tuple[int, int] | None:
    """The epoch of the best validation accuracy and the last one, of a run that its patience has ended."""
    if not ended_early(run) or "validation_accuracy" not in history or history["validation_accuracy"].isna().all():
        return None
    best = history["validation_accuracy"].idxmax()
    return int(history["epoch"][best]), run.result.epochs


def loss_curves(
    history: pd.DataFrame, steps: pd.DataFrame, steps_per_epoch: int, epochs: int, sheet: Sheet = (), smoothed: int = 0
) -> go.Figure:
    """Loss over epochs: a thin line for single steps, a point an epoch for training and test images.

    `sheet` is the lab sheet's own curve. `smoothed` draws also the mean over so many rows of steps, never in place of
    them.
    """
    lines = []
    _step_line(lines, steps, steps_per_epoch, "loss", TRAIN, "step", "%{y:.4f}")
    if smoothed and len(steps):
        mean = steps.assign(loss=steps["loss"].rolling(smoothed, min_periods=1).mean())
        _step_line(lines, mean, steps_per_epoch, "loss", SMOOTHED, f"mean of {smoothed}", "%{y:.4f}")
        lines[-1] |= {"opacity": 1, "line": {"color": SMOOTHED, "width": 2}}
    _sheet_line(lines, sheet, "train_loss", "sheet, train", "%{y:.3f}")
    _epoch_line(lines, history, steps_per_epoch, "train_loss", TRAIN, "%{y:.4f}")
    _validation_line(lines, history, steps_per_epoch, "validation_loss", "%{y:.4f}")
    _epoch_line(lines, history, steps_per_epoch, "test_loss", TEST, "%{y:.4f}")
    nothing = steps.empty and not sheet
    return _curves(lines, "Loss", epochs, {"rangemode": "tozero", "range": [0, 1] if nothing else None})


def accuracy_curves(
    history: pd.DataFrame, steps_per_epoch: int, epochs: int, sheet: Sheet = (), ended: tuple[int, int] | None = None
) -> go.Figure:
    """Accuracy in percent at the end of each epoch, for training and test images; `sheet` as above.

    `ended`: the epoch of the best validation accuracy and the last one, of a training that ended early.
    """
    lines = []
    _sheet_line(lines, sheet, "test_accuracy", "sheet, test", "%{y:.1f}%", scale=100)
    _epoch_line(lines, history, steps_per_epoch, "train_accuracy", TRAIN, "%{y:.2f}%", scale=100)
    _validation_line(lines, history, steps_per_epoch, "validation_accuracy", "%{y:.2f}%", scale=100)
    _epoch_line(lines, history, steps_per_epoch, "test_accuracy", TEST, "%{y:.2f}%", scale=100)
    figure = _curves(lines, "Accuracy", epochs, {"ticksuffix": "%", "range": _percent_range(lines)})
    if ended:
        best, last = ended
        figure.add_vline(x=best, line={"color": VALIDATION, "dash": "dash", "width": 2})
        figure.add_vline(x=last, line={"color": SPREAD, "dash": "dash", "width": 2})
        figure.layout.title.text = f"Accuracy · stopped early at {last}: validation best at {best}"
    return figure


def _percent_range(lines: list[dict]) -> list[float]:
    """The part of 0 to 100 % that holds all points: never so little of it that a difference of 0.1 % fills the wall."""
    points = np.concatenate([line["y"] for line in lines])
    points = points[np.isfinite(points)]
    if len(points) < 3:
        return [0, 102]
    low, high = points.min(), points.max()
    pad = max(0.06 * (high - low), (5 - (high - low)) / 2)
    return [max(low - pad, -2), min(high + pad, 102)]


def share_curves(history: pd.DataFrame, steps: pd.DataFrame, steps_per_epoch: int, epochs: int) -> go.Figure:
    """Shares in percent of easy, semi-hard and hard triplets as areas on top of each other: at the left of all valid
    ones, at the right of those mined, with the line of those active. What the words mean: core/learning/triplets.py.

    A run of an older version has the right half only.
    """
    counted = "valid_easy" in steps
    lines = []
    for prefix, axis in (("valid_", ""), ("", "2")) if counted else (("", ""),):
        for column, name, colour in TRIPLET_KINDS:
            _area(lines, steps, steps_per_epoch, f"{prefix}{column}", name, colour, axis)
    if "active_fraction" in steps:  # not in every table that was brought in
        active = _thinned(steps)
        x = _positions(active["epoch"], active["step"], steps_per_epoch)
        about = {"name": "active", "mode": "lines", "line": {"color": ACTIVE, "width": 2.5}}
        about |= {"hovertemplate": "%{y:.1f}%", "xaxis": "x2" if counted else "x", "yaxis": "y"}
        lines.append(dict(x=x, y=active["active_fraction"].to_numpy(float) * 100, **about))
    figure = _curves(lines, "Triplets", epochs, {"ticksuffix": "%", "range": [0, 100]})
    if counted:
        second = {
            "range": figure.layout.xaxis.range,
            "hoverformat": ".3~f",
            "domain": [0.54, 1],
            "matches": "x",
            "anchor": "y",
        }
        figure.update_layout(xaxis={"domain": [0, 0.46], "title": "all valid"}, xaxis2=second | {"title": "mined"})
    return figure


def _area(lines, steps, steps_per_epoch, column, name, colour, axis):
    """One of the areas; the right one shares the left one's place in the legend."""
    if column not in steps:
        return
    rows = _thinned(steps)
    known = rows[rows[column].notna()]
    lines.append(
        dict(
            x=_positions(known["epoch"], known["step"], steps_per_epoch),
            y=known[column].to_numpy(float) * 100,
            name=f"{name} (mined)" if axis else name,
            mode="lines",
            line={"width": 0.5, "color": colour},
            fillcolor=_faint(colour, 0.55),
            stackgroup=f"shares{axis}",
            showlegend=not axis,
            hovertemplate="%{y:.1f}%",
            xaxis=f"x{axis}",
            yaxis="y",
        )
    )


def rate_curve(config: RunConfig, steps_per_epoch: int, done: float) -> go.Figure:
    """The learning rate over the whole training; `done` is the share of it that is over."""
    steps = max(steps_per_epoch, 1)
    places = np.unique(np.linspace(0, config.epochs * steps - 1, min(_RATE_POINTS, config.epochs * steps)).astype(int))
    rates = [learning_rate(config, int(place) // steps + 1, int(place) % steps + 1, steps) for place in places]
    x = places / steps
    over = x <= done * config.epochs
    about = {"mode": "lines", "hovertemplate": "%{y:.3g}", "showlegend": False}
    lines = [
        dict(
            x=x, y=np.array(rates), name="learning rate", line={"color": SPREAD, "width": 1.5, "dash": "dot"}, **about
        ),
        dict(x=x[over], y=np.array(rates)[over], name="so far", line={"color": ACTIVE, "width": 2.5}, **about),
    ]
    return _curves(lines, "Learning rate", config.epochs, {"rangemode": "tozero", "exponentformat": "power"})


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


def _sheet_line(lines, sheet, column, name, template, scale=1):
    """The lab sheet's own figures, dotted."""
    known = [row for row in sheet if row[column] is not None]
    if not known:
        return
    x, y = ([row[key] * factor for row in known] for key, factor in (("epoch", 1), (column, scale)))
    line = {"color": SPREAD, "width": 2, "dash": "dot"}
    lines.append(dict(x=np.array(x), y=np.array(y), name=name, mode="lines", line=line, hovertemplate=template))


def _thinned(steps: pd.DataFrame) -> pd.DataFrame:
    return steps.iloc[:: -(-len(steps) // _POINTS)] if len(steps) else steps


def _faint(colour: str, opacity: float) -> str:
    return f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},{opacity})"


def _step_line(lines, steps, steps_per_epoch, column, colour, name=None, template=None, scale=1):
    """A thin line through single steps; without a name it has no place in legend and label."""
    if column not in steps:
        return
    thinned = _thinned(steps)
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
                fillcolor=_faint(colour, 0.18),
                showlegend=False,
                hoverinfo="skip",
            )
        )


def _positions(epoch: pd.Series, step: pd.Series, steps_per_epoch: int) -> np.ndarray:
    """Where rows lie on the axis of epochs: a stopped epoch ends before its end."""
    return (epoch - 1 + step / max(steps_per_epoch, 1)).to_numpy(float)


def _span(lines: list[dict], epochs: int) -> int:
    """Epochs for which the axis has room: all of a short training; of a long one 10, 20, 40 … as it goes on, or its
    first hour would be a strip at the left."""
    reached = max((line["x"].max() for line in lines if len(line["x"])), default=0)
    shown = 10
    while shown < reached:
        shown *= 2
    return min(shown, epochs)


def _curves(lines: list[dict], title: str, epochs: int, y_axis: dict) -> go.Figure:
    """The figure, made in one go: line by line takes three times as long, from a network in training."""
    layout = dict(
        title={"text": title, "x": 0, "xanchor": "left", "font": {"size": 16}}
        | {"y": 1, "yanchor": "top", "pad": {"t": 4}},  # above the legend, which a long title would reach
        margin={"l": 50, "r": 12, "t": 52, "b": 44},  # above the legend there is room for the browser's buttons
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
        | {"traceorder": "normal"},
        hovermode="x unified",
        xaxis={"title": "epoch", "range": [0, _span(lines, epochs) * 1.02], "hoverformat": ".3~f"},
        yaxis=y_axis,
        uirevision="keep",
    )
    for line in lines:  # half the bytes of a message every few seconds; 7 digits are more than a chart shows
        line |= {axis: np.asarray(line[axis], np.float32) for axis in "xy"}
    return go.Figure(lines, layout)
