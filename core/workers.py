"""A run trained in a process of its own: `python -m core resume`, which drains the same generator as a thread does.

It is watched and steered through the run's folder only. It ends alone: a crash, or memory that runs out, takes no other
run and no page with it. And it saves and leaves when the process in whose queue it had its turn is gone.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from core import places
from core.dataset.loader import DataSet
from core.learning.states import OF_OTHERS, Control, Request, Status
from core.runs import locks, store
from core.runs.files import StoreError
from core.runs.writing import RunWriter

WORKERS = "TRIPLETLAB_WORKERS"  # how many at a time; not set: runs are trained in a thread of the lab's own process
CORES = "TRIPLETLAB_CORES"  # that a worker may use
_LOOK = 0.2  # seconds between two looks at a worker, or of a worker at what it belongs to
_LATER = 2.0


def wanted() -> int:
    """How many workers the lab has; 0 if it trains in a thread."""
    number = os.environ.get(WORKERS, "")
    return int(number) if number.isdecimal() else 0


def train(writer: RunWriter, images: DataSet, control: Control, over: Callable[[], bool]) -> Iterator[None]:
    """Trains a run that waits; yields from time to time until its process has ended. Pauses it when its turn is `over`.

    Raises RuntimeError if it failed and could not write that down.
    """
    with tempfile.TemporaryFile() as said:
        process = _begun(writer, images, said)
        try:
            while process.poll() is None:
                _ask(process, writer, control() or (Request.PAUSE if over() else None))
                yield None
                time.sleep(_LOOK)
        finally:
            if process.poll() is None:  # whoever drains this has given up
                process.terminate()
                process.wait()
            _ended(writer, process.returncode, _last_line(said))
        if process.returncode == 1 and store.read(writer.folder).status == Status.INTERRUPTED:
            raise RuntimeError(_last_line(said))


def _begun(writer: RunWriter, images: DataSet, said: IO[bytes]) -> subprocess.Popen:
    command = [sys.executable, "-m", "core", "resume", writer.id, "--json", "--queue", locks.queue_of(writer.folder)]
    command += ["--runs", str(writer.folder.parent.absolute()), "--data", str(images.folder)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    env = os.environ | {CORES: str(max(1, cores // max(1, wanted())))}
    # A session of its own: Ctrl-C in the terminal is for the lab, which then says what to do
    return subprocess.Popen(
        command,
        cwd=places.ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,
    )


def _ask(process: subprocess.Popen, writer: RunWriter, request: Request | None) -> None:
    """Passes a request on; again and again, because a process that has just begun forgets those of before."""
    if request in OF_OTHERS:
        with suppress(OSError):
            (writer.folder / f"{request}.request").touch()
    elif request:
        process.terminate()


def _ended(writer: RunWriter, status: int, said: str) -> None:
    """Lets go of a run whose process has ended, and marks one that it never took up."""
    if not locks.waits_here(writer.folder):
        locks.leave_queue(writer.folder)
        return
    writer.take_turn()
    with suppress(StoreError):
        failed = status > 0 and status != 130  # of a signal to end
        writer.update(status=Status.FAILED if failed else Status.INTERRUPTED, error=said * failed)
    writer.close()


def _last_line(said: IO[bytes]) -> str:
    """What a process said last, for people."""
    said.seek(0)
    lines = said.read()[-4000:].decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "its process ended without a word"


def belongs_to(queue: str, folder: Path) -> Control:
    """Says LEAVE once the process that holds this queue's lock is gone."""
    next_look = time.monotonic() + _LATER

    def asked() -> Request | None:
        nonlocal next_look
        if time.monotonic() < next_look:
            return None
        next_look = time.monotonic() + _LATER
        return None if locks.lives(folder, queue) else Request.LEAVE

    return asked
