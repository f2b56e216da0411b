"""The embedding space drawn in two dimensions: UMAP (arXiv:1802.03426) or PCA; and how far a drawing can be trusted.

N points, D numbers an embedding, k neighbours.
"""

import threading
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_EPOCHS, _EPOCHS_AFTER = 200, 50  # of a fit from PCA, and of one that begins at the drawing before
_SAME_PLACE = 0.05  # spread, as a share of the sphere's radius, below which embeddings are one point to the eye
_AT_ONCE = 1000  # rows of distances: 560 MB for 70,000 points
_RANKED_AT_ONCE = 200  # the same for 56 MB

_one_fit_at_a_time = threading.Lock()  # concurrent UMAP fits can abort the whole process, concurrent imports of it fail


class Cancelled(Exception):
    """Somebody does not want the drawing any more."""


class Layout(NamedTuple):
    """How UMAP draws."""

    neighbours: int = 15  # whose nearness is kept, the point itself among them; more of them show larger groups
    min_dist: float = 0.1  # between points of a dense group, 0 to 1; less of it makes groups smaller
    seed: int | None = None  # None: that of the run


OWN = Layout()  # how the lab draws unless somebody wants it otherwise


def umap(
    embeddings: np.ndarray,
    seed: int,
    before: np.ndarray | None = None,
    progress: Callable[[float], None] = lambda share: None,
    layout: Layout = OWN,
) -> np.ndarray:
    """(N, D) -> (N, 2) by UMAP; the same embeddings, order, layout and seed give the same picture. The layout's own
    seed goes before `seed`.

    Only who is near whom can be read from it: distances between far groups and the axes mean nothing. Equal embeddings
    are drawn at one place. It begins at PCA, or at the drawing (N, 2) of the epoch `before`. `progress` hears the share
    that is done, 0 to 1, and may raise Cancelled.
    """
    _, first, inverse = np.unique(embeddings, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # in the order of the embeddings, not of their numbers
    distinct, place = embeddings[first[order]].astype(np.float32), np.argsort(order)[inverse.reshape(-1)]
    start = pca(distinct) if before is None else before[first[order]]
    if len(distinct) < 4:  # nothing to lay out
        return start[place].astype(np.float32)
    with _one_fit_at_a_time:
        near = neighbours(distinct, min(layout.neighbours, len(distinct) - 1), lambda share: progress(share / 3))
        epochs = _EPOCHS if before is None else _EPOCHS_AFTER
        layout = layout._replace(seed=seed if layout.seed is None else layout.seed)
        frame = _fit(distinct, layout, start, near, epochs, lambda share: progress((1 + 2 * share) / 3))
    return frame[place]


def _fit(distinct, layout, start, near, epochs, progress) -> np.ndarray:
    import umap as umap_learn  # here, because loading it takes seconds

    with warnings.catch_warnings(action="ignore"):  # it misses what only new points would need
        fit = umap_learn.UMAP(
            n_neighbors=near[0].shape[1],
            n_epochs=epochs,
            init=10 * start / max(np.abs(start).max(), 1e-12),
            precomputed_knn=(*near, None),
            min_dist=layout.min_dist,
            random_state=layout.seed,
            n_jobs=1,  # a fit that shall be repeatable cannot be parallel
            tqdm_kwds={"disable": False, "file": _Listener(epochs, progress), "bar_format": "{n}", "mininterval": 0.2},
        )
        return fit.fit_transform(distinct).astype(np.float32)


class _Listener:
    """The file into which UMAP writes how many epochs it has done: its only word of progress."""

    def __init__(self, epochs: int, progress: Callable[[float], None]):
        self.epochs, self.progress = epochs, progress

    def write(self, text: str) -> None:
        if (done := text.strip()).isdigit():
            self.progress(min(int(done) / self.epochs, 1.0))

    def flush(self) -> None:
        pass


def neighbours(
    embeddings: np.ndarray, k: int, progress: Callable[[float], None] = lambda share: None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest points of each point, itself the first of them: indices and distances (N, k). Exact."""
    from sklearn.neighbors import NearestNeighbors  # here, because loading it takes a second

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(embeddings)
    indices = np.empty((len(embeddings), k), np.int32)
    distances = np.empty((len(embeddings), k), np.float32)
    for start in range(0, len(embeddings), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        distances[part], indices[part] = search.kneighbors(embeddings[part])
        progress(min(start + _AT_ONCE, len(embeddings)) / len(embeddings))
    _itself_first(indices, distances)
    return indices, distances


def _itself_first(indices: np.ndarray, distances: np.ndarray) -> None:
    """Rounding may put an almost equal point before the point itself: both lie at distance zero."""
    own = np.arange(len(indices))
    strange = np.flatnonzero(indices[:, 0] != own)
    for row in strange:
        found = np.flatnonzero(indices[row] == row)
        place = found[0] if len(found) else len(indices[row]) - 1
        indices[row, 1 : place + 1] = indices[row, :place].copy()
        distances[row, 1 : place + 1] = distances[row, :place].copy()
        indices[row, 0] = row
    distances[:, 0] = 0


def pca(embeddings: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """(N, D) -> (N, 2): the two directions in which the embeddings, or those they shall look `like`, differ most.

    Distances keep their unit.
    """
    axes, _ = _directions(embeddings if like is None else like)
    return _onto(embeddings, axes)


def pca_with_shares(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, and the share of the variance (2,) that each of the two directions holds."""
    axes, shares = _directions(embeddings)
    return _onto(embeddings, axes), shares


def _directions(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal directions (D, 2), and their shares of the variance (2,)."""
    centred = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)  # columns, smallest variance first
    axes = directions[:, :-3:-1]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # the sign is arbitrary: always the same one
    return axes * signs, variances[:-3:-1].clip(0) / max(variances.clip(0).sum(), 1e-300)


def _onto(embeddings: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return ((embeddings - embeddings.mean(axis=0, dtype=np.float64)) @ axes).astype(np.float32)


def between(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 2): the plane through two centres (D,). The first number is the place on the line between them, 0
    in the middle, `first` on the left; the second one the direction across in which the embeddings differ most.

    Distances keep their unit. For equal centres it is PCA.
    """
    line = (second - first).astype(np.float64)
    if np.linalg.norm(line) < 1e-9:
        return pca(embeddings)
    line /= np.linalg.norm(line)
    centred = embeddings - (first.astype(np.float64) + second) / 2
    along = centred @ line
    rest = centred - along[:, None] * line
    across, _ = _directions(rest)
    return np.stack([along, rest @ across[:, 0]], axis=1).astype(np.float32)


def extent(embeddings: np.ndarray) -> float:
    """How far from zero the furthest embedding lies: 10 on the sphere of triplet runs."""
    return float(np.linalg.norm(embeddings, axis=1).max())


def spread(embeddings: np.ndarray) -> float:
    """Root mean square distance from the embeddings' centre, 0 to 10 on the sphere of radius 10."""
    centred = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    return float(np.sqrt(np.square(centred).sum(axis=1).mean()))


def collapsed(embeddings: np.ndarray) -> str:
    """Why UMAP would draw a cloud where there is none, as a sentence; empty for a healthy space."""
    size, wide = extent(embeddings), spread(embeddings)
    if wide < _SAME_PLACE * size or size == 0:
        return (
            f"All images lie almost at one point: the embedding spread is {wide:.2f}, where the space reaches to "
            f"{size:.0f}. UMAP looks at neighbours only and would blow this point up into a cloud as large as any."
        )
    different = len(np.unique(embeddings, axis=0))
    if different < len(embeddings) / 2:
        return (
            f"Of {len(embeddings):,} embeddings only {different:,} are different. UMAP looks at neighbours only, and "
            "equal points have none."
        )
    return ""


def trustworthiness(embeddings: np.ndarray, frame: np.ndarray, k: int = 10) -> float:
    """How far the k neighbours in the drawing are neighbours in the embedding, 0 to 1 (Venna and Kaski 2001): what
    scikit-learn's function of this name gives, or an estimate from some points if there are many, see `_asked`.
    """
    count, rows = len(frame), _asked(len(frame))
    k = min(k, (count - 1) // 2)
    if not k:
        return 1.0
    drawn, too_far = _nearest_others(frame, rows, k), 0
    squares = np.square(embeddings).sum(axis=1)
    for start in range(0, len(rows), _RANKED_AT_ONCE):
        part, near = rows[start : start + _RANKED_AT_ONCE], drawn[start : start + _RANKED_AT_ONCE]
        away = squares - 2 * (embeddings[part] @ embeddings.T)  # (b, N) squared distances, but for one number a row
        away[np.arange(len(part)), part] = np.inf
        for each in range(k):
            rank = 1 + (away < np.take_along_axis(away, near[:, each, None], axis=1)).sum(axis=1)
            too_far += int((rank - k).clip(0).sum())
    return 1 - 2 * too_far / (len(rows) * k * (2 * count - 3 * k - 1))


def neighbours_kept(embeddings: np.ndarray, frame: np.ndarray, k: int = 10) -> float:
    """Share of a point's k nearest points in the embedding that are among its k nearest in the drawing, 0 to 1, on
    average over the points of `_asked`."""
    rows, k = _asked(len(frame)), min(k, len(frame) - 1)
    if not k:
        return 1.0
    near, drawn = (_nearest_others(points, rows, k) for points in (embeddings, frame))
    return float((near[:, :, None] == drawn[:, None, :]).sum() / near.size)


def _asked(count: int) -> np.ndarray:
    """The points whose neighbours are compared: all of up to 5,000, else 500. Neighbours may be any points."""
    return np.arange(count) if count <= 5000 else np.linspace(0, count - 1, 500).astype(int)


def _nearest_others(points: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """The k nearest points (n, k) of the points in `rows` (n,), without themselves."""
    from sklearn.neighbors import NearestNeighbors  # here, because loading it takes a second

    found = NearestNeighbors(algorithm="brute").fit(points).kneighbors(points[rows], k + 1, return_distance=False)
    lost = ~(found == rows[:, None]).any(axis=1)  # among more equal points than these
    found[lost, -1] = rows[lost]
    return found[found != rows[:, None]].reshape(len(rows), k)


def knn_accuracy(points: np.ndarray, labels: np.ndarray, training: int, k: int = 5, most: int = 2000) -> float:
    """Share of the test points (after the first `training` rows) whose k nearest training points vote for their class.

    `points` (N + Q, D) may be the embeddings or their drawing. Over at most `most` test points.
    """
    from sklearn.neighbors import KNeighborsClassifier

    rows = training + np.unique(np.linspace(0, len(points) - training - 1, most).astype(int))
    vote = KNeighborsClassifier(min(k, training), algorithm="brute").fit(points[:training], labels[:training])
    return float((vote.predict(points[rows]) == labels[rows]).mean())


def nearest_of(points: np.ndarray, index: int, training: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances (k,) of the training points (the first `training` rows) nearest to a point, not itself."""
    distance = np.linalg.norm(points[:training].astype(np.float64) - points[index], axis=1)
    if index < training:
        distance[index] = np.inf
    nearest = np.argsort(distance, kind="stable")[: min(k, training - (index < training))]
    return nearest, distance[nearest]


def weighted_place(places: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The mean (2,) of places (k, 2) on a map, each weighted by 1 / distance (k,); of those at distance 0 alone."""
    same = distances == 0
    weights = same.astype(np.float64) if same.any() else 1 / distances
    return (places * (weights / weights.sum())[:, None]).sum(axis=0)


def aligned(frame: np.ndarray, before: np.ndarray, *, scaled: bool = False) -> tuple[np.ndarray, float]:
    """`frame` (N, 2) turned and moved onto `before` (N, 2), and the motion that is left: the root mean square distance
    that a point still moves, as a share of the drawing's size.

    One rotation (Kabsch 1976, determinant +1) and one shift; with `scaled` also one scale for both axes, which makes
    the drawings equally large (Horn 1987: the other way round it is the inverse). Never mirrored or stretched.
    """
    here, there = frame.mean(axis=0, dtype=np.float64), before.mean(axis=0, dtype=np.float64)
    left, _, right = np.linalg.svd((frame - here).T @ (before - there))
    turn = np.diag([1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    size = np.sqrt(np.square(before - there).sum(axis=1).mean())
    own = np.sqrt(np.square(frame - here).sum(axis=1).mean())
    scale = size / own if scaled and own > 0 and size > 0 else 1.0
    moved = scale * (frame - here) @ left @ turn @ right + there
    motion = np.sqrt(np.square(moved - before).sum(axis=1).mean()) / max(size, 1e-12)
    return moved.astype(np.float32), float(motion)


def same_signs(frame: np.ndarray, before: np.ndarray) -> np.ndarray:
    """A PCA frame (N, 2) whose two directions, whose signs are arbitrary, point to where those of `before` do."""
    signs = np.sign(((frame - frame.mean(axis=0)) * (before - before.mean(axis=0))).sum(axis=0))
    return frame * np.where(signs == 0, 1, signs).astype(frame.dtype)


def warm_up() -> None:
    """Compiles what UMAP needs, so that the first picture does not wait for it."""
    few = np.random.default_rng(0).normal(size=(16, 5))  # as much is compiled as for many
    umap(few, seed=0, before=few[:, :2])
