"""The supervised contrastive loss (arXiv:2004.11362): each image against all others of the batch at once."""

import torch
from torch import Tensor

from core.learning import sampling, triplets
from core.learning.objectives import Batch, Diagnostics
from core.networks.build import Outputs
from core.settings.config import RunConfig

_CONTRASTED = 80  # images of a batch, where it is measured on images that are not learnt from


def batch_loss(outputs: Outputs, batch: Batch, config: RunConfig) -> tuple[Tensor, Diagnostics]:
    """The loss of a batch; the diagnostics hold the spread of its embeddings."""
    pairs = triplets.pairs_of(batch.labels, batch.images)
    loss = triplets.supervised_contrastive_loss(outputs.embeddings, pairs, config.temperature)
    return loss, {"spread": triplets.spread(outputs.embeddings)}


def held_back_loss(outputs: Outputs, labels: Tensor, config: RunConfig, draw: torch.Generator) -> float:
    """The mean over batches of 80 images, always the same ones."""
    batches = sampling.shuffled(len(labels), _CONTRASTED, draw)
    losses = [
        triplets.supervised_contrastive_loss(
            outputs.embeddings[batch], triplets.pairs_of(labels[batch]), config.temperature
        )
        for batch in batches
    ]
    return torch.stack(losses).mean().item()
