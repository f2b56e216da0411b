"""Runs that are stopped at any step or asked while PyTorch is busy, and go on as if nothing had happened."""

import itertools
import math

import pytest

from core import experiment, recorder
from core.evaluation import evaluate_run
from core.learning.events import EpochDone, Finished, StepDone
from core.networks import build
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.writing import RunWriter
from tests.core.whole_runs import check_resumed, drain, predictions, train

# Stopped


def test_stopped_in_the_second_epoch(done, digits, tmp_path):
    whole, _ = done
    run, events = train(whole.config, digits, tmp_path, 4)
    assert run.status == "stopped"
    assert [type(event) for event in events] == [*[StepDone] * 3, EpochDone, StepDone, EpochDone, Finished]
    history = store.history(run)
    assert history.steps.tolist() == [3, 1]
    assert history.test_loss[0] == store.history(whole).test_loss[0]
    assert history.train_loss[1] == store.steps(whole).loss[3]  # its first step is the whole run's fourth
    assert run.result.epochs == events[-1].epochs == 2
    assert run.result.test_accuracy == (predictions(run).true == predictions(run).predicted).mean()
    assert store.load_checkpoint(run)["steps"] == 1
    assert (events[-1].status, run.seconds is not None) == ("stopped", True)
    assert evaluate_run(run, None, None, None)["accuracy"] == run.result.test_accuracy


def test_stopped_after_the_last_step_is_done(tiny, digits, tmp_path):
    assert train(tiny, digits, tmp_path, 6)[0].status == "done"


def test_stopped_before_the_first_step(tiny, digits, tmp_path):
    run, events = train(tiny, digits, tmp_path, 0)
    assert [type(event) for event in events] == [Finished]
    assert (events[0].status, events[0].epochs, events[0].test_accuracy) == ("stopped", 0, None)
    assert (run.status, run.result) == ("stopped", None)
    assert sorted(file.name for file in run.folder.iterdir()) == ["label.json", "run.json", "run.lock"]
    with pytest.raises(StoreError, match="no weights yet"):
        evaluate_run(run, None, None, None)


def test_progress_is_on_the_disk_when_the_event_is_told(tiny, digits, tmp_path):
    """A page that hears of an epoch can read it."""
    with writing.create(tiny, digits, tmp_path) as writer:
        for event in experiment.run(writer, digits):
            run = store.read(writer.folder)
            if isinstance(event, StepDone):
                assert run.status == "running"
                assert len(store.steps(run)) == 3 * (event.epoch - 1) + event.step
            elif isinstance(event, EpochDone):
                assert len(store.history(run)) == run.result.epochs == event.epoch
                assert store.load_checkpoint(run)["epoch"] == event.epoch
                assert len(store.mistakes(run)) == run.result.mistakes
                store.embedded(run, event.epoch)
            else:
                assert run.status == "done"


# Resumed


def test_the_clock_of_a_resumed_run_never_goes_back(tiny, digits, tmp_path):
    paused, _ = train(tiny, digits, tmp_path, 2, "pause")
    with RunWriter(paused.folder) as writer:
        writer.update(seconds=1000.0)  # the last seconds were those in which it was saved
    again, _ = drain(RunWriter(paused.folder), digits, 1, "pause")
    assert again.seconds > 1000
    assert store.steps(again).seconds.iloc[-1] > 1000


@pytest.mark.parametrize("wish", ["stop", "pause", "leave"])
@pytest.mark.parametrize("steps", range(9))
def test_interrupted_after_any_step_and_again_two_later(done, digits, tmp_path, steps, wish):
    whole, _ = done
    run, _ = train(whole.config, digits, tmp_path, steps, wish)
    expected = {"stop": "stopped", "pause": "paused", "leave": "interrupted"}[wish]
    assert run.status == expected
    if wish == "stop":
        assert (run.folder / "last.pt").exists() == (steps > 0)
        assert (run.result.steps if run.result else 0) == (0 if steps == 0 else (steps - 1) % 3 + 1)
    else:
        assert len(store.history(run)) == max(0, steps - 1) // 3  # no evaluation was waited for
    run, _ = drain(RunWriter(run.folder), digits, 2, wish)
    assert run.status == (expected if steps < 7 or (steps == 7 and wish != "stop") else "done")
    run, _ = drain(RunWriter(run.folder), digits)
    check_resumed(whole, run)


def test_checkpoints_within_an_epoch(done, digits, tmp_path, monkeypatch):
    """Killed without a word after any step: the run goes on from the newest checkpoint."""
    whole, _ = done
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "CHECKPOINT_SHARE", math.inf)
    for steps in range(1, 9):
        writer, taken = writing.create(whole.config, digits, tmp_path), 0
        with writer:
            for event in experiment.run(writer, digits):
                taken += isinstance(event, StepDone)
                if taken == steps:
                    break
        run = store.read(writer.folder)
        assert run.status == "interrupted"
        run, events = drain(RunWriter(run.folder), digits)
        assert sum(isinstance(event, StepDone) for event in events) == 9 - steps
        check_resumed(whole, run)


# Requests while PyTorch is busy


@pytest.mark.parametrize(("wish", "status"), [("stop", "stopped"), ("pause", "paused"), ("leave", "interrupted")])
def test_a_request_is_heard_while_the_network_is_being_built(tiny, digits, tmp_path, monkeypatch, wish, status):
    built, make = [], build.build
    monkeypatch.setattr(build, "build", lambda *arguments: built.append(make(*arguments)))
    asked = itertools.count()
    with writing.create(tiny.changed(blocks=(8, 8)), digits, tmp_path) as writer:
        events = list(experiment.run(writer, digits, lambda: wish if next(asked) > 20 else None))
    run = store.read(writer.folder)
    assert built == []
    assert [type(event) for event in events] == [Finished]
    assert (run.status, run.result, run.starts, events[0].epochs) == (status, None, 0, 0)
