"""Confident learning against loops in the words of the paper, and planted wrong labels."""

import numpy as np
import pytest

from core.analysis import confident


def by_loop(labels: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """For each image the class it is confidently of, else -1."""
    classes = range(probabilities.shape[1])
    limits = {}
    for label in classes:
        own = [probabilities[row, label] for row in range(len(labels)) if labels[row] == label]
        limits[label] = sum(own) / len(own) if own else np.inf
    found = []
    for row in probabilities:
        reached = [label for label in classes if row[label] >= limits[label] - 1e-12 and row[label] > 0]
        found.append(max(reached, key=lambda label: row[label]) if reached else -1)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_against_a_loop(seed):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, 120)
    probabilities = draw.dirichlet([0.4] * 5, 120)  # nobody is labelled 4
    said = by_loop(labels, probabilities)
    assert confident.confident_class(labels, probabilities).tolist() == said
    expected = [row for row in range(120) if said[row] not in (-1, labels[row])]
    expected.sort(key=lambda row: probabilities[row, labels[row]])
    assert confident.doubtful(labels, probabilities).tolist() == expected


def test_planted_labels_are_found_and_no_other():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 3, 300)
    probabilities = 0.02 + 0.94 * np.eye(3)[true]
    labels = true.copy()
    labels[[5, 70, 200]] = (true[[5, 70, 200]] + 1) % 3
    assert sorted(confident.doubtful(labels, probabilities)) == [5, 70, 200]
    assert confident.doubtful(true, probabilities).tolist() == []
