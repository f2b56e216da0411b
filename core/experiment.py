"""A whole run: seed, build, fit, evaluate, save, resume. What the background thread and the command line drain.

How a run survives a kill at any instant is said in core/recorder.py.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from core.dataset.loader import DataSet, Split
from core.learning import evaluate, footprint, loop, machine, sampling
from core.learning.evaluate import Evaluation, LabelledImages
from core.learning.events import Event, Finished, Resumed
from core.learning.interrupt import Interruptible
from core.learning.machine import Machine
from core.learning.microscope import Microscope
from core.learning.states import Control, Request, Status
from core.learning.training import Training
from core.networks import build
from core.recorder import Recorder
from core.runs import store
from core.runs.record import MachineFacts
from core.runs.store import Run
from core.runs.writing import RunWriter
from core.settings.config import RunConfig


class _Left(Exception):
    """What need not be waited for: an evaluation if the run is paused or its process ends, and building a network."""


class _Requests:
    """What is asked of a run: by whoever drains it, and by other processes through its folder."""

    def __init__(self, writer: RunWriter, control: Control):
        self.heard: Request | None = None  # last
        self._writer = writer
        self._control = control

    def __call__(self) -> Request | None:
        """What is asked now; a new request is written down as heard."""
        if now := self._control() or self._writer.requested():
            if now != self.heard:
                self._writer.announce(Request(now).heard)
            self.heard = Request(now)
        return self.heard

    def leave(self, *wanted: Request) -> None:
        """Raises _Left if one of these is asked."""
        if self() in wanted:
            raise _Left


@dataclass
class _Lesson:
    """The images of a run as tensors, and which of the training images are kept for validation."""

    train: LabelledImages
    test: LabelledImages
    held: Tensor  # (N,) bool
    learnt: LabelledImages  # the others

    @classmethod
    def of(cls, config: RunConfig, images: DataSet) -> "_Lesson":
        train, test = labelled(images, images.train), labelled(images, images.test)
        held = sampling.held_out(config, train.labels)
        return cls(train, test, held, train.rows(~held))


@footprint.names_lack_of_memory
def run(writer: RunWriter, images: DataSet, control: Control = lambda: None) -> Iterator[Event]:
    """Trains the run that `writer` was made for, from its last checkpoint if it has one; yields its events.

    `control` and the writer are asked before every step: "stop" evaluates and keeps the model so far,
    "pause" and "leave" only save a checkpoint. The run is then marked stopped, paused or interrupted, and can be
    resumed from that very step. The caller enters and leaves `writer`, which marks the run failed if anything is
    raised here.
    """
    writer.update(starts=writer.record.starts + 1)
    found = store.read(writer.folder)
    images = images.without(found.config.exclude)
    checkpoint, notes = store.newest_checkpoint(found)
    config, asked, lesson = found.config, _Requests(writer, control), _Lesson.of(found.config, images)
    used = machine.choose(_as_before(found) if checkpoint else config)
    try:
        network = _built(config, len(images.classes), used, asked)
    except _Left:
        writer.update(status=asked.heard.ended, starts=0)
        yield _finished(writer)
        return
    wanted, used = used, machine.trusted(used, network, lesson.learnt.images, config)
    if used.precision != wanted.precision:
        notes += ["Computed in float32: a convolution of this network comes out wrong here in bfloat16."]
    recorder = Recorder(writer, images, Training(network, config))
    if checkpoint:
        notes += _differences(found, used)
        recorder.restore(found, checkpoint)
        checkpoint = None  # or it would take as much memory as the network for the whole run
    writer.update(
        status=Status.RUNNING,
        machine=MachineFacts(**asdict(used), **machine.versions()),
        steps_per_epoch=sampling.steps_per_epoch(config, lesson.learnt.labels),
        notes=tuple(dict.fromkeys([*writer.record.notes, *notes])),
    )
    if recorder.resumed:
        yield Resumed(epoch=recorder.training.epoch, step=recorder.training.step, notes=notes)
    yield from _trained(recorder, lesson, config, used, asked)
    yield _finished(writer)


def _built(config: RunConfig, class_count: int, used: Machine, asked: _Requests) -> build.Network:
    """The network with its initial weights. Raises _Left at any request, ConfigError if memory does not suffice."""
    with Interruptible(lambda: asked.leave(*Request)):
        footprint.check(config, class_count, used)
        # The seed draws the initial weights; all later draws have their own generators
        return build.seeded(config, class_count).to(used.device, memory_format=torch.channels_last)


def _trained(
    recorder: Recorder, lesson: _Lesson, config: RunConfig, used: Machine, asked: _Requests
) -> Iterator[Event]:
    """Trains until the end or a request, writes down what happens, and at last how it ended."""
    writer, training = recorder.writer, recorder.training

    def evaluate_epoch(epoch: int) -> Evaluation:
        return _evaluated(recorder, lesson, config, used, asked, epoch)

    microscope = Microscope(config, used, lesson.held.logical_not().nonzero().flatten().numpy())
    try:
        for event in loop.fit(training, lesson.learnt, config, used, evaluate_epoch, asked, microscope.look):
            recorder.note(event)
            recorder.keep_latest(microscope)
            yield event
    except _Left:
        pass
    except loop.Diverged:
        writer.update(diverged=True)
        raise
    recorder.keep_latest(microscope, training.network)
    if asked.heard in (Request.PAUSE, Request.LEAVE):
        recorder.save_between()
    status = asked.heard.ended if asked.heard and not training.ended(config) else Status.DONE
    writer.update(status=status, seconds=round(recorder.seconds(), 3), starts=0)


def _evaluated(
    recorder: Recorder, lesson: _Lesson, config: RunConfig, used: Machine, asked: _Requests, epoch: int
) -> Evaluation:
    """The network after an epoch on all images, kept. Raises _Left at a request not to wait for it, and Diverged."""
    if asked.heard:
        recorder.save_between()  # an evaluation may take long; whoever does not wait for it loses nothing

    def before_batch(count: int) -> None:
        asked.leave(Request.PAUSE, Request.LEAVE)
        recorder.testing(count)

    network = recorder.training.judged
    found = evaluate.evaluate(network, lesson.train, lesson.held, lesson.test, config, used, before_batch)
    finite = found.train_embeddings.isfinite().all() and found.test_embeddings.isfinite().all()
    if not (finite and math.isfinite(found.test_loss or 0.0)):  # since the last step
        raise loop.Diverged(
            f"diverged: the network's outputs are not finite after epoch {epoch}: the weights have run away. "
            f"Lower the learning rate (it was {loop.learning_rate(config, epoch):g})."
        )
    recorder.keep(epoch, found)
    return found


def _finished(writer: RunWriter) -> Finished:
    """The last event of a run, from what was written down."""
    record = writer.record
    result = record.result
    return Finished(
        run=writer.id,
        status=record.status,
        epochs=result.epochs if result else 0,
        train_accuracy=result and result.train_accuracy,
        test_accuracy=result and result.test_accuracy,
        seconds=record.seconds or 0.0,
    )


def _as_before(run: Run) -> RunConfig:
    """The settings with the precision and the threads that the run began with, whatever they would be here."""
    used = run.machine
    return run.config.changed(precision=used.precision, threads=used.threads) if used else run.config


def _differences(run: Run, used: Machine) -> list[str]:
    """Sentences on what may make the rest of a resumed run differ in the last digits from an uninterrupted one."""
    here = asdict(used) | machine.versions()
    names = {"device": "device", "torch": "PyTorch", "processor": "processor"}
    found = [
        f"Resumed with another {name} ({here[key]} instead of {getattr(run.machine, key)}): from there on the numbers "
        "may differ in the last digits from those of a run without interruption."
        for key, name in names.items()
        if getattr(run.machine, key) not in ("", here[key])
    ]
    if used.device != "cpu" and not found:
        found = ["Resumed on a GPU, where even a run without interruption is not the same twice in the last digits."]
    return found


def labelled(images: DataSet, split: Split) -> LabelledImages:
    """One part of a data set as tensors."""
    return LabelledImages(torch.tensor(split.images), torch.tensor(split.labels), images.class_numbers)
