"""Files that a crash at any moment leaves whole, and what to say about one that cannot be written."""

import errno
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DELETED = ".deleted-"
TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)
_MORE_HANDLES = "raise the limit of open files (ulimit -n 4096), then start the lab and resume the run"


class StoreError(RuntimeError):
    """A run's folder that cannot be read or written; the message names the file and says what to do."""


@contextmanager
def replacing(file: Path, mode: int = 0o666) -> Iterator[io.BufferedIOBase]:
    """A binary file to write into that takes the place of `file` only when it is complete and on the disk.

    `mode`: who may read and write it, less what the process takes away from all its files.
    Raises StoreError, with the old file unharmed, if that is impossible.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as stream:
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


def destroy(folder: Path) -> None:
    """Deletes a folder for good. It is hidden first: one that is half deleted is never listed. Raises StoreError."""
    try:
        os.rename(folder, folder.with_name(f"{_DELETED}{folder.name}-{secrets.token_hex(4)}"))
    except OSError as error:
        raise StoreError(f"{folder} cannot be deleted ({error.strerror}); check the folder's permissions") from error
    for hidden in folder.parent.glob(f"{_DELETED}*"):  # that of a process that was killed in between as well
        shutil.rmtree(hidden, ignore_errors=True)


def why(error: OSError) -> str:
    """The system's reason in words; where the process has too many files open, with the remedy."""
    return f"{error.strerror or error}" + f": {_MORE_HANDLES}" * (error.errno in TOO_MANY_OPEN)


def not_read(file: Path, error: Exception) -> StoreError:
    """What to say about a file of a run that cannot be read; numpy and zipfile raise many kinds for a damaged one."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        reason = "it is not there; put it back from a copy of the run, or train the run again"
    return StoreError(f"{file} cannot be read: {reason}")


def not_written(file: Path, error: OSError) -> StoreError:
    """What to say about a file that cannot be written, with the remedy."""
    remedy = {
        errno.ENOENT: "the run's folder is gone: begin the run anew",
        errno.ENOTDIR: "the run's folder is gone: begin the run anew",
        errno.ENOSPC: "free some space, then resume the run. What was saved before is unharmed",
        errno.EMFILE: _MORE_HANDLES,
        errno.ENFILE: _MORE_HANDLES,
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
