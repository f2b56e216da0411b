"""The training loop, once, for every architecture and objective: a generator of events."""

from collections.abc import Callable, Iterator

import torch

from core import augment, objectives, sampling
from core.config import RunConfig
from core.evaluate import Evaluation, LabelledImages
from core.events import EpochDone, StepDone
from core.machine import Machine
from core.models import Network, prepare


class Diverged(RuntimeError):
    """The loss is no longer a finite number."""


def optimiser(network: Network, config: RunConfig) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


def learning_rate(config: RunConfig, epoch: int) -> float:
    """The learning rate in an epoch (from 1): divided by `decay_factor` after every `decay_every` epochs."""
    return config.learning_rate / config.decay_factor ** ((epoch - 1) // config.decay_every)


def fit(
    network: Network,
    descent: torch.optim.Optimizer,
    train: LabelledImages,
    config: RunConfig,
    machine: Machine,
    evaluate: Callable[[int], Evaluation],
    stop: Callable[[], bool],
) -> Iterator[StepDone | EpochDone]:
    """Trains `network` in place; yields StepDone after each step and EpochDone after each epoch's evaluation.

    `stop` is asked before every step; once it says yes, the epoch so far is evaluated and the generator ends.
    Raises Diverged as soon as a loss is not finite.
    """
    objective = objectives.build(config)
    labels = train.labels.to(machine.device)
    for epoch in range(1, config.epochs + 1):
        rate = learning_rate(config, epoch)
        descent.param_groups[0]["lr"] = rate
        network.train()
        done = []
        steps = sampling.steps_per_epoch(config, len(labels))
        for step, batch in enumerate(sampling.batches(config, train.labels, epoch), start=1):
            if stopped := stop():
                break
            images = prepare(train.images[batch].to(machine.device), config.channels)  # (B, C, 32, 32)
            if config.augmentation == "crop_flip":
                images = augment.crop_flip(images, sampling.generator(config.seed, "augment", epoch, step))
            with machine.autocast():
                outputs = network(images)
            loss, diagnostics = objective(outputs, labels[batch])
            if not torch.isfinite(loss):
                raise Diverged(
                    f"the loss is not finite in epoch {epoch}, step {step}: the weights have run away. "
                    f"Lower the learning rate (it was {rate:g})."
                )
            descent.zero_grad()
            loss.backward()
            descent.step()
            done.append(StepDone(epoch=epoch, step=step, steps=steps, loss=loss.item(), diagnostics=diagnostics))
            yield done[-1]
        if done:
            yield _epoch_done(epoch, rate, done, evaluate(epoch))
        if stopped:
            return


def _epoch_done(epoch: int, rate: float, steps: list[StepDone], evaluation: Evaluation) -> EpochDone:
    names = steps[0].diagnostics
    return EpochDone(
        epoch=epoch,
        steps=len(steps),
        learning_rate=rate,
        train_loss=sum(step.loss for step in steps) / len(steps),
        train_accuracy=evaluation.train_accuracy,
        test_loss=evaluation.test_loss,
        test_accuracy=evaluation.test_accuracy,
        diagnostics={name: sum(step.diagnostics[name] for step in steps) / len(steps) for name in names},
    )
