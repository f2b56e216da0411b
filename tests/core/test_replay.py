"""A run trained again is the same bit for bit, and a run whose files were changed is caught."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from core import experiment, replay
from core.learning.events import StepDone
from core.runs import store, writing
from core.runs.files import StoreError


def trained(config, images, folder, control=lambda: None, told=lambda event: None):
    with writing.create(config, images, folder) as writer:
        for event in experiment.run(writer, images, control):
            told(event)
    return store.read(writer.folder)


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    return trained(tiny, digits, tmp_path_factory.mktemp("replayed"))


@pytest.fixture
def changed(run, tmp_path):
    """A copy of the run, for a test to change."""
    return store.read(shutil.copytree(run.folder, tmp_path / run.id))


def test_a_run_comes_out_the_same(run, digits):
    found = replay.replay(run, digits)
    assert (found.bit_exact, found.epochs, found.first_difference, found.what) == (True, 2, None, "")


def test_a_stopped_run_too(tiny, digits, tmp_path):
    seen = []
    stop = lambda: "stop" if len(seen) == 4 else None  # noqa: E731
    stopped = trained(tiny, digits, tmp_path, stop, lambda event: seen.append(1) if isinstance(event, StepDone) else 0)
    assert stopped.status == "stopped"
    found = replay.replay(stopped, digits)
    assert (found.bit_exact, found.epochs, found.what) == (True, 2, "")


def test_a_changed_table(changed, digits):
    file = changed.folder / "history.csv"
    table = store.history(changed)
    table.loc[1, "train_loss"] = np.nextafter(table.loc[1, "train_loss"], 9)
    file.write_text(table.to_csv(index=False))
    found = replay.replay(changed, digits)
    assert (found.bit_exact, found.first_difference) == (False, 2)
    assert found.what.startswith("train_loss was ")


def test_changed_embeddings(changed, digits):
    file = changed.folder / "embeddings" / "epoch_0001.npz"
    with np.load(file) as arrays:
        kept = dict(arrays)
    kept["predicted"][0] = (kept["predicted"][0] + 1) % len(digits.classes)
    np.savez(file, **kept)
    found = replay.replay(changed, digits)
    assert (found.first_difference, found.what) == (1, "the stored predicted of the images differ")


def test_changed_weights(changed, digits):
    state = torch.load(changed.folder / "last.pt", weights_only=True)
    next(iter(state["network"].values()))[0, 0, 0, 0] += 1e-3
    torch.save(state, changed.folder / "last.pt")
    found = replay.replay(changed, digits)
    assert (found.first_difference, found.what) == (2, "the weights in last.pt differ")


@pytest.mark.parametrize(("entry", "name", "value"), [("config", "seed", 5), ("result", "test_accuracy", 1.0)])
def test_changed_settings_and_results(changed, digits, entry, name, value):
    file = changed.folder / "run.json"
    facts = json.loads(file.read_text())
    facts[entry][name] = value
    file.write_text(json.dumps(facts))
    assert not replay.replay(store.read(changed.folder), digits).bit_exact


def test_without_a_result(tiny, digits, tmp_path):
    with writing.create(tiny, digits, tmp_path) as writer, pytest.raises(StoreError, match="no result to compare with"):
        replay.replay(store.read(writer.folder), digits)


def test_receipts(run, tiny, digits, tmp_path):
    assert len(replay.receipt(run)) == 14
    assert replay.receipt(run) == replay.receipt(trained(tiny, digits, tmp_path))
    other = dataclasses.replace(run, config=tiny.changed(seed=1))
    assert replay.receipt(other) != replay.receipt(run)
