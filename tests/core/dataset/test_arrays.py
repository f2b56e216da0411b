"""Files with many images each: IDX files, tables and packed arrays, read or refused in one line."""

import os
from pathlib import Path

import numpy as np
import pytest

from core.dataset import loader
from tests.core.folders import RNG, error_of, write_idx

pytestmark = pytest.mark.usefixtures("nothing_is_written")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", [".", "MNIST/raw"])
def test_idx_files_are_read_as_they_are(tmp_path, packed, place):
    pool = write_idx(tmp_path / "idx" / place, packed=packed)
    found = loader.load(tmp_path / "idx")
    assert (found.classes, found.class_numbers) == (("2", "5", "7"), (2, 5, 7))
    for part, split in ((found.train, "train"), (found.test, "test")):
        images, labels = pool[split]
        np.testing.assert_array_equal(part.images, images)
        assert [found.class_numbers[label] for label in part.labels] == labels.tolist()
        assert part.ids == tuple(f"{split}_{row}" for row in range(len(labels)))
        assert len(part.files) == len(labels)
    assert found.description == f"IDX files in {tmp_path / 'idx' / place} (19 training and 10 test images)"
    before = sorted(path.name for path in tmp_path.rglob("*"))
    loader._cache.clear()
    assert loader.load(tmp_path / "idx").fingerprint == found.fingerprint  # from the cache on the disk
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_one_idx_file_alone(tmp_path):
    write_idx(tmp_path)
    for file in sorted(tmp_path.iterdir())[:3]:
        file.unlink()
    assert "missing; MNIST's four files belong together" in error_of(loader.load, tmp_path)


def write_table(file: Path, labels, images: np.ndarray, header: str) -> None:
    pixels = images.reshape(len(images), -1)
    values = pixels if labels is None else np.column_stack([labels, pixels])
    names = ",".join(f"pixel{number}" for number in range(pixels.shape[1]))
    first = {"none": "", "label": "label," + names, "pixels": names}[header]
    np.savetxt(file, values, "%d", ",", header=first, comments="")
    if not first:
        file.write_text(file.read_text().lstrip("\n"))


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    """Labels 3 and 8, and images of 4x4 pixels."""
    return np.repeat([3, 8, 3], [10, 10, 5]), RNG.integers(0, 256, (25, 4, 4), np.uint8)


def test_kaggles_table(tmp_path, table):
    """train.csv with labels, test.csv without, and a list of what to hand in."""
    labels, images = table
    write_table(tmp_path / "train.csv", labels, images, "label")
    write_table(tmp_path / "test.csv", None, images, "pixels")
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    found = loader.load(tmp_path)
    assert (found.classes, len(found.train.ids), len(found.test.ids)) == (("3", "8"), 20, 5)
    assert found.description == (
        f"train.csv in {tmp_path} (20 training and 5 test images: 20% of each class drawn for testing, with seed 0); "
        "not used: sample_submission.csv, test.csv"
    )
    for part in (found.train, found.test):
        for image, label, image_id in zip(part.images, part.labels, part.ids, strict=True):
            row = int(image_id.removeprefix("image_"))
            np.testing.assert_array_equal(image, images[row])
            assert found.class_numbers[label] == labels[row]


@pytest.mark.parametrize("names", [("mnist_train.csv", "mnist_test.csv"), ("train.csv", "test.csv")])
@pytest.mark.parametrize("header", ["label", "none"])
def test_two_tables(tmp_path, table, names, header):
    for name in names:
        write_table(tmp_path / name, *table, header)
    found = loader.load(tmp_path)
    np.testing.assert_array_equal(found.test.images, table[1])
    assert found.description == f"{names[0]} and {names[1]} in {tmp_path} (25 training and 25 test images)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("\n3,", "\n3,300,", 1), "write a label and whole numbers"),
        (lambda text: text + "3," + ",".join(["300"] * 16) + "\n", "a pixel that is not from 0 to 255"),
        (lambda text: text + "three," + ",".join(["3"] * 16) + "\n", "write a label and whole numbers"),
        (lambda text: text.splitlines()[0] + "\n", "no row below the first line"),
    ],
)
def test_damaged_tables(tmp_path, table, change, expected):
    write_table(tmp_path / "train.csv", *table, "label")
    (tmp_path / "train.csv").write_text(change((tmp_path / "train.csv").read_text()))
    message = error_of(loader.load, tmp_path)
    assert message.startswith(str(tmp_path / "train.csv"))
    assert expected in message


@pytest.mark.parametrize("names", [("x_train", "y_train", "x_test", "y_test"), None])
@pytest.mark.parametrize("kind", ["int64", "one channel", "plain"])
def test_packed_arrays(tmp_path, table, names, kind):
    labels, images = table
    names = names or ("train_images", "train_labels", "test_images", "test_labels")
    given = {"int64": images.astype(np.int64), "one channel": images[..., None], "plain": images}[kind]
    each = labels[:, None] if kind == "one channel" else labels
    np.savez(tmp_path / "mnist.npz", **dict(zip(names, (given, each, given[:15], each[:15]), strict=True)))
    found = loader.load(tmp_path)
    np.testing.assert_array_equal(found.train.images, images)
    np.testing.assert_array_equal(found.test.images, images[:15])
    assert found.description == f"mnist.npz in {tmp_path} (25 training and 15 test images)"
    assert os.listdir(tmp_path) == ["mnist.npz"]


def test_colour_becomes_grey(tmp_path, table):
    labels, images = table
    colour = np.repeat(images[..., None], 3, axis=3)
    np.savez(tmp_path / "x.npz", x_train=colour, y_train=labels, x_test=colour, y_test=labels)
    np.testing.assert_array_equal(loader.load(tmp_path).train.images, images)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x_train": np.zeros((25, 4, 4))}, "x_train holds float64"),
        ({"x_train": np.full((25, 4, 4), 256)}, "x_train holds int64 up to 256"),
        ({"x_train": np.zeros((25, 16), np.uint8)}, "x_train is 25x16; save images x height x width"),
        ({"x_train": np.zeros((24, 4, 4), np.uint8)}, "24 train images with 25 labels"),
        ({"x_train": np.array([{}] * 25, dtype=object)}, "holds Python objects"),
        ({"y_test": np.full(25, 3)}, "no test image of class 8"),
        ({"y_test": np.array(["a"] * 25)}, "y_test holds no whole numbers"),
        ({"x_test": np.zeros((25, 5, 4), np.uint8)}, "differ in size"),
        ({"x_test": None}, "but not x_test and y_test"),
    ],
)
def test_packed_arrays_that_are_no_set(tmp_path, table, change, expected):
    labels, images = table
    content = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels} | change
    np.savez(tmp_path / "x.npz", **{name: array for name, array in content.items() if array is not None})
    message = error_of(loader.load, tmp_path)
    assert message.startswith(str(tmp_path))
    assert expected in message


def test_what_announces_too_much_is_not_decoded(tmp_path, table):
    write_idx(tmp_path / "idx", packed=True)
    np.savez(tmp_path / "x.npz", x_train=table[1], y_train=table[0], x_test=table[1], y_test=table[0])
    (tmp_path / "npz").mkdir()
    (tmp_path / "x.npz").rename(tmp_path / "npz" / "x.npz")
    for name in ("idx", "npz"):
        assert "announces" in error_of(loader.read, tmp_path / name, most_pixels=20)
