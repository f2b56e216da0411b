"""Prediction from logits or from distances: softmax, k nearest neighbours, class centres.

Q query images, N training images (the gallery), C classes, D numbers an embedding.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from core.triplets import pairwise_distances

_QUERIES_AT_ONCE = 1000  # bounds the memory for distances: 1,000 x 60,000 of them are 240 MB


class Prediction(NamedTuple):
    """Predicted class (Q,) and its score (Q,), a fraction; each rule says what of."""

    labels: Tensor
    scores: Tensor


def softmax(logits: Tensor) -> Prediction:
    """The class with the largest logit; the score is its softmax probability. `logits` is (Q, C)."""
    scores, labels = logits.float().softmax(dim=1).max(dim=1)
    return Prediction(labels, scores)


def knn(queries: Tensor, gallery: Tensor, gallery_labels: Tensor, k: int, leave_one_out: bool = False) -> Prediction:
    """The class with most votes among the k nearest gallery images; the score is its share of the votes.

    Among classes with equally many votes the one with the nearest image wins. `queries` is (Q, D), `gallery`
    (N, D), `gallery_labels` (N,). With `leave_one_out` queries and gallery are the same images and none of them
    votes for itself. Raises ValueError if the gallery has fewer than k images to vote.
    """
    voters = len(gallery) - leave_one_out
    if k > voters:
        raise ValueError(f"{k} neighbours cannot vote among {voters} training images; use {voters} or fewer")
    class_count = int(gallery_labels.max()) + 1
    rank = torch.arange(k, 0, -1, device=gallery.device, dtype=torch.float32)  # k for the nearest, 1 for the last
    labels, scores = [], []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        distances = pairwise_distances(queries[start : start + _QUERIES_AT_ONCE], gallery)  # (q, N)
        if leave_one_out:
            distances.diagonal(offset=start).fill_(torch.inf)
        nearest = gallery_labels[distances.topk(k, largest=False, sorted=True).indices]  # (q, k)
        empty = torch.zeros(len(nearest), class_count, device=gallery.device)
        votes = empty.scatter_add(1, nearest, torch.ones_like(nearest, dtype=torch.float32))  # (q, C)
        closest = empty.scatter_reduce(1, nearest, rank.expand_as(nearest), "amax")  # (q, C), 1 to k, or 0
        winner = (votes + closest / (k + 1)).argmax(dim=1)
        labels.append(winner)
        scores.append(votes.gather(1, winner[:, None]).squeeze(1) / k)
    return Prediction(torch.cat(labels), torch.cat(scores))


def centre(queries: Tensor, gallery: Tensor, gallery_labels: Tensor) -> Prediction:
    """The class whose representative is nearest: the training image closest to the mean of its class's embeddings.

    The score is softmax over the negative distances to the representatives. Shapes as in `knn`.
    """
    class_count = int(gallery_labels.max()) + 1
    representatives = []
    for label in range(class_count):
        members = gallery[gallery_labels == label]  # (n, D)
        to_mean = pairwise_distances(members.mean(dim=0, keepdim=True), members)  # (1, n)
        representatives.append(members[to_mean.argmin()])
    return softmax(-pairwise_distances(queries, torch.stack(representatives)))
