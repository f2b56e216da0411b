"""What a run has brought about so far, besides the weights: kept in its checkpoints, shown in history.csv."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from core.learning.alarms import Kind
from core.learning.events import EpochDone
from core.learning.means import Bounds, anything, check_numbers
from core.runs.checks import check, is_text
from core.runs.record import Result
from core.settings.config import SPHERE_RADIUS

LARGEST_NUMBER = 10**8  # of seconds, losses, sums of an epoch


def possible(name: str) -> tuple[float, float]:
    """The bounds of a number of this name in the history of a run that somebody else has made."""
    if name.endswith("_accuracy") or name in ("active_fraction", "easy", "semi_hard", "hard"):
        return 0, 1
    if name == "spread":
        return 0, 1.01 * SPHERE_RADIUS
    if "_distance" in name:
        return 0, 2.02 * SPHERE_RADIUS
    return 0, LARGEST_NUMBER


def sum_of_some(name: str) -> tuple[float, float]:
    """The bounds of a sum of such numbers."""
    return 0, LARGEST_NUMBER


@dataclass
class Progress:
    """The rows of history.csv, the best accuracy, the result, the clock, and where steps.csv ends."""

    seconds: float = 0.0  # of training and evaluation, over all interruptions
    history: list[dict] = field(default_factory=list)  # the rows of history.csv: a whole epoch each
    partial: dict | None = None  # its last row while a run is stopped within an epoch
    best_accuracy: float = -1.0  # on the test images, of a whole epoch
    result: Result | None = None
    steps: dict = field(default_factory=dict)  # see StepTable.state

    def state(self) -> dict:
        """Plain values, for a checkpoint."""
        return asdict(self) | {"result": self.result.model_dump() if self.result else {}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], bounds: Bounds = anything) -> "Progress":
        """The inverse of `state`, checked; numbers lie within `bounds`.

        Raises ValueError with the reason for what cannot be a history, KeyError or TypeError for anything else.
        """
        progress = cls(**{**state, "result": Result.checked(state["result"]) if state["result"] else None})
        rows = progress.rows
        for row in rows:
            texts = {name: row.get(name, "") for name in ("alarm", "alarm_kind")}
            check(all(map(is_text, texts.values())), "texts that cannot be in a history")
            check(texts["alarm_kind"] in ("", *Kind), "an alarm of no kind")
            check_numbers({name: value for name, value in row.items() if name not in texts}, bounds)
        check([row["epoch"] for row in rows] == [*range(1, len(rows) + 1)], "a history without the epochs of the run")
        return progress

    @property
    def rows(self) -> list[dict]:
        """All rows of history.csv."""
        return self.history + [self.partial] * bool(self.partial)

    @property
    def reached(self) -> tuple[int, int]:
        """Epoch and step at which a training stands after the last row: the beginning of an epoch, or within one."""
        last = self.rows[-1]
        return (last["epoch"], last["steps"]) if self.partial else (last["epoch"] + 1, 0)

    def table(self) -> pd.DataFrame:
        """history.csv."""
        return pd.DataFrame(self.rows)

    def add(self, event: EpochDone, seconds: float, whole: bool) -> bool:
        """Takes in an evaluated epoch, `whole` or the part before a stop. Whether its weights are the best to keep.

        Those of a part are better than none; the first whole epoch replaces them.
        """
        row = asdict(event)
        row |= row.pop("diagnostics") | {"seconds": round(seconds, 3)}
        self.seconds = seconds
        if not whole:
            self.partial = row
            return not self.history
        self.history.append(row)
        self.partial = None
        better = event.test_accuracy > self.best_accuracy  # chosen by the test images: never a headline
        self.best_accuracy = max(self.best_accuracy, event.test_accuracy)
        return better

    def conclude(self, mistakes: int) -> Result:
        """The result of the run: that of the last row, with so many misclassified test images."""
        last = self.rows[-1]
        best = self.best_accuracy if self.history else last["test_accuracy"]
        self.result = Result.of(last, epochs=last["epoch"], best_test_accuracy=best, mistakes=mistakes)
        return self.result
