"""Maps as figures: every point in its colour, shape and place; red for wrong only; colours that all eyes tell apart."""

import numpy as np
import pytest

from app.drawing import maps
from app.drawing.comparison import RUN_COLOURS
from app.drawing.maps import View
from core.runs import store
from core.settings.colours import CLASS_COLOURS

# Severe red-green blindness on linear RGB (Machado, Oliveira and Fernandes 2009)
EYES = {
    "most": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


@pytest.fixture(scope="module")
def embedded(trained):
    return store.embedded(trained, trained.result.epochs)


@pytest.fixture(scope="module")
def points(digits, embedded):
    return maps.map_points(digits, embedded)


@pytest.fixture
def frame(points):
    return np.random.default_rng(0).normal(size=(len(points.ids), 2)).astype(np.float32)


def marks(figure) -> dict[int, str]:
    """Colour and shape of every point, by its index; rings left out."""
    found = {}
    for trace in figure.data:
        if trace.customdata is not None and not trace.meta:
            colours = trace.marker.color
            for place, index in enumerate(trace.customdata):
                assert index not in found
                colour = colours if isinstance(colours, str) else colours[place]
                found[int(index)] = (colour, trace.marker.symbol, trace.x[place], trace.y[place])
    return found


@pytest.mark.parametrize(("colour", "labels"), [("true", "labels"), ("predicted", "predicted")])
def test_every_point_has_the_colour_of_its_class_and_the_shape_of_its_set(digits, points, frame, colour, labels):
    found = marks(maps.embedding_map(frame, points, digits.classes, View(colour=colour)))
    assert sorted(found) == list(range(len(points.ids)))
    for index, (mark, symbol, x, y) in found.items():
        assert mark == CLASS_COLOURS[getattr(points, labels)[index]]
        assert symbol == ("diamond" if points.is_test[index] else "circle")
        assert (x, y) == tuple(frame[index])


@pytest.mark.parametrize("colour", maps.COLOURS)
def test_red_rings_are_around_what_is_misclassified_and_nothing_else(digits, points, embedded, frame, colour):
    figure = maps.embedding_map(frame, points, digits.classes, View(colour=colour))
    (rings,) = [trace for trace in figure.data if trace.meta and "rings" in trace.meta]
    training = len(digits.train.ids)
    wrong = training + np.flatnonzero(embedded.predicted != digits.test.labels)
    assert rings.customdata.tolist() == wrong.tolist()
    assert rings.marker.symbol == "circle-open"
    assert maps.WRONG not in CLASS_COLOURS
    red = {index for index, (mark, *_) in marks(figure).items() if mark == maps.WRONG}
    assert red == (set(wrong.tolist()) if colour == "right" else set())


@pytest.mark.parametrize("colour", maps.COLOURS)
def test_only_misclassified(digits, points, frame, colour):
    figure = maps.embedding_map(frame, points, digits.classes, View(colour=colour, only_wrong=True))
    assert sorted(marks(figure)) == np.flatnonzero(points.wrong).tolist()


def test_numbers_as_colours(digits, points, embedded, frame):
    found = marks(maps.embedding_map(frame, points, digits.classes, View(colour="score")))
    training = len(digits.train.ids)
    for row, score in enumerate(embedded.scores):
        assert found[training + row][0] == pytest.approx(score)
    found = marks(maps.embedding_map(frame, points, digits.classes, View(colour="distance")))
    every = np.concatenate([embedded.train, embedded.test])
    for index in range(len(points.ids)):
        of_class = embedded.train[digits.train.labels == points.labels[index]]
        assert found[index][0] == pytest.approx(np.linalg.norm(every[index] - of_class.mean(axis=0)), rel=1e-4)


def test_the_chosen_image_has_a_halo_and_lines(digits, points, frame):
    figure = maps.embedding_map(frame, points, digits.classes, View(chosen=3, linked=(1, 5)))
    lines, halo = (next(trace for trace in figure.data if trace.name == name) for name in ("lines", "halo"))
    assert (halo.x[0], halo.y[0]) == tuple(frame[3])
    np.testing.assert_array_equal(lines.x[[0, 1, 3, 4]], frame[[3, 1, 3, 5], 0])
    assert np.isnan(lines.x[[2, 5]]).all()


def test_pca_has_the_scale_of_the_sphere_and_umap_none(digits, points, frame):
    layout = maps.embedding_map(frame, points, digits.classes, View(axes=("a", "b"), extent=10)).layout
    assert tuple(layout.xaxis.range) == tuple(layout.yaxis.range) == (-10, 10)
    assert layout.yaxis.scaleanchor == "x"
    assert maps.embedding_map(frame, points, digits.classes, View()).layout.xaxis.visible is False


def test_many_points_and_many_classes_stay_small(digits):
    draw = np.random.default_rng(0)
    count, classes = 70_000, tuple(f"class {number}" for number in range(1000))
    labels = draw.integers(0, 1000, count)
    wrong = draw.random(count) < 0.05
    ids = tuple(f"mnist_train_{number}" for number in range(count))
    numbers = np.ones(count)
    many = maps.MapPoints(labels, labels, numbers, numbers, np.arange(count) > 60_000, wrong, ids, list(ids))
    figure = maps.embedding_map(draw.normal(size=(count, 2)).astype(np.float32), many, classes, View())
    assert len(figure.data) <= 2 * maps.LOOKS + 5
    assert len(figure.to_json()) + sum(map(len, ids)) < 5e6
    assert len(marks(figure)) == count


def test_stars_are_the_images_that_represent_their_classes(digits, embedded, points, frame):
    figure = maps.embedding_map(frame, points, digits.classes, View())
    (stars,) = [trace for trace in figure.data if trace.name == "class centre"]
    for label, (index, colour) in enumerate(zip(stars.customdata, stars.marker.color, strict=True)):
        members = np.flatnonzero(digits.train.labels == label)
        mean = embedded.train[members].mean(axis=0, dtype=np.float64)
        assert index == members[np.linalg.norm(embedded.train[members] - mean, axis=1).argmin()]
        assert colour == CLASS_COLOURS[label]
        assert points.captions[index].endswith("nearest to their mean")
        assert (stars.x[label], stars.y[label]) == tuple(frame[index])


def test_47_classes_are_told_apart_by_colour_and_shape(digits):
    labels = np.tile(np.arange(47), 4)
    count, numbers = len(labels), np.ones(len(labels))
    is_test = np.arange(count) >= 94
    ids = tuple(map(str, range(count)))
    points = maps.MapPoints(labels, labels, numbers, numbers, is_test, np.zeros(count, bool), ids, list(ids))
    frame = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    classes = tuple(f"letter {number}" for number in range(47))
    figure = maps.embedding_map(frame, points, classes, View())
    found = marks(figure)
    looks = {labels[index]: (colour, symbol) for index, (colour, symbol, *_) in found.items() if is_test[index]}
    assert len(set(looks.values())) == 47
    shapes = ({symbol for index, (_, symbol, *_) in found.items() if is_test[index] == test} for test in (False, True))
    assert not set.intersection(*shapes)
    assert {trace.name for trace in figure.data if trace.showlegend} >= set(classes)
    assert len(figure.layout.annotations) == 47


def lab_colours(colours: list[str], eyes) -> np.ndarray:
    """(C, 3) in CIE Lab as these eyes see them."""
    srgb = np.array([[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in colours])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ np.array(eyes).T
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear.clip(0, 1) @ to_xyz.T / (0.9505, 1, 1.089)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


@pytest.mark.parametrize("eyes", EYES)
def test_all_eyes_tell_ten_classes_apart(eyes):
    seen = lab_colours(CLASS_COLOURS, EYES[eyes])
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 1e3 * np.eye(10)
    assert len(CLASS_COLOURS) == 10
    assert distance.min() > 20  # the ten before had 4 for deutan eyes


def test_no_class_is_red():
    for _, a, b in lab_colours([*CLASS_COLOURS], EYES["most"]):
        assert not (np.hypot(a, b) > 30 and -25 < np.degrees(np.arctan2(b, a)) < 45)
    assert not set(CLASS_COLOURS) & set(RUN_COLOURS)


def test_a_scale_leaves_room_for_the_legend_and_counts_in_whole_numbers(digits, points, frame):
    told = points._replace(
        learnt=np.where(points.is_test, 3.0, np.nan), forgotten=np.where(points.is_test, 1.0, np.nan)
    )
    for colour in ("score", "distance", "learnt", "forgotten"):
        figure = maps.embedding_map(frame, told, digits.classes, View(colour=colour))
        (bar,) = [trace.marker.colorbar for trace in figure.data if trace.marker.showscale]
        assert (bar.y, bar.yanchor) == (0, "bottom")
        assert bar.len <= 0.8
        assert (bar.dtick == 1) == (colour in ("learnt", "forgotten"))


def test_misclassified_stands_in_the_legend_once(digits, points, frame):
    for colour in ("true", "right"):
        figure = maps.embedding_map(frame, points, digits.classes, View(colour=colour))
        assert [trace.name for trace in figure.data if trace.showlegend].count("misclassified") == 1


def test_the_plane_of_two_centres_has_its_own_reach(digits, points, frame):
    view = View(axes=("along", "across"), extent=10, reach=(np.array([1.0, 5.0]), 8.0))
    layout = maps.embedding_map(frame, points, digits.classes, view).layout
    assert layout.xaxis.range == (-7, 9)
    assert layout.yaxis.range == (-3, 13)
