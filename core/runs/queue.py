"""The queue of runs and its one background thread. It drains any iterator and knows nothing of learning.

Two trainings at once on two cores are slower than one after the other, and torch's seed is process-wide: so one job
runs at a time and the others wait.
"""

import atexit
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.learning.states import Control, Request

ERRORS_KEPT = 100
SHUTDOWN_SECONDS = 20.0  # for the step in progress, which takes seconds in a wide network, and a checkpoint


@dataclass(eq=False)
class _Job:
    name: str
    start: Callable[[Control], Iterator]
    told: Callable[[Request], None]
    dropped: Callable[[Request], None]
    asked: Control
    request: Request | None = None


class Closed(RuntimeError):
    """The queue takes no more: the process is about to end."""


class RunQueue:
    """Jobs, each drained in the background in the order of submission."""

    def __init__(self):
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._running: _Job | None = None
        self._closed = False
        self._errors: dict[str, str] = {}  # the oldest first
        self._thread: threading.Thread | None = None

    def submit(
        self,
        name: str,
        start: Callable[[Control], Iterator],
        told: Callable[[Request], None] = lambda request: None,
        dropped: Callable[[Request], None] = lambda request: None,
        asked: Control = lambda: None,
    ) -> None:
        """Adds a job under a unique name; it starts as soon as those before it have ended.

        `start` gets a function that says what is asked of the job, and returns the events to drain. `told` is called
        at once with a request to the running job, `dropped` with one that came before its turn: it then never starts.
        `asked` says what others ask of the job while it waits. Raises Closed after `shutdown`.
        """
        with self._changed:
            if self._closed:
                raise Closed("the lab is shutting down")
            self._errors.pop(name, None)
            self._waiting.append(_Job(name, start, told, dropped, asked))
            if self._thread is None:  # a daemon: a server that is told to end must not wait for the training
                self._thread = threading.Thread(target=self._work, name="training", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def pause(self, name: str) -> bool:
        """Asks the running job of this name to pause at its next step, or drops the waiting one; says if it is here."""
        return self._ask(name, Request.PAUSE)

    def stop(self, name: str) -> bool:
        """Asks the running job of this name to end at its next step, or drops the waiting one; says if it is here."""
        return self._ask(name, Request.STOP)

    def _ask(self, name: str, request: Request) -> bool:
        with self._changed:
            running = self._running if self._running and self._running.name == name else None
            if running:
                running.request = request
            dropped = [job for job in self._waiting if job.name == name]
            self._waiting = [job for job in self._waiting if job.name != name]
            self._changed.notify_all()
        if running:
            running.told(request)
        for job in dropped:
            self._call(job, job.dropped, request)
        return bool(running or dropped)

    def names(self) -> list[str]:
        """The running job, then the waiting ones in their order."""
        with self._changed:
            return [job.name for job in [self._running, *self._waiting] if job]

    def position(self, name: str) -> int | None:
        """How many jobs come before this one: 0 for the next or the running one, None if it is not here."""
        names = self.names()
        return names.index(name) if name in names else None

    def error(self, name: str) -> str | None:
        """What a failed job said, or None. Only the last hundred are remembered."""
        with self._changed:
            return self._errors.get(name)

    def join(self, timeout: float) -> bool:
        """Waits until nothing runs or waits; says whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running and not self._waiting, timeout)

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> bool:
        """Tells all jobs that the process ends, and takes no more; says whether the running one has ended in time."""
        with self._changed:
            self._closed = True
        for name in reversed(self.names()):
            self._ask(name, Request.LEAVE)
        return self.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._running = self._waiting.pop(0)
            self._drain(self._running)
            with self._changed:
                self._running = None
                self._changed.notify_all()

    def _drain(self, job: _Job) -> None:
        """Runs a job to its end. A function of its own, so that nothing of the job is held while the thread waits."""
        self._call(job, self._drain_events, job)

    def _drain_events(self, job: _Job) -> None:
        for _ in job.start(lambda: job.request):
            for other in list(self._waiting):
                if request := other.asked():
                    self._ask(other.name, request)

    def _call(self, job: _Job, function: Callable, argument) -> None:
        """Calls something of a job and keeps what it raises: the thread must outlive every job."""
        try:
            function(argument)
        except BaseException as raised:
            with self._changed:
                self._errors[job.name] = str(raised) or type(raised).__name__
                for oldest in list(self._errors)[:-ERRORS_KEPT]:
                    del self._errors[oldest]


def queue() -> RunQueue:
    """The one queue of this process.

    It hangs on a module of its own, because Streamlit may import this module anew and any browser may clear
    Streamlit's caches.
    """
    home = sys.modules.setdefault("_tripletlab_queue", types.ModuleType("_tripletlab_queue"))
    with _lock:
        if not hasattr(home, "queue"):
            home.queue = RunQueue()
            atexit.register(home.queue.shutdown)
        return home.queue


_lock = threading.Lock()
