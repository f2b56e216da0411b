"""What is minimised. The one seam between the loop and the mathematics.

A file here is an objective, named by an entry of choices.OBJECTIVES. It has two functions:

    batch_loss(outputs, batch, config) -> (loss, diagnostics)   of a training batch; the loss has a gradient
    held_back_loss(outputs, labels, config, draw) -> number     of images that are not learnt from

The second is comparable between epochs, and None where it cannot be formed; `draw` is the same generator each time.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from core.learning import sampling
from core.networks.build import Outputs
from core.settings import choices
from core.settings.config import RunConfig

Diagnostics = dict[str, float | None]  # None where a batch cannot tell: it has no triplet


class Batch(NamedTuple):
    """What an objective may know of a training batch, besides what the network says about it."""

    labels: Tensor  # (B,)
    epoch: int  # from 1
    draw: torch.Generator  # of the step
    images: Tensor | None = None  # (B,) their numbers, where one may be in it twice


def batch_loss(
    outputs: Outputs,
    labels: Tensor,
    config: RunConfig,
    epoch: int,
    draw: torch.Generator,
    images: Tensor | None = None,
) -> tuple[Tensor, Diagnostics]:
    """The loss of a training batch, and what the run reports of it; see `Batch`."""
    return choices.load(config.learns.module).batch_loss(outputs, Batch(labels, epoch, draw, images), config)


def held_back_loss(outputs: Outputs, labels: Tensor, config: RunConfig) -> float | None:
    """The objective on images that are not learnt from, comparable between epochs; None where it cannot be formed."""
    if config.learns.compares and len(labels.unique()) == len(labels):  # one image a class: no positives
        return None
    draw = sampling.generator(config.seed, "test")
    return choices.load(config.learns.module).held_back_loss(outputs, labels, config, draw)
