"""Random changes to a batch of training images, as tensor operations on the whole batch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_flip(images: Tensor, draw: torch.Generator, padding: int = 4) -> Tensor:
    """Random crop after padding with background, then a horizontal flip of every second image on average.

    (B, C, H, W) -> (B, C, H, W), values from -1 (background) to 1.
    """
    batch, _, height, width = images.shape
    down = torch.randint(2 * padding + 1, (batch, 1), generator=draw)
    right = torch.randint(2 * padding + 1, (batch, 1), generator=draw)
    flipped = torch.randint(2, (batch, 1), generator=draw).bool()
    column = torch.arange(width)
    rows = down + torch.arange(height)  # (B, H)
    columns = right + torch.where(flipped, column.flip(0), column)  # (B, W)
    rows, columns = rows.to(images.device), columns.to(images.device)
    padded = F.pad(images, [padding] * 4, value=-1.0)
    each = torch.arange(batch, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
