"""Arrays -> Plotly figures. No Streamlit here; text and grid take their colours from the page's theme."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.data import DataSet

TRAIN, TEST = "#2389bd", "#e07b00"
# Ten hues that stay apart on a projector, on white and on black
CLASS_COLOURS = [
    "#3b7dd8",
    "#e07b00",
    "#2ca05a",
    "#d43d51",
    "#8e5fd0",
    "#9c6b4e",
    "#e377c2",
    "#8a8d91",
    "#b5a800",
    "#17a7b8",
]
_POINTS = 1000  # at most, a line


def class_colour(label: int) -> str:
    """The colour of a class in every picture."""
    return CLASS_COLOURS[label % len(CLASS_COLOURS)]


def loss_curves(history: pd.DataFrame, steps: pd.DataFrame, steps_per_epoch: int, epochs: int) -> go.Figure:
    """Loss over epochs: a thin line for single steps, a point an epoch for training and test images."""
    figure = go.Figure()
    thinned = steps if steps.empty else steps.iloc[:: -(-len(steps) // _POINTS)]
    if len(thinned):
        position = thinned["epoch"] - 1 + thinned["step"] / max(steps_per_epoch, 1)
        figure.add_scatter(
            x=position.to_numpy(),
            y=thinned["loss"].to_numpy(),
            name="step",
            mode="lines",
            line={"color": TRAIN, "width": 1},
            opacity=0.45,
            hovertemplate="%{y:.4f}",
        )
    _epoch_line(figure, history, steps_per_epoch, "train_loss", TRAIN, "%{y:.4f}")
    _epoch_line(figure, history, steps_per_epoch, "test_loss", TEST, "%{y:.4f}")
    figure.update_yaxes(rangemode="tozero")
    if steps.empty:
        figure.update_yaxes(range=[0, 1])
    return _curves(figure, "Loss", epochs)


def accuracy_curves(history: pd.DataFrame, steps_per_epoch: int, epochs: int) -> go.Figure:
    """Accuracy in percent at the end of each epoch, for training and test images."""
    figure = go.Figure()
    _epoch_line(figure, history, steps_per_epoch, "train_accuracy", TRAIN, "%{y:.2f}%", scale=100)
    _epoch_line(figure, history, steps_per_epoch, "test_accuracy", TEST, "%{y:.2f}%", scale=100)
    figure.update_yaxes(ticksuffix="%")
    if history.empty:
        figure.update_yaxes(range=[0, 100])
    return _curves(figure, "Accuracy", epochs)


def _epoch_line(figure, history, steps_per_epoch, column, colour, template, scale=1):
    known = history if column in history else pd.DataFrame({"epoch": [], "steps": [], column: []})
    position = known["epoch"] - 1 + known["steps"] / max(steps_per_epoch, 1)  # a stopped epoch ends before its end
    figure.add_scatter(
        x=position.to_numpy(float),
        y=known[column].to_numpy(float) * scale,
        name=column.split("_")[0],
        mode="lines+markers",
        line={"color": colour, "width": 2.5},
        marker={"size": 7},
        hovertemplate=template,
    )


def _curves(figure: go.Figure, title: str, epochs: int) -> go.Figure:
    figure.update_layout(
        title={"text": title, "x": 0, "xanchor": "left", "font": {"size": 16}},
        margin={"l": 62, "r": 12, "t": 40, "b": 44},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        hovermode="x unified",
        xaxis={"title": "epoch", "range": [0, epochs * 1.02]},
        uirevision="keep",
    )
    return figure


class MapPoints(NamedTuple):
    """What is known of each point of a map: first the training images, then the test images."""

    labels: np.ndarray  # (N + Q,) true label
    is_test: np.ndarray  # (N + Q,) bool
    wrong: np.ndarray  # (N + Q,) bool, test images only
    captions: list[str]


def map_points(images: DataSet, predicted: np.ndarray) -> MapPoints:
    """The points of a run's map; `predicted` (Q,) are the labels of the test images."""
    classes, training = images.classes, len(images.train.ids)
    captions = [
        f"{name} · training · {classes[label]}"
        for name, label in zip(images.train.ids, images.train.labels, strict=True)
    ]
    captions += [
        f"{name} · test · true {classes[true]} · predicted {classes[label]}"
        for name, true, label in zip(images.test.ids, images.test.labels, predicted, strict=True)
    ]
    labels = np.concatenate([images.train.labels, images.test.labels])
    is_test = np.arange(len(labels)) >= training
    wrong = np.concatenate([np.zeros(training, bool), predicted != images.test.labels])
    return MapPoints(labels, is_test, wrong, captions)


def embedding_map(frame: np.ndarray, points: MapPoints, classes: tuple[str, ...]) -> go.Figure:
    """A drawn embedding (N + Q, 2), coloured by true class: training images as small faint dots, test images as larger
    ones, wrong ones with a cross over them.

    Each point carries its index as `customdata`. The axes have one scale and no numbers: they mean nothing.
    """
    figure = go.Figure()
    for label, name in enumerate(classes):
        for test in (False, True):
            rows = np.flatnonzero((points.labels == label) & (points.is_test == test))
            marker = {"color": class_colour(label), "size": 8 if test else 5, "opacity": 0.95 if test else 0.4}
            figure.add_scattergl(
                x=frame[rows, 0],
                y=frame[rows, 1],
                customdata=rows.astype(np.int32),
                mode="markers",
                marker=marker,
                name=name,
                legendgroup=name,
                showlegend=test,
                hoverinfo="none",
            )
    wrong = np.flatnonzero(points.wrong)
    figure.add_scattergl(
        x=frame[wrong, 0],
        y=frame[wrong, 1],
        customdata=wrong.astype(np.int32),
        mode="markers",
        marker={"color": "#e00024", "size": 11, "symbol": "x-thin", "line": {"color": "#e00024", "width": 2.5}},
        name="wrong",
        hoverinfo="none",
        meta={"on_top": True},  # a click on a cross means it, not a dot that lies under it
    )
    bare = {"visible": False}
    figure.update_layout(
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        xaxis=bare,
        yaxis=bare | {"scaleanchor": "x", "scaleratio": 1},
        legend={"orientation": "v", "x": 1.01, "y": 0.93, "yanchor": "top", "itemsizing": "constant"},
        dragmode="pan",
        uirevision="keep",
    )
    return figure
