"""Figures of the report: every number and dot is there, text is escaped, and nothing is fetched."""

import re

import numpy as np
import pandas as pd

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


def test_the_map_has_a_dot_an_image_and_a_ring_a_mistake():
    draw = np.random.default_rng(0)
    points, labels = draw.normal(size=(30, 2)), np.arange(30) % 3
    drawn = figures.the_map(points, labels, 20, np.array([22, 25]), ("a", "b", "c"))
    assert drawn.count("h0") == 30
    assert drawn.count("<circle") == 2
    assert drawn.count('class="name"') == 3
