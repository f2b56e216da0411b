"""A run's folder: written so that a crash at any moment leaves it readable, read back and checked.

    <runs>/<run id>/
      run.json         settings, status, data fingerprint, machine, versions, result
      run.lock         held by the one process that writes
      history.csv      a row an epoch           steps.csv        a row every few steps
      last.pt best.pt  see core/experiment.py   embeddings/      epoch_<n>.npz, float16, an epoch each
      predictions.csv  mistakes.csv             projection.npz   the last embedding drawn by UMAP

No torch at import: the pages read runs with this module.
"""

import csv
import io
import json
import os
import re
import secrets
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np
import pandas as pd

from core.config import ConfigError, RunConfig, check_data, from_dict, to_dict
from core.data import DataSet, load
from core.events import EpochDone, StepDone

FORMAT = 1  # of run.json; a higher number was written by a newer version
ROWS_AN_EPOCH = 100  # at most, in steps.csv
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_DAMAGED_ARRAYS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)  # what np.load raises
_one_look_at_a_time = threading.Lock()  # or two readers of one run would take each other for its writer


class StoreError(RuntimeError):
    """A run's folder that cannot be read or written; the message names the file and says what to do."""


@dataclass(frozen=True)
class Run:
    """What run.json says about a run, with a status that is true now.

    `status` is queued, running, done, stopped, failed (see `error`), interrupted (its process ended without a word)
    or damaged (run.json cannot be read, see `error`; everything below it is empty).
    """

    id: str
    folder: Path
    status: str
    config: RunConfig | None = None
    data: dict = field(default_factory=dict)  # see `create`
    machine: dict = field(default_factory=dict)  # device, precision, threads, and the versions
    created: datetime = datetime.min  # local time
    steps_per_epoch: int = 0
    seconds: float | None = None  # of training and evaluation, once it has ended
    # epochs begun, steps of the last one, train_accuracy, test_accuracy, best_test_accuracy, mistakes
    result: dict = field(default_factory=dict)
    error: str = ""

    @property
    def active(self) -> bool:
        return self.status in ("queued", "running")


def list_runs(runs: Path) -> list[Run]:
    """All runs in the folder, newest first."""
    if not runs.is_dir():
        return []
    folders = [folder for folder in runs.iterdir() if (folder / "run.json").exists()]
    return sorted((read(folder) for folder in folders), key=lambda run: (run.created, run.id), reverse=True)


def find(runs: Path, name: str) -> Run:
    """The run with this id; `latest` is the newest one. Raises StoreError if there is none or it is damaged."""
    if name == "latest":
        found = [run for run in list_runs(runs) if run.status != "damaged"]
        if not found:
            raise StoreError(f"there are no runs in {runs}; begin with: python -m core train quick")
        return found[0]
    if not _RUN_ID.fullmatch(name) or not (runs / name / "run.json").exists():
        raise StoreError(f"there is no run {name!r} in {runs}; `python -m core runs` lists them")
    run = read(runs / name)
    if run.status == "damaged":
        raise StoreError(run.error)
    return run


def read(folder: Path) -> Run:
    """The run in `folder`. Never raises: what cannot be read has the status damaged and says why."""
    file = folder / "run.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        if facts["format"] > FORMAT:
            raise ValueError(f"written by a newer version of the lab (format {facts['format']})")
        if facts["status"] in ("queued", "running") and not _is_locked(folder):
            facts = json.loads(file.read_text(encoding="utf-8"))  # it may have ended just now
            if facts["status"] in ("queued", "running"):
                facts["status"] = "interrupted"
        return Run(
            id=folder.name,
            folder=folder,
            status=facts["status"],
            config=from_dict(facts["config"]),
            data=facts["data"],
            machine=facts["machine"],
            created=datetime.fromisoformat(facts["created"]),
            steps_per_epoch=facts["steps_per_epoch"],
            seconds=facts["seconds"],
            result=facts["result"],
            error=facts["error"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        reason = f"{file} cannot be read ({type(error).__name__}: {error}); the other files of the run may be whole"
        return Run(id=folder.name, folder=folder, status="damaged", error=reason)


def data_of(run: Run) -> DataSet:
    """The data set that a run was trained on. Raises StoreError if its folder now holds other images."""
    found = load(Path(run.data["folder"]))
    if found.fingerprint != run.data["fingerprint"]:
        raise StoreError(
            f"run {run.id} was trained on other images than {run.data['folder']} holds now "
            f"(fingerprint {run.data['fingerprint'][:12]}, found {found.fingerprint[:12]}); put the data set back"
        )
    return found


def history(run: Run) -> pd.DataFrame:
    """A row an evaluated epoch: the fields of EpochDone, its diagnostics, and `seconds` since the start."""
    return _read_table(run.folder / "history.csv")


def steps(run: Run) -> pd.DataFrame:
    """A row every few steps: epoch, step, seconds since the start, mean loss and diagnostics since the row before."""
    return _read_table(run.folder / "steps.csv")


def mistakes(run: Run) -> pd.DataFrame:
    """A row a misclassified test image of the last epoch, see core/mistakes.py."""
    return _read_table(run.folder / "mistakes.csv", text=("id", "nearest_true_id", "nearest_predicted_id"))


def _read_table(file: Path, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """The CSV as far as it is complete (a line may be half written just now); empty if there is none."""
    try:
        whole_lines = file.read_text(encoding="utf-8").rpartition("\n")[0]
        if not whole_lines:
            return pd.DataFrame()
        keep = dict.fromkeys(text, str)  # an id such as 0012 or NA stays text
        return pd.read_csv(io.StringIO(whole_lines), dtype=keep, na_values=[""], keep_default_na=False)
    except FileNotFoundError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}") from error


class Embedded(NamedTuple):
    """What a network made of all images after one epoch: N training and Q test images."""

    train: np.ndarray  # (N, D) float32 embeddings
    test: np.ndarray  # (Q, D) float32
    predicted: np.ndarray  # (Q,) labels by the run's own rule
    scores: np.ndarray  # (Q,) fractions


def embedded(run: Run, epoch: int) -> Embedded:
    """The stored embeddings and predictions after an epoch. Raises StoreError if they are missing or damaged."""
    file = run.folder / "embeddings" / f"epoch_{epoch:04d}.npz"
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            train, test = arrays["train"].astype(np.float32), arrays["test"].astype(np.float32)
            return Embedded(train, test, arrays["predicted"], arrays["scores"])
    except _DAMAGED_ARRAYS as error:
        raise StoreError(f"{file} cannot be read: {error}") from error


def projection(run: Run, epoch: int) -> np.ndarray | None:
    """The stored UMAP frame (N + Q, 2) of this epoch, or None."""
    try:
        with open(run.folder / "projection.npz", "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return arrays["umap"] if int(arrays["epoch"]) == epoch else None
    except _DAMAGED_ARRAYS:
        return None  # it can be computed again at any time


def save_projection(run: Run, epoch: int, frame: np.ndarray) -> None:
    """Keeps a UMAP frame (N + Q, 2) with the run."""
    with replacing(run.folder / "projection.npz") as file:
        np.savez(file, umap=frame, epoch=epoch)


def load_checkpoint(run: Run) -> dict:
    """What `last.pt` holds, read without running any code that may be in it."""
    import torch

    file = run.folder / "last.pt"
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StoreError(f"run {run.id} has no weights yet ({file} is missing)") from None
    except Exception as error:  # torch raises many kinds for a damaged file, some with dangerous advice
        raise StoreError(f"{file} is damaged ({type(error).__name__}); train the run again") from error


@contextmanager
def replacing(file: Path) -> Iterator[io.BufferedIOBase]:
    """A binary file to write into that takes the place of `file` only when it is complete and on the disk.

    Raises StoreError, with the old file unharmed, if that is impossible.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
        _sync_folder(file.parent)
    except OSError as error:
        raise StoreError(
            f"{file} cannot be written ({error.strerror or error}); free some space or check the permissions. "
            "What was saved before is unharmed."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut; Windows has no such call."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _is_locked(folder: Path) -> bool:
    """Whether some process, this one included, writes to the run now."""
    try:
        with _one_look_at_a_time, filelock.FileLock(folder / "run.lock", timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a folder that cannot be written to has no writer
        return False


class RunWriter:
    """The one writer of a run's folder: holds its lock until closed.

    As a context manager it marks the run failed, with the reason, when an exception passes through.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.id = folder.name
        self._lock = filelock.FileLock(folder / "run.lock", thread_local=False)  # made here, released by the trainer
        try:
            self._lock.acquire(timeout=2)  # readers hold it for an instant
        except filelock.Timeout:
            raise StoreError(f"run {self.id} is being written by another process") from None
        file = folder / "run.json"
        self._facts: dict = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self._history: list[dict] = []
        self._steps: io.TextIOBase | None = None
        self._since_last_row: list[StepDone] = []

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if isinstance(error, Exception):
                self.update(status="failed", error=str(error) or type(error).__name__)
        finally:
            self.close()

    def close(self) -> None:
        """Releases the run. What is still marked as running then reads as interrupted."""
        if self._steps:
            self._steps.close()
        self._lock.release()

    def update(self, **facts) -> None:
        """Changes entries of run.json."""
        self._facts |= facts
        with replacing(self.folder / "run.json") as file:
            file.write(json.dumps(self._facts, indent=1, ensure_ascii=False).encode())

    def add_step(self, event: StepDone, seconds: float) -> None:
        """Adds a row to steps.csv for every so many steps and for the last of an epoch."""
        self._since_last_row.append(event)
        if event.step % -(-event.steps // ROWS_AN_EPOCH) and event.step < event.steps:
            return
        events, self._since_last_row = self._since_last_row, []
        row = {"epoch": event.epoch, "step": event.step, "seconds": round(seconds, 3)}
        row["loss"] = sum(each.loss for each in events) / len(events)
        for name in event.diagnostics:
            row[name] = sum(each.diagnostics[name] for each in events) / len(events)
        try:
            if self._steps is None:
                self._steps = open(self.folder / "steps.csv", "w", newline="", encoding="utf-8")  # noqa: SIM115
                csv.writer(self._steps).writerow(row)
            csv.writer(self._steps).writerow(row.values())
            self._steps.flush()
        except OSError as error:
            raise StoreError(f"{self.folder / 'steps.csv'} cannot be written ({error.strerror})") from error

    def add_epoch(self, event: EpochDone, seconds: float) -> None:
        """Adds a row to history.csv."""
        row = asdict(event)
        row |= row.pop("diagnostics") | {"seconds": round(seconds, 3)}
        self._history.append(row)
        self.save_table("history.csv", pd.DataFrame(self._history))
        self._since_last_row = []

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Writes a CSV file of the run."""
        with replacing(self.folder / name) as file:
            file.write(table.to_csv(index=False).encode())

    def save_embedded(self, epoch: int, embedded: Embedded) -> None:
        """Keeps what the network made of all images after an epoch; the embeddings as float16."""
        (self.folder / "embeddings").mkdir(exist_ok=True)
        train, test = embedded.train.astype(np.float16), embedded.test.astype(np.float16)
        with replacing(self.folder / "embeddings" / f"epoch_{epoch:04d}.npz") as file:
            np.savez(file, train=train, test=test, predicted=embedded.predicted, scores=embedded.scores)

    def save_checkpoint(self, name: str, state: dict) -> None:
        """Writes `state` (tensors and plain values) so that torch.load(weights_only=True) reads it."""
        import torch

        with replacing(self.folder / name) as file:
            torch.save(state, file)


def create(config: RunConfig, data: DataSet, runs: Path) -> RunWriter:
    """A new run, queued, with its folder and its writer.

    Raises ConfigError if the settings do not fit the data set, StoreError if the folder cannot be written.
    """
    check_data(config, np.bincount(data.train.labels).tolist())
    now = datetime.now()
    folder = runs / f"{now:%Y%m%d-%H%M%S}-{config.preset}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(parents=True)
        writer = RunWriter(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({error.strerror}); check the folder's permissions") from error
    writer.update(
        format=FORMAT,
        run=writer.id,
        status="queued",
        created=now.isoformat(timespec="milliseconds"),
        config=to_dict(config),
        data={
            "folder": str(data.folder),
            "source": data.source,
            "description": data.description,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "class_numbers": list(data.class_numbers),
            "train": len(data.train.ids),
            "test": len(data.test.ids),
        },
        machine={},
        steps_per_epoch=0,
        seconds=None,
        result={},
        error="",
    )
    return writer
