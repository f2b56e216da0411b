"""Prediction from logits or from distances: softmax, k nearest neighbours, class centres, class means.

Q query images, N training images (the gallery), C classes, D numbers an embedding.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from core.analysis.distances import pairwise_distances
from core.analysis.neighbours import nearest
from core.networks.build import Outputs

_LEFT_OUT_AT_ONCE = 500  # images of a class: 500 x 6,000 distances are 12 MB


class Prediction(NamedTuple):
    """Predicted class (Q,) and its score (Q,), a fraction; each rule says what of."""

    labels: Tensor
    scores: Tensor


def softmax(logits: Tensor) -> Prediction:
    """The class with the largest logit; the score is its softmax probability. `logits` is (Q, C)."""
    scores, labels = logits.float().softmax(dim=1).max(dim=1)
    return Prediction(labels, scores)


def knn(
    queries: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    k: int,
    *,
    weighted: bool = False,
    leave_one_out: bool = False,
) -> Prediction:
    """The class with most votes among the k nearest gallery images; the score is its share of the votes.

    A vote counts 1 or, if `weighted`, 1 / distance; of images at distance zero then only those vote, 1 each. Among
    classes with equally many votes the one with the nearest image wins. `queries` is (Q, D), `gallery` (N, D),
    `gallery_labels` (N,). With `leave_one_out` queries and gallery are the same images and none of them votes for
    itself. Raises ValueError if the gallery has fewer than k images to vote.
    """
    voters = len(gallery) - leave_one_out
    if k > voters:
        raise ValueError(f"{k} neighbours cannot vote among {voters} training images; use {voters} or fewer")
    class_count = int(gallery_labels.max()) + 1
    rank = torch.arange(k, 0, -1, device=gallery.device, dtype=torch.float32)  # k for the nearest, 1 for the last
    distance, index = nearest(queries, gallery, k, leave_one_out=leave_one_out)  # (Q, k)
    weight = _votes(distance) if weighted else torch.ones_like(distance)
    candidates = gallery_labels[index]  # (Q, k)
    empty = torch.zeros(len(queries), class_count, device=gallery.device)
    votes = empty.scatter_add(1, candidates, weight)  # (Q, C)
    closest = empty.scatter_reduce(1, candidates, rank.expand_as(candidates), "amax")  # (Q, C), 1 to k, or 0
    # of the classes with the most votes the one with the nearest image
    winner = torch.where(votes == votes.amax(dim=1, keepdim=True), closest, -1).argmax(dim=1)
    return Prediction(winner, votes.gather(1, winner[:, None]).squeeze(1) / votes.sum(dim=1))


def _votes(distance: Tensor) -> Tensor:
    """1 / distance; in a row with zeros 1 for these and 0 for the others. (q, k) -> (q, k)."""
    same = distance == 0
    return torch.where(same.any(dim=1, keepdim=True), same.float(), 1 / distance.clamp(min=1e-12))


def class_means(gallery: Tensor, gallery_labels: Tensor) -> Tensor:
    """The mean embedding of each class: (N, D), (N,) -> (C, D)."""
    class_count = int(gallery_labels.max()) + 1
    return torch.stack([gallery[gallery_labels == label].mean(dim=0) for label in range(class_count)])


def representatives(gallery: Tensor, gallery_labels: Tensor) -> Tensor:
    """The gallery image of each class that is nearest to its mean, as an index: (C,)."""
    to_mean = pairwise_distances(class_means(gallery, gallery_labels), gallery)  # (C, N)
    of_class = gallery_labels[None, :] == torch.arange(len(to_mean), device=gallery.device)[:, None]
    return to_mean.masked_fill(~of_class, torch.inf).argmin(dim=1)


def centre(queries: Tensor, gallery: Tensor, gallery_labels: Tensor, *, leave_one_out: bool = False) -> Prediction:
    """The class whose representative is nearest: the training image closest to the mean of its class's embeddings.

    The score is softmax over the negative distances to the representatives. Shapes and `leave_one_out` as in `knn`: a
    query then has no part in the mean and the representative of its own class, and cannot be in a class of its own.
    """
    chosen = gallery[representatives(gallery, gallery_labels)]  # (C, D)
    distances = pairwise_distances(queries, chosen)  # (Q, C)
    if leave_one_out:
        for label in range(len(chosen)):
            rows = (gallery_labels == label).nonzero().flatten()
            distances[rows, label] = _to_representative_without(gallery[rows])
    return softmax(-distances)


def _to_representative_without(members: Tensor) -> Tensor:
    """The distance of each image of a class (n, D) to the representative of the others: (n,), inf without others."""
    count = len(members)
    if count == 1:
        return torch.full((1,), torch.inf)
    means = (members.sum(dim=0) - members) / (count - 1)  # (n, D), each without the image itself
    found = []
    for part in torch.arange(count).split(_LEFT_OUT_AT_ONCE):
        to_mean = pairwise_distances(means[part], members)  # (m, n)
        to_mean[torch.arange(len(part)), part] = torch.inf
        found.append((members[part] - members[to_mean.argmin(dim=1)]).norm(dim=1))
    return torch.cat(found)


def nearest_mean(
    queries: Tensor, gallery: Tensor, gallery_labels: Tensor, *, leave_one_out: bool = False
) -> Prediction:
    """The class whose mean embedding is nearest; the score is softmax over the negative distances to the means.

    With `leave_one_out` a query has no part in the mean of its own class: of n images it is n / (n - 1) times as far
    from the mean of the others as from that of all, and a class without others is out of reach.
    """
    distances = pairwise_distances(queries, class_means(gallery, gallery_labels))  # (Q, C)
    if leave_one_out:
        size = torch.bincount(gallery_labels)[gallery_labels].float()  # (N,)
        own = distances.gather(1, gallery_labels[:, None]).squeeze(1)
        without = torch.where(size > 1, own * size / (size - 1).clamp(min=1), torch.inf)
        distances = distances.scatter(1, gallery_labels[:, None], without[:, None])
    return softmax(-distances)


def scores_by_class(rule: str, outputs: Outputs, gallery: Tensor, gallery_labels: Tensor, k: int) -> Tensor:
    """What `predict` gives a score for, for every class: (Q, C) fractions that add up to 1."""
    if rule == "softmax":
        return outputs.logits.float().softmax(dim=1)
    queries, class_count = outputs.embeddings, int(gallery_labels.max()) + 1
    if rule == "centre":
        return (-pairwise_distances(queries, gallery[representatives(gallery, gallery_labels)])).softmax(dim=1)
    if rule == "nearest_mean":
        return (-pairwise_distances(queries, class_means(gallery, gallery_labels))).softmax(dim=1)
    distance, index = nearest(queries, gallery, k)  # (Q, k)
    weight = _votes(distance) if rule == "knn_weighted" else torch.ones_like(distance)
    votes = torch.zeros(len(queries), class_count).scatter_add(1, gallery_labels[index], weight)
    return votes / votes.sum(dim=1, keepdim=True)


def predict(
    rule: str,
    outputs: Outputs,
    gallery: Tensor,
    gallery_labels: Tensor,
    k: int,
    *,
    leave_one_out: bool = False,
) -> Prediction:
    """The prediction for the images behind `outputs` by one of choices.CLASSIFIERS.

    `gallery` (N, D) are embeddings of training images. With `leave_one_out` the queries are the gallery, and no image
    has a say on itself; softmax has no gallery.
    """
    queries = outputs.embeddings
    if rule == "softmax":
        return softmax(outputs.logits)
    if rule == "centre":
        return centre(queries, gallery, gallery_labels, leave_one_out=leave_one_out)
    if rule == "nearest_mean":
        return nearest_mean(queries, gallery, gallery_labels, leave_one_out=leave_one_out)
    weighted = rule == "knn_weighted"
    return knn(queries, gallery, gallery_labels, k, weighted=weighted, leave_one_out=leave_one_out)
