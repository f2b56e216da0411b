"""The file latest_step.npz of a run: some triplets or images of its latest step, and what they say as plain values.

It is kept for the eye only: no number of a run is made from it.
"""

import math
import os

import numpy as np

from core.dataset.loader import DataSet
from core.learning.specimens import TRIPLETS, Specimens, kind_of
from core.runs.checks import check
from core.runs.files import StoreError, replacing
from core.runs.store import Run

NAME = "latest_step.npz"
_MOST = 64  # specimens in a file


def save(folder, specimens: Specimens) -> None:
    """Writes the file. Raises StoreError."""
    with replacing(folder / NAME) as file:
        np.savez(file, **specimens._asdict())


def read(run: Run) -> Specimens | None:
    """What the file holds, checked; None without one. Raises StoreError if it is damaged."""
    file = run.folder / NAME
    if not os.path.lexists(file):
        return None
    try:
        check(file.is_file(), "it is not a file")
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            found = Specimens(**{name: arrays[name] for name in Specimens._fields})
        found = found._replace(epoch=int(found.epoch), step=int(found.step))
        _check(found, run)
        return found
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{file} cannot be read: {reason}; the next step writes it anew") from error


def _check(found: Specimens, run: Run) -> None:
    """Raises ValueError for what no training can have written."""
    count = len(found.roles)
    images, pixels = found.images, found.pixels
    check(count <= _MOST and images.ndim == 2 and images.shape[1] in (1, 3), "it holds no triplets or images")
    in_set = images.dtype.kind in "iu" and ((images >= 0) & (images < run.data.train)).all()
    check(in_set, "it names images that are none of the training images")
    check(pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[:2] == images.shape, "it lacks pictures")
    check(max(pixels.shape[2:], default=0) <= 64, "its pictures are too large")
    check(len(images) == count and found.roles.dtype.kind == "U", "it lacks roles")
    shapes = {"losses": (2, count), "measures": (2, count, 2), "predicted": (2, count), "batch_loss": (2,)}
    for name, shape in shapes.items():
        array = getattr(found, name)
        check(
            array.shape == shape and array.dtype.kind in "fiu" and not np.isinf(array).any(), f"{name} makes no sense"
        )
    check((found.predicted.astype(int) < len(run.data.classes)).all(), "it predicts a class that is none")


def described(run: Run, found: Specimens, images: DataSet) -> dict:
    """The specimens as plain values, ready for JSON; `after` is None while the run goes on.

    {"run", "epoch", "step", "what": "triplets" or "images", "margin", "loss": {"before", "after"}, "items": [...]}; an
    item of triplets is {"role", "kind", "anchor", "positive", "negative", "to_positive", "to_negative", "loss"}, one of
    images {"role", "image", "predicted", "true_probability", "predicted_probability", "loss"}. An image is {"id",
    "class"}; distances, probabilities and losses are {"before", "after"}, kinds and predicted classes as well.
    """
    of = _triplet if found.what == TRIPLETS else _image
    about = {"run": run.id, "epoch": found.epoch, "step": found.step, "what": found.what, "margin": run.config.margin}
    items = [of(run, found, place, images) for place in range(len(found.roles))]
    return about | {"loss": _both(found.batch_loss), "items": items}


def _triplet(run: Run, found: Specimens, place: int, images: DataSet) -> dict:
    kinds = [
        None if math.isnan(pair[0]) else kind_of(*pair.tolist(), run.config.margin) for pair in found.measures[:, place]
    ]
    names = ("anchor", "positive", "negative")
    shown = {name: _named(row, images) for name, row in zip(names, found.images[place], strict=True)}
    measured = {
        "to_positive": _both(found.measures[:, place, 0]),
        "to_negative": _both(found.measures[:, place, 1]),
        "loss": _both(found.losses[:, place]),
    }
    kind = dict(zip(("before", "after"), kinds, strict=True))
    return {"role": str(found.roles[place]), "kind": kind} | shown | measured


def _image(run: Run, found: Specimens, place: int, images: DataSet) -> dict:
    named = [images.classes[label] if label >= 0 else None for label in found.predicted[:, place]]
    return {
        "role": str(found.roles[place]),
        "image": _named(found.images[place, 0], images),
        "predicted": dict(zip(("before", "after"), named, strict=True)),
        "true_probability": _both(found.measures[:, place, 0]),
        "predicted_probability": _both(found.measures[:, place, 1]),
        "loss": _both(found.losses[:, place]),
    }


def _named(row: int, images: DataSet) -> dict:
    """A training image by its id and its class."""
    return {"id": images.train.ids[row], "class": images.classes[images.train.labels[row]]}


def _both(values: np.ndarray) -> dict:
    """Before and after; None for what is not known."""
    before, after = (None if math.isnan(value) else float(value) for value in values)
    return {"before": before, "after": after}
