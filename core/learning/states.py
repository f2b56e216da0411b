"""What a run is doing, and what can be asked of it."""

from collections.abc import Callable
from enum import StrEnum


class Status(StrEnum):
    """What a run is doing now, or how it ended."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    STOPPING = "stopping"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its process ended before the run did
    DAMAGED = "damaged"  # its run.json cannot be read; never written

    @property
    def active(self) -> bool:
        """Whether some process trains the run or will do so."""
        return self in (Status.QUEUED, Status.RUNNING, Status.PAUSING, Status.STOPPING)


class Request(StrEnum):
    """What may be asked of a run at any moment; it looks before every step."""

    STOP = "stop"  # evaluates and keeps the model so far
    PAUSE = "pause"  # saves a checkpoint
    LEAVE = "leave"  # the same, because the process is about to end; only the process itself asks for it
    GIVE_WAY = "give way"  # between two epochs, to other runs that take turns with it; only the process itself asks

    @property
    def heard(self) -> Status:
        """The status of a run that has heard it and not ended yet."""
        between = {Request.PAUSE: Status.PAUSING, Request.GIVE_WAY: Status.RUNNING}
        return between.get(self, Status.STOPPING)

    @property
    def ended(self) -> Status:
        """The status of a run that has ended because of it."""
        ends = {"stop": Status.STOPPED, "pause": Status.PAUSED, "leave": Status.INTERRUPTED}
        return ends.get(self, Status.QUEUED)


OF_OTHERS = (Request.STOP, Request.PAUSE)  # what another process may ask, through a file in the run's folder

Control = Callable[[], Request | None]  # says what is asked of a run now; None goes on
