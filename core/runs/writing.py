"""The one writer of a run's folder, and how a run begins and goes on. What the folder holds: core/runs/store.py.

Each file is replaced as a whole, so that a crash at any moment leaves it readable. No torch at import, as in store.py.
"""

import io
import os
import re
import secrets
import shutil
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.learning.states import OF_OTHERS, Request, Status
from core.runs import locks, numbering, store
from core.runs.checks import checked_name
from core.runs.files import StoreError, not_written, replacing
from core.runs.record import COLOURS, FORMAT, LONGEST_TEXT, DataFacts, Label, RunRecord, ended_early
from core.runs.step_table import StepTable
from core.runs.store import Run
from core.settings.config import RunConfig
from core.settings.rules import check_data

TESTING_SECONDS = 0.5  # between two words on how far an evaluation is


class RunWriter:
    """The one writer of a run's folder: holds its lock until closed.

    As a context manager it marks the run failed, with the reason, when an exception passes through.
    """

    def __init__(self, folder: Path, queue: str = ""):
        self.folder = folder
        self.id = folder.name
        self._changing = threading.Lock()
        self.steps = StepTable(folder)
        self._next_word = 0.0  # on an evaluation
        self._lock = locks.locked(folder, queue)
        try:
            file = folder / "run.json"
            self.record: RunRecord | None = RunRecord.read(file) if file.exists() else None
        except (OSError, ValueError, RecursionError) as error:
            self._lock.release()
            raise StoreError(f"{folder / 'run.json'} cannot be read ({error})") from error
        self._forget_requests()
        self.remove(store.TESTING)
        self._remove_halves()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if isinstance(error, Exception) and self.record:  # a folder that was not begun has nothing to mark
                with suppress(StoreError):  # on a full disk the first error says more, and reaches the caller
                    self.update(status=Status.FAILED, error=_as_text(str(error) or kind.__name__), starts=0)
        finally:
            self.close()

    @property
    def holds(self) -> bool:
        """Whether it may write now: not while it waits, nor once it is closed."""
        return self._lock.is_locked

    def wait(self) -> None:
        """Holds no file open until `take_turn`; the run stays this process's. Raises StoreError."""
        self.steps.close()
        locks.wait(self._lock, self.folder)

    def take_turn(self) -> None:
        """Holds the run again after `wait`. Raises StoreError if another process has it now."""
        self._lock = locks.take_turn(self.folder)

    def close(self) -> None:
        """Releases the run, unless it waits. What is still marked as running then reads as interrupted."""
        if not self.holds:
            return
        with self._changing:
            self.steps.close()
            self._forget_requests()
            self.remove(store.TESTING)
            self._lock.release()

    def _remove_halves(self) -> None:
        """Removes what a killed writer had begun to write; the files that need no lock are others' business."""
        for file in [*self.folder.glob(".*.tmp"), *self.folder.glob("embeddings/.*.tmp")]:
            if not file.name.startswith((".label.json.", ".projection.npz.", ".untrained.npz.")):
                with suppress(OSError):
                    file.unlink()

    def _forget_requests(self) -> None:
        for request in OF_OTHERS:
            self.remove(f"{request}.request")

    def update(self, **changes) -> None:
        """Changes entries of run.json. Any thread may call it. Raises StoreError for what cannot be an entry."""
        with self._changing:
            try:
                record = self.record.changed(**changes)
            except ValueError as error:
                raise StoreError(f"{self.folder / 'run.json'} cannot be written ({error})") from error
            self._write(record)

    def begin(self, record: RunRecord) -> None:
        """Writes the first run.json."""
        with self._changing:
            self._write(record)

    def announce(self, status: Status) -> None:
        """Says what is about to happen, unless the run has ended meanwhile or the disk is full. Any thread may call."""
        with self._changing, suppress(StoreError):
            if self.holds and self.record.status.active and self.record.status != status:
                self._write(self.record.changed(status=status))

    def _write(self, record: RunRecord) -> None:
        with replacing(self.folder / "run.json") as file:
            file.write(record.to_bytes())
        self.record = record

    def requested(self) -> Request | None:
        """What another process asks of the run."""
        return next((each for each in OF_OTHERS if os.path.exists(self.folder / f"{each}.request")), None)

    def say_testing(self, done: int, total: int) -> None:
        """Says how many images of how many an evaluation has tested, from time to time; `save_embedded` ends it."""
        if time.monotonic() >= self._next_word:
            self._next_word = time.monotonic() + TESTING_SECONDS
            with suppress(OSError):  # on a full disk what is saved next says so
                (self.folder / store.TESTING).write_text(f"{done} of {total}")

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Writes a CSV file of the run."""
        with replacing(self.folder / name) as file:
            file.write(table.to_csv(index=False).encode())

    def save_embedded(self, epoch: int, embedded: Embedded) -> None:
        """Keeps what the network made of all images after an epoch; the embeddings as float16."""
        folder = self.folder / "embeddings"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise not_written(folder, error) from error
        save_embedded(folder / f"epoch_{epoch:04d}.npz", embedded)
        self.remove(store.TESTING)

    def save_checkpoint(self, name: str, state: dict) -> None:
        """Writes `state` (tensors and plain values) so that torch.load(weights_only=True) reads it."""
        import torch

        content = io.BytesIO()  # written to the file itself, torch would hide the reason of a full disk
        torch.save(state, content)
        with replacing(self.folder / name) as file:
            file.write(content.getbuffer())

    def remove(self, name: str) -> None:
        """Removes a file of the run that is not needed any more."""
        with suppress(OSError):
            (self.folder / name).unlink()


def save_embedded(file: Path, embedded: Embedded) -> None:
    """Keeps what a network made of all images, as store.embedded reads it: embeddings as float16. Raises StoreError."""
    train, test = embedded.train.astype(np.float16), embedded.test.astype(np.float16)
    with replacing(file) as stream:
        np.savez(stream, train=train, test=test, predicted=embedded.predicted, scores=embedded.scores)


def create(config: RunConfig, data: DataSet, runs: Path, name: str = "", owner: str = "") -> RunWriter:
    """A new run of `owner`, queued, with its folder and its writer.

    Raises ConfigError if the settings do not fit the data set or the name cannot be one, StoreError if the folder
    cannot be written.
    """
    data = data.without(config.exclude)
    check_data(config, data.class_sizes())
    name = name and checked_name(name)
    now = datetime.now()
    preset = re.sub(r"[^A-Za-z0-9_-]", "", config.preset)[:40]  # that of an uploaded run may be anything
    folder = _new_folder(runs, f"{now:%Y%m%d-%H%M%S}-{preset}")
    try:
        store.save_label(folder, Label(name=name, colour=_rare_colour(runs)))
        return _begun(folder, config, data, now, owner, numbering.next_number(runs))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _rare_colour(runs: Path) -> int:
    """The colour that the fewest of the newest runs have, so that those of one lesson can be told apart."""
    newest = sorted((file.parent.name for file in runs.glob("[!.]*/label.json")), reverse=True)[: 2 * COLOURS]
    taken = [store.label_of(runs / name)[0].colour for name in newest]
    return min(range(COLOURS), key=taken.count)


def _new_folder(runs: Path, name: str) -> Path:
    """A folder of this name and four letters more; of hundreds that begin in one second two may draw the same."""
    while True:
        folder = runs / f"{name}-{secrets.token_hex(2)}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError as error:
            if not folder.is_dir():  # the folder of runs is a file
                raise StoreError(
                    f"{folder} cannot be made ({error.strerror}); check the folder's permissions"
                ) from error
        except OSError as error:
            raise StoreError(f"{folder} cannot be made ({error.strerror}); check the folder's permissions") from error


def _begun(folder: Path, config: RunConfig, data: DataSet, now: datetime, owner: str, number: int) -> RunWriter:
    """The writer of a new folder, with its first run.json."""
    writer = RunWriter(folder)
    try:
        record = RunRecord.checked(
            dict(
                format=FORMAT,
                run=writer.id,
                status=Status.QUEUED,
                created=now,
                number=number,
                config=config,
                data=DataFacts.of(data),
                owner=owner,
            )
        )
        writer.begin(record)
    except ValueError as error:
        writer.close()
        raise StoreError(f"{folder / 'run.json'} cannot be written ({error})") from error
    except BaseException:
        writer.close()
        raise
    return writer


def _as_text(said: str) -> str:
    """A reason as run.json can hold it."""
    return said.encode(errors="replace").decode().replace("\0", "?")[:LONGEST_TEXT]


def reopen(run: Run, images: DataSet, add_epochs: int = 0, queue: str = "") -> RunWriter:
    """The writer of a run that has ended before its last epoch, or that shall get some more; it is queued again.

    `queue`: as in locks.locked.
    Raises StoreError if it cannot go on, with what to do, and ConfigError if there would be too many epochs.
    """
    if run.config is None:
        raise StoreError(run.error)
    writer = RunWriter(run.folder, queue)
    try:
        now = writer.record  # now that nobody else can change it
        if ended_early(now):
            raise StoreError(
                f"run {run.id} ended early, as its patience says: its validation accuracy had not become better; "
                "train it anew with more patience"
            )
        if now.status == Status.DONE and not add_epochs:
            raise StoreError(f"run {run.id} is finished; to train it for longer, add epochs (--add-epochs N)")
        if now.status == Status.FAILED and now.diverged:
            raise StoreError(
                f"run {run.id} failed because its weights ran away, and would do so again; "
                "begin anew with a lower learning rate"
            )
        store.check_same_data(run, images)
        config = run.config.changed(epochs=run.config.epochs + add_epochs)
        data = run.data.changed(folder=str(images.folder))  # the same images may have moved
        writer.update(status=Status.QUEUED, error="", config=config, data=data)
    except BaseException:
        writer.close()
        raise
    return writer
