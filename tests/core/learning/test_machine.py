"""What a run computes on: precision is used only where it is right."""

import pytest
import torch
from torch import nn

from core.learning import machine
from core.learning.machine import Machine
from core.networks import build
from core.settings.choices import ARCHITECTURES
from core.settings.config import RunConfig

ROUGH = Machine("cpu", "bfloat16", 1)
SMALL = {
    "densenet": dict(blocks=(1, 1, 1, 1)),
    "resnext": dict(blocks=(1, 1), cardinality=2, bottleneck_width=4),
    "resnet": dict(blocks=(1, 1), width=8),
}


def network_and_images(architecture: str) -> tuple[build.Network, torch.Tensor]:
    config = RunConfig(architecture=architecture, channels=1, image_size=28, **SMALL[architecture])
    torch.manual_seed(0)
    images = torch.randint(256, (4, 28, 28), dtype=torch.uint8)
    return build.build(config, 10).to(memory_format=torch.channels_last), build.prepare(images, 1, 28)


def wrong_for_shortcuts(monkeypatch, share: float) -> None:
    """bfloat16 convolutions of 1x1 with a stride are wrong by this share, as they were in oneDNN on AMX."""
    right = nn.Conv2d.forward

    def forward(layer, inputs):
        outputs = right(layer, inputs)
        if outputs.dtype == torch.bfloat16 and layer.kernel_size == (1, 1) and layer.stride == (2, 2):
            outputs = outputs * (1 + share)
        return outputs

    monkeypatch.setattr(nn.Conv2d, "forward", forward)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_agrees_with_float32_but_for_rounding(architecture):
    network, images = network_and_images(architecture)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    assert machine.agrees(network, images, ROUGH)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weights.grad is None for weights in network.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any(layer._forward_hooks for layer in network.modules())


@pytest.mark.parametrize(("share", "right"), [(0.1, False), (float("nan"), False), (0.0, True)])
def test_a_wrong_convolution_is_found(monkeypatch, share, right):
    wrong_for_shortcuts(monkeypatch, share)
    network, images = network_and_images("resnet")
    assert machine.agrees(network, images, ROUGH) == right
    assert machine.agrees(network, images, Machine("cpu", "float32", 1))
