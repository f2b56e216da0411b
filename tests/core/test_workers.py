"""Runs in processes of their own: the same numbers, steered through the folder, and each ends alone."""

import signal
import time

import psutil
import pytest

from core import control, experiment, turns, workers
from core.classroom.roles import Actor, Role
from core.runs import store, writing
from core.runs.queue import RunQueue, queue
from core.runs.store import Run
from tests.core.whole_runs import check_resumed
from tests.processes import Child

SOON = 180  # seconds


class Worker(Child):
    """A worker that is forked, which saves three seconds of imports; the last test and those of pages start real ones.

    It is told what subprocess.Popen is told, and writes what it said to the same stream.
    """

    def __init__(self, command, *, stderr, env, **_):
        self.words, self._said_to = command, stderr
        super().__init__(*command[2:], env=env, together=True)

    def poll(self):
        ended = super().poll()
        if ended is not None and self._said_to:
            self._said_to.write(self.said().encode())
            self._said_to = None  # once
        return ended


@pytest.fixture
def started(monkeypatch):
    """All workers that a test has begun."""
    made = []

    def begin(*what, **options):
        made.append(Worker(*what, **options))
        return made[-1]

    monkeypatch.setattr(workers.subprocess, "Popen", begin)
    yield made
    for worker in made:
        worker.kill()


@pytest.fixture
def two_workers(monkeypatch, started):
    """The queue of a lab that was started with --workers 2."""
    queue()  # that of this process, which other tests use: it must not be made with the setting below
    monkeypatch.setenv(workers.WORKERS, "2")
    made = RunQueue(slots=2)
    for module in (turns, control):
        monkeypatch.setattr(module, "queue", lambda: made)
    yield made
    assert made.shutdown(SOON)


def alone(config, digits, folder) -> Run:
    """The same run, trained by itself in this process."""
    with writing.create(config, digits, folder) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


def until(condition) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def processes(run: Run, started: list[Worker]) -> list[Worker]:
    """The workers that train this run."""
    return [each for each in started if run.id in each.words and each.returncode is None]


def test_killed_in_mid_run_it_is_interrupted_and_the_other_goes_on(two_workers, started, digits, tiny, tmp_path):
    """... and both come out as if they had been trained alone."""
    config = tiny.changed(triplets=400, epochs=2)
    names = [control.begin(config.changed(seed=seed), digits, tmp_path) for seed in (1, 2)]
    first, second = (store.read(tmp_path / name) for name in names)
    until((first.folder / "steps.csv").exists)
    (worker,), (_,) = processes(first, started), processes(second, started)  # both at the same time
    worker.send_signal(signal.SIGKILL)
    until(lambda: store.read(first.folder).status == "interrupted")
    until(lambda: not control.mine(first))
    assert control.status(store.read(first.folder)) == "interrupted"
    control.resume(store.read(first.folder), digits)
    assert two_workers.join(SOON)
    for run, seed in ((first, 1), (second, 2)):
        whole = alone(config.changed(seed=seed), digits, tmp_path / "alone")
        check_resumed(whole, store.read(run.folder))


def test_asked_and_refused(two_workers, started, digits, tiny, tmp_path):
    long = tiny.changed(triplets=4000, epochs=500)
    stopped, paused = (store.read(tmp_path / control.begin(long, digits, tmp_path)) for _ in range(2))
    waits = store.read(tmp_path / control.begin(long, digits, tmp_path))
    assert control.position(waits) == 1
    control.stop(waits)
    assert store.read(waits.folder).status == "stopped"
    control.pause(paused)  # before its process is there
    until(lambda: (stopped.folder / "steps.csv").exists())
    assert store.read(stopped.folder).status == "running"
    control.stop(stopped)
    assert two_workers.join(SOON)
    assert [store.read(run.folder).status for run in (stopped, paused)] == ["stopped", "paused"]
    assert not processes(stopped, started)
    assert not list(tmp_path.glob(".queue-*"))


def test_a_failure_is_the_runs_own_and_the_end_of_the_lab_interrupts_the_other(
    two_workers, started, digits, tiny, tmp_path
):
    (tmp_path / "images").mkdir()
    moved = digits.__class__(**vars(digits) | {"folder": tmp_path / "images"})  # where the worker finds none
    name = control.begin(tiny, moved, tmp_path / "runs")
    good = control.begin(tiny.changed(triplets=4000, epochs=500), digits, tmp_path / "runs")
    run = store.read(tmp_path / "runs" / good)
    until(lambda: store.read(tmp_path / "runs" / name).status == "failed" and (run.folder / "steps.csv").exists())
    assert "images" in store.read(tmp_path / "runs" / name).error
    assert store.read(run.folder).status == "running"
    assert two_workers.shutdown(SOON)
    assert store.read(run.folder).status == "interrupted"
    assert not processes(run, started)


def test_a_long_turn_of_a_student_ends(two_workers, digits, tiny, tmp_path, monkeypatch):
    """The run is paused and goes on in a new process after the other's turn."""
    two_workers.slots = 1
    monkeypatch.setattr(turns, "LONGEST_TURN", 1.0)
    long = tiny.changed(triplets=20_000, epochs=60)
    anna = store.read(tmp_path / control.begin(long, digits, tmp_path, actor=Actor(Role.STUDENT, "Anna")))
    bob = store.read(tmp_path / control.begin(tiny, digits, tmp_path, actor=Actor(Role.STUDENT, "Bob")))
    until(lambda: store.read(bob.folder).status == "done")
    until(lambda: store.read(anna.folder).status == "running")
    control.stop(store.read(anna.folder))
    assert two_workers.join(SOON)
    assert store.read(anna.folder).status == "stopped"


LAB = """
import sys, time
from pathlib import Path
from core import control
from core.dataset import loader
from core.settings.config import RunConfig
control.begin(RunConfig(**eval(sys.argv[3])), loader.load(Path(sys.argv[1])), Path(sys.argv[2]))
time.sleep(600)
"""


def test_a_worker_leaves_when_its_lab_was_killed(digits, tiny, tmp_path):
    config = repr(dict(tiny.changed(triplets=4000, epochs=500).plain()))
    lab = Child("tests.snippet", LAB, digits.folder, tmp_path, config, env={workers.WORKERS: "1"}, together=True)
    try:
        until(lambda: any((folder / "steps.csv").exists() for folder in tmp_path.iterdir()))
        (run,) = store.list_runs(tmp_path)
        (worker,) = psutil.Process(lab.pid).children()
    finally:
        lab.kill()
    until(lambda: store.read(run.folder).status == "interrupted")
    worker.wait(SOON)
