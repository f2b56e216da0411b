"""The maps that UMAP drew of a run, kept in its projection.npz. They can be drawn again at any time."""

import zlib

import numpy as np

from core.runs import store
from core.runs.files import replacing
from core.runs.store import Run


def kept(run: Run, epoch: int, anchor: int | None = None) -> np.ndarray | None:
    """The stored UMAP frame (N + Q, 2) of this epoch, or None, also if the epoch's embeddings were written since.

    `anchor` is the epoch whose map was drawn first and led to this one; by default the epoch itself.
    """
    found = _all_kept(run).get((epoch, epoch if anchor is None else anchor))
    return found[1] if found and found[0] == _checksum(run, epoch) else None


def _all_kept(run: Run) -> dict[tuple[int, int], tuple[int, np.ndarray]]:
    """By epoch and anchor the checksum of the epoch's embeddings and their frame (N + Q, 2); empty if the file is
    missing or damaged."""
    count = run.data.train + run.data.test
    try:
        with open(run.folder / "projection.npz", "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            names = ("epochs", "anchors", "checksums")
            found = zip(*(arrays[name].tolist() for name in names), arrays["umap"], strict=True)
            whole = [(epoch, anchor, of, frame) for epoch, anchor, of, frame in found if frame.shape == (count, 2)]
            return {(epoch, anchor): (of, frame) for epoch, anchor, of, frame in whole if np.isfinite(frame).all()}
    except Exception:
        return {}  # it can be computed again at any time


def _checksum(run: Run, epoch: int) -> int:
    """Of the file of embeddings; -1 if there is none."""
    try:
        return zlib.crc32(store.embeddings_file(run, epoch).read_bytes())
    except OSError:
        return -1


def keep(run: Run, epoch: int, frame: np.ndarray) -> None:
    """Keeps a UMAP frame (N + Q, 2) that began at PCA. Raises StoreError."""
    keep_all(run, {epoch: frame}, epoch)


def keep_all(run: Run, frames: dict[int, np.ndarray], anchor: int) -> None:
    """Keeps UMAP frames (N + Q, 2), by epoch, with the run; see `kept`. Raises StoreError."""
    new = {(epoch, anchor): (_checksum(run, epoch), frame.astype(np.float32)) for epoch, frame in frames.items()}
    found = _all_kept(run) | new
    keys = sorted(found)
    checksums, drawn = zip(*(found[each] for each in keys), strict=True)
    epochs, anchors = zip(*keys, strict=True)
    with replacing(run.folder / "projection.npz") as file:
        np.savez(file, umap=np.stack(drawn), epochs=epochs, anchors=anchors, checksums=checksums)
