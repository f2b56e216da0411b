"""Training stopped at any step, and gone on with as if nothing had happened."""

import io
import math

import pytest
import torch

from core.learning import evaluate, sampling
from core.learning.evaluate import Evaluation
from core.learning.events import EpochDone, StepDone
from core.learning.training import Training
from core.networks import build
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset
from tests.core.learning.trainings import (
    CLASSIFIER,
    CPU,
    EITHER,
    IMAGES,
    NOBODY,
    Backbone,
    anything,
    begun,
    equal,
    fit,
    network,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# Stopping


def after(answers: int, wish: str = "stop"):
    """A control that wants to go on so many times, and then not any more."""
    asked = []

    def control() -> str | None:
        asked.append(True)
        return wish if len(asked) > answers else None

    return control


@EITHER
def test_stop_in_an_epoch_evaluates_what_there_is(config):
    wanted = []
    for event in fit(config, control=lambda: "stop" if len(wanted) >= 2 else None):
        wanted.append(event)
    assert [type(event) for event in wanted] == [StepDone, StepDone, EpochDone]
    done = wanted[-1]
    assert (done.epoch, done.steps) == (1, 2)
    assert done.train_loss == pytest.approx((wanted[0].loss + wanted[1].loss) / 2)
    assert done.test_accuracy == 0.2


def test_stop_before_the_first_step():
    evaluated = []
    assert list(fit(CLASSIFIER, evaluation=evaluated.append, control=lambda: "stop")) == []
    assert evaluated == []


@pytest.mark.parametrize("answers", range(10))
def test_stop_at_any_time(answers):
    whole, evaluated = list(fit(CLASSIFIER)), []

    def evaluation(epoch: int) -> Evaluation:
        evaluated.append(epoch)
        return anything(epoch)

    events = list(fit(CLASSIFIER, evaluation=evaluation, control=after(answers)))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert steps == [event for event in whole if isinstance(event, StepDone)][: len(steps)]
    assert evaluated == sorted({step.epoch for step in steps})  # no epoch without a step, none left out
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == evaluated
    assert not steps or isinstance(events[-1], EpochDone)
    assert (events == whole) == (answers >= 8)  # asked before each of 8 steps


def test_one_yes_is_enough():
    answers = iter([None, "stop"])
    events = list(fit(CLASSIFIER, control=lambda: next(answers)))
    assert [type(event) for event in events] == [StepDone, EpochDone]


@EITHER
def test_closing_the_generator_leaves_a_usable_model(config):
    made = network(config)
    training = begun(config, made)
    before = weights_of(made)
    running = fit(config, training=training)
    next(running)
    next(running)
    running.close()
    assert not equal(weights_of(made), before)
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert evaluate.embed_all(made, IMAGES.images, config, CPU).embeddings.isfinite().all()
    assert len(list(fit(config, training=training))) == 2 * (sampling.steps_per_epoch(config, IMAGES.labels) + 1) - 2


# Going on


def kept(training: Training, config: RunConfig) -> Training:
    """The same training in a new process: written, read and put into a network with other weights."""
    file = io.BytesIO()
    torch.save(training.state_dict(), file)
    file.seek(0)
    torch.manual_seed(99)
    made = build.Network(Backbone(), config.objective, 4, 8)
    again = Training(made, config)
    again.load_state_dict(torch.load(file, weights_only=True))
    return again


def same(first, second) -> bool:
    """Whether two states hold the same bits."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@EITHER
@pytest.mark.parametrize("wish", ["stop", "pause", "leave"])
def test_interrupted_at_any_step_and_twice_it_is_the_same_training(config, wish):
    config = config.changed(augmentation="crop_flip", decay_every=1, weight_decay=0.1)
    whole = begun(config)
    expected = list(fit(config, training=whole))
    for first in range(9):
        training, events = begun(config), []
        for answers in (first, 2, 1000):
            events += list(fit(config, training=training, control=after(answers, wish)))
            training = kept(training, config)
        events = [
            event for event in events if event in expected or not isinstance(event, EpochDone)
        ]  # less the partial
        assert events == expected
        assert same(training.state_dict(), whole.state_dict())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_interrupted_and_goes_on_as_the_same_training(preset):
    changes = dict(epochs=3, triplets=8, batch_size=4, images_per_class=2, neighbours=1, embedding_size=8)
    config = from_preset(preset, **changes, channels=1, learning_rate=0.01, validation_share=0.0, patience=0)

    def evaluation(epoch: int) -> Evaluation:
        return evaluate.evaluate(training.judged, IMAGES, NOBODY, IMAGES, config, CPU)

    training = whole = begun(config)
    expected = list(fit(config, training=whole, evaluation=evaluation))
    training, events = begun(config), []
    for answers in (1, 4, 1000):
        events += list(fit(config, training=training, control=after(answers, "pause"), evaluation=evaluation))
        training = kept(training, config)
    assert events == expected
    assert same(training.state_dict(), whole.state_dict())
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, StepDone))


def test_a_partial_evaluation_leaves_no_trace():
    training = begun(CLASSIFIER)
    *_, partial = fit(CLASSIFIER, training=training, control=after(2))
    assert (partial.epoch, partial.steps) == (1, 2)
    assert (training.epoch, training.step) == (1, 2)
    again = next(fit(CLASSIFIER, training=training))
    assert (again.epoch, again.step) == (1, 3)


@EITHER
@pytest.mark.parametrize("wish", ["pause", "leave"])
def test_a_pause_evaluates_nothing(config, wish):
    events = list(fit(config, control=after(2, wish), evaluation=None))
    assert [type(event) for event in events] == [StepDone, StepDone]


@EITHER
def test_more_epochs_continue_the_schedule(config):
    config = config.changed(decay_every=1, epochs=3)
    whole, shorter = begun(config), begun(config)
    expected = list(fit(config, training=whole))
    events = list(fit(config.changed(epochs=2), training=shorter))
    assert (
        events + list(fit(config, training=kept(shorter, config))) == expected[: len(events)] + expected[len(events) :]
    )
    assert list(fit(config, training=whole)) == []  # all is done
