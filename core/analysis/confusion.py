"""Who is taken for whom: counts, precision, recall and F1 of each class, and the most confused pairs in words.

C classes; counts are (C, C): row = true class, column = predicted class.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.analysis.explain import COUNTS

MOST_CLASSES = 50  # of a matrix that is drawn: one of a thousand classes has a million cells


class Pair(NamedTuple):
    """Images of one class that are called another; classes by their places."""

    true: int
    predicted: int
    count: int


class OfClasses(NamedTuple):
    """A fraction for each class (C,); nan where there is nothing to divide by."""

    precision: np.ndarray  # of what is called so, how much is so
    recall: np.ndarray  # of what is so, how much is called so
    f1: np.ndarray  # the harmonic mean of both


def matrix(true: np.ndarray, predicted: np.ndarray, class_count: int) -> np.ndarray:
    """Counts (C, C) of labels (Q,) and predictions (Q,)."""
    cells = np.bincount(true * class_count + predicted, minlength=class_count**2)
    return cells.reshape(class_count, class_count)


def of_classes(counts: np.ndarray) -> OfClasses:
    """Precision, recall and F1 of each class."""
    right = counts.diagonal().astype(float)
    called, are = counts.sum(axis=0), counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return OfClasses(right / called, right / are, 2 * right / (called + are))


def confused(counts: np.ndarray, most: int = 4) -> list[Pair]:
    """The `most` confused pairs, the most frequent first; of equals the first in the matrix."""
    off = counts * ~np.eye(len(counts), dtype=bool)
    cells = np.argsort(-off, axis=None, kind="stable")[:most]
    return [Pair(*divmod(int(cell), len(counts)), int(off.flat[cell])) for cell in cells if off.flat[cell]]


def in_words(pair: Pair, classes: Sequence[str]) -> str:
    """A pair as a sentence: "4 is called 9 five times", in which no two numbers follow one another."""
    few = f" {COUNTS[pair.count]} times" if pair.count < len(COUNTS) else f", {pair.count} times"
    times = {1: " once", 2: " twice"}.get(pair.count, few)
    return f"{classes[pair.true]} is called {classes[pair.predicted]}{times}"


def most_confused(counts: np.ndarray, most: int = MOST_CLASSES) -> np.ndarray:
    """Up to `most` classes in their order: those with the most mistakes in (C, C) counts, made of them or as them."""
    off = counts * ~np.eye(len(counts), dtype=bool)
    return np.sort(np.argsort(-(off.sum(axis=0) + off.sum(axis=1)), kind="stable")[:most])


def how_many_drawn(drawn: int, classes: int) -> str:
    """What to say beside a matrix of `drawn` classes; empty if it has all."""
    return f"The {drawn} of {classes:,} classes with the most mistakes. " if drawn < classes else ""
