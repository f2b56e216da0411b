"""Ways of mining side by side: only what can be compared, the best first."""

import dataclasses
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.learning.states import Status
from core.runs import strategies
from core.runs.record import DataFacts, Result
from core.runs.store import Run


@pytest.fixture
def made(tiny, digits):
    def make(name: str, accuracy: float, **changes) -> Run:
        result = Result(
            epochs=2, steps=1, train_accuracy=1.0, test_accuracy=accuracy, best_test_accuracy=accuracy, mistakes=1
        )  # fmt: skip
        config = tiny.changed(**{"objective": "triplet"} | changes)
        created = datetime(2026, 1, 1) + timedelta(seconds=len(name))
        return Run(name, Path(name), Status.DONE, config, DataFacts.of(digits), created=created, result=result)

    return make


def test_seeds_of_one_way_stand_together(made, digits):
    runs = [
        made("a", 0.9),
        made("bb", 0.7, seed=1),
        made("ccc", 0.95, selection="batch_hard", sampling="balanced", batch_size=16),
        made("plain", 1.0, objective="cross_entropy"),
    ]
    found = strategies.tried(runs, digits, runs[:1])
    assert [[run.id for run in each.runs] for each in found] == [["ccc"], ["a", "bb"]]
    assert found[1].accuracies.mean() == pytest.approx(0.8)
    assert found[0].mining == "Batch-hard"


def test_one_way_alone_and_foreign_runs_are_no_comparison(made, digits):
    one, other = made("a", 0.9), made("bb", 0.9, selection="batch_hard", sampling="balanced", batch_size=16)
    assert strategies.tried([one], digits, [one]) == []
    foreign = other.data.changed(fingerprint="1" * 64)
    for gone in ({"archived": True}, {"result": None}, {"data": foreign}):
        assert strategies.tried([one, dataclasses.replace(other, **gone)], digits, [one]) == []
    assert len(strategies.tried([one, other], digits, [other])) == 2


@pytest.mark.parametrize("other", [dict(width=12), dict(validation_share=0.5), dict(exclude=("train_0001",))])
def test_runs_of_another_network_or_on_other_images_are_not_compared(made, digits, other):
    hard = dict(selection="batch_hard", sampling="balanced", batch_size=16)
    one, unlike = made("a", 0.9), made("bb", 0.9, **hard | other)
    assert strategies.tried([one, unlike], digits, [one]) == []
    like = made("ccc", 0.8, **hard)
    assert [each.runs for each in strategies.tried([one, unlike, like], digits, [one])] == [(one,), (like,)]
    assert len(strategies.tried([one, unlike, like], digits, [one, unlike])) == 3


def test_what_differs_besides_mining_is_named(made, digits):
    one, other = made("a", 0.9), made("bb", 0.9, selection="batch_hard", sampling="balanced", learning_rate=0.02)
    found = strategies.tried([one, other, made("ccc", 0.8, seed=5)], digits, [one])
    assert strategies.differing(found) == ["Learning rate"]
