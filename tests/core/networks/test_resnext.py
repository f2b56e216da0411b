"""ResNeXt against torchvision's bottleneck block with the same weights."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet as torchvision_resnet

from core.networks.resnext import ResNeXt, _Block


class Bottleneck(torchvision_resnet.Bottleneck):
    expansion = 2


def torchvision_block(inputs: int, cardinality: int, bottleneck_width: int, stride: int) -> nn.Module:
    """The block whose inner width is cardinality x bottleneck_width and whose outputs are twice as many."""
    inner = cardinality * bottleneck_width
    downsample = None
    if stride != 1 or inputs != 2 * inner:
        downsample = nn.Sequential(
            nn.Conv2d(inputs, 2 * inner, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(2 * inner)
        )
    return Bottleneck(inputs, inner, stride, downsample, groups=cardinality, base_width=64 / cardinality)


@pytest.mark.parametrize(
    ("inputs", "stride", "projects"),
    [
        pytest.param(24, 1, False, id="same shape"),
        pytest.param(10, 1, True, id="more channels"),
        pytest.param(12, 2, True, id="half the size"),
        pytest.param(24, 2, True, id="same channels, half the size"),
    ],
)
def test_block_equals_torchvisions(inputs, stride, projects):
    torch.manual_seed(0)
    theirs, ours = torchvision_block(inputs, 4, 3, stride), _Block(inputs, 4, 3, stride)
    for name, value in theirs.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if name.endswith("running_var") else value.normal_(std=0.5)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(4, inputs, 8, 8)
    assert theirs.conv2.groups == 4
    assert isinstance(ours.shortcut, nn.Sequential) == projects
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(images), theirs.train(training)(images))
    for our_value, their_value in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(our_value, their_value)


def test_layers_of_the_lab_sheet():
    network = ResNeXt((3, 3, 3), cardinality=16, bottleneck_width=8)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 31
    assert all(layer.bias is None for layer in convolutions)
    assert network.feature_size == 1024
    assert [[isinstance(block.shortcut, nn.Sequential) for block in stage] for stage in network.stages] == [
        [True, False, False]
    ] * 3
    assert [stage[0].conv2.in_channels for stage in network.stages] == [128, 256, 512]
    assert {stage[1].conv2.groups for stage in network.stages} == {16}


def test_shapes():
    network = ResNeXt((1, 2, 1), cardinality=2, bottleneck_width=3, channels=1)
    features = network.stem(torch.zeros(2, 1, 32, 32))
    assert features.shape == (2, 64, 32, 32)
    assert network.stages(features).shape == (2, 48, 8, 8)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, network.feature_size) == (2, 48)


def test_convolutions_start_with_torchvisions_spread():
    torch.manual_seed(0)
    layer = ResNeXt((1,), cardinality=4, bottleneck_width=16).stages[0][0].conv3  # 128 outputs
    assert layer.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
