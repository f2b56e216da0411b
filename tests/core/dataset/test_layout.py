"""Folders as people have them: read as they are meant, or refused in one line; never written into."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from core.dataset import layout, loader, rows
from tests.core.folders import RNG, error_of, write_csv, write_idx, write_png, write_set


@pytest.fixture
def bare(tmp_path) -> Path:
    """Classes a and b with 3 training and 2 test images each, without CSVs."""
    folder = write_set(tmp_path / "bare", {"a": 0, "b": 1})
    for split in loader.SPLITS:
        (folder / f"{split}.csv").unlink()
    return folder


@pytest.fixture
def classes(tmp_path) -> Path:
    """Class folders a (10 images), b (4 images) and c (2 images), without splits."""
    for name, count in (("a", 10), ("b", 4), ("c", 2)):
        for number in range(count):
            write_png(tmp_path / "flat" / name / f"{number}.png", RNG.integers(0, 256, (6, 5), np.uint8))
    return tmp_path / "flat"


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path):
    """No test here writes into its folder after the set is read for the first time, and the lab never does."""
    yield
    assert not [path for path in tmp_path.rglob("*") if path.name in (".lock", "source.json", ".preparing")]


def renamed(folder: Path, **names: str) -> Path:
    for before, after in names.items():
        (folder / after).parent.mkdir(parents=True, exist_ok=True)
        (folder / before).rename(folder / after)
    return folder


# Training and test images under their common names

NAMES = [
    ("training", "testing"),
    ("Train", "Test"),
    ("TRAIN", "TEST"),
    ("training_set", "test_set"),
    ("train_images", "test_images"),
    ("trainset", "testset"),
    ("Training Data", "Test Data"),
    ("train-set", "test-set"),
    ("mnist_train", "mnist_test"),
    ("images.train", "images.test"),
    ("train", "val"),
    ("train", "valid"),
    ("Training", "Validation"),
    ("training_set", "validation_set"),
    ("seg_train/seg_train", "seg_test/seg_test"),
]


@pytest.mark.parametrize(("train", "test"), NAMES)
def test_common_names_of_the_splits(bare, train, test):
    before = loader.load(bare)
    found = loader.load(renamed(bare, train=train, test=test))
    assert found.fingerprint == before.fingerprint
    assert found.description == f"folder {bare} (6 training and 4 test images)"
    assert found.train.files[0] == bare / train / "a" / "train_a_0.png"


@pytest.mark.parametrize("around", ["set", "archive/mnist_png", "dataset_test", "my_training"])
def test_folders_around_a_set(bare, tmp_path, around):
    before = loader.load(bare).fingerprint
    renamed(tmp_path, bare=f"outer/{around}")
    (tmp_path / "outer" / "README.txt").write_text("beside it")
    found = loader.load(tmp_path / "outer")
    assert (found.fingerprint, found.folder) == (before, tmp_path / "outer")
    assert f"folder {tmp_path / 'outer' / around} (" in found.description


def test_csvs_with_other_names_of_the_folders(tmp_path):
    folder = write_set(tmp_path / "set", {"z": 3, "m": 1})
    before = loader.load(folder)
    assert loader.load(renamed(folder, train="Training", test="Testing")).fingerprint == before.fingerprint


def test_validation_images_beside_test_images_are_named(bare):
    before = loader.load(bare).fingerprint
    shutil.copytree(bare / "test", bare / "val")
    found = loader.load(bare)
    assert found.fingerprint == before
    assert found.description.endswith("(6 training and 4 test images); not used: val/")


def test_two_folders_for_one_split(bare):
    shutil.copytree(bare / "train", bare / "Training")
    assert loader.load(bare).description.endswith("; not used: Training/")  # the lab's own name is meant
    renamed(bare, train="training_set")
    assert error_of(loader.load, bare) == (
        f"{bare}: Training and training_set could both be the train images; move one elsewhere"
    )


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_half_a_set(bare, split, other):
    shutil.rmtree(bare / other)
    message = error_of(loader.load, bare)
    assert message.startswith(f"{bare}: holds {split}/, but no {other}/ with a folder for each class; add it, or give ")
    assert loader.load(bare / split).classes == ("a", "b")


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "Validation")])
def test_one_half_named_instead_of_the_set(bare, train, test):
    renamed(bare, train=train, test=test)
    for half in (train, test):
        assert error_of(loader.load, bare / half) == f"{bare / half}: one half of a set; name {bare}, which holds both"


def test_a_folder_called_dev_is_no_half_of_a_set(tmp_path):
    write_png(tmp_path / "dev" / "disk" / "x.png", np.zeros((6, 5), np.uint8))
    (tmp_path / "home").mkdir()
    assert error_of(loader.load, tmp_path).startswith(f"{tmp_path}: holds dev, but no train/ and test/ with a folder")


def test_a_class_called_train(classes):
    renamed(classes, a="train")
    assert loader.load(classes).classes == ("b", "c", "train")


# Class folders without splits


def test_flat_class_folders(classes):
    found = loader.load(classes)
    assert found.classes == ("a", "b", "c")
    assert np.bincount(found.train.labels).tolist() == [8, 3, 1]
    assert np.bincount(found.test.labels).tolist() == [2, 1, 1]
    assert found.description == (
        f"folder {classes} (12 training and 4 test images: 20% of each class drawn for testing, with seed 0)"
    )
    assert len({*found.train.ids, *found.test.ids}) == 16
    for part in (found.train, found.test):
        assert [f"{file.parent.name}_{file.stem}" for file in part.files] == list(part.ids)


def test_the_draw_is_stable(classes, tmp_path):
    found = loader.load(classes)
    # written down so that no change of the drawing goes unnoticed: it would end the comparison with older runs
    assert found.test.ids == ("a_0", "a_8", "b_1", "c_1")
    copy = tmp_path / "copy"
    for file in sorted(classes.rglob("*.png"), reverse=True):  # another order on the disk
        (copy / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy / file.parent.name)
    assert loader.load(copy).fingerprint == found.fingerprint
    write_png(copy / "a" / "10.png", np.zeros((6, 5), np.uint8))
    assert len({*found.test.ids} - {*loader.load(copy).test.ids}) <= 1  # one more moves hardly any other
    assert loader.load(copy).fingerprint != found.fingerprint


def test_another_draw_is_another_fingerprint(classes, monkeypatch):
    before = loader.load(classes).fingerprint
    monkeypatch.setattr(rows, "SEED", 1)
    assert loader.read(classes).fingerprint != before


def test_flat_folders_that_cannot_be_split(classes):
    (classes / "c" / "1.png").unlink()
    assert error_of(loader.load, classes).startswith(f"{classes}: class c has a single image, and without a test/ ")
    shutil.rmtree(classes / "c")
    (classes / "empty").mkdir()
    assert error_of(loader.load, classes).startswith(f"{classes / 'empty'}: a class without images")
    (classes / "empty").rmdir()
    write_png(classes / "a" / "deep" / "x.png", np.zeros((6, 5), np.uint8))
    assert "1 image lies outside of the class folders" in error_of(loader.load, classes)
    shutil.rmtree(classes / "a")
    assert error_of(loader.load, classes).startswith(f"{classes / 'b'}: the only folder of images there; ")


def test_images_without_class_folders(classes):
    write_png(classes / "x.png", np.zeros((6, 5), np.uint8))
    assert "holds a, but no train/ and test/" in error_of(loader.load, classes)
    assert "holds 0.png, but no train/ and test/" in error_of(loader.load, classes / "b")


def test_a_change_in_a_flat_set_is_seen(classes):
    before = loader.load(classes)
    assert loader.load(classes) is before
    write_png(classes / "b" / "9.png", np.zeros((6, 5), np.uint8))
    assert len(loader.load(classes).train.ids) + len(loader.load(classes).test.ids) == 17
    shutil.copytree(classes, classes.parent / "keep")
    for split in loader.SPLITS:
        shutil.copytree(classes.parent / "keep", classes / split)
    assert loader.load(classes).description.endswith("not used: a/, b/, c/")


# Files with many images each


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


# What is no set


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("set.zip", "a zip file, not a folder; take it in: python -m core import "),
        ("set.tar.gz", "a file, not a folder; unpack it, and name the folder"),
        ("mnist.npz", "a file, not a folder; name the folder that holds it"),
    ],
)
def test_a_file_instead_of_a_folder(tmp_path, name, expected):
    (tmp_path / name).write_bytes(b"x")
    assert error_of(loader.load, tmp_path / name).startswith(f"{tmp_path / name}: {expected}")


@pytest.mark.parametrize("files", [["notes.txt"], ["a/notes.txt", "b/notes.txt"], ["labels.csv"], ["one/two/x.txt"]])
def test_a_folder_without_a_set(tmp_path, files):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("id;label\n1;2\n")
    message = error_of(loader.load, tmp_path)
    assert message.startswith(f"{tmp_path}: holds {files[0].split('/')[0]}, but no train/ and test/ with a folder for")
    assert not loader.exists(tmp_path)


def test_litter_of_systems_in_every_layout(classes, tmp_path):
    before = loader.load(classes).fingerprint
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a"):
        (classes / name).write_bytes(b"x")
    write_png(classes / "__MACOSX" / "a" / "._0.png", np.zeros((2, 2), np.uint8))
    assert loader.load(classes).fingerprint == before
    renamed(tmp_path, flat="outer/flat")
    shutil.copytree(tmp_path / "outer" / "flat" / "__MACOSX", tmp_path / "outer" / "__MACOSX")
    assert loader.load(tmp_path / "outer").fingerprint == before


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", ("", "train")),
        ("Fashion-MNIST_Test", ("fashion-mnist", "test")),
        ("validation_images", ("", "validation")),
        ("trains", None),
        ("contest", None),
        ("testing123", None),
        ("bus", None),
    ],
)
def test_names_of_splits(name, role):
    assert layout.role_of(name) == role


def test_a_table_in_the_labs_layout_is_no_table_of_pixels(tmp_path):
    folder = write_set(tmp_path / "set", {"a": 0, "b": 1})
    write_csv(folder / "train.csv", [("x", "a", 0)], header=("id", "name", "label"))
    assert "the columns have to be id,name,class" in error_of(loader.load, folder)
