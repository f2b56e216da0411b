"""Explanations and biographies of a run's images, from what its folder holds."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from core.analysis import biography, explain
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet, Split
from core.runs import store
from core.runs.files import StoreError
from core.runs.store import Run


class Said(NamedTuple):
    """What a rule said of an image."""

    rule: str  # one of choices.CLASSIFIERS
    k: int  # of the neighbours that it asked, if it asks any
    label: int


def last_epoch(run: Run) -> int:
    """The epoch that the result belongs to. Raises StoreError without one."""
    if not run.result:
        raise StoreError(f"run {run.id} has no predictions yet: its first epoch was not finished")
    return run.result.epochs


def row_of(split: Split, name: str, what: str) -> int:
    """Where the image with this id is. Raises StoreError."""
    try:
        return split.ids.index(name)
    except ValueError:
        raise StoreError(
            f"there is no {what} image {name!r} in the data set; an id looks like {split.ids[0]}"
        ) from None


def why(run: Run, images: DataSet, row: int, k: int | None = None, without: list[int] | None = None) -> explain.Why:
    """Explains the test image in this row, see explain.why. Raises StoreError."""
    embedded = store.embedded(run, last_epoch(run))
    return why_of(run, images, embedded, row, k, without)


def why_of(
    run: Run,
    images: DataSet,
    embedded: Embedded,
    row: int,
    k: int | None = None,
    without=None,
    said: Said | None = None,
) -> explain.Why:
    """The same from embeddings that are in memory already; of what the run `said` by another rule than its own."""
    own = Said(run.config.predicts, run.config.neighbours, int(embedded.predicted[row]))
    rule, own_k, label = said or own
    try:
        found = explain.why(
            embedded.test[row],
            embedded.train,
            images.train.labels,
            int(images.test.labels[row]),
            k or own_k,
            own_rule=rule,
            stored=label,
            own_k=own_k,
            without=without or [],
        )
    except ValueError as error:
        raise StoreError(str(error)) from error
    if own.rule == "softmax":  # does not change with the rule that is asked
        return replace(found, rules=found.rules | {"softmax": own.label})
    return found


def score_of(run: Run, images: DataSet, row: int, k: int | None, without: list[int]) -> float:
    """The score of the prediction that `why` explains."""
    embedded = store.embedded(run, last_epoch(run))
    rule, own_k = run.config.predicts, run.config.neighbours
    if rule == "softmax" or (not without and (k in (None, own_k) or rule not in explain.NEIGHBOUR_RULES)):
        return float(embedded.scores[row])
    kept = np.setdiff1d(np.arange(len(embedded.train)), np.asarray(without, np.int64))
    known, labels = embedded.train[kept], images.train.labels[kept]
    return float(explain.predict(embedded.test[row][None], known, labels, rule, k or own_k)[1][0])


def why_json(found: explain.Why, images: DataSet, row: int, score: float) -> dict:
    """What `python -m core why --json` prints: classes as their integers, images as their ids."""
    numbers, ids = images.class_numbers, images.train.ids

    def neighbour(of: tuple[int, float] | None) -> dict | None:
        return of and {"id": ids[of[0]], "distance": of[1]}

    return {
        "id": images.test.ids[row],
        "true": numbers[found.true],
        "predicted": numbers[found.predicted],
        "score": score,
        "rules": {rule: None if said is None else numbers[said] for rule, said in found.rules.items()},
        "nearest_true": neighbour(found.nearest_true),
        "nearest_predicted": neighbour(found.nearest_predicted),
        "margin": found.margin,
        "voters": [{"id": ids[each], "class": numbers[label], "distance": far} for each, label, far in found.voters],
        "first_true_rank": found.first_true_rank,
        "centre_distances": {str(numbers[label]): far for label, far in found.centre_distances.items()},
        "removals": None if found.removals is None else [ids[each] for each in found.removals],
        "sentence": explain.sentence(found, images.classes),
    }


@dataclass(frozen=True)
class Biographies:
    """What the images of one split were called after each stored epoch: E epochs, Q images."""

    epochs: list[int]
    predicted: np.ndarray  # (E, Q) labels
    scores: np.ndarray  # (E, Q) fractions
    true: np.ndarray  # (Q,)
    kinds: list[str]
    forgotten: np.ndarray  # (Q,) how often

    def to_json(self, images: DataSet, split: Split, rows: list[int]) -> dict:
        """What `python -m core biography --json` prints, of these rows."""
        numbers = images.class_numbers
        told = [
            {
                "id": split.ids[row],
                "true": numbers[self.true[row]],
                "kind": self.kinds[row],
                "predicted": [numbers[label] for label in self.predicted[:, row]],
                "forgotten": int(self.forgotten[row]),
            }
            for row in rows
        ]
        return {"epochs": self.epochs, "images": told, "counts": biography.counts([self.kinds[row] for row in rows])}


def stored_epochs(run: Run) -> list[int]:
    """The epochs whose embeddings are kept, ascending, up to the one of the result."""
    found = (file.stem.removeprefix("epoch_") for file in (run.folder / "embeddings").glob("epoch_*.npz"))
    last = last_epoch(run)
    return sorted(int(each) for each in found if each.isdecimal() and int(each) <= last)


def biographies(run: Run, images: DataSet, *, training: bool = False) -> Biographies:
    """The biographies of all test images by the run's own rule, as stored; or of all training images.

    A training image is called what its k nearest other training images vote for (leave one out), in the embeddings of
    that epoch. Raises StoreError if there is no epoch, or one cannot be read; the last must be among them.
    """
    epochs = stored_epochs(run)
    if not epochs:
        raise StoreError(f"run {run.id} keeps no embeddings of its epochs")
    if epochs[-1] != last_epoch(run):
        store.embedded(run, last_epoch(run))
    found = [_of_training(run, images, epoch) if training else _of_test(run, epoch) for epoch in epochs]
    predicted, scores = (np.stack(each) for each in zip(*found, strict=True))
    true = (images.train if training else images.test).labels
    forgotten = biography.forgetting_events(predicted, true)
    return Biographies(epochs, predicted, scores, true, biography.kinds(predicted, true), forgotten)


def _of_test(run: Run, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    embedded = store.embedded(run, epoch)
    return embedded.predicted, embedded.scores


def _of_training(run: Run, images: DataSet, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    import torch

    from core.analysis import classify

    train = torch.from_numpy(store.embedded(run, epoch).train)
    labels = torch.from_numpy(np.array(images.train.labels))
    k = min(run.config.neighbours, len(train) - 1)
    said = classify.knn(train, train, labels, k, leave_one_out=True)
    return said.labels.numpy(), said.scores.numpy()
