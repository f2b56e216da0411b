"""Folders as people have them: read as they are meant, or refused in one line; never written into."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from core.dataset import layout, loader, rows
from tests.core.folders import RNG, error_of, write_csv, write_png, write_set

pytestmark = pytest.mark.usefixtures("nothing_is_written")


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
