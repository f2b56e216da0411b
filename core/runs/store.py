"""A run's folder, read and checked; its name, its removal, and what others ask of it. Written by core/runs/writing.py.

    <runs>/<run id>/
      run.json         settings, status, data fingerprint, machine, versions, result
      run.lock         held by the one process that writes; label.json, stop.request and pause.request need no lock
      waiting          names the lock of the process in whose queue it waits, see core/runs/locks.py
      label.json       the name that a user gave, whether the run is archived, its colour
      history.csv      a row an epoch           steps.csv        a row every few steps
      last.pt best.pt  see core/recorder.py     embeddings/      epoch_<n>.npz, float16, an epoch each
      between.pt       a checkpoint within an epoch, until its end;   testing: how far an evaluation is, while it lasts
      predictions.csv  mistakes.csv             projection.npz   untrained.npz   see core/maps.py

What is read is checked, see core/runs/checks.py. No torch at import: the pages read runs with this module.
"""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from core.analysis.embedded import Embedded
from core.dataset.images import Reading
from core.dataset.loader import DataError, DataSet, NoSet, load
from core.learning.states import OF_OTHERS, Request, Status
from core.runs import growing, trash
from core.runs.checks import check, checked_mistakes, checked_name
from core.runs.files import StoreError, destroy, not_read, not_written, replacing, why
from core.runs.locks import is_locked, locked
from core.runs.record import COLOURS, FORMAT, DataFacts, Label, MachineFacts, Result, RunRecord
from core.settings.config import RunConfig
from core.settings.presets import title

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_ELSEWHERE = "put them back, or name the folder that holds them now with --data"
TESTING = "testing"
_TESTING = re.compile(rb"([0-9]{1,9}) of ([0-9]{1,9})")


@dataclass(frozen=True)
class Run:
    """What run.json says about a run, with a status that is true now.

    `status` is queued, running, pausing, paused, stopping, stopped, done, failed (see `error`), interrupted (its
    process ended before the run did) or damaged (run.json cannot be read, see `error`; everything below it is empty).
    """

    id: str
    folder: Path
    status: Status
    config: RunConfig | None = None
    data: DataFacts | None = None
    machine: MachineFacts | None = None  # None until the training has begun
    created: datetime = datetime.min  # local time
    steps_per_epoch: int = 0
    seconds: float | None = None  # of training and evaluation, once it has ended
    result: Result | None = None  # None until an epoch was evaluated
    error: str = ""
    diverged: bool = False  # it failed because its weights ran away
    notes: tuple[str, ...] = ()  # what a reader of its numbers should know, e.g. resumed on another processor
    number: int = 0  # counts the runs of a folder in the order in which they were begun, whatever the clock says
    unchecked: bool = False  # brought in, and its numbers could not be measured here
    starts: int = 0  # of its training since anything was saved: more than one where its process died
    owner: str = ""  # the student whose run it is; empty: the teacher's
    name: str = ""  # given by a user
    archived: bool = False
    colour: int = 0  # its number among record.COLOURS, which never changes
    format: int = FORMAT

    @property
    def active(self) -> bool:
        """Whether some process trains it or will do so."""
        return self.status.active

    @property
    def title(self) -> str:
        """What to call it, and whether its numbers are only stated: shown wherever one of them is."""
        return self.called + " (imported, unchecked)" * self.unchecked

    @property
    def called(self) -> str:
        """The name that a user gave, else its preset and settings, else its id."""
        return self.name or (title(self.config) if self.config else self.id)


def list_runs(runs: Path) -> list[Run]:
    """All runs in the folder, newest first. Raises StoreError if the folder cannot be read."""
    try:
        folders = [folder for folder in runs.iterdir() if RUN_ID.fullmatch(folder.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{runs} cannot be read as the folder of runs ({error.strerror}); name another") from error
    found = [read(folder) for folder in folders if os.path.lexists(folder / "run.json")]
    found = [run for run in found if run.status != "damaged" or run.folder.exists()]  # not those deleted just now
    return sorted(found, key=lambda run: (run.number, run.created, run.id), reverse=True)


def find(runs: Path, name: str) -> Run:
    """The run with this id; `latest` is the newest one. Raises StoreError if there is none or it is damaged."""
    if name == "latest":
        found = [run for run in list_runs(runs) if run.status != "damaged"]
        if not found:
            raise StoreError(f"there are no runs in {runs}; begin with: python -m core train quick")
        return found[0]
    run = read(folder_of(runs, name))
    if run.status == "damaged":
        raise StoreError(run.error)
    return run


def folder_of(runs: Path, name: str) -> Path:
    """The folder of the run with this id, damaged or not. Raises StoreError if there is none."""
    if not RUN_ID.fullmatch(name) or not os.path.lexists(runs / name / "run.json"):
        near = get_close_matches(name, [folder.name for folder in runs.glob("[!.]*")], n=1) if runs.is_dir() else []
        meant = f"did you mean {near[0]}?" if near else "`python -m core runs` lists them"
        raise StoreError(f"there is no run {name!r} in {runs}; {meant}")
    return runs / name


def read(folder: Path) -> Run:
    """The run in `folder`. Never raises: what cannot be read has the status damaged and says why."""
    file = folder / "run.json"
    label, notes = label_of(folder)
    about = {"id": folder.name, "folder": folder, "name": label.name, "archived": label.archived}
    about["colour"] = zlib.crc32(folder.name.encode()) % COLOURS if label.colour is None else label.colour
    try:
        check(not folder.is_symlink(), "the run's folder is a link; copy the run itself here")
        record = RunRecord.read(file)
        status = record.status
        if status.active and not is_locked(folder):
            record = RunRecord.read(file)  # it may have ended just now
            status = Status.INTERRUPTED if record.status.active else record.status
        elif status.active:
            asked = [request for request in OF_OTHERS if (folder / f"{request}.request").exists()]
            status = asked[0].heard if asked else status
        shared = {each.name: getattr(record, each.name) for each in fields(Run) if each.name in RunRecord.model_fields}
        return Run(**about, **shared | {"status": status, "notes": (*record.notes, *notes)})
    except (OSError, ValueError, RecursionError) as error:
        said = why(error) if isinstance(error, OSError) else error
        reason = f"{file} cannot be read ({said or type(error).__name__}); the other files of the run may be whole"
        reason = " ".join(reason.encode(errors="replace").decode().split())
        return Run(**about, status=Status.DAMAGED, error=reason)


def label_of(folder: Path) -> tuple[Label, tuple[str, ...]]:
    """What label.json says, and what is wrong with it."""
    file = folder / "label.json"
    try:
        return (Label.read(file) if os.path.lexists(file) else Label()), ()
    except (OSError, ValueError, RecursionError):
        return Label(), (f"{file.name} cannot be read; name the run again to mend it.",)


def rename(run: Run, name: str) -> None:
    """Gives the run a name, whoever trains it. Raises ConfigError for a name that cannot be one, else StoreError."""
    label, _ = label_of(run.folder)
    save_label(run.folder, label.changed(name=checked_name(name)))


def archive(run: Run, archived: bool = True) -> None:
    """Puts the run away, or back. Nothing is deleted."""
    label, _ = label_of(run.folder)
    save_label(run.folder, label.changed(archived=archived))


def save_label(folder: Path, label: Label) -> None:
    """Writes label.json. Raises StoreError."""
    with replacing(folder / "label.json") as file:
        file.write(label.to_bytes())


def delete(folder: Path) -> None:
    """Deletes a run for good, damaged or not. Raises StoreError while it is trained, or if that is impossible."""
    _let_go(folder, destroy)


def throw_away(folder: Path) -> None:
    """Moves a run into the trash, damaged or not. Raises StoreError as `delete`."""
    _let_go(folder, trash.throw)


def _let_go(folder: Path, way: Callable[[Path], None]) -> None:
    if folder.is_symlink():
        raise StoreError(f"{folder} is a link; remove it by hand")
    lock = locked(folder)
    try:
        way(folder)
    finally:
        lock.release()


def request(run: Run, what: Request) -> None:
    """Asks the process that trains the run to stop or pause it; it looks before each step."""
    file = run.folder / f"{what}.request"
    try:
        file.touch()
    except OSError as error:
        raise not_written(file, error) from error


def data_of(run: Run, progress: Reading = lambda done, total: None) -> DataSet:
    """The data set that a run was trained on; `progress` as in data.load.

    Raises DataError if it cannot be used, StoreError if its folder now holds other images.
    """
    try:
        return as_learnt(run, load(Path(run.data.folder), progress))
    except NoSet as error:
        where = f"{run.data.folder}: {error.found}, where run {run.id} had its images"
        raise DataError(f"{where}; {_ELSEWHERE}") from error


def as_learnt(run: Run, images: DataSet) -> DataSet:
    """These images without those that the run left out. Raises StoreError if it was not trained on them."""
    check_same_data(run, images)
    return images.without(run.config.exclude)


def check_same_data(run: Run, images: DataSet) -> None:
    """Raises StoreError if these are not the images that the run was trained on."""
    if images.fingerprint != run.data.fingerprint:
        raise StoreError(
            f"run {run.id} was trained on other images than {images.folder} holds now "
            f"(fingerprint {run.data.fingerprint[:12]}, found {images.fingerprint[:12]}); {_ELSEWHERE}"
        )


def testing(run: Run) -> tuple[int, int] | None:
    """How many images have been tested, and of how many, while a run is evaluated; else None."""
    try:
        with open(run.folder / TESTING, "rb") as file:
            found = _TESTING.fullmatch(file.read(40))
    except OSError:
        return None
    return (int(found[1]), int(found[2])) if found else None


def history(run: Run) -> pd.DataFrame:
    """A row an evaluated epoch: the fields of EpochDone, its diagnostics, and `seconds` since the start."""
    numbers = ("epoch", "steps", "learning_rate", "train_loss", "train_accuracy", "test_accuracy", "seconds")
    with _file_named(run.folder / "history.csv") as file:
        return growing.read(file, numbers, may_lack=("test_loss",), text=("alarm", "alarm_kind"))


def steps(run: Run) -> pd.DataFrame:
    """A row every few steps: epoch, step, seconds since the start, mean loss and diagnostics since the row before."""
    with _file_named(run.folder / "steps.csv") as file:
        return growing.read(file, ("epoch", "step", "seconds", "loss"))


def mistakes(run: Run) -> pd.DataFrame:
    """A row a misclassified test image of the last epoch, see core/analysis/mistakes.py."""
    with _file_named(run.folder / "mistakes.csv") as file:
        return checked_mistakes(file, run.data.train, run.data.test, run.data.class_numbers)


@contextmanager
def _file_named(file: Path) -> Iterator[Path]:
    """Makes a StoreError that names the file of what is raised while it is read."""
    try:
        yield file
    except (OSError, ValueError) as error:
        raise not_read(file, error) from error


def embedded(run: Run, epoch: int) -> Embedded:
    """The stored embeddings and predictions after an epoch. Raises StoreError if they are missing or damaged."""
    file = embeddings_file(run, epoch)
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            train, test = arrays["train"].astype(np.float32), arrays["test"].astype(np.float32)
            found = Embedded(train, test, arrays["predicted"], arrays["scores"])
        right = train.ndim == test.ndim == 2 and train.shape[1] == test.shape[1]
        check(right and len(train) == run.data.train, "its embeddings are not those of the training images")
        shape = (run.data.test,)
        check(found.predicted.shape == found.scores.shape == test.shape[:1] == shape, "it lacks test images")
        check(found.predicted.dtype.kind in "iu" and found.scores.dtype.kind == "f", "its predictions are no numbers")
        classes = len(run.data.classes)
        check(((found.predicted >= 0) & (found.predicted < classes)).all(), "it predicts a class that is none")
        check(all(np.isfinite(array).all() for array in (train, test, found.scores)), "it holds infinite numbers")
        return found
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise not_read(file, error) from error


def embeddings_file(run: Run, epoch: int) -> Path:
    """Where the embeddings after an epoch are kept; those of epoch 0 are made when they are wanted, and only then."""
    return run.folder / (f"embeddings/epoch_{epoch:04d}.npz" if epoch else "untrained.npz")


def load_checkpoint(run: Run, name: str = "last.pt") -> dict:
    """What a checkpoint holds, read without running any code that may be in it. Raises StoreError."""
    import torch

    file = run.folder / name
    try:
        if not os.path.lexists(file):
            raise StoreError(f"run {run.id} has no weights yet ({file} is missing)")
        check(file.is_file(), "it is not a file")
        with zipfile.ZipFile(file) as archive:  # torch looks at neither checksum nor size
            check(archive.testzip() is None, "a checksum is wrong")
        state = torch.load(file, map_location="cpu", weights_only=True)
        check(isinstance(state, dict), "it is none of this lab")
        check(state.get("format") in (None, FORMAT), "written by another version of the lab")
        return state
    except StoreError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file, some with dangerous advice
        said = str(error) if type(error) is ValueError else type(error).__name__
        raise StoreError(
            f"{file} is damaged ({said}); train the run again. Its tables and embeddings can still be looked at."
        ) from error


def newest_checkpoint(run: Run) -> tuple[dict | None, list[str]]:
    """The checkpoint from which the run can go on, or None if it has none yet; and what a reader should know.

    That is `last.pt` or, within an epoch, `between.pt`: if one is damaged, the other will do, and only takes longer.
    Raises StoreError if there is none that can be used.
    """
    found, problems = [], []
    for name in ("last.pt", "between.pt"):
        if not os.path.lexists(run.folder / name):
            continue
        try:
            state = load_checkpoint(run, name)
            step = state["training"]["epoch"], state["training"]["step"]
            check(all(type(number) is int for number in step) and isinstance(state["progress"], dict), "")
            found.append((step, state))
        except StoreError as error:
            problems.append(str(error))
        except (ValueError, KeyError, TypeError):
            problems.append(f"{run.folder / name} is no checkpoint of a run; train the run again")
    if found:
        return max(found, key=lambda each: each[0])[1], problems
    if problems:
        raise StoreError(problems[0])
    if run.result:
        raise StoreError(f"{run.folder / 'last.pt'} is missing, so the run cannot go on; train it anew")
    return None, []
