"""DenseNet against torchvision's blocks with the same weights."""

import pytest
import torch
from torch import nn
from torchvision.models.densenet import _DenseBlock
from torchvision.models.densenet import _Transition as TorchvisionTransition

from core.networks.densenet import DenseNet, _DenseLayer, _Transition


def copy_random_weights(source: nn.Module, target: nn.Module):
    """Random weights and statistics for `source`, and the same, in order of registration, for `target`."""
    for name, value in source.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if name.endswith("running_var") else value.normal_(std=0.5)
    target.load_state_dict(dict(zip(target.state_dict(), source.state_dict().values(), strict=True)))


def check_same(theirs: nn.Module, ours: nn.Module, images: torch.Tensor):
    """Same output in training and in evaluation, and same running statistics after training."""
    copy_random_weights(theirs, ours)
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(images), theirs.train(training)(images))
    for our_value, their_value in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(our_value, their_value)


def test_dense_layers_equal_torchvisions_block():
    torch.manual_seed(0)
    theirs = _DenseBlock(num_layers=3, num_input_features=8, bn_size=4, growth_rate=5, drop_rate=0.0)
    ours = nn.Sequential(*(_DenseLayer(8 + 5 * i, 5) for i in range(3)))
    check_same(theirs, ours, torch.randn(4, 8, 6, 6))


def test_transition_equals_torchvisions():
    torch.manual_seed(0)
    check_same(TorchvisionTransition(10, 5), _Transition(10, 5), torch.randn(4, 10, 6, 6))


def test_a_layer_hands_on_all_feature_maps_before_it():
    features = torch.randn(2, 8, 6, 6)
    assert torch.equal(_DenseLayer(8, 5)(features)[:, :8], features)


@pytest.mark.parametrize(("blocks", "convolutions"), [((2, 5, 4, 6), 38), ((2, 2, 4, 16), 52)])
def test_convolutions_of_the_lab_sheet(blocks, convolutions):
    network = DenseNet(blocks, growth_rate=4)
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == convolutions
    assert all(layer.bias is None for layer in network.modules() if isinstance(layer, nn.Conv2d))


def test_width_doubles_the_growth_rate_then_grows_and_halves():
    network = DenseNet((1, 2, 1, 3), growth_rate=6, channels=1)
    # 12 -> 18 -> 9 -> 21 -> 10 -> 16 -> 8 -> 26: an odd width is rounded down
    assert [stage.conv.out_channels for stage in network.stages if isinstance(stage, _Transition)] == [9, 10, 8]
    assert network.feature_size == 26
    assert network.stages(network.stem(torch.zeros(1, 1, 32, 32))).shape == (1, 26, 4, 4)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 26)


def test_convolutions_start_with_torchvisions_spread():
    torch.manual_seed(0)
    layer = DenseNet((1, 1, 1, 1), growth_rate=32).stages[0][0].conv1  # 64 inputs
    assert layer.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
