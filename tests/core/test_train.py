"""The loop: order of events, the same steps as a plain one, stopping, divergence, and that it learns."""

import dataclasses
import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from core import augment, evaluate, models, objectives, sampling, train
from core.classify import Prediction
from core.config import RunConfig, from_preset
from core.evaluate import Evaluation, LabelledImages
from core.events import EpochDone, StepDone
from core.machine import Machine

CPU = Machine("cpu", "float32", 1)
TRIPLETS = RunConfig(
    channels=1,
    embedding_size=8,
    objective="triplet",
    triplets=10,
    batch_size=4,
    epochs=2,
    learning_rate=0.05,
    neighbours=1,
)
CLASSIFIER = dataclasses.replace(TRIPLETS, objective="cross_entropy", batch_size=6)
EITHER = pytest.mark.parametrize("config", [TRIPLETS, CLASSIFIER], ids=["triplet", "cross_entropy"])  # 3 or 4 steps

IMAGES = LabelledImages(
    torch.randint(256, (20, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8),
    torch.arange(20) % 4,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Two threads on two busy cores wait for each other far longer than such small networks compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Backbone(nn.Sequential):
    """Two layers instead of a real network: the loop does not know the difference."""

    feature_size = 12

    def __init__(self):
        super().__init__(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU())


def network(config: RunConfig) -> models.Network:
    torch.manual_seed(0)
    return models.Network(Backbone(), config.objective, class_count=4, embedding_size=config.embedding_size)


def anything(epoch: int) -> Evaluation:
    """An evaluation for tests in which it does not matter; its numbers tell the epoch."""
    nothing = torch.zeros(0)
    return Evaluation(nothing, nothing, Prediction(nothing, nothing), 0.1 * epoch, 0.2 * epoch, 0.3 * epoch)


def fit(config: RunConfig, made=None, evaluation=anything, stop=lambda: False, machine=CPU, descent=None):
    made = made or network(config)
    return train.fit(made, descent or train.optimiser(made, config), IMAGES, config, machine, evaluation, stop)


def weights_of(made: models.Network) -> list[torch.Tensor]:
    return [weights.detach().clone() for weights in made.parameters()]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


# The learning rate


def test_learning_rate_of_the_lab_sheets_metric_learner():
    config = from_preset("facenet", epochs=12)
    rates = [train.learning_rate(config, epoch) for epoch in range(1, 13)]
    assert rates == pytest.approx([0.008] * 4 + [0.008 / 3] * 4 + [0.008 / 9] * 4)


def test_learning_rate_of_the_lab_sheets_classifiers():
    config = from_preset("densenet52", epochs=150)
    rates = [train.learning_rate(config, epoch) for epoch in range(1, 151)]
    assert rates == pytest.approx([0.01] * 50 + [0.001] * 50 + [0.0001] * 50)


def test_a_factor_of_one_keeps_the_learning_rate():
    config = RunConfig(decay_factor=1.0, decay_every=1)
    assert {train.learning_rate(config, epoch) for epoch in range(1, 20)} == {config.learning_rate}


# Events


@EITHER
def test_order_of_events(config):
    steps = sampling.steps_per_epoch(config, 20)
    events = list(fit(config))
    expected = [(epoch, step) for epoch in (1, 2) for step in [*range(1, steps + 1), None]]
    assert [(event.epoch, event.step if isinstance(event, StepDone) else None) for event in events] == expected
    assert {event.steps for event in events} == {steps}
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, StepDone))


@EITHER
def test_an_epoch_is_the_mean_of_its_steps_and_what_was_evaluated(config):
    config = dataclasses.replace(config, decay_every=1, decay_factor=10.0)
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

    for event in fit(dataclasses.replace(CLASSIFIER, batch_size=10), evaluation=evaluation):
        seen.append(f"{type(event).__name__} {event.epoch}")
    epochs = [["StepDone {}", "StepDone {}", "evaluate {}", "EpochDone {}"]] * 2
    assert seen == [name.format(epoch) for epoch, names in enumerate(epochs, start=1) for name in names]


@EITHER
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_is_left_switched_on_while_the_consumer_works(config, precision):
    for _ in fit(config, machine=Machine("cpu", precision, 1), made=(made := network(config)),
                 evaluation=lambda _: evaluate.evaluate(made, IMAGES, IMAGES, config, CPU)):  # fmt: skip
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")


# Steps


def plain_loop(config: RunConfig, made: models.Network) -> list[float]:
    """The same training, written out: gradients by torch, the descent by hand. Returns the losses."""
    objective = objectives.build(config)
    velocities = [torch.zeros_like(weights) for weights in made.parameters()]
    losses = []
    for epoch in range(1, config.epochs + 1):
        rate = config.learning_rate / config.decay_factor ** ((epoch - 1) // config.decay_every)
        for batch in sampling.batches(config, IMAGES.labels, epoch):
            made.train()
            loss, _ = objective(made(models.prepare(IMAGES.images[batch], config.channels)), IMAGES.labels[batch])
            gradients = torch.autograd.grad(loss, list(made.parameters()))
            with torch.no_grad():
                for weights, velocity, gradient in zip(made.parameters(), velocities, gradients, strict=True):
                    velocity.mul_(config.momentum).add_(gradient + config.weight_decay * weights)
                    weights.sub_(rate * velocity)
            losses.append(loss.item())
    return losses


@EITHER
def test_against_a_plain_loop(config):
    config = dataclasses.replace(config, decay_every=1, weight_decay=0.1, momentum=0.8, margin=5.0)
    made, other = network(config), network(config)
    losses = plain_loop(config, other)
    # An evaluation leaves the network in eval mode; the next epoch has to train all the same.
    events = list(fit(config, made, lambda _: evaluate.evaluate(made, IMAGES, IMAGES, config, CPU)))
    assert [event.loss for event in events if isinstance(event, StepDone)] == pytest.approx(losses, rel=1e-4)
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
    different = dataclasses.replace(config, seed=1)
    list(fit(different, another := network(config)))
    assert not equal(weights_of(made), weights_of(another))


def test_bfloat16_is_used_where_it_was_chosen():
    made, seen = network(CLASSIFIER), set()
    made.classifier.register_forward_hook(lambda layer, inputs, output: seen.add(output.dtype))
    list(fit(CLASSIFIER, made, machine=Machine("cpu", "bfloat16", 1)))
    assert seen == {torch.bfloat16}
    assert {weights.dtype for weights in made.parameters()} == {torch.float32}


# Augmentation


@EITHER
def test_augmentation_only_in_training(config, monkeypatch):
    """The augmented images are replaced by black ones, so that they can be told apart."""
    keys = []

    def blacken(images, draw):
        keys.append(draw.initial_seed())
        return torch.full_like(images, -1.0)

    monkeypatch.setattr(augment, "crop_flip", blacken)
    config = dataclasses.replace(config, augmentation="crop_flip")
    made, black, seen = network(config), [], []
    made.register_forward_pre_hook(
        lambda layer, inputs: black.append((inputs[0] == -1).all()) if layer.training else seen.append(inputs[0])
    )
    list(fit(config, made, lambda _: evaluate.evaluate(made, IMAGES, IMAGES, config, CPU)))
    steps = config.epochs * sampling.steps_per_epoch(config, 20)
    assert len(black) == steps
    assert all(black)
    assert len(seen) == 2 * config.epochs
    assert all(torch.equal(images, models.prepare(IMAGES.images, 1)) for images in seen)
    expected = {sampling.generator(config.seed, "augment", epoch, step).initial_seed()
                for epoch in (1, 2) for step in range(1, steps // 2 + 1)}  # fmt: skip
    assert set(keys) == expected
    assert len(keys) == len(expected) == steps  # new in every step


def test_no_augmentation_unless_chosen(monkeypatch):
    monkeypatch.setattr(augment, "crop_flip", None)
    list(fit(CLASSIFIER))
    with pytest.raises(TypeError):
        list(fit(dataclasses.replace(CLASSIFIER, augmentation="crop_flip")))


# Stopping


def stop_after(answers: int):
    """Says no so many times, then yes."""
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > answers

    return stop


@EITHER
def test_stop_in_an_epoch_evaluates_what_there_is(config):
    wanted = []
    for event in fit(config, stop=lambda: len(wanted) >= 2):
        wanted.append(event)
    assert [type(event) for event in wanted] == [StepDone, StepDone, EpochDone]
    done = wanted[-1]
    assert (done.epoch, done.steps) == (1, 2)
    assert done.train_loss == pytest.approx((wanted[0].loss + wanted[1].loss) / 2)
    assert done.test_accuracy == 0.2


def test_stop_before_the_first_step():
    evaluated = []
    assert list(fit(CLASSIFIER, evaluation=evaluated.append, stop=lambda: True)) == []
    assert evaluated == []


@pytest.mark.parametrize("answers", range(10))
def test_stop_at_any_time(answers):
    whole, evaluated = list(fit(CLASSIFIER)), []

    def evaluation(epoch: int) -> Evaluation:
        evaluated.append(epoch)
        return anything(epoch)

    events = list(fit(CLASSIFIER, evaluation=evaluation, stop=stop_after(answers)))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert steps == [event for event in whole if isinstance(event, StepDone)][: len(steps)]
    assert evaluated == sorted({step.epoch for step in steps})  # no epoch without a step, none left out
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == evaluated
    assert not steps or isinstance(events[-1], EpochDone)
    assert (events == whole) == (answers >= 8)  # asked before each of 8 steps


def test_one_yes_is_enough():
    answers = iter([False, True])
    events = list(fit(CLASSIFIER, stop=lambda: next(answers)))
    assert [type(event) for event in events] == [StepDone, EpochDone]


@EITHER
def test_closing_the_generator_leaves_a_usable_model(config):
    made = network(config)
    descent = train.optimiser(made, config)
    before = weights_of(made)
    running = fit(config, made, descent=descent)
    next(running)
    next(running)
    running.close()
    assert not equal(weights_of(made), before)
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert evaluate.embed_all(made, IMAGES.images, 1, CPU).embeddings.isfinite().all()
    assert len(list(fit(config, made, descent=descent))) == 2 * (sampling.steps_per_epoch(config, 20) + 1)


# Divergence


@EITHER
def test_weights_that_are_no_numbers(config):
    made = network(config)
    with torch.no_grad():
        next(made.parameters())[0] = math.nan
    config = dataclasses.replace(config, learning_rate=0.25)
    with pytest.raises(train.Diverged, match=r"epoch 1, step 1: .* Lower the learning rate \(it was 0\.25\)"):
        next(fit(config, made))


@EITHER
def test_diverged_in_the_step_after_the_weights_ran_away(config):
    made = network(config)
    running = fit(config, made)
    assert [next(running).step, next(running).step] == [1, 2]
    with torch.no_grad():
        next(made.parameters()).mul_(math.inf)
    with pytest.raises(train.Diverged, match=r"epoch 1, step 3: .* Lower the learning rate \(it was 0\.05\)"):
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
    known = LabelledImages(images, torch.tensor(digits.target[chosen]))
    config = dataclasses.replace(
        config, width=8, blocks=(1, 1, 1), batch_size=10, triplets=20, epochs=30, learning_rate=0.1, decay_every=20
    )
    torch.manual_seed(0)
    made = models.build(config, class_count=4)

    def evaluation(epoch: int) -> Evaluation:
        return evaluate.evaluate(made, known, known, config, CPU)

    before = evaluation(0)
    *_, last = train.fit(made, train.optimiser(made, config), known, config, CPU, evaluation, lambda: False)
    assert before.train_accuracy < 0.9
    assert last.train_accuracy == 1.0
    assert last.train_loss < 0.2
    assert last.test_loss < before.test_loss / 2
