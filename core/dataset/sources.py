"""Where the images come from, and how a set is prepared once: MNIST, scikit-learn's digits, or a folder of the user.

A new set is written to `.preparing`, renamed to `.prepared` when it is complete, and moved from there piece by piece.
So a crash at any moment leaves either nothing but `.preparing`, or a `.prepared` that the next preparation puts into
place; and no image or CSV outside these two folders is ever removed or replaced.
"""

import contextlib
import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
from PIL import Image

from core import places
from core.dataset import arrays
from core.dataset.images import DataError, Reading
from core.dataset.layout import SPLITS
from core.dataset.loader import (
    PIECES,
    PREPARED,
    PREPARING,
    absolute,
    exists,
    holds,
    load,
)
from core.dataset.rows import COLUMNS
from core.dataset.sets import DataSet, Split, assemble, counts

SEED = 0  # of the subset that is drawn from MNIST or from scikit-learn's digits
MNIST_PER_CLASS = {"train": 200, "test": 100}
DIGITS_PER_CLASS = {"train": 116, "test": 58}  # together 174, what the rarest digit of load_digits has
DIGITS_SIDE = 28  # pixels: MNIST's size, so that runs on both cost the same
DOWNLOAD_SECONDS = 120
SILENT_SECONDS = 15  # without a new byte, once torchvision is imported, which is slow on a cold machine
POLL_SECONDS = 1
LOCK_SECONDS = 300  # longer than the slowest preparation that another process may be busy with

# Runs in its own process: only so can a name look-up or a stalled connection be ended from outside.
DOWNLOAD = """
import socket, sys
socket.setdefaulttimeout(5)
try:
    from torchvision.datasets import MNIST
    print("ready", flush=True)
    MNIST(sys.argv[1], download=True)
except Exception as error:
    print(error or type(error).__name__)
    sys.exit(1)
"""


def prepare(
    folder: str | Path,
    source: str | Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
    reading: Reading = lambda done, total: None,
) -> DataSet:
    """The set in `folder`, made from `source` if the folder is empty or not there.

    A folder that holds anything is only read. `source` is "mnist" (downloaded), "digits" (inside scikit-learn), "auto"
    (the first of these that works), or the path of a folder with a set or with MNIST's four IDX files. None stands
    for auto in the lab's own folder; in any other one nothing is made then. `progress` is called with lines
    for a human reader,
    `reading` with the images read from the set in `folder` and all of them, as by data.load.
    Raises DataError if the source cannot be had, if `folder` cannot be written, or if it holds another set already.
    """
    folder = absolute(folder)
    try:
        unfinished = (folder / PREPARED).exists()
        if source is None and not unfinished and folder != absolute(places.own_data_folder()) and not holds(folder):
            kind = "an empty folder" if folder.exists() else "no such folder"
            raise DataError(f"{folder}: {kind}; check the path, or add --source auto to prepare a set there")
        if unfinished or not holds(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".lock", timeout=LOCK_SECONDS):
                if (folder / PREPARED).exists():
                    _move_into_place(folder)
                elif not holds(folder):  # another process may have made it while this one waited
                    _write(*_make(folder, source or "auto", progress), progress)
                    source = None  # what is there now is what was asked for
    except filelock.Timeout:
        raise DataError(f"{folder}: another process has been preparing this set for minutes; try again later") from None
    except OSError as error:
        raise DataError(
            f"{folder}: the data set cannot be written ({error.strerror or error}); check the permissions and the "
            "free space, or name another folder with --data"
        ) from error
    data = load(folder, reading)
    if not _is_from(data, source):
        raise DataError(
            f"{folder}: holds a data set already ({data.description}), not what the source {source} gives; name "
            "another folder with --data, or remove this one"
        )
    return data


def _is_from(data: DataSet, source: str | Path | None) -> bool:
    if source in ("mnist", "digits"):
        return data.source == source
    if source in (None, "auto") or absolute(source) == data.folder:
        return True
    return _from_path(data.folder, source)[0].fingerprint == data.fingerprint


def _make(folder: Path, source: str | Path, progress: Callable[[str], None]) -> tuple[DataSet, dict]:
    """The set of `source` as it shall be written to `folder`, and how it was chosen."""
    if source == "digits":
        return _from_digits(folder)
    if source not in ("auto", "mnist"):
        return _from_path(folder, source)
    progress("Downloading MNIST …")
    try:
        return _from_download(folder)
    except DataError as error:
        if source == "mnist":
            raise
        progress(str(error))
        progress("Taking the handwritten digits inside scikit-learn instead.")
        return _from_digits(folder)


def _from_download(folder: Path) -> tuple[DataSet, dict]:
    with tempfile.TemporaryDirectory(prefix="tripletlab-") as temporary:
        if failure := _download(Path(temporary)):
            reason = re.sub(r"^<urlopen error (?:\[.*?\] )?(.*)>$", r"\1", failure.strip())[:200]
            raise DataError(
                f"MNIST could not be downloaded ({reason}); check the network, or name a folder with MNIST's four "
                "files as the source, or take the source digits"
            )
        return _from_idx(folder, Path(temporary) / "MNIST" / "raw", "MNIST")


def _download(folder: Path) -> str | None:
    """Runs DOWNLOAD into `folder`; returns why it failed, or None."""
    log = folder / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-c", DOWNLOAD, str(folder)]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)
    started = grew = time.monotonic()
    size = 0
    try:
        while child.poll() is None:
            now = time.monotonic()
            size, before = _bytes_below(folder), size
            if size != before or not log.read_bytes().startswith(b"ready"):
                grew = now
            if now - grew > SILENT_SECONDS:
                return f"nothing arrived for {SILENT_SECONDS} seconds"
            if now - started > DOWNLOAD_SECONDS:
                return f"not finished after {DOWNLOAD_SECONDS} seconds"
            try:
                child.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:  # Ctrl-C as well
        child.kill()
        child.wait()
    if child.returncode == 0:
        return None
    lines = log.read_text(errors="replace").removeprefix("ready").splitlines()  # torchvision's last line is the reason
    return next((line for line in reversed(lines) if line.strip()), "it broke off")


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # removed just now
                total += os.path.getsize(os.path.join(parent, name))
    return total


def _from_path(folder: Path, source: str | Path) -> tuple[DataSet, dict]:
    path = absolute(source)
    if any(arrays.idx_file(path, split, kind) for split in SPLITS for kind in arrays.IDX_KINDS):
        return _from_idx(folder, path, f"MNIST files in {path}")
    if not exists(path):
        raise DataError(
            f"{path}: not a source; name a folder with train/ and test/ or with MNIST's four IDX files, or mnist, "
            "digits or auto"
        )
    data = load(path)
    draft = dataclasses.replace(data, folder=folder, source="folder", description=f"copy of {data.description}")
    return draft, {"copied_from": str(path)}


def _from_idx(folder: Path, path: Path, title: str) -> tuple[DataSet, dict]:
    """A balanced subset of the four files: at most MNIST_PER_CLASS, and the same number of each class."""
    pool = {split: arrays.read_idx(path, split) for split in SPLITS}
    numbers = {str(number): number for number in np.unique(pool["train"][1]).tolist()}
    if pool["train"][0].shape[1:] != pool["test"][0].shape[1:] or {*numbers.values()} != {*pool["test"][1].tolist()}:
        raise DataError(f"{path}: training and test files differ in image size or classes; take both from one set")
    chosen = {"seed": SEED}
    drawn = []
    for position, (split, (images, labels)) in enumerate(pool.items()):
        members = _shuffled_members(labels, np.random.default_rng([SEED, position]))
        each = chosen[f"{split}_per_class"] = min(MNIST_PER_CLASS[split], *map(len, members))
        drawn.append(_drawn(split, "mnist", images, [part[:each] for part in members]))
    return assemble(folder, numbers, *drawn, "mnist", f"{title}, a balanced subset of {counts(*drawn)}"), chosen


def _from_digits(folder: Path) -> tuple[DataSet, dict]:
    from sklearn.datasets import load_digits  # takes a second, and only the preparation needs it

    digits = load_digits()
    small = np.round(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), 0..16 before
    size = (DIGITS_SIDE, DIGITS_SIDE)
    images = np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in small])
    members = _shuffled_members(digits.target, np.random.default_rng(SEED))
    start, end = DIGITS_PER_CLASS["train"], sum(DIGITS_PER_CLASS.values())
    train = _drawn("train", "digits", images, [part[:start] for part in members])
    test = _drawn("test", "digits", images, [part[start:end] for part in members])
    description = f"scikit-learn's handwritten digits, enlarged from 8x8 to 28x28 pixels ({counts(train, test)})"
    numbers = {str(digit): digit for digit in range(10)}
    chosen = {"seed": SEED} | {f"{split}_per_class": count for split, count in DIGITS_PER_CLASS.items()}
    return assemble(folder, numbers, train, test, "digits", description), chosen


def _shuffled_members(labels: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """For each class, ascending, the positions of its images in random order."""
    return [generator.permutation(np.flatnonzero(labels == number)) for number in np.unique(labels)]


def _drawn(split: str, prefix: str, images: np.ndarray, members: list[np.ndarray]) -> Split:
    """The split of the images at `members`, one array of positions for each class; ids carry the position."""
    positions = np.concatenate([np.sort(part) for part in members])
    labels = np.repeat(np.arange(len(members)), [len(part) for part in members])
    return Split(images[positions], labels, tuple(f"{prefix}_{split}_{position}" for position in positions), ())


def _write(data: DataSet, chosen: dict, progress: Callable[[str], None]):
    """Writes `data` into its folder: complete, or not at all."""
    progress(f"Writing {counts(data.train, data.test)} to {data.folder} …")
    building = data.folder / PREPARING
    shutil.rmtree(building, ignore_errors=True)  # of a preparation that broke off
    try:
        for split, part in zip(SPLITS, (data.train, data.test), strict=True):
            for name in data.classes:
                (building / split / name).mkdir(parents=True)
            lines = [COLUMNS]
            for image, label, image_id in zip(part.images, part.labels, part.ids, strict=True):
                Image.fromarray(image).save(building / split / data.classes[label] / f"{image_id}.png")
                lines.append((image_id, data.classes[label], data.class_numbers[label]))
            with (building / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(lines)
        facts = {"source": data.source, "description": data.description, "chosen": chosen}
        text = json.dumps(facts | {"fingerprint": data.fingerprint}, indent=2, ensure_ascii=False)
        (building / "source.json").write_text(text + "\n", encoding="utf-8")
        os.replace(building, data.folder / PREPARED)
    except BaseException:  # Ctrl-C as well
        shutil.rmtree(building, ignore_errors=True)
        raise
    _move_into_place(data.folder)


def _move_into_place(folder: Path):
    """Moves what is left in PREPARED. Raises DataError if something else lies in one of the places."""
    for piece in PIECES:
        source, target = folder / PREPARED / piece, folder / piece
        if source.exists() and target.exists() and piece != "source.json":
            raise DataError(
                f"{target}: in the way of a set that was prepared meanwhile; remove it, or remove {folder / PREPARED} "
                "to keep yours"
            )
        if source.exists():
            os.replace(source, target)
    (folder / PREPARED).rmdir()
