"""How good a network is: embeddings of all images, accuracy, confusion matrix and retrieval metrics.

Q query images, N gallery images (the training images), D numbers an embedding, C classes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from core import classify, objectives, sampling
from core.config import ConfigError, RunConfig
from core.machine import Machine
from core.models import Network, Outputs, prepare
from core.triplets import pairwise_distances

_IMAGES_AT_ONCE = 250


def embed_all(network: Network, images: Tensor, channels: int, machine: Machine) -> Outputs:
    """Embeddings (N, D) and logits (N, C) or None of all `images` (N, H, W), on the CPU, with the network in eval mode.

    The embeddings are rounded to float16, as the run's folder stores them, so that every distance on a page can be
    computed again from the stored files.
    """
    network.eval()
    embeddings, logits = [], []
    with torch.inference_mode():
        for batch in images.split(_IMAGES_AT_ONCE):
            with machine.autocast():
                outputs = network(prepare(batch.to(machine.device), channels))
            embeddings.append(outputs.embeddings.half().float().cpu())
            if outputs.logits is not None:
                logits.append(outputs.logits.float().cpu())
    return Outputs(torch.cat(embeddings), torch.cat(logits) if logits else None)


class Evaluation(NamedTuple):
    """A network on the training and on the test images, at one moment."""

    train_embeddings: Tensor  # (N, D)
    test_embeddings: Tensor  # (Q, D)
    test_prediction: classify.Prediction  # (Q,)
    train_accuracy: float  # fraction
    test_accuracy: float  # fraction
    test_loss: float | None


class LabelledImages(NamedTuple):
    """Images (N, H, W) uint8 and labels (N,) int64."""

    images: Tensor
    labels: Tensor


def evaluate(
    network: Network, train: LabelledImages, test: LabelledImages, config: RunConfig, machine: Machine
) -> Evaluation:
    """Accuracy on both sets by the run's own rule: softmax after cross-entropy, kNN after the triplet loss.

    kNN on the training images leaves each image out of its own vote; otherwise everyone would know the answer.
    """
    known = embed_all(network, train.images, config.channels, machine)
    asked = embed_all(network, test.images, config.channels, machine)
    if config.objective == "cross_entropy":
        train_prediction, test_prediction = classify.softmax(known.logits), classify.softmax(asked.logits)
    else:
        k, gallery = config.neighbours, known.embeddings
        train_prediction = classify.knn(gallery, gallery, train.labels, k, leave_one_out=True)
        test_prediction = classify.knn(asked.embeddings, gallery, train.labels, k)
    return Evaluation(
        known.embeddings,
        asked.embeddings,
        test_prediction,
        accuracy(train_prediction.labels, train.labels),
        accuracy(test_prediction.labels, test.labels),
        _test_loss(asked, test.labels, config),
    )


def _test_loss(outputs: Outputs, labels: Tensor, config: RunConfig) -> float | None:
    """The objective on the test images; for triplets on as many random ones as there are images, always the same."""
    if config.objective == "triplet":
        try:
            triplets = sampling.random_triplets(labels, len(labels), sampling.generator(config.seed, "test"))
        except ConfigError:  # a test set with one image a class has no triplets
            return None
        picked = triplets.T.flatten()
        outputs, labels = Outputs(outputs.embeddings[picked], None), labels[picked]
    return objectives.build(config)(outputs, labels)[0].item()


def accuracy(predicted: Tensor, true: Tensor) -> float:
    """Fraction of equal labels."""
    return (predicted == true).double().mean().item()


def confusion_matrix(predicted: Tensor, true: Tensor, class_count: int) -> Tensor:
    """(C, C) counts: row = true class, column = predicted class."""
    return torch.bincount(true * class_count + predicted, minlength=class_count**2).view(class_count, class_count)


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
