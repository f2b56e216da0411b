"""Distances and the triplet loss against plain loops and by hand."""

import math

import numpy as np
import pytest
import torch

from core.triplets import paired_distances, pairwise_distances, triplet_loss


def points(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return 10 * torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Plain Euclidean, one number after the other."""
    total = 0.0
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        total += (one - other) ** 2
    return math.sqrt(total)


@pytest.mark.parametrize("size", [1, 2, 7, 128])
def test_distances_against_loops(size):
    rows, columns = points(30, size), points(30, size, seed=1)
    pairwise = pairwise_distances(rows, columns[:29])  # more than 25 rows: where cdist would change its method
    assert pairwise.shape == (30, 29)
    expected = [[distance(row, column) for column in columns[:29]] for row in rows]
    np.testing.assert_allclose(pairwise, expected, rtol=1e-5)
    expected = [distance(row, column) for row, column in zip(rows, columns, strict=True)]
    np.testing.assert_allclose(paired_distances(rows, columns), expected, rtol=1e-5)


def test_small_distances_are_not_lost():
    rows = torch.full((30, 100), 1.0)  # length 10, as all embeddings
    columns = rows.clone()
    columns[:, 0] += 1e-3  # |a|^2 - 2ab + |b|^2 gives 0 or 0.01 here
    torch.testing.assert_close(pairwise_distances(rows, columns), torch.full((30, 30), 1e-3), rtol=1e-3, atol=0)
    torch.testing.assert_close(paired_distances(rows, columns), torch.full((30,), 1e-3), rtol=1e-3, atol=0)


def test_equal_points_have_no_distance_and_a_finite_gradient():
    rows = points(30, 16).requires_grad_()
    assert pairwise_distances(rows, rows).diagonal().max() <= 1e-6
    paired = paired_distances(rows, rows.detach())
    assert paired.max() <= 1e-6
    (paired.sum() + pairwise_distances(rows, rows.detach()).sum()).backward()
    assert rows.grad.isfinite().all()


def test_the_gradient_of_a_distance_has_length_one():
    first = points(20, 5).requires_grad_()
    paired_distances(first, points(20, 5, seed=1)).sum().backward()
    torch.testing.assert_close(first.grad.norm(dim=1), torch.ones(20))


# The loss

SQUARE = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0], [6.0, 8.0]])  # distances from the first: 0, 5, 2, 10


@pytest.mark.parametrize(
    ("positive", "negative", "margin", "loss", "active"),
    [
        (1, 3, 2.0, 0.0, 0.0),  # 5 - 10 + 2
        (1, 2, 2.0, 5.0, 1.0),  # 5 - 2 + 2
        (3, 1, 0.0, 5.0, 1.0),  # 10 - 5
        (2, 1, 3.5, 0.5, 1.0),  # 2 - 5 + 3.5
        (2, 1, 3.0, 0.0, 0.0),  # 2 - 5 + 3: exactly at the margin
        (1, 1, 0.0, 0.0, 0.0),
    ],
)
def test_one_triplet_by_hand(positive, negative, margin, loss, active):
    triplet = (torch.tensor([index]) for index in (0, positive, negative))
    found, diagnostics = triplet_loss(SQUARE, *triplet, margin)
    assert found.item() == pytest.approx(loss, abs=1e-6)
    assert diagnostics == pytest.approx(
        {
            "active_fraction": active,
            "positive_distance": distance(SQUARE[0], SQUARE[positive]),
            "negative_distance": distance(SQUARE[0], SQUARE[negative]),
        }
    )


@pytest.mark.parametrize("margin", [0.0, 2.0, 20.0])
def test_loss_against_a_triple_loop(margin):
    embeddings = points(9, 4)
    labels = [0, 0, 0, 1, 1, 1, 1, 2, 2]
    triplets, losses, positives, negatives = [], [], [], []
    for anchor in range(9):
        for positive in range(9):
            for negative in range(9):
                if anchor == positive or labels[anchor] != labels[positive] or labels[anchor] == labels[negative]:
                    continue
                triplets.append((anchor, positive, negative))
                positives.append(distance(embeddings[anchor], embeddings[positive]))
                negatives.append(distance(embeddings[anchor], embeddings[negative]))
                losses.append(max(0.0, positives[-1] - negatives[-1] + margin))
    loss, diagnostics = triplet_loss(embeddings, *torch.tensor(triplets).T, margin)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert diagnostics == pytest.approx(
        {
            "active_fraction": sum(loss > 0 for loss in losses) / len(losses),
            "positive_distance": sum(positives) / len(positives),
            "negative_distance": sum(negatives) / len(negatives),
        },
        rel=1e-5,
    )
    assert any(loss > 0 for loss in losses)


def test_descent_pulls_the_positive_and_pushes_the_negative():
    embeddings = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5], [9.0, 9.0]], requires_grad=True)
    loss, _ = triplet_loss(embeddings, torch.tensor([0]), torch.tensor([1]), torch.tensor([2]), margin=2.0)
    loss.backward()
    expected = torch.tensor([[-1.0, 1.0], [1.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    torch.testing.assert_close(embeddings.grad, expected)


def test_inactive_and_collapsed_triplets_have_a_finite_gradient():
    embeddings = torch.zeros(3, 4, requires_grad=True)
    loss, diagnostics = triplet_loss(embeddings, *torch.arange(3)[:, None], margin=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(2.0)
    assert diagnostics["active_fraction"] == 1.0
    assert embeddings.grad.isfinite().all()
