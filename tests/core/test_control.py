"""Runs in the queue of this process: paused, resumed, stopped, dropped, failed."""

import os
import threading

import numpy as np
import pytest

from core import control, experiment
from core.runs import latest_step, store, writing
from core.runs.files import StoreError
from core.runs.queue import queue
from core.settings.presets import from_preset
from core.settings.setting import ConfigError
from tests.core.whole_runs import check_resumed
from tests.processes import Child

SOON = 60  # seconds


@pytest.fixture
def long(tiny):
    """A run that does not end by itself within a test."""
    return tiny.changed(triplets=4000, epochs=1000)


@pytest.fixture(autouse=True)
def empty_queue():
    yield
    for name in queue().names():
        queue().stop(name)
    assert queue().join(SOON)


def wait_for(run_folder, *statuses: str):
    """The run once it has one of these statuses."""
    for _ in range(SOON * 200):
        run = store.read(run_folder)
        if run.status in statuses:
            return run
        threading.Event().wait(0.005)
    raise AssertionError(f"{run.status} instead of {statuses}")


def test_step_by_step_it_is_the_same_run(done, digits, tmp_path):
    """Every step of the run is a run of its own, those at the ends of epochs as well."""
    whole, _ = done
    writing.create(whole.config, digits, tmp_path).close()
    run = store.list_runs(tmp_path)[0]
    seen = []
    for _ in range(12):
        control.one_step(run, digits)
        assert queue().join(SOON)
        run = store.read(run.folder)
        found = latest_step.read(run)
        seen.append((found.epoch, found.step))
        assert np.isfinite(found.batch_loss).all()  # before and after it
        if run.status == "done":
            break
    assert list(dict.fromkeys(seen)) == [(epoch, step) for epoch in (1, 2, 3) for step in (1, 2, 3)]
    check_resumed(whole, run)


def test_paused_and_resumed_it_is_the_same_run(done, digits, tmp_path):
    whole, _ = done
    run_id = control.begin(whole.config, digits, tmp_path, name="mine")
    folder = tmp_path / run_id
    for _ in range(3):
        control_of = store.read(folder)
        if control.mine(control_of):
            control.pause(control_of)
        assert queue().join(SOON)
        if store.read(folder).status == "done":
            break
        assert store.read(folder).status == "paused"
        control.resume(store.read(folder), digits)
    assert queue().join(SOON)
    run = store.read(folder)
    assert (run.status, run.title) == ("done", "mine")
    check_resumed(whole, store.read(folder))


def test_stop_of_a_running_and_of_a_waiting_run(long, digits, tmp_path):
    first, second = (tmp_path / control.begin(long, digits, tmp_path) for _ in range(2))
    run = wait_for(first, "running")
    assert (control.position(run), control.position(store.read(second))) == (0, 1)
    control.stop(store.read(second))
    assert store.read(second).status == "stopped"
    control.stop(run)
    assert store.read(first).status in ("stopping", "stopped")
    assert queue().join(SOON)
    assert store.read(first).status == "stopped"
    with pytest.raises(StoreError, match="nothing trains it now"):
        control.stop(store.read(first))


def test_a_waiting_run_is_paused_by_another_process(long, digits, tmp_path):
    first, second = (tmp_path / control.begin(long, digits, tmp_path) for _ in range(2))
    wait_for(first, "running")
    store.request(store.read(second), "pause")
    assert store.read(second).status in ("pausing", "paused")
    wait_for(second, "paused")
    assert queue().names() == [first.name]
    control.resume(store.read(second), digits)
    assert queue().names() == [first.name, second.name]
    control.stop(store.read(second))


def test_a_disk_too_full_to_say_so(tiny, digits, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    run_id = control.begin(tiny.changed(epochs=1000), digits, tmp_path)
    wait_for(tmp_path / run_id, "running")
    monkeypatch.setattr(os, "replace", refuse)
    assert queue().join(SOON)
    monkeypatch.undo()
    run = store.read(tmp_path / run_id)
    assert (run.status, control.status(run)) == ("interrupted", "failed")
    assert "No space left on device): free some space, then resume" in control.failure(run)
    assert not list(tmp_path.rglob("*.tmp"))
    with writing.reopen(run, digits) as other:  # as another process does
        other.update(status="running")
        assert control.failure(store.read(run.folder)) == ""
    control.resume(run, digits)
    assert control.status(wait_for(run.folder, "running")) == "running"
    assert control.failure(store.read(run.folder)) == ""


def test_refused(done, digits, tmp_path):
    whole, _ = done
    with pytest.raises(StoreError, match="is finished"):
        control.resume(whole, digits)
    with pytest.raises(ConfigError, match="out of bounds"):
        control.resume(whole, digits, add_epochs=1000)
    assert store.read(whole.folder) == whole
    with pytest.raises(ConfigError, match="1 to 60 characters"):
        control.begin(whole.config, digits, tmp_path, name="\n")
    assert store.list_runs(tmp_path) == []
    assert queue().names() == []


def test_a_run_that_ended_early_gets_no_more_epochs(tiny, digits, tmp_path):
    early = dict(validation_share=0.25, patience=1, epochs=9, learning_rate=0.0001, weight_average=0.9)
    config = tiny.changed(**early)
    with writing.create(config, digits, tmp_path) as writer:
        *_, end = experiment.run(writer, digits)
    assert end.epochs < 9
    run = store.read(writer.folder)
    for more in (0, 5):
        with pytest.raises(StoreError, match=r"ended early.*more patience"):
            control.resume(run, digits, add_epochs=more)
    assert store.read(run.folder) == run


def test_an_evaluation_is_not_waited_for(tiny, digits, tmp_path, monkeypatch):
    """Pause within the evaluation of an epoch, which takes half a minute in a wide network."""
    evaluate, began, asked = experiment.evaluate.evaluate, threading.Event(), threading.Event()

    def slowly(*arguments):
        began.set()
        assert asked.wait(SOON)
        return evaluate(*arguments)

    monkeypatch.setattr(experiment.evaluate, "evaluate", slowly)
    run_id = control.begin(tiny, digits, tmp_path)
    assert began.wait(SOON)
    control.pause(store.read(tmp_path / run_id))
    assert store.read(tmp_path / run_id).status == "pausing"
    asked.set()
    assert queue().join(SOON)
    run = store.read(tmp_path / run_id)
    assert (run.status, len(store.history(run)), run.result) == ("paused", 0, None)
    checkpoint, _ = store.newest_checkpoint(run)
    assert (checkpoint["training"]["epoch"], checkpoint["training"]["step"]) == (1, 3)
    control.resume(run, digits)
    assert queue().join(SOON)
    assert store.read(run.folder).status == "done"


def killed(run_folder) -> int:
    """A process that takes the run up dies while the network is built, as by the system that has no more memory."""
    code = f"""import os
from core import control, experiment
from core.dataset import loader
from core.networks import build
from core.runs import store
from core.runs.queue import queue
from pathlib import Path
build.build = lambda *_: os.kill(os.getpid(), 9)
control.resume_interrupted(Path({str(run_folder.parent)!r}), lambda text, good: print(text, flush=True))
queue().join(60)"""
    process = Child("tests.snippet", code, together=True)
    try:
        return process.wait()
    finally:
        process.kill()


def test_a_run_that_kills_its_process_is_not_resumed_by_itself_for_ever(tiny, digits, tmp_path):
    writing.create(tiny, digits, tmp_path).close()
    writing.create(tiny, digits, tmp_path).close()  # waits behind it, and has done nothing
    folder = store.list_runs(tmp_path)[-1].folder
    facts = (folder / "run.json").read_text()
    (folder / "run.json").write_text(facts.replace('"starts": 0', '"starts": 1'))  # it killed one before
    assert killed(folder) == -9
    assert store.read(folder).starts == 2
    assert control.given_up(store.read(folder))
    told = []
    control.resume_interrupted(tmp_path, lambda text, good: told.append((text, good)))
    (refused, _), (other, good) = told
    assert "is not resumed by itself: its process died 2 times in a row" in refused
    assert f"python -m core resume {folder.name}" in refused
    assert "“Batch size”" in refused
    assert good
    assert other.endswith("goes on.")
    assert queue().join(SOON)
    control.resume(store.read(folder), digits)  # by hand it goes on
    assert queue().join(SOON)
    run = store.read(folder)
    assert (run.status, run.starts) == ("done", 0)


def test_a_run_that_needs_more_memory_than_there_is_is_refused_at_once(digits, tmp_path):
    config = from_preset("facenet", width=128, blocks=(64,) * 6, neighbours=3)
    with pytest.raises(ConfigError, match="GB of memory"):
        control.begin(config, digits, tmp_path)
    assert store.list_runs(tmp_path) == []
