"""Training images whose label is to be doubted: what runs say of the images that they kept for validation.

A run has not learnt from its validation images. Its nearest training images that it did learn from vote on each; the
shares of the votes are the probabilities for core/analysis/confident.py. Runs with other seeds keep other images, and
each image gets the mean over the runs that kept it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.analysis import confident
from core.dataset.loader import DataSet
from core.runs import store
from core.runs.explaining import last_epoch
from core.runs.store import Run

VOTERS = 10  # at least: five votes tell too few probabilities apart


@dataclass(frozen=True)
class Suspect:
    """A training image that is confidently of another class than its label."""

    row: int  # in train.csv, from 0
    labelled: int
    looks_like: int
    self_confidence: float  # the probability of its own label, a fraction


@dataclass(frozen=True)
class Suspicion:
    """What runs with validation images say of the training images."""

    asked: int  # training images that some run kept for validation
    runs: tuple[str, ...]  # their ids
    suspects: list[Suspect]  # the least probable label first


def with_validation(runs: Sequence[Run], images: DataSet) -> list[Run]:
    """Those of the runs that have a result, kept validation images, and were trained on these images."""
    fit = [run for run in runs if run.result and run.config and run.config.validation_share > 0]
    return [run for run in fit if run.data.fingerprint == images.fingerprint]


def find(runs: Sequence[Run], images: DataSet) -> Suspicion:
    """The training images whose label these runs, each with validation images, doubt. Raises StoreError.

    Rows are those of the whole set, also where a run left images out, on which it says nothing.
    """
    images = images.without(())
    count, classes = len(images.train.ids), len(images.classes)
    sums, times = np.zeros((count, classes)), np.zeros(count, int)
    for run in runs:
        rows, shares = out_of_sample(run, images)
        sums[rows] += shares
        times[rows] += 1
    asked = np.flatnonzero(times)
    labels, probabilities = images.train.labels[asked], sums[asked] / times[asked, None]
    said = confident.confident_class(labels, probabilities)
    suspects = [
        Suspect(int(asked[place]), int(labels[place]), int(said[place]), float(probabilities[place, labels[place]]))
        for place in confident.doubtful(labels, probabilities)
    ]
    return Suspicion(len(asked), tuple(run.id for run in runs), suspects)


def out_of_sample(run: Run, images: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) of the run's validation images in the whole set, and the shares (n, C) of the votes on each.

    Raises StoreError.
    """
    import torch

    from core.analysis.neighbours import nearest
    from core.learning.sampling import held_out

    rows = np.flatnonzero(~np.isin(images.without(()).train.ids, run.config.exclude))
    images = store.as_learnt(run, images)
    labels = torch.from_numpy(np.array(images.train.labels))
    held = held_out(run.config, labels)
    embeddings = torch.from_numpy(store.embedded(run, last_epoch(run)).train)
    k = min(max(run.config.neighbours, VOTERS), int((~held).sum()))
    _, index = nearest(embeddings[held], embeddings[~held], k)
    voters = labels[~held][index]  # (n, k)
    shares = torch.nn.functional.one_hot(voters, len(images.classes)).double().mean(dim=1)
    return rows[held.numpy()], shares.numpy()
