"""Maps of a run's embeddings: drawn one after another in the background, kept with the run."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.analysis import projection
from core.analysis.projection import OWN, Layout
from core.dataset.loader import DataSet
from core.runs import map_file, store
from core.runs.files import StoreError
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


def layout_of(run: Run, layout: Layout) -> Layout:
    """The layout, with no seed where it is that of the run: then two ways to ask for the same map find the same."""
    return layout._replace(seed=None) if layout.seed == run.config.seed else layout


def _numbers(run: Run, layout: Layout) -> tuple:
    """A layout as it is kept with a map; nothing for the lab's own."""
    layout = layout_of(run, layout)
    return () if layout == OWN else layout._replace(seed=run.config.seed if layout.seed is None else layout.seed)


def umap(run: Run, epoch: int, again: bool = False, layout: Layout = OWN) -> Drawing:
    """The UMAP of an epoch; begins it in the background if it is not known yet, or `again` after a Cancel or an error.

    Returns at once. What was kept on the disk is there at once as well.
    """
    key = run.folder, epoch, _version(run, epoch), _numbers(run, layout)
    with _lock:
        drawing = _drawings.get(key)
        if drawing is not None and not (again and drawing.frame is None and drawing.ended):
            return drawing
        drawing = _drawings[key] = Drawing(frame=map_file.kept(run, epoch, layout=key[3]))
        while len(_drawings) > _REMEMBERED:
            _drawings.popitem(last=False)
    if drawing.frame is None:
        threading.Thread(target=_draw, args=(run, epoch, drawing, layout), name="map", daemon=True).start()
    return drawing


def _version(run: Run, epoch: int) -> int:
    """Tells the embeddings of an epoch apart from those after the run was stopped within it and resumed."""
    try:
        return store.embeddings_file(run, epoch).stat().st_mtime_ns
    except OSError:
        return 0


def _draw(run: Run, epoch: int, drawing: Drawing, layout: Layout) -> None:
    try:
        drawing.frame = draw(run, epoch, drawing.advance, layout)
    except projection.Cancelled:
        pass
    except Exception as error:  # whatever a library raises: the page says it, and shows PCA
        drawing.error = " ".join(str(error).split()) or type(error).__name__


def draw(run: Run, epoch: int, progress=lambda share: None, layout: Layout = OWN) -> np.ndarray:
    """The UMAP (N + Q, 2) of the training and test embeddings after an epoch; kept with the run. Raises StoreError."""
    points = np.concatenate(store.embedded(run, epoch)[:2])
    frame = projection.umap(points, run.config.seed, progress=progress, layout=layout)
    with suppress(StoreError):  # it can be drawn again
        map_file.keep(run, epoch, frame, _numbers(run, layout))
    return frame


def epochs(run: Run) -> list[int]:
    """The epochs of which there can be a map, first to last: 0 (before training), and those whose embeddings are there.

    Raises StoreError if no epoch was evaluated.
    """
    files = (run.folder / "embeddings").glob("epoch_*.npz")
    found = sorted(int(file.stem.removeprefix("epoch_")) for file in files if file.stem[6:].isdecimal())
    if not found:
        raise StoreError(f"run {run.id} has no embeddings yet; wait for the end of its first epoch")
    return [0, *found]


def frames(
    run: Run, method: str, epochs: list[int], images: DataSet | None = None, layout: Layout = OWN
) -> Iterator[Frame]:
    """The maps of these epochs, first to last, and how far each can be trusted; see `Film`. Raises StoreError."""
    film = Film(run, method, images, layout)
    film.draw_back(epochs)
    for epoch, drawn in sorted(film.frames.items()):
        points = film.points(epoch)
        trusted = projection.trustworthiness(points, drawn), projection.neighbours_kept(points, drawn)
        yield Frame(epoch, drawn, *trusted, film.motion(epoch))


class Film(Drawing):
    """The maps of a run's epochs: each begins at its neighbour and is aligned onto it by one similarity transform, so
    that the drawing moves as little as the embedding does; never mirrored or stretched.

    Of a run that has ended the last map is drawn first, as `umap` and PCA draw it, and the others back in time. While
    it is trained, each new one is put onto the one before. A PCA is never scaled: its distances mean something.
    Epoch 0 needs the run's images, unless somebody has looked at it before; it is left out where it cannot be made.
    """

    def __init__(self, run: Run, method: str, images: DataSet | None = None, layout: Layout = OWN):
        super().__init__()
        self.run, self.method, self.images, self.layout = run, method, images, layout
        self.frames: dict[int, np.ndarray] = {}  # (N + Q, 2) by epoch
        self.done = False
        self.missing = ""  # why there is no map of epoch 0

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
        epochs = self._possible(epochs)
        later, directions, layout = None, self.points(last), _numbers(self.run, self.layout)
        for count, epoch in enumerate(reversed(epochs), start=1):
            drawn = map_file.kept(self.run, epoch, last, layout) if self.method == "umap" else None
            if drawn is None:
                drawn = self._drawn(epoch, directions, later, count - 1, len(epochs))
                if later is not None:
                    drawn, _ = projection.aligned(drawn, later, scaled=self.scaled)
            self.frames[epoch] = later = drawn
            self.advance(count / len(epochs))
        if self.scaled:
            with suppress(StoreError):  # they can be drawn again
                map_file.keep_all(self.run, self.frames, last, layout)
        self.done = True

    def points(self, epoch: int) -> np.ndarray:
        """The embeddings (N + Q, D) after an epoch. Raises StoreError."""
        return np.concatenate(store.embedded(self.run, epoch)[:2])

    def _possible(self, epochs: list[int]) -> list[int]:
        """These epochs; without epoch 0 if what the untrained network makes of the images is not known."""
        if 0 in epochs and not self.missing:
            try:
                self._make_untrained()
            except StoreError as error:
                self.missing = str(error)
        return [each for each in epochs if each or not self.missing]

    def _make_untrained(self) -> None:
        """Sees to it that the embeddings of epoch 0 are there. Raises StoreError."""
        try:
            self.points(0)
        except StoreError:
            if self.images is None:
                raise
            from core import untrained  # here, because loading torch takes seconds

            untrained.keep(self.run, self.images)

    def _drawn(self, epoch: int, directions: np.ndarray, start: np.ndarray | None, done: int, of: int) -> np.ndarray:
        points = self.points(epoch)
        if self.method == "pca":
            return projection.pca(points, like=directions)
        return projection.umap(
            points, self.run.config.seed, start, lambda share: self.advance((done + share) / of), self.layout
        )

    def go_on(self, epochs: list[int]) -> None:
        """Adds the maps of new epochs of a run in training. Raises StoreError or projection.Cancelled."""
        new = [each for each in epochs if each not in self.frames]
        new.sort(key=lambda epoch: epoch == 0)  # what is trained comes first
        for count, epoch in enumerate(new):
            if not self._possible([epoch]):
                continue
            beside = self._beside(epoch)
            drawn = self._drawn(epoch, self.points(epoch), beside, count, len(new))
            if beside is not None:
                drawn = projection.same_signs(drawn, beside) if self.method == "pca" else drawn
                drawn, _ = projection.aligned(drawn, beside, scaled=self.scaled)
            self.frames[epoch] = drawn

    def _beside(self, epoch: int) -> np.ndarray | None:
        """The map of the epoch before, else of the one after; None if there is none yet."""
        near = [each for each in self.frames if each < epoch] or [-each for each in self.frames]
        return self.frames[abs(max(near))] if near else None


_films: OrderedDict[tuple, Film] = OrderedDict()


def film(
    run: Run, method: str, epochs: list[int], images: DataSet | None = None, again: bool = False, layout: Layout = OWN
) -> Film:
    """The film of a run that has ended; begins to draw it in the background, `again` after a Cancel or an error.

    Returns at once.
    """
    key = run.folder, method, tuple(epochs), _version(run, epochs[-1]), _numbers(run, layout)
    found, new = _remembered(key, lambda: Film(run, method, images, layout))
    if new or (again and found.ended and not found.done and not found.busy):
        found.cancelled, found.error = False, ""
        _in_background(found, found.draw_back, epochs)
    return found


def live(run: Run, method: str, epochs: list[int], images: DataSet | None = None, layout: Layout = OWN) -> Film:
    """The film of a run in training: of PCA up to the newest epoch, of UMAP as far as its thread has come.

    Epoch 0 is made by that thread; PCA has it from then on.
    """
    key = run.folder, method, "live", _numbers(run, layout)
    found, _ = _remembered(key, lambda: Film(run, method, images, layout))
    if method == "pca":
        found.go_on([each for each in epochs if each or store.embeddings_file(run, 0).exists()])
    elif {each for each in epochs if each or not found.missing} - set(found.frames) and not found.busy:
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


def planes(run: Run, images: DataSet, epochs: list[int], centres: tuple[int, int]) -> dict[int, np.ndarray]:
    """By epoch the map (N + Q, 2) on the plane of the centres of two classes. Raises StoreError."""
    frames: dict[int, np.ndarray] = {}
    for epoch in epochs:
        embedded = store.embedded(run, epoch)
        middles = (embedded.train[images.train.labels == label].mean(axis=0) for label in centres)
        frame = projection.between(np.concatenate(embedded[:2]), *middles)
        if frames:  # from left to right is given; whether up or down is arbitrary
            frame[:, 1] = projection.same_signs(frame, frames[max(frames)])[:, 1]
        frames[epoch] = frame
    return frames


def known(run: Run, method: str) -> np.ndarray | None:
    """The map (N + Q, 2) of the last epoch, if it is there or made at once; None for a UMAP that was not drawn yet."""
    if method == "umap":
        return map_file.kept(run, run.result.epochs)
    return projection.pca(np.concatenate(store.embedded(run, run.result.epochs)[:2]))
