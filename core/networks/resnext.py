"""ResNeXt: residual blocks of many narrow parallel paths, written as one grouped convolution (arXiv:1611.05431)."""

import torch
from torch import Tensor, nn


class ResNeXt(nn.Module):
    """Stages of bottleneck blocks, for images of S x S pixels, 32, 28 or 24; every stage after the first halves height
    and width.

    `blocks` counts the blocks in each stage: 3, 3, 3 makes 31 convolutions, shortcuts included.
    `cardinality` is the number of parallel paths in a block, `bottleneck_width` the channels of each path in the
    first stage; it doubles after each stage.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        cardinality: int = 16,  # C in the paper
        bottleneck_width: int = 8,  # d in the paper
        channels: int = 3,
    ):
        super().__init__()
        width = 64
        self.stem = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        stages = []
        for number, block_count in enumerate(blocks):
            stage = []
            for i in range(block_count):
                stride = 2 if number > 0 and i == 0 else 1
                stage.append(_Block(width, cardinality, bottleneck_width, stride))
                width = stage[-1].outputs
            stages.append(nn.Sequential(*stage))
            bottleneck_width *= 2
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = width
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # arXiv:1502.01852

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, S, S) -> pooled features (B, feature_size)."""
        features = torch.relu_(self.norm(self.stem(images)))  # (B, 64, S, S)
        return self.pool(self.stages(features)).flatten(1)


class _Block(nn.Module):
    """Adds what its paths have found to its input: (B, inputs, H, W) -> (B, 2Cd, H / stride, W / stride)."""

    def __init__(self, inputs: int, cardinality: int, bottleneck_width: int, stride: int):
        super().__init__()
        inner = cardinality * bottleneck_width
        self.outputs = 2 * inner
        self.conv1 = nn.Conv2d(inputs, inner, kernel_size=1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, kernel_size=3, stride=stride, padding=1, groups=cardinality, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, self.outputs, kernel_size=1, bias=False)
        self.norm3 = nn.BatchNorm2d(self.outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != self.outputs:
            projection = nn.Conv2d(inputs, self.outputs, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(self.outputs))

    def forward(self, features: Tensor) -> Tensor:
        residual = torch.relu_(self.norm1(self.conv1(features)))  # (B, Cd, H, W)
        residual = torch.relu_(self.norm2(self.conv2(residual)))  # (B, Cd, H / stride, W / stride)
        residual = self.norm3(self.conv3(residual))  # (B, 2Cd, H / stride, W / stride)
        return torch.relu_(residual + self.shortcut(features))
