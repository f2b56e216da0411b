"""Whole runs of a second each: complete, consistent, repeatable, stopped, diverged, evaluated again."""

import dataclasses
import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from core import experiment, recorder
from core.dataset.loader import DataSet
from core.evaluation import evaluate_run
from core.learning import training
from core.learning.events import EpochDone, Event, Finished, StepDone
from core.learning.loop import Diverged
from core.networks import build
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.store import Run
from core.runs.writing import RunWriter
from core.settings.config import RunConfig
from core.settings.setting import ConfigError
from tests.core.learning.test_machine import wrong_for_shortcuts

FILES = [
    "best.pt", "embeddings", "history.csv", "last.pt", "mistakes.csv", "predictions.csv", "run.json", "run.lock",
    "steps.csv",
]  # fmt: skip
DIVERGING = dict(objective="cross_entropy", learning_rate=10.0, weight_decay=1.0, epochs=20)


def train(
    config: RunConfig, data: DataSet, runs: Path, steps: int = 10**9, wish: str = "stop"
) -> tuple[Run, list[Event]]:
    """A new run that is asked to end after so many steps."""
    return drain(writing.create(config, data, runs), data, steps, wish)


def drain(writer: RunWriter, data: DataSet, steps: int = 10**9, wish: str = "stop") -> tuple[Run, list[Event]]:
    events: list[Event] = []

    def control() -> str | None:
        return wish if sum(isinstance(event, StepDone) for event in events) >= steps else None

    with writer:
        for event in experiment.run(writer, data, control):
            events.append(event)
    return store.read(writer.folder), events


def predictions(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.folder / "predictions.csv", dtype={"id": str})


@pytest.fixture(scope="module")
def done(tiny, digits, tmp_path_factory) -> tuple[Run, list[Event]]:
    """A finished triplet run with some mistakes."""
    return train(tiny.changed(epochs=3, seed=1), digits, tmp_path_factory.mktemp("runs"))


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


def tables(run: Run) -> list[pd.DataFrame]:
    return [store.history(run).drop(columns="seconds"), store.steps(run).drop(columns="seconds"), predictions(run)]


def check_same(run: Run, other: Run, epochs: int):
    for table, same in zip(tables(run), tables(other), strict=True):
        pd.testing.assert_frame_equal(table, same, check_exact=True)
    for epoch in range(1, epochs + 1):
        for array, same in zip(store.embedded(run, epoch), store.embedded(other, epoch), strict=True):
            np.testing.assert_array_equal(array, same)
    weights, same = (store.load_checkpoint(each)["network"] for each in (run, other))
    assert all(torch.equal(weights[name], same[name]) for name in weights)


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


# Stopped


def test_stopped_in_the_second_epoch(done, digits, tmp_path):
    whole, _ = done
    run, events = train(whole.config, digits, tmp_path, 4)
    assert run.status == "stopped"
    assert [type(event) for event in events] == [*[StepDone] * 3, EpochDone, StepDone, EpochDone, Finished]
    history = store.history(run)
    assert history.steps.tolist() == [3, 1]
    assert history.test_loss[0] == store.history(whole).test_loss[0]
    assert history.train_loss[1] == store.steps(whole).loss[3]  # its first step is the whole run's fourth
    assert run.result.epochs == events[-1].epochs == 2
    assert run.result.test_accuracy == (predictions(run).true == predictions(run).predicted).mean()
    assert store.load_checkpoint(run)["steps"] == 1
    assert (events[-1].status, run.seconds is not None) == ("stopped", True)
    assert evaluate_run(run, None, None, None)["accuracy"] == run.result.test_accuracy


def test_stopped_after_the_last_step_is_done(tiny, digits, tmp_path):
    assert train(tiny, digits, tmp_path, 6)[0].status == "done"


def test_stopped_before_the_first_step(tiny, digits, tmp_path):
    run, events = train(tiny, digits, tmp_path, 0)
    assert [type(event) for event in events] == [Finished]
    assert (events[0].status, events[0].epochs, events[0].test_accuracy) == ("stopped", 0, None)
    assert (run.status, run.result) == ("stopped", None)
    assert sorted(file.name for file in run.folder.iterdir()) == ["label.json", "run.json", "run.lock"]
    with pytest.raises(StoreError, match="no weights yet"):
        evaluate_run(run, None, None, None)


def test_progress_is_on_the_disk_when_the_event_is_told(tiny, digits, tmp_path):
    """A page that hears of an epoch can read it."""
    with writing.create(tiny, digits, tmp_path) as writer:
        for event in experiment.run(writer, digits):
            run = store.read(writer.folder)
            if isinstance(event, StepDone):
                assert run.status == "running"
                assert len(store.steps(run)) == 3 * (event.epoch - 1) + event.step
            elif isinstance(event, EpochDone):
                assert len(store.history(run)) == run.result.epochs == event.epoch
                assert store.load_checkpoint(run)["epoch"] == event.epoch
                assert len(store.mistakes(run)) == run.result.mistakes
                store.embedded(run, event.epoch)
            else:
                assert run.status == "done"


# Resumed


def same(first, second) -> bool:
    """Whether two checkpoints hold the same bits, but for the clock and the run's id."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        names = first.keys() - {"seconds", "run"}
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in names)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def check_resumed(whole: Run, run: Run):
    """The whole folder, but for the clock and the names."""
    check_same(whole, run, whole.config.epochs)
    for name in ("last.pt", "best.pt"):
        assert same(store.load_checkpoint(whole, name), store.load_checkpoint(run, name)), name
    assert (whole.folder / "mistakes.csv").read_bytes() == (run.folder / "mistakes.csv").read_bytes()
    assert (run.status, run.result) == (whole.status, whole.result)
    assert {file.name for file in run.folder.iterdir()} == {file.name for file in whole.folder.iterdir()}
    seconds = store.steps(run).seconds
    assert (seconds.diff().dropna() >= 0).all()  # the clock goes on where it stood
    assert run.seconds >= store.history(run).seconds.iloc[-1] >= seconds.iloc[-1]


@pytest.mark.parametrize("wish", ["stop", "pause", "leave"])
@pytest.mark.parametrize("steps", range(9))
def test_interrupted_after_any_step_and_again_two_later(done, digits, tmp_path, steps, wish):
    whole, _ = done
    run, _ = train(whole.config, digits, tmp_path, steps, wish)
    expected = {"stop": "stopped", "pause": "paused", "leave": "interrupted"}[wish]
    assert run.status == expected
    if wish == "stop":
        assert (run.folder / "last.pt").exists() == (steps > 0)
        assert (run.result.steps if run.result else 0) == (0 if steps == 0 else (steps - 1) % 3 + 1)
    else:
        assert len(store.history(run)) == max(0, steps - 1) // 3  # no evaluation was waited for
    run, _ = drain(RunWriter(run.folder), digits, 2, wish)
    assert run.status == (expected if steps < 7 or (steps == 7 and wish != "stop") else "done")
    run, _ = drain(RunWriter(run.folder), digits)
    check_resumed(whole, run)


def test_checkpoints_within_an_epoch(done, digits, tmp_path, monkeypatch):
    """Killed without a word after any step: the run goes on from the newest checkpoint."""
    whole, _ = done
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "CHECKPOINT_SHARE", math.inf)
    for steps in range(1, 9):
        writer, taken = writing.create(whole.config, digits, tmp_path), 0
        with writer:
            for event in experiment.run(writer, digits):
                taken += isinstance(event, StepDone)
                if taken == steps:
                    break
        run = store.read(writer.folder)
        assert run.status == "interrupted"
        run, events = drain(RunWriter(run.folder), digits)
        assert sum(isinstance(event, StepDone) for event in events) == 9 - steps
        check_resumed(whole, run)


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


# Evaluated again


def test_the_test_folder_gives_the_headline(done, digits):
    run, _ = done
    own, folder = (evaluate_run(run, given, None, None) for given in (None, digits.folder / "test"))
    assert own == folder
    assert own["accuracy"] == run.result.test_accuracy == own["correct"] / own["total"]
    confusion, table = np.array(own["confusion"]), predictions(run)
    for row, true in enumerate(digits.class_numbers):
        for column, predicted in enumerate(digits.class_numbers):
            assert confusion[row, column] == ((table.true == true) & (table.predicted == predicted)).sum()
    assert 0 <= own["map_at_r"] <= own["r_precision"] <= 1


def test_images_of_one_class(done, digits, tmp_path):
    """Class folders in the layout of test/; not every class has to be there, and other sizes are fitted."""
    run, _ = done
    for file in (digits.folder / "test" / digits.classes[2]).iterdir():
        target = tmp_path / digits.classes[2] / file.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    result = evaluate_run(run, tmp_path, None, None)
    of_class = predictions(run).query(f"true == {digits.class_numbers[2]}")
    assert (result["correct"], result["total"]) == ((of_class.true == of_class.predicted).sum(), 6)
    assert np.array(result["confusion"]).sum(axis=1).tolist() == [0, 0, 6, 0]
    for file in tmp_path.rglob("*.png"):
        with Image.open(file) as image:
            image.resize((14, 14)).save(file)
    assert evaluate_run(run, tmp_path, None, None)["total"] == 6


def test_training_images_are_their_own_nearest(done, digits):
    result = evaluate_run(done[0], digits.folder / "train", "knn", 1)
    assert result["accuracy"] == result["precision_at_1"] == 1


def test_other_images_are_refused(done, digits, tmp_path):
    run, _ = done
    copy = tmp_path / "copy"
    shutil.copytree(digits.folder, copy)
    moved = dataclasses.replace(run, data=run.data.changed(folder=str(copy)))
    assert evaluate_run(moved, None, None, None)["accuracy"] == run.result.test_accuracy
    lines = (copy / "train.csv").read_text().splitlines()
    (copy / "train.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(StoreError, match="trained on other images"):
        evaluate_run(moved, None, None, None)


def test_wrong_questions(done):
    run, _ = done
    with pytest.raises(ConfigError, match="there are only 48 training images"):
        evaluate_run(run, None, "knn", 49)
    assert evaluate_run(run, None, "knn", 48)["total"] == 24
    with pytest.raises(ConfigError, match="has no class head; use --classifier knn or centre"):
        evaluate_run(run, None, "softmax", None)


def test_the_gallery_is_that_of_the_weights(done, tmp_path):
    """Also after a kill between the files of an epoch: embeddings one epoch ahead, run.json one behind the weights."""
    run, _ = done
    copy = dataclasses.replace(run, folder=tmp_path / run.id, result=run.result.changed(epochs=2))
    shutil.copytree(run.folder, copy.folder)
    before = evaluate_run(run, None, None, None)
    stored = store.embedded(run, 3)
    with writing.RunWriter(copy.folder) as writer:
        writer.save_embedded(4, stored._replace(train=stored.train[::-1]))
    assert evaluate_run(copy, None, None, None) == before


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


# Requests while PyTorch is busy


@pytest.mark.parametrize(("wish", "status"), [("stop", "stopped"), ("pause", "paused"), ("leave", "interrupted")])
def test_a_request_is_heard_while_the_network_is_being_built(tiny, digits, tmp_path, monkeypatch, wish, status):
    built, make = [], build.build
    monkeypatch.setattr(build, "build", lambda *arguments: built.append(make(*arguments)))
    asked = itertools.count()
    with writing.create(tiny.changed(blocks=(8, 8)), digits, tmp_path) as writer:
        events = list(experiment.run(writer, digits, lambda: wish if next(asked) > 20 else None))
    run = store.read(writer.folder)
    assert built == []
    assert [type(event) for event in events] == [Finished]
    assert (run.status, run.result, run.starts, events[0].epochs) == (status, None, 0, 0)


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
