"""Deleted folders, those of runs and of data sets: kept in `.trash` beside the others, brought back from there, and
gone for good after two weeks, or earlier when the disk runs short, the oldest first.
"""

import math
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.runs.files import StoreError, destroy

DAYS = 14
LEAST_FREE = 2**30  # bytes: with less on the disk the trash is emptied, the oldest first
_MARK = ".thrown"  # in the folder, as old as its stay in the trash


@dataclass(frozen=True)
class Thrown:
    """A folder in the trash."""

    folder: Path
    since: float  # seconds since 1970

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.folder.name

    @property
    def days_left(self) -> int:
        """Days, rounded up, until it is deleted for good."""
        return max(0, math.ceil(DAYS - (time.time() - self.since) / 86400))


def throw(folder: Path) -> None:
    """Moves a folder into the trash, whoever uses it. Raises StoreError if that is impossible."""
    place = _trash(folder.parent)
    try:
        place.mkdir(exist_ok=True)
        (folder / _MARK).touch()
        os.rename(folder, place / folder.name)
    except OSError as error:
        raise StoreError(f"{folder} cannot be deleted ({error.strerror}); check the folder's permissions") from error
    tidy(folder.parent)


def thrown(home: Path) -> list[Thrown]:
    """What was deleted of the folders in `home`, the one thrown away last first."""
    found = []
    with suppress(OSError):  # nothing was ever thrown away
        for folder in _trash(home).glob("[!.]*"):
            with suppress(OSError):
                found.append(Thrown(folder, (folder / _MARK).stat().st_mtime))
    return sorted(found, key=lambda each: (each.since, each.name), reverse=True)


def bring_back(one: Thrown) -> None:
    """Puts a folder back to where it was. Raises StoreError, also if another one is there now."""
    back = one.folder.parent.parent / one.name
    try:
        if os.path.lexists(back):
            raise StoreError(f"there is another {one.name} now; delete that one first")
        os.rename(one.folder, back)
    except OSError as error:
        raise StoreError(f"{one.folder} cannot be brought back ({error.strerror})") from error
    with suppress(OSError):
        (back / _MARK).unlink()


def empty(one: Thrown) -> None:
    """Deletes what is in the trash for good. Raises StoreError."""
    destroy(one.folder)


def tidy(home: Path) -> None:
    """Deletes for good what has been in the trash for too long and, while the disk is short, the oldest of the rest."""
    with suppress(StoreError):
        for one in reversed(thrown(home)):
            if time.time() - one.since > DAYS * 86400 or free(home) < LEAST_FREE:
                empty(one)


def free(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, or of the nearest one above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _trash(home: Path) -> Path:
    return home / ".trash"
