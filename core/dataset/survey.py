"""What a reader of a set's numbers should know: images that cannot teach, or mislead. Short sentences with counts."""

import hashlib
from collections.abc import Iterator

import numpy as np

from core.dataset.sets import DataSet, Split

UNBALANCED = 5  # times as many training images in the largest class as in the smallest
_LIGHT = 127.5  # grey value of the edge above which the paper of an image is light
_RARE = 0.1  # share of training images on the other paper, up to which the others count as the rule
_MORE = 0.1  # share by which asked images on the other paper have to be more than that


def notes(images: DataSet) -> tuple[str, ...]:
    """What is wrong with a set as a whole; empty for most."""
    return tuple(_notes(images))


def _notes(images: DataSet) -> Iterator[str]:
    train, test = images.train, images.test
    if len(images.classes) == 1:
        yield f"There is only one class ({images.classes[0]}): every answer is right, and nothing can be learnt."
    prints = [[hashlib.blake2b(image, digest_size=16).digest() for image in part.images] for part in (train, test)]
    if len(train.ids) > 1 and len(set(prints[0])) == 1:
        yield f"All {len(train.ids):,} training images are the same picture: nothing can be learnt."
        return
    yield from _copies(train, test, *prints)
    yield from _two_labels(images, *prints)
    yield from _blank(train, test)
    yield from _sizes(images)
    if found := other_brightness(train.images, test.images, "test images"):
        yield found


def _copies(train: Split, test: Split, known: list[bytes], asked: list[bytes]) -> Iterator[str]:
    """Test images that the network has seen."""
    ids = dict(zip(reversed(known), reversed(train.ids), strict=True))
    if copies := [row for row, key in enumerate(asked) if key in ids]:
        first = copies[0]
        yield (
            f"{len(copies):,} of {len(test.ids):,} test images {_are(copies)} of training images (first: "
            f"{test.ids[first]}, of {ids[asked[first]]}): the test accuracy is too high."
        )


def _are(copies: list) -> str:
    return "is an exact copy" if len(copies) == 1 else "are exact copies"


def _two_labels(images: DataSet, known: list[bytes], asked: list[bytes]) -> Iterator[str]:
    """Pictures that stand in several classes."""
    seen: dict[bytes, tuple[int, str]] = {}  # label and id of the first of each picture
    disputed: dict[bytes, str] = {}
    for part, keys in ((images.train, known), (images.test, asked)):
        for key, label, image_id in zip(keys, part.labels.tolist(), part.ids, strict=True):
            before, first = seen.setdefault(key, (label, image_id))
            if before != label and key not in disputed:
                disputed[key] = f"{first} in {images.classes[before]}, {image_id} in {images.classes[label]}"
    if disputed:
        count = "1 picture stands" if len(disputed) == 1 else f"{len(disputed):,} pictures stand"
        yield f"{count} under two labels (first: {next(iter(disputed.values()))}): one of them is wrong."


def _blank(train: Split, test: Split) -> Iterator[str]:
    """Pictures of a single grey value."""
    for kind, part in (("training", train), ("test", test)):
        blank = np.flatnonzero(part.images.min(axis=(1, 2)) == part.images.max(axis=(1, 2)))
        if len(blank):
            are = "1 is" if len(blank) == 1 else f"{len(blank):,} are"
            yield f"Of {len(part.ids):,} {kind} images {are} blank (first: {part.ids[blank[0]]})."


def _sizes(images: DataSet) -> Iterator[str]:
    """Classes with a single training image, and classes of very different sizes."""
    sizes = np.bincount(images.train.labels, minlength=len(images.classes))
    single = np.flatnonzero(sizes == 1)
    if len(single):
        which = "1 class has" if len(single) == 1 else f"{len(single)} classes have"
        first = images.classes[single[0]]
        yield f"{which} a single training image (first: {first}), with no other one of its class to lie near to."
    smallest, largest = sizes.argmin(), sizes.argmax()
    if sizes[largest] >= UNBALANCED * sizes[smallest]:
        yield (
            f"The classes are strongly unbalanced: {sizes[largest]:,} training images of {images.classes[largest]}, "
            f"{sizes[smallest]:,} of {images.classes[smallest]}."
        )


def other_brightness(known: np.ndarray, asked: np.ndarray, what: str = "images") -> str:
    """How many images are dark on light where the training images are light on dark, or the reverse; empty if few are.

    Both are (N, H, W) uint8. The paper is what the edge of an image shows.
    """
    light, asked_light = _light_edges(known), _light_edges(asked)
    usual = light.mean() > 0.5
    rare = (light != usual).mean()
    odd = asked_light != usual
    if rare > _RARE or odd.mean() <= rare + _MORE:
        return ""
    which, learnt = ("light on dark", "dark on light") if usual else ("dark on light", "light on dark")
    return (
        f"{odd.sum():,} of {len(asked):,} {what} are {which}, but the training images are {learnt}: "
        "invert them (255 minus each pixel)."
    )


def _light_edges(images: np.ndarray) -> np.ndarray:
    """Whether the outermost pixels of each image (N, H, W) are light on average: (N,) bool."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return np.concatenate(edges, axis=1).mean(axis=1) > _LIGHT
