"""Which images form a batch: shuffled, triplets (random, of chosen or of confused classes), P classes x K images.

Every draw comes from a generator made from (seed, what for, epoch, …), never from the process-wide one, so that an
epoch can be repeated without knowing what was drawn before it. N training images, C classes.
"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from core.settings.config import RunConfig
from core.settings.setting import ConfigError


def generator(*key: int | str) -> torch.Generator:
    """A generator that depends on nothing but `key`, e.g. (seed, "batches", epoch)."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled(count: int, batch_size: int, draw: torch.Generator) -> list[Tensor]:
    """All `count` images in random order, cut into batches of indices (B,); the last one may be smaller."""
    return list(torch.randperm(count, generator=draw).split(batch_size))[: shuffled_steps(count, batch_size)]


def shuffled_steps(count: int, batch_size: int) -> int:
    """Batches of `count` shuffled images; a last one of one image is dropped, unless it is the only one."""
    whole, rest = divmod(count, batch_size)
    return whole + (rest > 1 or whole == 0)  # batch normalisation cannot learn from a single image


def balanced(labels: Tensor, classes: int, images: int, draw: torch.Generator) -> list[Tensor]:
    """Batches of `images` different images of each of `classes` different classes, class after class: indices (B,).

    `labels` is (N,). As many batches as have room in N images. Every class deals its images like a pack of cards,
    shuffled anew when fewer than `images` are left; a class that has fewer gives all of them. With more classes than
    fit into a batch those of a batch are drawn. Raises ConfigError if there are fewer classes than asked.
    """
    members = {label: (labels == label).nonzero().flatten() for label in labels.unique().tolist()}
    if classes > len(members):
        raise ConfigError(f"there are {len(members)} classes; use that many or fewer", "classes_per_batch")
    packs = {label: members[label][:0] for label in members}

    def deal(label: int) -> Tensor:
        if len(packs[label]) < min(images, len(members[label])):
            packs[label] = members[label][torch.randperm(len(members[label]), generator=draw)]
        hand, packs[label] = packs[label][:images], packs[label][images:]
        return hand

    batches = []
    for _ in range(balanced_steps(len(labels), classes, images)):
        order = torch.randperm(len(members), generator=draw)[:classes].tolist()
        batches.append(torch.cat([deal(list(members)[place]) for place in order]))
    return batches


def balanced_steps(count: int, classes: int, images: int) -> int:
    """Batches of `classes` x `images` images that have room in `count` images, at least one."""
    return max(1, count // (classes * images))


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
    anchor = anchors[_below(torch.full((count,), len(anchors)), draw)]
    first, others = start[anchor], size[anchor]
    positive = first + (anchor - first + 1 + _below(others - 1, draw)) % others  # any place of the class but its own
    negative = _below(len(labels) - others, draw)
    negative = torch.where(negative < first, negative, negative + others)  # skips the anchor's class
    return by_class[torch.stack([anchor, positive, negative], dim=1)]


def class_triplets(labels: Tensor, weights: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """`count` triplets (count, 3) whose classes are drawn by weight: entry [i, j] of `weights` (C, C) is for anchors of
    class i with negatives of class j.

    Within its class every image is equally likely. The diagonal and classes with too few images count as zero.
    Raises ConfigError if no weight is left.
    """
    sizes = torch.bincount(labels, minlength=len(weights))  # (C,)
    possible = (sizes > 1)[:, None] & (sizes > 0)[None, :] & ~torch.eye(len(weights), dtype=torch.bool)
    weights = (weights.double() * possible).flatten()
    if not weights.sum() > 0:
        raise ConfigError("no image pair of the chosen classes; choose classes with two images or more", "triplets")
    pair = torch.multinomial(weights, count, replacement=True, generator=draw)
    of_anchor, of_negative = pair // len(sizes), pair % len(sizes)  # (count,)
    by_class, start = labels.argsort(stable=True), sizes.cumsum(0) - sizes
    anchor = _below(sizes[of_anchor], draw)
    positive = (anchor + 1 + _below(sizes[of_anchor] - 1, draw)) % sizes[of_anchor]  # any of the class but the anchor
    negative = _below(sizes[of_negative], draw)
    places = [start[of_anchor] + anchor, start[of_anchor] + positive, start[of_negative] + negative]
    return by_class[torch.stack(places, dim=1)]


def _below(limits: Tensor, draw: torch.Generator) -> Tensor:
    """A uniform whole number below each limit."""
    return (torch.rand(len(limits), generator=draw, dtype=torch.float64) * limits).long()


def held_out(config: RunConfig, labels: Tensor) -> Tensor:
    """Which training images are kept for validation: (N,) labels -> (N,) bool, the same share of every class."""
    mask = torch.zeros(len(labels), dtype=torch.bool)
    draw = generator(config.seed, "validation")
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        mask[members[torch.randperm(len(members), generator=draw)[: config.held_out(len(members))]]] = True
    return mask


def chosen_pairs(config: RunConfig, class_numbers: tuple[int, ...]) -> Tensor:
    """The weights (C, C) for `class_triplets`: 1 for each chosen positive class with each chosen negative class."""
    weights = torch.zeros(len(class_numbers), len(class_numbers))
    for positive in config.positive_classes:
        for negative in config.negative_classes:
            weights[class_numbers.index(positive), class_numbers.index(negative)] = 1.0
    return weights


def batches(
    config: RunConfig, labels: Tensor, class_numbers: tuple[int, ...], confused: Tensor | None, epoch: int
) -> Iterator[Tensor]:
    """The batches of one epoch, each as indices of training images.

    Shuffled or balanced: (B,) images. Triplets: (3T,) all anchors, then their positives, then their negatives, so that
    all of them pass through the network as one batch and batch normalisation sees one distribution.
    `confused` (C, C) counts the training images of the last epoch by true and predicted class; a pair of classes is
    drawn as often as it was confused, in either direction. Before there is such a count, or where no
    pair that was confused has two images for an anchor and its positive, triplets are random.
    """
    draw = generator(config.seed, "batches", epoch)
    if config.batches == "shuffled":
        yield from shuffled(len(labels), config.batch_size, draw)
    elif config.batches == "balanced":
        yield from balanced(labels, config.classes_a_batch(len(labels.unique())), config.images_per_class, draw)
    else:
        weights = None
        if config.batches == "chosen_triplets":
            weights = chosen_pairs(config, class_numbers)
        elif config.batches == "confused_triplets" and confused is not None:
            weights = (confused + confused.T).fill_diagonal_(0)
            weights[torch.bincount(labels, minlength=len(weights)) < 2] = 0  # a single image has no positive
        chosen = round(config.chosen_share * config.triplets) if weights is not None and weights.any() else 0
        triplets = random_triplets(labels, config.triplets - chosen, draw) if chosen < config.triplets else None
        if chosen:
            special = class_triplets(labels, weights, chosen, draw)
            triplets = special if triplets is None else torch.cat([triplets, special])
        triplets = triplets[torch.randperm(len(triplets), generator=draw)]
        for batch in triplets.split(config.batch_size):
            yield batch.T.flatten()


def steps_per_epoch(config: RunConfig, labels: Tensor) -> int:
    """How many batches `batches` yields for training images with these labels (N,)."""
    if config.batches == "balanced":
        return balanced_steps(len(labels), config.classes_a_batch(len(labels.unique())), config.images_per_class)
    if config.draws_triplets:
        return -(-config.triplets // config.batch_size)
    return shuffled_steps(len(labels), config.batch_size)
