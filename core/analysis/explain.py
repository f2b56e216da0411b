"""Why a test image was called what it was: neighbours, votes, centres, and what it takes to turn it right.

N training images (the gallery), Q test images, C classes, D numbers an embedding. Labels are positions in the list of
classes, distances are plain Euclidean. No torch at import.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.analysis.embedded import Embedded

NEIGHBOUR_RULES = ("knn", "knn_weighted")
COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Why:
    """The facts behind one prediction; training images are named by their rows (0 to N - 1)."""

    true: int
    predicted: int
    rules: dict[str, int | None]  # what softmax, knn, centre and mean say; None: not known
    nearest_true: tuple[int, float] | None  # row and distance; None: the gallery holds no image of this class
    nearest_predicted: tuple[int, float] | None
    nearest_other: tuple[int, float] | None  # of any class but the true one; None: the gallery holds no other
    voters: list[tuple[int, int, float]]  # row, label, distance, the nearest first
    first_true_rank: int | None  # of the nearest image of the true class, from 1
    centre_distances: dict[int, float]  # by label: to the training image that represents the class
    removals: list[int] | None  # fewest rows without which the k neighbours vote for the true class; None: impossible

    @property
    def margin(self) -> float | None:
        """d(predicted) - d(true): negative if the nearest image of the predicted class is the nearer one."""
        if self.nearest_true is None or self.nearest_predicted is None:
            return None
        return self.nearest_predicted[1] - self.nearest_true[1]


def predict_all(embedded: Embedded, train_labels: np.ndarray, rule: str, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (Q,) and scores (Q,) of all test images by a rule of choices.CLASSIFIERS other than softmax.

    Raises ValueError if the rule needs logits, which are not stored, or more than N neighbours.
    """
    return predict(embedded.test, embedded.train, train_labels, rule, k)


def predict(
    queries: np.ndarray, gallery: np.ndarray, labels: np.ndarray, rule: str, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same for any queries (Q, D) against a gallery (N, D) with labels (N,), of which some may be missing."""
    if rule == "softmax":
        raise ValueError("softmax needs logits, which are not stored; choose a rule of distances")
    import torch

    from core.analysis import classify

    known, places = np.unique(labels, return_inverse=True)  # a class may have no image left
    arrays = (torch.from_numpy(np.ascontiguousarray(array, np.float32)) for array in (queries, gallery))
    asked, kept = arrays
    of = torch.from_numpy(places.astype(np.int64))
    if rule in NEIGHBOUR_RULES:
        found = classify.knn(asked, kept, of, k, weighted=rule == "knn_weighted")
    else:
        found = (classify.centre if rule == "centre" else classify.nearest_mean)(asked, kept, of)
    return known[found.labels.numpy()], found.scores.numpy()


def ranking(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Rows of the whole gallery (N, D), the nearest to `query` (D,) first, in the order in which they would vote."""
    import torch

    from core.analysis.neighbours import nearest

    asked, known = (torch.from_numpy(np.ascontiguousarray(each, np.float32)) for each in (query[None], gallery))
    return nearest(asked, known, len(gallery))[1][0].numpy()


def voters(query: np.ndarray, gallery: np.ndarray, labels: np.ndarray, k: int) -> list[tuple[int, int, float]]:
    """Row, label and distance of the k images of the gallery (N, D) nearest to `query` (D,), the nearest first."""
    order = ranking(query, gallery)[:k]
    away = np.sqrt(np.square(query.astype(np.float64) - gallery[order].astype(np.float64)).sum(axis=1))
    return [(int(row), int(labels[row]), float(far)) for row, far in zip(order, away, strict=True)]


def why(
    query: np.ndarray,
    gallery: np.ndarray,
    labels: np.ndarray,
    true: int,
    k: int,
    *,
    own_rule: str,
    stored: int,
    own_k: int,
    without: Sequence[int] = (),
) -> Why:
    """Explains the prediction for `query` (D,) of class `true`.

    `stored` is what the run said by its `own_rule` with `own_k`; with another k, or `without` some training images
    (rows of the gallery), the own rule is applied anew, except softmax, which does not look at training images.
    Raises ValueError if fewer than k training images are left.
    """
    kept = np.setdiff1d(np.arange(len(gallery)), np.asarray(without, np.int64))
    if not 1 <= k <= len(kept):
        raise ValueError(f"{k} neighbours cannot vote among {len(kept)} training images; use 1 to {len(kept)}")
    known, of = gallery[kept], labels[kept]
    asked = {"knn", "centre", "nearest_mean", own_rule} - {"softmax"}
    said = {rule: int(predict(query[None], known, of, rule, k)[0][0]) for rule in asked}
    unchanged = not len(without) and (k == own_k or own_rule not in NEIGHBOUR_RULES)
    predicted = stored if unchanged or own_rule == "softmax" else said[own_rule]
    if unchanged and own_rule != "softmax":
        said[own_rule] = stored  # from embeddings before they were rounded for the disk
    order = ranking(query, known)
    exact = np.sqrt(np.square(query.astype(np.float64) - known.astype(np.float64)).sum(axis=1))  # (n,)
    ranks = np.flatnonzero(of[order] == true)
    removed = fewest_removals(of[order], true, k)
    return Why(
        true=true,
        predicted=predicted,
        rules={
            "softmax": stored if own_rule == "softmax" else None,
            "knn": said["knn"],
            "centre": said["centre"],
            "mean": said["nearest_mean"],
        },
        nearest_true=_nearest(exact, of == true, kept),
        nearest_predicted=_nearest(exact, of == predicted, kept),
        nearest_other=_nearest(exact, of != true, kept),
        voters=[(int(kept[row]), int(of[row]), float(exact[row])) for row in order[:k]],
        first_true_rank=int(ranks[0]) + 1 if len(ranks) else None,
        centre_distances=_to_centres(query, known, of),
        removals=None if removed is None else [int(kept[order[place]]) for place in removed],
    )


def _nearest(distances: np.ndarray, wanted: np.ndarray, rows: np.ndarray) -> tuple[int, float] | None:
    members = np.flatnonzero(wanted)
    if not len(members):
        return None
    first = members[distances[members].argmin()]
    return int(rows[first]), float(distances[first])


def _to_centres(query: np.ndarray, gallery: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Distance to the training image of each class that is nearest to the class's mean, as the rule `centre` asks."""
    import torch

    from core.analysis import classify

    known, places = np.unique(labels, return_inverse=True)
    kept = torch.from_numpy(np.ascontiguousarray(gallery, np.float32))
    chosen = classify.representatives(kept, torch.from_numpy(places.astype(np.int64))).numpy()
    away = np.sqrt(np.square(query.astype(np.float64) - gallery[chosen].astype(np.float64)).sum(axis=1))
    return {int(label): float(distance) for label, distance in zip(known, away, strict=True)}


def fewest_removals(labels: np.ndarray, true: int, k: int) -> list[int] | None:
    """Places in `labels` (N,), which are in the order of distance, without which the k nearest vote for `true`.

    Exact: no smaller set does it. The rule is classify.knn's: of classes with equally many votes the one with the
    nearest image wins. Empty if it is right already, None if nothing helps.

    To remove an image of the true class never helps: with it in place again the last voter leaves, and either way no
    other class gains. So of the first m places exactly m - k others are removed, for the smallest m at which the
    others that stay can be spread over their classes without one of them winning.
    """
    labels = np.asarray(labels)
    own = np.flatnonzero(labels == true)
    if not len(own) or k > len(labels):
        return None
    others = np.unique(labels[labels != true])
    places = {int(label): np.flatnonzero(labels == label) for label in others}
    for end in range(max(k, int(own[0]) + 1), len(labels) + 1):
        votes = int(np.searchsorted(own, end))
        allowed = {label: _may_stay(rows, end, votes, int(own[0])) for label, rows in places.items()}
        if sum(allowed.values()) >= k - votes >= 0:
            return _removed(places, allowed, end, k - votes)
    return None


def _may_stay(rows: np.ndarray, end: int, votes: int, first: int) -> int:
    """How many of a class's images (rows, ascending) before `end` may vote while `votes` for the true class win."""
    inside = rows[rows < end]
    if (inside > first).sum() >= votes:  # as many may vote if the true class has the nearest
        return votes
    return min(len(inside), votes - 1)


def _removed(places: dict[int, np.ndarray], allowed: dict[int, int], end: int, stay: int) -> list[int]:
    """Of each class the nearest are removed, until `stay` images of all of them are left before `end`."""
    removed = []
    surplus = sum(allowed.values()) - stay
    for label, rows in places.items():
        inside = rows[rows < end]
        given_up = min(surplus, allowed[label])
        surplus -= given_up
        removed += inside[: len(inside) - (allowed[label] - given_up)].tolist()
    return sorted(removed)


def sentence(found: Why, classes: Sequence[str]) -> str:
    """The facts in words, e.g. "Called 7: of its 5 nearest training images four are 7s; the nearest 2 is 0.60 …"."""
    said, right = classes[found.predicted], found.true == found.predicted
    votes = sum(label == found.predicted for _, label, _ in found.voters)
    count = "all" if votes == len(found.voters) > 1 else COUNTS[votes] if votes < len(COUNTS) else f"{votes}"
    k = len(found.voters)
    of = f"of its {k} nearest training images" if k > 1 else "of its nearest training image"
    called = f"Called {said}, rightly" if right else f"Called {said}"
    text = f"{called}: {of} {count} {'is' if votes == 1 else 'are'} {_many(said, votes)}"
    if not right and found.margin is not None:
        side = "farther" if found.margin <= 0 else "nearer"
        text += f"; the nearest {classes[found.true]} is {abs(found.margin):.2f} {side} than the nearest {said}"
    return text + "."


def _many(name: str, count: int) -> str:
    """Several images of a class: "7s", else "of class trouser"."""
    if len(name) == 1:
        return f"a {name}" if count == 1 else f"{name}s"
    return f"of class {name}"
