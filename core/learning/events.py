"""What a training run reports while it goes on: small frozen records of plain numbers, ready for JSON."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """One step of gradient descent."""

    epoch: int  # from 1
    step: int  # from 1, within the epoch
    steps: int  # steps in a whole epoch
    loss: float  # of this batch, before the step
    diagnostics: dict[str, float | None]  # what the objective says about the batch, e.g. the share of active triplets


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch, evaluated. The last one of a stopped run may have fewer steps than a whole epoch."""

    epoch: int  # from 1
    steps: int  # steps taken in this epoch
    learning_rate: float
    train_loss: float  # mean over the steps of the epoch: augmented images, weights that still change
    train_accuracy: float  # fraction of the images learnt from, unchanged, with the weights at the end of the epoch
    validation_loss: float | None  # on the training images kept for validation; None if there are none
    validation_accuracy: float | None  # fraction of these
    test_loss: float | None  # on the test images; None where it cannot be formed
    test_accuracy: float  # fraction of the test images
    diagnostics: dict[str, float | None]  # means over the steps that could tell
    alarm: str = ""  # what has gone wrong, with the remedy, see core/learning/alarms.py
    alarm_kind: str = ""  # one of alarms.Kind


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """A run goes on from its checkpoint. The first event of such a run."""

    epoch: int  # from 1: the one that is learnt next or goes on
    step: int  # steps done in it
    notes: list[str]  # why its numbers may differ from those of an uninterrupted run; empty if they are the same


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The end of a run, for now or for good."""

    run: str
    status: str  # done, stopped, paused or interrupted
    epochs: int  # the last epoch that was evaluated; a stopped run may not have gone through all of it
    train_accuracy: float | None  # of the last epoch; None if the run was stopped before its first step
    test_accuracy: float | None
    seconds: float  # of training and evaluation


Event = Resumed | StepDone | EpochDone | Finished
