"""A whole run: seed, build, fit, evaluate, save, resume. What the background thread and the command line drain.

`last.pt` is the one commit point of an epoch. What comes before it (embeddings, `best.pt`) is written again in the same
way if the process dies in between; what comes after it (tables, run.json) is made from it when the run is resumed. So a
kill at any instant leaves a folder from which the resumed run is bit for bit the one that was never interrupted.
`between.pt` is the same within an epoch: it saves time, not results.
"""

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from core.analysis import classify, metrics, mistakes
from core.analysis.embedded import Embedded
from core.dataset import loader
from core.dataset.images import Reading
from core.dataset.loader import DataSet, Split
from core.dataset.survey import other_brightness
from core.learning import evaluate, footprint, loop, machine, sampling
from core.learning.evaluate import Evaluation, LabelledImages
from core.learning.events import EpochDone, Event, Finished, Resumed, StepDone
from core.learning.interrupt import Interruptible
from core.learning.loop import Training
from core.learning.microscope import Microscope
from core.learning.states import Control, Request, Status
from core.networks import build
from core.networks.build import Network
from core.runs import latest_step, store
from core.runs.files import StoreError
from core.runs.record import MachineFacts, Result
from core.runs.store import Run
from core.runs.writing import RunWriter
from core.settings.choices import OBJECTIVES
from core.settings.config import RunConfig
from core.settings.setting import ConfigError

CHECKPOINT_SECONDS = 60.0  # between two checkpoints within an epoch,
CHECKPOINT_SHARE = 0.01  # or more, so that saving them takes no larger share of the time
LATEST_STEP_SECONDS = 2.0  # between two looks at the latest step, for the pages
_LOOKED_AT = 8  # images that a network is tried with


class _Left(Exception):
    """What need not be waited for: an evaluation if the run is paused or its process ends, and building a network."""


@dataclass
class Progress:
    """What a run has brought about so far, besides the weights: kept in its checkpoints."""

    seconds: float = 0.0  # of training and evaluation, over all interruptions
    history: list[dict] = field(default_factory=list)  # the rows of history.csv: a whole epoch each
    partial: dict | None = None  # its last row while a run is stopped within an epoch
    best_accuracy: float = -1.0  # on the test images, of a whole epoch
    result: Result | None = None
    steps: dict = field(default_factory=dict)  # see RunWriter.steps_state

    def state(self) -> dict:
        """Plain values, for a checkpoint."""
        return asdict(self) | {"result": self.result.model_dump() if self.result else {}}

    @classmethod
    def from_state(cls, state: dict) -> "Progress":
        """The inverse of `state`. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(**state | {"result": Result.checked(state["result"]) if state["result"] else None})

    @property
    def rows(self) -> list[dict]:
        """All rows of history.csv."""
        return self.history + [self.partial] * bool(self.partial)


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
    checkpoint, notes = store.newest_checkpoint(found)
    config, request = found.config, None

    def asked() -> Request | None:
        nonlocal request
        if now := control() or writer.requested():
            if now != request:
                writer.announce(Request(now).heard)
            request = Request(now)
        return request

    def leave_building() -> None:
        if asked():
            raise _Left

    used = machine.choose(_as_before(found) if checkpoint else config)
    training_images, test_images = labelled(images, images.train), labelled(images, images.test)
    held = sampling.held_out(config, training_images.labels)
    learnt = training_images.rows(~held)
    try:
        with Interruptible(leave_building):
            footprint.check(config, len(images.classes), used)
            # The seed draws the initial weights; all later draws have their own generators
            network = build.seeded(config, len(images.classes)).to(used.device, memory_format=torch.channels_last)
    except _Left:
        writer.update(status=request.ended, starts=0)
        yield _finished(writer)
        return
    if not _trusted(used, network, config, learnt.images):
        used = machine.choose(config.changed(precision="float32"))
        notes += ["Computed in float32: a convolution of this network comes out wrong here in bfloat16."]
    recorder = _Recorder(writer, images, Training(network, config))
    if checkpoint:
        notes += _differences(found, used)
        recorder.restore(found, checkpoint)
        checkpoint = None  # or it would take as much memory as the network for the whole run
    training = recorder.training
    writer.update(
        status=Status.RUNNING,
        machine=MachineFacts(**asdict(used), **machine.versions()),
        steps_per_epoch=sampling.steps_per_epoch(config, learnt.labels),
        notes=tuple(dict.fromkeys([*writer.record.notes, *notes])),
    )
    if recorder.resumed:
        yield Resumed(epoch=training.epoch, step=training.step, notes=notes)

    def before_batch(_, batch: tuple[torch.Tensor, ...]) -> None:
        if training.judged.training:
            return
        if asked() in (Request.PAUSE, Request.LEAVE):
            raise _Left
        recorder.testing(len(batch[0]))

    def evaluate_epoch(epoch: int) -> Evaluation:
        if request:
            recorder.save_between()  # an evaluation may take long; whoever does not wait for it loses nothing
        evaluation = evaluate.evaluate(training.judged, training_images, held, test_images, config, used)
        known, asked_for, loss = evaluation.train_embeddings, evaluation.test_embeddings, evaluation.test_loss or 0.0
        if not (known.isfinite().all() and asked_for.isfinite().all() and math.isfinite(loss)):  # since the last step
            raise loop.Diverged(
                f"diverged: the network's outputs are not finite after epoch {epoch}: the weights have run away. "
                f"Lower the learning rate (it was {loop.learning_rate(config, epoch):g})."
            )
        recorder.keep(epoch, evaluation)
        return evaluation

    microscope = Microscope(config, used, np.flatnonzero(~held))
    hook = training.judged.register_forward_pre_hook(before_batch)
    try:
        for event in loop.fit(training, learnt, config, used, evaluate_epoch, asked, microscope.look):
            if isinstance(event, EpochDone):
                recorder.epoch_done(event)
            else:
                recorder.step_done(event)
                recorder.keep_latest(microscope)
            yield event
    except _Left:
        pass
    except loop.Diverged:
        writer.update(diverged=True)
        raise
    finally:
        hook.remove()
    recorder.keep_latest(microscope, training.network)
    if request in (Request.PAUSE, Request.LEAVE):
        recorder.save_between()
    status = request.ended if request and not training.ended(config) else Status.DONE
    writer.update(status=status, seconds=round(recorder.seconds(), 3), starts=0)
    yield _finished(writer)


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


def _trusted(used: machine.Machine, network: build.Network, config: RunConfig, images: torch.Tensor) -> bool:
    """Whether the network's convolutions are right in the precision that is to be used, seen on a few images."""
    few = build.prepare(images[:_LOOKED_AT].to(used.device), config.channels, config.image_size)
    return machine.agrees(network, few, used)


def _as_before(run: Run) -> RunConfig:
    """The settings with the precision and the threads that the run began with, whatever they would be here."""
    used = run.machine
    return run.config.changed(precision=used.precision, threads=used.threads) if used else run.config


def _differences(run: Run, used: machine.Machine) -> list[str]:
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


class _Recorder:
    """Writes down what happens to a training, and brings it back."""

    def __init__(self, writer: RunWriter, images: DataSet, training: Training):
        self.writer = writer
        self.images = images
        self.training = training
        self.progress = Progress()
        self.resumed = False
        self._next_look = 0.0
        self._embedded: Embedded | None = None  # of the last evaluation
        self._tested = 0  # images in the evaluation going on
        self._saved = (1, 0)  # epoch and step of the newest checkpoint; the very beginning needs none
        self._begin_clock()

    def _begin_clock(self) -> None:
        self._begun = time.perf_counter() - self.progress.seconds
        self._next_save = time.perf_counter() + CHECKPOINT_SECONDS

    def seconds(self) -> float:
        """Seconds of training and evaluation until now."""
        return time.perf_counter() - self._begun

    def restore(self, run: Run, checkpoint: dict) -> None:
        """Goes back to a checkpoint and makes the files that follow from it.

        Raises StoreError if the checkpoint is that of another run.
        """
        if checkpoint.get("run") != self.writer.record.run:
            raise StoreError(f"the checkpoint in {run.folder} is that of another run ({checkpoint.get('run')!r:.80})")
        try:
            self.training.load_state_dict(checkpoint["training"])
            self.progress = Progress.from_state(checkpoint["progress"])
            self.writer.restore_steps(self.progress.steps)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise StoreError(
                f"the checkpoint in {run.folder} does not fit the run's settings; train it anew"
            ) from error
        self.resumed = True
        self._saved = (self.training.epoch, self.training.step)
        self._begin_clock()
        save_history(self.writer, self.progress)
        result = self.progress.result
        if result and result != run.result:  # run.json is written last, so that the other tables are behind as well
            with suppress(StoreError):  # damaged embeddings cost only these tables, until the next evaluation
                save_predictions(self.writer, self.images, store.embedded(run, result.epochs))
            self.writer.update(result=result)

    def step_done(self, event: StepDone) -> None:
        """Notes a step, and saves a checkpoint if the last one is old."""
        self.writer.add_step(event, self.seconds())
        if time.perf_counter() >= self._next_save:
            self.save_between()

    def testing(self, count: int) -> None:
        """Says that so many images more are being tested."""
        self._tested += count
        self.writer.say_testing(self._tested, len(self.images.train.ids) + len(self.images.test.ids))

    def keep_latest(self, microscope: Microscope, after: Network | None = None) -> None:
        """Keeps some triplets or images of the latest step: now and then, and at the end with what it changed."""
        if after is None and time.perf_counter() < self._next_look:
            return
        begun = time.perf_counter()
        if specimens := microscope.specimens(after):
            latest_step.save(self.writer.folder, specimens)
        now = time.perf_counter()
        self._next_look = now + max(LATEST_STEP_SECONDS, (now - begun) / CHECKPOINT_SHARE)

    def keep(self, epoch: int, evaluation: Evaluation) -> None:
        """Saves what the network makes of all images."""
        self._tested = 0
        arrays = (evaluation.train_embeddings, evaluation.test_embeddings, *evaluation.test_prediction)
        self._embedded = Embedded(*(array.numpy() for array in arrays))
        self.writer.save_embedded(epoch, self._embedded)

    def epoch_done(self, event: EpochDone) -> None:
        """Saves an evaluated epoch, or the part of it that was trained before a stop."""
        progress, seconds = self.progress, self.seconds()
        whole = self.training.step == 0  # it stands at the beginning of the next one
        row = asdict(event)
        row |= row.pop("diagnostics") | {"seconds": round(seconds, 3)}
        judged = {"epoch": event.epoch, "steps": event.steps, "network": self.training.judged.state_dict()}
        if whole:
            progress.history.append(row)
            progress.partial = None
        else:
            progress.partial = row
        if whole and event.test_accuracy > progress.best_accuracy:  # chosen by the test images: never a headline
            progress.best_accuracy = event.test_accuracy
            self.writer.save_checkpoint("best.pt", judged)
        elif not progress.history:  # better than none; the first whole epoch replaces it
            self.writer.save_checkpoint("best.pt", judged)
        progress.seconds = seconds
        mistakes_made = int((self._embedded.predicted != self.images.test.labels).sum())
        progress.result = headline(progress, mistakes_made)
        self.writer.save_checkpoint("last.pt", judged | self._state())
        self._remember_save()
        self.writer.remove("between.pt")
        save_history(self.writer, progress)
        save_predictions(self.writer, self.images, self._embedded)
        self.writer.update(result=progress.result, starts=0, unchecked=False)

    def save_between(self) -> None:
        """Saves a checkpoint within an epoch, unless nothing has been learnt since the last one."""
        if (self.training.epoch, self.training.step) == self._saved:
            return
        begun = time.perf_counter()
        self.progress.seconds = self.seconds()
        self.writer.save_checkpoint("between.pt", self._state())
        if self.writer.record.starts:
            self.writer.update(starts=0)
        self._remember_save(time.perf_counter() - begun)

    def _state(self) -> dict:
        self.progress.steps = self.writer.steps_state()
        plain = {"format": store.FORMAT, "run": self.writer.record.run, "progress": self.progress.state()}
        return plain | {"training": self.training.state_dict()}

    def _remember_save(self, took: float = 0.0) -> None:
        self._saved = (self.training.epoch, self.training.step)
        self._next_save = time.perf_counter() + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)


def headline(progress: Progress, mistakes_made: int) -> Result:
    """The result of a run: that of the last row of history.csv."""
    last = progress.rows[-1]
    best = progress.best_accuracy if progress.history else last["test_accuracy"]
    return Result.of(last, epochs=last["epoch"], best_test_accuracy=best, mistakes=mistakes_made)


def save_history(writer: RunWriter, progress: Progress) -> None:
    """Writes history.csv."""
    if rows := progress.rows:
        writer.save_table("history.csv", pd.DataFrame(rows))


def save_predictions(writer: RunWriter, images: DataSet, embedded: Embedded) -> None:
    """Writes predictions.csv and mistakes.csv."""
    numbers, test = np.array(images.class_numbers), images.test
    columns = {"id": test.ids, "true": numbers[test.labels], "predicted": numbers[embedded.predicted]}
    writer.save_table("predictions.csv", pd.DataFrame(columns | {"score": embedded.scores}))
    writer.save_table("mistakes.csv", mistakes.find(images, embedded))


def labelled(images: DataSet, split: Split) -> LabelledImages:
    """One part of a data set as tensors."""
    return LabelledImages(torch.tensor(split.images), torch.tensor(split.labels), images.class_numbers)


def evaluate_run(
    run: Run,
    folder: Path | None,
    classifier: str | None,
    neighbours: int | None,
    progress: Reading = lambda done, total: None,
    images: DataSet | None = None,
) -> dict:
    """Accuracy, confusion matrix and retrieval metrics of a run's last weights on images of any folder.

    `folder` holds class folders in the layout of `test/`; None takes the run's own test images. Of images without
    class folders, or of one file, only the predictions are given. `classifier` is one of choices.CLASSIFIERS, by
    default the run's own rule; `neighbours` is the k of kNN, by default the run's. The gallery is always the run's own
    training images: those of `images`, by default from where they were. Accuracies are fractions, rows of the confusion
    matrix true classes, `per_class` is in their order (None for a class without images). What should be known about
    images of a folder is in `notes`, if there is anything. `progress` as in data.load.
    """
    config = run.config
    classifier, neighbours = classifier or config.predicts, neighbours or config.neighbours
    if classifier == "softmax" and not OBJECTIVES[config.objective].classifies:
        raise ConfigError(f"run {run.id} learnt distances and has no class head; use --classifier knn or centre")
    images = images or store.data_of(run, progress)
    asked = loader.load_images(folder, images.classes) if folder else images.test
    queries = torch.tensor(asked.images)
    checkpoint = store.load_checkpoint(run)
    used = machine.choose(config.changed(precision=run.machine.precision))  # queries like the stored gallery
    network = build.build(config, len(images.classes))
    try:
        network.load_state_dict(checkpoint["network"])
        gallery = torch.tensor(store.embedded(run, checkpoint["epoch"]).train)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{run.folder / 'last.pt'} does not fit the run's settings; train the run again") from error
    network.to(used.device, memory_format=torch.channels_last)
    if not _trusted(used, network, config, queries):
        used = machine.choose(config.changed(precision="float32"))
    outputs = evaluate.embed_all(network, queries, config, used)
    gallery_labels = torch.tensor(images.train.labels)
    if classifier in ("knn", "knn_weighted") and neighbours > len(gallery):
        raise ConfigError(f"--neighbours {neighbours}: there are only {len(gallery)} training images")
    prediction = classify.predict(classifier, outputs, gallery, gallery_labels, neighbours)
    notes = [found] if folder and (found := other_brightness(images.train.images, asked.images)) else []
    told = {"notes": notes} if notes else {}
    if not len(asked.labels):
        return _predictions(images, asked, prediction) | told
    labels = torch.tensor(asked.labels)
    confusion = metrics.confusion_matrix(prediction.labels, labels, len(images.classes))
    return (
        {
            "accuracy": metrics.accuracy(prediction.labels, labels),
            "correct": int((prediction.labels == labels).sum()),
            "total": len(labels),
            "confusion": confusion.tolist(),
            "per_class": metrics.per_class(confusion),
        }
        | asdict(metrics.retrieval(outputs.embeddings, labels, gallery, gallery_labels))
        | told
    )


def _predictions(images: DataSet, asked: Split, prediction: classify.Prediction) -> dict:
    """What images of unknown classes were called, by the integers of the CSV, and with which score, a fraction."""
    called = zip(asked.ids, prediction.labels.tolist(), prediction.scores.tolist(), strict=True)
    found = [{"id": each, "predicted": images.class_numbers[label], "score": score} for each, label, score in called]
    return {"total": len(found), "predictions": found}
