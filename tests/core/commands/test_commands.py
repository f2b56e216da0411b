"""The command line as such: exit codes, one line of reason for wrong use or a failure, and what hears it."""

import io
import os
import subprocess
import sys

import pytest

from core.__main__ import main
from core.commands import say
from core.runs import store, writing
from tests.core.commands.calls import ROOT, SETTINGS, check_failure, command


def test_folders_come_from_the_environment(call, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(digits.folder))
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TRIPLETLAB_PICS", str(tmp_path / "pics"))
    assert call("train", "facenet", *SETTINGS, "--set", "epochs=1")[0] == 0
    run = store.find(tmp_path / "runs", "latest")
    assert call("mistakes", "latest")[0] == 0
    assert (tmp_path / "pics" / run.id / "mistakes.csv").is_file()


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


def test_help_names_every_setting(call):
    status, out, _ = call("train", "--help")
    assert status == 0
    for name in ("architecture", "blocks", "learning_rate", "neighbours", "threads"):
        assert f"\n  {name} " in out


def test_failure_of_a_real_process(tmp_path):
    done = command("train", "quick", "--data", tmp_path / "none")
    check_failure((done.returncode, done.stdout, done.stderr), 1, "no such folder")


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


def test_a_reader_that_has_had_enough(tiny, digits, tmp_path):
    """As in `python -m core runs | head -1`."""
    writing.create(tiny, digits, tmp_path).close()
    line = [sys.executable, "-m", "core", "runs", "--runs", str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_console_that_cannot_show_a_name_gets_another_sign(tiny, digits, tmp_path, monkeypatch):
    writing.create(tiny, digits, tmp_path, "数字 ☃").close()
    for arguments, status in ((["runs"], 0), (["export", "雪"], 1)):
        out, err = (io.TextIOWrapper(io.BytesIO(), "cp1252") for _ in range(2))
        with monkeypatch.context() as console:
            console.setattr(sys, "stdout", out)
            console.setattr(sys, "stderr", err)
            assert main([*arguments, "--runs", str(tmp_path)]) == status
        out.flush()
        err.flush()
        assert b"?" in (err if status else out).buffer.getvalue()
