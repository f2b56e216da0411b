"""How good predictions and embeddings are: accuracy, confusion matrix and retrieval metrics.

Q query images, N gallery images (the training images), D numbers an embedding, C classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.analysis.distances import pairwise_distances


def accuracy(predicted: Tensor, true: Tensor) -> float:
    """Fraction of equal labels."""
    return (predicted == true).double().mean().item()


def confusion_matrix(predicted: Tensor, true: Tensor, class_count: int) -> Tensor:
    """(C, C) counts: row = true class, column = predicted class."""
    return torch.bincount(true * class_count + predicted, minlength=class_count**2).view(class_count, class_count)


def per_class(confusion: Tensor) -> list[float | None]:
    """Fraction of each class's images that is right, from its row of (C, C) counts; None for a class without images."""
    totals = confusion.sum(dim=1).tolist()
    right = confusion.diagonal().tolist()
    return [hits / total if total else None for hits, total in zip(right, totals, strict=True)]


@dataclass(frozen=True)
class Retrieval:
    """How well the nearest gallery images belong to the query's class; means over the queries, all fractions."""

    precision_at_1: float  # the nearest one does
    r_precision: float  # among the nearest R, with R the gallery images of the class
    map_at_r: float  # the same, weighted by rank (arXiv:2003.08505)


def retrieval(queries: Tensor, labels: Tensor, gallery: Tensor, gallery_labels: Tensor) -> Retrieval:
    """The three metrics for queries (Q, D) against a gallery (N, D).

    MAP@R = 1/R * sum over i = 1..R of precision@i * [the i-th nearest is of the class].
    """
    sizes = torch.bincount(gallery_labels, minlength=int(labels.max()) + 1)
    furthest_rank = int(sizes.max())
    rank = torch.arange(1, furthest_rank + 1)  # (R,)
    totals = torch.zeros(3, dtype=torch.float64)
    for part, part_labels in zip(queries.split(1000), labels.split(1000), strict=True):
        nearest = pairwise_distances(part, gallery).topk(furthest_rank, largest=False, sorted=True).indices  # (q, R)
        size = sizes[part_labels][:, None]  # (q, 1)
        of_class = (gallery_labels[nearest] == part_labels[:, None]) & (rank <= size)  # (q, R)
        precision = of_class.cumsum(dim=1) / rank  # (q, R)
        totals[0] += of_class[:, 0].sum()
        totals[1] += (of_class.sum(dim=1, keepdim=True) / size).sum()
        totals[2] += ((precision * of_class).sum(dim=1, keepdim=True) / size).sum()
    return Retrieval(*(totals / len(queries)).tolist())
