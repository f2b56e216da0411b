"""The commands why and biography, against what the run's folder holds."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from core import experiment
from core.__main__ import main
from core.runs import store, writing


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    with writing.create(tiny, digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


@pytest.fixture
def told(run, capsys):
    def call(*arguments) -> dict:
        assert main([*map(str, arguments), "--runs", str(run.folder.parent), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


def test_why_of_every_image_is_what_the_run_said(run, told, digits):
    wrong = {row.id: row for row in store.mistakes(run).itertuples()}
    predictions = pd.read_csv(run.folder / "predictions.csv")
    assert 0 < len(wrong) < 24
    for row in predictions.itertuples():
        found = told("why", run.id, row.id)
        assert (found["id"], found["true"], found["predicted"]) == (row.id, row.true, row.predicted)
        assert found["score"] == pytest.approx(row.score)
        assert found.keys() == {
            "id", "true", "predicted", "score", "rules", "nearest_true", "nearest_predicted", "margin", "voters",
            "first_true_rank", "centre_distances", "removals", "sentence",
        }  # fmt: skip
        assert found["rules"].keys() == {"softmax", "knn", "centre", "mean"}
        assert found["centre_distances"].keys() == {"0", "1", "7", "9"}
        assert [each["class"] for each in found["voters"]] == [class_of(each["id"], digits) for each in found["voters"]]
        if row.id in wrong:
            assert found["nearest_true"]["id"] == wrong[row.id].nearest_true_id
            assert found["nearest_predicted"]["id"] == wrong[row.id].nearest_predicted_id
            assert found["nearest_true"]["distance"] == pytest.approx(wrong[row.id].nearest_true_distance, abs=0.05)
            assert found["removals"]
            turned = told("why", run.id, row.id, "--without", ",".join(found["removals"]))
            assert turned["rules"]["knn"] == row.true
        else:
            assert found["removals"] == []


def class_of(name: str, digits) -> int:
    return digits.class_numbers[digits.train.labels[digits.train.ids.index(name)]]


def test_why_with_another_k(run, told, digits):
    found = told("why", run.id, digits.test.ids[0], "--neighbours", 7)
    assert len(found["voters"]) == 7
    assert found["predicted"] == found["rules"]["knn"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nobody"], "there is no test image 'nobody'"),
        (["{train}"], "is a training image; why explains test images"),
        (["{id}", "--without", "nobody"], "there is no training image 'nobody'"),
        (["{id}", "--without", '"a,b"'], "there is no training image 'a,b'"),
        (["{id}", "--neighbours", "49"], "49 neighbours cannot vote among 48"),
    ],
)
def test_why_refuses_in_one_line(run, digits, capsys, arguments, reason):
    words = [each.replace("{id}", digits.test.ids[0]).replace("{train}", digits.train.ids[0]) for each in arguments]
    assert main(["why", run.id, *words, "--runs", str(run.folder.parent)]) == 1
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def test_biography_of_all_test_images(run, told, digits):
    found = told("biography", run.id)
    assert found["epochs"] == [1, 2]
    stored = np.stack([store.embedded(run, epoch).predicted for epoch in (1, 2)])
    for row, image in enumerate(found["images"]):
        true = digits.class_numbers[digits.test.labels[row]]
        said = [digits.class_numbers[label] for label in stored[:, row]]
        assert (image["id"], image["true"], image["predicted"]) == (digits.test.ids[row], true, said)
        assert image["forgotten"] == (said[0] == true and said[1] != true)
    assert sum(found["counts"].values()) == len(found["images"]) == 24


@pytest.mark.parametrize(
    "words", [["why", "{run}", "{id}"], ["biography", "{run}"], ["report", "{run}", "--out", "{out}"]]
)
def test_a_lost_last_epoch_is_named_with_a_remedy(run, digits, tmp_path, capsys, words):
    copy = tmp_path / run.id
    shutil.copytree(run.folder, copy)
    (copy / "embeddings/epoch_0002.npz").unlink()
    into = {"{run}": run.id, "{id}": digits.test.ids[0], "{out}": str(tmp_path / "report.html")}
    assert main([*(into.get(each, each) for each in words), "--runs", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "epoch_0002.npz cannot be read: it is not there; put it back from a copy of the run" in err
    assert err.count("\n") == 1


def test_biography_of_one(run, told, digits):
    one = told("biography", run.id, digits.test.ids[3])
    assert one["images"] == [told("biography", run.id)["images"][3]]
    training = told("biography", run.id, digits.train.ids[5])
    assert training["images"] == [told("biography", run.id, "--train")["images"][5]]
    assert len(told("biography", run.id, "--train")["images"]) == 48


@pytest.mark.parametrize("words", [["why", "{run}", "{id}"], ["biography", "{run}"], ["biography", "{run}", "{id}"]])
def test_for_people(run, digits, capsys, words):
    words = [each.replace("{run}", run.id).replace("{id}", digits.test.ids[0]) for each in words]
    assert main([*words, "--runs", str(run.folder.parent)]) == 0
    assert capsys.readouterr().out.count("\n") > 3
