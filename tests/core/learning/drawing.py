"""A small set of labels, a configuration for each kind of sampling, and the batches drawn with them."""

import torch

from core.learning import sampling
from core.settings.config import RunConfig

UNEQUAL = torch.tensor([2, 0, 1, 2, 3, 3, 1, 3, 1, 3, 3])  # one image of class 0, three of 1, two of 2, five of 3
NUMBERS = (3, 5, 8, 11)  # of these classes in the CSV
CONFUSED = torch.tensor([[5, 0, 1, 0], [0, 5, 0, 0], [2, 0, 5, 0], [0, 1, 0, 5]])  # row = true, column = predicted


def triplet_config(**changes) -> RunConfig:
    return RunConfig(**dict(objective="triplet", triplets=10, batch_size=4, seed=3) | changes)


def classifier_config(**changes) -> RunConfig:
    return RunConfig(**dict(objective="cross_entropy", batch_size=4, seed=3) | changes)


def balanced_config(**changes) -> RunConfig:
    return RunConfig(**dict(sampling="balanced", classes_per_batch=2, images_per_class=2, seed=3) | changes)


def chosen_config(**changes) -> RunConfig:
    chosen = dict(sampling="chosen_triplets", positive_classes=(5, 8), negative_classes=(11, 3))
    return triplet_config(**chosen | changes)


def confused_config(**changes) -> RunConfig:
    return triplet_config(**dict(sampling="confused_triplets") | changes)


KINDS = [triplet_config, classifier_config, balanced_config, chosen_config, confused_config]


def batches_of(config: RunConfig, labels=UNEQUAL, epoch: int = 1, confused=CONFUSED) -> list[torch.Tensor]:
    return list(sampling.batches(config, labels, NUMBERS, confused, epoch))


def triplets_of(config: RunConfig, labels=UNEQUAL, epoch: int = 1, confused=CONFUSED) -> torch.Tensor:
    """All triplets of an epoch, (T, 3)."""
    return torch.cat([batch.view(3, -1).T for batch in batches_of(config, labels, epoch, confused)])
