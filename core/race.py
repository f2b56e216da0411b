"""A race: runs that differ in a few settings and in their seed, trained in turns of one epoch.

A race is only a record of ordinary runs, `<runs>/races/<race id>.json`: what its runs do stands in their own folders.
A turn ends with an epoch's checkpoint, and the next one goes on from there bit for bit: so each run of a race is the
run that it would be alone, and a race that was killed goes on like a run. No torch at import.
"""

import itertools
import os
import re
import secrets
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, NaiveDatetime

from core.dataset.loader import DataSet
from core.learning import footprint
from core.learning.events import EpochDone, Event
from core.learning.states import Control, Request, Status
from core.runs import store, writing
from core.runs.comparison import images_an_epoch
from core.runs.files import StoreError, replacing
from core.runs.record import AtLeastOne, Record, Text
from core.runs.store import Run
from core.runs.writing import RunWriter
from core.settings.config import IMAGES_A_TRIPLET, RunConfig, applies, settings
from core.settings.presets import PRESETS, from_preset
from core.settings.setting import ConfigError

MOST_LANES = 24
FOLDER = "races"  # in that of the runs
_RACE_ID = re.compile(r"race-[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


_RunId = Annotated[str, Field(pattern=f"^{store.RUN_ID.pattern}$")]


class Race(Record):
    """What a race's file holds."""

    format: AtLeastOne = 1
    race: Text  # the id
    created: NaiveDatetime  # local time
    preset: Text
    vary: Annotated[tuple[Text, ...], Field(min_length=1, max_length=10)]  # settings in which the lanes differ
    runs: Annotated[tuple[_RunId, ...], Field(min_length=2, max_length=MOST_LANES)]  # in the order of the lanes

    @property
    def title(self) -> str:
        """What to call it: its preset."""
        return PRESETS[self.preset].title if self.preset in PRESETS else self.preset


def lanes(preset: str, vary: Mapping[str, Sequence], seeds: int, images: DataSet, **changes) -> list[RunConfig]:
    """The settings of each run: every combination of the values in `vary`, with `seeds` seeds each.

    All see equally many images an epoch: where triplets are drawn, their number is made to fit the other lanes.
    Raises ConfigError for values that do not fit, have no effect, or make fewer than 2 or too many runs.
    """
    base = from_preset(preset, **changes)
    vary = {name: tuple(dict.fromkeys(values)) for name, values in vary.items()}
    count = seeds * int(np.prod([len(values) for values in vary.values()]))
    if not 2 <= count <= MOST_LANES:
        raise ConfigError(f"a race has 2 to {MOST_LANES} runs, these would be {count}; name other values or seeds")
    found = []
    for values in itertools.product(*vary.values()):
        lane = dict(zip(vary, values, strict=True))
        config = from_preset(preset, **changes | _sampler(base, lane) | lane)
        _check_effect(config, lane)
        found.append(config)
    if "triplets" not in vary:
        found = _same_budget(found, images)
    return [each.changed(seed=each.seed + number) for number in range(seeds) for each in found]


def _sampler(base: RunConfig, lane: Mapping) -> dict:
    """Another batch sampler, where mining needs one: triplets can only be drawn, and all others be formed."""
    if "selection" not in lane or "sampling" in lane:
        return {}
    drawn, draws = lane["selection"] in ("drawn", "auto"), base.draws_triplets
    return {"sampling": "auto"} if drawn != draws else {}


def _check_effect(config: RunConfig, lane: Mapping) -> None:
    for field in settings():
        if field.name in lane and not applies(field, vars(config)):
            raise ConfigError("it has no effect with the other settings of this preset", field.name)


def _same_budget(configs: list[RunConfig], images: DataSet) -> list[RunConfig]:
    """The same with as many drawn triplets as show the images that one of the other lanes looks at."""
    others = [config for config in configs if not config.draws_triplets]
    if not others:
        return configs
    budget = _images_an_epoch(others[0], images)
    triplets = max(1, round(budget / IMAGES_A_TRIPLET))
    return [config.changed(triplets=triplets) if config.draws_triplets else config for config in configs]


def _images_an_epoch(config: RunConfig, images: DataSet) -> int:
    """How many images a run that draws no triplets would look at in one epoch."""
    sizes = np.bincount(images.without(config.exclude).train.labels).tolist()
    count = sum(size - config.held_out(size) for size in sizes)
    batch = config.classes_a_batch(len(sizes)) * config.images_per_class
    return max(1, count // batch) * batch if config.batches == "balanced" else count


def create(
    preset: str, vary: Sequence[str], configs: Sequence[RunConfig], images: DataSet, runs: Path, owner: str = ""
) -> tuple[Race, list[RunWriter]]:
    """A new race of `owner` and the writers of its runs, which wait for their turns.

    Raises ConfigError or StoreError, with nothing left behind.
    """
    writers: list[RunWriter] = []
    try:
        for config in configs:
            footprint.check(config, len(images.classes))
            writers.append(writing.create(config, images, runs, owner=owner))
            writers[-1].wait()
        now = datetime.now()
        race = Race(
            race=f"race-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
            created=now.replace(microsecond=0),
            preset=preset,
            vary=tuple(vary),
            runs=tuple(writer.id for writer in writers),
        )
        _save(race, runs)
    except BaseException:
        for writer in writers:
            let_go(writer, Status.STOPPED)
            with suppress(StoreError):
                store.delete(writer.folder)
        raise
    return race, writers


def _save(race: Race, runs: Path) -> None:
    folder = runs / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({error.strerror}); check the folder's permissions") from error
    with replacing(folder / f"{race.race}.json") as file:
        file.write(race.to_bytes())


def all_races(runs: Path) -> list[Race]:
    """Every race of which some run is still there, newest first; files that cannot be read are passed over."""
    try:
        names = sorted(os.listdir(runs / FOLDER), reverse=True)
    except OSError:
        return []
    found = [_read(runs, name.removesuffix(".json")) for name in names if name.endswith(".json")]
    return [race for race in found if race and runs_of(race, runs)]


def _read(runs: Path, name: str) -> Race | None:
    with suppress(OSError, ValueError, RecursionError):
        if _RACE_ID.fullmatch(name):
            return Race.read(runs / FOLDER / f"{name}.json")
    return None


def find(runs: Path, name: str) -> Race:
    """The race of this id; `latest` is the newest one. Raises StoreError."""
    if name == "latest":
        every = all_races(runs)
        if not every:
            raise StoreError(f"there are no races in {runs}; begin with: python -m core race facenet-semi-hard")
        return every[0]
    found = _read(runs, name)
    if found is None or not runs_of(found, runs):
        raise StoreError(f"there is no race {name!r} in {runs}")
    return found


def runs_of(race: Race, runs: Path) -> list[Run]:
    """The runs of a race that are still there, in the order of its lanes."""
    found = [store.read(runs / each) for each in race.runs if os.path.lexists(runs / each / "run.json")]
    return [run for run in found if run.config]


def raced(run: Run) -> bool:
    """Whether a run is one of a race."""
    return any(run.id in race.runs for race in all_races(run.folder.parent))


def reopen(race: Race, images: DataSet, runs: Path) -> list[RunWriter]:
    """The writers of those runs of a race that can go on, the one that is furthest behind first; they wait.

    Raises StoreError if there is none, or if one cannot go on.
    """
    ended = [run for run in runs_of(race, runs) if not run.active and run.status != Status.DONE and not run.diverged]
    if not ended:
        raise StoreError(f"no run of race {race.race} can go on: each is in training, is done, or its weights ran away")
    ended.sort(key=lambda run: run.result.epochs if run.result else 0)
    writers: list[RunWriter] = []
    try:
        for run in ended:
            writers.append(writing.reopen(run, images))
            writers[-1].wait()
    except BaseException:
        for writer in writers:
            let_go(writer, Status.INTERRUPTED)
        raise
    return writers


def let_go(writer: RunWriter, status: Status) -> None:
    """Ends a run that waits, before its turn."""
    with suppress(StoreError):  # somebody else's by now; or the disk is full, and it reads as interrupted
        if not writer.holds:
            writer.take_turn()
        try:
            writer.update(status=status)
        finally:
            writer.close()


def turn(writer: RunWriter, images: DataSet, control: Control, others=lambda: True) -> Iterator[Event]:
    """Trains a run to its end or to the end of an epoch; its status is queued if it then gives way to `others`."""
    from core import experiment

    evaluated = False

    def asked() -> Request | None:
        return control() or writer.requested() or (Request.GIVE_WAY if evaluated and others() else None)

    for event in experiment.run(writer, images, asked):
        evaluated = evaluated or isinstance(event, EpochDone)
        yield event


def run(writers: Sequence[RunWriter], images: DataSet, control: Control) -> Iterator[tuple[str, Event | Exception]]:
    """Trains waiting runs in turns; yields a run's id and what happens to it, its failure included.

    At a request the runs that wait end with the one that is being trained.
    """
    waiting = deque(writers)
    try:
        while waiting and not control():
            writer = waiting.popleft()
            writer.take_turn()
            try:
                with writer:
                    for event in turn(writer, images, control, lambda: waiting):
                        yield writer.id, event
                    if writer.record.status == Status.QUEUED:
                        writer.wait()
                        waiting.append(writer)
            except (RuntimeError, OSError, MemoryError) as error:  # the run is marked; the others go on
                yield writer.id, error
    finally:
        asked = control() or Request.LEAVE
        for writer in waiting:
            let_go(writer, Request(asked).ended)


def standing(race: Race, runs: Sequence[Run]) -> list[dict]:
    """A row a run: what it differs in, how far it is, and how soon it was as good as every run became.

    Accuracies are fractions of the test images. `to_common` is the least of the runs' best accuracies; `images_to` and
    `seconds_to` say when a run first had it, None while there is a run without a result.
    """
    histories = [history(run) for run in runs]
    best = [table["test_accuracy"].max() if len(table) else np.nan for table in histories]
    common = min(best) if runs and not np.isnan(best).any() else None
    return [_row(race, run, table, common) for run, table in zip(runs, histories, strict=True)]


def history(run: Run) -> pd.DataFrame:
    """The table of a run's epochs with `images_seen`; empty before the first one is over."""
    columns = ["epoch", "steps", "seconds", "train_accuracy", "test_accuracy"]
    table = pd.DataFrame()
    with suppress(StoreError):
        table = store.history(run)
    if table.empty:
        table = pd.DataFrame({name: pd.Series(dtype=float) for name in columns})
    epochs = table["epoch"] - 1 + table["steps"] / max(run.steps_per_epoch, 1)
    return table.assign(images_seen=(epochs * images_an_epoch(run)).round())


def _row(race: Race, run: Run, table: pd.DataFrame, common: float | None) -> dict:
    last = table.iloc[-1] if len(table) else None
    reached = table[table["test_accuracy"] >= common].iloc[0] if common is not None else None
    return {
        "run": run.id,
        **{name: getattr(run.config, name) for name in race.vary},
        "seed": run.config.seed,
        "status": str(run.status),
        "epochs": 0 if last is None else int(last["epoch"]),
        "of_epochs": run.config.epochs,
        "images_seen": 0 if last is None else int(last["images_seen"]),
        "seconds": 0.0 if last is None else float(last["seconds"]),
        "test_accuracy": None if last is None else float(last["test_accuracy"]),
        "best_test_accuracy": None if last is None else float(table["test_accuracy"].max()),
        "to_common": common if common is None else float(common),
        "images_to": None if reached is None else int(reached["images_seen"]),
        "seconds_to": None if reached is None else float(reached["seconds"]),
    }
