"""The queue of runs and its background threads. It drains any iterator and knows nothing of learning.

Two trainings at once on two cores are slower than one after the other, and torch's seed is process-wide: so one job
runs at a time and the others wait. Jobs that only watch another process may run beside each other, see `slots`.

The teacher's jobs come first, in their order; students take turns: the one whose last turn is longest ago is the next.
"""

import atexit
import os
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
    owner: str
    alone: bool
    request: Request | None = None


@dataclass(frozen=True)
class AtWork:
    """Whose jobs run and wait, in their order; a name a job, empty for the teacher."""

    running: tuple[str, ...]
    waiting: tuple[str, ...]


class Closed(RuntimeError):
    """The queue takes no more: the process is about to end."""


class RunQueue:
    """Jobs, each drained in the background when its turn comes; `slots` of them at a time."""

    def __init__(self, slots: int = 1):
        self.slots = slots
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []  # in the order of submission
        self._running: list[_Job] = []
        self._turns: dict[str, int] = {}  # by owner: the number of the last turn
        self._closed = False
        self._errors: dict[str, str] = {}  # the oldest first
        self._threads: list[threading.Thread] = []

    def submit(
        self,
        name: str,
        start: Callable[[Control], Iterator],
        told: Callable[[Request], None] = lambda request: None,
        dropped: Callable[[Request], None] = lambda request: None,
        asked: Control = lambda: None,
        owner: str = "",
        alone: bool = True,
    ) -> None:
        """Adds a job of `owner`, a student or the teacher (""), under a unique name; it starts when its turn comes.

        `start` gets a function that says what is asked of the job, and returns the events to drain. `told` is called
        at once with a request to the running job, `dropped` with one that came before its turn: it then never starts.
        `asked` says what others ask of the job while it waits. `alone`: no other such job runs at the same time.
        Raises Closed after `shutdown`.
        """
        with self._changed:
            if self._closed:
                raise Closed("the lab is shutting down")
            self._errors.pop(name, None)
            self._waiting.append(_Job(name, start, told, dropped, asked, owner, alone))
            if len(self._threads) < self.slots:  # daemons: a server that is told to end must not wait for the training
                self._threads.append(threading.Thread(target=self._work, name="training", daemon=True))
                self._threads[-1].start()
            self._changed.notify_all()

    def pause(self, name: str) -> bool:
        """Asks the running job of this name to pause at its next step, or drops the waiting one; says if it is here."""
        return self._ask(name, Request.PAUSE)

    def stop(self, name: str) -> bool:
        """Asks the running job of this name to end at its next step, or drops the waiting one; says if it is here."""
        return self._ask(name, Request.STOP)

    def _ask(self, name: str, request: Request) -> bool:
        with self._changed:
            running = next((job for job in self._running if job.name == name), None)
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
        """The running jobs, then the waiting ones in the order in which they will start."""
        with self._changed:
            return [job.name for job in [*self._running, *self._order()]]

    def position(self, name: str) -> int | None:
        """How many jobs come before this one: 0 for the next or a running one, None if it is not here."""
        names = self.names()
        return max(0, names.index(name) + 1 - self.slots) if name in names else None

    def count(self, owner: str) -> int:
        """How many jobs of an owner run or wait."""
        with self._changed:
            return sum(job.owner == owner for job in [*self._running, *self._waiting])

    def at_work(self) -> AtWork:
        """Whose jobs run and wait."""
        with self._changed:
            waiting = tuple(job.owner for job in self._order())
            return AtWork(tuple(job.owner for job in self._running), waiting)

    def _order(self) -> list[_Job]:
        """The waiting jobs in the order in which they will start, if no other comes."""
        left, turns, order = list(self._waiting), dict(self._turns), []
        while left:
            job = min(left, key=lambda job: (bool(job.owner), turns.get(job.owner, 0) if job.owner else 0))
            left.remove(job)
            order.append(job)
            turns[job.owner] = max(turns.values(), default=0) + 1
        return order

    def _next(self) -> _Job | None:
        """The waiting job that may start now."""
        alone = any(job.alone for job in self._running)
        return next((job for job in self._order() if not (job.alone and alone)), None)

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
                self._changed.wait_for(self._next)
                job = self._next()
                self._waiting.remove(job)
                self._running.append(job)
                self._turns[job.owner] = max(self._turns.values(), default=0) + 1
            self._drain(job)
            with self._changed:
                self._running.remove(job)
                self._changed.notify_all()
            del job  # or it would be held while the thread waits

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
            home.queue = RunQueue(int(os.environ.get("TRIPLETLAB_WORKERS") or 1))
            atexit.register(home.queue.shutdown)
        return home.queue


_lock = threading.Lock()
