"""Test images of MNIST whose label people dispute (Northcutt et al., arXiv:2103.14749).

An image is known by its id, its label and, where the lab's own images hold it, the SHA-256 of its pixels; the others
are marked only in a set that the lab prepared from MNIST itself. No other set is ever marked.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from core.dataset.loader import DataSet


class Dispute(NamedTuple):
    """What five people said of an image."""

    labelled: str  # the class that MNIST gives
    said: str
    pixels: str = ""  # SHA-256


DISPUTED = {
    "mnist_test_947": Dispute("8", "people say 9"),
    "mnist_test_1621": Dispute("0", "people say 6"),
    "mnist_test_1901": Dispute("9", "people say 4"),
    "mnist_test_2462": Dispute("2", "people say 0"),
    "mnist_test_2597": Dispute("5", "people say 3"),
    "mnist_test_3558": Dispute("5", "people say 0"),
    "mnist_test_5937": Dispute("5", "people say 3"),
    "mnist_test_6651": Dispute(
        "0", "5 of 5 people say 6", "e58ee418a2c482c9ba6fbe3cbbd942be11a390d450454887ed25ff4ab0b4fc6a"
    ),
    "mnist_test_6783": Dispute("1", "people say 6"),
    "mnist_test_9729": Dispute("5", "people say 6"),
    "mnist_test_8527": Dispute(
        "4", "2 people say 4, 2 say 9, 1 neither", "b147b498facaa9a7924b2dc1dd35423c0de8369f7f8e56bdfa8aa44fa7bc52c6"
    ),
    "mnist_test_9679": Dispute(
        "6", "3 of 5 people say neither", "6d535e9edb86d53435aad788dedaafd0e05ddf4a02747995c029699fb733e737"
    ),
}


def find(data: DataSet) -> dict[int, Dispute]:
    """The disputed test images of a set by their rows; empty for any set that does not hold these very images."""
    rows = {name: row for row, name in enumerate(data.test.ids) if name in DISPUTED}
    return {row: DISPUTED[name] for name, row in rows.items() if _is_it(data, row, DISPUTED[name])}


def _is_it(data: DataSet, row: int, dispute: Dispute) -> bool:
    if data.classes[data.test.labels[row]] != dispute.labelled:
        return False
    if dispute.pixels:
        return hashlib.sha256(np.ascontiguousarray(data.test.images[row]).tobytes()).hexdigest() == dispute.pixels
    return data.source == "mnist"


def accuracies(predicted: np.ndarray, data: DataSet) -> tuple[float, float | None]:
    """The share of test images classified correctly as labelled, and without the disputed ones (None without any)."""
    right = predicted == data.test.labels
    disputed = list(find(data))
    without = np.delete(right, disputed)
    return float(right.mean()), float(without.mean()) if disputed and len(without) else None
