"""What a reader of a set's numbers should know about its images."""

import numpy as np

_LIGHT = 127.5  # grey value of the edge above which the paper of an image is light
_RARE = 0.1  # share of training images on the other paper, up to which the others count as the rule
_MORE = 0.1  # share by which asked images on the other paper have to be more than that


def other_brightness(known: np.ndarray, asked: np.ndarray) -> str:
    """How many images are dark on light where the known ones are light on dark, or the reverse; empty if few are.

    Both are (N, H, W) uint8. The paper is what the edge of an image shows.
    """
    light, asked_light = _light_edges(known), _light_edges(asked)
    usual = light.mean() > 0.5
    rare = (light != usual).mean()
    odd = asked_light != usual
    if rare > _RARE or odd.mean() <= rare + _MORE:
        return ""
    which, learnt = ("dark on light", "light on dark") if not usual else ("light on dark", "dark on light")
    return (
        f"{odd.sum():,} of {len(asked):,} images are {which}, but the run learnt from images {learnt}; "
        "invert them (255 minus each pixel)"
    )


def _light_edges(images: np.ndarray) -> np.ndarray:
    """Whether the outermost pixels of each image (N, H, W) are light on average: (N,) bool."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return np.concatenate(edges, axis=1).mean(axis=1) > _LIGHT
