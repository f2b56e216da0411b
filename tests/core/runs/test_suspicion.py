"""Labels to doubt: the shares of votes against a loop over all distances, and a label that was planted."""

import dataclasses

import numpy as np
import pytest
import torch

from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.learning.sampling import held_out
from core.runs import store, suspicion, writing
from core.runs.store import Run

pytestmark = pytest.mark.usefixtures("one_thread")
PLANTED = 3  # a row of the training images whose label is made wrong


@pytest.fixture
def mislabelled(digits) -> DataSet:
    labels = digits.train.labels.copy()
    labels[PLANTED] = (labels[PLANTED] + 1) % 4
    return dataclasses.replace(digits, train=dataclasses.replace(digits.train, labels=labels))


def run_with(tiny, images: DataSet, true: np.ndarray, runs, seed: int, share: float = 0.5) -> Run:
    """A run whose embeddings lie about one corner for each of the `true` classes; nothing was trained."""
    config = tiny.changed(seed=seed, validation_share=share)
    draw = np.random.default_rng(seed)
    train = (10 * np.eye(4)[true] + draw.normal(size=(48, 4))).astype(np.float32)
    test = (10 * np.eye(4)[images.test.labels]).astype(np.float32)
    with writing.create(config, images, runs) as writer:
        writer.save_embedded(1, Embedded(train, test, images.test.labels, np.ones(24, np.float32)))
    made = store.read(writer.folder)
    result = store.Result(
        epochs=1, steps=1, train_accuracy=1.0, test_accuracy=1.0, best_test_accuracy=1.0, mistakes=0
    )  # fmt: skip
    return dataclasses.replace(made, result=result)


def test_shares_against_a_loop(tiny, digits, tmp_path):
    run = run_with(tiny, digits, digits.train.labels, tmp_path, 0)
    labels = digits.train.labels
    held = held_out(run.config, torch.from_numpy(np.array(labels))).numpy()
    rows, shares = suspicion.out_of_sample(run, digits)
    assert rows.tolist() == np.flatnonzero(held).tolist()
    assert 0 < len(rows) < 48
    known = store.embedded(run, 1).train.astype(float)
    for row, share in zip(rows, shares, strict=True):
        others = sorted(np.flatnonzero(~held), key=lambda other: np.linalg.norm(known[row] - known[other]))
        votes = [labels[other] for other in others[: suspicion.VOTERS]]
        assert share.tolist() == pytest.approx([votes.count(label) / len(votes) for label in range(4)])


def test_a_planted_label_is_doubted_by_the_runs_that_kept_it(tiny, digits, mislabelled, tmp_path):
    runs = [run_with(tiny, mislabelled, digits.train.labels, tmp_path, seed) for seed in range(4)]
    found = suspicion.find(runs, mislabelled)
    rows = np.concatenate([suspicion.out_of_sample(run, mislabelled)[0] for run in runs])
    assert found.asked == len(np.unique(rows))
    assert PLANTED in rows
    assert found.suspects[0].row == PLANTED
    assert found.suspects[0].labelled == mislabelled.train.labels[PLANTED]
    assert found.suspects[0].looks_like == digits.train.labels[PLANTED]
    assert found.suspects[0].self_confidence < 0.5


def test_which_runs_can_be_asked(tiny, digits, mislabelled, tmp_path):
    with_it, without = (run_with(tiny, digits, digits.train.labels, tmp_path, 1, share) for share in (0.5, 0.0))
    unfinished = dataclasses.replace(with_it, result=None)
    assert suspicion.with_validation([with_it, without, unfinished], digits) == [with_it]
    other = dataclasses.replace(digits, fingerprint="1" * 64)
    assert suspicion.with_validation([with_it], other) == []


def test_a_run_says_nothing_of_images_that_it_left_out(tiny, digits, mislabelled, tmp_path):
    gone = mislabelled.train.ids[PLANTED]
    part = tiny.changed(exclude=(gone,))
    rows = [row for row in range(48) if row != PLANTED]
    run = run_with(part, mislabelled, digits.train.labels, tmp_path, 0)
    with np.load(store.embeddings_file(run, 1)) as arrays:
        kept = dict(arrays)
    np.savez(store.embeddings_file(run, 1), **kept | {"train": kept["train"][rows]})
    asked, shares = suspicion.out_of_sample(run, mislabelled)
    assert PLANTED not in asked
    assert shares.argmax(axis=1).tolist() == np.array(digits.train.labels)[asked].tolist()
    whole = run_with(tiny, mislabelled, digits.train.labels, tmp_path, 1)
    found = suspicion.find([run, whole], mislabelled.without((gone,)))
    assert {each.row for each in found.suspects} <= {PLANTED}
