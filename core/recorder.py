"""What happens to a training, written down into its run's folder, and brought back.

`last.pt` is the one commit point of an epoch. What comes before it (embeddings, `best.pt`) is written again in the same
way if the process dies in between; what comes after it (tables, run.json) is made from it when the run is resumed. So a
kill at any instant leaves a folder from which the resumed run is bit for bit the one that was never interrupted.
`between.pt` is the same within an epoch: it saves time, not results.
"""

import time
from contextlib import suppress

from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.learning.evaluate import Evaluation
from core.learning.events import EpochDone, StepDone
from core.learning.microscope import Microscope
from core.learning.training import Training
from core.networks.build import Network
from core.runs import latest_step, store
from core.runs.files import StoreError
from core.runs.progress import Progress
from core.runs.store import Run
from core.runs.tables import mistakes_made, save_history, save_predictions
from core.runs.writing import RunWriter

CHECKPOINT_SECONDS = 60.0  # between two checkpoints within an epoch,
CHECKPOINT_SHARE = 0.01  # or more, so that saving them takes no larger share of the time
LATEST_STEP_SECONDS = 2.0  # between two looks at the latest step, for the pages


class Recorder:
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
            self.progress.seconds = max(self.progress.seconds, run.seconds or 0.0)  # saving took time as well
            self.writer.steps.restore(self.progress.steps)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise StoreError(
                f"the checkpoint in {run.folder} does not fit the run's settings; train it anew"
            ) from error
        self.resumed = True
        self._saved = self._reached
        self._begin_clock()
        save_history(self.writer, self.progress)
        result = self.progress.result
        if result and result != run.result:  # run.json is written last, so that the other tables are behind as well
            with suppress(StoreError):  # damaged embeddings cost only these tables, until the next evaluation
                save_predictions(self.writer, self.images, store.embedded(run, result.epochs))
            self.writer.update(result=result)

    @property
    def _reached(self) -> tuple[int, int]:
        return self.training.epoch, self.training.step

    def note(self, event: StepDone | EpochDone) -> None:
        """Writes down what has just happened."""
        if isinstance(event, EpochDone):
            self._epoch_done(event)
        else:
            self._step_done(event)

    def _step_done(self, event: StepDone) -> None:
        """Notes a step, and saves a checkpoint if the last one is old."""
        self.writer.steps.add(event, self.seconds())
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

    def _epoch_done(self, event: EpochDone) -> None:
        """Saves an evaluated epoch, or the part of it that was trained before a stop."""
        whole = self.training.step == 0  # it stands at the beginning of the next one
        judged = {"epoch": event.epoch, "steps": event.steps, "network": self.training.judged.state_dict()}
        if self.progress.add(event, self.seconds(), whole):
            self.writer.save_checkpoint("best.pt", judged)
        result = self.progress.conclude(mistakes_made(self.images, self._embedded))
        self.writer.save_checkpoint("last.pt", judged | self._state())
        self._remember_save()
        self.writer.remove("between.pt")
        save_history(self.writer, self.progress)
        save_predictions(self.writer, self.images, self._embedded)
        self.writer.update(result=result, starts=0, unchecked=False)

    def save_between(self) -> None:
        """Saves a checkpoint within an epoch, unless nothing has been learnt since the last one."""
        if self._reached == self._saved:
            return
        begun = time.perf_counter()
        self.progress.seconds = self.seconds()
        self.writer.save_checkpoint("between.pt", self._state())
        if self.writer.record.starts:
            self.writer.update(starts=0)
        self._remember_save(time.perf_counter() - begun)

    def _state(self) -> dict:
        self.progress.steps = self.writer.steps.state()
        plain = {"format": store.FORMAT, "run": self.writer.record.run, "progress": self.progress.state()}
        return plain | {"training": self.training.state_dict()}

    def _remember_save(self, took: float = 0.0) -> None:
        self._saved = self._reached
        self._next_save = time.perf_counter() + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)
