"""A digit that was drawn or photographed, as MNIST would hold it (LeCun, Cortes and Burges, the MNIST database):
scaled into a box of 20x20 pixels with its proportions kept, its centre of mass in the middle of 28x28 pixels.
"""

import numpy as np
from PIL import Image

FIELD, BOX = 28, 20  # pixels of MNIST
_BLOCKS = 8  # a side, into which a photograph is divided to find its paper: each wider than a stroke
_LEAST = 16  # grey levels between ink and paper
_FAINT = 0.35  # share of the darkest ink below which something is paper, a shadow or a line of the exercise book


def as_mnist(ink: np.ndarray, side: int = FIELD) -> np.ndarray:
    """Ink (H, W) uint8, 0 where there is none -> the same digit in (side, side) uint8; black if there is no ink.

    The darkest ink becomes 255. What would reach beyond the edge is moved inside.
    """
    field = np.zeros((side, side), np.uint8)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return field
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = round(side * BOX / FIELD) / max(digit.shape)
    height, width = (max(1, round(length * scale)) for length in digit.shape)
    small = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BILINEAR), np.float64)
    small *= 255 / max(small.max(), 1)
    top, left = (
        int(np.clip(round(side / 2 - _centre(small.sum(axis=1 - axis))), 0, side - small.shape[axis]))
        for axis in (0, 1)
    )
    field[top : top + height, left : left + width] = small.round()
    return field


def _centre(weights: np.ndarray) -> float:
    """The centre of mass of numbers in a row, as a position from 0."""
    return float((weights * np.arange(len(weights))).sum() / max(weights.sum(), 1e-12))


def ink_of(picture: np.ndarray, *, inverted: bool = False) -> np.ndarray:
    """A grey picture (H, W) uint8 -> its ink (H, W) uint8, 0 on the paper, 255 at most.

    The paper is what most of the border shows, dark or light; `inverted` takes it for the other one. Shadows and what
    is faint are left out.
    """
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    light = bool(np.median(border) > 127) != inverted
    bright = picture if light else 255 - picture
    paper = _paper(bright)
    strength = (paper - bright).clip(0)
    most = strength.max()
    if most < _LEAST:  # an empty sheet
        return np.zeros_like(picture)
    return np.where(strength < _FAINT * most, 0, strength * 255 / most).round().astype(np.uint8)


def _paper(bright: np.ndarray) -> np.ndarray:
    """How bright the paper is at each pixel (H, W), float: the brightest of each part of the picture, made smooth."""
    height, width = bright.shape
    if min(height, width) < 2 * _BLOCKS:
        return np.full(bright.shape, float(bright.max()))
    rows, columns = (np.linspace(0, length, _BLOCKS, endpoint=False).astype(int) for length in (height, width))
    brightest = np.maximum.reduceat(np.maximum.reduceat(bright, rows, axis=0), columns, axis=1)
    smooth = Image.fromarray(brightest).resize((width, height), Image.Resampling.BILINEAR)
    return np.maximum(np.asarray(smooth, np.float64), bright)


def prepared(ink: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Ink (H, W) uint8 of any size as an image like `examples` (N, h, w): scaled and centred as MNIST does it.

    Where the examples are dark on light, it is so too.
    """
    height, width = examples.shape[1:]
    field = as_mnist(ink, min(height, width))
    top, left = (height - len(field)) // 2, (width - len(field)) // 2
    drawn = np.zeros((height, width), np.uint8)
    drawn[top : top + len(field), left : left + len(field)] = field
    return 255 - drawn if np.median(examples[:100, [0, -1], :]) > 127 else drawn


def seen(picture: np.ndarray, examples: np.ndarray, *, inverted: bool = False) -> tuple[np.ndarray, bool]:
    """A grey picture (H, W) as a network that learnt from `examples` (N, h, w) is to see it, and whether that is the
    picture itself: one of their size is taken as it is, of any other the ink is found and prepared.
    """
    if picture.shape == examples.shape[1:] and not inverted:
        return picture, True
    return prepared(ink_of(picture, inverted=inverted), examples), False


def is_blank(image: np.ndarray) -> bool:
    """Whether nothing can be seen on an image (H, W) uint8: whatever a network calls it says nothing."""
    return int(image.max()) - int(image.min()) < _LEAST
