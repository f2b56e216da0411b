"""Crop and flip: every image of a batch is one of the 162 crops that a plain loop can make of it."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from core.augment import crop_flip
from core.models import prepare
from core.sampling import generator

COUNT, HEIGHT, WIDTH = 600, 6, 5


def crops(image: np.ndarray, padding: int) -> dict[tuple[int, int, bool], np.ndarray]:
    """All crops of one image (H, W), by (down, right, flipped)."""
    height, width = image.shape
    padded = np.full((height + 2 * padding, width + 2 * padding), -1, image.dtype)
    padded[padding : padding + height, padding : padding + width] = image
    made = {}
    for down in range(2 * padding + 1):
        for right in range(2 * padding + 1):
            crop = padded[down : down + height, right : right + width]
            made[down, right, False] = crop
            made[down, right, True] = crop[:, ::-1]
    return made


@pytest.mark.parametrize("padding", [1, 4])
def test_against_a_plain_loop(padding):
    images = torch.rand(COUNT, 1, HEIGHT, WIDTH, generator=generator("images")).expand(-1, 3, -1, -1)
    changed = crop_flip(images, generator("draw"), padding)
    assert changed.shape == images.shape
    drawn = []
    for before, after in zip(images.numpy(), changed.numpy(), strict=True):
        assert (after == after[0]).all()  # the same crop in each channel
        matching = [key for key, crop in crops(before[0], padding).items() if (crop == after[0]).all()]
        assert len(matching) == 1
        drawn += matching
    for part, values in enumerate([range(2 * padding + 1), range(2 * padding + 1), (False, True)]):
        seen = Counter(key[part] for key in drawn)
        assert set(seen) == set(values)
        assert chisquare([seen[value] for value in values]).pvalue > 1e-4
    assert len(set(drawn)) > 10 * padding  # each image has its own draw, and shift and flip do not go together


def test_channels_keep_their_own_pixels():
    images = torch.rand(1, 2, HEIGHT, WIDTH, generator=generator("images"))
    together = crop_flip(images, generator("draw"))
    for channel in (0, 1):
        alone = crop_flip(images[:, channel : channel + 1], generator("draw"))
        assert torch.equal(together[:, channel : channel + 1], alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_same_generator_gives_the_same_images(dtype):
    images = torch.rand(20, 3, HEIGHT, WIDTH, generator=generator("images")).to(dtype)
    kept = images.clone()
    first = crop_flip(images, generator("draw"))
    assert first.dtype == dtype
    assert torch.equal(first, crop_flip(images, generator("draw")))
    assert not torch.equal(first, crop_flip(images, generator("another")))
    assert torch.equal(images, kept)


def test_what_comes_in_is_background():
    changed = crop_flip(torch.ones(200, 1, HEIGHT, WIDTH), generator("draw"))
    assert changed.unique().tolist() == [-1, 1]
    empty = prepare(torch.zeros(5, 28, 28, dtype=torch.uint8), channels=3)  # background through the one normalisation
    assert torch.equal(crop_flip(empty, generator("draw")), empty)


def test_the_process_wide_generator_is_not_used():
    before = torch.get_rng_state()
    crop_flip(torch.rand(3, 1, 4, 4, generator=generator("images")), generator("draw"))
    assert torch.equal(torch.get_rng_state(), before)
