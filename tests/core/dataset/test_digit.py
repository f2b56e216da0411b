"""Drawn and photographed digits come out as MNIST holds its own: size, place, ink on black."""

import numpy as np
import pytest
from PIL import Image

from core.dataset import digit
from core.dataset.loader import load


def centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()


def box(image: np.ndarray) -> tuple[int, int]:
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def stroke(height: int = 280, width: int = 280) -> np.ndarray:
    """A 7 somewhere on a canvas."""
    ink = np.zeros((height, width), np.uint8)
    ink[30:50, 20:120] = 255
    for step in range(150):
        ink[45 + step, 100 - step // 3 : 120 - step // 3] = 255
    return ink


@pytest.mark.parametrize("scale", [1, 2])
def test_a_digit_lies_in_a_box_of_20_with_its_mass_in_the_middle(scale):
    found = digit.as_mnist(stroke().repeat(scale, axis=0).repeat(scale, axis=1))
    assert found.shape == (28, 28)
    assert found.dtype == np.uint8
    assert max(box(found)) == 20
    assert centre_of_mass(found) == pytest.approx((14, 14), abs=0.5)
    assert found.max() == 255
    height, width = box(stroke())
    assert box(found)[1] == pytest.approx(20 * width / height, abs=1.5)  # nothing is stretched


def test_where_and_how_large_it_was_drawn_does_not_matter():
    ink = stroke()
    np.testing.assert_array_equal(digit.as_mnist(ink), digit.as_mnist(np.roll(ink, (60, 90), axis=(0, 1))))


def test_images_of_mnist_stay_as_they_are(lab_data):
    images = load(lab_data)
    if not images.train.ids[0].startswith("mnist"):
        pytest.skip("needs the lab's own images")
    for image in images.train.images[::100]:
        again = digit.as_mnist(image)
        assert np.abs(again.astype(int) - image).max() <= 2  # the brightest of some is 254


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (28, 28)])
def test_points_and_lines(shape):
    assert not digit.as_mnist(np.zeros(shape, np.uint8)).any()
    found = digit.as_mnist(np.full(shape, 9, np.uint8))
    assert max(box(found)) == 20
    assert found.max() == 255


def test_a_digit_with_its_mass_at_one_end_stays_whole():
    ink = np.zeros((200, 200), np.uint8)
    ink[:10] = 255
    ink[:, :10] = 60
    assert box(digit.as_mnist(ink)) == (20, 20)


def test_other_sizes():
    assert max(box(digit.as_mnist(stroke(), 56))) == 40


@pytest.mark.parametrize("dark_paper", [False, True])
def test_a_photograph_of_paper_under_a_lamp(dark_paper):
    ink = stroke()
    draw = np.random.default_rng(0)
    paper = np.linspace(230, 140, ink.shape[1])[None] + draw.normal(0, 4, ink.shape)
    photograph = np.where(ink > 0, paper - 110, paper).clip(0, 255).astype(np.uint8)
    found = digit.ink_of(255 - photograph if dark_paper else photograph)
    assert ((found > 0) == (ink > 0)).mean() > 0.995
    assert np.abs(digit.as_mnist(found).astype(int) - digit.as_mnist(ink)).mean() < 6


def test_an_empty_sheet_has_no_ink():
    assert not digit.ink_of(np.full((100, 100), 240, np.uint8)).any()
    assert [digit.is_blank(np.full((28, 28), grey, np.uint8)) for grey in (0, 240)] == [True, True]
    assert not digit.is_blank(digit.as_mnist(np.eye(30, dtype=np.uint8)))


def test_inverted_where_the_border_shows_more_ink_than_paper():
    ink = np.broadcast_to(np.arange(64) % 8 < 5, (64, 64))
    picture = np.where(ink, 30, 220).astype(np.uint8)
    np.testing.assert_array_equal(digit.ink_of(picture, inverted=True) > 0, ink)
    np.testing.assert_array_equal(digit.ink_of(picture) > 0, ~ink)


def test_small_pictures_are_read_too():
    picture = np.asarray(Image.fromarray(stroke()).resize((12, 12)))
    assert max(box(digit.as_mnist(digit.ink_of(255 - picture)))) == 20


@pytest.mark.parametrize("light", [False, True])
def test_a_picture_becomes_an_image_of_the_set(light):
    examples = np.zeros((3, 30, 40), np.uint8)
    examples[:, 10:20, 10:20] = 200
    examples = 255 - examples if light else examples
    expected = np.zeros((30, 40), np.uint8)
    expected[:, 5:35] = digit.as_mnist(stroke(), 30)
    expected = 255 - expected if light else expected
    np.testing.assert_array_equal(digit.prepared(stroke(), examples), expected)
    found, unchanged = digit.seen(255 - stroke(), examples)
    assert not unchanged
    np.testing.assert_array_equal(found, expected)
    assert digit.seen(examples[0], examples)[1]
    assert not digit.seen(examples[0], examples, inverted=True)[1]
