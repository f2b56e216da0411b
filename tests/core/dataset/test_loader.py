"""Loading: classes, fingerprint and what is kept, and one line that names the file for whatever is wrong with a set."""

import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.dataset import images, loader
from tests.core.folders import RNG, error_of, read_csv, write_csv, write_png, write_set


@pytest.fixture
def bare(small) -> Path:
    """The same without CSVs."""
    (small / "train.csv").unlink()
    (small / "test.csv").unlink()
    return small


# Loading


def test_pages_can_import_the_module_without_torch():
    code = "import sys, core.dataset.loader; print({'torch', 'torchvision', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_arrays_are_read_only(small):
    with pytest.raises(ValueError, match="read-only"):
        loader.load(small).train.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        loader.load(small).test.labels[0] = 0


def test_classes_are_ordered_by_their_number_which_may_have_gaps(tmp_path):
    loaded = loader.load(write_set(tmp_path, {"z": 3, "nan": 26, "m": -1}, train=1, test=1))
    assert (loaded.classes, loaded.class_numbers) == (("m", "z", "nan"), (-1, 3, 26))
    assert loaded.train.labels.tolist() == [1, 2, 0]


@pytest.mark.parametrize("mode", images.MODES)
def test_every_8_bit_mode_becomes_grey(small, mode):
    path = small / "train" / "a" / "train_a_0.png"
    colour = Image.fromarray(RNG.integers(0, 256, (6, 5, 3), np.uint8)).convert(mode)
    colour.save(path)
    np.testing.assert_array_equal(loader.load(small).train.images[0], np.asarray(colour.convert("L")))


def test_a_transparent_palette_gives_no_warning(small):
    path = small / "train" / "a" / "train_a_0.png"
    Image.fromarray(np.full((6, 5), 9, np.uint8)).convert("P").save(path, transparency=bytes(range(256)))
    loader.load(small)


def test_folders_without_csv(bare):
    write_png(bare / "train" / "a" / ".hidden.png", np.zeros((2, 2), np.uint8))
    (bare / "train" / ".cache").mkdir()
    (bare / "train" / "a" / "notes.txt").write_text("not an image")
    (bare / "train" / "a" / "train_a_2.png").rename(bare / "train" / "a" / "train_a_2.PNG")
    loaded = loader.load(bare)
    assert (loaded.classes, loaded.class_numbers) == (("a", "b"), (0, 1))
    assert loaded.train.ids == ("train_a_0", "train_a_1", "train_a_2", "train_b_0", "train_b_1", "train_b_2")
    assert loader.exists(bare)


def test_folders_with_numeric_names(tmp_path):
    write_set(tmp_path, {"10": 0, "9": 1}, train=1, test=1)
    for split in loader.SPLITS:
        (tmp_path / f"{split}.csv").unlink()
    loaded = loader.load(tmp_path)
    assert (loaded.classes, loaded.class_numbers) == (("9", "10"), (9, 10))


def test_same_file_name_in_two_class_folders(tmp_path):
    for split in loader.SPLITS:
        for name in ("a", "b"):
            write_png(tmp_path / split / name / "1.png", np.zeros((3, 3), np.uint8))
    assert loader.load(tmp_path).train.ids == ("a_1", "b_1")


def test_cache_sees_every_edit(small):
    first = loader.load(small)
    assert loader.load(str(small)) is first
    path = small / "test" / "b" / "test_b_1.png"
    write_png(path, np.full((6, 5), 200, np.uint8))
    second = loader.load(small)
    assert second is not first
    assert (second.test.images[-1] == 200).all()
    assert second.fingerprint != first.fingerprint
    (small / "train.csv").write_text((small / "train.csv").read_text() + "\n")
    assert loader.load(small) is not second
    path.unlink()
    assert str(path) in error_of(loader.load, small)


def test_cache_keeps_two_sets(tmp_path):
    folders = [write_set(tmp_path / str(index), {"a": 0}) for index in range(3)]
    first, second, _ = [loader.load(folder) for folder in folders]
    assert loader.load(folders[1]) is second
    assert loader.load(folders[0]) is not first
    assert len(loader._cache) == 2


def test_fingerprint_is_of_the_decoded_pixels(small):
    before = loader.load(small).fingerprint
    assert len(before) == 64
    path = small / "train" / "a" / "train_a_0.png"
    pixels = np.array(Image.open(path))
    write_png(path, pixels, compress_level=0)
    assert loader.load(small).fingerprint == before
    pixels[0, 0] ^= 1
    write_png(path, pixels)
    assert loader.load(small).fingerprint != before


def test_fingerprint_has_labels_names_and_numbers(tmp_path):
    folder = write_set(tmp_path, {"a": 0, "b": 1})
    found = {loader.load(folder).fingerprint}
    shutil.copy(folder / "train" / "a" / "train_a_0.png", folder / "train" / "b")
    rows = read_csv(folder / "train.csv")
    write_csv(folder / "train.csv", [["train_a_0", "b", "1"], *rows[1:]])
    found.add(loader.load(folder).fingerprint)
    for split in loader.SPLITS:
        write_csv(
            folder / f"{split}.csv", [(row[0], row[1], int(row[2]) + 1) for row in read_csv(folder / f"{split}.csv")]
        )
    found.add(loader.load(folder).fingerprint)
    assert len(found) == 3


def test_no_set(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, reason in ((tmp_path / "nowhere", "no such folder; "), (tmp_path / "empty", "an empty folder; ")):
        assert error_of(loader.load, folder).startswith(f"{folder}: {reason}")
        assert not loader.exists(folder)


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_every_class_needs_both_kinds_of_images(small, split, other):
    write_csv(small / f"{split}.csv", [row for row in read_csv(small / f"{split}.csv") if row[1] == "a"])
    assert error_of(loader.load, small).startswith(f"{small / f'{split}.csv'}: no image of class 'b'")
    for name in loader.SPLITS:
        (small / f"{name}.csv").unlink()
    shutil.rmtree(small / split / "b")
    assert error_of(loader.load, small).startswith(f"{small / split}: no image of class 'b'")


def test_a_class_folder_without_images_is_named_although_no_row_asks_for_it(small):
    (small / "test" / "c").mkdir()
    assert error_of(loader.load, small).startswith(f"{small / 'test' / 'c'}: a class without images")


def truncated(path: Path):
    write_png(path, RNG.integers(0, 256, (6, 5), np.uint8))
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "no such file; add the image or remove its row"),
        (lambda path: path.write_text("hello"), "not an image"),
        (lambda path: path.write_bytes(b""), "not an image"),
        (truncated, "not an image"),
        (lambda path: (path.unlink(), path.mkdir()), "not an image"),
        (lambda path: write_png(path, np.zeros((6, 4), np.uint8)), "4x6 pixels, but"),
        (lambda path: write_png(path, np.zeros((4, 513), np.uint8)), "513x4 pixels; at most 512 a side"),
        (lambda path: Image.fromarray(np.zeros((6, 5), np.float32)).save(path, "TIFF"), "mode F is not supported"),
    ],
)
def test_errors_of_an_image(small, damage, expected):
    path = small / "test" / "a" / "test_a_1.png"
    damage(path)
    message = error_of(loader.load, small)
    assert message.startswith(str(path))
    assert expected in message
    if "pixels, but" in expected:
        assert f"{small / 'train' / 'a' / 'train_a_0.png'} has 5x6" in message


def test_errors_of_a_folder_without_csv(bare):
    for file in (bare / "test" / "b").iterdir():
        file.unlink()
    assert error_of(loader.load, bare).startswith(f"{bare / 'test'}: no image of class 'b'; every class needs some")
    for file in (bare / "train" / "b").iterdir():
        file.rename(file.with_suffix(".txt"))
    assert error_of(loader.load, bare).startswith(f"{bare / 'train'}: no image of class 'b'")
    shutil.rmtree(bare / "test")
    assert error_of(loader.load, bare).startswith(f"{bare}: holds train/, but no test/ with a folder for each class")
    (bare / "test").mkdir()
    shutil.rmtree(bare / "train")
    (bare / "train").mkdir()
    assert "no class folder" in error_of(loader.load, bare)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"source": "web", "description": "x", "fingerprint": "y"}', b"\xff\xfe"]
)
def test_damaged_source_json(small, text):
    path = small / "source.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert error_of(loader.load, small).startswith(f"{path}: damaged")


# Images of the user


def test_load_images(small):
    shutil.rmtree(small / "test" / "a")
    split = loader.load_images(small / "test", ("c", "b", "a"))
    assert split.labels.tolist() == [1, 1]
    assert split.ids == ("test_b_0", "test_b_1")
    np.testing.assert_array_equal(split.images, loader.load_images(str(small / "test"), ["b"]).images)


def test_errors_of_load_images(small, tmp_path):
    message = error_of(loader.load_images, small / "test", ("a", "c"))
    assert message.startswith(f"{small / 'test' / 'b'}: the run knows no class 'b'")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    assert "no image there" in error_of(loader.load_images, tmp_path / "empty", ("a",))
    assert "cannot be read" in error_of(loader.load_images, tmp_path / "nowhere", ("a",))
    (small / "test" / "a" / "test_a_0.png").write_text("hello")
    assert "test_a_0.png: not an image" in error_of(loader.load_images, small / "test", ("a", "b"))


def test_a_whole_set_or_a_file_that_is_no_image_in_place_of_images(small, tmp_path):
    test = small / "test"
    assert error_of(loader.load_images, small, ("a", "b")) == f"{small}: a whole data set; name its test images, {test}"
    (tmp_path / "set.zip").write_bytes(b"PK")
    assert error_of(loader.load_images, tmp_path / "set.zip", ("a",)).startswith(
        f"{tmp_path / 'set.zip'}: not an image;"
    )


# Names and what lies beside the images


@pytest.mark.parametrize("suffix", images.SUFFIXES)
@pytest.mark.parametrize("upper", [False, True])
def test_every_format_is_listed(bare, suffix, upper):
    suffix = suffix.upper() if upper else suffix
    for file in (bare / "train" / "b").iterdir():
        file.rename(file.with_suffix(suffix))
    assert [file.suffix for file in loader.load(bare).train.files] == [".png"] * 3 + [suffix] * 3


@pytest.mark.parametrize(("on_disk", "in_csv"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_names(tmp_path, on_disk, in_csv):
    for split in loader.SPLITS:
        name, image_id = (unicodedata.normalize(on_disk, f"{text}ü") for text in ("klasse", split))
        write_png(tmp_path / split / name / f"{image_id}.png", np.zeros((3, 3), np.uint8))
        write_csv(tmp_path / f"{split}.csv", [[unicodedata.normalize(in_csv, each) for each in (image_id, name, "0")]])
    loaded = loader.load(tmp_path)
    assert loaded.classes == ("klasseü",)
    (tmp_path / "train.csv").unlink()
    (tmp_path / "test.csv").unlink()
    assert loader.load(tmp_path).fingerprint == loaded.fingerprint


def test_one_class_written_in_two_ways(tmp_path):
    for split, form in (("train", "NFC"), ("test", "NFD")):
        write_png(tmp_path / split / unicodedata.normalize(form, "ü") / "1.png", np.zeros((3, 3), np.uint8))
    assert loader.load(tmp_path).classes == ("ü",)


def test_litter_is_no_class_and_no_image(bare):
    before = loader.load(bare)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._x.png"):
        (bare / "train" / name).write_bytes(b"x")
        (bare / "train" / "a" / name).write_bytes(b"x")
    for place in (bare / "train", bare / "test" / "a"):
        (place / "__MACOSX").mkdir()
        (place / "__MACOSX" / "x.png").write_bytes(b"x")
    after = loader.load(bare)
    assert (after.classes, after.fingerprint, after.description) == (
        before.classes,
        before.fingerprint,
        before.description,
    )


@pytest.mark.parametrize("place", ["a/more", "a/more/deep", "."])
def test_images_outside_of_the_class_folders_are_named(bare, place):
    for name in ("y.JPG", "x.png"):
        write_png(bare / "train" / place / name, np.zeros((6, 5), np.uint8), format="PNG")
    first = bare / "train" / place / "x.png"
    assert error_of(loader.load, bare).startswith(
        f"{first}: 2 images lie outside of the class folders, this first; move"
    )
    assert str(first) in error_of(loader.load_images, bare / "train", ("a", "b"))


def test_other_files_are_counted(bare):
    (bare / "train" / "a" / "notes.txt").write_text("x")
    assert loader.load(bare).description.endswith(f"; 1 file not used: {Path('train', 'a', 'notes.txt')}")
    (bare / "train" / "b.csv").write_text("x")
    assert loader.load(bare).description.endswith(f"; 2 files not used: {Path('train', 'a', 'notes.txt')}, …")


def test_a_file_of_equal_size_and_time_is_noticed(small):
    path = small / "test" / "b" / "test_b_1.png"
    write_png(path, np.full((6, 5), 100, np.uint8), compress_level=0)
    before, status = loader.load(small), path.stat()
    write_png(path, np.full((6, 5), 200, np.uint8), compress_level=0)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert loader.load(small).fingerprint != before.fingerprint
