"""Whose a run is: the lock of the process that writes to it, and the mark of the one in whose queue it waits.

The lock of a running run is held on `run.lock` in its folder. A waiting run holds no file open: `waiting` in its folder
names the one file that its process holds for all that wait, `.queue-<random>.lock` beside the folders. The system
releases both when the process dies, however it dies.
"""

import os
import re
import secrets
import threading
from contextlib import suppress
from pathlib import Path

import filelock

from core.runs.files import TOO_MANY_OPEN, StoreError, not_written, replacing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MARK = "waiting"
_QUEUE_FILE = re.compile(r"\.queue-[0-9a-f]{16}\.lock")

_one_look_at_a_time = threading.Lock()  # or two readers of one run would take each other for its writer
_changing = threading.Lock()  # of what follows
_queues: dict[Path, tuple[filelock.BaseFileLock, set[Path]]] = {}  # by folder of runs: its lock, the runs that wait


def is_locked(folder: Path) -> bool:
    """Whether some process, this one included, writes to the run now or will do so when its turn comes.

    Raises OSError where this process has too many files open to tell.
    """
    # The mark is written before the lock is let go of, and removed after it is taken: look at it first and last
    return _waits(folder) or _held(folder / "run.lock") or _waits(folder)


def locked(folder: Path, queue: str = "") -> filelock.BaseFileLock:
    """The lock of a run, taken. Raises StoreError if another process has it or it cannot be made.

    `queue`: that of `queue_of`, in which the run waits and which has handed it over to this process.
    """
    lock = _taken(folder)
    if _waits(folder) and _marked(folder) != folder.parent / queue:
        lock.release()
        raise _in_other_hands(folder)
    _remove_mark(folder)  # of a process that has ended
    return lock


def wait(lock: filelock.BaseFileLock, folder: Path) -> None:
    """Lets go of a run's lock and marks it as waiting in this process's queue. Raises StoreError, the lock kept."""
    with _changing:
        if folder.parent not in _queues:
            _queues[folder.parent] = _queue_lock(folder.parent), set()
        queue, waiting = _queues[folder.parent]
        waiting.add(folder)
    try:
        with replacing(folder / MARK) as file:
            file.write(Path(queue.lock_file).name.encode())
    except StoreError:
        leave_queue(folder)
        raise
    lock.release()


def take_turn(folder: Path) -> filelock.BaseFileLock:
    """The lock of a run that waited in this process's queue. Raises StoreError if it is somebody else's by now."""
    try:
        with _changing:
            queue, _ = _queues[folder.parent]
        lock = _taken(folder)
        if _marked(folder) != Path(queue.lock_file):
            lock.release()
            raise _in_other_hands(folder)
        _remove_mark(folder)
        return lock
    finally:
        leave_queue(folder)


def queue_of(folder: Path) -> str:
    """The name of this process's queue, for a process that shall take the turn of a run that waits in it."""
    with _changing:
        return Path(_queues[folder.parent][0].lock_file).name


def waits_here(folder: Path) -> bool:
    """Whether a run still waits in this process's queue, handed over or not."""
    with _changing:
        return folder.parent in _queues and _marked(folder) == Path(_queues[folder.parent][0].lock_file)


def lives(folder: Path, queue: str) -> bool:
    """Whether the process lives in whose queue a run had its turn."""
    return bool(_QUEUE_FILE.fullmatch(queue)) and _held(folder.parent / queue)


def _queue_lock(runs: Path) -> filelock.BaseFileLock:
    return _acquired(runs / f".queue-{secrets.token_hex(8)}.lock")


def leave_queue(folder: Path) -> None:
    """Takes a run out of this process's queue; with the last one its lock file goes."""
    with _changing:
        queue, waiting = _queues[folder.parent]
        waiting.discard(folder)
        if not waiting:
            del _queues[folder.parent]
            queue.release()
            with suppress(OSError):
                os.unlink(queue.lock_file)


def _taken(folder: Path) -> filelock.BaseFileLock:
    try:
        return _acquired(folder / "run.lock")
    except filelock.Timeout:
        raise _in_other_hands(folder) from None


def _acquired(file: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(file, thread_local=False)  # taken here, released by the thread that trains
    try:
        lock.acquire(timeout=2)  # readers hold it for an instant
    except OSError as error:
        if isinstance(error, filelock.Timeout):
            raise
        raise not_written(file, error) from error
    return lock


def _in_other_hands(folder: Path) -> StoreError:
    return StoreError(f"run {folder.name} is in the hands of another process, or of another window")


def _held(file: Path) -> bool:
    """Whether some process holds the lock on this file."""
    try:
        if fcntl:  # a shared lock: readers do not take each other for the writer
            with open(file, "rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        with _one_look_at_a_time, filelock.FileLock(file, timeout=0):
            return False
    except (BlockingIOError, filelock.Timeout):
        return True
    except OSError as error:  # without the file, or in a folder that cannot be written to, there is no writer
        if error.errno in TOO_MANY_OPEN:
            raise
        return False


def _marked(folder: Path) -> Path | None:
    """The lock file of the process in whose queue the run waits, if that process may still live."""
    try:
        name = (folder / MARK).read_text()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in TOO_MANY_OPEN:
            raise
        return None
    return folder.parent / name if _QUEUE_FILE.fullmatch(name) else None


def _waits(folder: Path) -> bool:
    queue = _marked(folder)
    return queue is not None and queue.exists() and _held(queue)


def _remove_mark(folder: Path) -> None:
    """Removes the mark, and the lock file of a process that died and can remove it no more."""
    queue = _marked(folder)
    for file in [folder / MARK, *([queue] if queue and not _held(queue) else [])]:
        with suppress(OSError):
            file.unlink()
