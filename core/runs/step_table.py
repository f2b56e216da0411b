"""steps.csv, a row every few steps: written while a run trains, cut back when it is resumed."""

import csv
import io
import os
from contextlib import suppress
from pathlib import Path

from core.learning.events import StepDone
from core.learning.means import Bounds, Means, anything
from core.runs.checks import check
from core.runs.files import not_written, replacing

ROWS_AN_EPOCH = 100  # at most


class StepTable:
    """The table in a run's folder; its one writer holds the run's lock."""

    def __init__(self, folder: Path):
        self.file = folder / "steps.csv"
        self._open: io.RawIOBase | None = None
        self._rows = 0
        self._columns: list[str] = []  # a table begun by an older version has fewer
        self._pending = Means()  # of the steps since the last row

    def add(self, event: StepDone, seconds: float) -> None:
        """Adds a row for every so many steps and for the last of an epoch. Raises StoreError."""
        self._pending.add({"loss": event.loss} | event.diagnostics)
        if event.step % -(-event.steps // ROWS_AN_EPOCH) and event.step < event.steps:
            return
        row = {"epoch": event.epoch, "step": event.step, "seconds": round(seconds, 3)}
        row |= self._pending.now()
        self._pending = Means()
        text = io.StringIO(newline="")
        if self._rows == 0:
            self._columns = list(row)
            csv.writer(text).writerow(row)
        csv.writer(text).writerow([row.get(name) for name in self._columns])
        try:
            if self._open is None:
                self._open = open(self.file, "ab" if self._rows else "wb", buffering=0)  # noqa: SIM115
            self._open.write(text.getvalue().encode())
        except OSError as error:
            raise not_written(self.file, error) from error
        self._rows += 1

    def state(self) -> dict:
        """Where the table ends now, for `restore`: its rows are on the disk when this returns. Raises StoreError."""
        if self._open:
            try:
                os.fsync(self._open.fileno())
            except OSError as error:
                raise not_written(self.file, error) from error
        pending = {"pending": dict(self._pending.sums), "pending_counts": dict(self._pending.counts)}
        return {"rows": self._rows} | pending

    @staticmethod
    def checked(state: dict, bounds: Bounds = anything) -> tuple[int, Means]:
        """Rows, and means since the last one, of a state. Raises ValueError or KeyError for what cannot be either."""
        check(type(state["rows"]) is int and state["rows"] >= 0, "a number of rows that is none")
        return state["rows"], Means.checked(state["pending"], state["pending_counts"], bounds)

    def restore(self, state: dict) -> None:
        """Cuts the table back to what it was at `state`. Raises as `checked`, and StoreError."""
        self._rows, self._pending = self.checked(state)
        try:
            lines = self.file.read_bytes().splitlines(keepends=True) if self._rows else []
        except OSError:
            lines = []
        kept = [line for line in lines[: self._rows + 1] if line.endswith(b"\n")]
        if len(kept) < self._rows + 1:
            self._rows = max(0, len(kept) - 1)  # a damaged file: the curve has a gap, the run goes on
        self._columns = next(csv.reader([kept[0].decode()])) if self._rows else []
        with replacing(self.file) as stream:
            stream.writelines(kept if self._rows else [])

    def close(self) -> None:
        """Lets go of the file."""
        if self._open:
            with suppress(OSError):
                self._open.close()
            self._open = None
