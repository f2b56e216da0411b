"""What a training of some settings will be like, before it is begun: its network, what it sees, what an epoch takes."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.dataset.loader import DataSet
from core.learning import evaluate, footprint, loop, machine, memory, sampling
from core.learning.evaluate import LabelledImages
from core.learning.interrupt import Interruptible
from core.learning.training import Training
from core.networks import build
from core.settings.config import RunConfig

_STEPS, _SECONDS = 6, 3.0  # a measurement ends after so many steps, or after the step at which this time has passed
_TRIED = 100  # images whose evaluation is measured


class _Left(Exception):
    """Somebody else needs the machine."""


@dataclass(frozen=True)
class Outlook:
    """Facts about a training, as plain numbers."""

    convolutions: int
    fully_connected: int
    parameters: int
    multiply_adds: int  # for one image, forward
    steps: int  # an epoch
    images: int  # that pass through the network an epoch
    triplets: int | None  # drawn an epoch; None where batches are images


def outlook(config: RunConfig, images: DataSet) -> Outlook:
    """The network of a configuration, and what an epoch on these images is. Takes milliseconds, multiplies nothing."""
    facts = build.summarise(config, len(images.classes))
    images = images.without(config.exclude)
    labels = torch.tensor(images.train.labels)
    labels = labels[~sampling.held_out(config, labels)]
    triplets = config.triplets if config.draws_triplets else None
    steps = sampling.steps_per_epoch(config, labels)
    shown = config.images_an_epoch(len(labels), len(labels.unique()), steps)
    numbers = (facts.convolutions, facts.fully_connected, facts.parameters, facts.multiply_adds)
    return Outlook(*numbers, steps, shown, triplets)


def seconds_an_epoch(config: RunConfig, images: DataSet, leave: Callable[[], bool] = lambda: False) -> float | None:
    """About how long an epoch takes on this machine, its evaluation included: a few real steps, and what they make.

    They are those of a network and of generators of their own. `leave` is asked all the time; once it is true,
    the answer is None.
    Raises ConfigError where there is not enough memory.
    """

    def look() -> None:
        if leave():
            raise _Left

    try:
        with Interruptible(look):  # a step of a large network takes seconds, and the process may be about to end
            return _measured(config, images)
    except (_Left, loop.Diverged):
        return None
    finally:
        memory.give_back()


def _measured(config: RunConfig, images: DataSet) -> float:
    used, images = machine.choose(config), images.without(config.exclude)
    footprint.check(config, len(images.classes))
    labels = torch.tensor(images.train.labels)
    known = LabelledImages(torch.tensor(images.train.images), labels, images.class_numbers)
    learnt = known.rows(~sampling.held_out(config, labels))
    network = build.seeded(config, len(images.classes)).to(used.device, memory_format=torch.channels_last)
    taken = _steps(loop.Training(network, config), learnt, config, used)
    some = known.images[:_TRIED]
    embedded = _seconds_of(lambda: evaluate.embed_all(network, some, config, used))
    tested = embedded / len(some) * (len(labels) + len(images.test.labels))
    # The fastest: the others were slowed by what else the machine did, e.g. a page that was being opened
    return min(taken) * sampling.steps_per_epoch(config, learnt.labels) + tested


def _seconds_of(work: Callable[[], object]) -> float:
    """What the faster of two times takes: the first one makes room and threads."""
    marks = [time.perf_counter()]
    for _ in range(2):
        work()
        marks.append(time.perf_counter())
    return min(after - before for before, after in itertools.pairwise(marks))


def _steps(training: Training, learnt: LabelledImages, config: RunConfig, used) -> list[float]:
    """The seconds that some steps take; the first one, which is slow, only if there is no other."""
    marks = [time.perf_counter()]

    for done in loop.fit(training, learnt, config, used, evaluate=lambda epoch: None):
        marks.append(time.perf_counter())
        enough = len(marks) > _STEPS or marks[-1] - marks[0] > _SECONDS
        if enough or done.step == done.steps:
            break
    taken = [after - before for before, after in itertools.pairwise(marks)]
    return taken[1:] or taken
