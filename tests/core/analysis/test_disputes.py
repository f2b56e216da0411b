"""Disputed labels are marked in MNIST and nowhere else."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from core.analysis import disputes
from core.dataset.loader import DataSet, Split, load


def made(ids: tuple[str, ...], labels: list[int], source: str = "folder") -> DataSet:
    split = Split(np.zeros((len(ids), 28, 28), np.uint8), np.array(labels), ids, tuple(map(Path, ids)))
    return DataSet(Path("set"), tuple("0123456789"), tuple(range(10)), split, split, source, "", "0" * 64)


def test_a_foreign_set_with_the_same_ids_is_not_marked(digits):
    assert disputes.find(digits) == {}
    assert disputes.find(made(("mnist_test_6651", "mnist_test_947"), [0, 8])) == {}
    assert disputes.accuracies(digits.test.labels, digits) == (1.0, None)


def test_of_mnist_itself_the_label_has_to_be_the_disputed_one():
    assert list(disputes.find(made(("mnist_test_947", "mnist_test_1621"), [8, 6], "mnist"))) == [0]


@pytest.mark.skipif(not os.environ.get("TRIPLETLAB_DATA"), reason="needs the lab's own images")
def test_the_three_of_the_lab():
    data = load(os.environ["TRIPLETLAB_DATA"])
    found = disputes.find(data)
    assert {data.test.ids[row] for row in found} == {"mnist_test_6651", "mnist_test_8527", "mnist_test_9679"}
    predicted = data.test.labels.copy()
    predicted[list(found)] = 1
    assert disputes.accuracies(predicted, data) == (0.997, 1.0)
    images = data.test.images.copy()
    images[list(found)] ^= 1
    assert disputes.find(dataclasses.replace(data, test=dataclasses.replace(data.test, images=images))) == {}
