"""The microscope as HTML: distances to scale, and nothing of a data set is taken for markup."""

import re

import numpy as np
import pytest

from app.drawing import specimens


def both(before, after=None) -> dict:
    return {"before": before, "after": after}


def image(name: str) -> dict:
    return {"id": "train_<1>", "class": name}


TRIPLET = {
    "role": "hardest", "kind": both("hard", "semi-hard"), "anchor": image("<b>"), "positive": image("<b>"),
    "negative": image("7"), "to_positive": both(4.0, 3.0), "to_negative": both(2.0, 3.5), "loss": both(4.0, 1.5),
}  # fmt: skip
TOLD = {"what": "triplets", "epoch": 2, "step": 5, "margin": 2.0, "loss": both(1.5, 1.2), "items": [TRIPLET]}


def test_a_triplet_lies_on_its_line():
    drawn = specimens.drawn(TOLD, np.zeros((1, 3, 28, 28), np.uint8))
    places = [float(each) for each in re.findall(r"left:([0-9.]+)%", drawn)]
    assert places == pytest.approx([4 * 16, 4 * 16, 3 * 16, 2 * 16, 3.5 * 16])  # band, then p and n, before and after
    assert "width:32.0%" in drawn  # the margin of 2
    assert "<b>hard → semi-hard</b>" in drawn
    assert "loss of the batch 1.50 → 1.20" in drawn
    assert "<b>:" not in drawn
    assert "a: &lt;b&gt;" in drawn


def test_a_step_without_a_triplet_says_so():
    drawn = specimens.drawn(TOLD | {"items": [], "loss": both(0.0)}, np.zeros((0, 3, 28, 28), np.uint8))
    assert "No triplet was mined in this step" in drawn


def test_an_image_says_what_it_is_called():
    item = {"role": "highest loss", "image": image("7"), "predicted": both("1", "7"), "loss": both(3.2, 0.1)}
    item |= {"true_probability": both(0.04, 0.9), "predicted_probability": both(0.9, 0.9)}
    told = TOLD | {"what": "images", "items": [item]}
    drawn = specimens.drawn(told, np.zeros((1, 1, 28, 28), np.uint8))
    assert "called 1 → 7" in drawn
    assert "p(true) 0.04 → 0.90" in drawn
