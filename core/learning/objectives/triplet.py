"""The triplet loss (FaceNet, arXiv:1503.03832) of the triplets of a batch that are mined."""

import torch
from torch import Tensor

from core.learning import sampling, triplets
from core.learning.objectives import Batch, Diagnostics
from core.networks.build import Outputs
from core.settings import choices
from core.settings.config import IMAGES_A_TRIPLET, RunConfig
from core.settings.setting import ConfigError


def batch_loss(outputs: Outputs, batch: Batch, config: RunConfig) -> tuple[Tensor, Diagnostics]:
    """The loss of the mined triplets of a batch."""
    pairs = triplets.pairs_of(batch.labels, batch.images)
    selection, chosen = mined(outputs.embeddings, pairs, config, batch.epoch, batch.draw)
    loss, diagnostics = triplets.triplet_loss(
        outputs.embeddings, chosen, config.margin, config.triplet_loss, config.triplet_mean
    )
    anchors = len(batch.labels) // IMAGES_A_TRIPLET if selection == "drawn" else len(batch.labels)
    return loss, diagnostics | {
        "triplet_loss": loss.item(),
        "anchors_left_out": 0 if selection == "drawn" else triplets.anchors_left_out(chosen, anchors),
        "spread": triplets.spread(outputs.embeddings),
        **triplets.valid_shares(outputs.embeddings, pairs, config.margin),
    }


def mined(
    embeddings: Tensor, pairs: triplets.Pairs, config: RunConfig, epoch: int, draw: torch.Generator
) -> tuple[str, triplets.Triplets]:
    """The way of mining in an epoch, one of choices.SELECTIONS, and the triplets of a batch that it finds."""
    selection = "all" if epoch <= config.all_first and config.counted != "drawn" else config.counted
    rule = choices.load(choices.SELECTIONS[selection].rule)
    return selection, rule(embeddings, pairs, config.margin, draw)


def held_back_loss(outputs: Outputs, labels: Tensor, config: RunConfig, draw: torch.Generator) -> float | None:
    """The mean loss of as many random triplets as there are images, always the same ones: whatever mining the training
    uses, its hard triplets would be other ones in every epoch. None if there is a single class.
    """
    try:
        picked = sampling.random_triplets(labels, len(labels), draw).T
    except ConfigError:  # a single class has no negatives
        return None
    anchors, positives, negatives = (outputs.embeddings[places] for places in picked)  # (Q, D) each
    excess = (anchors - positives).norm(dim=1) - (anchors - negatives).norm(dim=1)
    return triplets.losses_of(excess, config.margin, config.triplet_loss).mean().item()
