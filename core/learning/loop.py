"""The training loop, once, for every architecture and objective: a generator of events."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.learning import alarms, objectives, sampling
from core.learning.augment import augment
from core.learning.evaluate import Evaluation, LabelledImages
from core.learning.events import EpochDone, StepDone
from core.learning.machine import Machine
from core.learning.means import Means
from core.learning.microscope import Seen
from core.learning.objectives import Diagnostics
from core.learning.schedule import learning_rate
from core.learning.states import Control, Request
from core.networks.build import Network, prepare, repeated
from core.settings.config import RunConfig


class Diverged(RuntimeError):
    """The loss is no longer a finite number."""


class Training:
    """Everything that changes while a network learns: what a checkpoint has to hold.

    No random state is among it: every draw comes from a generator made from (seed, purpose, epoch, step).
    """

    def __init__(self, network: Network, config: RunConfig):
        self.network = network
        self.optimiser = optimiser(network, config)
        self.average: AveragedModel | None = None  # the moving average of weights and of batch normalisation's buffers
        if config.weight_average:
            self.average = moving_average(network, config.weight_average)
        self.confused: Tensor | None = None  # (C, C) training images of the last epoch by true and predicted class
        self.best_validation = -1.0
        self.epochs_since_best = 0
        self.epoch = 1  # the epoch being learnt; one more than there are once all of them are done
        self.step = 0  # steps done in this epoch
        self.loss_sum = 0.0  # over these steps
        self.diagnostics = Means()  # over these steps

    @property
    def judged(self) -> Network:
        """The network that is evaluated and kept as the run's result."""
        return self.average.module if self.average else self.network

    def ended(self, config: RunConfig) -> bool:
        """Whether there is nothing left to do: all epochs are done, or the validation images say so."""
        early = config.patience and self.epochs_since_best >= config.patience
        return bool(early) or self.epoch > config.epochs

    def add_step(self, loss: float, diagnostics: Diagnostics) -> None:
        """Counts a step of the epoch."""
        self.step += 1
        self.loss_sum += loss
        self.diagnostics.add(diagnostics)

    def begin_next_epoch(self, evaluation: Evaluation) -> None:
        """Starts counting anew, with what the epoch's evaluation has to say to the next ones."""
        self.confused = evaluation.train_confusion
        if evaluation.validation_accuracy is not None:
            better = evaluation.validation_accuracy > self.best_validation
            self.best_validation = max(self.best_validation, evaluation.validation_accuracy)
            self.epochs_since_best = 0 if better else self.epochs_since_best + 1
        self.epoch += 1
        self.step, self.loss_sum, self.diagnostics = 0, 0.0, Means()

    def state_dict(self) -> dict:
        """Tensors and plain values, for torch.load(weights_only=True). Tensors are shared, not copied."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "diagnostic_sums": dict(self.diagnostics.sums),
            "diagnostic_counts": dict(self.diagnostics.counts),
            "average": self.average.state_dict() if self.average else None,
            "confused": self.confused,
            "best_validation": self.best_validation,
            "epochs_since_best": self.epochs_since_best,
        }

    def load_state_dict(self, state: dict) -> None:
        """The inverse. Raises KeyError or RuntimeError for a state of another network."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.step, self.loss_sum = state["epoch"], state["step"], state["loss_sum"]
        self.diagnostics = Means(dict(state["diagnostic_sums"]))
        self.diagnostics.counts = dict(state["diagnostic_counts"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.confused = state["confused"]
        self.best_validation, self.epochs_since_best = state["best_validation"], state["epochs_since_best"]


def optimiser(network: Network, config: RunConfig) -> torch.optim.Optimizer:
    """How a gradient becomes a step."""
    if config.optimiser == "adamw":
        # fused: one pass over the weights, in a third of the time. SGD is left as it is: wide networks would lose by it
        return torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
    return torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


def moving_average(network: Network, decay: float) -> AveragedModel:
    """The exponential moving average of a network, to be updated after each step.

    Of the old average (1 + n) / (10 + n) is kept at step n, at most `decay`: the first weights, which have learnt
    nothing, are forgotten early (as in TensorFlow's ExponentialMovingAverage with num_updates).
    """

    def update(averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        n = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, weights, count)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


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
    network, descent = training.network, training.optimiser
    while not training.ended(config):
        epoch = training.epoch
        network.train()
        batches = sampling.batches(config, train.labels, train.class_numbers, training.confused, epoch)
        for step, batch in itertools.islice(enumerate(batches, start=1), training.step, None):
            if request := control():
                if request == Request.STOP and training.step:
                    yield _epoch_done(training, config, steps, evaluate(epoch), equal_images)
                return
            images = prepare(train.images[batch].to(machine.device), 1, config.image_size)  # (B, 1, S, S)
            images = augment(images, config.augmentation, sampling.generator(config.seed, "augment", epoch, step))
            with machine.autocast():
                outputs = network(repeated(images, config.channels))
            draw = sampling.generator(config.seed, "select", epoch, step)
            loss, diagnostics = objectives.batch_loss(outputs, labels[batch], config, epoch, draw, batch)
            rate = learning_rate(config, epoch, step, steps)
            # both, because semi-hard triplets of embeddings that are no numbers are none, and their loss is zero
            if not (loss.isfinite() and outputs.embeddings.isfinite().all()):
                raise Diverged(
                    f"diverged: the loss or an embedding is not finite in epoch {epoch}, step {step}: the weights have "
                    f"run away. Lower the learning rate (it was {rate:g})."
                )
            look(Seen.of(epoch, step, batch, images, labels[batch], outputs, loss))
            _differentiate(loss, network)
            for group in descent.param_groups:
                group["lr"] = rate
            descent.step()
            if training.average:
                training.average.update_parameters(network)
            done = StepDone(epoch=epoch, step=step, steps=steps, loss=loss.item(), diagnostics=diagnostics)
            training.add_step(done.loss, diagnostics)
            yield done
        evaluation = evaluate(epoch)
        done = _epoch_done(training, config, steps, evaluation, equal_images)
        training.begin_next_epoch(evaluation)
        yield done


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
        train_accuracy=evaluation.train_accuracy,
        validation_loss=evaluation.validation_loss,
        validation_accuracy=evaluation.validation_accuracy,
        test_loss=evaluation.test_loss,
        test_accuracy=evaluation.test_accuracy,
        diagnostics=training.diagnostics.now(),
    )
    found = alarms.alarm(config, done, len(evaluation.train_confusion), equal_images)
    return replace(done, alarm=found.text, alarm_kind=found.kind.value) if found else done
