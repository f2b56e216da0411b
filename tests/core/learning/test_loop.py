"""The loop: order of events, the same steps as a plain one, stopping early, divergence, and that it learns."""

import math

import pytest
import torch
from sklearn.datasets import load_digits

from core.learning import evaluate, loop, objectives, sampling
from core.learning.evaluate import Evaluation, LabelledImages
from core.learning.events import EpochDone, StepDone
from core.learning.machine import Machine
from core.networks import build
from core.settings.choices import SELECTIONS
from core.settings.config import RunConfig
from tests.core.learning.trainings import (
    CLASSIFIER,
    CPU,
    EITHER,
    IMAGES,
    NOBODY,
    TRIPLETS,
    anything,
    begun,
    equal,
    fit,
    network,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# Averaging, validation


def test_the_average_of_the_weights_is_what_is_judged():
    config = CLASSIFIER.changed(weight_average=0.4)
    training = begun(config)
    expected, kept = None, []
    for event in fit(config, training=training):
        if isinstance(event, StepDone):
            now = {name: value.clone() for name, value in training.network.state_dict().items()}
            if expected is None:
                expected = now
                continue
            kept.append(min(0.4, (2 + len(kept)) / (11 + len(kept))))  # the second step keeps 2 / 11 of the first
            for name, value in now.items():
                if value.is_floating_point():
                    expected[name] = kept[-1] * expected[name] + (1 - kept[-1]) * value
    assert kept[0] < 0.2
    assert kept[-1] == 0.4  # or only the beginning was tried
    for name, value in training.judged.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name])
    assert not equal(weights_of(training.judged), weights_of(training.network))
    assert begun(CLASSIFIER).judged is not None


def validated(accuracies: list[float]):
    """An evaluation that finds these validation accuracies, one after the other."""

    def evaluation(epoch: int) -> Evaluation:
        return anything(epoch)._replace(validation_accuracy=accuracies[epoch - 1], validation_loss=1.0)

    return evaluation


@pytest.mark.parametrize(
    ("accuracies", "patience", "epochs"),
    [
        ([0.5, 0.6, 0.6, 0.6, 0.9, 0.9], 2, 4),  # no better one in epochs 3 and 4
        ([0.5, 0.6, 0.6, 0.7, 0.7, 0.7], 2, 6),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 1, 2),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 0, 6),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 1, 6),
    ],
)
def test_stopping_early(accuracies, patience, epochs):
    config = CLASSIFIER.changed(epochs=6, validation_share=0.2, patience=patience)
    training = begun(config)
    events = [event for event in fit(config, training=training, evaluation=validated(accuracies))]
    done = [event for event in events if isinstance(event, EpochDone)]
    assert len(done) == epochs
    assert [event.validation_accuracy for event in done] == accuracies[:epochs]
    assert training.ended(config)
    assert list(fit(config, training=training)) == []


@pytest.mark.parametrize("size", [24, 28, 32])
def test_every_image_has_the_size_of_the_settings(size):
    config = CLASSIFIER.changed(image_size=size, blocks=(1,), width=8, epochs=1)
    made, seen = build.build(config, 4), set()
    made.register_forward_pre_hook(lambda layer, inputs: seen.add((layer.training, tuple(inputs[0].shape[2:]))))
    list(fit(config, made, lambda _: evaluate.evaluate(made, IMAGES, NOBODY, IMAGES, config, CPU)))
    assert seen == {(True, (size, size)), (False, (size, size))}


def test_the_confusion_of_an_epoch_reaches_the_next():
    config = TRIPLETS.changed(sampling="confused_triplets", triplets=40, batch_size=40)
    zeros = torch.zeros(4, 4, dtype=torch.int64)
    zeros[1, 3] = 5  # classes 1 and 3 are confused, so all triplets are of these two
    training, seen = begun(config), []

    def evaluation(epoch: int) -> Evaluation:
        return anything(epoch)._replace(train_confusion=zeros)

    batches = sampling.batches(config, IMAGES.labels, IMAGES.class_numbers, zeros, 2)
    expected = [build.prepare(IMAGES.images[batch], 1, 32) for batch in batches]
    training.network.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    list(fit(config, training=training, evaluation=evaluation))
    assert torch.equal(seen[-1], expected[-1])
    assert {label for batch in sampling.batches(config, IMAGES.labels, (0, 1, 2, 3), zeros, 2)
            for label in IMAGES.labels[batch].tolist()} == {1, 3}  # fmt: skip


def test_an_alarm_stands_in_the_event():
    config = CLASSIFIER.changed(learning_rate=10.0, momentum=0.9, epochs=4)
    done = [event for event in fit(config) if isinstance(event, EpochDone)]
    assert any(event.alarm.startswith("diverged: the loss is") for event in done)


# Events


@EITHER
def test_order_of_events(config):
    steps = sampling.steps_per_epoch(config, IMAGES.labels)
    events = list(fit(config))
    expected = [(epoch, step) for epoch in (1, 2) for step in [*range(1, steps + 1), None]]
    assert [(event.epoch, event.step if isinstance(event, StepDone) else None) for event in events] == expected
    assert {event.steps for event in events} == {steps}
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, StepDone))


@EITHER
def test_an_epoch_is_the_mean_of_its_steps_and_what_was_evaluated(config):
    config = config.changed(decay_every=1, decay_factor=10.0)
    events = list(fit(config))
    for done in (event for event in events if isinstance(event, EpochDone)):
        steps = [event for event in events if isinstance(event, StepDone) and event.epoch == done.epoch]
        assert done.train_loss == pytest.approx(sum(step.loss for step in steps) / len(steps))
        assert done.diagnostics.keys() == steps[0].diagnostics.keys()
        for name, mean in done.diagnostics.items():
            assert mean == pytest.approx(sum(step.diagnostics[name] for step in steps) / len(steps))
        assert done.learning_rate == pytest.approx(0.05 / 10 ** (done.epoch - 1))
        numbers = (done.train_accuracy, done.test_accuracy, done.test_loss)
        assert numbers == (0.1 * done.epoch, 0.2 * done.epoch, 0.3 * done.epoch)


def test_the_evaluation_comes_after_the_last_step_of_its_epoch():
    seen = []

    def evaluation(epoch: int) -> Evaluation:
        seen.append(f"evaluate {epoch}")
        return anything(epoch)

    for event in fit(CLASSIFIER.changed(batch_size=10), evaluation=evaluation):
        seen.append(f"{type(event).__name__} {event.epoch}")
    epochs = [["StepDone {}", "StepDone {}", "evaluate {}", "EpochDone {}"]] * 2
    assert seen == [name.format(epoch) for epoch, names in enumerate(epochs, start=1) for name in names]


@EITHER
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_is_left_switched_on_while_the_consumer_works(config, precision):
    for _ in fit(config, machine=Machine("cpu", precision, 1), made=(made := network(config)),
                 evaluation=lambda _: evaluate.evaluate(made, IMAGES, NOBODY, IMAGES, config, CPU)):  # fmt: skip
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")


# Steps


def plain_loop(config: RunConfig, made: build.Network) -> list[float]:
    """The same training, written out: gradients by torch, the descent by hand. Returns the losses."""
    velocities = [torch.zeros_like(weights) for weights in made.parameters()]
    losses = []
    for epoch in range(1, config.epochs + 1):
        rate = config.learning_rate / config.decay_factor ** ((epoch - 1) // config.decay_every)
        for batch in sampling.batches(config, IMAGES.labels, IMAGES.class_numbers, None, epoch):
            made.train()
            outputs = made(build.prepare(IMAGES.images[batch], config.channels, config.image_size))
            loss, _ = objectives.batch_loss(outputs, IMAGES.labels[batch], config, epoch, torch.Generator())
            gradients = torch.autograd.grad(loss, list(made.parameters()))
            with torch.no_grad():
                for weights, velocity, gradient in zip(made.parameters(), velocities, gradients, strict=True):
                    velocity.mul_(config.momentum).add_(gradient + config.weight_decay * weights)
                    weights.sub_(rate * velocity)
            losses.append(loss.item())
    return losses


@EITHER
def test_against_a_plain_loop(config):
    config = config.changed(decay_every=1, weight_decay=0.1, momentum=0.8, margin=5.0)
    made, other = network(config), network(config)
    losses = plain_loop(config, other)
    # An evaluation leaves the network in eval mode; the next epoch has to train all the same.
    events = list(fit(config, made, lambda _: evaluate.evaluate(made, IMAGES, NOBODY, IMAGES, config, CPU)))
    assert [event.loss for event in events if isinstance(event, StepDone)] == pytest.approx(losses, rel=1e-4)
    for (name, values), expected in zip(made.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name} {text}")


def test_steps_without_a_loss_are_those_of_a_plain_loop(monkeypatch):
    backward_passes = []
    backward = torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: backward_passes.append(loss.item()) or backward(loss))
    config = TRIPLETS.changed(margin=0.5, batch_size=1, learning_rate=0.01, weight_decay=0.1)
    made, other = network(config), network(config)
    losses = plain_loop(config, other)
    done = [event.loss for event in fit(config, made) if isinstance(event, StepDone)]
    assert done == pytest.approx(losses, rel=1e-4, abs=1e-4)
    assert 0 < len(backward_passes) < len(losses)
    assert backward_passes == [loss for loss in done if loss]
    for (name, values), expected in zip(made.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name} {text}")


@EITHER
def test_each_step_changes_the_weights(config):
    made = network(config)
    before = weights_of(made)
    for event in fit(config, made):
        now = weights_of(made)
        assert equal(now, before) == isinstance(event, EpochDone)
        before = now


@EITHER
def test_what_the_consumer_draws_does_not_matter(config):
    made, other = network(config), network(config)
    list(fit(config, made))
    for event in fit(config, other):
        torch.manual_seed(event.epoch)
        torch.rand(7)
    assert equal(weights_of(made), weights_of(other))
    different = config.changed(seed=1)
    list(fit(different, another := network(config)))
    assert not equal(weights_of(made), weights_of(another))


def test_bfloat16_is_used_where_it_was_chosen():
    made, seen = network(CLASSIFIER), set()
    made.classifier.register_forward_hook(lambda layer, inputs, output: seen.add(output.dtype))
    list(fit(CLASSIFIER, made, machine=Machine("cpu", "bfloat16", 1)))
    assert seen == {torch.bfloat16}
    assert {weights.dtype for weights in made.parameters()} == {torch.float32}


# Divergence


@EITHER
def test_weights_that_are_no_numbers(config):
    made = network(config)
    with torch.no_grad():
        next(made.parameters())[0] = math.nan
    config = config.changed(learning_rate=0.25)
    with pytest.raises(loop.Diverged, match=r"epoch 1, step 1: .* Lower the learning rate \(it was 0\.25\)"):
        next(fit(config, made))


@pytest.mark.parametrize("selection", sorted(set(SELECTIONS) - {"drawn"}))
def test_no_selection_hides_weights_that_are_no_numbers(selection):
    config = TRIPLETS.changed(selection=selection, sampling="shuffled", batch_size=10)
    made = network(config)
    running = fit(config, made)
    next(running)
    with torch.no_grad():
        next(made.parameters())[0] = math.nan
    with pytest.raises(loop.Diverged, match="epoch 1, step 2: "):
        next(running)


def test_an_epoch_with_and_without_triplets():
    config = TRIPLETS.changed(selection="semi_hard", sampling="shuffled", batch_size=4, margin=1.0)
    *steps, done = fit(config.changed(epochs=1))
    told = [event.diagnostics for event in steps if event.diagnostics["positive_distance"] is not None]
    assert 0 < len(told) < len(steps)
    for name in ("positive_distance", "negative_distance_q50", "semi_hard"):
        assert done.diagnostics[name] == pytest.approx(sum(each[name] for each in told) / len(told))
    assert done.diagnostics["active_fraction"] == pytest.approx(len(told) / len(steps))


@EITHER
def test_diverged_in_the_step_after_the_weights_ran_away(config):
    made = network(config)
    running = fit(config, made)
    assert [next(running).step, next(running).step] == [1, 2]
    with torch.no_grad():
        next(made.parameters()).mul_(math.inf)
    with pytest.raises(loop.Diverged, match=r"epoch 1, step 3: .* Lower the learning rate \(it was 0\.05\)"):
        next(running)


def test_an_error_of_the_evaluation_is_not_hidden():
    def fail(epoch: int):
        raise MemoryError(f"epoch {epoch}")

    with pytest.raises(MemoryError, match="epoch 1"):
        list(fit(CLASSIFIER, evaluation=fail))


# Learning


@EITHER
def test_a_real_network_overfits_twenty_digits(config):
    digits = load_digits()
    chosen = [index for label in range(4) for index in (digits.target == label).nonzero()[0][:5]]
    images = torch.tensor(digits.images[chosen] * 255 / 16).to(torch.uint8)
    known = LabelledImages(images, torch.tensor(digits.target[chosen]), (0, 1, 2, 3))
    config = config.changed(width=8, blocks=(1, 1, 1), batch_size=10, triplets=20, epochs=50)
    config = config.changed(learning_rate=0.03, schedule="cosine")
    torch.manual_seed(0)
    made = build.build(config, class_count=4)

    def evaluation(epoch: int) -> Evaluation:
        return evaluate.evaluate(made, known, NOBODY, known, config, CPU)

    before = evaluation(0)
    *_, last = loop.fit(begun(config, made), known, config, CPU, evaluation)
    assert before.train_accuracy < 0.9
    assert last.train_accuracy == 1.0
    assert last.train_loss < 0.2
    assert last.test_loss < before.test_loss / 2
