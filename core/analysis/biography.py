"""The biography of an image: what it was called after each epoch, and how often it was forgotten (arXiv:1812.05159).

E evaluated epochs, Q images. An image is forgotten once for each epoch after which it is wrong although it was right
after the epoch before ("forgetting event" in the paper, which counts between updates).
"""

import numpy as np

KINDS = {
    "learnt early": "right at the end, and for good from the first half of the epochs on; forgotten at most once",
    "learnt late": "right at the end, and for good only from the second half on; forgotten at most once",
    "forgotten": "right for one stretch of epochs, and wrong at the end",
    "never learnt": "wrong after every epoch",
    "flip-flop": "forgotten twice or more, whatever it is called at the end",
}


def forgetting_events(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """How often each image was forgotten (Q,): `predicted` is (E, Q), `true` (Q,)."""
    right = predicted == true
    return (right[:-1] & ~right[1:]).sum(axis=0)


def learnt_for_good(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """From which epoch on each image is right to the end: its place (Q,) from 0, or E for those wrong at the end."""
    right = predicted == true
    return np.where(right, 0, np.arange(1, len(right) + 1)[:, None]).max(axis=0, initial=0)


def kinds(predicted: np.ndarray, true: np.ndarray) -> list[str]:
    """The kind of each image, one of KINDS: `predicted` is (E, Q), `true` (Q,). Raises ValueError without epochs."""
    if not len(predicted):
        raise ValueError("a biography needs at least one evaluated epoch")
    right = predicted == true
    forgotten = forgetting_events(predicted, true)
    wrong_after = learnt_for_good(predicted, true)
    late = wrong_after >= (len(right) + 1) // 2
    names = np.where(late, "learnt late", "learnt early").astype(object)
    names[~right[-1]] = "forgotten"
    names[~right.any(axis=0)] = "never learnt"
    names[forgotten >= 2] = "flip-flop"
    return names.tolist()


def counts(found: list[str]) -> dict[str, int]:
    """How many images are of each kind."""
    return {kind: found.count(kind) for kind in KINDS}


def counts_a_class(found: list[str], true: np.ndarray, class_count: int) -> dict[str, list[int]]:
    """The same by class: {kind: a count for each of C classes}."""
    names = np.array(found, object)
    return {kind: np.bincount(true[names == kind], minlength=class_count).tolist() for kind in KINDS}
