"""ResNet against the whole of torchvision's ResNet-18 with the same weights."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from core.networks.resnet import ResNet


def torchvision_backbone() -> nn.Module:
    """ResNet-18 for small images, without its classifier: the same change of stem as ours."""
    network = resnet18()
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    network.fc = nn.Identity()
    return network


def parameter_count(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def test_backbone_equals_torchvisions():
    torch.manual_seed(0)
    theirs, ours = torchvision_backbone(), ResNet()
    for name, value in theirs.state_dict().items():
        if "running_var" in name:
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1:  # batch normalisation
            value.uniform_(-0.5, 1.0)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        for training in (True, False):
            expected = theirs.train(training)(images)
            assert expected.std() > 0
            torch.testing.assert_close(ours.train(training)(images), expected)
    assert parameter_count(ours) == parameter_count(theirs)


def test_shapes_and_widths():
    network = ResNet((1, 2, 1), width=4, channels=1)
    features = network.stem(torch.zeros(2, 1, 32, 32))
    assert features.shape == (2, 4, 32, 32)
    assert network.stages(features).shape == (2, 16, 8, 8)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, network.feature_size) == (2, 16)


def test_a_stem_with_a_stride_halves_every_map_and_keeps_the_weights():
    plain, strided = ResNet((1, 1), width=4, channels=1), ResNet((1, 1), width=4, stem_stride=2, channels=1)
    features = strided.stem(torch.zeros(2, 1, 28, 28))
    assert features.shape == (2, 4, 14, 14)
    assert strided.stages(features).shape == (2, 8, 7, 7)
    assert parameter_count(strided) == parameter_count(plain)
    image = torch.zeros(1, 1, 28, 28)
    image[:, :, 4, 7] = 1.0  # an even row: seen from one place; an odd column: from the two beside it
    assert [place.tolist() for place in strided.stem(image)[0, 0].nonzero()] == [[2, 3], [2, 4]]


def test_shortcuts_project_only_where_the_shape_changes():
    network = ResNet(width=4)
    projects = [[isinstance(block.shortcut, nn.Sequential) for block in stage] for stage in network.stages]
    assert projects == [[False, False], [True, False], [True, False], [True, False]]
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 20  # the paper's 18 are 17 of these and the classifier; 3 are projections
    assert all(layer.bias is None for layer in convolutions)


def test_convolutions_start_with_torchvisions_spread():
    torch.manual_seed(0)
    layer = ResNet((1,), width=32).stages[0][0].conv1  # 32 outputs x 3 x 3
    assert layer.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.05)
