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
    busy: bool = False  # whether a thread works on it

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
    """The maps of these epochs, first to last, and how far each can be trusted; see `Film`. Raises StoreError."""
    film = Film(run, method)
    film.draw_back(epochs)
    before = None
    for epoch in epochs:
        points, drawn = _points(run, epoch), film.frames[epoch]
        motion = None if before is None else film.motion(epoch)
        yield Frame(
            epoch, drawn, projection.trustworthiness(points, drawn), projection.neighbours_kept(points, drawn), motion
        )
        before = drawn


def _points(run: Run, epoch: int) -> np.ndarray:
    return np.concatenate(store.embedded(run, epoch)[:2])


class Film(Drawing):
    """The maps of a run's epochs: each begins at its neighbour and is aligned onto it by one similarity transform, so
    that the drawing moves as little as the embedding does; never mirrored or stretched.

    Of a run that has ended the last map is drawn first, as `umap` and PCA draw it, and the others back in time. While
    it is trained, each new one is put onto the one before. A PCA is never scaled: its distances mean something.
    """

    def __init__(self, run: Run, method: str):
        super().__init__()
        self.run, self.method = run, method
        self.frames: dict[int, np.ndarray] = {}  # (N + Q, 2) by epoch
        self.done = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will change."""
        return self.done or bool(self.error) or self.cancelled

    def motion(self, epoch: int) -> float | None:
        """How far the points move between the map before and this one, as a share of the map's size."""
        known = sorted(self.frames)
        place = known.index(epoch)
        if not place:
            return None
        return projection.aligned(self.frames[epoch], self.frames[known[place - 1]], scaled=self.scaled)[1]

    @property
    def scaled(self) -> bool:
        """Whether the size of a map has no meaning, so that all may be equally large."""
        return self.method == "umap"

    def draw_back(self, epochs: list[int]) -> None:
        """Draws the maps of these epochs, the last one first. Raises StoreError or projection.Cancelled."""
        last = epochs[-1]
        later, directions = None, _points(self.run, last)
        for count, epoch in enumerate(reversed(epochs), start=1):
            drawn = kept(self.run, epoch, last) if self.method == "umap" else None
            if drawn is None:
                drawn = self._drawn(epoch, directions, later, count - 1, len(epochs))
                if later is not None:
                    drawn, _ = projection.aligned(drawn, later, scaled=self.scaled)
            self.frames[epoch] = later = drawn
            self.advance(count / len(epochs))
        if self.scaled:
            with suppress(StoreError):  # they can be drawn again
                keep_all(self.run, self.frames, last)
        self.done = True

    def _drawn(self, epoch: int, directions: np.ndarray, start: np.ndarray | None, done: int, of: int) -> np.ndarray:
        points = _points(self.run, epoch)
        if self.method == "pca":
            return projection.pca(points, like=directions)
        return projection.umap(
            points, self.run.config.seed, start, progress=lambda share: self.advance((done + share) / of)
        )

    def go_on(self, epochs: list[int]) -> None:
        """Adds the maps of new epochs of a run in training. Raises StoreError or projection.Cancelled."""
        for count, epoch in enumerate(new := [each for each in epochs if each not in self.frames]):
            before = self.frames[max(self.frames)] if self.frames else None
            drawn = self._drawn(epoch, _points(self.run, epoch), before, count, len(new))
            if before is not None:
                drawn = projection.same_signs(drawn, before) if self.method == "pca" else drawn
                drawn, _ = projection.aligned(drawn, before, scaled=self.scaled)
            self.frames[epoch] = drawn


_films: OrderedDict[tuple, Film] = OrderedDict()


def film(run: Run, method: str, epochs: list[int]) -> Film:
    """The film of a run that has ended; begins to draw it in the background. Returns at once."""
    key = run.folder, method, tuple(epochs), _version(run, epochs[-1])
    found, new = _remembered(key, lambda: Film(run, method))
    if new or found.cancelled:
        found.cancelled, found.error = False, ""
        _in_background(found, found.draw_back, epochs)
    return found


def live(run: Run, method: str, epochs: list[int]) -> Film:
    """The film of a run in training: of PCA up to the newest epoch, of UMAP as far as its thread has come."""
    found, _ = _remembered((run.folder, method, "live"), lambda: Film(run, method))
    if method == "pca":
        found.go_on(epochs)
    elif set(epochs) - set(found.frames) and not found.busy:
        _in_background(found, found.go_on, epochs)
    return found


def _remembered(key: tuple, make) -> tuple[Film, bool]:
    with _lock:
        new = key not in _films
        if new:
            _films[key] = make()
            while len(_films) > _REMEMBERED:
                _films.popitem(last=False)
        return _films[key], new


def _in_background(film: Film, work, epochs: list[int]) -> None:
    film.busy = True

    def run() -> None:
        try:
            work(epochs)
        except projection.Cancelled:
            pass
        except Exception as error:  # whatever a library raises: the page says it
            film.error = " ".join(str(error).split()) or type(error).__name__
        finally:
            film.busy = False

    threading.Thread(target=run, name="film", daemon=True).start()


def known(run: Run, method: str) -> np.ndarray | None:
    """The map (N + Q, 2) of the last epoch, if it is there or made at once; None for a UMAP that was not drawn yet."""
    if method == "umap":
        return kept(run, run.result.epochs)
    return projection.pca(np.concatenate(store.embedded(run, run.result.epochs)[:2]))


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
