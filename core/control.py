"""Control of runs from a page: begin, resume, pause, stop, and what a run is doing now.

A run is trained by this process's queue, or by another process: another dashboard, or a command line. That one is asked
through a small file in the run's folder. Renaming, archiving and deleting need neither: see core/runs/store.py.

Here everything is done that changes something for others, by an `actor`, who is asked whether they may: NotAllowed says
why not. The command line acts as the teacher.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from core import places, race, rate_finding, turns
from core import replay as again
from core.classroom import codes, limits
from core.classroom.limits import Limits
from core.classroom.roles import TEACHER, Actor, Role
from core.dataset import loader
from core.dataset.loader import DataError, DataSet
from core.exchange import deleted, downloads, packed_runs, packed_sets
from core.exchange.deleted import Deleted
from core.learning import footprint
from core.learning.states import Request, Status
from core.runs import notes, store, trash, writing
from core.runs.files import StoreError
from core.runs.queue import AtWork, queue
from core.runs.store import Run
from core.settings.config import RunConfig
from core.settings.setting import ConfigError

DEADLY = 2  # starts in a row that ended with the process, after which a run is left alone
_one_after_the_other = threading.Lock()


def begin(config: RunConfig, images: DataSet, runs: Path, name: str = "", actor: Actor = TEACHER) -> str:
    """Puts a new run into the queue and returns its id.

    Raises StoreError, or ConfigError also for one that needs more memory than there is.
    """
    actor.check_takes_part("begin a run")
    _check_settings(config, len(images.classes), runs, actor)
    footprint.check(config, len(images.classes))
    with _admitted(actor, runs):
        writer = writing.create(config, images, runs, name, actor.name)
        turns.submit(writer, images)
    return writer.id


def limits_of(who: Actor, runs: Path) -> Limits | None:
    """What somebody may take of the lab that shares the folder `runs`; None for no limits. Raises StoreError."""
    return codes.read(runs).limits if who.role == Role.STUDENT else None


def _check_settings(config: RunConfig, class_count: int, runs: Path, who: Actor) -> None:
    if allowed := limits_of(who, runs):
        limits.check_settings(allowed, config, class_count)


@contextmanager
def _admitted(who: Actor, runs: Path, more: int = 1) -> Iterator[None]:
    """Within it so many runs may be put into the queue. Raises LimitReached."""
    allowed = limits_of(who, runs)
    if allowed is None:
        yield
        return
    with _one_after_the_other:  # or clicks at the same moment would all find the last place free
        limits.check_queue(allowed, who.name, more)
        limits.check_disk(allowed, runs, who.name)
        yield


def resume(run: Run, images: DataSet, add_epochs: int = 0, actor: Actor = TEACHER) -> None:
    """Puts a run that has ended back into the queue; raises ConfigError or StoreError if it cannot go on.

    `images` are those it was trained on. A run that is done needs `add_epochs`. One of a race goes on in turns.
    """
    actor.check_may_change(run.owner, "go on with this run")
    if run.config and actor.role == Role.STUDENT:
        longer = run.config.changed(epochs=run.config.epochs + add_epochs)
        _check_settings(longer, len(run.data.classes), run.folder.parent, actor)
    with _admitted(actor, run.folder.parent):
        turns.submit(writing.reopen(run, images, add_epochs), images, turns.in_turns if race.raced(run) else None)


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
            return store.as_learnt(run, images)
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


def begin_race(
    preset: str,
    vary: Mapping[str, Sequence],
    seeds: int,
    images: DataSet,
    runs: Path,
    actor: Actor = TEACHER,
    **changes,
) -> str:
    """Puts the runs of a new race into the queue, where they take turns, and returns the race's id.

    Raises ConfigError or StoreError.
    """
    actor.check_takes_part("begin a race")
    configs = race.lanes(preset, vary, seeds, images, **changes)
    for config in configs:
        _check_settings(config, len(images.classes), runs, actor)
    with _admitted(actor, runs, len(configs)):
        begun, writers = race.create(preset, list(vary), configs, images, runs, actor.name)
        turns.submit_all(writers, images)
    return begun.race


def resume_race(held: race.Race, images: DataSet, runs: Path, actor: Actor = TEACHER) -> None:
    """Puts those runs of a race that can go on back into the queue. Raises StoreError if there is none."""
    for run in race.runs_of(held, runs):
        actor.check_may_change(run.owner, "go on with this race")
    with _admitted(actor, runs, sum(not run.active and run.status != Status.DONE for run in race.runs_of(held, runs))):
        turns.submit_all(race.reopen(held, images, runs), images)


def replay(run: Run, images: DataSet, actor: Actor = TEACHER) -> None:
    """Trains a run again in the background and compares, see core/replay.py. Raises StoreError."""
    actor.check_takes_part("replay a run")
    with _admitted(actor, run.folder.parent):
        again.begin(run, images, actor.name)


def find_rate(config: RunConfig, images: DataSet, actor: Actor = TEACHER) -> None:
    """Tests learning rates in the background, see core/rate_finding.py. Raises ConfigError or StoreError."""
    actor.check_takes_part("test learning rates")
    with _admitted(actor, places.runs_folder()):
        rate_finding.begin(config, images, actor.name)


def end_rate_test(config: RunConfig, images: DataSet, actor: Actor = TEACHER) -> None:
    """Ends a test of learning rates."""
    if about := rate_finding.told(config, images):
        actor.check_may_change(about.owner, "end this test")
        rate_finding.end(config, images)


def pause(run: Run, actor: Actor = TEACHER) -> None:
    """Saves the run at its next step and lets go of it, or takes it out of the queue; `resume` goes on from there."""
    actor.check_may_change(run.owner, "pause this run")
    if not queue().pause(run.id):
        _request(run, Request.PAUSE)


def one_step(run: Run, images: DataSet, actor: Actor = TEACHER) -> None:
    """Trains a paused run for a single batch and pauses it again; raises as `resume` does.

    After the last batch of an epoch the step comes with the epoch's evaluation, and is the first of the next epoch.
    """
    actor.check_may_change(run.owner, "go on with this run")
    with _admitted(actor, run.folder.parent):
        turns.submit(writing.reopen(run, images), images, turns.one_step)


def stop(run: Run, actor: Actor = TEACHER) -> None:
    """Ends the run at its next step and evaluates the model so far, or takes it out of the queue."""
    actor.check_may_change(run.owner, "stop this run")
    if not queue().stop(run.id):
        _request(run, Request.STOP)


def pause_everybody(runs: Path, actor: Actor = TEACHER) -> int:
    """Pauses every run that is trained or waits; says how many. Raises StoreError."""
    actor.check_teacher("pause everybody")
    active = [run for run in store.list_runs(runs) if run.active]
    for run in sorted(active, key=lambda run: run.status != Status.QUEUED):  # or the next one would begin meanwhile
        with suppress(StoreError):  # it has ended just now
            pause(run)
    return len(active)


def free_name(runs: Path, name: str, actor: Actor = TEACHER) -> None:
    """Lets a student's name be taken anew, in another browser. Raises StoreError."""
    actor.check_teacher("free a name")
    codes.free_name(runs, name)


def rename(run: Run, name: str, actor: Actor = TEACHER) -> None:
    """Gives a run a name. Raises ConfigError for one that is too long or not visible, else StoreError."""
    actor.check_may_change(run.owner, "rename this run")
    store.rename(run, name)


def archive(runs: list[Run], archived: bool, actor: Actor = TEACHER) -> None:
    """Puts runs away, or takes them back; all of them or none. Raises StoreError for one that has been begun."""
    for run in runs:
        actor.check_may_change(run.owner, "archive this run")
    if archived and any(store.read(run.folder).active for run in runs):
        raise StoreError("A run that is being trained cannot be archived; stop it first.")
    for run in runs:
        store.archive(run, archived)


def delete(runs: list[Run], actor: Actor = TEACHER) -> None:
    """Moves runs into the trash. Raises StoreError at the first one that is being trained."""
    for run in runs:
        actor.check_may_change(run.owner, "delete this run")
    for run in runs:
        store.throw_away(run.folder)


def delete_data(folder: Path, runs: Path, actor: Actor = TEACHER) -> None:
    """Moves an uploaded data set into the trash. Raises StoreError while a run of the folder `runs` needs it."""
    actor.check_may_change(packed_sets.owner_of(folder), "delete this data set")
    deleted.throw_set(folder, runs)


def bring_back(one: Deleted, actor: Actor = TEACHER) -> None:
    """Takes a run or a data set out of the trash. Raises StoreError."""
    actor.check_may_change(one.owner, f"bring back this {one.kind}")
    trash.bring_back(one.thrown)


def empty_trash(these: list[Deleted], actor: Actor = TEACHER) -> None:
    """Deletes some of what is in the trash for good; all of it or nothing. Raises StoreError."""
    for one in these:
        actor.check_may_change(one.owner, f"delete this {one.kind}")
    for one in these:
        trash.empty(one.thrown)


def download(run: Run, kind: str, actor: Actor = TEACHER) -> bytes:
    """A file of a run, see core/exchange/downloads.py. Raises UploadError or StoreError."""
    if downloads.DOWNLOADS[kind].weights:
        actor.check_may_change(run.owner, "take this run with its weights")
    return downloads.content(run, kind)


def bring_in_run(file: BinaryIO, runs: Path, sets: Iterable[Path], actor: Actor = TEACHER) -> str:
    """Takes in an exported run and returns its id. Raises UploadError or StoreError."""
    actor.check_takes_part("bring in a run")
    if allowed := limits_of(actor, runs):
        limits.check_upload(allowed, _size(file))
        limits.check_disk(allowed, runs, actor.name)
    return packed_runs.read_run(file, runs, sets, actor.name)


def bring_in_data(file: BinaryIO, name: str, actor: Actor = TEACHER) -> Path:
    """Takes in a zip file of images under a name like `name`; returns its new folder. Raises UploadError."""
    actor.check_takes_part("bring in a data set")
    if allowed := limits_of(actor, places.runs_folder()):
        limits.check_upload(allowed, _size(file))
        limits.check_sets(allowed, len(packed_sets.sets_of(actor.name)))
        limits.check_free(allowed, places.uploads_folder())
    folder = packed_sets.read_data_set(file, packed_sets.new_folder(name)).folder
    packed_sets.give(folder, actor.name)
    return folder


def _size(file: BinaryIO) -> int:
    """Bytes of an open file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def note(run: Run, image: str, note: notes.Note, actor: Actor = TEACHER) -> None:
    """Keeps what somebody notes about an image. Raises StoreError."""
    old = notes.read(run).images.get(image)
    actor.check_may_change(old.owner if old else actor.name, "change this note")
    notes.save(run, image, replace(note, owner=old.owner if old else actor.name))


def answer(run: Run, question: str, answer: str, actor: Actor = TEACHER) -> None:
    """Keeps the answer to a question about a run. Raises StoreError."""
    actor.check_may_change(run.owner, "answer for this run")
    notes.save_answer(run, question, answer)


def active_runs(who: Actor) -> int:
    """How many of somebody's runs wait or are trained here."""
    return queue().count(who.name)


def at_work() -> AtWork:
    """Whose runs this process trains, and whose wait."""
    return queue().at_work()


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
