"""Crop and flip: every image of a batch is one of the 162 crops that a plain loop can make of it. The warps against
SciPy's affine transform, and the bounds within which a digit stays what it is."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.stats import chisquare

from core.learning import augment, evaluate, sampling
from core.learning.augment import crop_flip, warp
from core.learning.sampling import generator
from core.networks import build
from core.networks.build import prepare
from core.settings.choices import AUGMENTATIONS
from tests.core.learning.trainings import (
    CLASSIFIER,
    CPU,
    EITHER,
    IMAGES,
    NOBODY,
    equal,
    fit,
    network,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")
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
    empty = prepare(torch.zeros(5, 28, 28, dtype=torch.uint8), 3, 32)  # background through the one normalisation
    assert torch.equal(crop_flip(empty, generator("draw")), empty)


def test_the_process_wide_generator_is_not_used():
    before = torch.get_rng_state()
    crop_flip(torch.rand(3, 1, 4, 4, generator=generator("images")), generator("draw"))
    assert torch.equal(torch.get_rng_state(), before)


BENDS = pytest.mark.parametrize("bend", [False, True])


def digits_like(count: int, channels: int = 1) -> torch.Tensor:
    """Strokes as wide as those of a digit, in the middle of 32x32 pixels: an L that touches no border."""
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, 6:22, 10:13] = 255
    images[:, 19:22, 10:19] = 200
    return prepare(images, channels, 32)


def centre_of_mass(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) -> (B, 2): row and column."""
    ink = (images[:, 0] + 1).double()  # (B, H, W)
    places = torch.arange(ink.shape[1], dtype=torch.float64)
    total = ink.sum(dim=(1, 2))
    return torch.stack([(ink.sum(dim=2) * places).sum(dim=1) / total, (ink.sum(dim=1) * places).sum(dim=1) / total], 1)


class Fixed:
    """In place of torch.rand: the same fractions for every image, in the order in which they are asked for."""

    def __init__(self, *fractions: float):
        self.fractions = list(fractions)

    def __call__(self, *shape, generator):
        return torch.full(shape, self.fractions.pop(0))


def reference(image: np.ndarray, turn, shear, wide, high, right, down) -> np.ndarray:
    """SciPy's bilinear affine transform of a square image about its middle, in pixels, rows first; outside is -1."""
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.array([[cos, -sin], [sin, cos]])  # (x, y)
    matrix = turned @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([wide, high])
    matrix = matrix[::-1, ::-1]  # (y, x), as arrays are indexed
    middle = (np.array(image.shape) - 1) / 2
    offset = middle - matrix @ middle + np.array([down, right])
    return ndimage.affine_transform(image + 1, matrix, offset, order=1, mode="grid-constant", cval=0) - 1


@pytest.mark.parametrize(
    ("turn", "shear", "wide", "high", "right", "down"),
    [
        pytest.param(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, id="nothing"),
        pytest.param(1.0, 0.5, 0.5, 0.5, 0.5, 0.5, id="turn"),
        pytest.param(0.5, 0.0, 0.5, 0.5, 0.5, 0.5, id="shear"),
        pytest.param(0.5, 0.5, 1.0, 0.5, 0.5, 0.5, id="wide"),
        pytest.param(0.5, 0.5, 0.5, 0.0, 0.5, 0.5, id="high"),
        pytest.param(0.5, 0.5, 0.5, 0.5, 1.0, 0.5, id="right"),
        pytest.param(0.5, 0.5, 0.5, 0.5, 0.5, 0.0, id="down"),
        pytest.param(0.1, 0.8, 0.3, 0.9, 0.2, 0.7, id="all"),
        pytest.param(0.9, 0.1, 0.8, 0.2, 0.9, 0.1, id="all the other way"),
    ],
)
def test_warp_against_scipy(monkeypatch, turn, shear, wide, high, right, down):
    images = torch.rand(2, 1, 32, 32, generator=generator("images")) * 2 - 1  # bright up to the border
    monkeypatch.setattr(torch, "rand", Fixed(turn, shear, wide, high, right, down))
    found = warp(images, generator("draw"), bend=False)
    monkeypatch.undo()

    def limited(fraction: float, limit: float) -> float:
        return (2 * fraction - 1) * limit

    settings = dict(turn=limited(turn, augment.TURN), shear=limited(shear, augment.SHEAR))
    settings |= dict(wide=1 + limited(wide, augment.SCALE), high=1 + limited(high, augment.SCALE))
    settings |= dict(right=limited(right, augment.SHIFT), down=limited(down, augment.SHIFT))
    for image, expected in zip(found[:, 0], images[:, 0], strict=True):
        np.testing.assert_allclose(image, reference(expected.double().numpy(), **settings), atol=1e-4)


@pytest.mark.parametrize("shift", [(0.7, 0.5), (0.5, 0.9)])
def test_a_shift_in_pixels_of_an_image_that_is_not_square(monkeypatch, shift):
    image = torch.full((1, 1, 20, 40), -1.0)
    image[0, 0, 8:12, 15:25] = 1.0
    monkeypatch.setattr(torch, "rand", Fixed(0.5, 0.5, 0.5, 0.5, *shift))
    moved = centre_of_mass_of_one(warp(image, generator("draw"), bend=False)[0, 0])
    monkeypatch.undo()
    before = centre_of_mass_of_one(image[0, 0])
    right, down = ((2 * fraction - 1) * augment.SHIFT for fraction in shift)
    np.testing.assert_allclose(moved, before - np.array([down, right]), atol=1e-4)  # where a pixel is taken from


def centre_of_mass_of_one(image: torch.Tensor) -> np.ndarray:
    return np.array(ndimage.center_of_mass((image + 1).double().numpy()))


def test_a_bend_of_nothing_is_the_affine_map(monkeypatch):
    images = torch.rand(3, 1, 32, 32, generator=generator("images"))
    plain = warp(images, generator("draw"), bend=False)
    assert not torch.allclose(warp(images, generator("draw"), bend=True), plain, atol=0.1)
    monkeypatch.setattr(augment, "BEND", 0.0)
    torch.testing.assert_close(warp(images, generator("draw"), bend=True), plain)


def test_a_bend_is_as_strong_as_it_says(monkeypatch):
    """Displacements of the grid beside those of the affine map, in pixels."""
    grids = []
    monkeypatch.setattr(augment.F, "grid_sample", lambda images, grid, **_: grids.append(grid) or images)
    images = torch.zeros(2000, 1, 32, 32)
    for bend in (False, True):
        warp(images, generator("draw"), bend)
    moved = (grids[1] - grids[0]) * 32 / 2  # (B, H, W, 2)
    typical = moved.square().mean(dim=(1, 2, 3)).sqrt()  # (B,)
    assert typical.max() < 1.5 * augment.BEND
    assert 0.3 * augment.BEND < typical.mean() < 0.6 * augment.BEND  # strengths from nothing to the whole
    assert (moved.diff(dim=2).square().mean() / moved.square().mean()).sqrt() < 0.4  # neighbours move together


@BENDS
@pytest.mark.parametrize("channels", [1, 3])
def test_a_warped_image_stays_readable(bend, channels):
    images = digits_like(500, channels)
    changed = warp(images, generator("draw"), bend)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.device == images.device
    assert changed.min() >= -1
    assert changed.max() <= 1 + 1e-5
    assert (changed == changed[:, :1]).all()  # grey stays grey
    shift = centre_of_mass(changed) - centre_of_mass(images)
    assert shift.abs().max() < 2 * augment.SHIFT + bend * augment.BEND  # a smooth bend shifts, too
    assert (shift.mean(dim=0).abs() < 0.3).all()  # to either side alike
    assert shift.std(dim=0).min() > 0.8
    ink = (changed + 1).sum(dim=(1, 2, 3)) / (images + 1).sum(dim=(1, 2, 3))
    assert ink.min() > (0.4 if bend else 0.7)  # the smallest has 1 / 1.15^2 = 0.76 of it without a bend
    assert ink.max() < (2.2 if bend else 1.45)  # the largest 1 / 0.85^2 = 1.38
    assert (changed.amax(dim=(1, 2, 3)) > 0.5).all()
    likeness = torch.nn.functional.cosine_similarity((changed + 1).flatten(1), (images + 1).flatten(1))
    assert 0.3 < likeness.mean() < 0.9  # it is changed, yet not another digit
    assert len({tuple(row.tolist()) for row in shift}) == 500  # every image has its own draw


@BENDS
def test_no_bright_border_appears(bend):
    """What comes from outside is background: black, which is -1."""
    black = torch.full((50, 3, 32, 32), -1.0)
    assert torch.equal(warp(black, generator("draw"), bend), black)
    changed = warp(digits_like(500), generator("draw"), bend)
    border = torch.cat([changed[..., 0, :], changed[..., -1, :], changed[..., 0], changed[..., -1]], dim=-1)
    assert (border == -1).float().mean() > 0.99
    bright = warp(torch.ones(200, 1, 32, 32), generator("draw"), bend)
    assert bright.min() == -1  # what lies outside of a bright image is black too
    assert (bright[..., 12:20, 12:20] > 0.999).all()


@BENDS
def test_an_image_does_not_depend_on_the_others(bend):
    images = torch.rand(6, 3, 32, 32, generator=generator("images"))
    others = images.flip(0).contiguous()
    others[2] = images[2]
    together, again = warp(images, generator("draw"), bend), warp(others, generator("draw"), bend)
    assert torch.equal(together[2], again[2])
    assert not torch.equal(together[3], again[3])


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_augment_by_name(kind):
    images = torch.rand(8, 3, 32, 32, generator=generator("images")) * 2 - 1
    kept = images.clone()
    expected = {
        "none": lambda draw: images,
        "crop_flip": lambda draw: crop_flip(images, draw),
        "affine": lambda draw: warp(images, draw, bend=False),
        "affine_elastic": lambda draw: warp(images, draw, bend=True),
    }[kind](generator("draw"))
    before = torch.get_rng_state()
    found = augment.augment(images, kind, generator("draw"))
    assert torch.equal(found, expected)
    assert torch.equal(found, augment.augment(images, kind, generator("draw")))
    assert (kind == "none") == torch.equal(found, augment.augment(images, kind, generator("another")))
    assert torch.equal(images, kept)
    assert torch.equal(torch.get_rng_state(), before)


@EITHER
def test_augmentation_only_in_training(config, monkeypatch):
    """The augmented images are replaced by black ones, so that they can be told apart."""
    keys = []

    def blacken(images, kind, draw):
        assert kind == "crop_flip"
        keys.append(draw.initial_seed())
        return torch.full_like(images, -1.0)

    monkeypatch.setattr("core.learning.batch.augment", blacken)
    config = config.changed(augmentation="crop_flip")
    made, black, seen = network(config), [], []
    made.register_forward_pre_hook(
        lambda layer, inputs: black.append((inputs[0] == -1).all()) if layer.training else seen.append(inputs[0])
    )
    list(fit(config, made, lambda _: evaluate.evaluate(made, IMAGES, NOBODY, IMAGES, config, CPU)))
    steps = config.epochs * sampling.steps_per_epoch(config, IMAGES.labels)
    assert len(black) == steps
    assert all(black)
    assert len(seen) == 2 * config.epochs
    assert all(torch.equal(images, build.prepare(IMAGES.images, 1, 32)) for images in seen)
    expected = {sampling.generator(config.seed, "augment", epoch, step).initial_seed()
                for epoch in (1, 2) for step in range(1, steps // 2 + 1)}  # fmt: skip
    assert set(keys) == expected
    assert len(keys) == len(expected) == steps  # new in every step


@pytest.mark.parametrize("kind", ["crop_flip", "affine", "affine_elastic"])
def test_augmentation_changes_what_is_learnt(kind):
    list(fit(CLASSIFIER, plain := network(CLASSIFIER)))
    config = CLASSIFIER.changed(augmentation=kind)
    list(fit(config, made := network(config)))
    list(fit(config, again := network(config)))
    assert equal(weights_of(made), weights_of(again))
    assert not equal(weights_of(made), weights_of(plain))
