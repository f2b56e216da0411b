"""The commands microscope, against the run's folder, and lr-find."""

import json

import pytest

from core import experiment
from core.__main__ import main
from core.dataset.loader import DataSet
from core.runs import latest_step, store, writing


@pytest.fixture(scope="module", params=["triplets", "images"])
def run(request, tiny, digits, tmp_path_factory):
    config = tiny.changed(epochs=1, objective="triplet" if request.param == "triplets" else "cross_entropy")
    with writing.create(config, digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


def told(run, capsys, *more) -> dict:
    assert main(["microscope", run.id, "--runs", str(run.folder.parent), "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def class_of(images: DataSet, image_id: str) -> str:
    return images.classes[images.train.labels[images.train.ids.index(image_id)]]


def test_it_shows_the_last_step_before_and_after(run, capsys, digits):
    found = told(run, capsys)
    assert (found["run"], found["epoch"], found["step"]) == (run.id, 1, run.steps_per_epoch)
    steps = store.steps(run)
    assert found["loss"]["before"] == pytest.approx(steps["loss"].iloc[-1], abs=1e-4)
    assert found["loss"]["after"] is not None
    assert found["items"]
    for item in found["items"]:
        if found["what"] == "images":
            assert item["image"]["class"] == class_of(digits, item["image"]["id"])
            assert item["loss"]["before"] > 0
            assert item["predicted"]["before"] in digits.classes
            assert item["true_probability"]["before"] <= item["predicted_probability"]["before"]
            continue
        anchor, positive, negative = (item[name] for name in ("anchor", "positive", "negative"))
        assert anchor["class"] == positive["class"] == class_of(digits, anchor["id"])
        assert negative["class"] == class_of(digits, negative["id"]) != anchor["class"]
        for when in ("before", "after"):
            excess = item["to_positive"][when] - item["to_negative"][when]
            assert item["loss"][when] == pytest.approx(max(0, excess + found["margin"]), abs=1e-4)
            kind = "hard" if excess >= 0 else "semi-hard" if excess > -found["margin"] else "easy"
            assert item["kind"][when] == kind


def test_it_says_the_same_to_people(run, capsys):
    found = told(run, capsys)
    assert main(["microscope", run.id, "--runs", str(run.folder.parent)]) == 0
    said = capsys.readouterr().out
    assert f"epoch 1, step {found['step']}: loss {found['loss']['before']:.2f} → " in said
    assert said.count("\n") == 1 + len(found["items"])


@pytest.mark.parametrize("damage", ["cut off", "no such image", "another array"])
def test_a_damaged_file_is_named(run, capsys, tmp_path, damage):
    folder = tmp_path / "runs" / run.id
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes((run.folder / "run.json").read_bytes())
    whole = latest_step.read(run)
    if damage == "cut off":
        (folder / latest_step.NAME).write_bytes((run.folder / latest_step.NAME).read_bytes()[:500])
    elif damage == "no such image":
        latest_step.save(folder, whole._replace(images=whole.images + run.data.train))
    else:
        latest_step.save(folder, whole._replace(losses=whole.losses[:, :1]))
    assert main(["microscope", run.id, "--runs", str(tmp_path / "runs")]) == 1
    said = capsys.readouterr().err
    assert f"{latest_step.NAME} cannot be read" in said
    assert said.count("\n") == 1


def test_a_run_that_was_not_begun_has_nothing_to_look_at(tiny, digits, tmp_path, capsys):
    writing.create(tiny, digits, tmp_path).close()
    assert main(["microscope", "latest", "--runs", str(tmp_path)]) == 1
    assert "keeps no step to look at" in capsys.readouterr().err


def test_lr_find_prints_its_curve_and_begins_no_run(tiny, digits, capsys, tmp_path):
    options = [f"{name}={value}" for name, value in (("blocks", "1,1"), ("width", 8), ("triplets", 24), ("threads", 1))]
    words = [
        "lr-find",
        "facenet",
        "--data",
        str(digits.folder),
        *(part for each in options for part in ("--set", each)),
    ]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["preset", "learning_rates", "losses", "smoothed", "steepest", "suggestion"]
    assert found["preset"] == "facenet"
    assert 10 < len(found["learning_rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert main(words) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found["losses"])
    suggestion = found["suggestion"]
    assert last == (f"suggestion: --set learning_rate={suggestion:g}" if suggestion else "the loss falls nowhere")
