"""Whole runs of a second each: complete, consistent, repeatable, diverged, of every network and objective."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core import experiment
from core.dataset.loader import DataSet
from core.evaluation import evaluate_run
from core.learning import training
from core.learning.events import EpochDone, Finished, StepDone
from core.learning.loop import Diverged
from core.runs import store, writing
from core.runs.store import Run
from core.settings.config import RunConfig
from tests.core.learning.test_machine import wrong_for_shortcuts
from tests.core.whole_runs import check_same, predictions, train

FILES = [
    "best.pt", "embeddings", "history.csv", "last.pt", "mistakes.csv", "predictions.csv", "run.json", "run.lock",
    "steps.csv",
]  # fmt: skip
DIVERGING = dict(objective="cross_entropy", learning_rate=10.0, weight_decay=1.0, epochs=20)


@pytest.fixture(scope="module")
def classified(tiny, digits, tmp_path_factory) -> Run:
    config = tiny.changed(objective="cross_entropy", learning_rate=0.01, epochs=1)
    return train(config, digits, tmp_path_factory.mktemp("runs"))[0]


# What a run leaves


def test_files_of_a_run(done):
    run, events = done
    assert [name for name in FILES if not (run.folder / name).exists()] == []
    assert sorted(file.name for file in (run.folder / "embeddings").iterdir()) == [
        f"epoch_000{epoch}.npz" for epoch in (1, 2, 3)
    ]
    assert not [file for file in run.folder.rglob("*") if file.name.endswith(".tmp")]
    kinds = [type(event) for event in events]
    assert kinds == [*[StepDone] * 3, EpochDone] * 3 + [Finished]
    json.dumps([dataclasses.asdict(event) for event in events], allow_nan=False)
    assert (run.status, run.error, run.steps_per_epoch) == ("done", "", 3)
    assert all(value for _, value in run.machine)
    assert run.machine.precision == "float32"
    assert run.machine.threads == 1
    assert run.seconds > 0


def test_the_numbers_agree(done, digits):
    run, events = done
    history, steps, table = store.history(run), store.steps(run), predictions(run)
    mistakes, last, finished = store.mistakes(run), store.history(run).iloc[-1], events[-1]
    assert history.epoch.tolist() == [1, 2, 3]
    for row, event in zip(history.itertuples(), (each for each in events if isinstance(each, EpochDone)), strict=True):
        for name, value in (dataclasses.asdict(event) | event.diagnostics).items():
            if value in (None, ""):
                assert pd.isna(getattr(row, name))
            elif name != "diagnostics":
                assert getattr(row, name) == pytest.approx(value, rel=1e-12)
    assert len(steps) == 9
    for epoch, rows in steps.groupby("epoch"):
        assert history.train_loss[epoch - 1] == pytest.approx(rows.loss.mean())
    assert (history.seconds.diff().dropna() > 0).all()
    assert table.id.tolist() == list(digits.test.ids)
    assert table.true.tolist() == [digits.class_numbers[label] for label in digits.test.labels]
    assert set(table.predicted) <= set(digits.class_numbers)
    assert table.score.between(1 / 3, 1).all()  # shares of three votes
    accuracy = (table.true == table.predicted).mean()
    assert 0 < len(mistakes) < 24  # otherwise the tests below say little
    assert run.result.model_dump() == {
        "epochs": 3,
        "steps": 3,
        "train_accuracy": last.train_accuracy,
        "test_accuracy": last.test_accuracy,
        "best_test_accuracy": history.test_accuracy.max(),
        "validation_accuracy": None,
        "alarm": "",
        "alarm_kind": "",
        "mistakes": len(mistakes),
    }
    assert accuracy == last.test_accuracy == finished.test_accuracy == pytest.approx(1 - len(mistakes) / 24)
    assert finished.train_accuracy == last.train_accuracy
    assert (finished.run, finished.status, finished.epochs) == (run.id, "done", 3)


def test_predictions_are_the_votes_of_the_stored_embeddings(done, digits):
    run, _ = done
    stored = store.embedded(run, 3)
    classes = np.array(digits.class_numbers)
    for query, row in zip(stored.test.astype(np.float64), predictions(run).itertuples(), strict=True):
        order = np.argsort(np.linalg.norm(stored.train - query, axis=1), kind="stable")
        votes = digits.train.labels[order[:3]].tolist()
        winner = max(votes, key=lambda label: (votes.count(label), -votes.index(label)))
        assert row.predicted == classes[winner]
        assert row.score == pytest.approx(votes.count(winner) / 3)
    assert [classes[label] for label in stored.predicted] == predictions(run).predicted.tolist()


def test_mistakes_agree_with_a_search_by_hand_and_with_the_files(done, digits):
    run, _ = done
    stored = store.embedded(run, 3)
    name_of = dict(zip(digits.class_numbers, digits.classes, strict=True))
    rows = {split: pd.read_csv(digits.folder / f"{split}.csv", dtype={"id": str}) for split in ("train", "test")}
    table, wrong = store.mistakes(run), predictions(run).query("true != predicted")
    assert table.test_index.tolist() == wrong.index.tolist()
    for column in ("id", "true", "predicted", "score"):
        assert table[column].tolist() == wrong[column].tolist()
    for row in table.itertuples():
        listed = rows["test"].iloc[row.test_index]
        assert (listed.id, listed["class"]) == (row.id, row.true)
        assert (digits.folder / "test" / name_of[row.true] / f"{row.id}.png").is_file()
        for kind, number in (("true", row.true), ("predicted", row.predicted)):
            index, neighbour = getattr(row, f"nearest_{kind}_index"), getattr(row, f"nearest_{kind}_id")
            distance = getattr(row, f"nearest_{kind}_distance")
            listed = rows["train"].iloc[index]
            assert (listed.id, listed["class"], listed["name"]) == (neighbour, number, name_of[number])
            assert (digits.folder / "train" / name_of[number] / f"{neighbour}.png").is_file()
            best = None
            for place in np.flatnonzero(rows["train"]["class"] == number):
                difference = stored.test[row.test_index].astype(float) - stored.train[place].astype(float)
                found = float(np.sqrt((difference**2).sum()))
                if best is None or found < best[1]:
                    best = int(place), found
            assert best == (index, pytest.approx(distance, rel=1e-9))


def test_embeddings_lie_on_the_sphere(done, digits):
    run, _ = done
    stored = store.embedded(run, 1)
    assert stored.train.shape == (48, 8)
    assert stored.test.shape == (24, 8)
    for embeddings in (stored.train, stored.test):
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 10, rtol=2e-3)


def test_checkpoints_are_plain(done):
    run, _ = done
    last = torch.load(run.folder / "last.pt", weights_only=True)
    best = torch.load(run.folder / "best.pt", weights_only=True)
    assert (last["epoch"], last["steps"]) == (3, 3)
    assert last["training"]["optimiser"]["state"]  # the momentum
    history = store.history(run)
    assert history.test_accuracy[best["epoch"] - 1] == history.test_accuracy.max()
    assert best["epoch"] == history.test_accuracy.idxmax() + 1  # the first of equally good ones
    assert best["network"].keys() == last["network"].keys()


# The same again


def test_same_seed_same_run(done, digits, tmp_path):
    run, _ = done
    check_same(run, train(run.config, digits, tmp_path)[0], epochs=3)


def test_other_draws_change_nothing(tiny, digits, tmp_path):
    """A page that draws random numbers in the same process, and whatever was drawn before the run."""
    config = tiny.changed(objective="cross_entropy", augmentation="crop_flip", learning_rate=0.01)
    run, _ = train(config, digits, tmp_path)
    torch.rand(7)
    np.random.seed(3)  # noqa: NPY002
    with writing.create(config, digits, tmp_path) as writer:
        for event in experiment.run(writer, digits):
            torch.rand(1 + getattr(event, "step", 0))
            torch.manual_seed(99)
    check_same(run, store.read(writer.folder), epochs=2)


def test_another_seed_is_another_run(done, digits, tmp_path):
    run, _ = done
    other, _ = train(run.config.changed(seed=2, epochs=1), digits, tmp_path)
    assert store.history(other).train_loss[0] != store.history(run).train_loss[0]
    assert not np.array_equal(store.embedded(other, 1).test, store.embedded(run, 1).test)


# Diverged


def run_that_fails(config: RunConfig, data: DataSet, runs: Path, control=lambda: None) -> Run:
    writer = writing.create(config, data, runs)
    with pytest.raises(Diverged, match="Lower the learning rate") as caught, writer:
        list(experiment.run(writer, data, control))
    run = store.read(writer.folder)
    assert (run.status, run.error) == ("failed", str(caught.value))
    return run


def test_diverging_run_keeps_its_earlier_epochs(tiny, digits, tmp_path):
    run = run_that_fails(tiny.changed(**DIVERGING), digits, tmp_path)
    history = store.history(run)
    assert len(history) >= 1  # so that there is something to keep
    assert f"epoch {len(history) + 1}" in run.error or f"epoch {len(history)}:" in run.error
    assert "(it was 10)" in run.error
    assert [name for name in FILES if not (run.folder / name).exists()] == []
    assert run.result.epochs == store.load_checkpoint(run)["epoch"] == len(history)
    assert evaluate_run(run, None, None, None)["accuracy"] == run.result.test_accuracy


def test_weights_that_run_away_in_the_last_step_are_no_result(tiny, digits, tmp_path, monkeypatch):
    """The loss of that step was still finite, but the network it leaves gives only NaN."""
    made, optimiser = [], training.optimiser

    def remember(network, config):
        made.append(network)
        return optimiser(network, config)

    monkeypatch.setattr(training, "optimiser", remember)

    asked = []

    def spoil() -> str | None:
        if made:  # the network stands
            asked.append(True)
        if (
            not made or not made[0].training or len(asked) < 7
        ):  # four steps, and two batches of the evaluation between them
            return None
        with torch.no_grad():
            next(made[0].parameters()).fill_(torch.nan)
        return "stop"

    run = run_that_fails(tiny, digits, tmp_path, spoil)
    assert "epoch 2" in run.error
    assert store.history(run).epoch.tolist() == [1]
    assert [file.name for file in (run.folder / "embeddings").iterdir()] == ["epoch_0001.npz"]
    assert store.load_checkpoint(run)["epoch"] == run.result.epochs == 1


# Every network and objective


@pytest.mark.parametrize("objective", ["cross_entropy", "triplet"])
@pytest.mark.parametrize(
    "network",
    [
        dict(architecture="densenet", blocks=(1, 1, 1, 1), growth_rate=2),
        dict(architecture="resnext", blocks=(1, 1), cardinality=2, bottleneck_width=2),
        dict(architecture="resnet", blocks=(1, 1), width=8, channels=1),
    ],
    ids=lambda network: network["architecture"],
)
def test_every_architecture_with_every_objective(tiny, digits, tmp_path, network, objective):
    config = tiny.changed(**network, objective=objective, epochs=1, learning_rate=0.01)
    run, _ = train(config, digits, tmp_path)
    assert run.status == "done"
    assert store.history(run).test_loss[0] > 0
    for classifier in ("softmax", "knn", "centre") if objective == "cross_entropy" else ("knn", "centre"):
        result = evaluate_run(run, None, classifier, None)
        assert result["total"] == 24
        if classifier == ("softmax" if objective == "cross_entropy" else "knn"):
            assert result["accuracy"] == run.result.test_accuracy


def test_scores_of_a_classifier_are_probabilities(classified):
    assert predictions(classified).score.between(1 / 4, 1).all()
    assert store.embedded(classified, 1).train.shape[0] == 48


# Precision, and how far an evaluation is


def test_a_precision_that_is_wrong_on_this_processor_is_not_used(monkeypatch, tiny, digits, tmp_path):
    config = tiny.changed(epochs=1)
    fast, _ = train(config.changed(precision="bfloat16"), digits, tmp_path / "right")
    assert (fast.machine.precision, fast.notes) == ("bfloat16", ())
    wrong_for_shortcuts(monkeypatch, 0.5)
    run, _ = train(config.changed(precision="bfloat16"), digits, tmp_path / "wrong")
    exact, _ = train(config.changed(precision="float32"), digits, tmp_path / "exact")
    assert run.machine.precision == "float32"
    assert [note for note in run.notes if note.startswith("Computed in float32")] == list(run.notes)
    assert run.result == exact.result
    assert evaluate_run(run, None, None, None) == evaluate_run(exact, None, None, None)


def test_how_far_an_evaluation_is_can_be_read(tiny, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "TESTING_SECONDS", 0.0)
    seen = []
    with writing.create(tiny, digits, tmp_path) as writer:
        folder = writer.folder
        for event in experiment.run(writer, digits, lambda: seen.append(store.testing(store.read(folder)))):
            if isinstance(event, EpochDone):
                assert store.testing(store.read(folder)) is None
    assert {(48, 72), None} <= set(seen)
    assert not (folder / store.TESTING).exists()


@pytest.mark.parametrize("content", ["", "1", "1 of", "-1 of 3", "1 of 3\n", "9" * 50, "1 of " + "9" * 30])
def test_how_far_an_evaluation_is_may_be_nonsense(done, tmp_path, content):
    (tmp_path / store.TESTING).write_text(content)
    assert store.testing(dataclasses.replace(done[0], folder=tmp_path)) is None
