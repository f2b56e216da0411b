"""What a browser says it drew is checked; the small map keeps places and classes."""

import base64

import numpy as np
import pytest

from app.components import canvas
from app.components.small_map import Background


def test_a_drawing():
    ink = np.arange(canvas.SENT**2, dtype=np.uint32).astype(np.uint8).reshape(canvas.SENT, canvas.SENT)
    np.testing.assert_array_equal(canvas.ink_of(base64.b64encode(ink.tobytes()).decode()), ink)


@pytest.mark.parametrize("answer", ["", None, 7, "AAAA", "?", ["AAAA"], base64.b64encode(bytes(140**2)).decode()])
def test_anything_else_is_no_drawing(answer):
    assert canvas.ink_of(answer) is None


def test_the_small_map_fits_into_its_frame():
    places = np.random.default_rng(0).normal(size=(30, 2)) * (9, 2) + 5
    labels = np.arange(30) % 3
    found = Background(places, labels, ["#000", "#111", "#222"], ("a", "b", "c"))
    drawn = np.frombuffer(base64.b64decode(found.places), "<f4").reshape(-1, 2)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    np.testing.assert_allclose(found.inside(places), drawn, atol=1e-6)
    shape = np.ptp(places, axis=0)
    np.testing.assert_allclose(np.ptp(drawn, axis=0), shape / shape.max(), atol=1e-6)  # one scale for both axes
    assert np.frombuffer(base64.b64decode(found.labels), np.uint8).tolist() == labels.tolist()
    assert [name for name, *_ in found.names] == ["a", "b", "c"]


def test_of_many_points_the_small_map_shows_some():
    places = np.random.default_rng(0).normal(size=(70_000, 2))
    found = Background(places, np.arange(70_000) % 10, ["#000"] * 10, tuple("0123456789"))
    assert len(found.places) < 100_000
