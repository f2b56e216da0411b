"""Runs in zip files: what goes out, what comes back, and what is refused, with nothing left behind."""

import io
import json
import os
import shutil
import struct

import pandas as pd
import pytest
import torch

from core import experiment
from core.__main__ import main
from core.dataset import loader
from core.evaluation import evaluate_run
from core.exchange import measuring, packed_runs
from core.exchange.archives import UploadError
from core.runs import store, writing
from core.runs.files import StoreError
from tests.core.folders import write_set
from tests.core.zips import changed, facts_with, first, image_set, refused_run, resaved, weights, zipped


def test_round_trip(run, members, runs, digits):
    stream = io.BytesIO()
    packed_runs.export_run(run, stream)
    run_id = packed_runs.read_run(stream, runs)
    assert [path.name for path in runs.iterdir()] == [run_id]
    new = store.find(runs, run_id)
    for name in ("status", "config", "data", "machine", "created", "steps_per_epoch", "seconds", "result", "error"):
        assert getattr(new, name) == getattr(run, name), name
    assert "imported" in run_id
    for name, content in members.items():
        if name.endswith(".npz"):
            assert (new.folder / name).read_bytes() == content, name
    for name in ("history.csv", "predictions.csv", "mistakes.csv"):  # made anew
        assert name not in members
        assert (new.folder / name).read_bytes() == (run.folder / name).read_bytes(), name
    pd.testing.assert_frame_equal(store.steps(new), store.steps(run))
    for name in ("last.pt", "best.pt"):
        before, after = (torch.load(each.folder / name, weights_only=True) for each in (run, new))
        assert after.pop("run", run_id) == run_id
        before.pop("run", None)
        same(before, after)
    kept = {path.name for path in run.folder.rglob("*")} - {"run.lock", "latest_step.npz", "label.json"}
    assert {path.name for path in new.folder.rglob("*")} - {"run.lock", "label.json"} == kept  # a colour of its own
    assert evaluate_run(new, None, None, None) == evaluate_run(run, None, None, None)
    assert store.data_of(new).fingerprint == digits.fingerprint


def same(before, after):
    if isinstance(before, torch.Tensor):
        assert before.dtype == after.dtype
        assert torch.equal(before, after)
    elif isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            same(before[key], after[key])
    elif isinstance(before, list):
        for left, right in zip(before, after, strict=True):
            same(left, right)
    else:
        assert before == after


def test_an_unpacked_and_repacked_run_is_taken_too(members, runs):
    mac = {"__MACOSX/run/._run.json": b"finder", "run/.DS_Store": b"finder", "run/run.lock": b""}
    packed_runs.read_run(zipped(mac | {f"run/{name}": content for name, content in members.items()}), runs)
    packed_runs.read_run(zipped({name: members[name] for name in members if name != "best.pt"}), runs)
    assert len(store.list_runs(runs)) == 2


def test_a_run_on_images_that_the_lab_does_not_have(run, digits, members, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(write_set(tmp_path / "other", {"a": 0, "b": 1})))
    new = store.find(runs, packed_runs.read_run(zipped(members), runs))
    assert new.data.folder == str(tmp_path / "other")
    assert "so says the imported run" in new.data.description
    assert new.result == run.result
    assert (new.folder / "history.csv").read_bytes() == (run.folder / "history.csv").read_bytes()
    assert not (new.folder / "mistakes.csv").exists()
    with pytest.raises(StoreError, match="trained on other images"):
        store.data_of(new)
    command = ["mistakes", new.id, "--runs", str(runs), "--out", str(tmp_path / "pictures"), "--json"]
    assert main(command) == 1
    assert "trained on other images" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "other")
    shutil.copytree(digits.folder, tmp_path / "other")
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["count"] == run.result.mistakes > 0


def test_the_run_finds_its_images_among_those_brought_in(members, runs, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(write_set(tmp_path / "other", {"a": 0, "b": 1})))
    new = store.find(runs, packed_runs.read_run(zipped(members), runs, [tmp_path / "nowhere", digits.folder]))
    assert store.data_of(new).fingerprint == digits.fingerprint


@pytest.mark.parametrize(
    ("status", "shown"),
    [("running", "interrupted"), ("queued", "interrupted"), ("failed", "failed"), ("paused", "paused")],
)
def test_no_status_is_taken_over_that_promises_more(members, runs, status, shown):
    new = store.find(runs, packed_runs.read_run(facts_with(members, "status", status), runs))
    assert (new.status, new.active) == (shown, False)


def test_texts_of_a_run_are_cleaned(members, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(tmp_path / "none"))
    facts = json.loads(members["run.json"])
    evil = "![x](http://evil/x.png)<script>alert(1)</script>\x1b[31m\n"
    facts["data"] |= {"description": evil, "folder": "/etc", "source": evil, "fingerprint": evil, evil: evil}
    facts["data"]["classes"][0] = evil
    facts |= {"error": evil, "created": "2099-01-01T00:00:00", "run": "../../evil", "notes": [evil], evil: evil}
    facts["machine"] |= {"processor": evil, evil: 1, "torch": evil}
    archive = changed(members, "run.json", json.dumps(facts).encode())
    new = store.find(runs, packed_runs.read_run(archive, runs))
    text = (new.folder / "run.json").read_text()
    assert not set("<>\x1b!") & set(text)
    assert "?evil" not in text
    assert "x?(http" in text
    assert "/etc" not in text
    assert "evil" not in new.id
    assert new.created.tzinfo is None
    assert new.created.year < 2099


def test_the_name_of_a_run_comes_with_it(members, runs):
    for content, shown in (
        (json.dumps({"name": "Ada's best", "archived": True}), "Ada's best"),
        ('{"name": "", "archived": false}', ""),
        *(
            (damaged, "")
            for damaged in ("{", "[]", '{"name": 7}', "[" * 10**5, '{"name": "\\u001b", "archived": true}')
        ),
        (json.dumps({"name": "x" * 10**5, "archived": False}), ""),
    ):
        new = store.find(runs, packed_runs.read_run(changed(members, "label.json", content.encode()), runs))
        assert (new.name, new.archived, new.notes) == (shown, False, (measuring.CURVES_UNCHECKED.format(2),))


def test_a_run_goes_on_where_it_was_brought_in(members, runs, digits):
    run = store.find(runs, packed_runs.read_run(zipped(members), runs))
    with writing.reopen(run, digits, add_epochs=1) as writer:
        *_, end = experiment.run(writer, digits)
    assert (end.status, end.epochs) == ("done", 3)
    assert len(store.history(store.find(runs, run.id))) == 3


def test_leftovers_of_a_killed_import_go_with_the_next(members, runs):
    old, young = runs / ".import-00000000", runs / ".import-11111111"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    packed_runs.read_run(zipped(members), runs)
    assert not old.exists()
    assert young.exists()


def test_what_cannot_be_exported(run, digits, tiny, runs):
    with writing.create(tiny, digits, runs) as writer:
        with pytest.raises(UploadError, match="not finished"):
            packed_runs.export_run(store.read(writer.folder), io.BytesIO())
        writer.update(status="stopped")
    with pytest.raises(UploadError, match="no result"):
        packed_runs.export_run(store.read(writer.folder), io.BytesIO())


def test_a_file_of_a_run_that_lies_about_its_size(members, runs):
    content = zipped(members).getvalue()
    real = struct.pack("<L", len(members["run.json"]))
    for size in (7, len(members["run.json"]) + 1000):
        lie = io.BytesIO(content.replace(real, struct.pack("<L", size)))
        assert any(part in refused_run(lie, runs) for part in ("a damaged one", "cut off"))


def test_a_full_disk_and_a_folder_that_cannot_be_written(members, runs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused_run(zipped(members), tmp_path / "file" / "runs")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packed_runs.os, "rename", full)
    assert "No space left" in refused_run(zipped(members), runs)


def test_every_needed_file_and_no_other(run, members, runs):
    for name in ("run.json", "last.pt"):
        assert f"{name}: missing" in refused_run(changed(members, name, None), runs)
    assert "epoch_0002.npz cannot be read" in refused_run(changed(members, "embeddings/epoch_0002.npz", None), runs)
    assert "run.json: missing" in refused_run(zipped({"last.pt": members["last.pt"], "x": b""}), runs)
    others = (
        "run.py",
        "notes.txt",
        "embeddings/epoch_2.npz",
        "embeddings/epoch_9999.npz",
        "other/last.pt",
        "last.pt/x",
    )
    made = ("history.csv", "predictions.csv", "mistakes.csv", "projection.npz", "between.pt", "stop.request", "new/x")
    archive = zipped(members | dict.fromkeys((*others, *made), b"<script>"))
    new = store.find(runs, packed_runs.read_run(archive, runs))
    kept = {path.name for path in run.folder.rglob("*")} - {"latest_step.npz", "label.json"} | {"run.lock"}
    assert {path.name for path in new.folder.rglob("*")} == kept
    assert not any(b"<script>" in path.read_bytes() for path in new.folder.rglob("*.*") if path.is_file())


def test_what_a_run_can_do_without(members, runs):
    few = {name: members[name] for name in ("run.json", "last.pt", "embeddings/epoch_0002.npz")}
    new = store.find(runs, packed_runs.read_run(zipped(few), runs))
    assert store.steps(new).empty
    assert len(store.history(new)) == 2
    assert len(store.mistakes(new)) == new.result.mistakes


def test_weights_are_taken_in_the_precision_of_the_network(run, members, runs):
    def widened(state):
        for held in (state["network"], weights(state)):
            held[first(state)] = held[first(state)].double()
        state["network"] = {"<b>": torch.zeros(3)}  # not read: the training holds them

    new = store.find(runs, packed_runs.read_run(resaved(members, "last.pt", widened), runs))
    same(store.load_checkpoint(run)["network"], store.load_checkpoint(new)["network"])


def test_a_run_stopped_within_an_epoch(digits, tiny, runs, tmp_path):
    seen = []
    with writing.create(tiny, digits, tmp_path / "old") as writer:
        for event in experiment.run(writer, digits, lambda: "stop" if len(seen) > 4 else None):
            seen.append(event)  # three steps, an epoch, a step
    run, stream = store.read(writer.folder), io.BytesIO()
    packed_runs.export_run(run, stream)
    new = store.find(runs, packed_runs.read_run(stream, runs))
    assert (new.status, new.result) == ("stopped", run.result)
    assert new.result.steps < new.steps_per_epoch
    pairs = []
    for each in (run, new):
        with writing.reopen(each, digits) as writer:
            *_, end = experiment.run(writer, digits)
        assert (end.status, end.epochs) == ("done", 2)
        pairs.append((store.load_checkpoint(each)["training"], store.steps(each).drop(columns="seconds")))
    same(pairs[0][0], pairs[1][0])
    pd.testing.assert_frame_equal(pairs[0][1], pairs[1][1])


def test_a_run_that_stopped_early_is_done(digits, tiny, runs, tmp_path):
    config = tiny.changed(validation_share=0.25, patience=1, epochs=9, learning_rate=0.0001, weight_average=0.9)
    with writing.create(config, digits, tmp_path / "old") as writer:
        *_, end = experiment.run(writer, digits)
    assert (end.status, end.epochs < 9) == ("done", True)
    stream = io.BytesIO()
    packed_runs.export_run(store.read(writer.folder), stream)
    new = store.find(runs, packed_runs.read_run(stream, runs))
    assert (new.status, new.result) == ("done", store.read(writer.folder).result)
    before, after = (store.load_checkpoint(run) for run in (store.read(writer.folder), new))
    same(before["training"], after["training"])
    same(before["network"], after["network"])


def test_no_random_number_is_drawn_while_a_run_is_taken_in(members, runs):
    """Another thread may be about to draw initial weights."""
    before = torch.get_rng_state()
    packed_runs.read_run(zipped(members), runs)
    assert torch.equal(before, torch.get_rng_state())


def test_export_and_import_on_the_command_line(run, digits, tmp_path, runs, capsys):
    out = tmp_path / "run.zip"
    assert main(["export", run.id, "--runs", str(run.folder.parent), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": run.id, "kind": "run", "file": str(out)}
    assert main(["import", str(out), "--runs", str(runs), "--json"]) == 0
    new = json.loads(capsys.readouterr().out)["run"]
    assert store.find(runs, new).result == run.result

    images = tmp_path / "images.zip"
    images.write_bytes(zipped(image_set()).getvalue())
    assert main(["import", str(images), "--data", str(tmp_path / "new"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts.pop("notes")[-1].startswith("Of 2 test images 2 are blank")
    assert facts == {
        "source": "folder",
        "fingerprint": loader.load(tmp_path / "new").fingerprint,
        "classes": 2,
        "train": 4,
        "test": 2,
    }
    for arguments in (
        ["import", str(images), "--runs", str(runs)],
        ["import", str(out), "--data", str(tmp_path / "other")],
        ["import", str(images), "--data", str(tmp_path / "new")],
        ["import", str(tmp_path / "none.zip")],
        ["export", "nowhere", "--runs", str(runs)],
        ["export", new, "--runs", str(runs), "--out", str(tmp_path / "no" / "folder.zip")],
    ):
        assert main(arguments) == 1
        text = capsys.readouterr()
        assert (text.out, text.err.count("\n"), text.err[:7]) == ("", 1, "error: ")
    assert not (tmp_path / "other").exists()
    assert main(["import"]) == 2
