"""Files that a crash at any moment leaves whole, and the lock of whoever writes to a run's folder."""

import errno
import io
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_one_look_at_a_time = threading.Lock()  # or two readers of one run would take each other for its writer


class StoreError(RuntimeError):
    """A run's folder that cannot be read or written; the message names the file and says what to do."""


@contextmanager
def replacing(file: Path) -> Iterator[io.BufferedIOBase]:
    """A binary file to write into that takes the place of `file` only when it is complete and on the disk.

    Raises StoreError, with the old file unharmed, if that is impossible.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
        _sync_folder(file.parent)
    except OSError as error:
        raise not_written(file, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def not_written(file: Path, error: OSError) -> StoreError:
    """What to say about a file that cannot be written, with the remedy."""
    remedy = {
        errno.ENOENT: "the run's folder is gone: begin the run anew",
        errno.ENOTDIR: "the run's folder is gone: begin the run anew",
        errno.ENOSPC: "free some space, then resume the run. What was saved before is unharmed",
        errno.EDQUOT: "free some space, then resume the run. What was saved before is unharmed",
    }
    otherwise = "check the folder's permissions, then resume the run. What was saved before is unharmed"
    return StoreError(f"{file} cannot be written ({error.strerror or error}): {remedy.get(error.errno, otherwise)}.")


def _sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut; Windows has no such call."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether some process, this one included, writes to the run now."""
    try:
        if fcntl:  # a shared lock: readers do not take each other for the writer
            with open(folder / "run.lock", "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        with _one_look_at_a_time, filelock.FileLock(folder / "run.lock", timeout=0):
            return False
    except (BlockingIOError, filelock.Timeout):
        return True
    except OSError:  # without the file, or in a folder that cannot be written to, there is no writer
        return False


def locked(folder: Path) -> filelock.BaseFileLock:
    """The lock of a run, taken. Raises StoreError if another process has it or it cannot be made."""
    file = folder / "run.lock"
    lock = filelock.FileLock(file, thread_local=False)  # taken here, released by the thread that trains
    try:
        lock.acquire(timeout=2)  # readers hold it for an instant
    except filelock.Timeout:
        raise StoreError(f"run {folder.name} is in the hands of another process, or of another window") from None
    except OSError as error:
        raise not_written(file, error) from error
    return lock
