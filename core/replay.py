"""Trains a run again and says whether every number comes out the same, bit for bit, or which epoch differs first.

Also the receipt of a run: a short code of all that decides its numbers.
"""

import hashlib
import json
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.dataset.loader import DataSet
from core.learning.events import Event
from core.learning.states import Control
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.queue import queue
from core.runs.store import Run
from core.settings.config import RunConfig

_PASSED_OVER = ("seconds", "alarm_kind")  # differs each time; follows from the alarm, and was not kept at first


@dataclass(frozen=True)
class Replay:
    """What came of training a run again."""

    run: str
    epochs: int  # compared, the first that differs included
    first_difference: int | None  # the first epoch that differs; None if all are the same, bit for bit
    what: str  # what differs in it

    @property
    def bit_exact(self) -> bool:
        """Whether all numbers of all epochs and the final weights came out the same."""
        return self.first_difference is None


def receipt(run: Run) -> str:
    """A short code of a run's settings, seed, images and versions: runs with the same code are the same experiment."""
    machine = {
        name: getattr(run.machine, name, None) for name in ("precision", "threads", "torch", "device", "processor")
    }
    settings = run.config.plain()
    if not settings["exclude"]:  # the code of a run on all images is what it was before any could be left out
        del settings["exclude"]
    facts = json.dumps([settings, run.data.fingerprint, machine], sort_keys=True)
    code = hashlib.sha256(facts.encode()).hexdigest()[:12].upper()
    return "-".join((code[:4], code[4:8], code[8:]))


def replay(run: Run, images: DataSet, told=lambda event: None) -> Replay:
    """Trains `run` anew in a temporary folder, as far as it went, and compares epoch by epoch until one differs.

    `told` is called with every event. Raises StoreError for a run without a result, or one that is being trained.
    """
    comparing = _comparing(run, images)
    while True:
        try:
            told(next(comparing))
        except StopIteration as end:
            return end.value


@dataclass
class Told:
    """A replay in the background."""

    epochs: int = 0  # that are the same so far
    found: Replay | None = None  # what came of it
    error: str = ""  # why nothing came of it

    @property
    def ended(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return bool(self.found or self.error)


_told: dict[str, Told] = {}  # by the run's id; of this process


def told(run: Run) -> Told | None:
    """How far the last replay of a run in this process is; None without one."""
    return _told.get(run.id)


def begin(run: Run, images: DataSet, owner: str = "") -> None:
    """Puts a replay of `run` into this process's queue, as a job of `owner`; see `told`.

    Raises StoreError as `replay` does.
    """
    _check(run, images)
    about = Told()
    name = f"replay of {run.id}"
    if queue().position(name) is not None:
        raise StoreError(f"run {run.id} is being replayed")
    _told[run.id] = about

    def dropped(_) -> None:
        about.error = "The replay was ended before its turn."

    queue().submit(name, lambda control: _background(run, images, about, control), dropped=dropped, owner=owner)


def _background(run: Run, images: DataSet, about: Told, control: Control) -> Iterator[Event]:
    from core.learning.events import EpochDone

    try:
        comparing = _comparing(run, images, control)
        while True:
            event = next(comparing)
            about.epochs += isinstance(event, EpochDone)
            yield event
    except StopIteration as end:
        about.found = end.value
        about.error = "" if end.value else "The replay was ended before its last epoch."
    except Exception as error:
        about.error = str(error) or type(error).__name__
        raise


def _check(run: Run, images: DataSet) -> None:
    if run.active or not run.result:
        raise StoreError(f"run {run.id} has no result to compare with, or is being trained; wait for its end")
    store.check_same_data(run, images)


def _comparing(run: Run, images: DataSet, control: Control = lambda: None) -> Generator[Event, None, Replay | None]:
    """Yields the events of a run that is trained anew; returns what came of it, None if `control` ended it."""
    _check(run, images)
    with (
        tempfile.TemporaryDirectory(prefix="tripletlab-replay-") as folder,
        writing.create(_as_it_was(run), images, Path(folder)) as writer,
    ):
        return (yield from _compared(run, writer, images, control))


def _as_it_was(run: Run) -> RunConfig:
    """The run's settings, with the precision and the threads that it was computed with."""
    return run.config.changed(precision=run.machine.precision, threads=run.machine.threads)


def _compared(
    run: Run, writer: writing.RunWriter, images: DataSet, control: Control
) -> Generator[Event, None, Replay | None]:
    from core import experiment
    from core.learning.events import EpochDone, StepDone

    again, end = store.read(writer.folder), (run.result.epochs, run.result.steps)
    last_epoch, steps_done = end[0], []
    before = store.history(run)
    if before["epoch"].tolist() != list(range(1, last_epoch + 1)):
        return Replay(run.id, 0, 1, f"history.csv does not hold the epochs 1 to {last_epoch}")
    for event in experiment.run(writer, images, lambda: "stop" if end in steps_done else control()):
        yield event
        if isinstance(event, StepDone):
            steps_done.append((event.epoch, event.step))
        elif isinstance(event, EpochDone) and (what := _difference(run, again, before, event.epoch)):
            return Replay(run.id, event.epoch, event.epoch, what)
    if control():
        return None
    what = _other_weights(run, again) or _other_result(run, again)
    return Replay(run.id, last_epoch, last_epoch if what else None, what)


def _difference(run: Run, again: Run, before: pd.DataFrame, epoch: int) -> str:
    """What differs between both runs after an epoch; empty if nothing does."""
    row, new = before.iloc[epoch - 1], store.history(again).iloc[epoch - 1]
    for name in new.index.difference(_PASSED_OVER):
        if name not in row.index:
            return f"history.csv has no column {name}"
        if row[name] != new[name] and not (pd.isna(row[name]) and pd.isna(new[name])):
            return f"{name} was {row[name]} and is {new[name]}"
    old, made = store.embedded(run, epoch), store.embedded(again, epoch)
    for name in old._fields:
        if not np.array_equal(getattr(old, name), getattr(made, name)):
            return f"the stored {name} of the images differ"
    return ""


def _other_weights(run: Run, again: Run) -> str:
    old, made = (store.load_checkpoint(each)["network"] for each in (run, again))
    same = old.keys() == made.keys() and all(old[name].equal(made[name]) for name in made)
    return "" if same else "the weights in last.pt differ"


def _other_result(run: Run, again: Run) -> str:
    made = store.read(again.folder).result
    other = [name for name, value in made if name not in _PASSED_OVER and getattr(run.result, name) != value]
    was, now = (getattr(result, other[0]) if other else None for result in (run.result, made))
    return f"{other[0]} in run.json was {was} and is {now}" if other else ""
