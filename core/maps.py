"""Maps of a run's embeddings: drawn one after another in the background, kept with the run."""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.analysis import projection
from core.runs import store
from core.runs.files import StoreError, replacing
from core.runs.store import Run

METHODS = ("umap", "pca")
_REMEMBERED = 32  # drawings whose outcome is known without a look at the disk


@dataclass
class Drawing:
    """A UMAP that is being drawn, or was: either `frame` (N + Q, 2), or `error`, or neither yet."""

    share: float = 0.0  # of the work, 0 to 1
    frame: np.ndarray | None = None
    error: str = ""
    cancelled: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will change."""
        return self.frame is not None or bool(self.error) or self.cancelled

    def cancel(self) -> None:
        """Ends the work at its next step."""
        self.cancelled = True

    def advance(self, share: float) -> None:
        """Notes the share; raises Cancelled once nobody wants the drawing any more."""
        self.share = share
        if self.cancelled:
            raise projection.Cancelled


class Frame(NamedTuple):
    """The map of one epoch in a row of them."""

    epoch: int
    points: np.ndarray  # (N + Q, 2), training images first, turned and moved onto the frame before
    trustworthiness: float  # 0 to 1, see core/analysis/projection.py
    knn_agreement: float  # share of the nearest neighbours in the embedding that the map keeps
    residual_motion: float | None  # what a point moves beyond the alignment, as a share of the map's size


_drawings: OrderedDict[tuple, Drawing] = OrderedDict()
_lock = threading.Lock()  # of the table only: never held while something is drawn


def umap(run: Run, epoch: int, again: bool = False) -> Drawing:
    """The UMAP of an epoch; begins it in the background if it is not known yet, or `again` after a Cancel or an error.

    Returns at once. What was kept on the disk is there at once as well.
    """
    key = run.folder, epoch, _version(run, epoch)
    with _lock:
        drawing = _drawings.get(key)
        if drawing is not None and not (again and drawing.frame is None and drawing.ended):
            return drawing
        drawing = _drawings[key] = Drawing(frame=kept(run, epoch))
        while len(_drawings) > _REMEMBERED:
            _drawings.popitem(last=False)
    if drawing.frame is None:
        threading.Thread(target=_draw, args=(run, epoch, drawing), name="map", daemon=True).start()
    return drawing


def _version(run: Run, epoch: int) -> int:
    """Tells the embeddings of an epoch apart from those after the run was stopped within it and resumed."""
    try:
        return store.embeddings_file(run, epoch).stat().st_mtime_ns
    except OSError:
        return 0


def _draw(run: Run, epoch: int, drawing: Drawing) -> None:
    try:
        drawing.frame = draw(run, epoch, drawing.advance)
    except projection.Cancelled:
        pass
    except Exception as error:  # whatever a library raises: the page says it, and shows PCA
        drawing.error = " ".join(str(error).split()) or type(error).__name__


def draw(run: Run, epoch: int, progress=lambda share: None) -> np.ndarray:
    """The UMAP (N + Q, 2) of the training and test embeddings after an epoch; kept with the run. Raises StoreError."""
    frame = projection.umap(np.concatenate(store.embedded(run, epoch)[:2]), run.config.seed, progress=progress)
    with suppress(StoreError):  # it can be drawn again
        keep(run, epoch, frame)
    return frame


def epochs(run: Run) -> list[int]:
    """The epochs whose embeddings are there, first to last. Raises StoreError if there are none."""
    files = store.embeddings_file(run, 0).parent.glob("epoch_*.npz")
    found = sorted(int(file.stem.removeprefix("epoch_")) for file in files if file.stem[6:].isdecimal())
    if not found:
        raise StoreError(f"run {run.id} has no embeddings yet; wait for the end of its first epoch")
    return found


def frames(run: Run, method: str, epochs: list[int]) -> Iterator[Frame]:
    """The maps of these epochs, one after another, each aligned to the one before: turned and moved, never mirrored or
    stretched. A UMAP begins at the one before; PCA keeps the directions of the last epoch. Raises StoreError.
    """
    last = np.concatenate(store.embedded(run, epochs[-1])[:2])
    before = None
    for epoch in epochs:
        points = np.concatenate(store.embedded(run, epoch)[:2])
        if method == "pca":
            drawn = projection.pca(points, like=last)
        else:
            known = kept(run, epoch) if len(epochs) == 1 else None
            drawn = projection.umap(points, run.config.seed, before) if known is None else known
        motion = None
        if before is not None:
            drawn, motion = projection.aligned(drawn, before)
        trusted = projection.trustworthiness(points, drawn), projection.neighbours_kept(points, drawn)
        yield Frame(epoch, drawn, *trusted, motion)
        before = drawn


def known(run: Run, method: str) -> np.ndarray | None:
    """The map (N + Q, 2) of the last epoch, if it is there or made at once; None for a UMAP that was not drawn yet."""
    if method == "umap":
        return kept(run, run.result.epochs)
    return projection.pca(np.concatenate(store.embedded(run, run.result.epochs)[:2]))


def kept(run: Run, epoch: int) -> np.ndarray | None:
    """The stored UMAP frame (N + Q, 2) of this epoch, or None, also if the epoch's embeddings were written since."""
    checksum, frame = _all_kept(run).get(epoch, (None, None))
    return frame if checksum == _checksum(run, epoch) else None


def _all_kept(run: Run) -> dict[int, tuple[int, np.ndarray]]:
    """Per epoch the checksum of its embeddings and their frame (N + Q, 2); empty if the file is missing or damaged."""
    count = run.data.train + run.data.test
    try:
        with open(run.folder / "projection.npz", "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            found = zip(arrays["epochs"].tolist(), arrays["checksums"].tolist(), arrays["umap"], strict=True)
            whole = [(epoch, of, frame) for epoch, of, frame in found if frame.shape == (count, 2)]
            return {epoch: (of, frame) for epoch, of, frame in whole if np.isfinite(frame).all()}
    except Exception:
        return {}  # it can be computed again at any time


def _checksum(run: Run, epoch: int) -> int:
    """Of the file of embeddings; -1 if there is none."""
    try:
        return zlib.crc32(store.embeddings_file(run, epoch).read_bytes())
    except OSError:
        return -1


def keep(run: Run, epoch: int, frame: np.ndarray) -> None:
    """Keeps a UMAP frame (N + Q, 2) with the run. Raises StoreError."""
    frames = _all_kept(run) | {epoch: (_checksum(run, epoch), frame.astype(np.float32))}
    epochs = sorted(frames)
    checksums, drawn = zip(*(frames[each] for each in epochs), strict=True)
    with replacing(run.folder / "projection.npz") as file:
        np.savez(file, umap=np.stack(drawn), epochs=epochs, checksums=checksums)
