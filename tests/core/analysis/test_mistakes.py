"""Mistakes and their neighbours for hand-placed embeddings, and the exported pictures."""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import cdist

from core.analysis import mistakes
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet, Split
from core.exchange import pictures

CLASSES, NUMBERS = ("ape", "bee", "cat"), (3, 5, 40)  # label indices 0, 1, 2
TRAIN_LABELS, TEST_LABELS = [2, 0, 1, 0, 1, 2], [0, 1, 2, 0]
# On a line, to be read at a glance.
# Train: cat 0, ape 1, bee 2, ape 4, bee 7, cat 9. Test: ape 3.2, bee 1.8, cat 6, ape 0.
TRAIN_PLACES, TEST_PLACES = [0, 1, 2, 4, 7, 9], [3.2, 1.8, 6.0, 0.0]


def split(name: str, labels: list[int], seed: int) -> Split:
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 4, 6), np.uint8)
    ids = tuple(f"{name}_{100 + index}" for index in range(len(labels)))
    return Split(images, np.array(labels), ids, tuple(Path(f"{each}.png") for each in ids))


@pytest.fixture
def data() -> DataSet:
    train, test = split("train", TRAIN_LABELS, 0), split("test", TEST_LABELS, 1)
    return DataSet(Path("set"), CLASSES, NUMBERS, train, test, "path", "", "0" * 64)


def on_a_line(places: list[float]) -> np.ndarray:
    return np.array([[7.0, place] for place in places], np.float32)


def find(data: DataSet, predicted: list[int], train=TRAIN_PLACES, test=TEST_PLACES) -> pd.DataFrame:
    scores = np.linspace(0.25, 1, len(predicted), dtype=np.float32)
    return mistakes.find(data, Embedded(on_a_line(train), on_a_line(test), np.array(predicted), scores))


def test_the_wrong_ones_with_their_two_neighbours(data):
    table = find(data, [1, 1, 0, 2])  # ape taken for bee, bee right, cat taken for ape, ape taken for cat
    assert list(table.columns) == mistakes.COLUMNS
    rows = [
        (0, "test_100", 3, 5, 0.25, 3, "train_103", 0.8, 2, "train_102", 1.2),
        (2, "test_102", 40, 3, 0.75, 5, "train_105", 3.0, 3, "train_103", 2.0),
        (3, "test_103", 3, 40, 1.0, 1, "train_101", 1.0, 0, "train_100", 0.0),
    ]
    expected = pd.DataFrame(rows, columns=mistakes.COLUMNS)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-6)


def test_against_a_loop(data):
    draw = np.random.default_rng(0)
    train, test = draw.normal(size=(6, 5)).astype(np.float32), draw.normal(size=(4, 5)).astype(np.float32)
    predicted = np.array([2, 2, 1, 1])  # all wrong
    table = mistakes.find(data, Embedded(train, test, predicted, np.ones(4)))
    for place, row in enumerate(table.itertuples()):
        for name, label in (("true", TEST_LABELS[place]), ("predicted", predicted[place])):
            distances = {
                index: float(np.sqrt(((test[place].astype(float) - train[index].astype(float)) ** 2).sum()))
                for index in range(6)
                if TRAIN_LABELS[index] == label
            }
            nearest = min(distances, key=distances.get)
            assert getattr(row, name) == NUMBERS[label]
            assert getattr(row, f"nearest_{name}_index") == nearest
            assert getattr(row, f"nearest_{name}_id") == data.train.ids[nearest]
            assert getattr(row, f"nearest_{name}_distance") == pytest.approx(distances[nearest], rel=1e-12)


@pytest.mark.parametrize("spread", [1.0, 1e-2, 0.0])
def test_many_in_parts_are_as_all_at_once(data, monkeypatch, spread):
    """Bit for bit what the distances between all images say, also where they lie close together."""
    draw = np.random.default_rng(1)
    labels = {"train": draw.integers(0, 3, 300), "test": draw.integers(0, 3, 90)}
    data = dataclasses.replace(data, **{name: split(name, labels[name], 0) for name in labels})
    places = 5 + spread * draw.normal(size=(390, 16))
    train, test = places[:300].astype(np.float16).astype(np.float32), places[300:].astype(np.float16).astype(np.float32)
    predicted = (labels["test"] + draw.integers(0, 3, 90)) % 3
    monkeypatch.setattr(mistakes, "_QUERIES_AT_ONCE", 7)
    table = mistakes.find(data, Embedded(train, test, predicted, np.ones(90)))
    wrong = np.flatnonzero(predicted != labels["test"])
    distances = cdist(test[wrong].astype(float), train.astype(float))
    for name, wanted in (("true", labels["test"][wrong]), ("predicted", predicted[wrong])):
        among = np.where(labels["train"] == wanted[:, None], distances, np.inf)
        assert table[f"nearest_{name}_index"].tolist() == among.argmin(axis=1).tolist()
        assert table[f"nearest_{name}_distance"].tolist() == among.min(axis=1).tolist()


def test_of_equally_near_images_the_first_is_taken(data):
    table = find(data, [1, 1, 2, 0], train=[0, 5, 1, 1, 5, 0], test=[3.0, 0, 0, 0])
    assert table.nearest_true_index.tolist() == [1]  # 5 and 1 are both 2 away from 3
    assert table.nearest_predicted_index.tolist() == [2]
    assert table.nearest_true_distance.tolist() == table.nearest_predicted_distance.tolist() == [2.0]


def test_no_mistakes(data, tmp_path):
    table = find(data, TEST_LABELS)
    assert len(table) == 0
    assert list(table.columns) == mistakes.COLUMNS
    assert pictures.export(table, data, tmp_path / "new") == 0
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["mistakes.csv"]
    assert list(pd.read_csv(tmp_path / "new" / "mistakes.csv").columns) == mistakes.COLUMNS


def test_export_names_and_pixels(data, tmp_path):
    folder = tmp_path / "pics" / "errors"
    table = find(data, [1, 1, 0, 2])
    assert pictures.export(table, data, folder) == 9
    expected = {
        "img1_origin_(ape).png": data.test.images[0],
        "img1_near_tgt_(ape).png": data.train.images[3],
        "img1_near_pdc_(bee).png": data.train.images[2],
        "img2_origin_(cat).png": data.test.images[2],
        "img2_near_tgt_(cat).png": data.train.images[5],
        "img2_near_pdc_(ape).png": data.train.images[3],
        "img3_origin_(ape).png": data.test.images[3],
        "img3_near_tgt_(ape).png": data.train.images[1],
        "img3_near_pdc_(cat).png": data.train.images[0],
    }
    assert {file.name for file in folder.iterdir()} == set(expected) | {"mistakes.csv"}
    for name, pixels in expected.items():
        with Image.open(folder / name) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), pixels)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "mistakes.csv"), table, check_dtype=False)


def test_export_removes_what_an_earlier_one_left_and_nothing_else(data, tmp_path):
    pictures.export(find(data, [1, 1, 0, 2]), data, tmp_path)
    others = ["img1_origin.png", "img2_(ape).png", "notes.txt", "my img1_origin_(ape).png", "img1_origin_(ape).png.bak"]
    for name in others:
        (tmp_path / name).write_text("mine")
    pictures.export(find(data, [0, 0, 2, 0]), data, tmp_path)
    written = {"img1_origin_(bee).png", "img1_near_tgt_(bee).png", "img1_near_pdc_(ape).png"}
    assert {file.name for file in tmp_path.iterdir()} == written | {"mistakes.csv"} | set(others)
    assert all((tmp_path / name).read_text() == "mine" for name in others)
    assert len(pd.read_csv(tmp_path / "mistakes.csv")) == 1


def test_a_zip_holds_the_pictures_a_list_and_a_contact_sheet(data):
    table = find(data, [1, 1, 0, 2])
    with zipfile.ZipFile(io.BytesIO(pictures.packed(table, data))) as archive:
        names = set(archive.namelist())
        with Image.open(io.BytesIO(archive.read("img2_near_pdc_(ape).png"))) as image:
            np.testing.assert_array_equal(np.asarray(image), data.train.images[3])
        with Image.open(io.BytesIO(archive.read("contact_sheet.png"))) as image:
            first = np.asarray(image)[: 3 * 4 : 3, : 3 * 6 : 3]
    np.testing.assert_array_equal(first, data.test.images[0])
    assert len(names) == 9 + 2


def test_a_contact_sheet_numbers_its_pictures_as_the_export_does(data, monkeypatch):
    table = find(data, [1, 1, 0, 2])
    written = []
    monkeypatch.setattr(
        "PIL.ImageDraw.ImageDraw.text", lambda self, at, text, **how: written.append(text), raising=True
    )
    pictures.contact_sheet(table, data)
    names = data.name_of
    expected = [f"{n}. {names[r.true]} > {names[r.predicted]}  {r.id}" for n, r in enumerate(table.itertuples(), 1)]
    assert written == expected


def test_right_ones_against_a_loop(data):
    draw = np.random.default_rng(4)
    train, test = draw.normal(size=(6, 5)).astype(np.float32), draw.normal(size=(4, 5)).astype(np.float32)
    predicted = np.array([0, 2, 2, 0])  # the second one is wrong
    table = mistakes.right_ones(data, Embedded(train, test, predicted, np.linspace(0, 1, 4)))
    assert table["id"].tolist() == ["test_100", "test_102", "test_103"]
    assert table["predicted"].tolist() == table["true"].tolist() == [3, 40, 3]
    for row in table.itertuples():
        far = cdist(test[row.test_index][None].astype(float), train.astype(float))[0]
        own = np.array(TRAIN_LABELS) == TEST_LABELS[row.test_index]
        for name, members in (("true", own), ("other", ~own)):
            nearest = np.where(members, far, np.inf).argmin()
            assert getattr(row, f"nearest_{name}_index") == nearest
            assert getattr(row, f"nearest_{name}_id") == data.train.ids[nearest]
            assert getattr(row, f"nearest_{name}_distance") == pytest.approx(far[nearest], rel=1e-12)
        assert row.other == NUMBERS[TRAIN_LABELS[row.nearest_other_index]]
    assert len(mistakes.right_ones(data, Embedded(train, test, np.array([1, 2, 0, 2]), np.ones(4)))) == 0


def test_ids_in_the_csv_and_file_names_lead_to_the_same_picture(digits, tmp_path):
    """Row N of the list and img<N>_… are what lies under the ids in the data set's folder."""
    draw = np.random.default_rng(5)
    train, test = draw.normal(size=(48, 4)), draw.normal(size=(24, 4))
    predicted = (digits.test.labels + draw.integers(0, 2, 24)) % 4
    table = mistakes.find(digits, Embedded(train, test, predicted, np.ones(24)))
    pictures.export(table, digits, tmp_path)
    listed = pd.read_csv(tmp_path / "mistakes.csv")
    assert len(listed) == (predicted != digits.test.labels).sum() > 0
    files = {path.stem: path for path in digits.folder.rglob("*.png")}
    for number, row in enumerate(listed.itertuples(), start=1):
        names = {"origin": row.id, "near_tgt": row.nearest_true_id, "near_pdc": row.nearest_predicted_id}
        for kind, name in names.items():
            (exported,) = tmp_path.glob(f"img{number}_{kind}_(*).png")
            with Image.open(exported) as written, Image.open(files[name]) as kept:
                assert written.tobytes() == kept.tobytes()
