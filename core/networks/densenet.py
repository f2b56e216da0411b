"""DenseNet-BC: every layer sees the feature maps of all layers before it in its block (arXiv:1608.06993)."""

import torch
from torch import Tensor, nn


class DenseNet(nn.Module):
    """Dense blocks with transitions between them, for images of S x S pixels, 32, 28 or 24.

    `blocks` counts the layers in each dense block: 2, 2, 4, 16 makes 52 convolutions, 2, 5, 4, 6 makes 38.
    `growth_rate` is the number of feature maps that each layer adds to those before it.
    """

    def __init__(self, blocks: tuple[int, ...], growth_rate: int = 12, channels: int = 3):  # k in the paper
        super().__init__()
        width = 2 * growth_rate
        self.stem = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
        stages = []
        for number, layer_count in enumerate(blocks):
            if number > 0:
                stages.append(_Transition(width, width // 2))
                width //= 2
            stages.append(
                nn.Sequential(*(_DenseLayer(width + i * growth_rate, growth_rate) for i in range(layer_count)))
            )
            width += layer_count * growth_rate
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = width
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)  # arXiv:1502.01852

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, S, S) -> pooled features (B, feature_size)."""
        features = self.stages(self.stem(images))  # (B, feature_size, S / 8, S / 8)
        return self.pool(torch.relu_(self.norm(features))).flatten(1)


class _DenseLayer(nn.Module):
    """Adds `growth_rate` feature maps: (B, inputs, H, W) -> (B, inputs + growth_rate, H, W)."""

    def __init__(self, inputs: int, growth_rate: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth_rate, kernel_size=1, bias=False)  # the B, bottleneck, of DenseNet-BC
        self.norm2 = nn.BatchNorm2d(4 * growth_rate)
        self.conv2 = nn.Conv2d(4 * growth_rate, growth_rate, kernel_size=3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        bottleneck = self.conv1(torch.relu_(self.norm1(features)))  # (B, 4k, H, W)
        added = self.conv2(torch.relu_(self.norm2(bottleneck)))  # (B, k, H, W)
        return torch.cat([features, added], dim=1)


class _Transition(nn.Module):
    """Between two blocks: fewer feature maps (the C, compression, of DenseNet-BC), half the height and width."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, features: Tensor) -> Tensor:
        return self.pool(self.conv(torch.relu_(self.norm(features))))
