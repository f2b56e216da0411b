"""A run's curves as event files, which TensorBoard opens. Needs its package, see requirements-export.txt."""

import io
import tempfile
import zipfile
from pathlib import Path

import pandas as pd

from core.exchange.packages import needed
from core.runs import store
from core.runs.store import Run

_NO_CURVES = ("epoch", "step", "steps", "seconds", "alarm")


def write(run: Run, folder: Path) -> None:
    """Writes a run's event file into `folder`: `epoch/…` over epochs, `step/…` over steps; accuracies are fractions.

    Raises StoreError for a run whose tables cannot be read, PackageMissing without tensorboard.
    """
    events = needed("tensorboard.summary.writer.event_file_writer")
    history, steps = store.history(run), store.steps(run)
    writer = events.EventFileWriter(str(folder))
    try:
        for table, kind in ((history, "epoch"), (steps, "step")):
            for row in table.to_dict("records"):
                step = row["epoch"] if kind == "epoch" else (row["epoch"] - 1) * run.steps_per_epoch + row["step"]
                writer.add_event(_event(run, row, kind, int(step)))
    finally:
        writer.close()


def _event(run: Run, row: dict, kind: str, step: int):
    """A row of a table as one event, at the time at which it was written."""
    event = needed("tensorboard.compat.proto.event_pb2").Event(
        wall_time=run.created.timestamp() + row["seconds"], step=step
    )
    for name, value in row.items():
        if name not in _NO_CURVES and pd.notna(value):
            event.summary.value.add(tag=f"{kind}/{name}", simple_value=float(value))
    return event


def packed(run: Run) -> bytes:
    """The event file in a zip file, in a folder with the run's id. Raises as `write` does."""
    stream = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        write(run, Path(folder))
        for file in sorted(Path(folder).iterdir()):
            archive.write(file, f"{run.id}/{file.name}")
    return stream.getvalue()
