"""What has gone wrong with an epoch, in words and with the remedy; shown wherever the run is shown."""

import math
from dataclasses import dataclass
from enum import StrEnum

from core.learning.events import EpochDone
from core.settings.choices import SELECTIONS
from core.settings.config import RunConfig, label

_ONE_POINT = 0.5  # spread of the embeddings, of at most 10, below which they are one point to the eye
_STARVED = 0.002  # fraction of active triplets below which hardly any step changes the network
_WORSE = 1.05  # times the loss of guessing
_MUCH_WORSE = 2.0  # the same while a fresh network, which guesses badly, has hardly begun to learn
_AS_GUESSING = 0.03  # relative: so close to the loss of guessing nothing has been learnt
_FIRST_STEPS = 20
_BY_HEART = 0.995  # train accuracy
_GAP = 0.05  # between train accuracy and that of images that were not learnt
_EQUAL = "All training images are the same picture: there is nothing to learn from. Look at the data set."


class Kind(StrEnum):
    """What can go wrong. A loss that is no number ends the run at once, see core/learning/loop.py."""

    COLLAPSED = "collapsed"  # the embeddings are one point, and the loss cannot tell them apart
    STARVED = "starved"  # almost no triplet is active
    DIVERGED = "diverged"  # cross-entropy is worse than that of guessing, ln C
    GUESSING = "guessing"  # cross-entropy stays at that of guessing
    OVERFITTED = "overfitted"  # the training images are known by heart and others much worse


@dataclass(frozen=True)
class Alarm:
    """What has gone wrong, and a sentence on it with the remedy."""

    kind: Kind
    text: str


def alarm(config: RunConfig, done: EpochDone, class_count: int, equal_images: bool = False) -> Alarm | None:
    """The alarm of an epoch, or None. `equal_images`: all training images are the same picture."""
    remedy = _EQUAL if equal_images else None
    return (
        _of_distances(config, done, remedy)
        or _of_classes(config, done, class_count, remedy)
        or _of_images_not_learnt(done)
    )


def _of_distances(config: RunConfig, done: EpochDone, remedy: str | None) -> Alarm | None:
    """Collapsed: the triplet loss sits where it is if all distances are equal (at the margin; at ln 2 for the soft
    margin), or the mining finds no triplet among them. Starved: the triplets teach nothing.
    """
    seen, kind = done.diagnostics, config.learns
    if not kind.triplets:
        if kind.compares and seen.get("spread", _ONE_POINT) < _ONE_POINT:
            return _collapsed(seen["spread"], "the loss cannot tell them apart", remedy or _sentence([_lower_rate()]))
        return None
    resting = config.margin if config.triplet_loss == "margin" else math.log(2)
    starved = seen["active_fraction"] < _STARVED
    rests = abs(seen["triplet_loss"] - resting) < 0.1 * max(resting, 0.1)
    if seen["spread"] < _ONE_POINT and (rests or (starved and seen["anchors_left_out"] > 0)):
        found = f"the loss rests at {resting:.2f}" if rests else "no triplet is semi-hard any more"
        return _collapsed(seen["spread"], found, remedy or _sentence([_lower_rate(), *_softer_beginning(config)]))
    if starved and done.train_accuracy < 1:
        text = f"only {seen['active_fraction']:.2%} of the triplets are wrong enough to teach anything"
        return Alarm(Kind.STARVED, f"starved: {text}. {remedy or _sentence(_harder_triplets(config))}")
    return None


def _collapsed(spread: float, found: str, remedy: str) -> Alarm:
    return Alarm(
        Kind.COLLAPSED,
        f"collapsed: all images lie almost at one point (spread {spread:.2f} of 10) and {found}. Which neighbour is "
        f"nearest can still be right in so small a space, so the accuracy may look high. {remedy}",
    )


def _of_classes(config: RunConfig, done: EpochDone, class_count: int, remedy: str | None) -> Alarm | None:
    """Diverged or guessing, by the cross-entropy, where there is one."""
    kind = config.learns
    if not kind.classifies:
        return None
    of_triplets = config.triplet_weight * done.diagnostics["triplet_loss"] if kind.triplets else 0.0
    loss, guessing = done.train_loss - of_triplets, math.log(class_count)
    begun = done.epoch * done.steps > _FIRST_STEPS
    if loss > (_WORSE if begun else _MUCH_WORSE) * guessing:
        return Alarm(
            Kind.DIVERGED,
            f"diverged: the loss is {loss:.3g}, where guessing would give {guessing:.2f}: the steps are so long that "
            f"they undo what was learnt. {remedy or _sentence([f'{_lower_rate()} (it is {config.learning_rate:g})'])}",
        )
    if begun and abs(loss - guessing) < _AS_GUESSING * guessing and done.train_accuracy < 2 / class_count:
        try_another = f"try a ten times larger or smaller {_label('learning_rate')} (it is {config.learning_rate:g})"
        return Alarm(
            Kind.GUESSING,
            f"guessing: the loss stays at {loss:.2f}, that of guessing among {class_count} classes: nothing has been "
            f"learnt. {remedy or _sentence([try_another])}",
        )
    return None


def _of_images_not_learnt(done: EpochDone) -> Alarm | None:
    known = done.test_accuracy if done.validation_accuracy is None else done.validation_accuracy
    if done.train_accuracy < _BY_HEART or done.train_accuracy - known <= _GAP:
        return None
    images = "test" if done.validation_accuracy is None else "validation"
    remedies = ["learn from more images", _warp(), f"raise {_label('weight_decay')}", f"lower {_label('epochs')}"]
    return Alarm(
        Kind.OVERFITTED,
        f"overfitted: {done.train_accuracy:.1%} of the images learnt from are classified correctly, but only "
        f"{known:.1%} of the {images} images. {_sentence(remedies)}",
    )


def _label(name: str) -> str:
    """What the form calls a setting."""
    return f"“{label(name)}”"


def _lower_rate() -> str:
    return f"lower {_label('learning_rate')}"


def _warp() -> str:
    return f"warp the images ({_label('augmentation')})"


def _softer_beginning(config: RunConfig) -> list[str]:
    return [] if config.counted in ("drawn", "all") else [f"raise {_label('all_first')}"]


def _harder_triplets(config: RunConfig) -> list[str]:
    """What would change something with these settings."""
    remedies, mined = [], SELECTIONS[config.counted]
    if config.counted in ("drawn", "all"):
        remedies.append(f"mine batch-hard or semi-hard ones ({_label('selection')}), in balanced batches")
    # by the margin loss every semi-hard triplet is active
    if config.triplet_loss == "margin" and config.triplet_mean == "all" and not mined.uses_margin:
        remedies.append(f"take the mean over active ones ({_label('triplet_mean')})")
    if config.triplet_loss == "margin" or mined.uses_margin:
        remedies.append(f"raise {_label('margin')}")
    if config.augmentation == "none":
        remedies.append(_warp())
    return remedies or ["end the training: these images teach it nothing more"]


def _sentence(remedies: list[str]) -> str:
    """Alternatives as one sentence."""
    *others, last = remedies
    text = ", ".join(others) + " or " * bool(others) + last
    return f"{text[0].upper()}{text[1:]}."
