"""Data sets in zip files: what is taken, what is refused, and that nothing is left of the latter."""

import io
import resource
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from core.dataset import loader
from core.exchange import packed_sets
from core.exchange.archives import UploadError
from tests.core.zips import (
    huge_png,
    image_set,
    png,
    refused_set,
    zipped,
)


@pytest.mark.parametrize("top", ["", "my digits/"])
@pytest.mark.parametrize("tables", [True, False])
def test_a_good_set(digits, tmp_path, top, tables):
    files = {
        f"{top}{path.relative_to(digits.folder).as_posix()}": path.read_bytes()
        for path in digits.folder.rglob("*")
        if path.is_file() and (tables or path.suffix == ".png")
    }
    extra = {f"{top}source.json": b"{", "__MACOSX/._train": b"x", f"{top}train/.DS_Store": b"x", f"{top}train/": b""}
    target = tmp_path / "uploads" / "new"
    found = packed_sets.read_data_set(zipped(files | extra), target)
    assert found.folder == target
    assert (found.fingerprint == digits.fingerprint) is tables  # without CSVs the classes are numbered anew
    assert sorted(path.name for path in target.iterdir()) == sorted(
        ["train", "test"] + ["train.csv", "test.csv"] * tables
    )
    assert packed_sets.data_sets() == [target]


def test_an_empty_folder_is_taken_and_a_full_one_is_not(tmp_path):
    target = tmp_path / "set"
    target.mkdir()
    packed_sets.read_data_set(zipped(image_set()), target)
    with pytest.raises(UploadError, match="not empty"):
        packed_sets.read_data_set(zipped(image_set()), target)
    assert loader.load(target).classes == ("a", "b")


SETS = {
    "huge picture": (
        {"train/a/x.png": huge_png(60_000, 60_000)},
        "not an image that can be read (Image size (3600000000 pixels) exceeds limit",
    ),
    "wide picture": ({"train/a/x.png": huge_png(2**31 - 1, 1)}, "(2147483647 pixels) exceeds limit"),
    "no picture": ({"train/a/x.png": b"MZ\x90\0 a program"}, "not an image that can be read"),
    "zip in a zip": ({"train/a/x.png": zipped({"a": b"1"}).getvalue()}, "not an image"),
    "jpeg": ({"train/a/x.png": b"\xff\xd8\xff\xe0 JFIF" + bytes(40)}, "not an image"),
    "half a picture": ({"train/a/x.png": png()[:-30]}, "not an image that can be read"),
    "other size": ({"train/a/x.png": png(7)}, "make all images the same size"),
    "program": ({"train/a/run.exe": b"1"}, "not part of a data set"),
    "page": ({"train/a/index.html": b"1"}, "not part of a data set"),
    "svg": ({"train/a/x.svg": b"1"}, "not part of a data set"),
    "inner zip": ({"train/a/x.zip": b"1"}, "not part of a data set"),
    "third split": ({"secret/a/x.png": png()}, "not part of a data set"),
    "only training": (
        {"test/a/a9.png": None, "test/b/b9.png": None},
        "holds train/, but no test/ with a folder for each class",
    ),
    "one csv": ({"train.csv": b"id,name,class\na1,a,0\n"}, "missing beside the other CSV"),
    "long csv": ({"train.csv": b"a,b,1\n" * 100_000, "test.csv": b""}, "far more lines than images"),
    "csv of line ends": ({"train.csv": b"\r" * 100_000, "test.csv": b""}, "far more lines than images"),
    "large picture": ({"train/a/x.png": huge_png(600, 600)}, "600x600 pixels; at most 512"),
}
SETS |= {
    f"csv with {kind}": (
        {"train.csv": f"id,name,class\n{line}\n".encode(), "test.csv": b"id,name,class\na9,a,0\n"},
        reason,
    )
    for kind, line, reason in [
        ("another place", "../../../../etc/passwd,a,0", "cannot be a file name"),
        ("another class", "a1,../b,0", "cannot be a file name"),
        ("html", "<script>alert(1)</script>,a,0", "cannot be a file name"),
        ("more html", "<b>,a,0", "no such file"),
        ("control", "\x1b[2J,a,0", "cannot be a file name"),
        ("a huge number", f"a1,a,{'9' * 500}", "not a whole number"),
    ]
}


@pytest.mark.parametrize("case", SETS)
def test_bad_set(case, runs):
    files, reason = SETS[case]
    archive = zipped({name: content for name, content in image_set(**files).items() if content is not None})
    found = refused_set(archive, runs)
    assert any(part in found for part in reason.split("|")), found


def in_another_layout(layout: str) -> dict[str, bytes]:
    """The images of image_set as others pack them."""
    files = image_set()
    if layout == "backslashes":
        return {name.replace("/", "\\"): content for name, content in files.items()}
    if layout == "flat":
        return {name.partition("/")[2]: content for name, content in files.items()}
    if layout == "around":
        return {f"archive/my set/{name}": content for name, content in files.items()}
    if layout == "with texts":
        return files | {"LICENSE": b"free", "labels.txt": b"a b", "ReadMe.rst": b"x"}
    train, test = layout.split()
    renamed = {name.replace("train/", f"{train}/"): content for name, content in files.items()}
    return {name.replace("test/", f"{test}/"): content for name, content in renamed.items()}


@pytest.mark.parametrize(
    "packed", ["around", "backslashes", "flat", "training testing", "Train Test", "train val", "with texts"]
)
def test_sets_as_others_pack_them(packed, tmp_path):
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        for name, content in in_another_layout(packed).items():
            entry = zipfile.ZipInfo()
            entry.filename = entry.orig_filename = name
            archive.writestr(entry, content)
    found = packed_sets.read_data_set(stream, tmp_path / "set")
    assert found.classes == ("a", "b")
    assert sorted(len(part.ids) for part in (found.train, found.test)) == [2, 4]
    assert ("drawn for testing, with seed 0" in found.description) == (packed == "flat")


def other_format(ending: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((6, 6), 90, np.uint8)).save(stream, ending)
    return stream.getvalue()


@pytest.mark.parametrize("ending", ["BMP", "gif", "jpeg", "TIFF", "webp"])
def test_sets_in_other_formats(ending, tmp_path):
    files = {name.replace(".png", f".{ending}"): other_format(ending) for name in image_set()}
    assert len(packed_sets.read_data_set(zipped(files), tmp_path / "set").train.ids) == 4


def packed_arrays(**change) -> bytes:
    images, labels = np.zeros((6, 4, 4), np.uint8), np.array([0, 1] * 3)
    images[:, 1, 1] = range(6)
    content = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels} | change
    np.savez(stream := io.BytesIO(), **content)
    return stream.getvalue()


def test_files_with_many_images(tmp_path, runs):
    found = packed_sets.read_data_set(zipped({"keras/mnist.npz": packed_arrays()}), tmp_path / "npz")
    assert (found.classes, len(found.train.ids)) == (("0", "1"), 6)
    table = "label," + ",".join(f"pixel{each}" for each in range(16)) + "\n"
    table += "".join(f"{row % 2}," + ",".join(["7"] * 16) + "\n" for row in range(50))
    found = packed_sets.read_data_set(zipped({"train.csv": table.encode()}), tmp_path / "csv")
    assert (len(found.train.ids), len(found.test.ids)) == (40, 10)
    reason = refused_set(zipped({"x.npz": packed_arrays(x_train=np.array([{}] * 6, dtype=object))}), runs)
    assert "Python objects" in reason


def test_a_bomb_in_packed_arrays(runs, monkeypatch):
    monkeypatch.setattr(packed_sets, "SET_PIXELS", 11)
    assert "announces" in refused_set(zipped({"x.npz": packed_arrays()}), runs)


def test_a_zip_file_without_a_set_says_what_to_pack(runs):
    assert refused_set(zipped({"a.png": png(), "b.png": png()}), runs).startswith(
        "no data set inside: it holds a.png, but no train/ and test/ with a folder for each class; pack train/CLASS/ID"
    )
    assert refused_set(zipped({"set.zip": b"PK"}), runs) == "set.zip: not part of a data set; unpack it first"


def test_all_pixels_together(runs, monkeypatch):
    monkeypatch.setattr(packed_sets, "SET_PIXELS", 6 * 36 - 1)
    assert "pixels in all images" in refused_set(zipped(image_set()), runs)


def test_a_compressed_text_in_a_picture(tmp_path):
    """Pillow bounds it; the picture itself is small and whole."""
    text = b"zTXtbomb\0\0" + zlib.compress(bytes(200 * 2**20))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    picture = png()
    bomb = picture[:33] + chunk + picture[33:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    archive = zipped(image_set(**{"train/a/x.png": bomb}))
    reason = refused_set(archive, tmp_path / "runs")
    assert "not an image that can be read" in reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024  # kB; the bomb itself is made here


@pytest.mark.parametrize(
    "name", ["../../evil.zip", "C:\\x\\Größe 7.zip", "", ".zip", "<b>.zip", "a" * 300, "con\0.zip"]
)
def test_folders_for_sets_stay_where_they_belong(name, tmp_path):
    folder = packed_sets.new_folder(name)
    assert folder.parent == tmp_path / "uploads"
    assert len(folder.name) < 40
    assert folder.name.replace("-", "").isalnum()
