"""What has gone wrong with an epoch, in words and with the remedy; shown wherever the run is shown."""

import math

from core.learning.events import EpochDone
from core.settings.choices import OBJECTIVES
from core.settings.config import RunConfig

_ONE_POINT = 0.5  # spread of the embeddings, of at most 10, below which they are one point to the eye
_STARVED = 0.002  # fraction of active triplets below which hardly any step changes the network
_WORSE = 1.05  # times the loss of guessing
_MUCH_WORSE = 2.0  # the same while a fresh network, which guesses badly, has hardly begun to learn
_FIRST_STEPS = 20
_BY_HEART = 0.995  # train accuracy
_GAP = 0.05  # between train accuracy and that of images that were not learnt


def alarm(config: RunConfig, done: EpochDone, class_count: int) -> str:
    """The alarm of an epoch, or an empty text.

    collapsed: the embeddings are one point, and the triplet loss sits where it is if all distances are equal (at the
    margin; at ln 2 for the soft margin) or the selection finds no triplet among them. starved: almost no triplet is
    active. diverged: cross-entropy is worse than that of guessing, ln C. overfitted: the training images are known by
    heart and others much worse. A loss that is no number ends the run at once, see core/learning/loop.py.
    """
    seen, kind = done.diagnostics, OBJECTIVES[config.objective]
    if kind.triplets:
        resting = config.margin if config.triplet_loss == "margin" else math.log(2)
        starved = seen["active_fraction"] < _STARVED
        rests = abs(seen["triplet_loss"] - resting) < 0.1 * max(resting, 0.1)
        if seen["spread"] < _ONE_POINT and (rests or (starved and seen["anchors_left_out"] > 0)):
            found = f"the loss rests at {resting:.2f}" if rests else "no triplet is semi-hard any more"
            return (
                f"collapsed: all images lie almost at one point (spread {seen['spread']:.2f} of 10) and {found}. "
                + _sentence(["lower the learning rate", *_softer_beginning(config)])
            )
        if starved and done.train_accuracy < 1:
            return (
                f"starved: only {seen['active_fraction']:.2%} of the triplets are wrong enough to teach anything. "
                + _sentence(_harder_triplets(config))
            )
    elif kind.compares and seen["spread"] < _ONE_POINT:
        return (
            f"collapsed: all images lie almost at one point (spread {seen['spread']:.2f} of 10), where the loss cannot "
            "tell them apart. Lower the learning rate."
        )
    guessing = math.log(class_count)
    of_triplets = config.triplet_weight * seen["triplet_loss"] if kind.triplets else 0.0
    naming_loss = done.train_loss - of_triplets  # the cross-entropy, where there is one
    limit = _WORSE if done.epoch * done.steps > _FIRST_STEPS else _MUCH_WORSE
    if kind.classifies and naming_loss > limit * guessing:
        return (
            f"diverged: the loss is {naming_loss:.3g}, where guessing would give {guessing:.2f}: the steps are so "
            f"long that they undo what was learnt. Lower the learning rate (it is {config.learning_rate:g})."
        )
    known = done.test_accuracy if done.validation_accuracy is None else done.validation_accuracy
    if done.train_accuracy >= _BY_HEART and done.train_accuracy - known > _GAP:
        images = "test" if done.validation_accuracy is None else "validation"
        return (
            f"overfitted: {done.train_accuracy:.1%} of the images learnt from are right, but only {known:.1%} of the "
            f"{images} images. Learn from more images, add augmentation or weight decay, or stop earlier."
        )
    return ""


def _softer_beginning(config: RunConfig) -> list[str]:
    return [] if config.counted in ("drawn", "all") else ["begin with all triplets for more epochs (all_first)"]


def _harder_triplets(config: RunConfig) -> list[str]:
    """What would change something with these settings."""
    remedies = []
    if config.counted in ("drawn", "all"):
        remedies.append("choose harder ones (selection batch_hard or semi_hard, in balanced batches)")
    # by the margin loss every semi-hard triplet is active
    if config.triplet_loss == "margin" and config.triplet_mean == "all" and config.counted != "semi_hard":
        remedies.append("take the mean over active ones (triplet_mean)")
    if config.triplet_loss == "margin" or config.counted == "semi_hard":
        remedies.append("raise the margin")
    if config.augmentation == "none":
        remedies.append("warp the images (augmentation)")
    return remedies or ["end the training: these images teach it nothing more"]


def _sentence(remedies: list[str]) -> str:
    """Alternatives as one sentence."""
    *others, last = remedies
    text = ", ".join(others) + " or " * bool(others) + last
    return f"{text[0].upper()}{text[1:]}."
