"""Cross-entropy: -log p(true class), by a fully connected layer to the classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.learning.objectives import Batch, Diagnostics
from core.networks.build import Outputs
from core.settings.config import RunConfig


def batch_loss(outputs: Outputs, batch: Batch, config: RunConfig) -> tuple[Tensor, Diagnostics]:
    """Mean over the batch of -log p(true class); the diagnostics hold the fraction of the batch that is right."""
    loss = F.cross_entropy(outputs.logits.float(), batch.labels, label_smoothing=config.label_smoothing)
    right = (outputs.logits.argmax(dim=1) == batch.labels).float().mean()
    return loss, {"batch_accuracy": right.item()}


def held_back_loss(outputs: Outputs, labels: Tensor, config: RunConfig, draw: torch.Generator) -> float:
    """The same mean, without label smoothing."""
    return F.cross_entropy(outputs.logits.float(), labels).item()
