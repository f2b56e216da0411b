"""Some triplets or images of one step of a training, as plain arrays. No torch here: pages and files hold them."""

from typing import NamedTuple

import numpy as np

TRIPLETS, IMAGES = "triplets", "images"
KINDS = ("easy", "semi-hard", "hard")


class Specimens(NamedTuple):
    """S specimens of a step. Each is a triplet (M = 3: anchor, positive, negative) or an image (M = 1).

    What is said twice was measured before and after the step; after it, nan means not yet.
    """

    epoch: int
    step: int
    roles: np.ndarray  # (S,) text: why it was picked, e.g. "hardest"
    images: np.ndarray  # (S, M) rows of the training images
    pixels: np.ndarray  # (S, M, H, W) uint8, as the network saw them: warped, with a border
    losses: np.ndarray  # (2, S)
    measures: (
        np.ndarray
    )  # (2, S, 2): d(a, p) and d(a, n); of an image the probability of its true class, of the predicted
    predicted: np.ndarray  # (2, S) labels; -1 for a triplet, or where nothing is predicted
    batch_loss: np.ndarray  # (2,)

    @property
    def what(self) -> str:
        """Triplets or images."""
        return TRIPLETS if self.images.shape[1] == 3 else IMAGES


def kind_of(to_positive: float, to_negative: float, margin: float) -> str:
    """Easy, semi-hard or hard; as core/learning/triplets.py counts them."""
    if to_negative <= to_positive:
        return "hard"
    return "easy" if to_negative >= to_positive + margin else "semi-hard"
