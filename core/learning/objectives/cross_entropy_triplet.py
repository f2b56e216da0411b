"""Cross-entropy plus a weight times the triplet loss, on the same features: names and distances at once."""

import torch
from torch import Tensor

from core.learning.objectives import Batch, Diagnostics, cross_entropy, triplet
from core.networks.build import Outputs
from core.settings.config import RunConfig


def batch_loss(outputs: Outputs, batch: Batch, config: RunConfig) -> tuple[Tensor, Diagnostics]:
    """The sum; the diagnostics are those of both."""
    loss, diagnostics = triplet.batch_loss(outputs, batch, config)
    naming_loss, more = cross_entropy.batch_loss(outputs, batch, config)
    return naming_loss + config.triplet_weight * loss, diagnostics | more


def held_back_loss(outputs: Outputs, labels: Tensor, config: RunConfig, draw: torch.Generator) -> float | None:
    """The sum; None where triplets cannot be formed."""
    loss = triplet.held_back_loss(outputs, labels, config, draw)
    if loss is None:
        return None
    return cross_entropy.held_back_loss(outputs, labels, config, draw) + config.triplet_weight * loss
