"""The commands that look at runs: evaluate, mistakes with its pictures, compare, replay."""

import csv
import shutil

import numpy as np
from PIL import Image

from core.runs import writing
from tests.core.commands.calls import SETTINGS, check_failure


def test_evaluate(call, call_json, trained, runs, digits):
    result = call_json("evaluate", trained["run"], "--runs", runs)
    assert result.keys() == {
        "accuracy", "correct", "total", "confusion", "per_class", "precision_at_1", "r_precision", "map_at_r",
    }  # fmt: skip
    assert result["accuracy"] == trained["test_accuracy"]
    assert result["total"] == 24
    assert call_json("evaluate", "latest", "--runs", runs, "--images", digits.folder / "test") == result
    status, out, _ = call("evaluate", "latest", "--runs", runs, "--classifier", "centre", "--neighbours", "1")
    assert status == 0
    assert len(out.splitlines()) == 4 + 4
    alone = call_json("evaluate", "latest", "--runs", runs, "--classifier", "centre")["per_class"]
    names = digits.classes
    assert out.splitlines()[2] == f"per class: {', '.join(f'{n} {s:.2%}' for n, s in zip(names, alone, strict=True))}"
    assert call_json("evaluate", "latest", "--runs", runs, "--neighbours", "48")["accuracy"] < 1


def test_mistakes(call, call_json, trained, runs, digits, tmp_path):
    folder = tmp_path / "pics"
    folder.mkdir()
    (folder / "img99_origin_(old).png").write_text("of an earlier export")
    (folder / "notes.txt").write_text("of the user")
    result = call_json("mistakes", trained["run"], "--runs", runs, "--out", folder)
    assert result.keys() == {"count", "folder", "items"}
    assert result["folder"] == str(folder)
    assert result["count"] == len(result["items"]) == round((1 - trained["test_accuracy"]) * 24) > 0
    name_of = dict(zip(digits.class_numbers, digits.classes, strict=True))
    expected = {"mistakes.csv", "notes.txt"}
    for number, item in enumerate(result["items"], start=1):
        assert item.keys() == {"id", "true", "predicted", "nearest_true", "nearest_predicted"}
        assert item["nearest_true"].keys() == item["nearest_predicted"].keys() == {"id", "distance"}
        assert item["true"] != item["predicted"]
        true, predicted = name_of[item["true"]], name_of[item["predicted"]]
        pictures = {
            f"img{number}_origin_({true}).png": digits.folder / "test" / true / f"{item['id']}.png",
            f"img{number}_near_tgt_({true}).png": digits.folder / "train" / true / f"{item['nearest_true']['id']}.png",
            f"img{number}_near_pdc_({predicted}).png": digits.folder
            / "train"
            / predicted
            / f"{item['nearest_predicted']['id']}.png",
        }
        expected |= pictures.keys()
        for name, original in pictures.items():
            with Image.open(folder / name) as picture, Image.open(original) as image:
                assert picture.mode == image.mode == "L"
                np.testing.assert_array_equal(np.asarray(picture), np.asarray(image))
    assert {file.name for file in folder.iterdir()} == expected
    with (folder / "mistakes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], int(row["true"]), int(row["predicted"])) for row in rows] == [
        (item["id"], item["true"], item["predicted"]) for item in result["items"]
    ]
    status, out, _ = call("mistakes", "latest", "--runs", runs, "--out", folder)
    assert (status, out) == (0, f"{result['count']} mistakes, pictures in {folder}\n")


def test_compare_and_replay(call, call_json, trained, runs, digits, tmp_path):
    where = ("--data", digits.folder, "--runs", runs)
    facts = call_json("train", "facenet", *SETTINGS, "--set", "epochs=1", "--set", "seed=1", *where)
    found = call_json("compare", trained["run"], facts["run"], "--runs", runs)
    assert found.keys() == {"runs", "differing_settings", "accuracy", "pairs", "all_wrong"}
    assert found["runs"] == [trained["run"], facts["run"]]
    assert found["differing_settings"] == {"seed": {trained["run"]: 0, facts["run"]: 1}}
    assert found["accuracy"] == {each["run"]: each["test_accuracy"] for each in (trained, facts)}
    assert found["pairs"][0].keys() >= {"a", "b", "only_a_right", "only_b_right", "p"}
    status, out, _ = call("compare", trained["run"], facts["run"], "--runs", runs)
    assert (status, "images correctly" in out) == (0, True)
    check_failure(call("compare", facts["run"], "--runs", runs), 1, "name 2 to 8 different ones")
    moved = shutil.copytree(digits.folder, tmp_path / "moved")
    again = call_json("replay", facts["run"], "--runs", runs, "--data", moved)
    assert (again["bit_exact"], again["first_difference"], again["epochs"]) == (True, None, facts["epochs"])
    assert call("delete", facts["run"], "--runs", runs)[0] == 0


def test_damaged_run(call, trained, runs, tmp_path):
    shutil.copytree(runs / trained["run"], tmp_path / "run1")
    (tmp_path / "run1" / "last.pt").write_text("hello")
    check_failure(call("evaluate", "run1", "--runs", tmp_path), 1, "last.pt is damaged")
    (tmp_path / "run1" / "mistakes.csv").write_bytes(b"\xff\n1\n")
    check_failure(call("mistakes", "run1", "--runs", tmp_path), 1, "mistakes.csv cannot be read")
    (tmp_path / "run1" / "run.json").write_text("{")
    check_failure(call("mistakes", "run1", "--runs", tmp_path), 1, "run.json cannot be read")


def test_run_stopped_before_its_first_epoch_has_no_mistakes(call, tiny, digits, tmp_path):
    writing.create(tiny, digits, tmp_path).close()
    check_failure(call("mistakes", "latest", "--runs", tmp_path), 1, "its first epoch was not finished")
    check_failure(call("evaluate", "latest", "--runs", tmp_path), 1, "no weights yet")
