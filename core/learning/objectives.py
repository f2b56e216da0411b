"""What is minimised: (outputs, labels) -> (loss, diagnostics). The one seam between the loop and the mathematics."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.learning import sampling, triplets
from core.networks.build import Outputs
from core.settings import choices
from core.settings.config import ConfigError, RunConfig

Diagnostics = dict[str, float | None]  # None where a batch cannot tell: it has no triplet
_CONTRASTED = 80  # images of a batch, where the contrastive loss is measured on images that are not learnt from


def batch_loss(
    outputs: Outputs,
    labels: Tensor,
    config: RunConfig,
    epoch: int,
    draw: torch.Generator,
    images: Tensor | None = None,
) -> tuple[Tensor, Diagnostics]:
    """The loss of a training batch, and what the run reports of it. `labels` is (B,), `epoch` counts from 1.

    `images` (B,) are the numbers of the batch's images, where one may be in it twice.
    """
    if config.objective == "cross_entropy":
        return cross_entropy(outputs, labels, config.label_smoothing)
    if config.objective == "supervised_contrastive":
        pairs = triplets.pairs_of(labels, images)
        loss = triplets.supervised_contrastive_loss(outputs.embeddings, pairs, config.temperature)
        return loss, {"spread": triplets.spread(outputs.embeddings)}
    loss, diagnostics = selected_triplets(outputs, labels, config, epoch, draw, images)
    if config.objective == "cross_entropy_triplet":
        naming_loss, more = cross_entropy(outputs, labels, config.label_smoothing)
        loss = naming_loss + config.triplet_weight * loss
        diagnostics |= more
    return loss, diagnostics


def cross_entropy(outputs: Outputs, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Diagnostics]:
    """Mean over the batch of -log p(true class); the diagnostics hold the fraction of the batch that is right."""
    loss = F.cross_entropy(outputs.logits.float(), labels, label_smoothing=smoothing)
    right = (outputs.logits.argmax(dim=1) == labels).float().mean()
    return loss, {"batch_accuracy": right.item()}


def selected_triplets(
    outputs: Outputs,
    labels: Tensor,
    config: RunConfig,
    epoch: int,
    draw: torch.Generator,
    images: Tensor | None = None,
) -> tuple[Tensor, Diagnostics]:
    """The loss of the triplets of a batch that count by the run's selection."""
    selection = "all" if epoch <= config.all_first and config.counted != "drawn" else config.counted
    rule = choices.load(choices.SELECTIONS[selection].rule)
    pairs = triplets.pairs_of(labels, images)
    chosen = rule(outputs.embeddings, pairs, config.margin, draw)
    loss, diagnostics = triplets.triplet_loss(
        outputs.embeddings, chosen, config.margin, config.triplet_loss, config.triplet_mean
    )
    anchors = len(labels) // 3 if selection == "drawn" else len(labels)
    return loss, diagnostics | {
        "triplet_loss": loss.item(),
        "anchors_left_out": 0 if selection == "drawn" else triplets.anchors_left_out(chosen, anchors),
        "spread": triplets.spread(outputs.embeddings),
    }


def held_back_loss(outputs: Outputs, labels: Tensor, config: RunConfig) -> float | None:
    """The objective on images that are not learnt from, comparable between epochs; None where it cannot be formed.

    Triplets are as many random ones as there are images, always the same: whatever selection the training uses, its
    hard triplets would be other ones in every epoch. The contrastive loss is the mean over batches of 80 images,
    always the same ones. No label smoothing.
    """
    draw = sampling.generator(config.seed, "test")
    if config.objective == "cross_entropy":
        return cross_entropy(outputs, labels)[0].item()
    if len(labels.unique()) == len(labels):  # one image a class: no positives
        return None
    if config.objective == "supervised_contrastive":
        batches = sampling.shuffled(len(labels), _CONTRASTED, draw)
        losses = [
            triplets.supervised_contrastive_loss(
                outputs.embeddings[batch], triplets.pairs_of(labels[batch]), config.temperature
            )
            for batch in batches
        ]
        return torch.stack(losses).mean().item()
    try:
        picked = sampling.random_triplets(labels, len(labels), draw).T
    except ConfigError:  # a single class has no negatives
        return None
    anchors, positives, negatives = (outputs.embeddings[places] for places in picked)  # (Q, D) each
    excess = (anchors - positives).norm(dim=1) - (anchors - negatives).norm(dim=1)
    loss = triplets.losses_of(excess, config.margin, config.triplet_loss).mean().item()
    if config.objective == "cross_entropy_triplet":
        loss = cross_entropy(outputs, labels)[0].item() + config.triplet_weight * loss
    return loss
