"""Several classifiers on the same test images: who is right where, and whether a difference may be chance.

Q test images, M classifiers (runs). "Right" is a matrix of booleans (M, Q): one row a classifier.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pair:
    """Two classifiers on the same images. Both arrays hold rows of test images, ascending."""

    only_a_right: np.ndarray
    only_b_right: np.ndarray
    p: float  # of McNemar's exact test, two-sided

    @property
    def difference(self) -> int:
        """How many images more the first one classifies correctly; negative if they are fewer."""
        return len(self.only_a_right) - len(self.only_b_right)


def pair(a_right: np.ndarray, b_right: np.ndarray) -> Pair:
    """Compares two classifiers by the images that one gets right and the other wrong; (Q,) bool each.

    McNemar's exact test (Psychometrika 12, 1947): if both were equally good, each of these images would be as likely
    to speak for one as for the other. Without any such image p is 1.
    """
    from scipy.stats import binomtest  # takes half a second to load

    only_a, only_b = np.flatnonzero(a_right & ~b_right), np.flatnonzero(b_right & ~a_right)
    differing = len(only_a) + len(only_b)
    p = binomtest(len(only_a), differing, 0.5).pvalue if differing else 1.0
    return Pair(only_a, only_b, float(p))


def all_wrong(right: np.ndarray) -> np.ndarray:
    """Rows of the test images that every classifier gets wrong. `right` is (M, Q) bool."""
    return np.flatnonzero(~right.any(axis=0))


def alone_right(right: np.ndarray) -> list[np.ndarray]:
    """For each classifier the rows of the test images that it alone gets right. `right` is (M, Q) bool."""
    alone = right.sum(axis=0) == 1  # (Q,)
    return [np.flatnonzero(alone & row) for row in right]


def alone_wrong(right: np.ndarray) -> list[np.ndarray]:
    """For each classifier the rows of the test images that it alone gets wrong. `right` is (M, Q) bool."""
    return alone_right(~right)


def differing_settings(configs: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """The settings in which runs differ, {setting: {run: value}}; `configs` holds each run's settings by its id."""
    names = dict.fromkeys(name for values in configs.values() for name in values)
    table = {name: {run: values.get(name) for run, values in configs.items()} for name in names}
    return {name: row for name, row in table.items() if len({repr(value) for value in row.values()}) > 1}


def same_but_for_seed(configs: Mapping[str, Mapping[str, object]]) -> list[list[str]]:
    """Runs in groups whose settings are the same but for the seed, in the order of their first runs."""
    groups: dict[str, list[str]] = {}
    for run, values in configs.items():
        recipe = repr(sorted((name, value) for name, value in values.items() if name not in ("seed", "preset")))
        groups.setdefault(recipe, []).append(run)
    return list(groups.values())


def in_words(a: str, b: str, compared: Pair, images: int) -> str:
    """The comparison as a sentence: "A classifies 7 more of 1,000 images correctly than B: within chance, p = 0.21"."""
    more, p = compared.difference, compared.p
    if not more:
        return f"{a} and {b} classify equally many of {images:,} images correctly."
    better, other = (a, b) if more > 0 else (b, a)
    chance = "within chance" if p >= 0.05 else "beyond chance"
    digits = ".1g" if p < 0.01 else ".2g" if p < 0.1 else ".2f"  # 0.049 is not written as the 0.05 that it is below
    written = "p < 0.0001" if p < 0.0001 else f"p = {p:{digits}}"
    return f"{better} classifies {abs(more)} more of {images:,} images correctly than {other}: {chance}, {written}."
