"""Commands that train, go on with a run, pause or stop it, and the signals that they hear."""

import io
import json
import shutil
import signal
import sys

import pytest

from core.commands import say
from core.commands.training import listening
from core.learning.states import Request
from core.runs import store, writing
from tests.core.commands.calls import SETTINGS, check_failure, last_line
from tests.processes import Child


class Interrupted(io.RawIOBase):
    """A terminal at which Ctrl-C is pressed while a line is being written."""

    def __init__(self, file):
        super().__init__()
        self.file, self.written = file, b""

    def fileno(self) -> int:
        return self.file.fileno()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if not self.written:
            signal.raise_signal(signal.SIGINT)
        self.written += bytes(data)
        return len(data)


def test_a_signal_in_the_middle_of_a_line_ends_no_training_with_an_error(monkeypatch, tmp_path):
    file = (tmp_path / "told").open("wb")
    terminal = Interrupted(file)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(terminal), write_through=True))
    with listening("stopping after this step", on_interrupt=Request.STOP) as wishes:
        say("epoch 1/2")
        assert wishes == [Request.STOP]
        assert b"epoch 1/2" in terminal.written
        with pytest.raises(KeyboardInterrupt):  # the second one does not wait
            signal.raise_signal(signal.SIGINT)
    file.close()
    assert (tmp_path / "told").read_text() == "\nstopping after this step\n"


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


def test_a_setting_without_effect_is_named(call, digits, tmp_path):
    given = ("--set", "epochs=1", "--set", "patience=3", "--set", "cardinality=8", "--set", "margin=1")
    status, _, told = call("train", "facenet", *SETTINGS, *given, "--data", digits.folder, "--runs", tmp_path)
    assert status == 0
    assert [line.split()[0] for line in told.splitlines() if "has no effect" in line] == ["cardinality", "patience"]


def test_diverging_run(call, digits, tmp_path):
    diverging = ["objective=cross_entropy", "learning_rate=10", "weight_decay=1", "epochs=20"]
    changes = [part for each in diverging for part in ("--set", each)]
    outcome = call("train", "facenet", *SETTINGS, *changes, "--data", digits.folder, "--runs", tmp_path)
    check_failure(outcome, 1, "Lower the learning rate (it was 10)")
    assert store.find(tmp_path, "latest").status == "failed"


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


def test_train_with_a_name(call, digits, tmp_path):
    arguments = ["train", "facenet", *SETTINGS, "--set", "epochs=1", "--data", digits.folder, "--runs", tmp_path]
    check_failure(call(*arguments, "--name", "x" * 61), 2, "a run's name has 1 to 60 characters")
    assert store.list_runs(tmp_path) == []
    assert call(*arguments, "--name", "mine")[0] == 0
    assert store.find(tmp_path, "latest").title == "mine"


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_what_is_not_in_training_cannot_be_asked(call, stopped, command):
    check_failure(call(command, stopped.id, "--runs", stopped.folder.parent), 1, "nothing trains it now")
    assert not list(stopped.folder.glob("*.request"))


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
