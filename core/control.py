"""Control of runs from a page: begin, resume, pause, stop, and what a run is doing now.

A run is trained by this process's queue, or by another process: another dashboard, or a command line. That one is asked
through a small file in the run's folder. Renaming, archiving and deleting need neither: see core/runs/store.py.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from core import places
from core.dataset import loader
from core.dataset.loader import DataError, DataSet
from core.learning import footprint, memory
from core.learning.events import StepDone
from core.learning.states import Control, Request, Status
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.queue import queue
from core.runs.store import Run
from core.runs.writing import RunWriter
from core.settings.config import RunConfig
from core.settings.setting import ConfigError

DEADLY = 2  # starts in a row that ended with the process, after which a run is left alone


def begin(config: RunConfig, images: DataSet, runs: Path, name: str = "") -> str:
    """Puts a new run into the queue and returns its id.

    Raises StoreError, or ConfigError also for one that needs more memory than there is.
    """
    footprint.check(config, len(images.classes))
    writer = writing.create(config, images, runs, name)
    _submit(writer, images)
    return writer.id


def resume(run: Run, images: DataSet, add_epochs: int = 0) -> None:
    """Puts a run that has ended back into the queue; raises ConfigError or StoreError if it cannot go on.

    `images` are those it was trained on. A run that is done needs `add_epochs`.
    """
    _submit(writing.reopen(run, images, add_epochs), images)


def resume_interrupted(runs: Path, say: Callable[[str, bool], None]) -> None:
    """Puts every run whose process has ended back into the queue, the oldest first.

    `say` is told what becomes of each, and whether it goes on.
    """
    for run in reversed(store.list_runs(runs)):
        if run.status != Status.INTERRUPTED or run.archived:
            continue
        if reason := given_up(run):
            say(f"Run {run.id} is not resumed by itself: {reason}", False)
            continue
        try:
            resume(run, _images_of(run))
            say(f"Run {run.id} goes on.", True)
        except (ConfigError, DataError, StoreError, OSError, RuntimeError) as error:
            say(f"Run {run.id} cannot go on: {error}", False)


def _images_of(run: Run) -> DataSet:
    """The images of a run: those in use if they are the same, else from where they were."""
    with suppress(DataError):
        if (images := loader.load(places.data_folder())).fingerprint == run.data.fingerprint:
            return images
    return store.data_of(run)


def given_up(run: Run) -> str:
    """Why an interrupted run is resumed by hand only, and how; empty if it can go on by itself."""
    if run.starts < DEADLY:
        return ""
    return (
        f"its process died {run.starts} times in a row before anything was saved, as it does when memory runs out. "
        f"Begin anew with a lower {footprint.to_lower(run.config)}; or try once more: Resume on its page, or python -m "
        f"core resume {run.id}"
    )


def pause(run: Run) -> None:
    """Saves the run at its next step and lets go of it, or takes it out of the queue; `resume` goes on from there."""
    if not queue().pause(run.id):
        _request(run, Request.PAUSE)


def one_step(run: Run, images: DataSet) -> None:
    """Trains a paused run for a single batch and pauses it again; raises as `resume` does.

    After the last batch of an epoch the step comes with the epoch's evaluation, and is the first of the next epoch.
    """
    _submit(writing.reopen(run, images), images, one_step=True)


def stop(run: Run) -> None:
    """Ends the run at its next step and evaluates the model so far, or takes it out of the queue."""
    if not queue().stop(run.id):
        _request(run, Request.STOP)


def mine(run: Run) -> bool:
    """Whether this process trains the run or will do so."""
    return queue().position(run.id) is not None


def position(run: Run) -> int | None:
    """How many runs of this process's queue come before this one, or None if it is not among them."""
    return queue().position(run.id)


def status(run: Run) -> str:
    """The run's status; failed also where the disk was too full to write that down."""
    lost = run.status == "interrupted" and not mine(run) and queue().error(run.id)
    return "failed" if lost else run.status


def failure(run: Run) -> str:
    """Why a run failed: what it could write down itself, else what its thread said (a full disk, for example).

    Empty for a run that has not: this process's thread may have failed before another one went on with the run.
    """
    return (run.error or queue().error(run.id) or "") if status(run) == "failed" else ""


def _request(run: Run, request: Request) -> None:
    now = store.read(run.folder)
    if not now.active:
        raise StoreError(f"run {run.id} is {now.status}: nothing trains it now")
    store.request(now, request)


def _submit(writer: RunWriter, images: DataSet, one_step: bool = False) -> None:
    try:
        writer.wait()
    except BaseException:
        writer.close()
        raise
    try:
        queue().submit(
            writer.id,
            lambda control: _train(writer, images, control, one_step),
            told=lambda request: writer.announce(request.heard),
            dropped=lambda request: _drop(writer, request),
            asked=writer.requested,
        )
    except RuntimeError:  # the process is about to end
        _drop(writer, Request.LEAVE)
        raise


def _train(writer: RunWriter, images: DataSet, control: Control, one_step: bool = False) -> Iterator:
    writer.take_turn()
    enough = False

    def asked() -> Request | None:
        return control() or (Request.PAUSE if enough else None)

    try:
        with writer:
            from core import experiment  # here: the background thread waits for torch, the page does not

            for event in experiment.run(writer, images, asked):
                enough = enough or (one_step and isinstance(event, StepDone))
                yield event
    finally:
        memory.give_back()  # what this run's feature maps took; until the next one it belongs to other programs


def _drop(writer: RunWriter, request: Request) -> None:
    """Ends a run before its turn."""
    writer.take_turn()
    try:
        with suppress(StoreError):  # on a full disk it reads as interrupted
            writer.update(status=request.ended)
    finally:
        writer.close()
