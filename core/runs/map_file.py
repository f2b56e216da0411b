"""The maps that UMAP drew of a run, kept in its projection.npz. They can be drawn again at any time."""

import zlib

import numpy as np

from core.runs import store
from core.runs.files import replacing
from core.runs.store import Run

_MOST_LAYOUTS = 6  # of one run: those that were drawn last


def kept(run: Run, epoch: int, anchor: int | None = None, layout: tuple = ()) -> np.ndarray | None:
    """The stored UMAP frame (N + Q, 2) of this epoch, or None, also if the epoch's embeddings were written since.

    `anchor` is the epoch whose map was drawn first and led to this one; by default the epoch itself. `layout` are the
    numbers (neighbours, minimum distance, seed) with which it was drawn; empty for the lab's own.
    """
    found = _all_kept(run).get((epoch, epoch if anchor is None else anchor, _as_key(layout)))
    return found[1] if found and found[0] == _checksum(run, epoch) else None


def _as_key(layout: tuple) -> tuple[float, ...]:
    return tuple(map(float, layout or (0, 0, 0)))


def _all_kept(run: Run) -> dict[tuple[int, int, tuple], tuple[int, np.ndarray]]:
    """By epoch, anchor and layout the checksum of the epoch's embeddings and their frame (N + Q, 2), in the order in
    which they were drawn; empty if the file is missing or damaged."""
    count = run.data.train + run.data.test
    try:
        with open(run.folder / "projection.npz", "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            names = ("epochs", "anchors", "layouts", "checksums")
            found = zip(*(arrays[name].tolist() for name in names), arrays["umap"], strict=True)
            return {
                (epoch, anchor, tuple(layout)): (of, frame)
                for epoch, anchor, layout, of, frame in found
                if frame.shape == (count, 2) and np.isfinite(frame).all()
            }
    except Exception:
        return {}  # it can be computed again at any time


def _checksum(run: Run, epoch: int) -> int:
    """Of the file of embeddings; -1 if there is none."""
    try:
        return zlib.crc32(store.embeddings_file(run, epoch).read_bytes())
    except OSError:
        return -1


def keep(run: Run, epoch: int, frame: np.ndarray, layout: tuple = ()) -> None:
    """Keeps a UMAP frame (N + Q, 2) that began at PCA. Raises StoreError."""
    keep_all(run, {epoch: frame}, epoch, layout)


def keep_all(run: Run, frames: dict[int, np.ndarray], anchor: int, layout: tuple = ()) -> None:
    """Keeps UMAP frames (N + Q, 2), by epoch, with the run; see `kept`. Raises StoreError."""
    layout, own = _as_key(layout), _as_key(())
    new = {
        (epoch, anchor, layout): (_checksum(run, epoch), frame.astype(np.float32)) for epoch, frame in frames.items()
    }
    found = {key: each for key, each in _all_kept(run).items() if key not in new} | new
    last = [own, *dict.fromkeys(key[2] for key in reversed(found) if key[2] != own)][:_MOST_LAYOUTS]
    found = {key: each for key, each in found.items() if key[2] in last}
    epochs, anchors, layouts = zip(*found, strict=True)
    checksums, drawn = zip(*found.values(), strict=True)
    numbers = dict(epochs=epochs, anchors=anchors, layouts=layouts, checksums=checksums)
    with replacing(run.folder / "projection.npz") as file:
        np.savez(file, umap=np.stack(drawn), **numbers)
