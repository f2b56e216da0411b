"""The training loop, once, for every architecture and objective: a generator of events."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import torch
from torch import Tensor

from core.learning import alarms, objectives, sampling
from core.learning.batch import prepared
from core.learning.evaluate import Evaluation, LabelledImages
from core.learning.events import EpochDone, StepDone
from core.learning.machine import Machine
from core.learning.microscope import Seen
from core.learning.objectives import Diagnostics
from core.learning.schedule import learning_rate
from core.learning.states import Control, Request
from core.learning.training import Training
from core.networks.build import Network
from core.settings.config import RunConfig

# What EpochDone says in the words of Evaluation: accuracies and losses
_MEASURED = {each.name for each in fields(EpochDone)}.intersection(Evaluation._fields)


class Diverged(RuntimeError):
    """The loss is no longer a finite number."""


def fit(
    training: Training,
    train: LabelledImages,
    config: RunConfig,
    machine: Machine,
    evaluate: Callable[[int], Evaluation],
    control: Control = lambda: None,
    look: Callable[[Seen], None] = lambda seen: None,
) -> Iterator[StepDone | EpochDone]:
    """Goes on with `training` until its last epoch; yields StepDone after a step, EpochDone after an evaluation.

    `control` is asked before every step. At a request to stop the epoch so far is evaluated, and at any
    request the generator ends with `training` as it was after the last step: called again with it, the epoch is
    finished as if it had never been interrupted. When EpochDone of a whole epoch is yielded, `training` stands at the
    beginning of the next. `look` is shown every batch before it changes the weights.
    Raises Diverged as soon as a loss is not finite.
    """
    labels = train.labels.to(machine.device)
    steps = sampling.steps_per_epoch(config, train.labels)
    equal_images = bool((train.images == train.images[:1]).all())
    while not training.ended(config):
        epoch = training.epoch
        training.network.train()
        batches = sampling.batches(config, train.labels, train.class_numbers, training.confused, epoch)
        for step, batch in itertools.islice(enumerate(batches, start=1), training.step, None):
            if request := control():
                if request == Request.STOP and training.step:
                    yield _epoch_done(training, config, steps, evaluate(epoch), equal_images)
                return
            draw = sampling.generator(config.seed, "augment", epoch, step)
            images = prepared(train.images[batch], config, machine.device, draw)  # (B, channels, S, S)
            rate = learning_rate(config, epoch, step, steps)
            loss, diagnostics = learn(training, images, labels[batch], batch, config, machine, rate, look)
            training.add_step(loss, diagnostics)
            yield StepDone(epoch=epoch, step=step, steps=steps, loss=loss, diagnostics=diagnostics)
        evaluation = evaluate(epoch)
        done = _epoch_done(training, config, steps, evaluation, equal_images)
        training.begin_next_epoch(evaluation)
        yield done


def learn(
    training: Training,
    images: Tensor,
    labels: Tensor,
    batch: Tensor,
    config: RunConfig,
    machine: Machine,
    rate: float,
    look: Callable[[Seen], None] = lambda seen: None,
) -> tuple[float, Diagnostics]:
    """One step of gradient descent on images (B, channels, S, S) with these labels (B,) and numbers `batch` (B,).

    Returns the loss before the step and what the objective says about the batch. Raises Diverged.
    """
    epoch, step = training.epoch, training.step + 1
    with machine.autocast():
        outputs = training.network(images)
    draw = sampling.generator(config.seed, "select", epoch, step)
    loss, diagnostics = objectives.batch_loss(outputs, labels, config, epoch, draw, batch)
    # both, because semi-hard triplets of embeddings that are no numbers are none, and their loss is zero
    if not (loss.isfinite() and outputs.embeddings.isfinite().all()):
        raise Diverged(
            f"diverged: the loss or an embedding is not finite in epoch {epoch}, step {step}: the weights have "
            f"run away. Lower the learning rate (it was {rate:g})."
        )
    look(Seen.of(epoch, step, batch, images[:, :1], labels, outputs, loss))
    _differentiate(loss, training.network)
    for group in training.optimiser.param_groups:
        group["lr"] = rate
    training.optimiser.step()
    if training.average:
        training.average.update_parameters(training.network)
    return loss.item(), diagnostics


def _differentiate(loss: Tensor, network: Network) -> None:
    """Sets the gradient of every weight.

    A loss of exactly zero is the least there is, so its gradient is zero: the backward pass, two thirds of a step, is
    not made. When hardly any random triplet is active, that is most batches. Momentum moves the weights all the same.
    """
    network.zero_grad()
    if loss > 0:
        loss.backward()
    else:
        for weight in network.parameters():
            weight.grad = torch.zeros_like(weight)


def _epoch_done(
    training: Training, config: RunConfig, steps: int, evaluation: Evaluation, equal_images: bool
) -> EpochDone:
    done = EpochDone(
        epoch=training.epoch,
        steps=training.step,
        learning_rate=learning_rate(config, training.epoch, training.step, steps),
        train_loss=training.loss_sum / training.step,
        diagnostics=training.diagnostics.now(),
        **{name: getattr(evaluation, name) for name in _MEASURED},
    )
    found = alarms.alarm(config, done, len(evaluation.train_confusion), equal_images)
    return replace(done, alarm=found.text, alarm_kind=found.kind.value) if found else done
