"""Counts, precision, recall and F1 against loops, and pairs as sentences."""

import numpy as np
import pytest

from core.analysis import confusion


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.integers(0, 4, 200), draw.integers(0, 4, 200)


def test_counts_against_a_loop(labels):
    true, predicted = labels
    counts = confusion.matrix(true, predicted, 5)
    for row in range(5):
        for column in range(5):
            both = zip(true, predicted, strict=True)
            assert counts[row, column] == sum(t == row and p == column for t, p in both)


def test_shares_against_a_loop(labels):
    true, predicted = labels
    found = confusion.of_classes(confusion.matrix(true, predicted, 5))
    for label in range(4):
        hits = sum((true == label) & (predicted == label))
        precision, recall = hits / sum(predicted == label), hits / sum(true == label)
        assert found.precision[label] == pytest.approx(precision)
        assert found.recall[label] == pytest.approx(recall)
        assert found.f1[label] == pytest.approx(2 * precision * recall / (precision + recall))
    assert all(np.isnan(each[4]) for each in found)  # neither there nor called so


def test_confused_pairs_are_in_order():
    counts = np.array([[50, 1, 5], [5, 50, 0], [2, 9, 50]])
    found = confusion.confused(counts)
    assert found == [(2, 1, 9), (0, 2, 5), (1, 0, 5), (2, 0, 2)]
    assert confusion.confused(counts, 1) == found[:1]
    assert confusion.confused(np.diag([3, 3])) == []
    assert confusion.in_words(found[0], "abc") == "c is called b nine times"
    assert confusion.in_words(confusion.Pair(0, 1, 14), "20") == "2 is called 0, 14 times"
    assert confusion.in_words(confusion.Pair(0, 1, 1), "abc") == "a is called b once"
    assert confusion.in_words(confusion.Pair(0, 1, 2), "abc") == "a is called b twice"


def test_of_a_thousand_classes_the_most_confused_are_drawn():
    counts = np.diag(np.full(1000, 50))
    counts[7, 900], counts[31, 4], counts[500, 500] = 9, 2, 10**6
    assert confusion.most_confused(counts, 4).tolist() == [4, 7, 31, 900]
    assert len(confusion.most_confused(counts)) == confusion.MOST_CLASSES
    assert confusion.most_confused(counts[:3, :3]).tolist() == [0, 1, 2]
    assert confusion.how_many_drawn(40, 1000) == "The 40 of 1,000 classes with the most mistakes. "
    assert confusion.how_many_drawn(3, 3) == ""
