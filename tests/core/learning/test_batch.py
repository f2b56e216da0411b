"""A training batch as the network takes it."""

import pytest
import torch

from core.learning.augment import augment
from core.learning.batch import prepared
from core.learning.sampling import generator
from core.networks.build import prepare
from core.settings.config import RunConfig

IMAGES = torch.randint(256, (5, 28, 28), dtype=torch.uint8, generator=generator("images"))


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 24)])
def test_without_augmentation_it_is_what_is_looked_at(channels, size):
    config = RunConfig(channels=channels, image_size=size)
    made = prepared(IMAGES, config, "cpu", generator("draw"))
    assert torch.equal(made, prepare(IMAGES, channels, size))
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_all_channels_are_changed_alike():
    config = RunConfig(augmentation="affine", image_size=28)
    made = prepared(IMAGES, config, "cpu", generator("draw"))
    one = augment(prepare(IMAGES, 1, 28), "affine", generator("draw"))
    assert torch.equal(made, one.expand(-1, 3, -1, -1))
    assert not torch.equal(made[:, :1], prepare(IMAGES, 1, 28))
