"""Epoch 0: the very weights that a training begins with, and what they make of all images."""

import dataclasses

import numpy as np
import pytest
import torch

from core import experiment, untrained
from core.learning import evaluate, sampling
from core.runs import store, writing
from core.runs.files import StoreError


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    with writing.create(tiny.changed(epochs=1, weight_average=0.9), digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


def test_it_is_the_evaluation_of_the_network_before_its_first_step(run, digits, tmp_path, monkeypatch):
    seen = []

    def look(training, *_):
        config, labels = run.config, torch.tensor(digits.train.labels)
        train, test = (experiment.labelled(digits, each) for each in (digits.train, digits.test))
        used = experiment.machine.choose(config)
        held = sampling.held_out(config, labels)
        seen.append(evaluate.evaluate(training.judged, train, held, test, config, used))
        return iter(())

    monkeypatch.setattr(experiment.loop, "fit", look)  # the training of such a run, at its first moment
    with writing.create(run.config, digits, tmp_path) as writer, pytest.raises(StoreError, match="done without"):
        list(experiment.run(writer, digits))
    found = untrained.embedded(run, digits)
    np.testing.assert_array_equal(found.train, seen[0].train_embeddings)
    np.testing.assert_array_equal(found.test, seen[0].test_embeddings)
    np.testing.assert_array_equal(found.predicted, seen[0].test_prediction.labels)
    np.testing.assert_array_equal(found.scores, seen[0].test_prediction.scores)


def test_it_is_kept_as_epoch_0_and_changes_nothing_else(run, digits):
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    with pytest.raises(StoreError, match=r"untrained\.npz cannot be read"):
        store.embedded(run, 0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    untrained.keep(run, digits)
    assert torch.equal(torch.get_rng_state(), state)
    found, kept = untrained.embedded(run, digits), store.embedded(run, 0)
    for name in found._fields:
        np.testing.assert_array_equal(getattr(found, name), getattr(kept, name))
    assert not np.array_equal(kept.train, store.embedded(run, 1).train)
    after = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    assert set(after) - set(before) == {run.folder / "untrained.npz"}
    assert all(after[file] == content for file, content in before.items())


def test_other_images_are_refused(run, digits):
    with pytest.raises(StoreError, match="trained on other images"):
        untrained.embedded(run, dataclasses.replace(digits, fingerprint="0" * 64))
