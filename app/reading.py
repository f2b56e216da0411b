"""What pages read of core: data sets, runs and what they are doing."""

import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd

from app import access, cached, crowd, session
from app.exercise import short
from core import control, places, race, rate_finding, replay
from core.classroom.limits import Limits
from core.classroom.limits import disk_used as disk_used_by
from core.dataset.loader import DataError, DataSet
from core.exchange import deleted, packed_sets
from core.exchange.deleted import Deleted
from core.runs import store
from core.runs.files import StoreError
from core.runs.queue import AtWork
from core.runs.store import Run
from core.settings.config import RunConfig

# Seconds between two drawings of a run in training. One takes 0.15 seconds of a core, most of them the browser's, and
# the other threads of the training wait meanwhile. Later on the curves are too long to look different so soon.
_PACE, _LATER_PACE = 2.0, 5.0
_CROWDED_PACES = 13.0, 17.0  # of many browsers, each its own, so that they do not all ask at once
_LATER = 10.0  # seconds of training


def data_sets() -> dict[str, Path]:
    """Folders of data sets by the name in the address: the lab's own ("") and those brought in."""
    return {"": places.data_folder()} | {folder.name: folder for folder in packed_sets.data_sets()}


def owner_of_data(name: str) -> str:
    """The student who brought in the data set of this name; empty for the teacher, or if it is the lab's own."""
    return packed_sets.owner_of(data_sets()[name]) if name else ""


def chosen_data() -> str:
    """The name of the data set for new runs of this browser session."""
    return session.chosen_data(data_sets())


def settle_data() -> None:
    """Called for every page: takes the data set in the address for this session, or says that there is none."""
    chosen = chosen_data()
    if (wanted := session.data_in_address()) and wanted != chosen:
        used = f"the data set {chosen}" if chosen else "the lab's own data set"
        session.notice(f"There is no data set {short(wanted)} in this lab: {used} is in use.")
    session.choose_data(chosen)


def data_set() -> DataSet:
    """The data set in use in this browser session, as it was at most a few seconds ago. Raises DataError."""
    return cached.data_set(data_sets()[chosen_data()])


def images_of(run: Run) -> DataSet:
    """The images that a run was trained on, also if they lie in another folder now. Raises DataError or StoreError."""
    with suppress(DataError):
        if (images := data_set()).fingerprint == run.data.fingerprint:
            return store.as_learnt(run, images)
    return store.data_of(run)


def all_runs() -> list[Run]:
    """Every run in the folder, newest first."""
    return crowd.read_once("runs", lambda: store.list_runs(places.runs_folder()))


def in_trash() -> list[Deleted]:
    """What of the trash whoever looks at this page may bring back, the one deleted last first."""
    return [each for each in deleted.listed(places.runs_folder()) if access.actor().may_change(each.owner)]


def at_work() -> AtWork:
    """Whose runs this lab trains, and whose wait."""
    return control.at_work()


def limits() -> Limits | None:
    """What whoever looks at this page may have; None without limits. Raises StoreError."""
    actor = access.actor()
    return control.limits_of(actor, places.runs_folder()) if actor.takes_part else None


def active_runs() -> int:
    """How many runs of whoever looks at this page wait or are trained."""
    return control.active_runs(access.actor())


def disk_used() -> float:
    """GB of their runs."""
    return disk_used_by(places.runs_folder(), access.actor().name)


def sets_brought_in() -> int:
    """How many data sets they have brought in."""
    return len(packed_sets.sets_of(access.actor().name))


def find_run(run_id: str) -> Run:
    """The run with this id; damaged if its folder is gone."""
    return store.read(places.runs_folder() / run_id)


def races() -> list[race.Race]:
    """Every race, newest first."""
    return race.all_races(places.runs_folder())


def runs_of(held: race.Race) -> list[Run]:
    """The runs of a race that are still there, in the order of its lanes."""
    return race.runs_of(held, places.runs_folder())


def replayed(run: Run) -> replay.Told | None:
    """How far the replay of a run is in this process, or what came of it; None without one."""
    return replay.told(run)


def rate_test(config: RunConfig) -> rate_finding.Told | None:
    """The test of learning rates for these settings on the images in use, in this process; None without one."""
    return rate_finding.told(config, data_set())


def glance(shown: list[Run], others: bool = False) -> tuple:
    """What changes when something happens to these runs, or to any in the folder; cheap, for pages that wait."""
    names = {run.id for run in shown}
    if others:
        with suppress(OSError):
            names |= set(os.listdir(places.runs_folder()))
    changed = []
    for name in sorted(names):
        for file in ("run.json", "label.json"):
            with suppress(OSError):
                changed.append((name, file, (places.runs_folder() / name / file).stat().st_mtime_ns))
    # Only these can change without a trace in the files: their process dies, or their turn comes nearer
    return changed, [status(find_run(run.id)) for run in shown if run.active]


def busy() -> bool:
    """Whether a run trains or waits for its turn, whoever began it."""
    return any(run.active for run in all_runs())


def status(run: Run) -> str:
    """The status in words for the page, with what only this process knows: the place in its queue."""
    before = control.position(run)
    if run.status == "queued" and before is not None:
        return f"queued, {before} before it" if before else "starting"
    return control.status(run)


def failure(run: Run) -> str:
    """Why a run failed."""
    return control.failure(run)


def given_up(run: Run) -> str:
    """Why an interrupted run is resumed by hand only; empty if it can go on by itself."""
    return control.given_up(run)


def mine(run: Run) -> bool:
    """Whether this process trains the run."""
    return control.mine(run)


def pace(run: Run, steps: pd.DataFrame | None = None) -> float | None:
    """Seconds until a run is drawn again; None if it does not change any more. `steps` saves reading them again."""
    if not run.active:
        return None
    if run.status in ("pausing", "stopping"):  # somebody waits for it
        return _PACE
    if crowd.is_many(browser := session.browser()):
        return random.Random(browser).uniform(*_CROWDED_PACES)
    try:
        steps = store.steps(run) if steps is None else steps
    except StoreError:  # whoever draws it says so
        return _PACE
    return _PACE if steps.empty or steps["seconds"].iloc[-1] < _LATER else _LATER_PACE


def age_of_steps(run: Run) -> float:
    """Seconds since the last row of steps.csv was written; 0 without one."""
    with suppress(OSError):
        return max(time.time() - (run.folder / "steps.csv").stat().st_mtime, 0.0)
    return 0.0


def moment(run: Run) -> tuple:
    """What tells two drawings of a run apart: its files, or the second if it is in training, so that all who look then
    are shown the same one.
    """
    if run.active:
        return run.status, int(time.monotonic())
    changed = []
    for name in ("history.csv", "steps.csv", "latest_step.npz"):
        with suppress(OSError):
            changed.append((name, (run.folder / name).stat().st_mtime_ns))
    return run.status, *changed


def best_epoch(run: Run) -> tuple[float, int] | None:
    """The best accuracy on the test images (a fraction) and its epoch, the first of equals; None without a result."""
    if not run.result:
        return None
    with suppress(OSError, StoreError):
        table = cached.history(run, (run.folder / "history.csv").stat().st_mtime_ns)
        if len(table):
            best = table["test_accuracy"].idxmax()
            return float(table["test_accuracy"][best]), int(table["epoch"][best])
    return None


def goes_on_at(run: Run) -> tuple[int, int]:
    """Epoch and step, from 1, at which a run would be resumed. Raises StoreError if it cannot be."""
    with suppress(FileNotFoundError):
        return cached.saved_step(run, (run.folder / "between.pt").stat().st_mtime_ns)
    if not run.result:
        return 1, 1
    epoch, step = run.result.epochs, run.result.steps
    return (epoch + 1, 1) if step >= run.steps_per_epoch else (epoch, step + 1)
