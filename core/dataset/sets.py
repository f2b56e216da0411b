"""A set of images in memory: two splits, their classes, and a fingerprint over all of it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.settings.setting import ConfigError

SOURCES = ("mnist", "digits", "folder")


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test images of a set: entry i of each field belongs to image i."""

    images: np.ndarray  # (N, H, W) uint8, read-only
    labels: np.ndarray  # (N,) int64, read-only: position in DataSet.classes
    ids: tuple[str, ...]
    files: tuple[Path, ...]  # the file of each image


@dataclass(frozen=True, eq=False)
class DataSet:
    """A loaded set. `fingerprint` is the same for two sets exactly if classes, ids, labels and pixels are.

    A set `without` some training images keeps the fingerprint of the whole one, of which it is a part.
    """

    folder: Path
    classes: tuple[str, ...]  # names, in the order of class_numbers
    class_numbers: tuple[int, ...]  # ascending; as in the CSV, so not always 0, 1, 2, …
    train: Split
    test: Split
    source: str  # one of SOURCES
    description: str  # a sentence for the interface
    fingerprint: str  # SHA-256, hexadecimal
    notes: tuple[str, ...] = ()  # what a reader of its numbers should know, see core/dataset/survey.py
    left_out: tuple[str, ...] = ()  # ids of the training images that are missing here, sorted
    whole: "DataSet | None" = None  # the set with them; None: this is it

    @property
    def name_of(self) -> dict[int, str]:
        """The name of each class by its integer in the CSV."""
        return dict(zip(self.class_numbers, self.classes, strict=True))

    def numbers(self, labels: np.ndarray) -> np.ndarray:
        """The integers of the CSV that labels (N,) stand for."""
        return np.array(self.class_numbers)[labels]

    def class_sizes(self) -> dict[int, int]:
        """How many training images each class has, by its integer in the CSV."""
        return dict(zip(self.class_numbers, np.bincount(self.train.labels).tolist(), strict=True))

    def without(self, ids: tuple[str, ...]) -> "DataSet":
        """The whole set without the training images of these ids; the whole one for none.

        Raises ConfigError for an id that no training image has, and if nothing of some class is left.
        """
        whole = self.whole or self
        return _without(whole, tuple(sorted(ids))) if ids else whole


@lru_cache(maxsize=4)  # pages ask for the same one again and again
def _without(whole: DataSet, ids: tuple[str, ...]) -> DataSet:
    if unknown := sorted(set(ids) - set(whole.train.ids)):
        raise ConfigError(
            f"the set has no training image {unknown[0]!r}; an id looks like {whole.train.ids[0]}", "exclude"
        )
    kept = np.flatnonzero(~np.isin(whole.train.ids, ids))
    if gone := sorted(set(whole.train.labels.tolist()) - set(whole.train.labels[kept].tolist())):
        raise ConfigError(f"no training image of class {whole.classes[gone[0]]} would be left; keep one", "exclude")
    ids_left, files = ([each[row] for row in kept] for each in (whole.train.ids, whole.train.files))
    train = split_of(whole.train.images[kept], whole.train.labels[kept], ids_left, files)
    return replace(whole, train=train, left_out=ids, whole=whole)


def split_of(images: np.ndarray, labels: np.ndarray, ids: Iterable[str], files: Iterable[Path]) -> Split:
    """A split, of which nothing can be changed any more: every run and page shares it."""
    images.flags.writeable = labels.flags.writeable = False
    return Split(images, labels, tuple(ids), tuple(files))


def assemble(
    folder: Path, numbers: dict[str, int], train: Split, test: Split, source: str, description: str
) -> DataSet:
    """A set with its fingerprint; `numbers` holds the integer of each class by its name, ascending."""
    classes, class_numbers = tuple(numbers), tuple(numbers.values())
    digest = hashlib.sha256(json.dumps([classes, class_numbers]).encode())
    for split in (train, test):
        digest.update(json.dumps([split.ids, split.labels.tolist(), split.images.shape]).encode())
        digest.update(np.ascontiguousarray(split.images).reshape(-1))
    return DataSet(folder, classes, class_numbers, train, test, source, description, digest.hexdigest())


def counts(train: Split, test: Split) -> str:
    """How many images there are, in words."""
    return f"{len(train.ids):,} training and {len(test.ids):,} test images"
