"""A training batch on its way into the network: images -> their size -> augmentation -> channels."""

import torch
from torch import Tensor

from core.learning.augment import augment
from core.networks.build import prepare, repeated
from core.settings.config import RunConfig


def prepared(images: Tensor, config: RunConfig, device: str, draw: torch.Generator) -> Tensor:
    """Images (B, H, W) uint8, changed at random as the settings say, as the network takes them: (B, channels, S, S)."""
    single = prepare(images.to(device), 1, config.image_size)  # (B, 1, S, S)
    return repeated(augment(single, config.augmentation, draw), config.channels)
