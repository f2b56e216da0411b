import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import data
from core.data import DataError

RNG = np.random.default_rng(7)


def write_png(path: Path, pixels: np.ndarray, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def write_set(folder: Path, classes: dict[str, int], train=3, test=2, shape=(6, 5)) -> Path:
    """A set with random images; ids are train_a_0, train_a_1, …"""
    for split, count in (("train", train), ("test", test)):
        rows = []
        for name, number in classes.items():
            for index in range(count):
                rows.append((f"{split}_{name}_{index}", name, number))
                write_png(folder / split / name / f"{rows[-1][0]}.png", RNG.integers(0, 256, shape, np.uint8))
        write_csv(folder / f"{split}.csv", rows)
    return folder


def write_csv(path: Path, rows, header=("id", "name", "class")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture
def small(tmp_path) -> Path:
    return write_set(tmp_path / "small", {"a": 0, "b": 1})


@pytest.fixture
def bare(small) -> Path:
    """The same without CSVs."""
    (small / "train.csv").unlink()
    (small / "test.csv").unlink()
    return small


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> data.DataSet:
    return data.prepare(tmp_path_factory.mktemp("digits"), "digits")


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Loading


def test_pages_can_import_the_module_without_torch():
    code = "import sys, core.data; print({'torch', 'torchvision', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_order_and_labels_follow_the_csv(small):
    rows = read_csv(small / "train.csv")[::-1]
    write_csv(small / "train.csv", rows)
    write_png(small / "train" / "a" / "without_a_row.png", np.zeros((9, 9), np.uint8))
    loaded = data.load(small)
    assert list(loaded.train.ids) == [row[0] for row in rows] == sorted(loaded.train.ids, reverse=True)
    assert loaded.train.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert loaded.train.labels.dtype == np.int64
    assert loaded.train.images.shape == (6, 6, 5)
    assert loaded.test.images.shape == (4, 6, 5)
    for split in (loaded.train, loaded.test):
        for image, file in zip(split.images, split.files, strict=True):
            np.testing.assert_array_equal(image, np.asarray(Image.open(file)))
    assert loaded.source == "folder"
    assert loaded.description == f"folder {small} (6 training and 4 test images)"


def test_arrays_are_read_only(small):
    with pytest.raises(ValueError, match="read-only"):
        data.load(small).train.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        data.load(small).test.labels[0] = 0


def test_classes_are_ordered_by_their_number_which_may_have_gaps(tmp_path):
    loaded = data.load(write_set(tmp_path, {"z": 3, "nan": 26, "m": -1}, train=1, test=1))
    assert (loaded.classes, loaded.class_numbers) == (("m", "z", "nan"), (-1, 3, 26))
    assert loaded.train.labels.tolist() == [1, 2, 0]


def test_text_that_looks_like_a_missing_value_stays_text(small):
    shutil.move(small / "train" / "a" / "train_a_0.png", small / "train" / "a" / "NA.png")
    rows = read_csv(small / "train.csv")
    write_csv(small / "train.csv", [["NA", "a", "0"], *rows[1:]])
    assert data.load(small).train.ids[0] == "NA"


def test_csv_of_a_spreadsheet(small):
    """Byte order mark, columns in another order, blank lines."""
    lines = ["class,id,name", *(f"{number},{image},{name}" for image, name, number in read_csv(small / "train.csv"))]
    expected = data.load(small).fingerprint
    (small / "train.csv").write_text("\r\n".join(lines) + "\r\n\r\n", encoding="utf-8-sig")
    assert data.load(small).fingerprint == expected


@pytest.mark.parametrize("mode", data.MODES)
def test_every_8_bit_mode_becomes_grey(small, mode):
    path = small / "train" / "a" / "train_a_0.png"
    colour = Image.fromarray(RNG.integers(0, 256, (6, 5, 3), np.uint8)).convert(mode)
    colour.save(path)
    np.testing.assert_array_equal(data.load(small).train.images[0], np.asarray(colour.convert("L")))


def test_a_transparent_palette_gives_no_warning(small):
    path = small / "train" / "a" / "train_a_0.png"
    Image.fromarray(np.full((6, 5), 9, np.uint8)).convert("P").save(path, transparency=bytes(range(256)))
    data.load(small)


def test_folders_without_csv(bare):
    write_png(bare / "train" / "a" / ".hidden.png", np.zeros((2, 2), np.uint8))
    (bare / "train" / ".cache").mkdir()
    (bare / "train" / "a" / "notes.txt").write_text("not an image")
    loaded = data.load(bare)
    assert (loaded.classes, loaded.class_numbers) == (("a", "b"), (0, 1))
    assert loaded.train.ids == ("train_a_0", "train_a_1", "train_a_2", "train_b_0", "train_b_1", "train_b_2")
    assert data.exists(bare)


def test_folders_with_numeric_names(tmp_path):
    write_set(tmp_path, {"10": 0, "9": 1}, train=1, test=1)
    for split in data.SPLITS:
        (tmp_path / f"{split}.csv").unlink()
    loaded = data.load(tmp_path)
    assert (loaded.classes, loaded.class_numbers) == (("9", "10"), (9, 10))


def test_same_file_name_in_two_class_folders(tmp_path):
    for split in data.SPLITS:
        for name in ("a", "b"):
            write_png(tmp_path / split / name / "1.png", np.zeros((3, 3), np.uint8))
    assert data.load(tmp_path).train.ids == ("a_1", "b_1")


def test_cache_sees_every_edit(small):
    first = data.load(small)
    assert data.load(str(small)) is first
    path = small / "test" / "b" / "test_b_1.png"
    write_png(path, np.full((6, 5), 200, np.uint8))
    second = data.load(small)
    assert second is not first
    assert (second.test.images[-1] == 200).all()
    assert second.fingerprint != first.fingerprint
    (small / "train.csv").write_text((small / "train.csv").read_text() + "\n")
    assert data.load(small) is not second
    path.unlink()
    assert str(path) in error_of(data.load, small)


def test_cache_keeps_two_sets(tmp_path):
    folders = [write_set(tmp_path / str(index), {"a": 0}) for index in range(3)]
    first, second, _ = [data.load(folder) for folder in folders]
    assert data.load(folders[1]) is second
    assert data.load(folders[0]) is not first
    assert len(data._cache) == 2


def test_fingerprint_is_of_the_decoded_pixels(small):
    before = data.load(small).fingerprint
    assert len(before) == 64
    path = small / "train" / "a" / "train_a_0.png"
    pixels = np.array(Image.open(path))
    write_png(path, pixels, compress_level=0)
    assert data.load(small).fingerprint == before
    pixels[0, 0] ^= 1
    write_png(path, pixels)
    assert data.load(small).fingerprint != before


def test_fingerprint_has_labels_names_and_numbers(tmp_path):
    folder = write_set(tmp_path, {"a": 0, "b": 1})
    found = {data.load(folder).fingerprint}
    shutil.copy(folder / "train" / "a" / "train_a_0.png", folder / "train" / "b")
    rows = read_csv(folder / "train.csv")
    write_csv(folder / "train.csv", [["train_a_0", "b", "1"], *rows[1:]])
    found.add(data.load(folder).fingerprint)
    for split in data.SPLITS:
        write_csv(
            folder / f"{split}.csv", [(row[0], row[1], int(row[2]) + 1) for row in read_csv(folder / f"{split}.csv")]
        )
    found.add(data.load(folder).fingerprint)
    assert len(found) == 3


def test_no_set(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        message = error_of(data.load, folder)
        assert f"python -m core data --data {folder}" in message
        assert "make run" in message
        assert not data.exists(folder)


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_one_csv_alone(small, name):
    (small / name).unlink()
    assert str(small / name) in error_of(data.load, small)
    assert not data.exists(small)
    # preparing does not take it for a leftover
    assert str(small / name) in error_of(data.prepare, small)
    assert (small / "train" / "a").is_dir()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty"),
        (b"id,name,class\n", "no row below the first line"),
        (b"id,name\nx,a\n", "its first line is 'id,name'; the columns have to be id,name,class"),
        (b"id;name;class\nx;a;0\n", "its first line is 'id;name;class'"),
        (b"id,name,class,extra\nx,a,0,1\n", "the columns have to be id,name,class"),
        (b"id,name,class,class\nx,a,0,1\n", "the columns have to be id,name,class"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "not a CSV file in UTF-8"),
        ("id,name,class\n".encode("utf-16"), "not a CSV file in UTF-8"),
        (b'id,name,class\n"x,a,0\n', "not a CSV file in UTF-8"),
        (b"id,name,class\nx,a,0\ny,a\n", ", line 3: 2 values"),
        (b"id,name,class\nx,a,0,9\n", ", line 2: 4 values"),
        (b"id,name,class\nx,a,0.5\n", ", line 2: the class '0.5' is not a whole number"),
        (b"id,name,class\nx,a,\n", ", line 2: the class '' is not a whole number"),
        (b"id,name,class\nx,a,99999999999999999999\n", ", line 2: the class '9999"),
        (b"id,name,class\nx,a,0\n\ny,a,0\nx,a,0\n", ", line 5: the id 'x' is taken by"),
        (b"id,name,class\n,a,0\n", ", line 2: the id '' cannot be a file name"),
        (b"id,name,class\nx,,0\n", ", line 2: the name '' cannot be a file name"),
        (b"id,name,class\n../../x,a,0\n", ", line 2: the id '../../x'"),
        (b"id,name,class\nx,..,0\n", ", line 2: the name '..'"),
        (b"id,name,class\nx,.,0\n", ", line 2: the name '.'"),
        (b"id,name,class\nx/y,a,0\n", ", line 2: the id 'x/y'"),
        (b"id,name,class\nx\\y,a,0\n", ", line 2: the id 'x\\\\y'"),
        (b"id,name,class\nx\x00,a,0\n", ", line 2: the id 'x\\x00'"),
        (b'id,name,class\n"x\ny",a,0\n', ", line 3: the id 'x\\ny'"),
        (b"id,name,class\nx,a,0\ny,a,1\n", ", line 3: name 'a' with class 1, but"),
        (b"id,name,class\nx,a,0\ny,b,0\n", ", line 3: name 'b' with class 0, but"),
    ],
)
def test_errors_of_a_csv(small, content, expected):
    (small / "train.csv").write_bytes(content)
    message = error_of(data.load, small)
    assert message.startswith(str(small / "train.csv"))
    assert expected in message


def test_name_and_class_agree_across_the_csvs(small):
    write_csv(small / "test.csv", [("test_a_0", "a", 1), ("test_b_0", "b", 0)])
    message = error_of(data.load, small)
    assert f"{small / 'test.csv'}, line 2: name 'a' with class 1, but {small / 'train.csv'}, line 2" in message


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_every_class_needs_both_kinds_of_images(small, split, other):
    write_csv(small / f"{split}.csv", [row for row in read_csv(small / f"{split}.csv") if row[1] == "a"])
    assert error_of(data.load, small).startswith(f"{small / f'{split}.csv'}: no image of class 'b'")
    for name in data.SPLITS:
        (small / f"{name}.csv").unlink()
    shutil.rmtree(small / split / "b")
    assert error_of(data.load, small).startswith(f"{small / split}: no image of class 'b'")


def test_csv_that_is_a_folder(small):
    (small / "test.csv").unlink()
    (small / "test.csv").mkdir()
    assert error_of(data.load, small).startswith(f"{small / 'test.csv'}: cannot be read")


def truncated(path: Path):
    write_png(path, RNG.integers(0, 256, (6, 5), np.uint8))
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "no such file; add the image or remove its row"),
        (lambda path: path.write_text("hello"), "not a PNG image"),
        (lambda path: path.write_bytes(b""), "not a PNG image"),
        (lambda path: Image.fromarray(np.zeros((6, 5), np.uint8)).save(path, format="BMP"), "not a PNG image"),
        (truncated, "not a PNG image"),
        (lambda path: (path.unlink(), path.mkdir()), "not a PNG image"),
        (lambda path: write_png(path, np.zeros((6, 4), np.uint8)), "4x6 pixels, but"),
        (lambda path: write_png(path, np.zeros((4, 513), np.uint8)), "513x4 pixels; at most 512 a side"),
        (lambda path: write_png(path, np.zeros((6, 5), np.uint16)), "mode I;16 is not supported"),
    ],
)
def test_errors_of_an_image(small, damage, expected):
    path = small / "test" / "a" / "test_a_1.png"
    damage(path)
    message = error_of(data.load, small)
    assert message.startswith(str(path))
    assert expected in message
    if "pixels, but" in expected:
        assert f"{small / 'train' / 'a' / 'train_a_0.png'} has 5x6" in message


def test_errors_of_a_folder_without_csv(bare):
    for file in (bare / "test" / "b").iterdir():
        file.unlink()
    assert error_of(data.load, bare).startswith(f"{bare / 'test' / 'b'}: no .png image")
    shutil.rmtree(bare / "test")
    assert error_of(data.load, bare).startswith(f"{bare / 'test'}: cannot be read (No such file")
    assert not data.exists(bare)
    (bare / "test").mkdir()
    shutil.rmtree(bare / "train")
    (bare / "train").mkdir()
    assert "no class folder" in error_of(data.load, bare)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"source": "web", "description": "x", "fingerprint": "y"}', b"\xff\xfe"]
)
def test_damaged_source_json(small, text):
    path = small / "source.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert error_of(data.load, small).startswith(f"{path}: damaged")


# Images of the user


def test_load_images(small):
    shutil.rmtree(small / "test" / "a")
    split = data.load_images(small / "test", ("c", "b", "a"))
    assert split.labels.tolist() == [1, 1]
    assert split.ids == ("test_b_0", "test_b_1")
    np.testing.assert_array_equal(split.images, data.load_images(str(small / "test"), ["b"]).images)


def test_errors_of_load_images(small, tmp_path):
    message = error_of(data.load_images, small / "test", ("a", "c"))
    assert message.startswith(f"{small / 'test' / 'b'}: the run knows no class 'b'")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    assert "no image there" in error_of(data.load_images, tmp_path / "empty", ("a",))
    assert "cannot be read" in error_of(data.load_images, tmp_path / "nowhere", ("a",))
    (small / "test" / "a" / "test_a_0.png").write_text("hello")
    assert "test_a_0.png: not a PNG image" in error_of(data.load_images, small / "test", ("a", "b"))


# Preparation


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder: Path, dot=False, packed=False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Four IDX files with classes 2, 5 and 7, of which the rarest has 4 training and 2 test images."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = {}
    for split, prefix, counts in (("train", "train", (4, 9, 6)), ("test", "t10k", (5, 2, 3))):
        labels = RNG.permutation(np.repeat([2, 5, 7], counts)).astype(np.uint8)
        pool[split] = RNG.integers(0, 256, (len(labels), 4, 3), np.uint8), labels
        for array, kind in zip(pool[split], ("images-idx3", "labels-idx1"), strict=True):
            name = f"{prefix}-{kind}-ubyte"
            name = name.replace("-idx", ".idx") if dot else name
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return pool


def check_idx_set(loaded: data.DataSet, pool):
    assert (loaded.classes, loaded.class_numbers) == (("2", "5", "7"), (2, 5, 7))
    assert loaded.source == "mnist"
    for split, part, each in (("train", loaded.train, 4), ("test", loaded.test, 2)):
        assert part.labels.tolist() == sorted([0, 1, 2] * each)
        images, labels = pool[split]
        for image, label, image_id in zip(part.images, part.labels, part.ids, strict=True):
            position = int(image_id.removeprefix(f"mnist_{split}_"))
            np.testing.assert_array_equal(image, images[position])
            assert labels[position] == loaded.class_numbers[label]
    facts = json.loads((loaded.folder / "source.json").read_text())
    assert facts["chosen"] == {"seed": data.SEED, "train_per_class": 4, "test_per_class": 2}
    assert facts["fingerprint"] == loaded.fingerprint


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, dot, packed):
    pool = write_idx(tmp_path / "idx", dot, packed)
    loaded = data.prepare(tmp_path / "set", tmp_path / "idx")
    check_idx_set(loaded, pool)
    assert data.prepare(tmp_path / "again", str(tmp_path / "idx")).fingerprint == loaded.fingerprint


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        ("t10k-images-idx3-ubyte", Path.unlink, "missing"),
        ("t10k-images-idx3-ubyte", cut, "bytes where"),
        ("train-images-idx3-ubyte", lambda path: path.write_bytes(b"\0\0\x08\x03\0"), "does not begin like"),
        ("train-labels-idx1-ubyte", lambda path: path.write_bytes(b"<html>not found"), "does not begin like"),
    ],
)
def test_damaged_idx_file(tmp_path, name, damage, expected):
    write_idx(tmp_path / "idx")
    damage(tmp_path / "idx" / name)
    message = error_of(data.prepare, tmp_path / "set", tmp_path / "idx")
    assert message.startswith(f"{tmp_path / 'idx' / name}: ")
    assert expected in message
    assert not data.exists(tmp_path / "set")


def test_damaged_packed_idx_file(tmp_path):
    write_idx(tmp_path, packed=True)
    for content in (b"hello", (tmp_path / "train-images-idx3-ubyte.gz").read_bytes()[:-9]):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
        message = error_of(data.prepare, tmp_path / "set", tmp_path)
        assert message.startswith(f"{tmp_path / 'train-images-idx3-ubyte.gz'}: cannot be read")


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("train-labels-idx1-ubyte", np.zeros(3, np.uint8), "with 3 labels"),
        ("train-images-idx3-ubyte", np.zeros((19, 4, 0), np.uint8), "of 0x4 pixels"),
        ("train-images-idx3-ubyte", np.zeros((19, 1, 513), np.uint8), "of 513x1 pixels"),
        ("train-images-idx3-ubyte", np.zeros((19, 4, 4), np.uint8), "differ in image size"),
        ("t10k-labels-idx1-ubyte", np.full(10, 2, np.uint8), "differ in image size or classes"),
    ],
)
def test_idx_files_that_do_not_fit_together(tmp_path, name, array, expected):
    write_idx(tmp_path / "idx")
    (tmp_path / "idx" / name).write_bytes(idx(array))
    message = error_of(data.prepare, tmp_path / "set", tmp_path / "idx")
    assert message.startswith(str(tmp_path / "idx"))
    assert expected in message


def test_digits(digits):
    assert digits.source == "digits"
    assert digits.classes == tuple("0123456789")
    assert digits.train.images.shape == (1160, 28, 28)
    assert np.bincount(digits.train.labels).tolist() == [116] * 10
    assert np.bincount(digits.test.labels).tolist() == [58] * 10
    train, test = ({image_id.rpartition("_")[2] for image_id in part.ids} for part in (digits.train, digits.test))
    assert len(train) == 1160
    assert not train & test
    assert digits.train.ids[0].startswith("digits_train_")
    assert digits.train.images.max() > 250
    assert digits.train.files[0] == digits.folder / "train" / "0" / f"{digits.train.ids[0]}.png"
    assert sorted(os.listdir(digits.folder)) == [".lock", "source.json", "test", "test.csv", "train", "train.csv"]
    assert "digits" in digits.description
    # written down so that no change of the drawing goes unnoticed: it would end the comparison with older runs
    assert digits.fingerprint.startswith("c7896dc751977353")


def test_a_set_that_is_there_is_loaded(digits, tmp_path):
    for source in ("auto", "digits", digits.folder):
        assert data.prepare(digits.folder, source) is digits
    assert data.exists(digits.folder)
    write_set(tmp_path, {"a": 0})
    for source in ("mnist", tmp_path):
        message = error_of(data.prepare, digits.folder, source)
        assert message.startswith(f"{digits.folder}: holds a data set already")
        assert "--data" in message
    assert "holds a data set already" in error_of(data.prepare, tmp_path, "digits")


def test_copy_of_a_folder(bare, tmp_path):
    target = tmp_path / "copy"
    target.mkdir()
    (target / "README.md").write_text("stays")
    lines = []
    copy = data.prepare(target, bare, lines.append)
    assert copy.fingerprint == data.load(bare).fingerprint
    assert copy.train.files[0] == target / "train" / "a" / "train_a_0.png"
    assert read_csv(target / "test.csv") == [
        [f"test_{name}_{index}", name, number] for name, number in (("a", "0"), ("b", "1")) for index in range(2)
    ]
    assert copy.source == "folder"
    assert str(bare) in copy.description
    assert lines == [f"Writing 6 training and 4 test images to {target} …"]
    assert (target / "README.md").read_text() == "stays"
    assert data.prepare(target, bare) is copy
    write_png(target / "train" / "a" / "train_a_0.png", np.zeros((6, 5), np.uint8))
    assert data.load(target).description.endswith("changed since it was prepared")


def test_path_that_is_no_source(tmp_path):
    for path in (tmp_path, tmp_path / "minst"):
        message = error_of(data.prepare, tmp_path / "set", path)
        assert message.startswith(f"{path}: not a source")
    assert not data.exists(tmp_path / "set")


def test_download(tmp_path, monkeypatch):
    pool = write_idx(tmp_path / "server")
    script = f"import sys, shutil; shutil.copytree({str(tmp_path / 'server')!r}, sys.argv[1] + '/MNIST/raw')"
    monkeypatch.setattr(data, "DOWNLOAD", script)
    lines = []
    check_idx_set(data.prepare(tmp_path / "set", progress=lines.append), pool)
    assert len(lines) == 2
    assert data.prepare(tmp_path / "set", "mnist").description.startswith("MNIST, a balanced subset of 12 training")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('Tried x, got:\\n<urlopen error [Errno -2] Name not known>\\n'); exit(1)", "(Name not known)"),
        ("raise SystemError", "(it broke off)"),
        ("import time; time.sleep(60)", "(not finished after 0.3 seconds)"),
    ],
)
def test_download_that_fails(tmp_path, monkeypatch, script, reason, capfd):
    monkeypatch.setattr(data, "DOWNLOAD", script)
    monkeypatch.setattr(data, "DOWNLOAD_SECONDS", 0.3 if "sleep" in script else 60)
    message = error_of(data.prepare, tmp_path, "mnist")
    assert message.startswith(f"MNIST could not be downloaded {reason}; ")
    assert os.listdir(tmp_path) == [".lock"]
    assert capfd.readouterr() == ("", "")


def test_script_of_the_download_names_its_error(tmp_path):
    """With a module in place of torchvision, because a test must not need the network, nor use it."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    (tmp_path / "torchvision" / "datasets.py").write_text(
        textwrap.dedent("""
            import socket
            def MNIST(folder, download):
                raise RuntimeError(f"{folder} {download} {socket.getdefaulttimeout()}")
        """)
    )
    command = [sys.executable, "-c", data.DOWNLOAD, "somewhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "somewhere True 5.0\n", "")


def test_auto_takes_digits_if_the_download_fails(tmp_path, monkeypatch, digits):
    monkeypatch.setattr(data, "DOWNLOAD", "print('no network'); exit(1)")
    lines = []
    assert data.prepare(tmp_path, progress=lines.append).fingerprint == digits.fingerprint
    assert lines[0] == "Downloading MNIST …"
    assert lines[1].startswith("MNIST could not be downloaded (no network)")
    assert "scikit-learn" in lines[2]
    assert len(lines) == 4


def test_interrupted_preparation_is_repeated(small, tmp_path):
    target = tmp_path / "set"
    write_png(target / "train" / "old" / "half.png", np.zeros((2, 2), np.uint8))
    (target / "train.csv").write_text("id,na")
    (target / ".preparing" / "test" / "old").mkdir(parents=True)
    (target / "README.md").touch()
    assert not data.exists(target)
    assert "unfinished" in error_of(data.load, target)
    assert data.prepare(target, small).fingerprint == data.load(small).fingerprint
    assert not (target / ".preparing").exists()
    assert not (target / "train" / "old").exists()
    assert (target / "README.md").exists()


@pytest.mark.parametrize("failing", ["test", "source.json"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_leaves_nothing(small, tmp_path, monkeypatch, failing, error):
    replace = os.replace

    def replace_until(source, target):
        if Path(target).name == failing:
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_until)
    target = tmp_path / "set"
    if isinstance(error, OSError):
        assert error_of(data.prepare, target, small).startswith(
            f"{target}: the data set cannot be written (No space left on device)"
        )
    else:
        with pytest.raises(KeyboardInterrupt):
            data.prepare(target, small)
    assert os.listdir(target) == [".lock"]
    assert not data.exists(target)


def test_folder_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").touch()
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        message = error_of(data.prepare, target, small)
        assert message.startswith(f"{target}: the data set cannot be written")
        assert "--data" in message


def test_two_preparations_at_once(small, tmp_path):
    target = tmp_path / "set"
    lines, fingerprints = [], []

    def prepare():
        fingerprints.append(data.prepare(target, small, lines.append).fingerprint)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 1
    assert fingerprints == [data.load(small).fingerprint] * 4


def test_lock_that_stays_taken(small, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "LOCK_SECONDS", 0.1)
    target = tmp_path / "set"
    target.mkdir()
    with data.filelock.FileLock(target / ".lock"):
        caught = []
        thread = threading.Thread(target=lambda: caught.append(error_of(data.prepare, target, small)))
        thread.start()
        thread.join()
    assert "another process" in caught[0]
