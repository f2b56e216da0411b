"""The history of a run: which weights are best, what the result is, where its training stands, what is refused."""

import dataclasses
import json

import pytest

from core.learning.events import EpochDone
from core.runs.progress import Progress, possible, sum_of_some


def epoch(number: int, test: float, steps: int = 3, **more) -> EpochDone:
    values = dict(learning_rate=0.1, train_loss=1.0, train_accuracy=0.9, validation_loss=None, test_loss=0.5)
    values |= dict(epoch=number, steps=steps, validation_accuracy=None, test_accuracy=test, diagnostics={"spread": 3.0})
    return EpochDone(**values | more)


@pytest.fixture
def progress() -> Progress:
    """Two whole epochs, the first one better, and two steps of a third."""
    made = Progress()
    assert [made.add(epoch(number, test), 1.23456 * number, True) for number, test in ((1, 0.8), (2, 0.7))] == [
        True,
        False,
    ]
    assert not made.add(epoch(3, 0.95, steps=2), 4.0, False)
    return made


def test_rows_result_and_where_the_training_stands(progress):
    assert [(row["epoch"], row["spread"], row["seconds"]) for row in progress.rows] == [
        (1, 3.0, 1.235),
        (2, 3.0, 2.469),
        (3, 3.0, 4.0),
    ]
    assert progress.reached == (3, 2)
    result = progress.conclude(mistakes=5)
    assert (result.epochs, result.steps, result.test_accuracy, result.mistakes) == (3, 2, 0.95, 5)
    assert result.best_test_accuracy == 0.8  # of whole epochs
    assert not progress.add(epoch(3, 0.6), 5.0, True)
    assert (progress.partial, progress.reached, len(progress.table())) == (None, (4, 0), 3)


def test_a_part_of_the_first_epoch_is_better_than_none():
    made = Progress()
    assert made.add(epoch(1, 0.9, steps=1), 1.0, False)
    assert made.conclude(1).best_test_accuracy == 0.9
    assert made.add(epoch(1, 0.1), 2.0, True)  # the first whole epoch replaces it
    assert made.best_accuracy == 0.1


def test_it_comes_back(progress):
    progress.conclude(5)
    assert Progress.from_state(json.loads(json.dumps(progress.state()))) == progress
    assert Progress.from_state(Progress().state()) == Progress()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(epoch=7), "without the epochs"),
        (dict(train_loss="=1"), r"history \(train_loss\)"),
        ({"<b>": 1}, "cannot be in a history"),
        (dict(alarm_kind="bored"), "of no kind"),
        (dict(alarm=3), "texts"),
        (dict(test_accuracy=1.5), "test_accuracy"),
        (dict(spread=11.0), "spread"),
        (dict(positive_distance=21.0), "positive_distance"),
        (dict(seconds=1e300), "seconds"),
    ],
)
def test_what_is_no_history(progress, change, reason):
    progress.history[0] |= change
    with pytest.raises(ValueError, match=reason):
        Progress.from_state(progress.state(), possible)


def test_ones_own_numbers_may_be_anything(progress):
    """A loss that soars is still a loss: a run that made it can be resumed."""
    progress.history[0]["train_loss"] = 1e20
    assert Progress.from_state(progress.state()).rows[0]["train_loss"] == 1e20
    assert possible("train_loss")[1] == sum_of_some("batch_accuracy")[1] < 1e20
    assert {field.name for field in dataclasses.fields(Progress)} == set(progress.state())
