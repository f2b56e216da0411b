"""Figures of the report: every number and dot is there, text is escaped, and nothing is fetched."""

import re

import numpy as np
import pandas as pd
import pytest

from core.exchange import figures


def test_a_line_goes_through_its_points():
    x, y = np.array([1.0, 2, 3]), np.array([0.0, np.nan, 10])
    drawn = figures.chart([("<a>", "#000", "", x, y)], "loss", "")
    (points,) = re.findall(r'points="([^"]*)"', drawn)
    (left, low), (right, high) = [map(float, each.split(",")) for each in points.split()]
    assert left < right
    assert low > high  # SVG counts downwards
    assert "&lt;a&gt;" in drawn
    assert "<a>" not in drawn


def test_a_single_epoch_and_none():
    history = pd.DataFrame({"epoch": [1], "train_accuracy": [0.5], "test_accuracy": [0.4], "train_loss": [np.nan]})
    drawn = figures.curves(history)
    assert drawn.count("<circle") == 2
    assert "No epoch" in figures.curves(history[:0])
    assert "nan" not in drawn


def test_percent_never_exceeds_a_hundred():
    drawn = figures.chart([("a", "#000", "", np.array([1.0, 2]), np.array([50.0, 100]))], "accuracy", " %")
    assert max(int(each) for each in re.findall(r"(\d+) %", drawn)) == 100


def test_matrix_dims_what_is_right_and_colours_what_is_wrong():
    drawn = figures.matrix(np.array([[7, 2], [0, 9]]), ("a", "<b>"))
    assert drawn.count('class="same"') == 2
    assert drawn.count("background:rgba(224,0,36") == 1
    assert "<th>&lt;b&gt;</th>" in drawn


def test_a_matrix_of_many_long_names_fits_on_a_page():
    names = [f"sign {place} of the alphabet" for place in range(47)]
    drawn = figures.matrix(np.eye(47, dtype=int), names)
    (size,) = map(float, re.findall(r"font-size:([\d.]+)pt", drawn))
    assert size * (1.5 + 2 * 0.2) * 47 + 16 * 0.6 * size < 510  # points: what its cells and the longest name take
    assert max(map(len, re.findall(r'<span class="upright">([^<]*)', drawn))) == 16
    assert drawn.count('class="upright"') == 47
    assert "upright" not in figures.matrix(np.eye(2, dtype=int), ("0", "1"))


def test_ticks_are_round_and_where_they_say():
    for low, high in ((0.75, 1.52), (61, 80.2), (0, 1e-3), (99.2, 100), (3, 4000)):
        ticks = figures._ticks(low, high)
        assert 3 <= len(ticks) <= 8
        for value, written in ticks:
            assert float(written) == pytest.approx(value)
            assert low <= value <= high + 1e-9
            assert len(written.strip("0.").replace(".", "")) <= 4


def test_no_name_leaves_the_map():
    points, labels = np.array([[0.0, 0], [1, 1], [2, 0]]), np.arange(3)
    names = ("Ankle boot with a heel", "b", "another long name of a class")
    drawn = figures.the_map(points, labels, 3, np.array([], int), names)
    for x, size, name in re.findall(r'<text x="(\d+)".*?font-size:(\d+)px">([^<]*)', drawn):
        half = len(name) * int(size) * 0.3
        assert int(x) - half >= 0
        assert int(x) + half <= 600


def test_the_map_has_a_dot_an_image_and_a_ring_a_mistake():
    draw = np.random.default_rng(0)
    points, labels = draw.normal(size=(30, 2)), np.arange(30) % 3
    drawn = figures.the_map(points, labels, 20, np.array([22, 25]), ("a", "b", "c"))
    assert drawn.count("h0") == 30
    assert drawn.count("<circle") == 2
    assert drawn.count('class="name"') == 3
