"""The learning rate of each step and epoch, as the lab sheets and the settings ask for it."""

import math

import numpy as np
import pytest

from core.learning import loop
from core.learning.events import EpochDone
from core.settings.config import RunConfig
from core.settings.presets import from_preset
from tests.core.learning.trainings import CLASSIFIER, begun, fit

pytestmark = pytest.mark.usefixtures("one_thread")


def test_learning_rate_of_the_lab_sheets_metric_learner():
    config = from_preset("facenet", epochs=12)
    rates = [loop.learning_rate(config, epoch) for epoch in range(1, 13)]
    assert rates == pytest.approx([0.008] * 4 + [0.008 / 3] * 4 + [0.008 / 9] * 4)


def test_learning_rate_of_the_lab_sheets_classifiers():
    config = from_preset("densenet52", epochs=150)
    rates = [loop.learning_rate(config, epoch) for epoch in range(1, 151)]
    assert rates == pytest.approx([0.01] * 50 + [0.001] * 50 + [0.0001] * 50)


def test_a_factor_of_one_keeps_the_learning_rate():
    config = RunConfig(decay_factor=1.0, decay_every=1)
    assert {loop.learning_rate(config, epoch) for epoch in range(1, 20)} == {config.learning_rate}


def rates(config: RunConfig, steps: int) -> list[float]:
    """The learning rate of every step of a run."""
    return [
        loop.learning_rate(config, epoch, step, steps)
        for epoch in range(1, config.epochs + 1)
        for step in range(1, steps + 1)
    ]


def test_cosine_is_half_a_wave():
    config = RunConfig(schedule="cosine", learning_rate=0.5, epochs=4)
    expected = [0.25 * (1 + math.cos(math.pi * step / 40)) for step in range(40)]
    assert rates(config, 10) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_warm_up_rises_in_a_line_and_only_at_the_beginning(schedule):
    config = RunConfig(schedule=schedule, learning_rate=0.5, epochs=4, warm_up=1.5, decay_every=100)
    found = rates(config, 10)
    assert found[0] == pytest.approx(0.02)  # 4 % of it: not zero, or the first step would be for nothing
    assert np.diff(found[:16]) == pytest.approx(np.full(15, 0.48 / 15))
    assert found[15] == pytest.approx(0.5) == max(found)
    assert found[-1] == pytest.approx(0.5 if schedule == "step" else 0.25 * (1 + math.cos(math.pi * 24 / 25)))


def test_one_cycle_rises_for_thirty_percent_and_falls_to_zero():
    found = rates(RunConfig(schedule="one_cycle", learning_rate=0.5, epochs=10), 20)
    assert found.index(max(found)) == 60
    assert max(found) == pytest.approx(0.5)
    assert np.diff(found[:61]) == pytest.approx(np.full(60, 0.48 / 60))
    assert all(np.diff(found[60:]) < 0)
    assert found[-1] < 0.001


def test_the_rate_of_a_step_is_what_the_optimiser_uses():
    config = CLASSIFIER.changed(schedule="one_cycle", epochs=3)
    training, used = begun(config), []
    training.optimiser.register_step_pre_hook(lambda optimiser, *_: used.append(optimiser.param_groups[0]["lr"]))
    done = [event for event in fit(config, training=training) if isinstance(event, EpochDone)]
    assert used == pytest.approx(rates(config, 4))
    assert [event.learning_rate for event in done] == pytest.approx(used[3::4])
