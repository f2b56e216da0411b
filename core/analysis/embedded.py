"""What a network makes of all images of a set."""

from typing import NamedTuple

import numpy as np


class Embedded(NamedTuple):
    """What a network made of all images after one epoch: N training and Q test images."""

    train: np.ndarray  # (N, D) float32 embeddings
    test: np.ndarray  # (Q, D) float32
    predicted: np.ndarray  # (Q,) labels by the run's own rule
    scores: np.ndarray  # (Q,) fractions
