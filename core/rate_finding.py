"""Learning-rate range tests in the background: in the queue of runs, so that nothing is trained beside them."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from core.dataset.loader import DataSet
from core.learning import footprint
from core.learning.rate_curve import RangeTest
from core.learning.states import Control
from core.runs.files import StoreError
from core.runs.queue import queue
from core.settings.config import RunConfig

_KEPT = 50  # tests
_NO_MATTER = (
    "preset", "epochs", "learning_rate", "schedule", "warm_up", "decay_factor", "decay_every", "patience",
    "weight_average", "classifier", "neighbours",
)  # fmt: skip


@dataclass
class Told:
    """A test of this process."""

    owner: str = ""
    found: RangeTest | None = None  # what is known by now; None before the first step
    ended: bool = False
    error: str = ""  # why it ended early

    @property
    def waits(self) -> bool:
        """Whether its turn has not come, or its network is being built."""
        return not self.ended and self.found is None


_told: OrderedDict[str, Told] = OrderedDict()  # by `_name`, the oldest first


def _name(config: RunConfig, images: DataSet) -> str:
    """What a test of these settings is called in the queue; settings that change nothing in it do not count."""
    facts = (images.fingerprint, *((name, value) for name, value in config if name not in _NO_MATTER))
    return f"learning rates of {hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def told(config: RunConfig, images: DataSet) -> Told | None:
    """The last test of these settings on these images; None without one."""
    return _told.get(_name(config, images))


def begin(config: RunConfig, images: DataSet, owner: str = "") -> None:
    """Puts a test into this process's queue; see `told`. Raises ConfigError if memory does not suffice, StoreError if
    there is one already.
    """
    footprint.check(config, len(images.classes))
    name, about = _name(config, images), Told(owner)
    if queue().position(name) is not None:
        raise StoreError("the learning rates of these settings are being tested")
    _told[name] = about
    _told.move_to_end(name)
    for oldest in list(_told)[:-_KEPT]:
        del _told[oldest]

    def dropped(_) -> None:
        about.ended, about.error = True, "The test was ended before its turn."

    queue().submit(name, lambda control: _tested(config, images, about, control), dropped=dropped, owner=owner)


def end(config: RunConfig, images: DataSet) -> None:
    """Ends a test in the middle of a step, or takes it out of the queue."""
    queue().stop(_name(config, images))


def _tested(config: RunConfig, images: DataSet, about: Told, control: Control) -> Iterator:
    from core.learning import rate_range  # here: the background thread waits for torch, the page does not

    try:
        for found in rate_range.find(config, images, control):
            about.found = found
            yield found
        if control():
            about.error = "The test was ended before its last step."
    except Exception as error:
        about.error = str(error) or type(error).__name__
        raise
    finally:
        about.ended = True
