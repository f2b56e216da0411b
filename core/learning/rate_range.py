"""Learning-rate range test (Smith, arXiv:1506.01186): a hundred steps, each with a larger rate than the one before.

Far too small a rate leaves the loss where it is, a good one lets it fall, too large a one lets it grow. A network of
its own is trained: weights, batches and draws are made anew from the settings' seed, and no run is changed.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from core.dataset.loader import DataSet
from core.learning import footprint, loop, machine, memory, sampling
from core.learning.batch import prepared
from core.learning.evaluate import LabelledImages
from core.learning.interrupt import Interruptible
from core.learning.rate_curve import RangeTest, rates
from core.learning.states import Control
from core.learning.training import Training
from core.networks import build
from core.settings.config import RunConfig


class _Left(Exception):
    """The test is ended by whoever asked for it."""


class _Learner:
    """A training of its own, a step at a time."""

    def __init__(self, config: RunConfig, images: DataSet):
        used, images = machine.choose(config), images.without(config.exclude)
        footprint.check(config, len(images.classes), used)
        labels = torch.tensor(images.train.labels)
        known = LabelledImages(torch.tensor(images.train.images), labels, images.class_numbers)
        self._learnt = known.rows(~sampling.held_out(config, labels))
        network = build.seeded(config, len(images.classes)).to(used.device, memory_format=torch.channels_last)
        network.train()
        self._machine = machine.trusted(used, network, self._learnt.images, config)
        self._config, self._training = config, Training(network, config)
        self._batches = itertools.chain.from_iterable(map(self._epoch, itertools.count(1)))

    def _epoch(self, epoch: int) -> Iterator[torch.Tensor]:
        yield from sampling.batches(self._config, self._learnt.labels, self._learnt.class_numbers, None, epoch)

    def step(self, rate: float) -> float:
        """The loss of the next batch, which is then learnt from. Triplets are mined as in the first epoch."""
        config, training, batch = self._config, self._training, next(self._batches)
        draw = sampling.generator(config.seed, "augment", training.epoch, training.step + 1)
        images = prepared(self._learnt.images[batch], config, self._machine.device, draw)
        labels = self._learnt.labels[batch].to(self._machine.device)
        loss, diagnostics = loop.learn(training, images, labels, batch, config, self._machine, rate)
        training.add_step(loss, diagnostics)
        return loss


@dataclass(frozen=True)
class _Asked:
    """Ends what is computed as soon as `control` says anything: building or a step of a large network takes long."""

    control: Control

    def __call__(self) -> None:
        if self.control():
            raise _Left


def find(config: RunConfig, images: DataSet, control: Control = lambda: None) -> Iterator[RangeTest]:
    """Tests the settings on these images; yields what is known after every step.

    It ends at the highest rate, when the loss grows or is not finite, and at once when `control` says anything.
    Raises ConfigError where there is not enough memory.
    """
    look, found = _Asked(control), RangeTest()
    try:
        with Interruptible(look):
            learner = _Learner(config, images)
        for rate in rates():
            with Interruptible(look):
                loss = learner.step(rate)
            yield (found := found.after(rate, loss))
            if found.grown:
                return
    except (_Left, loop.Diverged):
        return
    finally:
        memory.give_back()
