"""Runs in zip files, out and in. What comes in is taken as hostile, checked, and taken in whole or not at all.

As little as possible is taken: settings, checkpoints, embeddings and the curve within epochs; from these the
lab makes all other files itself, as when a run is resumed. No byte is taken over as it came: what was read and found
possible is written anew.
"""

import os
import re
import secrets
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from core import places
from core.analysis.embedded import Embedded
from core.dataset import loader
from core.dataset.loader import DataError, DataSet
from core.exchange.archives import UploadError, members, opened, shown, unpack
from core.exchange.foreign import check_stored, checkpoint, named
from core.learning.states import Status
from core.runs import numbering, store, tables, writing
from core.runs.files import StoreError
from core.runs.progress import Progress, possible, sum_of_some
from core.runs.record import DataFacts, Record, RunRecord
from core.runs.step_table import StepTable
from core.runs.store import Run
from core.settings.config import SPHERE_RADIUS
from core.settings.presets import PRESETS
from core.settings.rules import check_data

if TYPE_CHECKING:
    from core.learning.training import Training

NEEDED = ("run.json", "last.pt")
_OF_RUN = re.compile(r"run\.json|label\.json|(last|best)\.pt|steps\.csv|embeddings/epoch_[0-9]{4}\.npz")
_COLUMN = re.compile("[A-Za-z][A-Za-z0-9_]{0,39}")


def export_run(run: Run, stream: BinaryIO) -> None:
    """Writes the zip file that `read_run` reads. Raises UploadError for a run without a result, or one that goes on."""
    if run.active:
        raise UploadError(f"run {run.id} is not finished; stop it or wait for its end, then export it")
    if not run.result:
        reason = run.error or "its first epoch was not finished"
        raise UploadError(f"run {run.id} has no result to export: {reason}")
    with zipfile.ZipFile(stream, "w", strict_timestamps=False) as archive:
        for path in sorted(run.folder.rglob("*")):
            name = path.relative_to(run.folder).as_posix()
            if _OF_RUN.fullmatch(name):
                packed = zipfile.ZIP_STORED if path.suffix in (".pt", ".npz") else zipfile.ZIP_DEFLATED
                archive.write(path, f"{run.id}/{name}", compress_type=packed)  # weights hardly shrink


def read_run(archive: Path | BinaryIO, runs: Path, sets: Iterable[Path] = (), owner: str = "") -> str:
    """Takes the run in a zip file of `export_run` into the folder `runs`, as one of `owner`; returns its new id.

    The run belongs to the data set among `sets` (and the lab's own) with the same fingerprint; where there is none,
    its curves can be seen and its mistakes cannot. Raises UploadError, with nothing left behind, for anything that
    cannot be a run.
    """
    with opened(archive, runs) as (found, incoming):
        files = {name: entry for name, entry in members(found).items() if _OF_RUN.fullmatch(name)}
        if missing := [name for name in NEEDED if name not in files]:
            raise UploadError(f"{missing[0]}: missing; upload a whole run as Export or `export` packs it")
        unpack(found, files, incoming)
        run = _checked(store.read(incoming))
        known = _known_set(run.data.fingerprint, (places.data_folder(), *sets))
        known = known and known.without(run.config.exclude)
        run_id = f"{datetime.now():%Y%m%d-%H%M%S}-imported-{run.config.preset}-{secrets.token_hex(2)}"
        record = _record(run, run_id, known, runs).changed(owner=owner)
        (incoming / "new").mkdir()
        with writing.RunWriter(incoming / "new") as writer:
            _rewrite(replace(run, data=record.data), known, record, writer)
        taken = _checked(store.read(writer.folder))  # as the pages will
        store.history(taken)
        if run.name:
            store.rename(taken, run.name)
        os.rename(writer.folder, runs / run_id)
    return run_id


def _checked(run: Run) -> Run:
    if run.status == "damaged":
        raise StoreError(run.error)
    return run


def _known_set(fingerprint: str, sets: Iterable[Path]) -> DataSet | None:
    for folder in sets:
        with suppress(DataError):
            if (found := loader.load(folder)).fingerprint == fingerprint:
                return found
    return None


def _record(run: Run, run_id: str, known: DataSet | None, runs: Path) -> RunRecord:
    """run.json but for the result, from what core/runs/store.py has read; with texts that can be shown."""
    if run.config.preset not in (*PRESETS, "custom"):
        raise UploadError("run.json: a preset that this lab does not know; update the lab")
    if not run.machine or run.steps_per_epoch < 1:
        raise UploadError("run.json: a run that was never trained; export the run anew")
    notes = RunRecord.read(run.folder / "run.json").notes  # run.notes has more, on label.json
    # never in the future, where it would be the newest for ever
    created = min(max(run.created, datetime(2000, 1, 1)), datetime.now())
    return RunRecord(
        format=store.FORMAT,
        run=run_id,
        status=Status.QUEUED,  # until the result is known
        created=created,
        number=numbering.number_at(runs, created),
        config=run.config,
        data=_data_facts(run, known),
        machine=run.machine.changed(**_cleaned(run.machine, 120)),
        steps_per_epoch=run.steps_per_epoch,
        seconds=run.seconds,
        error=shown(run.error, 500),
        diverged=run.diverged,
        notes=tuple(shown(note, 300) for note in notes[:50]),
        unchecked=known is None,
    )


def _data_facts(run: Run, known: DataSet | None) -> DataFacts:
    if known:
        check_data(run.config, known.class_sizes())
        return DataFacts.of(known)
    texts = _cleaned(run.data, 200)
    return run.data.changed(
        **texts | {"description": f"{texts['description']} (so says the imported run)"},
        folder=str(loader.absolute(places.data_folder())),
        classes=tuple(map(shown, run.data.classes)),
        notes=tuple(shown(note, 300) for note in run.data.notes),
    )


def _cleaned(record: Record, most: int) -> dict[str, str]:
    """The texts of a record, as they can be shown."""
    return {name: shown(value, most) for name, value in record if isinstance(value, str) and name != "folder"}


def _rewrite(run: Run, known: DataSet | None, record: RunRecord, writer: writing.RunWriter) -> None:
    """Writes all files of the new run: some as read from the old one, the others made from these."""
    import torch

    from core.exchange import measuring
    from core.networks import build

    with torch.device("meta"):  # only the shapes: room for weights is made when there is a file of their size
        network = build.build(run.config, len(run.data.classes))
    best = _best(run, network, writer)
    with named("last.pt"):
        training, progress = _training(run, network)
    last = progress.rows[-1]
    if best and best["epoch"] > last["epoch"]:
        raise UploadError("best.pt: from an epoch after the last one; export the run anew")
    rows = _steps(run, progress, writer)
    embedded = _embeddings(run, progress, network.embedding_size, writer)
    wrong = round((1 - last["test_accuracy"]) * run.data.test)
    if known:
        if wrong != tables.mistakes_made(known, embedded):
            raise UploadError("last.pt: another test accuracy than that of its predictions; export the run anew")
        record = record.changed(notes=(*record.notes, measuring.measured(run, known, training.judged, progress, best)))
        tables.save_predictions(writer, known, embedded)
    tables.save_history(writer, progress)
    progress.best_accuracy = max((row["test_accuracy"] for row in progress.history), default=-1.0)
    result = progress.conclude(wrong)
    progress.steps["rows"] = rows
    state = {"epoch": last["epoch"], "steps": last["steps"], "network": training.judged.state_dict()}
    state |= {"format": store.FORMAT, "run": record.run, "progress": progress.state()}
    writer.save_checkpoint("last.pt", state | {"training": training.state_dict()})
    writer.begin(record.changed(status=run.status, result=result))


def _best(run: Run, network, writer: writing.RunWriter) -> dict | None:
    """Takes the best weights over, if there are any."""
    if not (run.folder / "best.pt").exists():
        return None
    with named("best.pt"):
        best = checkpoint(run.folder / "best.pt", network)
        if any(type(best[name]) is not int or not 1 <= best[name] < 10**9 for name in ("epoch", "steps")):
            raise UploadError("from an epoch that is none")
        best = {key: best[key] for key in ("epoch", "steps", "network")}
        writer.save_checkpoint("best.pt", best)
        return best


def _training(run: Run, network) -> tuple["Training", Progress]:
    """What a run goes on from, read as when it is resumed; its history has to end where the training stands."""
    from core.learning.training import Training

    state = checkpoint(run.folder / "last.pt", network)
    training = Training(network.to_empty(device="cpu"), run.config)
    try:
        progress = Progress.from_state(state["progress"], possible)
        training.load_state_dict(state["training"], sum_of_some)
        StepTable.checked(progress.steps, sum_of_some)
    except ValueError as error:
        raise UploadError(shown(str(error))) from error
    for row in progress.rows:
        row["alarm"] = shown(row["alarm"], 500)
    if not 1 <= len(progress.rows) <= run.config.epochs:
        raise UploadError("a history without the epochs of the run")
    if (training.epoch, training.step) != progress.reached:
        raise UploadError("from another step than its history ends with")
    whole, steps = not progress.partial, progress.rows[-1]["steps"]
    if whole != (steps == run.steps_per_epoch) or (run.status == "done" and not training.ended(run.config)):
        raise UploadError("not as far as run.json says")
    return training, progress


def _steps(run: Run, progress: Progress, writer: writing.RunWriter) -> int:
    """Takes steps.csv over; returns how many rows it has."""
    steps = store.steps(run).head(progress.steps["rows"])
    if not len(steps):
        return 0
    inside = steps["epoch"].between(1, progress.rows[-1]["epoch"]) & steps["step"].between(1, run.steps_per_epoch)
    if not inside.all() or not all(map(_COLUMN.fullmatch, steps.columns)):
        raise UploadError("steps.csv: a step outside the epochs of the run; export the run anew")
    for name in steps:
        if not steps[name].dropna().between(*possible(name)).all():
            raise UploadError(f"steps.csv: a {name} that cannot be; export the run anew")
    writer.save_table("steps.csv", steps)
    return len(steps)


def _embeddings(run: Run, progress: Progress, size: int, writer: writing.RunWriter) -> Embedded:
    """Takes the embeddings of all epochs over; returns those of the last one."""
    last = progress.rows[-1]
    for row in progress.rows:
        file = store.embeddings_file(run, row["epoch"])
        if file.exists() or row is last:
            with named(file.name):
                if file.exists():
                    check_stored(file)
                embedded = store.embedded(run, row["epoch"])
                if not ((embedded.scores >= 0) & (embedded.scores <= 1.001)).all():
                    raise UploadError("scores that are not from 0 to 1; export the run anew")
                furthest = max(np.abs(each).max() for each in embedded[:2])
                if size != embedded.train.shape[1] or furthest > 1.01 * SPHERE_RADIUS:
                    raise UploadError("embeddings that this network cannot have made; export the run anew")
                writer.save_embedded(row["epoch"], embedded)
    return embedded
