"""What a form asks about the settings that it holds: answered in the background, once for each configuration.

One thread looks at the question asked last. It never measures while a run trains: both would be slow.
"""

import atexit
import sys
import threading
import types
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from core.dataset.loader import DataSet
from core.runs.queue import queue
from core.settings.config import RunConfig
from core.settings.setting import ConfigError

_SHUTDOWN_SECONDS = 20.0  # for the step in progress
_KEPT = 300  # configurations
_NO_MATTER = (
    "preset", "seed", "epochs", "learning_rate", "schedule", "warm_up", "decay_factor", "decay_every", "momentum",
    "weight_decay", "margin", "temperature", "label_smoothing", "triplet_weight", "patience",
)  # fmt: skip


@dataclass
class Answer:
    """What is known about a configuration by now."""

    outlook: object | None = None  # core.learning.outlook.Outlook
    seconds: float | None = None  # about, for an epoch on this machine
    trouble: str = ""  # why there is no number, where there will be none


class Measuring:
    """Questions and answers of a process."""

    def __init__(self):
        self._changed = threading.Condition()
        self._answers: OrderedDict[tuple, Answer] = OrderedDict()
        self._asked: tuple[tuple, RunConfig, DataSet, bool] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, config: RunConfig, images: DataSet, measure: bool = True) -> Answer:
        """What is known now; what is missing is found out in the background. `measure`: with seconds, if none train."""
        key = (images.fingerprint, *(value for name, value in vars(config).items() if name not in _NO_MATTER))
        with self._changed:
            answer = self._answers.setdefault(key, Answer())
            self._answers.move_to_end(key)
            while len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
            missing = answer.outlook is None or (measure and answer.seconds is None)
            if missing and not answer.trouble:
                self._asked = (key, config, images, measure)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="measuring", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
            return Answer(answer.outlook, answer.seconds, answer.trouble)

    def shutdown(self) -> None:
        """Ends the thread after its step: torch aborts a process that ends in the middle of one."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join(_SHUTDOWN_SECONDS)

    def _work(self) -> None:
        import torch._dynamo  # noqa: F401 - every optimiser loads it; not within a measurement, which may be broken off

        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._closed)
                if self._closed:
                    return
                (key, config, images, measure), self._asked = self._asked, None
                answer = self._answers.setdefault(key, Answer())
            try:
                self._find_out(answer, config, images, measure, lambda key=key: self._overtaken(key))
            except ConfigError as error:
                answer.trouble = error.reason
            except Exception as error:  # the thread must outlive every question
                answer.trouble = str(error) or type(error).__name__

    def _overtaken(self, key: tuple) -> bool:
        """Whether a measurement has to end: a run begins, or another configuration is asked about."""
        return self._closed or bool(queue().names()) or (self._asked is not None and self._asked[0] != key)

    @staticmethod
    def _find_out(answer: Answer, config, images, measure: bool, leave: Callable[[], bool]) -> None:
        from core.learning import outlook  # here: the background thread waits for torch, the page does not

        answer.outlook = answer.outlook or outlook.outlook(config, images)
        while measure and answer.seconds is None and not leave():
            if machine.acquire(timeout=0.2):
                try:
                    answer.seconds = outlook.seconds_an_epoch(config, images, leave)
                    return
                finally:
                    machine.release()


def measuring() -> Measuring:
    """The one of this process; on a module of its own, as the queue of runs is."""
    home = sys.modules.setdefault("_tripletlab_measuring", types.ModuleType("_tripletlab_measuring"))
    with _lock:
        if not hasattr(home, "measuring"):
            home.measuring = Measuring()
            atexit.register(home.measuring.shutdown)
        return home.measuring


_lock = threading.Lock()
machine = threading.Lock()  # whoever keeps the cores busy for some seconds holds it: nothing is measured meanwhile
