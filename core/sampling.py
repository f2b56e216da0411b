"""Which images form a batch: shuffled images, or random triplets.

Every draw comes from a generator made from (seed, what for, epoch, …), never from the process-wide one, so that an
epoch can be repeated without knowing what was drawn before it.
"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from core.config import ConfigError, RunConfig


def generator(*key: int | str) -> torch.Generator:
    """A generator that depends on nothing but `key`, e.g. (seed, "batches", epoch)."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled(count: int, batch_size: int, draw: torch.Generator) -> list[Tensor]:
    """All `count` images in random order, cut into batches of indices (B,); the last one may be smaller."""
    batches = list(torch.randperm(count, generator=draw).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:  # batch normalisation cannot learn from a single image
        batches.pop()
    return batches


def random_triplets(labels: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """`count` triplets of image indices (count, 3): anchor, positive, negative, each drawn uniformly.

    The anchor is any image whose class has another image, the positive another image of that class, the negative
    any image of another class. `labels` is (N,). Raises ConfigError if there is no such triplet.
    """
    by_class = labels.argsort(stable=True)  # (N,) image indices, class after class
    ordered = labels[by_class]
    size = torch.bincount(labels)[ordered]  # (N,) images in the class of each place
    start = torch.searchsorted(ordered, ordered)  # (N,) first place of its class
    anchors = (size > 1).nonzero().flatten()  # places
    if len(anchors) == 0 or size[0] == len(labels):
        raise ConfigError("triplets need at least two classes, one of them with two images")

    def below(limits: Tensor) -> Tensor:  # a uniform whole number below each limit
        return (torch.rand(len(limits), generator=draw, dtype=torch.float64) * limits).long()

    anchor = anchors[below(torch.full((count,), len(anchors)))]
    first, others = start[anchor], size[anchor]
    positive = first + (anchor - first + 1 + below(others - 1)) % others  # any place of the class but the anchor's
    negative = below(len(labels) - others)
    negative = torch.where(negative < first, negative, negative + others)  # skips the anchor's class
    return by_class[torch.stack([anchor, positive, negative], dim=1)]


def batches(config: RunConfig, labels: Tensor, epoch: int) -> Iterator[Tensor]:
    """The batches of one epoch, each as indices of training images.

    Cross-entropy: (B,) shuffled images. Triplets: (3T,) all anchors, then their positives, then their negatives, so
    that all of them pass through the network as one batch and batch normalisation sees one distribution.
    """
    draw = generator(config.seed, "batches", epoch)
    if config.objective == "cross_entropy":
        yield from shuffled(len(labels), config.batch_size, draw)
    else:
        for triplets in random_triplets(labels, config.triplets, draw).split(config.batch_size):
            yield triplets.T.flatten()


def steps_per_epoch(config: RunConfig, image_count: int) -> int:
    """How many batches `batches` yields for `image_count` training images."""
    count = image_count if config.objective == "cross_entropy" else config.triplets
    whole, rest = divmod(count, config.batch_size)
    dropped = config.objective == "cross_entropy" and rest == 1 and whole > 0
    return whole + (rest > 0) - dropped
