"""What is minimised: (outputs, labels) -> (loss, diagnostics). The one seam between the loop and the mathematics."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import RunConfig
from core.models import Outputs
from core.triplets import triplet_loss

Objective = Callable[[Outputs, Tensor], tuple[Tensor, dict[str, float]]]


def build(config: RunConfig) -> Objective:
    """The objective of a run."""
    if config.objective == "cross_entropy":
        return cross_entropy
    return lambda outputs, labels: drawn_triplets(outputs, labels, config.margin)


def cross_entropy(outputs: Outputs, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Mean over the batch of -log p(true class); the diagnostics hold the fraction of the batch that is right."""
    loss = F.cross_entropy(outputs.logits.float(), labels)
    right = (outputs.logits.argmax(dim=1) == labels).float().mean()
    return loss, {"batch_accuracy": right.item()}


def drawn_triplets(outputs: Outputs, labels: Tensor, margin: float) -> tuple[Tensor, dict[str, float]]:
    """The triplet loss of a batch (3T,) that was drawn as T anchors, their T positives and their T negatives."""
    anchors, positives, negatives = torch.arange(len(labels), device=labels.device).chunk(3)
    return triplet_loss(outputs.embeddings, anchors, positives, negatives, margin)
