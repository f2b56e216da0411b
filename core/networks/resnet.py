"""ResNet: blocks learn what to add to their input (arXiv:1512.03385); FaceNet's embedder here (arXiv:1503.03832)."""

import torch
from torch import Tensor, nn


class ResNet(nn.Module):
    """Stages of basic blocks, for images of S x S pixels, 32, 28 or 24; every stage after the first doubles the
    channels and halves height and width.

    `blocks` counts the blocks in each stage: 2, 2, 2, 2 is ResNet-18. `width` is the number of channels of the first
    stage. Unlike the paper's network for photographs the stem is a 3x3 convolution without max-pooling, which with its
    stride would leave 8x8 of the 32x32 pixels. With a `stem_stride` of 2 all maps are half as high and wide.
    """

    def __init__(
        self, blocks: tuple[int, ...] = (2, 2, 2, 2), width: int = 64, stem_stride: int = 1, channels: int = 3
    ):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, kernel_size=3, stride=stem_stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        stages = []
        inputs = width
        for number, block_count in enumerate(blocks):
            outputs = width * 2**number
            stage = []
            for i in range(block_count):
                stride = 2 if number > 0 and i == 0 else 1
                stage.append(_Block(inputs, outputs, stride))
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = outputs
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # arXiv:1502.01852

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, S, S) -> pooled features (B, feature_size)."""
        features = torch.relu_(self.norm(self.stem(images)))  # (B, width, S / stem_stride, S / stem_stride)
        return self.pool(self.stages(features)).flatten(1)


class _Block(nn.Module):
    """Adds what two convolutions have found to its input: (B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        residual = torch.relu_(self.norm1(self.conv1(features)))  # (B, outputs, H / stride, W / stride)
        residual = self.norm2(self.conv2(residual))
        return torch.relu_(residual + self.shortcut(features))
