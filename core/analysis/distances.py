"""Distances between embeddings: plain (not squared) Euclidean, R rows and C columns of D numbers each."""

import torch
from torch import Tensor


def pairwise_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Distance of every row to every column: (R, D), (C, D) -> (R, C), with a zero gradient where both are equal.

    The direct form, not |a|^2 - 2ab + |b|^2: that one loses the small distances, which decide who is nearest.
    """
    return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")
