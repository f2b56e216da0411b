"""The command line: keys of its JSON, exit codes, one line of reason for a failure, Ctrl-C, exported pictures."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.__main__ import main
from core.commands import say
from core.dataset import sources
from core.learning.states import Request
from core.runs import store, writing
from tests.processes import Child

ROOT = Path(__file__).parents[3]
TINY = [
    "blocks=1,1", "width=8", "embedding_size=8", "triplets=24", "batch_size=8", "epochs=2", "neighbours=3",
    "precision=float32", "threads=1",
]  # fmt: skip
SETTINGS = [part for each in TINY for part in ("--set", each)]


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Runs a command in this process; returns its exit code, standard output and standard error."""
    monkeypatch.setenv("TRIPLETLAB_DATA", str(tmp_path / "nowhere" / "mnist"))
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(tmp_path / "nowhere" / "runs"))
    monkeypatch.setenv("TRIPLETLAB_PICS", str(tmp_path / "nowhere" / "pics"))

    def run(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(each) for each in arguments])
        except SystemExit as left:  # argparse
            status = left.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def call_json(call):
    def run(*arguments) -> dict:
        status, out, err = call(*arguments, "--json")
        assert status == 0, err
        return last_line(out)

    return run


def last_line(out: str) -> dict:
    """Standard output of --json: nothing but one object, without NaN."""
    assert out.count("\n") == 1

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(out, parse_constant=refuse)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(digits, runs) -> dict:
    """What `train` says in JSON, through a real process; the run has mistakes."""
    done = command(
        "train", "facenet", *SETTINGS, "--set", "epochs=1", "--data", digits.folder, "--runs", runs, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1: train loss" in done.stderr
    return last_line(done.stdout)


def command(*arguments, **options) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "core", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


# What each command gives


def test_data(call, call_json, digits):
    assert call_json("data", "--data", digits.folder) == {
        "source": "folder",
        "fingerprint": digits.fingerprint,
        "classes": 4,
        "train": 48,
        "test": 24,
    }
    status, out, _ = call("data", "--data", digits.folder)
    assert status == 0
    assert out.startswith(digits.description)
    assert "48 training and 24 test images" in out


def test_data_prepares_a_copy(call_json, digits, tmp_path):
    found = call_json("data", "--data", tmp_path / "copy", "--source", digits.folder)
    assert (found["source"], found["fingerprint"]) == ("folder", digits.fingerprint)
    assert (tmp_path / "copy" / "train.csv").is_file()


@pytest.mark.parametrize(("preset", "convolutions"), [("densenet39", 38), ("densenet52", 52), ("resnext32", 31)])
def test_summary_of_the_lab_sheets_networks(call, call_json, preset, convolutions):
    summary = call_json("summary", preset)
    assert summary.keys() == {"convolutions", "fully_connected", "parameters", "multiply_adds", "layers"}
    assert (summary["convolutions"], summary["fully_connected"]) == (convolutions, 1)
    assert sum(layer["multiply_adds"] for layer in summary["layers"]) == summary["multiply_adds"]
    status, out, _ = call("summary", preset)
    assert status == 0
    assert f"{convolutions} convolutions + 1 fully connected" in out
    assert f"{summary['parameters']:,} parameters" in out


def test_summary_follows_the_settings(call_json):
    small, large = (call_json("summary", "facenet", "--set", f"embedding_size={size}") for size in (8, 16))
    assert large["parameters"] > small["parameters"]


def test_train(trained, runs):
    assert trained.keys() == {"run", "status", "epochs", "train_accuracy", "test_accuracy", "seconds"}
    assert (trained["status"], trained["epochs"]) == ("done", 1)
    run = store.find(runs, trained["run"])
    assert run.config.preset == "facenet"
    assert run.config.blocks == (1, 1)
    assert run.config.epochs == 1  # the last of two --set counts
    assert run.result.test_accuracy == trained["test_accuracy"]


def test_train_for_a_reader(call, digits, tmp_path):
    status, out, err = call("train", "quick", *SETTINGS, "--data", digits.folder, "--runs", tmp_path)
    run = store.find(tmp_path, "latest")
    assert status == 0
    assert out.startswith(f"run {run.id}: done after epoch 2, ")
    assert f"{run.result.test_accuracy:.2%} on test images" in out
    assert err.count("epoch 2/2: train loss") == 1
    assert "\r" not in err  # no bar where nobody looks


def test_folders_come_from_the_environment(call, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(digits.folder))
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TRIPLETLAB_PICS", str(tmp_path / "pics"))
    assert call("train", "facenet", *SETTINGS, "--set", "epochs=1")[0] == 0
    run = store.find(tmp_path / "runs", "latest")
    assert call("mistakes", "latest")[0] == 0
    assert (tmp_path / "pics" / run.id / "mistakes.csv").is_file()


def test_a_setting_without_effect_is_named(call, digits, tmp_path):
    given = ("--set", "epochs=1", "--set", "patience=3", "--set", "cardinality=8", "--set", "margin=1")
    status, _, told = call("train", "facenet", *SETTINGS, *given, "--data", digits.folder, "--runs", tmp_path)
    assert status == 0
    assert [line.split()[0] for line in told.splitlines() if "has no effect" in line] == ["cardinality", "patience"]


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


def test_runs(call, call_json, trained, tmp_path):
    (tmp_path / "20260101-000000-broken-0000").mkdir()
    (tmp_path / "20260101-000000-broken-0000" / "run.json").write_text("{")
    assert call_json("runs", "--runs", tmp_path) == {
        "runs": [
            {"run": "20260101-000000-broken-0000", "status": "damaged", "preset": None, "test_accuracy": None}
            | {"title": "20260101-000000-broken-0000", "archived": False}
        ]
    }
    status, out, _ = call("runs", "--runs", tmp_path)
    assert (status, out.split()) == (0, ["20260101-000000-broken-0000", "damaged", "20260101-000000-broken-0000"])
    assert call_json("runs", "--runs", tmp_path / "none") == {"runs": []}


def test_runs_lists_the_trained_one(call_json, trained, runs):
    listed = [run for run in call_json("runs", "--runs", runs)["runs"] if run["run"] == trained["run"]]
    assert listed == [
        {"run": trained["run"], "status": "done", "preset": "facenet", "test_accuracy": trained["test_accuracy"]}
        | {"title": store.find(runs, trained["run"]).title, "archived": False}
    ]


# Mistakes


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


# Wrong use and failures


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "there is no command 'fly'; there are data, "),
        (["trian", "quick"], "there is no command 'trian'; did you mean train?"),
        (["train", "quick", "--names=x"], "train has no option '--names=x'; did you mean --name?"),
        (["train"], "the following arguments are required: PRESET"),
        (["train", "alexnet"], "there is no preset 'alexnet'"),
        (["train", "densent52"], "there is no preset 'densent52'; did you mean densenet52?"),
        (["train", "quick", "--set", "epochs"], "write key=value"),
        (["train", "quick", "--set", "epoch=3"], "epoch: no such setting; did you mean epochs?"),
        (["train", "quick", "--set", "epochs=three"], "epochs: 'three' is not a whole number"),
        (["train", "quick", "--set", "epochs=0"], "epochs: 0 is out of bounds; use 1 to 1000"),
        (["train", "quick", "--set", "objective=luck"], "objective: 'luck' is not one of "),
        (["summary", "densenet52", "--set", "blocks=1,1"], "a DenseNet has four dense blocks"),
        (["evaluate"], "the following arguments are required: RUN"),
        (["evaluate", "latest", "--neighbours", "0"], "'0' is not a whole number above 0"),
        (["evaluate", "latest", "--neighbours", "²"], "'²' is not a whole number above 0"),
        (["evaluate", "latest", "--classifier", "oracle"], "there is no classifier 'oracle'; there are softmax, "),
    ],
)
def test_wrong_use(call, arguments, reason):
    status, out, err = call(*arguments)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert reason in line


def test_wrong_use_of_a_run(call, trained, runs, digits):
    for arguments, reason in (
        (["evaluate", "latest", "--classifier", "softmax"], "has no class head"),
        (["evaluate", "latest", "--neighbours", "49"], "there are only 48 training images"),
    ):
        check_failure(call(*arguments, "--runs", runs), 2, reason)
    wrong = ["train", "facenet", "--set", "neighbours=48", "--data", digits.folder, "--runs", runs]
    check_failure(call(*wrong), 2, "neighbours: the set has 48 training images")


def check_failure(outcome: tuple[int, str, str], code: int, reason: str):
    """One line of reason on standard error after what was said on the way, nothing on standard output."""
    status, out, err = outcome
    assert (status, out) == (code, "")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert lines == err.splitlines()[-1:]
    assert reason in lines[0]
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["evaluate"], ["mistakes"]])
def test_runs_that_are_none(call, tmp_path, arguments):
    for name, reason in (("latest", "there are no runs"), ("../x", "there is no run '../x'"), ("x", "no run 'x'")):
        check_failure(call(*arguments, name, "--runs", tmp_path), 1, reason)


def test_failures(call, trained, runs, digits, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "images" / "elephant").mkdir(parents=True)
    for arguments, reason in (
        (["train", "quick", "--data", tmp_path / "none"], "no such folder"),
        (["train", "quick", "--data", digits.folder, "--runs", tmp_path / "file"], "cannot be made"),
        (["data", "--data", tmp_path / "file"], "a file, not a folder"),
        (["data", "--data", tmp_path / "new", "--source", tmp_path / "minst"], "not a source"),
        (["data", "--data", digits.folder, "--source", "digits"], "holds a data set already"),
        (["evaluate", "latest", "--runs", runs, "--images", tmp_path / "none"], "cannot be read"),
        (["evaluate", "latest", "--runs", runs, "--images", tmp_path / "images"], "the run knows no class 'elephant'"),
        (["mistakes", "latest", "--runs", runs, "--out", tmp_path / "file"], "File exists"),
    ):
        check_failure(call(*arguments), 1, reason)
        check_failure(call(*arguments, "--json"), 1, reason)


def test_damaged_run(call, trained, runs, tmp_path):
    shutil.copytree(runs / trained["run"], tmp_path / "run1")
    (tmp_path / "run1" / "last.pt").write_text("hello")
    check_failure(call("evaluate", "run1", "--runs", tmp_path), 1, "last.pt is damaged")
    (tmp_path / "run1" / "mistakes.csv").write_bytes(b"\xff\n1\n")
    check_failure(call("mistakes", "run1", "--runs", tmp_path), 1, "mistakes.csv cannot be read")
    (tmp_path / "run1" / "run.json").write_text("{")
    check_failure(call("mistakes", "run1", "--runs", tmp_path), 1, "run.json cannot be read")


def test_diverging_run(call, digits, tmp_path):
    diverging = ["objective=cross_entropy", "learning_rate=10", "weight_decay=1", "epochs=20"]
    changes = [part for each in diverging for part in ("--set", each)]
    outcome = call("train", "facenet", *SETTINGS, *changes, "--data", digits.folder, "--runs", tmp_path)
    check_failure(outcome, 1, "Lower the learning rate (it was 10)")
    assert store.find(tmp_path, "latest").status == "failed"


def test_run_stopped_before_its_first_epoch_has_no_mistakes(call, tiny, digits, tmp_path):
    writing.create(tiny, digits, tmp_path).close()
    check_failure(call("mistakes", "latest", "--runs", tmp_path), 1, "its first epoch was not finished")
    check_failure(call("evaluate", "latest", "--runs", tmp_path), 1, "no weights yet")


def test_data_without_network(call, call_json, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "DOWNLOAD", "print('no network'); exit(1)")
    outcome = call("data", "--data", tmp_path / "a", "--source", "mnist")
    check_failure(outcome, 1, "MNIST could not be downloaded (no network)")
    status, out, err = call("data", "--data", tmp_path / "b", "--source", "auto", "--json")
    assert (status, last_line(out)["source"]) == (0, "digits")
    assert "Taking the handwritten digits inside scikit-learn instead." in err


def test_help_names_every_setting(call):
    status, out, _ = call("train", "--help")
    assert status == 0
    for name in ("architecture", "blocks", "learning_rate", "neighbours", "threads"):
        assert f"\n  {name} " in out


# Real processes


def interrupted(arguments, number: int = signal.SIGINT) -> tuple[Child, str, str]:
    """A long training that gets a signal after its first epoch; the process, its standard output and error."""
    process = Child("core", *arguments)
    try:
        err = ""
        for text in process.stderr:
            err += text
            if text.startswith("epoch 1/"):
                break
        process.send_signal(number)
        out, rest = process.communicate()
    finally:
        process.kill()
    return process, out, err + rest


def test_interrupt_keeps_the_model_so_far(digits, tmp_path):
    arguments = ["train", "facenet", *SETTINGS, "--set", "epochs=1000", "--set", "triplets=80"]
    arguments += ["--data", digits.folder, "--runs", tmp_path, "--json"]
    process, out, err = interrupted(arguments)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the model so far will be kept" in err
    result = last_line(out)
    run = store.find(tmp_path, "latest")
    assert (run.id, run.status, result["status"]) == (result["run"], "stopped", "stopped")
    assert 1 <= result["epochs"] == len(store.history(run)) < 1000
    assert store.load_checkpoint(run)["epoch"] == result["epochs"]
    assert run.result.test_accuracy == result["test_accuracy"]


def test_failure_of_a_real_process(tmp_path):
    done = command("train", "quick", "--data", tmp_path / "none")
    check_failure((done.returncode, done.stdout, done.stderr), 1, "no such folder")


def test_lab_data(lab_data):
    """The lab's own images where they are; otherwise the digits of scikit-learn."""
    done = command("data", "--data", lab_data, "--json")
    found = last_line(done.stdout)
    assert done.returncode == 0
    assert found["classes"] == 10
    assert found["train"] >= 1160


def test_ctrl_c_is_heard_while_a_line_is_written(monkeypatch):
    read, write = os.pipe()
    said = []

    class Slow(io.FileIO):
        """The signal comes while this writes."""

        def write(self, content) -> int:
            if not said:
                said.append(content)
                say("stopping")
            return super().write(content)

    with (
        io.TextIOWrapper(io.BufferedWriter(Slow(write, "w")), line_buffering=True) as stream,
        monkeypatch.context() as on,
    ):
        on.setattr(sys, "stderr", stream)
        say("epoch 1")
    with open(read) as heard:
        assert heard.read().splitlines() == ["stopping", "epoch 1"]


# Control of runs


@pytest.fixture
def stopped(trained, digits, tiny, tmp_path) -> store.Run:
    """A run that was stopped after four of six steps, in a folder of its own."""
    return stop_after(4, writing.create(tiny, digits, tmp_path / "runs"), digits)


def stop_after(steps: int, writer: writing.RunWriter, digits, wish: str = "stop") -> store.Run:
    from core import experiment

    seen: list = []

    def control() -> str | None:
        return wish if len(seen) >= steps else None

    with writer:
        for event in experiment.run(writer, digits, control):
            seen += [event] * hasattr(event, "step")
    return store.read(writer.folder)


def test_resume_finishes_what_was_stopped(call, call_json, stopped):
    runs = stopped.folder.parent
    status, out, err = call("resume", stopped.id, "--runs", runs, "--json")
    assert status == 0, err
    assert f"run {stopped.id} goes on in epoch 2, after 1 of its steps" in err
    result = last_line(out)
    assert result.keys() == {"run", "status", "epochs", "train_accuracy", "test_accuracy", "seconds"}
    assert (result["run"], result["status"], result["epochs"]) == (stopped.id, "done", 2)
    assert len(store.history(stopped)) == 2
    check_failure(call("resume", stopped.id, "--runs", runs), 1, "add epochs (--add-epochs N)")
    longer = call_json("resume", "latest", "--runs", runs, "--add-epochs", "1")
    assert (longer["status"], longer["epochs"], store.read(stopped.folder).config.epochs) == ("done", 3, 3)
    check_failure(call("resume", "latest", "--runs", runs, "--add-epochs", "1000"), 2, "epochs: 1003 is out of bounds")
    assert call("resume", "latest", "--runs", runs, "--add-epochs", "0")[0] == 2


def test_two_epochs_and_one_more_are_three(call, digits, tmp_path):
    shared = ["--data", digits.folder, "--set", "decay_every=1"]
    for name, epochs in (("a", 2), ("b", 3)):
        arguments = ["train", "facenet", *SETTINGS, *shared, "--set", f"epochs={epochs}", "--runs", tmp_path / name]
        assert call(*arguments)[0] == 0
    assert call("resume", "latest", "--add-epochs", "1", "--runs", tmp_path / "a")[0] == 0
    shorter, longer = (store.find(tmp_path / name, "latest") for name in "ab")
    left, right = (store.history(run).drop(columns="seconds") for run in (shorter, longer))
    assert left.equals(right)
    left, right = (store.load_checkpoint(run)["network"] for run in (shorter, longer))
    assert all((left[name] == right[name]).all() for name in left)


def test_resume_elsewhere_says_what_differs(call, stopped):
    facts = json.loads((stopped.folder / "run.json").read_text())
    facts["machine"] |= {"processor": "an abacus", "threads": 2}
    (stopped.folder / "run.json").write_text(json.dumps(facts))
    status, _, err = call("resume", stopped.id, "--runs", stopped.folder.parent)
    assert status == 0
    assert "Resumed with another processor (an abacus instead of" in err or "instead of an abacus" in err
    run = store.read(stopped.folder)
    assert len(run.notes) == 1
    assert "may differ in the last digits" in run.notes[0]
    assert run.machine.threads == 2  # as it began


def test_resume_with_moved_and_with_other_images(call, stopped, digits, tmp_path):
    runs = stopped.folder.parent
    facts = json.loads((stopped.folder / "run.json").read_text())
    facts["data"]["folder"] = str(tmp_path / "moved away")
    (stopped.folder / "run.json").write_text(json.dumps(facts))
    check_failure(call("resume", stopped.id, "--runs", runs), 1, "no such folder")
    shutil.copytree(digits.folder, tmp_path / "other")
    lines = (tmp_path / "other" / "train.csv").read_text().splitlines()
    (tmp_path / "other" / "train.csv").write_text("\n".join(lines[:-1]) + "\n")
    other = ["--data", tmp_path / "other"]
    check_failure(call("resume", stopped.id, "--runs", runs, *other), 1, "was trained on other images")
    assert store.read(stopped.folder).status == "stopped"
    assert call("resume", stopped.id, "--runs", runs, "--data", digits.folder)[0] == 0
    assert store.read(stopped.folder).data.folder == str(digits.folder)


def test_resume_of_what_cannot_go_on(call, stopped, tmp_path):
    runs = stopped.folder.parent
    file, facts = stopped.folder / "run.json", json.loads((stopped.folder / "run.json").read_text())
    file.write_text(json.dumps(facts | {"status": "failed", "error": "nan", "diverged": True}))
    check_failure(call("resume", stopped.id, "--runs", runs), 1, "begin anew with a lower learning rate")
    file.write_text(json.dumps(facts | {"status": "failed", "error": "disk full"}))
    checkpoint = (stopped.folder / "last.pt").read_bytes()
    (stopped.folder / "last.pt").write_bytes(checkpoint[:5000])
    (stopped.folder / "between.pt").unlink(missing_ok=True)
    check_failure(call("resume", stopped.id, "--runs", runs), 1, "last.pt is damaged")
    (stopped.folder / "last.pt").unlink()
    check_failure(call("resume", stopped.id, "--runs", runs), 1, "last.pt is missing, so the run cannot go on")
    (stopped.folder / "last.pt").write_bytes(checkpoint)
    with writing.RunWriter(stopped.folder):
        check_failure(call("resume", stopped.id, "--runs", runs), 1, "in the hands of another process")
    assert call("resume", stopped.id, "--runs", runs)[0] == 0


def test_names_and_archive(call, call_json, stopped):
    runs = stopped.folder.parent
    given = call_json("rename", stopped.id, "  A wide net – 2 ", "--runs", runs)
    assert given == {"run": stopped.id, "name": "A wide net – 2"}
    assert call_json("archive", stopped.id, "--runs", runs) == {"run": stopped.id, "archived": True}
    (listed,) = call_json("runs", "--runs", runs)["runs"]
    assert (listed["title"], listed["archived"]) == ("A wide net – 2", True)
    assert "A wide net – 2 (archived)" in call("runs", "--runs", runs)[1]
    assert call_json("archive", stopped.id, "--undo", "--runs", runs) == {"run": stopped.id, "archived": False}
    for name in ("", "   ", "x" * 61, "a\nb", "a\x1b[31m", "a\u202eb", "\0"):
        check_failure(call("rename", stopped.id, name, "--runs", runs), 2, "a run's name has 1 to 60 characters")
    assert store.read(stopped.folder).name == "A wide net – 2"
    assert call("rename", stopped.id, "../../etc", "--runs", runs)[0] == 0  # only ever shown


def test_train_with_a_name(call, digits, tmp_path):
    arguments = ["train", "facenet", *SETTINGS, "--set", "epochs=1", "--data", digits.folder, "--runs", tmp_path]
    check_failure(call(*arguments, "--name", "x" * 61), 2, "a run's name has 1 to 60 characters")
    assert store.list_runs(tmp_path) == []
    assert call(*arguments, "--name", "mine")[0] == 0
    assert store.find(tmp_path, "latest").title == "mine"


def test_delete(call, call_json, stopped):
    runs = stopped.folder.parent
    with writing.RunWriter(stopped.folder):
        check_failure(call("delete", stopped.id, "--runs", runs), 1, "in the hands of another process")
    assert stopped.folder.exists()
    assert call_json("delete", stopped.id, "--runs", runs) == {"run": stopped.id, "deleted": True}
    assert [each.name for each in runs.iterdir()] == [".trash"]
    check_failure(call("delete", stopped.id, "--runs", runs), 1, "there is no run")
    for name in ("..", ".", "../runs", "/"):
        check_failure(call("delete", name, "--runs", runs), 1, "there is no run")


def test_a_damaged_run_can_be_deleted(call, stopped):
    (stopped.folder / "run.json").write_text("{")
    assert call("delete", stopped.id, "--runs", stopped.folder.parent)[0] == 0
    assert not stopped.folder.exists()


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_what_is_not_in_training_cannot_be_asked(call, stopped, command):
    check_failure(call(command, stopped.id, "--runs", stopped.folder.parent), 1, "nothing trains it now")
    assert not list(stopped.folder.glob("*.request"))


def test_folder_of_runs_that_is_a_file(call, tmp_path):
    (tmp_path / "file").write_text("in the way")
    check_failure(call("runs", "--runs", tmp_path / "file"), 1, "cannot be read as the folder of runs")


@pytest.mark.parametrize(("wish", "status"), [("pause", "paused"), ("stop", "stopped")])
def test_another_process_is_asked(call_json, digits, tmp_path, wish, status):
    """A command line beside the one that trains."""
    arguments = ["train", "facenet", *SETTINGS, "--set", "epochs=1000", "--data", digits.folder, "--runs", tmp_path]
    process = Child("core", *arguments, "--json")
    try:
        for text in process.stderr:
            if text.startswith("epoch 1/"):
                break
        (run,) = store.list_runs(tmp_path)
        assert run.status == "running"
        asked = call_json(wish, run.id, "--runs", tmp_path)
        assert asked["status"] in (Request(wish).heard, status)
        out, err = process.communicate()
    finally:
        process.kill()
    assert (process.returncode, last_line(out)["status"]) == (0, status), err
    assert f"to go on: python -m core resume {run.id}" in err
    assert store.read(run.folder).status == status
    assert not list(run.folder.glob("*.request"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_run_that_can_go_on(call, digits, tmp_path, number):
    arguments = ["train", "facenet", *SETTINGS, "--set", "epochs=1000", "--data", digits.folder, "--runs", tmp_path]
    process, _, err = interrupted(arguments, number)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    run = store.find(tmp_path, "latest")
    assert run.status == ("stopped" if number == signal.SIGINT else "interrupted")
    facts = json.loads((run.folder / "run.json").read_text())
    facts["config"]["epochs"] = run.result.epochs + 1  # or it would take all night
    (run.folder / "run.json").write_text(json.dumps(facts))
    assert call("resume", "latest", "--runs", tmp_path)[0] == 0
    assert store.find(tmp_path, "latest").status == "done"


def test_a_reader_that_has_had_enough(tiny, digits, tmp_path):
    """As in `python -m core runs | head -1`."""
    writing.create(tiny, digits, tmp_path).close()
    line = [sys.executable, "-m", "core", "runs", "--runs", str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_training_whose_words_nobody_hears(digits, tmp_path):
    arguments = ["train", "facenet", *SETTINGS, "--json", "--set", "epochs=2", "--data", digits.folder]
    process = Child("core", *arguments, "--runs", tmp_path)
    try:
        process.stderr.close()
        assert process.wait() == 0
        assert last_line(process.said())["status"] == "done"
    finally:
        process.kill()
    assert store.read(next(tmp_path.iterdir())).status == "done"


def test_a_console_that_cannot_show_a_name_gets_another_sign(tiny, digits, tmp_path):
    writing.create(tiny, digits, tmp_path, "数字 ☃").close()
    for arguments in (["runs"], ["export", "雪"]):
        ended = subprocess.run(
            [sys.executable, "-m", "core", *arguments, "--runs", str(tmp_path)],
            capture_output=True, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "cp1252"}, timeout=120,
        )  # fmt: skip
        assert b"Traceback" not in ended.stderr
        assert b"UnicodeEncodeError" not in ended.stderr
        assert ended.returncode == (arguments[0] == "export"), ended.stderr
