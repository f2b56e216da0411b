"""What a student may take of a lab that a class shares, so that nobody stops the others from working. A teacher, and
a lab that is not shared, has no such limits. They stand in class.json, where a teacher can change them.
"""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.learning import footprint
from core.runs import store, trash
from core.runs.queue import queue
from core.runs.record import Record
from core.settings.config import RunConfig
from core.settings.setting import ConfigError

GIGABYTE, MEGABYTE = 10**9, 10**6
_Number = Annotated[int, Field(ge=1, le=10**6)]


class LimitReached(RuntimeError):
    """A student has as much as the class allows; the message says of what, and what to do."""


class Limits(Record):
    """What each student may have."""

    runs: _Number = 3  # that wait or are trained
    epochs: _Number = 60  # of a run
    memory: _Number = 3  # GB that a run's network and batches may need, see core/learning/footprint.py
    disk: _Number = 2  # GB of all the student's runs
    data_sets: _Number = 3  # brought in
    upload: _Number = 60  # MB of a file
    disk_free: _Number = 2  # GB that have to stay free on the disk


def disk_used(runs: Path, owner: str) -> float:
    """GB of all runs of a student."""
    mine = [run.folder for run in store.list_runs(runs) if run.owner == owner]
    return sum(map(_size, mine)) / GIGABYTE


def check_queue(limits: Limits, owner: str, more: int = 1) -> None:
    """Raises LimitReached if a student cannot have so many more runs that wait or are trained."""
    now = queue().count(owner)
    if now + more > limits.runs:
        raise LimitReached(
            f"{now} of your runs wait or are trained{f', and these are {more}' * (more > 1)}; a student has at most "
            f"{limits.runs} at a time. Wait for one, or stop one"
        )


def check_disk(limits: Limits, runs: Path, owner: str) -> None:
    """Raises LimitReached if a student's runs take too much of the disk, or if little is left for anybody."""
    used = disk_used(runs, owner)
    if used > limits.disk:
        raise LimitReached(f"your runs take {used:.1f} of {limits.disk} GB; delete some, and empty your trash")
    check_free(limits, runs)


def check_free(limits: Limits, folder: Path) -> None:
    """Raises LimitReached if little is left on the disk of a folder, whoever has filled it."""
    if trash.free(folder) < limits.disk_free * GIGABYTE:
        raise LimitReached(f"less than {limits.disk_free} GB are left on the lab's disk; ask your teacher to free some")


def check_settings(limits: Limits, config: RunConfig, class_count: int) -> None:
    """Raises ConfigError for a run that is too long or too large for a student."""
    if config.epochs > limits.epochs:
        raise ConfigError(f"{limits.epochs} is the most in this class", "epochs")
    if footprint.modest(config, class_count):
        return
    from core.learning.machine import planned  # here, because it loads torch

    room = limits.memory * GIGABYTE
    parameters, wanted = footprint.needed(config, class_count, planned(config).precision, room)
    if wanted > room:
        raise ConfigError(
            f"{parameters:,} parameters and batches of {config.images_a_batch(class_count):,} images need "
            f"{wanted / GIGABYTE:,.1f} GB of memory, and {limits.memory} GB is the most in this class; lower "
            f"{footprint.to_lower(config)}",
            "blocks",
        )


def check_upload(limits: Limits, size: int) -> None:
    """Raises LimitReached for a file of too many bytes."""
    if size > limits.upload * MEGABYTE:
        raise LimitReached(f"the file has {size / MEGABYTE:.0f} MB, and {limits.upload} MB is the most in this class")


def check_sets(limits: Limits, sets: int) -> None:
    """Raises LimitReached if a student who has brought in `sets` data sets cannot bring in another one."""
    if sets >= limits.data_sets:
        raise LimitReached(f"you have brought in {sets} data sets, and {limits.data_sets} is the most; delete one")


def _size(folder: Path) -> int:
    """Bytes of all files in a folder, as far as they can be seen."""
    found = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            found += file.lstat().st_size
    return found
