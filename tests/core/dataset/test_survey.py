"""What is said about images that cannot teach, or mislead."""

import shutil

import numpy as np
import pytest

from core.dataset import loader
from core.dataset.survey import other_brightness
from tests.core import folders
from tests.core.folders import RNG, write_png, write_set


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
    assert found.startswith(f"17 of 20 images are {words}, but the training images are ")
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


# Sets


@pytest.fixture(autouse=True)
def the_same_images(monkeypatch):
    """Whatever other tests have drawn before: some few random images look inverted."""
    monkeypatch.setattr(folders, "RNG", np.random.default_rng(7))


@pytest.fixture
def labelled(tmp_path):
    """Classes a and b with 6 training and 4 test images each, all different."""
    write_set(tmp_path, {"a": 0, "b": 1}, train=6, test=4)
    for split in loader.SPLITS:
        (tmp_path / f"{split}.csv").unlink()
    assert loader.load(tmp_path).notes == ()
    return tmp_path


def test_one_class(tmp_path):
    (note,) = loader.load(write_set(tmp_path, {"only": 3})).notes
    assert note.startswith("There is only one class (only): every answer is right")


def test_copies_of_training_images(labelled):
    for number in range(3):
        shutil.copy(labelled / "train" / "b" / f"train_b_{number}.png", labelled / "test" / "b" / f"copy_{number}.png")
    (note,) = loader.load(labelled).notes
    assert note == (
        "3 of 11 test images are exact copies of training images (first: copy_0, of train_b_0): the test accuracy is "
        "too high."
    )


def test_one_picture_under_two_labels(labelled):
    shutil.copy(labelled / "train" / "a" / "train_a_2.png", labelled / "train" / "b" / "same.png")
    (note,) = loader.load(labelled).notes
    assert note == "1 picture stands under two labels (first: train_a_2 in a, same in b): one of them is wrong."
    shutil.copy(labelled / "test" / "a" / "test_a_1.png", labelled / "test" / "b" / "other.png")
    assert loader.load(labelled).notes[0].startswith("2 pictures stand under two labels (first: train_a_2 in a, ")


def test_equal_pictures(labelled):
    for file in labelled.rglob("*.png"):
        write_png(file, np.full((6, 5), 200, np.uint8))
    assert loader.load(labelled).notes == ("All 12 training images are the same picture: nothing can be learnt.",)


def test_blank_pictures(labelled):
    write_png(labelled / "train" / "a" / "train_a_1.png", np.full((6, 5), 255, np.uint8))
    write_png(labelled / "test" / "b" / "test_b_3.png", np.zeros((6, 5), np.uint8))
    assert loader.load(labelled).notes == (
        "Of 12 training images 1 is blank (first: train_a_1).",
        "Of 8 test images 1 is blank (first: test_b_3).",
    )


def test_classes_of_very_different_sizes(labelled):
    for number in range(1, 6):
        (labelled / "train" / "b" / f"train_b_{number}.png").unlink()
    single, unbalanced = loader.load(labelled).notes
    assert single.startswith("1 class has a single training image (first: b)")
    assert unbalanced == "The classes are strongly unbalanced: 6 training images of a, 1 of b."


def test_test_images_of_the_other_brightness(labelled):
    for split, value in (("train", 250), ("test", 5)):
        for number, file in enumerate(sorted((labelled / split).rglob("*.png"))):
            pixels = np.full((6, 5), value, np.uint8)
            pixels[2, 2] = number + 20
            write_png(file, pixels)
    (note,) = loader.load(labelled).notes
    assert note.startswith("8 of 8 test images are light on dark, but the training images are dark on light: invert")


def test_notes_are_kept_with_the_decoded_set(labelled):
    write_png(labelled / "train" / "a" / "train_a_1.png", np.full((6, 5), 255, np.uint8))
    first = loader.load(labelled)
    loader._cache.clear()
    decoded = []
    again = loader.load(labelled, lambda done, total: decoded.append(done))
    assert (again.notes, decoded) == (first.notes, [])
    assert again.notes
