"""The queue of runs and its one background thread. It drains any iterator and knows nothing of learning.

Two trainings at once on two cores are slower than one after the other, and torch's seed is process-wide: so one job
runs at a time and the others wait.
"""

import atexit
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Start = Callable[[Callable[[], bool]], Iterator]  # gets `stop_requested`, returns the events to drain


@dataclass(eq=False)
class _Job:
    name: str
    start: Start
    dropped: Callable[[], None]
    stop: threading.Event = field(default_factory=threading.Event)


class RunQueue:
    """Jobs, each drained in the background in the order of submission."""

    def __init__(self):
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._running: _Job | None = None
        self._closed = False
        self._errors: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def submit(self, name: str, start: Start, dropped: Callable[[], None] = lambda: None) -> None:
        """Adds a job under a unique name; it starts as soon as those before it have ended.

        `dropped` is called instead if it is stopped before its turn. Raises RuntimeError after `shutdown`.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("the lab is shutting down")
            self._waiting.append(_Job(name, start, dropped))
            if self._thread is None:  # a daemon: a server that is told to end must not wait for the training
                self._thread = threading.Thread(target=self._work, name="training", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def stop(self, name: str) -> None:
        """Asks the running job of this name to end at its next step, or drops the waiting one."""
        with self._changed:
            if self._running and self._running.name == name:
                self._running.stop.set()
            dropped = [job for job in self._waiting if job.name == name]
            self._waiting = [job for job in self._waiting if job.name != name]
            self._changed.notify_all()
        for job in dropped:
            job.dropped()

    def stopping(self, name: str) -> bool:
        """Whether the running job has this name and was asked to end."""
        with self._changed:
            return bool(self._running and self._running.name == name and self._running.stop.is_set())

    def names(self) -> list[str]:
        """The running job, then the waiting ones in their order."""
        with self._changed:
            return [job.name for job in [self._running, *self._waiting] if job]

    def error(self, name: str) -> str | None:
        """What a failed job said, or None."""
        with self._changed:
            return self._errors.get(name)

    def join(self, timeout: float) -> bool:
        """Waits until nothing runs or waits; says whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running and not self._waiting, timeout)

    def shutdown(self, timeout: float = 60.0) -> bool:
        """Stops the running job at its next step, drops the waiting ones and takes no more.

        The time is for what the job does after its last step: a wide network takes half a minute to be evaluated.
        """
        with self._changed:
            self._closed = True
        for name in reversed(self.names()):
            self.stop(name)
        return self.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                job = self._running = self._waiting.pop(0)
            error = None
            try:
                for _ in job.start(job.stop.is_set):
                    pass
            except BaseException as raised:  # the thread must outlive every job; whoever made it was told as well
                error = str(raised) or type(raised).__name__
            with self._changed:
                if error:
                    self._errors[job.name] = error
                self._running = None
                self._changed.notify_all()


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
