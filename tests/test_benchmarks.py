"""What the benchmarks compare with is right: the plain loop learns and finds neighbours, the folds are a partition."""

import time

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import baseline, bench, clients, crossval, kernels, lesson, live_page, overhead, pairs, results
from benchmarks import maps as map_costs
from benchmarks import presets as preset_runs
from core.analysis import mistakes, projection
from core.analysis.embedded import Embedded
from core.learning import machine
from core.runs import store
from core.settings import presets
from core.settings.config import RunConfig

SMALL = dict(width=8, blocks=(1, 1), image_size=32, norm_momentum=0.5)


def loop_on(digits, preset: str, **changes) -> baseline.Loop:
    return baseline.Loop(presets.from_preset(preset, **changes), digits)


@pytest.mark.parametrize("preset", ["facenet", "densenet39"])
def test_the_plain_loop_learns(digits, preset):
    changes = {"triplets": 24, "batch_size": 8} if preset == "facenet" else {"architecture": "resnet", "batch_size": 16}
    loop = loop_on(digits, preset, **SMALL, **changes, learning_rate=0.01)
    before = [weights.clone() for weights in loop.network.parameters()]
    assert loop.train(1, most=2) == 2
    for epoch in range(2, 26):
        assert loop.train(epoch) == 3
    assert not any(map(torch.equal, before, loop.network.parameters()))
    train, test = loop.evaluate()
    assert train > 0.45  # a quarter is chance
    assert test > 0.35


def test_the_plain_loop_finds_the_neighbours_that_the_lab_finds(digits):
    loop = loop_on(digits, "facenet", **SMALL)
    loop.embed(loop.known)
    train, test = (loop.embed(images).numpy() for images in (loop.known, loop.asked))
    predicted = (digits.test.labels + 1) % 4
    embedded = Embedded(train, test, predicted, np.ones(len(predicted), np.float32))
    for row in mistakes.find(digits, embedded).itertuples():
        found = loop.neighbours(row.test_index, int(predicted[row.test_index]))
        assert found == [row.nearest_true_index, row.nearest_predicted_index]


@pytest.mark.parametrize("preset", ["facenet", "densenet39"])
def test_shares_of_a_step(preset):
    blocks = (2, 2) if preset == "facenet" else (1, 1, 1, 1)
    found = kernels.shares(presets.from_preset(preset, batch_size=4, blocks=blocks))
    assert sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert {"convolution", "batch normalisation", "ReLU"} <= found.keys()
    assert "concatenation" in found or preset == "facenet"
    config = presets.from_preset(preset, batch_size=4, blocks=blocks)
    assert kernels.images_of(config) == (12 if preset == "facenet" else 4)
    assert kernels.speed(kernels.stepper(config), 4) > 0


def test_a_sample_is_extrapolated(digits):
    machine.choose(presets.from_preset("facenet"))
    costs = baseline.sample(presets.from_preset("facenet", **SMALL, triplets=40, batch_size=8), digits, 2, 1)
    assert costs.steps == 5
    assert min(costs.step, costs.evaluation, costs.mistake) > 0
    assert costs.epochs(4) == pytest.approx(4 * (5 * costs.step + costs.evaluation))


def test_every_training_image_is_asked_once(digits):
    parts = [crossval.split(digits, fold) for fold in range(crossval.FOLDS)]
    assert sorted(name for part in parts for name in part.test.ids) == sorted(digits.train.ids)
    for part in parts:
        assert not set(part.train.ids) & set(part.test.ids)
        assert set(part.train.ids) | set(part.test.ids) == set(digits.train.ids)
        assert min(np.bincount(part.test.labels, minlength=4)) >= 2  # of 12 images a class
        for place, name in enumerate(part.test.ids):
            assert np.array_equal(part.test.images[place], digits.train.images[digits.train.ids.index(name)])


def test_images_that_all_settings_miss():
    def rows(changes, missed, folds=crossval.FOLDS, preset="quick", accuracy=0.75):
        values = {"preset": preset, "changes": changes, "seed": 0, "accuracy": accuracy, "missed": missed}
        return pd.DataFrame([values | {"fold": fold} for fold in range(folds)])

    tried = [rows("a", "old=9", accuracy=0.0), rows("a", "one=4 two=5"), rows("b", "one=4 two=6")]
    tried += [rows("unfinished", "three=1", 2), rows("unnamed", ""), rows("c", "six=1", preset="facenet")]
    assert crossval.comparison(pd.concat(tried)).splitlines() == [
        "25.00% wrong: quick a, seed 0",
        "25.00% wrong: quick b, seed 0",
        "25.00% wrong: quick unnamed, seed 0",
        "25.00% wrong: facenet c, seed 0",
        "1 images were taken for the same wrong class by 2 settings of quick:",
        "one=4",
        "1 images were taken for the same wrong class by 1 settings of facenet:",
        "six=1",
    ]


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Nothing has been measured yet."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "bench.csv")


def test_the_table_of_the_bench(measured):
    first = bench.Row("a", "3 x", "4 x", "yes", "said, how", gpu="5 s", machine="here")
    rows = [first, bench.Row("b", "1", "2", "no", "")]
    bench._keep(rows)
    assert bench._kept() == rows
    assert results.bench()[2] == "| a | 3 x | 4 x | 5 s | yes | said, how |"


def test_the_table_of_the_clients(measured):
    assert results.clients() == ["Not measured yet."]
    for slower in (3.0, 4.5):
        results.append("clients", [{"clients": 40, "errors": 0, "slower %": slower}])
    assert results.clients()[2:] == ["| 40 | 0 | 3.0 |", "| 40 | 0 | 4.5 |"]


def test_the_table_of_starts(measured):
    assert results.starts() == []
    times = {"later epochs s": 2.0, "end s": 9.0, "date": "today", "processor": "a laptop"}
    results.append("starts", [{"workers": "thread", "first step s": first} | times for first in (1.0, 5.0, 2.0)])
    told = "| thread | 3 | 2.0 (1.0 to 5.0) | 2.0 (2.0 to 2.0) | 9.0 (9.0 to 9.0) | today | a laptop |"
    assert results.starts()[2:] == [told]


def test_clients_look_at_a_live_run_without_an_error(digits):
    row = clients.measure(2, 2.0, digits.folder, settling=1.0)
    assert (row["clients"], row["errors"]) == (2, 0)
    assert row["redraws"]
    assert row["redraw p95 ms"] >= row["redraw median ms"] > 0
    assert row["steps/s watched"] > 0


def test_settings_are_told_apart_by_what_is_not_the_default():
    assert results.settings_text(RunConfig(seed=3, threads=2)) == ""
    text = results.settings_text(presets.from_preset("quick", epochs=7, positive_classes=(3, 4), seed=1))
    assert "epochs=7; " in text
    assert "positive_classes=3, 4; preset=quick; " in text
    assert "seed" not in text


def test_what_a_gpu_did_stands_beside_what_the_cores_did(measured):
    now = results.settings_text(preset_runs.config_of("quick"))
    assert results.on_gpu("quick", now, "lab") == results.most_asked("quick") == ""
    assert results.gpus() == []
    assert len(results.presets("lab")) == 2
    row = {"name": "quick", "test_accuracy": 0.98, "seconds": 20.0, "threads": 2, "settings": now, "images_seen": 9}
    row |= {"alarm": "", "date": "today", "precision": "float32", "torch": "2", "processor": "a laptop"}
    for seed, device, data, asked in ((0, "cpu", "lab", 10), (0, "cuda", "lab", 10), (1, "cuda", "lab", 10)):
        more = {"seed": seed, "device": device, "data": data, "test_images": asked}
        on_gpu = {"seconds": 3.0 + seed, "test_accuracy": 0.97} if device == "cuda" else {}
        results.append("presets", [row | more | on_gpu])
    failed = {"seed": 2, "device": "cuda", "data": "lab", "test_images": 10, "test_accuracy": None, "seconds": None}
    results.append("presets", [row | failed])
    assert results.on_gpu("quick", now, "lab") == "4 s, 97.00% ± 0.00% (2 seeds)"
    assert results.on_gpu("quick", now, "another set") == results.on_gpu("facenet", now, "lab") == ""
    assert results.on_gpu("quick", "epochs=2", "lab") == ""
    assert results.presets("lab")[-1] == "| quick | 1 | 9 | 98.00% |  | 20 | 4 s, 97.00% ± 0.00% (2 seeds) |"
    assert preset_runs.known("quick", 1, "lab", "cuda")
    assert not preset_runs.known("quick", 1, "lab", "cpu")
    results.append("presets", [row | {"seed": 0, "device": "cpu", "data": "whole", "test_images": 99}])
    assert results.most_asked("quick") == "whole"
    assert results.most_asked("facenet") == ""


def test_trainings_in_turns_have_their_own_seconds():
    turns = []

    def training(name, seconds, epochs):
        for epoch in range(epochs):
            time.sleep(seconds)
            turns.append(name)
            yield {"epoch": epoch}

    slow, fast = pairs.in_turns(training("slow", 0.05, 3), training("fast", 0.0, 2))
    assert turns == ["slow", "fast", "fast", "slow", "slow"]  # whoever was last begins
    assert slow.weights == {"epoch": 2}
    assert slow.seconds >= 0.15
    assert fast.seconds < slow.seconds


def test_the_lab_and_the_loop_that_it_is_compared_with_end_with_the_same_weights(digits):
    found = overhead.measure_loop("quick", epochs=2, count=1, folder=digits.folder)  # an error if they do not
    assert found["rows"][0]["our_seconds"] > 0
    assert found["lowest"] == found["highest"] == found["ratio"] > 0


def test_ninety_five_of_a_hundred_clicks_are_as_soon_as_said():
    assert live_page._share([float(each) for each in range(100, 0, -1)], 0.95) == 95
    assert live_page._share([3.0], 0.95) == 3
    assert live_page._share([1.0, 9.0], 0.95) == 9


def test_what_maps_cost(digits, tmp_path):
    found = map_costs.measure(digits, len(digits.train.ids) + len(digits.test.ids), tmp_path, browse=False)
    assert found["images"] == 72
    assert found["first_map"] > found["second_opening"] >= 0
    (run,) = store.list_runs(tmp_path / "runs")
    assert (run.status, run.result.epochs) == ("done", 2)
    spread = [projection.knn_accuracy(np.concatenate(store.embedded(run, epoch)[:2]),
              np.concatenate([digits.train.labels, digits.test.labels]), 48) for epoch in (0, 2)]  # fmt: skip
    assert spread[0] <= spread[1] == 1


def test_a_turn_is_unfair_if_somebody_waits_while_another_has_two():
    begun = {"a": ("Anna", 0.0), "b": ("Bob", 1.0), "a2": ("Anna", 2.0), "a3": ("Anna", 3.0)}
    assert lesson.unfair(begun, {"a": 0.5, "b": 4.0, "a2": 5.0, "a3": 6.0}, 9.0) == 0
    assert lesson.unfair(begun, {"a": 0.5, "a2": 4.0, "b": 5.0, "a3": 6.0}, 9.0) == 0  # one turn of hers came first
    assert lesson.unfair(begun, {"a": 0.5, "a2": 4.0, "a3": 5.0, "b": 6.0}, 9.0) == 1
    assert lesson.unfair(begun, {"a": 0.5, "a2": 4.0, "a3": 5.0}, 9.0) == 1  # his never came
