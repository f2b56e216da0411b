"""Maps of embeddings as Plotly figures. No Streamlit here; text and grid take their colours from the page's theme."""

import html
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from core.dataset.loader import DataSet
from core.settings.colours import CLASS_COLOURS, WRONG, class_colour

COLOURS = {
    "true": "true class",
    "predicted": "predicted class",
    "right": "right or wrong",
    "score": "score of the predicted class",
    "distance": "distance to the mean of its class",
    "learnt": "epoch from which on it is right",
    "forgotten": "times forgotten",
}
NAMED = 12_000  # points whose captions and pictures travel to the browser; of more only the ids do
_FEW = 12  # classes with large stars and names
_LISTED = 47  # classes with a line in the legend each
_SHAPES = ("", "square", "triangle-up", "cross", "triangle-down")  # of test images, each ten classes another one
LOOKS = len(CLASS_COLOURS) * len(_SHAPES)
_GREY, _RIGHT = "#8a8d91", "#0087ff"


class MapPoints(NamedTuple):
    """What is known of each point of a map: first the training images, then the test images."""

    labels: np.ndarray  # (N + Q,) true label
    predicted: np.ndarray  # (N + Q,) label; that of a training image is its own
    scores: np.ndarray  # (N + Q,) fraction; of training images not a number
    distances: np.ndarray  # (N + Q,) from the embedding to the mean of its class's training embeddings
    is_test: np.ndarray  # (N + Q,) bool
    wrong: np.ndarray  # (N + Q,) bool, test images only
    ids: tuple[str, ...]
    captions: list[str]
    learnt: np.ndarray | None = None  # (N + Q,) epoch from which on a test image is right, not a number for others
    forgotten: np.ndarray | None = None  # (N + Q,) how often it was right and then wrong
    centres: tuple[int, ...] = ()  # by class that is there: the training image nearest to the mean of its class


class View(NamedTuple):
    """How a map is drawn."""

    colour: str = "true"  # one of COLOURS
    only_wrong: bool = False
    axes: tuple[str, str] | None = None  # titles, for a map whose axes have a scale
    extent: float = 0.0  # with axes: how far they reach
    chosen: int | None = None  # a point with a halo
    linked: tuple[int, ...] = ()  # points to which it has lines
    trails: tuple[tuple[int, np.ndarray], ...] = ()  # points, each with its places (E, 2) over the epochs so far
    reach: tuple[np.ndarray, float] | None = None  # middle and half width of what the axes show in all epochs


def map_points(images: DataSet, embedded) -> MapPoints:
    """The points of a run's map, from what its network made of all images (core.analysis.embedded.Embedded)."""
    training = len(images.train.ids)
    labels = np.concatenate([images.train.labels, images.test.labels])
    predicted = np.concatenate([images.train.labels, embedded.predicted])
    is_test = np.arange(len(labels)) >= training
    scores = np.concatenate([np.full(training, np.nan), embedded.scores])
    distances = _to_class_mean(np.concatenate([embedded.train, embedded.test]), labels, training)
    centres = _centres(distances[:training], labels[:training])
    ids = (*images.train.ids, *images.test.ids)
    captions = list(ids) if len(ids) > NAMED else _captions(ids, labels, predicted, is_test, images.classes)
    for index in centres:
        captions[index] += f" · of all {images.classes[labels[index]]} nearest to their mean"
    wrong = labels != predicted
    return MapPoints(labels, predicted, scores, distances, is_test, wrong, ids, captions, centres=centres)


def _centres(distances: np.ndarray, labels: np.ndarray) -> tuple[int, ...]:
    """By class: the training image that represents it, as the rule `centre` takes it; few enough to be marked."""
    order = np.lexsort((distances, labels))
    present, first = np.unique(labels[order], return_index=True)
    return tuple(order[first].tolist()) if len(present) <= _LISTED else ()


def _captions(ids, labels, predicted, is_test, classes) -> list[str]:
    return [
        f"{name} · test · labelled {classes[true]} · predicted {classes[label]}"
        if test
        else f"{name} · training · labelled {classes[true]}"
        for name, true, label, test in zip(ids, labels, predicted, is_test, strict=True)
    ]


def _to_class_mean(embeddings: np.ndarray, labels: np.ndarray, training: int) -> np.ndarray:
    """Distance (N + Q,) of each embedding to the mean of the training embeddings of its true class."""
    distances = np.full(len(labels), np.nan)
    for label in np.unique(labels[:training]):
        centre = embeddings[:training][labels[:training] == label].mean(axis=0, dtype=np.float64)
        rows = labels == label
        distances[rows] = np.linalg.norm(embeddings[rows] - centre, axis=1)
    return distances


def embedding_map(frame: np.ndarray, points: MapPoints, classes: tuple[str, ...], view: View) -> go.Figure:
    """A drawn embedding (N + Q, 2): training images as small dots, test images as diamonds, a red ring around those
    that are misclassified, a star on the image that represents its class, each class's name at its middle.

    From the eleventh class on colours come again, with other shapes: open ones are training images.

    Each point carries its index as `customdata`. UMAP's axes have one scale and no numbers: they mean nothing.
    """
    traces = _coloured(frame, points, classes, view)
    rings = _rings(frame, points)
    rings["showlegend"] &= view.colour != "right"  # there red marks are misclassified, and the legend says so
    traces += [rings, _stars(frame, points, len(classes))]
    traces += _chosen(frame, view)
    return go.Figure(traces, _layout(view) | {"annotations": _names(frame, points.labels, classes)})


def _coloured(frame, points, classes, view) -> list[dict]:
    shown = points.wrong if view.only_wrong else np.ones(len(frame), bool)
    if view.colour in ("true", "predicted"):
        labels = points.labels if view.colour == "true" else points.predicted
        groups = [(name, labels == label, class_colour(label), label) for label, name in enumerate(classes)]
        if len(classes) > _LISTED:  # a line each would be longer than the window
            groups = [("", labels % LOOKS == look, class_colour(look), look) for look in range(LOOKS)]
    elif view.colour == "right":
        groups = [("right", points.is_test & ~points.wrong, _RIGHT, 0), ("training", ~points.is_test, _GREY, 0)]
        groups.append(("misclassified", points.wrong, WRONG, 0))
    else:
        return _scaled(frame, points, view, shown)
    traces = []
    for name, members, colour, look in groups:
        for test in (False, True):
            rows = np.flatnonzero(members & shown & (points.is_test == test))
            marker = _marker(test, len(frame), look) | {"color": colour}
            legend = bool(name) and (test or view.colour == "right") and len(rows) > 0
            traces.append(_dots(frame, rows, marker, name, showlegend=legend, legendgroup=name))
    return traces


def _scaled(frame, points, view, shown) -> list[dict]:
    """Coloured by a number, the same scale for training and test images; grey where there is none."""
    values = {"score": points.scores, "distance": points.distances}.get(view.colour)
    if values is None:
        values = getattr(points, view.colour)
        values = np.full(len(frame), np.nan) if values is None else values
    known = np.isfinite(values) & shown
    top = 1.0 if view.colour == "score" else float(values[np.isfinite(values)].max(initial=1e-9))
    traces = []
    for test in (False, True):
        rows = np.flatnonzero(shown & ~known & (points.is_test == test))
        traces.append(_dots(frame, rows, _marker(test, len(frame)) | {"color": _GREY}, "", showlegend=False))
        rows = np.flatnonzero(known & (points.is_test == test))
        scale = {"color": values[rows].astype(np.float32), "colorscale": "Viridis", "cmin": 0, "cmax": top}
        bar = {"showscale": test, "colorbar": _colour_bar(view.colour, top)}
        traces.append(_dots(frame, rows, _marker(test, len(frame)) | scale | bar, "", showlegend=False))
    return traces


def _colour_bar(colour: str, top: float) -> dict:
    """The scale from 0 to `top`, below the two lines of the legend; what is counted has whole numbers."""
    bar = {"title": {"text": COLOURS[colour], "side": "right"}, "y": 0, "yanchor": "bottom", "len": 0.78}
    return bar | ({"dtick": max(1, round(top / 5))} if colour in ("learnt", "forgotten") else {})


def _marker(test: bool, count: int, look: int = 0) -> dict:
    few, shape = count <= NAMED, _SHAPES[look // len(CLASS_COLOURS) % len(_SHAPES)]
    if test:
        return {"symbol": shape or "diamond", "size": 9 if few else 5, "opacity": 0.95}
    return {"symbol": f"{shape}-open" if shape else "circle", "size": 5 if few else 3, "opacity": 0.45}


def _dots(frame, rows, marker, name, **more) -> dict:
    return dict(
        type="scattergl",
        x=frame[rows, 0],
        y=frame[rows, 1],
        customdata=rows.astype(np.int32),
        mode="markers",
        marker=marker,
        name=name,
        hoverinfo="none",
        **more,
    )


def _rings(frame, points) -> dict:
    rows = np.flatnonzero(points.wrong)
    size = float(np.clip(150 / np.sqrt(max(len(rows), 1)), 8, 15))  # many hide what they mark; the film does the same
    marker = {"symbol": "circle-open", "size": size, "color": WRONG, "line": {"width": size / 6, "color": WRONG}}
    # a click on a ring means it, not a dot that lies under it
    meta = {"on_top": True, "rings": True}
    return _dots(frame, rows, marker, "misclassified", meta=meta, showlegend=len(rows) > 0)


def _stars(frame, points, class_count) -> dict:
    rows = np.array(points.centres, np.int64)
    colours = [class_colour(label) for label in points.labels[rows]]
    marker = {"symbol": "star", "size": 19 if class_count <= _FEW else 12, "color": colours, "line": {"width": 2}}
    meta = {"on_top": True, "outlined": True}
    return _dots(frame, rows, marker, "class centre", meta=meta, showlegend=len(rows) > 0)


def _names(frame, labels, classes) -> list[dict]:
    """Each class's name above its middle."""
    font = {"font": {"size": 20 if len(classes) <= _FEW else 13}, "showarrow": False, "yshift": 26}
    around = {"borderwidth": 2, "borderpad": 2, "opacity": 0.9} | font
    return [
        {"x": x, "y": y, "text": f"<b>{html.escape(classes[label])}</b>", "bordercolor": class_colour(label)}
        | {"name": classes[label]}  # as in the legend, which hides it
        | around
        for label, (x, y) in name_places(frame, labels, len(classes)).items()
    ]


def name_places(frame: np.ndarray, labels: np.ndarray, class_count: int) -> dict[int, list[float]]:
    """By label of a class that is there: its point nearest to its middle. Empty for too many classes."""
    places = {}
    for label in range(class_count if class_count <= _LISTED else 0):
        members = frame[labels == label]
        if len(members):
            middle = np.median(members, axis=0)
            places[label] = members[np.square(members - middle).sum(axis=1).argmin()].tolist()
    return places


def _chosen(frame, view) -> list[dict]:
    """The lines from the chosen point to others, its halo, and trails; always three traces, so that a chart keeps its
    own. `meta` says of which points they are made: -1 is a gap.
    """
    lines, halo = np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    joined, chosen = [], []
    if view.chosen is not None:
        chosen = [view.chosen]
        halo = frame[chosen]
        ends = frame[list(view.linked)]
        lines = np.stack([np.broadcast_to(halo, ends.shape), ends, np.full_like(ends, np.nan)], axis=1).reshape(-1, 2)
        joined = [each for end in view.linked for each in (view.chosen, int(end), -1)]
    gap = np.full((1, 2), np.nan)
    trails = np.concatenate([gap, *(part for _, places in view.trails for part in (places, gap))])
    common = {"type": "scattergl", "hoverinfo": "skip", "showlegend": False}
    ring = {"symbol": "circle-open", "size": 26, "line": {"width": 4}}
    kinds = {"lines": (lines, {"points": joined}), "halo": (halo, {"points": chosen})}
    kinds["trails"] = trails, {"trails": [index for index, _ in view.trails]}
    looks = {"halo": {"mode": "markers", "marker": ring}}
    return [
        common
        | {"x": places[:, 0], "y": places[:, 1], "name": name, "meta": {"ink": True} | meta}
        | looks.get(name, {"mode": "lines", "line": {"width": 2, "dash": "dot" if name == "trails" else "solid"}})
        for name, (places, meta) in kinds.items()
    ]


def _layout(view) -> dict:
    equal = {"scaleanchor": "x", "scaleratio": 1}
    x, y, margin = {"visible": False}, {"visible": False}, {"l": 4, "r": 4, "t": 36, "b": 4}
    middle, half = view.reach or ((0, 0), view.extent)
    if view.axes:
        x, y = (
            {"title": {"text": title}, "range": [centre - half, centre + half], "constrain": "range"}
            for title, centre in zip(view.axes, middle, strict=True)
        )
        margin = {"l": 60, "r": 4, "t": 36, "b": 50}
    elif view.reach:
        x, y = (each | {"range": [centre - half, centre + half]} for each, centre in zip((x, y), middle, strict=True))
    legend = {"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "itemsizing": "constant", "tracegroupgap": 0}
    return dict(
        margin=margin,  # at the top there is room for the browser's buttons
        xaxis=x,
        yaxis=y | equal,
        legend=legend,
        dragmode="pan",
        uirevision=str(view.axes is None),
        selectionrevision=str(view.axes is None),
    )
