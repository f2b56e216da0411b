"""Trainings of a few small steps: settings, images, a network of two layers and an evaluation that costs nothing."""

import pytest
import torch
from torch import nn

from core.analysis.classify import Prediction
from core.learning import loop
from core.learning.evaluate import Evaluation, LabelledImages
from core.learning.machine import Machine
from core.learning.training import Training
from core.networks import build
from core.settings.config import RunConfig

CPU = Machine("cpu", "float32", 1)
TRIPLETS = RunConfig(
    channels=1,
    embedding_size=8,
    objective="triplet",
    triplets=10,
    batch_size=4,
    epochs=2,
    learning_rate=0.05,
    neighbours=1,
)
CLASSIFIER = TRIPLETS.changed(objective="cross_entropy", batch_size=6)
EITHER = pytest.mark.parametrize("config", [TRIPLETS, CLASSIFIER], ids=["triplet", "cross_entropy"])  # 3 or 4 steps
IMAGES = LabelledImages(
    torch.randint(256, (20, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8),
    torch.arange(20) % 4,
    (0, 1, 2, 3),
)
NOBODY = torch.zeros(20, dtype=torch.bool)  # is held out for validation


class Backbone(nn.Sequential):
    """Two layers instead of a real network: the loop does not know the difference."""

    feature_size = 12

    def __init__(self):
        super().__init__(
            nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU()
        )


def network(config: RunConfig) -> build.Network:
    torch.manual_seed(0)
    return build.Network(Backbone(), config.objective, class_count=4, embedding_size=config.embedding_size)


def anything(epoch: int) -> Evaluation:
    """An evaluation for tests in which it does not matter; its numbers tell the epoch."""
    nothing = torch.zeros(0)
    return Evaluation(
        train_embeddings=nothing,
        test_embeddings=nothing,
        test_prediction=Prediction(nothing, nothing),
        train_accuracy=0.1 * epoch,
        train_confusion=torch.eye(4, dtype=torch.int64) + epoch,
        validation_accuracy=None,
        validation_loss=None,
        test_accuracy=0.2 * epoch,
        test_loss=0.3 * epoch,
    )


def begun(config: RunConfig, made=None) -> Training:
    return Training(made or network(config), config)


def fit(config: RunConfig, made=None, evaluation=anything, control=lambda: None, machine=CPU, training=None):
    return loop.fit(training or begun(config, made), IMAGES, config, machine, evaluation, control)


def weights_of(made: build.Network) -> list[torch.Tensor]:
    return [weights.detach().clone() for weights in made.parameters()]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
