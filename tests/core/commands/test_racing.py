"""The command race: begun, paused by Ctrl-C, killed, and gone on with; what it refuses."""

import json
import os
import signal
import time

import pytest

from core import experiment, race
from core.__main__ import main
from core.runs import store, writing
from tests.core.whole_runs import check_same
from tests.processes import Child

SETTINGS = "blocks=1,1 width=8 embedding_size=8 epochs=3 images_per_class=3 neighbours=3 precision=float32 threads=1"
SETTINGS = [word for each in SETTINGS.split() for word in ("--set", each)]


def command(digits, runs, *words):
    return ["race", *words, "--data", str(digits.folder), "--runs", str(runs), "--json"]


def begin(digits, runs):
    words = ["facenet-semi-hard", "--vary", "selection=all,batch_hard", *SETTINGS]
    return Child("core", *command(digits, runs, *words))


def first_results(runs, process) -> None:
    """Waits until every run has had its first turn."""
    while process.poll() is None:
        found = store.list_runs(runs)
        if len(found) == 2 and all(run.result for run in found):
            return
        time.sleep(0.02)
    raise AssertionError("it ended too soon")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle_it_goes_on_as_if_nothing_had_been(number, digits, tmp_path, capsys):
    runs = tmp_path / "runs"
    process = begin(digits, runs)
    try:
        first_results(runs, process)
        process.send_signal(number)
        out, _ = process.communicate()
    finally:
        process.kill()
    (held,) = race.all_races(runs)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert {row["status"] for row in json.loads(out)["runs"]} <= {"paused", "done"}
    else:
        assert "interrupted" in {run.status for run in race.runs_of(held, runs)}
    assert main(command(digits, runs, "latest")) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["race"], said["vary"], [row["status"] for row in said["runs"]]) == (
        held.race, ["selection"], ["done"] * 2
    )  # fmt: skip
    for run in race.runs_of(held, runs):
        with writing.create(run.config, digits, tmp_path / "alone") as writer:
            list(experiment.run(writer, digits))
        check_same(store.read(writer.folder), run, epochs=3)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["facenet-semi-har"], 2, "did you mean facenet-semi-hard"),
        (["facenet-semi-hard", "--vary", "selection"], 2, "write key=value,value"),
        (["facenet-semi-hard", "--vary", "selection=al,batch_hard"], 2, "selection"),
        (["facenet-semi-hard", "--vary", "selection=all"], 2, "2 to 24 runs"),
        (["quick"], 2, "no effect"),
        (["race-20260101-000000-0000"], 1, "no race"),
        (["latest"], 1, "no races"),
    ],
)
def test_refused_in_one_line(words, status, said, digits, tmp_path, capsys):
    assert main(command(digits, tmp_path, *words)) == status
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not os.listdir(tmp_path)
