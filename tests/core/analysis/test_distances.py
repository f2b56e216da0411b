"""Distances against plain loops, and their gradient."""

import numpy as np
import pytest
import torch

from core.analysis.distances import pairwise_distances
from tests.core.learning.points import distance, points

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("size", [1, 2, 7, 128])
def test_distances_against_loops(size):
    some, others = points(30, size), points(29, size, seed=1)
    pairwise = pairwise_distances(some, others)  # more than 25 rows: where cdist would change its method
    assert pairwise.shape == (30, 29)
    expected = [[distance(row, column) for column in others] for row in some]
    np.testing.assert_allclose(pairwise, expected, rtol=1e-5)


def test_small_distances_are_not_lost():
    some = torch.full((30, 100), 1.0)  # length 10, as all embeddings
    others = some.clone()
    others[:, 0] += 1e-3  # |a|^2 - 2ab + |b|^2 gives 0 or 0.01 here
    torch.testing.assert_close(pairwise_distances(some, others), torch.full((30, 30), 1e-3), rtol=1e-3, atol=0)


def test_the_gradient_of_a_distance_has_length_one_and_that_of_none_is_zero():
    some = points(20, 5).requires_grad_()
    pairwise_distances(some, points(20, 5, seed=1)).diagonal().sum().backward()
    torch.testing.assert_close(some.grad.norm(dim=1), torch.ones(20))
    same = points(20, 5).requires_grad_()
    pairwise_distances(same, same.detach()).diagonal().sum().backward()
    assert torch.equal(same.grad, torch.zeros(20, 5))
