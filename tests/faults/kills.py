"""Faults: a process that is killed, at any instant and at any file operation."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from core.dataset.loader import DataSet
from core.runs import store, writing
from core.settings.config import RunConfig
from tests.faults import deadly


def kills(
    name: str, config: RunConfig, images: DataSet, runs: Path, count: int, draw: random.Random
) -> Iterator[deadly.Row]:
    """Kills at random instants, every third run twice; half of them at a file operation."""
    whole = deadly.whole_of(config, images, runs)
    for trial in range(count):
        folder, instants, status = deadly.begin(config, images, runs), [], -1
        for _ in range(2 if trial % 3 == 2 else 1):
            if status:
                status, instant = _kill(folder, images, whole, draw, by_itself=trial % 2 == 1)
                instants.append(instant)
        if status:
            deadly.finish(folder, images)
        deadly.compare(whole, folder)
        outcome = "resumed" if status else "done before the kill"
        yield f"{name}: kill -9 after {', then '.join(instants)}", f"{outcome}, all SHA-256 equal"
        shutil.rmtree(folder)


def _kill(folder: Path, images: DataSet, whole: deadly.Whole, draw: random.Random, by_itself: bool) -> tuple[int, str]:
    """Trains the run until a random instant; the child's status (0: it was done before) and the instant in words."""
    if by_itself:
        operation = draw.randrange(1, whole.operations + 1)
        status = deadly.ended(deadly.begin_child(folder, images, die_at=operation))
        instant = f"file operation {operation} of {whole.operations}"
    else:
        seconds = draw.uniform(0, whole.seconds)
        child = deadly.begin_child(folder, images)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        status = deadly.ended(child)
        instant = f"{seconds:.2f} of {whole.seconds:.2f} s"
    assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
    run = store.read(folder)
    assert run.status == "done" or (status and run.status == "interrupted"), run
    store.history(run), store.steps(run), store.mistakes(run)  # readable at any moment
    return 0 if run.status == "done" else status, instant  # the kill may come between the end of the run and the exit


def every_operation(config: RunConfig, images: DataSet, runs: Path, stride: int) -> Iterator[deadly.Row]:
    """A kill at every file operation of a run, or at every so many."""
    whole = deadly.whole_of(config, images, runs)
    for at in range(1, whole.operations + 1, stride):
        folder = deadly.begin(config, images, runs)
        status = deadly.ended(deadly.begin_child(folder, images, die_at=at))
        assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
        # How often a checkpoint is saved, and so the number of operations, depends on the time: the kill may come too
        # late, or between the end of the run and that of its process
        if store.read(folder).status != "done":
            deadly.finish(folder, images)
        deadly.compare(whole, folder)
        shutil.rmtree(folder)
    tried = len(range(1, whole.operations + 1, stride))
    yield f"kill -9 at {tried} of the {whole.operations} file operations of a run", "resumed, all SHA-256 equal"


def killed_while_it_begins(config: RunConfig, images: DataSet, runs: Path) -> Iterator[deadly.Row]:
    """A kill at each file operation while a run's folder is made."""
    kept, at, status = runs / "beginning", 0, -1
    while status:
        at += 1

        def work(at=at):
            deadly.Deadly(at)
            writing.create(config, images, kept).close()

        status = deadly.ended(deadly.fork(work))
    found = [run.status for run in store.list_runs(kept)]
    assert set(found) == {"interrupted"}, found
    yield f"kill -9 at each of {at - 1} file operations while a run begins", f"{len(found)} runs listed, none damaged"
