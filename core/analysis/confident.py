"""Labels to doubt, by confident learning (Northcutt et al., Journal of Artificial Intelligence Research 70, 2021).

n images, C classes; probabilities (n, C) have to be out-of-sample: of a network that has not learnt from the image.
The method is that of cleanlab's filter "confident_learning": no threshold is chosen by hand.
"""

import numpy as np


def thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """What counts as confident, for each class (C,): the mean probability of the class among the images labelled so.

    inf for a class without images: nobody can be confident of it.
    """
    count = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    sizes = np.bincount(labels, minlength=count)
    sums = np.bincount(labels, weights=own, minlength=count)
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)


def confident_class(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The most probable of the classes that reach their threshold, for each image (n,); -1 where none does."""
    reached = (probabilities >= thresholds(labels, probabilities) - 1e-12) & (probabilities > 0)
    best = np.where(reached, probabilities, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), best, -1)


def doubtful(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Places of the images that are confidently of another class than their label, the least probable label first."""
    said = confident_class(labels, probabilities)
    found = np.flatnonzero((said >= 0) & (said != labels))
    own = probabilities[found, labels[found]]
    return found[np.argsort(own, kind="stable")]
