"""Embeddings on the sphere of radius 10, labels with something missing, and triplets by plain loops."""

import math

import pytest
import torch

from core.learning.triplets import Triplets
from core.settings.choices import SELECTIONS, load

# One image of class 0, three of 1, two of 2, five of 3, one of 7
LABELS = torch.tensor([2, 0, 1, 2, 3, 3, 1, 3, 1, 3, 3, 7])
RULES = {name: load(selection.rule) for name, selection in SELECTIONS.items()}
FROM_LABELS = {name: rule for name, rule in RULES.items() if name != "drawn"}
HAND_OUT = [  # label vectors with something missing
    pytest.param([4, 4, 4], id="one class only"),
    pytest.param([0, 1, 2, 3], id="no positive"),
    pytest.param([5], id="one image"),
]
# A batch that holds an image twice
TWICE = torch.tensor([10, 11, 12, 13, 10, 14, 11, 10, 15, 13])  # numbers of images
OF_TWICE = torch.tensor([0, 0, 1, 1, 0, 1, 0, 0, 2, 1])  # their classes


def points(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return 10 * torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def on_sphere(count: int, size: int = 3, seed: int = 0) -> torch.Tensor:
    return 10 * torch.nn.functional.normalize(points(count, size, seed), dim=1)


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Plain Euclidean, one number after the other."""
    total = 0.0
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        total += (one - other) ** 2
    return math.sqrt(total)


def table(embeddings: torch.Tensor) -> list[list[float]]:
    """All distances by loops."""
    return [[distance(row, column) for column in embeddings] for row in embeddings]


def loop(labels) -> list[tuple[int, int, int]]:
    """Every valid triplet by a triple loop."""
    labels, found = list(map(int, labels)), []
    for anchor in range(len(labels)):
        for positive in range(len(labels)):
            for negative in range(len(labels)):
                if anchor == positive or labels[anchor] != labels[positive] or labels[anchor] == labels[negative]:
                    continue
                found.append((anchor, positive, negative))
    return found


def rows(chosen) -> list[tuple[int, int, int]]:
    return sorted(zip(*(places.tolist() for places in chosen), strict=True))


def as_triplets(listed) -> Triplets:
    return Triplets(*torch.tensor(listed, dtype=torch.int64).view(-1, 3).T)
