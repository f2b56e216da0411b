"""What lies in the trash: runs and uploaded data sets, and whose they were."""

from dataclasses import dataclass
from pathlib import Path

from core import places
from core.exchange import packed_sets
from core.runs import store, trash
from core.runs.files import StoreError
from core.runs.trash import Thrown


@dataclass(frozen=True)
class Deleted:
    """A run or a data set in the trash."""

    thrown: Thrown
    kind: str  # "run" or "data set"
    title: str
    owner: str  # the student whose it is; empty: the teacher's


def listed(runs: Path) -> list[Deleted]:
    """All that is in the trash, the one thrown away last first."""
    found = []
    for one in trash.thrown(runs):
        run = store.read(one.folder)
        found.append(Deleted(one, "run", run.title, run.owner))
    for one in trash.thrown(places.uploads_folder()):
        found.append(Deleted(one, "data set", one.name, packed_sets.owner_of(one.folder)))
    return sorted(found, key=lambda each: each.thrown.since, reverse=True)


def find(runs: Path, name: str) -> Deleted:
    """What is in the trash under the name of its folder. Raises StoreError."""
    for each in listed(runs):
        if each.thrown.name == name:
            return each
    raise StoreError(f"there is no {name!r} in the trash; `python -m core trash list` names what there is")


def tidy(runs: Path) -> None:
    """Deletes for good what has been in the trash for too long, or has no room there any more."""
    for home in (runs, places.uploads_folder()):
        trash.tidy(home)


def throw_set(folder: Path, runs: Path) -> None:
    """Moves an uploaded data set into the trash. Raises StoreError while a run is trained on it."""
    if folder not in packed_sets.data_sets():
        raise StoreError(f"{folder} was not brought in through the page; delete it by hand")
    for run in store.list_runs(runs):
        if run.active and Path(run.data.folder) == folder:
            raise StoreError(f"{run.title} is being trained on these images; stop it first")
    trash.throw(folder)
