"""Calls of the command line, a trained run in a folder of runs, and a stopped one."""

from pathlib import Path

import pytest

from core.__main__ import main
from core.runs import store, writing
from tests.core.commands.calls import SETTINGS, command, last_line


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
    """The same with --json, for what succeeds; returns its object."""

    def run(*arguments) -> dict:
        status, out, err = call(*arguments, "--json")
        assert status == 0, err
        return last_line(out)

    return run


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder of runs, in which the trained one stays the latest."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def trained(digits, runs) -> dict:
    """What `train` says in JSON, through a real process; the run has mistakes."""
    done = command(
        "train", "facenet", *SETTINGS, "--set", "epochs=1", "--data", digits.folder, "--runs", runs, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1: train loss" in done.stderr
    return last_line(done.stdout)


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
