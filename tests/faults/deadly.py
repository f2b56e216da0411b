"""Trainings that die: child processes that are killed at a file operation of theirs, and what they leave.

A child is forked from here where one thread computes (this process holds torch, but never computes itself), and begun
anew for the presets: `python -m tests.faults.deadly` is such a child.
"""

import builtins
import hashlib
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch._dynamo  # the first optimiser of a process loads it: seconds in every child otherwise

from core import experiment, recorder
from core.dataset.loader import DataSet, load
from core.runs import store, writing
from core.runs.files import StoreError
from core.settings.config import RunConfig

Row = tuple[str, str]  # a fault yields (what happened, what became of it), and raises where the run was hurt
CLOCK = {"seconds", "run"}  # entries of a checkpoint that differ between two equal runs


# What a run left


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of what each file of a finished run says, less the clock and the run's id."""
    found = {}
    for name in ("last.pt", "best.pt"):
        found[name] = _hash(torch.load(folder / name, weights_only=True))
    for name in ("history.csv", "steps.csv"):
        found[name] = _hash(pd.read_csv(folder / name, dtype=str).drop(columns="seconds").to_csv())
    for name in ("predictions.csv", "mistakes.csv"):
        found[name] = _hash((folder / name).read_text())
    for file in sorted((folder / "embeddings").iterdir()):
        with np.load(file) as arrays:
            found[file.name] = _hash({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    facts = json.loads((folder / "run.json").read_text())
    found["run.json"] = _hash({name: facts[name] for name in ("status", "result", "error", "notes")})
    return found


def _hash(value) -> str:
    sha = hashlib.sha256()

    def add(value) -> None:
        if isinstance(value, torch.Tensor):
            sha.update(f"{value.dtype} {tuple(value.shape)}".encode())
            sha.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key in sorted(value.keys() - CLOCK, key=str):
                sha.update(f"{key!r}:".encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            sha.update(b"[")
            for each in value:
                add(each)
        else:
            sha.update(repr(value).encode())
        sha.update(b";")

    add(value)
    return sha.hexdigest()


def compare(whole: "Whole", folder: Path) -> None:
    """Raises AssertionError where a run did not leave what the run that nothing happened to left."""
    found = digest(folder)
    different = [name for name in whole.digest.keys() | found.keys() if whole.digest.get(name) != found.get(name)]
    assert not different, f"{folder}: {', '.join(sorted(different))} differ"
    assert {file.name for file in folder.iterdir()} == {file.name for file in whole.folder.iterdir()}


# A process that dies


class Deadly:
    """Counts the file operations of this process and kills it at one of them."""

    def __init__(self, at: int | None):
        self.at = at
        self.count = 0
        builtins.open = self._open
        for name in ("replace", "fsync", "unlink", "rename"):
            setattr(os, name, self._before(getattr(os, name)))

    def step(self) -> bool:
        """Whether the process shall die now."""
        self.count += 1
        return self.count == self.at

    def _before(self, function: Callable) -> Callable:
        def counted(*arguments, **options):
            if self.step():
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return counted

    def _open(self, file, mode="r", buffering=-1, **options):
        if mode not in ("wb", "ab") or not isinstance(file, Path):
            return io.open(file, mode, buffering, **options)  # noqa: UP020
        raw = _DeadlyFile(file, mode)
        raw.deadly = self
        return raw


class _DeadlyFile(io.FileIO):
    """A file in which a write may end halfway, with the process."""

    def write(self, content) -> int:
        if self.deadly.step():
            super().write(memoryview(content).cast("B")[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(content)


def fork(work: Callable[[], None]) -> int:
    """Begins `work` in a child process and returns its id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
    except BaseException:
        traceback.print_exc()
        status = 2
    finally:
        os._exit(status)


def begin_child(folder: Path, images: DataSet, die_at: int | None = None, count_into: Path | None = None) -> int:
    """Goes on with a run in a child process, see `train_on`; returns its id."""
    if store.read(folder).config.threads == 1:
        return fork(lambda: train_on(folder, images, die_at, count_into))
    command = [sys.executable, "-m", "tests.faults.deadly", str(folder), str(images.folder)]  # OpenMP: no fork
    command += [str(die_at or ""), str(count_into or "")]
    return os.posix_spawn(sys.executable, command, os.environ)


def ended(child: int) -> int:
    """Waits for a child: its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train_on(folder: Path, images: DataSet, die_at: int | None = None, count_into: Path | None = None) -> None:
    """What a child does: goes on with the run until its end, saving a checkpoint after nearly every step."""
    recorder.CHECKPOINT_SECONDS, recorder.CHECKPOINT_SHARE = 0.02, 1.0
    deadly = Deadly(die_at) if die_at or count_into else None
    with writing.reopen(store.read(folder), images) as writer:
        for _ in experiment.run(writer, images):
            pass
    if count_into:
        count_into.write_text(str(deadly.count))


def begin(config: RunConfig, images: DataSet, runs: Path) -> Path:
    """A run that has not taken a step yet."""
    writer = writing.create(config, images, runs)
    writer.close()
    return writer.folder


def finish(folder: Path, images: DataSet) -> None:
    """Resumes a run until it is done."""
    status = ended(begin_child(folder, images))
    assert status == 0, f"resuming ended with status {status}"


class Whole:
    """A run that nothing happened to: its digest, its duration in seconds, the number of its file operations."""

    def __init__(self, config: RunConfig, images: DataSet, runs: Path):
        folder = begin(config, images, runs / "whole")
        count, begun = runs / f"count-{folder.name}", time.perf_counter()
        assert ended(begin_child(folder, images, count_into=count)) == 0
        self.folder, self.seconds = folder, time.perf_counter() - begun
        self.digest, self.operations = digest(folder), int(count.read_text())


_whole: dict[tuple[RunConfig, Path], Whole] = {}


def whole_of(config: RunConfig, images: DataSet, runs: Path) -> Whole:
    """The one run with these settings that nothing happens to."""
    if (config, runs) not in _whole:
        _whole[config, runs] = Whole(config, images, runs)
    return _whole[config, runs]


if __name__ == "__main__":
    run_folder, data_folder, last_operation, counted = sys.argv[1:]
    train_on(Path(run_folder), load(data_folder), int(last_operation or 0) or None, Path(counted) if counted else None)
