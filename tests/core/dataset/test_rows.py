"""Rows of the CSVs: names, ids and classes as people write them, and the line in which one is wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.dataset import loader, sources
from tests.core.folders import error_of, read_csv, write_csv, write_png


def test_order_and_labels_follow_the_csv(small):
    rows = read_csv(small / "train.csv")[::-1]
    write_csv(small / "train.csv", rows)
    write_png(small / "train" / "a" / "without_a_row.png", np.zeros((9, 9), np.uint8))
    loaded = loader.load(small)
    assert list(loaded.train.ids) == [row[0] for row in rows] == sorted(loaded.train.ids, reverse=True)
    assert loaded.train.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert loaded.train.labels.dtype == np.int64
    assert loaded.train.images.shape == (6, 6, 5)
    assert loaded.test.images.shape == (4, 6, 5)
    for split in (loaded.train, loaded.test):
        for image, file in zip(split.images, split.files, strict=True):
            np.testing.assert_array_equal(image, np.asarray(Image.open(file)))
    assert loaded.source == "folder"
    beside = Path("train", "a", "without_a_row.png")
    assert loaded.description == f"folder {small} (6 training and 4 test images); 1 file not used: {beside}"


def test_text_that_looks_like_a_missing_value_stays_text(small):
    shutil.move(small / "train" / "a" / "train_a_0.png", small / "train" / "a" / "NA.png")
    rows = read_csv(small / "train.csv")
    write_csv(small / "train.csv", [["NA", "a", "0"], *rows[1:]])
    assert loader.load(small).train.ids[0] == "NA"


def test_csv_of_a_spreadsheet(small):
    """Byte order mark, columns in another order, blank lines."""
    lines = ["class,id,name", *(f"{number},{image},{name}" for image, name, number in read_csv(small / "train.csv"))]
    expected = loader.load(small).fingerprint
    (small / "train.csv").write_text("\r\n".join(lines) + "\r\n\r\n", encoding="utf-8-sig")
    assert loader.load(small).fingerprint == expected


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_one_csv_alone(small, name):
    (small / name).unlink()
    assert str(small / name) in error_of(loader.load, small)
    assert loader.exists(small)  # preparing does not take it for a leftover
    assert str(small / name) in error_of(sources.prepare, small)
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
    message = error_of(loader.load, small)
    assert message.startswith(str(small / "train.csv"))
    assert expected in message


def test_name_and_class_agree_across_the_csvs(small):
    write_csv(small / "test.csv", [("test_a_0", "a", 1), ("test_b_0", "b", 0)])
    message = error_of(loader.load, small)
    assert f"{small / 'test.csv'}, line 2: name 'a' with class 1, but {small / 'train.csv'}, line 2" in message


def test_csv_that_is_a_folder(small):
    (small / "test.csv").unlink()
    (small / "test.csv").mkdir()
    assert error_of(loader.load, small).startswith(f"{small / 'test.csv'}: cannot be read")


@pytest.mark.parametrize("ending", [".png", ".PNG", ".jpg"])
def test_ids_with_an_ending(small, ending):
    file = small / "train" / "a" / "train_a_0.png"
    file.rename(file.with_suffix(ending))
    rows = read_csv(small / "train.csv")
    for image_id in ("train_a_0", f"train_a_0{ending}", f"train_a_0{ending.lower()}"):
        write_csv(small / "train.csv", [[image_id, "a", "0"], *rows[1:]])
        assert loader.load(small).train.files[0] == file.with_suffix(ending)


def test_an_id_that_fits_two_files(small):
    for ending in (".jpg", ".bmp"):
        shutil.copy(small / "train" / "a" / "train_a_0.png", small / "train" / "a" / f"both{ending}")
    write_csv(small / "train.csv", [["both", "a", "0"], *read_csv(small / "train.csv")])
    message = error_of(loader.load, small)
    assert f"{small / 'train.csv'}, line 2: the id 'both' fits " in message
    assert "both.bmp" in message
    assert "both.jpg" in message
    write_csv(small / "train.csv", [["both.jpg", "a", "0"], *read_csv(small / "train.csv")[1:]])
    assert loader.load(small).train.files[0].name == "both.jpg"


def test_blank_rows(small):
    expected = loader.load(small).train.ids
    path = small / "train.csv"
    path.write_text(path.read_text() + ",,\n\n , ,\n,\n,,\n")
    assert loader.load(small).train.ids == expected
