"""What is said about images that cannot teach, or mislead."""

import numpy as np
import pytest

from core.dataset.survey import other_brightness
from tests.core.folders import RNG


def drawn(count: int, paper: int, ink: int) -> np.ndarray:
    """Images with a stroke in the middle."""
    images = np.full((count, 8, 8), paper, np.uint8)
    images[:, 2:6, 3:5] = ink
    return images


@pytest.mark.parametrize(("paper", "ink", "words"), [(0, 255, "dark on light"), (255, 0, "light on dark")])
def test_inverted_images_are_counted(paper, ink, words):
    known = drawn(50, paper, ink)
    asked = np.concatenate([drawn(3, paper, ink), drawn(17, ink, paper)])
    found = other_brightness(known, asked)
    assert found.startswith(f"17 of 20 images are {words}, but the run learnt from images ")
    assert "invert them" in found
    assert other_brightness(known, drawn(20, paper, ink)) == ""


def test_a_few_inverted_ones_are_said_where_the_run_knows_none():
    assert other_brightness(drawn(50, 0, 255), np.concatenate([drawn(8, 0, 255), drawn(2, 255, 0)])).startswith("2 of")
    mixed = np.concatenate([drawn(30, 0, 255), drawn(20, 255, 0)])
    assert other_brightness(mixed, drawn(20, 255, 0)) == ""


def test_photos_have_no_paper():
    photos = RNG.integers(0, 256, (100, 8, 8), np.uint8)
    assert other_brightness(photos, 255 - photos) == ""


def test_a_lighter_scan_is_not_inverted():
    assert other_brightness(drawn(50, 0, 255), drawn(20, 60, 200)) == ""
