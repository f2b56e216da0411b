"""A run brought in is measured: what its weights do not do is refused, and marked where it cannot be known."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from core import experiment
from core.__main__ import main
from core.exchange import packed_runs, report
from core.runs import store, writing
from tests.core.folders import write_set
from tests.core.zips import arrays_of, changed, refused_run, resaved, row, weights


def forged(members: dict, digits, **changes) -> io.BytesIO:
    """All test images called what they are labelled, and a history to match."""

    def perfect(state):
        state["progress"]["history"][-1]["test_accuracy"] = 1.0

    archive = arrays_of(members, predicted=digits.test.labels, **changes)
    with zipfile.ZipFile(archive) as found:
        names = {name: found.read(name) for name in found.namelist()}
    return resaved(names, "last.pt", perfect)


def test_a_forged_accuracy_is_refused(members, run, runs, digits):
    assert run.result.test_accuracy < 0.95
    said = f"these weights classify {100 * run.result.test_accuracy:.1f} % of the test images correctly, not 100.0 %"
    assert f"last.pt: {said}, as the run says of epoch 2" in refused_run(forged(members, digits), runs)


def test_embeddings_that_do_not_come_from_the_weights_are_refused(members, runs):
    with np.load(io.BytesIO(members["embeddings/epoch_0002.npz"])) as arrays:
        turned = -arrays["train"]
    assert "other predictions or embeddings" in refused_run(arrays_of(members, train=turned), runs)


def test_other_weights_are_refused(members, runs):
    def other(state):
        for each in weights(state).values():
            if each.is_floating_point():
                each.copy_(torch.randn(each.shape).abs())

    assert "these weights classify" in refused_run(resaved(members, "last.pt", other), runs)


def test_a_forged_best_epoch_is_refused(members, runs):
    def better(state):
        row(state)["test_accuracy"] = 1.0

    assert "best.pt: not of the epoch" in refused_run(resaved(members, "last.pt", better), runs)

    def earlier(state):
        state["epoch"] = 1

    both = zipfile.ZipFile(resaved(members, "last.pt", better))
    names = {name: both.read(name) for name in both.namelist()}
    assert "best.pt: these weights classify" in refused_run(resaved(names, "best.pt", earlier), runs)


@pytest.mark.parametrize("epoch", ["1", 0, -1, 10**30, 3, True])
def test_best_weights_of_an_impossible_epoch_are_refused(members, runs, epoch):
    assert "epoch" in refused_run(resaved(members, "best.pt", lambda state: state.update(epoch=epoch)), runs)


@pytest.mark.parametrize(("column", "value"), [("loss", 1e300), ("loss", -1), ("seconds", 1e30), ("spread", 11)])
def test_steps_that_cannot_be_are_refused(members, runs, column, value):
    table = pd.read_csv(io.BytesIO(members["steps.csv"]))
    table[column] = value
    archive = changed(members, "steps.csv", table.to_csv(index=False).encode())
    assert f"steps.csv: a {column} that cannot be" in refused_run(archive, runs)


def test_where_the_images_are_not_known_the_run_is_marked_until_it_was_measured(
    members, runs, digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(write_set(tmp_path / "other", {"a": 0, "b": 1})))
    run = store.find(runs, packed_runs.read_run(forged(members, digits), runs))
    assert run.unchecked
    assert run.title.endswith(" (imported, unchecked)")
    assert main(["runs", "--runs", str(runs)]) == 0
    assert "100.00%" in (line := capsys.readouterr().out)
    assert "(imported, unchecked)" in line
    page = report.page([run], [digits])
    assert page.count("(imported, unchecked)") == 2  # the title and the heading
    with writing.reopen(run, digits, add_epochs=1) as writer:
        list(experiment.run(writer, digits))
    assert not store.read(run.folder).unchecked


def test_the_best_weights_are_checked_too(members, runs):
    def other(state):
        state["network"].popitem()

    assert "best.pt: weights of another network" in refused_run(resaved(members, "best.pt", other), runs)
