"""Random changes to a batch of training images, as tensor operations on the whole batch.

Images are (B, C, H, W), values from -1 (background) to 1. Every draw comes from the generator `draw` of the step.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TURN = math.radians(15)  # at most, to either side: a 6 stays a 6
SCALE = 0.15  # of each side, larger or smaller
SHEAR = 0.2
SHIFT = 2.5  # pixels at most, in each direction
BEND = 1.2  # pixels: standard deviation of the strongest bending
BEND_GRID = 5  # points to a side at which a bending is drawn; between them it is smooth


def augment(images: Tensor, kind: str, draw: torch.Generator) -> Tensor:
    """The batch changed as the setting `augmentation` says; same shape."""
    if kind == "none":
        return images
    if kind == "crop_flip":
        return crop_flip(images, draw)
    return warp(images, draw, bend=kind == "affine_elastic")


def crop_flip(images: Tensor, draw: torch.Generator, padding: int = 4) -> Tensor:
    """Random crop after padding with background, then a horizontal flip of every second image on average."""
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


def warp(images: Tensor, draw: torch.Generator, bend: bool) -> Tensor:
    """A random affine map of each image and, with `bend`, a smooth random displacement (elastic distortion).

    The constants above bound the map from each new pixel to the old one that it shows. In the image a side therefore
    shrinks by up to 13 % (1 / 1.15) or grows by up to 17.6 % (1 / 0.85), and a shift of 2.5 pixels can become more.
    Bent by displacements with a standard deviation of at most 1.2 pixels (Simard et al., Best practices for
    convolutional neural networks, 2003), which folds a few images. What comes from outside is background.
    """
    batch, _, height, width = images.shape

    def uniform(limit: float) -> Tensor:  # (B,) from -limit to limit
        return (2 * torch.rand(batch, generator=draw) - 1) * limit

    turn, shear = uniform(TURN), uniform(SHEAR)
    wide, high = 1 + uniform(SCALE), 1 + uniform(SCALE)
    right, down = uniform(2 * SHIFT / width), uniform(2 * SHIFT / height)  # an image is 2 wide for grid_sample
    cos, sin = turn.cos(), turn.sin()
    first = torch.stack([cos * wide, (shear * cos - sin) * high, right], dim=1)
    second = torch.stack([sin * wide, (shear * sin + cos) * high, down], dim=1)
    maps = torch.stack([first, second], dim=1)  # (B, 2, 3): where each new pixel is taken from
    grid = F.affine_grid(maps, [batch, 1, height, width], align_corners=False)  # (B, H, W, 2)
    if bend:
        strength = torch.rand(batch, 1, 1, 1, generator=draw) * 2 * BEND / max(height, width)
        coarse = torch.randn(batch, 2, BEND_GRID, BEND_GRID, generator=draw) * strength
        smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)  # (B, 2, H, W)
        grid = grid + smooth.permute(0, 2, 3, 1)
    # Shifted by 1, because grid_sample fills with 0 and background is -1
    return F.grid_sample(images + 1, grid.to(images.device), align_corners=False) - 1
