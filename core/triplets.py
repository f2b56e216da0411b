"""Distances between embeddings and the triplet loss (FaceNet, arXiv:1503.03832).

Distances are plain (not squared) Euclidean. B embeddings of one batch, D numbers each, T triplets.
"""

import torch
from torch import Tensor


def pairwise_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Distance of every row to every column: (R, D), (C, D) -> (R, C).

    The direct form, not |a|^2 - 2ab + |b|^2: that one loses the small distances, which decide who is nearest.
    """
    return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")


def paired_distances(first: Tensor, second: Tensor) -> Tensor:
    """Distance of each pair of rows: (T, D), (T, D) -> (T,), with a finite gradient where both are equal."""
    squared = (first - second).pow(2).sum(dim=1)
    return squared.clamp(min=1e-12).sqrt()  # the root has no gradient at zero, so the clamp stands inside it


def triplet_loss(
    embeddings: Tensor, anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float
) -> tuple[Tensor, dict[str, float]]:
    """Mean over all triplets of max(0, d(a, p) - d(a, n) + margin), and what the triplets looked like.

    `embeddings` is (B, D); the other three are (T,) indices into it. The diagnostics are the fraction of active
    triplets (those with a loss above zero) and the mean distances d(a, p) and d(a, n).
    """
    to_positive = paired_distances(embeddings[anchors], embeddings[positives])  # (T,)
    to_negative = paired_distances(embeddings[anchors], embeddings[negatives])  # (T,)
    losses = (to_positive - to_negative + margin).clamp(min=0)  # (T,)
    diagnostics = {
        "active_fraction": (losses > 0).float().mean().item(),
        "positive_distance": to_positive.mean().item(),
        "negative_distance": to_negative.mean().item(),
    }
    return losses.mean(), diagnostics
