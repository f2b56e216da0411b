"""Commands on a run whose images lie elsewhere now, or that is asked about images of another kind."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import experiment
from core.__main__ import main
from core.runs import store, writing
from tests.core.folders import write_set


@pytest.fixture(scope="module")
def moved(digits, tiny, tmp_path_factory):
    """A run whose images were moved, and where they are now."""
    place = tmp_path_factory.mktemp("moved")
    before = shutil.copytree(digits.folder, place / "before")
    from core.dataset.loader import load

    with writing.create(tiny, load(before), place / "runs") as writer:
        for _ in experiment.run(writer, load(before)):
            pass
    before.rename(place / "now")
    return store.read(writer.folder), place / "now"


@pytest.fixture
def call(capsys, moved):
    """Runs a command on the run; returns its exit status, standard output and standard error."""

    def run(command: str, *arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([command, *map(str, arguments), "--runs", str(moved[0].folder.parent)])
        return status, *capsys.readouterr()

    return run


def commands(run: store.Run, place: Path) -> dict[str, list]:
    """Every command that needs the images of a run, with its arguments."""
    wrong = store.mistakes(run)["id"].iloc[0]
    found = {name: [run.id] for name in ("evaluate", "biography", "replay")}
    found |= {"mistakes": [run.id, "--out", place / "pictures"], "why": [run.id, wrong]}
    return found | {"report": [run.id, "--out", place / "report.html"]}


@pytest.mark.parametrize("name", ["biography", "evaluate", "mistakes", "replay", "report", "why"])
def test_a_moved_set(call, moved, tmp_path, name):
    run, now = moved
    arguments = commands(run, tmp_path)[name]
    status, _, told = call(name, *arguments)
    (line,) = (line for line in told.splitlines() if line.startswith("error: "))
    assert status == 1
    assert line == (
        f"error: {run.data.folder}: no such folder, where run {run.id} had its images; put them back, or name the "
        "folder that holds them now with --data"
    )
    assert call(name, *arguments, "--data", now)[0] == 0


@pytest.mark.parametrize("name", ["biography", "evaluate", "map", "mistakes", "replay", "report", "resume", "why"])
def test_other_images_are_refused(call, moved, tmp_path, name):
    run, _ = moved
    other = write_set(tmp_path / "other", {"a": 0, "b": 1})
    arguments = commands(run, tmp_path).get(name, [run.id])
    status, _, told = call(name, *arguments, "--data", other)
    assert (status, told.count("\n")) == (1, 1)
    assert f"run {run.id} was trained on other images than {other} holds now" in told
    assert told.endswith("or name the folder that holds them now with --data\n")


def test_a_map_needs_no_images(call, moved, tmp_path):
    run, now = moved
    for given in ([], ["--data", now]):
        assert call("map", run.id, "--method", "pca", "--out", tmp_path, *given)[0] == 0


def test_compare_two_runs_on_a_moved_set(call, moved, tiny):
    run, now = moved
    with writing.create(tiny, store.load(now), run.folder.parent) as writer:
        for _ in experiment.run(writer, store.load(now)):
            pass
    assert call("compare", run.id, writer.id, "--data", now)[0] == 0
    assert call("compare", run.id, writer.id)[0] == 1
    store.delete(writer.folder)


def test_an_emptied_folder_is_not_to_be_filled_anew(call, moved):
    run, _ = moved
    Path(run.data.folder).mkdir()
    status, _, told = call("evaluate", run.id)
    Path(run.data.folder).rmdir()
    assert status == 1
    assert "an empty folder, where run" in told
    assert not re.search("CLASS|prepare|--source", told)


# evaluate --images


def inverted(folder: Path) -> None:
    for file in folder.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)


def test_images_of_the_other_brightness(call, moved, tmp_path):
    run, now = moved
    images = shutil.copytree(now / "test", tmp_path / "test")
    asked = ("evaluate", run.id, "--data", now, "--images", images, "--json")
    _, out, told = call(*asked)
    assert "notes" not in json.loads(out)
    assert "note" not in told
    inverted(images)
    _, out, told = call(*asked)
    (note,) = json.loads(out)["notes"]
    assert note.startswith("24 of 24 images are dark on light, but the training images are light on dark: invert")
    assert told == f"note: {note}\n"


@pytest.mark.parametrize("alone", [False, True])
def test_images_without_classes_are_called_something(call, moved, tmp_path, alone):
    run, now = moved
    files = sorted((now / "test").glob("*/*.png"))[:1] if alone else sorted((now / "test").glob("*/*.png"))
    for file in files:
        shutil.copy(file, tmp_path)
    asked = tmp_path / files[0].name if alone else tmp_path
    status, out, _ = call("evaluate", run.id, "--data", now, "--images", asked, "--json")
    found = json.loads(out)
    assert status == 0
    assert found.keys() == {"total", "predictions"}
    assert found["total"] == len(files)
    known = store.embedded(run, run.result.epochs)
    data = store.load(now)
    called = dict(zip(data.test.ids, known.predicted.tolist(), strict=True))
    for each in found["predictions"]:
        assert each["predicted"] == data.class_numbers[called[Path(each["id"]).stem]]
        assert 0 < each["score"] <= 1
    status, out, _ = call("evaluate", run.id, "--data", now, "--images", asked)
    assert status == 0
    assert len(out.splitlines()) == len(files)
    assert out.startswith(f"{sorted(file.name for file in files)[0]}: digit ")


# Notes on the images


@pytest.fixture
def copied(digits, tmp_path) -> Path:
    """A set whose first test image is a training image as well."""
    folder = shutil.copytree(digits.folder, tmp_path / "copied")
    shutil.copy(digits.train.files[0], folder / digits.test.files[0].relative_to(digits.folder))
    return folder


def test_notes_are_printed_and_kept_with_the_run(copied, digits, tiny, tmp_path, capsys):
    note = (
        f"1 of 24 test images is an exact copy of training images (first: {digits.test.ids[0]}, of "
        f"{digits.train.ids[0]}): the test accuracy is too high."
    )
    assert main(["data", "--data", str(copied)]) == 0
    assert f"\nnote: {note}\n" in capsys.readouterr().out
    assert main(["data", "--data", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [note]
    assert main(["data", "--data", str(digits.folder), "--json"]) == 0
    assert "notes" not in json.loads(capsys.readouterr().out)
    with writing.create(tiny, store.load(copied), tmp_path / "runs") as writer:
        assert store.read(writer.folder).data.notes == (note,)


@pytest.mark.parametrize("objective", ["cross_entropy", "triplet"])
def test_one_class_is_not_trained(tmp_path, capsys, objective):
    folder = write_set(tmp_path / "set", {"only": 3}, train=30)
    given = ["--data", str(folder), "--runs", str(tmp_path / "runs"), "--set", f"objective={objective}"]
    assert main(["train", "quick", *given]) == 2
    told = capsys.readouterr().err
    assert "note: There is only one class (only)" in told
    reason = {"triplet": "triplets need at least two classes", "cross_entropy": "the set has only one class"}[objective]
    assert reason in told.splitlines()[-1]
    assert not (tmp_path / "runs").exists()
